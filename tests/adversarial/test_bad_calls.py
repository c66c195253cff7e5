"""Control calls that break a rule of gRPC, of the contract or of size: refused with a code, and never carried out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import pytest
from raw_http2 import raw_call
from transport_consortium import QUICK, knock
from transport_toys import A, B, C

from fedcredit.errors import FedcreditError, PeerLost
from fedcredit.ids import PartyId
from fedcredit.node.pki import Authority
from fedcredit.node.rpc import ControlClient, ControlService, Method
from fedcredit.transport.grpc import GrpcTransport, caller_of
from fedcredit.transport.identity import party_host
from fedcredit.wire.control import Accepted, CancelJob, StartJob, SubmitJob, service_methods

pytestmark = pytest.mark.anyio

GOOD = CancelJob("job", "CANCELLED").encode()
SECRET = "91110000600037341L"


@dataclass
class Server:
    """B's port with the real control service, whose handlers note what got through."""

    authority: Authority
    transport: GrpcTransport
    service: ControlService
    carried_out: list[Any] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(
        self, method: str, data: bytes, *, caller: PartyId = A, timeout: float | None = 20, **how: Any
    ) -> tuple[grpc.StatusCode, str]:
        """How a call with these bytes ends."""
        own = self.authority.credentials(caller)
        options = [
            ("grpc.ssl_target_name_override", party_host(B)),
            ("grpc.enable_retries", 0),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_metadata_size", 1 << 20),
            ("grpc.absolute_max_metadata_size", 1 << 20),
        ]
        secure = grpc.ssl_channel_credentials(own.authorities, own.private_key, own.certificate)
        async with grpc.aio.secure_channel(f"127.0.0.1:{self.transport.port}", secure, options=options) as channel:
            try:
                await channel.unary_unary(f"/fedcredit.v1.Party/{method}")(data, timeout=timeout, **how)
            except grpc.aio.AioRpcError as error:
                return error.code(), error.details() or ""
        return grpc.StatusCode.OK, ""


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    authority = Authority.create()
    service = ControlService("Party", caller_of)
    transport = GrpcTransport(B, authority.credentials(B), services=[service], limits=QUICK)
    made = Server(authority, transport, service)

    async def carry_out(caller: PartyId, request: Any) -> Accepted:
        made.carried_out.append(request)
        return Accepted()

    async def stumble(caller: PartyId, request: Any) -> Accepted:
        raise ValueError(f"no such row: {SECRET}")

    async def carry_out_slowly(caller: PartyId, request: Any) -> Accepted:
        made.begun.set()
        await made.go_on.wait()
        return await carry_out(caller, request)

    requests = {"Start": StartJob, "Propose": SubmitJob}
    handlers = {"Sign": stumble, "CancelOwn": carry_out_slowly}
    service.bind(
        [
            Method(name, requests.get(name, CancelJob), frozenset({A}), handle=handlers.get(name, carry_out))
            for name in service_methods("Party")
        ]
    )
    await transport.start()
    yield made
    await transport.close()


@pytest.mark.parametrize(
    ("method", "data", "how", "status", "details"),
    [
        ("Reboot", GOOD, {}, "UNIMPLEMENTED", None),
        ("cancel", GOOD, {}, "UNIMPLEMENTED", None),
        ("Cancel", GOOD, {"timeout": None}, "INVALID_ARGUMENT", "DEADLINE_REQUIRED"),
        ("Cancel", GOOD, {"caller": C}, "PERMISSION_DENIED", "PERMISSION_DENIED"),
        ("Cancel", b"\xff", {}, "INVALID_ARGUMENT", "MESSAGE_INVALID"),
        ("Cancel", b"\x1b" * 200 + b"\x1c" * 200, {}, "INVALID_ARGUMENT", "MESSAGE_INVALID"),
        ("Cancel", CancelJob.proto(job="x" * 65).SerializeToString(), {}, "INVALID_ARGUMENT", "MESSAGE_INVALID"),
        ("Start", b"", {}, "INVALID_ARGUMENT", "MESSAGE_INVALID"),
        ("Start", StartJob(b"s" * 32, b"{}").encode()[:-1], {}, "INVALID_ARGUMENT", "MESSAGE_INVALID"),
        ("Propose", SubmitJob.proto(definition=bytes(2 << 20)).SerializeToString(), {}, "INVALID_ARGUMENT", None),
        ("Cancel", bytes((8 << 20) + 1), {}, "RESOURCE_EXHAUSTED", None),
        ("Cancel", GOOD, {"metadata": (("x", "y" * 9000),)}, "RESOURCE_EXHAUSTED", None),
        ("Cancel", GOOD, {"metadata": tuple((f"x{k}", "y" * 90) for k in range(100))}, "RESOURCE_EXHAUSTED", None),
        ("Cancel", GOOD * 8, {"compression": grpc.Compression.Gzip}, "UNIMPLEMENTED", None),
        ("Sign", GOOD, {}, "INTERNAL", "INTERNAL"),
    ],
)
async def test_a_bad_call_is_refused_with_a_code(
    server: Server, method: str, data: bytes, how: dict[str, Any], status: str, details: str | None
) -> None:
    found = await server.call(method, data, **how)
    assert found[0].name == status
    if details is not None:
        assert found[1] == details
    assert SECRET not in found[1]
    assert server.carried_out == []
    # The port serves whoever keeps to the rules.
    assert await server.call("Cancel", GOOD) == (grpc.StatusCode.OK, "")
    assert len(server.carried_out) == 1


