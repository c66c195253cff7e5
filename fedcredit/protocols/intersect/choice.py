"""Which mode an intersection runs in where the job leaves it open: decided by what all have signed, so all agree.

Reveals: nothing; numbers of rows and what the line carries are in that job. Assumes: nothing beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from fedcredit.protocols.intersect.alignment import Mode

__all__ = ["ALL_MODES", "FAST_FROM_ROWS", "MODES", "UNBALANCED", "Choice", "choose"]

MODES: Final[tuple[Mode, ...]] = ("ecdh", "fast")
"""Those that serve any number of parties, and in which all may learn."""

UNBALANCED: Final = "unbalanced"
"""The mode for a few rows of one party and many of another, whose filter is kept from job to job."""

UNBALANCED_FROM: Final = 100
"""Rows of the holder for each of the receiver's, from which on a filter is used. One is made only where a job asks."""

ALL_MODES: Final = (*MODES, UNBALANCED)

FAST_FROM_ROWS: Final = 100_000
"""Below, the older assumption costs nobody much time: elliptic curves take a party 13 microseconds of processor time a
row with AVX-512 IFMA and 43 without (benchmarks/results/ecdh.json), `fast` less than two from here on."""

SAVED_S: Final = 10.0
"""What `fast` must save on a slow line to be taken below that."""

_ECDH_ROW_BYTES, _FAST_ROW_BYTES, _FAST_BYTES = 85, 31, 800_000  # measured, TLS and all: benchmarks/results/peers.json


@dataclass(frozen=True, slots=True)
class Choice:
    """A mode, and in a sentence why it is that one."""

    mode: Mode | Literal["unbalanced"]
    why: str


def choose(
    asked: str,
    rows: Sequence[int],
    *,
    size_only: bool = False,
    line_mbit: float | None = None,
    kept: tuple[int, int] | None = None,
) -> Choice:
    """The mode of a job that asked for `asked` (`auto` or a mode), given how many rows every party declared.

    Units: `line_mbit` in Mbit/s, what the slowest line between two parties carries; None for one that costs no time.

    The size alone is found on elliptic curves alone (`sizing`); a job that asks for it and for another mode is none.
    `kept`: the receiver's rows and the holder's, where a filter of earlier jobs is kept that both would use.
    """
    if size_only and asked == "auto":
        return Choice(
            "ecdh", "the size alone is asked for: on elliptic curves the holder can shuffle between the maskings"
        )
    if asked == UNBALANCED:
        return Choice(UNBALANCED, "the job names it")
    for mode in MODES:
        if asked == mode:
            return Choice(mode, "the job names it")
    if kept is not None and kept[1] >= UNBALANCED_FROM * kept[0]:
        why = f"a filter of {kept[1]:,} rows is kept from earlier jobs, and {kept[0]:,} are to be looked up in it"
        return Choice(UNBALANCED, why)
    largest = max(rows)
    if line_mbit is not None and (saved_s := _saved_s(largest, line_mbit)) >= SAVED_S:
        return Choice("fast", f"over a line of {line_mbit:g} Mbit/s it takes {saved_s:.0f} s less than elliptic curves")
    if largest < FAST_FROM_ROWS:
        why = f"no party brings {FAST_FROM_ROWS:,} rows, so the conservative assumption costs little time"
        return Choice("ecdh", why)
    return Choice("fast", f"a party brings {largest:,} rows, for which elliptic curves would take many times as long")


def _saved_s(rows: int, line_mbit: float) -> float:
    """Seconds that `fast` takes less than `ecdh` to pass such a line, both parties bringing `rows`."""
    return (rows * (_ECDH_ROW_BYTES - _FAST_ROW_BYTES) - _FAST_BYTES) * 8 / (line_mbit * 1e6)
