"""The `paillier` backend: sums of ciphertexts under the asker's key. Read `docs/protocols/groupsum.md` beside it.

Set-up, once for a session:

    A -> P   PaillierKey                the modulus; P checks it

A round, for values v (m, K), several of a row in one ciphertext:

    A -> P   EncryptedValues            Enc(v[i]) of each row
    P        Enc(S[N, f, j])            the product of the ciphertexts of the rows of node N with group j in feature f
    P        several sums in one        the product of Enc(S)^(2^shift)
    P -> A   EncryptedSums              times Enc(pad) x^n, x random: padded, and nothing shows how it was made
    A        decrypts; modulo 2^64 it is S, or with a random word in the pad its share of S

A set of rows that A wants left out without saying so has value zero: a ciphertext of zero looks like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.paillier import Ciphertexts, Encryptor, PrivateKey, PublicKey
from fedcredit.crypto.paillier_checks import STRONG_128, BadCiphertext, BadKey, Profile
from fedcredit.crypto.randomness import Randomness
from fedcredit.crypto.word_packing import WordPacking
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.kernels.onehot import U8, U64, Assignment
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.groupsum.opening import learn_words, runs, show_words
from fedcredit.protocols.groupsum.roles import Held, Part, Sealed, Shared
from fedcredit.protocols.groupsum.shape import Grouping
from fedcredit.wire.groupsum import EncryptedSums, EncryptedValues, PaillierKey

__all__ = ["OwnKey", "PaillierAsker", "PaillierHolder", "set_up_asker", "set_up_holder"]

I64: TypeAlias = npt.NDArray[np.int64]

SUM_ROWS: Final = 8192
"""Ciphertexts that are multiplied into their groups at a time: 6 MiB at 3072 bits, and what they wait in."""

KERNEL_CELLS: Final = 1 << 13
"""Sums that a kernel makes at a time: it holds several running products of each."""


@dataclass(frozen=True, slots=True)
class OwnKey:
    """The asker's key of one session, for all holders of it: lives as long as the session and is stored nowhere."""

    private: PrivateKey = field(repr=False)
    encryptor: Encryptor = field(repr=False)

    @classmethod
    def fresh(cls, randomness: Randomness, profile: Profile = STRONG_128) -> OwnKey:
        """A new key: takes a second or two."""
        return cls.of(PrivateKey.generate(profile), randomness)

    @classmethod
    def of(cls, private: PrivateKey, randomness: Randomness) -> OwnKey:
        """A key with what encrypts under it."""
        return cls(private, private.encryptor(randomness))


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the words of a round lie: `per_row` ciphertexts a row and sum, the last of them with `rest` words."""

    packing: WordPacking
    n_values: int

    @property
    def per_row(self) -> int:
        return -(-self.n_values // self.packing.slots)

    @property
    def rest(self) -> int:
        return self.n_values - (self.per_row - 1) * self.packing.slots

    @property
    def merged(self) -> int:
        """Sums whose last ciphertexts become one."""
        return self.packing.slots // self.rest

    def words(self, part: int) -> slice:
        """The values in ciphertext number `part` of a row."""
        first = part * self.packing.slots
        return slice(first, min(first + self.packing.slots, self.n_values))

    def sealed(self, n_sums: int) -> int:
        """Ciphertexts that so many sums travel in."""
        return (self.per_row - 1) * n_sums + -(-n_sums // self.merged)


@dataclass(frozen=True, slots=True)
class PaillierAsker:
    """The asker after set-up: the private key. See `roles.Asker`.

    Reveals: to the asker, of each opened sum, the sum of its own values over each group; to the holder the rows of each
    node that is named to it, and of the values nothing.
    Assumes: decisional composite residuosity, and short exponents that look like long ones (not against quantum
    computers); semi-honest parties that do not collude with each other; an authenticated link.
    """

    shape: Grouping
    key: OwnKey = field(repr=False)

    def share(
        self, number: int, features: tuple[int, ...], values: U64, at: Assignment, *, keep: bool = True
    ) -> Steps[Shared]:
        """Send the values encrypted, chunk by chunk. Whether they are kept is the holder's business."""
        round_ = self.shape.round(number, features, values.shape[1])
        layout, public = self._layout(values.shape[1]), self.key.private.public
        sent = []
        for run in runs(len(at.rows), layout.per_row * 2 * public.width):
            words = values[run]
            rows = np.empty((len(words), layout.per_row, 2 * public.width), np.uint8)
            for part in range(layout.per_row):
                plain = layout.packing.pack(np.ascontiguousarray(words[:, layout.words(part)]))
                rows[:, part] = self.key.encryptor.encrypt(plain).sent()
            flat = rows.reshape(-1, 2 * public.width)
            sent.append(_tails(flat))
            yield from send(self.shape.holder, EncryptedValues(number, run.start, public.id, flat))
        sums = Sealed((at.n_nodes, values.shape[1], self.shape.cells(features)))
        return Shared(number, round_, sums, sent=np.concatenate(sent) if sent else np.zeros(0, np.uint64))

    def further(self, shared: Shared, at: Assignment) -> Part:
        """Nothing is here: the holder has the sums, sealed."""
        return Sealed((at.n_nodes, shared.round.n_values, self.shape.cells(shared.round.features)))

    def learn(self, shared: Shared, part: Part) -> Steps[U64]:
        """Decrypt the sums; those that were settled are opened as shares are. Raises: PeerError."""
        if not isinstance(part, Sealed):
            return (yield from learn_words(self.shape, shared.number, part))
        return (yield from self._receive(shared, part))

    def settle(self, shared: Shared, part: Part) -> Steps[U64]:
        """Decrypt what the holder's random words left of the sums. Raises: PeerError."""
        if not isinstance(part, Sealed):
            yield from ()
            return part
        padded = yield from self._receive(shared, part)
        return np.uint64(0) - padded

    def _layout(self, n_values: int) -> _Layout:
        return _Layout(WordPacking(self.key.private.public, self.shape.n_rows), n_values)

    def _receive(self, shared: Shared, part: Sealed) -> Steps[U64]:
        n_nodes, n_values, cells = part.shape
        layout, public, n_sums = self._layout(n_values), self.key.private.public, n_nodes * cells
        plain = np.empty((layout.sealed(n_sums), public.width), np.uint8)
        for run in runs(len(plain), 2 * public.width):
            got = yield from recv(self.shape.holder, EncryptedSums)
            if (got.round, got.first) != (shared.number, run.start):
                raise PeerError(self.shape.holder, self.shape.step, "sent the sums of another round", "SHAPE")
            with _blame(self.shape.holder, self.shape.step):
                rows = public.received(got.rows, count=run.stop - run.start, key_id=got.key)
                _refuse_own(rows.rows, shared.sent)
                plain[run] = self.key.private.decrypt(rows)
        out = np.empty((n_sums, n_values), np.uint64)
        full = (layout.per_row - 1) * n_sums
        with _blame(self.shape.holder, self.shape.step):
            for number in range(layout.per_row - 1):
                of_part = plain[number * n_sums : (number + 1) * n_sums]
                out[:, layout.words(number)] = layout.packing.unpack(of_part, layout.packing.slots)
            words = layout.packing.unpack(plain[full:], layout.merged * layout.rest)
        out[:, layout.words(layout.per_row - 1)] = words.reshape(-1, layout.rest)[:n_sums]
        return np.ascontiguousarray(out.reshape(n_nodes, cells, n_values).transpose(0, 2, 1))


