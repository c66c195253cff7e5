"""A scorecard in the report: every figure that is told, nothing of others' columns but numbers, and no markup."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from report_sample import metrics
from scorecard_sample import PARTIES, sample
from unit.test_report import HOSTILE, Document, browse

from fedcredit.report import render
from fedcredit.report.page import build_page

KEYS = (
    "columns", "selection", "coefficients", "fit", "scale", "points", "bands", "cutoffs", "contribution",
    "column_stability", "card", "periods",
)  # fmt: skip


def job(**changes: Any) -> dict[str, Any]:
    parties = [
        {"id": "bank", "role": "label", "rows": 8000, "features": 12},
        {"id": "tax", "role": "feature", "rows": 9000, "features": 12},
        {"id": "social_insurance", "role": "feature", "rows": 9000, "features": 7},
    ]
    whole = metrics(models=[sample().figures | changes])
    return whole | {"job": {**whole["job"], "parties": parties}}  # type: ignore[dict-item]


def shown(document: dict[str, Any]) -> str:
    return Document(render(document)).visible


def model_of(**changes: Any) -> dict[str, Any]:
    (model,) = build_page(job(**changes))["models"]
    return dict(model)


def test_every_section_is_there_with_its_figures() -> None:
    page, figures = shown(job()), sample().figures
    for heading in (
        "Model card", "Discrimination", "Lift and gain", "Calibration and scores", "Where to set the cut-off",
        "Score bands", "Cut-off in points", "What each party adds", "The scorecard", "Coefficients",
        "Which columns, and why", "Stability", "Columns by information value", "Bins", "Training",
    ):  # fmt: skip
        assert heading in page, heading
    assert "Trees" not in page
    base = figures["scale"]["base_points"]
    for said in (
        f"Base points 基础分 {base}", "Odds at it 基准好坏比 20 : 1", "28.8539",
        "Ranking applications for working-capital loans", "scorecard.tally and 1 more in the words",
        "checked before the intersection",
        "Not for the pricing of insurance", "One iteration 0.60 s", "Time 17.0 s", "Gap to the optimum 3.1e−07",
        "which is worth more; above 0.6", "turns against its own weight of evidence",
    ):  # fmt: skip
        assert said in page, said
    for row in figures["contribution"]:
        assert f"{row['auc_without']:.3f}" in page
        assert f"+{row['auc_gain']:.3f}" in page
    for row in figures["cutoffs"]:
        assert f"{100 * row['bad_rate']:.2f} %" in page
    assert shown(job()) == shown(json.loads(json.dumps(job())))


def test_the_label_partys_page_has_nothing_of_others_columns_but_numbers() -> None:
    s, page = sample(), render(job())
    for party in PARTIES[1:]:
        for column in s.parts[party].columns:
            assert column.name not in page
            assert column.kind == "categorical" or column.names[0] not in page
        row = next(r for r in model_of()["points"]["others"] if r["party"] == party)
        assert len(row["columns"].split(", ")) == len(s.parts[party].columns)
    assert "names, bins and points of a column are known to its owner alone" in page
    for row in model_of()["coefficients"]["rows"]:
        foreign = row["party"] != "bank"
        assert (row["coefficient"] == row["error"] == row["interval"] == "–") == foreign
        assert row["z"] != "–"


def test_where_parts_were_handed_over_the_page_says_so_and_shows_no_more() -> None:
    page = shown(job(params={"merged_card": True}))
    assert "their owners have handed them to the label party" in page
    assert "known to its owner alone" not in page
    for party in PARTIES[1:]:
        for column in sample().parts[party].columns:
            assert column.name not in page


def test_the_statements_of_roles_are_counted_and_not_listed() -> None:
    card = model_of(card={"leakage": ["align.rows", "Asker.6bd61a2f", "Holder.00a76da4"]})["card"]
    assert (card["leakage"], card["formal"]) == (["align.rows"], 2)


def test_selection_counts_what_stayed_and_what_went_by_which_rule() -> None:
    selection, rows = model_of()["selection"], sample().figures["selection"]
    kept = [row["column"] for row in rows if row["kept"]]
    assert (selection["kept"], selection["all"]) == (str(len(kept)), str(len(rows)))
    assert [row["column"] for row in selection["rows"] if row["kept"]] == kept
    assert [row["kept"] for row in selection["rows"]] == [True] * len(kept) + [False] * (len(rows) - len(kept))
    told = {gone["rule"]: int(gone["columns"]) for gone in selection["gone"]}
    assert told == {"information value": 5, "correlation": 9, "significance": 1, "sign of the coefficient": 1}
    many = model_of(selection=rows * 10)["selection"]
    assert (len(many["rows"]), many["left_out"]) == (120, len(rows) * 10 - 120)
    told = [{"column": "x", "kept": True, "why": "", "iv": 0.1}]
    (row,) = model_of(selection=told)["selection"]["rows"]
    assert (row["why"], row["iv"]) == ("kept by every rule", "0.100")
    odd = model_of(selection=[{"column": "x", "party": "bank", "kept": False, "rule": "whim", "why": "because"}])
    assert odd["selection"]["rows"][0]["rule"] == "whim"


def test_the_forest_has_each_interval_where_it_is() -> None:
    told = [
        {"party": "bank", "column": "intercept", "coefficient": -2.0, "standardised": None, "z": -9.0, "p_value": 0.0},
        {"party": "bank", "column": "a", "standardised": -0.2, "z": -1.959964, "p_value": 0.05, "iv": 0.1},
        {"party": "tax", "column": "tax.f0", "standardised": -0.4, "z": -3.919928, "p_value": 8.9e-5, "iv": 0.2},
        {"party": "tax", "column": "tax.f1", "standardised": 0.0, "z": math.nan, "p_value": None},
        {"party": "tax", "column": "tax.f2", "standardised": 1e300, "z": 1e-300, "p_value": 0.9},
    ]
    c = model_of(coefficients=told)["coefficients"]
    rows = {row["column"]: row for row in c["rows"]}
    assert [row["column"] for row in c["rows"]] == ["intercept", "tax.f2", "tax.f0", "a", "tax.f1"]
    assert rows["intercept"]["forest"] is None
    assert rows["tax.f2"]["forest"] is None
    # The line goes from -0.6 to 0, with a margin of 4 % at either end.
    at = {value: round(100 * (value + 0.624) / 0.648, 1) for value in (-0.6, -0.4, -0.2, 0.0)}
    assert rows["tax.f0"]["forest"] == {
        "at": at[-0.4],
        "low": at[-0.6],
        "reach": round(at[-0.2] - at[-0.6], 1),
        "zero": at[0.0],
    }
    assert rows["a"]["forest"] == {
        "at": at[-0.2],
        "low": at[-0.4],
        "reach": round(at[0.0] - at[-0.4], 1),
        "zero": at[0.0],
    }
    assert [tick["value"] for tick in c["ticks"]] == ["−0.6", "−0.4", "−0.2", "0"]
    assert [row["p"] for row in c["rows"]] == ["< 0.0001", "0.9000", "< 0.0001", "0.0500", "–"]
    assert [row["doubtful"] for row in c["rows"]] == [False, True, False, False, False]


def test_points_diverge_from_zero_on_one_scale() -> None:
    told = [
        {"party": "bank", "column": "a", "bins": [{"bin": "x", "rows": 30, "woe": 0.1, "points": 20}]},
        {"party": "bank", "column": "b", "bins": [{"bin": "y", "rows": 10, "woe": -0.1, "points": -10},
                                                  {"bin": "z", "rows": 30, "woe": 0.0, "points": 0}]},
    ]  # fmt: skip
    a, b = model_of(points=told)["points"]["columns"]
    assert [(cell["left"], cell["width"], cell["points"]) for cell in (*a["bins"], *b["bins"])] == [
        (50.0, 50.0, "+20"),
        (25.0, 25.0, "−10"),
        (50.0, 0.0, "0"),
    ]
    assert (a["range"], b["range"]) == ("+20 to +20, 20.0 on average", "−10 to 0, −2.5 on average")
    assert a["rates"] is False


def test_seconds_are_told_in_all_and_part_by_part() -> None:
    for told in ({"seconds": 9.0, "parts": {"fit": 2.5}}, {"parts": None, "seconds": {"fit": 2.5, "total": 9.0}}):
        cost = model_of(**told)["cost"]
        assert (cost["seconds"], cost["parts"]) == ("9.0 s", [{"name": "Fit", "value": "2.5 s"}])


def test_bands_and_cutoffs_are_drawn_from_what_is_told() -> None:
    page = build_page(job())
    (series,) = page["charts"]
    figures = sample().figures
    assert [row["cutoff"] for row in series["cutoffs"]] == [row["cutoff"] for row in figures["cutoffs"]]
    assert [row["bad_rate"] for row in series["bands"]] == [row["bad_rate"] for row in figures["bands"]]
    assert series["bands"][0]["band"].startswith("below ")
    assert series["bands"][-1]["band"].endswith(" and more")
    bands = page["models"][0]["bands"]
    assert bands["total"]["bads"] == str(sum(row["bad"] for row in figures["bands"]))


def test_a_party_without_a_gain_has_no_bar() -> None:
    told = [{"party": "bank", "auc_gain": None}, {"party": "tax", "auc_gain": 0.02}]
    assert [row["gained"] for row in model_of(contribution=told)["contribution"]] == [False, True]
    lost = model_of(contribution=[{"party": "tax", "columns": 1, "auc_gain": -0.01}])["contribution"]
    assert (lost[0]["auc_gain"], lost[0]["width"]) == ("−0.010", 0)


@pytest.mark.parametrize(("index", "light"), [(0.05, "stable"), (0.1, "watch"), (0.25, "shifted"), (None, None)])
def test_columns_have_the_lights_of_the_score(index: float | None, light: str | None) -> None:
    told = [{"party": "bank", "column": "a", "index": index, "points_shift": None}]
    (row,) = model_of(column_stability=told)["column_stability"]["rows"]
    assert row["light"] == light


def test_stability_by_period_is_a_table_and_a_plot() -> None:
    def of(*indexes: float | None) -> list[dict[str, Any]]:
        return [{"period": f"2024-0{k + 1}", "rows": 100 * k, "index": i} for k, i in enumerate(indexes)]

    told = [
        {"party": "bank", "column": "a", "periods": of(None, 0.02, 0.31)},
        {"party": None, "column": None, "periods": of(None, 0.12, 0.01)},
        {"party": "bank", "column": "short", "periods": of(0.1)},
    ]
    section = model_of(periods=told)["periods"]
    assert section["names"] == ["2024-01", "2024-02", "2024-03"]
    assert [row["column"] for row in section["rows"]] == ["a", "total points"]
    assert [cell["light"] for cell in section["rows"][0]["cells"]] == [None, "stable", "shifted"]
    (series,) = build_page(job(periods=told))["charts"]
    assert [line["name"] for line in series["periods"]["lines"]] == ["total points", "a"]
    assert series["periods"]["lines"][1]["index"] == [None, 0.02, 0.31]
    page = shown(job(periods=told))
    assert "By period" in page
    assert "0.310" in page
    assert model_of(periods=[])["periods"] is None


def test_a_party_of_the_contribution_alone_has_its_colour() -> None:
    page = build_page({"models": [{"contribution": [{"party": "tax"}, {"party": "bank"}]}]})
    assert [row["colour"] for row in page["models"][0]["contribution"]] == [0, 1]


def test_each_key_may_be_absent_or_odd() -> None:
    for key in KEYS:
        without = {k: v for k, v in sample().figures.items() if k != key}
        assert "sme-default" in render(metrics(models=[without]))
    for odd in (None, [], {}, 7, "text", [None, 3], [{}], {"a": math.nan}):
        for key in KEYS:
            build_page(job(**{key: odd}))
        page = shown(job(**dict.fromkeys(KEYS, odd)))
        assert "None" not in page
        assert "nan" not in page.lower().split()
    bare = shown({"models": [{"kind": "scorecard", "name": "s"}]})
    for heading in ("Model card", "Score bands", "Coefficients", "The scorecard", "Stability"):
        assert heading not in bare


def test_hostile_text_stays_text() -> None:
    def poisoned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: poisoned(item) for key, item in value.items()}
        if isinstance(value, list):
            return [poisoned(item) for item in value]
        return HOSTILE if isinstance(value, str) else value

    figures = sample().figures
    nasty = {key: poisoned(figures[key]) for key in KEYS}
    rendered = render(job(**nasty))
    page = Document(rendered)
    assert "<img src=x" not in rendered
    assert "img" not in {tag for tag, _ in page.tags}
    assert len(page.scripts) == 3
    assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on")]
    data = next(content for attributes, content in page.scripts if attributes.get("type") == "application/json")
    assert not set("<>&") & set(data)
    assert page.visible.count(HOSTILE) > 50


def test_a_feature_partys_own_page_has_its_own_points_and_nobody_elses() -> None:
    s = sample()
    page = shown(s.own_page("tax"))
    assert "The part of tax, for its own people" in page
    for column in s.parts["tax"].columns:
        assert column.name in page
        assert column.names[0] in page
        assert f"{column.coefficient:.4f}".replace("-", "−") in page
    for heading in ("Model card", "The scorecard", "Coefficients", "Stability", "Columns by information value"):
        assert heading in page
    for absent in ("tax.f", "social_insurance", "average_balance", "Base points", "Score bands", "Standardised",
                   "What each party adds", "known to its owner alone", "What joining is worth"):  # fmt: skip
        assert absent not in page, absent
    (model,) = build_page(s.own_page("tax"))["models"]
    assert model["points"]["others"] == []
    assert all(column["rates"] is False for column in model["points"]["columns"])
    # It knows its coefficients as they are, so they are what is drawn: each within its interval.
    rows = model["coefficients"]["rows"]
    sizes = [abs(column.coefficient) for column in s.parts["tax"].columns]
    assert [row["coefficient"] for row in rows] == [f"−{size:.4f}" for size in sorted(sizes, reverse=True)]
    assert all(r["forest"]["low"] < r["forest"]["at"] < r["forest"]["low"] + r["forest"]["reach"] for r in rows)


@pytest.mark.slow
def test_a_browser_draws_a_scorecard_without_a_complaint(tmp_path: Path) -> None:
    own = len([row for row in sample().figures["columns"] if row.get("table")])
    dom, console = browse(render(job()), tmp_path)
    assert console == []
    assert f'data-drawn="{10 + own}"' in dom  # seven of every model, bands, cut-offs, months, and a plot a column
    assert "<figure hidden" not in dom
    dom, console = browse(render(sample().own_page("tax")), tmp_path)
    assert console == []
    assert 'data-drawn="5"' in dom


@pytest.mark.slow
def test_a_browser_survives_bands_that_do_not_fit_together(tmp_path: Path) -> None:
    dom, console = browse(render(job(bands=[{}], cutoffs=[{"cutoff": None}, {"approval_rate": 0.5}])), tmp_path)
    assert console == []
    assert "data-drawn=" in dom
