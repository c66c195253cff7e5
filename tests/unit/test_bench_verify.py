"""What `fedcredit bench verify` runs: every server answers the same questions alike, and refuses the same ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fedcredit.cli.benches.verification.load_main import read_pool, write_pool
from fedcredit.cli.benches.verification.processes import generated, started
from fedcredit.cli.benches.verification.setting import BANK, LADDER, PROVIDER, Setting
from fedcredit.node.pki import load_certificate
from fedcredit.transport.identity import party_host
from fedcredit.wire._gen import verify_pb2 as pb
from fedcredit.wire.verification import Outcome, VerifyReply
from fedcredit.wire.verified import Answer

PEERS = ("aio", "threads")


class Made(NamedTuple):
    setting: Setting
    requests: list[bytes]
    refused: list[bytes]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("verify")
    setting, consents = Setting.make(folder, rows=500, subjects=8, seed=3)
    good = setting.requests(consents)
    return Made(setting, good, [spoilt(good[0], kind) for kind in ("consent", "subject", "ladder", "purpose", "none")])


def spoilt(message: bytes, kind: str) -> bytes:
    request = pb.VerifyRequest.FromString(message)
    match kind:
        case "consent":
            request.consent = request.consent[:-4] + ("AAAA" if request.consent[-4:] != "AAAA" else "BBBB")
        case "subject":
            request.question.subject = "91320100MA1MK00057"
        case "ladder":
            request.question.arguments[0].number = 5.0
        case "purpose":
            request.purpose = "research"
        case _:
            request.consent = ""
    return request.SerializeToString(deterministic=True)


@contextmanager
def asked(setting: Setting, port: int) -> Iterator[grpc.UnaryUnaryMultiCallable[bytes, bytes]]:
    keys = setting.folder / BANK
    credentials = grpc.ssl_channel_credentials(
        (setting.folder / PROVIDER / "authority.pem").read_bytes(),
        (keys / "tls.key").read_bytes(),
        (keys / "tls.crt").read_bytes(),
    )
    options = (("grpc.ssl_target_name_override", party_host(PROVIDER)),)
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        yield channel.unary_unary("/fedcredit.v1.VerificationService/Verify")


def signer(setting: Setting) -> Ed25519PublicKey:
    key = load_certificate(setting.folder / PROVIDER / "signing.crt").public_key()
    assert isinstance(key, Ed25519PublicKey)
    return key


@pytest.mark.parametrize("kind", PEERS)
def test_peers_answer_rightly_and_refuse_alike(made: Made, kind: str) -> None:
    months = made.setting.months
    with started(kind, made.setting.folder) as server, asked(made.setting, server.port) as ask:
        for place, request in enumerate(made.requests):
            reply = VerifyReply.decode(ask(request, timeout=30))
            signer(made.setting).verify(reply.proof.head, reply.answer)
            answer = Answer.decode(reply.answer)
            subject, k = divmod(place, len(LADDER))
            assert answer.outcome is (Outcome.YES if months[subject] >= LADDER[k] else Outcome.NO)
            assert answer.request == hashlib.sha256(request).digest()
        for request in made.refused:
            with pytest.raises(grpc.RpcError) as caught:
                ask(request, timeout=30)
            assert (caught.value.code(), caught.value.details()) == (
                grpc.StatusCode.PERMISSION_DENIED,
                "VERIFY_REFUSED",
            )


@pytest.mark.parametrize("kind", PEERS)
def test_the_generator_drives_a_peer_from_a_process_of_its_own(made: Made, kind: str) -> None:
    write_pool(made.setting.folder / "pool", made.requests)
    with started(kind, made.setting.folder) as server:
        before = server.usage()
        load = {"port": server.port, "method": "Verify", "pool": "pool", "warm_up_s": 0.0, "measured_s": 0.5}
        found = generated(made.setting.folder, load | {"rate": 40.0, "poisson": False, "connections": 2})
        after = server.usage()
    assert found["ended"] == {"0": 19}
    assert found["latencies"]["0"]["count"] == 19
    assert 0 < found["latencies"]["0"]["p50"] <= found["latencies"]["0"]["p99"] <= found["latencies"]["0"]["max"]
    assert after.cpu_s >= before.cpu_s
    assert after.rss_mib > 10


def test_a_pool_is_read_as_it_was_written(tmp_path: Path) -> None:
    messages = [b"", b"a", bytes(70_000)]
    write_pool(tmp_path / "pool", messages)
    assert read_pool(tmp_path / "pool") == messages
