"""Statistics over rows in common: equal to counting in the clear, with every backend, in any order; small cells stay
hidden from everybody; peers that lie about what can be checked are named."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from groupsum_cases import BANK, SHORT, SHORT_KEY, TAX
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.credit.cell_hiding import hidden_cells
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import PeerError
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.groupsum import paillier
from fedcredit.protocols.statistics import CellShape, LentColumn, OpenedTable, StatisticsAsker, StatisticsHolder
from fedcredit.protocols.statistics.comparing import find_small, help_find_small
from fedcredit.transport.memory import Outcome, run_network
from fedcredit.wire.message import message_type
from fedcredit.wire.statistics import CellPoints, CellPointsAgain, OpenedCells, SmallPoints, TableAsk, TableGroups

LEAST = 10
SESSION = b"t" * 32


class Case:
    """Rows with a category at the bank, a group at the tax office, and two values; some cells have few rows."""

    def __init__(self, categories: int = 3, groups: int = 4, n: int = 400, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.groups = rng.integers(0, groups, n).astype(np.uint8)
        self.groups[: groups * LEAST] = np.repeat(np.arange(groups), LEAST)
        self.categories = ((self.groups + (rng.random(n) < 0.3) * rng.integers(0, 9, n)) % categories).astype(np.uint8)
        few = np.flatnonzero((self.groups == 0) & (self.categories == categories - 1))
        self.categories[few[3:]] = 0
        self.values = rng.integers(-1000, 1000, (n, 2)).astype(np.int64).view(np.uint64)
        self.column = LentColumn(tuple(f"g{k}" for k in range(groups)), self.groups)
        self.shape = (categories, groups)

    def roles(self, key: paillier.OwnKey | None = None, backend: Any = "onehot") -> dict[Any, Steps[Any]]:
        how = {"min_cell": LEAST, "backend": backend, "insecure_plain": True}
        asker = StatisticsAsker(BANK, TAX, self.categories, self.shape[0], self.values, key=key, **how)
        words = 1 + self.values.shape[1]
        holder = StatisticsHolder(TAX, BANK, self.column, values=words, most_categories=self.shape[0], **how)
        return {
            BANK: asker.steps(SESSION, insecure_seeded(1, "bank")),
            TAX: holder.steps(SESSION, insecure_seeded(2, "tax")),
        }

    def pooled(self) -> np.ndarray:
        """Rows and sums of each cell by counting: (K, B, 3)."""
        cells = np.zeros((*self.shape, 3), np.int64)
        ones = np.ones(len(self.groups), np.int64)
        for k, words in enumerate([ones, *self.values.view(np.int64).T]):
            np.add.at(cells[:, :, k], (self.categories, self.groups), words)
        return cells


def play(case: Case, *, pick: Any = None, tamper: Any = None, **how: Any) -> Outcome:
    network = {name: value for name, value in (("pick", pick), ("tamper", tamper)) if value is not None}
    return run_network(case.roles(**how), insecure_in_process=True, **network)


def check(case: Case, found: OpenedTable) -> None:
    cells = case.pooled()
    small = cells[:, :, 0] < LEAST
    hidden = hidden_cells(small, case.column.rows) if case.shape[0] > 1 else np.zeros(case.shape, bool)
    assert np.array_equal(found.hidden, hidden)
    assert np.array_equal(found.words.view(np.int64), np.where(hidden[:, :, None], 0, cells))


@pytest.mark.parametrize("backend", ["plain", "onehot"])
@pytest.mark.parametrize("shape", [(1, 2), (1, 64), (3, 4), (5, 3), (64, 2)])
def test_cells_are_those_of_the_pooled_table(shape: tuple[int, int], backend: str) -> None:
    case = Case(*shape, n=1500)
    outcome = play(case, backend=backend)
    check(case, outcome.results[BANK])
    assert outcome.results[TAX] is True
    if shape == (3, 4):
        assert outcome.results[BANK].hidden.any()
        assert not outcome.results[BANK].hidden.all()


def test_under_paillier_cells_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in blocks of rows."""
    short = partial(paillier.set_up_holder, profile=SHORT)
    monkeypatch.setattr("fedcredit.protocols.groupsum.paillier.set_up_holder", short)
    monkeypatch.setattr("fedcredit.protocols.statistics.cells.BLOCK_WORDS", 1)
    case = Case(2, 3, n=1300)
    outcome = play(case, backend="paillier", key=paillier.OwnKey.of(SHORT_KEY, insecure_seeded(5)))
    check(case, outcome.results[BANK])


