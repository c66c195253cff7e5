"""The label party's side of a scorecard's selection.

P -> L   ColumnFigures    missing and stability of every binned column
L -> P   ChosenColumns    those within the limits;   P -> L  KeptColumns   less those like better ones of P's own
L -> P   ChosenColumns    the best of all parties;   their correlations to L (`protocols.moments`)
fit      L -> P  ChosenColumns    coefficients and standard errors (`protocols.linear`)
         P -> L  Significance
L -> P   ChosenColumns    the same again: the fit stands; or fewer: fitted anew
P -> L   CardDocument     where the job asks for one card in one place
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels.onehot import U8
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.wire.scorecard import CardDocument, ChosenColumns, ColumnFigures, KeptColumns, Significance

__all__ = ["OwnerKept", "SelectionLabel"]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]

MAX_DOCUMENT = 1 << 24
"""Bytes of a part of a card at most."""


@dataclass(frozen=True, slots=True, eq=False)
class OwnerKept:
    """What an owner keeps of its chosen columns. Shapes: all (columns,); `nearest` numbers of its columns."""

    kept: U8 = field(repr=False)
    correlation: F64 = field(repr=False)
    nearest: I64 = field(repr=False)


@dataclass(frozen=True, slots=True)
class SelectionLabel:
    """Hears the figures of every peer's columns and says which go on.

    Reveals: to this party, by opaque number, of every peer's columns the share that is missing and the stability index
    between rows to train on and rows held out; which of them are like better ones of the same owner, and how much; of
    those in a fit the z values, from which with the standard errors its coefficients in units of each column's spread
    follow; with one card in one place, names, bins and points of the columns in it.
    Assumes: semi-honest parties.
    """

    peers: tuple[PartyId, ...]

    @property
    def step(self) -> str:
        """How errors name this session."""
        return f"selection among columns of {', '.join(self.peers)}"

    def hear_figures(self, columns: Mapping[PartyId, int]) -> Steps[dict[PartyId, ColumnFigures]]:
        """Missing and stability of so many columns of each peer. Raises: PeerError."""
        found = {}
        for peer in self.peers:
            got = yield from recv(peer, ColumnFigures)
            self._due(peer, got.missing.size, columns[peer], "figures")
            found[peer] = got
        return found

    def choose(self, chosen: Mapping[PartyId, I64], to: Sequence[PartyId], *, final: bool = False) -> Steps[None]:
        """Tell each peer in `to` which of its columns go on; the others have none any more, and know it.

        Shapes: chosen, of every peer ascending numbers of its columns.
        """
        parties = np.array([chosen[peer].size > 0 for peer in self.peers], np.uint8)
        for peer in to:
            yield from send(peer, ChosenColumns(chosen[peer].astype(np.uint32), parties, final))

    def hear_kept(self, chosen: Mapping[PartyId, I64]) -> Steps[dict[PartyId, OwnerKept]]:
        """Which of its chosen columns each peer that has any keeps. Raises: PeerError."""
        found = {}
        for peer in self.peers:
            if not chosen[peer].size:
                continue
            got = yield from recv(peer, KeptColumns)
            self._due(peer, got.kept.size, chosen[peer].size, "columns kept")
            if not np.isin(got.nearest, chosen[peer]).all():
                raise PeerError(peer, self.step, "named columns that were not chosen", "SHAPE")
            found[peer] = OwnerKept(got.kept, got.correlation, got.nearest.astype(np.int64))
        return found

    def hear_significance(self, chosen: Mapping[PartyId, I64]) -> Steps[dict[PartyId, F64]]:
        """The z values of the columns of each peer that has any in the fit. Raises: PeerError."""
        found = {}
        for peer in self.peers:
            if chosen[peer].size:
                got = yield from recv(peer, Significance)
                self._due(peer, got.z.size, chosen[peer].size, "z values")
                found[peer] = got.z
        return found

    def hear_parts(self, chosen: Mapping[PartyId, I64]) -> Steps[dict[PartyId, bytes]]:
        """The part of the card of each peer that has one. Raises: PeerError."""
        found = {}
        for peer in self.peers:
            if not chosen[peer].size:
                continue
            pieces, size, last = [], 0, False
            while not last:
                got = yield from recv(peer, CardDocument)
                pieces.append(got.part)
                size, last = size + len(got.part), got.last
                if size > MAX_DOCUMENT:
                    raise PeerError(peer, self.step, "sent a part of a card that is larger than any", "SHAPE")
            found[peer] = b"".join(pieces)
        return found

    def _due(self, peer: PartyId, got: int, due: int, what: str) -> None:
        if got != due:
            raise PeerError(peer, self.step, f"sent {got} {what} of {due}", "SHAPE")
