"""Messages of the joint logistic regression: `docs/protocols/linear.md`. Keys and ciphertexts: `wire.encryption`.

Label party A has labels and may have columns; feature parties P have columns; the first of them is the partner H.
Reveals: of every message, its size, which follows from public numbers of rows, columns and rounds.
Assumes: all parties are semi-honest; the link authenticates them; P answers for its true columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.kernels.onehot import U8, U32
from fedcredit.wire._gen import linear_pb2 as pb
from fedcredit.wire.message import Message, MessageInvalid, array, count

__all__ = [
    "DIRECTION",
    "END",
    "EVALUATE",
    "HOLD",
    "MAX_CHUNK_WORDS",
    "MAX_COLUMNS",
    "MAX_PARTIES",
    "MAX_ROWS",
    "SHORTER",
    "Centres",
    "LinearColumns",
    "LinearMove",
    "LinearSigns",
    "LinearTerms",
    "Masked",
    "Products",
    "ScoreRange",
    "ScoreShares",
    "ShareSums",
    "StandardErrors",
]

F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]

MAX_ROWS: Final = 1 << 20
MAX_COLUMNS: Final = 4096
MAX_PARTIES: Final = 64
MAX_MOVES: Final = 64
MAX_CHUNK_WORDS: Final = 1 << 17
DIRECTION, SHORTER, EVALUATE, END, HOLD = range(5)
"""What a `LinearMove` has everybody do."""
MAX_FACTOR: Final = 1e9
MAX_PRODUCT: Final = 1e30
"""Whoever sends more than this would have others overflow."""


@dataclass(frozen=True, slots=True, repr=False)
class LinearColumns(Message, tag=0x70, proto=pb.LinearColumns):
    """P's number of columns and rows.

    Reveals: to A, how many columns P brings. Assumes: see the module.
    """

    columns: int = count(MAX_COLUMNS)
    rows: int = count(MAX_ROWS, 1)


@dataclass(frozen=True, slots=True, repr=False)
class LinearTerms(Message, tag=0x71, proto=pb.LinearTerms):
    """How many columns each party brings, A first; and two terms: the curvature of a row at the start, the penalty.

    Reveals: to every P, how many columns the others bring; the share of events among all rows, from which the curvature
    follows; with a penalty and weights, the largest weight. Assumes: see the module.
    """

    columns: U32 = array("u4", 1, MAX_PARTIES)
    curvature: F64 = array("f8", 1, 1)
    penalty: F64 = array("f8", 1, 1)

    def validate(self) -> None:
        if self.curvature.shape != (1,) or not 0 < self.curvature[0] <= 1:
            raise MessageInvalid("LinearTerms.curvature", "not one number above 0", "ARRAY_INVALID")
        if self.penalty.shape != (1,) or not 0 <= self.penalty[0] <= MAX_PRODUCT:
            raise MessageInvalid("LinearTerms.penalty", "not one number, at least 0", "ARRAY_INVALID")
        if self.columns.size < 2 or (self.columns > MAX_COLUMNS).any():
            raise MessageInvalid("LinearTerms.columns", "not numbers of columns of parties", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class LinearMove(Message, tag=0x73, proto=pb.LinearMove):
    """What A has everybody do: a new direction and step, a shorter step, the evaluation of the step, the end, or, where
    signs are fixed, to say which coefficients are on the wrong side.

    Reveals: to every P, the factors by which all parties' moves are combined, the size of the step, the number of
    steps; from these, how far all columns together still are from the estimate. Assumes: see the module.
    """

    action: int = count(HOLD)
    size: F64 = array("f8", 1, 1)
    on_s: F64 = array("f8", 1, MAX_MOVES)
    on_hy: F64 = array("f8", 1, MAX_MOVES)

    def validate(self) -> None:
        if self.size.shape != (1,) or not 0 <= self.size[0] <= 1 or self.on_s.shape != self.on_hy.shape:
            raise MessageInvalid("LinearMove", "not a step in [0, 1] and two factors a move", "ARRAY_INVALID")
        if max(np.abs(self.on_s).max(initial=0), np.abs(self.on_hy).max(initial=0)) > MAX_FACTOR:
            raise MessageInvalid("LinearMove", "a factor out of all bounds", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class ScoreRange(Message, tag=0x74, proto=pb.ScoreRange):
    """The largest size of P's partial scores over all rows, rounded up to a whole number.

    Reveals: to A, that number; of no row which. Assumes: see the module.
    """

    bound: int = count(1 << 16)


@dataclass(frozen=True, slots=True, repr=False)
class ScoreShares(Message, tag=0x75, proto=pb.ScoreShares):
    """Of a further P, one of two additive shares of its partial scores for a run of rows; A gets the other one.

    Reveals: nothing: each share alone is uniform. Assumes: A and H do not show each other their shares.
    """

    first: int = count(MAX_ROWS)
    words: I64 = array("i8", 1, MAX_CHUNK_WORDS)


@dataclass(frozen=True, slots=True, repr=False)
class Masked(Message, tag=0x77, proto=pb.Masked):
    """Sums under masks that the receiver, or another party, knows: the key's owner returns what it decrypted.

    Reveals: to the masks' owner, its column's sum over the share that was encrypted: a share of its gradient; uniform
    to anybody else. Assumes: the key's owner decrypts answers of semi-honest parties only.
    """

    numbers: I64 = array("i8", 1, MAX_CHUNK_WORDS)


@dataclass(frozen=True, slots=True, repr=False)
class ShareSums(Message, tag=0x78, proto=pb.ShareSums):
    """One party's shares of sums that A adds up: of the log-likelihood, of the information matrix.

    Reveals: to A, with the other shares, the sums themselves and nothing of what they were summed from.
    Assumes: see the module.
    """

    numbers: I64 = array("i8", 1, MAX_CHUNK_WORDS)


@dataclass(frozen=True, slots=True, repr=False)
class Products(Message, tag=0x79, proto=pb.Products):
    """Dot products of P's gradients and moves: the slope along the step, and what the next direction follows from.

    Reveals: to A, these dot products: all that can be told of P's coefficients and gradients up to a rotation of them
    among P's columns. Of a single column that is the coefficient in units of its spread, up to its sign.
    Assumes: see the module.
    """

    numbers: F64 = array("f8", 1, 2 + 5 * MAX_MOVES)

    def validate(self) -> None:
        if np.abs(self.numbers).max(initial=0) > MAX_PRODUCT:
            raise MessageInvalid("Products.numbers", "a number out of all bounds", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class Centres(Message, tag=0x7A, proto=pb.Centres):
    """How much of the intercept is P's: the sum of its coefficients times its columns' means; and with standard errors,
    each column's mean in units of its spread.

    Reveals: to A, these numbers. Assumes: see the module.
    """

    shift: F64 = array("f8", 1, 1)
    centres: F64 = array("f8", 1, MAX_COLUMNS)

    def validate(self) -> None:
        if self.shift.shape != (1,):
            raise MessageInvalid("Centres.shift", "not one number", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class LinearSigns(Message, tag=0x7C, proto=pb.LinearSigns):
    """Of each of P's columns 1 or 0. P to A: whether it breaks the conditions of a minimum with fixed signs, because
    its coefficient is on the wrong side of 0, or is held at 0 and its gradient points to the right side. A to P:
    whether it is held from now on if it was free, and free if it was held.

    Reveals: to A, by number, which of P's coefficients are on the wrong side, and so in the end which are held at 0; to
    P, for those that break the conditions and are left as they are, that others do. Assumes: see the module.
    """

    columns: U8 = array("u1", 1, MAX_COLUMNS)

    def validate(self) -> None:
        if (self.columns > 1).any():
            raise MessageInvalid("LinearSigns.columns", "not 0 or 1", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class StandardErrors(Message, tag=0x7B, proto=pb.StandardErrors):
    """The standard errors of P's coefficients, in units of one over each column's spread; 0 of one that is held at 0.

    Reveals: to P, how exact its coefficients are, beside all other columns. Assumes: see the module.
    """

    numbers: F64 = array("f8", 1, MAX_COLUMNS)
