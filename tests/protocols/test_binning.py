"""Federated binning: equal to the pure functions on the pooled column, with and without cryptography, in any order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import numpy as np
import pytest
from groupsum_cases import SHORT, SHORT_KEY
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.joining import Floor
from fedcredit.credit.scorecard_bins import ScorecardBins
from fedcredit.credit.settling import PrebinShape, SettledColumn, prebins_of, settle_column, taken
from fedcredit.credit.telling import coarse_evidence
from fedcredit.credit.woe import BinCounts, IvDisclosure, told_iv, woe_table
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.binning import Batches, BinningFeature, BinningLabel, PrebinnedColumns, ToldColumn
from fedcredit.protocols.binning.columns import told_columns
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.groupsum import paillier
from fedcredit.transport.memory import Outcome, run_network
from fedcredit.wire.binning import CountPlan, Prebins, SettledBins
from fedcredit.wire.groupsum import GroupSums
from fedcredit.wire.message import message_type

BANK, TAX, WATER = PartyId("bank"), PartyId("tax"), PartyId("water")
PEERS = (TAX, WATER)
U8 = np.uint8


class Case:
    """Columns of two parties beside labels that depend on them: numbers, with missing and special values, levels, one
    value alone, nothing but missing ones, and cut by hand."""

    def __init__(self, params: BinParams, seed: int = 0, n: int = 1500) -> None:
        rng = np.random.default_rng(seed)
        self.params, self.n = params, n
        amount = rng.normal(size=n)
        codes = np.where(rng.random(n) < 0.1, -999.0, rng.normal(size=n))
        codes[rng.random(n) < 0.08] = np.nan
        levels = rng.integers(0, 12, n).astype(float)
        levels[rng.random(n) < 0.1] = np.nan
        logit = -1.3 + amount - 0.8 * (codes == -999.0) + 0.5 * np.nan_to_num(levels % 3)
        self.y = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(U8)
        self.raw: dict[PartyId, list[tuple[np.ndarray, dict[str, Any]]]] = {
            TAX: [(amount, {}), (codes, {"special": (-999.0,)}), (np.ones(n), {}), (levels, {"levels": True})],
            WATER: [(np.full(n, np.nan), {}), (amount, {"splits": (-1.0, 0.25, 1.0)})],
        }
        self.bins = {p: [prebins_of(v, params, **how) for v, how in of] for p, of in self.raw.items()}

    def shapes(self, party: PartyId) -> tuple[PrebinShape, ...]:
        of = zip(self.bins[party], self.raw[party], strict=True)
        return tuple(PrebinShape.of(bins, by_hand="splits" in how) for bins, (_, how) in of)

    def roles(self, key: paillier.OwnKey | None = None, **how: Any) -> dict[PartyId, Steps[Any]]:
        label = BinningLabel(BANK, PEERS, self.y, self.params, insecure_plain=True, key=key, **how)
        roles: dict[PartyId, Steps[Any]] = {BANK: count_and_settle(label)}
        for party in PEERS:
            codes = np.stack([b.codes(v) for b, (v, _) in zip(self.bins[party], self.raw[party], strict=True)])
            columns = PrebinnedColumns(codes, self.shapes(party))
            roles[party] = lend_all(BinningFeature(party, BANK, columns, self.params, insecure_plain=True, **how))
        return roles

    def pooled(self, party: PartyId, f: int) -> tuple[ScorecardBins, SettledColumn, BinCounts]:
        """The column's bins where its values and labels are in one place, and their counts by counting."""
        bins, (values, _) = self.bins[party][f], self.raw[party][f]
        counts = BinCounts.of(bins.codes(values), self.y, bins.n_bins)
        settled = settle_column(self.shapes(party)[f], counts, self.params)
        final = taken(bins, settled.labels)
        return final, settled, BinCounts.of(final.codes(values), self.y, final.n_bins)


def session(batch: int) -> bytes:
    return b"b" * 31 + bytes([batch])


def count_and_settle(label: BinningLabel) -> Steps[dict[PartyId, list[SettledColumn]]]:
    shapes = yield from label.learn_shapes()
    batches = max(len(label.batches(of)) for of in shapes)
    counts: dict[tuple[PartyId, int], BinCounts] = {}
    for batch in range(batches):
        found = yield from label.count(batch, shapes, session(batch), insecure_seeded(1, f"bank {batch}"))
        for peer, of, of_peer in zip(label.peers, shapes, found, strict=True):
            numbers = label.batches(of)[batch]
            counts |= {(peer, f): c for f, c in zip(numbers, of_peer, strict=True)}
    settled = {
        peer: [
            settle_column(shape, counts.get((peer, f), label.known_counts()), label.params)
            for f, shape in enumerate(of)
        ]
        for peer, of in zip(label.peers, shapes, strict=True)
    }
    yield from label.tell(settled)
    return settled


