"""Configuration: a job file says what is computed, a party file says who computes it. Both are read strictly.

Unknown keys are errors that name the nearest known key; all problems of a file are listed at once, as ConfigError.
"""

from __future__ import annotations

from fedcredit.runtime.job_file import (
    MIN_INTERSECTION_FLOOR,
    MIN_ROWS_FLOOR,
    ColumnSection,
    GbdtSection,
    IntersectSection,
    JobFile,
    JobSection,
    SplitSection,
    TableSection,
    load_job,
)
from fedcredit.runtime.party_file import (
    IdentitySection,
    LimitsSection,
    ListenSection,
    PartyFile,
    PartySection,
    TrustSection,
    load_party,
)

__all__ = [
    "MIN_INTERSECTION_FLOOR",
    "MIN_ROWS_FLOOR",
    "ColumnSection",
    "GbdtSection",
    "IdentitySection",
    "IntersectSection",
    "JobFile",
    "JobSection",
    "LimitsSection",
    "ListenSection",
    "PartyFile",
    "PartySection",
    "SplitSection",
    "TableSection",
    "TrustSection",
    "load_job",
    "load_party",
]
