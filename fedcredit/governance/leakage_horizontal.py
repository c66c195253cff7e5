"""What a horizontal model shows to whom, in plain words: `docs/protocols/aggregate.md`, `docs/horizontal.md`.

All parties have the same columns for different subjects and end with the same model. What any of them sees beyond its
own rows are sums over all of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from fedcredit.governance.public_job import Disclosure, PublicJob, PublicModel
from fedcredit.ids import PartyId

__all__ = ["aggregate_disclosures", "horizontal_disclosures"]


def aggregate_disclosures(job: PublicJob) -> Iterator[Disclosure]:
    """The rows of the table that adding up makes, whatever is added up."""
    members = (job.label_party, *job.members)
    for party in members:
        others = _others(members, party)
        if job.horizontal:
            learns = "names, kinds and levels of all columns, and which of them another party has differently"
            yield Disclosure("horizontal.columns", (party,), learns, others, "agreement on columns")
            learns = "how many rows, and how many bad rows, all parties together train on and hold out"
            yield Disclosure("horizontal.rows", (party,), learns, others, "sum of rows")
        if job.noised:
            yield Disclosure("aggregate.noised", (party,), _NOISED, others, "sums with noise")
        elif len(members) == 2:
            learns = (
                "all sums of the other party: the sum of two less one's own is the other's, so that masks hide nothing"
            )
            yield Disclosure("aggregate.two", (party,), learns, others, "sums of two parties")
        if job.threshold < len(members):
            learns = (
                "of a party that is left out because it was away, what it had contributed: sums with it and sums "
                "without it tell the difference, exactly where both are of the same rows"
            )
            yield Disclosure(
                "aggregate.departure", (party,), learns, others, "sums before and after a party is left out"
            )


def horizontal_disclosures(job: PublicJob, model: PublicModel) -> Iterator[Disclosure]:
    """The rows of the table that one horizontal model makes."""
    members = (job.label_party, *job.members)
    for party in members:
        others = _others(members, party)
        for name, learns, through in _SHOWN[model.kind]:
            yield Disclosure(name, (party,), learns, others, f"{model.name}: {through}")


_NOISED = (
    "sums to which each party has added noise of its own: all sums of the job together are differentially private, "
    "with the epsilon and delta that the job states under [aggregate], for one row of another party, also to a party "
    "that takes its own values and noise away; of two parties, each sees the other's sums with the other's noise, "
    "which alone hides rows"
)
_CUTS = (
    "horizontal.cuts",
    "of each column over the rows of all parties together: quantiles, the number of missing and special values, and "
    "how many rows lie in cells of values around the quantiles; of no party alone",
    "bins",
)
_JUDGED = (
    "horizontal.scores",
    "over the rows of all parties together, how many good and bad ones have a score in each of some thousand steps; of "
    "no party alone",
    "evaluation",
)
_WITHIN = (
    "horizontal.within",
    "how many pairs of a good and a bad row of one party the model puts in the right order, and how many that party's "
    "own model does, over all parties together",
    "evaluation",
)
_FIT = (
    "horizontal.fit",
    "the coefficients with their errors, and at each step of the fit the gradient, the information matrix and the "
    "likelihood over the rows of all parties together",
    "fit",
)
_COUNTS = (
    "horizontal.counts",
    "how many rows and bad rows of all parties together each pre-bin of every column has, and how many rows each "
    "level, each special value and the missing ones have, however few",
    "counts",
)
_MOMENTS = (
    "horizontal.moments",
    "means, spreads and correlations of columns, or of their weights of evidence, over the rows of all parties "
    "together",
    "moments",
)
_CARD = (
    "horizontal.card",
    "the whole card: bins, weight of evidence, points; and over the rows of all parties together, how many held out "
    "are in each bin, how many good and bad ones have each number of points by the card, and by each party's own card",
    "card",
)
_TREES = (
    "horizontal.trees",
    "the trees with thresholds and leaf values; of every node the number of rows, gradients and the best splits over "
    "all parties together, and these sums over the bins of the columns that this party looks after, about one in as "
    "many as there are parties. With few rows in a bin or a leaf a sum is close to single rows; with many trees sums "
    "of gradients tell much of how labels lie in small bins",
    "trees",
)
_TABLES = (
    "horizontal.tables",
    "the tables of statistics over the rows of all parties together, in which cells of few rows are left out: how many "
    "rows such a cell has is seen while a table is made, its values are not",
    "tables",
)

_SHOWN: dict[str, tuple[tuple[str, str, str], ...]] = {
    "gbdt": (_CUTS, _TREES, _JUDGED, _WITHIN),
    "binning": (_CUTS, _COUNTS),
    "scorecard": (_CUTS, _COUNTS, _MOMENTS, _FIT, _CARD, _WITHIN),
    "logistic": (_CUTS, _MOMENTS, _FIT, _JUDGED, _WITHIN),
    "statistics": (_TABLES,),
}


def _others(members: tuple[PartyId, ...], party: PartyId) -> tuple[PartyId, ...]:
    return tuple(other for other in members if other != party)
