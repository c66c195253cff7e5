"""The label party's side of joint logistic regression: it owns labels and weights, and leads the search.

once     P -> A  LinearColumns;  A -> P  EncryptionKey, LinearTerms;  H -> all  EncryptionKey
step     A -> P  LinearMove      a direction and a size; the size alone, where a step was too long
         P -> A  ScoreRange      do all scores stay within the reach of the series?
         A -> P  LinearMove      evaluate
         P'-> A, H  ScoreShares  of further parties P', a share of their partial scores to each
         A <-> H                 residuals as shares (`curves`)
         all                     the gradient of each party's own coefficients (`gradients`)
         P -> A  Products        A judges the step, and plans the next direction (`credit.quasi_newton`)
signs    A -> P  LinearMove;  P -> A  LinearSigns;  A -> P  LinearSigns;  P -> A  ScoreRange
         coefficients that change are held at 0, or free again: another search from there (`credit.signs`)
end      A -> P  LinearMove;  P -> A  Centres
         A <-> H                 log-likelihood, as a sum of shares
         all                     the information matrix to A (`information`);  A -> P  StandardErrors
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from fedcredit.credit.fourier import REACH
from fedcredit.credit.glm import Estimates, check_rows, fit_logistic, inverse
from fedcredit.credit.quasi_newton import Block, Search, products_length
from fedcredit.credit.signs import Pivots, SignedBlock
from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import ConfigError, DataError, PeerError, Problem
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.linear.columns import OwnColumns
from fedcredit.protocols.linear.curves import ask_curve, curve_noise, sign_tolerance
from fedcredit.protocols.linear.encryption import own_key, peer_key
from fedcredit.protocols.linear.fixed import apart, centred, fixed, scores_to_shares
from fedcredit.protocols.linear.gradients import label_gradient
from fedcredit.protocols.linear.information import InformationParty, assembled, receive_entries
from fedcredit.protocols.linear.likelihood import label_likelihood
from fedcredit.protocols.linear.scores import receive_scores
from fedcredit.protocols.linear.shape import MAX_GRADIENTS, LinearShape
from fedcredit.wire.linear import (
    DIRECTION,
    END,
    EVALUATE,
    HOLD,
    SHORTER,
    Centres,
    LinearColumns,
    LinearMove,
    LinearSigns,
    LinearTerms,
    Products,
    ScoreRange,
    StandardErrors,
)

__all__ = ["LabelRun", "LinearLabel", "LinearLabelFit"]

Bool: TypeAlias = npt.NDArray[np.bool_]
F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]

CLOSE: Final = 1e-8
"""The gap at which there is nothing left to find: a ten-thousandth of a standard error."""
ENOUGH: Final = 20.0
"""How many times what rounding makes of it the gap may be, if it falls no further."""
NONE: Final = np.zeros(0)


@dataclass(frozen=True, slots=True, eq=False)
class LinearLabelFit:
    """The label party's part of a fitted model: the intercept, then its own coefficients, of columns as they were.

    `information` (d, d) is over the intercept and the columns of all parties in their order, put to mean 0 and mean
    square 1 each; `columns` says how many are whose. Without inference it is empty, and standard errors are NaN.
    """

    estimates: Estimates = field(repr=False)
    log_likelihood: float
    information: F64 = field(repr=False)
    columns: dict[PartyId, int]
    gradients: int
    """How often gradients were computed: the rounds."""
    gap: float
    """About how far from the estimate the coefficients ended, in squared standard errors, over all of them."""
    held: Bool = field(repr=False)
    """(d,) which coefficients, as `information` has them, their sign holds at 0; none without fixed signs."""

    @property
    def aic(self) -> float:
        """Akaike's criterion, over the intercept and the columns of all parties that are not held at 0."""
        return 2.0 * (1 + sum(self.columns.values()) - np.count_nonzero(self.held)) - 2.0 * self.log_likelihood


