"""The ledger of a department, read from its log of questions: the log is checked first, then said in other words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, tzinfo
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fedcredit.errors import ConfigError, DataError, Problem
from fedcredit.governance.audit import Entry
from fedcredit.governance.verification.decisions import Used
from fedcredit.governance.verification.ledger import OUTCOMES, Report, Use, budget_used, report_of, use_of
from fedcredit.governance.verification.rules import Asked, VerifyPolicy
from fedcredit.node.audit_places import LogPlace, find_one
from fedcredit.node.scoring.ledger import scores_of
from fedcredit.node.verification.log_key import log_folder, log_key, subject_tag
from fedcredit.runtime.config import PartyFile
from fedcredit.runtime.policy_file import load_policy
from fedcredit.runtime.predicate_file import shipped_predicates

__all__ = ["REASONS", "has_log", "report_of_node", "used_of", "uses_about", "uses_of", "zone_of"]

CHECKS = "checks.bin"
CHECK_BYTES = 72
"""Of one check of a batch: `ruling.rs` of the native service writes them."""

REASONS = {
    0: "decided",
    2: "no_record",
    3: "stale",
    4: "value_missing",
    5: "repeated",
    16: "question",
    17: "predicate",
    18: "parameter",
    19: "ladder",
    20: "institution",
    21: "subject_name",
    24: "no_rule",
    25: "rule",
    26: "per_second",
    27: "per_day",
    28: "budget",
    29: "full",
    30: "level",
    31: "no_consent",
    32: "consent_missing",
    33: "token_malformed",
    34: "consent_issuer",
    35: "consent_signature",
    36: "consent_claim",
    37: "consent_lifetime",
    38: "consent_stale",
    39: "consent_revoked",
    40: "consent_not_yet",
    41: "consent_expired",
    42: "consent_audience",
    43: "consent_binding",
    44: "consent_requester",
    45: "consent_region",
    46: "consent_purpose",
    47: "consent_subject",
    48: "consent_person",
    49: "consent_enterprise",
    50: "consent_scope",
    51: "consent_used_up",
}
_CHECK = np.dtype(
    [
        ("subject", "V16"),
        ("consent", "V16"),
        ("question", "V16"),
        ("item", "<u4"),
        ("predicate", "<u4"),
        ("rule", "<u4"),
        ("recorded_on", "<u4"),
        ("outcome", "u1"),
        ("reason", "u1"),
        ("rest", "V6"),
    ]
)
_MARKS = (b'{"event":"verified"', b'{"event":"verify_refused"', b'{"event":"verify_batch"')


def has_log(config: PartyFile) -> bool:
    """Whether the node has ever answered or refused a question."""
    return (log_folder(config.folder) / "audit" / "checkpoint").exists()


def uses_of(config: PartyFile) -> Iterator[Use]:
    """All uses that the node's log has, in its order, after checking it.

    Raises: AuditBroken, ConfigError (AUDIT_*), DataError (AUDIT_CHECKS: the checks of a batch are not what was logged).
    """
    if not has_log(config):
        return
    folder = log_folder(config.folder) / "audit"
    log = find_one(log_folder(config.folder), config.path(config.identity.signing_certificate))
    names = _names(config)
    for line in _lines(log):
        entry = Entry.decode(line)
        if entry.event.value == "verify_batch":
            yield from _of_batch(entry, folder, names)
        elif (use := use_of(entry)) is not None:
            yield use


def report_of_node(config: PartyFile, since: date, until: date) -> Report:
    """What was asked of the node from day to day, questions and scores. Raises: as `uses_of` and `scores_of`."""
    return report_of(config.me, uses_of(config), since, until, zone_of(config), scores_of(config))


def zone_of(config: PartyFile) -> tzinfo:
    """Where the node's days begin and end. Raises: ConfigError where its policy cannot be read."""
    return load_policy(config.folder).questions.zone


def uses_about(config: PartyFile, subject: str) -> list[Use]:
    """All that was asked about a subject, by its code. Raises: as `uses_of`."""
    if not has_log(config):
        return []
    tag = subject_tag(log_key(config.folder), subject)
    return [use for use in uses_of(config) if use.subject == tag]


def used_of(config: PartyFile, policy: VerifyPolicy, asked: Asked, subject: str, question: str) -> Used:
    """What the requester has used up about that subject and today. Raises: as `uses_of`."""
    if not has_log(config):
        return Used()
    rule = next((rule for rule in policy.rules if not rule.misses(asked, policy.zone)), None)
    questions, again, today = budget_used(
        uses_of(config),
        requester=asked.requester,
        item=asked.item,
        subject=subject_tag(log_key(config.folder), subject),
        question=question,
        now=asked.now,
        days=1 if rule is None or rule.budget is None else rule.budget.days,
        zone=policy.zone,
    )
    return Used(today=today, questions=questions, asked_today=again)


def _lines(log: LogPlace) -> Iterable[bytes]:
    kept: list[bytes] = []

    def see(block: bytes, _first: int) -> None:
        kept.extend(line for line in block.split(b"\n")[:-1] if line.startswith(_MARKS))

    log.scan(see=see)
    return kept


def _of_batch(entry: Entry, folder: Path, names: Mapping[int, str]) -> Iterator[Use]:
    facts = entry.facts
    checks = _checks(folder / CHECKS, int(facts["checks_at"]), int(facts["checks_bytes"]), str(facts["checks_hash"]))
    requester, purpose = str(facts.get("requester", "")), str(facts.get("purpose", ""))
    for check in checks:
        yield Use(
            at=entry.time,
            requester=requester,
            item=names.get(int(check["item"]), ""),
            predicate=names.get(int(check["predicate"]), ""),
            purpose=purpose,
            outcome=OUTCOMES.get(str(int(check["outcome"])), "refused"),
            reason=REASONS.get(int(check["reason"]), ""),
            rule=names.get(int(check["rule"]), ""),
            subject=bytes(check["subject"]).hex(),
            question=bytes(check["question"]).hex(),
            consent=bytes(check["consent"]).hex() if any(bytes(check["consent"])) else "",
        )


def _checks(path: Path, offset: int, length: int, digest: str) -> npt.NDArray[np.void]:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(length)
    except OSError as error:
        raise ConfigError(Problem("AUDIT_UNAVAILABLE", str(path), error.strerror or "cannot be read")) from None
    if len(data) != length or length % CHECK_BYTES or hashlib.sha256(data).hexdigest() != digest:
        raise DataError(Problem("AUDIT_CHECKS", str(path), "the checks of a batch are not those that were logged"))
    return np.frombuffer(data, _CHECK)


def _names(config: PartyFile) -> dict[int, str]:
    """Names by the four bytes that stand for them in a batch: of items, predicates and rules."""
    compiled = shipped_predicates()
    names = {*compiled, *(item for one in compiled.values() for item in one.program.items)}
    names |= {rule.name for rule in load_policy(config.folder).questions.rules}
    return {int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little"): name for name in names}
