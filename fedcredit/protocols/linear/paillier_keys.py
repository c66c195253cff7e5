"""Keys of a fit under Paillier: a ciphertext of rows for sums, several a row for products row by row.

Reveals: see `keys`. Assumes: see the classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto import rlwe
from fedcredit.crypto.paillier import Ciphertexts, Encryptor, PrivateKey, PublicKey
from fedcredit.crypto.paillier_checks import STRONG_128, BadCiphertext, BadKey, Profile
from fedcredit.crypto.paillier_layouts import Matching, Slots
from fedcredit.crypto.paillier_products import match, sum_columns, weigh_rows
from fedcredit.crypto.randomness import Randomness
from fedcredit.ids import PartyId
from fedcredit.protocols.ciphertexts import receive_bytes, send_bytes
from fedcredit.protocols.effects import Steps, recv, send
from fedcredit.protocols.linear.fixed import centred, multiplied
from fedcredit.protocols.linear.keys import Vectors
from fedcredit.protocols.linear.shape import LinearShape
from fedcredit.wire.encryption import EncryptionKey

__all__ = ["PaillierOwnKey", "PaillierPeerKey"]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U64: TypeAlias = npt.NDArray[np.uint64]

PROFILE: Profile = STRONG_128
_T_BITS: Final = rlwe.PLAIN_MODULUS.bit_length()


@dataclass(frozen=True, slots=True, eq=False)
class PaillierOwnKey:
    """A key of one fit, which is stored nowhere. See `keys.OwnKey`.

    Reveals: to this party, of each answer its sum with a mask modulo t, and with a probability of 2^-64 an answer how
    often it carried.
    Assumes: semi-honest parties.
    """

    shape: LinearShape
    private: PrivateKey = field(repr=False)
    encryptor: Encryptor = field(repr=False)
    _sent: list[U64] = field(repr=False, default_factory=list)

    @classmethod
    def fresh(cls, shape: LinearShape, randomness: Randomness) -> PaillierOwnKey:
        """A new key: takes a second or two."""
        private = PrivateKey.generate(PROFILE)
        return cls(shape, private, private.encryptor(randomness))

    def announce(self, to: PartyId) -> Steps[None]:
        """Send the modulus."""
        yield from send(to, EncryptionKey(self.private.public.to_bytes().tobytes()))

    def seal(self, vectors: I64, bits: int) -> U8:
        """A ciphertext a row, of all vectors as far as they have room."""
        return self._encrypted(self._sums(len(vectors), bits).pack(np.ascontiguousarray(vectors.T)))

    def open_sums(self, sender: PartyId, m: int, count: int, bits: int) -> Steps[I64]:
        """Receive and decrypt sums."""
        slots, found = self._sums(m, bits), np.zeros((m, count), np.int64)
        for at in self.shape.runs(count):
            due = at.stop - at.start
            plain = yield from self._decrypted(sender, slots.answers(due))
            with _blame(sender, self.shape.step):
                found[:, at] = centred(slots.read(plain, due)).T
        return found

    def match(self, peer: PartyId, values: I64, bits: tuple[int, int]) -> Steps[I64]:
        """Send polynomials of the numbers, decrypt middle coefficients of products."""
        layout, rows = Matching(self.private.public, len(values), *bits), values.shape[1]
        yield from send_bytes(peer, self._encrypted(layout.pack(values)))
        plain = yield from self._decrypted(peer, layout.answers(rows))
        with _blame(peer, self.shape.step):
            found = layout.read(plain, rows)
        return centred(found - layout.excess_of_owner(values))

    def weigh(self, peer: PartyId, values: I64, count: int, bits: int) -> Steps[I64]:
        """Send the numbers, decrypt their products."""
        public = self.private.public
        slots = _weighing(public, count, bits)
        yield from send_bytes(peer, self._encrypted(_weighing(public, 1, bits).pack(values[:, None])))
        plain = yield from self._decrypted(peer, slots.answers(values.size))
        with _blame(peer, self.shape.step):
            found = slots.read(plain, values.size)
        return centred(found - multiplied(values, np.array(1 << bits))[:, None]).T

    def _sums(self, m: int, bits: int) -> Slots:
        return _summing(self.private.public, m, bits, self.shape.n_rows)

    def _encrypted(self, plain: U8) -> U8:
        rows = self.encryptor.encrypt(plain).sent()
        self._sent[:] = [_tails(rows)]
        return rows.ravel()

    def _decrypted(self, sender: PartyId, count: int) -> Steps[U8]:
        """Plaintexts of so many answers. Raises: PeerError for what is no answer, or was sent by this party itself."""
        public = self.private.public
        flat = yield from receive_bytes(sender, count * 2 * public.width, self.shape.step)
        rows = flat.reshape(count, 2 * public.width)
        with _blame(sender, self.shape.step):
            got = public.received(rows, count=count, key_id=public.id)
            for sent in self._sent:
                if (again := np.isin(_tails(rows), sent)).any():
                    what = "a ciphertext of this party's own, sent back as it was"
                    raise BadCiphertext(int(np.argmax(again)), what)
            return self.private.decrypt(got)


@dataclass(frozen=True, slots=True, eq=False)
class PaillierPeerKey:
    """Another party's key. See `keys.PeerKey`.

    Reveals: to the key's owner, of each answer its sum with a mask modulo t, and with a probability of 2^-64 an answer
    how often it carried; to this party nothing.
    Assumes: decisional composite residuosity, and short exponents that look like long ones (not against quantum
    computers); the owner's key is made as agreed; semi-honest parties.
    """

    shape: LinearShape
    owner: PartyId
    public: PublicKey = field(repr=False)
    randomness: Randomness = field(repr=False)

    @classmethod
    def received(cls, shape: LinearShape, owner: PartyId, randomness: Randomness) -> Steps[PaillierPeerKey]:
        """The key that `owner` announces, checked. Raises: PeerError."""
        got = yield from recv(owner, EncryptionKey)
        with _blame(owner, shape.step):
            public = PublicKey.from_bytes(np.frombuffer(got.key, np.uint8).reshape(1, -1), PROFILE)
        return cls(shape, owner, public, randomness)

    def receive(self, m: int, bits: int) -> Steps[Vectors]:
        """Ciphertexts of rows, checked."""
        slots = _summing(self.public, m, bits, self.shape.n_rows)
        return (yield from self._received(slots.pieces * self.shape.n_rows))

    def answer(self, vectors: Vectors, m: int, columns: rlwe.Limbs | I64, bits: int) -> Steps[I64]:
        """Sums with all columns."""
        slots = _summing(self.public, m, bits, self.shape.n_rows)
        masks = rlwe.masks(self.randomness, m, len(columns))
        for at in self.shape.runs(len(columns)):
            some = columns[at] if isinstance(columns, np.ndarray) else columns.rows(at)
            if (np.abs(some) > 1 << bits).any():
                raise ValueError(f"PaillierPeerKey: a column has a number beyond 2^{bits}")
            of_run = np.ascontiguousarray(masks[:, at].T)
            rows = sum_columns(slots, vectors, some, of_run, self.randomness)
            yield from send_bytes(self.owner, rows.ravel())
        return masks

    def serve_match(self, values: I64, bits: tuple[int, int]) -> Steps[I64]:
        """Middle coefficients of products of polynomials."""
        layout, rows = Matching(self.public, len(values), *bits), values.shape[1]
        got = yield from self._received(layout.polynomials * rows)
        masks = rlwe.masks(self.randomness, rows)
        yield from send_bytes(self.owner, match(layout, got, values, masks, self.randomness).ravel())
        return masks

    def serve_weigh(self, values: I64, bits: int, masks: I64 | None = None) -> Steps[I64]:
        """Products row by row."""
        count, rows = values.shape
        got = yield from self._received(rows)
        used = rlwe.masks(self.randomness, count, rows) if masks is None else masks
        answer = weigh_rows(_weighing(self.public, count, bits), got, values, bits, used, self.randomness)
        yield from send_bytes(self.owner, answer.ravel())
        return used

    def _received(self, count: int) -> Steps[Ciphertexts]:
        wide = 2 * self.public.width
        flat = yield from receive_bytes(self.owner, count * wide, self.shape.step)
        with _blame(self.owner, self.shape.step):
            return self.public.received(flat.reshape(count, wide), count=count, key_id=self.public.id)


def _summing(key: PublicKey, m: int, bits: int, n_rows: int) -> Slots:
    """Sums over rows of numbers below t times numbers of size up to 2^bits."""
    return Slots(key, m, _T_BITS + bits + n_rows.bit_length())


def _weighing(key: PublicKey, count: int, bits: int) -> Slots:
    """Products of a number below t and one of size up to 2^bits, to which as much is added."""
    return Slots(key, count, _T_BITS + bits + 2)


def _tails(rows: U8) -> U64:
    """The last words of ciphertexts, as good as random: what they are known again by."""
    return np.ascontiguousarray(rows[:, -8:]).view(np.uint64).ravel()


@contextmanager
def _blame(culprit: PartyId, step: str) -> Iterator[None]:
    """Say of a bad key or ciphertext who sent it."""
    try:
        yield
    except (BadKey, BadCiphertext) as error:
        raise error.of_peer(culprit, step) from None
