"""Failpoints: listed once, used once, and dead unless a test says so twice."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from fedcredit import failpoints
from fedcredit.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(failpoints.NAMES, "a.place", "for this test")
    monkeypatch.setattr(failpoints, "_plan", None)


def test_every_failpoint_is_listed_and_stands_in_the_code() -> None:
    calls: Counter[str] = Counter()
    for file in (ROOT / "fedcredit").rglob("*.py"):
        if file.name != "failpoints.py":
            calls.update(re.findall(r"failpoints\.hit\(\s*\"([a-z_.]+)\"", file.read_text()))
    assert set(calls) == set(failpoints.NAMES)
    assert all(failpoints.NAMES.values())


def test_without_the_word_of_a_test_nothing_happens_and_a_plan_is_refused(names: None) -> None:
    failpoints.load({})
    failpoints.hit("a.place")
    failpoints.hit("no.such.place")
    with pytest.raises(ConfigError) as refused:
        failpoints.load({failpoints.PLAN: "a.place=kill"})
    assert refused.value.code == "CONFIG_INSECURE"


def test_a_rule_acts_at_its_time_and_detail_alone(names: None, tmp_path: Path) -> None:
    reached = tmp_path / "reached"
    failpoints.load(
        {
            failpoints.ALLOW: "1",
            failpoints.PLAN: "a.place[align]=error(ENOSPC)@2",
            failpoints.REACHED: str(reached),
        }
    )
    failpoints.hit("a.place", "split")
    failpoints.hit("a.place", "align")
    with pytest.raises(OSError, match="No space") as full:
        failpoints.hit("a.place", "align")
    failpoints.hit("a.place", "align")
    assert full.value.errno == errno.ENOSPC
    assert reached.read_text() == "a.place\n"
    with pytest.raises(ConfigError):
        failpoints.hit("no.such.place")


def test_a_bug_is_played_as_an_exception_and_as_a_panic(names: None) -> None:
    failpoints.load({failpoints.ALLOW: "1", failpoints.PLAN: "a.place=raise@1;a.place=panic@2"})
    with pytest.raises(ArithmeticError):
        failpoints.hit("a.place")
    with pytest.raises(failpoints.Panic) as panic:
        failpoints.hit("a.place")
    assert not isinstance(panic.value, Exception)


@pytest.mark.parametrize("text", ["a.place", "a.place=explode", "other.place=kill", "a.place=error(ENOSUCH)", "=kill"])
def test_a_rule_that_is_none_is_refused(names: None, text: str) -> None:
    with pytest.raises(ConfigError):
        failpoints.parse(text)


def test_kill_kills() -> None:
    script = "import fedcredit.failpoints as f; f.NAMES['a.place'] = 'x'; f.load(); f.hit('a.place'); print('alive')"
    environment = {failpoints.ALLOW: "1", failpoints.PLAN: "", "PYTHONPATH": str(ROOT)}
    kept = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert kept.stdout == "alive\n"
    kill = script.replace("f.load()", f"f.load({{'{failpoints.ALLOW}': '1', '{failpoints.PLAN}': 'a.place=kill'}})")
    killed = subprocess.run([sys.executable, "-c", kill], capture_output=True, text=True, check=False, cwd=ROOT)
    assert killed.returncode == -9
    assert killed.stdout == ""
