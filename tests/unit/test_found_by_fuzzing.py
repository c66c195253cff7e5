"""What the fuzzer found in what strangers, peers, owners and a damaged disk may send: each is refused with a code."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from fuzz import asn1
from fuzz.trusted import PLATFORM, SEEDS, TAX, WHEN

from fedcredit.errors import ConfigError, FedcreditError, PeerError
from fedcredit.node.address_book import AddressBook
from fedcredit.node.documents import document_of
from fedcredit.node.jobs.checkpoints import parse_listing
from fedcredit.node.jobs.result import listed
from fedcredit.node.own_node import ready_address
from fedcredit.node.store.jobs import problems_from
from fedcredit.node.trust.directory import MemberRecord
from fedcredit.node.trust.folder import TrustFolder
from fedcredit.node.trust.request import check_request
from fedcredit.node.trust.spool import Spool
from fedcredit.node.trust.token import TokenFile
from fedcredit.tables.export import safe_cell
from fedcredit.tables.spec import Limits
from fedcredit.tables.values import class_of
from fedcredit.wire.enrol import EnrolReply, EnrolRequest

DEEP = b"[" * 100_000
EC_KEY = bytes.fromhex("06072a8648ce3d0201")
"""The type of an elliptic curve's key; with another number in it, one that nobody knows."""


def strange(der: bytes) -> bytes:
    """A certificate whose key is of a type that nobody knows."""
    assert EC_KEY in der
    return der.replace(EC_KEY, EC_KEY[:-1] + b"\x63")


def values(request: EnrolRequest) -> dict[str, object]:
    return {field.name: getattr(request, field.name) for field in dataclasses.fields(request)}


def kept_reply() -> EnrolReply:
    raw = json.loads((SEEDS / "directory.json").read_bytes())
    return EnrolReply(*(bytes.fromhex(raw[key]) for key in ("directory", "signature", "certificate")))


def platform_folder(folder: Path) -> TrustFolder:
    found = TrustFolder(folder, PLATFORM, x509.load_pem_x509_certificate((SEEDS / "platform.pem").read_bytes()))
    found.create()
    return found


def test_a_certificate_with_a_key_that_nobody_knows(tmp_path: Path) -> None:
    request = EnrolRequest.decode((SEEDS / "request.bin").read_bytes())
    for field in ("authority", "request", "signer"):
        der = getattr(request, field)
        other = strange(der) if EC_KEY in der else der.replace(b"\x2b\x65\x70", b"\x2b\x65\x63")
        assert other != der
        with pytest.raises(ConfigError) as refused:
            check_request(EnrolRequest(**{**values(request), field: other}), WHEN)
        assert {problem.code for problem in refused.value.problems} == {"REQUEST_REFUSED"}
    reply, folder = kept_reply(), platform_folder(tmp_path)
    version = reply.certificate.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020156"), 1)
    assert version != reply.certificate
    with pytest.raises(PeerError) as invalid:
        folder.verify(EnrolReply(reply.directory, reply.signature, version), PLATFORM)
    assert invalid.value.code == "DIRECTORY_INVALID"
    (folder.path / "pins" / "tax.pem").write_bytes(asn1.as_pem(strange(request.authority)))
    with pytest.raises(ConfigError) as unpinned:
        folder.pins()
    assert unpinned.value.code == "TRUST_INVALID"


def test_a_member_of_the_store_that_cannot_be_read() -> None:
    members = json.loads(kept_reply().directory)["members"]
    assert MemberRecord.parse(json.dumps(members[0]).encode()).party == "bank"
    authority = json.dumps(members[0] | {"authority": 7})
    for bad in (b"", b"[]", DEEP, authority.encode(), json.dumps(members[0] | {"not_before": 10**30}).encode()):
        with pytest.raises(FedcreditError) as refused:
            MemberRecord.parse(bad)
        assert refused.value.code == "STATE_INVALID"


