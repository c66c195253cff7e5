"""Configuration: a job file says what is computed, a party file says who computes it. Both are read strictly.

Unknown keys are errors that name the nearest known key; all problems of a file are listed at once, as ConfigError.
"""

from __future__ import annotations

from fedcredit.runtime.job_file import (
    MIN_INTERSECTION_FLOOR,
    MIN_ROWS_FLOOR,
    AggregateSection,
    BinningSection,
    GbdtSection,
    IntersectSection,
    JobFile,
    JobSection,
    SplitSection,
    intersection,
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
from fedcredit.runtime.table_file import (
    MAIN_TABLE,
    ColumnSection,
    DeclaredSection,
    HttpSection,
    PostgresqlSection,
    TableSection,
)

__all__ = [
    "MAIN_TABLE",
    "MIN_INTERSECTION_FLOOR",
    "MIN_ROWS_FLOOR",
    "AggregateSection",
    "BinningSection",
    "ColumnSection",
    "DeclaredSection",
    "GbdtSection",
    "HttpSection",
    "IdentitySection",
    "IntersectSection",
    "JobFile",
    "JobSection",
    "LimitsSection",
    "ListenSection",
    "PartyFile",
    "PartySection",
    "PostgresqlSection",
    "SplitSection",
    "TableSection",
    "TrustSection",
    "intersection",
    "load_job",
    "load_party",
]
