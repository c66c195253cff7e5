"""What each stage of a scorecard leaves behind at a party, so that a job can go on from there.

A record holds what the stage gave this party and could not be had again without its peers. All choices follow from
records and parameters, so they are worked out again and are the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.glm import LogisticFit, inverse
from fedcredit.ids import PartyId
from fedcredit.protocols.linear import LinearFeatureFit, LinearLabelFit
from fedcredit.protocols.scorecard import Chosen, OwnerKept
from fedcredit.protocols.tally import Tally
from fedcredit.runtime.state import StageState, state_invalid
from fedcredit.wire.scorecard import ColumnFigures

__all__ = [
    "ChosenRecord",
    "FiguresRecord",
    "FittedFeature",
    "FittedLabel",
    "Lent",
    "MomentsRecord",
    "PartsRecord",
    "TallyRecord",
]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Lent(StageState):
    """A stage of which its party keeps nothing."""

    schema = "card-lent/1"


@dataclass(frozen=True, slots=True)
class FiguresRecord(StageState):
    """At the label party: figures of all peers' columns, peer after peer, and what owners keep of those chosen.

    Shapes: missing, stability (columns,); sizes (peers,) columns chosen of each; the others (chosen,).
    """

    schema = "card-figures/1"
    missing: F64
    stability: F64
    sizes: I64
    kept: U8
    correlation: F64
    nearest: I64

    @classmethod
    def of(cls, figures: Sequence[ColumnFigures], kept: Sequence[OwnerKept | None]) -> Self:
        """The record of these figures and answers, in the order of the peers; None of one that has none chosen."""
        answers = [answer for answer in kept if answer is not None]
        return cls(
            np.concatenate([np.zeros(0), *(f.missing for f in figures)]),
            np.concatenate([np.zeros(0), *(f.stability for f in figures)]),
            np.array([0 if answer is None else answer.kept.size for answer in kept], np.int64),
            np.concatenate([np.zeros(0, np.uint8), *(a.kept for a in answers)]),
            np.concatenate([np.zeros(0), *(a.correlation for a in answers)]),
            np.concatenate([np.zeros(0, np.int64), *(a.nearest for a in answers)]),
        )

    def answers(self, sizes: Sequence[int]) -> list[OwnerKept]:
        """The answers of peers with so many chosen columns. Raises: FedcreditError (STATE_INVALID)."""
        if self.sizes.tolist() != list(sizes) or self.kept.size != sum(sizes):
            raise state_invalid("columns that other owners keep")
        ends = np.cumsum(np.array([0, *sizes], np.int64)).tolist()
        runs = [slice(first, last) for first, last in itertools.pairwise(ends)]
        return [OwnerKept(self.kept[run], self.correlation[run], self.nearest[run]) for run in runs]


@dataclass(frozen=True, slots=True)
class ChosenRecord(StageState):
    """At a feature party: which of its columns go on, and (parties,) which feature parties have some that do."""

    schema = "card-chosen/1"
    columns: I64
    parties: U8
    final: bool

    @classmethod
    def of(cls, chosen: Chosen, parties: Sequence[PartyId]) -> Self:
        """The record of a choice among the columns of `parties`."""
        return cls(chosen.columns, _flags(chosen, parties), chosen.final)

    def chosen(self, parties: Sequence[PartyId]) -> Chosen:
        """The choice. Raises: FedcreditError (STATE_INVALID)."""
        return _chosen(self.columns, self.parties, parties, final=self.final)


@dataclass(frozen=True, slots=True)
class MomentsRecord(StageState):
    """At the label party: the correlations of all columns that were compared. Shapes: (D, D)."""

    schema = "card-moments/1"
    correlation: F64


@dataclass(frozen=True, slots=True)
class FittedLabel(StageState):
    """At the label party: a fit, (D,) the z values of all its columns, the own ones first, and (parties,) how many
    columns each party has in it. Without standard errors the information is empty, and z says nothing.

    Shapes: values, errors (1 + own columns,); information (1 + D, 1 + D); held (1 + D,) 1 for a coefficient that its
    sign holds at 0, whose z is 0.
    """

    schema = "card-fit-label/2"
    values: F64
    errors: F64
    information: F64
    z: F64
    columns: I64
    log_likelihood: float
    gradients: int
    gap: float
    held: U8

    @classmethod
    def of(cls, fit: LinearLabelFit, z: F64) -> Self:
        """The record of a joint fit."""
        estimates = fit.estimates
        return cls(
            estimates.values,
            estimates.standard_errors,
            fit.information,
            np.concatenate([np.where(fit.held[1 : estimates.values.size], 0.0, estimates.z[1:]), z]),
            np.array(list(fit.columns.values()), np.int64),
            fit.log_likelihood,
            fit.gradients,
            fit.gap,
            fit.held.astype(np.uint8),
        )

    @classmethod
    def of_rows(cls, fit: LogisticFit) -> Self:
        """The record of a fit whose columns are all this party's own."""
        estimates = fit.estimates
        return cls(
            estimates.values,
            estimates.standard_errors,
            fit.information,
            np.where(fit.held, 0.0, estimates.z)[1:],
            np.array([fit.coefficients.size], np.int64),
            fit.log_likelihood,
            fit.iterations,
            0.0,
            fit.held.astype(np.uint8),
        )

    @property
    def standardised(self) -> F64:
        """(D,) the coefficients of all columns, on the scale that `information` is on."""
        free = np.flatnonzero(self.held == 0)
        covariance = inverse(self.information[np.ix_(free, free)])
        if covariance is None:
            raise state_invalid("an information matrix that has no inverse")
        found: F64 = np.zeros(self.z.size)
        at = free[1:] - 1
        found[at] = self.z[at] * np.sqrt(np.diag(covariance)[1:])
        return found

    def freed(self) -> Self:
        """The same fit without the columns that are held at 0, which add nothing to any row."""
        own, free = self.values.size, self.held == 0
        by_party = np.split(free[1:], np.cumsum(self.columns)[:-1])[: self.columns.size]
        return replace(
            self,
            values=self.values[free[:own]],
            errors=self.errors[free[:own]],
            information=self.information[np.ix_(free, free)] if self.information.size else self.information,
            z=self.z[free[1:]],
            columns=np.array([np.count_nonzero(of_party) for of_party in by_party], np.int64),
            held=self.held[free],
        )


