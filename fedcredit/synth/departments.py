"""What the data departments see of each enterprise, and what it says about default.

A view is a noisy look at the population: columns, which enterprises have a row, and the sum of the columns' assumed
effects on the log-odds of default. Identities hold by construction: paid <= payable, continuous months <= months of
registration, insured <= 1.1 x employees, averages of one monthly series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from fedcredit.synth.population import F64, REGIME_CHANGE, Flags, Population, Streams, draw_flag

__all__ = ["View", "draw_electricity", "draw_housing_fund", "draw_social_insurance", "draw_tax"]

GRADES: Final = {"A": 0, "B": 1, "M": 2, "C": 3, "D": 4}
_GRADE_EFFECT: Final = np.array([-0.6, -0.2, 0.0, 0.5, 1.2])


@dataclass(frozen=True, slots=True)
class View:
    """Shapes: every column, `present` and `effect` (n,), in the population's order. `present`: has a row there."""

    columns: dict[str, F64]
    present: Flags
    effect: F64


def draw_tax(population: Population, streams: Streams) -> View:
    """Tax bureau: a row for 98 of 100 enterprises."""
    p, rng = population, streams.stream("tax")
    n = p.n_rows
    health, compliance = _blur(p.health, 1.2, rng), _blur(p.compliance, 1.2, rng)
    stress = _blur(p.stress, 1.4, rng)

    abnormal = draw_flag(rng, 0.015, 0.8 * stress - 0.9 * compliance)
    grade = _grade(compliance + 0.3 * health, p.age, abnormal, rng)
    in_arrears = draw_flag(rng, 0.04, 0.9 * stress - 0.7 * compliance)
    arrears = np.where(in_arrears, np.maximum(1.0, np.rint(30_000 * np.exp(1.5 * rng.standard_normal(n)))), 0.0)
    arrears = np.minimum(arrears, 5e6)

    revenue = 1e4 * p.revenue
    exempt = draw_flag(rng, 0.25, -1.2 * np.log(p.revenue))
    vat = np.where(exempt, 0.0, np.rint(np.minimum(0.025 * revenue * np.exp(0.8 * rng.standard_normal(n)), 2e7)))
    short = draw_flag(rng, 0.07, 0.9 * stress - 0.5 * compliance)
    ratio = np.where(short, rng.beta(4.0, 2.0, n), 1.0)
    vat_paid = np.floor(vat * ratio)
    taxable = health + 0.8 * rng.standard_normal(n) > -0.126 * np.hypot(1.0, 0.8)
    cit = np.where(taxable, np.rint(np.minimum(0.01 * revenue * np.exp(rng.standard_normal(n)), 1e7)), 0.0)
    cit_paid = np.floor(cit * np.where(short & (rng.random(n) < 0.7), rng.beta(5.0, 2.0, n), 1.0))

    registered = np.floor(12.0 * p.age)
    run = _run_length(0.010 * np.exp(0.7 * stress - 0.5 * compliance), rng)
    continuous = np.minimum(np.minimum(run, registered), 240.0)
    lapsed = draw_flag(rng, 0.03, 1.0 * stress - 0.4 * compliance)
    cycle = np.where(rng.random(n) < 0.72, rng.integers(0, 32, n), rng.integers(0, 93, n))
    days = np.where(lapsed, rng.integers(93, 721, n), cycle).astype(np.float64)

    paid_share = np.divide(vat_paid, vat, out=np.full(n, np.nan), where=vat > 0)
    effect = (
        _GRADE_EFFECT[grade.astype(np.int64)]
        + 1.5 * abnormal
        + 0.9 * in_arrears
        + 0.10 * np.log(np.maximum(arrears, 1e4) / 1e4)
        - 0.15 * (np.log1p(vat_paid) - 9.0) * ~exempt
        - 1.5 * (np.nan_to_num(paid_share, nan=1.0) - 1.0)
        - 0.5 * taxable
        - 0.12 * (np.log1p(cit_paid) - 9.0) * taxable
        - 0.02 * np.minimum(continuous, 36.0)
        + np.minimum(0.008 * np.maximum(days - 100.0, 0.0), 1.5)
    )
    columns = {
        "tax_grade": _hide(grade, 0.01, rng),
        "abnormal_taxpayer": abnormal.astype(np.float64),
        "in_arrears": in_arrears.astype(np.float64),
        "arrears_amount": arrears,
        "vat_payable_12m": vat,
        "vat_paid_12m": vat_paid,
        "vat_paid_ratio": paid_share,
        "cit_payable_12m": cit,
        "cit_paid_12m": cit_paid,
        "continuous_months": continuous,
        "days_since_payment": _hide(days, 0.02, rng),
        "registered_months": registered,
    }
    return View(columns, np.asarray(rng.random(n) < 0.98), effect)