def lend_all(party: BinningFeature) -> Steps[tuple[ToldColumn, ...]]:
    for batch in range((yield from party.declare())):
        yield from party.lend(batch, session(batch), insecure_seeded(2, f"{party.me} {batch}"))
    return (yield from party.hear())


def play(case: Case, **how: Any) -> Outcome:
    network = {k: how.pop(k) for k in ("pick", "tamper") if k in how}
    return run_network(case.roles(**how), insecure_in_process=True, **network)


METHODS = ("optimal", "chimerge", "quantile", "width")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backend", ["plain", "rlwe"])
def test_bins_are_those_of_the_pooled_column(method: Any, backend: str) -> None:
    bins_are_pooled(method, backend)


@pytest.mark.parametrize("backend", ["onehot", "paillier"])
def test_bins_are_the_same_however_rows_are_counted(backend: str) -> None:
    bins_are_pooled("optimal", backend)


def bins_are_pooled(method: Any, backend: str) -> None:
    case = Case(BinParams(method=method, iv_disclosure="exact"), seed=len(method))
    outcome = play(case, backend=backend)
    for party in PEERS:
        for f, told in enumerate(outcome.results[party]):
            final, settled, counts = case.pooled(party, f)
            mine = taken(case.bins[party][f], told.labels)
            assert mine == final
            table = woe_table(counts)
            assert told.refused is None
            assert np.array_equal(told.woe, table.woe)
            assert told.iv == table.total_iv == outcome.results[BANK][party][f].iv == settled.iv
            assert not Floor().below(counts).any()
    # A column without a choice is one bin that says nothing; split points by hand are kept.
    assert outcome.results[TAX][2].iv == outcome.results[WATER][0].iv == 0.0
    assert taken(case.bins[WATER][1], outcome.results[WATER][1].labels).splits == (-1.0, 0.25, 1.0)


def test_under_paillier_bins_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in batches, which one key serves."""
    monkeypatch.setattr("fedcredit.protocols.binning.columns.BATCH_BYTES", 1)
    case = Case(BinParams(), n=200)
    key = paillier.OwnKey.of(SHORT_KEY, insecure_seeded(5))
    short = partial(paillier.set_up_holder, profile=SHORT)
    monkeypatch.setattr("fedcredit.protocols.groupsum.paillier.set_up_holder", short)
    clear, sealed = play(case, backend="plain"), play(case, backend="paillier", key=key)
    for party in PEERS:
        for a, b in zip(clear.results[party], sealed.results[party], strict=True):
            assert (a.labels.tolist(), a.iv) == (b.labels.tolist(), b.iv)
    batches = sum(len(Batches(case.shapes(party), case.n, "paillier")) for party in PEERS)
    assert [name for *_, name, _ in sealed.traffic].count("PaillierKey") == batches > 1


@pytest.mark.parametrize("how", get_args(IvDisclosure))
def test_the_owner_is_told_what_the_job_says_and_no_more(how: Any) -> None:
    case = Case(BinParams(iv_disclosure=how))
    sent: list[SettledBins] = []

    def tap(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        if tag == SettledBins.tag:
            sent.append(SettledBins.decode(body))
        return tag, body

    outcome = play(case, backend="plain", tamper=tap)
    for party in PEERS:
        exact = [case.pooled(party, f)[1].iv for f in range(len(case.raw[party]))]
        told = outcome.results[party]
        assert [column.iv for column in told] == list(told_iv([float(iv) for iv in exact if iv is not None], how))
        assert all((column.woe is not None) == (how in ("coarse", "exact")) for column in told)
        for f, column in enumerate(told):
            settled = case.pooled(party, f)[1]
            if how == "none":
                assert column.labels.tolist() == list(range(case.bins[party][f].n_bins)), "pre-bins stay as they are"
            else:
                assert np.array_equal(column.labels, settled.labels)
            if how == "coarse":
                assert settled.table is not None
                assert column.woe == tuple(coarse_evidence(settled.table).tolist())
    assert all((message.iv.size == 0) == (how in ("none", "bins", "coarse")) for message in sent)
    assert all((message.woe.size == 0) == (how not in ("coarse", "exact")) for message in sent)


def test_with_none_the_owner_hears_the_same_whatever_labels_are() -> None:
    """And with "coarse" of a column that is left out the same whyever that is."""
    heard = []
    for bad in (0.05, 0.5):
        case = Case(BinParams(iv_disclosure="none"))
        case.y = (np.random.default_rng(3).random(case.n) < bad).astype(U8)
        heard.append([(c.labels.tolist(), c.refused, c.iv, c.woe) for c in play(case).results[TAX]])
    assert heard[0] == heard[1]
    settled = [SettledColumn(np.zeros(3, np.int64), None, code) for code in ("BIN_TOO_SMALL", "BINS_TOO_MANY", "more")]
    assert {column.refused for column in told_columns(settled, "coarse")} == {"BINS_NOT_TOLD"}


def test_a_column_without_enough_rows_of_a_class_has_no_bins_and_tells_nothing() -> None:
    """Nine bad rows in all: no bin may be shown, and no column's information value."""
    case = Case(BinParams(iv_disclosure="exact"))
    case.y[:] = 0
    case.y[:9] = 1
    outcome = play(case, backend="plain")
    for party in PEERS:
        for told in outcome.results[party]:
            assert (told.refused, told.iv, told.woe) == ("BIN_TOO_SMALL", None, None)
            assert not told.labels.any()


