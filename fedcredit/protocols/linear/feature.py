"""A feature party's side of joint logistic regression: it owns columns, and keeps its coefficients to itself.

The first feature party is the partner: it holds the label party's counterpart of every share, and has a key of its own.
Messages and their order: `label`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.credit.glm import Estimates
from fedcredit.credit.quasi_newton import Block, Plan
from fedcredit.credit.signs import SignedBlock
from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import DataError, PeerError, Problem
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.linear.columns import OwnColumns
from fedcredit.protocols.linear.curves import serve_curve, sign_tolerance
from fedcredit.protocols.linear.encryption import own_key, peer_key
from fedcredit.protocols.linear.fixed import apart, centred, scores_to_shares
from fedcredit.protocols.linear.gradients import further_gradient, partner_gradient
from fedcredit.protocols.linear.information import InformationParty
from fedcredit.protocols.linear.keys import PeerKey
from fedcredit.protocols.linear.likelihood import further_likelihood, partner_likelihood
from fedcredit.protocols.linear.scores import receive_scores, split_scores
from fedcredit.protocols.linear.shape import LinearShape
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

__all__ = ["FeatureRun", "LinearFeature", "LinearFeatureFit", "LinearPartner"]

Bool: TypeAlias = npt.NDArray[np.bool_]
F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]

MAX_SCORE = 1e4


@dataclass(frozen=True, slots=True, eq=False)
class LinearFeatureFit:
    """A feature party's part of a fitted model: the coefficients of its columns as they were.

    Its part of a row's log-odds is the sum of columns times coefficients; the intercept is the label party's. Without
    inference standard errors are NaN.
    """

    estimates: Estimates = field(repr=False)
    held: Bool = field(repr=False)
    """(d,) which coefficients their sign holds at 0: their standard errors are NaN."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearPartner:
    """Fits the coefficients of its own columns X (n, d), and holds the other share of every row's log-odds.

    Reveals: to this party, the gradient of its own coefficients at every step, which is a weighted sum of its columns
    over the rows, and so tells of labels what such sums tell; the factors of the combined moves, and how many steps
    there were; the share of events; how many columns others bring; with inference, its standard errors. Of no row
    anything.
    Assumes: semi-honest parties; this party and the label party do not collude; ring learning with errors, or under
    Paillier what its keys assume.
    """

    shape: LinearShape
    X: F64 = field(repr=False)

    def steps(self, randomness: Randomness) -> Steps[LinearFeatureFit]:
        """Fit. Raises: DataError VALUE_INVALID, COLUMN_CONSTANT, COLUMN_DEPENDENT, ROWS_TOO_FEW; PeerError."""
        return (yield from FeatureRun(self.shape, self.shape.partner, self.X, randomness).steps())


@dataclass(frozen=True, slots=True, eq=False)
class LinearFeature:
    """Fits the coefficients of its own columns X (n, d); holds no share.

    `secret`: see `split_scores`.

    Reveals: to this party, the gradient of its own coefficients at every step, which is a weighted sum of its columns
    over the rows, and so tells of labels what such sums tell; the factors of the combined moves, and how many steps
    there were; the share of events; how many columns others bring; with inference, its standard errors. Of no row
    anything.
    Assumes: semi-honest parties; the label party and the partner do not collude with each other; ring learning with
    errors, or under Paillier what its keys assume.
    """

    shape: LinearShape
    me: PartyId
    X: F64 = field(repr=False)
    secret: bytes | None = field(repr=False, default=None)

    def steps(self, randomness: Randomness) -> Steps[LinearFeatureFit]:
        """Fit. Raises: DataError VALUE_INVALID, COLUMN_CONSTANT, COLUMN_DEPENDENT, ROWS_TOO_FEW; PeerError."""
        if self.me not in self.shape.further:
            raise ValueError(f"LinearFeature: {self.me} is the partner or no party of this fit")
        return (yield from FeatureRun(self.shape, self.me, self.X, randomness, self.secret).steps())


