"""Correlations over several parties: those of the pooled table, in any order of delivery, and bad messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import rlwe_stand_in
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcredit.credit.selection import correlations, inflation_factors
from fedcredit.crypto import rlwe
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import ConfigError, DataError, PeerError
from fedcredit.governance.leakage import PublicJob, PublicModel, statement_of
from fedcredit.governance.leakage_moments import moments_disclosures
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.moments import MomentsFeature, MomentsLabel, MomentsShape
from fedcredit.transport.memory import Outcome, run_network
from fedcredit.wire import moments as wire
from fedcredit.wire.encryption import Encrypted
from fedcredit.wire.message import MessageInvalid, message_type

BANK, TAX, WATER, POWER = PARTIES = tuple(map(PartyId, ("bank", "tax", "water", "power")))


class Case:
    """Columns of several parties that correlate across them, on scales and means of their own."""

    def __init__(self, widths: tuple[int, ...], n: int = 300, seed: int = 0):
        rng = np.random.default_rng(seed)
        d = sum(widths)
        plain = rng.normal(size=(n, d)) + rng.normal(size=(n, 1)) * rng.normal(size=d)
        self.X = plain * np.exp(3 * rng.normal(size=d)) + 10 * rng.normal(size=d)
        self.widths, self.n = widths, n

    def roles(self, seed: int = 1) -> dict[PartyId, Steps[Any]]:
        shape = MomentsShape(BANK, PARTIES[1 : len(self.widths)], self.n)
        parts = np.split(self.X, np.cumsum(self.widths)[:-1], axis=1)
        roles = {BANK: MomentsLabel(shape, parts[0]).steps(insecure_seeded(seed, BANK))}
        for peer, X in zip(shape.peers, parts[1:], strict=True):
            roles[peer] = MomentsFeature(shape, peer, X).steps(insecure_seeded(seed, peer))
        return roles

    def pooled(self) -> np.ndarray:
        with_ones = np.column_stack([np.ones(self.n), self.X])
        return correlations(with_ones.T @ with_ones)


def play(case: Case, *, seed: int = 1, **network: Any) -> Outcome:
    return run_network(case.roles(seed), insecure_in_process=True, **network)


ENCRYPTED = {"two parties": Case((2, 3)), "three parties": Case((3, 1, 2), n=200)}
PLAIN = {
    **ENCRYPTED,
    "the label party has more columns": Case((5, 2)),
    "four parties, some without columns": Case((0, 3, 0, 2)),
    "the label party has no columns": Case((0, 3)),
    "one column each": Case((1, 1, 1, 1)),
    "nobody has columns": Case((0, 0)),
    "as many columns as there may be": Case((40, 60, 28), n=1200),
}


@pytest.mark.parametrize("name", ENCRYPTED)
def test_under_encryption_the_correlations_are_those_of_the_pooled_table(name: str) -> None:
    case = ENCRYPTED[name]
    outcome = play(case)
    assert outcome.results[BANK].correlation == pytest.approx(case.pooled(), abs=1e-4)


@pytest.mark.parametrize("name", PLAIN)
def test_the_correlations_are_those_of_the_pooled_table(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rlwe_stand_in.use(monkeypatch)
    case = PLAIN[name]
    outcome = play(case)
    found, pooled = outcome.results[BANK], case.pooled()
    assert found.correlation.shape == pooled.shape
    assert found.correlation == pytest.approx(pooled, abs=1e-4)
    assert np.array_equal(found.correlation, found.correlation.T)
    assert (np.diag(found.correlation) == 1).all()
    assert list(found.columns.items()) == list(zip(PARTIES, case.widths, strict=False))
    assert [outcome.results[peer] for peer in PARTIES[1 : len(case.widths)]] == [None] * (len(case.widths) - 1)


def test_the_stand_in_gives_the_numbers_of_the_encryption(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arithmetic modulo t is exact, so what the other tests show holds under encryption to the last bit."""
    case = Case((2, 1, 2), n=150, seed=7)
    encrypted = play(case).results[BANK].correlation
    rlwe_stand_in.use(monkeypatch)
    assert np.array_equal(encrypted, play(case).results[BANK].correlation)