def test_blocks_of_rows_give_the_same_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedcredit.protocols.statistics.cells.BLOCK_WORDS", 1)
    case = Case(n=5000)
    assert len(list(CellShape(5000, 3, 3, 4, LEAST).blocks())) == 5
    check(case, play(case).results[BANK])


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_any_order_of_delivery_gives_the_same_cells_and_messages(data: st.DataObject) -> None:
    case = Case()
    straight = play(case)
    shuffled = play(case, pick=lambda links: data.draw(st.sampled_from(links)))
    check(case, shuffled.results[BANK])
    assert sorted(straight.traffic) == sorted(shuffled.traffic)


def test_messages_to_the_holder_do_not_depend_on_values_or_categories() -> None:
    """But for which cells are small: two askers whose small cells are the same ones look the same."""
    one, two = Case(), Case()
    two.values = two.values[::-1].copy()
    assert play(one).traffic == play(two).traffic


def test_a_column_without_two_groups_is_not_lent() -> None:
    case = Case()
    case.column = LentColumn(("all",), np.zeros(400, np.uint8))
    outcome = play(case)
    assert outcome.results == {BANK: None, TAX: False}
    assert {name for *_, name, _ in outcome.traffic} == {"TableAsk", "TableGroups"}


def test_an_asker_that_declines_learns_nothing() -> None:
    case = Case()
    asker = StatisticsAsker(BANK, TAX, case.categories, 3, case.values, LEAST)
    roles = case.roles() | {BANK: asker.decline()}
    assert run_network(roles, insecure_in_process=True).results[TAX] is False


def test_too_many_cells_to_compare_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    for side in ("asker", "holder"):
        monkeypatch.setattr(f"fedcredit.protocols.statistics.{side}.MAX_COMPARED", 12 * LEAST - 1)
    assert play(Case()).results == {BANK: None, TAX: False}


def test_a_holder_does_not_lend_a_group_that_is_too_small() -> None:
    with pytest.raises(ValueError, match="smaller"):
        StatisticsHolder(TAX, BANK, LentColumn(("a", "b"), np.array([0] * 20 + [1] * 9, np.uint8)), LEAST, 1, 1)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 3 * LEAST), min_size=1, max_size=12), st.integers(0, 2**32))
def test_small_cells_are_found_from_shares_alone(counts: list[int], seed: int) -> None:
    ours = insecure_seeded(seed).words(len(counts))
    theirs = ours + np.array(counts, np.uint64)
    roles: dict[Any, Steps[Any]] = {
        BANK: help_find_small(TAX, "step", SESSION, ours, LEAST, insecure_seeded(seed, "a")),
        TAX: find_small(BANK, "step", SESSION, theirs, LEAST, insecure_seeded(seed, "p")),
    }
    small = run_network(roles, insecure_in_process=True).results[TAX]
    assert small.tolist() == [count < LEAST for count in counts]


def test_what_the_holder_receives_does_not_say_how_small_a_cell_is() -> None:
    """The place at which its share is found among the asker's points is as often one as another."""
    places = []
    for seed in range(200):
        ours, seen = insecure_seeded(seed, "share").words(1), []

        def tap(_: Any, tag: int, body: bytes, seen: list[np.ndarray] = seen) -> tuple[int, bytes]:
            if tag == SmallPoints.tag:
                seen.append(SmallPoints.decode(body).points)
            return tag, body

        roles: dict[Any, Steps[Any]] = {
            BANK: help_find_small(TAX, "step", SESSION, ours, LEAST, insecure_seeded(seed, "a")),
            TAX: find_small(BANK, "step", SESSION, ours + np.uint64(3), LEAST, insecure_seeded(seed, "p")),
        }
        run_network(roles, insecure_in_process=True, tamper=tap)
        # The holder's mask of its own share, known here from its seed, is found again under the asker's.
        places.append(_place(seed, ours + np.uint64(3), seen[0]))
    found = np.bincount(places, minlength=LEAST)
    assert found.sum() == 200
    # A chi-square of 9 degrees of freedom above 30 comes of chance with less than 0.0005; seeds are fixed.
    assert ((found - 20.0) ** 2 / 20.0).sum() < 30


