"""What a run of the fuzzer leaves: a line for each decoder, kept as it ends, and a report on all of them."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fuzz.engine import Outcome

__all__ = ["Ledger", "Line", "code_at", "keep", "line_of", "machine", "table", "write_report"]

Line = dict[str, Any]


class Ledger:
    """The file of lines. One counts as done if it is of this commit and seed, and of at least so many inputs."""

    def __init__(self, path: Path, commit: str, seed: int) -> None:
        self._path, self._stamp = path, {"commit": commit, "seed": seed}
        self._lines = [json.loads(text) for text in path.read_text().splitlines()] if path.exists() else []

    def done(self, decoder: str, count: int) -> Line | None:
        """The line of `decoder`, if `count` inputs have been tried, or a fault was found. Never for changed code."""
        if self._stamp["commit"].endswith("+"):
            return None
        for line in reversed(self._lines):
            same = line["decoder"] == decoder and self._stamp.items() <= line.items()
            if same and (line["inputs"] >= count or line["findings"]):
                return line
        return None

    def add(self, line: Line) -> None:
        """Keep a line."""
        line |= self._stamp
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def code_at() -> str:
    """The commit that is checked out, with a + if files differ from it; "unknown+" where git does not say."""
    root = Path(__file__).parents[2]
    try:
        at, changed = (
            subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True, timeout=30).stdout
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown+"
    return at.strip() + ("+" if changed.strip() else "")


def machine() -> Line:
    """Where the run took place."""
    named = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    cpu = named[0].partition(":")[2].strip() if named else platform.machine()
    return {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}


def line_of(outcome: Outcome) -> Line:
    """What is said of a decoder."""
    return {
        "decoder": outcome.target,
        "inputs": outcome.inputs,
        "taken": outcome.taken,
        "answers": len(outcome.answers),
        "seconds": round(outcome.seconds, 1),
        "slowest_ms": round(outcome.slowest_ms, 1),
        "findings": [{"what": f.what, "input": _file(outcome.target, f.data)} for f in outcome.findings],
    }


def keep(out: Path, name: str, data: bytes) -> str:
    """Put an input into a file, and give its name."""
    (out / _file(name, data)).write_bytes(data)
    return _file(name, data)


def table(lines: Sequence[Line]) -> str:
    """All decoders for people, and below each what was found."""
    rows = [f"{'decoder':<28}{'inputs':>10}{'taken':>8}{'answers':>9}{'seconds':>9}{'slowest ms':>12}{'findings':>10}"]
    for line in lines:
        taken = f"{100 * line['taken'] / max(1, line['inputs']):.0f} %"
        row = f"{line['decoder']:<28}{line['inputs']:>10}{taken:>8}{line['answers']:>9}"
        rows.append(row + f"{line['seconds']:>9.0f}{line['slowest_ms']:>12.1f}{len(line['findings']):>10}")
        rows += [f"    {found['what'][:200]}  ({found['input']})" for found in line["findings"]]
    total, found = (sum(counts) for counts in zip(*((x["inputs"], len(x["findings"])) for x in lines), strict=True))
    return "\n".join([*rows, f"{len(lines)} decoders, {total} inputs, {found} findings"])


def write_report(path: Path, lines: Sequence[Line], seconds: int, seed: int) -> int:
    """Write all lines and their sums; 1 if anything was found, else 0."""
    found = sum(len(line["findings"]) for line in lines)
    total = {
        "decoders": len(lines),
        "inputs": sum(line["inputs"] for line in lines),
        "seconds": seconds,
        "slowest_ms": max(line["slowest_ms"] for line in lines),
        "findings": found,
        "seed": seed,
        "commit": lines[0]["commit"],
        "machine": machine(),
    }
    path.write_text(json.dumps({"total": total, "decoders": list(lines)}, indent=1) + "\n")
    return int(found > 0)


def _file(name: str, data: bytes) -> str:
    return f"{name}-{hashlib.sha256(data).hexdigest()[:12]}.bin"
