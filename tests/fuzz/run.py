"""`make fuzz`: every decoder, many inputs, on as many processes as there are cores.

    python -m fuzz.run --inputs 1000000 --seed 1 --out runs/fuzz [--jobs 2] [NAME ...]

Says every few seconds where each running decoder stands, and prints a table at the end. Inputs that a decoder did not
stand are kept in OUT, and the exit status is 1. A run that was stopped goes on: what is done in OUT at the same commit
with the same seed is not done again. The same seed gives the same inputs.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from fuzz.engine import Slate, Target, fuzz
from fuzz.report import Ledger, Line, code_at, keep, line_of, table, write_report
from fuzz.targets import targets
from fuzz.watch import Board, child

EXPOSED = ("frame", "wire.", "enrol.", "control.", "relay.", "kernel.", "table.", "file.", "trust.")
"""What comes first: what strangers and peers send, then what owners and their sources write, then a node's own."""


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="fuzz")
    parser.add_argument("names", nargs="*", help="decoders, or beginnings of their names; all by default")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"))
    parser.add_argument("--every", type=float, default=15.0, help="seconds between two lines about progress")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.one:
        (target,) = (t for t in targets() if t.name == given.names[0])
        return _one(target, given)
    chosen = [t for t in targets() if not given.names or any(t.name.startswith(name) for name in given.names)]
    if not chosen:
        parser.error("no decoder has such a name: " + " ".join(given.names))
    return _all(sorted(chosen, key=_exposure), given)


def count_of(target: Target, inputs: int) -> int:
    """How many inputs `target` gets when the others get `inputs`."""
    return max(len(target.seeds), int(inputs * target.share))


def _exposure(target: Target) -> int:
    return next((at for at, start in enumerate(EXPOSED) if target.name.startswith(start)), len(EXPOSED))


def _all(chosen: list[Target], given: argparse.Namespace) -> int:
    start, ledger = time.monotonic(), Ledger(given.out / "results.jsonl", code_at(), given.seed)
    counts = {target.name: count_of(target, given.inputs) for target in chosen}
    lines = {name: line for name, count in counts.items() if (line := ledger.done(name, count)) is not None}
    if lines:
        print(f"{len(lines)} decoders are done at this commit already", flush=True)
    waiting = {name: count for name, count in counts.items() if name not in lines}
    with Board(given.out, waiting, given.every) as board, ThreadPoolExecutor(given.jobs) as pool:
        running = [pool.submit(_child, name, counts[name], given, board) for name in waiting]
        try:
            for ended in as_completed(running):
                line = ended.result()
                ledger.add(line)
                lines[line["decoder"]] = line
                board.done(line)
        except BaseException:
            board.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    ordered = [lines[target.name] for target in chosen]
    print(table(ordered), flush=True)
    return write_report(given.out / "report.json", ordered, round(time.monotonic() - start), given.seed)


def _one(target: Target, given: argparse.Namespace) -> int:
    """In a process of its own: one decoder. The parent ends it when it hangs, and finds the input on the slate."""
    faulthandler.enable()
    path = given.out / f"{target.name}.slate"
    outcome = fuzz(target, seed=given.seed, count=count_of(target, given.inputs), slate=Slate(path))
    for finding in outcome.findings:
        keep(given.out, target.name, finding.data)
    path.unlink()
    print(json.dumps(line_of(outcome)))
    return 0


def _child(name: str, count: int, given: argparse.Namespace, board: Board) -> Line:
    command = [sys.executable, "-m", "fuzz.run", name, "--one", "--inputs", str(given.inputs)]
    command += ["--seed", str(given.seed), "--out", str(given.out)]
    slate, start = given.out / f"{name}.slate", time.monotonic()
    status, stdout, stderr = child(command, slate, board)
    if status == 0:
        return json.loads(stdout.splitlines()[-1])
    tried = Slate.tried(slate) if slate.exists() else 0
    kept = keep(given.out, name, Slate.read(slate)) if slate.exists() else ""
    slate.unlink(missing_ok=True)
    what = f"the process ended with {status}: {stderr[-1000:]}"
    return {
        "decoder": name,
        "inputs": tried,
        "taken": 0,
        "answers": 0,
        "seconds": round(time.monotonic() - start, 1),
        "slowest_ms": 0.0,
        "findings": [{"what": what, "input": kept}],
    }


if __name__ == "__main__":
    sys.exit(main())
