"""What statistics over rows in common show to whom, in plain words: `docs/protocols/statistics.md`."""

from __future__ import annotations

from collections.abc import Iterator

from fedcredit.governance.public_job import Disclosure, PublicJob, PublicModel

__all__ = ["statistics_disclosures"]


def statistics_disclosures(job: PublicJob, model: PublicModel) -> Iterator[Disclosure]:
    """The rows of the table that such a model makes. The label party is the one that asks."""
    asker = job.label_party
    for party in job.feature_parties:
        yield Disclosure(
            "statistics.groups",
            (asker,),
            "of each column that the job names: what its groups are called (its levels, or the split points that its "
            "owner has declared) and how many of the subjects in common are in each, never fewer than the job's "
            "min_cell. Small groups are counted together before anybody sees them",
            (party,),
            f"{model.name}: tables",
        )
        if "cells" in model.tables:
            yield Disclosure(
                "statistics.cells",
                (asker,),
                "how many of the subjects of each of its own categories are in each group, where they are at least "
                "min_cell. The other cells are hidden, and further ones, so that the totals do not give them back",
                (party,),
                f"{model.name}: tables",
            )
        if "sums" in model.tables:
            yield Disclosure(
                "statistics.sums",
                (asker,),
                "the sums of its own columns, and of their squares where it asks for the spread, over the subjects of "
                "each group or cell that is shown. If one subject's value is far above all others, it can tell which "
                "group that subject is in; values made up for the purpose would tell it of many",
                (party,),
                f"{model.name}: tables",
            )
    for party in job.feature_parties:
        yield Disclosure(
            "statistics.asked",
            (party,),
            "how many categories and sums are counted over its own columns, and which of their cells are below "
            "min_cell: categories by opaque number, without their names, sizes or values",
            (asker,),
            f"{model.name}: tables",
        )
        if "shared" in model.tables:
            yield Disclosure(
                "statistics.shared",
                (party,),
                "the finished tables with the names of all groups and categories; hidden cells stay hidden. In a cell "
                "that one large value dominates, the sum is close to that value",
                tuple(other for other in (asker, *job.feature_parties) if other != party),
                f"{model.name}: shared tables",
            )
