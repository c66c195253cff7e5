"""A made-up consortium: what a bank and some departments hold on the same small enterprises, as tables and as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import ConfigError, Problem
from fedcredit.synth.departments import View, draw_electricity, draw_housing_fund, draw_social_insurance, draw_tax
from fedcredit.synth.fields import FIELDS, HOLDERS, Field
from fedcredit.synth.lender import draw_bank
from fedcredit.synth.population import F64, Population, Streams, draw_population
from fedcredit.synth.writing import write_table

__all__ = ["DEMO_PARTIES", "LABEL", "LARGEST", "Consortium", "Holding", "generate"]

DEMO_PARTIES: Final = ("bank", "tax", "social_insurance")
LABEL: Final = "default_12m"
LARGEST: Final = 10**8  # enterprises; codes stay distinct well beyond


@dataclass(frozen=True, slots=True)
class Holding:
    """One party's table, in an order of its own that says nothing about any other party's.

    Shapes: ids (n,) S18; every column (n,) float64, NaN = missing, a category = the position of its level.
    """

    party: str
    ids: NDArray[np.bytes_] = field(repr=False)
    columns: dict[str, F64] = field(repr=False)

    @property
    def n_rows(self) -> int:
        """How many enterprises the party has a row for."""
        return int(self.ids.size)

    def write(self, path: Path) -> None:
        """The table as CSV with a header: `uscc`, then the columns of the data dictionary; empty = missing."""
        write_table(path, self.ids, self.columns, FIELDS[self.party])


@dataclass(frozen=True, slots=True)
class Consortium:
    """The tables of all parties, label party first, and what they were drawn from."""

    rows: int
    seed: int
    default_rate: float
    holdings: Mapping[str, Holding]

    def write(self, folder: Path | str) -> dict[str, Path]:
        """Writes PARTY.csv for every party and the data dictionary; gives the CSV files by party."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = {party: folder / f"{party}.csv" for party in self.holdings}
        for party, holding in self.holdings.items():
            holding.write(paths[party])
        (folder / "dictionary.json").write_text(
            json.dumps(_dictionary(self), ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )
        (folder / "DICTIONARY.md").write_text(_dictionary_text(self), encoding="utf-8")
        return paths


def generate(
    rows: int, *, seed: int, default_rate: float = 0.05, parties: tuple[str, ...] = DEMO_PARTIES
) -> Consortium:
    """A consortium around a pool of `rows` enterprises; the same arguments give the same tables.

    `default_rate` is the bank's, among its borrowers. `parties` may add "housing_fund" and "electricity"; whichever
    are asked for, the tables of the others stay as they are.
    Range: rows 1 to 10^8, about 1 KiB of memory each; default_rate 0.001 to 0.5; seed not negative.
    Raises: ConfigError with every argument that is out of range.
    """
    _check_arguments(rows, seed, default_rate, parties)
    streams = Streams(seed)
    population = draw_population(rows, streams)
    views = {
        "tax": draw_tax(population, streams),
        "social_insurance": draw_social_insurance(population, streams),
        "housing_fund": draw_housing_fund(population, streams),
        "electricity": draw_electricity(population, streams),
    }
    views["bank"] = draw_bank(population, tuple(views.values()), streams, default_rate)
    holdings = {party: _hold(party, population, views[party], streams) for party in FIELDS if party in parties}
    return Consortium(rows, seed, default_rate, holdings)


def _hold(party: str, population: Population, view: View, streams: Streams) -> Holding:
    """The rows a party has, shuffled by a stream of its own."""
    rows = streams.stream(f"{party}/order").permutation(np.flatnonzero(view.present))
    return Holding(party, population.ids[rows], {field.name: view.columns[field.name][rows] for field in FIELDS[party]})


def _check_arguments(rows: int, seed: int, default_rate: float, parties: tuple[str, ...]) -> None:
    problems = []
    if not 1 <= rows <= LARGEST:
        problems.append(Problem("SYNTH_ROWS", "rows", f"{rows} enterprises", f"ask for 1 to {LARGEST}"))
    if seed < 0:
        problems.append(Problem("SYNTH_SEED", "seed", "the seed is negative", "use 0 or more"))
    if not 0.001 <= default_rate <= 0.5:
        problems.append(Problem("SYNTH_RATE", "default_rate", f"{default_rate} is out of range", "use 0.001 to 0.5"))
    if "bank" not in parties or not set(parties) <= FIELDS.keys():
        known = ", ".join(FIELDS)
        problems.append(
            Problem("SYNTH_PARTIES", "parties", "an unknown party, or no bank", f"choose bank and others of {known}")
        )
    if problems:
        raise ConfigError(problems)


def _dictionary(consortium: Consortium) -> dict[str, Any]:
    return {
        "synthetic": True,
        "rows": consortium.rows,
        "seed": consortium.seed,
        "default_rate": consortium.default_rate,
        "label": {"party": "bank", "column": LABEL},
        "parties": {
            party: {
                "holder": {"en": HOLDERS[party][0], "zh": HOLDERS[party][1]},
                "rows": holding.n_rows,
                "columns": [
                    {
                        "name": "uscc",
                        "kind": "identifier",
                        "en": "unified social credit code",
                        "zh": "统一社会信用代码",
                    },
                    *(_entry(field) for field in FIELDS[party]),
                ],
            }
            for party, holding in consortium.holdings.items()
        },
    }


def _entry(field: Field) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": field.name, "kind": field.kind, "unit": field.unit}
    if field.levels:
        entry["levels"] = list(field.levels)
    return {**entry, "en": field.english, "zh": field.chinese}


def _dictionary_text(consortium: Consortium) -> str:
    lines = [
        "# Data dictionary 数据字典",
        "",
        f"Synthetic: {consortium.rows:,} made-up enterprises, seed {consortium.seed}. No row describes a real one; "
        "every distribution is an assumption. Empty = missing.",
        "本数据为合成数据，不对应任何真实企业。",
    ]
    for party, holding in consortium.holdings.items():
        english, chinese = HOLDERS[party]
        lines += ["", f"## {party}: {english} {chinese}", "", f"{holding.n_rows:,} rows, `{party}.csv`", ""]
        lines += ["| column | meaning | 含义 | unit or levels |", "|---|---|---|---|"]
        lines.append("| `uscc` | unified social credit code | 统一社会信用代码 | 18 characters |")
        lines += [
            f"| `{field.name}` | {field.english} | {field.chinese} | {', '.join(field.levels) or field.unit} |"
            for field in FIELDS[party]
        ]
    return "\n".join(lines) + "\n"
