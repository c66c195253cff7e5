"""What is no ring-LWE key, ciphertext or answer, and the heading by which it is told.

Everything that travels begins with the parameters' id and the key's id, what it is, and its two sizes. So what was made
under other parameters, for another key, or as something else is refused before anything of it is read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.errors import DataError, PeerError, Problem, RefusedError
from fedcredit.kernels import digest
from fedcredit.kernels.rlwe import PLAIN_MODULUS, PRIMES, SLOTS

__all__ = ["ID_BYTES", "PARAMETERS_ID", "BadCiphertext", "BadKey", "Budget", "Heading", "Kind"]

U8: TypeAlias = npt.NDArray[np.uint8]

ID_BYTES: Final = 16
PARAMETERS_ID: Final = digest.derive(
    "fedcredit v1 rlwe parameters", repr((SLOTS, PRIMES, PLAIN_MODULUS, 64)).encode(), ID_BYTES
)
"""Names ring, moduli and formats: the same at all parties, or nothing of the other's is taken."""

_HEADING: Final = struct.Struct("<16s16sQQQ")


class BadKey(DataError):
    """What is no ring-LWE public key. Code: KEY_INVALID."""

    default_code = "KEY_INVALID"

    def __init__(self, reason: str) -> None:
        super().__init__(Problem(self.default_code, "ring-LWE key", reason, "make a key with SecretKey.generate"))
        self.reason = reason

    def of_peer(self, culprit: str, step: str) -> PeerError:
        """The same, said of the peer that sent the key."""
        return PeerError(culprit, step, f"ring-LWE key: {self.reason}", self.code)


class BadCiphertext(DataError):
    """What is no ciphertext or answer of this key, or not the one that is due. Code: CIPHERTEXT_INVALID.

    `index` is the ciphertext, or None where all of them together are wrong.
    """

    default_code = "CIPHERTEXT_INVALID"

    def __init__(self, index: int | None, reason: str) -> None:
        where = "ring-LWE ciphertexts" if index is None else f"ring-LWE ciphertext {index}"
        super().__init__(Problem(self.default_code, where, reason))
        self.index, self.reason = index, reason

    def of_peer(self, culprit: str, step: str) -> PeerError:
        """The same, said of the peer that sent it."""
        return PeerError(culprit, step, str(self.problems[0]), self.code)


class Kind(IntEnum):
    """What a batch is."""

    SLOTS = 1
    """Fresh ciphertexts, for products slot by slot."""
    COEFFICIENTS = 2
    """Fresh ciphertexts, for inner products."""
    SLOT_PRODUCTS = 3
    INNER_PRODUCTS = 4
    BUNCH = 5
    """Fresh ciphertexts of vectors under a bunch of keys."""
    BUNCH_PRODUCTS = 6


@dataclass(frozen=True, slots=True)
class Heading:
    """The first bytes of a batch. `count` is vectors, sums or inner products; `rows` the numbers of each."""

    key_id: bytes
    kind: Kind
    count: int
    rows: int

    BYTES = _HEADING.size

    def to_bytes(self) -> bytes:
        """56 bytes."""
        return _HEADING.pack(PARAMETERS_ID, self.key_id, self.kind, self.count, self.rows)

    def refuse_other(self, flat: U8, size: int) -> None:
        """Raise BadCiphertext unless `flat` is `size` bytes that begin with this heading."""
        if flat.dtype != np.uint8 or flat.ndim != 1:
            raise BadCiphertext(None, f"{flat.ndim} axes of {flat.dtype} are not a row of bytes")
        if len(flat) != size:
            raise BadCiphertext(None, f"{len(flat)} bytes, where {size} are due")
        parameters, key_id, kind, count, rows = _HEADING.unpack(flat[: self.BYTES].tobytes())
        if parameters != PARAMETERS_ID:
            raise BadCiphertext(None, "they are of other parameters")
        if key_id != self.key_id:
            raise BadCiphertext(None, "they are of another key")
        if kind != self.kind:
            raise BadCiphertext(None, f"they are not {self.kind.name.lower().replace('_', ' ')}")
        if (count, rows) != (self.count, self.rows):
            raise BadCiphertext(None, f"{count} of {rows} rows, where {self.count} of {self.rows} are due")


class Budget:
    """How many answers a key still decrypts. Not for use from two threads at once."""

    def __init__(self, answers: int) -> None:
        if answers < 1:
            raise ValueError(f"answers: {answers} is not positive")
        self._left = answers

    def spend(self, answers: int) -> None:
        """Take so many off. Raises: RefusedError (DECRYPT_BUDGET) where fewer are left; then none is taken."""
        if answers > self._left:
            what = f"{answers} answers to decrypt, where the key's budget has {self._left} left"
            raise RefusedError(Problem("DECRYPT_BUDGET", "ring-LWE key", what, "begin a new session with a new key"))
        self._left -= answers
