"""Groups that are large enough, and tables from whose totals no small cell follows: attacked as a linear system."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from fedcredit.credit.cell_hiding import hidden_cells
from fedcredit.credit.statistics_groups import (
    MAX_GROUPS,
    MISSING,
    OTHERS,
    Groups,
    groups_of,
    too_close,
)
from fedcredit.errors import DataError

NAN = float("nan")


def levels(*sizes: int) -> np.ndarray:
    return np.repeat(np.arange(len(sizes), dtype=float), sizes)


def test_levels_are_groups_and_small_ones_are_joined() -> None:
    found = groups_of(levels(60, 7, 80, 9), min_rows=50, quantiles=5, levels=("a", "b", "c", "d"))
    assert dict(zip(found.names, found.sizes.tolist(), strict=True)) == {"c": 80, OTHERS: 76}
    found = groups_of(levels(60, 30, 80, 25), min_rows=50, quantiles=5, levels=("a", "b", "c", "d"))
    assert dict(zip(found.names, found.sizes.tolist(), strict=True)) == {"a": 60, "c": 80, OTHERS: 55}


def test_numbers_are_cut_at_split_points_of_their_owner_or_in_equal_parts() -> None:
    values = np.arange(1000.0)
    found = groups_of(values, min_rows=50, quantiles=4, splits=(100.0, 120.0, 500.0))
    assert found.names == ("below 120", "120 to 500", "from 500")
    assert found.sizes.tolist() == [120, 380, 500]
    found = groups_of(values, min_rows=50, quantiles=4)
    assert found.names == ("part 1 of 4", "part 2 of 4", "part 3 of 4", "part 4 of 4")
    assert found.sizes.tolist() == [250] * 4
    assert groups_of(values % 2, min_rows=50, quantiles=4).names == ("0", "1")


def test_missing_and_special_values_are_apart_where_they_are_enough() -> None:
    values = np.concatenate([np.arange(200.0), np.full(60, NAN), np.full(70, -9.0)])
    found = groups_of(values, min_rows=50, quantiles=2, special=(-9.0,))
    assert dict(zip(found.names, found.sizes.tolist(), strict=True)) == {
        "part 1 of 2": 100,
        "part 2 of 2": 100,
        "-9": 70,
        MISSING: 60,
    }
    assert groups_of(values[:230], min_rows=50, quantiles=2).names == ("part 2 of 2", OTHERS)


def test_many_levels_and_strange_names() -> None:
    many = tuple(f"{k}" for k in range(200))
    found = groups_of(levels(*[20] * 200), min_rows=10, quantiles=5, levels=many)
    assert len(found.names) == MAX_GROUPS
    assert found.sizes.min() >= 10
    found = groups_of(levels(20, 20, 20), min_rows=10, quantiles=5, levels=("x" * 90, "x" * 91, "a\x1b[31m"))
    assert len(set(found.names)) == 3
    assert all(name.isprintable() and len(name) < 100 for name in found.names)


def test_nothing_is_large_enough() -> None:
    found = groups_of(levels(3, 4), min_rows=50, quantiles=5, levels=("a", "b"))
    assert (found.names, found.sizes.tolist()) == ((OTHERS,), [7])
    with pytest.raises(DataError) as refused:
        groups_of(np.array([1.0, np.inf]), min_rows=10, quantiles=2)
    assert refused.value.code == "VALUE_INFINITE"


@given(st.lists(st.integers(0, 120), min_size=1, max_size=30), st.integers(1, 60), st.booleans())
def test_no_group_is_small_and_every_row_is_in_one(sizes: list[int], least: int, numbers: bool) -> None:
    values = levels(*sizes)
    names = None if numbers else tuple(map(str, range(len(sizes))))
    found = groups_of(values, min_rows=least, quantiles=5, levels=names)
    assert found.sizes.sum() == values.size
    assert values.size < least or found.sizes.min(initial=least) >= least


tables = st.integers(2, 5).flatmap(
    lambda k: st.integers(2, 5).flatmap(
        lambda b: st.lists(st.lists(st.integers(0, 30), min_size=b, max_size=b), min_size=k, max_size=k)
    )
)


def seen(counts: np.ndarray, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What an observer knows, as equations of the cells: those shown, and the totals of all rows and columns."""
    k, b = counts.shape
    cells = np.arange(k * b).reshape(k, b)
    rows = [np.isin(cells, cells[i]) for i in range(k)] + [np.isin(cells, cells[:, j]) for j in range(b)]
    rows += [cells == cell for cell in cells[~hidden]]
    system = np.array([row.ravel() for row in rows], float)
    return system, system @ counts.ravel()


