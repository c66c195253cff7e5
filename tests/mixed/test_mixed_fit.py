"""Labels at several banks, columns at departments: the coefficients of the centralised fit of all rows."""

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
from mixed.mixed_cases import NORTH, SOUTH, TAX, WATER, WEST, Case, PlainAdding, joined, play
from scipy.optimize import minimize
from scipy.special import expit

from fedcredit.crypto import rlwe
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import ConfigError, DataError, PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.aggregate import agree
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.mixed import GroupToLeader, MixedShape, PooledMoments
from fedcredit.transport.memory import Outcome, run_network
from fedcredit.wire.linear import LinearColumns, LinearTerms, Masked
from fedcredit.wire.message import message_type
from fedcredit.wire.mixed import SCORE, STAND, BankMove

CASES = {
    "three banks, two departments": Case((2, 3)),
    "columns of the banks": Case((2, 1), own=2),
    "two banks, one department": Case((3,), own=1, n=(400, 150)),
    "three departments": Case((1, 2, 1), own=1),
    "a bank of few rows": Case((2, 2), own=1, n=(500, 60, 25)),
}


def assert_like_centralised(case: Case, outcome: Outcome, l2: float = 0.0) -> None:
    fit = case.centralised(l2)
    off = (joined(case, outcome, "values") - fit.estimates.values) / fit.estimates.standard_errors
    assert off == pytest.approx(0, abs=1e-3)
    assert joined(case, outcome, "standard_errors") == pytest.approx(fit.estimates.standard_errors, rel=1e-4)
    leader = outcome.results[case.banks[0]]
    assert leader.log_likelihood == pytest.approx(fit.log_likelihood, rel=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_the_fit_is_the_centralised_one_of_all_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rlwe_stand_in.use(monkeypatch)
    case = CASES[name]
    outcome = play(case)
    assert_like_centralised(case, outcome)
    # Other banks have the coefficients of the common columns.
    leader = outcome.results[case.banks[0]]
    spread = case.X[:, : case.own].std(axis=0)
    for bank in case.banks[1:]:
        assert outcome.results[bank][1:] / spread == pytest.approx(leader.estimates.values[1:])


def test_a_penalty_is_that_of_the_centralised_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    rlwe_stand_in.use(monkeypatch)
    case = CASES["columns of the banks"]
    assert_like_centralised(case, play(case, l2=20.0), 20.0)


def test_under_encryption_numbers_are_those_of_the_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case((2,), own=1, n=(120, 90, 60))
    encrypted = play(case)
    rlwe_stand_in.use(monkeypatch)
    plain = play(case)
    for what in ("values", "standard_errors"):
        assert np.array_equal(joined(case, encrypted, what), joined(case, plain, what))


def test_fixed_signs_give_the_constrained_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    rlwe_stand_in.use(monkeypatch)
    case = CASES["columns of the banks"]
    outcome = play(case, sign=-1)
    scaled = (case.X - case.X.mean(axis=0)) / case.X.std(axis=0)

    def loss(b: np.ndarray) -> float:
        z = b[0] + scaled @ b[1:]
        return float(np.logaddexp(0, z).sum() - case.y @ z)

    def slope(b: np.ndarray) -> np.ndarray:
        r = expit(b[0] + scaled @ b[1:]) - case.y
        return np.concatenate([[r.sum()], scaled.T @ r])

    start, bounds = np.zeros(1 + scaled.shape[1]), [(None, None)] + [(None, 0.0)] * scaled.shape[1]
    found = minimize(loss, start, jac=slope, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-14, "gtol": 1e-8})
    values = joined(case, outcome, "values")[1:] * case.X.std(axis=0)
    assert values == pytest.approx(found.x[1:], abs=1e-3)
    assert 0 < np.count_nonzero(values == 0) < values.size


def test_without_inference_there_are_coefficients_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rlwe_stand_in.use(monkeypatch)
    case = CASES["columns of the banks"]
    outcome, fit = play(case, inference=False), case.centralised()
    off = (joined(case, outcome, "values") - fit.estimates.values) / fit.estimates.standard_errors
    assert off == pytest.approx(0, abs=1e-2)
    assert outcome.results[NORTH].information.size == 0


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_order_of_delivery_gives_the_same(monkeypatch: pytest.MonkeyPatch, data: st.DataObject) -> None:
    rlwe_stand_in.use(monkeypatch)
    case = Case((1, 1), own=1, n=(90, 70, 60))
    first = play(case)
    choose = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    other = play(case, pick=lambda links: links[choose.integers(len(links))])
    for what in ("values", "standard_errors"):
        assert np.array_equal(joined(case, first, what), joined(case, other, what))


