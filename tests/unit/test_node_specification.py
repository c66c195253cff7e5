"""All parties sign the same bytes or none works: what is changed, incomplete, unsigned or foreign is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from fedcredit.errors import PeerError, RefusedError
from fedcredit.ids import PartyId
from fedcredit.node.agreement import AGREEMENT, agreement, check_signatures, commitment
from fedcredit.node.pki import Authority
from fedcredit.node.platform import make_proposal
from fedcredit.node.signing import SigningIdentity
from fedcredit.node.specification import FORMAT, JobSpecification, PartyEntry, canonical, parse_canonical
from fedcredit.runtime.clock import ManualClock
from fedcredit.transport.trust import Trust

BANK, TAX = PartyId("bank"), PartyId("tax")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def definition() -> dict[str, Any]:
    return {
        "job": {"name": "sme", "purpose": "financing", "seed": 7, "trust": "semi-honest"},
        "parties": [{"id": "bank", "role": "label"}, {"id": "tax", "role": "feature"}],
        "intersect": {"mode": "auto", "min_size": 100, "receiver_only": False},
        "split": {"holdout": 0.2},
        "models": [
            {"kind": "gbdt", "name": "gbdt.0", "groupsum": "auto", "hide_nodes": False, "params": {"num_trees": 5}}
        ],
    }


@pytest.fixture(scope="module")
def identities() -> dict[PartyId, SigningIdentity]:
    authority = Authority.create(now=NOW)
    return {party: signer(authority, party) for party in (BANK, TAX)}


def signer(authority: Authority, party: PartyId, believed: Authority | None = None) -> SigningIdentity:
    key = Ed25519PrivateKey.generate()
    pem = authority.certify_signer(party, key.public_key(), now=NOW)
    certificate = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    trust = Trust.one_for_all((believed or authority).pem)
    return SigningIdentity(party, key, certificate, lambda: trust, ManualClock(NOW))


def specification(identities: dict[PartyId, SigningIdentity]) -> JobSpecification:
    proposal = make_proposal(definition(), PartyId("platform"))
    offers = {
        party: PartyEntry(
            id=party,
            role=proposal.party(party).role,
            rows=1000,
            features=3,
            commitment=commitment(b"f" * 32, b"n" * 32, party).hex(),
            certificate=identity.certificate.hex(),
        )
        for party, identity in identities.items()
    }
    return proposal.with_offers(offers)


def signed(spec: JobSpecification, identities: dict[PartyId, SigningIdentity]) -> dict[str, bytes]:
    return {p: identity.sign(AGREEMENT, agreement(p, spec.hash)) for p, identity in identities.items()}


def test_a_specification_is_its_canonical_bytes(identities: dict[PartyId, SigningIdentity]) -> None:
    spec = specification(identities)
    assert JobSpecification.parse(spec.to_bytes()) == spec
    assert JobSpecification.parse(spec.to_bytes()).hash == spec.hash
    assert len(spec.hash) == 32
    assert json.loads(spec.to_bytes())["split"] == {"holdout": 0.2}
    assert spec.proposal() != spec
    assert spec.proposal().proposal() == spec.proposal()


def test_two_proposals_of_one_job_are_two_jobs() -> None:
    first, second = (make_proposal(definition(), PartyId("platform")) for _ in range(2))
    assert first.id != second.id
    assert first.hash != second.hash


def test_the_leakage_follows_from_the_rest() -> None:
    proposal = make_proposal(definition(), PartyId("platform"))
    assert proposal.leakage == proposal.derive_leakage()
    assert {row.id for row in proposal.leakage} >= {"align.rows", "gbdt.sides"}
    bare = definition() | {"models": [], "split": None}
    assert "gbdt.sides" not in {row.id for row in make_proposal(bare, PartyId("platform")).leakage}


def test_all_signatures_over_one_hash_are_enough(identities: dict[PartyId, SigningIdentity]) -> None:
    spec = specification(identities)
    check_signatures(spec, signed(spec, identities), identities[BANK].verify)


@pytest.mark.parametrize(
    "change",
    [
        {"nonce": "00" * 32},
        {"platform": "other"},
        {"protocols": {"frame": 2}},
        {"leakage": ()},
        {"models": ()},
    ],
)
def test_any_change_makes_another_hash_and_old_signatures_void(
    identities: dict[PartyId, SigningIdentity], change: dict[str, Any]
) -> None:
    spec = specification(identities)
    signatures = signed(spec, identities)
    tampered = spec.model_copy(update=change)
    assert tampered.hash != spec.hash
    with pytest.raises(PeerError) as refused:
        check_signatures(tampered, signatures, identities[BANK].verify)
    assert refused.value.code == "SIGNATURE_INVALID"


def test_a_missing_signature_names_its_party(identities: dict[PartyId, SigningIdentity]) -> None:
    spec = specification(identities)
    signatures = signed(spec, identities)
    del signatures[TAX]
    with pytest.raises(PeerError) as refused:
        check_signatures(spec, signatures, identities[BANK].verify)
    assert (refused.value.code, refused.value.culprit) == ("SIGNATURE_MISSING", TAX)


def test_a_signature_over_another_hash_names_its_party(identities: dict[PartyId, SigningIdentity]) -> None:
    spec = specification(identities)
    other = specification(identities)
    signatures = signed(spec, identities) | {TAX: signed(other, identities)[TAX]}
    with pytest.raises(PeerError) as refused:
        check_signatures(spec, signatures, identities[BANK].verify)
    assert (refused.value.code, refused.value.culprit) == ("SIGNATURE_INVALID", TAX)


def test_one_party_cannot_sign_for_another(identities: dict[PartyId, SigningIdentity]) -> None:
    spec = specification(identities)
    forged = identities[BANK].sign(AGREEMENT, agreement(TAX, spec.hash))
    with pytest.raises(PeerError, match="tax"):
        check_signatures(spec, signed(spec, identities) | {TAX: forged}, identities[BANK].verify)
    swapped = {BANK: signed(spec, identities)[TAX], TAX: signed(spec, identities)[BANK]}
    with pytest.raises(PeerError, match="bank"):
        check_signatures(spec, swapped, identities[BANK].verify)


def test_a_signature_for_another_use_is_no_agreement(identities: dict[PartyId, SigningIdentity]) -> None:
    spec = specification(identities)
    other_use = identities[TAX].sign(b"fedcredit/v1/audit-head", agreement(TAX, spec.hash))
    with pytest.raises(PeerError, match="SIGNATURE_INVALID"):
        check_signatures(spec, signed(spec, identities) | {TAX: other_use}, identities[BANK].verify)


def test_a_signature_of_a_stranger_is_refused(identities: dict[PartyId, SigningIdentity]) -> None:
    spec = specification(identities)
    extra = signed(spec, identities) | {"mallory": b"0" * 64}
    with pytest.raises(PeerError, match="mallory"):
        check_signatures(spec, extra, identities[BANK].verify)


def test_a_signing_certificate_must_be_the_partys_own_and_believed() -> None:
    mine, foreign = Authority.create(now=NOW), Authority.create(now=NOW)
    bank = signer(mine, BANK)
    for certificate, what in (
        (signer(mine, BANK).certificate, "names another party"),
        (signer(foreign, TAX).certificate, "no authority"),
        (b"\x30\x00", "cannot be read"),
        (
            x509.load_pem_x509_certificate(mine.credentials(TAX, now=NOW).certificate).public_bytes(Encoding.DER),
            "cannot be read",
        ),
    ):
        with pytest.raises(PeerError, match=what) as refused:
            bank.key_of(TAX, certificate)
        assert (refused.value.code, refused.value.culprit) == ("SIGNER_INVALID", TAX)


def test_an_expired_signing_certificate_is_refused() -> None:
    authority = Authority.create(now=NOW)
    bank, tax = signer(authority, BANK), signer(authority, TAX)
    late = SigningIdentity(BANK, bank.key, bank.certificate, bank.trust, ManualClock(NOW + timedelta(days=4000)))
    with pytest.raises(PeerError, match="not valid now"):
        late.key_of(TAX, tax.certificate)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'{"a":1,"a":1}',
        b'{"b":1,"a":2}',
        b'{ "a":1}',
        b'{"a":1.0e0}',
        b'{"a":NaN}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_what_is_not_canonical_json_is_refused(data: bytes) -> None:
    with pytest.raises(RefusedError, match="SPEC_INVALID"):
        JobSpecification.parse(data)


def test_canonical_json_reads_back() -> None:
    value = {"b": [1, 2.5, "ü", None, True], "a": {}}
    assert parse_canonical(canonical(value)) == value


@pytest.mark.parametrize(
    "change",
    [
        {"parties": [{"id": "bank", "role": "label"}, {"id": "bank", "role": "feature"}]},
        {"parties": [{"id": "bank", "role": "feature"}, {"id": "tax", "role": "feature"}]},
        {"parties": [{"id": "bank", "role": "label"}, {"id": "platform", "role": "feature"}]},
        {"parties": [{"id": "bank", "role": "label"}]},
        {"intersect": {"mode": "auto", "min_size": 1, "receiver_only": False}},
        {"intersect": {"mode": "hash", "min_size": 100, "receiver_only": False}},
        {"surprise": 1},
        {"split": {"holdout": 2.0}},
        {"job": {"name": "../x", "purpose": "financing"}},
    ],
)
def test_a_definition_that_no_job_file_could_give_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RefusedError, match="SPEC_INVALID"):
        make_proposal(definition() | change, PartyId("platform"))


def test_a_commitment_binds_the_party_and_hides_the_table() -> None:
    made = commitment(b"f" * 32, b"n" * 32, BANK)
    assert made == commitment(b"f" * 32, b"n" * 32, BANK)
    others = {
        commitment(b"g" * 32, b"n" * 32, BANK),
        commitment(b"f" * 32, b"m" * 32, BANK),
        commitment(b"f" * 32, b"n" * 32, TAX),
    }
    assert len(others | {made}) == 4
    assert b"f" * 8 not in made


def test_a_specification_of_another_version_is_told_apart_from_a_broken_one() -> None:
    data = json.loads(make_proposal(definition(), PartyId("platform")).to_bytes()) | {
        "format": FORMAT + 1,
        "more": "than this version knows",
    }
    with pytest.raises(RefusedError) as refused:
        JobSpecification.parse(canonical(data))
    assert refused.value.code == "INCOMPATIBLE"
    with pytest.raises(RefusedError) as refused:
        JobSpecification.parse(canonical(data | {"format": True}))
    assert refused.value.code == "SPEC_INVALID"