def test_what_is_joined_says_nothing_of_the_order_of_levels() -> None:
    """Two sets of labels that group levels alike, one with the good and bad rows swapped, give the same message."""
    found = []
    for swapped in (False, True):
        case = Case(BinParams(iv_disclosure="bins"))
        levels = np.arange(case.n, dtype=float) % 4
        case.raw = {TAX: [(levels, {"levels": True})], WATER: case.raw[WATER]}
        case.bins[TAX] = [prebins_of(levels, case.params, levels=True)]
        bad = np.where(levels < 2, 0.3, 0.7) > (np.arange(case.n) // 4 % 10 + 0.5) / 10
        case.y = (bad != swapped).astype(U8)
        (told,) = play(case, backend="plain").results[TAX]
        found.append(told.labels.tolist())
    assert found[0] == found[1] == [0, 0, 1, 1]


@pytest.mark.parametrize("backend", ["rlwe", "onehot"])
def test_batches_give_the_same_bins(monkeypatch: pytest.MonkeyPatch, backend: Any) -> None:
    """What a million rows need: a few columns at a time, a party with fewer of them lending none in the end."""
    case = Case(BinParams(iv_disclosure="rounded"))
    whole = play(case, backend=backend)
    monkeypatch.setattr("fedcredit.protocols.binning.columns.BATCH_BYTES", 1)
    assert len(Batches(case.shapes(TAX), case.n, backend)) == 3
    assert len(Batches(case.shapes(WATER), case.n, backend)) == 1
    outcome = play(case, backend=backend)
    for party in PEERS:
        for a, b in zip(whole.results[party], outcome.results[party], strict=True):
            assert np.array_equal(a.labels, b.labels)
            assert a.iv == b.iv


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_any_order_of_delivery_gives_the_same_bins_and_messages(data: st.DataObject) -> None:
    case = Case(BinParams(iv_disclosure="exact"), n=300)
    straight = play(case)
    shuffled = play(case, pick=lambda links: data.draw(st.sampled_from(links)))
    for party in PEERS:
        for a, b in zip(straight.results[party], shuffled.results[party], strict=True):
            assert (a.labels.tolist(), a.iv, a.woe, a.refused) == (b.labels.tolist(), b.iv, b.woe, b.refused)
    assert sorted(straight.traffic) == sorted(shuffled.traffic)


def test_traffic_to_a_feature_party_follows_from_shapes_alone() -> None:
    """Other labels give messages of the same sizes, where nothing is told but which pre-bins are joined."""
    one, two = (Case(BinParams(iv_disclosure="bins")) for _ in range(2))
    two.y = two.y[::-1].copy()
    for backend in ("rlwe", "onehot"):
        assert play(one, backend=backend).traffic == play(two, backend=backend).traffic


def altered(kind: type[Any], make: Callable[[Any], Any]) -> Callable[[Any, int, bytes], tuple[int, bytes]]:
    done: list[bool] = []

    def tamper(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        message = message_type(tag).decode(body)
        if not isinstance(message, kind) or done:
            return tag, body
        done.append(True)
        other = make(message)
        return other.tag, other.encode()

    return tamper


def sums(m: GroupSums, at: int, more: int) -> GroupSums:
    words = m.words.copy()
    words[at] += np.uint64(more)
    return replace(m, words=words)


def labels(m: SettledBins, change: Callable[[np.ndarray], Any]) -> SettledBins:
    new = m.labels.copy()
    change(new)
    return replace(m, labels=new)


def first_is(value: int) -> Callable[[np.ndarray], None]:
    return lambda new: new.__setitem__(0, value)


BAD: dict[str, tuple[type[Any], Callable[[Any], Any], PartyId]] = {
    "more pre-bins": (Prebins, lambda m: replace(m, values=m.values + np.uint16(1)), TAX),
    "more rows than there are": (GroupSums, lambda m: sums(m, 0, 1 << 32), TAX),
    "more bad rows than there are": (GroupSums, lambda m: sums(m, 0, 1), TAX),
    "a count that wraps": (GroupSums, lambda m: sums(m, 1, 1 << 63), TAX),
    "no batches": (CountPlan, lambda m: CountPlan(0), BANK),
    "columns out of turn": (SettledBins, lambda m: replace(m, first=1), BANK),
    "labels missing": (SettledBins, lambda m: replace(m, labels=m.labels[:-1].copy()), BANK),
    "labels that begin at 1": (SettledBins, lambda m: labels(m, first_is(1)), BANK),
    "neighbours apart": (SettledBins, lambda m: labels(m, lambda new: new.__setitem__(slice(0, 3), [0, 1, 0])), BANK),
    "a value where a rank is due": (SettledBins, lambda m: replace(m, iv=m.iv + 0.5), BANK),
    "a rank too far": (SettledBins, lambda m: replace(m, iv=m.iv + 5), BANK),
    "no ranks": (SettledBins, lambda m: replace(m, iv=np.empty(0)), BANK),
    "evidence unasked": (SettledBins, lambda m: replace(m, woe=np.ones(3)), BANK),
    "refused with bins": (SettledBins, lambda m: replace(m, refused=np.ones_like(m.refused)), BANK),
}


@pytest.mark.parametrize("case", BAD)
def test_a_peer_that_breaks_the_protocol_is_named(case: str) -> None:
    kind, make, culprit = BAD[case]
    setup = Case(BinParams(iv_disclosure="rank"))
    with pytest.raises(PeerError) as caught:
        play(setup, backend="plain" if kind is not GroupSums else "onehot", tamper=altered(kind, make))
    assert caught.value.culprit == culprit
    assert caught.value.code in ("SHAPE", "COUNTS_INVALID", "UNEXPECTED_MESSAGE")


@pytest.mark.parametrize("how", ["none", "coarse"])
def test_a_label_party_that_tells_other_bins_than_the_job_says_is_named(how: Any) -> None:
    """With "none" which pre-bins are joined, and with "coarse" why a column is left out: both are of labels."""

    def bend(m: SettledBins) -> SettledBins:
        if how == "none":
            return labels(m, lambda new: new.__setitem__(slice(None), 0))
        return replace(m, refused=np.ones_like(m.refused), labels=np.zeros_like(m.labels), woe=np.empty(0))

    with pytest.raises(PeerError) as caught:
        play(Case(BinParams(iv_disclosure=how)), backend="plain", tamper=altered(SettledBins, bend))
    assert (caught.value.culprit, caught.value.code) == (BANK, "SHAPE")


@pytest.mark.parametrize("backend", ["rlwe", "onehot"])
def test_a_pre_bin_of_fewer_rows_than_the_job_says_is_refused(backend: Any) -> None:
    case = Case(BinParams())
    codes = np.zeros((1, case.n), U8)
    codes[0, :49] = 1
    roles = case.roles(backend=backend)
    columns = PrebinnedColumns(codes, (PrebinShape(2, False, 0, "numbers"),))
    roles[TAX] = lend_all(BinningFeature(TAX, BANK, columns, case.params, backend))
    with pytest.raises(PeerError) as caught:
        run_network(roles, insecure_in_process=True)
    assert (caught.value.culprit, caught.value.code) == (TAX, "COUNTS_INVALID")


def test_evidence_of_another_number_of_bins_is_refused() -> None:
    setup = Case(BinParams(iv_disclosure="exact"))
    for change in (lambda m: replace(m, woe=m.woe[:-1].copy()), lambda m: replace(m, woe=np.r_[m.woe, 0.0])):
        with pytest.raises(PeerError) as caught:
            play(setup, backend="plain", tamper=altered(SettledBins, change))
        assert (caught.value.culprit, caught.value.code) == (BANK, "SHAPE")


@pytest.mark.parametrize(
    ("values", "missing", "special", "style"),
    [(0, 0, 0, 0), (257, 0, 0, 0), (256, 1, 0, 0), (3, 0, 1, 1), (3, 0, 0, 3)],
)
def test_columns_like_none_are_refused_on_arrival(values: int, missing: int, special: int, style: int) -> None:
    def tamper(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        if tag != Prebins.tag:
            return tag, body
        forged = Prebins.proto.FromString(body)
        n = len(forged.missing.data)
        forged.values.data = np.full(n, values, "<u2").tobytes()
        for name, value in (("missing", missing), ("special", special), ("style", style)):
            getattr(forged, name).data = bytes([value]) * n
        return tag, forged.SerializeToString()

    with pytest.raises(PeerError) as caught:
        play(Case(BinParams()), backend="plain", tamper=tamper)
    assert caught.value.code == "ARRAY_INVALID"
