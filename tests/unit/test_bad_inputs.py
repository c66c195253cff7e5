"""Documents name tests: each of those is there, so that what is claimed has somebody who looks at it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def missing(named: list[tuple[str, str]]) -> list[str]:
    """Those of the tests, as file and name, that are not there."""
    return [
        f"{file}::{test}"
        for file, test in named
        if not (ROOT / file).is_file() or not re.search(rf"def {test}\(", (ROOT / file).read_text())
    ]


def test_every_listed_bad_input_has_its_test() -> None:
    named = re.findall(r"`(tests/[a-z0-9_/]+\.py)::(\w+)`", (ROOT / "docs" / "bad-inputs.md").read_text())
    assert len(named) > 40
    assert missing(named) == []


def test_what_is_said_of_security_has_the_tests_that_it_links_to() -> None:
    linked = re.findall(r"\[`(test_\w+)`\]\((tests/[a-z0-9_/]+\.py)\)", (ROOT / "SECURITY.md").read_text())
    assert len(linked) > 40
    assert missing([(file, test) for test, file in linked]) == []
    told = re.findall(r"`(tests/[a-z0-9_/]+(?:\.py)?)/?`", (ROOT / "docs" / "threat-model.md").read_text())
    assert [path for path in told if not (ROOT / path).exists()] == []
