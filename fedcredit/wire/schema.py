"""Messages by which members of a horizontal job find that they have the same columns: `docs/protocols/schema.md`.

Names, levels and special values are texts and numbers of a table's schema: no row is in them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from fedcredit.wire._gen import schema_pb2 as pb
from fedcredit.wire.message import Message, MessageInvalid, blob

__all__ = ["WAYS", "ColumnShape", "ColumnsCompared", "ColumnsVerdict", "Differences", "SharedColumns"]

WAYS: Final = ("lacking", "further", "kind", "levels", "special")
"""How columns differ from the leader's: it is not there, it is only there, another kind, other levels, other codes."""

Differences = Mapping[str, tuple[str, ...]]
"""By way, the names of columns that differ in it; no way without a name."""

MAX_DOCUMENT: Final = 4 << 20
MAX_VERDICT: Final = 16 << 20
MAX_COLUMNS: Final = 16_384
MAX_TEXT: Final = 512
MAX_MEMBERS: Final = 128


@dataclass(frozen=True, slots=True)
class ColumnShape:
    """What members have to have in common of a column."""

    name: str
    kind: Literal["numeric", "categorical"]
    levels: tuple[str, ...] = ()
    special: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class SharedColumns(Message, tag=0x200, proto=pb.SharedColumns):
    """The leader's columns, in its order.

    Reveals: to every member, names, kinds, levels and special values of the leader's columns in this job.
    Assumes: an authenticated link.
    """

    document: bytes = blob(2, MAX_DOCUMENT)

    @classmethod
    def of(cls, columns: Sequence[ColumnShape]) -> SharedColumns:
        """The message that says these."""
        return cls(_json([[c.name, c.kind, list(c.levels), list(c.special)] for c in columns]))

    def columns(self) -> tuple[ColumnShape, ...]:
        """What the message says. Raises: MessageInvalid."""
        raw = _parsed(self.document, type(self).__name__, list)
        found = tuple(_column(one) for one in raw[: MAX_COLUMNS + 1])
        if len(found) > MAX_COLUMNS or len({column.name for column in found}) != len(found):
            raise MessageInvalid("SharedColumns", "too many columns, or a name twice")
        return found

    def validate(self) -> None:
        """See `Message.validate`."""
        self.columns()


@dataclass(frozen=True, slots=True, repr=False)
class ColumnsCompared(Message, tag=0x201, proto=pb.ColumnsCompared):
    """In which columns a member differs from the leader; in none, if all is well.

    Reveals: to the leader, and by its verdict to all members, the names of columns that differ, and how; not which
    levels. Assumes: an authenticated link.
    """

    document: bytes = blob(2, MAX_DOCUMENT)

    @classmethod
    def of(cls, differences: Differences) -> ColumnsCompared:
        """The message that says these."""
        return cls(_json({way: list(names) for way, names in differences.items()}))

    def differences(self) -> Differences:
        """What the message says. Raises: MessageInvalid."""
        return _differences(_parsed(self.document, type(self).__name__, dict))

    def validate(self) -> None:
        """See `Message.validate`."""
        self.differences()


@dataclass(frozen=True, slots=True, repr=False)
class ColumnsVerdict(Message, tag=0x202, proto=pb.ColumnsVerdict):
    """Which members differ from the leader, and in which columns; nobody, if all is well.

    Reveals: to every member, what `ColumnsCompared` reveals of the others. Assumes: an authenticated link.
    """

    document: bytes = blob(2, MAX_VERDICT)

    @classmethod
    def of(cls, members: Mapping[str, Differences]) -> ColumnsVerdict:
        """The message that says these."""
        plain = {name: {way: list(names) for way, names in ways.items()} for name, ways in members.items()}
        return cls(_json(plain))

    def members(self) -> dict[str, Differences]:
        """What the message says. Raises: MessageInvalid."""
        raw = _parsed(self.document, type(self).__name__, dict)
        if len(raw) > MAX_MEMBERS or not all(_is_text(name) and isinstance(ways, dict) for name, ways in raw.items()):
            raise MessageInvalid("ColumnsVerdict", "too many members, or no differences")
        return {name: _differences(ways) for name, ways in raw.items()}

    def validate(self) -> None:
        """See `Message.validate`."""
        self.members()


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _parsed(document: bytes, where: str, kind: type) -> Any:
    try:
        raw = json.loads(document)
    except (ValueError, RecursionError):
        raise MessageInvalid(where, "not JSON") from None
    if not isinstance(raw, kind):
        raise MessageInvalid(where, "another document")
    return raw


def _column(raw: object) -> ColumnShape:
    match raw:
        case [str(name), ("numeric" | "categorical") as kind, list(levels), list(special)]:
            sound = _is_text(name) and all(map(_is_text, levels)) and all(map(_is_number, special))
            if sound and len(set(levels)) == len(levels):
                return ColumnShape(name, kind, tuple(levels), tuple(map(float, special)))
    raise MessageInvalid("SharedColumns", "no column")


def _differences(raw: Mapping[str, object]) -> Differences:
    found: dict[str, tuple[str, ...]] = {}
    for way, names in raw.items():
        if way not in WAYS or not isinstance(names, list) or not names or not all(map(_is_text, names)):
            raise MessageInvalid("differences", "no way in which columns differ")
        found[way] = tuple(names)
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable()


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300 and math.isfinite(value)
