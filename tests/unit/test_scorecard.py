"""A joint scorecard is the one of the pooled table: columns, coefficients, points, the spread of scores."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scorecard_cases import BANK, TAX, WATER, Case, Kept, made, numbers, play

from fedcredit.credit.glm import fit_logistic
from fedcredit.credit.metrics import rank_curve, stability_index
from fedcredit.crypto.paillier_checks import insecure_profile
from fedcredit.errors import ConfigError, DataError, PeerError
from fedcredit.estimators import CardPart, Federation, Scorecard
from fedcredit.ids import PartyId
from fedcredit.tables import Column

Cards = dict[PartyId, Scorecard]


@pytest.fixture(scope="module")
def two() -> tuple[Case, Cards]:
    case = made(2)
    return case, play(case)


@pytest.fixture(scope="module")
def three() -> tuple[Case, Cards]:
    case = made(3)
    return case, play(case, max_features=10)


def pooled(case: Case, cards: Cards, *, held: bool = False) -> np.ndarray:
    """Weights of evidence of all columns in the card, in one place."""
    columns, n = (case.held, case.y_held.size) if held else (case.columns, case.y.size)
    return np.column_stack([cards[party].transform(columns[party], n) for party in case.parties])


def names(cards: Cards) -> dict[PartyId, list[str]]:
    return {party: [column.name for column in card.part_.columns] for party, card in cards.items()}


@pytest.mark.parametrize("which", ["two", "three"])
def test_coefficients_and_errors_are_those_of_the_pooled_table(which: str, request: pytest.FixtureRequest) -> None:
    case, cards = request.getfixturevalue(which)
    oracle = fit_logistic(pooled(case, cards), case.y)
    columns = [column for party in case.parties for column in cards[party].part_.columns]
    found = np.array([column.coefficient for column in columns])
    errors = np.array([column.standard_error for column in columns])
    fit = cards[BANK].outcome_.fit
    assert np.abs(np.concatenate([[fit.values[0]], found]) - oracle.estimates.values).max() < 2e-4
    assert np.allclose(errors, oracle.estimates.standard_errors[1:], rtol=1e-3)
    assert np.allclose(fit.z, oracle.estimates.z[1:], rtol=1e-3)
    assert fit.log_likelihood == pytest.approx(oracle.log_likelihood, rel=1e-5)
    # What the label party works out of z values and its matrix are the coefficients in units of spread.
    spread = pooled(case, cards).std(axis=0)
    assert np.allclose(fit.standardised, oracle.coefficients * spread, rtol=2e-3)


def test_useful_columns_stay_and_each_other_one_has_its_reason(two: tuple[Case, Cards]) -> None:
    _, cards = two
    assert names(cards) == {BANK: ["own"], TAX: ["turnover", "codes", "gone", "branch", "pressure"]}
    rows = {row["column"]: row for row in cards[BANK].outcome_.table.rows()}
    assert rows.keys() == {"own", "salary", *(f"tax.f{k}" for k in range(6))}
    assert {name for name, row in rows.items() if row["kept"]} == {"own", *(f"tax.f{k}" for k in (0, 1, 2, 3, 5))}
    assert rows["salary"]["rule"] == "iv"
    assert rows["tax.f4"]["rule"] == "iv"
    assert "one bin" in rows["tax.f4"]["why"]
    assert all(row["why"] and (row["rule"] == "p-value") == row["kept"] for row in rows.values())


def test_of_two_parties_with_one_column_the_better_one_stays(three: tuple[Case, Cards]) -> None:
    _, cards = three
    rows = {row["column"]: row for row in cards[BANK].outcome_.table.rows()}
    assert [rows[name]["kept"] for name in ("tax.f0", "water.f0", "water.f1")] == [True, False, True]
    assert rows["water.f0"]["rule"] == "correlation"
    assert "tax.f0" in rows["water.f0"]["why"]


@pytest.mark.parametrize("which", ["two", "three"])
@pytest.mark.parametrize("held", [False, True])
def test_the_spread_of_scores_is_that_of_all_points_in_one_place(
    which: str, held: bool, request: pytest.FixtureRequest
) -> None:
    case, cards = request.getfixturevalue(which)
    columns, y = (case.held, case.y_held) if held else (case.columns, case.y)
    total = np.zeros(y.size, np.int64)
    for party in case.parties:
        total += cards[party].part_.totals(cards[party].points(columns[party], y.size))
    tally = cards[BANK].outcome_.tallies["tally.test" if held else "tally.train"]
    assert tally.counts.sum(axis=0).tolist() == [np.sum(y == 0), np.sum(y == 1)]
    # Each party's points are rounded to whole steps on their own.
    off = tally.step / 2 * len(case.parties)
    for label in (0, 1):
        points, found = np.sort(total[y == label]), np.repeat(tally.scores, tally.counts[:, label])
        assert np.abs(points - found).max() <= off
    joint = rank_curve(y, -total.astype(float))
    scores = np.concatenate([np.repeat(tally.scores, tally.counts[:, label]) for label in (0, 1)])
    told = rank_curve(np.repeat(np.array([0, 1], np.uint8), tally.counts.sum(axis=0)), -scores.astype(float))
    assert told.auc == pytest.approx(joint.auc, abs=1e-3)
    assert told.ks == pytest.approx(joint.ks, abs=0.02)


def test_what_the_card_says_without_a_party(three: tuple[Case, Cards]) -> None:
    case, cards = three
    points = {p: cards[p].part_.totals(cards[p].points(case.held[p], case.y_held.size)) for p in case.parties}
    tallies = cards[BANK].outcome_.tallies
    left_out = {"tally.without.label": BANK, "tally.without.0": TAX, "tally.without.1": WATER}
    assert tallies.keys() == {"tally.train", "tally.test", *left_out}
    for phase, party in left_out.items():
        total = sum(points[other] for other in case.parties if other != party)
        tally = tallies[phase]
        for label in (0, 1):
            found = np.repeat(tally.scores, tally.counts[:, label])
            assert np.abs(np.sort(total[case.y_held == label]) - found).max() <= tally.step / 2 * 2


def test_points_are_a_log_odds_scale_and_reasons_the_largest_shortfalls(two: tuple[Case, Cards]) -> None:
    case, cards = two
    params = cards[BANK]._checked
    woe, n = pooled(case, cards), case.y.size
    columns = [column for party in case.parties for column in cards[party].part_.columns]
    intercept = float(cards[BANK].outcome_.fit.values[0])
    exact = params.scale.score(intercept + woe @ np.array([column.coefficient for column in columns]))
    total = sum(cards[p].part_.totals(cards[p].points(case.columns[p], n)) for p in case.parties)
    assert np.abs(exact - total).max() <= (len(columns) + 1) / 2 + 1e-9
    points = cards[TAX].points(case.columns[TAX], n)
    reasons = cards[TAX].reasons(case.columns[TAX], n)
    order = [column.name for column in cards[TAX].part_.columns]
    for row in range(0, n, 101):
        worst = [order[f] for f in np.argsort(points[row], kind="stable") if points[row, f] < 0][:4]
        assert reasons[row] == worst


def test_the_label_party_alone_has_a_card_by_the_same_rules(two: tuple[Case, Cards]) -> None:
    case, cards = two
    alone = cards[BANK].alone_
    assert alone is not None
    woe = cards[BANK].transform(case.columns[BANK], case.y.size)
    oracle = fit_logistic(woe, case.y)
    assert np.allclose(alone.fit.values, oracle.estimates.values)
    assert [column.name for column in alone.part.columns] == ["own"]
    assert alone.tallies == {}


def test_a_job_that_goes_on_makes_the_same_card_byte_for_byte() -> None:
    case = made(3, n=2000, n_held=600)
    whole = {party: Kept() for party in case.parties}
    parts = {party: card.part_.to_bytes() for party, card in play(case, kept=whole).items()}
    stages = whole[BANK].made
    assert [stage.partition("/")[2] for stage in stages if "counts" not in stage] == [
        *("declare", "bins", "figures", "moments", "fit.0"),
        *("tally.train", "tally.test", "tally.without.label", "tally.without.0", "tally.without.1"),
    ]
    for until in ("figures", "moments", "fit.0", "tally.test", "tally.without.1"):
        kept = {party: Kept(until=until) for party in case.parties}
        with pytest.raises(ConnectionError):
            play(case, kept=kept)
        again = {party: Kept(kept[party].states) for party in case.parties}
        cards = play(case, kept=again, epoch=1)
        assert {party: card.part_.to_bytes() for party, card in cards.items()} == parts
        assert not set(again[BANK].made) & set(kept[BANK].made)
        assert {p: again[p].states for p in case.parties} == {p: whole[p].states for p in case.parties}


@pytest.mark.slow
def test_under_paillier_the_card_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Binning with keys as they are, the fit with short ones: else it would take minutes."""
    monkeypatch.setattr("fedcredit.protocols.linear.paillier_keys.PROFILE", insecure_profile(1024))
    case = made(2, n=1000, n_held=200)
    onehot, paillier = (play(case, groupsum=how) for how in ("onehot", "paillier"))
    assert all(onehot[p].part_.to_bytes() == paillier[p].part_.to_bytes() for p in case.parties)


