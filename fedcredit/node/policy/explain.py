"""What a node would say to a job, and why, without anything being started, asked or spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from fedcredit.errors import FedcreditError, Problem, RefusedError
from fedcredit.governance.leakage import Disclosure
from fedcredit.governance.policy import Action, Decision, Meter, decide, lookups, meters
from fedcredit.ids import PartyId
from fedcredit.node.own_store import store_url
from fedcredit.node.platform import make_proposal
from fedcredit.node.policy.asked import request_of
from fedcredit.node.policy.history import Earlier, History, table_of
from fedcredit.node.specification import JobSpecification
from fedcredit.node.store import Store
from fedcredit.node.subjects import KEY_FILE, set_key, subjects_of
from fedcredit.runtime.config import JobFile, PartyFile
from fedcredit.runtime.policy_file import PolicyFile, load_policy
from fedcredit.tables import Table, check_table

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A decision with what it was made from. `shows` is what others would learn about this party. `notes` say what
    could not be looked at, and what in the rule names nothing."""

    policy: PolicyFile
    decision: Decision
    table: str
    rows: int | None
    columns: tuple[str, ...] | None
    budgets: tuple[tuple[Meter, int], ...]
    shows: tuple[Disclosure, ...]
    notes: tuple[str, ...]

    @property
    def admits(self) -> bool:
        """Whether the job is not refused; a person may still have to approve it."""
        return self.decision.action is not Action.REFUSE


def explain(
    config: PartyFile, job: JobFile, submitter: PartyId, now: datetime, *, with_table: bool = True
) -> Explanation:
    """What the policy in the node's folder makes of `job` at `now`. Reads the policy, the store and the table.

    Raises: ConfigError for a policy that cannot be used; RefusedError for a job that this party takes no part in.
    """
    me, notes = config.me, list[str]()
    proposal = make_proposal(job.shared(), PartyId(config.trust.platform), submitter)
    name = table_of(proposal, me)
    if name not in config.tables:
        what, fix = "is not declared here", f"declared are: {', '.join(sorted(config.tables)) or 'none'}"
        raise RefusedError(Problem("TABLE_UNKNOWN", f"table {name}", what, fix))
    source = load_policy(config.folder)
    rows, columns, subjects = _look_at_table(config, proposal, notes) if with_table else (None, None, None)
    if not with_table:
        notes.append("the table was not opened, so min_rows, min_change_rows and changed_set were not looked at")
    store = _store(config, notes)
    try:
        before = History().earlier(store, proposal, me) if store is not None else Earlier()
        request = request_of(proposal, me, now, rows=rows, columns=columns, subjects=subjects, before=before)
        known = (*meters(source.policy, request), *lookups(source.policy, request))
        spent: Mapping[str, int] = {} if store is None else {m.name: store.budgets.spent(m.key, m.since) for m in known}
    finally:
        if store is not None:
            store.close()
    decision = decide(source.policy, request, spent)
    if decision.rule is not None and decision.rule.terms.changed_set is not None:
        notes.append("whether another party's set has changed is known only when all parties have made their offers")
    notes += _absent_columns(decision, columns)
    return Explanation(
        policy=source,
        decision=decision,
        table=name,
        rows=rows,
        columns=columns,
        budgets=tuple((meter, spent.get(meter.name, 0)) for meter in known),
        shows=tuple(row for row in request.leakage if me in row.about),
        notes=tuple(notes),
    )


def _look_at_table(
    config: PartyFile, proposal: JobSpecification, notes: list[str]
) -> tuple[int | None, tuple[str, ...] | None, bytes | None]:
    name = table_of(proposal, config.me)
    found: list[bytes] = []

    def look(table: Table) -> None:
        if (config.folder / KEY_FILE).exists():  # else no job ever came so far that a set could have changed
            found.append(subjects_of(set_key(config.folder), config.me, table.ids()))

    report = check_table(name, config.tables[name].spec(config.folder, None, name), look=look)
    if report.problems:
        codes = ", ".join(sorted({problem.code for problem in report.problems}))
        notes.append(f"table {name} cannot be used as it is, which would refuse the job: {codes}")
    if report.quality is None:
        return None, None, None
    subjects = found[0] if found and not report.problems else None
    return report.quality.rows, tuple(column.name for column in report.quality.columns), subjects


def _store(config: PartyFile, notes: list[str]) -> Store | None:
    if config.store_url is None and not (config.folder / "store.sqlite").exists():
        return None  # a node that never ran has spent nothing
    try:
        return Store.look(store_url(config))
    except FedcreditError as error:
        notes.append(f"the store cannot be read, so budgets count as unspent: {error.code}")
        return None


def _absent_columns(decision: Decision, columns: tuple[str, ...] | None) -> list[str]:
    named = None if decision.rule is None else decision.rule.terms.columns
    if named is None or columns is None:
        return []
    absent = [name for name in named if name not in columns]
    return [f"the rule's columns name {', '.join(absent)}, which the table does not have"] if absent else []
