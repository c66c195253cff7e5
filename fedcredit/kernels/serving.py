"""The server of verification, which answers banks without Python: started, changed, watched and stopped from here.

It listens on a port of its own with mutual TLS 1.3, rules on questions by a snapshot, records every ruling in an audit
log of its own, and answers when the entry is durable: `docs/protocols/verify.md`. Everything runs on its own threads,
without the GIL; no call of Python's stands in the way of an answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from fedcredit import _native
from fedcredit.errors import ConfigError, Problem

__all__ = ["SETTINGS_SCHEMA", "Keys", "Server", "ServerSettings", "reads", "trust_text"]

SETTINGS_SCHEMA: Final = "fedcredit-serve/1"


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the server listens (port 0: a free one), the folder of its log, and how much may be under way at once.

    `threads` talk (0: one a core). Above `in_flight` questions, or three quarters of that for one caller, a question is
    turned away at once (RESOURCE_EXHAUSTED). While they wait longer than `target_wait_ms` on average, beyond what the
    log takes, fewer may be under way, down to `least_in_flight`.
    `known` is a head of the log that was kept elsewhere: its size and root.
    """

    listen: str
    folder: Path
    threads: int = 0
    connections: int = 256
    in_flight: int = 1024
    least_in_flight: int = 512
    target_wait_ms: int = 8
    batches: int = 8
    known: tuple[int, bytes] | None = None

    def encode(self) -> str:
        """The settings as the server reads them."""
        text: dict[str, Any] = {
            "schema": SETTINGS_SCHEMA,
            "listen": self.listen,
            "folder": str(self.folder.absolute()),
            "threads": self.threads,
            "max_connections": self.connections,
            "max_in_flight": self.in_flight,
            "least_in_flight": self.least_in_flight,
            "target_wait_ms": self.target_wait_ms,
            "max_batches": self.batches,
            "known": self.known and {"size": self.known[0], "root": self.known[1].hex()},
        }
        return json.dumps(text)


@dataclass(frozen=True, slots=True)
class Keys:
    """What the server shows and signs with.

    A certificate chain and its key in PEM, Ed25519's 32 bytes for heads of the log, and 32 bytes under which subjects
    are recorded, the same as long as the log is.
    """

    certificate: bytes
    key: bytes = field(repr=False)
    signing_key: bytes = field(repr=False)
    log_key: bytes = field(repr=False)


def reads(request: bytes, *, batch: bool = False) -> bool:
    """Whether the server takes these bytes for a request, of one question or of a batch: its own reader's word."""
    return _native.verify_reads(request, batch)


def trust_text(parties: Mapping[str, tuple[Iterable[bytes], int | None]], for_all: Iterable[bytes] = ()) -> str:
    """Whose certificates the server believes: of each party its authorities (DER) and from when on its leaves count.

    Parties that are refused are left out. `for_all`: authorities that speak for every party without a pin, for runs on
    one machine. Units: seconds since 1970.
    """
    from base64 import b64encode

    def texts(authorities: Iterable[bytes]) -> list[str]:
        return [b64encode(authority).decode() for authority in authorities]

    pins = {
        party: {"authorities": texts(authorities), "not_before": not_before}
        for party, (authorities, not_before) in parties.items()
    }
    return json.dumps({"parties": pins, "for_all": texts(for_all)})


class Server:
    """A server of verification that runs. Use as a context manager, or `stop` it.

    Raises: ConfigError, with every problem of settings, snapshot, trust, keys and log: CONFIG_INVALID, TLS_IDENTITY,
    LISTEN, LOCKED, AUDIT_*, and what a snapshot is refused with.
    """

    def __init__(self, settings: ServerSettings, snapshot: str, trust: str, keys: Keys) -> None:
        """Open the log, rebuild uses and budgets from it, listen. `snapshot`: JSON of schema `fedcredit-serving/1`."""
        with _Typed():
            self._server = _native.VerificationServer.start(
                settings.encode(), snapshot, trust, keys.certificate, keys.key, keys.signing_key, keys.log_key
            )

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return self._server.port

    def swap(self, snapshot: str) -> None:
        """Answer from `snapshot` from the next question on; uses, budgets and quotas go on.

        Raises: ConfigError, and then it answers from the old one.
        """
        with _Typed():
            self._server.swap(snapshot)

    def reload_trust(self, trust: str, keys: Keys) -> None:
        """Show and believe something else from the next handshake and call on; calls under way are answered.

        Connections of parties that are not believed any more are ended. Only certificate and key are taken from `keys`.
        Raises: ConfigError, and then nothing is changed.
        """
        with _Typed():
            self._server.reload_trust(trust, keys.certificate, keys.key)

    def record(self, event: str, facts: Mapping[str, str | int | bool]) -> bytes:
        """Add an entry to the log and return the signed head that has it, when it is durable.

        Raises: ConfigError (AUDIT_ENTRY, AUDIT_UNAVAILABLE, STOPPED).
        """
        with _Typed():
            return self._server.record(event, sorted(facts.items())).encode()

    def stats(self) -> dict[str, Any]:
        """What the server has counted since it started, and how its log stands.

        `outcomes` of single questions and `batched` of checks in batches (lists of name and count), `reasons`,
        `turned_away`, `latency` (a histogram: `latency_edges_us` are upper edges, and one more), `latency_sum_us`,
        `calls`, `batches`, `connections`, `open_connections`, `failed_handshakes`, `in_flight`, `room` (how many may be
        under way now), `commits`, `entries`, `serving`, and `log` (`size`, `root`, `ended`: why it takes no more
        entries, or empty). Units: microseconds.
        """
        found: dict[str, Any] = json.loads(self._server.stats())
        return found

    def drain(self, seconds: float = 10.0) -> bool:
        """Take no more calls and answer those under way; False if `seconds` were not enough for that."""
        return self._server.drain(seconds)

    def stop(self) -> None:
        """End it at once. What was handed to the log is written; whoever still waited is cut off."""
        self._server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Typed:
    """The native refusal as ours."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, _native.ServeFailed):
            raise ConfigError([Problem(code, place, what) for code, place, what in error.args[0]]) from None
