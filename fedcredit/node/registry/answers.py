"""What a node answers about models. Its own people get the reasons of a refusal, peers its code alone."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fedcredit.errors import FedcreditError, PeerError, Problem, rebuilt
from fedcredit.ids import PartyId
from fedcredit.node.documents import document_of
from fedcredit.observe import logs
from fedcredit.wire.registry import ModelDocument

__all__ = ["answered", "document", "read_answer"]

_log = logs.get("model")


def document(value: Mapping[str, Any]) -> ModelDocument:
    """`value` as it travels."""
    return ModelDocument(json.dumps(value, ensure_ascii=False, allow_nan=False).encode())


async def answered(own: bool, answer: Callable[[], Awaitable[Mapping[str, Any]]]) -> ModelDocument:
    """The answer; to this node's own people, who may know the reasons, also a refusal with all of them.

    Raises: FedcreditError, to anybody else.
    """
    try:
        return document(await answer())
    except FedcreditError as error:
        if not own:
            raise
        _log.info("model.refused", code=error.code)
        problems = [{"code": p.code, "where": p.where, "what": p.what, "fix": p.fix} for p in error.problems]
        return document({"refused": {"exit_status": error.exit_status, "problems": problems}})


def read_answer(party: PartyId, data: bytes) -> dict[str, Any]:
    """The document that `party` answered with. Raises: what it was refused with; PeerError (MESSAGE_INVALID)."""
    found: dict[str, Any] = document_of(party, data, dict, "models")
    if (refused := found.get("refused")) is None:
        return found
    try:
        keys = ("code", "where", "what", "fix")
        problems = [Problem(*(str(problem[key]) for key in keys)) for problem in refused["problems"]]
        status = int(refused["exit_status"])
    except (ValueError, TypeError, KeyError):
        raise PeerError(party, "models", "sent no document about models", "MESSAGE_INVALID") from None
    raise rebuilt(problems, status)
