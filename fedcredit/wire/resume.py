"""Messages with which a platform has an interrupted job go on: how it stands at a party, and the order to resume.

No subject's data travels here; a checkpoint is named by its stage and epoch, its content stays at its party.
"""

from __future__ import annotations

from dataclasses import dataclass

from fedcredit.wire._gen import node_pb2
from fedcredit.wire.control import MAX_DOCUMENT, MAX_NAME
from fedcredit.wire.message import Message, blob, count, flag, text

__all__ = ["ResumeJob", "StandingReply", "StandingRequest"]

MAX_EPOCH = 2**31


@dataclass(frozen=True, slots=True, repr=False)
class StandingRequest(Message, tag=0x110, proto=node_pb2.StandingRequest):
    """How does a job stand at a party? Reveals: nothing. Assumes: mutual TLS, from the platform."""

    job: str = text(MAX_NAME)


@dataclass(frozen=True, slots=True, repr=False)
class StandingReply(Message, tag=0x111, proto=node_pb2.StandingReply):
    """How it stands. Reveals: the state, the names and epochs of the stages that are kept, why the job waits there and
    for whom, how much room a disk lacks, and which parties the job goes on without.

    Assumes: mutual TLS, from the platform.
    """

    state: str = text(MAX_NAME)
    epoch: int = count(MAX_EPOCH)
    checkpoints: bytes = blob(2, MAX_DOCUMENT)
    ready: bool = flag()
    code: str = text(MAX_NAME)
    culprit: str = text(MAX_NAME)
    need: int = count(2**63)
    left_out: bytes = blob(2, MAX_DOCUMENT)


@dataclass(frozen=True, slots=True, repr=False)
class ResumeJob(Message, tag=0x112, proto=node_pb2.ResumeJob):
    """Go on with a job in a new epoch.

    Reveals: which stages all parties have kept, whether one has published, and who is left out. Assumes: mutual TLS,
    from the platform.
    """

    job: str = text(MAX_NAME)
    epoch: int = count(MAX_EPOCH, 1)
    keep: int = count(2**20)
    digest: bytes = blob(32)
    finished: bool = flag()
    addresses: bytes = blob(2, MAX_DOCUMENT)
    left_out: bytes = blob(2, MAX_DOCUMENT)
