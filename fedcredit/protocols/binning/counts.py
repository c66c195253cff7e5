"""Counts of bad rows under ring-LWE: the label party encrypts its labels once, and gets back sums over cells.

    L -> P   CountKey
    P -> L   RowCounts         rows of each cell, which is a pre-bin of a column; several cells share a number
    part     at most 255 ciphertexts of rows, so that one sum has room for them
    L -> P   SealedLabels      y of these rows, by coefficients
    P -> L   SealedCounts      inner products with columns that are a cell's weight in its rows
    L        decrypts, adds up the parts, and takes the cells' digits

With several parts P masks each answer, and the masks of one number add up to nothing: L learns sums over all rows only.

Reveals: to L, the rows and bad rows of each cell, by opaque number; to P, nothing.
Assumes: semi-honest parties; ring learning with errors.
Source: docs/protocols/rlwe.md; Z. Huang, W. Lu, C. Hong, J. Ding, Cheetah, 2022, for inner products by coefficients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto import rlwe
from fedcredit.crypto.randomness import Randomness
from fedcredit.crypto.rlwe_checks import BadCiphertext, BadKey
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.binning.layout import Layout
from fedcredit.protocols.ciphertexts import receive_bytes, send_bytes
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.wire.binning import MAX_CHUNK_WORDS, CountKey, RowCounts, SealedCounts, SealedLabels

__all__ = ["LabelCounter", "LentColumns", "add_answers", "parts_of", "receive_rows"]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U32: TypeAlias = npt.NDArray[np.uint32]

PART_ROWS = rlwe.MAX_SUMMED * rlwe.SLOTS
"""Rows of which one sum is made."""
NUMBERS_AT_ONCE: Final = 64
"""Numbers that P computes and sends together: 4 MiB."""


@dataclass(frozen=True, slots=True)
class LabelCounter:
    """Learns how many rows and bad rows each cell of the peers' columns has. Shapes: labels (n,), 0 or 1.

    Reveals: to this party, how many rows and how many bad rows each pre-bin of each peer's column has, by opaque
    number. Assumes: semi-honest parties; ring learning with errors.
    """

    labels: U8 = field(repr=False)

    def count(
        self, groups: Mapping[PartyId, tuple[int, ...]], min_rows: int, randomness: Randomness
    ) -> Steps[dict[PartyId, I64]]:
        """Rows and bad rows of each cell, by peer. `groups`: how many pre-bins each of its columns has.

        Shapes: returns (2, cells). Raises: PeerError.
        """
        secret = rlwe.SecretKey.generate(randomness)
        key = CountKey(secret.public.to_bytes().tobytes())
        for peer in groups:
            yield from send(peer, key)
        layouts: dict[PartyId, Layout] = {}
        for peer, of_peer in groups.items():
            rows = yield from receive_rows(peer, sum(of_peer))
            self._check_rows(peer, rows, of_peer, min_rows)
            layouts[peer] = Layout.of(rows)
        numbers = {peer: np.zeros(len(layout), np.int64) for peer, layout in layouts.items()}
        for part in parts_of(self.labels.size):
            sealed = secret.encrypt_coefficients(self.labels[None, part].astype(np.int64), randomness).to_bytes()
            for peer in groups:
                yield from send_bytes(peer, sealed, SealedLabels)
            for peer in groups:
                yield from add_answers(numbers[peer], secret, peer, part.stop - part.start)
        return {peer: self._read(peer, layouts[peer], numbers[peer]) for peer in groups}

    def _check_rows(self, peer: PartyId, rows: I64, groups: tuple[int, ...], min_rows: int) -> None:
        for of_column in np.split(rows, np.cumsum(groups)[:-1]):
            if of_column.sum() != self.labels.size:
                raise _broke(peer, "counted other rows than there are", "COUNTS_INVALID")
            if (of_column < min_rows).any():
                raise _broke(peer, "made a pre-bin of fewer rows than the job says", "COUNTS_INVALID")

    def _read(self, peer: PartyId, layout: Layout, numbers: I64) -> I64:
        try:
            return np.stack([layout.rows, layout.read(numbers)])
        except ValueError:
            raise _broke(peer, "counted more bad rows than there are rows", "COUNTS_INVALID") from None


@dataclass(frozen=True, slots=True)
class LentColumns:
    """Has its columns counted by the label party. Shapes: codes (F, n), below `groups` (F,).

    Reveals: to the label party, how many rows and how many bad rows each pre-bin of these columns has, by opaque
    number; to this party, nothing. Assumes: semi-honest parties; ring learning with errors.
    """

    label_party: PartyId
    codes: U8 = field(repr=False)
    groups: tuple[int, ...]

    def lend(self, randomness: Randomness) -> Steps[None]:
        """Answer with the counts of all cells. Raises: PeerError."""
        key = yield from self.receive_key()
        rows = self.rows()
        yield from self.tell_rows(rows)
        columns = self.coded(Layout.of(rows))
        left = np.zeros(len(columns), np.int64)
        parts = list(parts_of(self.codes.shape[1]))
        for part in parts:
            masks = left
            if part is not parts[-1]:
                masks = rlwe.masks(randomness, len(columns))
                left = (left - masks) % rlwe.PLAIN_MODULUS
            sealed = yield from self.receive_labels(key, part.stop - part.start)
            yield from self.answer(key, sealed, columns.rows(part), masks, randomness)

    def answer(
        self, key: rlwe.PublicKey, sealed: rlwe.Ciphertexts, here: rlwe.Coded, masks: I64, randomness: Randomness
    ) -> Steps[None]:
        """Send inner products of sealed labels with the columns of their rows, under `masks` (numbers,)."""
        for at in runs_of(len(here)):
            answer = key.coded_products(sealed, here.some(at), masks[at], randomness)
            yield from send_bytes(self.label_party, answer.to_bytes(), SealedCounts)

    def receive_key(self) -> Steps[rlwe.PublicKey]:
        """The label party's key. Raises: PeerError KEY_INVALID."""
        got = yield from recv(self.label_party, CountKey)
        try:
            return rlwe.PublicKey.from_bytes(np.frombuffer(got.key, np.uint8))
        except BadKey as bad:
            raise bad.of_peer(self.label_party, _step(self.label_party)) from None

    def tell_rows(self, rows: I64) -> Steps[None]:
        """Say how many rows each cell has. Shapes: (cells,)."""
        for first in range(0, rows.size, MAX_CHUNK_WORDS):
            yield from send(self.label_party, RowCounts(first, rows[first : first + MAX_CHUNK_WORDS].astype(np.uint32)))

    def rows(self) -> I64:
        """How many rows each cell has. Shapes: (cells,)."""
        counts = [np.bincount(codes, minlength=b) for codes, b in zip(self.codes, self.groups, strict=True)]
        return np.concatenate([np.zeros(0, np.int64), *counts])

    def coded(self, layout: Layout) -> rlwe.Coded:
        """The columns as labels are multiplied with them, in the numbers of `layout`."""
        features = np.repeat(np.arange(len(self.groups), dtype=np.uint32), self.groups)
        groups = np.concatenate([np.zeros(0, np.uint8), *(np.arange(b).astype(np.uint8) for b in self.groups)])
        return rlwe.Coded(self.codes, features, groups, layout.weights, layout.first)

    def receive_labels(self, key: rlwe.PublicKey, rows: int) -> Steps[rlwe.Ciphertexts]:
        """Sealed labels of so many rows. Raises: PeerError SHAPE, CIPHERTEXT_INVALID."""
        size = rlwe.Ciphertexts.size(1, rows)
        flat = yield from receive_bytes(self.label_party, size, _step(self.label_party), SealedLabels)
        try:
            return rlwe.Ciphertexts.coefficients_from_bytes(flat, key, vectors=1, rows=rows)
        except BadCiphertext as bad:
            raise bad.of_peer(self.label_party, _step(self.label_party)) from None


