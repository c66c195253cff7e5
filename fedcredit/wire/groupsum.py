"""Messages of the group-by-sum: `docs/protocols/groupsum.md`.

Asker A holds values, holder P holds group numbers. All of them travel on a link that authenticates both.
Reveals: of every message, its sizes, which follow from the public numbers of rows, features, groups and values.
Assumes: both parties are semi-honest; the messages' order is checked, their content cannot be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fedcredit.kernels.onehot import NIBBLES, U8, U64
from fedcredit.wire._gen import groupsum_pb2 as pb
from fedcredit.wire.message import Message, MessageInvalid, array, blob, count

__all__ = [
    "MAX_ROUND",
    "MAX_ROWS",
    "ChoiceCorrections",
    "Corrections",
    "EncryptedSums",
    "EncryptedValues",
    "GroupSums",
    "LevelSums",
    "PaillierKey",
    "PlainGroups",
]

MAX_ROWS: Final = (1 << 32) - 1
MAX_FEATURES: Final = 1 << 20
MAX_ROUND: Final = (1 << 31) - 1
MAX_CELLS: Final = 1 << 40
MAX_CHUNK_WORDS: Final = 1 << 19
"""4 MiB of uint64, below what a link carries; chunks are about 1 MiB."""
MAX_CHUNK_BYTES: Final = 1 << 22
MAX_MODULUS_BYTES: Final = 1024
"""Of 8192 bits, the longest that kernels compute with."""
KEY_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True, repr=False)
class ChoiceCorrections(Message, tag=0x23, proto=pb.ChoiceCorrections):
    """P's choice bits for a run of rows of one feature, each nibble's under a pseudorandom pad: (32, columns, 2).

    Reveals: nothing: A does not know the pads. Assumes: AES in counter mode is pseudorandom.
    """

    feature: int = count(MAX_FEATURES)
    first_row: int = count(MAX_ROWS)
    words: U64 = array("u8", 3, MAX_CHUNK_WORDS)

    def validate(self) -> None:
        if self.words.shape[0] != NIBBLES or self.words.shape[2] != 2:
            raise MessageInvalid("ChoiceCorrections.words", "not 32 rows of blocks", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class LevelSums(Message, tag=0x24, proto=pb.LevelSums):
    """A's blocks for levels 2 and up of the trees of a run of rows: (rows, depth - 1, 2).

    Reveals: to P, all leaves of each tree but the one of P's own group.
    Assumes: the hash is circular correlation robust; P chose by its true groups.
    """

    feature: int = count(MAX_FEATURES)
    first_row: int = count(MAX_ROWS)
    blocks: U64 = array("u8", 3, MAX_CHUNK_WORDS)

    def validate(self) -> None:
        if self.blocks.shape[2] != 2:
            raise MessageInvalid("LevelSums.blocks", "not pairs of words", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class Corrections(Message, tag=0x25, proto=pb.Corrections):
    """A's values for a run of rows under the sum of all masks of their trees: (features, rows, K).

    Reveals: nothing: one mask of each sum is unknown to P. Assumes: the hash is correlation robust; a round's number is
    used once.
    """

    round: int = count(MAX_ROUND)
    first: int = count(MAX_ROWS)
    words: U64 = array("u8", 3, MAX_CHUNK_WORDS)


@dataclass(frozen=True, slots=True, repr=False)
class GroupSums(Message, tag=0x26, proto=pb.GroupSums):
    """P's sums of its vectors, a run of the cells (nodes, K, groups of the round's features) from number `first` on.

    Reveals: to A, the sum of A's own values over each group of P in each set of rows, by opaque group number; nothing
    beyond, since A knows its own share of each. Assumes: semi-honest A.
    """

    round: int = count(MAX_ROUND)
    first: int = count(MAX_CELLS)
    words: U64 = array("u8", 1, MAX_CHUNK_WORDS)


@dataclass(frozen=True, slots=True, repr=False)
class PlainGroups(Message, tag=0x27, proto=pb.PlainGroups):
    """P's groups of one feature in the clear: (rows,). Only the `plain` backend of the tests sends it.

    Reveals: everything. Assumes: nothing is at stake; both sides refuse to set up unless their caller says so.
    """

    feature: int = count(MAX_FEATURES)
    codes: U8 = array("u1", 1, MAX_ROWS)


@dataclass(frozen=True, slots=True, repr=False)
class PaillierKey(Message, tag=0x28, proto=pb.PaillierKey):
    """A's public key of this session: the modulus, big-endian, without leading zeros. P checks it before it computes.

    Reveals: nothing but the key. Assumes: its modulus has two large primes, which P's checks do not prove.
    """

    modulus: bytes = blob(1, MAX_MODULUS_BYTES)


@dataclass(frozen=True, slots=True, repr=False)
class EncryptedValues(Message, tag=0x29, proto=pb.EncryptedValues):
    """A's values of a run of rows, under A's key: (rows x ciphertexts a row, bytes of a ciphertext).

    Reveals: nothing of the values. Assumes: decisional composite residuosity, and short exponents that look like long
    ones (`docs/protocols/paillier.md`).
    """

    round: int = count(MAX_ROUND)
    first: int = count(MAX_ROWS)
    key: bytes = blob(KEY_ID_BYTES)
    rows: U8 = array("u1", 2, MAX_CHUNK_BYTES)


@dataclass(frozen=True, slots=True, repr=False)
class EncryptedSums(Message, tag=0x2A, proto=pb.EncryptedSums):
    """P's sums of A's values for each of its groups, padded, several to a ciphertext: (ciphertexts, bytes of one).

    Reveals: to A, the sum of A's own values over each group of P in each set of rows modulo 2^64, by opaque group
    number, or where the sums stay shared a share of it; nothing beyond but with a probability of 2^-64 a sum.
    Assumes: semi-honest A.
    """

    round: int = count(MAX_ROUND)
    first: int = count(MAX_CELLS)
    key: bytes = blob(KEY_ID_BYTES)
    rows: U8 = array("u1", 2, MAX_CHUNK_BYTES)