@dataclass(frozen=True, slots=True, eq=False)
class LinearLabel:
    """Fits the intercept and the coefficients of its own columns X (n, d), of which there may be none.

    `labels` (n,) 1 = event; `weights`, `offset` (n,); `l2` as in `credit.glm.fit_logistic`.

    Reveals: to this party, of every feature party: the number of its columns; dot products of its gradients and moves,
    by which its coefficients are known up to a rotation among its columns; the largest size of its partial scores,
    rounded up; its part of the intercept; with fixed signs which of its coefficients were on the wrong side of 0, by
    number. Of all together: the log-likelihood; with inference, the information matrix
    over all columns, which holds their weighted correlations, and their means. Of no row anything.
    Assumes: semi-honest parties; this party and the partner do not collude; ring learning with errors, or under
    Paillier what its keys assume.
    """

    shape: LinearShape
    X: F64 = field(repr=False)
    labels: U8 = field(repr=False)
    weights: F64 | None = field(repr=False, default=None)
    offset: F64 | None = field(repr=False, default=None)
    l2: float = 0.0

    def steps(self, randomness: Randomness) -> Steps[LinearLabelFit]:
        """Fit. Raises: DataError as `fit_logistic`, SCORES_TOO_LARGE, NOT_CONVERGED, INFORMATION_TOO_LARGE,
        PENALTY_TOO_LARGE, ROWS_TOO_FEW; ConfigError; PeerError.
        """
        if not (math.isfinite(self.l2) and self.l2 >= 0):
            raise ConfigError(Problem("CONFIG_VALUE", "l2", "must be a finite number, not below 0"))
        s, offset = check_rows(self.X, self.labels, self.weights, self.offset)
        columns = OwnColumns.of(self.shape, self.X, ones=True, dependent=self.l2 > 0)
        run = LabelRun(self, columns, s / s.max(), offset, randomness)
        yield from run.set_up()
        gap = yield from run.search()
        return (yield from run.finish(gap, float(s.max())))


