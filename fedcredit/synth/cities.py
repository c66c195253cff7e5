"""Five made-up city platforms: the same columns for different enterprises, of different sizes and default rates.

All cities draw from one pool of enterprises, each with a taste of its own, so their columns are spread differently.
What a column says about default is the same everywhere but for a little of each city's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from fedcredit.errors import ConfigError, Problem
from fedcredit.synth.consortium import LABEL, Holding
from fedcredit.synth.departments import draw_social_insurance, draw_tax
from fedcredit.synth.fields import FIELDS, Field
from fedcredit.synth.lender import default_log_odds, draw_bank
from fedcredit.synth.population import (
    F64,
    I64,
    INDUSTRIES,
    Population,
    Streams,
    calibrate,
    draw_population,
    logistic,
)
from fedcredit.synth.writing import write_table

__all__ = ["CITIES", "CITY_FIELDS", "CITY_ROWS", "City", "draw_cities", "write_cities", "write_city_tables"]


@dataclass(frozen=True, slots=True)
class City:
    """How many enterprises a city has loans of, which share of them defaults, and whom it draws.

    Units: `size`, `stress` standard deviations of the traits; `age` years.
    """

    rows: int
    default_rate: float
    size: float = 0.0
    stress: float = 0.0
    age: float = 0.0


CITIES: Final[dict[str, City]] = {
    "delta": City(6_000, 0.04, size=0.5, stress=-0.2),
    "lake": City(3_600, 0.06, age=1.0),
    "valley": City(2_000, 0.09, size=-0.3, stress=0.1),
    "ridge": City(1_100, 0.13, size=-0.4, stress=0.3, age=-1.0),
    "oasis": City(600, 0.20, size=-0.6, stress=0.5, age=1.5),
}
"""No city is a real one."""

CITY_ROWS: Final = sum(city.rows for city in CITIES.values())

_TAKEN: Final[tuple[tuple[str, str, str], ...]] = (
    ("bank", "firm_age_years", "firm_age_years"),
    ("bank", "stated_revenue", "revenue"),
    ("bank", "loan_amount", "loan_amount"),
    ("bank", "term_months", "term_months"),
    ("bank", "average_balance", "average_balance"),
    ("bank", "late_payments_24m", "late_payments_24m"),
    ("bank", "other_lenders", "other_lenders"),
    ("tax", "in_arrears", "tax_in_arrears"),
    ("tax", "vat_paid_12m", "vat_paid_12m"),
    ("tax", "continuous_months", "tax_continuous_months"),
    ("tax", "days_since_payment", "tax_days_since_payment"),
    ("social_insurance", "insured_count", "insured_count"),
    ("social_insurance", "headcount_trend", "headcount_trend"),
    ("social_insurance", "in_arrears", "insurance_in_arrears"),
    ("social_insurance", "wage_base", "wage_base"),
)
"""Whose columns of the other demonstration a city's platform has brought together, and what it calls them."""


def _fields() -> tuple[Field, ...]:
    known = {(party, field.name): field for party, fields in FIELDS.items() for field in fields}
    taken = [
        Field(name, of.kind, of.unit, of.english, of.chinese)
        for party, theirs, name in _TAKEN
        for of in (known[party, theirs],)
    ]
    return (known["bank", LABEL], *taken)


CITY_FIELDS: Final = _fields()
"""The columns that every city has, its label first. All are numbers, so that a logistic regression takes them too."""

_POOL: Final = 2
"""Enterprises to draw from, for each that is drawn."""
_AGE_SPREAD: Final = 7.0
_OWN: Final = 0.2
"""Standard deviation, in log-odds, of what an industry is to one city alone."""

_JOB: Final = """\
[split]
holdout = 0.25

[aggregate]
threshold = 4                           # one city may be lost on the way

[[model]]
kind = "scorecard"
split = "horizontal"

[[model]]
kind = "logistic"
split = "horizontal"

[[model]]
kind = "gbdt"
split = "horizontal"
num_trees = 20
learning_rate = 0.15
max_depth = 3
max_bin = 32
min_data_in_leaf = 10                   # holds of itself: a leaf with a hessian of 3 has 12 rows or more
min_sum_hessian_in_leaf = 3.0
min_data_in_bin = 50
"""


