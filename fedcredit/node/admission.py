"""Whether a party takes part in a job that a platform proposes: by checks of the proposal, its policy and its table.

The policy is looked at three times, as the file says at that moment: before a table is opened (`consider`), with the
opened table (`admit`), and with what all parties offer (`confirm`). The platform is told the code of a refusal. Its
reasons are for this party's own people: they are in the job's folder, in the store and in the audit log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from fedcredit.credit.logistic_params import LogisticParams
from fedcredit.credit.params import TreeParams
from fedcredit.errors import ConfigError, FedcreditError, Problem, RefusedError
from fedcredit.governance.audit import Event, Fact
from fedcredit.governance.policy import REFUSED, Action, Decision, Meter, decide, lookups, meters, refusal
from fedcredit.governance.privacy import rho_units
from fedcredit.ids import PartyId
from fedcredit.node.backends import bins_of, check_hours
from fedcredit.node.horizontal.noise import check_levels
from fedcredit.node.jobs import Premises, open_own_table, write_failure
from fedcredit.node.jobs.memory import check_memory, needed_memory
from fedcredit.node.jobs.premises import keeps_filter
from fedcredit.node.jobs.room import check_room, needed_bytes
from fedcredit.node.policy.asked import request_of
from fedcredit.node.policy.record import DecisionRecord, record_of
from fedcredit.node.snapshots import forget_snapshot
from fedcredit.node.specification import PROTOCOLS, JobSpecification, ModelEntry
from fedcredit.node.statistics_checks import check_columns, table_problems
from fedcredit.node.store import JobRow, JobState
from fedcredit.node.subjects import own_subjects
from fedcredit.node.timely import CLOCK_SKEW
from fedcredit.protocols.intersect.choice import UNBALANCED
from fedcredit.runtime.job_file import MIN_ROWS_FLOOR
from fedcredit.tables import Table

__all__ = ["APPROVAL_PENDING", "Admitted", "admit", "confirm", "consider", "keep_admitted", "would_be_unbalanced"]

T = TypeVar("T")

APPROVAL_PENDING = "APPROVAL_PENDING"
"""What a platform is told that has to ask again: a person of this party has not said yes or no."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A job that was let in: this party's table, open, what stands for the set of its subjects, the rule that did it,
    and the hash of its policy."""

    table: Table
    subjects: bytes
    rule: str
    policy: str


async def consider(premises: Premises, caller: PartyId, proposal: JobSpecification, skew_s: float) -> None:
    """Whether the party would take part, as far as that can be said without its table.

    Units: `skew_s` in seconds, by which our clock was ahead of the caller's when its call came.

    Raises: FedcreditError, recorded; RefusedError (APPROVAL_PENDING) while a person has to decide, which is kept.
    """
    await asyncio.to_thread(_recorded, premises, proposal, lambda: _consider(premises, caller, proposal, skew_s))


async def admit(premises: Premises, caller: PartyId, proposal: JobSpecification, skew_s: float) -> Admitted:
    """This party's table for the job, open; budgets are spent. Raises: as `consider`."""
    return await asyncio.to_thread(_recorded, premises, proposal, lambda: _admit(premises, caller, proposal, skew_s))


def confirm(premises: Premises, specification: JobSpecification) -> None:
    """Check, before it is signed, that the policy still lets in what all parties have offered, and that there is the
    memory for as much, and the time.

    Raises: FedcreditError, recorded. Budgets are not looked at again: this job has spent its part.
    """

    def check() -> None:
        if specification.leakage != specification.derive_leakage():
            raise RefusedError(Problem("LEAKAGE_MISSTATED", "leakage", "is not what the offers lead to"))
        rows = specification.party(premises.me).rows
        _judge(premises, specification, rows=rows, spent=False)
        check_hours(specification)
        check_memory(needed_memory(specification, premises.me))

    _recorded(premises, specification, check)


