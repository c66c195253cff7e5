"""The decision on a question in plain Python, as one would write it beside `grpcio`: a dictionary of records, the pure
decisions of `governance`, counters for quotas, budgets and uses.

It stands for the service that is not written natively, and answers as the native one does. Not for several threads at
once: whoever calls `rule` holds a lock.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from fedcredit.cli.benches.verification.setting import FIELD, ITEM, PROVIDER, RECORDED, Setting
from fedcredit.governance.audit import Event, Fact
from fedcredit.governance.consent.claims import Consent
from fedcredit.governance.consent.decision import Allowed, Use, judge
from fedcredit.governance.consent.refusal import ConsentRefused
from fedcredit.governance.consent.token import Envelope, revocation_id
from fedcredit.governance.predicates.answers import Enquiry, Outcome
from fedcredit.governance.predicates.single import evaluate_one
from fedcredit.governance.verification.decisions import Used, decide
from fedcredit.governance.verification.rules import Asked
from fedcredit.ids import PartyId
from fedcredit.wire._gen import verify_pb2 as pb

__all__ = ["PlainDesk", "Ruled", "utc_now"]

EPOCH = date(1970, 1, 1)
_OUTCOMES = {Outcome.YES: pb.OUTCOME_YES, Outcome.NO: pb.OUTCOME_NO, Outcome.UNKNOWN: pb.OUTCOME_UNKNOWN}
_CACHED = 1 << 17


@dataclass(frozen=True, slots=True)
class Ruled:
    """What is recorded of a question, and the bytes of its answer; None: it is refused."""

    event: Event
    facts: Mapping[str, Fact] = field(repr=False)
    answer: bytes | None = field(repr=False)


class PlainDesk:
    """Decides on questions of one setting. `log_key`: under which subjects are recorded."""

    def __init__(self, setting: Setting, log_key: bytes, now: datetime) -> None:
        self._question, self._policy = setting.question, setting.policy
        self._premises, self._authority = setting.premises(now), setting.authority
        self._log_key = log_key
        codes = (bytes(code).decode() for code in setting.ids)
        self._months = dict(zip(codes, setting.months.tolist(), strict=True))
        self._catalog, self._predicates = setting.versions
        self._tokens: dict[bytes, Consent | ConsentRefused] = {}
        self._second: tuple[int, Counter[str]] = (0, Counter())
        self._day: tuple[date, Counter[str]] = (EPOCH, Counter())
        self._uses: Counter[str] = Counter()
        # Of a requester, a subject and an item: on which day each question was asked last.
        self._asked: dict[tuple[str, str, str], dict[bytes, date]] = defaultdict(dict)

    def rule(self, requester: PartyId, message: bytes, now: datetime) -> Ruled:
        """The ruling on the request in `message`, which must be on disk before anybody is told.

        Raises: google.protobuf.message.DecodeError.
        """
        request = pb.VerifyRequest.FromString(message)
        asked = request.question
        key = hashlib.sha256(asked.predicate.encode() + b"".join(a.SerializeToString() for a in asked.arguments))
        facts: dict[str, Fact] = {
            "consent": "",
            "item": self._question.item,
            "predicate": asked.predicate,
            "purpose": request.purpose,
            "question": key.hexdigest()[:32],
            "requester": requester,
            "rule": "",
            "subject": hmac.digest(self._log_key, asked.subject.encode(), "sha256")[:16].hex(),
        }
        reason = self._refusal(requester, request, key.digest(), facts, now)
        if reason:
            return Ruled(Event.VERIFY_REFUSED, facts | {"reason": reason}, None)
        given: dict[str, float | str | bool | tuple[str, ...]] = {a.name: a.number for a in asked.arguments}
        months = self._months.get(asked.subject)
        records = {ITEM: [] if months is None else [{FIELD: months}]}
        today = now.astimezone(self._policy.zone).date()
        enquiry = Enquiry(
            asof=today,
            parameters=given,
            complete=self._question.complete,
            max_age_days=self._question.max_age_days,
        )
        recorded = None if months is None else RECORDED
        found = evaluate_one(self._question.compiled.program, records, enquiry, recorded=recorded)
        day = 0 if found.recorded is None else (found.recorded - EPOCH).days
        answer = pb.Answer(
            provider=PROVIDER,
            request=hashlib.sha256(message).digest(),
            outcome=pb.Outcome.Name(_OUTCOMES[found.outcome]),
            evaluated_on=(today - EPOCH).days,
            recorded_on=day,
            catalog_version=self._catalog,
            predicates_version=self._predicates,
        ).SerializeToString(deterministic=True)
        facts["answer"] = hashlib.sha256(answer).hexdigest()
        facts["outcome"] = _OUTCOMES[found.outcome]
        facts["recorded"] = f"{day:05}"
        return Ruled(Event.VERIFIED, facts, answer)

    def _refusal(
        self, requester: PartyId, request: pb.VerifyRequest, key: bytes, facts: dict[str, Fact], now: datetime
    ) -> str:
        """Why the question is refused; empty if it is not, and then it is counted."""
        asked, question = request.question, self._question
        if asked.predicate != question.id:
            return "predicate"
        ladders = question.compiled.predicate.parameters
        if {a.name for a in asked.arguments} != set(ladders):
            return "parameter"
        if any(a.number not in ladders[a.name].ladder for a in asked.arguments):
            return "ladder"
        today = now.astimezone(self._policy.zone).date()
        before = self._asked[requester, asked.subject, question.item]
        said = Asked(
            requester=requester,
            purpose=request.purpose,
            predicate=asked.predicate,
            item=question.item,
            level=question.level,
            needs_consent=bool(question.consent_of),
            now=now,
        )
        ruling = decide(self._policy, said, self._used(requester, before, key, now, today))
        if ruling.rule is not None:
            facts["rule"] = ruling.rule.name
        if not ruling.admits:
            return "no_rule" if ruling.rule is None else "rule"
        consent = self._consent(request.consent)
        if isinstance(consent, ConsentRefused):
            return "consent_malformed"
        facts["consent"] = revocation_id(consent.jti)
        use = Use(
            requester=requester,
            authority=self._authority,
            subject=asked.subject,
            predicate=asked.predicate,
            items=frozenset(question.compiled.program.items),
            purpose=request.purpose,
            now=int(now.timestamp()),
            uses=self._uses[consent.jti],
        )
        allowed = judge(consent, use, self._premises)
        if not isinstance(allowed, Allowed):
            return allowed.reason
        self._uses[consent.jti] += 1
        self._second[1][requester] += 1
        self._day[1][requester] += 1
        before[key] = today
        return ""

    def _used(self, requester: str, before: Mapping[bytes, date], key: bytes, now: datetime, today: date) -> Used:
        second = int(now.timestamp())
        if self._second[0] != second:
            self._second = (second, Counter())
        if self._day[0] != today:
            self._day = (today, Counter())
        budget = self._policy.rules[0].budget
        since = today - timedelta(days=budget.days if budget is not None else 0)
        return Used(
            this_second=self._second[1][requester],
            today=self._day[1][requester],
            questions=sum(day > since for day in before.values()),
            asked_today=before.get(key) == today,
        )

    def _consent(self, token: str) -> Consent | ConsentRefused:
        """What the token says, or why it says nothing; known by its hash from the second time on."""
        known = hashlib.sha256(token.encode()).digest()
        found = self._tokens.get(known)
        if found is None:
            try:
                found = Envelope.read(token).claims_for(self._premises.issuers)
            except ConsentRefused as refused:
                found = refused
            if len(self._tokens) >= _CACHED:
                self._tokens.clear()
            self._tokens[known] = found
        return found


def utc_now() -> datetime:
    """The time that questions are decided at."""
    return datetime.now(UTC)
