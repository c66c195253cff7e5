"""Which mode `auto` becomes."""

from __future__ import annotations

import pytest

from fedcredit.protocols.intersect.choice import FAST_FROM_ROWS, MODES, SAVED_S, choose


@pytest.mark.parametrize(
    ("rows", "line_mbit", "mode", "why"),
    [
        ([5, FAST_FROM_ROWS - 1], None, "ecdh", "costs little time"),
        ([5, FAST_FROM_ROWS], None, "fast", "100,000 rows"),
        ([0, 0], None, "ecdh", "costs little time"),  # before all have said how many they bring
        ([0, 0], 0.001, "ecdh", "costs little time"),
        # 54 bytes a row, less what `fast` takes whatever the rows, over so many bits a second.
        ([40_000], 1.0, "fast", "over a line of 1 Mbit/s it takes 11 s less"),
        ([37_000], 1.0, "ecdh", "costs little time"),
        ([40_000], 100.0, "ecdh", "costs little time"),
        ([10_000], 0.001, "ecdh", "costs little time"),  # `fast` takes more there, however slow the line is
        ([FAST_FROM_ROWS], 100.0, "fast", "100,000 rows"),
    ],
)
def test_auto_goes_by_rows_and_by_what_the_line_carries(
    rows: list[int], line_mbit: float | None, mode: str, why: str
) -> None:
    choice = choose("auto", rows, line_mbit=line_mbit)
    assert choice.mode == mode
    assert why in choice.why


@pytest.mark.parametrize("mode", MODES)
def test_a_job_that_names_its_mode_has_it(mode: str) -> None:
    assert choose(mode, [10], line_mbit=1e-3).mode == mode
    assert choose(mode, [10_000_000]).mode == mode


def test_the_saving_grows_with_rows_and_falls_with_the_line() -> None:
    slow = [choose("auto", [rows], line_mbit=1.0).mode for rows in range(10_000, FAST_FROM_ROWS, 1000)]
    assert slow == sorted(slow), "ecdh below, fast from some number of rows on"
    assert SAVED_S > 0
