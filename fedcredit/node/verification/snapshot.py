"""What the native service is handed: all that it decides by, as one JSON text. Pure.

Names, terms and paths; of consents the issuers' public keys and what was revoked. No record and no key of ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from fedcredit.governance.consent.bulletin import Bulletin
from fedcredit.governance.consent.decision import MAX_LIST_AGE_S
from fedcredit.governance.predicates.model import ParameterEntry
from fedcredit.governance.verification.levels import IMPORTANT
from fedcredit.governance.verification.rules import Action, VerifyPolicy, VerifyRule
from fedcredit.ids import PartyId
from fedcredit.node.verification.serving import NAMES, Offer, Question
from fedcredit.runtime.catalog_file import shipped_catalogs
from fedcredit.runtime.predicate_file import shipped_version

__all__ = ["SCHEMA", "snapshot_of"]

SCHEMA = "fedcredit-serving/1"


def snapshot_of(
    me: PartyId,
    offer: Offer,
    policy: VerifyPolicy,
    indexes: Mapping[str, Path],
    bulletin: Bulletin | None,
    now: datetime,
    institutions: Mapping[str, str] | None = None,
) -> str:
    """The snapshot of all this at `now`. Without a bulletin nobody's consent is believed, so that none is good."""
    catalog = shipped_catalogs()[offer.region]
    offset = now.astimezone(policy.zone).utcoffset()
    return json.dumps(
        {
            "schema": SCHEMA,
            "provider": me,
            "region": offer.region,
            "catalog_version": catalog.version,
            "predicates_version": shipped_version(),
            "zone_minutes": 0 if offset is None else int(offset.total_seconds()) // 60,
            "indexes": {item: str(path) for item, path in sorted(indexes.items())},
            "questions": [_question(question, offer) for question in offer.questions],
            "rules": [_rule(rule) for rule in policy.rules],
            "issuers": [] if bulletin is None else [issuer.to_json() for issuer in bulletin.body.issuers],
            "revoked": [] if bulletin is None else list(bulletin.body.revoked),
            "revocations_at": 0 if bulletin is None else bulletin.head.time,
            "revocations_max_age_s": MAX_LIST_AGE_S,
            "names": {"index": NAMES, "field": "name"} if NAMES in indexes else None,
            "institutions": dict(sorted((institutions or {}).items())),
        }
    )


def _question(question: Question, offer: Offer) -> dict[str, Any]:
    program = question.compiled.program
    return {
        "predicate": question.id,
        "item": question.item,
        "program": program.to_dict(),
        "parameters": {name: _parameter(entry) for name, entry in question.compiled.predicate.parameters.items()},
        "keys": {item: list(offer.registers[item].key) for item in program.items},
        "complete": question.complete,
        "max_age_days": question.max_age_days,
        "consent_of": list(question.consent_of),
        "level": question.level,
    }


def _parameter(entry: ParameterEntry) -> dict[str, Any]:
    return {"type": entry.type, "ladder": list(entry.ladder), "match": entry.match}


def _rule(rule: VerifyRule) -> dict[str, Any]:
    def names(given: frozenset[str] | None) -> list[str] | None:
        return None if given is None else sorted(given)

    minutes, admits = rule.minutes(), rule.action is Action.ADMIT
    return {
        "name": rule.name,
        "action": rule.action.value,
        "requesters": names(rule.requesters),
        "purposes": names(rule.purposes),
        "predicates": names(rule.predicates),
        "items": names(rule.items),
        "minutes": None if minutes is None else [list(span) for span in minutes],
        # About core data nothing is answered, whatever a rule says.
        "level_max": min(rule.level_max or IMPORTANT, IMPORTANT) if admits else None,
        "per_second": rule.per_second,
        "per_day": rule.per_day,
        "budget": None if rule.budget is None else {"questions": rule.budget.questions, "days": rule.budget.days},
        "no_consent": rule.no_consent,
    }
