"""Tokens beyond the corpus: what is changed is refused, what is written is read, whoever else's JWS is none of ours."""

from __future__ import annotations

import json
import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from consent_samples import ENTERPRISE, ISSUER, ISSUERS, KEY, PERSON, PROPRIETOR, consents
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.errors import ConfigError, UsageError
from fedcredit.governance.consent import canonical
from fedcredit.governance.consent.claims import Consent, ConsentBy, Scope
from fedcredit.governance.consent.decision import Allowed, Premises, Refused, Use, decide, lapsed
from fedcredit.governance.consent.encoding import decode_text, encode_text
from fedcredit.governance.consent.explain import explained
from fedcredit.governance.consent.issuers import Issuer, Issuers, kid_of
from fedcredit.governance.consent.refusal import ConsentRefused, Why
from fedcredit.governance.consent.subjects import is_enterprise_code, is_person_number
from fedcredit.governance.consent.terms import Terms, Wording
from fedcredit.governance.consent.token import MAX_TOKEN_BYTES, Envelope, encode, fresh_jti, issue, revocation_id

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors"
CORPUS = Path(__file__).resolve().parents[1] / "vectors" / "consent"


@given(consents())
def test_what_is_written_is_read(consent: Consent) -> None:
    token = issue(consent, ISSUER, KEY.sign)
    assert len(token) <= MAX_TOKEN_BYTES
    envelope = Envelope.read(token)
    assert envelope.kid == ISSUER.kid
    assert envelope.claims_for(ISSUERS) == consent
    # The same consent has one payload, so the same key gives the same token.
    assert encode(consent, ISSUER.public_key, KEY.sign) == token
    assert dict(explained(consent, envelope.kid, 0, Wording("x", {}, {})))["subject"] == consent.subject


@given(consents(), st.data())
def test_no_change_of_a_character_passes(consent: Consent, data: st.DataObject) -> None:
    token = issue(consent, ISSUER, KEY.sign)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from(string.ascii_letters + string.digits + "-_.=+/ \n\x00é").filter(token[at].__ne__))
    for changed in (
        token[:at] + other + token[at + 1 :],
        token[:at] + token[at + 1 :],
        token[:at] + other + token[at:],
    ):
        if changed == token:
            continue
        with pytest.raises(ConsentRefused) as refused:
            Envelope.read(changed).claims_for(ISSUERS)
        assert refused.value.why in (Why.MALFORMED, Why.SIGNATURE, Why.ISSUER)


