"""What may be asked of an intersection between running nodes, from the command line and from Python."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from anyio.from_thread import start_blocking_portal
from e2e.conftest import ROOT, run_cli

import fedcredit.intersection as api
from fedcredit.errors import ConfigError, DataError, RefusedError, UsageError
from fedcredit.ids import PartyId
from fedcredit.intersection import Ask, prepared
from fedcredit.node.local import PLATFORM, Consortium
from fedcredit.runtime.config import load_job, load_party

BANK, TAX = PartyId("bank"), PartyId("tax")
COMMON = 300

JOB = """
[job]
name = "people"
purpose = "research"
[parties.bank]
table = "bank.csv"
id = ["name", "phone"]
id_type = ["text", "digits"]
drop = ["city", "note"]
duplicates = "first"
[parties.tax]
table = "tax.csv"
id = ["person", "mobile"]
id_type = ["text", "digits"]
"""

pytestmark = pytest.mark.slow


def key(number: int) -> tuple[str, str]:
    """Two columns that only together tell people apart."""
    return f"人{number % 20}", f"{number // 20:04d}"


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    folder = tmp_path_factory.mktemp("options")
    rows = [f'{",".join(key(i))},city {i % 7},"=note, {i}",{i % 5}' for i in range(400)]
    again = [f"{','.join(key(i))} ,another city,again,9" for i in range(50, 150)]
    (folder / "bank.csv").write_text("\n".join(["name,phone,city,note,x", *rows, *again]) + "\n")
    rows = [f"{','.join(key(i))},{i % 3}" for i in range(100, 500)]
    (folder / "tax.csv").write_text("\n".join(["person,mobile,y", *rows]) + "\n")
    (folder / "job.toml").write_text(JOB)
    nodes = Consortium(load_job(folder / "job.toml"), folder / "out")
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(nodes):
        with (nodes.folder(BANK) / "party.toml").open("a") as file:
            file.write(f'\n[peers]\nplatform = "{nodes.children[PLATFORM].address}"\n')
        yield nodes


def intersect(nodes: Consortium, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_cli("intersect", "--node", nodes.folder(BANK), "--peer", "tax", *arguments)


def read(path: Path) -> bytes:
    """What is in a file of a node that runs: one that has another name by now is found under that."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


@pytest.mark.parametrize("mode", ["ecdh", "fast"])
def test_keys_of_two_columns_meet_and_come_out_as_two_columns(
    consortium: Consortium, mode: str, tmp_path: Path
) -> None:
    out = tmp_path / "aligned.csv"
    done = intersect(consortium, "--id", "name,phone", "--mode", mode, "--out", out)
    assert done.returncode == 0, done.stderr
    header, *lines = out.read_text().splitlines()
    assert header == "name,phone"
    assert len(lines) == COMMON
    assert {tuple(line.split(",")) for line in lines} == {key(i) for i in range(100, 400)}


def test_the_rows_left_out_are_counted_for_their_owner_alone(consortium: Consortium) -> None:
    done = intersect(consortium, "--json")
    assert done.returncode == 0, done.stderr
    result = Path(json.loads(done.stdout)["aligned"]).parent
    quality = json.loads((result / "quality.json").read_text())
    assert (quality["rows"], quality["ids_duplicate"]) == (400, 100)
    assert [warning["code"] for warning in quality["warnings"]] == ["ID_COLLAPSED"]
    agreed = json.loads((result / "specification.json").read_bytes())
    assert {party["id"]: party["rows"] for party in agreed["parties"]} == {"bank": 400, "tax": 400}
    assert agreed["intersect"]["id_type"] == ["text", "digits"]
    assert b"phone" not in (result / "specification.json").read_bytes()


@pytest.mark.parametrize("alone", [False, True])
def test_the_size_alone_and_nothing_to_say_which(consortium: Consortium, alone: bool) -> None:
    done = intersect(consortium, "--size-only", "--json", *(["--receiver-only"] if alone else []))
    assert done.returncode == 0, done.stderr
    assert "align.rows" not in done.stderr
    found = json.loads(done.stdout)
    assert (found["rows"], found["mode"], found["aligned"]) == (COMMON, "ecdh", None)
    assert "size alone" in found["why"]
    results = {party: consortium.folder(party) / "jobs" / found["job"] / "result" for party in (BANK, TAX)}
    assert {party: (result / "size.json").exists() for party, result in results.items()} == {BANK: True, TAX: not alone}
    assert json.loads((results[BANK] / "size.json").read_text()) == {"common": COMMON}
    assert not [path for result in results.values() for path in result.rglob("aligned.csv")]
    shown = {row["id"] for row in json.loads((results[TAX] / "leakage.json").read_text())}
    assert ("align.size" in shown, "align.rows" in shown) == (True, False)


def test_a_size_says_itself_in_words_and_has_its_minimum(consortium: Consortium) -> None:
    done = intersect(consortium, "--size-only")
    assert "300 subjects are at all parties (ecdh: the size alone is asked for" in done.stdout, done.stderr
    assert "Aligned subjects" not in done.stdout
    refused = intersect(consortium, "--size-only", "--min-size", "301")
    assert (refused.returncode, "INTERSECTION_TOO_SMALL" in refused.stderr) == (77, True)


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        (["--mode", "fast"], 78, "CONFIG_CONFLICT"),
        (["--peer", "registry"], 78, "CONFIG_CONFLICT"),
        (["--out", "x.csv"], 2, "OPTIONS_CONFLICT"),
    ],
)
def test_a_size_that_cannot_be_had_is_refused_before_anything_starts(
    consortium: Consortium, more: list[str], status: int, code: str
) -> None:
    done = intersect(consortium, "--size-only", *more)
    assert (done.returncode, code in done.stderr) == (status, True), done.stderr


