"""Writes consent/tokens.json and consent/uses.json: good and bad consent tokens, and what every reader says of them.

    PYTHONPATH=. python tests/vectors/make_consent.py

Keys come from their names and times are fixed, so it writes the same bytes each time. Bad tokens are put together here
from bytes, not by the code that is tested; what is expected is written down by hand.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FOLDER = Path(__file__).parent / "consent"
ABOUT_TOKENS = (
    "Consent tokens as docs/consent.md has them. `code` is what a reader that believes `issuers` says of the token "
    "alone; null: it is believed, and says `payload`. Made by make_consent.py."
)
ABOUT_USES = (
    "Uses of consent tokens. `use` is the question and its caller, or the score where it names a `model`; `premises` "
    "what the node knows; `code` null: allowed. `authority` is hexadecimal SHA-256 of the caller's authority; "
    "`revoked` holds the first 16 bytes of the SHA-256 of the jti's text. Made by make_consent.py."
)

NOW = 1_790_000_000
DAY = 86_400
ENTERPRISE, OTHER, PROPRIETOR = "91320100MA1MK00057", "91370800MA3C00008B", "92320104MA1P000063"
PERSON = "11010519491231002X"
L = 2**252 + 27742317777372353535851937790883648493

Json = dict[str, Any]


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"fedcredit consent {name}".encode()).digest())


def public(name: str) -> bytes:
    return key(name).public_key().public_bytes_raw()


def kid(name: str) -> str:
    return hashlib.sha256(public(name)).hexdigest()[:32]


def jti(name: str) -> str:
    return b64(hashlib.sha256(f"jti {name}".encode()).digest()[:16])


def revocation(name: str) -> str:
    return hashlib.sha256(jti(name).encode()).hexdigest()[:32]


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


AUTHORITY = hashlib.sha256(b"authority of bank").digest()
OTHER_AUTHORITY = hashlib.sha256(b"authority of insurer").digest()
ISSUERS = [
    {"kid": kid("platform"), "kind": "authority", "name": "platform", "public_key": b64(public("platform"))},
    {"kid": kid("next"), "kind": "authority", "name": "platform", "public_key": b64(public("next"))},
    {"kid": kid("enterprise"), "kind": "enterprise", "public_key": b64(public("enterprise")), "subject": ENTERPRISE},
    {"kid": kid("proprietor"), "kind": "enterprise", "public_key": b64(public("proprietor")), "subject": PROPRIETOR},
]
CLAIMS: Json = {
    "iss": "platform",
    "sub": ENTERPRISE,
    "aud": ["housing_fund", "tax"],
    "jti": jti("one"),
    "iat": NOW - DAY,
    "nbf": NOW - DAY,
    "exp": NOW + 30 * DAY,
    "cnf": {"x5t#S256": b64(AUTHORITY)},
    "consent_by": "enterprise",
    "disclosure": b64(hashlib.sha256(b"text that was shown").digest()),
    "authorization_details": [
        {
            "type": "fedcredit-verification",
            "requester": "bank",
            "purpose": "financing",
            "region": "nanjing",
            "items": ["enterprise_property_mortgage", "enterprise_property_registration"],
            "predicates": ["hf_continuous_k", "tax_grade_a"],
            "max_uses": 5,
        }
    ],
}


SCORES: Json = {
    "type": "fedcredit-score",
    "requester": "bank",
    "purpose": "financing",
    "region": "nanjing",
    "models": ["growth", "sme-default"],
    "max_uses": 5,
}
SCORE_CLAIMS: Json = {**CLAIMS, "jti": jti("scores"), "authorization_details": [SCORES]}


def header(name: str = "platform", **changes: Any) -> Json:
    return {"alg": "EdDSA", "kid": kid(name), "typ": "fedcredit-consent+jwt", **changes}


def signed(head: bytes, payload: bytes, by: str = "platform") -> str:
    begin = f"{b64(head)}.{b64(payload)}"
    return f"{begin}.{b64(key(by).sign(begin.encode()))}"


def token(claims: Json, by: str = "platform") -> str:
    return signed(canonical(header(by)), canonical(claims), by)


def changed(path: str, value: Any, base: Json = CLAIMS) -> Json:
    """The claims with another value at `path`; None removes what is there."""
    claims = copy.deepcopy(base)
    place: Any = claims
    *before, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    for part in before:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return claims


GOOD = token(CLAIMS)
HEAD, PAYLOAD, SIGNATURE = GOOD.split(".")
PLAIN = canonical(CLAIMS)
DETAILS = "authorization_details/0"


def forms() -> list[tuple[str, str]]:
    """Tokens whose form is wrong, whatever they say and whoever signed them."""
    rsa_mix = canonical(header(alg="RS256"))
    spaced = json.dumps(CLAIMS, sort_keys=True).encode()
    twice = PLAIN.replace(b'"aud":', b'"aud":["tax"],"aud":', 1)
    escaped = PLAIN.replace(b'"bank"', b'"\\u0062ank"', 1)
    deep = b'{"aud":' + b"[" * 1000 + b"]" * 1000 + b"}"
    tail = SIGNATURE[-1]
    # The last character of 64 bytes has four bits that mean nothing.
    other = next(c for c in "BCDEFGHIJKLMNOPhijklmnop" if c != tail and (ord(c) - ord(tail)) % 64 < 16)
    made = [
        ("alg none, signed", signed(canonical(header(alg="none")), PLAIN)),
        ("alg none, no signature", f"{b64(canonical(header(alg='none')))}.{PAYLOAD}."),
        ("alg NONE", f"{b64(canonical(header(alg='NONE')))}.{PAYLOAD}."),
        ("alg HS256 with the public key as its secret", hmac_token()),
        ("alg RS256", signed(rsa_mix, PLAIN)),
        ("alg ES256", signed(canonical(header(alg="ES256")), PLAIN)),
        ("alg PS256", signed(canonical(header(alg="PS256")), PLAIN)),
        ("alg Ed25519", signed(canonical(header(alg="Ed25519")), PLAIN)),
        ("alg eddsa", signed(canonical(header(alg="eddsa")), PLAIN)),
        ("alg a list", signed(canonical(header(alg=["EdDSA"])), PLAIN)),
        ("no alg", signed(canonical({k: v for k, v in header().items() if k != "alg"}), PLAIN)),
        ("no kid", signed(canonical({k: v for k, v in header().items() if k != "kid"}), PLAIN)),
        ("no typ", signed(canonical({k: v for k, v in header().items() if k != "typ"}), PLAIN)),
        ("typ JWT", signed(canonical(header(typ="JWT")), PLAIN)),
        ("typ in capitals", signed(canonical(header(typ="FEDCREDIT-CONSENT+JWT")), PLAIN)),
        ("kid a path", signed(canonical(header(kid="../../../../dev/null")), PLAIN)),
        ("kid a URL", signed(canonical(header(kid="https://example.org/key")), PLAIN)),
        ("kid SQL", signed(canonical(header(kid="' OR 1=1 --")), PLAIN)),
        ("kid in capitals", signed(canonical(header(kid=kid("platform").upper())), PLAIN)),
        ("kid too short", signed(canonical(header(kid=kid("platform")[:30])), PLAIN)),
        ("kid a number", signed(canonical(header(kid=1)), PLAIN)),
        ("header jku", signed(canonical(header(jku="https://example.org/keys")), PLAIN)),
        ("header x5u", signed(canonical(header(x5u="https://example.org/chain")), PLAIN)),
        ("header x5c", signed(canonical(header(x5c=["MIIB"])), PLAIN)),
        (
            "header jwk",
            signed(canonical(header(jwk={"crv": "Ed25519", "kty": "OKP", "x": b64(public("foreign"))})), PLAIN),
        ),
        ("header crit", signed(canonical(header(crit=["exp"], exp=1)), PLAIN)),
        ("header b64 false", signed(canonical(header(b64=False, crit=["b64"])), PLAIN)),
        ("header zip", signed(canonical(header(zip="DEF")), PLAIN)),
        ("header cty", signed(canonical(header(cty="JWT")), PLAIN)),
        (
            "header not in order",
            signed(json.dumps({"typ": "fedcredit-consent+jwt", **header()}, separators=(",", ":")).encode(), PLAIN),
        ),
        ("header with blanks", signed(json.dumps(header(), sort_keys=True).encode(), PLAIN)),
        ("header with alg twice", signed(canonical(header()).replace(b"{", b'{"alg":"none",', 1), PLAIN)),
        ("header a list", signed(b"[]", PLAIN)),
        ("header empty", f".{PAYLOAD}.{SIGNATURE}"),
        ("header not UTF-8", signed(b"\xff\xfe", PLAIN)),
        ("payload empty", signed(canonical(header()), b"")),
        ("payload no JSON", signed(canonical(header()), b"no JSON")),
        ("payload cut short", signed(canonical(header()), PLAIN[:-1])),
        ("payload with blanks", signed(canonical(header()), spaced)),
        ("payload with a line feed at its end", signed(canonical(header()), PLAIN + b"\n")),
        ("payload not in order", signed(canonical(header()), json.dumps(CLAIMS, separators=(",", ":")).encode())),
        ("payload with a key twice", signed(canonical(header()), twice)),
        (
            "payload with a key twice, inside",
            signed(canonical(header()), PLAIN.replace(b'"max_uses":5', b'"max_uses":5,"max_uses":5')),
        ),
        ("payload with an escape", signed(canonical(header()), escaped)),
        (
            "payload with other characters",
            signed(
                canonical(header()),
                json.dumps(changed("iss", "平台"), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(),
            ),
        ),
        ("payload with a byte order mark", signed(canonical(header()), b"\xef\xbb\xbf" + PLAIN)),
        ("payload with a NUL", signed(canonical(header()), PLAIN.replace(b"bank", b"ba\x00k"))),
        ("payload with a fraction", signed(canonical(header()), PLAIN.replace(b'"max_uses":5', b'"max_uses":5.5'))),
        ("payload with an exponent", signed(canonical(header()), PLAIN.replace(b'"max_uses":5', b'"max_uses":5e0'))),
        ("payload with a leading zero", signed(canonical(header()), PLAIN.replace(b'"max_uses":5', b'"max_uses":05'))),
        ("payload with minus zero", signed(canonical(header()), PLAIN.replace(b'"max_uses":5', b'"max_uses":-0'))),
        (
            "payload with an endless number",
            signed(canonical(header()), PLAIN.replace(b'"max_uses":5', b'"max_uses":' + b"9" * 400)),
        ),
        ("payload with NaN", signed(canonical(header()), PLAIN.replace(b'"max_uses":5', b'"max_uses":NaN'))),
        ("payload very deep", signed(canonical(header()), deep)),
        ("payload with a comment", signed(canonical(header()), PLAIN + b"/**/")),
        ("two payloads", signed(canonical(header()), PLAIN + PLAIN)),
        ("extra segment", GOOD + "."),
        ("extra segment with content", f"{GOOD}.{SIGNATURE}"),
        ("five segments, as encrypted ones have", f"{HEAD}.{PAYLOAD}.{PAYLOAD}.{PAYLOAD}.{SIGNATURE}"),
        ("two segments", f"{HEAD}.{PAYLOAD}"),
        ("one segment", HEAD),
        ("only dots", ".."),
        ("JSON serialization", json.dumps({"payload": PAYLOAD, "protected": HEAD, "signature": SIGNATURE})),
        ("blank before", " " + GOOD),
        ("line feed after", GOOD + "\n"),
        ("padded signature", GOOD + "=="),
        ("padded header", f"{HEAD}=.{PAYLOAD}.{SIGNATURE}"),
        ("blank inside", f"{HEAD}. {PAYLOAD}.{SIGNATURE}"),
        ("standard alphabet", standard_alphabet()),
        ("signature with bits that mean nothing", GOOD[:-1] + other),
        ("signature of one character more", GOOD + "A"),
        ("signature empty", f"{HEAD}.{PAYLOAD}."),
        ("signature too short", f"{HEAD}.{PAYLOAD}.{b64(bytes(63))}"),
        ("signature too long", f"{HEAD}.{PAYLOAD}.{b64(bytes(65))}"),
        ("other characters", GOOD[:-1] + "Ａ"),
        ("payload deep behind a text that closes brackets", signed(canonical(header()), hidden_depth())),
        ("longer than 4096 bytes", token(changed(f"{DETAILS}/predicates", [f"{'p' * 60}{n:04}" for n in range(64)]))),
        ("garbage of 4097 bytes", "A" * 4097),
        ("garbage", "garbage"),
    ]
    return made


def hidden_depth() -> bytes:
    """Nine levels after a text with brackets that close, so that a count over all bytes finds fewer."""
    return PLAIN.replace(b'"purpose":"financing"', b'"purpose":["]]]]",' + b"[" * 6 + b"]" * 6 + b"]", 1)


def hmac_token() -> str:
    begin = f"{b64(canonical(header(alg='HS256')))}.{PAYLOAD}"
    return f"{begin}.{b64(hmac.digest(public('platform'), begin.encode(), 'sha256'))}"


def standard_alphabet() -> str:
    """A signature with + and / where base64url has - and _; some jti gives one."""
    for number in range(1000):
        found = token(changed("jti", jti(f"alphabet {number}")))
        begin, _, last = found.rpartition(".")
        if "-" in last and "_" in last:
            return f"{begin}.{last.replace('-', '+').replace('_', '/')}"
    raise AssertionError("no signature with both")


def claims() -> list[tuple[str, Json]]:
    """Claims that are missing, unknown, or of another form."""
    found = [(f"{name} is missing", changed(name, None)) for name in CLAIMS]
    found += [(f"{name} is null", {**CLAIMS, name: None}) for name in CLAIMS]
    found += [(f"{name} is empty", {**CLAIMS, name: ""}) for name in ("iss", "sub", "jti", "disclosure", "consent_by")]
    found += [
        (f"{name} is a list", {**CLAIMS, name: [CLAIMS[name]]}) for name in ("iss", "sub", "jti", "exp", "nbf", "cnf")
    ]
    found += [(f"{name} is text", {**CLAIMS, name: str(CLAIMS[name])}) for name in ("iat", "nbf", "exp")]
    found += [(f"{name} is a flag", {**CLAIMS, name: True}) for name in ("iat", "nbf", "exp", "aud")]
    found += [(f"{name} is negative", {**CLAIMS, name: -1}) for name in ("iat", "nbf", "exp")]
    details = CLAIMS["authorization_details"][0]
    found += [(f"{name} of the details is missing", changed(f"{DETAILS}/{name}", None)) for name in details]
    for name, path, value in (
        ("exp after the year 9999", "exp", 253_402_300_800),
        ("an unknown claim", "nonce", "x"),
        ("an unknown detail", f"{DETAILS}/fields", []),
        ("an unknown confirmation", "cnf/jkt", b64(AUTHORITY)),
        ("another confirmation", "cnf", {"jkt": b64(AUTHORITY)}),
        ("iss in capitals", "iss", "Platform"),
        ("iss too long", "iss", "p" * 33),
        ("sub in small letters", "sub", ENTERPRISE.lower()),
        ("sub with a wrong check character", "sub", ENTERPRISE[:-1] + "9"),
        ("sub too short", "sub", ENTERPRISE[:-1]),
        ("sub with a letter that codes do not have", "sub", "91320100MI1MK00057"),
        ("sub a person's number, by the enterprise", "sub", PERSON),
        ("aud a text", "aud", "tax"),
        ("aud empty", "aud", []),
        ("aud with an empty name", "aud", [""]),
        ("aud with a number", "aud", [1]),
        ("aud with a name twice", "aud", ["tax", "tax"]),
        ("aud not in order", "aud", ["tax", "housing_fund"]),
        ("aud of 17", "aud", [f"p{n:02}" for n in range(17)]),
        ("aud with a star", "aud", ["*"]),
        ("jti too short", "jti", jti("one")[:-1]),
        ("jti too long", "jti", jti("one") + "A"),
        ("jti with bits that mean nothing", "jti", jti("one")[:-1] + "B"),
        ("cnf too short", "cnf", {"x5t#S256": b64(AUTHORITY[:31])}),
        ("cnf in hexadecimal", "cnf", {"x5t#S256": AUTHORITY.hex()}),
        ("cnf empty", "cnf", {}),
        ("consent by anybody", "consent_by", "anybody"),
        ("disclosure too short", "disclosure", b64(b"x" * 31)),
        ("no details", "authorization_details", []),
        ("two details", "authorization_details", [details, details]),
        ("details an object", "authorization_details", details),
        ("details of a text", "authorization_details", ["x"]),
        ("details of another type", f"{DETAILS}/type", "payment_initiation"),
        ("requester with a blank", f"{DETAILS}/requester", "the bank"),
        ("purpose empty", f"{DETAILS}/purpose", ""),
        ("purpose a list", f"{DETAILS}/purpose", ["financing"]),
        ("region in capitals", f"{DETAILS}/region", "Nanjing"),
        ("items a text", f"{DETAILS}/items", "enterprise_property_registration"),
        ("items not in order", f"{DETAILS}/items", ["b", "a"]),
        ("predicates with a name twice", f"{DETAILS}/predicates", ["a", "a"]),
        ("65 predicates", f"{DETAILS}/predicates", [f"p{n:02}" for n in range(65)]),
        ("predicates with a name of 65 characters", f"{DETAILS}/predicates", ["p" * 65]),
        ("max_uses nothing", f"{DETAILS}/max_uses", 0),
        ("max_uses negative", f"{DETAILS}/max_uses", -1),
        ("max_uses more than a million", f"{DETAILS}/max_uses", 1_000_001),
        ("max_uses text", f"{DETAILS}/max_uses", "5"),
        ("max_uses a flag", f"{DETAILS}/max_uses", True),
    ):
        found.append((name, changed(path, value)))
    both = changed(f"{DETAILS}/items", [])
    found.append(("neither items nor predicates", changed(f"{DETAILS}/predicates", [], both)))
    found.append(("payload an empty object", {}))
    wrong = {**CLAIMS, "sub": PERSON[:-1] + "0", "consent_by": "person"}
    found.append(("a person's number with a wrong check character", wrong))
    hidden = changed(f"{DETAILS}/purpose", "]]]")
    found.append(("brackets in a text", hidden))
    return found + scores()


def scores() -> list[tuple[str, Json]]:
    """Details for scores that are of another form, or of two kinds."""
    questions = CLAIMS["authorization_details"][0]
    found = [(f"{name} of a score is missing", changed(f"{DETAILS}/{name}", None, SCORE_CLAIMS)) for name in SCORES]
    for name, path, value in (
        ("models empty", "models", []),
        ("models a text", "models", "sme-default"),
        ("models an object", "models", {}),
        ("models with a number", "models", [1]),
        ("models with an empty name", "models", [""]),
        ("models not in order", "models", ["sme-default", "growth"]),
        ("models with a name twice", "models", ["growth", "growth"]),
        ("models with a star", "models", ["*"]),
        ("models with a capital", "models", ["Growth"]),
        ("models with a version", "models", ["growth/1"]),
        ("models that begin with a hyphen", "models", ["-growth"]),
        ("models with a name of 33 characters", "models", ["m" * 33]),
        ("65 models", "models", [f"m{n:02}" for n in range(65)]),
        ("models and predicates", "predicates", ["hf_continuous_k"]),
        ("models and no predicates", "predicates", []),
        ("models and items", "items", ["enterprise_property_registration"]),
        ("a score of the type for questions", "type", "fedcredit-verification"),
        ("a score of another type", "type", "fedcredit-scores"),
        ("a score of a type that is an object", "type", {}),
        ("a score with an unknown detail", "version", 1),
        ("a score's requester with a blank", "requester", "the bank"),
        ("a score's max_uses nothing", "max_uses", 0),
    ):
        found.append((name, changed(f"{DETAILS}/{path}", value, SCORE_CLAIMS)))
    found.append(("questions of the type for scores", changed(f"{DETAILS}/type", "fedcredit-score")))
    found.append(("models beside predicates and items", changed(f"{DETAILS}/models", ["growth"])))
    found.append(("details for questions, and for scores", changed("authorization_details", [questions, SCORES])))
    found.append(("details for scores twice", changed("authorization_details", [SCORES, SCORES])))
    return found


def weak_signature() -> str:
    """A signature with R of order 1 and S = k a: it passes RFC 8032's equation, and shows that R was no commitment."""
    secret = hashlib.sha512(key("platform").private_bytes_raw()).digest()[:32]
    scalar = int.from_bytes(secret, "little") & ~7 & ((1 << 254) - 1) | (1 << 254)
    begin = f"{HEAD}.{PAYLOAD}".encode()
    r = (1).to_bytes(32, "little")
    k = int.from_bytes(hashlib.sha512(r + public("platform") + begin).digest(), "little") % L
    return f"{begin.decode()}.{b64(r + (k * scalar % L).to_bytes(32, 'little'))}"


