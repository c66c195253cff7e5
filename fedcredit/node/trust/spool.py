"""What commands leave for the platform's node, which alone writes its store: new tokens, and members to revoke.

A command makes one small file and is done; the node takes it within a second, or at its next start. A file is removed
when what it asks for is durable, so a crash in between does it again, to the same effect.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedcredit import failpoints
from fedcredit.errors import ConfigError, Problem
from fedcredit.ids import PartyId, party_id
from fedcredit.node.durable_files import create_file, replace_file
from fedcredit.observe import logs

__all__ = ["NewToken", "Revoke", "Spool"]

_log = logs.get("trust")
_MAX_FILE_BYTES = 1 << 14


@dataclass(frozen=True, slots=True)
class NewToken:
    """`party` may join as `kind` until `expires`, with the secret of this hash."""

    hash: bytes
    party: PartyId
    kind: str
    expires: datetime


@dataclass(frozen=True, slots=True)
class Revoke:
    """`party` is a member no more."""

    party: PartyId
    reason: str


class Spool:
    """The folder `enrol/` of a platform's node."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "enrol"

    def add_token(self, token: NewToken) -> None:
        """Leave a token for the node."""
        value = {"party": token.party, "kind": token.kind, "expires": token.expires.isoformat()}
        self._leave(f"token-{token.hash.hex()}.json", value)

    def revoke(self, order: Revoke) -> None:
        """Leave a revocation for the node."""
        self._leave(f"revoke-{order.party}.json", {"party": order.party, "reason": order.reason})

    def take(self, do: Callable[[NewToken | Revoke], None]) -> int:
        """Give `do` everything that waits, and remove it when `do` returns; how much that was."""
        count = 0
        for path in sorted(self.path.glob("*.json")):
            try:
                order = _read(path)
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError, ConfigError, OSError):
                _log.error("order.invalid", code="SPOOL_INVALID")
                path.rename(path.with_suffix(".bad"))
                continue
            do(order)
            failpoints.hit("enrol.order.done", order.party)
            path.unlink()
            count += 1
        return count

    def _leave(self, name: str, value: dict[str, Any]) -> None:
        self.path.mkdir(mode=0o700, exist_ok=True)
        data = json.dumps(value).encode()
        if name.startswith("token-"):
            create_file(self.path / name, data)
        else:
            replace_file(self.path / name, data)
        failpoints.hit("enrol.order.left", name.partition("-")[0])


def _read(path: Path) -> NewToken | Revoke:
    value = json.loads(path.read_bytes()[:_MAX_FILE_BYTES])
    kind, _, rest = path.stem.partition("-")
    if kind == "token":
        if value["kind"] not in ("provider", "institution"):
            raise ConfigError(Problem("SPOOL_INVALID", path.name, "is of no kind"))
        expires = datetime.fromisoformat(value["expires"]).astimezone(UTC)
        return NewToken(bytes.fromhex(rest), party_id(value["party"]), value["kind"], expires)
    if kind == "revoke":
        return Revoke(party_id(value["party"]), str(value["reason"])[:200])
    raise ValueError("name")
