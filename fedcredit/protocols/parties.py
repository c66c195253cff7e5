"""Which parties a protocol of a label party with feature parties can have.

Reveals: nothing. Assumes: nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from fedcredit.errors import ConfigError, Problem
from fedcredit.ids import PartyId

__all__ = ["refuse_parties"]


def refuse_parties(parties: Sequence[PartyId], most: int) -> None:
    """Check that there are a label party and feature parties, `most` together, none twice. Raises: ConfigError."""
    if not 2 <= len(parties) <= most or len(set(parties)) != len(parties):
        what = f"needs a label party and from 1 to {most - 1} feature parties, each once"
        raise ConfigError(Problem("CONFIG_VALUE", "parties", what))
