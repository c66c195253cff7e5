"""Tokens in bulk: what native code reads of many is what Python reads of each, reason for reason."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

from consent_samples import ENTERPRISE, ISSUER, ISSUERS, KEY, consents
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.governance.consent import canonical
from fedcredit.governance.consent.bulk import read_many
from fedcredit.governance.consent.claims import Consent
from fedcredit.governance.consent.encoding import encode_text
from fedcredit.governance.consent.issuers import Issuer, Issuers
from fedcredit.governance.consent.refusal import ConsentRefused, Why
from fedcredit.governance.consent.token import MAX_TOKEN_BYTES, Envelope, issue

FOLDER = Path(__file__).resolve().parents[1] / "vectors" / "consent"
CORPUS: dict[str, Any] = json.loads((FOLDER / "tokens.json").read_text(encoding="utf-8"))
USES: dict[str, Any] = json.loads((FOLDER / "uses.json").read_text(encoding="utf-8"))
BELIEVED = Issuers(map(Issuer.from_json, CORPUS["issuers"]))
OWN = Issuer(KEY.public_key().public_bytes_raw(), "enterprise", subject=ENTERPRISE)

names = st.text(string.ascii_lowercase + "_-[]{}:0A", max_size=5)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2 * 10**15) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=2),
    max_leaves=6,
)


def one(token: str, issuers: Issuers) -> Consent | Why:
    try:
        return Envelope.read(token).claims_for(issuers)
    except ConsentRefused as refused:
        return refused.why


def signed(payload: bytes) -> str:
    header = canonical.write({"alg": "EdDSA", "kid": ISSUER.kid, "typ": "fedcredit-consent+jwt"})
    begin = f"{encode_text(header)}.{encode_text(payload)}"
    return f"{begin}.{encode_text(KEY.sign(begin.encode()))}"


@st.composite
def tokens(draw: st.DrawFn) -> str:
    """A token that is good, or damaged on its way, or says what no token says and is signed nonetheless."""
    consent = draw(consents())
    token = issue(consent, ISSUER, KEY.sign)
    damage = draw(st.sampled_from(["none", "character", "cut", "claim", "detail", "bytes"]))
    if damage == "character":
        at = draw(st.integers(0, len(token) - 1))
        return token[:at] + draw(st.characters(codec="utf-8")) + token[at + 1 :]
    if damage == "cut":
        return token[: draw(st.integers(0, len(token)))]
    said = json.loads(consent.to_payload())
    if damage in ("claim", "detail"):
        place = said if damage == "claim" else said["authorization_details"][0]
        name = draw(st.sampled_from(sorted(place)) | names)
        if draw(st.booleans()):
            place.pop(name, None)
        else:
            place[name] = draw(values)
        return signed(json.dumps(said, sort_keys=True, separators=(",", ":")).encode())
    if damage == "bytes":
        payload = consent.to_payload()
        at = draw(st.integers(0, len(payload)))
        return signed(payload[:at] + draw(st.binary(max_size=2)) + payload[at + draw(st.integers(0, 2)) :])
    return token


@given(st.lists(tokens(), max_size=2), st.sampled_from([ISSUERS, Issuers([OWN]), Issuers()]))
def test_many_are_read_as_each(given: list[str], issuers: Issuers) -> None:
    assert read_many(given, issuers) == [one(token, issuers) for token in given]


def test_the_corpus_is_read_as_it_says() -> None:
    found = read_many([case["token"] for case in CORPUS["cases"]], BELIEVED)
    for case, read in zip(CORPUS["cases"], found, strict=True):
        if case["code"] is None:
            assert isinstance(read, Consent), case["name"]
            assert json.loads(read.to_payload()) == case["payload"]
        else:
            assert read is Why(case["code"]), case["name"]
    used = [case["token"] for case in USES["cases"]]
    assert read_many(used, BELIEVED) == [one(token, BELIEVED) for token in used]


def test_what_is_no_text_or_too_long_is_refused_alone() -> None:
    good = CORPUS["cases"][0]["token"]
    strange = [
        good,
        "",
        "\ud800",
        f"{good}\udcff",
        good.replace(".", "。"),
        "A" * (MAX_TOKEN_BYTES + 1),
        "." * 4096,
        good,
    ]
    found = read_many(strange, BELIEVED)
    assert found == [one(token, BELIEVED) for token in strange]
    assert found[1:7] == [Why.MISSING, *[Why.MALFORMED] * 5]
    assert found[0] == found[7] == one(good, BELIEVED)
    assert read_many([], BELIEVED) == []


def test_consents_of_one_bank_have_one_scope() -> None:
    good = [case["token"] for case in CORPUS["cases"] if case["code"] is None]
    first, *_, last = read_many([good[0], good[1], good[0]], BELIEVED)
    assert isinstance(first, Consent)
    assert isinstance(last, Consent)
    assert first.scope is last.scope


def test_an_issuer_whose_key_is_no_point_signs_nothing() -> None:
    no_point = Issuer(b"\x02" + bytes(31), "authority", name="platform")
    good = CORPUS["cases"][0]["token"]
    header = canonical.write({"alg": "EdDSA", "kid": no_point.kid, "typ": "fedcredit-consent+jwt"})
    forged = f"{encode_text(header)}.{good.split('.')[1]}.{good.split('.')[2]}"
    issuers = Issuers([*BELIEVED, no_point])
    found = read_many([forged, good, "x"], issuers)
    assert found == [Why.SIGNATURE, one(good, issuers), Why.MALFORMED]
    assert isinstance(found[1], Consent)


def test_a_token_of_another_key_of_that_subject_is_not_believed() -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
    issuer = Issuer(other.public_key().public_bytes_raw(), "enterprise", subject=ENTERPRISE)
    consent = one(CORPUS["cases"][2]["token"], BELIEVED)
    assert isinstance(consent, Consent)
    token = issue(consent, issuer, other.sign)
    assert read_many([token, token], BELIEVED) == [Why.ISSUER] * 2
    assert read_many([token], Issuers([issuer])) == [consent]