def test_own_columns_stand_beside_and_go_to_nobody(consortium: Consortium, tmp_path: Path) -> None:
    out = tmp_path / "aligned.csv"
    done = intersect(consortium, "--columns", "note,city", "--receiver-only", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    with out.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["name", "phone", "note", "city"]
    # The first of repeated rows stands for the subject, and a cell that a spreadsheet would run has a quote before it.
    assert {tuple(row) for row in rows} == {(*key(i), f"'=note, {i}", f"city {i % 7}") for i in range(100, 400)}
    job = json.loads(done.stdout)["job"]
    ids = (consortium.folder(BANK) / "jobs" / job / "result" / "aligned.csv").read_text().splitlines()
    assert [",".join(row[:2]) for row in rows] == ids[1:]
    everywhere = {path: read(path) for path in (consortium.out / "parties").rglob("*") if path.is_file()}
    assert len(everywhere) > 20
    assert [path for path, data in everywhere.items() if b"city 3" in data or b"another city" in data] == []


def test_a_table_that_changed_meanwhile_gives_no_columns(consortium: Consortium, tmp_path: Path) -> None:
    config = load_party(consortium.folder(BANK))
    ask = Ask(peers=["tax"], out=tmp_path / "aligned.csv", columns=["city"])
    done = intersect(consortium, "--json")
    assert done.returncode == 0, done.stderr
    with prepared(config, ask) as ready:
        result = consortium.folder(BANK) / "jobs" / json.loads(done.stdout)["job"] / "result"
        rows = np.fromfile(result / "aligned.rows", "<i8")
        try:
            for wrong in (rows[::-1], rows[:-1], rows + 400):
                wrong.tofile(result / "aligned.rows")
                with pytest.raises(DataError, match="DATASET_CHANGED"):
                    ready.finish(result.parent.name)
                assert not (tmp_path / "aligned.csv").exists()
        finally:
            rows.tofile(result / "aligned.rows")
        assert ready.finish(result.parent.name).names == ("name", "phone", "city")


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        (["--columns", "town", "--out", "x.csv"], 65, "COLUMN_MISSING"),
        (["--columns", "name", "--out", "x.csv"], 78, "CONFIG_TABLE"),
        (["--columns", "city,city", "--out", "x.csv"], 2, "OPTIONS_CONFLICT"),
        (["--columns", "city"], 2, "OPTIONS_CONFLICT"),
        (["--columns", "city", "--size-only"], 2, "OPTIONS_CONFLICT"),
    ],
)
def test_columns_that_cannot_be_had_are_refused_before_anything_starts(
    consortium: Consortium, more: list[str], status: int, code: str
) -> None:
    before = sorted((consortium.folder(BANK) / "jobs").iterdir())
    done = intersect(consortium, *more)
    assert (done.returncode, code in done.stderr) == (status, True), done.stderr
    assert sorted((consortium.folder(BANK) / "jobs").iterdir()) == before


def test_the_example_of_the_manual_runs(consortium: Consortium) -> None:
    manual = (ROOT / "docs" / "python.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", manual, re.DOTALL)
    script = consortium.out / "example.py"
    script.write_text(example)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=consortium.out,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith(f"{COMMON} subjects, by ecdh: no party brings 100,000 rows")
    assert second == str(COMMON)
    assert len((consortium.out / "aligned.csv").read_text().splitlines()) == 1 + COMMON


def test_a_program_gets_a_typed_result_and_typed_errors(consortium: Consortium, tmp_path: Path) -> None:
    seen: list[str] = []
    found = api.intersect(
        consortium.folder(BANK), ["tax"], mode="fast", out=tmp_path / "a.csv", on_event=lambda e: seen.append(e.kind)
    )
    assert (found.size, found.mode, found.why) == (COMMON, "fast", "the job names it")
    assert set(found.rows()) == {key(i) for i in range(100, 400)}
    assert {"begun", "done", "state"} <= set(seen)
    alone = api.intersect(consortium.folder(BANK), ["tax"], size_only=True)
    assert (alone.size, alone.path, list(alone.rows())) == (COMMON, None, [])
    with pytest.raises(RefusedError) as refused:
        api.intersect(consortium.folder(BANK), ["tax"], min_size=301)
    assert refused.value.code == "INTERSECTION_TOO_SMALL"
    with pytest.raises(UsageError, match="OUT_NOT_EMPTY"):
        api.intersect(consortium.folder(BANK), ["tax"], out=tmp_path / "a.csv")
    with pytest.raises(ConfigError, match="TABLE_UNKNOWN"):
        api.intersect(consortium.folder(BANK), ["tax"], table="other.csv")


def test_other_columns_than_those_declared_are_refused(consortium: Consortium) -> None:
    done = intersect(consortium, "--id", "phone,name")
    assert (done.returncode, "CONFIG_CONFLICT" in done.stderr) == (78, True), done.stderr
