"""A permit is for one call alone: whatever is changed, nothing is evaluated, and all refusals are one."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fedcredit.errors import RefusedError
from fedcredit.governance.consent.issuers import Issuer, Issuers
from fedcredit.governance.verification.permits import (
    MEMBERSHIP_REFUSED,
    PERMIT_S,
    Believed,
    Permit,
    PermitRefused,
    Presented,
    WhyNot,
    believe,
    check_permit,
    elements_digest,
    signed_bytes,
)
from fedcredit.ids import PartyId

T = 1_800_000_000
KEY = Ed25519PrivateKey.generate()
ISSUER = Issuer(KEY.public_key().public_bytes_raw(), "authority", name="platform")
ELEMENTS = bytes(range(64))
PERMIT = Permit(
    requester="bank",
    provider="tax",
    region="nanjing",
    purpose="financing",
    predicate="water_in_use",
    item="water_fee",
    key=b"k" * 16,
    count=2,
    elements=elements_digest(ELEMENTS),
    issued_at=T,
    expires=T + PERMIT_S,
    nonce=b"n" * 16,
)
CALL = Presented(
    requester=PartyId("bank"),
    provider=PartyId("tax"),
    region="nanjing",
    item="water_fee",
    key=b"k" * 16,
    count=2,
    elements=elements_digest(ELEMENTS),
    now=T + 10,
)


def believed(*issuers: Issuer, heard_at: int = T) -> Believed:
    return Believed(platform=PartyId("platform"), issuers=Issuers(issuers or [ISSUER]), heard_at=heard_at)


def signature(data: bytes, key: Ed25519PrivateKey = KEY) -> bytes:
    return key.sign(signed_bytes(data))


def why(refused: pytest.ExceptionInfo[PermitRefused]) -> WhyNot:
    # Outside there is one code and one text, whatever the reason.
    assert refused.value.code == MEMBERSHIP_REFUSED
    assert str(refused.value) == str(PermitRefused(WhyNot.OFF))
    assert isinstance(refused.value, RefusedError)
    return refused.value.why


def test_a_permit_is_believed_and_is_for_its_call() -> None:
    data = PERMIT.to_bytes()
    found = believe(data, ISSUER.kid, signature(data), believed(), T + 10)
    assert found == PERMIT
    check_permit(found, CALL)


CHANGES: dict[str, tuple[Any, WhyNot]] = {
    "requester": ("rival", WhyNot.REQUESTER),
    "provider": ("social", WhyNot.PROVIDER),
    "region": ("jining", WhyNot.REGION),
    "item": ("gas_fee", WhyNot.QUESTION),
    "key": (b"j" * 16, WhyNot.KEY),
    "count": (3, WhyNot.COUNT),
    "elements": (elements_digest(ELEMENTS[::-1]), WhyNot.ELEMENTS),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_permit_for_anything_else_is_none(name: str) -> None:
    other, reason = CHANGES[name]
    for permit, call in (
        (replace(PERMIT, **{name: other}), CALL),
        (PERMIT, replace(CALL, **{name: other})),
    ):
        with pytest.raises(PermitRefused) as refused:
            check_permit(permit, call)
        assert why(refused) is reason


@pytest.mark.parametrize(
    ("now", "reason"),
    [(T - 60, None), (T - 61, WhyNot.TIME), (T + PERMIT_S + 59, None), (T + PERMIT_S + 60, WhyNot.TIME)],
)
def test_a_permit_holds_for_minutes(now: int, reason: WhyNot | None) -> None:
    if reason is None:
        check_permit(PERMIT, replace(CALL, now=now))
        return
    with pytest.raises(PermitRefused) as refused:
        check_permit(PERMIT, replace(CALL, now=now))
    assert why(refused) is reason


@pytest.mark.parametrize("name", [field.name for field in fields(Permit)])
def test_every_field_is_signed(name: str) -> None:
    data = PERMIT.to_bytes()
    value = json.loads(data)
    value[name] = value[name] + 1 if isinstance(value[name], int) else value[name][:-1] + "0"
    changed = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    assert changed != data
    with pytest.raises(PermitRefused) as refused:
        believe(changed, ISSUER.kid, signature(data), believed(), T)
    assert why(refused) is WhyNot.SIGNATURE


def test_whose_word_is_taken() -> None:
    data, stranger = PERMIT.to_bytes(), Ed25519PrivateKey.generate()
    enterprise = Issuer(stranger.public_key().public_bytes_raw(), "enterprise", subject="91320100MA1MK00057")
    elsewhere = Issuer(stranger.public_key().public_bytes_raw(), "authority", name="elsewhere")
    foreign = signature(data, stranger)
    cases = (
        (believed(), ISSUER.kid, foreign, WhyNot.SIGNATURE),
        (believed(), enterprise.kid, foreign, WhyNot.ISSUER),
        (believed(ISSUER, enterprise), enterprise.kid, foreign, WhyNot.ISSUER),
        (believed(elsewhere), elsewhere.kid, foreign, WhyNot.ISSUER),
        (believed(), "", signature(data), WhyNot.ISSUER),
        # Signed with the right key, for another use: as a consent or a bare text.
        (believed(), ISSUER.kid, KEY.sign(data), WhyNot.SIGNATURE),
        # A key that was given up may still be on a list that is too old.
        (believed(heard_at=T - 301), ISSUER.kid, signature(data), WhyNot.STALE),
    )
    for known, kid, given, reason in cases:
        with pytest.raises(PermitRefused) as refused:
            believe(data, kid, given, known, T)
        assert why(refused) is reason


def test_only_the_one_form_is_read() -> None:
    good = json.loads(PERMIT.to_bytes())
    bad: list[dict[str, Any]] = [{key: value for key, value in good.items() if key != name} for name in good]
    bad += [good | {"more": 1}, good | {"format": "fedcredit-membership-permit/2"}, good | {"key": "K" * 32}]
    bad += [good | {"count": value} for value in (0, -1, (1 << 16) + 1, True, "2")]
    bad += [good | {"expires": value} for value in (T, T - 1, T + PERMIT_S + 1)]
    bad += [good | {"nonce": "00"}, good | {"provider": ""}, good | {"provider": 7}, good | {"item": "x" * 65}]
    texts = [json.dumps(value, sort_keys=True, separators=(",", ":")).encode() for value in bad]
    texts += [json.dumps(good).encode(), PERMIT.to_bytes() + b" ", b"", b"[]", b"null", b"{}", b"\xff"]
    for data in texts:
        with pytest.raises(PermitRefused) as refused:
            believe(data, ISSUER.kid, signature(data), believed(), T)
        assert why(refused) is WhyNot.MALFORMED, data
    assert Permit.parse(PERMIT.to_bytes()) == PERMIT
