"""What a party is told of its own table: ranges, spread, what is nearly constant; and what the log is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_files import spec_of

from fedcredit.tables import check_table, open_table, quality
from fedcredit.tables.quality import BARS, QUANTILES, range_of

NAN = float("nan")


@given(st.lists(st.floats(allow_nan=True, allow_infinity=False), max_size=60))
def test_ranges_of_any_numbers(values: list[float]) -> None:
    present = sorted(value for value in values if value == value)
    found = range_of("numeric", (), np.array(values, np.float64))
    if not present:
        assert found is None
        return
    assert found is not None
    assert (found.smallest, found.largest) == (present[0], present[-1])
    assert found.quantiles == tuple(np.quantile(present, QUANTILES, method="lower"))
    assert sum(found.bars) == len(present)
    assert found.most_frequent == max(present.count(value) for value in present) / len(present)


def test_bars_are_of_equal_width() -> None:
    values = np.array([0.0, *range(1, BARS * 10), BARS * 10.0, NAN])
    found = range_of("numeric", (), values)
    assert found is not None
    assert found.bars == (10,) * (BARS - 1) + (11,)
    widest = range_of("numeric", (), np.array([-1.7e308, 0.0, 1.7e308]))
    assert widest is not None
    assert (widest.bars[0], widest.bars[BARS // 2], widest.bars[-1]) == (1, 1, 1)


def test_levels_are_counted_by_frequency() -> None:
    found = range_of("categorical", ("a", "b", "c"), np.array([2, 2, 0, NAN, 2, 1]))
    assert found is not None
    assert (found.top, found.bars) == (("c", "a", "b"), (3, 1, 1))
    assert found.most_frequent == 3 / 5


def test_a_report_of_a_table_with_everything_wrong(tmp_path: Path) -> None:
    rows = "".join(f"i{k},{k},1,{k % 2}\n" for k in range(200))
    content = f"id,n,flat,y\n{rows}i7,x,2,2\n,NULL,1,\n".encode()
    report = check_table("t", spec_of(tmp_path, content, label="y"))
    assert {p.code for p in report.problems} == {
        *("ID_DUPLICATE", "ID_INVALID", "VALUE_INVALID", "LABEL_MISSING", "LABEL_INVALID"),
    }
    assert report.exit_status == 65
    quality = report.quality
    assert quality is not None
    assert (quality.rows, quality.ids_duplicate, quality.ids_invalid) == (202, 1, {"empty": 1})
    number, flat = quality.columns
    assert (number.invalid, number.range) == (2, None)
    assert flat.range is not None
    assert [w.code for w in quality.warnings] == ["COLUMN_NEARLY_CONSTANT"]
    assert quality.counts() == {
        **{"rows": 202, "ids_invalid": 1, "ids_duplicate": 1, "columns": 2, "cells_missing": 0, "warnings": 1}
    }


def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    report = check_table("t", spec_of(tmp_path, b"id,x\na,1\nb\n"))
    assert [p.code for p in report.problems] == ["CSV_MALFORMED"]
    assert (report.quality, report.exit_status) == (None, 65)


def test_values_do_not_show_in_logs(tmp_path: Path) -> None:
    content = b"id,n,c\na,48151623,secret\nb,2,other\n"
    with open_table(spec_of(tmp_path, content)) as table:
        text = repr(table.profiled()) + str(table.profiled().counts())
    assert "48151623" not in text
    assert "secret" not in text


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, 100])
def test_the_most_frequent_value_is_found_across_pieces(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "_ROWS_AT_ONCE", at_once)
    rng = np.random.default_rng(at_once)
    for n, distinct in ((1, 1), (2, 1), (2, 2), (50, 1), (50, 3), (60, 60), (60, 20)):
        values = rng.integers(0, distinct, n).astype(np.float64)
        most = np.unique(values, return_counts=True)[1].max()
        found = range_of("numeric", (), np.concatenate([values, [NAN] * 3]))
        assert found is not None
        assert found.most_frequent == most / n