def test_a_token_with_a_time_before_all_time_or_nested_too_deep(tmp_path: Path) -> None:
    token = tmp_path / "join.token"
    token.touch(mode=0o600)
    good = json.loads((SEEDS / "token.json").read_bytes())
    for bad in (json.dumps(good | {"expires": "0001-01-01T00:00:00+23:00"}).encode(), DEEP[:60_000]):
        token.write_bytes(bad)
        with pytest.raises(ConfigError) as refused:
            TokenFile.read(token, WHEN.now())
        assert refused.value.code == "TOKEN_INVALID"


@pytest.mark.parametrize(
    "bad", [DEEP[:16_000], b'{"party":"tax","kind":"provider","expires":"0001-01-01T00:00:00+23:00"}']
)
def test_an_order_to_the_platform_that_cannot_be_read_is_put_aside(tmp_path: Path, bad: bytes) -> None:
    spool = Spool(tmp_path)
    spool.path.mkdir()
    path = spool.path / f"token-{'0f' * 32}.json"
    path.write_bytes(bad)
    assert spool.take(lambda order: None) == 0
    assert [found.name for found in spool.path.iterdir()] == [path.with_suffix(".bad").name]


def test_small_files_nested_too_deep(tmp_path: Path) -> None:
    folder = platform_folder(tmp_path)
    for name in ("directory.json", "platform.json"):
        (folder.path / name).write_bytes(DEEP)
    for read in (folder.joined, lambda: folder.directory(PLATFORM)):
        with pytest.raises(ConfigError) as refused:
            read()
        assert refused.value.code == "TRUST_INVALID"
    (tmp_path / "ready.json").write_bytes(DEEP)
    assert ready_address(tmp_path) is None
    (tmp_path / "peers.json").write_bytes(DEEP)
    told: list[str] = []
    AddressBook(tmp_path / "peers.json", lambda peer, where: told.append(where)).recall(lambda peer: None)
    assert told == []


@pytest.mark.parametrize("bad", [b"", b"7", b"[7]", b'[{"path":"x"}]', DEEP, b'[{"path":"x","sha256":"0","bytes":1}]'])
def test_a_manifest_that_cannot_be_read(tmp_path: Path, bad: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(bad)
    with pytest.raises(FedcreditError) as refused:
        listed(tmp_path)
    assert refused.value.code == "RESULT_DAMAGED"


@pytest.mark.parametrize("bad", [b"", b"[]", DEEP, b"\xff"])
def test_a_document_about_a_job_that_is_none(bad: bytes) -> None:
    with pytest.raises(PeerError) as refused:
        document_of(TAX, bad, dict)
    assert (refused.value.code, refused.value.culprit) == ("MESSAGE_INVALID", TAX)


@pytest.mark.parametrize(
    "listing", ['[["align",0],{"":0,"x":1}]', '{"ab":1}', '["ab"]', '[["a",1,2]]', '[["a",true]]', "0"]
)
def test_a_list_of_checkpoints_with_something_else_in_it(listing: str) -> None:
    with pytest.raises(PeerError, match="MESSAGE_INVALID"):
        parse_listing(TAX, listing.encode())


def test_half_a_character_in_a_checkpoints_name() -> None:
    with pytest.raises(PeerError) as refused:
        parse_listing(TAX, b'[["\\ud800",1]]')
    assert refused.value.code == "MESSAGE_INVALID"


@pytest.mark.parametrize("bad", [DEEP.decode(), '[{"code":1,"where":"a","what":"b"}]', "[7]", "{"])
def test_stored_problems_that_are_none(bad: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        problems_from(bad)


@pytest.mark.parametrize("look", [class_of, safe_cell])
def test_a_long_cell_of_digits_is_looked_at_once(look: Callable[[str], str]) -> None:
    # As large as a cell may be. An expression that tries every way to part the digits takes half a minute for it.
    cell = "+" + "1" * (Limits().max_cell_bytes - 2) + "x"
    begun = time.process_time()
    assert look(cell) in ("text", "'" + cell)
    assert time.process_time() - begun < 1