def signatures() -> list[tuple[str, str]]:
    """Tokens of a right form with a signature that is not over them."""
    raw = base64.urlsafe_b64decode(SIGNATURE + "==")
    s = int.from_bytes(raw[32:], "little")
    begin = f"{HEAD}.{PAYLOAD}"
    return [
        ("signed by another key", signed(canonical(header()), PLAIN, "foreign")),
        ("signed by the authority's next key", signed(canonical(header()), PLAIN, "next")),
        ("signature of zeros", f"{begin}.{b64(bytes(64))}"),
        ("first bit of the signature changed", f"{begin}.{b64(bytes([raw[0] ^ 1]) + raw[1:])}"),
        ("last byte of R changed", f"{begin}.{b64(raw[:31] + bytes([raw[31] ^ 128]) + raw[32:])}"),
        ("S one more", f"{begin}.{b64(raw[:32] + ((s + 1) % L).to_bytes(32, 'little'))}"),
        ("S plus the order", f"{begin}.{b64(raw[:32] + (s + L).to_bytes(32, 'little'))}"),
        ("R of small order", weak_signature()),
        ("payload of another token", f"{HEAD}.{token(changed('jti', jti('two'))).split('.')[1]}.{SIGNATURE}"),
        ("signed without the header", f"{begin}.{b64(key('platform').sign(PAYLOAD.encode()))}"),
        ("signed before it was encoded", f"{begin}.{b64(key('platform').sign(PLAIN))}"),
        ("not signed and of a wrong payload", f"{HEAD}.{b64(b'no JSON')}.{SIGNATURE}"),
    ]


