"""Messages of sums over members: `docs/protocols/aggregate.md`.

Members have vectors of words; the first member is the leader, who adds them up under masks.
Reveals: of every message, its size, which follows from the public lengths of vectors and the number of members.
Assumes: all members are semi-honest; the link authenticates them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.wire._gen import aggregate_pb2 as pb
from fedcredit.wire.message import Message, MessageInvalid, array, blob, count

__all__ = [
    "CHECK_BYTES",
    "CHUNK_WORDS",
    "GO_ON",
    "KEY_BYTES",
    "MAX_MEMBERS",
    "MAX_WORDS",
    "SECRET_BYTES",
    "SEND_WORDS",
    "SHOW_SHARES",
    "Deal",
    "DealsHeld",
    "MaskedWords",
    "MemberKey",
    "MembersLeft",
    "SecretShares",
    "SumWords",
]

U8: TypeAlias = npt.NDArray[np.uint8]
U64: TypeAlias = npt.NDArray[np.uint64]

KEY_BYTES: Final = 32
SECRET_BYTES: Final = 32
CHECK_BYTES: Final = 16
MAX_MEMBERS: Final = 128
MAX_WORDS: Final = 1 << 40
CHUNK_WORDS: Final = 1 << 17
"""Words of one message: 1 MiB."""
SEND_WORDS: Final = 0
GO_ON: Final = 1
SHOW_SHARES: Final = 2


@dataclass(frozen=True, slots=True, repr=False)
class MemberKey(Message, tag=0x1F0, proto=pb.MemberKey):
    """A member's fresh X25519 key, for its masks with the receiver in this start of the job.

    Reveals: nothing. Assumes: the link proves whose it is.
    """

    public: bytes = blob(KEY_BYTES)


@dataclass(frozen=True, slots=True, repr=False)
class MaskedWords(Message, tag=0x1F1, proto=pb.MaskedWords):
    """A run of a member's words from `first` on, under its masks.

    Reveals: nothing but with those of all other members, and then their sum. Assumes: two members at least do not tell
    the receiver their masks.
    """

    first: int = count(MAX_WORDS)
    words: U64 = array("u8", 1, CHUNK_WORDS)


@dataclass(frozen=True, slots=True, repr=False)
class SumWords(Message, tag=0x1F2, proto=pb.SumWords):
    """A run of the sum of all members' words, from `first` on.

    Reveals: to every member, that sum. Assumes: the leader adds up what it was sent.
    """

    first: int = count(MAX_WORDS)
    words: U64 = array("u8", 1, CHUNK_WORDS)


@dataclass(frozen=True, slots=True, repr=False)
class Deal(Message, tag=0x1F3, proto=pb.Deal):
    """A member's key for the masks of one round, and the receiver's shares of its two secrets of that round.

    `shares`: of the seed of its self-mask, and of its secret key. `checks` (members, 2, 16): a hash of every share that
    it deals, so that a wrong share later names who sent it.
    Reveals: nothing to less than the threshold of members. Assumes: the link proves whose it is, and hides it from
    everybody else; the leader has less than the threshold of members' shares.
    """

    public: bytes = blob(KEY_BYTES)
    shares: U8 = array("u1", 2, 2 * SECRET_BYTES)
    checks: U8 = array("u1", 3, MAX_MEMBERS * 2 * CHECK_BYTES)

    def validate(self) -> None:
        if self.shares.shape != (2, SECRET_BYTES):
            raise MessageInvalid("Deal.shares", "not two shares", "SHAPE")
        if self.checks.shape[1:] != (2, CHECK_BYTES):
            raise MessageInvalid("Deal.checks", "not two hashes a member", "SHAPE")


@dataclass(frozen=True, slots=True, repr=False)
class DealsHeld(Message, tag=0x1F4, proto=pb.DealsHeld):
    """Whose deals the sender holds: 1 or 0 for each member, in their order.

    Reveals: to the leader, that. Assumes: see the module.
    """

    members: U8 = array("u1", 1, MAX_MEMBERS)

    def validate(self) -> None:
        _refuse_flags("DealsHeld", self.members)


@dataclass(frozen=True, slots=True, repr=False)
class MembersLeft(Message, tag=0x1F5, proto=pb.MembersLeft):
    """Who is left in this round: 1 or 0 for each member, in their order. One that is left out learns it by this.

    `step`: SEND_WORDS, these are to send masked words; GO_ON, the receiver's words are taken now, beyond the first few;
    SHOW_SHARES, the leader has all words of these, and the sum will be over them.
    Reveals: to every member, that. Assumes: the leader tells all members the same; see `docs/protocols/aggregate.md`
    for what one that does not can do.
    """

    step: int = count(SHOW_SHARES)
    members: U8 = array("u1", 1, MAX_MEMBERS)

    def validate(self) -> None:
        _refuse_flags("MembersLeft", self.members)


@dataclass(frozen=True, slots=True, repr=False)
class SecretShares(Message, tag=0x1F6, proto=pb.SecretShares):
    """The sender's shares, one for each member that was to send words: of a survivor's seed, of a lost one's key.

    Reveals: to the leader, with those of the threshold of members, the self-masks of survivors and the masks of who is
    lost; so the sum over the survivors. Assumes: the leader told all members the same survivors.
    """

    shares: U8 = array("u1", 2, MAX_MEMBERS * SECRET_BYTES)

    def validate(self) -> None:
        if self.shares.shape[1] != SECRET_BYTES:
            raise MessageInvalid("SecretShares.shares", f"not {SECRET_BYTES} bytes each", "SHAPE")


def _refuse_flags(message: str, members: U8) -> None:
    if np.any(members > 1):
        raise MessageInvalid(f"{message}.members", "not 0 or 1", "ARRAY_INVALID")
