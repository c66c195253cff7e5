"""How the sums of a job's models are made: what the job names, or what its sizes and lines ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.logistic_params import LogisticParams
from fedcredit.credit.params import TreeParams
from fedcredit.credit.scorecard_params import ScorecardParams
from fedcredit.credit.statistics_groups import MAX_GROUPS
from fedcredit.credit.statistics_params import StatisticsParams
from fedcredit.errors import Problem, RefusedError
from fedcredit.protocols.groupsum.choice import MAX_HOURS, Choice, Work, choose, cost_of
from fedcredit.protocols.linear import CORES, seconds_of_fit

if TYPE_CHECKING:
    # A specification asks here what its models show.
    from fedcredit.node.specification import JobSpecification, ModelEntry

__all__ = ["backends_of", "bins_of", "check_hours", "choice_of"]


def bins_of(model: ModelEntry) -> BinParams | None:
    """How columns are binned for `model`, if they are binned and no trees are grown."""
    if model.kind == "scorecard":
        return ScorecardParams.from_mapping(model.params).bins
    return BinParams.from_mapping(model.params) if model.kind == "binning" else None


UNDER_RLWE = frozenset({"binning", "logistic", "scorecard"})
"""Kinds of model that are made under ring-LWE unless the job names something else."""

_WHY = {
    "binning": "counts of labels take least time and least traffic by it",
    "logistic": "an iteration takes a thousandth of the time that it takes under paillier",
    "scorecard": "counts of labels take least time by it, and iterations a thousandth of what they take under paillier",
}


def backends_of(specification: JobSpecification, model: ModelEntry) -> frozenset[str]:
    """The backends that `model` may run with: one once all parties have said how many rows and columns they bring."""
    if model.split == "horizontal":
        return frozenset()  # nothing is summed by another's groups
    if model.groupsum != "auto":
        return frozenset({model.groupsum})
    if model.kind in UNDER_RLWE:
        return frozenset({"rlwe"})
    if specification.intersect.line_mbit is None:
        return frozenset({"onehot"})
    if any(None in (party.rows, party.features) for party in specification.parties):
        return frozenset({"onehot", "paillier"})
    return frozenset({choice_of(specification, model).backend})


def choice_of(specification: JobSpecification, model: ModelEntry) -> Choice:
    """The backend of `model`, and why it is that one. Where it is left open, of a job with all offers in.

    Of a horizontal model it means nothing: no sums are made by another's groups.
    """
    if model.split == "horizontal":
        return Choice("onehot", "values are added up under masks")
    if model.groupsum == "rlwe":
        return Choice("rlwe", "the job names it")
    if model.kind in UNDER_RLWE and model.groupsum == "auto":
        return Choice("rlwe", _WHY[model.kind])
    if model.groupsum == "paillier" and model.kind in UNDER_RLWE:
        hours = _paillier_hours(specification, model)
        return Choice("paillier", f"the job names it; computing takes about {hours:.2g} hours on two cores")
    return choose(model.groupsum, _work(specification, model), line_mbit=specification.intersect.line_mbit)


def check_hours(specification: JobSpecification) -> None:
    """Raises: RefusedError (GROUPSUM_HOURS) where a model would compute for days under Paillier."""
    problems = []
    for model in specification.models:
        if model.split == "horizontal":
            continue
        hours = _paillier_hours(specification, model)
        if choice_of(specification, model).backend == "paillier" and hours > MAX_HOURS:
            what = f"would compute for about {hours:,.0f} hours under Paillier on two cores, more than {MAX_HOURS:g}"
            fix = f"set groupsum = '{'auto' if model.kind in UNDER_RLWE else 'onehot'}'"
            problems.append(Problem("GROUPSUM_HOURS", f"model {model.name}", what, fix))
    if problems:
        raise RefusedError(problems)


def _paillier_hours(specification: JobSpecification, model: ModelEntry) -> float:
    """What the model takes under Paillier: sums, and of a scorecard or a regression two fits or one."""
    seconds = 0.0 if model.kind == "logistic" else cost_of("paillier", _work(specification, model)).seconds
    if model.kind in ("logistic", "scorecard"):
        rows = min(party.rows or 0 for party in specification.parties)
        parties = (specification.label_party, *specification.feature_parties)
        columns = [specification.party(party).features or 0 for party in parties]
        fits, inference = 1, True
        if model.kind == "scorecard":
            most = ScorecardParams.from_mapping(model.params).max_features
            columns = [min(d, most) for d in columns]
            fits = 2
        else:
            inference = LogisticParams.from_mapping(model.params).standard_errors
        seconds += fits * seconds_of_fit(rows, tuple(columns), inference=inference) / CORES
    return seconds / 3600


def _work(specification: JobSpecification, model: ModelEntry) -> Work:
    """At most: if all subjects of the party with the fewest rows are in common, and none of them is held out."""
    rows = min(party.rows or 0 for party in specification.parties)
    features = tuple(party.features or 0 for party in specification.parties if party.role == "feature")
    if (bins := bins_of(model)) is not None:
        # Each pre-bin is counted once: as the histograms of one tree without a split.
        cuts = bins.cuts
        return Work(rows=rows, features=features, bins=cuts, trees=1, depth=1, hide_nodes=False)
    if model.kind == "statistics":
        # Each table counts one column, for each of the asker's categories anew.
        tables = StatisticsParams.from_mapping(model.params).table
        asker = specification.label_party
        lent = [table.holder(asker) for table in tables]
        features = tuple(lent.count(party) for party in specification.feature_parties)
        return Work(rows=rows, features=features, bins=MAX_GROUPS, trees=1, depth=1, hide_nodes=False)
    params = TreeParams.from_mapping(model.params)
    return Work(
        rows=rows,
        features=features,
        bins=params.max_bin,
        trees=params.num_trees,
        depth=params.max_depth,
        hide_nodes=model.hide_nodes,
    )