def add_answers(numbers: I64, secret: rlwe.SecretKey, peer: PartyId, rows: int) -> Steps[None]:
    """Receive and decrypt the answers over one part of the rows, and add them to `numbers`, modulo t."""
    for at in runs_of(len(numbers)):
        count = at.stop - at.start
        flat = yield from receive_bytes(peer, rlwe.InnerProducts.size(count), _step(peer), SealedCounts)
        try:
            answer = rlwe.InnerProducts.from_bytes(flat, secret.public, count=count, rows=rows)
            numbers[at] = (numbers[at] + secret.decrypt_inner(answer)) % rlwe.PLAIN_MODULUS
        except BadCiphertext as bad:
            raise bad.of_peer(peer, _step(peer)) from None


def receive_rows(peer: PartyId, cells: int) -> Steps[I64]:
    """How many rows each of a peer's cells has: (cells,). Raises: PeerError SHAPE."""
    rows = np.empty(cells, np.int64)
    for first in range(0, cells, MAX_CHUNK_WORDS):
        got = yield from recv(peer, RowCounts)
        run = rows[first : first + MAX_CHUNK_WORDS]
        if got.first != first or got.rows.shape != run.shape:
            raise _broke(peer, "sent rows of other pre-bins than are due")
        run[:] = got.rows
    return rows


def parts_of(n_rows: int) -> Iterator[slice]:
    """The rows, by how many one sum has room for."""
    for first in range(0, n_rows, PART_ROWS):
        yield slice(first, min(first + PART_ROWS, n_rows))


def runs_of(count: int) -> Iterator[slice]:
    """`count` numbers, by how many travel together."""
    for first in range(0, count, NUMBERS_AT_ONCE):
        yield slice(first, min(first + NUMBERS_AT_ONCE, count))


def _step(peer: PartyId) -> str:
    return f"counts with {peer}"


def _broke(peer: PartyId, how: str, code: str = "SHAPE") -> PeerError:
    return PeerError(peer, _step(peer), how, code)
