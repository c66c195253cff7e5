"""`party check`: everything that a node needs is looked at; nothing is started, and nothing is changed.

Every check runs, whatever the others found, so that one look gives the whole list.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from fedcredit.errors import ConfigError, FedcreditError, Problem
from fedcredit.node.consent.identity import check_login
from fedcredit.node.own_store import store_url
from fedcredit.node.pki import Authority, check_authority, load_certificate
from fedcredit.node.signing import load_signing
from fedcredit.node.store import Store
from fedcredit.node.trust.keys import load_trust, open_credentials, platform_address, trust_folder
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.config import PartyFile
from fedcredit.runtime.policy_file import POLICY_FILE, load_policy
from fedcredit.transport.trust import Trust

__all__ = ["problems_of"]

_WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)
"""A machine whose clock is before this has not been set: this very check is younger."""

_SOON = timedelta(days=30)


def problems_of(config: PartyFile, clock: Clock) -> list[Problem]:
    """All that keeps the node of `config` from running as it should."""
    checks: list[Callable[[PartyFile, Clock], Iterator[Problem]]] = [
        _own_certificate,
        _own_authority,
        _signing,
        _folders,
        _pins,
        _policy,
        _login,
        _store,
        _ports,
        _reach,
        _clock,
    ]
    found: list[Problem] = []
    for check in checks:
        try:
            found.extend(check(config, clock))
        except FedcreditError as error:
            found.extend(error.problems)
    return list(dict.fromkeys(found))


def _own_certificate(config: PartyFile, clock: Clock) -> Iterator[Problem]:
    try:
        credentials = open_credentials(config, clock)
    except ConfigError as error:
        # The node makes a new one when it starts, if it can.
        mendable = {problem.code for problem in error.problems} <= {"CERT_EXPIRED"}
        if not (mendable and config.identity.authority_key is not None):
            raise
        return
    if config.identity.authority is not None:
        own = load_certificate(config.path(config.identity.authority))
        Trust({}, for_all=[own]).check_link(credentials.certificate, clock.now())
    yield from ()


def _own_authority(config: PartyFile, clock: Clock) -> Iterator[Problem]:
    identity = config.identity
    if identity.authority is None:
        return
    certificate = load_certificate(config.path(identity.authority))
    check_authority(certificate, config.me, clock.now())
    if identity.authority_key is not None:
        Authority.load(config.path(identity.authority), config.path(identity.authority_key))
    if certificate.not_valid_after_utc - clock.now() < _SOON:
        what = f"ends {certificate.not_valid_after_utc:%F}"
        yield Problem("CERT_EXPIRES", "identity.authority", what, "make a new one, and enrol again with a new token")


def _signing(config: PartyFile, clock: Clock) -> Iterator[Problem]:
    identity = config.identity
    path = config.path(identity.authority or identity.authorities)
    trust = Trust.one_for_all(path.read_bytes())
    load_signing(config, clock, lambda: trust)
    yield from ()


def _folders(config: PartyFile, clock: Clock) -> Iterator[Problem]:
    for name in ("keys", "trust"):
        path = config.folder / name
        if path.is_dir() and stat.S_IMODE(path.stat().st_mode) & 0o022:
            yield Problem("FOLDER_WRITABLE", str(path), "others on this machine can change it", f"chmod 700 {path}")


def _pins(config: PartyFile, clock: Clock) -> Iterator[Problem]:
    folder = trust_folder(config)
    if folder is None:
        return
    trust = load_trust(config)
    if config.party.kind == "platform":
        return
    joined = folder.joined()
    if joined is None:
        fix = "fedcredit party enrol DIR --token FILE"
        yield Problem("NOT_ENROLLED", str(folder.path), "has joined no platform, and believes nobody", fix)
    elif joined.platform != config.trust.platform:
        what = f"says {config.trust.platform}; this party has joined {joined.platform}"
        yield Problem("CONFIG_CONFLICT", "trust.platform", what, "mend party.toml")
    for party in trust.parties:
        if (pin := folder.pins().get(party)) is not None and pin.not_valid_after_utc < clock.now():
            what = f"ended {pin.not_valid_after_utc:%F}"
            yield Problem("CERT_EXPIRED", f"authority of {party}", what, "pin its new one: fedcredit party trust")


def _policy(config: PartyFile, clock: Clock) -> Iterator[Problem]:
    # A platform needs one for its models alone, and without one refuses whatever is asked about them.
    if config.party.kind != "platform" or (config.folder / POLICY_FILE).exists():
        load_policy(config.folder)
    yield from ()


def _login(config: PartyFile, clock: Clock) -> Iterator[Problem]:
    if config.party.kind == "platform":
        check_login(config, clock)
    yield from ()


def _store(config: PartyFile, clock: Clock) -> Iterator[Problem]:
    Store.probe(store_url(config), clock)
    yield from ()


def _ports(config: PartyFile, clock: Clock) -> Iterator[Problem]:
    if (config.folder / "ready.json").exists():
        return  # The node runs: the ports are its own.
    wanted = []
    if config.listens and config.listen.port:
        wanted.append(("listen", config.listen.host, config.listen.port))
    if config.enrol.listen is not None:
        name, _, number = config.enrol.listen.rpartition(":")
        wanted.append(("enrol.listen", name.strip("[]"), int(number)))
    if config.verify is not None and config.verify.port:
        wanted.append(("verify.listen", config.verify.host, config.verify.port))
    for key, host, port in wanted:
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with contextlib.closing(socket.socket(family, kind)) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                yield Problem("ADDRESS_UNKNOWN", key, "is no address of this machine", "give one that it has")
            elif error.errno == errno.EADDRINUSE:
                yield Problem("PORT_IN_USE", key, f"another program listens on port {port}", "choose another port")
            else:
                yield Problem("PORT_DENIED", key, f"port {port} cannot be listened on", "choose one above 1023")


def _reach(config: PartyFile, clock: Clock) -> Iterator[Problem]:
    """A party that only this machine can reach, while its platform is on another, is reached by nobody."""
    if config.party.kind == "platform" or not config.listens or not config.listen.loopback:
        return
    known = platform_address(config)
    if known is not None and known[1].rpartition(":")[0] not in ("127.0.0.1", "localhost", "[::1]"):
        fix = "give an address that others reach, or join the relay: [relay] via"
        yield Problem("LISTEN_LOOPBACK", "listen.host", "only this machine can reach the node", fix)


def _clock(config: PartyFile, clock: Clock) -> Iterator[Problem]:
    newest = max((path.stat().st_mtime for path in config.folder.glob("keys/*")), default=0.0)
    now = clock.now()
    if now < _WRITTEN or now.timestamp() < newest - 3600:
        yield Problem("CLOCK", "clock", f"says {now:%F %T} UTC, which cannot be", "synchronise it, e.g. with chrony")
