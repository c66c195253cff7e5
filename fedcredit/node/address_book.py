"""Where peers were when the platform last said so, kept so that a node that was restarted finds them again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from fedcredit.errors import ConfigError
from fedcredit.ids import PartyId, party_id
from fedcredit.node.durable_files import replace_file

__all__ = ["AddressBook"]


class AddressBook:
    """Addresses by party in one file of the node. They are hints: certificates decide who is there.

    `tell` hears of each of them, at the start and whenever one changes.
    """

    def __init__(self, path: Path, tell: Callable[[PartyId, str], None]) -> None:
        self._path, self._tell = path, tell
        self._known = _read(path)

    def recall(self, known: Callable[[PartyId], str | None]) -> None:
        """Tell of all parties whose address is not `known` already, e.g. from the configuration."""
        for peer, address in self._known.items():
            if known(peer) is None:
                self._tell(peer, address)

    def learn(self, peer: PartyId, address: str) -> None:
        """Note where `peer` is, and tell of it."""
        self._tell(peer, address)
        if self._known.get(peer) != address:
            self._known[peer] = address
            replace_file(self._path, (json.dumps(self._known, indent=1, sort_keys=True) + "\n").encode())


def _read(path: Path) -> dict[PartyId, str]:
    """What an earlier process wrote; nothing where that cannot be read: the platform says it again."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {party_id(peer): str(address) for peer, address in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, ConfigError):
        return {}
