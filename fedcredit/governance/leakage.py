"""What each party of a job will learn, written down before the job starts.

Two sources make the table. Plain words say what a step of a job shows to whom, as a risk officer would put it. The
`Reveals:` and `Assumes:` paragraphs of the protocols' roles say the same in the words of the protocol; a class without
them cannot run in a job. A disclosure has an id that a party's policy accepts; an id is used for one
text only, so a changed text asks for acceptance anew.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from fedcredit.errors import FedcreditError, Problem, RefusedError
from fedcredit.governance.leakage_horizontal import aggregate_disclosures, horizontal_disclosures
from fedcredit.governance.leakage_linear import linear_disclosures
from fedcredit.governance.leakage_mixed import mixed_alignment, mixed_disclosures
from fedcredit.governance.leakage_scorecard import logistic_disclosures, scorecard_disclosures
from fedcredit.governance.leakage_statistics import statistics_disclosures
from fedcredit.governance.public_job import Disclosure, PublicJob, PublicModel
from fedcredit.ids import PartyId
from fedcredit.protocols.aggregate import SurvivingSum
from fedcredit.protocols.binning import BinningFeature, BinningLabel, LabelCounter, LentColumns
from fedcredit.protocols.boosting import FeatureParty, FeatureScorer, LabelParty, LabelScorer
from fedcredit.protocols.collectives import Agreement, EngineMember
from fedcredit.protocols.finish import FinishFollower, FinishLeader
from fedcredit.protocols.groupsum import Asker, Holder
from fedcredit.protocols.groupsum.paillier import PaillierAsker, PaillierHolder
from fedcredit.protocols.intersect import (
    IntersectHolder,
    IntersectReceiver,
    SizeHolder,
    SizeReceiver,
    UnbalancedHolder,
    UnbalancedReceiver,
)
from fedcredit.protocols.linear import LinearFeature, LinearLabel, LinearPartner, PaillierOwnKey, PaillierPeerKey
from fedcredit.protocols.mixed import (
    MixedBank,
    MixedBinningBank,
    MixedBinningDepartment,
    MixedBinningLeader,
    MixedDepartment,
    MixedLeader,
    MixedMomentsBank,
    MixedMomentsDepartment,
    MixedMomentsLeader,
)
from fedcredit.protocols.moments import MomentsFeature, MomentsLabel
from fedcredit.protocols.schema import SchemaLeader, SchemaMember
from fedcredit.protocols.scorecard import SelectionFeature, SelectionLabel
from fedcredit.protocols.split import SplitFollower, SplitLeader
from fedcredit.protocols.statistics import StatisticsAsker, StatisticsHolder
from fedcredit.protocols.tally import TallyFeature, TallyLabel, TallyPartner

__all__ = [
    "Disclosure",
    "PublicJob",
    "PublicModel",
    "Statement",
    "leakage_of",
    "refuse_unaccepted",
    "roles_of",
    "statement_of",
]

_TALLY = (TallyLabel, TallyPartner, TallyFeature)
_CARD = (SelectionLabel, SelectionFeature, MomentsLabel, MomentsFeature, *_TALLY)
"""Roles of a scorecard beside those of its binning and its fit."""

_MIXED = (
    MixedBinningLeader,
    MixedBinningBank,
    MixedBinningDepartment,
    LentColumns,
    MixedMomentsLeader,
    MixedMomentsBank,
    MixedMomentsDepartment,
    MixedLeader,
    MixedBank,
    MixedDepartment,
    SelectionLabel,
    SelectionFeature,
    *_TALLY,
)
"""Roles of a card over labels of several banks."""

_GROWN = (EngineMember, Agreement)
"""Roles of trees over parties with the same columns."""

_FIELDS = "Reveals", "Assumes", "Shapes", "Units", "Range", "Raises", "Source"
_FIELD = re.compile(rf"(?:^|(?<=\s))({'|'.join(_FIELDS)}):\s")


@dataclass(frozen=True, slots=True)
class Statement:
    """What a role or message says of itself."""

    reveals: str
    assumes: str


def leakage_of(job: PublicJob, roles: Sequence[type] | None = None) -> tuple[Disclosure, ...]:
    """The table of `job`: plain words first, then what `roles`, by default `roles_of(job)`, say themselves.

    A role or message that reveals nothing makes no row. The table is a function of the arguments and of this version,
    so every party can work it out for itself.
    Raises: FedcreditError if a role does not say what it reveals and assumes.
    """
    table = [*_agreement(job), *_common(job), *_adding_up(job)]
    for model in job.models:
        if job.horizontal:
            table += horizontal_disclosures(job, model)
        elif job.mixed:
            table += mixed_disclosures(job, model, _TABLES[model.kind](job, model))
        else:
            table += _TABLES[model.kind](job, model)
    for role in roles_of(job) if roles is None else roles:
        table += _from_docstring(role, job.data_parties)
    return tuple(table)


def roles_of(job: PublicJob) -> tuple[type, ...]:
    """The roles that the protocols of `job` are played in."""
    if job.horizontal:
        grown = any(model.kind == "gbdt" for model in job.models)
        return (SchemaLeader, SchemaMember, SurvivingSum, *(_GROWN if grown else ()), FinishLeader, FinishFollower)
    split = (SplitLeader, SplitFollower) if job.time_split else ()
    if job.mixed:
        return (IntersectReceiver, IntersectHolder, *split, *_MIXED, FinishLeader, FinishFollower)
    kinds = {model.kind for model in job.models}
    boosting = (LabelParty, FeatureParty, LabelScorer, FeatureScorer) if "gbdt" in kinds else ()
    binning = (BinningLabel, BinningFeature) if kinds & {"binning", "scorecard"} else ()
    linear = (LinearLabel, LinearPartner, LinearFeature) if kinds & {"linear", "logistic", "scorecard"} else ()
    card = _CARD if "scorecard" in kinds else _TALLY if "logistic" in kinds else ()
    statistics = (StatisticsAsker, StatisticsHolder) if "statistics" in kinds else ()
    backends = frozenset[str]().union(*(model.groupsum for model in job.models if model.kind != "linear"))
    counts = (LabelCounter, LentColumns) if binning and "rlwe" in backends else ()
    # Points are always tallied with the symmetric backend.
    shares = (Asker, Holder) if "onehot" in backends or card else ()
    sealed: tuple[type, ...] = ()
    if "paillier" in backends:
        sealed = (PaillierAsker, PaillierHolder) if kinds - {"linear", "logistic"} else ()
        sealed += (PaillierOwnKey, PaillierPeerKey) if kinds & {"logistic", "scorecard"} else ()
    finish = (FinishLeader, FinishFollower)
    intersect: tuple[type, ...] = (IntersectReceiver, IntersectHolder)
    if job.size_only:
        intersect = (SizeReceiver, SizeHolder)
    elif job.unbalanced:
        intersect = (UnbalancedReceiver, UnbalancedHolder)
    models = (*boosting, *binning, *card, *linear, *statistics)
    return (*intersect, *split, *models, *counts, *shares, *sealed, *finish)


def refuse_unaccepted(table: Iterable[Disclosure], party: PartyId, accepted: Collection[str]) -> None:
    """Check that `party` accepts what the others would learn about it.

    Raises: RefusedError (LEAKAGE_NOT_ACCEPTED), one problem for each disclosure that is not accepted.
    """
    problems = [
        Problem(
            "LEAKAGE_NOT_ACCEPTED",
            f"{', '.join(disclosure.parties)} through {disclosure.through}",
            f"would learn {disclosure.learns}",
            f"accept {disclosure.id!r}, or leave the job",
        )
        for disclosure in table
        if party in disclosure.about and disclosure.id not in accepted
    ]
    if problems:
        raise RefusedError(problems)


def statement_of(kind: type) -> Statement:
    """The `Reveals:` and `Assumes:` of a role's or message's own docstring, in one line each.

    Raises: FedcreditError if one is missing: it would be learned and never said.
    """
    text = inspect.cleandoc(kind.__doc__ or "")
    said = {}
    marks = list(_FIELD.finditer(text))
    for mark, end in zip(marks, [*(following.start() for following in marks[1:]), len(text)], strict=False):
        paragraph, *_ = text[mark.end() : end].split("\n\n")
        said[mark[1]] = " ".join(paragraph.split())
    missing = [name for name in ("Reveals", "Assumes") if not said.get(name)]
    if missing:
        raise FedcreditError(f"{kind.__module__}.{kind.__qualname__} does not say: {', '.join(missing)}")
    return Statement(said["Reveals"], said["Assumes"])


def _others(job: PublicJob, party: PartyId) -> tuple[PartyId, ...]:
    return tuple(other for other in job.data_parties if other != party)


def _agreement(job: PublicJob) -> Iterator[Disclosure]:
    for party in (*job.data_parties, job.platform):
        learns = "how many rows and feature columns each table has, and the public parameters of the job"
        yield Disclosure("agreement.sizes", (party,), learns, _others(job, party), "agreement on the job")
    for party in (*job.data_parties, job.platform):
        learns = "whether each table has the same subjects as in an earlier job; not which, and not how they differ"
        yield Disclosure("agreement.subjects", (party,), learns, _others(job, party), "agreement on the job")
    learns = "when each stage begins and ends, how it ends, and how many rows it is about; no data"
    yield Disclosure("coordination.progress", (job.platform,), learns, job.data_parties, "coordination of the job")
    learns = (
        "how far each stage is, when it begins and ends and how, and whether a person still has to approve; no data"
    )
    for party in job.data_parties:
        yield Disclosure("coordination.watch", (party,), learns, _others(job, party), "following the job")
    learns = "for which other party each one waits, and for how long; no data"
    for party in (*job.data_parties, job.platform):
        yield Disclosure("coordination.waits", (party,), learns, _others(job, party), "following the job")
    learns = (
        "how many entries the audit log of the party's node has when the job ends, or later, where a party could not "
        "be reached then or the node was started again within a day: how much was asked of it and done there in all, "
        "other jobs included, and between two jobs; not what"
    )
    for party in (*job.data_parties, job.platform):
        yield Disclosure("audit.entries", (party,), learns, _others(job, party), "signing of the audit log's head")


def _common(job: PublicJob) -> Iterator[Disclosure]:
    """What finding common subjects shows, if there are any."""
    if job.horizontal:
        return iter(())
    return mixed_alignment(job) if job.mixed else _alignment(job)


def _adding_up(job: PublicJob) -> Iterator[Disclosure]:
    return aggregate_disclosures(job) if job.members else iter(())


def _alignment(job: PublicJob) -> Iterator[Disclosure]:
    receivers = (job.label_party,) if job.receiver_only else job.data_parties
    for party in receivers:
        learns = (
            "how many subjects all parties have in common, and which of its own rows are among them: "
            "each of those subjects is known to every party"
        )
        if job.size_only:
            learns = "how many subjects both parties have in common, not which they are"
            yield Disclosure("align.size", (party,), learns, _others(job, party), "size of the intersection")
        else:
            yield Disclosure("align.rows", (party,), learns, _others(job, party), "intersection of identifiers")
    if job.receiver_only:
        for party in job.feature_parties:
            learns = "whether the subjects in common reach the agreed minimum, not which or how many they are"
            yield Disclosure("align.minimum", (party,), learns, _others(job, party), "intersection of identifiers")
    if job.unbalanced:
        learns = (
            "how many of its subjects went and came since the last such job; and of any identifier that the one who "
            "asks puts into its own table, whether it is among them: so many in a day as the policy grants"
        )
        yield Disclosure("align.filter", (job.label_party,), learns, job.feature_parties, "filter of identifiers")
    if job.time_split:
        for party in job.feature_parties:
            learns = "which of its aligned rows lie before the date of the split, and which after it"
            yield Disclosure("split.time", (party,), learns, (job.label_party,), "hold-out by time")


def _boosting(job: PublicJob, model: PublicModel) -> Iterator[Disclosure]:
    label = job.label_party
    for party in job.feature_parties:
        yield Disclosure(
            "gbdt.shape",
            (label,),
            "how many columns there are, how many bins each has, and which of them have missing values",
            (party,),
            f"{model.name}: binning",
        )
        yield Disclosure(
            "gbdt.bins",
            (label,),
            "for every tree node, the sums of its own gradients over the bins of every column. Over many trees they "
            "are enough to work out which bin of a column a training row is in: measured, of nearly all of 2,000 rows "
            "after 100 trees and of two thirds of 10,000. Bins are numbers in the order of their values, without names "
            "or thresholds",
            (party,),
            f"{model.name}: histograms",
        )
        yield Disclosure(
            "gbdt.sides",
            (label,),
            "for every aligned row, training and hold-out, on which side of each of the party's splits it falls: one "
            "yes or no about the subject for every split, also for those that were tried and left out of the model",
            (party,),
            f"{model.name}: splits and prediction",
        )
    for party in job.feature_parties:
        yield Disclosure(
            "gbdt.choices",
            (party,),
            "which of its own columns and bins were split on, in which order, and which of these splits the model uses",
            (label,),
            f"{model.name}: splits",
        )
        if model.hide_nodes:
            yield Disclosure(
                "gbdt.counts",
                (party,),
                "how many trees the model has and how many nodes were searched, not which rows sit in them",
                (label,),
                f"{model.name}: histograms of hidden rows",
            )
        else:
            yield Disclosure(
                "gbdt.nodes",
                (party,),
                "which of its aligned rows sit in each node of every tree, also where another party's split sent them; "
                "published attacks guess labels from this better than by chance (hide_nodes = true prevents it)",
                _others(job, party),
                f"{model.name}: histograms of a node's rows",
            )


def _binning(job: PublicJob, model: PublicModel) -> Iterator[Disclosure]:
    label = job.label_party
    for party in job.feature_parties:
        yield Disclosure(
            "binning.shape",
            (label,),
            "how many columns there are, how many pre-bins each has, and which have missing or special values, are "
            "categorical, or were cut by hand",
            (party,),
            f"{model.name}: binning",
        )
        yield Disclosure(
            "binning.counts",
            (label,),
            "how many rows and how many bad rows each pre-bin of every column has, at least 50 rows in each. Bins are "
            "numbers in the order of their values, without names or split points. Where all bad rows, or all good "
            "ones, are in one pre-bin, each of them is known to be in it",
            (party,),
            f"{model.name}: counts",
        )
    for party in () if model.iv_disclosure == "none" else job.feature_parties:
        yield Disclosure(
            "binning.joined",
            (party,),
            "which of its own pre-bins were joined into bins, each with at least 50 rows, 10 good and 10 bad ones: a "
            "hint at where its bad rates are alike; and which of its columns have no such bins",
            (label,),
            f"{model.name}: bins",
        )
        if model.iv_disclosure in _TOLD_IV:
            what = f"binning.iv.{model.iv_disclosure}"
            yield Disclosure(what, (party,), _TOLD_IV[model.iv_disclosure], (label,), f"{model.name}: bins")


_TOLD_IV: dict[str, str] = {
    "coarse": "which of its own columns say more of the label than chance does, and of these the weight of evidence of "
    "each bin, in steps of twice to four times its standard error: about what the points of a card say; of other "
    "columns nothing",
    "rank": "the order of its own columns by information value: which of them says more of the label",
    "rounded": "the information value of each of its own columns, to two decimal places",
    "exact": "the information value of each of its own columns and the weight of evidence of each of their bins, from "
    "which the number of bad rows in each bin follows: at least 10 of at least 50",
}


def _scorecard(job: PublicJob, model: PublicModel) -> Iterator[Disclosure]:
    yield from _binning(job, model)
    yield from scorecard_disclosures(job, model)


_TABLES = {
    "gbdt": _boosting,
    "binning": _binning,
    "linear": linear_disclosures,
    "scorecard": _scorecard,
    "logistic": logistic_disclosures,
    "statistics": statistics_disclosures,
}


def _from_docstring(role: type, parties: tuple[PartyId, ...]) -> Iterator[Disclosure]:
    statement = statement_of(role)
    if re.match(r"nothing\b", statement.reveals, re.IGNORECASE):
        return
    text = f"{statement.reveals} (assuming: {statement.assumes})"
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    yield Disclosure(f"{role.__name__}.{digest}", parties, text, parties, f"{role.__module__}.{role.__qualname__}")