def draw_cities(rows: int = CITY_ROWS, *, seed: int = 7) -> Mapping[str, Holding]:
    """What each city has, of `rows` enterprises of all; the same arguments give the same tables.

    Range: rows 1,000 to 10^7, shared out as in CITIES; seed not negative. Raises: ConfigError.
    """
    problems = []
    if not 1_000 <= rows <= 10**7:
        problems.append(Problem("SYNTH_ROWS", "rows", f"{rows} enterprises", "ask for 1,000 to 10,000,000"))
    if seed < 0:
        problems.append(Problem("SYNTH_SEED", "seed", "the seed is negative", "use 0 or more"))
    if problems:
        raise ConfigError(problems)
    streams = Streams(seed)
    pool = draw_population(_POOL * rows, streams)
    views = {"tax": draw_tax(pool, streams), "social_insurance": draw_social_insurance(pool, streams)}
    views["bank"] = draw_bank(pool, tuple(views.values()), streams, 0.05)
    effects = np.sum([view.effect for view in views.values()], axis=0)
    log_odds = default_log_odds(pool, effects, streams.stream("cities/default"))
    columns = {
        name: np.where(views[party].present | (party == "bank"), views[party].columns[theirs], np.nan)
        for party, theirs, name in _TAKEN
    }
    free = np.ones(pool.n_rows, bool)
    cities: dict[str, Holding] = {}
    for name, city in CITIES.items():
        rng = streams.stream(f"city/{name}")
        chosen = _choose(city, round(city.rows * rows / CITY_ROWS), pool, free, rng)
        free[chosen] = False
        label = _default(city, log_odds[chosen], pool.industry[chosen], rng)
        cities[name] = Holding(
            name, pool.ids[chosen], {LABEL: label} | {column: values[chosen] for column, values in columns.items()}
        )
    return cities


def write_city_tables(folder: Path | str, rows: int = CITY_ROWS, seed: int = 7) -> dict[str, Path]:
    """Writes CITY.csv for every city; gives the files by city. Range and errors: as `draw_cities`."""
    folder = Path(folder)
    cities = draw_cities(rows, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {city: folder / f"{city}.csv" for city in cities}
    for city, holding in cities.items():
        write_table(paths[city], holding.ids, holding.columns, CITY_FIELDS)
    return paths


def write_cities(folder: Path | str, rows: int = CITY_ROWS, seed: int = 7) -> Path:
    """Writes the tables and JOB.toml, a job of all cities; gives the path of JOB.toml."""
    parts = [f'[job]\nname = "five-cities"\npurpose = "financing"\nseed = {seed}\n']
    for city, path in write_city_tables(folder, rows, seed).items():
        parts.append(f'[parties.{city}]\ntable = "{path.name}"\nid = "uscc"\nlabel = "{LABEL}"\n')
    job = Path(folder) / "JOB.toml"
    job.write_text("\n".join([*parts, _JOB]), encoding="utf-8")
    return job


def _choose(city: City, n: int, pool: Population, free: np.ndarray, rng: np.random.Generator) -> I64:
    """`n` enterprises that no other city has, those to the city's taste more often. Shapes: free (pool,)."""
    taste = city.size * pool.size + city.stress * pool.stress + city.age * (pool.age - _AGE_SPREAD) / _AGE_SPREAD / 2
    # The n greatest of weights with Gumbel noise are a draw without replacement.
    keys = np.where(free, taste + rng.gumbel(size=pool.n_rows), -np.inf)
    return np.asarray(rng.permutation(np.argpartition(-keys, n - 1)[:n]), np.int64)


def _default(city: City, log_odds: F64, industry: I64, rng: np.random.Generator) -> F64:
    """Whether each defaults: by what is the same in all cities, and a little that is this one's own."""
    logit = log_odds + _OWN * rng.standard_normal(len(INDUSTRIES))[industry]
    bad = rng.random(logit.size) < logistic(logit + calibrate(logit, city.default_rate))
    return np.asarray(bad, np.float64)