@given(st.binary(max_size=300))
def test_any_bytes_have_an_answer(data: bytes) -> None:
    for text in (data.decode("latin-1"), f"{encode_text(data)}.{encode_text(data)}.{encode_text(data)}"):
        with pytest.raises(ConsentRefused):
            Envelope.read(text).claims_for(ISSUERS)
    try:
        assert canonical.write(canonical.read(data)) == data
    except canonical.NotCanonical:
        return


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**14), 10**14) | st.text(string.ascii_letters + " {}[]:,", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(string.ascii_letters, max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(json_values)
def test_the_one_form_of_json_is_one(value: Any) -> None:
    try:
        data = canonical.write(value)
    except canonical.NotCanonical:
        return  # too deep
    assert canonical.read(data) == value
    for other in (b" " + data, data + b"\n", json.dumps(value, indent=1).encode()):
        if other != data:
            with pytest.raises(canonical.NotCanonical):
                canonical.read(other)


@given(st.binary(max_size=64))
def test_base64url_has_one_text_for_the_same_bytes(data: bytes) -> None:
    text = encode_text(data)
    assert decode_text(text, len(data)) == data
    for other in (text + "=", text + "A", text + "\n", text.replace("-", "+")):
        if other != text:
            try:
                assert decode_text(other) != data
            except ValueError:
                continue


@given(st.integers(0, 17), st.sampled_from("0123456789ABCDEFGHJKLMNPQRTUWXY"))
def test_check_characters_find_every_mistyped_character(at: int, other: str) -> None:
    for subject, valid in (
        (ENTERPRISE, is_enterprise_code),
        (PROPRIETOR, is_enterprise_code),
        (PERSON, is_person_number),
    ):
        assert valid(subject)
        if subject[at] != other:
            assert not valid(subject[:at] + other + subject[at + 1 :])


@given(consents(), st.data())
def test_a_use_is_allowed_only_as_a_whole(consent: Consent, data: st.DataObject) -> None:
    """Of every consent, the use that it is for; then with any one thing changed, it is refused."""
    token = issue(consent, ISSUER, KEY.sign)
    scope = consent.scope
    now = max(consent.not_before, min(consent.expires - 1, consent.issued_at))
    if consent.issued_at > now:
        return
    use = Use(
        requester=scope.requester,
        authority=consent.authority,
        subject=consent.subject,
        predicate=scope.predicates[0] if scope.predicates else "" if scope.models else "unlisted",
        items=frozenset(scope.items or (() if scope.models else ("Unlisted",))),
        model=scope.models[0] if scope.models else "",
        purpose=scope.purpose,
        now=now,
        uses=scope.max_uses - 1,
        person=consent.by is ConsentBy.PERSON,
    )
    premises = Premises(consent.providers[0], scope.region, ISSUERS, frozenset(), now)
    if consent.by is ConsentBy.ENTERPRISE and consent.subject == PROPRIETOR:
        assert decide(token, use, premises) == Refused(Why.PERSON)
        return
    assert decide(token, use, premises) == Allowed(consent)
    changes: list[tuple[Use, Premises, Why]] = [
        (replace(use, requester="Other"), premises, Why.REQUESTER),
        (replace(use, authority=bytes(31)), premises, Why.BINDING),
        (replace(use, subject="other"), premises, Why.SUBJECT),
        (replace(use, predicate="Other", items=frozenset({"Other"})), premises, Why.SCOPE),
        (replace(use, predicate="Other", items=use.items | {"Other"}), premises, Why.SCOPE),
        (replace(use, model="Other"), premises, Why.SCOPE),
        (replace(use, model="" if scope.models else "a"), premises, Why.SCOPE),
        (replace(use, purpose="Other"), premises, Why.PURPOSE),
        (replace(use, uses=scope.max_uses), premises, Why.USED_UP),
        (use, replace(premises, provider="Other"), Why.AUDIENCE),
        (use, replace(premises, region="Other"), Why.REGION),
        (use, replace(premises, issuers=Issuers()), Why.ISSUER),
        (use, replace(premises, revoked=frozenset({revocation_id(consent.jti)})), Why.REVOKED),
        (use, replace(premises, revocations_at=now - 301), Why.STALE),
        (replace(use, now=consent.expires + 60), replace(premises, revocations_at=consent.expires + 60), Why.EXPIRED),
    ]
    asked, known, why = data.draw(st.sampled_from(changes))
    assert decide(token, asked, known) == Refused(why)
    of_any = (Why.STALE, Why.REVOKED, Why.NOT_YET, Why.EXPIRED, Why.AUDIENCE)
    assert lapsed(consent, asked.now, known) == (Refused(why) if why in of_any else None)


@given(st.binary(max_size=200))
def test_terms_have_one_form(data: bytes) -> None:
    terms = Terms(
        subject=ENTERPRISE, requester="bank", providers=("tax",), purpose="financing", region="nanjing", items=("a",)
    )
    assert Terms.parse(terms.to_bytes()) == terms
    with pytest.raises(UsageError, match="CONSENT_TERMS"):
        Terms.parse(data)


def test_a_megabyte_is_refused_before_it_is_looked_at() -> None:
    for text in ("A" * (1 << 20), "." * (1 << 20), f"{'A' * (1 << 19)}.{'A' * (1 << 19)}.AAAA"):
        with pytest.raises(ConsentRefused, match="TOKEN_MALFORMED"):
            Envelope.read(text)


def test_names_of_consents_are_never_the_same() -> None:
    names = {fresh_jti() for _ in range(1000)}
    assert len(names) == 1000
    # `consent revoke NAME` would look for an option of that name.
    assert not [name for name in names if name.startswith("-")]


def test_a_consent_longer_than_a_token_may_be_is_not_issued() -> None:
    scope = Scope(
        requester="bank",
        purpose="financing",
        region="nanjing",
        predicates=tuple(f"{'p' * 60}{n:03}" for n in range(64)),
    )
    consent = Consent(
        issuer="platform",
        subject=ENTERPRISE,
        providers=("tax",),
        jti="A" * 22,
        issued_at=0,
        not_before=0,
        expires=1,
        authority=bytes(32),
        by=ConsentBy.ENTERPRISE,
        disclosure=bytes(32),
        scope=scope,
    )
    with pytest.raises(ConsentRefused, match="longer than 4096"):
        issue(consent, ISSUER, KEY.sign)


# -- published vectors ---------------------------------------------------------------------------------------------


def jws_vectors() -> list[Any]:
    path = VECTORS / "wycheproof" / "json_web_signature_test.json"
    if not path.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason="needs ../shared/vectors"))]
    found = json.loads(path.read_text())
    return [
        pytest.param(test, id=f"{group['comment']}-{test['tcId']}")
        for group in found["testGroups"]
        for test in group["tests"]
    ]


