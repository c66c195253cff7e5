"""The enterprises before anyone looks at them: industry, region, size, age, revenue and three hidden traits.

What a party later holds is a noisy view of these; no party ever holds the traits themselves.

Source: the assumptions of the project's feature notes for small enterprises. Every distribution here is an
assumption made to exercise the software; none is a fact about any region.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedcredit.uscc import ALPHABET, codes

__all__ = [
    "INDUSTRIES",
    "MONTHS",
    "REGIME_CHANGE",
    "Population",
    "Streams",
    "calibrate",
    "draw_flag",
    "draw_population",
    "logistic",
]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]

INDUSTRIES: Final = ("manufacturing", "trade", "construction", "services", "catering", "farming", "other")
_INDUSTRY_SHARE: Final = (0.22, 0.33, 0.09, 0.20, 0.06, 0.05, 0.05)
_REVENUE_PER_HEAD: Final = (52.0, 60.0, 48.0, 36.0, 22.0, 28.0, 45.0)  # median, 10,000 yuan a year
MONTHS: Final = 24  # observation points
REGIME_CHANGE: Final = 18  # from this month on trends weigh 1.5 times as much and the base rate is 1.4 times as high

# Order: size, health, compliance, stress. The notes give four of the six correlations; the other two are mild.
_CORRELATION: Final = np.array(
    [
        [1.00, 0.25, 0.10, -0.12],
        [0.25, 1.00, 0.45, -0.55],
        [0.10, 0.45, 1.00, -0.30],
        [-0.12, -0.55, -0.30, 1.00],
    ]
)
_REGIONS: Final = ("220102", "220104", "220202", "320102", "320106", "410102", "410105", "370811", "110105", "110108")
_ORGANISATIONS: Final = 887_503_663  # a prime just below 31^6, so that `a * i + b` below it never repeats


@dataclass(frozen=True, slots=True)
class Streams:
    """Independent random streams by name: what one view draws does not depend on which other views are drawn."""

    seed: int

    def stream(self, name: str) -> np.random.Generator:
        """The stream `name`; the same name gives the same numbers again."""
        return np.random.default_rng([self.seed, *name.encode()])


@dataclass(frozen=True, slots=True)
class Population:
    """One row per enterprise.

    Shapes: every array (n,).
    Units: `age` years; `employees` persons; `revenue` 10,000 yuan a year; `month` 0 to 23; `size`, `health`,
    `compliance`, `stress` standard deviations; `shock` log units, common to an industry and quarter.
    """

    ids: NDArray[np.bytes_]
    industry: I64
    age: F64
    employees: I64
    revenue: F64
    month: I64
    size: F64
    health: F64
    compliance: F64
    stress: F64
    shock: F64

    @property
    def n_rows(self) -> int:
        """How many enterprises there are."""
        return int(self.age.size)


def draw_population(n_rows: int, streams: Streams) -> Population:
    """`n_rows` enterprises, each with a code of its own."""
    rng = streams.stream("population")
    traits = rng.standard_normal((n_rows, 4)) @ np.linalg.cholesky(_CORRELATION).T
    size, health, compliance, stress = (np.ascontiguousarray(column) for column in traits.T)
    industry = rng.choice(len(INDUSTRIES), n_rows, p=_INDUSTRY_SHARE).astype(np.int64)
    employees = np.clip(np.rint(9.0 * np.exp(size)), 1, 1000).astype(np.int64)
    per_head = np.array(_REVENUE_PER_HEAD)[industry] * np.exp(0.6 * rng.standard_normal(n_rows))
    month = rng.integers(0, MONTHS, n_rows)
    shocks = 0.06 * rng.standard_normal((len(INDUSTRIES), MONTHS // 3))
    return Population(
        ids=_draw_ids(n_rows, streams.stream("ids")),
        industry=industry,
        age=np.clip(rng.exponential(7.0, n_rows), 0.5, 40.0),
        employees=employees,
        revenue=employees * per_head,
        month=month,
        size=size,
        health=health,
        compliance=compliance,
        stress=stress,
        shock=shocks[industry, month // 3],
    )


def logistic(logit: F64) -> F64:
    """1 / (1 + exp(-logit)); exact enough and without overflow for any finite logit."""
    return 0.5 * (1.0 + np.tanh(0.5 * logit))


def calibrate(logit: F64, rate: float) -> float:
    """The intercept `a` for which the mean of logistic(a + logit) is `rate`. Range: rate inside (0, 1)."""
    sample = logit[: 1 << 16]  # a sample fixes the intercept to 0.1 % of the rate; a fixed one keeps it reproducible
    low, high = -30.0, 30.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        too_low = float(logistic(sample + middle).mean()) < rate
        low, high = (middle, high) if too_low else (low, middle)
    return 0.5 * (low + high)


def draw_flag(rng: np.random.Generator, rate: float, score: F64) -> Flags:
    """True for about `rate` of the rows, more often where `score` (log-odds) is high."""
    return np.asarray(rng.random(score.size) < logistic(score + calibrate(score, rate)))


def _draw_ids(n_rows: int, rng: np.random.Generator) -> NDArray[np.bytes_]:
    """Unified social credit codes, all different, with valid check characters. Shape (n,), dtype S18."""
    values = np.empty((n_rows, 17), np.uint8)
    values[:, 0:2] = _numbers("91")  # registered with market regulation; an enterprise
    values[:, 2:8] = _numbers("".join(_REGIONS)).reshape(len(_REGIONS), 6)[rng.integers(0, len(_REGIONS), n_rows)]
    values[:, 8:10] = _numbers("MA")  # organisation codes given out since 2015 start so
    step, start = (int(k) for k in rng.integers(1, _ORGANISATIONS, 2))
    serial = (step * np.arange(n_rows, dtype=np.int64) + start) % _ORGANISATIONS
    for place in range(15, 9, -1):
        values[:, place] = serial % len(ALPHABET)
        serial //= len(ALPHABET)
    values[:, 16] = _organisation_check(values[:, 8:16])
    return codes(values)


def _numbers(text: str) -> NDArray[np.uint8]:
    """Characters of the code's alphabet as numbers below 31."""
    return np.array([ALPHABET.index(character) for character in text], np.uint8)


def _organisation_check(body: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Check character of an organisation code, which counts A as 10 and so on with no letter left out.

    Shapes: (n, 8) numbers to (n,) numbers, both in the alphabet of the whole code. Source: GB 11714-1997.
    """
    weight = np.array([int(character, 36) for character in ALPHABET], np.int64)
    total = (11 - weight[body] @ np.array([3, 7, 9, 10, 5, 8, 4, 2])) % 11
    return np.asarray(_numbers("0123456789X")[total], np.uint8)
