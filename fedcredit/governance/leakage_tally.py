"""What a tally of total points shows to whom, in plain words: `docs/protocols/tally.md`."""

from __future__ import annotations

from collections.abc import Iterator

from fedcredit.governance.public_job import Disclosure, PublicJob, PublicModel

__all__ = ["tally_disclosures"]


def tally_disclosures(job: PublicJob, model: PublicModel) -> Iterator[Disclosure]:
    """The rows of the table that the evaluation of such a model makes."""
    label, partner = job.label_party, job.feature_parties[0]
    several = len(job.feature_parties) > 1
    for party in job.feature_parties:
        yield Disclosure(
            "scorecard.tally",
            (label,),
            "how many good and how many bad rows have each total of points, rounded to at most 128 steps: over the "
            "training rows, and over the rows held out with all points, without its own, and where there are several "
            "feature parties without those of each. Of no row its total; but where a step has few rows, its own points "
            "and labels may tell it which rows these are, and so about how many points the others give them",
            (party,),
            f"{model.name}: evaluation",
        )
        yield Disclosure(
            "scorecard.range",
            (label,),
            "the fewest and the most points that its part of the card can give a row",
            (party,),
            f"{model.name}: evaluation",
        )
    for party in job.feature_parties:
        yield Disclosure(
            "scorecard.step",
            (party,),
            "how many points a step of the distribution is: roughly how far the points of all parties reach together",
            tuple(other for other in (label, *job.feature_parties) if other != party),
            f"{model.name}: evaluation",
        )
    if several:
        yield Disclosure(
            "scorecard.shares",
            (label, partner),
            "nothing each by itself; together, if they broke their word and put their shares side by side, the points "
            "of every row that each of the other parties gives, in such steps",
            tuple(party for party in job.feature_parties if party != partner),
            f"{model.name}: shares of points",
        )
