"""Counts under ring-LWE: those of counting in the clear, whatever the parts and the radix; peers that deviate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocols.test_binning import BANK, PEERS, TAX, WATER, Case, altered

from fedcredit.credit.bin_params import BinParams
from fedcredit.crypto import rlwe
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.binning import LabelCounter, LentColumns
from fedcredit.protocols.binning.layout import Layout
from fedcredit.transport.memory import Outcome, run_network
from fedcredit.wire.binning import CountKey, RowCounts, SealedCounts, SealedLabels

MASKED = 1 << 40
"""Answers that are no sums of labels are larger than this but once in 2^13."""


def codes_of(n: int, groups: tuple[int, ...], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, b, n).astype(np.uint8) for b in groups])


def play(labels: np.ndarray, columns: dict[PartyId, tuple[np.ndarray, tuple[int, ...]]], **how: Any) -> Outcome:
    groups = {party: of for party, (_, of) in columns.items()}
    roles: dict[PartyId, Any] = {BANK: LabelCounter(labels).count(groups, 0, insecure_seeded(1))}
    for party, (codes, of) in columns.items():
        roles[party] = LentColumns(BANK, codes, of).lend(insecure_seeded(2, party))
    return run_network(roles, insecure_in_process=True, **how)


def counted(labels: np.ndarray, codes: np.ndarray, groups: tuple[int, ...]) -> np.ndarray:
    pairs = zip(codes, groups, strict=True)
    both = [(np.bincount(c, minlength=b), np.bincount(c, weights=labels, minlength=b)) for c, b in pairs]
    return np.concatenate([np.stack(of_column) for of_column in both], axis=1).astype(np.int64)


@pytest.mark.parametrize(
    ("n", "rows_of_a_part"), [(1, 1), (33, 8), (1500, 64), (1500, 1500), (9000, 700), (9000, 10_000)]
)
def test_counts_are_those_in_the_clear(n: int, rows_of_a_part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedcredit.protocols.binning.counts.PART_ROWS", rows_of_a_part)
    labels = (np.random.default_rng(n).random(n) < 0.3).astype(np.uint8)
    wide, narrow = (2, 7, 256, 10, 1), (3,)
    columns = {TAX: (codes_of(n, wide, 1), wide), WATER: (codes_of(n, narrow, 2), narrow)}
    found = play(labels, columns).results[BANK]
    for party, (codes, groups) in columns.items():
        assert np.array_equal(found[party], counted(labels, codes, groups))


def test_all_bad_and_more_numbers_than_are_sent_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest counts that there are: every row of every cell."""
    monkeypatch.setattr("fedcredit.protocols.binning.counts.NUMBERS_AT_ONCE", 3)
    n, groups = 4000, (16,) * 6
    codes = codes_of(n, groups)
    found = play(np.ones(n, np.uint8), {TAX: (codes, groups)}).results[BANK][TAX]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found, counted(np.ones(n), codes, groups))


