"""Every change of whom a node believes, and of its own certificates, in its audit log.

Commands change files beside a node that runs, or that does not; the platform's directory changes some of them too. So
the node compares what the files say with what it has recorded last, at its start and once a second. Whatever differs
is recorded, however it came about. What is believed does not wait for the log: a party that is distrusted is cut off
also by a node whose log takes no entries, and the entry follows.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from fedcredit import failpoints
from fedcredit.errors import ConfigError, PeerError
from fedcredit.governance.audit import Event, Fact
from fedcredit.node.durable_files import replace_file
from fedcredit.node.recorder import Recorder
from fedcredit.node.trust.folder import TrustFolder
from fedcredit.runtime.config import PartyFile

__all__ = ["TrustRecord"]

_FILE = "recorded"
_MAX_FILE_BYTES = 4 << 20

State = Mapping[str, str]
"""What holds, by what it is about: `pin/tax` is a fingerprint, `distrusted/bank` is `yes`."""


class TrustRecord:
    """Records changes of `folder` and of the certificates that `config` names."""

    def __init__(self, config: PartyFile, folder: TrustFolder, recorder: Recorder) -> None:
        self._config, self._folder, self._recorder = config, folder, recorder
        self._path = folder.path / _FILE
        self._recorded = _read(self._path)
        self._stamp: tuple[object, ...] = ()

    def look(self) -> None:
        """Record what has changed. Raises: ConfigError (AUDIT_UNAVAILABLE); the next look does it again."""
        if (stamp := self._stamp_now()) == self._stamp:
            return
        now = self._state()
        if now != self._recorded:
            self._record(now)
        self._stamp = stamp

    def _record(self, now: State) -> None:
        for name in sorted(now.keys() | self._recorded.keys()):
            before, after = self._recorded.get(name, ""), now.get(name, "")
            if before != after:
                self._recorder.record(Event.TRUST_CHANGED, "", **_facts(name, before, after))
        failpoints.hit("trust.change.recorded")
        # A crash before this is kept records a change once more, never less than once.
        replace_file(self._path, json.dumps(now, indent=1, sort_keys=True).encode() + b"\n")
        self._recorded = now

    def _stamp_now(self) -> tuple[object, ...]:
        found: list[object] = [self._folder.stamp()]
        identity = self._config.identity
        for path in (
            self._folder.path / "withdrawn",
            self._config.path(identity.certificate),
            self._config.path(identity.signing_certificate),
        ):
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append((str(path), status.st_mtime_ns, status.st_ino))
        return tuple(found)

    def _state(self) -> State:
        found = dict(self._own())
        folder = self._folder
        found |= {f"pin/{party}": _fingerprint(certificate) for party, certificate in folder.pins().items()}
        found |= {f"distrusted/{party}": "yes" for party in folder.distrusted()}
        if (withdrawn := folder.withdrawn()) is not None:
            found["withdrawn"] = str(withdrawn)
        joined = folder.joined()
        if joined is not None:
            found["platform"] = joined.platform
        try:
            directory = folder.directory(self._config.me if joined is None else joined.platform)
        except (ConfigError, PeerError):
            directory = None  # it is not believed, and the log of the node says so
        for member in directory.members if directory is not None else ():
            found[f"member/{member.party}"] = member.state
            if member.not_before is not None:
                found[f"member_withdrawn/{member.party}"] = str(int(member.not_before.timestamp()))
        return found

    def _own(self) -> Iterator[tuple[str, str]]:
        identity = self._config.identity
        for name, path in (
            ("certificate", identity.certificate),
            ("signing_certificate", identity.signing_certificate),
        ):
            try:
                certificate = x509.load_pem_x509_certificate(self._config.path(path).read_bytes())
            except (OSError, ValueError):
                continue  # it is being written, or is no good: a node with such a one says so elsewhere
            yield name, _fingerprint(certificate)


def _facts(name: str, before: str, after: str) -> dict[str, Fact]:
    what, _, party = name.partition("/")
    facts: dict[str, Fact] = {"what": what, "before": before, "now": after}
    if party:
        facts["peer"] = party
    return facts


def _fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()


def _read(path: Path) -> State:
    """What was recorded last; where that cannot be read, everything is recorded anew."""
    try:
        found = json.loads(path.read_bytes()[:_MAX_FILE_BYTES])
        return {str(name): str(value) for name, value in found.items()}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}
