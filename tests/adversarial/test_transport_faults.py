"""Peers and strangers who break the rules of a link, and certificates that must not be believed."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID as Use
from transport_consortium import PATIENCE_S, QUICK, consortium, knock
from transport_toys import SSID, A, B, C, Number, hear

from fedcredit.errors import PeerError, PeerLost
from fedcredit.ids import PartyId
from fedcredit.node.pki import Authority
from fedcredit.runtime.driver import drive
from fedcredit.runtime.meter import Meter
from fedcredit.transport.gate import caller_of
from fedcredit.transport.grpc import Credentials, GrpcTransport, Limits
from fedcredit.transport.identity import IdentityInvalid, party_host, party_of_certificate, party_uri
from fedcredit.transport.options import CARRY, server_options
from fedcredit.wire._gen import frame_pb2 as pb
from fedcredit.wire.frame import MAX_FRAME_BYTES, Frame

pytestmark = pytest.mark.anyio

Status = grpc.StatusCode


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


def frame(seq: int = 0, body: bytes = b"\x08\x07", *, sender: PartyId = A, stage: str = "toy", tag=Number.tag) -> bytes:
    return Frame(SSID, stage, sender, seq, tag, body).encode()


def corrupt(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def header(**changed) -> bytes:
    whole = pb.Frame.FromString(frame())
    for name, value in changed.items():
        setattr(whole.header, name, value)
    return whole.SerializeToString()


@pytest.mark.parametrize(
    ("frames", "status", "code"),
    [
        ([frame(sender=C)], Status.PERMISSION_DENIED, "PERMISSION_DENIED"),
        ([frame(sender=B)], Status.PERMISSION_DENIED, "PERMISSION_DENIED"),
        ([frame()[:-1]], Status.INVALID_ARGUMENT, "MESSAGE_INVALID"),
        ([b"\x00" * 40], Status.INVALID_ARGUMENT, "MESSAGE_INVALID"),
        ([frame() + b"x"], Status.INVALID_ARGUMENT, "MESSAGE_INVALID"),
        ([header(ssid=b"short")], Status.INVALID_ARGUMENT, "MESSAGE_INVALID"),
        ([header(stage="../../etc")], Status.INVALID_ARGUMENT, "MESSAGE_INVALID"),
        ([header(tag=0)], Status.INVALID_ARGUMENT, "MESSAGE_INVALID"),
        ([corrupt(frame())], Status.DATA_LOSS, "DATA_CORRUPT"),
        ([frame(stage=f"s{k}") for k in range(20)], Status.RESOURCE_EXHAUSTED, "QUEUE_OVERFLOW"),
        ([frame(k) for k in range(300)], Status.RESOURCE_EXHAUSTED, "QUEUE_OVERFLOW"),
    ],
)
async def test_a_stream_out_of_order_is_ended_with_a_code(authority, frames, status, code) -> None:
    async with consortium(B, authority=authority) as transports:
        transports[B].add_peer(A, "127.0.0.1:1")
        assert await knock(transports[B].port, authority.credentials(A), B, frames) == (status, code)


async def test_a_message_above_the_limit_is_refused_before_it_is_read(authority) -> None:
    async with consortium(B, authority=authority) as transports:
        transports[B].add_peer(A, "127.0.0.1:1")
        status, _ = await knock(
            transports[B].port, authority.credentials(A), B, [bytes(MAX_FRAME_BYTES + 1)], max_send_message_length=-1
        )
        # The write may fail before the status is there.
        assert status in (Status.RESOURCE_EXHAUSTED, Status.INTERNAL)
        assert not transports[B]._frames.inbox._jobs


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([frame(0), frame(0, b"\x08\x09")], "CONFLICT"),
        ([frame(0), frame(2)], "SEQUENCE"),
        ([frame(0, tag=0x7FFF)], "MESSAGE_INVALID"),
        ([frame(0, b"\x08")], "MESSAGE_INVALID"),
        ([frame(0, b"\x08" + b"\xff" * 9 + b"\x01")], "MESSAGE_INVALID"),
    ],
)
async def test_a_fault_within_a_job_ends_it_and_names_the_sender(authority, frames, code) -> None:
    async with consortium(B, authority=authority) as transports:
        transports[B].add_peer(A, "127.0.0.1:1")
        role = drive(hear(A, 1000), transports[B].open(SSID, "toy", peers=[A]), deadline_s=PATIENCE_S, meter=Meter())
        sending = asyncio.create_task(knock(transports[B].port, authority.credentials(A), B, frames))
        with pytest.raises(PeerError) as fault:
            await role
        assert (fault.value.culprit, fault.value.step, fault.value.code) == (A, "toy", code)
        await sending


async def test_a_flood_ends_a_role_that_waits_for_somebody_else(authority) -> None:
    async with consortium(B, authority=authority) as transports:
        for peer in (A, C):
            transports[B].add_peer(peer, "127.0.0.1:1")
        role = drive(hear(C), transports[B].open(SSID, "toy"), deadline_s=PATIENCE_S, meter=Meter())
        flood = [frame(k) for k in range(300)]
        sending = asyncio.create_task(knock(transports[B].port, authority.credentials(A), B, flood))
        with pytest.raises(PeerError) as fault:
            await role
        assert (fault.value.culprit, fault.value.code) == (A, "QUEUE_OVERFLOW")
        assert (await sending)[0] is Status.RESOURCE_EXHAUSTED


async def test_a_frame_that_is_delivered_again_counts_once(authority) -> None:
    async with consortium(B, authority=authority) as transports:
        transports[B].add_peer(A, "127.0.0.1:1")
        role = asyncio.create_task(
            drive(hear(A, 2), transports[B].open(SSID, "toy", peers=[A]), deadline_s=PATIENCE_S, meter=Meter())
        )
        one, two = frame(0, b"\x08\x01"), frame(1, b"\x08\x02")
        ends = [await knock(transports[B].port, authority.credentials(A), B, sent) for sent in ([one, one], [one, two])]
        assert await role == [1, 2]
        assert ends == [(Status.OK, "")] * 2


async def test_only_known_parties_may_send(authority) -> None:
    async with consortium(B, authority=authority) as transports:
        end = await knock(transports[B].port, authority.credentials(C), B, [frame(sender=C)])
        assert end == (Status.PERMISSION_DENIED, "NOT_A_PEER")
        status, _ = await knock(transports[B].port, authority.credentials(A), B, [], "/fedcredit.v1.Frames/Steal")
        assert status is Status.UNIMPLEMENTED


async def test_one_peer_cannot_have_every_call(authority) -> None:
    limits = Limits(calls_per_peer=3, drain_s=0.2)

    async def wait(_, context) -> bytes:
        await asyncio.sleep(30)
        return b""

    service = grpc.method_handlers_generic_handler("toy", {"Wait": grpc.unary_unary_rpc_method_handler(wait)})
    server = GrpcTransport(B, authority.credentials(B), services=[service], limits=limits)
    client = GrpcTransport(A, authority.credentials(A), limits=Limits(drain_s=0.2))
    await server.start()
    greedy = []
    try:
        client.add_peer(B, f"127.0.0.1:{server.port}")
        second = GrpcTransport(A, authority.credentials(A))
        second.add_peer(B, f"127.0.0.1:{server.port}")
        for transport in (client, second):
            call = transport.connection(B).unary_unary("/toy/Wait", None, None)
            greedy += [asyncio.create_task(_code(call(b"", timeout=20))) for _ in range(2)]
        done, _ = await asyncio.wait(greedy, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE_S)
        assert [task.result() for task in done] == [Status.RESOURCE_EXHAUSTED]
    finally:
        for task in greedy:
            task.cancel()
        await asyncio.gather(*greedy, return_exceptions=True)
        await asyncio.gather(server.close(), client.close(), second.close())


async def _code(call) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return Status.OK


async def test_services_learn_the_caller_from_the_certificate(authority) -> None:
    async def who(_, context) -> bytes:
        return caller_of(context).encode()

    service = grpc.method_handlers_generic_handler("toy", {"Who": grpc.unary_unary_rpc_method_handler(who)})
    server = GrpcTransport(B, authority.credentials(B), services=[service])
    client = GrpcTransport(A, authority.credentials(A))
    await server.start()
    client.add_peer(B, f"127.0.0.1:{server.port}")
    assert await client.connection(B).unary_unary("/toy/Who", None, None)(b"", timeout=PATIENCE_S) == b"bank"
    await asyncio.gather(server.close(), client.close())


# -- certificates --------------------------------------------------------------------------------------------------


def issue(authority: Authority, names, uses=(Use.CLIENT_AUTH, Use.SERVER_AUTH), **changed) -> Credentials:
    """A certificate as an authority that does not know our rules might issue it."""
    now = changed.get("now", datetime.now(UTC))
    key = changed.get("key") or ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, A)]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + changed.get("life", timedelta(days=1)))
        .add_extension(x509.BasicConstraints(changed.get("ca", False), None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if uses:
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    pem = builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Credentials(private, pem, authority.pem)


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


HOST_A = x509.DNSName(party_host(A))
GOOD = [uri(party_uri(A)), HOST_A]
STRANGE = {
    "no alternative names": ([], {}),
    "common name only": ([HOST_A], {}),
    "two parties": ([uri(party_uri(A)), uri(party_uri(C)), HOST_A], {}),
    "another scheme": ([uri("spiffe://party/bank"), HOST_A], {}),
    "no party's name": ([uri("fedcredit://party/Bank"), HOST_A], {}),
    "a path below a party": ([uri("fedcredit://party/bank/x"), HOST_A], {}),
    "another party's host": ([uri(party_uri(A)), x509.DNSName(party_host(C))], {}),
    "a second party's host": ([*GOOD, x509.DNSName(party_host(C))], {}),
    "a wildcard": ([*GOOD, x509.DNSName("*.example")], {}),
    "no use": (GOOD, {"uses": ()}),
    "client only": (GOOD, {"uses": (Use.CLIENT_AUTH,)}),
    "server only": (GOOD, {"uses": (Use.SERVER_AUTH,)}),
    "an authority": (GOOD, {"ca": True}),
}


def test_a_good_certificate_names_its_party(authority) -> None:
    assert party_of_certificate(issue(authority, GOOD).certificate) == A
    assert party_of_certificate(authority.credentials(A).certificate) == A


@pytest.mark.parametrize("case", STRANGE)
async def test_a_strange_certificate_names_nobody(authority, case) -> None:
    names, changed = STRANGE[case]
    own = issue(authority, names, **changed)
    with pytest.raises(IdentityInvalid):
        party_of_certificate(own.certificate)
    async with consortium(B, authority=authority) as transports:
        transports[B].add_peer(A, "127.0.0.1:1")
        status, _ = await knock(transports[B].port, own, B, [frame()])
        assert status in (Status.UNAUTHENTICATED, Status.UNAVAILABLE)
        assert not transports[B]._frames.inbox._jobs


@pytest.mark.parametrize(
    "make",
    [
        lambda ours: Authority.create().credentials(A),
        lambda ours: dataclasses.replace(Authority.create().credentials(A), authorities=ours.pem),
        lambda ours: dataclasses.replace(ours.credentials(A), private_key=b"", certificate=b""),
        lambda ours: issue(ours, GOOD, life=timedelta(days=-1)),
        lambda ours: issue(ours, GOOD, now=datetime.now(UTC) + timedelta(days=5)),
        lambda ours: None,
    ],
    ids=["their authority", "unknown authority", "no certificate", "expired", "not yet valid", "plaintext"],
)
async def test_the_handshake_refuses(authority, make) -> None:
    async with consortium(B, authority=authority) as transports:
        transports[B].add_peer(A, "127.0.0.1:1")
        status, _ = await knock(transports[B].port, make(authority), B, [frame()])
        assert status in (Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED)
        assert not transports[B]._frames.inbox._jobs


async def test_whoever_answers_must_be_the_party_that_was_called(authority) -> None:
    """C listens where A expects B, with a certificate of the same authority and for the same host."""
    async with consortium(C, authority=authority) as transports:
        limits = dataclasses.replace(QUICK, lost_after_s=0.5)
        caller = GrpcTransport(A, authority.credentials(A), peers={B: f"127.0.0.1:{transports[C].port}"}, limits=limits)
        transports[C].add_peer(A, "127.0.0.1:1")
        await caller.start()
        channel = caller.open(SSID, "toy")
        await channel.send(B, 1, b"for B's eyes")
        with pytest.raises(PeerLost) as lost:
            await channel.receive(B)
        assert lost.value.culprit == B
        assert not transports[C]._frames.inbox._jobs
        await caller.close()


def test_links_are_closed_by_default() -> None:
    options = dict(server_options(QUICK))
    assert options["grpc.so_reuseport"] == 0
    assert options["grpc.max_receive_message_length"] == MAX_FRAME_BYTES
    assert options["grpc.compression_enabled_algorithms_bitset"] == 1
    assert options["grpc.max_metadata_size"] == 8192
    assert CARRY.startswith("/fedcredit.v1.")