def would_be_unbalanced(premises: Premises, proposal: JobSpecification) -> bool:
    """Whether this party, for a job that leaves the mode open, would take `unbalanced`: it keeps a filter of earlier
    jobs, and the rule that has let the job in lets it in so."""
    if proposal.intersect.mode != "auto" or not proposal.may_be_unbalanced or not keeps_filter(premises, proposal):
        return False
    section = proposal.intersect.model_copy(update={"mode": UNBALANCED})
    request = request_of(proposal.model_copy(update={"intersect": section}), premises.me, premises.clock.now())
    decision = decide(premises.policy.current().policy, request)
    kept = DecisionRecord.read(premises.folder / "jobs" / proposal.id)
    named = None if decision.rule is None else decision.rule.name
    return decision.action is not Action.REFUSE and kept is not None and kept.rule == named


def keep_admitted(premises: Premises, proposal: JobSpecification, nonce: bytes, admitted: Admitted) -> None:
    """Keep, in the audit log first, that the job was let in, and what this party commits to with `nonce`. What a noised
    job costs in privacy is a fact there."""
    store, row = premises.store, premises.store.jobs.job(proposal.id)
    approved = "" if row is None else row.approved_by
    facts = {"rule": admitted.rule, "policy": admitted.policy, "submitter": proposal.submitter, "approved_by": approved}
    premises.recorder.record(Event.JOB_ADMITTED, proposal.id, **facts, **_privacy_facts(proposal))
    body, fingerprint = proposal.to_bytes(), admitted.table.fingerprint
    store.jobs.propose(proposal.id, body, nonce, fingerprint, submitter=proposal.submitter, rule=admitted.rule)


def _privacy_facts(proposal: JobSpecification) -> dict[str, Fact]:
    noise = None if proposal.aggregate is None else proposal.aggregate.noise
    if noise is None:
        return {}
    # Numbers with a point are texts in a log, whose lines are the same in every language.
    return {"epsilon": f"{noise[0]:g}", "delta": f"{noise[1]:g}", "privacy_rho_billionths": rho_units(*noise)}


def _recorded(premises: Premises, proposal: JobSpecification, work: Callable[[], T]) -> T:
    try:
        return work()
    except FedcreditError as error:
        if error.code != APPROVAL_PENDING:
            _record_refusal(premises, proposal, error)
        raise


def _record_refusal(premises: Premises, proposal: JobSpecification, error: FedcreditError) -> None:
    jobs, folder = premises.store.jobs, premises.folder / "jobs" / proposal.id
    row, body = jobs.job(proposal.id), proposal.proposal().to_bytes()
    same = row is None or row.proposal == body
    if same and row is not None and row.state.final:
        return  # it was refused before, and is as often as it is asked; the log says so once
    kept = DecisionRecord.read(folder) if same else None
    facts = {} if kept is None else {"rule": kept.rule, "policy": kept.policy}
    premises.recorder.record(Event.JOB_REFUSED, proposal.id, code=error.code, submitter=proposal.submitter, **facts)
    if not same:
        return  # another job has this name, and its folder
    write_failure(folder, error)
    if row is None:
        # Kept as a job that ended, so that this party's people find it in their list.
        jobs.pend(proposal.id, body, submitter=proposal.submitter, reason="refused")
    if row is None or row.state in (JobState.PENDING, JobState.PROPOSED):
        jobs.end(proposal.id, JobState.FAILED, error)


def _consider(premises: Premises, caller: PartyId, proposal: JobSpecification, skew_s: float) -> None:
    row = _standing(premises, proposal, skew_s)
    if row is not None and row.proposal == proposal.to_bytes() and row.state is not JobState.PENDING:
        if row.state.final:
            raise RefusedError(row.problems or Problem("CONFLICT", f"job {proposal.id}", "has ended here"))
        return
    _check_proposal(premises, caller, proposal, skew_s, row)
    _judge(premises, proposal)


def _standing(premises: Premises, proposal: JobSpecification, skew_s: float) -> JobRow | None:
    """What is kept of the job. One that was refused for the clock alone is taken up again now that the clock is right:
    the call that brought the wrong time may have stood for a minute somewhere, and the platform asks again."""
    jobs = premises.store.jobs
    row = jobs.job(proposal.id)
    if row is None or row.state is not JobState.FAILED or row.proposal != proposal.to_bytes():
        return row
    if [problem.code for problem in row.problems] != [CLOCK_SKEW] or abs(skew_s) > premises.limits.clock_skew_s:
        return row
    jobs.reopen(proposal.id)
    (premises.folder / "jobs" / proposal.id / "failure.json").unlink(missing_ok=True)
    return jobs.job(proposal.id)