def test_weights_and_an_offset_are_those_of_the_pooled_fit() -> None:
    case = made(2)
    rng = np.random.default_rng(8)
    for columns, n in ((case.columns, case.y.size), (case.held, case.y_held.size)):
        columns[BANK]["w"] = numbers("w", rng.integers(1, 4, n))
        columns[BANK]["o"] = numbers("o", 0.3 * rng.normal(size=n))
    cards = play(case, weight="w", offset="o", l2=2.0)
    rows = case.columns[BANK]
    oracle = fit_logistic(pooled(case, cards), case.y, weights=rows["w"].values, offset=rows["o"].values, l2=2.0)
    found = [column.coefficient for party in case.parties for column in cards[party].part_.columns]
    assert np.abs(np.array(found) - oracle.coefficients).max() < 5e-4
    assert "w" not in {column.column.name for column in cards[BANK].columns_}


def turned(parties: int) -> Case:
    """At either side a column that alone says something, and beside a better one like it would say the opposite."""
    case = made(parties, n=4000, n_held=800)
    rng = np.random.default_rng(5)

    def labels(columns: dict[PartyId, dict[str, Column]]) -> np.ndarray:
        own, turnover = columns[BANK]["own"].values, columns[TAX]["turnover"].values
        noise = rng.normal(size=(2, own.size))
        shade, echo = turnover + 0.55 * own + 0.55 * noise[0], own + 0.55 * turnover + 0.55 * noise[1]
        columns[BANK]["shade"], columns[TAX]["echo"] = numbers("shade", shade), numbers("echo", echo)
        z = -1.1 - 1.3 * (own + turnover) + 0.35 * (shade + echo)
        return (rng.random(z.size) < 1 / (1 + np.exp(-z))).astype(np.uint8)

    return Case(case.columns, labels(case.columns), case.held, labels(case.held))