def issuers() -> list[tuple[str, str]]:
    """Tokens that somebody signed who may not."""
    own = {**CLAIMS, "iss": "enterprise"}
    person = {**own, "consent_by": "person"}
    return [
        ("signed by a key that nobody knows", token(CLAIMS, "foreign")),
        ("an authority that is another party", token({**CLAIMS, "iss": "bank"})),
        ("an authority that says it is an enterprise", token(own)),
        ("an enterprise's key that says it is the authority", token(CLAIMS, "enterprise")),
        ("an enterprise's key about another enterprise", token({**own, "sub": OTHER}, "enterprise")),
        ("an enterprise's key about a sole proprietor", token({**person, "sub": PROPRIETOR}, "enterprise")),
        ("an enterprise's key that gives a person's consent", token(person, "enterprise")),
        ("an enterprise's key about a person", token({**person, "sub": PERSON}, "enterprise")),
    ]


def good() -> list[tuple[str, Json, str]]:
    """Tokens that are believed."""
    proprietor = {**CLAIMS, "sub": PROPRIETOR, "consent_by": "person"}
    most = changed(f"{DETAILS}/max_uses", 1_000_000)
    return [
        ("as issued by the authority", CLAIMS, "platform"),
        ("as issued with the authority's next key", CLAIMS, "next"),
        ("as issued by the enterprise itself", {**CLAIMS, "iss": "enterprise"}, "enterprise"),
        ("of a sole proprietor", proprietor, "platform"),
        ("as issued by the sole proprietor", {**proprietor, "iss": "enterprise"}, "proprietor"),
        ("of a person", {**CLAIMS, "sub": PERSON, "consent_by": "person"}, "platform"),
        ("a person's about an enterprise", {**CLAIMS, "consent_by": "person"}, "platform"),
        ("for items alone", changed(f"{DETAILS}/predicates", []), "platform"),
        ("for predicates alone", changed(f"{DETAILS}/items", []), "platform"),
        ("for one use", changed(f"{DETAILS}/max_uses", 1), "platform"),
        ("for a million uses", most, "platform"),
        ("for 16 providers", {**CLAIMS, "aud": [f"p{n:02}" for n in range(16)]}, "platform"),
        ("for 366 days", {**CLAIMS, "exp": CLAIMS["nbf"] + 366 * DAY}, "platform"),
        ("for one second", {**CLAIMS, "exp": CLAIMS["nbf"] + 1}, "platform"),
        ("with 64 predicates", changed(f"{DETAILS}/predicates", [f"p{n:02}" for n in range(64)]), "platform"),
        ("of the year 1970", {**CLAIMS, "iat": 0, "nbf": 0, "exp": 1}, "platform"),
        ("for scores of two models", SCORE_CLAIMS, "platform"),
        ("for scores, as issued by the enterprise itself", {**SCORE_CLAIMS, "iss": "enterprise"}, "enterprise"),
        ("for scores of a person", {**SCORE_CLAIMS, "sub": PERSON, "consent_by": "person"}, "platform"),
        (
            "for scores of 64 models",
            changed(f"{DETAILS}/models", [f"{'m' * 30}{n:02}" for n in range(64)], SCORE_CLAIMS),
            "platform",
        ),
        ("for scores of models with all characters", changed(f"{DETAILS}/models", ["a-_0"], SCORE_CLAIMS), "platform"),
    ]