@pytest.mark.shared
@pytest.mark.parametrize("test", jws_vectors())
def test_every_jws_of_wycheproof_is_none_of_ours(test: dict[str, Any]) -> None:
    """All are of other algorithms or broken: tests/vectors/consent/wycheproof.md says what that shows, and what not."""
    text = test["jws"] if isinstance(test["jws"], str) else json.dumps(test["jws"])
    with pytest.raises(ConsentRefused) as refused:
        Envelope.read(text)
    assert refused.value.why is (Why.MALFORMED if text else Why.MISSING)


@pytest.mark.shared
def test_the_defects_of_wycheproofs_base64_group_are_defects_of_ours() -> None:
    """The same defects, carried over to a token of ours, which otherwise is good."""
    path = VECTORS / "wycheproof" / "json_web_signature_test.json"
    if not path.exists():
        pytest.skip("needs ../shared/vectors")
    group = next(g for g in json.loads(path.read_text())["testGroups"] if g["comment"] == "base64")
    cases = json.loads((CORPUS / "tokens.json").read_text(encoding="utf-8"))
    good, issuers = cases["cases"][0]["token"], Issuers(map(Issuer.from_json, cases["issuers"]))
    assert Envelope.read(good).claims_for(issuers)
    carried = 0
    for test in group["tests"]:
        if test["result"] != "invalid":
            continue
        for part, text in enumerate(test["jws"].split(".")):
            strange = {c for c in text if not (c.isascii() and (c.isalnum() or c in "-_"))}
            for character in strange:
                parts = good.split(".")
                parts[part % 3] += character
                with pytest.raises(ConsentRefused, match="TOKEN_MALFORMED"):
                    Envelope.read(".".join(parts)).claims_for(issuers)
                carried += 1
    assert carried > 5


@pytest.mark.shared
def test_signatures_are_checked_as_wycheproof_says() -> None:
    path = VECTORS / "wycheproof" / "ed25519_test.json"
    if not path.exists():
        pytest.skip("needs ../shared/vectors")
    count = 0
    for group in json.loads(path.read_text())["testGroups"]:
        public = bytes.fromhex(group["publicKey"]["pk"])
        issuer = Issuer(public, "authority", name="platform")
        for test in group["tests"]:
            right = issuer.verified(bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"]))
            assert right is (test["result"] == "valid"), test["tcId"]
            count += 1
    assert count > 100


@pytest.mark.shared
def test_signatures_are_checked_strictly() -> None:
    """Of CCTV's edge cases, those pass that `verify_strict` of ed25519-dalek lets pass: no point of small order."""
    path = VECTORS / "cctv" / "ed25519vectors.json"
    if not path.exists():
        pytest.skip("needs ../shared/vectors")
    seen = {True: 0, False: 0}
    for case in json.loads(path.read_text()):
        flags = set(case["flags"] or ())
        small = bool(flags & {"low_order_A", "low_order_R"})
        key = bytes.fromhex(case["key"])
        if "low_order_A" in flags:
            with pytest.raises(ConfigError, match="CONSENT_KEY"):
                Issuer(key, "authority", name="platform")
            seen[False] += 1
            continue
        issuer = Issuer(key, "authority", name="platform")
        right = issuer.verified(bytes.fromhex(case["sig"]), case["msg"].encode())
        if small or flags & {"low_order_residue", "non_canonical_R", "non_canonical_A"}:
            # Without the cofactor the equation does not hold where a residue is left.
            assert not right, case["number"]
        seen[right] += 1
    assert seen[False] > 500
    assert kid_of(bytes(32)) != kid_of(bytes(31) + b"\x01")
