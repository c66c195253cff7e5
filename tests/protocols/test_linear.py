"""Joint logistic regression: the coefficients of the centralised fit, in any order of delivery, and bad messages."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import rlwe_stand_in
from credit_tables import woe_columns
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from linear_cases import BANK, PARTIES, POWER, TAX, WATER, Case, assert_like_centralised, joined, play, replace
from scipy.optimize import minimize
from scipy.special import expit

from fedcredit.credit.fourier import ERROR_PROBABILITY, REACH
from fedcredit.credit.glm import fit_logistic
from fedcredit.credit.metrics import auc
from fedcredit.crypto import rlwe
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import ConfigError, DataError, PeerError
from fedcredit.governance.leakage import PublicJob, PublicModel, leakage_of, roles_of, statement_of
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.linear import LinearFeature, LinearLabel, LinearPartner, LinearShape
from fedcredit.protocols.linear.curves import ask_curve, curve_noise, serve_curve
from fedcredit.protocols.linear.fixed import centred, multiplied, scores_to_shares
from fedcredit.protocols.linear.rlwe_keys import RlweOwnKey, RlwePeerKey
from fedcredit.transport.memory import run_network
from fedcredit.wire import linear as wire
from fedcredit.wire.encryption import Encrypted, EncryptionKey

ENCRYPTED = {
    "two parties": Case((2, 3)),
    "four parties, weights, offset": Case((1, 2, 1, 2), weighted=True),
}
PLAIN = {
    **ENCRYPTED,
    "no columns of the label party": Case((0, 3, 2)),
    "a partner without columns": Case((2, 0, 3)),
    "nobody has columns": Case((0, 0)),
    "a penalty": Case((2, 3, 1), weighted=True, l2=30.0),
    "a penalty decides between equal columns": Case((2, 2), l2=1.0),
    "one column each": Case((1, 1, 1, 1), n=1000, seed=3),
    "few rows": Case((2, 2), n=100, seed=5),
}
PLAIN["a penalty decides between equal columns"].X[:, 3] = PLAIN["a penalty decides between equal columns"].X[:, 0]


@pytest.mark.parametrize("name", ["two parties", pytest.param("four parties, weights, offset", marks=pytest.mark.slow)])
def test_under_encryption_the_fit_is_the_centralised_one(name: str) -> None:
    case = ENCRYPTED[name]
    assert_like_centralised(play(case), case.centralised())


@pytest.mark.parametrize("name", PLAIN)
def test_the_fit_is_the_centralised_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rlwe_stand_in.use(monkeypatch)
    case = PLAIN[name]
    assert_like_centralised(play(case), case.centralised())


def test_the_stand_in_gives_the_numbers_of_the_encryption(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arithmetic modulo t is exact, so what the other tests show holds under encryption to the last bit."""
    case = Case((1, 2), n=200)
    encrypted = play(case)
    rlwe_stand_in.use(monkeypatch)
    plain = play(case)
    for what in ("values", "standard_errors"):
        assert np.array_equal(joined(encrypted, what), joined(plain, what))
    assert encrypted.results[BANK].log_likelihood == plain.results[BANK].log_likelihood


def test_without_inference_there_are_coefficients_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rlwe_stand_in.use(monkeypatch)
    case = Case((20, 25), n=1000)
    outcome = play(case, inference=False)
    fit = case.centralised()
    assert joined(outcome, "values") == pytest.approx(fit.estimates.values, abs=1e-3)
    assert np.isnan(joined(outcome, "standard_errors")).all()
    assert outcome.results[BANK].information.size == 0
    assert outcome.results[BANK].log_likelihood == pytest.approx(fit.log_likelihood, rel=1e-4)
    assert not [name for *_, name, _ in outcome.traffic if name == "StandardErrors"]


def test_the_information_matrix_is_that_of_columns_put_to_one_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    rlwe_stand_in.use(monkeypatch)
    case = Case((2, 1, 2), weighted=True)
    found = play(case).results[BANK]
    fit = case.centralised()
    scaled = np.column_stack([np.ones(case.n), (case.X - case.X.mean(axis=0)) / case.X.std(axis=0)])
    p = expit(fit.log_odds(case.X, case.offset))
    assert found.information == pytest.approx(scaled.T @ (scaled * (case.weights * p * (1 - p))[:, None]), abs=1e-2)
    assert found.columns == {BANK: 2, TAX: 1, WATER: 2}


