"""The keyring of a node, and where its platform is, from the files of its folder."""

from __future__ import annotations

import contextlib

from fedcredit.errors import ConfigError, Problem
from fedcredit.ids import PartyId
from fedcredit.node.pki import load_certificate, load_credentials
from fedcredit.node.trust.folder import TrustFolder
from fedcredit.node.trust.renewal import issue_leaf
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.config import PartyFile
from fedcredit.transport.grpc import Keyring
from fedcredit.transport.identity import Credentials
from fedcredit.transport.trust import Trust

__all__ = [
    "following_keyring",
    "load_trust",
    "node_address",
    "open_credentials",
    "open_keyring",
    "platform_address",
    "trust_folder",
]


def open_keyring(config: PartyFile, clock: Clock, *, renew: bool = False) -> Keyring:
    """What the node shows and whom it believes; with `renew` a certificate that is no good is made anew, if it can be.

    Raises: ConfigError with every problem of its keys and pins.
    """
    try:
        credentials = open_credentials(config, clock)
    except ConfigError as error:
        mendable = {problem.code for problem in error.problems} <= {"CERT_EXPIRED", "KEY_INVALID"}
        if not (renew and mendable and config.identity.authority_key is not None):
            raise
        # It ended while the node was down, or the node was killed between writing the key and its certificate.
        issue_leaf(config, clock)
        credentials = open_credentials(config, clock)
    return Keyring(config.me, credentials, load_trust(config), clock.now)


def following_keyring(config: PartyFile, clock: Clock) -> Keyring:
    """As `open_keyring`, for a command that runs for long beside the node: it shows what the node has renewed."""
    return _Following(config, clock)


class _Following(Keyring):
    """Reads the certificate anew when its file has changed."""

    def __init__(self, config: PartyFile, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._path = config.path(config.identity.certificate)
        self._seen = self._stamp()
        super().__init__(config.me, open_credentials(config, clock), load_trust(config), clock.now)

    @property
    def credentials(self) -> Credentials:
        """See `Keyring.credentials`."""
        if (stamp := self._stamp()) != self._seen:
            # The key is in place before the certificate; should that be otherwise, the next look is as good.
            with contextlib.suppress(ConfigError):
                self._held = (open_credentials(self._config, self._clock), self._held[1])
                self._seen = stamp
        return self._held[0]

    def _stamp(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except OSError:
            return (0, 0)
        return status.st_mtime_ns, status.st_ino


def open_credentials(config: PartyFile, clock: Clock) -> Credentials:
    """What the node shows. Raises ConfigError, see `load_credentials`."""
    identity = config.identity
    return load_credentials(
        config.path(identity.key),
        config.path(identity.certificate),
        config.path(identity.authority or identity.authorities),
        me=config.me,
        now=clock.now(),
    )


def trust_folder(config: PartyFile) -> TrustFolder | None:
    """Where the node keeps its pins; None in a run on one machine, where one authority made every party."""
    if config.identity.authority is None:
        return None
    return TrustFolder(config.folder, config.me, load_certificate(config.path(config.identity.authority)))


def platform_address(config: PartyFile) -> tuple[PartyId, str] | None:
    """Where this party's platform is: as party.toml has it, else as its token said. None if it has joined none."""
    platform = PartyId(config.trust.platform)
    folder = trust_folder(config)
    joined = None if folder is None else folder.joined()
    known = config.peers.get(platform) or (joined.address if joined is not None else None)
    return None if known is None else (platform, known)


def node_address(config: PartyFile, party: PartyId) -> str:
    """Where the node of `party` is called: as party.toml has it, else as the platform's directory.

    Raises: ConfigError (PEER_UNKNOWN).
    """
    folder, platform = trust_folder(config), PartyId(config.trust.platform)
    directory = None if folder is None else folder.directory(platform)
    members = () if directory is None else directory.members
    listed = next((member.address for member in members if member.party == party), None)
    address = config.peers.get(party) or listed
    if address is None:
        raise ConfigError(Problem("PEER_UNKNOWN", str(party), "has no address here", "add it to [peers] of party.toml"))
    return address


def load_trust(config: PartyFile) -> Trust:
    """Whom the node believes. Raises ConfigError, PeerError (DIRECTORY_INVALID) when its files cannot be believed."""
    folder = trust_folder(config)
    if folder is None:
        return Trust.one_for_all(config.path(config.identity.authorities).read_bytes())
    return folder.trust()
