"""What a platform and a party read of each other before there is trust: requests, tokens, directories, orders."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.utils import CryptographyDeprecationWarning
from fuzz import asn1, mutate
from fuzz.engine import Target

from fedcredit.errors import DataError, Problem
from fedcredit.ids import PartyId
from fedcredit.node.trust.directory import Directory, MemberRecord
from fedcredit.node.trust.folder import TrustFolder
from fedcredit.node.trust.request import _framed, check_request, check_withdrawal
from fedcredit.node.trust.spool import Spool
from fedcredit.node.trust.token import TokenFile
from fedcredit.runtime.clock import ManualClock
from fedcredit.wire.enrol import EnrolReply, EnrolRequest, WithdrawRequest

__all__ = ["trusted"]

SEEDS = Path(__file__).parent / "seeds"
PLATFORM, TAX = PartyId("platform"), PartyId("tax")
WHEN = ManualClock(datetime(2026, 12, 1, tzinfo=UTC))
"""When the certificates of the seeds are valid."""

KEY = ec.derive_private_key(0xFEDC, ec.SECP256R1())
"""Of the authorities among the seeds. Everybody knows it."""


def trusted(folder: Path) -> Iterator[Target]:
    """The targets; files that are read lie in `folder`."""
    for target in (*_messages(), *_files(folder)):
        yield Target(target.name, target.seeds, _calm(target.decode), target.mutate, target.errors, target.share)


def _calm(decode: Callable[[bytes], object]) -> Callable[[bytes], object]:
    def quietly(data: bytes) -> None:
        with warnings.catch_warnings():
            # Of serial numbers and the like that a later version of the library will refuse.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            warnings.simplefilter("ignore", UserWarning)  # of names that are longer than X.509 allows
            decode(data)

    return quietly


def _messages() -> Iterator[Target]:
    request = (SEEDS / "request.bin").read_bytes()
    certificates = asn1.within_message((5, 6, 7))
    yield Target("enrol.request", (request,), lambda data: check_request(EnrolRequest.decode(data), WHEN), certificates)
    yield Target("enrol.proved", (request,), _proved, certificates)
    authority = x509.load_pem_x509_certificate((SEEDS / "tax.pem").read_bytes())
    withdrawal = (SEEDS / "withdrawal.bin").read_bytes()

    def withdrawn(data: bytes) -> None:
        check_withdrawal(WithdrawRequest.decode(data), TAX, authority)

    yield Target("enrol.withdrawal", (withdrawal,), withdrawn, mutate.protobuf)
    kept = json.loads((SEEDS / "directory.json").read_bytes())
    reply = EnrolReply(*(bytes.fromhex(kept[key]) for key in ("directory", "signature", "certificate")))
    signed = SEEDS / "nowhere"
    folder = TrustFolder(signed, PLATFORM, x509.load_pem_x509_certificate((SEEDS / "platform.pem").read_bytes()))
    yield Target(
        "enrol.reply", (reply.encode(),), lambda data: folder.verify(EnrolReply.decode(data), PLATFORM), mutate.protobuf
    )
    # Behind the signature, which no change passes: a platform that has signed what is wrong.
    yield Target(
        "enrol.directory",
        (reply.directory,),
        lambda data: Directory.parse(data, PLATFORM),
        asn1.within_json(mutate.canonical_json),
    )
    members = tuple(json.dumps(m).encode() for m in json.loads(reply.directory)["members"])
    yield Target("store.member", members, MemberRecord.parse, asn1.within_json(mutate.json_text))


def _proved(data: bytes) -> None:
    """A request whose sender holds the key that it shows, and signs whatever it likes with it."""
    request = EnrolRequest.decode(data)
    parts = (request.secret, request.party, request.kind, request.address, request.authority, request.request)
    proof = KEY.sign(_framed(*parts, request.signer), ec.ECDSA(hashes.SHA256()))
    check_request(replace(request, proof=proof), WHEN)


def _files(folder: Path) -> Iterator[Target]:
    token = folder / "join.token"
    token.touch(mode=0o600)

    def read_token(data: bytes) -> None:
        token.write_bytes(data)
        TokenFile.read(token, WHEN.now())

    seed = (SEEDS / "token.json").read_bytes()
    yield Target("trust.token", (seed,), read_token, asn1.within_json(mutate.json_text))
    platform = x509.load_pem_x509_certificate((SEEDS / "platform.pem").read_bytes())
    trust = TrustFolder(folder, PLATFORM, platform)
    trust.create()

    def directory(data: bytes) -> None:
        (trust.path / "directory.json").write_bytes(data)
        trust.directory(PLATFORM)

    yield Target("trust.directory", ((SEEDS / "directory.json").read_bytes(),), directory, mutate.json_text)

    def joined(data: bytes) -> None:
        (trust.path / "platform.json").write_bytes(data)
        trust.joined()

    joining = json.dumps({"platform": "platform", "address": "platform.example:7443"}).encode()
    yield Target("trust.joined", (joining,), joined, mutate.json_text)
    others = TrustFolder(folder / "other", PLATFORM, platform)
    others.create()

    def pins(data: bytes) -> None:
        (others.path / "pins" / "tax.pem").write_bytes(data)
        others.pins()

    yield Target("trust.pin", ((SEEDS / "tax.pem").read_bytes(),), pins, asn1.pem)
    spool = Spool(folder)
    spool.path.mkdir(mode=0o700)

    def order(name: str) -> Callable[[bytes], object]:
        def taken(data: bytes) -> None:
            (spool.path / name).write_bytes(data)
            logging.disable(logging.ERROR)
            try:
                count = spool.take(lambda order: None)
            finally:
                logging.disable(logging.NOTSET)
            if count == 0:
                raise DataError(Problem("SPOOL_INVALID", name, "was put aside"))

        return taken

    new = json.dumps({"party": "tax", "kind": "provider", "expires": "2030-01-01T00:00:00+00:00"}).encode()
    yield Target("trust.spool.token", (new,), order(f"token-{'0f' * 32}.json"), mutate.json_text)
    gone = json.dumps({"party": "tax", "reason": "left"}).encode()
    yield Target("trust.spool.revoke", (gone,), order("revoke-tax.json"), mutate.json_text)