def _place(seed: int, theirs: np.ndarray, points: np.ndarray) -> int:
    from fedcredit.crypto.commutative import CommutativeKey
    from fedcredit.protocols.statistics.cells import items_of

    key = CommutativeKey.generate(insecure_seeded(seed, "a"))
    own = key.mask(items_of(SESSION, np.zeros(1, np.int64), theirs))
    (place,) = np.flatnonzero((points == own).all(axis=1))
    return int(place)


def tampered(kind: type[Any], change: Callable[[Any], Any]) -> Callable[..., tuple[int, bytes]]:
    def tamper(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        if message_type(tag) is kind:
            body = change(kind.decode(body)).encode()
        return tag, body

    return tamper


def more(message: OpenedCells) -> OpenedCells:
    words = message.words.copy()
    words[0, 0] += np.uint64(1 << 40)
    return OpenedCells(message.hidden, words)


def shown_though_small(message: OpenedCells) -> OpenedCells:
    """Zero rows of a cell that was hidden: any word does, since its share is random."""
    words = np.zeros((message.hidden.size, message.words.shape[1]), np.uint64)
    return OpenedCells(np.zeros_like(message.hidden), words)


def cut(message: Any) -> Any:
    return type(message)(message.first, message.points[:-1])


def no_point(message: Any) -> Any:
    points = message.points.copy()
    points[0] = 255
    return type(message)(message.first, points)


@pytest.mark.parametrize(
    ("kind", "change", "culprit", "code"),
    [
        (OpenedCells, more, TAX, "COUNTS_INVALID"),
        (OpenedCells, shown_though_small, TAX, "COUNTS_INVALID"),
        (
            OpenedCells,
            lambda m: OpenedCells(m.hidden[:2], m.words[: m.hidden[:2].size - m.hidden[:2].sum()]),
            TAX,
            "SHAPE",
        ),
        (OpenedCells, lambda m: OpenedCells(1 - np.eye(3, 4, dtype=np.uint8), m.words[:3]), TAX, "COUNTS_INVALID"),
        (CellPoints, cut, TAX, "SHAPE"),
        (CellPoints, no_point, TAX, "POINT_INVALID"),
        (CellPointsAgain, cut, BANK, "SHAPE"),
        (SmallPoints, cut, BANK, "SHAPE"),
        (SmallPoints, no_point, BANK, "POINT_INVALID"),
        (TableAsk, lambda _: TableAsk(2, 3), BANK, "SHAPE"),
        (TableAsk, lambda _: TableAsk(4, 3), BANK, "SHAPE"),
        (TableAsk, lambda _: TableAsk(3, 4), BANK, "SHAPE"),
        (TableAsk, lambda _: TableAsk(3, 2), BANK, "SHAPE"),
    ],
)
def test_a_peer_that_lies_is_named(kind: type[Any], change: Any, culprit: Any, code: str) -> None:
    with pytest.raises(PeerError) as broken:
        play(Case(), tamper=tampered(kind, change))
    assert (broken.value.culprit, broken.value.code) == (culprit, code)


def test_names_of_groups_are_bounded_and_different() -> None:
    from fedcredit.wire.message import MessageInvalid
    from fedcredit.wire.statistics import names_of, text_of

    assert names_of("x", *text_of(["城市", "b"])) == ("城市", "b")
    for names in (["a", "a"], ["", "b"], ["a\n", "b"], ["a" * 513, "b"], ["only one"]):
        with pytest.raises(MessageInvalid):
            TableGroups(*text_of(names))
    with pytest.raises(MessageInvalid):
        TableGroups(np.array([1, 1], np.uint16), np.array([0xFF, 0xFE], np.uint8))
