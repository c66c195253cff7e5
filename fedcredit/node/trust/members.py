"""What the commands of `fedcredit platform` do; the platform's node may run meanwhile, or not."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from fedcredit.errors import ConfigError, Problem, UsageError
from fedcredit.ids import PartyId, party_id
from fedcredit.node.durable_files import create_file
from fedcredit.node.pki import load_certificate
from fedcredit.node.trust.directory import Directory
from fedcredit.node.trust.keys import trust_folder
from fedcredit.node.trust.spool import NewToken, Revoke, Spool
from fedcredit.node.trust.token import TokenFile
from fedcredit.runtime.clock import SystemClock
from fedcredit.runtime.config import PartyFile, load_party

__all__ = ["directory_of", "make_token", "revoke_member"]

_DURATION = re.compile(r"([1-9][0-9]{0,4})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST = timedelta(days=30)


def make_token(folder: Path, party: str, kind: str, out: Path, valid: str) -> TokenFile:
    """Write a token's file, and leave its hash for the node. Raises ConfigError, UsageError."""
    config = _platform(folder)
    clock, enrol = SystemClock(), config.enrol
    lifetime = _duration(valid)
    if kind not in ("provider", "institution"):
        raise UsageError(Problem("USAGE", "--kind", "is neither provider nor institution"))
    if enrol.listen is None or config.identity.authority is None:
        fix = 'add [enrol] listen = "host:port" to party.toml'
        raise ConfigError(Problem("CONFIG_MISSING_KEY", "enrol.listen", "is missing, so nobody can join", fix))
    authority = load_certificate(config.path(config.identity.authority))
    node = enrol.node or f"{config.listen.host}:{config.listen.port}"
    made = TokenFile(
        config.me,
        authority,
        enrol.address or enrol.listen,
        node,
        _party(config, party),
        kind,
        (clock.now() + lifetime).replace(microsecond=0),
        TokenFile.new_secret(),
    )
    create_file(out, made.to_bytes())
    Spool(config.folder).add_token(NewToken(made.hash, made.party, made.kind, made.expires))
    return made


def revoke_member(folder: Path, party: str, reason: str) -> None:
    """Leave a revocation for the node. Raises ConfigError (MEMBER_UNKNOWN)."""
    config = _platform(folder)
    member = directory_of(folder).member(_party(config, party))
    Spool(config.folder).revoke(Revoke(member.party, reason))


def directory_of(folder: Path) -> Directory:
    """The directory that the platform of `folder` signed last. Raises ConfigError."""
    config = _platform(folder)
    pins = trust_folder(config)
    found = None if pins is None else pins.directory(config.me)
    return found or Directory(config.me, 0, ())


def _platform(folder: Path) -> PartyFile:
    config = load_party(folder)
    if config.party.kind != "platform":
        raise UsageError(Problem("USAGE", str(folder), "is not a platform's folder"))
    return config


def _party(config: PartyFile, name: str) -> PartyId:
    party = party_id(name)
    if party == config.me:
        raise UsageError(Problem("USAGE", name, "is the platform itself"))
    return party


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    lifetime = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None
    if lifetime is None or lifetime > _LONGEST:
        raise UsageError(Problem("USAGE", "--valid", "is no duration of at most 30 days", "e.g. 72h"))
    return lifetime
