"""How a horizontal model adds up with the other members in a job."""

from __future__ import annotations

from fedcredit.estimators import Federation
from fedcredit.estimators.sums import Sums
from fedcredit.node.horizontal.noise import noise_of
from fedcredit.node.models import ModelContext

__all__ = ["sums_of"]


async def sums_of(context: ModelContext, federation: Federation, *, all_needed: bool = False) -> Sums:
    """Sums of the model's own, over all members; where the job may go on without some, over those that are left.

    `all_needed`: the model sums within its own steps, and begins a step anew without who is lost.
    Raises: PeerLost, PeerError.
    """
    # Stages of sums have the model's own names in theirs, and no room for its name twice.
    name, members = f"sum.{context.number}", len(federation.members)
    noise = noise_of(context.privacy, context.entry.name, federation)
    if context.finished:
        return Sums.unused(federation, name, noise)  # all is kept, and nobody may be there to agree on keys with
    threshold = None if all_needed or context.threshold >= members else context.threshold
    accepted = context.two_parties_accepted
    return await Sums.begin(federation, name, threshold=threshold, two_parties_accepted=accepted, noise=noise)
