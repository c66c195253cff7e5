"""Small consortia for whole runs: tables, a job file, and the command line as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


def write_tables(folder: Path, sizes: Mapping[str, tuple[int, int]]) -> None:
    """A CSV file for each party with the subjects start..stop; digits as identifiers, two features, a label at bank."""
    for party, (start, stop) in sizes.items():
        rng = np.random.default_rng(start)
        header = ["id", "x", "y", *(["default"] if party == "bank" else [])]
        n = stop - start
        columns = [
            np.char.zfill(np.arange(start, stop).astype(str), 12),
            rng.normal(size=n).round(4).astype(str),
            rng.integers(0, 50, n).astype(str),
            *([rng.integers(0, 2, n).astype(str)] if party == "bank" else []),
        ]
        order = rng.permutation(n)
        lines = [",".join(row) for row in np.stack(columns, axis=1)[order]]
        (folder / f"{party}.csv").write_text("\n".join([",".join(header), *lines]) + "\n")


def write_job(folder: Path, parties: list[str], extra: str = "") -> Path:
    """JOB.toml over those tables; `extra` is appended."""
    lines = ['[job]\nname = "small"\npurpose = "research"\nseed = 7']
    for party in parties:
        label = 'label = "default"\n' if party == "bank" else ""
        lines.append(f'[parties.{party}]\ntable = "{party}.csv"\nid = "id"\nid_type = "digits"\n{label}')
    path = folder / "JOB.toml"
    path.write_text("\n".join([*lines, extra]))
    return path


def command(*arguments: str | Path) -> list[str]:
    """The command line of `fedcredit`."""
    return [sys.executable, "-m", "fedcredit.cli.main", *map(str, arguments)]


def run_cli(*arguments: str | Path, timeout_s: float = 800) -> subprocess.CompletedProcess[str]:
    """`fedcredit ARGUMENTS`, to its end."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=timeout_s, check=False, cwd=ROOT)


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Three parties with 300 subjects in common, and their job file."""
    write_tables(tmp_path, {"bank": (0, 700), "tax": (200, 800), "registry": (400, 1000)})
    return write_job(tmp_path, ["bank", "tax", "registry"])