def known(system: np.ndarray, functional: np.ndarray) -> bool:
    solution = np.linalg.lstsq(system.T, functional, rcond=None)[0]
    return bool(np.allclose(system.T @ solution, functional, atol=1e-8))


@settings(max_examples=150, deadline=None)
@given(tables)
def test_no_sum_of_few_rows_follows_from_what_is_shown(table: list[list[int]]) -> None:
    """Every sum of hidden cells that the shown ones and the totals determine has rows enough, and by the totals each
    hidden cell may have, too. Categories whose total is small are joined before: see `groups_of`."""
    least = 10
    counts = np.array(table)
    counts[counts.sum(axis=1) < least, 0] += least
    counts[0, counts.sum(axis=0) < least] += least
    small = counts < least
    hidden = hidden_cells(small, counts.sum(axis=0))
    assert hidden[small].all()
    assert small.any() or not hidden.any()
    system, values = seen(counts, hidden)
    cells = np.flatnonzero(hidden)
    for size in range(1, min(cells.size, 4) + 1):
        for chosen in itertools.islice(itertools.combinations(cells, size), 200):
            functional = np.zeros(counts.size)
            functional[list(chosen)] = 1
            if known(system, functional):
                assert counts.ravel()[list(chosen)].sum() >= least
    for cell in cells[:6]:
        objective = np.zeros(counts.size)
        objective[cell] = -1
        best = linprog(objective, A_eq=system, b_eq=values, bounds=(0, None))
        assert best.status == 0
        assert -best.fun >= least - 1e-6


def test_what_hiding_the_small_cell_alone_or_one_more_would_give_away() -> None:
    """The attack works where less is hidden: it is not the attack that is weak."""
    counts = np.array([[3, 40, 50], [60, 70, 80], [90, 30, 20]])
    small = counts < 10
    system, _ = seen(counts, small)
    assert known(system, small.ravel().astype(float))
    in_row = small.copy()
    in_row[0, 1] = True
    assert known(seen(counts, in_row)[0], small.ravel().astype(float))
    hidden = hidden_cells(small, counts.sum(axis=0))
    assert hidden.sum() == 4
    assert not known(seen(counts, hidden)[0], small.ravel().astype(float))


def test_a_row_of_small_cells_only_is_hidden_with_others() -> None:
    counts = np.array([[5, 6], [60, 70], [80, 90]])
    hidden = hidden_cells(counts < 10, counts.sum(axis=0))
    assert hidden.tolist() == [[True, True], [True, True], [False, False]]
    assert not hidden_cells(np.zeros((3, 4), bool), np.ones(4, np.int64)).any()
    assert hidden_cells(np.ones((3, 4), bool), np.ones(4, np.int64)).all()


def of(codes: np.ndarray) -> Groups:
    return Groups(tuple(f"c{k}" for k in range(int(codes.max()) + 1)), codes.astype(np.uint8))


def test_categories_that_differ_in_a_few_rows_are_too_close() -> None:
    whole, few = of(np.zeros(100, int)), np.zeros(100, int)
    few[:3] = 1
    assert too_close(whole, of(few), 10)
    assert too_close(of(few), whole, 10)
    assert not too_close(whole, whole, 10)
    assert not too_close(of(few), of(few), 10)
    half = np.repeat([0, 1], 50)
    moved = half.copy()
    moved[49] = 1
    assert too_close(of(half), of(moved), 10)
    assert not too_close(whole, of(half), 10)


def test_categories_that_are_made_of_others_are_too_close() -> None:
    """A cell that the coarse table hides for another's sake would be the sum of cells that the fine one shows."""
    fine = np.repeat(np.arange(4), 50)
    assert too_close(of(fine), of(fine // 2), 10)
    assert too_close(of(fine // 2), of(fine), 10)
    across = np.arange(200) % 2
    assert not too_close(of(fine), of(across), 10)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=20, max_size=60), st.integers(1, 12))
def test_no_unions_of_tables_that_are_not_too_close_differ_in_few_rows(rows: list[tuple[int, int]], least: int) -> None:
    one, other = (np.unique(codes, return_inverse=True)[1] for codes in np.array(rows).T)
    if np.array_equal(one, other):
        return
    found = []
    for mine in itertools.product((False, True), repeat=int(one.max()) + 1):
        for theirs in itertools.product((False, True), repeat=int(other.max()) + 1):
            if not (all(mine) and all(theirs)) and (any(mine) or any(theirs)):
                found.append(int((np.array(mine)[one] != np.array(theirs)[other]).sum()))
    assert min(found) >= least or too_close(of(one), of(other), least)
