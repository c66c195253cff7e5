"""Binning in the report: columns by information value, plots of the bins that are known, and nothing else's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from report_sample import metrics
from unit.test_report import HOSTILE, Document, browse

from fedcredit.report import render
from fedcredit.report.page import build_page


def table(bins: list[str], **without: Any) -> list[dict[str, Any]]:
    cells = [
        {
            "bin": name,
            "rows": 100 + k,
            "bads": 10 + k,
            "bad_rate": round(0.1 + 0.01 * k, 2),
            "woe": 0.5 - 0.3 * k,
            "iv": 0.02,
        }
        for k, name in enumerate(bins)
    ]
    return [{key: value for key, value in cell.items() if key not in without} for cell in cells]


def binning(**changes: Any) -> dict[str, Any]:
    columns: list[dict[str, Any]] = [
        {
            "party": "bank",
            "column": "loan_amount",
            "bins": 3,
            "refused": None,
            "iv": 0.3127,
            "rank": None,
            "table": table(["below 10", "from 10", "missing"]),
        },
        {"party": "tax", "column": "tax.f0", "bins": 4, "refused": None, "iv": 0.15, "rank": None},
        {"party": "tax", "column": "tax.f1", "bins": 2, "refused": None, "iv": None, "rank": 2},
        {"party": "tax", "column": "tax.f3", "bins": 2, "refused": None, "iv": None, "rank": None},
        {"party": "tax", "column": "tax.f2", "bins": 0, "refused": "BIN_TOO_SMALL", "iv": None, "rank": None},
    ]
    return {
        "kind": "binning",
        "name": "binning.0",
        "params": {"method": "optimal"},
        "rows": 303,
        "seconds": {"binning": 1.25},
        "bytes": 4096,
        "rounds": 5,
        "columns": columns,
    } | changes


def test_columns_are_listed_with_what_the_job_says_of_them() -> None:
    page = build_page(metrics(models=[binning()]))
    (model,) = page["models"]
    rows = model["columns"]["rows"]
    assert [(row["column"], row["iv"], row["meaning"]) for row in rows] == [
        ("loan_amount", "0.313", "strong"),
        ("tax.f0", "0.150", "medium"),
        ("tax.f1", "no. 2 of tax", "not told"),
        ("tax.f3", "–", "not told"),
        ("tax.f2", "–", "too few rows of a class"),
    ]
    assert model["cost"]["seconds"] == "1.2 s"
    (plot,) = model["columns"]["plots"]
    assert [cell["bin"] for cell in plot["bins"]] == ["below 10", "from 10", "missing"]
    assert page["charts"][0]["bins"][0]["bad_rate"] == [0.1, 0.11, 0.12]
    shown = Document(render(metrics(models=[binning()]))).visible
    for text in ("Columns by information value", "loan_amount", "no. 2 of tax", "below 10", "11.0 %", "−0.100"):
        assert text in shown
    assert "Trees" not in shown


def test_a_report_of_a_party_that_was_told_nothing_has_rows_alone() -> None:
    told = binning()
    told["columns"][0]["table"] = table(["below 10", "from 10"], bads=1, bad_rate=1, woe=1, iv=1)
    page = build_page({"models": [told]})
    assert page["charts"][0]["bins"] == [
        {"bin": ["below 10", "from 10"], "rows": [100, 101], "bad_rate": [None, None], "woe": [None, None]}
    ]
    assert {cell["woe"] for cell in page["models"][0]["columns"]["plots"][0]["bins"]} == {"–"}
    assert render({"models": [told]})


def test_many_columns_are_cut_and_counted() -> None:
    row = binning()["columns"][0]
    (model,) = build_page(metrics(models=[binning(columns=[row] * 130)]))["models"]
    assert len(model["columns"]["rows"]) == 100
    assert model["columns"]["left_out"] == 30
    assert len(model["columns"]["plots"]) == 24
    assert model["columns"]["not_plotted"] == 106


def test_hostile_names_of_columns_and_bins_stay_text() -> None:
    nasty = binning()
    nasty["columns"][0] |= {"column": HOSTILE, "party": HOSTILE, "refused": HOSTILE, "table": table([HOSTILE])}
    rendered = render(metrics(models=[nasty]))
    page = Document(rendered)
    assert "<img src=x" not in rendered
    assert len(page.scripts) == 3
    data = next(content for attributes, content in page.scripts if attributes.get("type") == "application/json")
    assert json.loads(data)[0]["bins"][0]["bin"] == [HOSTILE]


@pytest.mark.slow
def test_a_browser_draws_a_plot_for_each_column_whatever_is_known_of_it(tmp_path: Path) -> None:
    first = binning()["columns"][0]
    columns = [
        first,
        first | {"table": table(["a", "b"], bads=1, bad_rate=1)},
        first | {"table": table(["a", "b"], bads=1, bad_rate=1, woe=1)},
    ]
    dom, console = browse(render({"models": [binning(columns=columns)]}), tmp_path)
    assert console == []
    assert 'data-drawn="3"' in dom
    assert "<figure hidden" not in dom


def test_the_page_of_a_part_says_whose_it_is_and_nothing_of_the_job() -> None:
    document = {"part_of": "tax", "job": {"name": "binning.0"}, "models": [binning()]}
    shown = Document(render(document)).visible
    assert "The part of tax, for its own people" in shown
    assert "Columns by information value" in shown
    for of_the_job in ("What joining is worth", "Job hash", "Data and provenance", "Do not use its results"):
        assert of_the_job not in shown
        assert of_the_job in Document(render({"models": [binning()]})).visible


def test_no_more_digits_are_shown_than_were_told() -> None:
    rows = [{"party": "tax", "column": "tax.f0", "bins": 3, "refused": None, "iv": 0.5, "rank": None}]
    for told, shown in (({}, "0.500"), ({"iv_decimals": 2}, "0.50")):
        (model,) = build_page(metrics(models=[binning(columns=[rows[0] | told])]))["models"]
        assert model["columns"]["rows"][0]["iv"] == shown


@pytest.mark.parametrize(("how", "kept"), [("none", True), ("bins", True), ("coarse", True), ("rounded", False)])
def test_a_page_with_values_that_owners_were_not_told_says_so(how: str, kept: bool) -> None:
    shown = Document(render(metrics(models=[binning(params={"iv_disclosure": how})]))).visible
    assert ("learns more than the job told" in shown) == kept
    own = [row for row in binning()["columns"] if "table" in row]
    page = build_page(metrics(models=[binning(params={"iv_disclosure": how}, columns=own)]))
    assert not page["models"][0]["columns"]["kept"], "of other parties' columns there is nothing on it"