class LabelRun:
    """One fit under way at the label party. Weights are over the largest; so are all sums until the end."""

    def __init__(
        self, role: LinearLabel, columns: OwnColumns, weights: F64, offset: F64, randomness: Randomness
    ) -> None:
        self._role, self._shape, self._columns, self._weights = role, role.shape, columns, weights
        self._randomness = randomness
        self._y = role.labels.astype(np.float64)
        self._offset = offset
        self._start = np.zeros(len(columns))
        self._start[0], self._curvature = self._without_columns()
        largest = 1.0 if role.weights is None else float(np.max(role.weights))
        self._l2 = role.l2 / largest
        self._penalty = np.concatenate([[0.0], self._l2 / columns.spread**2])
        self._shape.refuse_penalty(self._penalty)
        self._key = own_key(self._shape, randomness)
        self._counts: dict[PartyId, int] = {}
        self.gradients = 0

    def set_up(self) -> Steps[None]:
        shape, terms = self._shape, (yield from self._counted())
        for peer in shape.peers:
            yield from self._key.announce(peer)
            yield from send(peer, terms)
        self._partner = yield from peer_key(shape, shape.partner, self._randomness)

    def _without_columns(self) -> tuple[float, float]:
        """The intercept of a fit without columns, and the curvature of a row there."""
        role = self._role
        none = np.empty((self._shape.n_rows, 0))
        start = fit_logistic(none, role.labels, weights=role.weights, offset=role.offset).intercept
        p = expit(self._offset + start)
        return start, float(np.mean(self._weights * p * (1 - p)))

    def _counted(self) -> Steps[LinearTerms]:
        """Hear how many columns others bring: what everybody is told of all."""
        shape = self._shape
        self._counts[shape.label] = len(self._columns)
        for peer in shape.peers:
            told = yield from recv(peer, LinearColumns)
            if told.rows != shape.n_rows:
                raise PeerError(peer, shape.step, f"has {told.rows} rows of {shape.n_rows}", "SHAPE")
            self._counts[peer] = told.columns
        self._own_columns = tuple(d - (party == shape.label) for party, d in self._counts.items())
        shape.refuse_columns(self._own_columns)
        self._held = np.zeros(sum(self._counts.values()), bool)
        return LinearTerms(np.array(self._own_columns, np.uint32), np.array([self._curvature]), np.array([self._l2]))

    def search(self) -> Steps[float]:
        """Find the coefficients; returns the gap."""
        shape, start = self._shape, self._start
        if (yield from self._score(start)) > REACH:
            raise _too_large(shape)
        yield from self._tell(EVALUATE)
        gradient = yield from self._gradient(start)
        curvature = shape.n_rows * self._curvature * self._columns.moments + np.diag(self._penalty)
        signs = np.full(len(self._columns), float(shape.sign))
        signs[0] = 0.0
        self._signed = SignedBlock.free(signs, curvature)
        gap = yield from self._descend(start, gradient)
        if not shape.sign:
            return gap
        pivots = Pivots()
        while True:
            broken = yield from self._broken()
            try:
                flips = pivots.flips(broken)
            except FloatingPointError:
                raise _no_end(shape) from None
            starts = yield from self._flip(flips)
            if not flips.any():
                return gap
            yield from self._tell(EVALUATE)
            gap = yield from self._descend(starts, (yield from self._gradient(starts)))

    def _descend(self, start: F64, gradient: F64) -> Steps[float]:
        """Search over the coefficients that are not held."""
        own_inverse = self._signed.inverse()
        if own_inverse is None:
            raise DataError(Problem("COLUMN_DEPENDENT", self._shape.step, "own columns depend on each other"))
        self._block = Block(start, gradient, own_inverse)
        search = Search(self._block.first_products() + (yield from self._products(2)))
        floor = self._floor()
        while not search.gap <= max(floor, CLOSE):
            before = search.gap
            yield from self._step(search)
            # Where noise is all that is left, the gap falls no further.
            if before < 2 * search.gap and search.gap <= ENOUGH * floor:
                break
        return search.gap

    def _broken(self) -> Steps[Bool]:
        """Which coefficients of all parties break the conditions of a minimum with signs."""
        block = self._block
        tolerance = sign_tolerance(self._shape, self._curvature)
        found = [self._signed.broken(block.values, block.gradient, tolerance)]
        yield from self._tell(HOLD)
        for peer in self._shape.peers:
            told = (yield from recv(peer, LinearSigns)).columns
            if told.shape != (self._counts[peer],):
                raise PeerError(peer, self._shape.step, f"told {told.size} signs of {self._counts[peer]}", "SHAPE")
            found.append(told > 0)
        return np.concatenate(found)

    def _flip(self, flips: Bool) -> Steps[F64]:
        """Have some be held, or be free again; returns where the own coefficients start from."""
        parts = np.split(flips, np.cumsum(list(self._counts.values()))[:-1])
        self._signed = self._signed.flipped(parts[0])
        start = self._signed.start(self._block.values)
        bound = yield from self._score(start)
        for peer, part in zip(self._shape.peers, parts[1:], strict=True):
            yield from send(peer, LinearSigns(part.astype(np.uint8)))
            bound += (yield from recv(peer, ScoreRange)).bound
        if flips.any() and bound > REACH:
            raise _too_large(self._shape)
        self._held = self._held ^ flips
        return start

    def _step(self, search: Search) -> Steps[None]:
        """One accepted step."""
        action, ranged = DIRECTION, False
        self._block.direct(search.plan)
        while True:
            yield from self._tell(action, search)
            bound = yield from self._score(self._block.try_step(search.size))
            for peer in self._shape.peers:
                bound += (yield from recv(peer, ScoreRange)).bound
            action = SHORTER
            try:
                if bound > REACH:
                    ranged = True
                    search.shorten(0.5)
                    continue
                yield from self._tell(EVALUATE)
                self._block.found((yield from self._gradient(self._block.try_step(search.size))))
                length = products_length(search.steps + 1)
                if search.judge(self._block.products() + (yield from self._products(length))):
                    break
            except FloatingPointError:
                raise (_too_large if ranged else _no_end)(self._shape) from None
            if self.gradients >= MAX_GRADIENTS:
                raise _no_end(self._shape)
        self._block.accept()

    def _score(self, values: F64) -> Steps[int]:
        """Have scores under these coefficients: the largest size of this side's part of them, rounded up."""
        self._scores = self._offset + self._columns.scores(values)
        yield from ()
        return math.ceil(float(np.abs(self._scores).max()))

    def finish(self, gap: float, largest: float) -> Steps[LinearLabelFit]:
        shape, columns = self._shape, self._columns
        yield from self._tell(END)
        values = self._block.values
        shift = float(values[1:] @ (columns.mean / columns.spread))
        centres = [columns.mean / columns.spread]
        for peer in shape.peers:
            told = yield from recv(peer, Centres)
            due = self._counts[peer] if shape.inference else 0
            if told.centres.shape != (due,):
                raise PeerError(peer, shape.step, f"told {told.centres.size} means of {due} columns", "SHAPE")
            shift += float(told.shift[0])
            centres.append(told.centres)
        likelihood = yield from self._likelihood()
        errors, information = np.full(len(columns), np.nan), np.zeros((0, 0))
        if shape.inference:
            information = largest * (yield from self._information())
            errors = yield from self._errors(information, np.concatenate(centres))
        coefficients = np.concatenate([[values[0] - shift], values[1:] / columns.spread])
        peers = dict(zip(self._counts, self._own_columns, strict=True))
        return LinearLabelFit(
            Estimates(coefficients, errors),
            largest * likelihood,
            information,
            peers,
            self.gradients,
            gap,
            self._held,
        )

    def _likelihood(self) -> Steps[float]:
        return (yield from label_likelihood(self._shape, self._key, self._own, self._weights, self._y, self._scores))

    def _information(self) -> Steps[F64]:
        shape, bits = self._shape, self._shape.bits
        share = yield from ask_curve(shape, self._key, "slope", bits.slope, self._own, self._weights)
        side = InformationParty(
            shape,
            shape.label,
            self._columns,
            self._counts,
            {shape.partner: self._partner},
            self._penalty,
            self._key,
            share,
        )
        entries = yield from side.steps()
        for peer in shape.peers:
            entries = centred(entries + (yield from receive_entries(peer, shape, entries.size)))
        return assembled(entries, tuple(self._counts.values()), bits)

    def _errors(self, information: F64, centres: F64) -> Steps[F64]:
        """Standard errors of the own coefficients; tells the others theirs."""
        free = np.flatnonzero(~self._held)
        part = inverse(information[np.ix_(free, free)])
        if part is None:
            what = "columns of several parties make each other up, so coefficients are not determined"
            raise DataError(Problem("COLUMN_DEPENDENT", self._shape.step, what, "select columns, or set l2 above 0"))
        # Of one that is held at 0 there is no error to tell, and it adds none to others.
        covariance = np.zeros_like(information)
        covariance[np.ix_(free, free)] = part
        standard = np.sqrt(np.diag(covariance))
        at = len(self._columns)
        for peer in self._shape.peers:
            yield from send(peer, StandardErrors(standard[at : at + self._counts[peer]]))
            at += self._counts[peer]
        # The intercept of columns as they were is a combination of all coefficients of columns put to mean 0.
        back = np.concatenate([[1.0], -centres])
        own = standard[1 : len(self._columns)] / self._columns.spread
        own[self._signed.held[1:]] = np.nan
        return np.concatenate([[math.sqrt(back @ covariance @ back)], own])

    def _gradient(self, values: F64) -> Steps[F64]:
        shape, bits = self._shape, self._shape.bits
        self.gradients += 1
        self._own = centred(scores_to_shares(self._scores) + apart(shape.n_rows))
        for peer in shape.further:
            self._own = centred(self._own + (yield from receive_scores(peer, shape)))
        share = yield from ask_curve(shape, self._key, "probability", bits.probability, self._own, self._weights)
        residual = centred(share - fixed(self._weights * (self._y - 0.5), bits.probability))
        gradient = yield from label_gradient(shape, self._key, self._partner, self._columns, self._counts, residual)
        return gradient + self._penalty * values

    def _products(self, length: int) -> Steps[F64]:
        total = np.zeros(length)
        for peer in self._shape.peers:
            got = yield from recv(peer, Products)
            if got.numbers.shape != (length,):
                raise PeerError(peer, self._shape.step, f"sent {got.numbers.size} products of {length}", "SHAPE")
            total += got.numbers
        return total

    def _tell(self, action: int, search: Search | None = None) -> Steps[None]:
        size = np.array([search.size if search else 0.0])
        plan = search.plan if search and action == DIRECTION else None
        on_s, on_hy = (plan.on_s, plan.on_hy) if plan else (NONE, NONE)
        for peer in self._shape.peers:
            yield from send(peer, LinearMove(action, size, on_s, on_hy))

    def _floor(self) -> float:
        """What rounding makes of the gap: the noise of residuals over the curvature, once for each coefficient."""
        return sum(self._counts.values()) * curve_noise(self._shape.bits.probability) ** 2 / (self._curvature / 2)


def _too_large(shape: LinearShape) -> DataError:
    what = f"log-odds of some row leave -{REACH:g} to {REACH:g}, where the shared logistic function holds"
    fix = "drop or join bins of one class, set l2 above 0, or leave out columns that give the label away"
    return DataError(Problem("SCORES_TOO_LARGE", shape.step, what, fix))


def _no_end(shape: LinearShape) -> DataError:
    what = "the search for the coefficients found no end: columns depend on each other, or tell labels apart"
    return DataError(Problem("NOT_CONVERGED", shape.step, what, "select columns, or set l2 above 0"))