@pytest.mark.parametrize("parties", [2, 3])
def test_fixed_signs_give_the_constrained_fit_of_the_pooled_table(parties: int) -> None:
    case = turned(parties)
    open_ = {"max_correlation": 0.99, "max_inflation": 100, "stepwise": False}
    cards = play(case, signs="fixed", **open_)
    table = cards[BANK].outcome_.table
    held = [row for row in table.rows() if row["rule"] == "sign"]
    assert held
    assert all(not row["kept"] and "held at 0" in row["why"] for row in held)
    # Over the columns of the card and those that were held: scipy's minimum under bounds holds the same ones.
    fitted = {row["column"] for row in table.rows() if row["kept"] or row["rule"] == "sign"}
    chosen = [
        (party, column)
        for party in case.parties
        for f, column in enumerate(cards[party].columns_)
        if (column.column.name if party == BANK else f"{party}.f{f}") in fitted
    ]
    woe = np.column_stack(
        [c.bins.woe(c.bins.codes(case.columns[p][c.column.name].values)) for p, c in chosen if c.bins is not None]
    )
    found = minimize(
        negative_likelihood,
        np.zeros(woe.shape[1] + 1),
        (np.column_stack([np.ones(case.y.size), woe]), case.y),
        jac=True,
        bounds=[(None, None), *([(None, 0)] * woe.shape[1])],
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-7, "maxiter": 2000},
    ).x
    free = {column.name: column.coefficient for party in case.parties for column in cards[party].part_.columns}
    for (_, column), value in zip(chosen, found[1:].tolist(), strict=True):
        assert free.get(column.column.name, 0.0) == pytest.approx(value, rel=1e-3, abs=1e-3)
    assert np.count_nonzero(found[1:] == 0) == len(held)
    assert all(value < 0 for value in free.values())
    assert cards[BANK].outcome_.fit.held.sum() == 0
    # Dropping them one by one is the default, and here it gives a card with the same columns.
    dropped = play(case, **open_)
    assert names(dropped) == names(cards)
    assert dropped[BANK].outcome_.fits > cards[BANK].outcome_.fits


