"""What a party looks at before it lets in a job that asks for statistics: its parties, and this party's own columns."""

from __future__ import annotations

from collections.abc import Iterator

from fedcredit.credit.statistics_params import LABEL, StatisticsParams
from fedcredit.errors import Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.node.specification import JobSpecification, ModelEntry
from fedcredit.tables import Table

__all__ = ["check_columns", "table_problems"]


def table_problems(model: ModelEntry, proposal: JobSpecification) -> Iterator[Problem]:
    """What keeps the tables of `model` from being tables of this job. Raises: ConfigError for parameters of none."""
    params = StatisticsParams.from_mapping(model.params)
    for problem in params.misfits(proposal.label_party, proposal.data_parties):
        yield Problem("SPEC_INVALID", f"{model.name}: {problem.where}", problem.what, problem.fix)
    if not model.hide_nodes:
        yield Problem("SPEC_INVALID", f"{model.name}: hide_nodes", "statistics have no nodes to show")


def check_columns(proposal: JobSpecification, me: PartyId, table: Table) -> None:
    """Raises: RefusedError (COLUMN_MISSING) for each column of `me` that a table names and that it does not lend."""
    asker, problems = proposal.label_party, []
    for model in proposal.models:
        if model.kind != "statistics":
            continue
        for of_table in StatisticsParams.from_mapping(model.params).table:
            where = f"{model.name}: table {of_table.name}"
            for key, columns in (("by", of_table.by), ("sum", of_table.sum)):
                for name in columns:
                    is_label = key == "sum" and name.column == LABEL and me == asker and table.spec.label is not None
                    if name.party == me and name.column not in table.features and not is_label:
                        what = f"{name} is no column that this party lends"
                        fix = "name another, or have its policy lend it"
                        problems.append(Problem("COLUMN_MISSING", f"{where}: {key}", what, fix))
    if problems:
        raise RefusedError(problems)
