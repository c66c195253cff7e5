"""What a mixed scorecard shows to whom, in plain words: `docs/protocols/mixed.md`.

Several banks have labels of subjects of their own, departments have columns of all of them. What one label party learns
of a vertical card, the leader of the banks learns over the rows of all banks; of one bank's rows alone nobody sees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from fedcredit.governance.public_job import Disclosure, PublicJob, PublicModel

__all__ = ["mixed_alignment", "mixed_disclosures"]


def mixed_alignment(job: PublicJob) -> Iterator[Disclosure]:
    """The rows of the table that finding common subjects makes, bank by bank."""
    banks, departments = (job.label_party, *job.members), job.feature_parties
    for bank in banks:
        learns = (
            "which of its own rows all departments have as well: each of those subjects is known to every department"
        )
        yield Disclosure("mixed.align", (bank,), learns, departments, "intersection of identifiers with one bank")
    for department in departments:
        learns = (
            "which of its own rows are subjects of which bank, how many each bank trains on and holds out, and so "
            "which subjects are with two banks"
        )
        about = (*banks, *(other for other in departments if other != department))
        yield Disclosure("mixed.borrowers", (department,), learns, about, "intersection of identifiers with one bank")
    if job.time_split:
        learns = "which of its aligned rows lie before the date of the split, and which after it"
        yield Disclosure("mixed.time", departments, learns, banks, "hold-out by time")


def mixed_disclosures(job: PublicJob, model: PublicModel, vertical: Iterable[Disclosure]) -> Iterator[Disclosure]:
    """The rows of the table that one mixed scorecard makes; `vertical` are those of the card of one label party."""
    banks = (job.label_party, *job.members)
    for row in vertical:
        about = tuple(dict.fromkeys(other for party in row.about for other in (banks if party in banks else (party,))))
        learns = f"over the rows of all banks together, of no bank alone: {row.learns}"
        yield replace(row, id=f"mixed.{row.id}", learns=learns, about=about)
    for bank in banks:
        others = tuple(other for other in banks if other != bank)
        learns = (
            "the banks' part of the card, with bins and points of their common columns, and their coefficients at "
            "every step of the fit; over the rows of all banks together, counts of bins, means and correlations of "
            "these columns, how many good and bad rows have each number of points, and the card of these columns alone"
        )
        yield Disclosure("mixed.part", (bank,), learns, others, f"{model.name}: the banks' part")
        learns = "how the total points of good and bad rows are spread over its own rows, where these are 50 at least"
        yield Disclosure("mixed.own", (bank,), learns, job.feature_parties, f"{model.name}: evaluation")
        learns = "how many columns each department has in the card at each step, and about how many pre-bins they have"
        yield Disclosure("mixed.columns", (bank,), learns, job.feature_parties, f"{model.name}: selection")
    learns = (
        "over the rows of all banks together, at every step of the fit the gradient of the banks' common columns and "
        "the likelihood, the largest partial score, and the information matrix"
    )
    yield Disclosure("mixed.fit", (job.label_party,), learns, job.members, f"{model.name}: fit")
