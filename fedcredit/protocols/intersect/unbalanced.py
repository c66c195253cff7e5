"""Mode `unbalanced`: a few identifiers looked up in the many of another party, at a cost that follows the few.

    once       H -> R   the filter of H's identifiers under its function, later what went and what came
    each time  R -> H   R's identifiers, blinded
               H -> R   their evaluation; R unblinds it, and looks its values up in the filter

The holder keeps the key of its function from session to session, and may lend it to one receiver alone. Only the
receiver learns the intersection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.oprf import OprfBlind
from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import DataError, PeerError, Problem
from fedcredit.ids import PartyId
from fedcredit.kernels import filter as compact
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.intersect.alignment import STEP, Alignment, Ids, blaming, check_piece, chunks, too_small
from fedcredit.protocols.intersect.filters import (
    MOST_ASKED,
    FilterKey,
    Room,
    SharedFilter,
    fetch,
    in_memory,
    items_for,
    publish,
)
from fedcredit.wire.intersect import (
    POINTS_PER_CHUNK,
    BlindedItems,
    EvaluatedItems,
    FilterHeld,
    FilterProgress,
    Release,
    SetSize,
)

__all__ = ["ROWS_PER_PIECE", "UnbalancedHolder", "UnbalancedReceiver", "refuse_too_many"]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

WINDOW: Final = 4
"""Chunks under way before the first one must be back."""

ROWS_PER_PIECE: Final = 1 << 17
"""Rows that a holder evaluates for its filter between two words of progress: some seconds of work."""


@dataclass(frozen=True, slots=True, eq=False)
class UnbalancedReceiver:
    """Learns which of its rows `holder` has too, and keeps the holder's filter for the next time.

    `n_holder` is how many rows the holder declared.
    Reveals: to the receiver which of its rows the holder has, and the holder's number of rows; over time, how many of
    the holder's rows went and came between two of its questions, and under one key which values in the filter are the
    same, not whose they are; and of any identifier that it puts among its rows, whether the holder has it, so the
    holder bounds how many it may ask. To the holder the receiver's number of rows, and whether the minimum is reached.
    Assumes: semi-honest parties, authenticated links, random oracles, decisional and one-more gap Diffie-Hellman; a key
    that its holder keeps secret and changes as its policy says.
    Raises: RefusedError (INTERSECTION_TOO_SMALL); DataError (SET_EMPTY, SET_SIZE, ID_DUPLICATE); PeerError.
    """

    me: PartyId
    holder: PartyId
    ids: Ids = field(repr=False)
    randomness: Randomness = field(repr=False)
    n_items: int
    n_holder: int
    minimum: int = 1

    def steps(self, held: SharedFilter | None = None) -> Steps[tuple[Alignment, SharedFilter]]:
        """The whole protocol in memory: the intersection, and the filter to keep."""
        current = yield from self.fetch(held)
        rows = yield from self.ask(current)
        return (yield from self.release(rows)), current

    def fetch(self, held: SharedFilter | None, room: Room = in_memory) -> Steps[SharedFilter]:
        """The holder's filter as it is now, given what this party `held` of it; it lies in `room` if it is another."""
        refuse_too_many(self.n_items)
        return (yield from fetch(self.holder, self.n_items, self.n_holder, held, room))

    def ask(self, current: SharedFilter) -> Steps[I64]:
        """Which rows the holder has too, ascending. Nobody else hears of it before `release`."""
        label = current.label
        items = items_for(self.ids, label.key, self.me, self.holder, self.n_items)
        yield from send(self.holder, SetSize(len(items)))
        blind = OprfBlind.generate(self.randomness)
        values = np.empty((len(items), compact.VALUE_BYTES), np.uint8)
        pending: deque[slice] = deque()

        def collect() -> Steps[None]:
            rows = pending.popleft()
            points = (yield from recv(self.holder, EvaluatedItems)).points
            check_piece(self.holder, "evaluate", len(points), rows)
            with blaming(self.holder, "evaluate"):
                values[rows] = blind.finalize(items[rows], points, compact.VALUE_BYTES)

        for rows in chunks(len(items), POINTS_PER_CHUNK):
            yield from send(self.holder, BlindedItems(blind.blind(items[rows])))
            pending.append(rows)
            if len(pending) > WINDOW:
                yield from collect()
        while pending:
            yield from collect()
        return np.flatnonzero(compact.contains(current.content, label.entries, label.bits, values))

    def release(self, rows: I64) -> Steps[Alignment]:
        """Tell the holder that it is done. Raises: RefusedError, having told it so, where `rows` are too few."""
        released = len(rows) >= self.minimum
        yield from send(self.holder, Release(released=released, rows=0))
        if not released:
            raise too_small()
        return Alignment(rows)


@dataclass(frozen=True, slots=True, eq=False)
class UnbalancedHolder:
    """Lends `receiver` its filter and evaluates the receiver's items; learns nothing but their number.

    `n_receiver` is how many rows the receiver declared.
    Reveals: see `UnbalancedReceiver`.
    Assumes: see `UnbalancedReceiver`.
    Raises: RefusedError (INTERSECTION_TOO_SMALL); PeerError.
    """

    me: PartyId
    receiver: PartyId
    n_receiver: int

    def steps(
        self,
        key: FilterKey,
        current: SharedFilter,
        older: Sequence[SharedFilter] = (),
        charge: Callable[[int], None] = lambda asked: None,
    ) -> Steps[None]:
        """The whole protocol with a filter that is up to date. `charge` is called before anything is evaluated."""
        held = yield from self.hear()
        yield from self.tell(())
        yield from publish(self.receiver, held, current, older)
        yield from self.answer(key, charge)

    def hear(self) -> Steps[FilterHeld]:
        """What the receiver has of the filter."""
        return (yield from recv(self.receiver, FilterHeld))

    def tell(self, pieces: Iterable[tuple[int, int]]) -> Steps[None]:
        """Work through `pieces`, and tell the receiver how far it is: how many are done, of how many."""
        last = (0, 0)
        for done, total in pieces:
            last = done, total
            if done < total:
                yield from send(self.receiver, FilterProgress(done, total))
        yield from send(self.receiver, FilterProgress(last[1], last[1]))

    def answer(self, key: FilterKey, charge: Callable[[int], None]) -> Steps[None]:
        """Evaluate the receiver's items, having called `charge` with their number, and hear that it is done."""
        asked = (yield from recv(self.receiver, SetSize)).rows
        if asked != self.n_receiver or asked > MOST_ASKED:
            reason = f"asks of {asked} rows where it declared {self.n_receiver}"
            raise PeerError(self.receiver, f"{STEP}/evaluate", reason, "SET_SIZE")
        charge(asked)
        for due in chunks(asked, POINTS_PER_CHUNK):
            points = (yield from recv(self.receiver, BlindedItems)).points
            check_piece(self.receiver, "evaluate", len(points), due)
            with blaming(self.receiver, "evaluate"):
                evaluated = key.oprf.blind_evaluate(points)
            yield from send(self.receiver, EvaluatedItems(evaluated))
        release = yield from recv(self.receiver, Release)
        if not release.released:
            raise too_small()
        if release.rows:
            raise PeerError(self.receiver, f"{STEP}/release", "told a size that nobody is to know", "SET_SIZE")


def refuse_too_many(n_items: int) -> None:
    """Raises: DataError (SET_SIZE) for more rows than one session may ask of."""
    if n_items > MOST_ASKED:
        what = f"{n_items} identifiers are more than mode unbalanced looks up at once ({MOST_ASKED})"
        raise DataError(Problem("SET_SIZE", STEP, what, "take mode fast, or ask in parts"))
