"""Whether a party takes part in a job that a platform proposes: checks of the proposal, then of the party's own table.

The platform is told the code of a refusal. Its reasons are for this party's own people: they are in the job's folder
and in the audit log.
"""

from __future__ import annotations

import asyncio

from fedcredit.credit.params import TreeParams
from fedcredit.errors import ConfigError, FedcreditError, Problem, RefusedError
from fedcredit.governance.audit import Event
from fedcredit.ids import PartyId
from fedcredit.node.jobs import Premises, open_own_table, write_failure
from fedcredit.node.specification import PROTOCOLS, JobSpecification
from fedcredit.tables import Table

__all__ = ["admit"]


async def admit(premises: Premises, caller: PartyId, proposal: JobSpecification, time_ms: int) -> Table:
    """This party's table for the job, open. Raises: FedcreditError, recorded, when the party takes no part."""
    try:
        _check_proposal(premises, caller, proposal, time_ms)
        return await _open_table(premises, proposal)
    except FedcreditError as error:
        await asyncio.to_thread(_record_refusal, premises, proposal, error)
        raise


def _record_refusal(premises: Premises, proposal: JobSpecification, error: FedcreditError) -> None:
    write_failure(premises.folder / "jobs" / proposal.id, error)
    premises.recorder.record(Event.JOB_REFUSED, proposal.id, code=error.code)


async def _open_table(premises: Premises, proposal: JobSpecification) -> Table:
    table = await asyncio.to_thread(open_own_table, premises, proposal)
    if table.n_rows < premises.limits.min_rows:
        table.close()
        raise RefusedError(Problem("TABLE_TOO_SMALL", table.spec.title, "has fewer rows than min_rows"))
    return table


def _check_proposal(premises: Premises, caller: PartyId, proposal: JobSpecification, time_ms: int) -> None:
    problems: list[Problem] = []

    def problem(code: str, where: str, what: str, fix: str = "") -> None:
        problems.append(Problem(code, where, what, fix))

    skew_s = abs(premises.clock.now().timestamp() - time_ms / 1000)
    if skew_s > premises.limits.clock_skew_s:
        problem("CLOCK_SKEW", "platform", f"its clock and ours are {skew_s:.0f} s apart", "synchronise the clocks")
    if proposal.platform != caller:
        problem("SPEC_INVALID", "platform", "is not the one that asks")
    if proposal.protocols != PROTOCOLS:
        mine, theirs = _versions(PROTOCOLS), _versions(proposal.protocols)
        problem("INCOMPATIBLE", "protocols", f"ours {mine}, theirs {theirs}", "install the same version everywhere")
    if proposal.proposal() != proposal:
        problem("SPEC_INVALID", "parties", "a proposal holds no offers yet")
    mine_entry = proposal.party(premises.me)
    table = premises.own_table(proposal)
    if proposal.models and (mine_entry.role == "label") != table.is_label:
        has = "has" if table.is_label else "has no"
        problem("ROLE_MISMATCH", f"parties.{premises.me}.role", f"this party's table {has} label", "mend party.toml")
    if proposal.leakage != proposal.derive_leakage():
        problem("LEAKAGE_MISSTATED", "leakage", "is not what the job's own parameters lead to")
    for model in proposal.models:
        try:
            TreeParams.from_mapping(model.params)
        except ConfigError as error:
            problems.extend(error.problems)
    if premises.store.jobs.job(proposal.id) is not None:
        problem("CONFLICT", f"job {proposal.id}", "is known here already")
    if problems:
        raise RefusedError(problems)


def _versions(protocols: dict[str, int]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(protocols.items()))