def negative_likelihood(b: np.ndarray, design: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    z = design @ b
    return float(np.sum(np.logaddexp(0, z) - y * z)), design.T @ (1 / (1 + np.exp(-z)) - y)


def test_stability_by_month_is_told_where_the_columns_are() -> None:
    case = made(2, n=2400, n_held=2400)
    months = np.repeat([202401.0, 202402.0, 202403.0, 202404.0], [800, 800, 780, 20])
    for columns, n in ((case.columns, 2400), (case.held, 2400)):
        columns[BANK]["month"] = numbers("month", months if columns is case.held else np.full(n, 202312.0))
        columns[TAX]["month"] = columns[BANK]["month"]
    late = months == 202403
    case.held[TAX]["turnover"].values[late] += 2.0
    case.held[BANK]["own"].values[months == 202402] -= 1.5
    cards = play(case, time="month", periods=5, period_scores=True, max_stability=10)
    assert {"month"}.isdisjoint({name for of in names(cards).values() for name in of})
    bank, tax = cards[BANK].periods_, cards[TAX].periods_
    assert set(bank) == {None, "own"}
    assert set(tax) == set(names(cards)[TAX])
    assert [(of.period, of.rows) for of in tax["turnover"]] == [
        ("202401", 800), ("202402", 800), ("202403", 780), ("202404", 20)
    ]  # fmt: skip
    assert [of.index is None for of in tax["turnover"]] == [False, False, False, True]
    first, second, third = (of.index or 0.0 for of in tax["turnover"][:3])
    assert max(first, second) < 0.1 < 1.0 < third
    calm, moved, third = (of.index or 0.0 for of in bank["own"][:3])
    assert max(calm, third) < 0.1 < 0.5 < moved
    # The total points are those of the rows in one place, but for the steps that each party's are rounded to.
    totals = [
        sum(cards[p].part_.totals(cards[p].points(of[p], 2400)) for p in case.parties)
        for of in (case.columns, case.held)
    ]
    edges = np.quantile(totals[0], np.linspace(0, 1, 11)[1:-1])
    counts = [
        np.bincount(np.searchsorted(edges, of), minlength=10)
        for of in (totals[0], *(totals[1][months == m] for m in np.unique(months)))
    ]
    for told, actual in zip(bank[None][:3], counts[1:], strict=False):
        assert told.index == pytest.approx(
            stability_index(counts[0].astype(float), actual.astype(float)), rel=0.3, abs=0.02
        )
    assert bank[None][3].index is None
    tallies = cards[BANK].outcome_.tallies
    assert [tallies[f"tally.period.{k}"].counts.sum() for k in range(5)] == [800, 800, 780, 0, 0]
    # Without being asked for, nothing of it is computed between parties.
    alone = play(case, time="month", max_stability=10)
    assert set(alone[BANK].periods_) == {"own"}
    assert not [phase for phase in alone[BANK].outcome_.tallies if "period" in phase]


def test_scores_by_month_take_a_column_of_months() -> None:
    with pytest.raises(DataError) as caught:
        play(made(2, n=1500, n_held=300), time="month", period_scores=True)
    assert caught.value.code == "COLUMN_MISSING"


def test_a_job_with_fixed_signs_goes_on_with_the_same_card() -> None:
    case, how = turned(2), {"max_correlation": 0.99, "max_inflation": 100, "signs": "fixed"}
    whole = {party: Kept() for party in case.parties}
    parts = {party: card.part_.to_bytes() for party, card in play(case, kept=whole, **how).items()}
    kept = {party: Kept(until="tally.train") for party in case.parties}
    with pytest.raises(ConnectionError):
        play(case, kept=kept, **how)
    again = {party: Kept(kept[party].states) for party in case.parties}
    cards = play(case, kept=again, epoch=1, **how)
    assert {party: card.part_.to_bytes() for party, card in cards.items()} == parts


def test_a_card_that_nobody_else_adds_to_is_the_label_partys_own() -> None:
    case = made(2)
    rng = np.random.default_rng(1)
    for columns, n in ((case.columns, case.y.size), (case.held, case.y_held.size)):
        columns[TAX] = {"noise": numbers("noise", rng.normal(size=n))}
    cards = play(case)
    assert cards[TAX].part_.columns == ()
    assert [column.name for column in cards[BANK].part_.columns] == ["own"]
    assert cards[BANK].outcome_.tallies == {}
    assert cards[BANK].part_.others == ()


def test_a_label_party_without_columns_has_the_base_points() -> None:
    case = made(2)
    case.columns[BANK], case.held[BANK] = {}, {}
    cards = play(case)
    assert cards[BANK].part_.columns == ()
    assert cards[BANK].alone_ is None
    oracle = fit_logistic(pooled(case, cards), case.y)
    assert cards[BANK].part_.intercept == pytest.approx(oracle.intercept, abs=2e-4)


def test_one_card_in_one_place_where_the_job_says_so() -> None:
    case = made(3, n=1500, n_held=300)
    cards = play(case, merged_card=True)
    parts = [CardPart.from_bytes(part) for part in cards[BANK].outcome_.parts]
    assert parts == [cards[TAX].part_, cards[WATER].part_]


@pytest.mark.parametrize(
    ("bend", "code"),
    [
        (lambda part: replace(part, model="another"), "CARD_PARTS_DIFFER"),
        (lambda part: replace(part, party=WATER), "CARD_PARTS_DIFFER"),
        (lambda part: replace(part, columns=part.columns[1:]), "CARD_PARTS_DIFFER"),
        (lambda part: replace(part, n_reasons=part.n_reasons + 1), "CARD_PARTS_DIFFER"),
        (lambda part: None, "MODEL_INVALID"),
    ],
)
def test_a_party_that_hands_over_what_is_no_part_of_the_card_is_named(
    bend: Callable[[CardPart], CardPart | None], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = CardPart.to_bytes

    def written(part: CardPart) -> bytes:
        bent = bend(part)
        return b"{}" if bent is None else honest(bent)

    monkeypatch.setattr(CardPart, "to_bytes", written)
    with pytest.raises(PeerError) as raised:
        play(made(2, n=1500, n_held=300), merged_card=True)
    assert (raised.value.culprit, raised.value.code) == (TAX, code)


def test_score_and_parameters_are_scikit_learns() -> None:
    case = made(2, n=1500, n_held=300)

    def score(card: Scorecard, federation: Federation) -> Awaitable[Any]:
        y = case.y_held if federation.me == BANK else None
        return card.score(federation, case.held[federation.me], y, n_rows=case.y_held.size)

    found = play(case, then=score)
    assert found[TAX] is None
    assert 0.6 < found[BANK] < 0.95
    card = Scorecard(max_bin=6, iv_min=0.05, groupsum="paillier")
    # Imported here: it takes a second, which each process that collects the tests would wait.
    from sklearn.base import clone

    again = clone(card)
    assert again is not card
    assert again.get_params() == card.get_params() == {"max_bin": 6, "iv_min": 0.05, "groupsum": "paillier"}
    assert card.set_params(max_bin=4).get_params()["max_bin"] == 4
    with pytest.raises(ConfigError):
        card.set_params(max_bins=4)


@pytest.mark.parametrize("which", ["two", "three"])
def test_probabilities_of_rows_go_to_the_label_party_alone(which: str, request: pytest.FixtureRequest) -> None:
    case, _ = request.getfixturevalue(which)

    async def predict(card: Scorecard, federation: Federation) -> Any:
        me = federation.me
        found = await card.predict_proba(federation, case.held[me], n_rows=case.y_held.size)
        return card, found

    results = play(case, then=predict)
    total = sum(
        card.part_.totals(card.points(case.held[party], case.y_held.size)) for party, (card, _) in results.items()
    )
    probability = results[BANK][1]
    assert probability.shape == (case.y_held.size, 2)
    assert np.allclose(probability.sum(axis=1), 1.0)
    assert np.allclose(probability[:, 1], results[BANK][0].part_.scale.probability(total.astype(float)))
    assert all(found is None for party, (_, found) in results.items() if party != BANK)


def refusal(case: Case, **params: Any) -> str:
    with pytest.raises(DataError) as raised:
        play(case, **params)
    return raised.value.code


def test_hard_columns_have_a_clear_error_or_go() -> None:
    case = made(2, n=1500, n_held=300)
    assert refusal(case, iv_min=5.0) == "NO_COLUMNS_LEFT"
    assert refusal(case, weight="nothing") == "COLUMN_MISSING"
    one_class = Case(case.columns, np.zeros_like(case.y), case.held, case.y_held)
    assert refusal(one_class) == "LABEL_ONE_CLASS"
    # A column that gives the label away has no finite coefficient: the band of information values keeps it out.
    case.columns[TAX]["label"] = numbers("label", case.y + 0.0)
    case.held[TAX]["label"] = numbers("label", case.y_held + 0.0)
    cards = play(case, iv_max=3.0)
    assert "label" not in names(cards)[TAX]


def test_over_few_rows_the_weakest_of_many_columns_have_no_bins() -> None:
    """Else the bad rows of all their bins would be as many equations as there are labels, in every job."""
    rng = np.random.default_rng(3)
    n = 800
    y = (rng.random(n) < 0.3).astype(np.uint8)
    tells = y + rng.normal(size=n)
    noise = {f"noise{k}": numbers(f"noise{k}", rng.normal(size=n)) for k in range(40)}
    case = Case(
        {BANK: {"own": numbers("own", y + rng.normal(size=n))}, TAX: {**noise, "tells": numbers("tells", tells)}}, y
    )
    cards = play(case, iv_max=9.0, iv_disclosure="exact")
    rows = {row["column"]: row for row in cards[BANK].outcome_.table.rows()}
    refused = [row for row in rows.values() if "BINS_TOO_MANY" in row["why"]]
    assert len(refused) > 10
    assert all(row["rule"] == "refused" and not row["kept"] for row in refused)
    assert "tells" in names(cards)[TAX]
    assert sum(column.bins - 1 for column in cards[BANK].binning_.foreign_ if column.refused is None) <= n // 20

    # With "coarse" noise takes no room, and its owner is told nothing of it.
    cards = play(case, iv_max=9.0)
    rows = {row["column"]: row for row in cards[BANK].outcome_.table.rows()}
    assert {row["rule"] for name, row in rows.items() if name.startswith("tax") and not row["kept"]} <= {"iv", "chance"}
    assert names(cards)[TAX] == ["tells"]
    of_noise = [column for column in cards[TAX].columns_ if column.column.name != "tells"]
    assert {(c.bins, c.refused, c.iv) for c in of_noise} == {(None, "BINS_NOT_TOLD", None)}
