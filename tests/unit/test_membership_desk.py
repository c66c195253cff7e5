"""A provider's desk and a platform's permits, without a network: who consented is evaluated, once, and nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from consent_office import ENTERPRISE, OTHER, PLATFORM, REPRESENTATIVE, ConsentOffice, office
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedcredit.cli import verify
from fedcredit.crypto.oprf import OprfBlind
from fedcredit.crypto.randomness import SystemRandomness
from fedcredit.errors import PeerError, RefusedError, UsageError
from fedcredit.governance.consent.bulletin import Bulletin
from fedcredit.governance.consent.claims import ConsentBy
from fedcredit.governance.consent.issuers import Issuer
from fedcredit.governance.consent.token import Envelope, encode
from fedcredit.governance.verification.permits import Permit, PermitRefused, WhyNot, signed_bytes
from fedcredit.governance.verification.rules import Action, Private, VerifyPolicy, VerifyRule
from fedcredit.ids import PartyId
from fedcredit.kernels import filter as compact
from fedcredit.node.consent.identity import Identity
from fedcredit.node.filters.lent import LentFilter
from fedcredit.node.filters.mapped import alone_in
from fedcredit.node.membership.desk import KEY_GRACE, MembershipDesk
from fedcredit.node.membership.folder import private_folder
from fedcredit.node.membership.grounds import Grounds
from fedcredit.node.membership.office import PermitOffice
from fedcredit.node.recorder import Recorder
from fedcredit.node.trust.directory import Directory
from fedcredit.node.verification.building import Built
from fedcredit.node.verification.serving import offer_of
from fedcredit.node.verification.standing import Standing
from fedcredit.protocols.intersect.filters import items_for
from fedcredit.runtime.verify_file import VerifySection
from fedcredit.wire.consent import ChangeConsentKeys, RevokeConsent
from fedcredit.wire.intersect import FilterOffer, FilterPiece
from fedcredit.wire.membership import (
    EvaluatedMembers,
    EvaluateMembers,
    FilterPart,
    FilterWanted,
    PermitGiven,
    PermitWanted,
    TermsWanted,
)

BANK, FUND = PartyId("bank"), PartyId("housing_fund")
ITEM, QUESTION, PURPOSE = "housing_fund_contribution", "hf_continuous_k", "financing"
RULE = VerifyRule(
    name="financing",
    action=Action.ADMIT,
    requesters=frozenset({"bank"}),
    purposes=frozenset({PURPOSE}),
    items=frozenset({ITEM}),
    private=Private(per_day=5, key_days=30),
)
SECTION = VerifySection.model_validate(
    {"region": "nanjing", "private": [ITEM], "items": {ITEM: {"table": "x.csv", "complete": False}}}
)
ANN = replace(REPRESENTATIVE, subjects=frozenset({ENTERPRISE, OTHER}))


class Desks:
    """Both desks, over one store and log, and what a bank does between them."""

    def __init__(self, made: ConsentOffice, folder: Path) -> None:
        self.office, self.folder = made, folder
        self.members = folder / "x.members"
        self.members.write_bytes(ENTERPRISE.encode() + b"91320100MA1MTQ0X09")
        self.policy = VerifyPolicy(rules=(RULE,))
        self.section = SECTION
        self.bulletin: Bulletin | None = made.bulletin()
        self.blind = OprfBlind.generate(SystemRandomness())
        self.open()

    def open(self) -> None:
        """A new process."""
        recorder = Recorder(self.office.audit, self.office.store)
        grounds = Grounds(FUND, PLATFORM, self.section)
        self.desk = MembershipDesk(self.folder, grounds, self.standing, self.office.store, recorder, self.office.clock)
        self.permits = PermitOffice(
            PLATFORM,
            self.office.keys,
            self.office.bulletin,
            lambda: Directory.of(PLATFORM, 1, self.office.members.values()),
            recorder,
            self.office.now,
        )

    def standing(self) -> Standing:
        built = Built(ITEM, self.members, 2, 2, 0, 0, None, self.members)
        return Standing(self.policy, offer_of(self.section, self.policy), {ITEM: built}, self.bulletin)

    def token(self, subject: str = ENTERPRISE, identity: Identity = ANN, **changed: Any) -> str:
        request = changed.pop("request", f"{subject} {len(changed)} {sorted(changed)}")
        return str(self.office.grant(identity, request=request, subject=subject, **changed)["token"])

    def wanted(self, *tokens: str, **changed: Any) -> PermitWanted:
        kept = self.lent().kept_key
        key = bytes(16) if kept is None else kept.key.name
        made = PermitWanted(FUND, "nanjing", QUESTION, PURPOSE, key, self.blind.to_bytes(), "\n".join(tokens).encode())
        return replace(made, **changed)

    def permit(self, *tokens: str, **changed: Any) -> PermitGiven:
        return self.permits.permit(BANK, self.wanted(*tokens, **changed))

    def elements(self, *subjects: str) -> Any:
        kept = self.lent().kept_key
        assert kept is not None
        codes = np.array([subject.encode() for subject in subjects])
        return self.blind.blind(items_for(codes, kept.key.name, BANK, FUND, len(codes)))

    def message(self, given: PermitGiven, *subjects: str) -> EvaluateMembers:
        return EvaluateMembers(given.permit, given.kid, given.signature, self.elements(*subjects))

    def evaluate(self, message: EvaluateMembers, caller: PartyId = BANK) -> EvaluatedMembers:
        found = asyncio.run(self.desk._evaluate(caller, message))
        assert isinstance(found, EvaluatedMembers)
        return found

    def filter(self, caller: PartyId = BANK, predicate: str = QUESTION) -> list[FilterPart]:
        async def parts() -> list[FilterPart]:
            wanted = FilterWanted(predicate, PURPOSE, bytes(16), 0, bytes(32))
            return [part async for part in self.desk._filter(caller, wanted)]

        return asyncio.run(parts())

    def lent(self) -> LentFilter:
        return LentFilter(private_folder(self.folder), FUND, BANK, ITEM)

    def refused(self, message: EvaluateMembers, caller: PartyId = BANK) -> WhyNot:
        before = self.asked()
        with pytest.raises(PermitRefused) as refused:
            self.evaluate(message, caller)
        assert self.asked() == before
        return refused.value.why

    def asked(self) -> list[int]:
        return [int(entry.facts["asked"]) for entry in self.office.entries() if entry.event == "membership_asked"]


@pytest.fixture
def desks(tmp_path: Path) -> Iterator[Desks]:
    with office(tmp_path) as made:
        found = Desks(made, tmp_path)
        found.filter()
        yield found


def test_who_consented_is_found_in_the_filter_or_not(desks: Desks) -> None:
    given = desks.permit(desks.token(), desks.token(OTHER), "no token")
    assert given.taken == b"\x01\x01\x00"
    evaluated = desks.evaluate(desks.message(given, ENTERPRISE, OTHER)).points
    codes = np.array([ENTERPRISE.encode(), OTHER.encode()])
    kept = desks.lent().kept_key
    assert kept is not None
    items = items_for(codes, kept.key.name, BANK, FUND, 2)
    parts = [part.message() for part in desks.filter()]
    offer = next(part for part in parts if isinstance(part, FilterOffer))
    content = np.concatenate([part.data for part in parts if isinstance(part, FilterPiece)])
    values = desks.blind.finalize(items, evaluated, compact.VALUE_BYTES)
    assert offer.entries == 1024
    assert compact.contains(content, offer.entries, offer.bits, values).tolist() == [True, False]
    # The log says who asked how often for what, under which permit, and no subject.
    found = {entry.event.value: entry.facts for entry in desks.office.entries()}
    assert found["membership_permitted"]["permit"] == found["membership_asked"]["permit"]
    assert (found["membership_asked"]["asked"], found["membership_asked"]["rule"]) == (2, "financing")
    assert (found["membership_permitted"]["permitted"], found["membership_permitted"]["asked"]) == (2, 3)


def test_consents_that_do_not_hold_get_no_permit(desks: Desks) -> None:
    office, now = desks.office, desks.office.now()
    good = desks.token(OTHER)
    revoked = desks.token(request="revoked")
    office.authority.revoke(ANN, RevokeConsent("", "", Envelope.read(revoked).claims().jti, "", ""))
    stranger = Ed25519PrivateKey.generate()
    claims = Envelope.read(good).claims()
    foreign = encode(claims, stranger.public_key().public_bytes_raw(), stranger.sign)
    issuer, key = office.keys.signer()

    def signed(**changed: Any) -> str:
        own = {name: value for name, value in changed.items() if name in claims.__dataclass_fields__}
        inner = {name: value for name, value in changed.items() if name not in own}
        made = replace(claims, **own, scope=replace(claims.scope, **inner))
        return encode(made, issuer.public_key, key.sign)

    cases = {
        "none": "",
        "no token": "a.b.c",
        "revoked": revoked,
        "another key": foreign,
        "another institution": signed(requester="insurer"),
        "another authority": signed(authority=bytes(32)),
        "another provider": signed(providers=("tax",)),
        "another purpose": signed(purpose="supervision"),
        "another region": signed(region="jining"),
        "another question": signed(predicates=("water_in_use",)),
        "a person's word": signed(by=ConsentBy.PERSON),
        "ended": signed(not_before=now - 7200, expires=now - 3600),
        "not yet": signed(not_before=now + 3600, expires=now + 7200),
    }
    given = desks.permit(good, *cases.values())
    assert given.taken == b"\x01" + bytes(len(cases))
    assert Permit.parse(given.permit).count == 1
    # A permit is for just that element: another one, or one more, is none of its.
    for subjects, why in (((ENTERPRISE,), WhyNot.ELEMENTS), ((OTHER, ENTERPRISE), WhyNot.COUNT)):
        assert desks.refused(desks.message(given, *subjects)) is why
    assert desks.permit(*cases.values()) == PermitGiven(bytes(len(cases)), b"", "", b"")


def test_a_consent_under_a_subjects_own_key_is_not_taken(desks: Desks) -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    claims = replace(Envelope.read(desks.token()).claims(), issuer="enterprise")
    own = encode(claims, public, key.sign)
    # Registered or not: the platform would hear of a consent that it does not know.
    bulletin = desks.office.bulletin()
    body = replace(bulletin.body, issuers=(*bulletin.body.issuers, Issuer(public, "enterprise", subject=ENTERPRISE)))
    desks.permits._bulletin = lambda: replace(bulletin, body=body)
    assert desks.permit(own).taken == b"\x00"


def test_who_may_have_permits(desks: Desks) -> None:
    token = desks.token()
    for caller, changed, error, code in (
        (PartyId("tax"), {}, RefusedError, "CONSENT_MEMBER"),
        (PartyId("nobody"), {}, RefusedError, "CONSENT_MEMBER"),
        (BANK, {"provider": "insurer"}, RefusedError, "CONSENT_MEMBER"),
        (BANK, {"provider": ""}, RefusedError, "CONSENT_MEMBER"),
        (BANK, {"predicate": "no_such"}, UsageError, "PREDICATE_UNKNOWN"),
        (BANK, {"region": "atlantis"}, UsageError, "PREDICATE_UNKNOWN"),
        (BANK, {"blind": bytes(32)}, PeerError, "MESSAGE_INVALID"),
        (BANK, {"consents": f"{token}\n{token}".encode()}, PeerError, "ID_DUPLICATE"),
    ):
        with pytest.raises(error) as refused:
            desks.permits.permit(caller, desks.wanted(token, **changed))
        assert refused.value.code == code
    # Another institution gets none for a consent that was given to the bank.
    assert desks.permits.permit(PartyId("insurer"), desks.wanted(token)).taken == b"\x00"


def test_a_permit_is_good_once_also_for_the_next_process(desks: Desks) -> None:
    message = desks.message(desks.permit(desks.token()), ENTERPRISE)
    assert len(desks.evaluate(message).points) == 1
    assert desks.refused(message) is WhyNot.REPLAYED
    desks.office.again()
    desks.open()
    assert desks.refused(message) is WhyNot.REPLAYED
    # It is remembered for as long as it could be believed, and then forgotten.
    desks.office.clock.advance(300 + 59)
    desks.bulletin = desks.office.bulletin()
    assert desks.refused(message) is WhyNot.REPLAYED
    desks.office.clock.advance(1)
    assert desks.refused(message) is WhyNot.TIME


def test_what_the_policy_grants_is_counted_by_day(desks: Desks) -> None:
    def ask(request: str) -> EvaluateMembers:
        tokens = desks.token(request=request), desks.token(OTHER, request=f"{request} other")
        return desks.message(desks.permit(*tokens), ENTERPRISE, OTHER)

    for request in ("a", "b"):
        desks.evaluate(ask(request))
    assert desks.refused(ask("c")) is WhyNot.SPENT
    # What was refused is not spent: one more is within the five of the day.
    desks.evaluate(desks.message(desks.permit(desks.token(request="d")), ENTERPRISE))
    desks.office.clock.advance(86_400)
    desks.bulletin = desks.office.bulletin()
    desks.evaluate(ask("e"))
    assert desks.asked() == [2, 2, 1, 2]


def test_whom_the_policy_does_not_admit_is_refused_alike(desks: Desks) -> None:
    message = desks.message(desks.permit(desks.token()), ENTERPRISE)
    good = desks.policy
    quiet = replace(RULE, private=None)
    refusing = VerifyRule(name="no", action=Action.REFUSE)
    cases: list[tuple[VerifyPolicy, WhyNot]] = [
        (replace(good, rules=()), WhyNot.RULE),
        (replace(good, rules=(quiet, RULE)), WhyNot.RULE),
        (replace(good, rules=(refusing, RULE)), WhyNot.RULE),
        (replace(good, rules=(replace(RULE, requesters=frozenset({"insurer"})),)), WhyNot.RULE),
        (replace(good, rules=(replace(RULE, purposes=frozenset({"research"})),)), WhyNot.RULE),
        (replace(good, rules=(replace(RULE, level_max=1),)), WhyNot.RULE),
    ]
    for policy, why in cases:
        desks.policy = policy
        assert desks.refused(message) is why
        with pytest.raises(PermitRefused):
            desks.filter()
        with pytest.raises(PermitRefused):
            asyncio.run(desks.desk._terms(BANK, TermsWanted(QUESTION, PURPOSE)))
    desks.policy = good
    for section, why in (
        (SECTION.model_copy(update={"private": ()}), WhyNot.OFF),
        (SECTION.model_copy(update={"items": {ITEM: SECTION.items[ITEM].model_copy(update={"complete": True})}}), None),
    ):
        desks.section = section
        desks.open()
        assert desks.refused(message) is (why or WhyNot.COMPLETE)
    desks.section = SECTION
    desks.open()
    for caller in (PartyId("insurer"), PartyId("nobody")):
        with pytest.raises(PermitRefused):
            desks.filter(caller)
        assert desks.refused(message, caller) is WhyNot.RULE
    heard, desks.bulletin = desks.bulletin, None
    assert desks.refused(message) is WhyNot.STALE
    desks.bulletin = heard
    desks.evaluate(message)


def test_a_stolen_signature_and_a_retired_key(desks: Desks) -> None:
    given = desks.permit(desks.token())
    message = desks.message(given, ENTERPRISE)
    thief = Ed25519PrivateKey.generate()
    kid = Issuer(thief.public_key().public_bytes_raw(), "authority", name="platform").kid
    forged = replace(message, kid=kid, signature=thief.sign(signed_bytes(given.permit)))
    assert desks.refused(forged) is WhyNot.ISSUER
    desks.office.authority.change_keys(ChangeConsentKeys(False, given.kid))
    desks.bulletin = desks.office.bulletin()
    assert desks.refused(message) is WhyNot.ISSUER


def test_keys_are_changed_in_time_and_an_old_one_evaluates_nothing(desks: Desks) -> None:
    first = desks.lent().kept_key
    assert first is not None
    desks.office.clock.advance((timedelta(days=30) + KEY_GRACE).total_seconds())
    desks.bulletin = desks.office.bulletin()
    message = desks.message(desks.permit(desks.token()), ENTERPRISE)
    assert desks.refused(message) is WhyNot.KEY
    desks.filter()
    second = desks.lent().kept_key
    assert second is not None
    assert second.key.name != first.key.name
    # The permit for elements under the old key is none for the new one.
    assert desks.refused(message) is WhyNot.KEY
    desks.evaluate(desks.message(desks.permit(desks.token()), ENTERPRISE))


def test_points_that_are_none_are_not_evaluated(desks: Desks) -> None:
    given = desks.permit(desks.token())
    issuer, key = desks.office.keys.signer()
    for bad in (bytes(32), b"\x01" + bytes(31), b"\xff" * 32):
        # Only a platform that colludes would sign for these.
        fresh = replace(Permit.parse(given.permit), elements=hashlib.sha256(bad).digest(), nonce=bad[:15] + b"x")
        data = fresh.to_bytes()
        points = np.frombuffer(bad, np.uint8).reshape(1, -1)
        with pytest.raises(PeerError):
            desks.evaluate(EvaluateMembers(data, issuer.kid, key.sign(signed_bytes(data)), points))


def test_a_table_that_changes_changes_the_filter_by_no_more(desks: Desks) -> None:
    (first,) = [part.message() for part in desks.filter() if part.kind == FilterOffer.tag]
    assert isinstance(first, FilterOffer)
    again = desks.lent().record
    assert again is not None
    assert again.label.digest == first.digest
    desks.members.write_bytes(desks.members.read_bytes() + OTHER.encode())
    parts = [part.message() for part in desks.filter()]
    offer = next(part for part in parts if isinstance(part, FilterOffer))
    assert (offer.key, offer.entries, offer.version) == (first.key, first.entries, first.version + 1)


def test_only_a_few_calls_of_one_requester_at_a_time(desks: Desks) -> None:
    with contextlib.ExitStack() as held:
        for _ in range(4):
            held.enter_context(desks.desk._few.one_of(BANK))
        with pytest.raises(RefusedError, match="QUOTA"):
            desks.filter()
    assert desks.filter()


def test_a_requester_that_hangs_up_leaves_nothing_held(desks: Desks) -> None:
    folder = private_folder(desks.folder) / "filters" / "lent" / BANK / ITEM

    async def hung_up() -> None:
        wanted = FilterWanted(QUESTION, PURPOSE, bytes(16), 0, bytes(32))
        with alone_in(folder):
            call = asyncio.ensure_future(anext(aiter(desks.desk._filter(BANK, wanted))))
            while not desks.desk._few._calls[BANK]:  # noqa: ASYNC110
                await asyncio.sleep(0)
            # Its thread waits for the folder now, and the role cannot be closed under it.
            call.cancel()
            await asyncio.sleep(0)
            assert not call.done()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(hung_up())
    assert desks.desk._few._calls[BANK] == 0
    with alone_in(folder):
        pass
    assert desks.filter()


def test_one_subject_alone_is_not_asked_about_privately() -> None:
    with pytest.raises(UsageError, match="--private"):
        verify.run(
            provider="tax=127.0.0.1:1",
            certificate=Path("signing.crt"),
            predicate=QUESTION,
            subject=ENTERPRISE,
            private=True,
        )
