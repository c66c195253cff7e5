"""Oblivious lookup against its slow twin on either arithmetic; one cell is read and no other can be."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.crypto.lookup import MAX_CELLS, OUTSIDE, Lookup, cells_for
from fedcredit.crypto.randomness import Randomness, insecure_seeded
from fedcredit.kernels import group, lookup
from fedcredit.kernels import reference_group as slow
from fedcredit.kernels import reference_lookup as reference

U8 = npt.NDArray[np.uint8]

BASE = group.hash_to_group(np.zeros((1, 3), np.uint8), dst=b"test").tobytes()
SECRET = insecure_seeded(1).scalar()
POINT = group.multiply_base(np.frombuffer(SECRET, np.uint8)[None]).tobytes()
KEY = bytes(range(32))
SIDES = [2, 4, 16, 256]


def numbers(rows: U8) -> list[int]:
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


def drawn(side: int, n: int, seed: int) -> tuple[Any, Any, U8]:
    """Indices and offsets, the ends among them, and scalars."""
    random = np.random.default_rng(seed)
    indices, offsets = random.integers(0, side * side, (2, n)).astype(np.uint32)
    indices[:2] = 0, side * side - 1
    offsets[-2:] = 0, side * side - 1
    return indices, offsets, insecure_seeded(seed).scalars(2 * n).reshape(n, 2, 32)


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize(("side", "n"), [(2, 70), (4, 33), (8, 9)])
def test_points_tables_and_cells_are_those_of_the_slow_twin(side: int, n: int, portable: bool) -> None:
    """More than 64 points take the list of multiples, and rows are no multiple of the eight lanes."""
    indices, offsets, scalars = drawn(side, n, side)
    edges, last = [1, side, side + 1], side * side - 2
    points = lookup.choose(BASE, side, scalars, indices, portable=portable)
    tables = lookup.answer(BASE, SECRET, KEY, 5, side, edges, last, points, offsets, portable=portable)
    cells = lookup.read(POINT, KEY, 5, side, scalars, indices, tables, portable=portable)
    base, secret = slow.decode(BASE), int.from_bytes(SECRET, "little")
    for row in {0, 1, n // 2, n - 2, n - 1}:
        own, index, offset = numbers(scalars[row]), int(indices[row]), int(offsets[row])
        assert points[row].tobytes() == reference.choose(base, side, own, index)
        table = reference.answer(base, secret, KEY, 5 + row, side, edges, last, points[row].tobytes(), offset)
        assert tables[row].tobytes() == table
        assert cells[row] == reference.read(slow.decode(POINT), KEY, 5 + row, side, own, index, table)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("n", [1, 40])
def test_both_arithmetics_give_the_same_bytes_and_the_step_of_the_sum(side: int, n: int) -> None:
    cells = side * side
    indices, offsets, scalars = drawn(side, n, n) if n > 1 else (*np.array([[1], [2]], np.uint32), SECRETS)
    edges, last = sorted({0, cells // 3, cells // 2, cells - 1}), cells - 2
    both = []
    for portable in (False, True):
        points = lookup.choose(BASE, side, scalars, indices, portable=portable)
        tables = lookup.answer(BASE, SECRET, KEY, 0, side, edges, last, points, offsets, portable=portable)
        read = lookup.read(POINT, KEY, 0, side, scalars, indices, tables, portable=portable)
        both.append((points.tobytes(), tables.tobytes(), read.tobytes()))
    assert both[0] == both[1]
    values = (indices + offsets) % cells
    steps = np.searchsorted(edges, values, side="right")
    assert (np.frombuffer(both[0][2], np.uint8) == np.where(values > last, OUTSIDE, steps)).all()


SECRETS = insecure_seeded(9).scalars(2).reshape(1, 2, 32)


@settings(max_examples=20, deadline=None)
@given(values=st.sampled_from([2, 3, 4, 5, 100, 600, 1024, 1025, MAX_CELLS]), seed=st.integers(0, 99), data=st.data())
def test_a_reader_learns_in_which_step_its_masked_number_is(values: int, seed: int, data: st.DataObject) -> None:
    edges = sorted(data.draw(st.sets(st.integers(1, values - 1), min_size=1, max_size=8)))
    random, secret = np.random.default_rng(seed), insecure_seeded(seed)
    reader, owner = Lookup(b"one", values), Lookup(b"one", values)
    n = 3 if values == MAX_CELLS else 20
    wanted, offsets = random.integers(0, values, n), random.integers(0, owner.cells, n).astype(np.uint32)
    choice = reader.choose(((wanted - offsets) % owner.cells).astype(np.uint32), 7, secret)
    point, tables = owner.answer(choice.points, offsets, edges, values - 1, 7, secret)
    assert (reader.read(choice, point, tables) == np.searchsorted(edges, wanted, side="right")).all()


def keys_of(points: U8, side: int) -> list[list[bytes]]:
    """Every key of a row's two points, as its owner has them."""
    base, secret = slow.decode(BASE), int.from_bytes(SECRET, "little")
    sent = [slow.decode(points[32 * d : 32 * d + 32].tobytes()) for d in range(2)]
    return [[slow.encode((point + base * i) * secret) for i in range(side)] for point in sent]


