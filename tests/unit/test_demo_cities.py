"""What `fedcredit demo --cities` shows of its comparison, and that job.toml of the example is the demonstration's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from fedcredit.cli import demo_cities
from fedcredit.cli.demo_pooled import Compared
from fedcredit.cli.main import app
from fedcredit.synth import write_cities

ROOT = Path(__file__).resolve().parents[2]
FOUND = [
    Compared("gbdt.0", "delta", 1487, 53, 0.742, 0.778, 0.778),
    Compared("gbdt.0", "oasis", 176, 35, 0.687, 0.722, 0.722),
    Compared("gbdt.0", "empty", 9, 0, None, None, None),
    Compared("gbdt.0", None, 1672, 88, 0.741, 0.771, 0.771),
]


def test_the_examples_job_is_the_demonstrations(tmp_path: Path) -> None:
    theirs = write_cities(tmp_path, 1_000).read_text()
    mine = (ROOT / "examples" / "03_cities" / "job.toml").read_text()
    assert mine.partition("\n")[2] == re.sub(r'table = "', 'table = "data/', theirs)


def test_the_table_has_a_row_for_each_city_and_a_dash_for_what_is_not_known() -> None:
    console = Console(width=80, record=True)
    console.print(demo_cities.table(FOUND))
    lines = [line.split() for line in console.export_text().splitlines() if line.strip()]
    assert ["gbdt.0", "delta", "1,487", "53", "0.742", "0.778", "+0.036", "0.778"] in lines
    assert ["empty", "9", "0", "-", "-", "-", "-"] in lines
    assert ["all", "cities", "1,672", "88", "0.741", "0.771", "+0.030", "0.771"] in lines


def test_the_command_makes_tables_compares_and_leaves_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Any] = []
    monkeypatch.setattr("fedcredit.cli.simulate.run_job", lambda job, out, **_: ran.append((job, out)))
    monkeypatch.setattr("fedcredit.cli.demo_pooled.compare", lambda job, out: FOUND)
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["demo", "--cities", "--out", str(out), "--rows", "1000"])
    assert done.exit_code == 0, done.output
    ((job, where),) = ran
    assert where == out
    assert [model.split for model in job.models] == ["horizontal"] * 3
    assert (out / "cities.svg").read_text().startswith("<svg")
    said = " ".join(done.output.split())
    assert "this demonstration owns the tables and reads them all" in said
    assert "-0" not in said
