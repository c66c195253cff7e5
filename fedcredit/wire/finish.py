"""The one message of the end of a job."""

from __future__ import annotations

from dataclasses import dataclass

from fedcredit.wire._gen import finish_pb2
from fedcredit.wire.message import Message

__all__ = ["AllKept"]


@dataclass(frozen=True, slots=True, repr=False)
class AllKept(Message, tag=0x38, proto=finish_pb2.AllKept):
    """All stages of the sender are kept; from the label party: those of everybody.

    Reveals: that much. Assumes: an authenticated link.
    """