def lifetimes() -> list[tuple[str, Json]]:
    """Tokens that end before they begin, or too late."""
    return [
        ("ends when it begins", {**CLAIMS, "exp": CLAIMS["nbf"]}),
        ("ends before it begins", {**CLAIMS, "exp": CLAIMS["nbf"] - 1}),
        ("holds for 366 days and a second", {**CLAIMS, "exp": CLAIMS["nbf"] + 366 * DAY + 1}),
        ("never ends", {**CLAIMS, "exp": 253_402_300_799}),
    ]


def tokens() -> Json:
    cases: list[Json] = [
        {"name": name, "token": token(what, by), "code": None, "payload": what} for name, what, by in good()
    ]
    groups: list[tuple[str, list[tuple[str, str]]]] = [
        ("CONSENT_MISSING", [("nothing", "")]),
        ("TOKEN_MALFORMED", forms()),
        ("CONSENT_ISSUER", issuers()),
        ("CONSENT_SIGNATURE", signatures()),
        ("CONSENT_CLAIM", [(name, token(what)) for name, what in claims()]),
        ("CONSENT_LIFETIME", [(name, token(what)) for name, what in lifetimes()]),
    ]
    cases += [{"name": name, "token": text, "code": code} for code, group in groups for name, text in group]
    return {"about": ABOUT_TOKENS, "issuers": ISSUERS, "cases": cases}


