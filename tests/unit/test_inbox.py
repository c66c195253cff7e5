"""The receiving half without a network: order, repetition, bounds, faults, stages that are not open yet."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transport_toys import SSID, A, B, C

from fedcredit.errors import FedcreditError, PeerError, PeerLost, RefusedError
from fedcredit.ids import PartyId
from fedcredit.transport.inbox import Inbox
from fedcredit.transport.limits import Limits
from fedcredit.wire.frame import ABORT_STAGE, ABORT_TAG, Abort, Frame, Receipt
from fedcredit.wire.message import MessageInvalid

pytestmark = pytest.mark.anyio

SMALL = Limits(stage_bytes=4000, stage_frames=8, peer_bytes=10_000, peer_stages=3)


class Watched:
    """An inbox and what it tells its senders."""

    def __init__(self, limits: Limits = SMALL) -> None:
        self.receipts: list[tuple[PartyId, Receipt]] = []
        self.inbox = Inbox(limits, lambda peer, receipt, urgent: self.receipts.append((peer, receipt)), lambda: None)

    def last(self) -> Receipt:
        return self.receipts[-1][1]


def frame(seq: int, body: bytes = b"x", *, stage: str = "align", sender: PartyId = A, **more) -> Frame:
    tag = more.pop("tag", 1)
    return Frame.decode(Frame(more.pop("ssid", SSID), stage, sender, seq, tag, body, **more).encode())


def abort(code: str = "BOOM", status: int = 76, *, epoch: int = 0, ssid: bytes = SSID) -> Frame:
    body = Abort("align", code, status).encode()
    return frame(0, body, stage=ABORT_STAGE, tag=ABORT_TAG, epoch=epoch, ssid=ssid)


def corrupt(whole: Frame) -> Frame:
    return dataclasses.replace(whole, body_hash=bytes(32))


async def test_frames_come_out_in_order_and_are_receipted() -> None:
    watched = Watched()
    stage = watched.inbox.open(SSID, "align", frozenset({A}), 0)
    for seq in range(3):
        watched.inbox.accept(A, frame(seq, b"%d" % seq))
    assert [bytes((await stage.take(A)).body) for _ in range(3)] == [b"0", b"1", b"2"]
    assert watched.last() == Receipt(SSID, 0, "align", 3)
    assert stage.arrived(A) == 3
    assert watched.inbox.held_bytes(A) == 0


@given(st.lists(st.integers(0, 5), max_size=30))
@settings(deadline=None, max_examples=50)
def test_redelivery_changes_nothing(repeats: list[int]) -> None:
    """Frames 0..5 in order, each followed by any old ones again: every body comes out once."""
    watched = Watched()
    watched.inbox.open(SSID, "align", frozenset({A}), 0)
    bodies = [b"%d" % seq for seq in range(6)]
    for seq, body in enumerate(bodies):
        watched.inbox.accept(A, frame(seq, body))
        for again in repeats:
            if again <= seq:
                watched.inbox.accept(A, frame(again, bodies[again]))
                assert watched.last() == Receipt(SSID, 0, "align", 0)
    flow = watched.inbox._jobs[SSID].stages[0, "align"].flows[A]
    assert [bytes(packet.body) for packet in flow.queue] == bodies


@pytest.mark.parametrize(
    ("hostile", "code"),
    [
        ([frame(0, b"a"), frame(0, b"b")], "CONFLICT"),
        ([frame(0), frame(2)], "SEQUENCE"),
        ([frame(0), frame(2**64 - 1)], "SEQUENCE"),
    ],
)
@pytest.mark.parametrize("opened", [True, False])
async def test_faults_end_the_job_and_name_the_sender(hostile, code, opened) -> None:
    watched = Watched()
    stage = watched.inbox.open(SSID, "align", frozenset({A, B}), 0) if opened else None
    for sent in hostile:
        watched.inbox.accept(A, sent)
    assert watched.last().refused == code
    stage = stage or watched.inbox.open(SSID, "align", frozenset({A, B}), 0)
    with pytest.raises(PeerError) as fault:
        await stage.take(B)
    assert (fault.value.culprit, fault.value.step, fault.value.code) == (A, "align", code)
    assert watched.inbox.held_bytes(A) == 0


@pytest.mark.parametrize(("opened", "code"), [(True, "SEQUENCE"), (False, "INTERRUPTED")])
def test_a_flow_that_begins_in_its_middle_is_a_fault_only_where_nothing_was_lost(opened: bool, code: str) -> None:
    """Before the stage is open an earlier process may have taken the beginning: the sender waits for a new start."""
    watched = Watched()
    if opened:
        watched.inbox.open(SSID, "align", frozenset({A}), 0)
    watched.inbox.accept(A, frame(1))
    assert watched.last().refused == code
    assert watched.inbox.held_bytes(A) == 0


def test_an_abort_frees_what_its_sender_has_lying_here_in_stages_that_are_not_open() -> None:
    watched = Watched()
    for stage in range(Limits().peer_stages):
        watched.inbox.accept(A, frame(0, b"x", ssid=bytes([stage]) * 32))
        watched.inbox.accept(A, abort("PEER_LOST", 69, ssid=bytes([stage]) * 32))
    assert watched.inbox.held_bytes(A) == 0
    watched.inbox.accept(A, frame(0, b"one more", ssid=b"n" * 32))
    assert watched.inbox.held_bytes(A) > 0


async def test_other_jobs_do_not_mind() -> None:
    watched = Watched()
    other = bytes(31) + b"\x01"
    healthy = watched.inbox.open(other, "align", frozenset({A}), 0)
    watched.inbox.open(SSID, "align", frozenset({A}), 0)
    watched.inbox.accept(A, frame(5))
    watched.inbox.accept(A, frame(0, b"fine", ssid=other))
    assert bytes((await healthy.take(A)).body) == b"fine"


async def test_a_corrupt_frame_is_asked_for_twice_and_then_fatal() -> None:
    watched = Watched()
    stage = watched.inbox.open(SSID, "align", frozenset({A}), 0)
    for _ in range(2):
        with pytest.raises(MessageInvalid) as again:
            watched.inbox.accept(A, corrupt(frame(0)))
        assert again.value.code == "DATA_CORRUPT"
    watched.inbox.accept(A, corrupt(frame(0)))
    assert watched.last().refused == "DATA_CORRUPT"
    with pytest.raises(PeerError) as fault:
        await stage.take(A)
    assert fault.value.code == "DATA_CORRUPT"


async def test_a_corrupt_frame_that_comes_right_is_taken() -> None:
    watched = Watched()
    stage = watched.inbox.open(SSID, "align", frozenset({A}), 0)
    for seq in range(4):
        with pytest.raises(MessageInvalid):
            watched.inbox.accept(A, corrupt(frame(seq, b"right")))
        watched.inbox.accept(A, frame(seq, b"right"))
        assert bytes((await stage.take(A)).body) == b"right"


async def test_stages_may_come_early() -> None:
    watched = Watched()
    watched.inbox.accept(A, frame(0, b"early", stage="gbdt.0/tree.1"))
    watched.inbox.accept(C, frame(0, b"who", stage="gbdt.0/tree.1", sender=C))
    assert watched.inbox.held_bytes(A) > 0
    stage = watched.inbox.open(SSID, "gbdt.0/tree.1", frozenset({A}), 0)
    assert watched.receipts[-1] == (C, Receipt(SSID, 0, "gbdt.0/tree.1", 0, "NOT_A_PEER"))
    assert watched.inbox.held_bytes(C) == 0
    assert bytes((await stage.take(A)).body) == b"early"


async def test_a_flood_of_unknown_stages_is_bounded() -> None:
    watched = Watched()
    for k in range(SMALL.peer_stages):
        watched.inbox.accept(A, frame(0, stage=f"stage.{k}"))
    for k in range(1000):
        with pytest.raises(MessageInvalid) as flooded:
            watched.inbox.accept(A, frame(0, stage=f"more.{k}", ssid=k.to_bytes(32, "big")))
        assert flooded.value.code == "QUEUE_OVERFLOW"
    assert len(watched.inbox._jobs) == 1
    assert len(watched.inbox._jobs[SSID].stages) == SMALL.peer_stages
    watched.inbox.accept(B, frame(0, stage="more.0", sender=B))


async def test_a_flood_of_nonsense_leaves_little_behind() -> None:
    watched = Watched()
    for k in range(5000):
        watched.inbox.accept(A, frame(7, ssid=k.to_bytes(32, "big")))
    assert not watched.inbox._jobs
    assert len(watched.inbox._early) <= 4096


@pytest.mark.parametrize(("n", "size"), [(8, 10), (2, 1900)])
async def test_more_than_the_window_is_refused(n: int, size: int) -> None:
    watched = Watched()
    stage = watched.inbox.open(SSID, "align", frozenset({A}), 0)
    for seq in range(n):
        watched.inbox.accept(A, frame(seq, bytes(size)))
    with pytest.raises(MessageInvalid):
        watched.inbox.accept(A, frame(n, bytes(size)))
    with pytest.raises(PeerError) as fault:
        await stage.take(A)
    assert fault.value.code == "QUEUE_OVERFLOW"
    assert watched.inbox.held_bytes(A) == 0


async def test_an_abort_ends_all_stages_of_the_job_at_once_or_when_they_open() -> None:
    watched = Watched()
    stage = watched.inbox.open(SSID, "align", frozenset({A, B}), 0)
    watched.inbox.accept(A, abort())
    assert watched.last() == Receipt(SSID, 0, ABORT_STAGE, 1)
    for waiting in (stage, watched.inbox.open(SSID, "next", frozenset({B}), 0)):
        with pytest.raises(PeerError) as ended:
            await waiting.take(B)
        assert (ended.value.culprit, ended.value.code) == (A, "BOOM")
    early = Watched()
    early.inbox.accept(A, abort("SET_TOO_SMALL", 77))
    with pytest.raises(RefusedError) as refused:
        early.inbox.open(SSID, "align", frozenset({A}), 0).raise_failure()
    assert refused.value.code == "SET_TOO_SMALL"


async def test_only_parties_of_the_job_can_abort_it() -> None:
    watched = Watched()
    stage = watched.inbox.open(SSID, "align", frozenset({B}), 0)
    watched.inbox.accept(A, abort())
    stage.raise_failure()


async def test_an_abort_of_a_party_that_lost_another_is_a_loss() -> None:
    watched = Watched()
    watched.inbox.accept(A, abort("PEER_LOST", 69))
    with pytest.raises(PeerLost):
        watched.inbox.open(SSID, "align", frozenset({A}), 0).raise_failure()


async def test_a_frame_after_the_end_is_refused() -> None:
    watched = Watched()
    stage = watched.inbox.open(SSID, "align", frozenset({A}), 0)
    watched.inbox.accept(A, frame(0))
    await stage.take(A)
    assert stage.close() is None
    watched.inbox.accept(A, frame(0))
    assert watched.last() == Receipt(SSID, 0, "align", 1)
    watched.inbox.accept(A, frame(1))
    assert watched.last().refused == "MESSAGE_AFTER_END"


async def test_an_unread_frame_is_reported_at_the_end() -> None:
    watched = Watched()
    stage = watched.inbox.open(SSID, "align", frozenset({A, B}), 0)
    watched.inbox.accept(B, frame(0, sender=B))
    assert stage.close() == B


async def test_old_epochs_are_fenced_and_new_ones_start_afresh() -> None:
    watched = Watched()
    old = watched.inbox.open(SSID, "align", frozenset({A}), 0)
    watched.inbox.accept(A, frame(0, b"old"))
    watched.inbox.accept(A, frame(0, b"new", epoch=1))
    new = watched.inbox.open(SSID, "align", frozenset({A}), 1)
    assert bytes((await new.take(A)).body) == b"new"
    watched.inbox.accept(A, frame(1, b"late"))
    assert watched.last() == Receipt(SSID, 0, "align", 2, "STALE_EPOCH")
    with pytest.raises(FedcreditError) as stale:
        watched.inbox.open(SSID, "other", frozenset({A}), 0)
    assert stale.value.code == "STALE_EPOCH"
    with pytest.raises(FedcreditError) as ended:
        await old.take(A)
    assert ended.value.code == "STALE_EPOCH"


async def test_a_forgotten_job_holds_nothing_and_refuses() -> None:
    watched = Watched()
    watched.inbox.accept(A, frame(0))
    watched.inbox.forget(SSID)
    assert watched.inbox.held_bytes(A) == 0
    watched.inbox.accept(A, frame(1))
    assert watched.last().refused == "JOB_ENDED"
    assert not watched.inbox._jobs


async def test_a_stage_is_opened_once() -> None:
    watched = Watched()
    watched.inbox.open(SSID, "align", frozenset({A}), 0)
    with pytest.raises(FedcreditError) as again:
        watched.inbox.open(SSID, "align", frozenset({A}), 0)
    assert again.value.code == "STAGE_REUSED"
