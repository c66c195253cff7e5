"""What a joint logistic regression shows to whom, in plain words: `docs/protocols/linear.md`."""

from __future__ import annotations

from collections.abc import Iterator

from fedcredit.governance.public_job import Disclosure, PublicJob, PublicModel

__all__ = ["linear_disclosures"]


def linear_disclosures(job: PublicJob, model: PublicModel) -> Iterator[Disclosure]:
    """The rows of the table that such a model makes."""
    label, partner = job.label_party, job.feature_parties[0]
    for party in job.feature_parties:
        yield Disclosure(
            "linear.model",
            (label,),
            "how many columns there are; at every step dot products of gradients and of moves, from which the "
            "coefficients follow up to a rotation among the party's columns, and of a single column, in units of its "
            "spread, up to its sign; the largest size of its partial scores, rounded up; its part of the intercept",
            (party,),
            f"{model.name}: search for the coefficients",
        )
        yield Disclosure(
            "linear.moments",
            (label,),
            "the weighted second moments of its columns with each other and with all other columns, and with each "
            "column's upper and lower digits apart, and their means in units of their spread: sums over all rows",
            (party,),
            f"{model.name}: standard errors",
        )
        if model.fixed_signs:
            yield Disclosure(
                "linear.signs",
                (label,),
                "each time the search ends, by opaque number, which of its columns have a coefficient on the wrong "
                "side of 0, or one that is held at 0 and would leave it; in the end which are held at 0",
                (party,),
                f"{model.name}: fixed signs",
            )
        yield Disclosure(
            "linear.gradients",
            (party,),
            "at every step the sum over all rows of its columns times the residuals (label less probability), the "
            "columns' upper and lower digits apart; the share of bad rows; how many steps there were",
            tuple(other for other in (label, *job.feature_parties) if other != party),
            f"{model.name}: search for the coefficients",
        )
    if len(job.feature_parties) > 1:
        yield Disclosure(
            "linear.shares",
            (label, partner),
            "nothing each by itself; together, if they broke their word and put their shares side by side, the sum of "
            "the other parties' partial scores of every row",
            tuple(party for party in job.feature_parties if party != partner),
            f"{model.name}: shares of scores",
        )