class FeatureRun:
    """One fit under way at a feature party. With a secret key it is the partner."""

    def __init__(
        self, shape: LinearShape, me: PartyId, X: F64, randomness: Randomness, split: bytes | None = None
    ) -> None:
        self._shape, self._me, self._randomness = shape, me, randomness
        # Whether columns may depend on each other is known when the penalty is.
        self._columns = OwnColumns.of(shape, X, ones=False, dependent=True)
        self._split = split
        self._key = own_key(shape, randomness) if me == shape.partner else None
        self._keys: dict[PartyId, PeerKey] = {}
        self._scores = np.zeros(shape.n_rows)
        self._shares = np.zeros(shape.n_rows, np.int64)

    def steps(self) -> Steps[LinearFeatureFit]:
        yield from self._set_up()
        yield from self._search()
        return (yield from self._finish())

    def _set_up(self) -> Steps[None]:
        shape, d = self._shape, len(self._columns)
        yield from send(shape.label, LinearColumns(d, shape.n_rows))
        yield from self._receive_keys()
        terms = yield from recv(shape.label, LinearTerms)
        parties = (shape.label, *shape.peers)
        if len(terms.columns) != len(parties) or terms.columns[parties.index(self._me)] != d:
            raise PeerError(shape.label, shape.step, "told other numbers of columns than there are", "SHAPE")
        columns = tuple(int(count) for count in terms.columns)
        shape.refuse_columns(columns)
        self._counts = dict(zip(parties, columns, strict=True))
        self._counts[shape.label] += 1
        yield from self._exchange_keys()
        curvature = float(terms.curvature[0])
        self._penalty = terms.penalty[0] / self._columns.spread**2
        shape.refuse_penalty(self._penalty)
        self._tolerance = sign_tolerance(shape, curvature)
        matrix = shape.n_rows * curvature * self._columns.moments + np.diag(self._penalty)
        self._signed = SignedBlock.free(np.full(d, float(shape.sign)), matrix)

    def _receive_keys(self) -> Steps[None]:
        """Those of who has labels."""
        label = self._shape.label
        self._keys[label] = yield from peer_key(self._shape, label, self._randomness)

    def _exchange_keys(self) -> Steps[None]:
        """That of the partner."""
        shape = self._shape
        if self._key is not None:
            for peer in (shape.label, *shape.further):
                yield from self._key.announce(peer)
        else:
            self._keys[shape.partner] = yield from peer_key(shape, shape.partner, self._randomness)

    def _search(self) -> Steps[None]:
        shape = self._shape
        yield from self._move(EVALUATE)
        tried = np.zeros(len(self._columns))
        block = yield from self._begin(tried)
        evaluated = False
        due = (DIRECTION, SHORTER, EVALUATE, END, *((HOLD,) if shape.sign else ()))
        while True:
            move = yield from self._move(*due)
            if move.action == HOLD:
                if evaluated:
                    block.accept()
                evaluated, tried = False, (yield from self._hold(block))
                if (yield from self._move(EVALUATE, END)).action == END:
                    break
                block = yield from self._begin(tried)
                continue
            if move.action == END:
                if evaluated:
                    block.accept()
                break
            if move.action == EVALUATE:
                block.found((yield from self._gradient(tried)))
                evaluated = True
                yield from send(shape.label, Products(self._finite(block.products())))
                continue
            if move.action == DIRECTION:
                if evaluated:
                    block.accept()
                evaluated = False
                try:
                    block.direct(Plan(move.on_s, move.on_hy))
                except ValueError:
                    raise PeerError(shape.label, shape.step, "planned with another number of moves", "SHAPE") from None
            tried = self._finite(block.try_step(float(move.size[0])))
            self._scores = self._columns.scores(tried)
            largest = float(np.abs(self._scores).max())
            if not largest < MAX_SCORE:
                raise PeerError(shape.label, shape.step, "planned a step out of all bounds", "SHAPE")
            yield from send(shape.label, ScoreRange(math.ceil(largest)))
        self._values = block.values

    def _begin(self, start: F64) -> Steps[Block]:
        """A search from `start` over the coefficients that are not held."""
        inverted = self._signed.inverse()
        if inverted is None:
            fix = "drop the column, or set l2 above 0"
            raise DataError(Problem("COLUMN_DEPENDENT", "columns", "some follow from others", fix))
        block = Block(start, (yield from self._gradient(start)), inverted)
        yield from send(self._shape.label, Products(block.first_products()))
        return block

    def _hold(self, block: Block) -> Steps[F64]:
        """Say which coefficients break the conditions, and change those that are to: where to start from."""
        label, signed = self._shape.label, self._signed
        broken = signed.broken(block.values, block.gradient, self._tolerance)
        yield from send(label, LinearSigns(broken.astype(np.uint8)))
        flips = (yield from recv(label, LinearSigns)).columns > 0
        if flips.shape != broken.shape or (flips & ~broken).any():
            raise PeerError(label, self._shape.step, "changed signs of columns that keep the conditions", "SHAPE")
        self._signed = signed.flipped(flips)
        start = self._signed.start(block.values)
        self._scores = self._columns.scores(start)
        yield from send(label, ScoreRange(math.ceil(float(np.abs(self._scores).max()))))
        return start

    def _finish(self) -> Steps[LinearFeatureFit]:
        shape, columns = self._shape, self._columns
        self._scores = columns.scores(self._values)
        centres = columns.mean / columns.spread
        shift = np.array([self._values @ centres])
        yield from send(shape.label, Centres(shift, centres if shape.inference else np.zeros(0)))
        yield from self._likelihood()
        errors = np.full(len(columns), np.nan)
        if shape.inference:
            yield from self._information()
            told = yield from recv(shape.label, StandardErrors)
            if told.numbers.shape != errors.shape:
                raise PeerError(shape.label, shape.step, "told errors of other columns than there are", "SHAPE")
            errors = np.where(self._signed.held, np.nan, told.numbers / columns.spread)
        return LinearFeatureFit(Estimates(self._values / columns.spread, errors), self._signed.held)

    def _likelihood(self) -> Steps[None]:
        shape, label = self._shape, self._keys[self._shape.label]
        if self._key is not None:
            yield from partner_likelihood(shape, label, self._shares, self._scores)
        else:
            yield from further_likelihood(shape, label, self._scores)

    def _information(self) -> Steps[None]:
        shape, bits = self._shape, self._shape.bits
        share = None
        if self._key is not None:
            share = yield from serve_curve(shape, self._keys[shape.label], "slope", bits.slope, self._shares)
        side = InformationParty(
            shape,
            self._me,
            self._columns,
            self._counts,
            self._keys,
            self._penalty,
            self._key,
            share,
        )
        yield from side.give((yield from side.steps()))

    def _gradient(self, values: F64) -> Steps[F64]:
        shape = self._shape
        if self._key is None:
            yield from split_scores(shape, self._scores, self._randomness, self._split)
            gradient = yield from further_gradient(shape, self._keys, self._columns)
            return np.asarray(gradient + self._penalty * values)
        label = self._keys[shape.label]
        self._shares = centred(scores_to_shares(self._scores) - apart(shape.n_rows))
        for peer in shape.further:
            self._shares = centred(self._shares + (yield from receive_scores(peer, shape)))
        share = yield from serve_curve(shape, label, "probability", shape.bits.probability, self._shares)
        gradient = yield from partner_gradient(shape, self._key, label, self._columns, self._counts, share)
        return np.asarray(gradient + self._penalty * values)

    def _move(self, *due: int) -> Steps[LinearMove]:
        move = yield from recv(self._shape.label, LinearMove)
        if move.action not in due:
            raise PeerError(self._shape.label, self._shape.step, "made a move that is not due", "UNEXPECTED_MESSAGE")
        return move

    def _finite(self, numbers: F64) -> F64:
        if not np.isfinite(numbers).all():
            raise PeerError(self._shape.label, self._shape.step, "planned a step out of all bounds", "SHAPE")
        return numbers