async def test_what_was_begun_for_a_caller_that_hangs_up_comes_to_its_end(server: Server) -> None:
    """A handler that stopped where it is would leave a job, say, that is kept as started and does not run."""
    calling = asyncio.create_task(server.call("CancelOwn", GOOD))
    await server.begun.wait()
    calling.cancel()  # closes the connection
    with pytest.raises(asyncio.CancelledError):
        await calling
    # Long enough for the server to have seen it: another caller's connection comes and goes.
    assert await server.call("Cancel", GOOD) == (grpc.StatusCode.OK, "")
    server.go_on.set()
    await server.service.settle(within_s=60)
    assert len(server.carried_out) == 2


async def test_what_never_ends_is_cut_short_when_the_node_does(server: Server) -> None:
    calling = asyncio.create_task(server.call("CancelOwn", GOOD))
    await server.begun.wait()
    await server.transport.close()
    status, _ = await calling
    assert status is not grpc.StatusCode.OK
    await server.service.settle(within_s=0.01)
    server.go_on.set()
    await server.service.settle(within_s=60)
    assert server.carried_out == []


@pytest.mark.parametrize(
    "header",
    [(b"x", b"\xff\xfe"), (b"x", "é".encode()), (b"x", b"a\x00b"), (b"x", b"a\nb"), (b"user-agent", b"\x80")],
    ids=repr,
)
async def test_metadata_that_is_no_plain_text_is_refused(server: Server, header: tuple[bytes, bytes]) -> None:
    own, port = server.authority.credentials(A), server.transport.port
    path = "/fedcredit.v1.Party/Cancel"
    answer = await raw_call(port, own, B, path, GOOD, [header])
    assert b"METADATA_INVALID" in answer
    assert server.carried_out == []
    assert b"grpc-status\x010" in await raw_call(port, own, B, path, GOOD)
    assert len(server.carried_out) == 1


async def test_a_stream_of_frames_keeps_to_the_same_rules(server: Server) -> None:
    server.transport.add_peer(A, "127.0.0.1:1")
    own, port = server.authority.credentials(A), server.transport.port
    answer = await raw_call(port, own, B, "/fedcredit.v1.Frames/Carry", b"", [(b"x", b"\xff")])
    assert b"METADATA_INVALID" in answer
    status, _ = await knock(port, own, B, [b"\x0b" * 200])
    assert status is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_caller_learns_the_code_of_a_bug_and_not_its_text(server: Server) -> None:
    client_side = GrpcTransport(A, server.authority.credentials(A), peers={B: f"127.0.0.1:{server.transport.port}"})
    client = ControlClient(client_side.connection(B), "Party", B)
    with pytest.raises(FedcreditError) as refused:
        await client.call("Sign", CancelJob("job", "X"), Accepted, timeout_s=20)
    assert (refused.value.code, refused.value.exit_status) == ("INTERNAL", 70)
    assert SECRET not in str(refused.value)
    await client_side.close()


async def test_a_node_that_drains_takes_no_new_work(server: Server) -> None:
    server.service.drain()
    start = StartJob(b"s" * 32, b"{}").encode()
    assert await server.call("Start", start) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert server.carried_out == []
    assert await server.call("Cancel", GOOD) == (grpc.StatusCode.OK, "")
    client_side = GrpcTransport(A, server.authority.credentials(A), peers={B: f"127.0.0.1:{server.transport.port}"})
    call = client_side.connection(B).unary_unary("/fedcredit.v1.Party/Start")(start, timeout=20)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    assert dict(refused.value.trailing_metadata() or ())["fedcredit-retry-after-s"] == "10"
    with pytest.raises(PeerLost):
        await ControlClient(client_side.connection(B), "Party", B).call(
            "Start", StartJob(b"s" * 32, b"{}"), Accepted, timeout_s=20
        )
    await client_side.close()


async def test_many_bad_calls_at_once_leave_the_port_open(server: Server) -> None:
    bad = await asyncio.gather(*(server.call("Cancel", b"\xff" * (k + 1)) for k in range(30)))
    assert {status.name for status, _ in bad} <= {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}
    assert await server.call("Cancel", GOOD) == (grpc.StatusCode.OK, "")
