"""Frames of one stage on their way to one peer."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from fedcredit.errors import FedcreditError

__all__ = ["OutFlow"]


@dataclass(slots=True, eq=False)
class OutFlow:
    """One stage's frames to one peer. `unacked` holds (seq, frame) in order; `receipts` counts the peer's progress."""

    ssid: bytes
    epoch: int
    stage: str
    next_seq: int = 0
    unacked: deque[tuple[int, bytes]] = field(default_factory=deque)
    size: int = 0
    receipts: int = 0
    failure: FedcreditError | None = None
    closed: bool = False
