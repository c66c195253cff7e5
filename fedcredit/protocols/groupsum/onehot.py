"""The `onehot` backend: one-hot vectors shared by punctured trees. Read `docs/protocols/groupsum.md` beside it.

Set-up, once for a session (n rows, features f with B_f groups, d_f = ceil(log2 B_f)):

    base transfers                      128 oblivious transfers, both directions swapped
    P -> A   ChoiceCorrections          n d_f correlated transfers, choice = inverse bits of the group
    A -> P   LevelSums                  m_l = q_l xor (xor of the even nodes of level l),  l = 2 .. d_f

A round, for values v (m, K):

    A -> P   Corrections                c = v + sum_j a_j,     a_j = H_round(leaf j)
    A        share  sum a_j             P    share  sum (a_j for j != b, c - sum_{j != b} a_j for j = b)
    P -> A   GroupSums                  P's share; minus A's, it is the sum of v over each group
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from fedcredit.crypto.randomness import Randomness
from fedcredit.errors import FedcreditError, PeerError, Problem
from fedcredit.kernels import onehot as kernels
from fedcredit.kernels.onehot import U8, U32, U64, Assignment
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.groupsum.opening import learn_words, show_words
from fedcredit.protocols.groupsum.roles import Held, Part, Shared, words_of
from fedcredit.protocols.groupsum.shape import Grouping
from fedcredit.protocols.groupsum.vectors import VectorStore, blocks
from fedcredit.protocols.transfers import choose, plant
from fedcredit.wire.groupsum import ChoiceCorrections, Corrections, LevelSums

__all__ = ["OneHotAsker", "OneHotHolder", "set_up_asker", "set_up_holder"]

VECTOR_BYTES = 1 << 29
"""Memory that a side may spend on keeping a round's vectors, unless told otherwise."""

WINDOW = 4
"""Set-up chunks the holder sends ahead of the answers, so that both sides compute and neither blocks the other."""


@dataclass(frozen=True, slots=True)
class OneHotAsker:
    """The asker after set-up: Delta and the roots of all trees (F, n, 2). See `roles.Asker`.

    Reveals: see `roles.Asker`. Assumes: the hash is circular correlation robust (ideal cipher); semi-honest parties.
    """

    shape: Grouping
    delta: int = field(repr=False)
    roots: U64 = field(repr=False)
    vectors: VectorStore = field(repr=False, compare=False)
    masked: set[tuple[int, int]] = field(default_factory=set, repr=False, compare=False)
    """Round and feature of every mask that was used."""

    def share(
        self, number: int, features: tuple[int, ...], values: U64, at: Assignment, *, keep: bool = True
    ) -> Steps[Shared]:
        """Send the corrections chunk by chunk, summing the masks on the way.

        Raises: FedcreditError (ROUND_REUSED): two values under one mask would show their difference to the holder.
        """
        masks = {(number, feature) for feature in features}
        if masks & self.masked:
            raise FedcreditError(Problem("ROUND_REUSED", self.shape.step, f"round {number} has masked values already"))
        self.masked.update(masks)
        forest, round_ = self.shape.forest(), self.shape.round(number, features, values.shape[1])
        sums = np.zeros((at.n_nodes, round_.n_values, self.shape.cells(features)), np.uint64)
        kept = keep and self.vectors.open(number, at, self.shape.n_rows, self.shape.of(features), round_.n_values)
        for first, block in blocks(at):
            of_block = values[first : first + len(block.rows)]
            store = self.vectors.block(first, len(block.rows)) if kept else None
            part, words = kernels.asker_sums(forest, self.delta, self.roots, round_, block, of_block, keep=store)
            sums += part
            for piece in self.shape.round_pieces(len(block.rows), len(features), round_.n_values):
                words_of_piece = np.ascontiguousarray(words[:, piece])
                yield from send(self.shape.holder, Corrections(number, first + piece.start, words_of_piece))
        return Shared(number, round_, sums)

    def further(self, shared: Shared, at: Assignment) -> Part:
        """The masks of the same round over another assignment."""
        if (sums := self.vectors.sums(shared.number, at)) is not None:
            return sums
        return kernels.asker_sums(self.shape.forest(), self.delta, self.roots, shared.round, at)[0]

    def learn(self, shared: Shared, part: Part) -> Steps[U64]:
        """The holder's share minus ours."""
        return (yield from learn_words(self.shape, shared.number, words_of(part)))

    def settle(self, shared: Shared, part: Part) -> Steps[U64]:
        """A part is a share."""
        yield from ()
        return words_of(part)


