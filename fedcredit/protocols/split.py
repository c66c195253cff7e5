"""Splitting aligned rows by a date that only the label party knows: it says which rows are held out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.wire.split import HeldOut

__all__ = ["SplitFollower", "SplitLeader"]

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SplitLeader:
    """The label party tells `peers` which rows it holds out.

    Shapes: test (n,).
    Reveals: for every aligned row, on which side of the point in time it lies, to all peers.
    Assumes: authenticated links.
    """

    peers: tuple[PartyId, ...]
    test: Mask = field(repr=False)

    def steps(self) -> Steps[Mask]:
        """Send the marks; gives them back."""
        for peer in self.peers:
            yield from send(peer, HeldOut(self.test.astype(np.uint8)))
        return self.test


@dataclass(frozen=True, slots=True)
class SplitFollower:
    """A feature party learns which of the `n_rows` aligned rows are held out.

    Reveals: nothing.
    Assumes: a semi-honest label party.
    """

    leader: PartyId
    n_rows: int

    def steps(self) -> Steps[Mask]:
        """Wait for the marks. Raises PeerError on another number of rows."""
        message = yield from recv(self.leader, HeldOut)
        if message.rows.size != self.n_rows:
            reason = f"marked {message.rows.size} rows where {self.n_rows} are aligned"
            raise PeerError(self.leader, "split", reason, "MESSAGE_INVALID")
        return message.rows.astype(np.bool_)
