"""What joint correlations show to whom, in plain words: `docs/protocols/moments.md`."""

from __future__ import annotations

from collections.abc import Iterator

from fedcredit.governance.public_job import Disclosure, PublicJob, PublicModel

__all__ = ["moments_disclosures"]


def moments_disclosures(job: PublicJob, model: PublicModel) -> Iterator[Disclosure]:
    """The rows of the table that the selection of such a model's columns makes."""
    label = job.label_party
    for party in job.feature_parties:
        yield Disclosure(
            "scorecard.correlations",
            (label,),
            "how strongly each of its best columns, by number, correlates with each other one and with each of all "
            "other parties' best columns, over all training rows. Of two columns with few bins these figures may tell "
            "how many rows are in each pair of bins; of no row anything beyond",
            (party,),
            f"{model.name}: selection",
        )
    for party in job.feature_parties:
        yield Disclosure(
            "scorecard.columns",
            (party,),
            "how many columns each party has left when they are correlated",
            tuple(other for other in (label, *job.feature_parties) if other != party),
            f"{model.name}: selection",
        )
