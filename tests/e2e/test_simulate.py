"""`fedcredit simulate`: every party a process, from a job file to a folder of results, or to a named error."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from e2e.conftest import ROOT, command, run_cli, write_job, write_tables

from fedcredit import failpoints
from fedcredit.governance.audit import Event, Fact
from fedcredit.node.audit_scan import read_log
from fedcredit.node.signing import verify_audit_head


def alive(marker: Path) -> list[int]:
    """The processes that have `marker` in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(marker).encode() in line and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


# Tax stands still while it makes its filter, for longer than a test takes to do what it does to it.
HANG_S = 240
HELD = "filter.piece.kept[0]=sleep(8)"


@contextmanager
def running(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """`fedcredit ARGUMENTS` in the background, ended whatever happens; its intersection is held for a while."""
    process = subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {failpoints.ALLOW: "1", failpoints.PLAN: HELD},
    )
    timer = threading.Timer(2 * HANG_S, process.kill)
    timer.start()
    try:
        yield process
    finally:
        timer.cancel()
        if process.poll() is None:
            process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Read standard error up to and with a line that has `text`."""
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"ended without {text!r}:\n{seen}")


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """Two parties whose intersection can be held in its middle, so that there is time to disturb it."""
    write_tables(tmp_path, {"bank": (0, 400), "tax": (100, 500)})
    return write_job(tmp_path, ["bank", "tax"], '[intersect]\nmode = "unbalanced"\nreceiver_only = true\n')


@pytest.mark.slow
def test_three_processes_align_their_subjects(three: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run_cli("simulate", three, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "What each party will learn" in done.stderr
    assert "300 subjects are at all parties" in done.stdout

    ids = (out / "aligned.csv").read_text().split()
    assert ids == ["id", *(f"{number:012d}" for number in range(400, 700))]
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["rows"] == {"aligned": 300, "train": 0, "test": 0}
    assert metrics["models"] == []
    assert {party["id"]: party["rows"] for party in metrics["job"]["parties"]} == {
        "bank": 700,
        "tax": 600,
        "registry": 600,
    }
    # Every direction of every pair is in the account, also the link between the two that are not the label party.
    assert {(row["sender"], row["receiver"]) for row in metrics["traffic"]} == {
        (a, b) for a in ("bank", "tax", "registry") for b in ("bank", "tax", "registry") if a != b
    }
    assert json.loads((out / "leakage.json").read_text()) == metrics["leakage"]
    assert "<html" in (out / "report.html").read_text()[:200].lower()
    assert not list(out.rglob("*.key"))
    assert not alive(out)

    agreed = set()
    for party in ("bank", "tax", "registry"):
        entries = read_audit(out / "audit" / party, party)
        first = [event for event, _ in entries[:3]]
        assert first == [Event.POLICY_CHANGED, Event.JOB_ADMITTED, Event.JOB_ACCEPTED]
        assert [event for event, _ in entries][-2:] == [Event.RESULT_RELEASED, Event.JOB_DONE]
        agreed.add(entries[2][1]["specification"])
    assert agreed == {metrics["job"]["hash"]}


def read_audit(folder: Path, party: str) -> list[tuple[Event, dict[str, Fact]]]:
    """The entries of an audit log, its signed head checked with the certificate beside it."""
    certificate = x509.load_pem_x509_certificate((folder / "signing.crt").read_bytes())
    entries, _ = read_log(folder, party, lambda signature, body: verify_audit_head(certificate, signature, body))
    return [(entry.event, dict(entry.facts)) for entry in entries]


@pytest.mark.slow
def test_a_second_run_takes_the_place_of_the_first(three: Path, tmp_path: Path) -> None:
    hashes = set()
    for _ in range(2):
        done = run_cli("simulate", three, "--out", tmp_path / "out", "--quiet")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        hashes.add(json.loads((tmp_path / "out" / "metrics.json").read_text())["job"]["hash"])
    assert len(hashes) == 2


@pytest.mark.slow
def test_a_killed_party_is_named_at_once(held: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running("simulate", held, "--out", out) as process:
        read_until(process, "tax: align")
        pid = json.loads((out / "parties" / "tax" / "ready.json").read_text())["pid"]
        os.kill(pid, signal.SIGKILL)
        _, rest = process.communicate(timeout=HANG_S)
        assert process.returncode == 69, rest
    assert "PEER_LOST: tax at align" in rest
    assert not (out / "metrics.json").exists()
    assert not alive(out)


@pytest.mark.slow
def test_a_table_that_changes_during_the_job_is_refused(held: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running("simulate", held, "--out", out) as process:
        read_until(process, "tax: align")
        with (tmp_path / "tax.csv").open("a") as file:
            file.write("000000099999,1.0,1\n")
        _, rest = process.communicate(timeout=HANG_S)
        assert process.returncode == 65, rest
    assert "DATASET_CHANGED: tax.csv" in rest
    assert not (out / "aligned.csv").exists()


@pytest.mark.slow
def test_ending_the_command_ends_every_process(held: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running("simulate", held, "--out", out) as process:
        read_until(process, "bank: align")
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=HANG_S)
        assert process.returncode == 128 + signal.SIGTERM
        assert "Traceback" not in rest
    assert not alive(out)
    assert not list(out.rglob("*.key"))


@pytest.mark.slow
def test_a_party_that_stands_still_is_lost_within_half_a_minute(held: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running("simulate", held, "--out", out) as process:
        read_until(process, "tax: align")
        os.kill(json.loads((out / "parties" / "tax" / "ready.json").read_text())["pid"], signal.SIGSTOP)
        _, rest = process.communicate(timeout=HANG_S)
        assert process.returncode == 69, rest
    assert "PEER_LOST: tax at align" in rest
    assert not alive(out)


@pytest.mark.slow
def test_a_bad_table_names_file_and_problem(three: Path, tmp_path: Path) -> None:
    table = tmp_path / "tax.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, lines[1]]) + "\n")
    done = run_cli("simulate", three, "--out", tmp_path / "out")
    assert done.returncode == 65, done.stderr
    assert "ID_DUPLICATE: tax.csv" in done.stderr
    assert "Traceback" not in done.stderr
    assert lines[1].split(",")[0] not in done.stderr


@pytest.mark.slow
def test_too_few_common_subjects_are_refused_without_their_number(three: Path, tmp_path: Path) -> None:
    three.write_text(three.read_text() + "\n[intersect]\nmin_size = 500\n")
    done = run_cli("simulate", three, "--out", tmp_path / "out")
    assert done.returncode == 77, done.stderr
    assert "INTERSECTION_TOO_SMALL" in done.stderr
    # As a number of its own: the name of a job, or of a folder, may have these digits.
    assert not re.search(r"\b300\b", done.stderr.replace(str(tmp_path), ""))


def test_a_bad_job_lists_every_problem_and_starts_nothing(three: Path, tmp_path: Path) -> None:
    three.write_text(three.read_text().replace("seed = 7", "sede = 7").replace('"tax.csv"', '"none.csv"'))
    done = run_cli("simulate", three, "--out", tmp_path / "out")
    assert done.returncode == 78
    assert "CONFIG_UNKNOWN_KEY" in done.stderr
    assert "did you mean 'seed'?" in done.stderr
    assert "CONFIG_PATH" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_not_overwritten(three: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    done = run_cli("simulate", three, "--out", out)
    assert done.returncode == 2
    assert "OUT_NOT_EMPTY" in done.stderr
    assert (out / "thesis.tex").read_text() == "years of work"
