"""Everything that is wrong with a table, and everything its owner should know of it, without running a job."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from fedcredit.errors import FedcreditError, Problem
from fedcredit.tables.quality import Quality
from fedcredit.tables.spec import Limits, Resources, TableSpec
from fedcredit.tables.table import Table, examine_table

__all__ = ["TableReport", "check_table"]


@dataclass(frozen=True, slots=True)
class TableReport:
    """A table as a job would find it. `problems` keep a job from using it; `quality` is None if it cannot be read."""

    name: str
    source: str
    problems: tuple[Problem, ...]
    quality: Quality | None
    exit_status: int

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What a job would put up with."""
        return () if self.quality is None else self.quality.warnings

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "table": self.name,
            "source": self.source,
            "ok": not self.problems,
            "problems": [asdict(problem) for problem in self.problems],
            "quality": None if self.quality is None else self.quality.to_dict(),
        }


def check_table(
    name: str,
    spec: TableSpec,
    *,
    limits: Limits | None = None,
    resources: Resources | None = None,
    today: datetime.date | None = None,
    look: Callable[[Table], object] | None = None,
) -> TableReport:
    """Read the table that `spec` declares and say all about it. Problems of a table are in the report, not raised.

    `look` is called with the table while it is open; if there are problems, it is good for its quality alone.
    """
    source = "file" if spec.source is None else type(spec.source).__name__.removesuffix("Source").lower()
    try:
        table, problems = examine_table(spec, limits or Limits(), resources or Resources(), None, today)
    except FedcreditError as error:
        return TableReport(name, source, error.problems, None, error.exit_status)
    with table:
        if look is not None:
            look(table)
        return TableReport(name, source, tuple(problems.found), table.profiled(), 65 if problems.found else 0)
