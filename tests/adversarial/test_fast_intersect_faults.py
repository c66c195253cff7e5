"""A party that breaks the intersection with one holder and a list of masks is named, and nothing comes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from adversarial.test_intersect_faults import repeating, rewriting

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId, party_id
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.intersect import IntersectHolder, IntersectReceiver, Lent
from fedcredit.transport.memory import run_network
from fedcredit.wire import intersect as wire
from fedcredit.wire.message import Message

SSID = bytes(32)
BANK, TAX = map(party_id, ("bank", "tax"))
N_ROWS = 30


def roles(**options: Any) -> dict[PartyId, Steps[Any]]:
    def ids(start: int) -> Any:
        return np.array([f"id-{i}".encode() for i in range(start, start + N_ROWS)])

    common: dict[str, Any] = {"ssid": SSID, "mode": "fast", **options}
    bank = IntersectReceiver(me=BANK, holders=(TAX,), ids=ids(0), randomness=insecure_seeded(1, "bank"), **common)
    tax = IntersectHolder(me=TAX, receiver=BANK, others=(), ids=ids(5), randomness=insecure_seeded(1, "tax"), **common)
    return {BANK: bank.steps(), TAX: tax.steps()}


def twice(masks: Any) -> Any:
    """A list in which every mask is the first one."""
    return np.repeat(masks[:1], len(masks), axis=0)


CASES: dict[str, tuple[PartyId, type[Message], Callable[[Any], Message | bytes], str]] = {
    "too many rows declared": (TAX, wire.SetSize, lambda m: wire.SetSize(101), "SET_SIZE"),
    "fewer slots than the store has": (BANK, wire.BlindedSlots, lambda m: wire.BlindedSlots(m.slots[1:]), "SET_SIZE"),
    "slots of another width": (
        BANK,
        wire.BlindedSlots,
        lambda m: wire.BlindedItems(np.ones((1, 32), np.uint8)).encode(),
        "ARRAY_INVALID",
    ),
    "fewer masks than declared": (TAX, wire.ItemMasks, lambda m: wire.ItemMasks(m.masks[1:]), "SET_SIZE"),
    "more masks than declared": (
        TAX,
        wire.ItemMasks,
        lambda m: wire.ItemMasks(np.concatenate([m.masks, m.masks[:1]])),
        "SET_SIZE",
    ),
    "shorter masks": (TAX, wire.ItemMasks, lambda m: wire.ItemMasks(m.masks[:, 1:].copy()), "ARRAY_INVALID"),
    "masks of no width": (
        TAX,
        wire.ItemMasks,
        lambda m: wire.BlindedItems(np.ones((1, 32), np.uint8)).encode(),
        "ARRAY_INVALID",
    ),
    "more rows released than there are": (BANK, wire.Release, lambda m: wire.Release(True, N_ROWS + 1), "SET_SIZE"),
    "fewer rows released than the minimum": (BANK, wire.Release, lambda m: wire.Release(True, 4), "SET_SIZE"),
    "another number released than named": (BANK, wire.Release, lambda m: wire.Release(True, m.rows - 1), "SET_SIZE"),
    "fewer places than the list has": (
        BANK,
        wire.AlignedPlaces,
        lambda m: wire.AlignedPlaces(m.bits[:-1]),
        "SET_SIZE",
    ),
    "more places than the list has": (
        BANK,
        wire.AlignedPlaces,
        lambda m: wire.AlignedPlaces(np.concatenate([m.bits, m.bits[:1]])),
        "SET_SIZE",
    ),
    "all places": (BANK, wire.AlignedPlaces, lambda m: wire.AlignedPlaces(m.bits | 0xFF), "SET_SIZE"),
    "tags where places are due": (
        BANK,
        wire.AlignedPlaces,
        lambda m: wire.Release(True, 9),
        "UNEXPECTED_MESSAGE",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_culprit_is_named(name: str) -> None:
    culprit, kind, change, code = CASES[name]
    with pytest.raises(PeerError) as fault:
        run_network(roles(max_rows=100, minimum=5), insecure_in_process=True, tamper=rewriting(culprit, kind, change))
    assert (fault.value.culprit, fault.value.code) == (culprit, code)
    assert "id-" not in str(fault.value)


def test_a_list_that_repeats_a_mask_of_ours_ends_no_worse_than_without_it() -> None:
    outcome = run_network(
        roles(minimum=0),
        insecure_in_process=True,
        tamper=rewriting(TAX, wire.ItemMasks, lambda m: wire.ItemMasks(twice(m.masks))),
    )
    # Whichever of the equal masks is found, one row of the bank's is in the intersection, or none.
    assert len(outcome.results[BANK]) <= 1


def test_a_place_at_which_no_row_is_cannot_be_named() -> None:
    receiver_says = [wire.Release(True, 2), wire.AlignedPlaces(np.array([0b0101], np.uint8))]
    holder = IntersectHolder(
        me=TAX,
        receiver=BANK,
        others=(),
        ssid=SSID,
        ids=np.array([b"a"]),
        randomness=insecure_seeded(1),
        mode="fast",
    )
    steps = holder.release(Lent(order=np.array([4, 2, -1, 7])))
    next(steps)
    steps.send(receiver_says[0])
    with pytest.raises(PeerError, match="at which no row of ours is") as fault:
        steps.send(receiver_says[1])
    assert (fault.value.culprit, fault.value.code) == (BANK, "TAG_INVALID")


@pytest.mark.parametrize(
    ("culprit", "kind"),
    [(BANK, k) for k in (wire.SetSize, wire.StoreSeed, wire.BlindedSlots, wire.Release, wire.AlignedPlaces)]
    + [(TAX, k) for k in (wire.SetSize, wire.ItemMasks)],
)
def test_a_replayed_message_is_refused(culprit: PartyId, kind: type[Message]) -> None:
    parties = roles()
    parties[culprit] = repeating(parties[culprit], kind)
    with pytest.raises(PeerError) as fault:
        run_network(parties, insecure_in_process=True)
    assert fault.value.culprit == culprit
    assert fault.value.code in ("UNEXPECTED_MESSAGE", "MESSAGE_AFTER_END")