def test_under_masks_the_leader_sees_totals_and_all_come_to_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a job: sums of banks go under the masks of `protocols.aggregate`."""
    rlwe_stand_in.use(monkeypatch)
    case = Case((1, 1), own=1, n=(90, 70, 60))

    def agrees(bank: PartyId) -> Steps[Any]:
        return agree(bank, case.banks, b"s" * 32, insecure_seeded(3, bank))

    groups = run_network({bank: agrees(bank) for bank in case.banks}, insecure_in_process=True).results
    masked = play(case, adding=lambda bank: GroupToLeader(groups[bank], "fit"))
    plain = play(case)
    for what in ("values", "standard_errors"):
        assert np.array_equal(joined(case, masked, what), joined(case, plain, what))


def test_what_banks_add_up_is_uniform_but_for_their_total(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each bank's residues for departments are under masks of these, whatever its rows are."""
    rlwe_stand_in.use(monkeypatch)
    case = Case((2, 2), own=0)
    seen: list[np.ndarray] = []
    play(case, adding=lambda bank: PlainAdding(bank, case.banks, seen))
    # Gradients of one step: an intercept and four columns in two limbs each, from each of two other banks.
    gradients = np.concatenate([vector[2:] for vector in seen if vector.size == 2 * 5])
    residues = gradients % np.uint64(rlwe.PLAIN_MODULUS) / rlwe.PLAIN_MODULUS
    assert residues.size > 100
    assert np.histogram(residues, bins=4, range=(0, 1))[0].min() > residues.size / 8
    # And sizes of scores are random words or nothing.
    sizes = np.concatenate([vector for vector in seen if vector.size == 19])
    assert np.unique(sizes[sizes > 0]).size == np.count_nonzero(sizes)


def test_departments_get_sums_from_the_leader_and_the_partner_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rlwe_stand_in.use(monkeypatch)
    outcome = play(CASES["columns of the banks"])
    masked = {(sender, to) for sender, to, kind, _ in outcome.traffic if kind == "Masked"}
    assert {sender for sender, to in masked if to == WATER} == {NORTH, TAX}
    # WATER's other message of this kind is its share of the likelihood.
    assert {sender for sender, to in masked if to == TAX} == {NORTH, WATER}
    between = {(sender, to) for sender, to, _, _ in outcome.traffic if {sender, to} <= {SOUTH, WEST}}
    assert between == set()


def tampered(kind: type[Any], make: Callable[[Any], Any], sender: PartyId, number: int = 0) -> Callable[..., Any]:
    seen: list[int] = []

    def tamper(link: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        if link.sender == sender and message_type(tag) is kind:
            seen.append(tag)
            if len(seen) == number + 1:
                made = make(kind.decode(body))
                return type(made).tag, made.encode()
        return tag, body

    return tamper


BAD = {
    "coefficients of other columns": (NORTH, BankMove, lambda m: BankMove(SCORE, np.ones(9)), SOUTH),
    "an evaluation of nothing": (NORTH, BankMove, lambda m: BankMove(STAND, np.zeros(0)), SOUTH),
    "another number of departments": (NORTH, LinearTerms, lambda m: dataclasses.replace(m, columns=m.columns[:2]), TAX),
    "rows of other banks": (TAX, LinearColumns, lambda m: dataclasses.replace(m, rows=m.rows - 1), NORTH),
    "other sums": (TAX, Masked, lambda m: Masked(m.numbers[:-1]), None),
}


@pytest.mark.parametrize("name", BAD)
def test_who_deviates_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rlwe_stand_in.use(monkeypatch)
    sender, kind, make, _ = BAD[name]
    with pytest.raises(PeerError) as raised:
        play(CASES["columns of the banks"], tamper=tampered(kind, make, sender))
    assert raised.value.culprit == sender


def test_what_is_no_frame_is_refused() -> None:
    banks, peers = (NORTH, SOUTH), (TAX,)
    with pytest.raises(ConfigError, match="at one party alone"):
        MixedShape((NORTH,), peers, {NORTH: 5}, 5)
    with pytest.raises(ConfigError, match="rows"):
        MixedShape(banks, peers, {NORTH: 5}, 4)
    with pytest.raises(ConfigError, match="rows"):
        MixedShape(banks, peers, {WEST: 5}, 9)
    with pytest.raises(ValueError, match="knows the rows of all banks"):
        MixedShape(banks, peers, {NORTH: 5}, 9).slices()
    with pytest.raises(DataError, match="one value only"):
        PooledMoments(np.ones(1), np.zeros((1, 1))).refuse(dependent=False)
    with pytest.raises(DataError, match="follows from"):
        PooledMoments(np.zeros(2), np.ones((2, 2))).refuse(dependent=False)


@pytest.mark.parametrize("window_bytes", [1, 3000])
def test_nobody_waits_for_ever_where_links_hold_little(window_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rlwe_stand_in.use(monkeypatch)
    case = Case((1, 1, 1), own=1, n=(90, 70, 60))
    first, second = play(case), play(case, window_bytes=window_bytes)
    assert np.array_equal(joined(case, first, "values"), joined(case, second, "values"))


@pytest.mark.slow
@pytest.mark.shared
def test_real_records_of_three_banks_give_the_centralised_model() -> None:
    columns, y = woe_columns("sba")
    n = (y.size // 2, y.size // 3, y.size - y.size // 2 - y.size // 3)
    case = Case((2, 1), own=6, n=n)
    case.X, case.y = np.stack(list(columns.values()), axis=1), y
    outcome, fit = play(case), case.centralised()
    # What docs/protocols/linear.md says of one label party with all rows.
    assert joined(case, outcome, "values") == pytest.approx(fit.estimates.values, abs=2e-4)
    assert joined(case, outcome, "standard_errors") == pytest.approx(fit.estimates.standard_errors, rel=1e-3)
    assert outcome.results[NORTH].gradients <= 20