def draw_social_insurance(population: Population, streams: Streams) -> View:
    """Social insurance: a row for 80 of 100 enterprises, fewer of the small and of the stressed."""
    p, rng = population, streams.stream("social_insurance")
    n = p.n_rows
    health, stress = _blur(p.health, 1.0, rng), _blur(p.stress, 0.9, rng)
    present = draw_flag(rng, 0.80, 0.8 * p.size - 0.5 * p.stress)

    ceiling = np.floor(1.1 * p.employees)
    insured = np.clip(np.rint(0.9 * p.employees * np.exp(0.25 * rng.standard_normal(n))), 1.0, ceiling)
    trend = _trend(stress, p.shock, 0.15, rng)
    average = np.maximum(np.round(insured / trend, 1), 0.5)
    trend = insured / average
    medical = np.clip(np.rint(insured * np.exp(0.05 * rng.standard_normal(n))), 1.0, ceiling)
    run = _run_length(0.010 * np.exp(0.8 * stress), rng)
    continuous = np.minimum(np.minimum(run, np.floor(12.0 * p.age)), 240.0)
    in_arrears = draw_flag(rng, 0.04, 1.1 * stress)
    wage = np.clip(5_000 * np.exp(0.35 * _blur(health, 0.9, rng) + 0.08 * p.size), 2_000, 30_000)

    effect = (
        -0.20 * (np.log(insured) - 2.2)
        + _trend_effect(trend, 1.8, 0.3, p)
        - 0.02 * np.minimum(continuous, 36.0)
        + 0.8 * in_arrears
        - 0.4 * np.log(wage / 5_000)
    )
    columns = {
        "insured_count": insured,
        "average_insured_12m": average,
        "headcount_trend": trend,
        "continuous_months": continuous,
        "in_arrears": in_arrears.astype(np.float64),
        "wage_base": _hide(np.rint(wage), 0.04, rng, 0.8 * p.stress),
        "medical_insured_count": _hide(medical, 0.08, rng),
    }
    return View(columns, present, np.where(present, effect, 0.1))


def draw_housing_fund(population: Population, streams: Streams) -> View:
    """Housing fund: a row for 55 of 100 enterprises; its absence alone says something."""
    p, rng = population, streams.stream("housing_fund")
    n = p.n_rows
    stress = _blur(p.stress, 0.8, rng)
    present = draw_flag(rng, 0.55, 1.1 * p.size - 0.4 * p.stress)
    ratio = np.array([5.0, 6.0, 7.0, 8.0, 10.0, 12.0])[rng.choice(6, n, p=[0.45, 0.05, 0.05, 0.20, 0.05, 0.20])]
    contributors = np.maximum(1.0, np.rint(p.employees * rng.uniform(0.5, 1.0, n)))
    trend = _trend(stress, p.shock, 0.17, rng)
    late = draw_flag(rng, 0.20, 0.8 * stress)
    months = np.minimum(np.where(late, rng.integers(0, 12, n), 12), np.floor(12.0 * p.age))
    days = np.minimum(
        rng.integers(0, 32, n) + np.where(late & (rng.random(n) < 0.3), rng.exponential(120.0, n), 0), 720
    )
    years = np.maximum(p.age - rng.exponential(1.5, n), 0.0)
    effect = (
        -0.04 * (ratio - 7.0)
        - 0.12 * (np.log(contributors) - 1.9)
        + _trend_effect(trend, 1.0, 0.0, p)
        - 0.08 * (months - 12.0)
        + 0.006 * np.maximum(days - 62.0, 0.0)
        - 0.04 * np.minimum(years, 10.0)
    )
    columns = {
        "contribution_ratio": ratio,
        "contributors": contributors,
        "headcount_trend": trend,
        "continuous_months_12m": months,
        "days_since_payment": np.floor(days),
        "registered_years": years,
    }
    return View(columns, present, np.where(present, effect - 0.3, 0.3))


