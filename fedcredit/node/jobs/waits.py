"""Which errors end a job, and which only make it wait: for a peer, for room on a disk or in memory, for this node."""

from __future__ import annotations

import errno

from fedcredit.errors import ConfigError, FedcreditError, PeerError, PeerLost, Problem

__all__ = [
    "DISK_FULL",
    "INTERRUPTED",
    "OUT_OF_MEMORY",
    "PASSING",
    "disk_full",
    "interrupted",
    "kept_reason",
    "lacks_memory",
    "out_of_memory",
    "reason_to_wait",
]

DISK_FULL, INTERRUPTED, OUT_OF_MEMORY = "DISK_FULL", "INTERRUPTED", "OUT_OF_MEMORY"

PASSING = frozenset(
    {
        DISK_FULL,
        INTERRUPTED,
        OUT_OF_MEMORY,
        "AUDIT_UNAVAILABLE",
        "CERT_EXPIRED",
        "STORE_FULL",
        "STORE_UNAVAILABLE",
    }
)
"""Codes of what passes, or is made to pass by the node's own people, without anything wrong with the job."""

# What a peer says that has stopped for a while, or that is in a newer start of the job than we are.
_STOPPED_THERE = PASSING | {"CANCELLED", "JOB_ENDED", "STALE_EPOCH"}


def reason_to_wait(error: BaseException) -> FedcreditError | None:
    """The reason for which a job waits that met `error`; None if that is its end."""
    if isinstance(error, PeerLost):
        return error
    if isinstance(error, PeerError):
        # If it has really ended there, the platform knows and ends it here.
        stopped = error.code in _STOPPED_THERE
        return PeerLost(error.culprit, error.step, f"has stopped for now ({error.code})") if stopped else None
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(0)
    if lacks_memory(error):
        return out_of_memory()
    if isinstance(error, FedcreditError):
        if error.code == "STORE_FULL":
            return disk_full(0)
        return error if error.code in PASSING else None
    return None


def lacks_memory(error: BaseException) -> bool:
    """Whether the system refused memory, or a thread, for which it needs memory, too."""
    if isinstance(error, RuntimeError):
        return str(error) == "can't start new thread"  # what CPython says, and nothing more
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)


def out_of_memory() -> ConfigError:
    """The system gave this node no more memory while the job ran."""
    fix = "give the node more, or run fewer jobs at once; the job then goes on by itself"
    return ConfigError(Problem(OUT_OF_MEMORY, "memory of the node", "could have no more", fix))


def interrupted(job: str) -> FedcreditError:
    """This node stops, or has stopped, while the job runs."""
    return FedcreditError(Problem(INTERRUPTED, f"job {job}", "the node stopped while it ran", "it will be resumed"))


def disk_full(need: int) -> ConfigError:
    """The disk has no room for the job. Units: need in bytes, 0 where that is not known."""
    what = f"{need} bytes are needed" if need else "has no room left"
    return ConfigError(Problem(DISK_FULL, "disk of the node", what, "make room; the job then goes on by itself"))


def kept_reason(job: str, code: str, culprit: str) -> FedcreditError:
    """Why a job waits, as the store has it."""
    if code == "PEER_LOST":
        return PeerLost(culprit or "a peer", "the job", "was lost and has not come back")
    if code == DISK_FULL:
        return disk_full(0)
    if code == OUT_OF_MEMORY:
        return out_of_memory()
    if code in ("", INTERRUPTED):
        return interrupted(job)
    return FedcreditError(Problem(code, f"job {job}", "waits"))
