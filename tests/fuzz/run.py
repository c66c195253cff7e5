"""`make fuzz`: every decoder, many inputs, on as many processes as asked for.

    python -m fuzz.run --inputs 1000000 --seed 1 --out runs/fuzz [--jobs 2] [NAME ...]

Prints a JSON line a decoder. Inputs that a decoder did not stand are kept in OUT, and the exit status is 1. The same
seed gives the same inputs.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fuzz.engine import Outcome, Slate, Target, fuzz
from fuzz.targets import targets

INPUT_HANGS_S = 60.0


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="fuzz")
    parser.add_argument("names", nargs="*", help="decoders, or beginnings of their names; all by default")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"))
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    chosen = [t for t in targets() if not given.names or any(t.name.startswith(name) for name in given.names)]
    given.out.mkdir(parents=True, exist_ok=True)
    if given.one:
        (target,) = (t for t in chosen if t.name == given.names[0])
        return _one(target, given)
    start, lines = time.monotonic(), []
    with ThreadPoolExecutor(given.jobs) as pool:
        for done, line in enumerate(pool.map(lambda target: _child(target, given), chosen), 1):
            lines.append(line)
            print(json.dumps(line | {"done": f"{done}/{len(chosen)}"}), flush=True)
    found = sum(len(line["findings"]) for line in lines)
    total = {
        "decoders": len(lines),
        "inputs": sum(line["inputs"] for line in lines),
        "seconds": round(time.monotonic() - start),
        "slowest_ms": max(line["slowest_ms"] for line in lines),
        "findings": found,
        "seed": given.seed,
    }
    print(json.dumps(total), flush=True)
    (given.out / "report.json").write_text(json.dumps({"total": total, "decoders": lines}, indent=1) + "\n")
    return int(found > 0)


def _one(target: Target, given: argparse.Namespace) -> int:
    """In a process of its own: one decoder. A hang ends it; the parent finds the input on the slate."""
    slate = Slate(given.out / f"{target.name}.slate")
    count = max(len(target.seeds), int(given.inputs * target.share))
    # One timer for the whole run, generous: each input is held to its own bound afterwards.
    faulthandler.dump_traceback_later(INPUT_HANGS_S + count * 0.02, exit=True)
    outcome = fuzz(target, seed=given.seed, count=count, slate=slate)
    for finding in outcome.findings:
        _keep(given.out, target.name, finding.data)
    (given.out / f"{target.name}.slate").unlink()
    print(json.dumps(_line(outcome)))
    return 0


def _child(target: Target, given: argparse.Namespace) -> dict:
    command = [sys.executable, "-m", "fuzz.run", target.name, "--one", "--inputs", str(given.inputs)]
    command += ["--seed", str(given.seed), "--out", str(given.out)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if ended.returncode == 0:
        return json.loads(ended.stdout.splitlines()[-1])
    slate = given.out / f"{target.name}.slate"
    kept = _keep(given.out, target.name, Slate.read(slate)) if slate.exists() else ""
    slate.unlink(missing_ok=True)
    what = f"the process ended with {ended.returncode}: {ended.stderr[-1000:]}"
    return _line(Outcome(target.name)) | {"findings": [{"what": what, "input": kept}]}


def _line(outcome: Outcome) -> dict:
    return {
        "decoder": outcome.target,
        "inputs": outcome.inputs,
        "taken": outcome.taken,
        "answers": len(outcome.answers),
        "seconds": round(outcome.seconds, 1),
        "slowest_ms": round(outcome.slowest_ms, 1),
        "findings": [{"what": f.what, "input": _file(outcome.target, f.data)} for f in outcome.findings],
    }


def _keep(out: Path, name: str, data: bytes) -> str:
    (out / _file(name, data)).write_bytes(data)
    return _file(name, data)


def _file(name: str, data: bytes) -> str:
    return f"{name}-{hashlib.sha256(data).hexdigest()[:12]}.bin"


if __name__ == "__main__":
    sys.exit(main())
