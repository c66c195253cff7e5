"""Roles of a protocol that run in one process, each with the processor time that it takes."""

from __future__ import annotations

import time
from typing import Any

from fedcredit.protocols.effects import Steps

__all__ = ["timed"]


def timed(steps: Steps[Any], name: str, spent: dict[str, float]) -> Steps[Any]:
    """Run `steps`, adding up processor time inside them alone."""
    reply = None
    while True:
        begun = time.process_time()
        try:
            effect = steps.send(reply)
        except StopIteration as stop:
            return stop.value
        finally:
            spent[name] += time.process_time() - begun
        reply = yield effect
