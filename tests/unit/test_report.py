"""The report: one file, nothing loaded from outside, nothing in the data taken for markup, and every figure on it."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from report_sample import metrics, model

from fedcredit.report import render
from fedcredit.report.figures import auc_margin, duration, fixed, number, percent, signed, size, text
from fedcredit.report.page import build_page
from fedcredit.report.render import STATIC

HOSTILE = "\"><img src=x onerror=pwn()></script><script>pwn()</script>'{{7*7}}&lt;"


class Document(HTMLParser):
    """What a browser would load, run and show, by Python's own HTML parser."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.styles: list[str] = []
        self.shown: list[str] = []
        self._open: str | None = None
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        self._open = tag if tag in ("script", "style") else None

    def handle_endtag(self, tag: str) -> None:
        self._open = None

    def handle_data(self, data: str) -> None:
        if self._open == "script":
            attributes, content = self.scripts[-1]
            self.scripts[-1] = (attributes, content + data)
        elif self._open == "style":
            self.styles.append(data)
        else:
            self.shown.append(data)

    @property
    def visible(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.shown))


def test_nothing_is_loaded_from_outside():
    page = Document(render(metrics()))
    loading = {"src", "srcset", "action", "formaction", "poster", "background", "ping", "data"}
    for tag, attributes in page.tags:
        assert tag not in {"iframe", "object", "embed", "base", "audio", "video", "img", "form"}
        assert not loading & attributes.keys(), tag
        assert (attributes.get("href") or attributes.get("xlink:href") or "data:,") == "data:,"
        assert not [name for name in attributes if name.startswith("on")]
        assert "url(" not in (attributes.get("style") or "")
    style = "".join(page.styles)
    assert "url(" not in style
    assert "@import" not in style
    own = (STATIC / "charts.js").read_text(encoding="utf-8")
    assert not re.search(r"https?://|fetch\(|XMLHttpRequest|import\(|innerHTML|eval\(|new Function", own)


def test_only_the_scripts_of_the_package_may_run():
    page = Document(render(metrics()))
    policy = next(a["content"] or "" for t, a in page.tags if t == "meta" and a.get("http-equiv"))
    assert "default-src 'none'" in policy
    code = [content for attributes, content in page.scripts if attributes.get("type") != "application/json"]
    permitted = set(re.findall(r"'sha256-([^']+)'", policy))
    assert {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in code} == permitted
    assert len(code) == 2
    script_sources = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert "unsafe" not in script_sources


