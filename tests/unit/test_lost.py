"""Roles that go on without who is lost: what they are told, what the others notice, and what still ends the job."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aggregate_cases import SESSION, added, members, vectors
from faults.sim_loop import SimLoop
from transport_consortium import PATIENCE_S, consortium, through_platform
from transport_toys import SSID, A, B, C, Number, Text, hear, say

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import DataError, FedcreditError, PeerError, PeerLost, Problem, RefusedError
from fedcredit.ids import PartyId
from fedcredit.protocols.aggregate import Round, Survived, SurvivingSum
from fedcredit.protocols.effects import Lost, Recv, Send, Steps, recv, recv_or_lost, send_or_lost
from fedcredit.protocols.session import Session
from fedcredit.runtime.driver import drive
from fedcredit.runtime.meter import Meter
from fedcredit.transport.grpc import GrpcTransport, Limits
from fedcredit.transport.memory import Link, MemoryNetwork, run_network

pytestmark = pytest.mark.anyio

FIVE = members(5)


def gather(*peers: PartyId) -> Steps[list[int | None]]:
    """A number of each peer, None of who is lost; then tell all of them how many there were."""
    heard: list[int | None] = []
    for peer in peers:
        message = yield from recv_or_lost(peer, Number)
        heard.append(None if isinstance(message, Lost) else message.value)
    for peer in peers:
        yield from send_or_lost(peer, Number(sum(value is not None for value in heard)))
    return heard


def report(to: PartyId, value: int) -> Steps[int]:
    yield Send(to, Number(value))
    return (yield from recv(to, Number)).value


def fail(error: BaseException) -> Steps[None]:
    yield from hear(A, 0)
    raise error


def test_a_session_tells_its_role_and_goes_on() -> None:
    session = Session(gather(B, C), "toy")
    while session.advance():
        pass
    assert session.waiting_for == Recv(B, Number, or_lost=True)
    session.lose(B, "is silent")
    assert session.waiting_for is None
    while session.advance():
        pass
    session.deliver(B, Text(b"late, and thrown away"))
    session.deliver(C, Number(3))
    while session.advance():
        pass
    assert session.result == [None, 3]
    assert [effect.to for effect in session.outbox] == [B, C]
    assert session.has_lost(B)
    assert not session.has_lost(C)
    # After the end too: what is late is nobody's fault.
    session.deliver(B, Number(1))


def test_what_a_lost_peer_sent_before_counts_only_if_it_was_taken() -> None:
    def twice() -> Steps[list[Any]]:
        first = yield from recv_or_lost(B, Number)
        return [first, (yield from recv_or_lost(B, Number))]

    session = Session(twice(), "toy")
    while session.advance():
        pass
    session.deliver(B, Number(1))
    session.advance()
    session.deliver(B, Number(2))
    session.lose(B, "is silent")
    while session.advance():
        pass
    assert session.result == [Number(1), Lost(B, "is silent")]


def test_a_role_that_cannot_do_without_a_lost_peer_ends() -> None:
    session = Session(hear(B), "toy")
    while session.advance():
        pass
    session.lose(B, "is silent")
    with pytest.raises(PeerLost) as lost:
        session.advance()
    assert (lost.value.culprit, lost.value.step, lost.value.reason) == (B, "toy", "is silent")


def test_the_simulator_loses_who_falls_silent_and_who_cannot_go_on() -> None:
    roles = {A: gather(B, C), B: report(A, 2), C: report(A, 3)}
    outcome = run_network(roles, insecure_in_process=True, silent={B: 0})
    assert outcome.results[A] == [None, 3]
    assert outcome.results[C] == 1
    assert set(outcome.lost) == {B}
    roles = {A: gather(B, C), B: report(A, 2), C: report(A, 3)}
    outcome = run_network(roles, insecure_in_process=True, cut=[Link(C, A), Link(A, C)])
    assert outcome.results[A] == [2, None]
    assert outcome.lost[C].culprit == A
    # Without a word about losses nothing is lost, and who waits in vain is told so.
    with pytest.raises(FedcreditError) as stuck:
        run_network({A: gather(B), B: hear(A)}, insecure_in_process=True)
    assert stuck.value.code == "DEADLOCK"


def test_who_misbehaves_is_not_lost_but_named() -> None:
    with pytest.raises(PeerError) as raised:
        run_network({A: gather(B, C), B: say(A, Text(b"x")), C: report(A, 3)}, insecure_in_process=True, silent={C: 0})
    assert (raised.value.culprit, raised.value.code) == (B, "UNEXPECTED_MESSAGE")


def in_made_up_time(roles: dict[PartyId, Steps[Any]], *, deadline_s: float) -> tuple[dict[PartyId, Any], float]:
    """What came of roles over links in memory, and how long that took by a clock that jumps."""

    async def run() -> tuple[dict[PartyId, Any], float]:
        network = MemoryNetwork(roles, insecure_in_process=True)
        channels = {me: network.transport(me).open(SSID, "toy", survives=True) for me in roles}
        started = asyncio.get_running_loop().time()
        runs = [drive(steps, channels[me], deadline_s=deadline_s, meter=Meter()) for me, steps in roles.items()]
        ends = await asyncio.gather(*runs, return_exceptions=True)
        return dict(zip(roles, ends, strict=True)), asyncio.get_running_loop().time() - started

    loop = SimLoop()
    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


def hang(steps: Steps[Any], after: int) -> Steps[Any]:
    """A role that does nothing more after so many effects, and does not end either."""
    value = None
    for _ in range(after):
        try:
            value = yield steps.send(value)
        except StopIteration as stop:
            return stop.value
    yield Recv(PartyId("nobody"), Number)


@pytest.mark.parametrize("after", [0, 3, 4, 8, 9, 10, 11, 12])
def test_a_member_that_hangs_is_waited_for_and_then_left_out(after: int) -> None:
    """By deadlines: nobody takes one that waits for the one that hangs for one that hangs itself."""
    values = vectors(5, 3)

    def role(me: PartyId) -> Steps[Survived]:
        return SurvivingSum(Round(me, FIVE, SESSION, "x", 4, 3), values[me]).steps(insecure_seeded(1, me))

    roles: dict[PartyId, Steps[Any]] = {me: role(me) for me in FIVE}
    roles[FIVE[2]] = hang(role(FIVE[2]), after)
    roles[PartyId("nobody")] = hear(FIVE[2])
    ends, took_s = in_made_up_time(roles, deadline_s=10)
    for me in FIVE:
        if me != FIVE[2]:
            assert isinstance(ends[me], Survived), (me, ends[me])
            assert np_equal(ends[me], values)
    assert took_s < 100


def np_equal(end: Survived, values: dict) -> bool:
    return end.words.tolist() == added(values, end.members).tolist()


def test_messages_to_a_lost_peer_neither_wait_nor_raise() -> None:
    def lead() -> Steps[int]:
        lost = yield from recv_or_lost(B, Number)
        assert isinstance(lost, Lost)
        for _ in range(2000):
            yield from send_or_lost(B, Number(1))
        return (yield from recv(C, Number)).value

    ends, took_s = in_made_up_time({A: lead(), B: hear(C), C: say(A, Number(7))}, deadline_s=10)
    assert ends[A] == 7
    assert took_s < 25


def test_a_peer_that_takes_nothing_is_found_lost_while_it_is_sent_to() -> None:
    def lead() -> Steps[str]:
        for _ in range(2000):
            yield from send_or_lost(B, Number(1))
        lost = yield from recv_or_lost(B, Number)
        return lost.reason if isinstance(lost, Lost) else ""

    ends, _ = in_made_up_time({A: lead(), B: hear(C), C: hear(B)}, deadline_s=10)
    assert ends[A] == "took nothing for 10 s"


@pytest.fixture(params=["memory", "grpc", "relayed"])
async def linked(request: pytest.FixtureRequest):
    """Transports of three parties that know each other."""
    if request.param == "memory":
        network = MemoryNetwork([A, B, C], insecure_in_process=True)
        yield {me: network.transport(me) for me in (A, B, C)}
    else:
        async with (consortium if request.param == "grpc" else through_platform)(A, B, C) as transports:
            yield transports


async def play(linked: dict, roles: dict[PartyId, Steps[Any]], stage: str = "toy", *, survives: bool = True) -> dict:
    runs = [
        drive(steps, linked[me].open(SSID, stage, survives=survives), deadline_s=PATIENCE_S, meter=Meter())
        for me, steps in roles.items()
    ]
    return dict(zip(roles, await asyncio.gather(*runs, return_exceptions=True), strict=True))


OWN_REASONS: list[Callable[[], BaseException]] = [
    lambda: ValueError("a bug"),
    lambda: DataError(Problem("SUM_RANGE", "x", "too large")),
    lambda: PeerLost(C, "toy", "made up"),
]


@pytest.mark.parametrize("error", OWN_REASONS, ids=["bug", "data", "lost another"])
async def test_a_peer_that_gives_up_for_a_reason_of_its_own_is_lost_and_the_others_go_on(linked, error) -> None:
    ends = await play(linked, {A: gather(B, C), B: fail(error()), C: report(A, 3)})
    assert ends[A] == [None, 3]
    assert ends[C] == 1
    # It stays lost in the job: to a stage that goes on without it, and for good to one that does not.
    ends = await play(linked, {A: gather(B, C), C: report(A, 4)}, "next")
    assert (ends[A], ends[C]) == ([None, 4], 1)
    ends = await play(linked, {A: hear(C), C: say(A, Number(1))}, "whole", survives=False)
    assert isinstance(ends[A], FedcreditError)
    assert B in str(ends[A])


async def test_one_that_gave_up_before_the_others_began_is_lost_from_the_beginning(linked) -> None:
    first = await play(linked, {B: fail(ValueError("a bug"))})
    assert isinstance(first[B], ValueError)
    ends = await play(linked, {A: gather(B, C), C: report(A, 3)})
    assert (ends[A], ends[C]) == ([None, 3], 1)


@pytest.mark.parametrize(
    "error", [PeerError(A, "toy", "made up", "MADE_UP"), RefusedError(Problem("MADE_UP", "policy", "no"))]
)
async def test_a_peer_that_blames_or_refuses_ends_the_job_of_all(linked, error) -> None:
    ends = await play(linked, {A: gather(B, C), B: fail(error), C: report(A, 3)})
    for me in (A, C):
        assert isinstance(ends[me], PeerError | RefusedError)
        assert ends[me].code == "MADE_UP"


async def test_without_being_asked_a_stage_survives_nothing(linked) -> None:
    ends = await play(linked, {A: gather(B, C), B: fail(ValueError("a bug")), C: report(A, 3)}, survives=False)
    assert isinstance(ends[A], PeerError)
    assert isinstance(ends[C], PeerError)


async def test_a_peer_that_leaves_is_lost_to_who_waits_for_it() -> None:
    async with consortium(A, B, C) as transports:
        lead = asyncio.create_task(
            drive(gather(B, C), transports[A].open(SSID, "toy", survives=True), deadline_s=PATIENCE_S, meter=Meter())
        )
        other = transports[C].open(SSID, "toy", survives=True)
        # Over a stream that is not there yet, nobody could say that he leaves.
        hello = transports[A].open(SSID, "hello")
        await hello.send(B, Number.tag, Number(1).encode())
        await transports[B].open(SSID, "hello").receive(A)
        await transports[B].close()
        assert await drive(report(A, 3), other, deadline_s=PATIENCE_S, meter=Meter()) == 1
        assert await lead == [None, 3]


@pytest.mark.slow
async def test_a_party_that_is_killed_is_lost_to_a_sum_over_real_links() -> None:
    """It says nothing any more and hears nothing: the others find its port closed, and no word of why."""
    limits = Limits(lost_after_s=4.0, drain_s=0.5)
    values = vectors(5, 500_000)
    async with consortium(*FIVE, limits=limits) as transports:
        channels = {me: transports[me].open(SSID, "toy", peers=set(FIVE) - {me}, survives=True) for me in FIVE}

        def role(me: PartyId) -> Steps[Survived]:
            return SurvivingSum(Round(me, FIVE, SESSION, "x", 4, 500_000), values[me]).steps(insecure_seeded(1, me))

        runs = {
            me: asyncio.create_task(drive(role(me), channels[me], deadline_s=PATIENCE_S, meter=Meter()))
            for me in FIVE
            if me != FIVE[3]
        }
        # It takes part up to the middle of its words.
        doomed = asyncio.create_task(
            drive(hang(role(FIVE[3]), 12), channels[FIVE[3]], deadline_s=PATIENCE_S, meter=Meter())
        )
        while transports[FIVE[0]]._frames.inbox.held_bytes(FIVE[3]) == 0 and not runs[FIVE[0]].done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await kill(transports[FIVE[3]])
        ends = dict(zip(runs, await asyncio.gather(*runs.values(), return_exceptions=True), strict=True))
        doomed.cancel()
        await asyncio.gather(doomed, return_exceptions=True)
    for me, end in ends.items():
        assert isinstance(end, Survived), (me, end)
        assert end.members == tuple(one for one in FIVE if one != FIVE[3])
        assert np_equal(end, values)


async def kill(transport: GrpcTransport) -> None:
    """Close its sockets as the system does for a process that is gone."""
    for link in transport._links.values():
        await link.close()
    await transport._server.stop(None)
