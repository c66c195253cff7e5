"""What noise the sums of a job have at this party: what all of them may spend, and which sums there will be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from fedcredit.errors import Problem, RefusedError
from fedcredit.estimators import Federation
from fedcredit.estimators.noised_binning import binning_releases
from fedcredit.estimators.noised_sums import Noise, PrivacyPlan, PrivacySpend
from fedcredit.node.specification import JobSpecification
from fedcredit.runtime.table_file import TableSection
from fedcredit.tables import Table

__all__ = ["ROWS", "ROWS_SENSITIVITY", "check_levels", "noise_of", "privacy_of"]

ROWS = "/rows"
"""The part of the job that adds up rows; no model can be called so."""

ROWS_SENSITIVITY = math.sqrt(4)
"""How far one row that is replaced moves rows and bad rows, to train on and held out: it may be a bad one of those that
becomes a bad one of these."""

_RELEASES: Mapping[str, Callable[[str], dict[str, int]]] = {"binning": binning_releases}
_OF_MODEL = 49  # of which rows have one for each model


def privacy_of(specification: JobSpecification) -> PrivacySpend | None:
    """What the sums of one start of the job may spend; None where they have no noise. The same plan at all parties."""
    noise = None if specification.aggregate is None else specification.aggregate.noise
    if noise is None:
        return None
    parts = {m.name: (_OF_MODEL, _RELEASES[m.kind](m.name)) for m in specification.models}
    return PrivacySpend(PrivacyPlan.of(*noise, {ROWS: (len(parts), {"count": 1}), **parts}))


def noise_of(privacy: PrivacySpend | None, part: str, federation: Federation) -> Noise | None:
    """The noise of one part of the job, the same in all its starts."""
    if privacy is None:
        return None
    return Noise(privacy, part, federation.kept_secret, federation.randomness)


def check_levels(specification: JobSpecification, declared: TableSection, table: Table) -> None:
    """Raises: RefusedError (NOISE_LEVELS) where a noised job would show levels that were found in rows.

    Members tell each other the levels of their columns as they are. Those that a party declares are none of its rows'.
    """
    if specification.aggregate is None or not specification.aggregate.noised:
        return
    found = []
    for column in table.spec.columns:
        said = declared.columns.get(column.name)
        if column.name in table.features and column.levels and (said is None or said.levels is None):
            what = "has levels that were found in its rows: other parties would be told them without noise"
            found.append(Problem("NOISE_LEVELS", f"column {column.name}", what, "declare its levels"))
    if found:
        raise RefusedError(found)
