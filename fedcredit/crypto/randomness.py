"""The one source of randomness. A role gets it as an argument, so a role's messages are a function of its arguments.

`SystemRandomness` is the operating system's; `KeyedRandomness` is a stream that a 32-byte secret determines, for steps
that must come out the same after a restart; `insecure_seeded` is for tests and says so.
"""

from __future__ import annotations

import builtins
import os
from abc import ABC, abstractmethod
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fedcredit.kernels import digest, group

__all__ = ["KeyedRandomness", "Randomness", "SystemRandomness", "insecure_seeded"]

U8: TypeAlias = npt.NDArray[np.uint8]
U64: TypeAlias = npt.NDArray[np.uint64]

KEY_BYTES: Final = 32
_CONTEXT: Final = "fedcredit v1 randomness"


class Randomness(ABC):
    """Where secret random values come from. Not for use from two threads at once."""

    @abstractmethod
    def bytes(self, n: int) -> builtins.bytes:
        """`n` uniform bytes, never given out before."""

    @abstractmethod
    def fork(self, label: str) -> Randomness:
        """An independent source for the use that `label` names. A keyed source forks by one label to equal streams."""

    def array(self, *shape: int) -> U8:
        """A writeable uint8 array of `shape`, uniform."""
        flat: U8 = np.frombuffer(bytearray(self.bytes(int(np.prod(shape, dtype=np.int64)))), dtype=np.uint8)
        return flat.reshape(shape)

    def words(self, n: int) -> U64:
        """`n` uniform values of Z_2^64."""
        return np.frombuffer(self.bytes(8 * n), dtype="<u8").astype(np.uint64)

    def bits(self, n: int) -> U8:
        """`n` uniform bits, a uint8 0 or 1 each, e.g. the choices of an oblivious transfer."""
        packed = np.frombuffer(self.bytes((n + 7) // 8), dtype=np.uint8)
        return np.unpackbits(packed, count=n, bitorder="little")

    def scalar(self) -> builtins.bytes:
        """A uniform non-zero scalar of ristretto255, 32 bytes."""
        return self.scalars(1).tobytes()

    def scalars(self, n: int) -> U8:
        """`n` uniform non-zero scalars of ristretto255: (n, 32)."""
        return group.scalars_from_wide(self.array(n, 64))


class SystemRandomness(Randomness):
    """The operating system's generator. The default everywhere outside tests."""

    def bytes(self, n: int) -> builtins.bytes:
        return os.urandom(n)

    def fork(self, label: str) -> Randomness:
        return self


class KeyedRandomness(Randomness):
    """The stream AES-256-CTR gives under a key derived from `key` and `label`. As secret as `key` is.

    Streams of different labels are independent. The same key and label must never be used for two purposes: give every
    session, round and step a label of its own.
    """

    def __init__(self, key: builtins.bytes, label: str) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"KeyedRandomness: got a key of {len(key)} bytes, not {KEY_BYTES}")
        self._key = digest.derive(_CONTEXT, key + label.encode())
        stream_key = digest.derive(f"{_CONTEXT} stream", self._key)
        self._stream = Cipher(algorithms.AES256(stream_key), modes.CTR(bytes(16))).encryptor()

    def bytes(self, n: int) -> builtins.bytes:
        return self._stream.update(builtins.bytes(n))

    def fork(self, label: str) -> Randomness:
        return KeyedRandomness(self._key, label)

    def __repr__(self) -> str:
        return "KeyedRandomness(...)"


def insecure_seeded(seed: int, label: str = "") -> Randomness:
    """For tests and benchmarks: a stream anyone who knows `seed` can reproduce."""
    return KeyedRandomness(digest.blake3(f"insecure {seed}".encode()), label)
