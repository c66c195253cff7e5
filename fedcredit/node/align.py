"""The align stage: which rows of this party's table all parties hold, in one order that all share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import SystemRandomness
from fedcredit.ids import PartyId
from fedcredit.node.specification import JobSpecification
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.intersect import Alignment, IntersectHolder, IntersectReceiver
from fedcredit.runtime.driver import drive
from fedcredit.runtime.meter import Meter
from fedcredit.runtime.sessions import session_id
from fedcredit.transport.channel import Transport

__all__ = ["align"]

Ids = npt.NDArray[np.bytes_]


async def align(
    specification: JobSpecification,
    me: PartyId,
    ids: Ids,
    epoch: int,
    transport: Transport,
    meter: Meter,
    peer_timeout_s: float,
) -> npt.NDArray[np.int64]:
    """Row numbers of the common subjects, in the order of their identifiers; none where only the receiver learns them.

    The protocol's own order is random. Whoever learns the rows knows their identifiers, so the order by identifier
    tells nobody anything, is the same at all parties, and is the same in every run.

    Shapes: ids (n,) in the order of the file; returns (m,).
    Raises: RefusedError (INTERSECTION_TOO_SMALL), PeerError, PeerLost.
    """
    peers = tuple(party for party in (specification.label_party, *specification.feature_parties) if party != me)
    channel = transport.open(specification.hash, "align", peers=peers, epoch=epoch)
    alignment = await drive(_steps(specification, me, ids, epoch), channel, deadline_s=peer_timeout_s, meter=meter)
    if alignment is None:
        return np.empty(0, np.int64)
    return alignment.rows[np.argsort(ids[alignment.rows], kind="stable")]


def _steps(specification: JobSpecification, me: PartyId, ids: Ids, epoch: int) -> Steps[Alignment | None]:
    both, minimum = not specification.intersect.receiver_only, specification.intersect.min_size
    # No party may bring more rows than it said before all signed.
    most = max(party.rows or 0 for party in specification.parties)
    session, randomness = session_id(specification.hash, epoch, "align"), SystemRandomness()
    receiver, holders = specification.label_party, specification.feature_parties
    if me == receiver:
        role = IntersectReceiver(me, holders, session, ids, randomness, both, minimum, most)
        return (yield from role.steps())
    others = tuple(party for party in holders if party != me)
    return (yield from IntersectHolder(me, receiver, others, session, ids, randomness, both, minimum, most).steps())
