"""The demonstration: a consortium's tables and the job file that trains on them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fedcredit.synth.consortium import LABEL, Consortium, generate

__all__ = ["write_demo"]

_CARD: Final = """\
[[model]]
kind = "scorecard"
max_bin = 6
max_features = 15
"""
_TREES: Final = """\
[[model]]
kind = "gbdt"
num_trees = 60
learning_rate = 0.1
max_depth = 3
max_bin = 32
min_data_in_leaf = 100
lambda_l2 = 5.0
"""
_CARD_ROWS: Final = 4_000
"""With fewer rows no bin has ten bad ones beside another that has, and there is nothing to make a card of."""


def write_demo(folder: Path | str, rows: int = 20_000, seed: int = 7, *, default_rate: float = 0.05) -> Path:
    """Writes bank.csv, tax.csv, social_insurance.csv, the data dictionary and JOB.toml; gives the path of JOB.toml."""
    consortium = generate(rows, seed=seed, default_rate=default_rate)
    paths = consortium.write(folder)
    job = Path(folder) / "JOB.toml"
    job.write_text(
        _job_text(consortium, {party: path.name for party, path in paths.items()}, card=rows >= _CARD_ROWS),
        encoding="utf-8",
    )
    return job


def _job_text(consortium: Consortium, tables: dict[str, str], *, card: bool) -> str:
    parts = [f'[job]\nname = "sme-default"\npurpose = "financing"\nseed = {consortium.seed}\n']
    for party, table in tables.items():
        part = f'[parties.{party}]\ntable = "{table}"\nid = "uscc"\n'
        if party == "bank":
            part += f'label = "{LABEL}"\ndrop = ["observation_month"]\n'
        parts.append(part)
    parts += ['[intersect]\nmode = "auto"\n', "[split]\nholdout = 0.2\n", *([_CARD] if card else []), _TREES]
    return "\n".join(parts)