def _admit(premises: Premises, caller: PartyId, proposal: JobSpecification, skew_s: float) -> Admitted:
    _check_proposal(premises, caller, proposal, skew_s, _standing(premises, proposal, skew_s))
    _judge(premises, proposal)
    table = open_own_table(premises, proposal)
    try:
        if table.n_rows < premises.limits.min_rows:
            raise RefusedError(Problem("TABLE_TOO_SMALL", table.spec.title, "has fewer rows than min_rows"))
        check_room(premises.folder, needed_bytes(proposal, premises.me, table.n_rows))
        subjects, columns = own_subjects(premises, table), tuple(table.features)
        check_columns(proposal, premises.me, table)
        check_levels(proposal, premises.own_table(proposal), table)
        decision, record = _judge(premises, proposal, rows=table.n_rows, columns=columns, subjects=subjects)
        _spend(premises, proposal, decision)
        return Admitted(table, subjects, record.rule, record.policy)
    except BaseException:
        table.close()
        forget_snapshot(premises.folder, proposal.id)
        raise


def _judge(
    premises: Premises,
    proposal: JobSpecification,
    *,
    rows: int | None = None,
    columns: tuple[str, ...] | None = None,
    subjects: bytes | None = None,
    spent: bool = True,
) -> tuple[Decision, DecisionRecord]:
    """The decision, and what is kept of it. Raises: RefusedError (POLICY_REFUSED, APPROVAL_PENDING)."""
    me, store, folder = premises.me, premises.store, premises.folder / "jobs" / proposal.id
    now = premises.clock.now()
    try:
        source = premises.policy.current()
    except ConfigError as broken:
        raise RefusedError([Problem(REFUSED, "policy.toml", "cannot be used"), *broken.problems]) from None
    before = premises.history.earlier(store, proposal, me)
    request = request_of(proposal, me, now, rows=rows, columns=columns, subjects=subjects, before=before)
    known = (*(meters(source.policy, request) if spent else ()), *lookups(source.policy, request))
    used = _used(premises, proposal, known)
    decision = decide(source.policy, request, used)
    record = record_of(decision, source.digest, now)
    row = store.jobs.job(proposal.id)
    if decision.action is Action.APPROVE and not (row is not None and row.approved_by):
        _wait_for_a_person(premises, proposal, record, row)
    if decision.action is Action.APPROVE:
        kept = DecisionRecord.read(folder)
        if kept is None or kept.terms != record.terms:
            reason = Problem(
                REFUSED, f"rule {record.rule!r}", "is another one than when the job was approved", "submit it again"
            )
            decision = replace(decision, action=Action.REFUSE, reasons=(reason,))
            record = record_of(decision, source.digest, now)
    record.write(folder)
    if decision.action is Action.REFUSE:
        raise refusal(decision)
    return decision, record


def _wait_for_a_person(
    premises: Premises, proposal: JobSpecification, record: DecisionRecord, row: JobRow | None
) -> None:
    """Keep the job until a person decides. Raises: RefusedError (APPROVAL_PENDING)."""
    record.write(premises.folder / "jobs" / proposal.id)
    if row is None:
        facts = {"rule": record.rule, "policy": record.policy, "submitter": proposal.submitter}
        premises.recorder.record(Event.JOB_PENDING, proposal.id, **facts)
        body, reason = proposal.to_bytes(), f"rule {record.rule!r} wants a person's approval"
        premises.store.jobs.pend(proposal.id, body, submitter=proposal.submitter, reason=reason, rule=record.rule)
    what, fix = "waits for a person of this party", f"fedcredit job approve {proposal.id}"
    raise RefusedError(Problem(APPROVAL_PENDING, f"job {proposal.id}", what, fix))


def _used(premises: Premises, proposal: JobSpecification, known: tuple[Meter, ...]) -> Mapping[str, int]:
    budgets = premises.store.budgets
    return {meter.name: budgets.spent(meter.key, meter.since, without=proposal.id) for meter in known}


