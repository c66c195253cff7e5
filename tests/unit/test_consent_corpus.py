"""Every token of the corpus, which the reader in Rust is held to as well, and that its script still writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from vectors import make_consent

from fedcredit.governance.consent.claims import Consent
from fedcredit.governance.consent.decision import Allowed, Premises, Refused, Use, decide
from fedcredit.governance.consent.issuers import Issuer, Issuers
from fedcredit.governance.consent.refusal import ConsentRefused, Why
from fedcredit.governance.consent.token import Envelope

FOLDER = Path(__file__).resolve().parents[1] / "vectors" / "consent"
TOKENS: dict[str, Any] = json.loads((FOLDER / "tokens.json").read_text(encoding="utf-8"))
USES: dict[str, Any] = json.loads((FOLDER / "uses.json").read_text(encoding="utf-8"))


def issuers(value: list[dict[str, str]]) -> Issuers:
    return Issuers(map(Issuer.from_json, value))


@pytest.mark.parametrize("case", TOKENS["cases"], ids=lambda case: case["name"])
def test_tokens(case: dict[str, Any]) -> None:
    def read() -> Consent:
        return Envelope.read(case["token"]).claims_for(issuers(TOKENS["issuers"]))

    if case["code"] is None:
        assert json.loads(read().to_payload()) == case["payload"]
        assert Consent.from_payload(read().to_payload()) == read()
        return
    with pytest.raises(ConsentRefused) as refused:
        read()
    assert refused.value.code == case["code"]
    assert case["token"] == "" or case["token"] not in str(refused.value)


@pytest.mark.parametrize("case", USES["cases"], ids=lambda case: case["name"])
def test_uses(case: dict[str, Any]) -> None:
    given, known = case["use"], case["premises"]
    use = Use(**{**given, "authority": bytes.fromhex(given["authority"]), "items": frozenset(given["items"])})
    premises = Premises(
        known["provider"],
        known["region"],
        issuers(known["issuers"]),
        frozenset(known["revoked"]),
        known["revocations_at"],
        known["revocations_max_age_s"],
    )
    decision = decide(case["token"], use, premises)
    if case["code"] is None:
        assert isinstance(decision, Allowed)
        return
    assert isinstance(decision, Refused)
    assert (decision.why, decision.reason) == (case["code"], decision.why.words[0])


def test_every_reason_is_in_the_corpus() -> None:
    assert {case["code"] for case in TOKENS["cases"] + USES["cases"]} == {None, *Why}


def test_the_script_writes_these_files() -> None:
    for name, text in make_consent.documents().items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text


def test_cases_have_names_of_their_own() -> None:
    for corpus in (TOKENS, USES):
        names = [case["name"] for case in corpus["cases"]]
        assert len(names) == len(set(names))
