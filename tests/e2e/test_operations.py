"""The page for people who run nodes says what is so: its commands bring up an installation, and a job runs on it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from free_ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "operations.md"
PORTS = (7443, 7444, 7453, 7463, 7473)

# A person looks at `job list` and approves what is there; a script has to wait until it is.
PRELUDE = """\
set -euo pipefail
make() { :; }
fedcredit() {
    if [ "$1 $2" = "job approve" ]; then
        for attempt in $(seq 1200); do
            command fedcredit "$@" && return 0
            sleep 0.5
        done
        return 1
    fi
    command fedcredit "$@"
}
"""


def blocks() -> list[str]:
    """The commands of the first section, in their order."""
    section = PAGE.read_text(encoding="utf-8").split("\n## ")[1]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def installation(folder: Path) -> Path:
    """A checkout as far as the page needs it, on ports of its own."""
    shutil.copytree(ROOT / "parties", folder / "parties", ignore=shutil.ignore_patterns("keys", "trust", "*.sqlite*"))
    moved = {str(port): str(free_port()) for port in PORTS}
    for path in folder.glob("parties/*/party.toml"):
        path.write_text(re.sub(r"\b\d{4}\b", lambda found: moved.get(found[0], found[0]), path.read_text()))
    program = folder / ".venv" / "bin" / "fedcredit"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m fedcredit.cli.main "$@"\n')
    program.chmod(0o755)
    return folder


@pytest.mark.slow
def test_the_commands_of_the_page_bring_up_an_installation_and_run_a_job(tmp_path: Path) -> None:
    place = installation(tmp_path)
    commands = blocks()
    assert len(commands) >= 5
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FEDCREDIT_")} | {"PYTHONPATH": str(ROOT)}
    with (place / "out").open("wb") as out:
        shell = subprocess.Popen(
            ["bash", "-c", PRELUDE + "\n".join(commands)],
            cwd=place,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = shell.wait(timeout=800)
        finally:
            os.killpg(shell.pid, signal.SIGTERM)
    said = (place / "out").read_text(encoding="utf-8")
    assert status == 0, said
    metrics = json.loads((place / "runs" / "sme-default" / "metrics.json").read_text())
    assert metrics["rows"]["aligned"] > 1000
    assert metrics["models"][0]["kind"] == "gbdt"
    assert "approve" in said, "the policy was explained"
    for party in ("bank", "tax", "social_insurance"):
        (model,) = (place / "parties" / party / "jobs").glob("*/result/model/*/model.json")
        assert model.stat().st_size > 0
        assert not (place / "parties" / party / "join.token").exists(), "a token is used once and gone"