def _spend(premises: Premises, proposal: JobSpecification, decision: Decision) -> None:
    """Spend the job's part of each budget. Before the proposal is kept: a crash in between costs a budget at most one
    job, never lets one in too many, and the same job spends nothing more when it is proposed again."""
    for meter in decision.charges:
        try:
            budgets = premises.store.budgets
            budgets.spend(proposal.id, meter.key, meter.amount, limit=meter.limit, since=meter.since)
        except RefusedError as late:
            # Another job took the last of it between the decision and now.
            raise RefusedError([Problem(REFUSED, meter.name, "is used up"), *late.problems]) from None


def _check_proposal(
    premises: Premises, caller: PartyId, proposal: JobSpecification, skew_s: float, row: JobRow | None
) -> None:
    problems: list[Problem] = []

    def problem(code: str, where: str, what: str, fix: str = "") -> None:
        problems.append(Problem(code, where, what, fix))

    if abs(skew_s) > premises.limits.clock_skew_s:
        problem(CLOCK_SKEW, "platform", f"its clock and ours are {abs(skew_s):.0f} s apart", "synchronise the clocks")
    if proposal.platform != caller:
        problem("SPEC_INVALID", "platform", "is not the one that asks")
    if proposal.protocols != PROTOCOLS:
        mine, theirs = _versions(PROTOCOLS), _versions(proposal.protocols)
        problem("INCOMPATIBLE", "protocols", f"ours {mine}, theirs {theirs}", "install the same version everywhere")
    if proposal.proposal() != proposal:
        problem("SPEC_INVALID", "parties", "a proposal holds no offers yet")
    mine_entry = proposal.party(premises.me)
    table = premises.own_table(proposal)
    labelled = any(model.kind != "statistics" for model in proposal.models)
    if labelled and (mine_entry.role != "feature") != table.is_label:
        has = "has" if table.is_label else "has no"
        problem("ROLE_MISMATCH", f"parties.{premises.me}.role", f"this party's table {has} label", "mend party.toml")
    stated = table.id_types if proposal.layout == "horizontal" else proposal.intersect.id_type  # there none meet others
    if stated is not None and stated != table.id_types:
        # Keys that are made in different ways never meet: the intersection would be empty, and nobody would know why.
        what = f"the job's is {_key(stated)}, this party's table has {_key(table.id_types)}"
        problem("KEY_MISMATCH", "intersect.id_type", what, "declare the same columns at all parties, in the same order")
    elif stated is None and len(table.id_types) > 1:
        fix = f"[intersect] id_type = {list(table.id_types)}"
        problem("KEY_MISMATCH", "intersect.id_type", f"this party's table has {_key(table.id_types)}", fix)
    if proposal.leakage != proposal.derive_leakage():
        problem("LEAKAGE_MISSTATED", "leakage", "is not what the job's own parameters lead to")
    for model in proposal.models:
        problems.extend(_model_problems(model, proposal))
    if row is not None and (row.proposal != proposal.to_bytes() or row.state is not JobState.PENDING):
        problem("CONFLICT", f"job {proposal.id}", "is known here already")
    if problems:
        raise RefusedError(problems)


def _model_problems(model: ModelEntry, proposal: JobSpecification) -> Iterator[Problem]:
    """What keeps a model from being one, and what it asks below a floor."""
    try:
        if bins_of(model) is not None:
            if not model.hide_nodes:
                yield Problem("SPEC_INVALID", f"{model.name}: hide_nodes", f"a {model.kind} has no nodes to show")
            return
        if model.kind == "statistics":
            yield from table_problems(model, proposal)
            return
        if model.kind == "logistic":
            LogisticParams.from_mapping(model.params)
            return
        params = TreeParams.from_mapping(model.params)
    except ConfigError as error:
        yield from error.problems
        return
    for name in ("min_data_in_leaf", "min_data_in_bin"):
        # A job file cannot say less, but a proposal need not come from one.
        if getattr(params, name) < MIN_ROWS_FLOOR:
            yield Problem("CONFIG_FLOOR", f"{model.name}: {name}", f"is below {MIN_ROWS_FLOOR}")


def _key(types: tuple[str, ...]) -> str:
    return f"a key of {len(types)} columns: {', '.join(types)}" if len(types) > 1 else f"a key of type {types[0]}"


def _versions(protocols: dict[str, int]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(protocols.items()))
