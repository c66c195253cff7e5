"""Keys of a fit on ring-LWE: vectors by coefficients for sums, by slots for products row by row.

Reveals: see `keys`. Assumes: semi-honest parties; ring learning with errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto import rlwe
from fedcredit.crypto.randomness import Randomness
from fedcredit.crypto.rlwe_checks import BadCiphertext
from fedcredit.ids import PartyId
from fedcredit.protocols.ciphertexts import receive_bytes, receive_key, send_bytes, send_key
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.linear.keys import Vectors
from fedcredit.protocols.linear.shape import LinearShape

__all__ = ["RlweOwnKey", "RlwePeerKey"]

I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class RlweOwnKey:
    """See `keys.OwnKey`.

    Reveals: to this party, of each answer its sum with a mask modulo t. Assumes: semi-honest parties.
    """

    shape: LinearShape
    secret: rlwe.SecretKey = field(repr=False)
    randomness: Randomness = field(repr=False)

    @classmethod
    def fresh(cls, shape: LinearShape, randomness: Randomness) -> RlweOwnKey:
        """A new key."""
        return cls(shape, rlwe.SecretKey.generate(randomness), randomness)

    def announce(self, to: PartyId) -> Steps[None]:
        """Send the public key."""
        yield from send_key(to, self.secret.public)

    def seal(self, vectors: I64, _bits: int) -> U8:
        """Vectors one after the other."""
        sealed = [self.secret.encrypt_coefficients(vector[None], self.randomness).to_bytes() for vector in vectors]
        return np.concatenate(sealed)

    def open_sums(self, sender: PartyId, m: int, count: int, _bits: int) -> Steps[I64]:
        """Receive and decrypt inner products."""
        shape, numbers = self.shape, np.zeros((m, count), np.int64)
        for vector in range(m):
            for at in shape.runs(count):
                due = at.stop - at.start
                flat = yield from receive_bytes(sender, rlwe.InnerProducts.size(due), shape.step)
                try:
                    answer = rlwe.InnerProducts.from_bytes(flat, self.secret.public, count=due, rows=shape.n_rows)
                    numbers[vector, at] = self.secret.decrypt_inner(answer)
                except BadCiphertext as bad:
                    raise bad.of_peer(sender, shape.step) from None
        return numbers

    def match(self, peer: PartyId, values: I64, _bits: tuple[int, int]) -> Steps[I64]:
        """Send the numbers by slots, decrypt their sum of products."""
        yield from send_bytes(peer, self.secret.encrypt_slots(values, self.randomness).to_bytes())
        (found,) = yield from self._slots(peer, 1, values.shape[1])
        return np.asarray(found)

    def weigh(self, peer: PartyId, values: I64, count: int, _bits: int) -> Steps[I64]:
        """Send the numbers by slots, decrypt their products."""
        yield from send_bytes(peer, self.secret.encrypt_slots(values[None], self.randomness).to_bytes())
        return (yield from self._slots(peer, count, values.size))

    def _slots(self, sender: PartyId, sums: int, rows: int) -> Steps[I64]:
        flat = yield from receive_bytes(sender, rlwe.SlotProducts.size(sums, rows), self.shape.step)
        try:
            answer = rlwe.SlotProducts.from_bytes(flat, self.secret.public, sums=sums, rows=rows)
            return self.secret.decrypt_slots(answer)
        except BadCiphertext as bad:
            raise bad.of_peer(sender, self.shape.step) from None


@dataclass(frozen=True, slots=True, eq=False)
class RlwePeerKey:
    """See `keys.PeerKey`.

    Reveals: to the key's owner, of each answer its sum with a mask modulo t; to this party nothing.
    Assumes: ring learning with errors; semi-honest parties.
    """

    shape: LinearShape
    owner: PartyId
    public: rlwe.PublicKey = field(repr=False)
    randomness: Randomness = field(repr=False)

    @classmethod
    def received(cls, shape: LinearShape, owner: PartyId, randomness: Randomness) -> Steps[RlwePeerKey]:
        """The key that `owner` announces. Raises: PeerError."""
        return cls(shape, owner, (yield from receive_key(owner, shape.step)), randomness)

    def receive(self, m: int, _bits: int) -> Steps[Vectors]:
        """The vectors, one after the other."""
        shape, found = self.shape, []
        for _ in range(m):
            flat = yield from receive_bytes(self.owner, rlwe.Ciphertexts.size(1, shape.n_rows), shape.step)
            try:
                found.append(rlwe.Ciphertexts.coefficients_from_bytes(flat, self.public, vectors=1, rows=shape.n_rows))
            except BadCiphertext as bad:
                raise bad.of_peer(self.owner, shape.step) from None
        return found

    def answer(self, vectors: Vectors, m: int, columns: rlwe.Limbs | I64, _bits: int) -> Steps[I64]:
        """Inner products with all columns."""
        masks = rlwe.masks(self.randomness, m, len(columns))
        for vector, of_vector in zip(vectors, masks, strict=True):
            for at in self.shape.runs(len(columns)):
                if isinstance(columns, np.ndarray):
                    answer = self.public.inner_products(vector, columns[at], of_vector[at], self.randomness)
                else:
                    answer = self.public.limb_products(vector, columns, at, of_vector[at], self.randomness)
                yield from send_bytes(self.owner, answer.to_bytes())
        return masks

    def serve_match(self, values: I64, _bits: tuple[int, int]) -> Steps[I64]:
        """Sums of products row by row."""
        (masks,) = yield from self._serve(len(values), values[None], None)
        return np.asarray(masks)

    def serve_weigh(self, values: I64, _bits: int, masks: I64 | None = None) -> Steps[I64]:
        """Products row by row."""
        return (yield from self._serve(1, values[:, None], masks))

    def _serve(self, vectors: int, values: I64, masks: I64 | None) -> Steps[I64]:
        rows = values.shape[2]
        flat = yield from receive_bytes(self.owner, rlwe.Ciphertexts.size(vectors, rows), self.shape.step)
        try:
            got = rlwe.Ciphertexts.slots_from_bytes(flat, self.public, vectors=vectors, rows=rows)
        except BadCiphertext as bad:
            raise bad.of_peer(self.owner, self.shape.step) from None
        used = rlwe.masks(self.randomness, len(values), rows) if masks is None else masks
        answer = self.public.slot_products(got, values, used, self.randomness)
        yield from send_bytes(self.owner, answer.to_bytes())
        return used
