"""What aligning costs a party besides the protocol: reading identifiers, the key-value store, telling rows apart.

    python benchmarks/alignment.py [--rows N ...] [--repeat N] [--threads N] > benchmarks/results/alignment.json

Prints one JSON object a line: `bench`, `case`, `rows`, `seconds` and `cpu_seconds` (medians of the repeats), `best`
(seconds of the fastest repeat), `threads` (of native kernels and of the table engine), `load` (processes that wanted a
core when it began: with others at work only `cpu_seconds` means something), `machine`, `python`, `commit`. Seeds are
fixed, so are the inputs.

`read csv` is from a CSV file of one column to identifiers in normal form, valid and unique, `items` from there to
digests that are unique; `order` sorts all rows by identifier and
`write csv` is the way back to disk, for rows in random order. `okvs` stores hold as many pairs as
there are rows, and are read at as many keys.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedcredit import uscc
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.kernels import digest, identifiers, okvs
from fedcredit.protocols.intersect.alignment import item_digests
from fedcredit.tables import TableSpec, open_table
from fedcredit.tables.export import identifier_lines
from fedcredit.tables.spec import Resources

U8 = npt.NDArray[np.uint8]
SEED = bytes(range(32))


def codes(n: int) -> npt.NDArray[np.bytes_]:
    """Distinct valid codes in random order."""
    values = np.full((n, 17), 9, np.uint8)
    numbers = np.random.default_rng(7).permutation(n)
    for place in range(9):
        values[:, 16 - place] = numbers // 10**place % 10
    return uscc.codes(values)


def files(n: int, threads: int, folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Reading, hashing and writing identifiers."""
    ids, path = codes(n), folder / "ids.csv"
    path.write_bytes(b"uscc\n" + b"\n".join(ids.tolist()) + b"\n")
    spec, resources = TableSpec(path=path, id="uscc"), Resources(threads=threads)

    def read() -> None:
        with open_table(spec, resources=resources) as table:
            table.ids()

    def write() -> None:
        with (folder / "aligned.csv").open("wb") as out:
            out.writelines(identifier_lines(("uscc",), ids, rows))

    rows = np.random.default_rng(8).permutation(n)
    yield "read csv", read
    yield "items", lambda: item_digests(ids, SEED, n)
    yield "order", lambda: identifiers.in_order(ids, rows)
    yield "write csv", write


def kernels(n: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """The store, and the search for rows."""
    source = insecure_seeded(1)
    keys, values, fill = source.array(n, 16), source.array(n, 16), source.array(okvs.slots(n), 16)
    out = np.zeros_like(values)
    # The fill of a repeat is the store of the one before: as good as any.
    yield "okvs encode", lambda: okvs.encode(keys, values, SEED, fill)
    yield "okvs decode", lambda: okvs.decode_xor(fill, n, keys, SEED, out)
    yield "find_repeat", lambda: digest.find_repeat(keys)
    yield "lookup", lambda: digest.lookup(keys, values)


def describe() -> dict[str, str]:
    """Where and what was measured."""
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "load": f"{os.getloadavg()[0]:.1f}",
        "machine": f"{os.cpu_count()} x {model.partition(':')[2].strip() or platform.machine()}",
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
    }


def main() -> None:
    """Run every case and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    # Read when a kernel first asks for threads, which none has yet.
    os.environ["RAYON_NUM_THREADS"] = str(arguments.threads)
    for n in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            for cases in (files(n, arguments.threads, Path(folder)), kernels(n)):
                for name, case in cases:
                    report(name, case, n, arguments.repeat, arguments.threads)


def report(name: str, case: Callable[[], object], n: int, repeat: int, threads: int) -> None:
    """Time one case and print it."""
    conditions, seconds, cpu = describe(), [], []
    for turn in range(repeat + 1):
        start, cpu_start = time.perf_counter(), time.process_time()
        case()
        if turn:  # the first one warms up
            seconds.append(time.perf_counter() - start)
            cpu.append(time.process_time() - cpu_start)
    line = {
        "bench": "alignment",
        "case": name,
        "rows": n,
        "seconds": round(statistics.median(seconds), 4),
        "cpu_seconds": round(statistics.median(cpu), 4),
        "best": round(min(seconds), 4),
        "threads": threads,
    }
    print(json.dumps(line | conditions), flush=True)


if __name__ == "__main__":
    main()
