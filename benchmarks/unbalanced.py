"""A few subjects against many, from CSV to CSV between running nodes: the filter made, asked, followed and asked again.

    python benchmarks/unbalanced.py [--rows FEW MANY] [--repeat N] > benchmarks/results/unbalanced.json

Both parties run on this machine, as processes of their own, over loopback with mutual TLS, a signed job and an audit
log. Prints one JSON object: `seconds`, from the moment the running nodes are asked to the receiver's file on disk, of
`first` (the many are read and evaluated, the filter is made and travels), `online` (median of the repeats),
`update` (one in a hundred of the many has gone and as many others have come: the file is read again, the new ones are
evaluated, what changed travels); `_protocol` is of each the align stage alone; `bytes` on the
wire of each, `filter_bytes`, `rss_mib` of each party.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from fedcredit.cli.benches.identifiers import identifiers
from fedcredit.cli.benches.jobs import align_seconds, write_table
from fedcredit.ids import PartyId
from fedcredit.node.figures import environment
from fedcredit.node.local import Consortium, prepare_folder
from fedcredit.protocols.intersect.filters import filter_bits
from fedcredit.runtime.config import load_job
from fedcredit.runtime.toml import dump

BANK, TAX = PartyId("bank"), PartyId("tax")


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="unbalanced", description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs=2, default=[10_000, 10_000_000])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the tables and the nodes' folders are made")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fedcredit-bench-", dir=given.folder) as name:
        print(json.dumps(asyncio.run(measure(Path(name), *given.rows, given.repeat))), flush=True)


async def measure(folder: Path, few: int, many: int, repeat: int) -> dict[str, Any]:
    """All jobs, one after another between the same nodes."""
    load, where = os.getloadavg()[0], environment()
    write_few(folder, few, many)
    write_many(folder, many, 0)
    (folder / "JOB.toml").write_text(dump(job()), encoding="utf-8")
    out = folder / "out"
    prepare_folder(out)
    async with Consortium(load_job(folder / "JOB.toml"), out) as consortium:
        # A file that was changed a moment ago is read twice: nobody could tell whether it changes again.
        await asyncio.sleep(3)
        first = await one(consortium, few, "the filter is made")
        online = [await one(consortium, few, f"asked, {turn + 1} of {repeat}") for turn in range(repeat)]
        write_many(folder, many, many // 100)
        await asyncio.sleep(3)
        update = await one(consortium, few, "1 % of the many has changed")
        after = await one(consortium, few, "asked again")
        filters = consortium.folder(TAX) / "filters" / "lent" / BANK / "main"
        label = json.loads((filters / "record.json").read_bytes())["label"]
        size = (filters / f"filter.{label['version']}").stat().st_size
    assert label["version"] == 2, "one version for each state of the table"
    return {
        "bench": "unbalanced",
        "case": {"rows": [few, many], "shared": few // 2, "changed": many // 100, "bits": filter_bits(many)},
        "seconds": {
            "first": first["total"],
            "first_protocol": first["protocol"],
            "online": statistics.median(turn["total"] for turn in online),
            "online_protocol": statistics.median(turn["protocol"] for turn in online),
            "update": update["total"],
            "update_protocol": update["protocol"],
            "online_after": after["total"],
        },
        "bytes": {"first": first["bytes"], "online": online[0]["bytes"], "update": update["bytes"]},
        "filter_bytes": size,
        "bits_an_entry": round(8 * size / many, 2),
        "rss_mib": after["rss_mib"],
        "load": round(load, 2),
        "machine": where["machine"],
        "commit": where["commit"],
    }


def job() -> dict[str, Any]:
    """The job file."""
    return {
        "job": {"name": "bench-unbalanced", "purpose": "research", "seed": 7},
        "parties": {"bank": {"table": "bank.csv", "id": "uscc"}, "tax": {"table": "tax.csv", "id": "uscc"}},
        "intersect": {"mode": "unbalanced", "receiver_only": True},
    }


def write_few(folder: Path, few: int, many: int) -> None:
    """Half of them are among the many, at their end: those stay whatever changes."""
    rng = np.random.default_rng(7)
    ids = rng.permutation(identifiers(many - few // 2, few))
    write_table(folder / "bank.csv", ids, {"x": rng.integers(0, 9, few, dtype=np.uint8)})


def write_many(folder: Path, many: int, changed: int) -> None:
    """The many, of which the first `changed` have gone and as many others have come."""
    rng = np.random.default_rng(8)
    ids = np.concatenate([identifiers(changed, many - changed), identifiers(2 * many, changed)])
    path = write_table(folder / "new.csv", rng.permutation(ids), {"x": rng.integers(0, 9, many, dtype=np.uint8)})
    path.replace(folder / "tax.csv")


async def one(consortium: Consortium, few: int, what: str) -> dict[str, Any]:
    """One job: seconds, bytes of the align stage, memory of the parties so far."""
    begun = time.perf_counter()
    name = await consortium.run()
    total = time.perf_counter() - begun
    result = consortium.folder(BANK) / "jobs" / name / "result"
    metrics = json.loads((result / "metrics.json").read_bytes())
    assert metrics["rows"]["aligned"] == (result / "aligned.csv").read_bytes().count(b"\n") - 1 == few // 2
    traffic = [row["bytes"] for row in metrics["traffic"] if row["phase"].split("/")[0] == "align"]
    memory = {
        party: json.loads((consortium.folder(party) / "jobs" / name / "result" / "cost.json").read_bytes())
        for party in (BANK, TAX)
    }
    print(f"{what}: {total:.2f} s", file=sys.stderr, flush=True)
    return {
        "total": round(total, 3),
        "protocol": align_seconds(metrics),
        "bytes": sum(traffic),
        "rss_mib": {party: cost["peak_memory_mib"] for party, cost in memory.items()},
    }


if __name__ == "__main__":
    main()
