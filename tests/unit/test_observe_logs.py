"""What a log line may hold, and what does not get into one, tried on purpose."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedcredit.observe import logs

ROOT = Path(__file__).resolve().parents[2]
LOG = logs.get("test")

IDENTIFIER = "91110000600037341L"
KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHcHbQpzGKV9PBbBclGyZkXfTC+H68CZKrF3+6UduSwq"


@pytest.fixture
def lines() -> Iterator[Any]:
    """What was logged since the last question, as JSON."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.getLogger("fedcredit").level
    stream = io.StringIO()
    logs.set_up(party="tax", level="debug", form="json", stream=stream)

    def take() -> list[dict[str, Any]]:
        found = [json.loads(line) for line in stream.getvalue().splitlines()]
        stream.seek(0)
        stream.truncate()
        return found

    yield take
    root.handlers[:], root.level = before[0], before[1]
    logging.getLogger("fedcredit").setLevel(before[2])


def test_a_line_has_a_time_a_level_an_event_and_its_fields(lines: Any) -> None:
    LOG.warning("job.state", job="sme-1a2b3c4d5e6f", state="failed", code="PEER_LOST", peer="bank")
    (line,) = lines()
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("time"))
    assert line == {
        "level": "warning",
        "event": "job.state",
        "party": "tax",
        "job": "sme-1a2b3c4d5e6f",
        "state": "failed",
        "code": "PEER_LOST",
        "peer": "bank",
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"value": 1234.5},
        {"row": "1.5,2,1"},
        {"uscc": IDENTIFIER},
        {"text": "anything"},
        {"peer": IDENTIFIER},
        {"peer": IDENTIFIER.lower()},
        {"peer": "n2110000ma00abcd1x"},
        {"job": IDENTIFIER},
        {"job": "n2110000ma00abcd1x"},
        {"job": f"job of {IDENTIFIER}"},
        {"stage": IDENTIFIER},
        {"state": "13800138000"},
        {"code": IDENTIFIER},
        {"code": "A1110000600037341L"},
        {"code": "free text"},
        {"method": "M91110000600037341"},
        {"field": "income = 1234"},
        {"error": KEY},
        {"hash": IDENTIFIER},
        {"hash": KEY},
        {"hash": "0F" * 32},
        {"address": "110101199003071234"},
        {"address": KEY},
        {"places": [IDENTIFIER]},
        {"places": ["a.py:1"] * 31},
        {"places": "a.py:1"},
        {"count": "17"},
        {"count": True},
        {"rows": [1, 2, 3]},
        {"rows": {"a": 1}},
        {"peer": None},
        {"peer": "x" * 33},
        {"peer": "a\nb"},
        {"stage": "align\n"},
    ],
    ids=lambda fields: "-".join(f"{k}-{v!r}"[:28] for k, v in fields.items()),
)
def test_what_is_no_name_number_or_hash_does_not_get_in(lines: Any, fields: dict[str, Any]) -> None:
    LOG.error("table.read", **{"job": "job-1", **fields})
    (line,) = lines()
    name, value = next(iter(fields.items()))
    assert line["refused"] == 1
    assert line["event"] == "table.read"
    assert line.get("job") == (None if name == "job" else "job-1")
    assert name not in line or line[name] != value
    if isinstance(value, str) and len(value) > 6:
        assert value[:12] not in json.dumps(line)


@pytest.mark.parametrize(
    "event", [IDENTIFIER, f"row of {IDENTIFIER}", "plain", "job.%s", "job.state\n", "a.b " + KEY, ""]
)
def test_an_event_is_a_fixed_name(lines: Any, event: str) -> None:
    LOG.info(event, job="job-1")
    (line,) = lines()
    assert (line["event"], line["refused"], line["job"]) == ("log.refused", 1, "job-1")
    assert IDENTIFIER not in json.dumps(line)


def test_a_foreign_line_says_whose_it_is_and_nothing_else(lines: Any) -> None:
    try:
        raise ValueError(f"no row {IDENTIFIER}")
    except ValueError:
        logging.getLogger("some.library").exception("while reading %s: %s", IDENTIFIER, KEY)
    logging.getLogger("some.library").info("below the level of libraries: %s", IDENTIFIER)
    logging.getLogger(f"of {IDENTIFIER}").error("x")
    first, second = lines()
    assert (first["event"], first["library"], first["error"]) == ("library.line", "some.library", "ValueError")
    assert second["library"] == "unknown"
    assert IDENTIFIER not in json.dumps([first, second])


def test_an_error_says_where_and_not_what(lines: Any) -> None:
    try:
        json.loads(f"{{{IDENTIFIER}")
    except ValueError as error:
        LOG.error("job.bug", job="job-1", error=type(error).__name__, places=logs.places(error))
    (line,) = lines()
    assert line["error"] == "JSONDecodeError"
    assert all(re.fullmatch(r"[\w./-]+:\d+", place) for place in line["places"])
    assert "refused" not in line
    assert IDENTIFIER not in json.dumps(line)


def test_people_get_text_and_levels_are_kept() -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        logs.set_up(party="tax", level="warning", form="text", stream=stream)
        LOG.info("node.ready", pid=1)
        LOG.warning("node.draining", seconds=2.5)
    finally:
        root.handlers[:], root.level = before
        logging.getLogger("fedcredit").setLevel(logging.NOTSET)
    (line,) = stream.getvalue().splitlines()
    assert "node.draining" in line
    assert "seconds=2.5" in line
    with pytest.raises(ValueError):
        json.loads(line)


def test_nobody_logs_past_the_list() -> None:
    """One way to a log line: no module of ours takes the standard library's, and no event is put together."""
    for file in (ROOT / "fedcredit").rglob("*.py"):
        text = file.read_text()
        if file.parent.name == "observe" or "_gen" in file.parts:
            continue
        assert not re.search(r"^\s*(import logging|from logging)", text, re.M), file
        own = re.search(r"^(\w+) = logs\.get\(", text, re.M)
        assert own is None or not re.search(rf"(?<![.\w]){own[1]}\.\w+\((?!\s*\"[a-z_.]+\")", text), file


def test_every_line_of_the_code_says_only_what_a_line_may_say() -> None:
    """A field that is not on the list would be left out wherever the line is written."""
    wrong = []
    for file in (ROOT / "fedcredit").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "_log":
                assert isinstance(node, ast.Call)
                fields = {word.arg for word in node.keywords if word.arg is not None}
                wrong += [f"{file.name}:{node.lineno} {name}" for name in fields - set(logs.FIELDS)]
    assert not wrong
