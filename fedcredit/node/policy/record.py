"""What a party decided on a job, kept in the job's folder: for its own people, and for opening its table again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fedcredit import failpoints
from fedcredit.errors import FedcreditError, Problem
from fedcredit.governance.policy import Action, Decision
from fedcredit.node.durable_files import replace_file

__all__ = ["DecisionRecord", "record_of"]

FILE_NAME = "decision.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """A decision as kept. `terms` names the rule as it was, so that an approval under it does not hold for another."""

    action: Action
    rule: str
    terms: str
    policy: str
    columns: tuple[str, ...] | None
    decided: str
    reasons: tuple[Problem, ...] = ()

    def write(self, folder: Path) -> None:
        """Keep it in the job's folder; durable when this returns."""
        folder.mkdir(parents=True, exist_ok=True)
        data = (json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n").encode()
        replace_file(folder / FILE_NAME, data, written=lambda: failpoints.hit("policy.decision.written", self.action))

    @classmethod
    def read(cls, folder: Path) -> DecisionRecord | None:
        """What was kept in the job's folder, if there is any. Raises: FedcreditError (DECISION_INVALID)."""
        try:
            raw = json.loads((folder / FILE_NAME).read_bytes())
            columns = raw["columns"]
            return cls(
                action=Action(raw["action"]),
                rule=str(raw["rule"]),
                terms=str(raw["terms"]),
                policy=str(raw["policy"]),
                columns=None if columns is None else tuple(map(str, columns)),
                decided=str(raw["decided"]),
                reasons=tuple(Problem(**problem) for problem in raw["reasons"]),
            )
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, RecursionError):
            what, fix = "cannot be read", "run the job again"
            raise FedcreditError(Problem("DECISION_INVALID", FILE_NAME, what, fix)) from None

    def to_dict(self) -> dict[str, Any]:
        """As it stands in the file and in a report on the job."""
        return {
            "action": self.action.value,
            "rule": self.rule,
            "terms": self.terms,
            "policy": self.policy,
            "columns": None if self.columns is None else list(self.columns),
            "decided": self.decided,
            "reasons": [{"code": p.code, "where": p.where, "what": p.what, "fix": p.fix} for p in self.reasons],
        }


def record_of(decision: Decision, policy: str, now: datetime) -> DecisionRecord:
    """The record of a decision by the policy with this hash."""
    rule = decision.rule
    return DecisionRecord(
        action=decision.action,
        rule="" if rule is None else rule.name,
        terms="" if rule is None else rule.digest,
        policy=policy,
        columns=decision.columns,
        decided=now.isoformat(timespec="seconds"),
        reasons=decision.reasons,
    )
