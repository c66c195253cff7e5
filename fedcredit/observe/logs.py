"""Log lines that cannot hold data: an event's fixed name, and fields from a list, each of a form that no value has.

    _log = logs.get("node")
    _log.info("job.state", job=job, state="running")

What is not on the list, or not of its form, is left out and counted (`refused`): a mistake in a line costs the field,
never the node. So a row's value, an identifier or a key does not get in by accident. Lines of libraries are cut down
to the library's name, since their texts may hold anything.

Lines are JSON on standard error, or text for people where that is a terminal.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import IO, Any, Literal

import structlog

__all__ = ["FIELDS", "Logger", "get", "places", "quieten", "set_up"]

Logger = structlog.stdlib.BoundLogger

_EVENT = re.compile(r"[a-z][a-z_]{0,30}(\.[a-z][a-z_]{0,30}){1,3}")
_LONG_NUMBER = re.compile(r"[0-9]{5}")


def _name(value: object) -> bool:
    # A subject's identifier has a capital or a digit in front, and more digits in a row than a name of ours.
    return isinstance(value, str) and bool(re.fullmatch(r"[a-z][a-z0-9_.-]{0,31}", value)) and not _many_digits(value)


def _job(value: object) -> bool:
    # The name of a job file, a hyphen and twelve random digits; never an identifier in small letters.
    return isinstance(value, str) and bool(re.fullmatch(r"(?![a-z0-9]{15,18}$)[a-z][a-z0-9_-]{0,63}", value))


def _stage(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[a-z][a-z0-9._/-]{0,63}", value) is not None


def _code(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", value)) and not _many_digits(value)


def _word(value: object) -> bool:
    """A name in the code: of a method, a class, a module."""
    return (
        isinstance(value, str) and bool(re.fullmatch(r"[A-Za-z_][\w.]{0,63}", value, re.A)) and not _many_digits(value)
    )


def _digest(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None


def _count(value: object) -> bool:
    return type(value) in (int, float)


def _address(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"(?!.*[0-9]{6})[a-z0-9.:/\[\]_-]{1,80}", value))


def _time(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value, re.A))


def _places(value: object) -> bool:
    lines = value if isinstance(value, list | tuple) else [None]
    return len(lines) <= _MAX_PLACES and all(
        isinstance(line, str) and bool(re.fullmatch(r"[\w./-]{1,100}:[0-9]{1,6}", line, re.A)) for line in lines
    )


def _many_digits(text: str) -> bool:
    return _LONG_NUMBER.search(text) is not None


_MAX_PLACES = 30

FIELDS: dict[str, Callable[[object], bool]] = {
    "party": _name,
    "peer": _name,
    "caller": _name,
    "job": _job,
    "stage": _stage,
    "state": _name,
    "reason": _name,
    "code": _code,
    "method": _word,
    "field": _word,
    "error": _word,
    "library": _word,
    "hash": _digest,
    "places": _places,
    "address": _address,
    "kind": _name,
    "version": _address,
    "until": _time,
    "pid": _count,
    "status": _count,
    "epoch": _count,
    "seconds": _count,
    "count": _count,
    "jobs": _count,
    "rows": _count,
    "columns": _count,
    "ids_invalid": _count,
    "ids_duplicate": _count,
    "cells_missing": _count,
    "warnings": _count,
    "entries": _count,
    "kept": _count,
}
"""What a line may say, and the form that it must have. Numbers stand in fields that count things of the node."""


def get(name: str) -> Logger:
    """The logger called `fedcredit.NAME`."""
    made: Logger = structlog.wrap_logger(
        logging.getLogger(f"fedcredit.{name}"),
        processors=[structlog.stdlib.filter_by_level, _keep_allowed, _to_standard],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return made


def set_up(
    *,
    party: str = "",
    level: Literal["debug", "info", "warning", "error"] = "info",
    form: Literal["auto", "json", "text"] = "auto",
    stream: IO[str] | None = None,
) -> None:
    """Send the lines of this process to `stream` (standard error), each with `party`. Replaces an earlier set-up."""
    to = stream or sys.stderr
    text = form == "text" or (form == "auto" and to.isatty())
    handler = logging.StreamHandler(to)
    handler.setFormatter(_Formatter(party, text=text))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)  # of libraries
    logging.getLogger("fedcredit").setLevel(level.upper())


def quieten(*libraries: str) -> None:
    """Let `libraries` write warnings alone, whatever handles them: what they say at work may be data."""
    for library in libraries:
        logging.getLogger(library).setLevel(logging.WARNING)


def places(error: BaseException) -> list[str]:
    """Where `error` came from, as file:line, innermost last. The lines' own text and the error's stay out."""
    frames = traceback.extract_tb(error.__traceback__)[-_MAX_PLACES:]
    return ["/".join(frame.filename.split("/")[-3:])[-100:] + f":{frame.lineno or 0}" for frame in frames]


def _keep_allowed(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """The processor that everything passes."""
    name = event.pop("event", "")
    kept = {key: value for key, value in event.items() if key in FIELDS and FIELDS[key](value)}
    refused = len(event) - len(kept)
    if not isinstance(name, str) or not _EVENT.fullmatch(name):
        name, refused = "log.refused", refused + 1
    return {"event": name, **kept, **({"refused": refused} if refused else {})}


def _to_standard(_: Any, __: str, event: MutableMapping[str, Any]) -> tuple[tuple[str], dict[str, Any]]:
    """As a record of the standard library, whose text is the line, so that any handler can show it."""
    fields = dict(event)
    text = " ".join([fields["event"], *(f"{key}={value}" for key, value in fields.items() if key != "event")])
    # The standard library takes a percent sign for a place to fill in only where there are arguments.
    return (text,), {"extra": {"fedcredit": fields}}


class _Formatter(logging.Formatter):
    """A record as one line. Of records that are not ours: whose they are, and nothing they say."""

    def __init__(self, party: str, *, text: bool) -> None:
        super().__init__()
        self._party = party
        self._render: Any = (
            structlog.dev.ConsoleRenderer(colors=False, sort_keys=False)
            if text
            else structlog.processors.JSONRenderer()
        )

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fedcredit", None)
        if fields is None:
            fields = {"event": "library.line", "library": record.name if _word(record.name) else "unknown"}
            if record.exc_info and record.exc_info[0] is not None:
                fields["error"] = record.exc_info[0].__name__
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            **fields,
        }
        if self._party and _name(self._party):
            line.setdefault("party", self._party)
        return str(self._render(None, "", line))
