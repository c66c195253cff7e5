"""The report of a job whose parties have the same columns: nobody owns one, and nobody sees another's own figures."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from report_sample import members, metrics, model

from fedcredit.ids import PartyId
from fedcredit.node.outcome import publish_own
from fedcredit.report import render
from fedcredit.report.comparison import draw_comparison
from fedcredit.report.page import build_page
from fedcredit.report.parties import Parties

OWN = {"gbdt.0": {"rows": 176, "bads": 35, "auc": 0.7222, "auc_alone": 0.6871, "ks": 0.41, "ks_alone": 0.33}}


def shown(document: str) -> str:
    """The text of the page without scripts and styles."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", document, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", bare))


def test_no_table_says_whose_a_column_is_that_all_have() -> None:
    said = render(members())
    heads = re.findall(r"<thead>.*?</thead>", said, re.DOTALL)
    owned = [head for head in heads if ">Party<" in head]
    # Who learned what, and who takes part, are about parties; in the vertical case so are columns.
    assert len(owned) == 2
    assert "opaque" not in shown(said)
    assert "All parties have these columns, and this model." in shown(said)
    assert (
        len([head for head in re.findall(r"<thead>.*?</thead>", render(metrics()), re.DOTALL) if "Party" in head]) > 2
    )


def test_joint_and_alone_are_compared_within_a_party_and_the_page_says_why() -> None:
    page = build_page(members())
    auc, ks, gini = page["models"][0]["headline"]
    assert (auc["value"], auc["joint"], auc["alone"], auc["difference"]) == ("0.812", "0.771", "0.741", "+0.031")
    assert (ks["alone"], gini["difference"]) == ("–", None)
    assert "alone" not in page["charts"][0]["roc"]
    assert "joint" in page["charts"][0]["roc"]
    said = shown(render(members()))
    assert "AUC 0.771 instead of 0.741 (+0.031)" in said
    assert "pairs of a good and a bad row of one party, over all parties together (155,521 pairs)" in said


def test_how_far_figures_counted_in_steps_may_be_off_is_said() -> None:
    said = shown(render(members()))
    assert "The AUC of all rows themselves is at most 0.0004 away, and the KS at most 0.0185 higher" in said
    assert "counted in steps" not in shown(render(metrics()))


def test_the_model_card_has_rows_of_all_together() -> None:
    said = shown(render(members()))
    assert "9,955 rows of all parties together were trained on, 649 of them bad" in said
    assert "Rows trained on" not in said


def test_parties_that_learned_the_same_of_each_other_are_one_group() -> None:
    told = build_page(members())["leakage"]
    assert [[party["id"] for party in group["parties"]] for group in told] == [["lake", "ridge", "oasis"], ["platform"]]
    assert [fact["about"] for fact in told[0]["facts"]] == ["each other", "each other"]
    assert told[1]["facts"][0]["about"] == "lake, ridge, oasis"
    uneven = members()
    rows: Any = uneven["leakage"]
    rows.append({"party": "oasis", "learns": "one thing more", "about": "lake", "through": "x"})
    told = build_page(uneven)["leakage"]
    assert [len(group["parties"]) for group in told] == [2, 1, 1]
    assert told[0]["facts"][0]["about"] == "ridge, oasis, lake"


def test_a_page_without_own_figures_has_no_section_of_them() -> None:
    assert "Your own rows" not in render(members())
    said = shown(render(members(own={"party": "oasis", "models": OWN})))
    assert "Your own rows" in said
    assert re.search(r"gbdt.0 176 35 0.687 0.722 \+0.035 ± 0.10", said)
    assert "for the people of oasis" in said


@pytest.mark.parametrize("figures", [None, {}, {"rows": 4, "bads": 0, "auc": None}, {"auc": "x", "bads": []}])
def test_own_figures_may_be_absent_or_odd(figures: object) -> None:
    assert "Your own rows" in render(members(own={"party": "oasis", "models": {"gbdt.0": figures}}))


def test_arrows_of_many_pairs_have_no_amounts_on_them() -> None:
    def labels(n: int) -> int:
        names = [f"c{k}" for k in range(n)]
        traffic = [{"sender": a, "receiver": b, "bytes": 9, "messages": 1} for a in names for b in names if a != b]
        return sum(arrow["labelled"] for arrow in build_page(members(traffic=traffic))["traffic"]["flow"]["arrows"])

    assert (labels(3), labels(5)) == (6, 0)


def test_a_logistic_regression_is_said_to_be_on_columns() -> None:
    rows = [{"party": "bank", "column": "x", "coefficient": 1.0, "z": 2.0}]
    said = [shown(render(metrics(models=[model(kind=kind, coefficients=rows)]))) for kind in ("logistic", "scorecard")]
    assert ["weights of evidence" in one for one in said] == [False, True]


def test_own_figures_go_to_the_partys_own_report_and_not_into_metrics(tmp_path: Path) -> None:
    result = tmp_path / "result"
    (result / "model" / "gbdt.0").mkdir(parents=True)
    for name, content in (("metrics", members()), ("traffic", []), ("cost", {})):
        (result / f"{name}.json").write_text(json.dumps(content))
    (result / "model" / "gbdt.0" / "own.json").write_text(json.dumps(OWN["gbdt.0"]))
    out = tmp_path / "out"
    given = publish_own(result, PartyId("oasis"), out)
    assert given is not None
    assert "own" not in given
    assert "own" not in json.loads((out / "metrics.json").read_text())
    assert "+0.035" in (out / "report.html").read_text()


def test_the_comparison_is_drawn_with_a_bar_for_each_figure_and_names_as_text() -> None:
    drawn = draw_comparison("<b>", {"card": [("a&b", (0.6, 0.7, 0.7)), ("small", (None, 0.5, 0.45))]})
    assert drawn.count("<rect") == 1 + 3 + 5
    assert "&lt;b&gt;" in drawn
    assert "a&amp;b" in drawn
    assert 'height="-' not in drawn
    assert draw_comparison("none", {}).startswith("<svg")


def test_a_mixed_job_is_compared_with_all_who_have_the_label() -> None:
    roles = [("icbc", "label"), ("abc", "member"), ("tax", "feature")]
    parties = Parties({"job": {"parties": [{"id": name, "role": role} for name, role in roles]}})
    assert (parties.mixed, parties.horizontal) == (True, False)
    assert parties.alone == "all label parties without others"