PREMISES: Json = {
    "provider": "housing_fund",
    "region": "nanjing",
    "issuers": ISSUERS,
    "revoked": sorted([revocation("revoked"), revocation("another")]),
    "revocations_at": NOW - 60,
    "revocations_max_age_s": 300,
}
USE: Json = {
    "requester": "bank",
    "authority": AUTHORITY.hex(),
    "subject": ENTERPRISE,
    "predicate": "hf_continuous_k",
    "items": ["housing_fund_contribution"],
    "purpose": "financing",
    "now": NOW,
    "uses": 0,
    "person": False,
}

SCORE: Json = {"model": "growth", "predicate": "", "items": []}
"""Of a use: a score, and no question."""


def uses() -> Json:
    proprietor = {**CLAIMS, "sub": PROPRIETOR}
    person = {**CLAIMS, "sub": PERSON, "consent_by": "person"}
    registration, mortgage = "enterprise_property_registration", "enterprise_property_mortgage"
    rows: list[tuple[str, Json, Json, Json, str | None]] = [
        ("covered by its predicate", CLAIMS, {}, {}, None),
        ("covered by its item", CLAIMS, {"predicate": "prop_owned", "items": [registration]}, {}, None),
        ("covered by its two items", CLAIMS, {"predicate": "prop_free", "items": [registration, mortgage]}, {}, None),
        ("the last use", CLAIMS, {"uses": 4}, {}, None),
        ("a minute before it begins", {**CLAIMS, "nbf": NOW + 60}, {}, {}, None),
        ("just under a minute after it ended", {**CLAIMS, "exp": NOW - 59}, {}, {}, None),
        ("issued a minute ahead", {**CLAIMS, "iat": NOW + 60}, {}, {}, None),
        ("a list of revocations of five minutes ago", CLAIMS, {}, {"revocations_at": NOW - 300}, None),
        ("a list of revocations from a clock that is ahead", CLAIMS, {}, {"revocations_at": NOW + 30}, None),
        ("a sole proprietor's own consent", {**proprietor, "consent_by": "person"}, {"subject": PROPRIETOR}, {}, None),
        ("a person's own consent", person, {"subject": PERSON, "person": True}, {}, None),
        ("no token", {}, {}, {}, "CONSENT_MISSING"),
        ("a list of revocations that is too old", CLAIMS, {}, {"revocations_at": NOW - 301}, "CONSENT_STALE"),
        ("no list of revocations", CLAIMS, {}, {"revocations_at": 0}, "CONSENT_STALE"),
        ("revoked", {**CLAIMS, "jti": jti("revoked")}, {}, {}, "CONSENT_REVOKED"),
        (
            "revoked, issued by the enterprise",
            {**CLAIMS, "jti": jti("revoked"), "iss": "enterprise"},
            {},
            {},
            "CONSENT_REVOKED",
        ),
        ("does not hold yet", {**CLAIMS, "nbf": NOW + 61}, {}, {}, "CONSENT_NOT_YET"),
        ("issued in the future", {**CLAIMS, "iat": NOW + 61}, {}, {}, "CONSENT_NOT_YET"),
        ("expired a minute ago", {**CLAIMS, "exp": NOW - 60}, {}, {}, "CONSENT_EXPIRED"),
        ("expired long ago", {**CLAIMS, "nbf": NOW - 9 * DAY, "exp": NOW - 3 * DAY}, {}, {}, "CONSENT_EXPIRED"),
        ("for other providers", {**CLAIMS, "aud": ["tax"]}, {}, {}, "CONSENT_AUDIENCE"),
        ("for a provider whose name begins so", {**CLAIMS, "aud": ["housing_fund_2"]}, {}, {}, "CONSENT_AUDIENCE"),
        ("another bank's certificate", CLAIMS, {"authority": OTHER_AUTHORITY.hex()}, {}, "CONSENT_BINDING"),
        (
            "another bank with its certificate",
            CLAIMS,
            {"authority": OTHER_AUTHORITY.hex(), "requester": "insurer"},
            {},
            "CONSENT_BINDING",
        ),
        ("another party under the same authority", CLAIMS, {"requester": "insurer"}, {}, "CONSENT_REQUESTER"),
        ("another region", CLAIMS, {}, {"region": "jining"}, "CONSENT_REGION"),
        ("another purpose", CLAIMS, {"purpose": "research"}, {}, "CONSENT_PURPOSE"),
        ("another subject", CLAIMS, {"subject": OTHER}, {}, "CONSENT_SUBJECT"),
        ("a sole proprietor without the person's consent", proprietor, {"subject": PROPRIETOR}, {}, "CONSENT_PERSON"),
        ("a person's item by the enterprise", CLAIMS, {"person": True}, {}, "CONSENT_PERSON"),
        ("an enterprise's item by a person", {**CLAIMS, "consent_by": "person"}, {}, {}, "CONSENT_ENTERPRISE"),
        ("another predicate", CLAIMS, {"predicate": "hf_base_at_least"}, {}, "CONSENT_SCOPE"),
        (
            "one item of two",
            CLAIMS,
            {"predicate": "prop_x", "items": [registration, "case_filing"]},
            {},
            "CONSENT_SCOPE",
        ),
        ("a predicate that rests on nothing", CLAIMS, {"predicate": "nothing", "items": []}, {}, "CONSENT_SCOPE"),
        ("a predicate with the name of an item", CLAIMS, {"predicate": registration}, {}, "CONSENT_SCOPE"),
        ("a question on a consent to scores", SCORE_CLAIMS, {}, {}, "CONSENT_SCOPE"),
        (
            "a question by its items on a consent to scores",
            SCORE_CLAIMS,
            {"predicate": "prop_owned", "items": [registration]},
            {},
            "CONSENT_SCOPE",
        ),
        (
            "a question with a model's name",
            SCORE_CLAIMS,
            {"predicate": "growth", "items": ["growth"]},
            {},
            "CONSENT_SCOPE",
        ),
        (
            "a question without a name on a consent to scores",
            SCORE_CLAIMS,
            {"predicate": "", "items": []},
            {},
            "CONSENT_SCOPE",
        ),
        (
            "a sole proprietor's question on the word of no person for scores",
            {**SCORE_CLAIMS, "sub": PROPRIETOR},
            {"subject": PROPRIETOR},
            {},
            "CONSENT_PERSON",
        ),
        ("a score of a model that it names", SCORE_CLAIMS, SCORE, {}, None),
        ("the last use for a score", SCORE_CLAIMS, {**SCORE, "uses": 4}, {}, None),
        (
            "a score on a sole proprietor's own consent",
            {**SCORE_CLAIMS, "sub": PROPRIETOR, "consent_by": "person"},
            {**SCORE, "subject": PROPRIETOR},
            {},
            None,
        ),
        ("a score of another model", SCORE_CLAIMS, {**SCORE, "model": "sme"}, {}, "CONSENT_SCOPE"),
        ("a score of a model whose name begins so", SCORE_CLAIMS, {**SCORE, "model": "growth-2"}, {}, "CONSENT_SCOPE"),
        ("a score on a consent to questions", CLAIMS, SCORE, {}, "CONSENT_SCOPE"),
        (
            "a score of a model with a predicate's name",
            CLAIMS,
            {**SCORE, "model": "hf_continuous_k"},
            {},
            "CONSENT_SCOPE",
        ),
        ("a score and a question at once", SCORE_CLAIMS, {"model": "growth"}, {}, "CONSENT_SCOPE"),
        ("a question and a score at once", CLAIMS, {"model": "growth"}, {}, "CONSENT_SCOPE"),
        ("a score and an item at once", SCORE_CLAIMS, {**SCORE, "items": [registration]}, {}, "CONSENT_SCOPE"),
        ("a score by another bank", SCORE_CLAIMS, {**SCORE, "authority": OTHER_AUTHORITY.hex()}, {}, "CONSENT_BINDING"),
        ("a score for another purpose", SCORE_CLAIMS, {**SCORE, "purpose": "research"}, {}, "CONSENT_PURPOSE"),
        ("a score of another subject", SCORE_CLAIMS, {**SCORE, "subject": OTHER}, {}, "CONSENT_SUBJECT"),
        (
            "a score of a sole proprietor without the person's consent",
            {**SCORE_CLAIMS, "sub": PROPRIETOR},
            {**SCORE, "subject": PROPRIETOR},
            {},
            "CONSENT_PERSON",
        ),
        (
            "a score from a person's records by the enterprise",
            SCORE_CLAIMS,
            {**SCORE, "person": True},
            {},
            "CONSENT_PERSON",
        ),
        ("a score on a revoked consent", {**SCORE_CLAIMS, "jti": jti("revoked")}, SCORE, {}, "CONSENT_REVOKED"),
        ("a score at another provider", {**SCORE_CLAIMS, "aud": ["tax"]}, SCORE, {}, "CONSENT_AUDIENCE"),
        ("scores used up", SCORE_CLAIMS, {**SCORE, "uses": 5}, {}, "CONSENT_USED_UP"),
        ("used up", CLAIMS, {"uses": 5}, {}, "CONSENT_USED_UP"),
        ("used more often than agreed", CLAIMS, {"uses": 6}, {}, "CONSENT_USED_UP"),
    ]
    cases: list[Json] = []
    for name, what, use, premises, code in rows:
        by = "enterprise" if what.get("iss") == "enterprise" else "platform"
        text = token(what, by) if what else ""
        cases.append(
            {"name": name, "token": text, "use": {**USE, **use}, "premises": {**PREMISES, **premises}, "code": code}
        )
    expired = token({**CLAIMS, "exp": NOW - DAY + 1, "aud": ["tax"], "jti": jti("revoked")})
    everything = {"requester": "insurer", "purpose": "research", "subject": OTHER, "predicate": "other", "uses": 9}
    cases.append(
        {
            "name": "everything wrong: the first reason is said",
            "token": expired,
            "use": {**USE, **everything},
            "premises": PREMISES,
            "code": "CONSENT_REVOKED",
        }
    )
    cases.append(
        {
            "name": "no token and an old list",
            "token": "garbage",
            "use": USE,
            "premises": {**PREMISES, "revocations_at": 0},
            "code": "TOKEN_MALFORMED",
        }
    )
    return {"about": ABOUT_USES, "cases": cases}


def documents() -> dict[str, str]:
    """The files, by name."""
    made: dict[str, Callable[[], Json]] = {"tokens.json": tokens, "uses.json": uses}
    return {name: json.dumps(make(), indent=1, ensure_ascii=False) + "\n" for name, make in made.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in documents().items():
        (FOLDER / file).write_text(text, encoding="utf-8")
