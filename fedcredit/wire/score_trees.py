"""The messages of encrypted scores of boosted trees; `docs/protocols/score_trees.md` has them in a table.

They are asked for with the messages of `wire.score`. Shapes: n subjects of one request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.elgamal import Validity
from fedcredit.crypto.elgamal_checks import BadKey
from fedcredit.crypto.rlwe_chain import MAX_WIDTH, PARAMETERS, Conditions, PublicKey
from fedcredit.crypto.sealed import SEAL_BYTES
from fedcredit.wire._gen import score_trees_pb2 as pb
from fedcredit.wire.message import Message, MessageInvalid, array, blob, count, text
from fedcredit.wire.score import HASH_BYTES, NONCE_BYTES

__all__ = [
    "CONTENT_BYTES",
    "MAX_CONDITIONS",
    "MAX_ROWS",
    "MAX_SPLITS",
    "TreesKey",
    "TreesMap",
    "TreesPart",
    "TreesVector",
]

MAX_ROWS: Final = 1024
"""Subjects of one request, at most; fewer where they would not go into one message."""

CONTENT_BYTES: Final = 6 << 20
"""Of what is sealed in one message, at most."""

MAX_SPLITS: Final = 1 << 16
"""Of one provider in a model."""

MAX_CONDITIONS: Final = 1 << 20
"""Of one provider, of all slots together."""

_MAX_NAME = 64
_LAST_SECOND = 1 << 40
_MAX_SLOT_CONDITIONS = 255

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, repr=False)
class TreesKey(Message, tag=0x1D8, proto=pb.TreesKey):
    """The record of a bank's key. Reveals: it, to everybody. Assumes: a registry that names whose record it is."""

    owner: str = text(_MAX_NAME)
    name: str = text(_MAX_NAME)
    begins: int = count(_LAST_SECOND)
    ends: int = count(_LAST_SECOND)
    parameters: str = text(_MAX_NAME)
    seed: bytes = blob(NONCE_BYTES)
    b: U8 = array(np.uint8, 1, max(parameters.key_bytes for parameters in PARAMETERS.values()))

    @classmethod
    def of(cls, key: PublicKey) -> TreesKey:
        """The record of `key`."""
        holds = key.validity
        return cls(key.owner, key.name, holds.begins, holds.ends, key.parameters.name, key.seed, key.b)

    def key(self) -> PublicKey:
        """The key in it, checked. Raises: BadKey."""
        if self.parameters not in PARAMETERS:
            raise BadKey("it is of other parameters")
        validity = Validity(self.begins, self.ends)
        return PublicKey(self.owner, self.name, validity, PARAMETERS[self.parameters], self.seed, self.b)


@dataclass(frozen=True, slots=True, repr=False)
class TreesMap(Message, tag=0x1D9, proto=pb.TreesMap):
    """For each slot of a version of a model, which splits of the provider have to go which way.

    Reveals: to the provider, which of its splits lie on the paths of one slot together, and on which sides; and how
    many slots there are. Nothing of weights, of trees, or of others' splits; slots are in an order that says nothing.
    Assumes: an authenticated link that others do not read.
    """

    model: bytes = blob(HASH_BYTES)
    counts: U8 = array(np.uint8, 1, MAX_WIDTH)
    splits: U32 = array(np.uint32, 1, MAX_CONDITIONS)
    left: U8 = array(np.uint8, 1, MAX_CONDITIONS)

    @classmethod
    def of(cls, model: bytes, conditions: Conditions) -> TreesMap:
        """That of `conditions`. Raises: MessageInvalid for more conditions of a slot than 255."""
        counts = np.diff(conditions.first.astype(np.int64))
        if (counts > _MAX_SLOT_CONDITIONS).any():
            raise MessageInvalid("TreesMap.counts", f"more than {_MAX_SLOT_CONDITIONS} conditions of one slot")
        return cls(model, counts.astype(np.uint8), conditions.bit, conditions.value)

    def validate(self) -> None:
        """See `Message.validate`."""
        if not self.counts.size or int(self.counts.sum(dtype=np.int64)) != self.splits.size:
            raise MessageInvalid("TreesMap.counts", "not those of the splits", "ARRAY_INVALID")
        if self.left.shape != self.splits.shape or (self.left > 1).any() or (self.splits >= MAX_SPLITS).any():
            raise MessageInvalid("TreesMap.left", "not a side of a split each", "ARRAY_INVALID")

    def conditions(self) -> Conditions:
        """What is kept of a row, slot by slot."""
        first = np.concatenate([[0], np.cumsum(self.counts, dtype=np.uint32)]).astype(np.uint32)
        return Conditions(first, self.splits, self.left)


@dataclass(frozen=True, slots=True, repr=False)
class TreesVector(Message, tag=0x1DA, proto=pb.TreesVector):
    """The vectors of all subjects as who was before the provider left them, sealed for it.

    Reveals: nothing; the provider's answer is made of it. To others, sizes.
    Assumes: ring-LWE; a registry that names keys truly.
    """

    request: bytes = blob(HASH_BYTES)
    sealed: U8 = array(np.uint8, 1, CONTENT_BYTES + SEAL_BYTES)


@dataclass(frozen=True, slots=True, repr=False)
class TreesPart(Message, tag=0x1DB, proto=pb.TreesPart):
    """What a provider made of vectors, sealed for who is next, and marks of the rows that it refuses.

    Reveals: to the bank, from the last provider, of each subject the sum of the weights that all kept, or with the
    marks of all that some provider refuses it; to others, and of other parts, nothing.
    Assumes: ring-LWE; masks as `crypto.zero_sum` has them; that the bank is not in league with who is next.
    """

    request: bytes = blob(HASH_BYTES)
    sealed: U8 = array(np.uint8, 1, CONTENT_BYTES + SEAL_BYTES)
    marks: U64 = array(np.uint64, 1, MAX_ROWS)
