"""What the control plane needs of the native service of questions, and nothing else of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fedcredit.ids import PartyId

__all__ = ["Identity", "Plane"]


@dataclass(frozen=True, slots=True)
class Identity:
    """What the service shows on its port, and whom it lets in: of each party its own authorities alone, in DER.

    Units: `not_before` in seconds since 1970; leaves of the party from before it are withdrawn, 0: none are.
    """

    certificate: bytes = field(repr=False)
    private_key: bytes = field(repr=False)
    authorities: Mapping[PartyId, tuple[bytes, ...]] = field(repr=False)
    not_before: Mapping[PartyId, int]


class Plane(Protocol):
    """A service that runs. Calls return at once but for `stop`; safe from any thread."""

    @property
    def port(self) -> int:
        """Where it is asked."""

    def swap(self, snapshot: str) -> None:
        """Decide by another snapshot from the next question on. Raises: DataError; the one before stays then."""

    def identify(self, identity: Identity) -> None:
        """Show another certificate and believe others from the next handshake on; cut off who is not believed."""

    def stats(self) -> Mapping[str, Any]:
        """What it counts, and how its log stands: `figures.VerifyFigures` says it to Prometheus."""

    def well(self) -> bool:
        """Whether its log takes entries: while it does not, nothing is answered."""

    def stop(self, grace_s: float) -> None:
        """Take no more questions, answer those that were taken within `grace_s`, close the log."""
