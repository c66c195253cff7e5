"""Which backend sums where the job leaves it open."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fedcredit.protocols.groupsum.choice import MAX_HOURS, SAVED_S, Work, choose, cost_of

WIDE = Work(rows=100_000, features=(300,), bins=32, trees=100, depth=5, hide_nodes=True)
NARROW = Work(rows=30_000, features=(10,), bins=32, trees=100, depth=5, hide_nodes=False)


@pytest.mark.parametrize("line_mbit", [None, 1.0])
def test_what_the_job_names_is_taken(line_mbit: float | None) -> None:
    assert choose("onehot", WIDE, line_mbit=line_mbit).backend == "onehot"
    found = choose("paillier", NARROW, line_mbit=line_mbit)
    assert found.backend == "paillier"
    assert "hours" in found.why


@pytest.mark.parametrize("work", [WIDE, NARROW])
def test_without_a_line_that_is_stated_it_is_the_one_that_computes_least(work: Work) -> None:
    assert choose("auto", work).backend == "onehot"
    assert cost_of("onehot", work).seconds < cost_of("paillier", work).seconds / 5


def test_the_line_decides_where_columns_are_many_and_rows_hidden() -> None:
    assert choose("auto", replace(WIDE, rows=20_000), line_mbit=10).backend == "paillier"
    assert choose("auto", replace(WIDE, rows=20_000), line_mbit=1000).backend == "onehot"
    assert choose("auto", replace(NARROW, hide_nodes=True), line_mbit=10).backend == "onehot"


def test_the_one_that_takes_less_by_a_minute_is_taken_and_both_figures_are_in_the_reason() -> None:
    taken = set()
    for line_mbit in (0.5, 1, 2, 5, 10, 20, 50, 100, 1000):
        for work in (NARROW, replace(NARROW, features=(60, 40)), replace(WIDE, rows=5_000)):
            onehot, paillier = (cost_of(name, work).over(line_mbit) for name in ("onehot", "paillier"))
            found = choose("auto", work, line_mbit=line_mbit)
            assert (found.backend == "paillier") == (onehot - paillier >= SAVED_S)
            assert f"{onehot:,.0f} s" in found.why
            assert f"{paillier:,.0f} s" in found.why
            taken.add(found.backend)
    assert taken == {"onehot", "paillier"}


def test_days_of_computing_are_never_chosen_without_being_asked_for() -> None:
    endless = replace(WIDE, rows=10_000_000)
    assert cost_of("paillier", endless).seconds > MAX_HOURS * 3600
    assert choose("auto", endless, line_mbit=0.1).backend == "onehot"


def test_bytes_are_those_of_the_page() -> None:
    """A row and feature of 32 groups costs onehot 84 bytes once and 8 a tree, hidden 8 a node; a row Paillier 768."""
    one = Work(rows=1_000_000, features=(1,), bins=32, trees=1, depth=1, hide_nodes=False)
    assert cost_of("onehot", one).bytes == pytest.approx(92e6, rel=0.001)
    assert cost_of("onehot", replace(one, trees=11)).bytes == pytest.approx(172e6, rel=0.001)
    assert cost_of("onehot", replace(one, depth=5, hide_nodes=True)).bytes == pytest.approx(212e6, rel=0.001)
    assert cost_of("paillier", one).bytes == pytest.approx(768e6, rel=0.001)
    assert cost_of("paillier", replace(one, depth=5)).bytes == pytest.approx(768e6, rel=0.001)
    assert cost_of("paillier", replace(one, depth=5, hide_nodes=True)).bytes == pytest.approx(5 * 768e6, rel=0.001)
    assert cost_of("paillier", replace(one, features=(1, 0))).bytes == cost_of("paillier", one).bytes
