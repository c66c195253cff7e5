"""A joint logistic regression on numeric columns is the fit of the pooled table."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from scorecard_cases import BANK, TAX, WATER, Columns, Kept, numbers

from fedcredit.credit.glm import fit_logistic
from fedcredit.credit.logistic_params import LogisticParams
from fedcredit.credit.metrics import rank_curve
from fedcredit.errors import ConfigError, DataError
from fedcredit.estimators import Federation, HeldOut, LogisticRegression
from fedcredit.estimators.logistic_part import LogisticPart
from fedcredit.ids import PartyId
from fedcredit.tables import Column
from fedcredit.transport.memory import MemoryNetwork

N, HELD = 2000, 700


def made(seed: int = 0) -> tuple[dict[PartyId, Columns], np.ndarray]:
    rng = np.random.default_rng(seed)
    size = N + HELD
    X = rng.normal(size=(size, 5)) * [1.0, 20.0, 0.01, 1.0, 3.0] + [0.0, 100.0, 0.5, -2.0, 0.0]
    z = -1.0 + X[:, 0] + 0.03 * (X[:, 1] - 100) - 60 * (X[:, 2] - 0.5) + 0.2 * X[:, 4]
    y = (rng.random(size) < 1 / (1 + np.exp(-z))).astype(np.uint8)
    X[rng.random(size) < 0.1, 3] = np.nan
    named = [numbers(name, X[:, j]) for j, name in enumerate(("own", "turnover", "ratio", "gone", "pressure"))]
    parties = {BANK: named[:1], TAX: named[1:4], WATER: named[4:]}
    return {party: {column.name: column for column in columns} for party, columns in parties.items()}, y


def taken(columns: Columns, at: slice) -> Columns:
    return {name: Column(name, c.kind, c.values[at], c.levels) for name, c in columns.items()}


def play(
    columns: dict[PartyId, Columns], y: np.ndarray, kept: dict[PartyId, Kept] | None = None, **params: Any
) -> dict[PartyId, LogisticRegression]:
    parties = tuple(columns)
    network = MemoryNetwork(parties, insecure_in_process=True)

    async def party(me: PartyId) -> LogisticRegression:
        federation = Federation(
            me=me,
            label_party=BANK,
            feature_parties=parties[1:],
            transport=network.transport(me),
            ssid=b"s" * 32,
            deadline_s=60,
            kept_secret=me.encode().ljust(32, b"."),
        )
        held = HeldOut(taken(columns[me], slice(N, None)), HELD, y[N:] if me == BANK else None)
        label = y[:N] if me == BANK else None
        more = {"run_stage": kept[me]} if kept else {}
        model = LogisticRegression(**params)
        return await model.fit(federation, taken(columns[me], slice(N)), label, n_rows=N, held_out=held, **more)

    async def everybody() -> list[LogisticRegression]:
        return await asyncio.gather(*(party(me) for me in parties))

    return dict(zip(parties, asyncio.run(everybody()), strict=True))


def pooled(columns: dict[PartyId, Columns], at: slice) -> np.ndarray:
    each = [column.values for of in columns.values() for column in of.values()]
    table = np.stack(each, axis=1)
    filled = np.where(np.isnan(table), np.nanmean(table[:N], axis=0), table)
    return filled[at]


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("standard_errors", [True, False])
def test_coefficients_are_those_of_the_pooled_table(parties: int, standard_errors: bool) -> None:
    columns, y = made()
    columns = dict(list(columns.items())[:parties])
    models = play(columns, y, standard_errors=standard_errors, l2=0.5)
    whole = pooled(columns, slice(N))
    mean, spread = whole.mean(axis=0), whole.std(axis=0)
    oracle = fit_logistic((whole - mean) / spread, y[:N], l2=0.5)
    found = [column for model in models.values() for column in model.part_.columns]
    size = oracle.estimates.standard_errors[1:]
    coefficients = np.array([column.coefficient for column in found]) * spread
    assert (np.abs(coefficients - oracle.coefficients) < 2e-3 * size).all()
    assert models[BANK].part_.intercept == pytest.approx(oracle.intercept, abs=1e-3)
    errors = [column.standard_error for column in found]
    if standard_errors:
        assert errors == pytest.approx(size / spread, rel=1e-3)
        assert models[BANK].fit_.z == pytest.approx(oracle.estimates.z[1:], rel=1e-3, abs=1e-3)
    else:
        assert errors == [None] * len(found)
    z = oracle.log_odds((pooled(columns, slice(N, None)) - mean) / spread)
    tally = models[BANK].tallies_["tally.test"]
    scores = np.concatenate([np.repeat(tally.scores, tally.counts[:, k]) for k in (0, 1)]).astype(float)
    told = rank_curve(np.repeat(np.array([0, 1], np.uint8), tally.counts.sum(axis=0)), -scores)
    assert told.auc == pytest.approx(rank_curve(y[N:], z).auc, abs=2e-3)
    assert LogisticPart.from_bytes(models[TAX].part_.to_bytes()) == models[TAX].part_


def test_what_a_party_says_of_its_range_is_no_row_s_value() -> None:
    columns, y = made()
    kept = {party: Kept() for party in columns}
    models = play(columns, y, kept)
    assert kept[TAX].made == ["logistic/fit", "logistic/tally.train", "logistic/tally.test"]
    assert models[BANK].tallies_["tally.test"].low % 50 == 0
    again = play(columns, y, {party: Kept(kept[party].states) for party in columns})
    assert {p: m.part_.to_bytes() for p, m in again.items()} == {p: m.part_.to_bytes() for p, m in models.items()}


@pytest.mark.parametrize(
    ("party", "column", "params", "code"),
    [
        (TAX, numbers("flat", np.ones(N + HELD)), {}, "COLUMN_CONSTANT"),
        (TAX, Column("town", "categorical", np.zeros(N + HELD), ("a",)), {}, "COLUMN_KIND"),
        (BANK, numbers("big", np.r_[np.inf, np.zeros(N + HELD - 1)]), {}, "VALUE_INFINITE"),
        (TAX, None, {"missing": "refuse"}, "VALUE_MISSING"),
        (BANK, None, {"weight": "nothing"}, "COLUMN_MISSING"),
    ],
)
def test_what_cannot_be_fitted_is_named(party: PartyId, column: Column | None, params: Any, code: str) -> None:
    columns, y = made()
    if column is not None:
        columns[party][column.name] = column
    with pytest.raises(DataError) as raised:
        play(columns, y, **params)
    assert raised.value.code == code


def test_parameters_are_checked_together() -> None:
    with pytest.raises(ConfigError) as raised:
        LogisticParams.from_mapping({"l3": 1, "missing": "zero", "standard_errors": 1, "pdo": "20"})
    found = {(problem.code, problem.where) for problem in raised.value.problems}
    assert found == {
        ("CONFIG_UNKNOWN_KEY", "l3"),
        ("CONFIG_VALUE", "missing"),
        ("CONFIG_TYPE", "standard_errors"),
        ("CONFIG_TYPE", "pdo"),
    }
    for values in ({"l2": -1}, {"n_bands": 1}, {"odds": 0}, {"weight": "w", "offset": "w"}):
        with pytest.raises(ConfigError):
            LogisticParams.from_mapping(values)
    params = LogisticParams(l2=3, weight="w")
    assert LogisticParams.from_mapping(params.to_mapping()) == params
    for damaged in (b"", b"[]", b'{"format": 1, "kind": "logistic"}'):
        with pytest.raises(DataError):
            LogisticPart.from_bytes(damaged)