@dataclass(frozen=True, slots=True)
class OneHotHolder:
    """The holder after set-up: its groups (F, n), and of each tree the keys off its path. See `roles.Holder`.

    Reveals: see `roles.Holder`. Assumes: AES in counter mode pads its choices; semi-honest parties.
    """

    shape: Grouping
    codes: U8 = field(repr=False)
    keys: U64 = field(repr=False)
    vectors: VectorStore = field(repr=False, compare=False)

    def take(
        self, number: int, features: tuple[int, ...], n_values: int, at: Assignment, *, keep: bool = True
    ) -> Steps[Held]:
        """Receive the corrections chunk by chunk, summing the vectors on the way."""
        forest, round_ = self.shape.forest(), self.shape.round(number, features, n_values)
        sums = np.zeros((at.n_nodes, n_values, self.shape.cells(features)), np.uint64)
        stored = keep and self.vectors.open(number, at, self.shape.n_rows, self.shape.of(features), n_values)
        again = keep and not stored
        kept = np.zeros((len(features), self.shape.n_rows if again else 0, n_values), np.uint64)
        for first, block in blocks(at):
            words = np.empty((len(features), len(block.rows), n_values), np.uint64)
            for piece in self.shape.round_pieces(len(block.rows), len(features), n_values):
                got = yield from recv(self.shape.asker, Corrections)
                where = (number, first + piece.start, words[:, piece].shape)
                if (got.round, got.first, got.words.shape) != where:
                    what = "sent corrections of another run of rows"
                    raise PeerError(self.shape.asker, self.shape.step, what, "SHAPE")
                words[:, piece] = got.words
            if again:
                kept[:, _run_or_rows(block.rows)] = words
            store = self.vectors.block(first, len(block.rows)) if stored else None
            sums += kernels.holder_sums(
                forest, self.keys, self.codes, round_, block, words, by_position=True, keep=store
            )
        return Held(number, round_, kept, sums)

    def further(self, held: Held, at: Assignment) -> Part:
        """The vectors of the same round over another assignment."""
        if (sums := self.vectors.sums(held.number, at)) is not None:
            return sums
        return kernels.holder_sums(self.shape.forest(), self.keys, self.codes, held.round, at, held.corrections)

    def show(self, held: Held, part: Part) -> Steps[None]:
        """Our share, to the asker."""
        yield from show_words(self.shape, held.number, words_of(part))

    def settle(self, held: Held, part: Part) -> Steps[U64]:
        """A part is a share."""
        yield from ()
        return words_of(part)


def set_up_asker(shape: Grouping, randomness: Randomness, *, vector_bytes: int = VECTOR_BYTES) -> Steps[OneHotAsker]:
    """The asker's side of set-up. Raises: PeerError."""
    planted = yield from choose(shape.transfers(), randomness)
    forest = shape.forest()
    roots = np.empty((len(shape.groups), shape.n_rows, 2), np.uint64)
    column = 0
    for feature, depth in enumerate(forest.depths):
        step = shape.setup_rows(feature)
        for first in range(0, shape.n_rows, step):
            n = min(step, shape.n_rows - first)
            got = yield from recv(shape.holder, ChoiceCorrections)
            columns = -(-n * depth // kernels.COLUMN)
            if (got.feature, got.first_row, got.words.shape[1]) != (feature, first, columns):
                raise PeerError(shape.holder, shape.step, "sent choices of another run of rows", "SHAPE")
            q = kernels.transfer_send(planted.seeds, planted.delta, column, got.words)[: n * depth]
            q = q.reshape(n, depth, 2)
            roots[feature, first : first + n] = q[:, 0]
            blocks = kernels.level_sums(forest, planted.delta, feature, first, q)
            yield from send(shape.holder, LevelSums(feature, first, blocks))
            column += columns
    return OneHotAsker(shape, planted.delta, roots, VectorStore(vector_bytes))


def set_up_holder(
    shape: Grouping, codes: U8, randomness: Randomness, *, vector_bytes: int = VECTOR_BYTES
) -> Steps[OneHotHolder]:
    """The holder's side of set-up. Shapes: codes (F, n), codes[f] below groups[f]. Raises: ValueError, PeerError."""
    if codes.shape != (len(shape.groups), shape.n_rows) or codes.dtype != np.uint8:
        raise ValueError(f"set_up_holder: codes are {codes.shape} {codes.dtype}")
    if (codes.max(axis=1) >= np.array(shape.groups)).any():
        raise ValueError("set_up_holder: a group is out of range")
    seeds = yield from plant(shape.transfers(), randomness)
    forest = shape.forest()
    keys = np.empty((shape.n_rows * sum(forest.depths), 2), np.uint64)
    column = start = 0
    pending: deque[tuple[int, int, U64]] = deque()
    for feature, depth in enumerate(forest.depths):
        step = shape.setup_rows(feature)
        of_feature = keys[start : start + shape.n_rows * depth].reshape(shape.n_rows, depth, 2)
        start += shape.n_rows * depth
        for first in range(0, shape.n_rows, step):
            own = codes[feature, first : first + step]
            t, words = kernels.transfer_receive(seeds, column, kernels.choice_words(own, depth))
            yield from send(shape.asker, ChoiceCorrections(feature, first, words))
            of_feature[first : first + len(own)] = t[: len(own) * depth].reshape(len(own), depth, 2)
            column += words.shape[1]
            pending.append((feature, first, of_feature[first : first + len(own)]))
            if len(pending) > WINDOW:
                yield from _open_levels(shape, *pending.popleft())
    while pending:
        yield from _open_levels(shape, *pending.popleft())
    return OneHotHolder(shape, codes, keys, VectorStore(vector_bytes))


def _run_or_rows(rows: U32) -> slice | U32:
    """Consecutive rows as a slice, which copies faster than an index."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if (np.diff(rows) == 1).all() else rows


def _open_levels(shape: Grouping, feature: int, first: int, keys: U64) -> Steps[None]:
    """Level 1 is the transfer's block itself; at the others `m_l xor t_l` is the xor of the side off the path."""
    got = yield from recv(shape.asker, LevelSums)
    if (got.feature, got.first_row) != (feature, first) or got.blocks.shape != keys[:, 1:].shape:
        raise PeerError(shape.asker, shape.step, "sent level sums of another run of rows", "SHAPE")
    keys[:, 1:] ^= got.blocks
