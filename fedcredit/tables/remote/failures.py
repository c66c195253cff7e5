"""What went wrong with a database or an interface, said without anything that it said: its words may hold secrets."""

from __future__ import annotations

from fedcredit.errors import DataError
from fedcredit.tables.problems import refuse

__all__ = ["of_database", "of_disk", "of_stream"]

_BY_STATE = {
    "28": ("TABLE_AUTH", "the database refuses the credentials", "check the user and password in the URL"),
    "3D000": ("TABLE_MISSING", "there is no such database", "correct the URL"),
    "42501": ("TABLE_DENIED", "the role may not read it", "grant SELECT on it and USAGE on its schema"),
    "42P01": ("TABLE_MISSING", "there is no such table or view", "correct relation"),
    "3F000": ("TABLE_MISSING", "there is no such schema", "correct relation"),
    "42": ("TABLE_CONDITION", "a condition does not fit the type of its column", "correct where"),
    "22": ("TABLE_CONDITION", "a value cannot be compared or converted", "correct where, or the view"),
    "57014": ("TABLE_TIMEOUT", "the database took too long", "raise statement_timeout_s, or add an index"),
    "53": ("TABLE_UNREACHABLE", "the database has no connection or memory left", "try again later"),
    "57": ("TABLE_UNREACHABLE", "the database is shutting down or starting", "try again later"),
}

_BY_WORD = (
    (("no space left", "disk quota"), ("DISK_FULL", "the disk has no room for the rows", "make room on the disk")),
    (("authentication", "password", "pg_hba"), _BY_STATE["28"]),
    (
        ("certificate", "ssl", "tls"),
        ("TABLE_TLS", "TLS with the database failed", "check tls and ca, and the server's name"),
    ),
    (("does not exist",), _BY_STATE["3D000"]),
    (("statement timeout",), _BY_STATE["57014"]),
    (("invalid byte", "encoding"), ("TABLE_ENCODING", "text that is no UTF-8", "mend it at the source")),
)
_UNREACHABLE = ("TABLE_UNREACHABLE", "the database cannot be reached", "check host, port and network, then try again")
_UNWRITTEN = ("SNAPSHOT_FAILED", "its rows cannot be written to the node's folder", "check the disk and its rights")
_LOST = ("TABLE_LOST", "the database broke off the reading", "try again; see the database's own log")


def of_database(title: str, message: str, state: str | None) -> DataError:
    """What a driver's `message` and SQLSTATE come down to."""
    for length in (5, 2):
        if state and (found := _BY_STATE.get(state[:length])) is not None:
            return refuse(found[0], title, *found[1:])
    return _by_word(title, message, _UNREACHABLE)


def of_stream(title: str, message: str) -> DataError:
    """The same for a failure in the middle of the rows, of which no SQLSTATE is known."""
    return _by_word(title, message, _LOST)


def of_disk(title: str, error: OSError) -> DataError:
    """A snapshot that could not be written."""
    return _by_word(title, error.strerror or "", _UNWRITTEN)


def _by_word(title: str, message: str, otherwise: tuple[str, str, str]) -> DataError:
    lowered = message.lower()
    for words, found in _BY_WORD:
        if any(word in lowered for word in words):
            return refuse(found[0], title, *found[1:])
    return refuse(otherwise[0], title, *otherwise[1:])