def test_of_parts_of_the_rows_nothing_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the label party decrypts of each part is masked; together it is the counts."""
    monkeypatch.setattr("fedcredit.protocols.binning.counts.PART_ROWS", 500)
    seen: list[np.ndarray] = []
    decrypt = rlwe.SecretKey.decrypt_inner

    def watched(self: rlwe.SecretKey, c: rlwe.InnerProducts) -> np.ndarray:
        seen.append(decrypt(self, c))
        return seen[-1]

    monkeypatch.setattr(rlwe.SecretKey, "decrypt_inner", watched)
    labels, groups = np.ones(1500, np.uint8), (4, 4)
    play(labels, {TAX: (codes_of(1500, groups), groups)})
    assert len(seen) == 3
    assert all((np.abs(part) > MASKED).any() for part in seen)


def test_traffic_is_what_the_docs_say() -> None:
    n, groups = 9000, (10,) * 8
    codes = np.stack([np.random.default_rng(f).permutation(n) * 10 // n for f in range(8)]).astype(np.uint8)
    sent = dict.fromkeys((CountKey, SealedLabels, RowCounts, SealedCounts), 0)

    def tap(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        kind = next(kind for kind in sent if kind.tag == tag)
        message = kind.decode(body)
        sent[kind] += message.rows.nbytes if isinstance(message, RowCounts) else len(getattr(message, "data", b""))
        return tag, body

    play(np.zeros(n, np.uint8), {TAX: (codes, groups)}, tamper=tap)
    # 900 rows a cell: five of them to a number of 54 bits.
    assert sent[RowCounts] == 4 * 80
    assert sent[SealedCounts] == 16 * 8 * (rlwe.SLOTS + 1) + 56
    assert sent[SealedLabels] == 2 * 180 * 1024 + 32 + 56


@given(st.lists(st.integers(0, 1 << 32), min_size=1, max_size=60), st.randoms())
@settings(deadline=None)
def test_a_layout_gives_back_what_was_put_into_it(rows: list[int], random: Any) -> None:
    layout = Layout.of(np.array(rows, np.int64))
    counts = np.array([random.randint(0, most) for most in rows], np.int64)
    numbers = np.add.reduceat(counts * layout.weights, layout.first[:-1].astype(np.int64))
    assert ((numbers >= 0) & (numbers < rlwe.PLAIN_MODULUS)).all()
    assert np.array_equal(layout.read(numbers), counts)
    # One more than all rows of the last cell.
    numbers[-1] = layout.weights[-1] * (rows[-1] + 1)
    with pytest.raises(ValueError, match="more than its cell"):
        layout.read(numbers)


def damaged(message: Any) -> Any:
    data = bytearray(message.data)
    # The first answer's first word, behind the heading: the number itself, under the key.
    data[63] ^= 0xFF
    return replace(message, data=bytes(data))


def foreign(message: Any) -> Any:
    return replace(message, data=message.data[:20] + b"another" + message.data[27:])


def to_the_first(new: np.ndarray) -> None:
    new[:2] = new[0] + new[1], 0


def rows(message: RowCounts, change: Callable[[np.ndarray], Any]) -> RowCounts:
    new = message.rows.copy()
    change(new)
    return replace(message, rows=new)


BAD: dict[str, tuple[type[Any], Callable[[Any], Any], PartyId, str]] = {
    "rows that are not there": (RowCounts, lambda m: rows(m, lambda r: r.__iadd__(1)), TAX, "COUNTS_INVALID"),
    "rows of one pre-bin less": (RowCounts, lambda m: replace(m, rows=m.rows[:-1].copy()), TAX, "SHAPE"),
    "rows out of turn": (RowCounts, lambda m: replace(m, first=1), TAX, "SHAPE"),
    "rows moved": (RowCounts, lambda m: rows(m, to_the_first), TAX, "COUNTS_INVALID"),
    "no key": (CountKey, lambda m: replace(m, key=m.key[:-1]), BANK, "KEY_INVALID"),
    "labels under another key": (
        SealedLabels,
        foreign,
        BANK,
        "CIPHERTEXT_INVALID",
    ),
    "labels cut short": (SealedLabels, lambda m: replace(m, data=m.data[:-1]), BANK, "SHAPE"),
    "labels out of turn": (SealedLabels, lambda m: replace(m, first=7), BANK, "SHAPE"),
    "answers under another key": (
        SealedCounts,
        foreign,
        TAX,
        "CIPHERTEXT_INVALID",
    ),
    "answers cut short": (SealedCounts, lambda m: replace(m, data=m.data[:-1]), TAX, "SHAPE"),
    "a damaged answer": (SealedCounts, damaged, TAX, "COUNTS_INVALID"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_peer_that_breaks_the_protocol_is_named(case: str) -> None:
    kind, make, culprit, code = BAD[case]
    setup = Case(BinParams())
    roles = setup.roles(backend="rlwe")
    assert set(roles) == {BANK, *PEERS}
    with pytest.raises(PeerError) as caught:
        run_network(roles, insecure_in_process=True, tamper=altered(kind, make))
    assert caught.value.culprit == culprit
    assert caught.value.code == code
