"""`party init`: a new party's keys, certificates, request, and the two files that its people edit.

Nothing is ever overwritten. `party.toml` comes last, so that a folder that has one is whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from fedcredit import failpoints
from fedcredit.errors import ConfigError, Problem
from fedcredit.ids import PartyId
from fedcredit.node.durable_files import create_file
from fedcredit.node.pki import LOOPBACK, PARTY_LIFETIME, Authority, private_pem
from fedcredit.node.trust.folder import TrustFolder
from fedcredit.node.trust.request import certificate_request
from fedcredit.runtime.party_file import PartySection
from fedcredit.runtime.policy_template import template
from fedcredit.runtime.toml import Reader

__all__ = ["NewParty", "complete", "found"]

Kind = Literal["provider", "institution", "platform"]

LEAF_LIFETIME = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class NewParty:
    """What is asked for. `hosts` are names and addresses at which others may find it, for its certificates."""

    id: PartyId
    kind: Kind
    host: str = "127.0.0.1"
    port: int = 7443
    hosts: Sequence[str] = ()
    table: Path | None = None
    id_column: str = "uscc"
    label: str | None = None
    platform: str = "platform"
    platform_address: str | None = None
    relay: bool = False


def found(folder: Path, new: NewParty) -> x509.Certificate:
    """Write a new party into `folder`; its authority's certificate. Raises ConfigError (EXISTS, CONFIG_MISSING_KEY)."""
    _refuse_if_there(folder, ("keys", "trust", "party.toml", "policy.toml"))
    if new.relay and new.platform_address is None:
        fix = "say where the platform's own port is"
        raise ConfigError(Problem("CONFIG_MISSING_KEY", f"peers.{new.platform}", "a relay's member dials it", fix))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = _make_keys(folder, new.id, new.hosts)
    if new.kind != "platform":
        create_file(folder / "policy.toml", template(new.kind).encode(), 0o644)
    create_file(folder / "party.toml", party_toml(new).encode(), 0o644)
    return authority.certificate


def complete(folder: Path, hosts: Sequence[str] = ()) -> tuple[PartyId, x509.Certificate]:
    """Make the keys of a folder whose `party.toml` is there already; the party and its authority's certificate.

    Raises: ConfigError, also EXISTS where there are keys: they are never made anew.
    """
    _refuse_if_there(folder, ("keys", "trust"))
    reader = Reader(folder / "party.toml")
    party = reader.section("party", reader.raw.get("party", {}), PartySection)
    reader.finish()
    assert party is not None, "a section that could not be read has noted a problem"
    me = PartyId(party.id)
    return me, _make_keys(folder, me, hosts).certificate


def _refuse_if_there(folder: Path, names: Sequence[str]) -> None:
    if there := [name for name in names if (folder / name).exists()]:
        fix = "choose another folder; nothing is ever overwritten"
        raise ConfigError([Problem("EXISTS", str(folder / name), "is there already", fix) for name in there])


def _make_keys(folder: Path, me: PartyId, more_hosts: Sequence[str]) -> Authority:
    """The party's authority, its keys and their certificates in `keys/`, and an empty `trust/`."""
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    hosts = tuple(dict.fromkeys((*LOOPBACK, *more_hosts)))
    authority = Authority.of_party(me, hosts)
    signing = Ed25519PrivateKey.generate()
    leaf = authority.credentials(me, hosts, lifetime=LEAF_LIFETIME)
    signer = authority.certify_signer(me, signing.public_key(), lifetime=PARTY_LIFETIME - timedelta(minutes=10))
    create_file(keys / "authority.key", private_pem(authority.key))
    failpoints.hit("init.authority.written", me)
    create_file(keys / "authority.crt", authority.pem, 0o644)
    request = certificate_request(authority, me)
    create_file(keys / "request.csr", request.public_bytes(Encoding.PEM), 0o644)
    create_file(keys / "signing.key", private_pem(signing))
    create_file(keys / "signing.crt", signer, 0o644)
    create_file(keys / "tls.key", leaf.private_key)
    create_file(keys / "tls.crt", leaf.certificate, 0o644)
    TrustFolder(folder, me, authority.certificate).create()
    return authority


def party_toml(new: NewParty) -> str:
    """The party file of a new party, with a word on every setting that its people may want to change."""
    parts = [_HEAD.format(id=new.id), _party(new), _listen(new), _IDENTITY, _trust(new)]
    if new.kind == "platform":
        parts.append(_ENROL.format(host=new.host, enrol=new.port + 1, port=new.port))
    else:
        parts += [_table(new), _peers(new)]
    return "\n".join(parts)


_HEAD = """\
# party.toml of {id}. Check it, and everything it names, with `fedcredit party check DIR`; that starts nothing.
# FEDCREDIT_<SECTION>__<KEY> in the environment overrides a key, e.g. FEDCREDIT_LISTEN__PORT=7444.
"""

_IDENTITY = """\
[identity]
certificate = "keys/tls.crt"            # for links; the node makes a new one when half of its time has passed
key = "keys/tls.key"
authority = "keys/authority.crt"        # this party's own certificate authority
authority_key = "keys/authority.key"    # drop this line, and move the key away, if another program renews tls.crt
lifetime_h = 24                         # hours that a certificate for links is good for
signing_key = "keys/signing.key"        # signs job specifications, audit log, directory
signing_certificate = "keys/signing.crt"
"""

_ENROL = """\
[enrol]                                 # where parties join, with a token of `fedcredit platform token`
listen = "{host}:{enrol}"
address = "{host}:{enrol}"              # the same as others reach it; stands in the tokens
node = "{host}:{port}"                  # [listen] as others reach it
"""


def _party(new: NewParty) -> str:
    return f'[party]\nid = "{new.id}"\nkind = "{new.kind}"  # provider | institution | platform\n'


def _listen(new: NewParty) -> str:
    if new.relay:
        return f'[relay]  # listens nowhere; one connection out to the platform\nvia = "{new.platform}"\n'
    return (
        f"[listen]\nhost = {json.dumps(new.host)}                      # 127.0.0.1: this machine only\n"
        f"port = {new.port}                             # the node's one port, TLS only\n"
    )


def _trust(new: NewParty) -> str:
    if new.kind == "platform":
        return (
            '[trust]\nplatform = "'
            + new.id
            + '"\noperators = ["operator"]                # parties that may submit jobs\n'
        )
    return (
        f'[trust]\nplatform = "{new.platform}"                   # the only peer that may start jobs here\n'
        'new_members = "directory"               # believe whom the platform newly lists; "confirm": each by hand\n'
    )


def _table(new: NewParty) -> str:
    path = json.dumps(str(new.table.absolute()) if new.table is not None else "table.csv", ensure_ascii=False)
    label = (
        f"label = {json.dumps(new.label)}\n"
        if new.label
        else '# label = "default"                   # if outcomes are in it\n'
    )
    return (
        "[table]                                 # short for [tables.main]; PostgreSQL and HTTP interfaces: docs\n"
        f"table = {path}\nid = {json.dumps(new.id_column)}\n{label}"
    )


def _peers(new: NewParty) -> str:
    if new.platform_address is None:
        return (
            "# [peers]                               # members are known from the platform's directory\n"
            f'# {new.platform} = "{new.platform}.example:7443"\n'
        )
    return f'[peers]\n{new.platform} = "{new.platform_address}"\n'
