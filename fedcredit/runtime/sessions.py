"""Which session a protocol runs in: the one place that derives it.

A job may be started more than once: after a party was lost, all parties go on from their last common checkpoint, in a
new epoch. What a protocol draws from its session (keys, masks, the numbers of rounds) must never serve twice, so a
session is one step of one start of one job.
"""

from __future__ import annotations

from fedcredit.errors import FedcreditError
from fedcredit.kernels import digest

__all__ = ["session_id"]

SSID_BYTES = 32


def session_id(ssid: bytes, epoch: int, step: str) -> bytes:
    """32 bytes that only this `step` of start number `epoch` of job `ssid` has; the same at all its parties."""
    if len(ssid) != SSID_BYTES:
        raise FedcreditError("a job's ssid is 32 bytes")
    return digest.derive("fedcredit v1 session", ssid + epoch.to_bytes(8, "big") + step.encode())
