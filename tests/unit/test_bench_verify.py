"""What `fedcredit bench verify` runs: every server answers the same questions alike, and refuses the same ones."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fedcredit.cli.bench import Options
from fedcredit.cli.benches.verification.load_main import read_pool, write_pool
from fedcredit.cli.benches.verification.processes import BenchFailed, Process, generated, started, watched
from fedcredit.cli.benches.verification.setting import BANK, LADDER, PROVIDER, RECORDED, Setting
from fedcredit.cli.benches.verify import JUDGED_MINUTES, MOST_GROWN, MOST_SHED, judge_soak, run
from fedcredit.governance.verification.proofs import check_answer
from fedcredit.node.pki import load_certificate
from fedcredit.node.signing import AUDIT_HEAD
from fedcredit.transport.identity import party_host
from fedcredit.wire._gen import verify_pb2 as pb
from fedcredit.wire.verification import Outcome, VerifyReply
from fedcredit.wire.verified import Answer

PEERS = ("aio", "threads")
KINDS = ("native", *PEERS)


class Made(NamedTuple):
    setting: Setting
    requests: list[bytes]
    refused: list[bytes]
    batches: list[bytes]


class Served(NamedTuple):
    """A server and its kind."""

    kind: str
    process: Process


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("verify")
    setting, consents = Setting.make(folder, rows=500, subjects=8, seed=3)
    good = setting.requests(consents)
    bad = [spoilt(good[0], kind) for kind in ("consent", "subject", "ladder", "purpose", "none")]
    return Made(setting, good, bad, setting.batches(consents, 40, 2))


@pytest.fixture(scope="module", params=KINDS)
def server(made: Made, request: pytest.FixtureRequest) -> Iterator[Served]:
    """A server of each kind for all that is asked of it, which takes less time than to start it; one at a time, since
    the peers have one log."""
    with started(request.param, made.setting.folder) as process:
        yield Served(request.param, process)


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


def proven(setting: Setting, kind: str, request: bytes, reply: bytes) -> Answer:
    """The answer in a reply, checked as this kind of server proves it."""
    key = signer(setting)
    if kind in PEERS:
        found = VerifyReply.decode(reply)
        key.verify(found.proof.head, found.answer)
        return Answer.decode(found.answer)
    return check_answer(PROVIDER, request, reply, lambda signature, body: key.verify(signature, framed(body)))


def framed(body: bytes) -> bytes:
    return len(AUDIT_HEAD).to_bytes(2, "big") + AUDIT_HEAD + body


def test_every_server_answers_rightly_and_refuses_alike(made: Made, server: Served) -> None:
    months, versions, kind = made.setting.months, made.setting.versions, server.kind
    with asked(made.setting, server.process.port) as ask:
        for place, request in enumerate(made.requests):
            answer = proven(made.setting, kind, request, ask(request, timeout=30))
            subject, k = divmod(place, len(LADDER))
            # But for the day, on which the test may end at midnight, these are all fields: the servers answer the same.
            assert answer.provider == PROVIDER
            assert answer.request == hashlib.sha256(request).digest()
            assert answer.outcome is (Outcome.YES if months[subject] >= LADDER[k] else Outcome.NO)
            assert answer.recorded_on == (RECORDED - date(1970, 1, 1)).days
            assert (answer.catalog_version, answer.predicates_version) == versions
        for request in made.refused:
            with pytest.raises(grpc.RpcError) as caught:
                ask(request, timeout=30)
            assert (caught.value.code(), caught.value.details()) == (
                grpc.StatusCode.PERMISSION_DENIED,
                "VERIFY_REFUSED",
            )


def test_the_generator_drives_a_server_from_a_process_of_its_own(made: Made, server: Served) -> None:
    """It checks answers to the root: those of the peers, which have no path to a head, must not pass."""
    write_pool(made.setting.folder / "pool", made.requests)
    kind, process = server
    before = process.usage()
    load = {"port": process.port, "method": "Verify", "pool": "pool", "warm_up_s": 0.0, "measured_s": 0.5}
    load |= {"rate": 40.0, "poisson": False, "connections": 2, "check_every": 1}
    found = generated(made.setting.folder, load)
    after = process.usage()
    assert found["ended"] == {"0": 19}
    assert found["latencies"]["0"]["count"] == 19
    assert (found["checked"], found["wrong"]) == (19, 19 if kind in PEERS else 0)
    assert 0 < found["latencies"]["0"]["p50"] <= found["latencies"]["0"]["p99"] <= found["latencies"]["0"]["max"]
    assert after.cpu_s >= before.cpu_s
    assert after.rss_mib > 10


@pytest.mark.parametrize("server", ["native"], indirect=True)
def test_the_generator_checks_batches_too(made: Made, server: Served) -> None:
    write_pool(made.setting.folder / "batches", made.batches)
    load = {"port": server.process.port, "method": "VerifyBatch", "pool": "batches"}
    load |= {"warm_up_s": 0.0, "measured_s": 0.5, "rate": 10.0, "poisson": False, "check_every": 1}
    found = generated(made.setting.folder, load)
    assert (found["ended"], found["checked"], found["wrong"]) == ({"0": 4}, 4, 0)


@pytest.mark.slow
def test_the_bench_yields_its_rows(tmp_path: Path) -> None:
    settings = {
        "subjects": "20",
        "seconds": "0.5",
        "connections": "2",
        "under_way": "4",
        "checks": "64",
        "soak": "0.02",
    }
    rows = list(run(Options((2000,), 1, settings | {"logs": str(tmp_path)})))
    assert [row["case"]["case"] for row in rows] == ["unary", "half", "batch", "overload", "soak"]
    for row in rows:
        assert row["rate"] > 0
        assert row["p50"] <= row["p99"]
        assert row["fdatasync_ms"] >= 0
    soak = rows[-1]
    assert 0 <= soak["shed"] <= 1
    assert len(soak["rss_mib_by_minute"]) == 1  # of a second, at its beginning alone
    assert set(rows[0]["peer"]) == set(PEERS)
    assert rows[0]["times_peer"] > 0


SOAK = {"case": {"minutes": JUDGED_MINUTES}, "shed": MOST_SHED, "rss_mib_early": 100.0, "rss_mib_grown": 5.0}


@pytest.mark.parametrize(
    ("other", "why"),
    [({"shed": 0.0101}, "1.01% of the calls"), ({"rss_mib_grown": 5.1}, "memory grew from 100.0 MiB")],
)
def test_a_soak_fails_beyond_what_the_manual_promises(other: dict[str, float], why: str) -> None:
    judge_soak(SOAK)
    with pytest.raises(BenchFailed, match=why):
        judge_soak(SOAK | other)
    judge_soak(SOAK | other | {"case": {"minutes": JUDGED_MINUTES / 2}})
    manual = (Path(__file__).resolve().parents[2] / "docs" / "verify.md").read_text(encoding="utf-8")
    assert f"at most {MOST_SHED:.0%}".replace("%", " %") in manual
    assert f"at most {MOST_GROWN:.0%}".replace("%", " %") in manual


def test_what_a_process_holds_is_looked_at_again_and_again() -> None:
    own = Process(os.getpid(), 0)
    with watched(own, every_s=0.01) as held:
        kept = bytearray(32 << 20)
        kept[::4096] = b"x" * len(kept[::4096])
        while max(held) < held[0] + 16:
            time.sleep(0.01)
    assert len(held) > 1


def test_a_pool_is_read_as_it_was_written(tmp_path: Path) -> None:
    messages = [b"", b"a", bytes(70_000)]
    write_pool(tmp_path / "pool", messages)
    assert read_pool(tmp_path / "pool") == messages