def test_constant_columns_equal_ones_and_sizes_out_of_all_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    rlwe_stand_in.use(monkeypatch)
    case = Case((3, 4), seed=2)
    case.X[:, 0], case.X[:, 3] = 7.5, 0.0
    case.X[:, 4] = -case.X[:, 1]
    case.X[:, 5] = 1e300 * case.X[:, 2]
    case.X[:, 6] = 1e-300 * case.X[:, 2]
    r = play(case).results[BANK].correlation
    for j in (0, 3):
        assert r[j, j] == 1
        assert np.count_nonzero(r[j]) == 1
    assert r[1, 4] == pytest.approx(-1, abs=1e-6)
    assert r[2, 5] == pytest.approx(1, abs=1e-6)
    assert r[2, 6] == pytest.approx(1, abs=1e-6)
    assert np.abs(r).max() <= 1


def test_columns_that_hardly_vary_or_have_one_row_apart_are_as_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fixed point could spoil: one value far off, and few values."""
    rlwe_stand_in.use(monkeypatch)
    case = Case((2, 2), n=5000, seed=3)
    case.X[:, 0] = (np.arange(5000) == 17).astype(float)
    case.X[:, 2] = case.X[:, 0] * 3 + (np.arange(5000) % 7 == 0)
    case.X[:, 3] = np.round(case.X[:, 1] / case.X[:, 1].std())
    assert play(case).results[BANK].correlation == pytest.approx(case.pooled(), abs=1e-4)


def test_variance_inflation_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the matrix is for: rules of `credit.selection` say of it what they say of the pooled table."""
    rlwe_stand_in.use(monkeypatch)
    case = Case((3, 3), n=2000, seed=5)
    case.X /= case.X.std(axis=0)
    case.X[:, 5] += 3 * case.X[:, 0] - 2 * case.X[:, 1]
    found = inflation_factors(play(case).results[BANK].correlation)
    assert found.max() > 20
    assert found == pytest.approx(inflation_factors(case.pooled()), rel=1e-3)


