"""A receipt for a consent: a record with the fields of ISO/IEC TS 27560:2023, signed by who issued the token.

The fields stand under the names that the W3C guide on that specification with the Data Privacy Vocabulary uses. It is a
document for the subject; nobody decides by it.

Source: ISO/IEC TS 27560:2023 clause 6 (consent record: header, processing, parties, events; receipt).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from fedcredit.errors import Problem, UsageError
from fedcredit.governance.consent.claims import Consent, ConsentBy
from fedcredit.governance.consent.encoding import decode_text, encode_text
from fedcredit.governance.consent.issuers import Issuers, kid_of
from fedcredit.governance.consent.token import moment, revocation_id

__all__ = ["MAX_RECEIPT_BYTES", "SCHEMA", "check_receipt", "make_receipt"]

SCHEMA = "fedcredit-consent-receipt/1 (ISO/IEC TS 27560:2023)"
MAX_RECEIPT_BYTES = 64 << 10
_USE = b"fedcredit/v1/consent-receipt\n"
"""Before what is signed, so that a receipt is never taken for a token."""

_QUESTIONS = (
    "verification of facts, answered yes, no or unknown",
    "evaluated at the department; only the answer leaves it",
)
_SCORES = (
    "scores of published models",
    "computed at the department; the result leaves it encrypted, and the recipient reads all departments' total alone",
)
_SIGNATURE_BYTES = 64


def make_receipt(
    consent: Consent, *, notice: str, language: str, public_key: bytes, sign: Callable[[bytes], bytes]
) -> bytes:
    """The receipt of `consent` as a JSON file. `notice` is the text that was shown."""
    record = _record(consent, notice, language)
    signature = encode_text(sign(_USE + _canonical(record)))
    value = {"receipt": record, "kid": kid_of(public_key), "alg": "EdDSA", "signature": signature}
    return json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n"


def check_receipt(data: bytes, issuers: Issuers) -> Mapping[str, Any]:
    """The record in a receipt that one of `issuers` has signed. Raises: UsageError (RECEIPT_INVALID)."""
    problem = UsageError(Problem("RECEIPT_INVALID", "receipt", "is not signed by an issuer that is believed here"))
    try:
        if len(data) > MAX_RECEIPT_BYTES:
            raise problem
        value = json.loads(data)
        record, issuer = value["receipt"], issuers.find(value["kid"])
        signature = decode_text(value["signature"], _SIGNATURE_BYTES)
        if not isinstance(record, dict) or value["alg"] != "EdDSA" or issuer is None:
            raise problem
        if not issuer.verified(signature, _USE + _canonical(record)):
            raise problem
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise problem from None
    return record


def _record(consent: Consent, notice: str, language: str) -> dict[str, Any]:
    scope, person = consent.scope, consent.by is ConsentBy.PERSON
    granted = moment(consent.issued_at).isoformat()
    kinds = [{"pii_type": "item", "pii_attribute_id": name} for name in scope.items]
    kinds += [{"pii_type": "predicate", "pii_attribute_id": name} for name in scope.predicates]
    kinds += [{"pii_type": "model", "pii_attribute_id": name} for name in scope.models]
    return {
        "schema_version": SCHEMA,
        "record_id": revocation_id(consent.jti),
        "pii_principal_id": consent.subject,
        "pii_processing": {
            "privacy_notice": notice,
            "privacy_notice_sha256": encode_text(consent.disclosure),
            "language": language,
            "purposes": [
                {
                    "purpose": scope.purpose,
                    "purpose_type": _SCORES[0] if scope.models else _QUESTIONS[0],
                    "lawful_basis": "consent of the natural person" if person else "authorisation by the enterprise",
                    "pii_information": kinds,
                    "pii_controllers": list(consent.providers),
                    "collection_method": "records that the department holds already",
                    "processing_method": _SCORES[1] if scope.models else _QUESTIONS[1],
                    "storage_locations": [f"records of {provider}" for provider in consent.providers],
                    "geographic_restrictions": [scope.region],
                    "retention_period": "no record is handed on; an entry of the audit log stays",
                    "recipient_third_parties": [scope.requester],
                    "max_uses_per_controller": scope.max_uses,
                    "withdrawal_method": "the platform, free of charge, at any time; at use within minutes",
                    "privacy_rights": ["withdraw", "see who asked what", "object"],
                }
            ],
        },
        "party_identification": [
            {"party_id": consent.subject, "party_role": "PII principal", "party_type": consent.by.value},
            {"party_id": consent.issuer, "party_role": "authority that issued the consent"},
            {"party_id": scope.requester, "party_role": "recipient"},
            *({"party_id": provider, "party_role": "PII controller"} for provider in consent.providers),
        ],
        "events": [
            {
                "event_time": granted,
                "event_type": "explicit",
                "event_state": "given",
                "entity_id": consent.subject,
                "valid_from": moment(consent.not_before).isoformat(),
                "valid_until": moment(consent.expires).isoformat(),
            }
        ],
    }


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
