"""How sensitive a department says that its items and fields are, by the levels of GB/T 43697-2024.

That standard has three levels of data, general, important and core, and lets general data be graded 1 to 4 in turn.
Here they are one scale, so that a rule can have one bound: 1 to 4, important, core. `general` without a grade is 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["CORE", "GENERAL", "IMPORTANT", "LEVELS", "Classification", "level_name"]

GENERAL, IMPORTANT, CORE = 4, 5, 6

LEVELS: Mapping[str | int, int] = {
    1: 1,
    2: 2,
    3: 3,
    4: GENERAL,
    "general": GENERAL,
    "important": IMPORTANT,
    "core": CORE,
}
"""What may be written for a level, and where it stands."""


def level_name(level: int) -> str:
    """A level as its owner writes it."""
    return {IMPORTANT: "important", CORE: "core"}.get(level, str(level))


@dataclass(frozen=True, slots=True)
class Classification:
    """The levels of items, and of fields by `item.field`; of what nobody classified, that of ungraded general data."""

    levels: Mapping[str, int] = field(default_factory=dict)
    default: int = GENERAL

    def of(self, fields: Mapping[str, Iterable[str]]) -> int:
        """The level of an answer that rests on these items and fields: the highest of them all."""
        found = [1]
        for item, names in fields.items():
            found.append(self.levels.get(item, self.default))
            found += [level for name in names if (level := self.levels.get(f"{item}.{name}")) is not None]
        return max(found)
