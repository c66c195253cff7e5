"""Mode `unbalanced`: right for any sets and changes of them, quiet about all else, and no hostile holder's toy."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import DataError, PeerError, RefusedError
from fedcredit.ids import party_id
from fedcredit.kernels import filter as compact
from fedcredit.kernels import group
from fedcredit.protocols.intersect import UnbalancedHolder, UnbalancedReceiver, filters, unbalanced
from fedcredit.protocols.intersect.alignment import STATISTICAL_BITS
from fedcredit.protocols.intersect.filters import FilterKey, SharedFilter, filter_bits
from fedcredit.transport.memory import Link, Outcome, run_network
from fedcredit.wire import intersect as wire

BANK, TAX = party_id("bank"), party_id("tax")
KEY = FilterKey.generate(BANK, TAX, insecure_seeded(9, "filter"))


def ids(values: Sequence[bytes]) -> npt.NDArray[np.bytes_]:
    return np.array(list(values), dtype="S64")


def numbered(*ranges: range) -> list[bytes]:
    return [f"{i:018}".encode() for i in itertools.chain(*ranges)]


def made(values: Sequence[bytes], version: int = 1, key: FilterKey = KEY) -> SharedFilter:
    return SharedFilter.of(key.name, version, key.values(ids(values), len(values)))


def run(
    bank: Sequence[bytes],
    tax: Sequence[bytes],
    held: SharedFilter | None = None,
    older: Sequence[SharedFilter] = (),
    *,
    minimum: int = 0,
    pick: Callable[[Sequence[Link]], Link] | None = None,
    tamper: Callable[[Link, int, bytes], tuple[int, bytes]] | None = None,
    current: SharedFilter | None = None,
    key: FilterKey = KEY,
    seed: int = 1,
) -> Outcome:
    receiver = UnbalancedReceiver(BANK, TAX, ids(bank), insecure_seeded(seed), len(bank), len(tax), minimum)
    holder = UnbalancedHolder(TAX, BANK, len(bank))
    steps = {BANK: receiver.steps(held), TAX: holder.steps(key, current or made(tax, 1 + len(older), key), older)}
    return run_network(steps, insecure_in_process=True, pick=pick, tamper=tamper)


def found(bank: Sequence[bytes], outcome: Outcome) -> list[bytes]:
    alignment, _ = outcome.results[BANK]
    return [bank[row] for row in alignment.rows]


texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=16).map(str.encode)
identifier = st.one_of(st.integers(0, 25).map(lambda i: f"9111000{i:04}".encode()), texts)
a_set = st.lists(identifier.filter(lambda name: len(name) <= 64), min_size=1, max_size=30, unique=True)


@settings(max_examples=60, deadline=None)
@given(bank=a_set, tax=a_set, data=st.data())
def test_the_receiver_learns_exactly_the_intersection(bank: list[bytes], tax: list[bytes], data: st.DataObject) -> None:
    outcome = run(bank, tax, pick=lambda links: data.draw(st.sampled_from(links)))
    assert found(bank, outcome) == [name for name in bank if name in set(tax)]
    assert outcome.results[TAX] is None


LONG = [bytes([65 + i]) * 64 for i in range(20)]
FOREIGN = [f"企业{i}有限公司".encode() for i in range(20)]


@pytest.mark.parametrize(
    ("bank", "tax"),
    [
        (numbered(range(50)), numbered(range(50))),
        (numbered(range(50)), numbered(range(50))[::-1]),
        (numbered(range(50)), numbered(range(50, 90))),
        (numbered(range(1)), numbered(range(1))),
        (numbered(range(1)), numbered(range(7, 8))),
        (numbered(range(1)), numbered(range(1000))),
        (numbered(range(100)), numbered(range(3))),
        (LONG[:10], LONG[5:]),
        (FOREIGN[:15], FOREIGN[5:] + LONG),
        ([b"a", b"aa", b"aaa"], [b"aa", b"aaaa", b"A"]),
    ],
)
def test_sets_that_are_hard(bank: list[bytes], tax: list[bytes]) -> None:
    assert found(bank, run(bank, tax)) == [name for name in bank if name in set(tax)]


@settings(max_examples=40, deadline=None)
@given(bank=a_set, versions=st.lists(a_set, min_size=2, max_size=4))
def test_a_filter_that_is_kept_follows_every_change(bank: list[bytes], versions: list[list[bytes]]) -> None:
    held, older = None, list[SharedFilter]()
    for tax in versions:
        outcome = run(bank, tax, held, older[-1:])
        assert found(bank, outcome) == [name for name in bank if name in set(tax)]
        held = outcome.results[BANK][1]
        older.append(made(tax, 1 + len(older)))
        assert dataclasses.replace(held.label, version=0) == dataclasses.replace(older[-1].label, version=0)
        assert held.content.tobytes() == older[-1].content.tobytes()
        assert held.intact


def traffic(outcome: Outcome) -> list[tuple[str, str, str, int]]:
    return sorted(outcome.traffic)


def test_nothing_travels_again_for_a_filter_that_is_the_same() -> None:
    bank, tax = numbered(range(30)), numbered(range(20, 5_020))
    first = run(bank, tax)
    again = run(bank, tax, first.results[BANK][1])
    pieces = [size for *_, kind, size in first.traffic if kind == "FilterPiece"]
    assert compact.size(5_000, filter_bits(5_000)) <= sum(pieces) <= compact.size(5_000, filter_bits(5_000)) + 64
    assert "FilterPiece" not in {kind for *_, kind, _ in again.traffic}
    assert found(bank, again) == found(bank, first)
    assert sum(size for *_, size in again.traffic) < 64 * 30 + 400


def test_a_few_new_rows_cost_a_few_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "LEAST_CHANGE", 256)
    bank, old, new = numbered(range(30)), numbered(range(20_000)), numbered(range(200, 20_300))
    first = run(bank, old)
    outcome = run(bank, new, first.results[BANK][1], [made(old)])
    sent = sum(size for *_, kind, size in outcome.traffic if kind == "FilterPiece")
    assert found(bank, outcome) == []
    # 200 entries that went, 300 that came: a power of two that holds them.
    assert 8_192 <= sent < 8_192 + 64
    # A version that the holder has not kept, or one of another key: whole.
    stranger = FilterKey.generate(BANK, TAX, insecure_seeded(10, "filter"))
    for older, key in (([], KEY), ([made(old)], stranger)):
        outcome = run(bank, new, first.results[BANK][1], older, key=key)
        assert sum(size for *_, kind, size in outcome.traffic if kind == "FilterPiece") > compact.size(20_100, 75)
        assert found(bank, outcome) == []


def test_traffic_depends_on_sizes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "LEAST_CHANGE", 1 << 12)
    cases = [
        (numbered(range(50)), numbered(range(20, 4_020))),
        (numbered(range(900, 950)), numbered(range(4_000))),
        (FOREIGN + LONG + numbered(range(10)), numbered(range(7, 4_007))),
    ]
    whole = [run(bank, tax) for bank, tax in cases]
    assert traffic(whole[0]) == traffic(whole[1]) == traffic(whole[2])
    # A change shows its size to a power of two, and not which rows it is about.
    changes = [
        [f"new{i}".encode() for i in range(new)] + tax[gone:]
        for (_, tax), gone, new in zip(cases, (80, 100, 90), (80, 100, 90), strict=True)
    ]
    changed = [
        run(bank, after, outcome.results[BANK][1], [made(tax)])
        for (bank, tax), after, outcome in zip(cases, changes, whole, strict=True)
    ]
    small = [[row for row in traffic(outcome) if row[2] != "FilterOffer"] for outcome in changed]
    assert small[0] == small[1] == small[2]


def test_sets_of_many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unbalanced, "POINTS_PER_CHUNK", 10)
    monkeypatch.setattr(filters, "CHUNK_BYTES", 1_000)
    bank, tax = numbered(range(0, 3_000, 3)), numbered(range(0, 3_000, 2))
    outcome = run(bank, tax)
    assert found(bank, outcome) == numbered(range(0, 3_000, 6))
    kinds = [kind for *_, kind, _ in outcome.traffic]
    assert kinds.count("BlindedItems") == kinds.count("EvaluatedItems") == 100
    assert kinds.count("FilterPiece") == -(-compact.size(1_500, filter_bits(1_500)) // 1_000)


def test_entries_are_as_long_as_a_false_match_below_2_to_the_minus_40_needs() -> None:
    for log_y in range(29):
        for n_y in (1 << log_y, (1 << log_y) + 1):
            assert 2 ** filter_bits(n_y) >= filters.MOST_ASKED * n_y << STATISTICAL_BITS
            assert filter_bits(n_y) <= compact.MAX_BITS


def test_too_few_are_refused_without_their_number() -> None:
    bank, tax = numbered(range(50)), numbered(range(40, 90))
    assert len(found(bank, run(bank, tax, minimum=10))) == 10
    with pytest.raises(RefusedError) as refusal:
        run(bank, tax, minimum=11)
    assert refusal.value.code == "INTERSECTION_TOO_SMALL"
    assert "10" not in str(refusal.value)


def test_nothing_is_evaluated_before_it_is_charged() -> None:
    def refuse(asked: int) -> None:
        assert asked == 3
        raise RefusedError("spent")

    receiver = UnbalancedReceiver(BANK, TAX, ids([b"a", b"b", b"c"]), insecure_seeded(1), 3, 2, 0)
    holder = UnbalancedHolder(TAX, BANK, 3).steps(KEY, made([b"a", b"x"]), (), refuse)
    sent: list[int] = []

    def listen(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
        sent.append(tag)
        return tag, body

    with pytest.raises(RefusedError):
        run_network({BANK: receiver.steps(), TAX: holder}, insecure_in_process=True, tamper=listen)
    assert wire.EvaluatedItems.tag not in sent


@pytest.mark.parametrize(("bank", "code"), [([], "SET_EMPTY"), ([b"a", b"b", b"a"], "ID_DUPLICATE")])
def test_unusable_sets_are_the_owners_fault(bank: list[bytes], code: str) -> None:
    with pytest.raises(DataError) as error:
        run(bank, [b"x"])
    assert error.value.code == code


def test_too_many_questions_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unbalanced, "MOST_ASKED", 5)
    with pytest.raises(DataError) as error:
        run(numbered(range(6)), numbered(range(6)))
    assert error.value.code == "SET_SIZE"


Change = Callable[[Any], dict[str, Any]]

BANK_SET, TAX_SET = numbered(range(40)), numbered(range(20, 3_020))


def altered(kind: type[Any], change: Change, nth: int = 0) -> Callable[[Link, int, bytes], tuple[int, bytes]]:
    seen = itertools.count()

    def tamper(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
        if tag != kind.tag or next(seen) != nth:
            return tag, body
        message = kind.decode(body)
        return tag, dataclasses.replace(message, **change(message)).encode()

    return tamper


def flipped(data: npt.NDArray[np.uint8], place: int) -> npt.NDArray[np.uint8]:
    out = data.copy()
    out[place] ^= 1
    return out


HOSTILE: list[tuple[type[Any], Change, str]] = [
    (wire.FilterOffer, lambda m: {"entries": m.entries + 1}, "SET_SIZE"),
    (wire.FilterOffer, lambda m: {"bits": 56}, "FILTER_INVALID"),
    (wire.FilterOffer, lambda m: {"digest": bytes(32)}, "FILTER_INVALID"),
    (wire.FilterOffer, lambda m: {"whole": False}, "FILTER_INVALID"),
    (wire.FilterOffer, lambda m: {"whole": False, "removed": 1, "added": 1}, "FILTER_INVALID"),
    (wire.FilterPiece, lambda m: {"data": flipped(m.data, 0)}, "FILTER_INVALID"),
    (wire.FilterPiece, lambda m: {"data": flipped(m.data, len(m.data) - 9)}, "FILTER_INVALID"),
    (wire.FilterPiece, lambda m: {"data": m.data[1:]}, "SET_SIZE"),
    (wire.EvaluatedItems, lambda m: {"points": m.points[1:]}, "SET_SIZE"),
    (wire.EvaluatedItems, lambda m: {"points": np.zeros_like(m.points)}, "POINT_INVALID"),
    (wire.EvaluatedItems, lambda m: {"points": np.full_like(m.points, 255)}, "POINT_INVALID"),
    (wire.BlindedItems, lambda m: {"points": m.points[1:]}, "SET_SIZE"),
    (wire.BlindedItems, lambda m: {"points": np.zeros_like(m.points)}, "POINT_INVALID"),
    (wire.SetSize, lambda m: {"rows": m.rows + 1}, "SET_SIZE"),
    (wire.Release, lambda m: {"rows": 3}, "SET_SIZE"),
]


@pytest.mark.parametrize(("kind", "change", "code"), HOSTILE)
def test_a_peer_that_breaks_the_protocol_is_named(kind: type[Any], change: Change, code: str) -> None:
    with pytest.raises(PeerError) as error:
        run(BANK_SET, TAX_SET, tamper=altered(kind, change))
    assert error.value.code == code
    assert error.value.culprit == (BANK if kind in (wire.BlindedItems, wire.SetSize, wire.Release) else TAX)


CHANGES: list[tuple[type[Any], Change, str]] = [
    (wire.FilterOffer, lambda m: {"key": bytes(15) + b"x"}, "FILTER_INVALID"),
    (wire.FilterOffer, lambda m: {"bits": m.bits + 1}, "FILTER_INVALID"),
    (wire.FilterOffer, lambda m: {"removed": m.removed + 1}, "FILTER_INVALID"),
    (wire.FilterOffer, lambda m: {"removed": m.removed + 1, "added": m.added + 1}, "FILTER_INVALID"),
    (wire.FilterOffer, lambda m: {"removed": wire.MAX_ROWS, "added": wire.MAX_ROWS}, "FILTER_INVALID"),
    (wire.FilterOffer, lambda m: {"removed": 0, "added": 0}, "FILTER_INVALID"),
    (wire.FilterPiece, lambda m: {"data": flipped(m.data, 3)}, "FILTER_INVALID"),
    (wire.FilterPiece, lambda m: {"data": flipped(m.data, len(m.data) - 1)}, "FILTER_INVALID"),
]


@pytest.mark.parametrize(("kind", "change", "code"), CHANGES)
def test_a_change_that_does_not_fit_is_refused(
    kind: type[Any], change: Change, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filters, "LEAST_CHANGE", 256)
    after = TAX_SET[10:] + numbered(range(9_000, 9_010))
    with pytest.raises(PeerError) as error:
        run(BANK_SET, after, made(TAX_SET), [made(TAX_SET)], tamper=altered(kind, change))
    assert (error.value.code, error.value.culprit) == (code, TAX)


def test_progress_goes_forward_or_ends_the_session() -> None:
    def session(pieces: Sequence[tuple[int, int]]) -> Outcome:
        holder = UnbalancedHolder(TAX, BANK, len(BANK_SET))
        receiver = UnbalancedReceiver(BANK, TAX, ids(BANK_SET), insecure_seeded(1), len(BANK_SET), len(TAX_SET), 0)

        def steps() -> Any:
            held = yield from holder.hear()
            yield from holder.tell(pieces)
            yield from filters.publish(BANK, held, made(TAX_SET))
            yield from holder.answer(KEY, lambda asked: None)

        return run_network({BANK: receiver.steps(), TAX: steps()}, insecure_in_process=True)

    assert len(found(BANK_SET, session([(0, 3), (1, 3), (2, 3), (3, 3)]))) == 20
    assert len(found(BANK_SET, session([(3, 3)]))) == 20
    with pytest.raises(PeerError):
        session([(0, 3), (0, 3)])


def test_keys_read_back_and_others_are_none() -> None:
    again = type(KEY.oprf).from_bytes(KEY.oprf.to_bytes())
    points = group.multiply_base(np.full((1, 32), 1, np.uint8))
    assert again.blind_evaluate(points).tobytes() == KEY.oprf.blind_evaluate(points).tobytes()
    for wrong in (bytes(32), b"\xff" * 32, b"short"):
        with pytest.raises(ValueError, match=r".+"):
            type(KEY.oprf).from_bytes(wrong)
    assert KEY.oprf.to_bytes().hex() not in repr(KEY)