@dataclass(frozen=True, slots=True)
class PaillierHolder:
    """The holder after set-up: its groups (F, n), and the asker's public key. See `roles.Holder`.

    Reveals: to the asker, of each opened sum, the sum of the asker's values over each of the holder's groups modulo
    2^64, by opaque number, and with a probability of 2^-64 a sum how often it carried.
    Assumes: the asker's key is made as agreed; semi-honest parties that do not collude with each other; an
    authenticated link.
    """

    shape: Grouping
    codes: U8 = field(repr=False)
    key: PublicKey = field(repr=False)
    randomness: Randomness = field(repr=False, compare=False)

    def take(
        self, number: int, features: tuple[int, ...], n_values: int, at: Assignment, *, keep: bool = True
    ) -> Steps[Held]:
        """Receive the ciphertexts chunk by chunk, multiplying them into their groups on the way. Raises: PeerError."""
        round_, layout = self.shape.round(number, features, n_values), self._layout(n_values)
        m, wide = len(at.rows), 2 * self.key.width
        kept = np.empty((m if keep else min(m, SUM_ROWS), layout.per_row, wide), np.uint8)
        sums, begun, filled = _Products(self, features, layout, at.n_nodes), 0, 0
        for run in runs(m, layout.per_row * wide):
            got = yield from recv(self.shape.asker, EncryptedValues)
            if (got.round, got.first) != (number, run.start):
                raise PeerError(self.shape.asker, self.shape.step, "sent the values of other rows", "SHAPE")
            n = run.stop - run.start
            with _blame(self.shape.asker, self.shape.step):
                rows = self.key.received(got.rows, count=n * layout.per_row, key_id=got.key).rows
            if filled + n - begun > SUM_ROWS:
                sums.add(kept[begun:filled] if keep else kept[: filled - begun], _part_of(at, begun, filled))
                begun = filled
            where = filled if keep else filled - begun
            kept[where : where + n] = rows.reshape(n, layout.per_row, wide)
            filled += n
        sums.add(kept[begun:filled] if keep else kept[: filled - begun], _part_of(at, begun, filled))
        none = np.zeros((0, 0, 0), np.uint64)
        if not keep:
            return Held(number, round_, none, sums.sealed())
        places = np.full(self.shape.n_rows, -1, np.int64)
        places[at.rows] = np.arange(m)
        return Held(number, round_, none, sums.sealed(), kept, places)

    def further(self, held: Held, at: Assignment) -> Part:
        """The products of the same round over another assignment. Raises: ValueError for a row that was not in it."""
        kept, places = held.ciphertexts, held.places
        if kept is None or places is None or (places[at.rows] < 0).any():
            raise ValueError("PaillierHolder: a row was not part of the round, or the round was not kept")
        sums = _Products(self, held.round.features, self._layout(held.round.n_values), at.n_nodes)
        # Also for no rows at all: then each sum is a ciphertext of nothing.
        for first in range(0, max(1, len(at.rows)), SUM_ROWS):
            piece = _part_of(at, first, first + SUM_ROWS)
            sums.add(kept[places[piece.rows]], piece)
        return sums.sealed()

    def show(self, held: Held, part: Part) -> Steps[None]:
        """Send the sums, padded, for the asker to decrypt; those that were settled as they are."""
        if isinstance(part, Sealed):
            yield from self._send(held, part, np.zeros(part.shape, np.uint64))
        else:
            yield from show_words(self.shape, held.number, part)

    def settle(self, held: Held, part: Part) -> Steps[U64]:
        """Send the sums plus random words, and keep those, negative, as our share."""
        if not isinstance(part, Sealed):
            yield from ()
            return part
        words = self.randomness.words(int(np.prod(part.shape))).reshape(part.shape)
        yield from self._send(held, part, words)
        return np.uint64(0) - words

    def _layout(self, n_values: int) -> _Layout:
        return _Layout(WordPacking(self.key, self.shape.n_rows), n_values)

    def _send(self, held: Held, part: Sealed, words: U64) -> Steps[None]:
        """Several sums to a ciphertext, padded and blinded a chunk at a time."""
        n_nodes, n_values, cells = part.shape
        layout, n_sums, wide = self._layout(n_values), n_nodes * cells, 2 * self.key.width
        assert part.ciphertexts is not None, "the holder's part has them"
        full = (layout.per_row - 1) * n_sums
        merged = self._merge(part.ciphertexts[full:], layout)
        rows = np.concatenate([part.ciphertexts[:full], merged])
        by_sum = words.transpose(0, 2, 1).reshape(n_sums, n_values)
        pads = np.empty((len(rows), self.key.width), np.uint8)
        for number in range(layout.per_row - 1):
            of_part = np.ascontiguousarray(by_sum[:, layout.words(number)])
            pads[number * n_sums : (number + 1) * n_sums] = layout.packing.pads(of_part, self.randomness)
        last = np.zeros((len(merged) * layout.merged, layout.rest), np.uint64)
        last[:n_sums] = by_sum[:, layout.words(layout.per_row - 1)]
        pads[full:] = layout.packing.pads(last.reshape(len(merged), -1), self.randomness)
        for run in runs(len(rows), wide):
            fresh = self.key.blinded(Ciphertexts(self.key, rows[run], fresh=False), pads[run], self.randomness)
            yield from send(self.shape.asker, EncryptedSums(held.number, run.start, self.key.id, fresh.sent()))

    def _merge(self, rows: U8, layout: _Layout) -> U8:
        """One ciphertext for every `merged` sums, the first in the lowest slots."""
        n = -(-len(rows) // layout.merged)
        padded = np.zeros((n * layout.merged, rows.shape[1]), np.uint8)
        padded[len(rows) :, -1] = 1
        padded[: len(rows)] = rows
        places = np.ascontiguousarray(padded.reshape(n, layout.merged, -1).transpose(1, 0, 2))
        bits = 8 * layout.packing.slot_bytes * layout.rest
        total = Ciphertexts(self.key, places[-1], fresh=False)
        for place in reversed(places[:-1]):
            total = self.key.add(self.key.shifted(total, bits), Ciphertexts(self.key, place, fresh=False))
        return total.rows


class _Products:
    """The running products of a round: one ciphertext for each node, group of a feature, and ciphertext of a row.

    Addresses depend on the groups, which are this party's own.
    """

    def __init__(self, holder: PaillierHolder, features: tuple[int, ...], layout: _Layout, n_nodes: int) -> None:
        self._holder, self._layout, self._n_nodes = holder, layout, n_nodes
        self._shape = (n_nodes, layout.n_values, holder.shape.cells(features))
        self._blocks = list(_blocks(holder.shape.groups, features, n_nodes))
        self._totals: list[list[Ciphertexts | None]] = [[None] * len(self._blocks) for _ in range(layout.per_row)]

    def add(self, rows: U8, at: Assignment) -> None:
        """Multiply in the ciphertexts (rows, per_row, bytes) of the rows of `at`."""
        key, codes = self._holder.key, self._holder.codes
        for number in range(self._layout.per_row):
            own = Ciphertexts(key, np.ascontiguousarray(rows[:, number]), fresh=False)
            for place, (block, most) in enumerate(self._blocks):
                groups = np.stack([codes[feature, at.rows] for feature, _ in block], axis=1, dtype=np.uint32)
                groups += at.nodes[:, None] * np.uint32(most)
                product = key.sums(own, groups, most * self._n_nodes)
                total = self._totals[number][place]
                self._totals[number][place] = product if total is None else key.add(total, product)

    def sealed(self) -> Sealed:
        """The part: of every ciphertext of a row in turn, the sums in the order (nodes, groups)."""
        n_nodes, _, cells = self._shape
        wide = 2 * self._holder.key.width
        out = np.empty((self._layout.per_row, n_nodes, cells, wide), np.uint8)
        for number, totals in enumerate(self._totals):
            for (block, most), total in zip(self._blocks, totals, strict=True):
                assert total is not None, "rows were added"
                of_block = total.rows.reshape(len(block), n_nodes, most, wide)
                for (feature, first), products in zip(block, of_block, strict=True):
                    n = self._holder.shape.groups[feature]
                    out[number, :, first : first + n] = products[:, :n]
        return Sealed(self._shape, out.reshape(-1, wide))


def set_up_asker(shape: Grouping, key: OwnKey) -> Steps[PaillierAsker]:
    """The asker's side of set-up. `key` may serve other holders of the session. Raises: ValueError for a short key."""
    WordPacking(key.private.public, shape.n_rows)
    yield from send(shape.holder, PaillierKey(key.private.public.to_bytes().tobytes()))
    return PaillierAsker(shape, key)


def set_up_holder(
    shape: Grouping, codes: U8, randomness: Randomness, *, profile: Profile = STRONG_128
) -> Steps[PaillierHolder]:
    """The holder's side of set-up. Shapes: codes (F, n), codes[f] below groups[f].

    Raises: ValueError, PeerError (KEY_INVALID).
    """
    if codes.shape != (len(shape.groups), shape.n_rows) or codes.dtype != np.uint8:
        raise ValueError(f"set_up_holder: codes are {codes.shape} {codes.dtype}")
    if (codes.max(axis=1) >= np.array(shape.groups)).any():
        raise ValueError("set_up_holder: a group is out of range")
    got = yield from recv(shape.asker, PaillierKey)
    with _blame(shape.asker, shape.step):
        key = PublicKey.from_bytes(np.frombuffer(got.modulus, np.uint8).reshape(1, -1), profile)
    WordPacking(key, shape.n_rows)
    return PaillierHolder(shape, codes, key, randomness)


def _blocks(
    groups: tuple[int, ...], features: tuple[int, ...], n_nodes: int
) -> Iterator[tuple[list[tuple[int, int]], int]]:
    """Features that a kernel sums at once, each with its first cell; and the most groups that one of them has.

    Those of about as many groups go together, since a kernel makes as many sums of each.
    """
    firsts = dict(zip(features, np.cumsum([0, *(groups[f] for f in features)]).tolist(), strict=False))
    block: list[tuple[int, int]] = []
    most = 0
    for feature in sorted(features, key=lambda f: -groups[f]):
        if block and (len(block) * most * n_nodes >= KERNEL_CELLS or 2 * groups[feature] < most):
            yield block, most
            block = []
        most = most if block else groups[feature]
        block.append((feature, firsts[feature]))
    if block:
        yield block, most


def _part_of(at: Assignment, first: int, stop: int) -> Assignment:
    return Assignment(at.rows[first:stop], at.nodes[first:stop], at.n_nodes)


def _tails(rows: U8) -> U64:
    """The last words of ciphertexts, as good as random: what they are known again by."""
    return np.ascontiguousarray(rows[:, -8:]).view(np.uint64).ravel()


def _refuse_own(rows: U8, sent: U64 | None) -> None:
    if sent is not None and (again := np.isin(_tails(rows), sent)).any():
        raise BadCiphertext(int(np.argmax(again)), "a ciphertext of this party's own, sent back as it was")


@contextmanager
def _blame(culprit: PartyId, step: str) -> Iterator[None]:
    """Say of a bad key or ciphertext who sent it."""
    try:
        yield
    except (BadKey, BadCiphertext) as error:
        raise error.of_peer(culprit, step) from None
