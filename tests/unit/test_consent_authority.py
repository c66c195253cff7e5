"""The authority for consents: who may give which, once for one request, and what every node is told afterwards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from consent_office import ENTERPRISE, OTHER, PERSON, PROPRIETOR, REPRESENTATIVE, SELF, TERMS, ConsentOffice, office
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from raw_store import connected

from fedcredit.errors import FedcreditError, RefusedError, UsageError
from fedcredit.governance.audit import Event
from fedcredit.governance.consent.claims import Consent
from fedcredit.governance.consent.decision import Allowed, Refused, decide
from fedcredit.governance.consent.issuers import Issuer, kid_of
from fedcredit.governance.consent.receipt import check_receipt
from fedcredit.governance.consent.refusal import ConsentRefused, Why
from fedcredit.governance.consent.terms import disclosure_hash
from fedcredit.governance.consent.token import Envelope, issue, revocation_id
from fedcredit.node.consent.authority import key_proof
from fedcredit.node.consent.issuing import ANNOUNCE_S
from fedcredit.node.consent.wording import notice_of
from fedcredit.node.trust.directory import REVOKED
from fedcredit.wire.consent import ChangeConsentKeys, GrantConsent, RegisterConsentKey, RevokeConsent, ShowConsents

DAY = 86_400


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ConsentOffice]:
    with office(tmp_path) as made:
        yield made


def why(decision: Allowed | Refused) -> Why | None:
    return decision.why if isinstance(decision, Refused) else None


def revoke(desk: ConsentOffice, consent: str = "", token: str = "", identity: Any = REPRESENTATIVE) -> None:
    desk.authority.revoke(identity, RevokeConsent("ann", "", consent, token, "no longer wanted"))


def test_what_was_granted_holds_where_it_says_and_nowhere_else(desk: ConsentOffice) -> None:
    token = desk.grant()["token"]
    assert isinstance(decide(token, desk.use(), desk.premises()), Allowed)
    assert isinstance(decide(token, desk.use(), desk.premises("housing_fund")), Allowed)
    assert why(decide(token, desk.use(), desk.premises("insurer"))) is Why.AUDIENCE
    assert why(decide(token, desk.use("insurer"), desk.premises())) is Why.BINDING
    assert why(decide(token, desk.use(uses=3), desk.premises())) is Why.USED_UP
    desk.clock.advance(30 * DAY + 60)
    assert why(decide(token, desk.use(), desk.premises())) is Why.EXPIRED


def test_the_same_request_has_the_same_token_whatever_happens_in_between(desk: ConsentOffice) -> None:
    first = desk.grant()
    desk.clock.advance(100)
    assert desk.grant() == first
    desk.again()
    assert desk.grant() == first
    with pytest.raises(RefusedError, match="CONFLICT"):
        desk.grant(max_uses=4)
    other = desk.grant(request="two")
    assert other["consent"] != first["consent"]
    assert [entry.event for entry in desk.entries()].count(Event.CONSENT_GRANTED) == 2


def test_each_database_keeps_grants_and_revocations(tmp_path: Path, store_url: str) -> None:
    with office(tmp_path, store_url) as desk:
        made = desk.grant()
        revoke(desk, made["consent"])
        desk.again()
        assert desk.grant()["token"] == made["token"]
        assert why(decide(made["token"], desk.use(), desk.premises())) is Why.REVOKED
        assert desk.store.problems() == []


def test_what_the_log_does_not_have_is_entered_at_the_next_start(
    desk: ConsentOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object, **_facts: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        # The store is written and the log is not: as a crash between the two leaves it.
        patched.setattr(desk.authority, "_record_grant", full)
        with pytest.raises(OSError, match="full"):
            desk.grant()
    assert Event.CONSENT_GRANTED not in [entry.event for entry in desk.entries()]
    desk.again()
    (entry,) = [entry for entry in desk.entries() if entry.event is Event.CONSENT_GRANTED]
    made = desk.grant()
    assert entry.facts["token"] == hashlib.sha256(made["token"].encode()).hexdigest()
    assert [entry.event for entry in desk.entries()].count(Event.CONSENT_GRANTED) == 1


def test_the_log_holds_no_subject_and_no_name_that_leads_to_one(desk: ConsentOffice) -> None:
    made = desk.grant()
    desk.grant(SELF, replace(TERMS, subject=PROPRIETOR), "mine")
    revoke(desk, made["consent"])
    text = (desk.folder / "audit" / "entries.jsonl").read_text()
    for kept_out in (ENTERPRISE, PROPRIETOR, made["consent"], made["token"], "ann", "no longer wanted"):
        assert kept_out not in text
        # Nor a hash of what is short and listed in public, which anybody can hash as well.
        assert hashlib.sha256(kept_out.encode()).hexdigest()[:16] not in text or kept_out in (
            made["consent"],
            made["token"],
        )


def test_a_revoked_consent_is_on_the_list_until_it_would_have_ended(desk: ConsentOffice) -> None:
    made = desk.grant()
    before = desk.bulletin()
    revoke(desk, made["consent"])
    after = desk.bulletin()
    assert after.follows(before.head)
    assert after.body.revoked == (revocation_id(made["consent"]),)
    assert why(decide(made["token"], desk.use(), desk.premises())) is Why.REVOKED
    revoke(desk, made["consent"])
    desk.again()
    assert desk.bulletin().head.number == after.head.number
    assert [entry.event for entry in desk.entries()].count(Event.CONSENT_REVOKED) == 1
    # Within the leeway of clocks somebody may still believe it.
    desk.clock.advance(30 * DAY + 60)
    assert desk.bulletin().body.revoked
    desk.clock.advance(120)
    assert not desk.bulletin().body.revoked
    assert why(decide(made["token"], desk.use(), desk.premises())) is Why.EXPIRED


def test_a_list_that_is_five_minutes_old_refuses_all(desk: ConsentOffice) -> None:
    token, premises = desk.grant()["token"], desk.premises()
    desk.clock.advance(300)
    assert isinstance(decide(token, desk.use(), premises), Allowed)
    desk.clock.advance(1)
    assert why(decide(token, desk.use(), premises)) is Why.STALE
    # The authority says that it still holds, under the same number.
    assert desk.bulletin().head.number == desk.bulletin().head.number
    assert isinstance(decide(token, desk.use(), desk.premises()), Allowed)


@pytest.mark.parametrize(
    ("identity", "changed", "code"),
    [
        (REPRESENTATIVE, {"subject": OTHER}, "CONSENT_REPRESENTATIVE"),
        (SELF, {}, "CONSENT_REPRESENTATIVE"),
        (replace(REPRESENTATIVE, subjects=frozenset({PROPRIETOR})), {"subject": PROPRIETOR}, "CONSENT_PERSON"),
        (replace(SELF, subjects=frozenset({ENTERPRISE})), {}, "CONSENT_ENTERPRISE"),
        (REPRESENTATIVE, {"requester": "nobody"}, "CONSENT_MEMBER"),
        (REPRESENTATIVE, {"requester": "tax"}, "CONSENT_MEMBER"),
        (REPRESENTATIVE, {"providers": ("bank",)}, "CONSENT_MEMBER"),
        (REPRESENTATIVE, {"providers": ("tax", "unknown")}, "CONSENT_MEMBER"),
        (REPRESENTATIVE, {"region": "atlantis"}, "CONSENT_TERMS"),
        (REPRESENTATIVE, {"predicates": ("no_such",)}, "CONSENT_TERMS"),
        (REPRESENTATIVE, {"predicates": ("tax_grade_a",)}, "CONSENT_TERMS"),
        (REPRESENTATIVE, {"items": ("no_such",)}, "CONSENT_TERMS"),
        (REPRESENTATIVE, {"predicates": ("person_prop_owned",)}, "CONSENT_TERMS"),
        (SELF, {"subject": PERSON, "predicates": ("hf_continuous_k",)}, "CONSENT_TERMS"),
        (REPRESENTATIVE, {"items": ("person_property_registration",)}, "CONSENT_PERSON"),
    ],
)
def test_what_is_not_theirs_to_give_is_refused(
    desk: ConsentOffice, identity: Any, changed: dict[str, Any], code: str
) -> None:
    with pytest.raises(FedcreditError) as refused:
        desk.grant(identity, **changed)
    assert refused.value.code == code
    assert not desk.store.consents.newest(10)


def test_a_person_gives_what_is_personal(desk: ConsentOffice) -> None:
    made = desk.grant(SELF, subject=PERSON, predicates=("person_prop_owned",))
    asked = desk.use(subject=PERSON, predicate="person_prop_owned", items=frozenset({"x"}), person=True)
    assert isinstance(decide(made["token"], asked, desk.premises()), Allowed)
    own = desk.grant(SELF, subject=PROPRIETOR, request="own")
    assert isinstance(decide(own["token"], desk.use(subject=PROPRIETOR), desk.premises()), Allowed)
    assert why(decide(own["token"], desk.use(), desk.premises())) is Why.SUBJECT


def test_a_revoked_member_gets_no_consents(desk: ConsentOffice) -> None:
    desk.members["bank"] = replace(desk.members["bank"], state=REVOKED)
    with pytest.raises(RefusedError, match="CONSENT_MEMBER"):
        desk.grant()


def test_another_text_than_the_one_shown_is_refused(desk: ConsentOffice) -> None:
    text = notice_of(TERMS, REPRESENTATIVE.kind)
    assert "住房公积金" in text
    message = GrantConsent("ann", "", "one", TERMS.to_bytes(), disclosure_hash(text + " "))
    with pytest.raises(RefusedError, match="CONSENT_DISCLOSURE"):
        desk.authority.grant(REPRESENTATIVE, message)
    consent = Envelope.read(desk.grant()["token"]).claims()
    assert consent.disclosure == disclosure_hash(text)
    english = Envelope.read(desk.grant(request="en", language="en")["token"]).claims()
    assert english.disclosure == disclosure_hash(notice_of(replace(TERMS, language="en"), REPRESENTATIVE.kind))


def test_whoever_logs_in_sees_its_own_consents_alone(desk: ConsentOffice) -> None:
    made = desk.grant()

    def shown(identity: Any, consent: str = "") -> dict[str, Any]:
        return dict(json.loads(desk.authority.shown(identity, ShowConsents("", "", consent))))

    assert [row["consent"] for row in shown(REPRESENTATIVE)["consents"]] == [made["consent"]]
    assert shown(REPRESENTATIVE, made["consent"])["token"] == made["token"]
    assert shown(SELF) == {"consents": []}
    with pytest.raises(UsageError, match="CONSENT_UNKNOWN"):
        shown(SELF, made["consent"])
    # The platform's own people see what was agreed to, and get no token that they could use.
    assert [row["consent"] for row in shown(None)["consents"]] == [made["consent"]]
    assert "token" not in shown(None, made["consent"])
    with pytest.raises(RefusedError, match="CONSENT_REPRESENTATIVE"):
        revoke(desk, made["consent"], identity=SELF)
    with pytest.raises(UsageError, match="CONSENT_UNKNOWN"):
        revoke(desk, "A" * 22)
    revoke(desk, made["consent"], identity=None)
    assert shown(REPRESENTATIVE)["consents"][0]["revoked"]


def test_the_receipt_has_the_fields_and_the_issuers_signature(desk: ConsentOffice) -> None:
    made = desk.grant()
    issuers = desk.bulletin().issuers()
    data = made["receipt"].encode()
    record = check_receipt(data, issuers)
    assert record["record_id"] == revocation_id(made["consent"])
    assert record["pii_principal_id"] == ENTERPRISE
    (purpose,) = record["pii_processing"]["purposes"]
    assert purpose["purpose"] == "financing"
    assert purpose["recipient_third_parties"] == ["bank"]
    assert [one["pii_attribute_id"] for one in purpose["pii_information"]] == ["hf_continuous_k"]
    assert record["pii_processing"]["privacy_notice"] == notice_of(TERMS, REPRESENTATIVE.kind)
    assert {one["party_role"] for one in record["party_identification"]} > {"PII principal", "recipient"}
    assert record["events"][0]["event_state"] == "given"
    for bad in (
        data.replace(b"financing", b"research", 1),
        data.replace(b'"EdDSA"', b'"none"'),
        data[:-10],
        b"[]",
        b'{"receipt":1}',
        data.replace(json.loads(data)["kid"].encode(), b"0" * 32),
    ):
        assert bad != data
        with pytest.raises(UsageError, match="RECEIPT_INVALID"):
            check_receipt(bad, issuers)


def registered(desk: ConsentOffice, subject: str = ENTERPRISE, identity: Any = REPRESENTATIVE) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    proof = key.sign(key_proof("platform", subject, public))
    desk.authority.register(identity, RegisterConsentKey("", "", subject, public, proof))
    return key


def own_token(desk: ConsentOffice, key: Ed25519PrivateKey, like: str, **changed: Any) -> str:
    consent = replace(Envelope.read(like).claims(), issuer="enterprise", **changed)
    issuer = Issuer(key.public_key().public_bytes_raw(), "enterprise", subject=consent.subject)
    return issue(consent, issuer, key.sign)


def test_a_subjects_own_key_speaks_for_it_alone(desk: ConsentOffice) -> None:
    like = desk.grant()["token"]
    key = registered(desk)
    token = own_token(desk, key, like, jti="B" * 21 + "A")
    assert isinstance(decide(token, desk.use(), desk.premises()), Allowed)
    foreign = own_token(desk, key, like, subject=OTHER)
    assert why(decide(foreign, desk.use(subject=OTHER), desk.premises())) is Why.ISSUER
    # What the platform never issued is revoked by showing it.
    revoke(desk, token=token)
    assert why(decide(token, desk.use(), desk.premises())) is Why.REVOKED
    kid = kid_of(key.public_key().public_bytes_raw())
    desk.authority.change_keys(ChangeConsentKeys(rotate=False, retire=kid))
    assert why(decide(own_token(desk, key, like, jti="C" * 21 + "A"), desk.use(), desk.premises())) is Why.ISSUER
    public = key.public_key().public_bytes_raw()
    again = RegisterConsentKey("", "", ENTERPRISE, public, key.sign(key_proof("platform", ENTERPRISE, public)))
    with pytest.raises(RefusedError, match="CONSENT_KEY"):
        desk.authority.register(REPRESENTATIVE, again)


@pytest.mark.parametrize(
    ("subject", "proof_of", "code"),
    [
        (OTHER, OTHER, "CONSENT_REPRESENTATIVE"),
        (ENTERPRISE, OTHER, "CONSENT_KEY"),
    ],
)
def test_a_key_is_registered_by_who_has_it_and_represents_the_subject(
    desk: ConsentOffice, subject: str, proof_of: str, code: str
) -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    message = RegisterConsentKey("", "", subject, public, key.sign(key_proof("platform", proof_of, public)))
    with pytest.raises(FedcreditError) as refused:
        desk.authority.register(REPRESENTATIVE, message)
    assert refused.value.code == code
    small = RegisterConsentKey("", "", ENTERPRISE, bytes(32), bytes(64))
    with pytest.raises(FedcreditError, match="CONSENT_KEY"):
        desk.authority.register(REPRESENTATIVE, small)


def test_keys_follow_each_other_with_an_overlap(desk: ConsentOffice) -> None:
    old = desk.grant(request="old")["token"]
    keys = desk.authority.change_keys
    keys(ChangeConsentKeys(rotate=True, retire=""))
    assert len(desk.bulletin().body.issuers) == 2
    # Told at once, used a little later: nobody meets a token of a key of which it has not heard.
    assert Envelope.read(desk.grant(request="between")["token"]).kid == Envelope.read(old).kid
    desk.clock.advance(ANNOUNCE_S)
    new = desk.grant(request="new")["token"]
    assert Envelope.read(new).kid != Envelope.read(old).kid
    for token in (old, new):
        assert isinstance(decide(token, desk.use(), desk.premises()), Allowed)
    desk.again()
    assert len(list((desk.folder / "keys").glob("*.key"))) == 1
    late = desk.grant(request="late", days=366)["token"]
    desk.clock.advance(366 * DAY)
    assert why(decide(late, desk.use(), desk.premises())) is None
    desk.clock.advance(10 * DAY)
    assert [issuer.kid for issuer in desk.bulletin().body.issuers] == [Envelope.read(new).kid]
    assert why(decide(old, desk.use(), desk.premises())) is Why.ISSUER


def test_a_key_that_is_given_up_takes_its_consents_with_it(desk: ConsentOffice) -> None:
    old = desk.grant(request="old")["token"]
    kid = Envelope.read(old).kid
    desk.authority.change_keys(ChangeConsentKeys(rotate=False, retire=kid))
    assert why(decide(old, desk.use(), desk.premises())) is Why.ISSUER
    assert isinstance(decide(desk.grant(request="new")["token"], desk.use(), desk.premises()), Allowed)
    assert not list((desk.folder / "keys").glob(f"{kid}.key"))
    with pytest.raises(UsageError, match="CONSENT_KEY"):
        desk.authority.change_keys(ChangeConsentKeys(rotate=False, retire="0" * 32))


def test_a_first_start_that_was_cut_short_goes_on_with_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = ConsentOffice(tmp_path)

    def killed(*_arguments: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(desk.store.consent_keys, "add", killed)
        with pytest.raises(RuntimeError, match="killed"):
            desk.authority.open()
    (left,) = (tmp_path / "keys").glob("*.key")
    desk.again()
    assert Envelope.read(desk.grant()["token"]).kid == left.stem
    desk.close()


def test_no_token_or_secret_shows_where_things_are_printed(desk: ConsentOffice) -> None:
    made = desk.grant()
    row = desk.store.consents.of(made["consent"])
    message = GrantConsent("ann", "hush", "one", TERMS.to_bytes(), bytes(32))
    for shown in (repr(row), repr(message), repr(REPRESENTATIVE), repr(Envelope.read(made["token"]))):
        for kept_out in (made["token"], ENTERPRISE, "hush", "ann"):
            assert kept_out not in shown


def test_without_an_audit_log_nobody_gets_a_token(desk: ConsentOffice) -> None:
    desk.audit.close()
    with pytest.raises(FedcreditError):
        desk.grant()
    desk.again()
    assert [entry.event for entry in desk.entries()].count(Event.CONSENT_GRANTED) == 1
    assert desk.grant()["token"]


def test_a_store_whose_tokens_were_changed_is_found_out(desk: ConsentOffice) -> None:
    first, second = desk.grant(request="one"), desk.grant(request="two")
    assert desk.store.problems() == []
    url = f"sqlite:///{desk.folder / 'store.sqlite'}"
    for name, token in ((first["consent"], second["token"]), (second["consent"], "a.b.c")):
        with connected(url) as connection:
            text = sa.text("UPDATE consents SET token = :token WHERE jti = :name")
            connection.execute(text, {"token": token, "name": name})
    problems = desk.store.problems()
    assert [problem.code for problem in problems] == ["STORE_INCONSISTENT"] * 2
    assert revocation_id(first["consent"]) in str(problems)
    assert first["consent"] not in str(problems)


def test_claims_of_a_token_hold_together_when_it_is_made() -> None:
    with pytest.raises(ConsentRefused, match="CONSENT_CLAIM"):
        replace(_any_consent(), providers=("tax", "housing_fund"))
    with pytest.raises(ConsentRefused, match="CONSENT_LIFETIME"):
        replace(_any_consent(), expires=0)


def _any_consent() -> Consent:
    return Consent(
        issuer="platform",
        subject=ENTERPRISE,
        providers=("tax",),
        jti="A" * 22,
        issued_at=0,
        not_before=0,
        expires=10,
        authority=bytes(32),
        by=REPRESENTATIVE.kind,
        disclosure=bytes(32),
        scope=TERMS.scope(),
    )
