"""Which version a bank asks for, as its node and its platform have it."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Self, cast

import pytest

from fedcredit.errors import FedcreditError, PeerLost, UsageError
from fedcredit.node.scoring import version
from fedcredit.runtime.config import PartyFile


class Counter:
    """A node's desk that answers with `document`."""

    document: ClassVar[dict[str, Any]] = {}

    def __init__(self, config: PartyFile) -> None:
        self.config = config

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def shown(self, name: str = "", number: int = 0) -> dict[str, Any]:
        return self.document


@pytest.mark.parametrize(
    ("document", "number", "error"),
    [
        ({"away": "platform", "models": [], "own": [{"version": 1, "served": "champion"}]}, None, PeerLost),
        ({"away": "platform", "models": [], "own": {"version": 1, "served": "champion"}}, 1, PeerLost),
        ({"models": []}, None, UsageError),
        ({"models": [{"name": "sme", "version": 1, "role": None}]}, None, UsageError),
    ],
    ids=["no platform", "no platform, one version", "no version", "no champion"],
)
def test_a_platform_that_is_away_is_named_and_a_model_is_unknown_only_where_it_says_so(
    monkeypatch: pytest.MonkeyPatch, document: dict[str, Any], number: int | None, error: type[FedcreditError]
) -> None:
    monkeypatch.setattr(Counter, "document", document)
    monkeypatch.setattr(version, "ModelCounter", Counter)
    with pytest.raises(error) as found:
        asyncio.run(version.find_version(cast(PartyFile, None), "sme", number))
    assert found.value.code == ("PEER_LOST" if error is PeerLost else "MODEL_UNKNOWN")
    assert ("platform" in str(found.value)) is (error is PeerLost)