def test_vendored_files_are_the_recorded_ones():
    recorded = json.loads((STATIC / "vendored.json").read_text(encoding="utf-8"))
    assert recorded.keys() == {path.name for path in STATIC.glob("*.min.js")}
    for name, entry in recorded.items():
        content = (STATIC / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        assert entry["licence"] == "Apache-2.0"
        assert entry["version"].encode() in content
        assert b"</script" not in content.lower()
        assert b"<!--" not in content
        for licence in entry["licence_files"]:
            assert (STATIC / licence).stat().st_size > 100
    assert "Apache License" in (STATIC / "LICENSE-echarts.txt").read_text(encoding="utf-8")


def test_headline_says_joint_alone_and_difference():
    shown = Document(render(metrics())).visible
    for expected in ("0.812", "0.741", "+0.071", "0.487", "+0.137", "0.625", "bank alone", "ab" * 32, "sme-default"):
        assert expected in shown
    assert "AUC 0.812 instead of 0.741 (+0.071) , measured on 2,000 enterprises" in shown
    assert "100 of which defaulted" in shown
    assert "The 10 % it scores worst hold 40 % of all defaults." in shown


def test_a_joint_model_that_is_worse_is_said_to_be_worse():
    shown = Document(render(metrics(models=[model(auc=0.7, auc_alone=0.75)]))).visible
    assert "does not rank defaults better than bank alone" in shown
    assert "−0.050" in shown


def test_what_each_party_learned_comes_before_the_model_and_is_complete():
    shown = Document(render(metrics())).visible
    assert shown.index("What each party learned") < shown.index("Discrimination")
    assert "the side of each foreign split every aligned row gbdt" in shown
    assert "which rows share a node" in shown
    without = Document(render(metrics(leakage=[]))).visible
    assert "recorded no statement of what each party learned" in without


def test_the_mode_of_the_intersection_and_its_reason_are_said():
    shown = Document(render(metrics(intersect={"mode": "fast", "why": "more than <100> rows"}))).visible
    assert "Common subjects mode fast: more than <100> rows" in shown
    assert "Common subjects" not in Document(render(metrics())).visible


def test_tables_hold_the_figures():
    shown = Document(render(metrics())).visible
    assert "some shift: watch" in shown
    assert "0.1310" in shown
    assert "10.0 % 82.0 % 2.44 % 60.0 % 15.8 % 40" in shown  # cut-off, approved, bad rate, bads and goods refused, bads
    assert "no cut-off 100.0 % 5.00 % 0.0 % 0.0 % 100" in shown
    assert "tax.f3 tax 70.0 % 11" in shown
    assert "tax bank 4.0 KiB 5" in shown
    assert "bank tax 2.0 KiB 7" in shown
    assert "20 % held out, chosen by keyed hash" in shown


@pytest.mark.parametrize(
    ("index", "light"), [(0.0, "stable"), (0.0999, "stable"), (0.1, "watch"), (0.2499, "watch"), (0.25, "shifted")]
)
def test_stability_lights_change_at_the_usual_bounds(index, light):
    page = build_page(metrics(models=[model(stability={"index": index})]))
    assert page["models"][0]["stability"]["light"] == light


@pytest.mark.parametrize(
    "value", [{}, {"job": {}}, {"models": []}, {"models": [{}]}, {"models": [{"kind": "gbdt", "auc": 0.5}]}]
)
def test_missing_keys_leave_sections_out(value):
    page = Document(render(value))
    assert "What joining is worth" in page.visible
    assert "None" not in page.visible
    assert not [a for t, a in page.tags if t == "div" and a.get("class") == "chart"]


def test_each_key_may_be_absent_alone():
    whole = metrics()
    for key in whole:
        render({k: v for k, v in whole.items() if k != key})
    one = model()
    for key in one:
        rendered = render(metrics(models=[{k: v for k, v in one.items() if k != key}]))
        assert "sme-default" in rendered


def test_what_is_not_a_number_is_a_dash_and_the_json_stays_valid():
    strange = model(
        auc=math.nan, ks=math.inf, gini=None, seconds="soon", bytes=True, importance=[{"party": "x", "gain": math.nan}]
    )
    strange["calibration"] = [{"predicted": math.nan, "observed": 0.1, "rows": 5}]
    page = Document(render(metrics(models=[strange])))
    data = next(content for attributes, content in page.scripts if attributes.get("type") == "application/json")
    assert json.loads(data)[0]["calibration"][0]["predicted"] is None
    assert "nan" not in page.visible.lower().split()
    assert "inf" not in page.visible.lower().split()


def test_hostile_names_stay_text():
    nasty = model(
        name=HOSTILE,
        kind=HOSTILE,
        params={HOSTILE: HOSTILE},
        importance=[{"party": HOSTILE, "feature": HOSTILE, "gain": 1.0, "splits": 1}],
        phases=[{"phase": HOSTILE, "seconds": 1.0}],
        stability={"index": 0.1, "bands": [{"band": HOSTILE, "train_share": 1.0, "test_share": 1.0}]},
    )
    value = metrics(
        models=[nasty, model()],
        job={"name": HOSTILE, "purpose": HOSTILE, "hash": HOSTILE, "started": HOSTILE, "split": {HOSTILE: HOSTILE},
             "parties": [{"id": HOSTILE, "role": "label", "rows": 1}, {"id": "tax", "role": HOSTILE}]},
        leakage=[{"party": HOSTILE, "learns": HOSTILE, "about": HOSTILE, "through": HOSTILE}],
        traffic=[{"sender": HOSTILE, "receiver": "tax", "bytes": 5, "messages": 1}],
        environment={HOSTILE: HOSTILE},
    )  # fmt: skip
    rendered = render(value)
    page, clean = Document(rendered), Document(render(metrics(models=[model(), model()])))
    assert "<img src=x" not in rendered
    assert "img" not in {tag for tag, _ in page.tags}
    assert len(page.scripts) == len(clean.scripts) == 3
    assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on")]
    assert page.visible.count(HOSTILE) >= 10
    assert html.escape(HOSTILE, quote=False).count("&lt;") > 2
    data = next(content for attributes, content in page.scripts if attributes.get("type") == "application/json")
    assert json.loads(data)[0]["alone"] == f"{HOSTILE} alone"
    assert not set("<>&") & set(data)


def test_several_models_are_tabs_and_a_comparison():
    page = Document(render(metrics(models=[model(), model(name="gbdt.1", auc=0.85)])))
    assert [a["aria-controls"] for t, a in page.tags if a.get("role") == "tab"] == ["model-0", "model-1"]
    assert [a["id"] for t, a in page.tags if a.get("role") == "tabpanel"] == ["model-0", "model-1"]
    assert "The joint model (gbdt.1) ranks defaults better" in page.visible
    assert {a["data-model"] for t, a in page.tags if "data-chart" in a} == {"0", "1"}


def test_a_party_has_one_colour_and_the_label_party_the_first():
    page = build_page(metrics())
    colours = {party["id"]: party["colour"] for party in page["parties"]}
    assert colours == {"bank": 0, "tax": 1}
    assert {row["party"]: row["colour"] for row in page["models"][0]["importance"]["features"]} == colours
    assert {party["id"]: party["colour"] for group in page["leakage"] for party in group["parties"]} == colours


def test_protocols_own_statements_stand_apart_from_the_plain_words():
    rows = [
        {"party": "bank", "learns": "in plain words", "about": "tax", "through": "gbdt"},
        {"party": "bank", "learns": "S alone", "about": "tax", "through": "fedcredit.protocols.groupsum.Asker"},
    ]
    page = build_page(metrics(leakage=rows))
    assert [fact["learns"] for group in page["leakage"] for fact in group["facts"]] == ["in plain words"]
    assert [fact["learns"] for group in page["formal"] for fact in group["facts"]] == ["S alone"]
    shown = Document(render(metrics(leakage=rows[1:]))).visible
    assert "S alone" in shown
    assert "recorded no statement" not in shown


def test_facts_that_differ_only_in_whom_they_are_about_are_one_line():
    rows = [
        {"party": "bank", "learns": "bins", "about": "tax", "through": "gbdt"},
        {"party": "bank", "learns": "bins", "about": "insurance", "through": "gbdt"},
        {"party": "bank, tax", "learns": "sizes", "about": "bank, tax", "through": "agreement"},
        {"party": "bank, stranger", "learns": "x", "about": "y", "through": "z"},
    ]
    page = build_page(metrics(leakage=rows))
    assert page["leakage"][0]["facts"] == [{"learns": "bins", "about": "tax, insurance", "through": "gbdt"}]
    together = [[party["id"] for party in group["parties"]] for group in page["leakage"]]
    assert together == [["bank"], ["bank", "tax"], ["bank, stranger"]]


def test_traffic_is_drawn_for_few_parties_and_listed_for_many():
    many = [{"sender": f"p{i}", "receiver": f"p{i + 1}", "bytes": 10, "messages": 1} for i in range(12)]
    assert build_page(metrics())["traffic"]["flow"] is not None
    page = build_page(metrics(traffic=many))
    assert page["traffic"]["flow"] is None
    assert len(page["traffic"]["pairs"]) == 12


def test_rendering_is_deterministic():
    assert render(metrics()) == render(json.loads(json.dumps(metrics())))


def test_numbers_are_written_for_people():
    assert [size(n) for n in (0, 1023, 1024, 150 << 20, 5 << 40)] == [
        "0 B",
        "1,023 B",
        "1.0 KiB",
        "150 MiB",
        "5,120 GiB",
    ]
    assert [signed(x) for x in (0.0634, -0.0634, 0.0001, -0.0001, None)] == [
        "+0.063",
        "−0.063",
        "±0.000",
        "±0.000",
        "–",
    ]
    assert [duration(s) for s in (0.123, 61.25, 125)] == ["0.12 s", "61.2 s", "2 min 5 s"]
    assert [fixed(0.5), percent(0.0512), fixed("0.5")] == ["0.500", "5.1 %", "–"]
    assert [text(v) for v in (None, True, 5.0, [1, "a"], "")] == ["–", "yes", "5", "1, a", "–"]
    assert number(True) is None


def test_auc_interval_agrees_with_the_published_example():
    # Hanley and McNeil 1982, table III: area 0.893 on 51 abnormal and 58 normal images has a standard error of 0.032.
    margin = auc_margin(0.893, 51, 58)
    assert margin is not None
    assert margin / 1.96 == pytest.approx(0.032, abs=0.001)
    assert auc_margin(0.8, 0, 10) is None
    assert auc_margin(1.0, 10, 10) is None


def browse(source: str, folder, *flags: str) -> tuple[str, list[str]]:
    """The page's DOM after its scripts ran, and what it wrote to the console."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no chromium on this machine; install one to open the report in a browser")
    path = folder / "report.html"
    path.write_text(source, encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
               "--disable-background-networking", "--disable-component-update", "--disable-sync",
               "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}", "--window-size=1280,4000",
               *flags, "--dump-dom", path.as_uri()]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    return run.stdout, [line for line in run.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.slow
def test_a_browser_draws_every_chart_without_a_complaint(tmp_path):
    dom, console = browse("<script>console.error('heard')</script>", tmp_path)
    assert any("heard" in line for line in console), "this browser does not report its console: the test would be blind"

    dom, console = browse(render(metrics()), tmp_path)
    assert console == []
    assert 'data-drawn="8"' in dom
    assert dom.count("<svg") == 9  # eight charts and the traffic between parties
    assert "<figure hidden" not in dom


@pytest.mark.slow
def test_a_browser_runs_nothing_that_came_with_the_data(tmp_path):
    hostile = "</script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"
    value = metrics(models=[model(name=hostile, importance=[{"party": hostile, "feature": hostile, "gain": 1.0}])])
    value["job"] = {"name": "x", "parties": [{"id": hostile, "role": "label"}]}
    dom, console = browse(render(value), tmp_path)
    assert console == []
    assert "<title>x" in dom
    assert "<img src=x" not in dom
    assert 'data-drawn="8"' in dom


@pytest.mark.slow
def test_a_browser_survives_series_that_do_not_fit_together(tmp_path):
    odd = model(
        ks_curve={"score": [0.1, 0.2], "good": [0.5]},
        lift=[{"band": 1}],
        roc={"joint": {}},
        learning={"tree": []},
        calibration=[{}],
        confusion=[{}],
        score_distribution={"edges": []},
        stability={"index": 0.0},
    )
    dom, console = browse(render(metrics(models=[odd])), tmp_path)
    assert console == []
    assert "data-drawn=" in dom
