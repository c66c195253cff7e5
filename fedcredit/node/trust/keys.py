"""The keyring of a node, from the files of its folder."""

from __future__ import annotations

from fedcredit.node.pki import load_credentials
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.config import PartyFile
from fedcredit.transport.grpc import Keyring
from fedcredit.transport.trust import Trust

__all__ = ["load_trust", "open_keyring"]


def open_keyring(config: PartyFile, clock: Clock) -> Keyring:
    """What the node shows and whom it believes. Raises ConfigError with every problem of its keys and pins."""
    identity = config.identity
    credentials = load_credentials(
        config.path(identity.key),
        config.path(identity.certificate),
        config.path(identity.authorities),
        me=config.me,
        now=clock.now(),
    )
    return Keyring(config.me, credentials, load_trust(config), clock.now)


def load_trust(config: PartyFile) -> Trust:
    """Whom the node believes: one authority for all in a run on one machine."""
    return Trust.one_for_all(config.path(config.identity.authorities).read_bytes())
