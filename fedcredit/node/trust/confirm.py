"""Decisions of a party's own people about whom it believes; a running node acts on them within a second."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from fedcredit.errors import ConfigError, Problem, UsageError
from fedcredit.ids import PartyId, party_id
from fedcredit.node.pki import SKEW
from fedcredit.node.trust.folder import TrustFolder, fingerprint
from fedcredit.node.trust.keys import trust_folder
from fedcredit.node.trust.renewal import issue_leaf
from fedcredit.runtime.clock import SystemClock
from fedcredit.runtime.config import PartyFile, load_party

__all__ = ["believe", "distrust", "pins_of", "renew", "revoke"]


def pins_of(folder: Path) -> list[str]:
    """A line for each party that is pinned, and for each that waits for a decision."""
    config, pins = _open(folder)
    trust, known = pins.trust(), pins.pins()
    lines = []
    for party, authority in known.items():
        refused = trust.refusal(party)
        state = "believed" if refused is None else f"refused: {refused.code}"
        lines.append(f"{party}  {fingerprint(authority)}  {state}")
    platform = _platform(config, pins)
    directory = pins.directory(platform)
    for member in directory.members if directory is not None else ():
        if member.party not in (config.me, platform) and known.get(member.party) != member.authority:
            what = "changed: not believed" if member.party in known else "waits to be confirmed"
            lines.append(f"{member.party}  {fingerprint(member.authority)}  {what}")
    return lines or ["nobody is pinned yet: fedcredit party enrol"]


def believe(folder: Path, name: str, said: str | None) -> str:
    """Pin the authority that the directory lists for `name`, if `said` is its fingerprint.

    Raises: UsageError when there is none to compare, ConfigError (FINGERPRINT) when it is another one.
    """
    config, pins = _open(folder)
    party = party_id(name)
    platform = _platform(config, pins)
    if (directory := pins.directory(platform)) is None:
        raise ConfigError(Problem("NOT_ENROLLED", str(folder), "has no directory", "fedcredit party enrol"))
    authority = directory.member(party).authority
    if said is None:
        fix = "ask its people for it, by telephone, and give --fingerprint"
        raise UsageError(Problem("USAGE", "--fingerprint", f"the directory's is {fingerprint(authority)}", fix))
    if "".join(said.lower().replace(":", "").split()) != "".join(fingerprint(authority).split()):
        what = "is not that of the authority in the directory"
        raise ConfigError(Problem("FINGERPRINT", party, what, "do not believe it; ask the platform"))
    pins.pin(party, authority)
    pins.trust_again(party)
    return f"{party}: believed from now on by {fingerprint(authority)}"


def distrust(folder: Path, name: str, reason: str) -> str:
    """Believe nothing of `name` any more."""
    config, pins = _open(folder)
    party = party_id(name)
    if party == config.me:
        raise UsageError(Problem("USAGE", name, "is this party itself"))
    pins.distrust(party, reason)
    return f"{party}: not believed any more; take it back with `fedcredit party trust`"


def renew(folder: Path) -> str:
    """Make a new leaf."""
    config, _ = _open(folder)
    _need_key(config)
    issue_leaf(config, SystemClock())
    return f"{config.me}: has a new certificate"


def revoke(folder: Path) -> str:
    """Withdraw all leaves that were made before now, and make a new one."""
    config, pins = _open(folder)
    _need_key(config)
    moment = int(time.time() - SKEW.total_seconds()) + 1
    issue_leaf(config, SystemClock(), after=datetime.fromtimestamp(moment, UTC))
    pins.withdraw(moment)
    return f"{config.me}: certificates made before now count no more, once the node has told the platform"


def _open(folder: Path) -> tuple[PartyFile, TrustFolder]:
    config = load_party(folder)
    if (pins := trust_folder(config)) is None:
        what = "has no authority of its own"
        raise ConfigError(Problem("CONFIG_MISSING_KEY", "identity.authority", what, "run `fedcredit party init`"))
    pins.create()
    return config, pins


def _platform(config: PartyFile, pins: TrustFolder) -> PartyId:
    joined = pins.joined()
    return joined.platform if joined is not None else config.me


def _need_key(config: PartyFile) -> None:
    if config.identity.authority_key is None:
        fix = "put new files in place of the old ones; the node takes them up"
        raise ConfigError(Problem("KEY_MISSING", "identity.authority_key", "is not on this machine", fix))
