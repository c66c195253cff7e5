"""The bank: who gets a loan, on which terms, what the bank sees of its borrowers, and who defaults.

Labels are selected: only borrowers have one, and approval looks at the tax grade, age and size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from fedcredit.synth.departments import View
from fedcredit.synth.population import F64, REGIME_CHANGE, Flags, Population, Streams, calibrate, draw_flag, logistic

__all__ = ["BORROWER_SHARE", "default_log_odds", "draw_bank"]

BORROWER_SHARE: Final = 0.75  # of the enterprises in the pool; the rest were declined or bank elsewhere
_INDUSTRY_EFFECT: Final = np.array([0.0, 0.1, 0.3, 0.0, 0.35, 0.0, 0.0])
_APPROVAL: Final = np.array([0.5, 0.2, 0.0, -0.5, -1.2])  # by tax grade A, B, M, C, D
_WEIGHT: Final = 0.55  # of the sum of effects: features share causes, so their effects do not simply add up
_FIRST_YEAR: Final = 2023


def draw_bank(population: Population, views: Sequence[View], streams: Streams, default_rate: float) -> View:
    """The bank's view, with the label `default_12m` at about `default_rate` among its borrowers.

    `views` are the departments' views; the first is the tax bureau's, whose grade approval looks at. The bank's own
    effects count as theirs do.
    """
    p, rng = population, streams.stream("bank")
    n = p.n_rows
    grade = views[0].columns["tax_grade"]
    approval = np.append(_APPROVAL, 0.0)[np.nan_to_num(grade, nan=5.0).astype(np.int64)]
    present = draw_flag(rng, BORROWER_SHARE, 0.8 * approval + 0.03 * np.minimum(p.age, 15.0) + 0.25 * p.size)

    health = (p.health + 0.8 * rng.standard_normal(n)) / np.hypot(1.0, 0.8)
    stress = (p.stress + 0.8 * rng.standard_normal(n)) / np.hypot(1.0, 0.8)
    revenue = np.maximum(1.0, np.rint(p.revenue * np.exp(0.12 + 0.2 * rng.standard_normal(n))))
    share = np.clip(np.exp(-1.6 + 0.5 * rng.standard_normal(n) + 0.15 * stress), 0.02, 1.5)
    amount = np.clip(np.rint(share * revenue), 1.0, 3_000.0)
    term = np.array([6.0, 12.0, 24.0, 36.0, 60.0])[rng.choice(5, n, p=[0.12, 0.48, 0.20, 0.15, 0.05])]
    collateral = rng.choice(4, n, p=[0.38, 0.27, 0.28, 0.07])
    rate = 4.35 + np.array([0.6, 0.3, 0.0, 0.1])[collateral] - 0.25 * health + 0.35 * rng.standard_normal(n)
    rate = np.clip(rate, 3.0, 9.0)
    relationship = np.minimum(p.age, rng.exponential(3.0, n))
    balance = np.rint(1e4 * revenue / 40.0 * np.exp(0.9 * rng.standard_normal(n) - 0.35 * stress + 0.1 * health))
    late = np.minimum(rng.poisson(np.exp(-1.6 + 0.7 * stress)), 12).astype(np.float64)
    others = np.minimum(rng.poisson(np.exp(-0.4 + 0.35 * stress + 0.15 * p.size)), 12).astype(np.float64)

    effect = (
        _INDUSTRY_EFFECT[p.industry]
        - 0.04 * np.minimum(p.age, 10.0)
        + 0.5 * np.minimum(late, 4.0)
        + 0.2 * np.minimum(others, 5.0)
        + 0.8 * np.minimum(amount / revenue, 1.0)
        - 0.25 * (np.log1p(balance) - 11.0)
        + np.array([0.4, 0.15, -0.45, -0.3])[collateral]
        + 0.01 * (term - 18.0)
        - 0.03 * np.minimum(relationship, 8.0)
    )
    total = effect + sum((view.effect for view in views), np.zeros(n))
    default = _draw_default(p, total, present, default_rate, rng)

    columns = {
        "default_12m": default.astype(np.float64),
        "observation_month": (_FIRST_YEAR + p.month // 12) * 100.0 + p.month % 12 + 1.0,
        "industry": _missing(p.industry.astype(np.float64), 0.01, rng),
        "firm_age_years": p.age,
        "stated_employees": np.rint(np.maximum(p.employees * np.exp(0.1 * rng.standard_normal(n)), 1.0)),
        "stated_revenue": _missing(revenue, 0.06, rng),
        "loan_amount": amount,
        "term_months": term,
        "interest_rate": rate,
        "collateral": collateral.astype(np.float64),
        "relationship_years": relationship,
        "average_balance": _missing(balance, 0.03, rng),
        "late_payments_24m": late,
        "other_lenders": _missing(others, 0.02, rng),
    }
    return View(columns, present, effect)


def default_log_odds(population: Population, effects: F64, rng: np.random.Generator) -> F64:
    """Log-odds of default up to a constant: what parties' columns say, what only the traits do, and what nobody sees.

    Shapes: effects, the sum over views, and the result (n,).
    """
    p = population
    logit = _WEIGHT * effects - 0.35 * p.health + 0.45 * p.stress + 0.5 * rng.standard_normal(p.n_rows)
    logit += np.where(p.month >= REGIME_CHANGE, np.log(1.4), 0.0)
    return np.asarray(logit)


def _draw_default(p: Population, effects: F64, borrower: Flags, rate: float, rng: np.random.Generator) -> Flags:
    logit = default_log_odds(p, effects, rng)
    return np.asarray(rng.random(p.n_rows) < logistic(logit + calibrate(logit[borrower], rate)))


def _missing(values: F64, rate: float, rng: np.random.Generator) -> F64:
    return np.where(rng.random(values.size) < rate, np.nan, values)
