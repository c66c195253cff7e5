"""Sealed messages: only the other opens them, and only as what they were sealed as."""

from __future__ import annotations

import pytest

from fedcredit.crypto.randomness import SystemRandomness
from fedcredit.crypto.sealed import SEAL_BYTES, Seal
from fedcredit.crypto.zero_sum import Member, PairKey
from fedcredit.errors import PeerError

TAX, WATER, BANK = (PairKey.generate(SystemRandomness()) for _ in range(3))
TAX_IS, WATER_IS = Member("tax", TAX.public), Member("water", WATER.public)
CONTEXT = b"one request"


def test_the_recipient_opens_what_was_sealed() -> None:
    sealed = Seal(TAX_IS, WATER_IS, TAX, CONTEXT).seal(3, b"content")
    assert len(sealed) == len(b"content") + SEAL_BYTES
    assert Seal(TAX_IS, WATER_IS, WATER, CONTEXT).open(3, sealed, "test") == b"content"


@pytest.mark.parametrize(
    "opener",
    [
        Seal(TAX_IS, WATER_IS, WATER, b"another request"),
        Seal(WATER_IS, TAX_IS, WATER, CONTEXT),
        Seal(Member("tay", TAX.public), WATER_IS, WATER, CONTEXT),
        Seal(TAX_IS, Member("waterworks", WATER.public), WATER, CONTEXT),
        Seal(TAX_IS, Member("bank", BANK.public), BANK, CONTEXT),
    ],
)
def test_nobody_opens_it_as_something_else(opener: Seal) -> None:
    sealed = Seal(TAX_IS, WATER_IS, TAX, CONTEXT).seal(3, b"content")
    with pytest.raises(PeerError) as caught:
        opener.open(3, sealed, "test")
    assert caught.value.code == "SEAL_INVALID"
    assert caught.value.exit_status == PeerError.exit_status


@pytest.mark.parametrize("change", [lambda s: s[:-1], lambda s: s[:1] + bytes([s[1] ^ 1]) + s[2:], lambda s: b""])
def test_what_was_changed_does_not_open(change: object) -> None:
    assert callable(change)
    sealed = change(Seal(TAX_IS, WATER_IS, TAX, CONTEXT).seal(0, b"content"))
    with pytest.raises(PeerError, match="tax"):
        Seal(TAX_IS, WATER_IS, WATER, CONTEXT).open(0, sealed, "test")


def test_a_message_of_another_place_does_not_open() -> None:
    seal = Seal(TAX_IS, WATER_IS, TAX, CONTEXT)
    assert seal.seal(0, b"content") != seal.seal(1, b"content")
    with pytest.raises(PeerError):
        Seal(TAX_IS, WATER_IS, WATER, CONTEXT).open(1, seal.seal(0, b"content"), "test")


def test_a_key_of_neither_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="neither"):
        Seal(TAX_IS, WATER_IS, BANK, CONTEXT)