def bounded(case: Case, sign: int) -> tuple[np.ndarray, np.ndarray]:
    """Scipy's minimum of the pooled table under bounds, on columns put to one scale."""
    mean, spread = case.X.mean(axis=0), case.X.std(axis=0)
    design = np.column_stack([np.ones(case.n), (case.X - mean) / spread])
    s = np.ones(case.n) if case.weights is None else case.weights
    offset = np.zeros(case.n) if case.offset is None else case.offset
    penalty = np.concatenate([[0.0], case.l2 / spread**2])

    def value(b: np.ndarray) -> tuple[float, np.ndarray]:
        z = offset + design @ b
        slope = design.T @ (s * (expit(z) - case.y)) + penalty * b
        return float(s @ (np.logaddexp(0, z) - case.y * z) + penalty @ b**2 / 2), slope

    bounds = [(None, None), *([(0 if sign > 0 else None, 0 if sign < 0 else None)] * (design.shape[1] - 1))]
    how = {"ftol": 1e-15, "gtol": 1e-7, "maxiter": 2000}
    found = minimize(value, np.zeros(design.shape[1]), jac=True, bounds=bounds, method="L-BFGS-B", options=how).x
    return np.concatenate([[found[0] - found[1:] @ (mean / spread)], found[1:] / spread]), found == 0


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(
    ("widths", "seed", "more"),
    [((2, 3), 0, {}), ((1, 2, 1, 2), 2, {"weighted": True, "l2": 5.0}), ((0, 4, 3), 3, {}), ((4, 0, 3), 4, {})],
)
def test_fixed_signs_give_the_constrained_fit(
    widths: tuple[int, ...], seed: int, more: dict[str, Any], sign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rlwe_stand_in.use(monkeypatch)
    case = Case(widths, seed=seed, **more)
    outcome = play(case, sign=sign)
    values, held = bounded(case, sign)
    assert joined(outcome, "values") == pytest.approx(values, rel=1e-3, abs=1e-3)
    label = outcome.results[BANK]
    assert held.any()
    assert np.array_equal(label.held, held)
    fits = [outcome.results[party] for party in PARTIES[1 : len(widths)]]
    theirs = np.concatenate([fit.held for fit in fits])
    assert np.array_equal(theirs, held[1 + widths[0] :])
    # A held one has no error, and the others have those of a table without it.
    errors = joined(outcome, "standard_errors")
    assert np.array_equal(np.isnan(errors), held)
    free = ~held[1:]
    without = fit_logistic(case.X[:, free], case.y, weights=case.weights, offset=case.offset, l2=case.l2)
    assert errors[~held] == pytest.approx(without.estimates.standard_errors, rel=1e-3)
    assert label.log_likelihood == pytest.approx(without.log_likelihood, rel=1e-4)
    assert label.aic == pytest.approx(without.aic, rel=1e-4)


def test_a_column_that_was_held_comes_back_when_another_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two columns that both lean on a third: alone one of them would be on the wrong side, but not in its absence."""
    rlwe_stand_in.use(monkeypatch)
    rng = np.random.default_rng(11)
    for seed in range(40):
        case = Case((2, 2, 2), n=400, seed=seed)
        common = rng.normal(size=(case.n, 2))
        case.X = common @ rng.normal(size=(2, 6)) + 0.4 * rng.normal(size=(case.n, 6))
        case.y = (rng.random(case.n) < expit(case.X @ rng.normal(size=6) * 0.5 - 0.5)).astype(np.uint8)
        outcome = play(case, sign=-1)
        values, _ = bounded(case, -1)
        assert joined(outcome, "values") == pytest.approx(values, rel=1e-3, abs=1e-3)
        flips = [name for *_, name, _ in outcome.traffic if name == "LinearSigns"]
        if len(flips) > 2 * 2 * 2:
            return
    raise AssertionError("no case had coefficients change twice")


def test_signs_that_keep_the_conditions_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rlwe_stand_in.use(monkeypatch)
    tampers = {
        "told": replace(wire.LinearSigns, 0, lambda m: wire.LinearSigns(np.zeros(1, np.uint8)), TAX),
        "changed": replace(wire.LinearSigns, 0, lambda m: wire.LinearSigns(1 - m.columns), BANK),
    }
    for name, culprit in (("told", TAX), ("changed", BANK)):
        with pytest.raises(PeerError) as caught:
            play(Case((1, 2, 1), n=160, seed=4), sign=1, tamper=tampers[name])
        assert (caught.value.culprit, caught.value.code) == (culprit, "SHAPE")


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize(("folder", "widths"), [("default_credit", (13, 10)), ("sba", (6, 3)), ("sba", (6, 2, 1))])
def test_real_records_give_the_centralised_model(folder: str, widths: tuple[int, ...]) -> None:
    columns, y = woe_columns(folder)
    case = Case(widths)
    case.X, case.y, case.n = np.stack(list(columns.values()), axis=1), y, y.size
    outcome, fit = play(case), case.centralised()
    assert joined(outcome, "values") == pytest.approx(fit.estimates.values, rel=1e-3, abs=1e-3)
    assert joined(outcome, "p_values") == pytest.approx(fit.estimates.p_values, abs=1e-3)
    b = joined(outcome, "values")
    assert auc(y, b[0] + case.X @ b[1:]) == pytest.approx(auc(y, fit.log_odds(case.X)), abs=1e-3)
    # What docs/protocols/linear.md says.
    assert joined(outcome, "values") == pytest.approx(fit.estimates.values, abs=2e-4)
    assert outcome.results[BANK].gradients <= 20


@pytest.mark.parametrize("bits", [20, 26, 32])
def test_the_shared_probability_is_off_by_what_is_said(bits: int) -> None:
    """The series is off by 3.1e-6 at most; rounding adds noise of a known size that no row shares with another."""
    n = 20_000
    rng = np.random.default_rng(0)
    z = rng.uniform(-REACH, REACH, n)
    shape, other = LinearShape(BANK, (TAX,), n), rlwe.masks(insecure_seeded(1), n)
    own = RlweOwnKey(shape, rlwe_stand_in.SecretKey(), insecure_seeded(2))
    key = RlwePeerKey(shape, BANK, rlwe_stand_in.PublicKey(), insecure_seeded(3))
    roles: dict[PartyId, Steps[Any]] = {
        BANK: ask_curve(shape, own, "probability", bits, other, np.ones(n)),
        TAX: serve_curve(shape, key, "probability", bits, centred(scores_to_shares(z) - other)),
    }
    with pytest.MonkeyPatch.context() as patch:
        rlwe_stand_in.use(patch)
        shares = run_network(roles, insecure_in_process=True).results
    found = np.ldexp(centred(shares[BANK] + shares[TAX]).astype(float), -bits) + 0.5
    error = found - expit(z)
    noise = curve_noise(bits)
    assert np.abs(error).max() < ERROR_PROBABILITY + 6 * noise
    assert 0.8 * noise < error.std() < 1.2 * np.hypot(noise, ERROR_PROBABILITY)
    assert abs(error.mean()) < 5 * np.hypot(noise, ERROR_PROBABILITY) / np.sqrt(n)


@given(data=st.data())
@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_order_of_delivery_gives_the_same_model_and_messages(
    data: st.DataObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    rlwe_stand_in.use(monkeypatch)
    case = Case((1, 1, 1), n=64)
    straight = play(case)
    shuffled = play(case, pick=lambda links: data.draw(st.sampled_from(links)))
    assert np.array_equal(joined(straight, "values"), joined(shuffled, "values"))
    assert sorted(straight.traffic) == sorted(shuffled.traffic)


@pytest.mark.parametrize("widths", [(2, 3), (1, 2, 1, 1)])
def test_small_windows_and_chunks_give_the_same_model(widths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a million rows need: every bulk message in many pieces, and a peer that takes one at a time."""
    rlwe_stand_in.use(monkeypatch)
    case = Case(widths, n=500)
    straight = play(case)
    monkeypatch.setattr("fedcredit.protocols.ciphertexts.MAX_CHUNK_BYTES", 1000)
    monkeypatch.setattr("fedcredit.protocols.linear.scores.MAX_CHUNK_WORDS", 90)
    monkeypatch.setattr("fedcredit.protocols.linear.shape.BATCH_NUMBERS", 1000)
    pieces = play(case, window_bytes=1)
    assert np.array_equal(joined(straight, "values"), joined(pieces, "values"))
    assert len(pieces.traffic) > 3 * len(straight.traffic)


def test_what_a_party_is_sent_depends_on_nobodys_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Same number of steps, same messages, whatever the labels: sizes say nothing. And masks hide what is returned."""
    rlwe_stand_in.use(monkeypatch)
    one, two = Case((1, 2), n=400, seed=1), Case((1, 2), n=400, seed=2)
    a, b = play(one), play(two)
    assert a.results[BANK].gradients == b.results[BANK].gradients
    names = [[(*row[:3], 0 if row[2] in ("ScoreRange", "LinearMove") else row[3]) for row in o.traffic] for o in (a, b)]
    assert [row for row in names[0] if row[2] != "Masked"] == [row for row in names[1] if row[2] != "Masked"]


def refusal(case: Case, **how: Any) -> str:
    with pytest.raises((DataError, ConfigError)) as error:
        play(case, **how)
    return error.value.code


def test_what_cannot_be_fitted_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rlwe_stand_in.use(monkeypatch)
    assert refusal(Case((21, 20), n=1000)) == "INFORMATION_TOO_LARGE"
    # Of each column a gradient has one sum, or with standard errors two: 20 rows for each.
    assert refusal(Case((1, 8), n=319)) == "ROWS_TOO_FEW"
    assert refusal(Case((1, 8), n=159), inference=False) == "ROWS_TOO_FEW"
    assert refusal(Case((1, 2), l2=1e9)) == "PENALTY_TOO_LARGE"
    assert refusal(Case((1, 2), l2=-1.0)) == "CONFIG_VALUE"
    constant, across, own, one, missing, far = (Case((1, 2)) for _ in range(6))
    constant.X[:, 2] = 3.0
    assert refusal(constant) == "COLUMN_CONSTANT"
    across.X[:, 2] = 2 * across.X[:, 0] + 1
    assert refusal(across) == "COLUMN_DEPENDENT"
    own.X[:, 2] = own.X[:, 1]
    assert refusal(own) == "COLUMN_DEPENDENT"
    one.y[:] = 1
    assert refusal(one) == "LABEL_ONE_CLASS"
    missing.X[3, 1] = np.nan
    assert refusal(missing) == "VALUE_INVALID"
    far.offset = np.full(far.n, 0.0)
    far.offset[0] = 40.0
    assert refusal(far) == "SCORES_TOO_LARGE"


def test_separable_labels_end_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    rlwe_stand_in.use(monkeypatch)
    case = Case((1, 2), n=300)
    case.y = (case.X[:, 1] > np.median(case.X[:, 1])).astype(np.uint8)
    assert refusal(case) in ("SCORES_TOO_LARGE", "NOT_CONVERGED")


def test_shapes_that_are_none_are_refused() -> None:
    for peers in ((), (BANK,), (TAX, TAX), tuple(PartyId(f"p{k}") for k in range(64))):
        with pytest.raises(ConfigError):
            LinearShape(BANK, peers, 100)
    for n in (0, wire.MAX_ROWS + 1):
        with pytest.raises(DataError) as error:
            LinearShape(BANK, (TAX,), n)
        assert error.value.code == "ROWS_TOO_MANY"
    with pytest.raises(ValueError):
        next(LinearFeature(LinearShape(BANK, (TAX,), 9), TAX, np.zeros((9, 1))).steps(insecure_seeded(0)))


def test_roles_say_what_they_reveal_and_a_job_that_has_them_lists_it() -> None:
    """No job runs this protocol yet; its table is there for the one that will."""
    job = PublicJob(
        platform=POWER,
        label_party=BANK,
        feature_parties=(TAX, WATER),
        models=(PublicModel(name="card", kind="linear"),),
    )
    roles = roles_of(job)
    assert {LinearLabel, LinearPartner, LinearFeature} <= set(roles)
    assert not [role for role in roles if "boosting" in role.__module__]
    ids = {row.id for row in leakage_of(job)}
    assert {"linear.model", "linear.moments", "linear.gradients", "linear.shares"} <= ids
    assert "linear.signs" not in ids
    fixed = dataclasses.replace(job, models=(PublicModel(name="card", kind="linear", fixed_signs=True),))
    assert "linear.signs" in {row.id for row in leakage_of(fixed)}
    assert not [name for name in ids if name.startswith("gbdt")]
    assert all(
        statement_of(getattr(wire, name)).reveals for name in wire.__all__ if isinstance(getattr(wire, name), type)
    )


F64, I64, U32 = np.float64, np.int64, np.uint32
BAD: dict[str, tuple[type[Any], int, Callable[[Any], Any], PartyId, str]] = {
    "other rows": (wire.LinearColumns, 0, lambda m: wire.LinearColumns(m.columns, m.rows + 1), TAX, "SHAPE"),
    "no key": (EncryptionKey, 0, lambda m: EncryptionKey(b"x"), BANK, "KEY_INVALID"),
    "no key of the partner": (EncryptionKey, 1, lambda m: EncryptionKey(b"x"), TAX, "KEY_INVALID"),
    "other parties": (
        wire.LinearTerms,
        0,
        lambda m: wire.LinearTerms(m.columns[:2].copy(), m.curvature, m.penalty),
        BANK,
        "SHAPE",
    ),
    "other columns": (
        wire.LinearTerms,
        1,
        lambda m: wire.LinearTerms(m.columns + U32(1), m.curvature, m.penalty),
        BANK,
        "SHAPE",
    ),
    "a move not due": (
        wire.LinearMove,
        0,
        lambda m: wire.LinearMove(3, m.size, m.on_s, m.on_hy),
        BANK,
        "UNEXPECTED_MESSAGE",
    ),
    "too many moves": (
        wire.LinearMove,
        2,
        lambda m: wire.LinearMove(0, m.size, np.ones(3), np.ones(3)),
        BANK,
        "SHAPE",
    ),
    "a step out of bounds": (
        wire.LinearMove,
        6,
        lambda m: wire.LinearMove(m.action, m.size, m.on_s + 1e8, m.on_hy + 1e8),
        BANK,
        "SHAPE",
    ),
    "another run": (Encrypted, 1, lambda m: Encrypted(m.first + 1, m.data), BANK, "SHAPE"),
    "bytes missing": (Encrypted, 0, lambda m: Encrypted(m.first, m.data[:-1]), TAX, "SHAPE"),
    "no ciphertexts": (
        Encrypted,
        0,
        lambda m: Encrypted(m.first, b"\x7f" * len(m.data)),
        BANK,
        "CIPHERTEXT_INVALID",
    ),
    "no answers": (
        Encrypted,
        0,
        lambda m: Encrypted(m.first, b"\x7f" * len(m.data)),
        TAX,
        "CIPHERTEXT_INVALID",
    ),
    "sums missing": (wire.Masked, 0, lambda m: wire.Masked(m.numbers[:-1].copy()), BANK, "SHAPE"),
    "sums missing of the partner": (wire.Masked, 0, lambda m: wire.Masked(m.numbers[:-1].copy()), TAX, "SHAPE"),
    "products missing": (wire.Products, 1, lambda m: wire.Products(m.numbers[:-1].copy()), WATER, "SHAPE"),
    "scores of other rows": (
        wire.ScoreShares,
        0,
        lambda m: wire.ScoreShares(m.first + 1, m.words),
        WATER,
        "SHAPE",
    ),
    "scores missing": (wire.ScoreShares, 1, lambda m: wire.ScoreShares(0, m.words[1:].copy()), WATER, "SHAPE"),
    "means missing": (wire.Centres, 0, lambda m: wire.Centres(m.shift, np.zeros(0)), TAX, "SHAPE"),
    "shares missing": (wire.ShareSums, 1, lambda m: wire.ShareSums(m.numbers[1:].copy()), TAX, "SHAPE"),
    "errors missing": (wire.StandardErrors, 0, lambda m: wire.StandardErrors(np.zeros(0)), BANK, "SHAPE"),
    "another kind": (wire.ScoreRange, 0, lambda m: wire.Products(np.zeros(1)), WATER, "UNEXPECTED_MESSAGE"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_peer_that_breaks_the_protocol_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rlwe_stand_in.use(monkeypatch)
    kind, number, make, culprit, code = BAD[name]
    with pytest.raises(PeerError) as caught:
        play(Case((1, 2, 1), n=160, seed=4), tamper=replace(kind, number, make, culprit))
    assert (caught.value.culprit, caught.value.code) == (culprit, code)


T = rlwe.PLAIN_MODULUS
numbers = st.integers(-T // 2, T // 2)


@given(a=st.lists(numbers, min_size=1, max_size=20), f=st.integers(-(2**40) + 1, 2**40 - 1))
def test_products_modulo_t_are_exact(a: list[int], f: int) -> None:
    found = multiplied(np.array(a), np.array(f))
    assert [int(x) % T for x in found] == [x * f % T for x in a]
    assert (np.abs(found) <= T // 2).all()