def draw_electricity(population: Population, streams: Streams) -> View:
    """Electricity: an account of its own for 85 of 100 enterprises; three averages of one monthly series."""
    p, rng = population, streams.stream("electricity")
    n = p.n_rows
    stress = _blur(p.stress, 0.8, rng)
    median = np.array([12_000.0, 1_800.0, 2_500.0, 1_500.0, 4_000.0, 2_200.0, 1_800.0])[p.industry]
    level = np.clip(median * np.exp(0.7 * p.size + 0.85 * rng.standard_normal(n)), 50.0, 2e6)
    slope = p.shock - 0.10 * stress + 0.12 * rng.standard_normal(n)
    stopped = draw_flag(rng, 0.03, 1.2 * stress)
    total = {3: np.zeros(n), 6: np.zeros(n), 12: np.zeros(n)}
    for back in range(12):
        amount = level * np.exp(slope * (1.0 - back / 5.5) + 0.15 * rng.standard_normal(n))
        amount = np.rint(np.where(stopped & (back < 3), 0.02 * amount, amount))
        for months, running in total.items():
            if back < months:
                running += amount
    average = {months: running / months for months, running in total.items()}
    trend = np.clip(np.divide(average[3], average[12], out=np.ones(n), where=average[12] > 0), 0.0, 3.0)
    in_arrears = draw_flag(rng, 0.04, 1.0 * stress)
    years = np.minimum(p.age, rng.exponential(6.0, n))
    effect = (
        -0.10 * (np.log1p(average[12]) - 8.0)
        + _trend_effect(np.maximum(trend, 0.3), 1.2, 0.0, p)
        + 0.8 * stopped
        + 0.8 * in_arrears
        - 0.04 * np.minimum(years, 10.0)
    )
    columns = {
        "average_12m": average[12],
        "average_6m": average[6],
        "average_3m": average[3],
        "trend": trend,
        "in_arrears": in_arrears.astype(np.float64),
        "account_years": years,
    }
    present = np.asarray(rng.random(n) < 0.85)
    return View(columns, present, np.where(present, effect, 0.0))


def _blur(trait: F64, noise: float, rng: np.random.Generator) -> F64:
    """A party's own look at a trait: standardised, with `noise` standard deviations of its own."""
    return np.asarray((trait + noise * rng.standard_normal(trait.size)) / np.hypot(1.0, noise))


def _hide(values: F64, rate: float, rng: np.random.Generator, score: F64 | None = None) -> F64:
    """`values` with about `rate` of them missing, more often where `score` is high."""
    missing = rng.random(values.size) < rate if score is None else draw_flag(rng, rate, score)
    return np.where(missing, np.nan, values)


def _grade(quality: F64, age: F64, abnormal: Flags, rng: np.random.Generator) -> F64:
    """A 15 %, B 43 %, M 27 % (only firms younger than 3 years), C 10 %, D 5 %; D wherever abnormal."""
    grade = np.full(quality.size, float(GRADES["B"]))
    cuts = np.quantile(quality, [0.065, 0.20, 0.795])
    grade[quality < cuts[1]] = GRADES["C"]
    grade[quality < cuts[0]] = GRADES["D"]
    grade[(quality > cuts[2]) & (age >= 3.0)] = GRADES["A"]
    grade[(age < 3.0) & (grade == GRADES["B"]) & (rng.random(age.size) < 0.93)] = GRADES["M"]
    grade[abnormal] = GRADES["D"]
    return grade


def _run_length(hazard: F64, rng: np.random.Generator) -> F64:
    """Months since the last break, for a monthly `hazard` of one."""
    return np.asarray(np.floor(rng.exponential(1.0, hazard.size) / np.minimum(hazard, 0.5)))


def _trend(stress: F64, shock: F64, sigma: float, rng: np.random.Generator) -> F64:
    """A ratio of now to the past year: around 1, with a left tail of 5 % that the stressed fall into more often."""
    log = shock - 0.05 * stress + sigma * rng.standard_normal(stress.size)
    falling = draw_flag(rng, 0.05, 0.9 * stress)
    return np.clip(np.exp(log - np.where(falling, rng.uniform(0.3, 1.0, stress.size), 0.0)), 0.2, 2.0)


def _trend_effect(trend: F64, below: float, above: float, population: Population) -> F64:
    """Log-odds per unit below and above 1; half as much again once the regime has changed."""
    effect = below * np.maximum(1.0 - trend, 0.0) - above * np.maximum(trend - 1.0, 0.0)
    return np.asarray(effect * np.where(population.month >= REGIME_CHANGE, 1.5, 1.0))
