"""Statistics in the report and on the screen: bars, heat maps, what is hidden; names are text whatever they hold."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from report_sample import metrics
from rich.console import Console
from unit.test_report import HOSTILE, Document, browse

from fedcredit.cli.statistics_display import statistics_tables
from fedcredit.report import render
from fedcredit.report.page import build_page

LOANS = {
    "name": "loans",
    "party": "tax",
    "column": "level",
    "own": None,
    "refused": None,
    "rows": [""],
    "columns": ["A", "B", "(others)"],
    "hidden": 0,
    "count": [[1200, 300, 60]],
    "sums": {"bank.loan": [[120_000.0, 60_000.5, 1.25]]},
    "means": {"bank.loan": [[100.0, 200.0016667, 0.0208333]]},
    "spreads": {"bank.loan": [[9.5, 8.25, 7.0]]},
    "missing": {"bank.loan": 12},
    "missing_are": "zero",
}
CROSS = {
    "name": "cross",
    "party": "tax",
    "column": "level",
    "own": "branch",
    "refused": None,
    "rows": ["north", "south"],
    "columns": ["A", "B"],
    "hidden": 2,
    "count": [[500, 90], [None, None]],
    "sums": {"bank.loan": [[5.0, 9.0], [None, None]]},
    "means": {"bank.loan": [[0.01, 0.1], [None, None]]},
    "missing": {"bank.loan": 0},
    "missing_are": "apart",
}
NONE = {
    "name": "few",
    "party": "tax",
    "column": "code",
    "own": None,
    "refused": "GROUPS_TOO_SMALL",
    "rows": [],
    "columns": [],
    "hidden": 0,
    "count": [],
    "sums": {},
    "means": {},
    "missing": {},
    "missing_are": "apart",
}


def statistics(*tables: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": "statistics",
        "name": "statistics.0",
        "params": {"min_cell": 50, "share": False},
        "rows": 1560,
        "seconds": 1.25,
        "bytes": 4096,
        "rounds": 5,
        "tables": list(tables),
    }


def test_tables_are_shown_with_bars_and_heat_and_what_is_hidden() -> None:
    page = build_page(metrics() | {"models": [statistics(LOANS, CROSS, NONE)]})
    (model,) = page["models"]
    loans, cross, none = model["statistics"]["tables"]
    assert [line["rows"] for line in loans["lines"]] == ["1,200", "300", "60"]
    assert [line["width"] for line in loans["lines"]] == [100.0, 25.0, 5.0]
    assert loans["lines"][1]["figures"] == ["60,000.50", "200.0017", "8.2500"]
    assert loans["missing"] == "12 rows have no bank.loan: they count as zero."
    assert cross["by"] == "tax.level × branch"
    assert [cell["value"] for cell in cross["lines"][1]["cells"]] == ["hidden", "hidden"]
    assert [cell["heat"] for cell in cross["lines"][0]["cells"]] == [100.0, 0.0]
    assert none["refused"].startswith("No table")
    assert page["charts"][0]["tables"][0] == {
        "columns": ["A", "B", "(others)"],
        "rows": [1200, 300, 60],
        "mean": [100.0, 200.0016667, 0.0208333],
        "of": "bank.loan",
    }
    html = render(metrics() | {"models": [statistics(LOANS, CROSS, NONE)]})
    assert "Joint tables" in html
    assert "What joining is worth" not in html
    assert {party["role"] for party in page["parties"]} <= {"asks 查询方", "lends columns 数据方", "coordinates 协调方"}
    assert "2 cells are hidden" in html
    assert "--heat:100.0%" in html


def test_names_of_groups_are_text_in_the_report_and_on_the_screen() -> None:
    hostile = LOANS | {"columns": [HOSTILE, "[bold]B[/bold]", "C"]}
    html = render(metrics() | {"models": [statistics(hostile)]})
    assert HOSTILE not in html
    assert not [tag for tag, _ in Document(html).tags if tag == "img"]
    screen = Console(file=io.StringIO(), width=200)
    for table in statistics_tables(statistics(hostile, CROSS, NONE)):
        screen.print(table)
    shown = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "[bold]B[/bold]" in shown
    assert "2 of 4 cells are hidden (min_cell = 50)" in shown
    assert "hidden" in shown
    assert "there is none" in shown


def test_gaps_and_strange_values_never_keep_the_page_from_being_made() -> None:
    gaps: tuple[dict[str, Any], ...] = ({"count": None}, {"columns": 5}, {"sums": []}, {"rows": None}, {"name": None})
    for broken in (*gaps, {"means": {"x": "y"}}):
        for table in (LOANS, CROSS):
            assert "Joint tables" in render(metrics() | {"models": [statistics(table | broken)]})
    assert json.dumps(build_page(metrics() | {"models": [statistics()]})["models"][0]["statistics"]) == "null"


@pytest.mark.slow
def test_a_browser_draws_the_bars_of_a_table_without_a_complaint(tmp_path: Path) -> None:
    dom, console = browse(render(metrics() | {"models": [statistics(LOANS, CROSS, NONE)]}), tmp_path)
    assert console == []
    assert 'data-drawn="1"' in dom
    assert "<figure hidden" not in dom