@dataclass(frozen=True, slots=True)
class FittedFeature(StageState):
    """At a feature party: (columns in the fit,) coefficients and their errors, and which columns go on."""

    schema = "card-fit-feature/1"
    values: F64
    errors: F64
    columns: I64
    parties: U8
    final: bool

    @classmethod
    def of(cls, fit: LinearFeatureFit, chosen: Chosen, parties: Sequence[PartyId]) -> Self:
        """The record of this party's side of a fit, and of the choice after it; of a fit that stands, without the
        columns that are held at 0.
        """
        flags, estimates = _flags(chosen, parties), fit.estimates
        at = ~fit.held if chosen.final else np.ones_like(fit.held)
        return cls(estimates.values[at], estimates.standard_errors[at], chosen.columns, flags, chosen.final)

    def chosen(self, parties: Sequence[PartyId]) -> Chosen:
        """The choice. Raises: FedcreditError (STATE_INVALID)."""
        return _chosen(self.columns, self.parties, parties, final=self.final)


@dataclass(frozen=True, slots=True)
class TallyRecord(StageState):
    """At the label party: how scores are spread. Shapes: counts (levels, 2)."""

    schema = "card-tally/1"
    low: int
    step: int
    counts: I64

    def tally(self) -> Tally:
        """What was tallied."""
        return Tally(self.low, self.step, self.counts)


@dataclass(frozen=True, slots=True)
class PartsRecord(StageState):
    """At the label party: the parts of the card of other parties, one document after the other."""

    schema = "card-parts/1"
    sizes: I64
    documents: U8

    @classmethod
    def of(cls, parts: Sequence[bytes]) -> Self:
        """The record of these documents."""
        return cls(np.array([len(part) for part in parts], np.int64), np.frombuffer(b"".join(parts), np.uint8))

    def parts(self) -> list[bytes]:
        """The documents. Raises: FedcreditError (STATE_INVALID)."""
        if (self.sizes < 0).any() or self.sizes.sum() != self.documents.size:
            raise state_invalid("parts of a card that are cut short")
        ends = np.cumsum(self.sizes)[:-1]
        return [part.tobytes() for part in np.split(self.documents, ends)] if self.sizes.size else []


def _flags(chosen: Chosen, parties: Sequence[PartyId]) -> U8:
    return np.array([party in chosen.parties for party in parties], np.uint8)


def _chosen(columns: I64, flags: U8, parties: Sequence[PartyId], *, final: bool) -> Chosen:
    if flags.size != len(parties):
        raise state_invalid("a choice among other parties")
    return Chosen(columns, tuple(party for party, flag in zip(parties, flags, strict=True) if flag), final)
