"""Frames, aborts and receipts: round trip, bounds, and bytes that are none."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.ids import PartyId
from fedcredit.kernels.digest import blake3
from fedcredit.wire._gen import frame_pb2 as pb
from fedcredit.wire.frame import ABORT_STAGE, ABORT_TAG, MAX_BODY_BYTES, MAX_FRAME_BYTES, Abort, Frame, Receipt
from fedcredit.wire.message import MessageInvalid

SSID = bytes(range(32))


def frame(**changed) -> Frame:
    fields = {"ssid": SSID, "stage": "gbdt.0/tree.7", "sender": PartyId("tax"), "seq": 3, "tag": 17, "body": b"body"}
    return Frame(**{**fields, **changed})


@given(
    ssid=st.binary(min_size=32, max_size=32),
    stage=st.from_regex(r"[a-z0-9][a-z0-9._/-]{0,63}", fullmatch=True).filter(lambda stage: stage != "abort"),
    sender=st.from_regex(r"[a-z][a-z0-9_-]{0,31}", fullmatch=True),
    seq=st.integers(0, 2**64 - 1),
    tag=st.integers(1, 2**32 - 1),
    epoch=st.integers(0, 2**32 - 1),
    body=st.binary(max_size=300),
)
def test_round_trip(ssid, stage, sender, seq, tag, epoch, body) -> None:
    sent = Frame(ssid, stage, PartyId(sender), seq, tag, body, epoch)
    back = Frame.decode(sent.encode())
    back.check_body()
    assert bytes(back.body) == body
    assert back.body_hash == blake3(body)
    assert (back.ssid, back.stage, back.sender, back.seq, back.tag, back.epoch) == (
        ssid,
        stage,
        sender,
        seq,
        tag,
        epoch,
    )


def test_a_frame_is_the_protobuf_message_of_the_contract() -> None:
    data = frame().encode()
    assert pb.Frame.FromString(data).SerializeToString() == data
    assert pb.Frame.FromString(data).body == b"body"


def test_the_body_is_not_copied() -> None:
    data = frame(body=bytes(1000)).encode()
    assert Frame.decode(data).body.obj is data


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_any_bytes_are_a_frame_or_refused(data: bytes) -> None:
    with contextlib.suppress(MessageInvalid):
        Frame.decode(data).check_body()


@given(st.data())
@settings(max_examples=300)
def test_a_changed_byte_is_noticed_or_harmless(data: st.DataObject) -> None:
    encoded = bytearray(frame(body=bytes(40)).encode())
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        back = Frame.decode(bytes(encoded))
        back.check_body()
    except MessageInvalid:
        return
    # What is not covered by the hash is checked against the certificate and the sequence, or names another stage.
    assert bytes(back.body) == bytes(40)


@pytest.mark.parametrize("cut", [0, 1, 2, 20, 60, -1])
def test_a_truncated_frame_is_refused(cut: int) -> None:
    with pytest.raises(MessageInvalid):
        Frame.decode(frame().encode()[:cut])


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame().encode() + b"x", "MESSAGE_INVALID"),
        (bytes(MAX_FRAME_BYTES + 1), "TOO_LARGE"),
        (b"\x0a\xff\xff\xff\x7f", "MESSAGE_INVALID"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "MESSAGE_INVALID"),
        (b"\x0a\x80\x10" + bytes(2048) + b"\x12\x00", "TOO_LARGE"),
        (pb.Frame(body=b"x").SerializeToString(), "MESSAGE_INVALID"),
    ],
)
def test_bytes_that_lie_about_their_size_are_refused(data: bytes, code: str) -> None:
    with pytest.raises(MessageInvalid) as refused:
        Frame.decode(data)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "changed",
    [
        {"ssid": b"short"},
        {"stage": "Align"},
        {"stage": "../etc"},
        {"stage": "a" * 65},
        {"stage": ""},
        {"stage": ABORT_STAGE},
        {"stage": "align", "tag": ABORT_TAG},
        {"sender": "Tax"},
        {"sender": ""},
        {"body_hash": b"short"},
    ],
)
def test_a_header_out_of_bounds_is_refused(changed) -> None:
    with pytest.raises(MessageInvalid):
        Frame.decode(frame(**changed).encode())


def test_another_body_is_corrupt() -> None:
    data = frame().encode()
    with pytest.raises(MessageInvalid) as refused:
        Frame.decode(data[:-1] + b"Y").check_body()
    assert refused.value.code == "DATA_CORRUPT"


def test_a_body_that_cannot_travel_is_not_sent() -> None:
    assert len(frame(body=bytes(MAX_BODY_BYTES)).encode()) <= MAX_FRAME_BYTES
    with pytest.raises(MessageInvalid) as refused:
        frame(body=bytes(MAX_BODY_BYTES + 1)).encode()
    assert refused.value.code == "TOO_LARGE"


def test_abort_and_receipt_round_trip() -> None:
    for abort in (Abort("gbdt.0/tree.7", "DATA_CORRUPT", 76), Abort("align", "PEER_LOST", 69, PartyId("tax"))):
        assert Abort.decode(abort.encode()) == abort
    for receipt in (Receipt(SSID, 1, "align", 7), Receipt(SSID, 0, ABORT_STAGE, 1, "STALE_EPOCH")):
        assert Receipt.decode(receipt.encode()) == receipt


@given(st.binary(max_size=100))
@settings(max_examples=200)
def test_any_bytes_are_an_abort_and_a_receipt_or_refused(data: bytes) -> None:
    for kind in (Abort, Receipt):
        with contextlib.suppress(MessageInvalid):
            kind.decode(data)


@pytest.mark.parametrize(
    "abort",
    [
        Abort("align", "free text, say of row 17", 76),
        Abort("align", "X" * 65, 76),
        Abort("align", "X", 999),
        Abort("align", "X", 69, PartyId("row 17")),
        Abort("align", "X", 69, PartyId("x" * 65)),
    ],
)
def test_an_abort_says_a_code_and_a_party_and_nothing_else(abort: Abort) -> None:
    with pytest.raises(MessageInvalid):
        Abort.decode(abort.encode())


def test_contents_do_not_show_in_logs() -> None:
    assert "secret" not in repr(frame(body=b"secret"))
    assert "secret" not in repr(Frame.decode(frame(body=b"secret").encode()))