def test_a_reader_has_one_key_of_each_digit_and_no_two_rows_have_one_in_common() -> None:
    """What it can compute, k R, is its own key and none beside it."""
    side, index = 8, 8 * 5 + 2
    scalars = insecure_seeded(4).scalars(4).reshape(2, 2, 32)
    points = lookup.choose(BASE, side, scalars, np.full(2, index, np.uint32))
    seen: set[bytes] = set()
    for row in range(2):
        for digit, (own, keys) in enumerate(zip((5, 2), keys_of(points[row], side), strict=True)):
            known = slow.encode(slow.decode(POINT) * numbers(scalars[row])[digit])
            assert [i for i, key in enumerate(keys) if key == known] == [own]
            seen |= set(keys)
    assert len(seen) == 2 * 2 * side


def test_cells_that_a_reader_did_not_choose_look_the_same_whatever_they_hold() -> None:
    """Read with the keys of its own index, all cells but one are noise: each byte as often as any other."""
    n, values = 200, 1000
    offsets = np.full(n, 3, np.uint32)
    reader, owner = Lookup(b"one", values), Lookup(b"one", values)
    choice = reader.choose(np.full(n, 40, np.uint32), 0, insecure_seeded(1))
    answers = [
        owner.answer(choice.points, offsets, edges, values - 1, 0, insecure_seeded(2)) for edges in ([1, 2, 3], [500])
    ]
    (point, tables), (same, others) = answers
    assert point == same
    assert (reader.read(choice, point, tables) == 3).all()
    assert (reader.read(choice, point, others) == 0).all()
    for seen in (tables, others):
        counts = np.bincount(np.delete(seen, 40, axis=1).ravel(), minlength=256)
        assert np.abs(counts / counts.mean() - 1).max() < 0.2
    assert (tables ^ others < 4).all(), "pads go by what was sent and by the point alone, so a point serves once"


def test_points_of_a_reader_are_others_each_time_and_owners_answer_with_others() -> None:
    lookups, drawn_twice = Lookup(b"one", 100), insecure_seeded(5)
    zeros = np.zeros(3, np.uint32)
    first, second = (lookups.choose(zeros, 0, drawn_twice) for _ in range(2))
    assert len({point.tobytes() for point in (*first.points, *second.points)}) == 6
    one, two = (lookups.answer(first.points, zeros, [50], 99, 0, drawn_twice) for _ in range(2))
    assert one[0] != two[0]
    assert (one[1] != two[1]).mean() > 0.98


@pytest.mark.parametrize("change", ["context", "row", "point", "other rows"])
def test_an_answer_is_of_one_context_row_and_point(change: str) -> None:
    n, secret = 200, insecure_seeded(6)
    zeros, asker = np.zeros(n, np.uint32), Lookup(b"one", 1000)
    choice = asker.choose(zeros, 0, secret)
    owner = Lookup(b"two" if change == "context" else b"one", 1000)
    point, tables = owner.answer(choice.points, zeros, [500], 999, 1 if change == "row" else 0, secret)
    if change == "point":
        point = POINT
    if change == "other rows":
        tables = np.roll(tables, 1, axis=0)
    assert (asker.read(choice, point, tables) <= 1).mean() < 0.1, "garbage has any byte"


def test_what_is_no_point_is_refused_by_number() -> None:
    reader = Lookup(b"one", 100)
    zeros, secret = np.zeros(10, np.uint32), insecure_seeded(7)
    choice = reader.choose(zeros, 0, secret)
    for bad in (bytes(32), b"\xff" * 32):
        points = choice.points.copy()
        points[3, 32:] = np.frombuffer(bad, np.uint8)
        with pytest.raises(lookup.BadPoint, match="element 7 "):
            reader.answer(points, zeros, [50], 99, 0, secret)
        with pytest.raises(lookup.BadPoint):
            reader.read(choice, bad, np.zeros((10, 256), np.uint8))


def test_wrong_shapes_and_numbers_are_refused_before_anything_is_computed() -> None:
    reader, secret = Lookup(b"one", 100), insecure_seeded(8)
    one: Any = np.zeros(1, np.uint32)
    beyond = np.full(1, 256, np.uint32)
    choice = reader.choose(one, 0, secret)
    calls: list[Any] = [
        lambda: reader.choose(beyond, 0, secret),
        lambda: reader.choose(one.astype(np.int64), 0, secret),
        lambda: reader.answer(choice.points, beyond, [50], 99, 0, secret),
        lambda: reader.answer(choice.points[:, :63], one, [50], 99, 0, secret),
        lambda: reader.answer(choice.points, one, [-1], 99, 0, secret),
        lambda: reader.answer(choice.points, one, [1] * 255, 99, 0, secret),
        lambda: reader.read(choice, POINT, np.zeros((1, 255), np.uint8)),
        lambda: lookup.choose(BASE, 3, SECRETS, one),
        lambda: lookup.choose(BASE[1:], 2, SECRETS, one),
        lambda: lookup.choose(BASE, 2, SECRETS[:, :1], one),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"."):
            call()


@pytest.mark.parametrize(
    ("values", "cells"), [(2, 4), (4, 4), (5, 16), (600, 1024), (1025, 4096), (MAX_CELLS, MAX_CELLS)]
)
def test_tables_have_a_power_of_four_cells(values: int, cells: int) -> None:
    assert cells_for(values) == cells


@pytest.mark.parametrize("values", [0, 1, MAX_CELLS + 1])
def test_other_numbers_of_values_are_refused(values: int) -> None:
    with pytest.raises(ValueError, match="values"):
        Lookup(b"", values)


def test_secrets_are_in_no_text() -> None:
    secret: Randomness = insecure_seeded(1)
    choice = Lookup(b"one", 100).choose(np.zeros(1, np.uint32), 0, secret)
    assert "array" not in repr(choice)
    assert repr(Lookup(b"one", 100)) == "Lookup(...)"
