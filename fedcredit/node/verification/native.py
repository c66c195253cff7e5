"""The native service of questions as the control plane runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fedcredit.governance.audit import VERIFY_LOG, origin_of
from fedcredit.kernels.serving import Keys, Server, ServerSettings, trust_text
from fedcredit.node.signing import SigningIdentity
from fedcredit.node.store import Store
from fedcredit.node.verification.control import Open
from fedcredit.node.verification.log_key import log_folder, log_key
from fedcredit.node.verification.plane import Identity
from fedcredit.runtime.config import PartyFile

__all__ = ["NativePlane", "opener"]


class NativePlane:
    """`plane.Plane` over the server in Rust."""

    def __init__(self, server: Server, keys: Keys) -> None:
        self._server, self._keys = server, keys
        self._stopped = False

    @property
    def port(self) -> int:
        """See `Plane`."""
        return self._server.port

    def swap(self, snapshot: str) -> None:
        """See `Plane`."""
        self._server.swap(snapshot)

    def identify(self, identity: Identity) -> None:
        """See `Plane`."""
        old = self._keys
        self._keys = Keys(identity.certificate, identity.private_key, old.signing_key, old.log_key)
        self._server.reload_trust(_trust_of(identity), self._keys)

    def stats(self) -> Mapping[str, Any]:
        """See `Plane`."""
        return self._server.stats()

    def well(self) -> bool:
        """See `Plane`."""
        return not self._stopped and not self.stats()["log"]["ended"]

    def stop(self, grace_s: float) -> None:
        """See `Plane`."""
        self._stopped = True
        self._server.drain(grace_s)
        self._server.stop()


def opener(config: PartyFile, signing: SigningIdentity, store: Store) -> Open:
    """What starts the service of the node of `config`, with its keys and its log."""
    assert config.verify is not None, "asked where there is a [verify]"
    listen, folder, threads = config.verify.listen, log_folder(config.folder) / "audit", config.limits.threads

    def start(snapshot: str, identity: Identity) -> NativePlane:
        known = store.heads.of(origin_of(config.me, VERIFY_LOG))
        settings = ServerSettings(listen, folder, threads, known=None if known is None else (known[0], known[1]))
        signing_key = signing.key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        keys = Keys(identity.certificate, identity.private_key, signing_key, log_key(config.folder))
        return NativePlane(Server(settings, snapshot, _trust_of(identity), keys), keys)

    return start


def _trust_of(identity: Identity) -> str:
    return trust_text(
        {party: (found, identity.not_before[party] or None) for party, found in identity.authorities.items()}
    )
