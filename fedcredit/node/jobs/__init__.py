"""The jobs of a party: what they need, their stages, one start after another, and their results."""

from __future__ import annotations

from fedcredit.node.jobs.premises import Premises, open_own_table, write_failure
from fedcredit.node.jobs.run import JobRun, Outcome
from fedcredit.node.jobs.stages import Finished, Split, Validated

__all__ = [
    "Finished",
    "JobRun",
    "Outcome",
    "Premises",
    "Split",
    "Validated",
    "open_own_table",
    "write_failure",
]
