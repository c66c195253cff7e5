"""What a running service of questions says of itself in its node's folder, and how it is asked to read its tables anew.

`verify/serving.json` is for the department's own people and commands: no row and no subject is in it. A request is a
file with a fresh name in it, which the answer then repeats.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcredit.errors import ConfigError, DataError, PeerLost, Problem
from fedcredit.node.durable_files import replace_file
from fedcredit.node.verification.building import Built
from fedcredit.node.verification.log_key import log_folder

__all__ = ["ServingState", "requested", "wait_for_refresh", "write_state"]

_STATE, _REQUEST = "serving.json", "refresh.request"
_MAX_BYTES = 1 << 20
_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class ServingState:
    """How it stands: where it is asked, from what it answers, what is wrong, and the last request that was met."""

    address: str
    built: Sequence[dict[str, Any]]
    questions: int
    problems: Sequence[Problem]
    request: str

    @classmethod
    def read(cls, node: Path) -> ServingState | None:
        """The state of the node's service, if it ever said one."""
        try:
            raw = json.loads((log_folder(node) / _STATE).read_bytes()[:_MAX_BYTES])
            problems = [Problem(**problem) for problem in raw["problems"]]
            return cls(raw["address"], raw["built"], raw["questions"], problems, raw["request"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None


def write_state(
    node: Path, address: str, built: Sequence[Built], questions: int, problems: Sequence[Problem], request: str
) -> None:
    """Say how it stands."""
    document = {
        "address": address,
        "built": [
            {
                "item": one.item,
                "subjects": one.subjects,
                "records": one.records,
                "left_out": one.left_out,
                "bytes": one.bytes,
                "latest": None if one.latest is None else one.latest.isoformat(),
            }
            for one in built
        ],
        "questions": questions,
        "problems": [{"code": p.code, "where": p.where, "what": p.what, "fix": p.fix} for p in problems],
        "request": request,
    }
    replace_file(log_folder(node) / _STATE, json.dumps(document, indent=1).encode() + b"\n")


def requested(node: Path) -> str:
    """The request that waits; empty if there is none."""
    try:
        return (log_folder(node) / _REQUEST).read_text(encoding="ascii").strip()[:64]
    except (OSError, ValueError):
        return ""


def wait_for_refresh(node: Path, timeout_s: float) -> ServingState:
    """Ask the running node to read its tables anew, and wait until it has.

    Raises: DataError with what is wrong with a table (the old one is served on), PeerLost after `timeout_s`,
    ConfigError (VERIFY_OFF) where the node never answered questions.
    """
    if not log_folder(node).exists():
        what, fix = "has answered no questions yet", "add [verify] to party.toml, and start the node"
        raise ConfigError(Problem("VERIFY_OFF", str(node), what, fix))
    token = secrets.token_hex(16)
    replace_file(log_folder(node) / _REQUEST, token.encode())
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        state = ServingState.read(node)
        if state is not None and state.request == token:
            if state.problems:
                raise DataError(state.problems)
            return state
        time.sleep(_LOOK_S)
    raise PeerLost(str(node), "refresh", f"has not read its tables within {timeout_s:g} s")
