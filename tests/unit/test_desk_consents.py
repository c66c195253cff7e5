"""The corpus of consent tokens, read natively: the same reasons as the reader in Python, in the same order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fedcredit.governance.consent.encoding import decode_text
from fedcredit.governance.consent.token import revocation_id
from fedcredit.kernels.desk import Caller, ConsentReader, Key

FOLDER = Path(__file__).resolve().parents[1] / "vectors" / "consent"
TOKENS: dict[str, Any] = json.loads((FOLDER / "tokens.json").read_text(encoding="utf-8"))
USES: dict[str, Any] = json.loads((FOLDER / "uses.json").read_text(encoding="utf-8"))


def reader(issuers: list[dict[str, str]]) -> ConsentReader:
    return ConsentReader(
        Key(decode_text(one["public_key"], 32), one.get("name"), one.get("subject")) for one in issuers
    )


def reason(code: str | None) -> str | None:
    return None if code is None else code.lower()


@pytest.mark.parametrize("case", TOKENS["cases"], ids=lambda case: case["name"])
def test_tokens(case: dict[str, Any]) -> None:
    read = reader(TOKENS["issuers"])
    # The second time it may be known by its bytes; that changes nothing.
    for _ in range(2):
        why, believed = read.read(case["token"])
        assert why == reason(case["code"])
        if case["code"] is None:
            payload = case["payload"]
            uses = payload["authorization_details"][0]["max_uses"]
            assert believed == (bytes.fromhex(revocation_id(payload["jti"])), payload["sub"], uses)


# The data plane answers questions alone: scores are decided in Python, test_consent_corpus.py.
QUESTIONS = [case for case in USES["cases"] if "model" not in case["use"]]


@pytest.mark.parametrize("case", QUESTIONS, ids=lambda case: case["name"])
def test_uses(case: dict[str, Any]) -> None:
    if case["code"] == "CONSENT_USED_UP":
        pytest.skip("uses are counted by the desk: test_desk.py")
    use, known = case["use"], case["premises"]
    found = reader(known["issuers"]).decide(
        case["token"],
        provider=known["provider"],
        region=known["region"],
        caller=Caller(use["requester"], bytes.fromhex(use["authority"])),
        purpose=use["purpose"],
        subject=use["subject"],
        predicate=use["predicate"],
        items=use["items"],
        personal=use["person"],
        now_s=use["now"],
        revocations=(known["revocations_at"], known["revocations_max_age_s"]),
        revoked=[bytes.fromhex(one) for one in known["revoked"]],
    )
    assert found == reason(case["code"])