@pytest.mark.parametrize("widths", [(2, 3), (3, 1, 2, 2)])
def test_small_windows_and_chunks_give_the_same_numbers(
    widths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a million rows need: every bulk message in many pieces, and a peer that takes one at a time."""
    rlwe_stand_in.use(monkeypatch)
    case = Case(widths)
    straight = play(case)
    monkeypatch.setattr("fedcredit.protocols.ciphertexts.MAX_CHUNK_BYTES", 500)
    monkeypatch.setattr("fedcredit.protocols.moments.shape.BATCH_NUMBERS", 300)
    monkeypatch.setattr("fedcredit.protocols.moments.shape.MAX_CIPHERTEXTS", 10)
    pieces = play(case, window_bytes=1)
    assert np.array_equal(straight.results[BANK].correlation, pieces.results[BANK].correlation)
    assert len(pieces.traffic) > 2 * len(straight.traffic)


@given(data=st.data(), widths=st.lists(st.integers(0, 3), min_size=2, max_size=4))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_order_of_delivery_gives_the_same_numbers_and_messages(
    data: st.DataObject, widths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rlwe_stand_in.use(monkeypatch)
    case = Case(tuple(widths), n=80)
    straight = play(case)
    shuffled = play(case, pick=lambda links: data.draw(st.sampled_from(links)))
    assert np.array_equal(straight.results[BANK].correlation, shuffled.results[BANK].correlation)
    assert sorted(straight.traffic) == sorted(shuffled.traffic)


def test_what_a_party_is_sent_depends_on_nobodys_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares are uniform, so their encoding varies by no digit; every other size follows from numbers of columns."""
    rlwe_stand_in.use(monkeypatch)
    one, two = (play(Case((2, 1, 2), seed=seed)).traffic for seed in (1, 2))
    assert one == two


def test_bytes_are_those_of_the_formula() -> None:
    """What docs/protocols/moments.md says, to the byte but for what protobuf adds to a message."""
    case = Case((2, 3), n=9000)
    sizes: dict[PartyId, list[int]] = {BANK: [], TAX: []}
    for sender, _, name, size in play(case).traffic:
        if name == "Encrypted":
            sizes[sender].append(size)
    blocks = 2
    for party, data in (
        (BANK, 48 + 184_320 * 2 + 88 + 184_320 * blocks * 2),
        (TAX, 56 + 65_536 * 3 + 8 * 2 * 3),
    ):
        assert 0 <= sum(sizes[party]) - data <= 24 * len(sizes[party])


def captured(case: Case, seed: int) -> list[tuple[PartyId, PartyId, Any]]:
    seen = []

    def watch(link: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        seen.append((link.sender, link.receiver, message_type(tag).decode(body)))
        return tag, body

    play(case, seed=seed, tamper=watch)
    return seen


def test_feature_parties_decrypt_numbers_under_uniform_masks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run over the same columns: what a feature party decrypts is other numbers, of the size of t."""
    rlwe_stand_in.use(monkeypatch)
    # TAX encrypts for the label party, and for WATER.
    case = Case((30, 8, 20), n=600)
    runs = [captured(case, seed) for seed in (1, 2)]
    opened = [[m.numbers for sender, _, m in run if sender == TAX and isinstance(m, wire.MomentShares)] for run in runs]
    assert [len(numbers) for numbers in opened] == [2, 2]
    for first, second in zip(*opened, strict=True):
        assert not (first == second).any()
        assert 0.4 < np.mean(np.abs(first) < rlwe.PLAIN_MODULUS // 4) < 0.6
    # Nothing else that is no ciphertext goes to a feature party but numbers of columns.
    to_features = {type(m) for run in runs for _, receiver, m in run if receiver != BANK}
    assert to_features == {wire.ColumnCounts, Encrypted}


def refusal(case: Case) -> str:
    with pytest.raises(DataError) as error:
        play(case)
    return error.value.code


def test_what_cannot_be_correlated_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rlwe_stand_in.use(monkeypatch)
    assert refusal(Case((1, 8), n=150)) == "ROWS_TOO_FEW"
    assert refusal(Case((8, 1), n=150)) == "ROWS_TOO_FEW"
    assert refusal(Case((64, 65), n=1400)) == "COLUMNS_TOO_MANY"
    assert refusal(Case((0, 129), n=3000)) == "COLUMNS_TOO_MANY"
    for column in (0, 2):
        for value in (np.nan, np.inf):
            case = Case((1, 2))
            case.X[3, column] = value
            assert refusal(case) == "VALUE_INVALID"


def test_shapes_that_are_none_are_refused() -> None:
    for peers in ((), (BANK,), (TAX, TAX), tuple(PartyId(f"p{k}") for k in range(64))):
        with pytest.raises(ConfigError):
            MomentsShape(BANK, peers, 100)
    for n in (0, wire.MAX_ROWS + 1):
        with pytest.raises(DataError) as error:
            MomentsShape(BANK, (TAX,), n)
        assert error.value.code == "ROWS_TOO_MANY"
    shape = MomentsShape(BANK, (TAX,), 100)
    with pytest.raises(ValueError, match="no feature party"):
        MomentsFeature(shape, BANK, np.zeros((100, 1)))
    with pytest.raises(ValueError, match="100 rows"):
        next(MomentsLabel(shape, np.zeros((99, 1))).steps(insecure_seeded(0)))


def test_messages_that_are_none_are_refused() -> None:
    for make in (
        lambda: wire.MomentColumns(wire.MAX_COLUMNS + 1, 5),
        lambda: wire.MomentColumns(1, 0),
        lambda: wire.ColumnCounts(np.array([3], np.uint32)),
        lambda: wire.ColumnCounts(np.array([2**31, 2**31], np.uint32)),
        lambda: wire.OwnCorrelations(np.array([0.5, 1.01])),
        lambda: wire.MomentShares(np.zeros(64 * 64 + 1, np.int64)),
    ):
        with pytest.raises(MessageInvalid):
            make()


def tampering(kind: type[Any], number: int, make: Callable[[Any], Any], sender: PartyId) -> Callable[..., Any]:
    """Change the message of one kind and number that `sender` sends."""
    seen: list[int] = []

    def tamper(link: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        message = message_type(tag).decode(body)
        if not isinstance(message, kind) or link.sender != sender:
            return tag, body
        seen.append(1)
        if len(seen) != number + 1:
            return tag, body
        other = make(message)
        return other.tag, other.encode()

    return tamper


def off(numbers: np.ndarray) -> np.ndarray:
    changed = numbers.copy()
    changed[0] += 1 << 50
    return changed


BAD: dict[str, tuple[type[Any], int, Callable[[Any], Any], PartyId, str]] = {
    "other rows": (wire.MomentColumns, 0, lambda m: wire.MomentColumns(m.columns, m.rows + 1), TAX, "SHAPE"),
    "other columns": (wire.MomentColumns, 0, lambda m: wire.MomentColumns(m.columns + 1, m.rows), TAX, "SHAPE"),
    "columns of others": (
        wire.ColumnCounts,
        0,
        lambda m: wire.ColumnCounts(m.columns[::-1].copy()),
        BANK,
        "SHAPE",
    ),
    "a party more": (
        wire.ColumnCounts,
        1,
        lambda m: wire.ColumnCounts(np.append(m.columns, np.uint32(1))),
        BANK,
        "SHAPE",
    ),
    "no key": (Encrypted, 0, lambda m: Encrypted(m.first, b"x" * len(m.data)), TAX, "KEY_INVALID"),
    "another run": (Encrypted, 1, lambda m: Encrypted(m.first + 1, m.data), BANK, "SHAPE"),
    "bytes missing": (Encrypted, 1, lambda m: Encrypted(m.first, m.data[:-1]), TAX, "SHAPE"),
    "no ciphertexts": (Encrypted, 1, lambda m: Encrypted(m.first, b"\x7f" * len(m.data)), TAX, "CIPHERTEXT_INVALID"),
    "no answers of the label party": (
        Encrypted,
        0,
        lambda m: Encrypted(m.first, b"\x7f" * len(m.data)),
        BANK,
        "CIPHERTEXT_INVALID",
    ),
    "no answers": (Encrypted, 0, lambda m: Encrypted(m.first, b"\x7f" * len(m.data)), WATER, "CIPHERTEXT_INVALID"),
    "correlations missing": (
        wire.OwnCorrelations,
        0,
        lambda m: wire.OwnCorrelations(m.numbers[1:].copy()),
        WATER,
        "SHAPE",
    ),
    "shares missing": (wire.MomentShares, 1, lambda m: wire.MomentShares(m.numbers[1:].copy()), TAX, "SHAPE"),
    "masks missing": (wire.MomentShares, 0, lambda m: wire.MomentShares(m.numbers[1:].copy()), WATER, "SHAPE"),
    "sums that no columns have": (
        wire.MomentShares,
        0,
        lambda m: wire.MomentShares(off(m.numbers)),
        TAX,
        "SUMS_INVALID",
    ),
    "another kind": (wire.OwnCorrelations, 0, lambda m: wire.MomentColumns(1, 1), WATER, "UNEXPECTED_MESSAGE"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_peer_that_breaks_the_protocol_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """TAX encrypts for the label party, which encrypts for WATER; TAX encrypts for WATER as well."""
    rlwe_stand_in.use(monkeypatch)
    kind, number, make, culprit, code = BAD[name]
    with pytest.raises(PeerError) as caught:
        play(Case((2, 1, 3), n=160, seed=4), tamper=tampering(kind, number, make, culprit))
    assert (caught.value.culprit, caught.value.code) == (culprit, code)


def test_the_table_says_who_learns_what_and_roles_and_messages_say_it_too() -> None:
    model = PublicModel(name="card", kind="linear")
    job = PublicJob(platform=POWER, label_party=BANK, feature_parties=(TAX, WATER))
    assert {(row.id, row.parties, row.about) for row in moments_disclosures(job, model)} == {
        ("scorecard.correlations", (BANK,), (TAX,)),
        ("scorecard.correlations", (BANK,), (WATER,)),
        ("scorecard.columns", (TAX,), (BANK, WATER)),
        ("scorecard.columns", (WATER,), (BANK, TAX)),
    }
    messages = (getattr(wire, name) for name in wire.__all__ if not name.startswith("MAX"))
    for kind in (MomentsLabel, MomentsFeature, *messages):
        assert statement_of(kind).reveals
