"""A party that breaks the intersection protocol is named; its bytes never do more than end the session."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import FedcreditError, PeerError
from fedcredit.ids import PartyId, party_id
from fedcredit.protocols.effects import Send, Steps
from fedcredit.protocols.intersect import IntersectHolder, IntersectReceiver
from fedcredit.transport.memory import Link, run_network
from fedcredit.wire import intersect as wire
from fedcredit.wire.message import Message, MessageInvalid, message_type

SSID = bytes(32)
BANK, TAX, REGISTRY = map(party_id, ("bank", "tax", "registry"))
N_ROWS = 30

MESSAGES: list[Message] = [
    wire.PairKey(bytes(range(32))),
    wire.SetSize(7),
    wire.BlindedItems(np.arange(64, dtype=np.uint8).reshape(2, 32)),
    wire.EvaluatedItems(np.arange(96, dtype=np.uint8).reshape(3, 32)),
    wire.StoreSeed(bytes(32)),
    wire.StoreSlots(np.arange(32, dtype=np.uint8).reshape(2, 16)),
    wire.Release(released=True, rows=9),
    wire.AlignedTags(np.arange(16, dtype=np.uint8).reshape(1, 16)),
    wire.BlindedSlots(np.arange(48, dtype=np.uint8).reshape(3, 16)),
    wire.ItemMasks(np.arange(20, dtype=np.uint8).reshape(2, 10)),
    wire.AlignedPlaces(np.arange(5, dtype=np.uint8)),
]


def roles(**options: Any) -> dict[PartyId, Steps[Any]]:
    def ids(start: int) -> Any:
        return np.array([f"id-{i}".encode() for i in range(start, start + N_ROWS)])

    common: dict[str, Any] = {"ssid": SSID, **options}
    bank = IntersectReceiver(
        me=BANK, holders=(TAX, REGISTRY), ids=ids(0), randomness=insecure_seeded(1, "bank"), **common
    )
    tax = IntersectHolder(
        me=TAX, receiver=BANK, others=(REGISTRY,), ids=ids(5), randomness=insecure_seeded(1, "tax"), **common
    )
    registry = IntersectHolder(
        me=REGISTRY, receiver=BANK, others=(TAX,), ids=ids(9), randomness=insecure_seeded(1, "registry"), **common
    )
    return {BANK: bank.steps(), TAX: tax.steps(), REGISTRY: registry.steps()}


def rewriting(
    culprit: PartyId, kind: type[Message], change: Callable[[Any], Message | bytes]
) -> Callable[[Link, int, bytes], tuple[int, bytes]]:
    """`culprit` sends something else in place of its first `kind`."""
    done = False

    def tamper(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
        nonlocal done
        if done or link.sender != culprit or tag != kind.tag:
            return tag, body
        done = True
        changed = change(kind.decode(body))
        return (tag, changed) if isinstance(changed, bytes) else (changed.tag, changed.encode())

    return tamper


def repeating(steps: Steps[Any], kind: type[Message]) -> Steps[Any]:
    """A role that sends every `kind` twice."""
    answer: Any = None
    with contextlib.suppress(StopIteration):
        while True:
            effect = steps.send(answer)
            answer = yield effect
            if isinstance(effect, Send) and isinstance(effect.message, kind):
                yield effect


def replace_row(points: Any, row: bytes) -> Any:
    changed = points.copy()
    changed[3] = np.frombuffer(row, np.uint8)
    return changed


BAD_POINTS = {"identity": bytes(32)} | {
    f"{bad['reason']} {bad['encoding'][:6]}": bytes.fromhex(bad["encoding"])
    for bad in json.loads((Path(__file__).parents[1] / "vectors" / "rfc9496.json").read_text())["bad_encodings"]
}

CASES: dict[str, tuple[PartyId, type[Message], Callable[[Any], Message | bytes], str]] = {
    "wrong type to a holder": (BANK, wire.SetSize, lambda m: wire.StoreSeed(bytes(32)), "UNEXPECTED_MESSAGE"),
    "wrong type to the receiver": (TAX, wire.StoreSeed, lambda m: wire.SetSize(3), "UNEXPECTED_MESSAGE"),
    "too early": (TAX, wire.EvaluatedItems, lambda m: wire.StoreSeed(bytes(32)), "UNEXPECTED_MESSAGE"),
    "no rows declared": (TAX, wire.SetSize, lambda m: b"", "SET_SIZE"),
    "too many rows declared": (TAX, wire.SetSize, lambda m: wire.SetSize(101), "SET_SIZE"),
    "too many rows declared by the receiver": (BANK, wire.SetSize, lambda m: wire.SetSize(101), "SET_SIZE"),
    "absurdly many rows declared": (TAX, wire.SetSize, lambda m: b"\x08" + b"\xff" * 9 + b"\x01", "MESSAGE_INVALID"),
    "fewer items than declared": (BANK, wire.BlindedItems, lambda m: wire.BlindedItems(m.points[1:]), "SET_SIZE"),
    "more items than declared": (
        BANK,
        wire.BlindedItems,
        lambda m: wire.BlindedItems(np.concatenate([m.points, m.points[:1]])),
        "SET_SIZE",
    ),
    "fewer points back": (TAX, wire.EvaluatedItems, lambda m: wire.EvaluatedItems(m.points[1:]), "SET_SIZE"),
    "a smaller store than declared": (TAX, wire.StoreSlots, lambda m: wire.StoreSlots(m.slots[:-1]), "SET_SIZE"),
    "a truncated array": (BANK, wire.BlindedItems, lambda m: m.encode()[:-5], "MESSAGE_INVALID"),
    "an array of another width": (
        TAX,
        wire.StoreSlots,
        lambda m: wire.BlindedItems(np.ones((1, 32), np.uint8)).encode(),
        "ARRAY_INVALID",
    ),
    "a key that is no point": (REGISTRY, wire.PairKey, lambda m: wire.PairKey(b"\xff" * 32), "POINT_INVALID"),
    "a key that is the identity": (BANK, wire.PairKey, lambda m: wire.PairKey(bytes(32)), "POINT_INVALID"),
    "more rows released than there are": (BANK, wire.Release, lambda m: wire.Release(True, N_ROWS + 1), "SET_SIZE"),
    "fewer rows released than the minimum": (BANK, wire.Release, lambda m: wire.Release(True, 4), "SET_SIZE"),
    "fewer tags than released": (BANK, wire.AlignedTags, lambda m: wire.AlignedTags(m.tags[1:]), "SET_SIZE"),
    "a tag of nothing": (BANK, wire.AlignedTags, lambda m: wire.AlignedTags(m.tags ^ 1), "TAG_INVALID"),
    "a tag twice": (
        BANK,
        wire.AlignedTags,
        lambda m: wire.AlignedTags(np.concatenate([m.tags[:-1], m.tags[:1]])),
        "TAG_INVALID",
    ),
    "a message nobody knows": (BANK, wire.SetSize, lambda m: b"\xff\xff", "MESSAGE_INVALID"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_culprit_is_named(name: str) -> None:
    culprit, kind, change, code = CASES[name]
    with pytest.raises(PeerError) as fault:
        run_network(roles(max_rows=100, minimum=5), insecure_in_process=True, tamper=rewriting(culprit, kind, change))
    assert (fault.value.culprit, fault.value.code) == (culprit, code)
    assert "id-" not in str(fault.value)


@pytest.mark.parametrize("bad", BAD_POINTS)
@pytest.mark.parametrize(("culprit", "kind"), [(BANK, wire.BlindedItems), (TAX, wire.EvaluatedItems)])
def test_bad_points_are_refused(culprit: PartyId, kind: Any, bad: str) -> None:
    def change(message: Any) -> Message:
        changed: Message = kind(replace_row(message.points, BAD_POINTS[bad]))
        return changed

    with pytest.raises(PeerError) as fault:
        run_network(roles(), insecure_in_process=True, tamper=rewriting(culprit, kind, change))
    assert (fault.value.culprit, fault.value.code) == (culprit, "POINT_INVALID")
    assert "element 3" in str(fault.value)


def test_an_own_key_sent_back_is_refused() -> None:
    keys: dict[Link, bytes] = {}

    def reflect(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
        if tag == wire.PairKey.tag:
            keys[link] = body
            return tag, keys.get(Link(link.receiver, link.sender), body)
        return tag, body

    with pytest.raises(PeerError) as fault:
        run_network(roles(), insecure_in_process=True, tamper=reflect)
    assert fault.value.code == "POINT_INVALID"


@pytest.mark.parametrize(
    ("culprit", "kind"),
    [(BANK, wire.SetSize), (BANK, wire.BlindedItems), (BANK, wire.Release), (BANK, wire.AlignedTags)]
    + [(TAX, k) for k in (wire.PairKey, wire.SetSize, wire.EvaluatedItems, wire.StoreSeed, wire.StoreSlots)],
)
def test_a_replayed_message_is_refused(culprit: PartyId, kind: type[Message]) -> None:
    parties = roles()
    parties[culprit] = repeating(parties[culprit], kind)
    with pytest.raises(PeerError) as fault:
        run_network(parties, insecure_in_process=True)
    assert fault.value.culprit == culprit
    assert fault.value.code in ("UNEXPECTED_MESSAGE", "MESSAGE_AFTER_END")


def test_a_silent_party_is_waited_for_by_name() -> None:
    def silent() -> Steps[None]:
        yield from ()

    parties = roles()
    parties[REGISTRY] = silent()
    with pytest.raises(FedcreditError, match="registry"):
        run_network(parties, insecure_in_process=True)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_messages_round_trip(message: Message) -> None:
    decoded = type(message).decode(message.encode())
    assert message_type(message.tag) is type(message)
    assert decoded.encode() == message.encode()
    assert "0x" not in repr(message)
    assert "array" not in repr(message)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
@settings(max_examples=60)
@given(data=st.data())
def test_decoding_anything_gives_a_message_or_a_typed_refusal(message: Message, data: st.DataObject) -> None:
    valid = message.encode()
    junk = st.binary(max_size=200)
    cut = st.integers(0, len(valid)).map(lambda n: valid[:n])
    flips = st.lists(st.tuples(st.integers(0, max(len(valid) - 1, 0)), st.integers(1, 255)), min_size=1, max_size=4)
    flipped = flips.map(lambda changes: _flip(valid, changes))
    try:
        decoded = type(message).decode(data.draw(junk | cut | flipped))
    except MessageInvalid:
        return
    decoded.validate()


def _flip(valid: bytes, changes: list[tuple[int, int]]) -> bytes:
    mutable = bytearray(valid)
    for at, mask in changes:
        if mutable:
            mutable[at] ^= mask
    return bytes(mutable)
