"""The command line: help teaches and is quick, errors become problems and exit statuses, a run's folder is safe."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fedcredit.cli import bench
from fedcredit.cli.display import Display, Progress, size
from fedcredit.cli.main import main
from fedcredit.errors import (
    ConfigError,
    DataError,
    FedcreditError,
    PeerError,
    PeerLost,
    Problem,
    RefusedError,
    UsageError,
)
from fedcredit.node.outcome import prepare_folder
from fedcredit.node.specification import LeakageRow
from fedcredit.wire.control import JobEvent

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`fedcredit ARGUMENTS` in this process: exit status, output, errors."""
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("FEDCREDIT_DEBUG", "")  # and so what --debug sets is undone, too

    def call(*arguments: str) -> tuple[int, str, str]:
        try:
            status = main(arguments)
        except SystemExit as left:
            status = int(left.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_help_teaches(run: Run) -> None:
    status, out, _ = run("--help")
    assert status == 0
    for word in ("demo", "simulate", "node", "party", "bench", "Exit statuses", "78 bad configuration"):
        assert word in out
    for command in (("demo",), ("simulate",), ("node", "up"), ("party", "check"), ("bench",)):
        status, out, _ = run(*command, "--help")
        assert status == 0
        assert "Usage: fedcredit" in out
        assert len(out.splitlines()) > 5


def test_help_loads_nothing_heavy() -> None:
    heavy = ("numpy", "grpc", "pydantic", "sqlalchemy", "duckdb", "cryptography", "lightgbm", "jinja2")
    code = f"import sys, fedcredit.cli.main; print([m for m in {heavy!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_asking_a_node_loads_no_store_and_no_mathematics() -> None:
    """Whoever writes scripts waits for each command, and so does every test that gives some."""
    heavy = ("fedcredit.node.store", "fedcredit.node.specification", "sqlalchemy", "scipy", "lightgbm", "jinja2")
    code = f"import sys, fedcredit.node.own_node; print([m for m in {heavy!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert found.stdout.strip() == "[]"


def test_version(run: Run) -> None:
    status, out, _ = run("--version")
    assert status == 0
    assert out.startswith("fedcredit 0.")


@pytest.mark.parametrize(
    "arguments", [["simulate"], ["demo", "--rows", "many"], ["demo", "--rows", "3"], ["fly"], ["bench"]]
)
def test_a_wrong_command_line_is_usage(run: Run, arguments: list[str]) -> None:
    assert run(*arguments)[0] == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("x"), 2),
        (DataError("x"), 65),
        (PeerLost("tax", "align", "x"), 69),
        (FedcreditError("x"), 70),
        (PeerError("tax", "align", "x", "SEQUENCE"), 76),
        (RefusedError("x"), 77),
        (ConfigError([Problem("CONFIG_TYPE", "a", "b", "c"), Problem("CONFIG_PATH", "d", "[red]e[/red]")]), 78),
        (ValueError("row 7 holds 91350100M000100Y43"), 70),
    ],
)
def test_errors_become_problems_and_statuses(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fails(name: str) -> Any:
        raise error

    monkeypatch.setattr(bench, "_find", fails)
    found, _, err = run("bench", "gbdt")
    assert found == status
    assert "Traceback" not in err
    assert "91350100M000100Y43" not in err
    for problem in getattr(error, "problems", ()):
        assert str(problem) in err
    with pytest.raises(type(error)):
        run("--debug", "bench", "gbdt")


def test_a_bench_prints_one_json_object_a_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(options: bench.Options) -> Iterator[dict[str, Any]]:
        for n in options.rows:
            yield {"case": {"rows": n, "depth": options.number("depth", 5)}, "seconds": {"total": 0.5}}

    monkeypatch.setattr(bench, "_find", lambda name: rows)
    status, out, _ = run("bench", "gbdt", "--rows", "10", "--rows", "20", "--set", "depth=3", "--json")
    assert status == 0
    found = [json.loads(line) for line in out.splitlines()]
    assert [row["case"] for row in found] == [{"rows": 10, "depth": 3}, {"rows": 20, "depth": 3}]
    assert {"bench", "case", "seconds", "rss_mib", "machine", "commit"} <= found[0].keys()
    assert run("bench", "gbdt", "--set", "depth")[0] == 2
    assert run("bench", "gbdt", "--rows", "1", "--set", "depth=deep")[0] == 2


def test_an_unknown_bench_names_those_that_are(run: Run) -> None:
    status, _, err = run("bench", "warp")
    assert status == 2
    assert "gbdt, groupsum, horizontal, index" in err


def test_a_runs_folder_is_emptied_of_a_run_and_of_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare_folder(out)
    for folder in ("parties/bank", "audit/bank", "logs", "data"):
        (out / folder).mkdir(parents=True)
    (out / "metrics.json").write_text("{}")
    (out / "data" / "bank.csv").write_text("id")
    prepare_folder(out)
    assert [path.name for path in out.iterdir()] == ["data"]
    assert (out / "data" / "bank.csv").read_text() == "id"
    (out / "logs").mkdir()
    (out / "logs" / "mine.log").write_text("mine")
    with pytest.raises(UsageError, match="OUT_NOT_EMPTY"):
        prepare_folder(out)
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path)
    for bad in ("file", "link"):
        with pytest.raises(UsageError, match="OUT_NOT_FOLDER"):
            prepare_folder(tmp_path / bad)


def test_leakage_is_said_once_in_plain_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    rows = [
        LeakageRow(id="align.rows", party="bank", learns="which rows", about="tax", through="intersection"),
        LeakageRow(id="align.rows", party="tax", learns="which rows", about="bank", through="intersection"),
        LeakageRow(id="gbdt.sides", party="bank", learns="which side", about="tax", through="splits"),
        LeakageRow(id="X.1", party="bank", learns="points", about="tax", through="fedcredit.protocols.x.X"),
    ]
    Display().leakage(rows)
    shown = " ".join(capsys.readouterr().err.split())
    assert shown.count("which rows") == 1
    assert "bank, tax which rows each other" in shown
    assert "bank which side tax" in shown
    assert "points" not in shown
    Display(quiet=True).leakage(rows)
    assert capsys.readouterr().err == ""


def test_progress_follows_events() -> None:
    told: list[str] = []
    progress = Progress(["bank", "platform"])
    progress.tell = told.append
    blank = {"job": "j", "done": 0, "total": 0, "code": "", "exit_status": 0, "culprit": "", "detail": b"", "origin": 0}
    for seq, change in enumerate(
        (
            {"kind": "begun", "stage": "align"},
            {"kind": "begun", "stage": "gbdt.0/tree.3"},
            {"kind": "progress", "stage": "gbdt.0/tree", "done": 3, "total": 50},
            {"kind": "begun", "stage": "gbdt.0/tree.4"},
            {"kind": "state", "stage": "failed", "code": "PEER_LOST"},
        )
    ):
        progress.show(JobEvent(**(blank | {"seq": seq, "party": "bank"} | change)))
        assert progress.__rich__().row_count == 2
    assert told == ["bank: align", "bank: gbdt.0/tree", "bank: failed (PEER_LOST)"]


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 30, "3.0 GiB"), (5 << 50, "5120.0 TiB")]
)
def test_sizes_for_people(n: int, text: str) -> None:
    assert size(n) == text
