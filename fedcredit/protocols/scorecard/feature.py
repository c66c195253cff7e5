"""A feature party's side of a scorecard's selection. Messages and their order: `label`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels.onehot import U8
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.wire.scorecard import (
    DOCUMENT_CHUNK,
    CardDocument,
    ChosenColumns,
    ColumnFigures,
    KeptColumns,
    Significance,
)

__all__ = ["Chosen", "SelectionFeature"]

Bool: TypeAlias = npt.NDArray[np.bool_]
F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Which columns of this party go on, and which feature parties have such columns, in the job's order. `final`: the
    fit that was made with them stands."""

    columns: I64 = field(repr=False)
    parties: tuple[PartyId, ...]
    final: bool = False


@dataclass(frozen=True, slots=True)
class SelectionFeature:
    """Tells figures of its columns and hears which go on. `parties` are all feature parties, in the job's order.

    Reveals: to this party, which of its columns go on at each step, and which other parties have columns that do.
    Assumes: semi-honest parties.
    """

    me: PartyId
    label_party: PartyId
    parties: tuple[PartyId, ...]

    @property
    def step(self) -> str:
        """How errors name this session."""
        return f"selection by {self.label_party} among columns of {self.me}"

    def tell_figures(self, missing: F64, stability: F64) -> Steps[None]:
        """Of all binned columns. Shapes: (columns,) each; stability -1 where there is none."""
        yield from send(self.label_party, ColumnFigures(missing, stability))

    def hear_chosen(self, among: I64, *, held: Bool | None = None) -> Steps[Chosen]:
        """Which of `among` go on; of a fit that stands, all but those that are held at 0. Raises: PeerError.

        Shapes: among, held (columns,).
        """
        got = yield from recv(self.label_party, ChosenColumns)
        columns = got.columns.astype(np.int64)
        flags = got.parties
        if flags.size != len(self.parties) or bool(flags[self.parties.index(self.me)]) != (columns.size > 0):
            raise PeerError(self.label_party, self.step, "chose columns of other parties than there are", "SHAPE")
        if not np.isin(columns, among).all():
            raise PeerError(self.label_party, self.step, "chose columns that were gone", "SHAPE")
        parties = tuple(party for party, chosen in zip(self.parties, flags, strict=True) if chosen)
        if got.final and not np.array_equal(columns, among if held is None else among[~held]):
            raise PeerError(self.label_party, self.step, "let a fit stand of columns that it dropped", "SHAPE")
        return Chosen(columns, parties, got.final)

    def tell_kept(self, kept: U8, correlation: F64, nearest: I64) -> Steps[None]:
        """Which of the chosen columns stay beside this party's own. Shapes: (chosen,) each."""
        yield from send(self.label_party, KeptColumns(kept, correlation, nearest.astype(np.uint32)))

    def tell_significance(self, z: F64) -> Steps[None]:
        """The z values of this party's columns in the fit. Shapes: (columns in it,)."""
        yield from send(self.label_party, Significance(z))

    def tell_part(self, document: bytes) -> Steps[None]:
        """This party's part of the card, for the label party to have all of it."""
        for first in range(0, len(document), DOCUMENT_CHUNK):
            last = first + DOCUMENT_CHUNK >= len(document)
            yield from send(self.label_party, CardDocument(document[first : first + DOCUMENT_CHUNK], last))
