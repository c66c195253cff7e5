"""How much a party keeps for a peer, and how long it waits for one. Both ends of a link should use the same."""

from __future__ import annotations

from dataclasses import dataclass

from fedcredit.wire.frame import MAX_FRAME_BYTES

__all__ = ["Limits"]

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one link. A sender keeps to them, a receiver refuses what goes beyond (QUEUE_OVERFLOW).

    A frame counts from the moment it is sent until the receiving role has taken it, so they bound the memory at both
    ends, and a slow role slows its senders down. A role must therefore not send more than `stage_bytes` to a peer
    that waits for something else first.
    """

    stage_bytes: int = 16 * MIB
    stage_frames: int = 256
    peer_bytes: int = 64 * MIB
    peer_stages: int = 16
    """Stages of one peer with frames under way, and so also stages it may be ahead of us."""

    lost_after_s: float = 75.0
    """How long a peer may be unreachable. Above a minute, so that a short partition is a delay and nothing else."""
    drain_s: float = 30.0
    """How long `close` waits for peers to take what was sent to them."""

    calls_per_peer: int = 32
    """Calls of one peer at a time, on all its connections."""
    calls_per_s: float = 200.0
    """Calls of one peer in a second; further ones wait for their turn, so that a flood slows its sender down alone."""
    call_burst: float = 400.0
    """Calls that a peer may make at once before it is held to that pace."""
    waiting_per_peer: int = 256
    """Calls of one peer that wait for their turn; more are refused (QUOTA)."""
    calls_in_all: int = 1024
    """Calls of all peers at a time, so also more than any one of them can hold."""

    stream_window_bytes: int = 0
    """What the server takes in of a call before its handler reads; 0 leaves it to gRPC, which takes 4 MiB and more.

    A platform that relays sets it: a callee that reads nothing costs the relay this much and a few pieces, each way.
    """

    @property
    def frame_bytes(self) -> int:
        """The largest message that the server reads."""
        return MAX_FRAME_BYTES
