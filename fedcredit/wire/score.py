"""The messages of encrypted scores; `docs/protocols/score.md` has them in a table.

Shapes: n subjects of one message; k providers. Who may ask whom is decided by their callers, and who sent what, by the
link and by signatures over whole messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.elgamal import CIPHERTEXT_BYTES, FINGERPRINT_BYTES, PublicKey, Validity
from fedcredit.crypto.zero_sum import PAIR_KEY_BYTES
from fedcredit.errors import ConfigError
from fedcredit.ids import PartyId, party_id
from fedcredit.wire._gen import score_pb2 as pb
from fedcredit.wire.message import Message, MessageInvalid, array, blob, count, text

__all__ = [
    "CHUNK_ROWS",
    "CONSENT_BYTES",
    "HASH_BYTES",
    "MAX_CODE_BYTES",
    "MAX_PROVIDERS",
    "MAX_SUBJECTS",
    "NONCE_BYTES",
    "ScoreKey",
    "ScorePart",
    "ScoreRequest",
    "ScoreSubjects",
]

MAX_SUBJECTS: Final = 100_000
"""Subjects of one request."""

CHUNK_ROWS: Final = 1 << 14
"""Subjects of one message: about 1 MiB of it. Every message but the last of a request has so many."""

MAX_PROVIDERS: Final = 16
MAX_CODE_BYTES: Final = 32
CONSENT_BYTES: Final = 32
HASH_BYTES: Final = 32
NONCE_BYTES: Final = 32

_MAX_NAME = 64
_MAX_NAMES = 33 * MAX_PROVIDERS
_LAST_SECOND = 1 << 40

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, repr=False)
class ScoreKey(Message, tag=0x1D0, proto=pb.ScoreKey):
    """The record of a bank's key. Reveals: it, to everybody. Assumes: a registry that names whose record it is."""

    owner: str = text(_MAX_NAME)
    name: str = text(_MAX_NAME)
    begins: int = count(_LAST_SECOND)
    ends: int = count(_LAST_SECOND)
    point: bytes = blob(32)
    proof: bytes = blob(64)

    @classmethod
    def of(cls, key: PublicKey) -> ScoreKey:
        """The record of `key`."""
        return cls(key.owner, key.name, key.validity.begins, key.validity.ends, key.point, key.proof)

    def key(self) -> PublicKey:
        """The key in it, checked. Raises: BadKey."""
        return PublicKey(self.owner, self.name, Validity(self.begins, self.ends), self.point, self.proof)


@dataclass(frozen=True, slots=True, repr=False)
class ScoreRequest(Message, tag=0x1D1, proto=pb.ScoreRequest):
    """Which scores a bank wants, of whom together; everything that follows is bound to its hash.

    Reveals: to each provider, the bank, its purpose, the model, the other providers, and how many subjects there are.
    Assumes: an authenticated link; that each provider gets the same, which answers of no use punish.
    """

    requester: str = text(_MAX_NAME)
    purpose: str = text(_MAX_NAME)
    model: bytes = blob(HASH_BYTES)
    key: bytes = blob(FINGERPRINT_BYTES)
    nonce: bytes = blob(NONCE_BYTES)
    issued_at: int = count(_LAST_SECOND)
    rows: int = count(MAX_SUBJECTS, 1)
    providers: str = text(_MAX_NAMES)
    pair_keys: U8 = array(np.uint8, 2, (MAX_PROVIDERS + 1) * PAIR_KEY_BYTES)
    subjects: bytes = blob(HASH_BYTES)
    consents: U8 = array(np.uint8, 2, MAX_PROVIDERS * HASH_BYTES)

    def validate(self) -> None:
        """See `Message.validate`."""
        names = self.names()
        try:
            for name in (self.requester, *names):
                party_id(name)
        except ConfigError:
            raise MessageInvalid("ScoreRequest.providers", "not names of parties") from None
        if len(names) > MAX_PROVIDERS or len({self.requester, *names}) != len(names) + 1:
            raise MessageInvalid("ScoreRequest.providers", f"not 1 to {MAX_PROVIDERS} other parties, each once")
        if self.pair_keys.shape != (len(names) + 1, PAIR_KEY_BYTES):
            raise MessageInvalid("ScoreRequest.pair_keys", "not one for each party", "ARRAY_INVALID")
        if self.consents.shape != (len(names), HASH_BYTES):
            raise MessageInvalid("ScoreRequest.consents", "not one for each provider", "ARRAY_INVALID")

    def names(self) -> tuple[PartyId, ...]:
        """The providers, in order."""
        return tuple(PartyId(name) for name in self.providers.split("\n"))


@dataclass(frozen=True, slots=True, repr=False)
class ScoreSubjects(Message, tag=0x1D2, proto=pb.ScoreSubjects):
    """The subjects from `first` on.

    Reveals: to the provider, that the bank wants scores of these, and which consents it has.
    Assumes: an authenticated link that others do not read.
    """

    first: int = count(MAX_SUBJECTS)
    codes: U8 = array(np.uint8, 2, CHUNK_ROWS * MAX_CODE_BYTES)
    consents: U8 = array(np.uint8, 2, CHUNK_ROWS * CONSENT_BYTES)

    def validate(self) -> None:
        """See `Message.validate`."""
        rows, width = self.codes.shape
        if not 1 <= rows <= CHUNK_ROWS or not 1 <= width <= MAX_CODE_BYTES:
            raise MessageInvalid("ScoreSubjects.codes", "too few, too many or too long", "ARRAY_INVALID")
        if self.consents.shape != (rows, CONSENT_BYTES):
            raise MessageInvalid("ScoreSubjects.consents", "not one for each subject", "ARRAY_INVALID")


@dataclass(frozen=True, slots=True, repr=False)
class ScorePart(Message, tag=0x1D3, proto=pb.ScorePart):
    """A provider's part of the scores from `first` on: ciphertexts, and marks of the rows that it refuses.

    Reveals: to the bank, with the parts of all providers, each subject's sum of points or that some provider refuses
    it, and of a lone provider its points; to others, nothing of either.
    Assumes: decisional Diffie-Hellman; masks as `crypto.zero_sum` has them; semi-honest providers as to their points.
    """

    request: bytes = blob(HASH_BYTES)
    first: int = count(MAX_SUBJECTS)
    ciphertexts: U8 = array(np.uint8, 2, CHUNK_ROWS * CIPHERTEXT_BYTES)
    marks: U64 = array(np.uint64, 1, CHUNK_ROWS)

    def validate(self) -> None:
        """See `Message.validate`."""
        if self.ciphertexts.shape != (self.marks.size, CIPHERTEXT_BYTES) or not self.marks.size:
            raise MessageInvalid("ScorePart", "not a ciphertext and a mark for each subject", "ARRAY_INVALID")
