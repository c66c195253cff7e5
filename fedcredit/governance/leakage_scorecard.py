"""What a scorecard shows to whom beside its binning, in plain words: `docs/protocols/scorecard.md`."""

from __future__ import annotations

from collections.abc import Iterator

from fedcredit.governance.leakage_linear import linear_disclosures
from fedcredit.governance.leakage_moments import moments_disclosures
from fedcredit.governance.leakage_tally import tally_disclosures
from fedcredit.governance.public_job import Disclosure, PublicJob, PublicModel

__all__ = ["logistic_disclosures", "scorecard_disclosures"]


def scorecard_disclosures(job: PublicJob, model: PublicModel) -> Iterator[Disclosure]:
    """The rows of the table that selection, fit and evaluation make."""
    label = job.label_party
    for party in job.feature_parties:
        yield Disclosure(
            "scorecard.figures",
            (label,),
            "of each of its columns, by opaque number, the share of rows that is missing and how far the spread over "
            "bins differs between the rows to train on and those held out; which columns are like better ones of its "
            "own, and how much",
            (party,),
            f"{model.name}: selection",
        )
        yield Disclosure(
            "scorecard.significance",
            (label,),
            "of each of its columns in a fit the coefficient over its standard error, from which with what else it has "
            "the coefficient in units of the column's spread follows; no names, bins or points",
            (party,),
            f"{model.name}: significance",
        )
        yield Disclosure(
            "scorecard.chosen",
            (party,),
            "which of its own columns go on at each step of the selection, and which other parties have columns that "
            "do: that they say much of the label beside all others; of those in the card the points of each bin",
            (label,),
            f"{model.name}: selection",
        )
        if model.period_scores:
            yield Disclosure(
                "scorecard.periods",
                (label,),
                "how many rows held out of each period have each total of points, rounded to at most 32 steps, in "
                "periods of 50 rows and more; and the same over the training rows. Of no row its total; but where a "
                "step has few rows, the label party's own points may tell it which rows these are",
                (party,),
                f"{model.name}: stability by period",
            )
        if model.merged_card:
            yield Disclosure(
                "scorecard.card",
                (label,),
                "names, split points or levels, weights of evidence and points of its columns in the card",
                (party,),
                f"{model.name}: one card in one place",
            )
    yield from moments_disclosures(job, model)
    yield from linear_disclosures(job, model)
    yield from tally_disclosures(job, model)


def logistic_disclosures(job: PublicJob, model: PublicModel) -> Iterator[Disclosure]:
    """The rows of the table that a logistic regression on numeric columns makes."""
    for party in job.feature_parties:
        yield Disclosure(
            "logistic.significance",
            (job.label_party,),
            "with standard errors, of each of its columns the coefficient over its error, from which the coefficient "
            "in units of the column's spread follows",
            (party,),
            f"{model.name}: significance",
        )
        yield Disclosure(
            "logistic.range",
            (job.label_party,),
            "the fewest and the most points that any row has from its columns, rounded outward to fifties",
            (party,),
            f"{model.name}: evaluation",
        )
    yield from linear_disclosures(job, model)
    yield from (row for row in tally_disclosures(job, model) if row.id != "scorecard.range")
