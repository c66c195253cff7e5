"""The server of verification over real TLS: what it answers is proven, what it refuses looks the same from outside, and
hostile callers get a code and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2
from verify_server import BANK, OWING, PATIENCE_S, PAYING, QUESTION, RIVAL, SERVICE, STRANGER, WATER, Town, asked, town

from fedcredit.errors import ConfigError
from fedcredit.governance.audit import Event
from fedcredit.governance.verification.proofs import check_answer, check_batch
from fedcredit.ids import PartyId
from fedcredit.kernels.serving import Keys, Server, trust_text
from fedcredit.node.pki import Authority
from fedcredit.transport.identity import Credentials
from fedcredit.wire.verification import MAX_BATCH_BYTES, MAX_REQUEST_BYTES, Kind, Outcome
from fedcredit.wire.verified import Check, VerifyBatchRequest

REFUSED = ("PERMISSION_DENIED", "VERIFY_REFUSED")
HEALTH = "/grpc.health.v1.Health/Check"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return town(tmp_path_factory.mktemp("town"))


@pytest.fixture(scope="module")
def server(made: Town) -> Iterator[Server]:
    with made.served() as found:
        yield found


def test_answers_are_proven_and_equally_long(made: Town, server: Server) -> None:
    with made.bank(server.port) as bank:
        found = [bank.ask(subject)[0] for subject in (OWING, PAYING, STRANGER)]
    assert [answer.outcome for answer in found] == [Outcome.YES, Outcome.NO, Outcome.UNKNOWN]
    assert [answer.recorded_on > 0 for answer in found] == [True, True, False]
    entries, signed = made.entries()
    assert signed.head.size == len(entries)
    of_answers = [entry for entry in entries if entry.event is Event.VERIFIED][-3:]
    # What goes out with an answer says no more than the answer, nor by its length.
    assert len({len(json.dumps(dict(entry.facts))) for entry in of_answers}) == 1
    assert all("reason" not in entry.facts for entry in of_answers)
    log = (made.log / "entries.jsonl").read_text()
    assert [code for code in (OWING, PAYING, STRANGER) if code in log] == []


def test_refusals_are_one_outside_and_reasoned_in_the_log(made: Town, server: Server) -> None:
    good = made.consent()
    with made.bank(server.port) as bank:
        before = len(made.entries()[0])
        seen = {
            bank.fails("Verify", asked(OWING, "")),
            bank.fails("Verify", asked(STRANGER, "")),
            bank.fails("Verify", asked(OWING, good, purpose="research")),
            bank.fails("Verify", asked(PAYING, good)),
            bank.fails("Verify", asked(OWING, made.consent(party=RIVAL))),
        }
    assert seen == {REFUSED}
    entries = made.entries()[0][before:]
    assert [entry.event for entry in entries] == [Event.VERIFY_REFUSED] * 5
    assert len({str(entry.facts["reason"]) for entry in entries}) >= 4


def test_a_batch_is_answered_under_one_proof(made: Town, server: Server) -> None:
    consents = tuple(made.consent(subject) for subject in (OWING, PAYING))
    checks = (Check(OWING, 0, 0), Check(PAYING, 0, 1), Check(PAYING, 0, 0))
    request = VerifyBatchRequest(consents, "financing", os.urandom(16), checks, (Kind(QUESTION),)).encode()
    with made.bank(server.port) as bank:
        answers = check_batch(WATER, request, bank.call("VerifyBatch", request), made.verify)
    assert answers.outcomes.tolist() == [Outcome.YES, Outcome.NO, Outcome.REFUSED]
    assert (answers.recorded_on > 0).tolist() == [True, True, False]
    entry = next(entry for entry in reversed(made.entries()[0]) if entry.event is Event.VERIFY_BATCH)
    at, size = int(entry.facts["checks_at"]), int(entry.facts["checks_bytes"])
    records = (made.log / "checks.bin").read_bytes()[at : at + size]
    assert size == 72 * len(checks)
    assert hashlib.sha256(records).hexdigest() == entry.facts["checks_hash"]
    assert np.frombuffer(records, np.uint8).reshape(-1, 72)[:, 64].tolist() == [1, 2, 4]


def test_a_stream_is_answered_in_order_until_it_is_refused(made: Town, server: Server) -> None:
    consent = made.consent()
    good = [asked(OWING, consent) for _ in range(200)]
    with made.bank(server.port) as bank:
        stream = bank.channel.stream_stream(f"{SERVICE}/VerifyStream")
        replies = list(stream(iter(good), timeout=PATIENCE_S))
        assert len(replies) == len(good)
        for request, reply in zip(good, replies, strict=True):
            check_answer(WATER, request, reply, made.verify)
        refused = stream(iter([*good[:2], asked(OWING, ""), *good[2:]]), timeout=PATIENCE_S)
        assert len([next(refused), next(refused)]) == 2
        with pytest.raises(grpc.RpcError) as ended:
            next(refused)
        assert (ended.value.code().name, ended.value.details()) == REFUSED


def test_health_is_told_to_parties(made: Town, server: Server) -> None:
    with made.bank(server.port) as bank:
        for name in ("", SERVICE.removeprefix("/")):
            asks = health_pb2.HealthCheckRequest(service=name).SerializeToString()
            assert health_pb2.HealthCheckResponse.FromString(bank.call(HEALTH, asks)).status == 1
        other = health_pb2.HealthCheckRequest(service="x").SerializeToString()
        assert bank.fails(HEALTH, other)[0] == "NOT_FOUND"


def _forged(made: Town) -> Iterator[Credentials]:
    yield made.authorities[RIVAL].credentials(BANK)  # another party's authority
    yield Authority.create().credentials(BANK)  # nobody's authority
    yield made.authorities[BANK].credentials(PartyId("tax"))  # a name that is not pinned
    yield Credentials(b"", b"", made.authorities[WATER].pem)  # none at all


@pytest.mark.parametrize("kind", range(4), ids=["rival's authority", "nobody's", "unknown party", "none"])
def test_who_is_not_believed_gets_no_connection(made: Town, server: Server, kind: int) -> None:
    with made.bank(server.port, list(_forged(made))[kind]) as bank:
        assert bank.fails("Verify", asked(OWING, made.consent()))[0] == "UNAVAILABLE"
    with made.bank(server.port) as bank:
        assert bank.ask()[0].outcome is Outcome.YES


def test_the_rival_is_itself_and_nobody_else(made: Town, server: Server) -> None:
    with made.bank(server.port, made.authorities[RIVAL].credentials(RIVAL)) as bank:
        assert bank.fails("Verify", asked(OWING, made.consent())) == REFUSED
        assert bank.ask(OWING, made.consent(party=RIVAL))[0].outcome is Outcome.YES
    requesters = [entry.facts.get("requester") for entry in made.entries()[0]]
    assert requesters[-2:] == ["rival", "rival"]


def test_a_bad_call_gets_a_code(made: Town, server: Server) -> None:
    good = asked(OWING, made.consent())
    with made.bank(server.port) as bank:
        assert bank.fails("Verify", good, timeout=None) == ("INVALID_ARGUMENT", "DEADLINE_REQUIRED")
        assert bank.fails("Verify", b"\xff") == ("INVALID_ARGUMENT", "MESSAGE_INVALID")
        assert bank.fails("Verify", good + b"\x2a\x01x") == ("INVALID_ARGUMENT", "MESSAGE_INVALID")
        assert bank.fails("Verify", bytes(MAX_REQUEST_BYTES + 1)) == ("RESOURCE_EXHAUSTED", "TOO_LARGE")
        assert bank.fails("VerifyBatch", bytes(MAX_BATCH_BYTES + 1)) == ("RESOURCE_EXHAUSTED", "TOO_LARGE")
        assert bank.fails("VerifyBatch", good) == ("INVALID_ARGUMENT", "MESSAGE_INVALID")
        assert bank.fails("Verify", good, compression=grpc.Compression.Gzip) == ("UNIMPLEMENTED", "UNIMPLEMENTED")
        assert bank.fails("/fedcredit.v1.VerificationService/Steal", good) == ("UNIMPLEMENTED", "UNIMPLEMENTED")
        before = server.stats()["entries"]
        assert bank.ask()[0].outcome is Outcome.YES
        # None of them was a question.
        assert server.stats()["entries"] == before + 1


def test_bytes_that_are_no_tls_end_their_connection_alone(made: Town, server: Server) -> None:
    failed = server.stats()["failed_handshakes"]
    for garbage in (
        b"GET / HTTP/1.1\r\n\r\n",
        os.urandom(4096),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\xff\xff",
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as raw:
            raw.sendall(garbage)
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(4096):
                pass
    with made.bank(server.port) as bank:
        assert bank.ask()[0].outcome is Outcome.YES
    assert server.stats()["failed_handshakes"] >= failed + 4


def test_trust_is_reloaded_while_calls_go_on(made: Town, tmp_path: Path) -> None:
    with made.served(folder=tmp_path) as server, made.bank(server.port) as bank:
        rival = made.authorities[RIVAL].credentials(RIVAL)
        assert bank.call("Verify", asked(OWING, made.consent()))
        with made.bank(server.port, rival) as other:
            assert other.call("Verify", asked(OWING, made.consent(party=RIVAL)))
            renewed = made.authorities[WATER].credentials(WATER)
            keys = Keys(renewed.certificate, renewed.private_key, made.keys.signing_key, made.keys.log_key)
            server.reload_trust(made.trust(BANK), keys)
            # The connection that is open is of somebody who is not believed any more.
            assert other.fails("Verify", asked(OWING, made.consent(party=RIVAL)))[0] in (
                "UNAUTHENTICATED",
                "UNAVAILABLE",
            )
        assert bank.call("Verify", asked(OWING, made.consent()))
        with pytest.raises(ConfigError) as refused:
            server.reload_trust(made.trust(BANK), Keys(renewed.certificate, rival.private_key, bytes(32), bytes(32)))
        assert refused.value.problems[0].code == "TLS_IDENTITY"
        assert bank.call("Verify", asked(OWING, made.consent()))
        with made.bank(server.port) as fresh:
            assert fresh.call("Verify", asked(OWING, made.consent()))


def test_a_leaf_from_before_its_owner_withdrew_it_counts_no_more(made: Town, tmp_path: Path) -> None:
    with made.served(folder=tmp_path) as server, made.bank(server.port) as bank:
        assert bank.call("Verify", asked(OWING, made.consent()))
        text = json.loads(made.trust(BANK))
        text["parties"]["bank"]["not_before"] = 2**40
        server.reload_trust(json.dumps(text), made.keys)
        assert bank.fails("Verify", asked(OWING, made.consent()))[0] in ("UNAUTHENTICATED", "UNAVAILABLE")


def _hold(bank: object, channel: grpc.Channel) -> tuple[threading.Event, grpc.Call]:
    """A stream that is open until the event is set."""
    go_on = threading.Event()

    def requests() -> Iterator[bytes]:
        go_on.wait(PATIENCE_S)
        yield from ()

    return go_on, channel.stream_stream(f"{SERVICE}/VerifyStream")(requests(), timeout=PATIENCE_S)


def test_too_many_at_once_are_turned_away_at_once(made: Town, tmp_path: Path) -> None:
    with made.served(folder=tmp_path, in_flight=1) as server, made.bank(server.port) as bank:
        go_on, stream = _hold(bank, bank.channel)
        # The head of the response says that the stream has its place.
        assert stream.initial_metadata() is not None
        assert bank.fails("Verify", asked(OWING, made.consent())) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
        assert dict(server.stats()["turned_away"])["overload"] == 1
        go_on.set()
        assert list(stream) == []
        assert bank.call("Verify", asked(OWING, made.consent()))


def test_what_is_under_way_is_answered_before_the_end(made: Town, tmp_path: Path) -> None:
    with made.served(folder=tmp_path) as server, made.bank(server.port) as bank:
        assert bank.call("Verify", asked(OWING, made.consent()))
        go_on, stream = _hold(bank, bank.channel)
        assert stream.initial_metadata() is not None
        assert server.drain(0.1) is False
        assert server.stats()["serving"] is False
        go_on.set()
        assert list(stream) == []
        assert server.drain(PATIENCE_S) is True
        assert bank.fails("Verify", asked(OWING, made.consent()))[0] == "UNAVAILABLE"


def test_uses_are_remembered_by_the_log_alone(made: Town, tmp_path: Path) -> None:
    once = made.consent(max_uses=1)
    with made.served(folder=tmp_path) as server, made.bank(server.port) as bank:
        assert bank.call("Verify", asked(OWING, once))
        assert bank.fails("Verify", asked(OWING, once)) == REFUSED
        with pytest.raises(ConfigError) as held:
            made.served(folder=tmp_path).__enter__()
        assert held.value.problems[0].code == "LOCKED"
    with made.served(folder=tmp_path) as server, made.bank(server.port) as bank:
        assert bank.fails("Verify", asked(OWING, once)) == REFUSED


def test_the_control_plane_has_its_entries_too(made: Town, tmp_path: Path) -> None:
    with made.served(folder=tmp_path / "log") as server:
        head = server.record("serving_changed", {"snapshot": "0f" * 32, "items": 1, "fresh": True})
        assert head.startswith(b"water/verify\n1\n")
        for event, facts in (
            ("unheard_of", {}),
            ("serving_changed", {"Bad": 1}),
            ("serving_changed", {"a": "x" * 257}),
        ):
            with pytest.raises(ConfigError) as refused:
                server.record(event, facts)
            assert refused.value.problems[0].code == "AUDIT_ENTRY"
        stats = server.stats()["log"]
        assert (stats["size"], stats["ended"]) == (1, "")
        root = base64.b64decode(head.split(b"\n")[2]).hex()
        assert stats["root"] == root
        server.stop()
        with pytest.raises(ConfigError):
            server.record("serving_changed", {})
    with pytest.raises(ConfigError) as rolled_back:
        made.served(folder=tmp_path / "log", known=(2, bytes(32))).__enter__()
    assert rolled_back.value.problems[0].code == "AUDIT_ROLLED_BACK"


@pytest.mark.parametrize("change", [{"in_flight": 0}, {"threads": 1000}, {"listen": "nowhere"}, {"batches": 0}])
def test_bad_settings_are_refused(made: Town, tmp_path: Path, change: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as refused:
        made.served(folder=tmp_path, **change).__enter__()
    assert refused.value.problems[0].code in ("CONFIG_INVALID", "LISTEN")
    with pytest.raises(ConfigError):
        Server(made.settings, made.snapshot, trust_text({"bank": ([b"no DER"], None)}), made.keys)


_SMALL_DISK = """
import resource, sys
from pathlib import Path
import verify_server as v
from fedcredit.errors import ConfigError
made = v.town(Path(sys.argv[1]))
most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, most))
try:
    with made.served():
        raise AssertionError("there is no room for its journal")
except ConfigError as error:
    told = [(problem.code, problem.where) for problem in error.problems]
    assert told == [("AUDIT_UNAVAILABLE", str(made.log / "journal"))], told
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
with made.served() as server:
    server.record("policy_changed", {})
# The second use of its journal is of the half that lies within this.
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
with made.served() as server, made.bank(server.port) as bank:
    consent, told = made.consent(), []
    for _ in range(200):
        told.append(bank.fails("Verify", v.asked(v.OWING, consent)))
    answered = [status for status, _ in told].count("OK")
    assert 3 < answered < 190, told
    assert set(told[answered:]) == {("UNAVAILABLE", "UNAVAILABLE")}, told
    assert server.stats()["log"]["ended"].startswith("AUDIT_UNAVAILABLE")
    assert server.stats()["serving"] is False
entries, _ = made.entries()
assert len(entries) >= answered + 1, (len(entries), answered)
"""


def test_a_log_that_cannot_be_written_ends_the_answers(tmp_path: Path) -> None:
    env = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": os.environ["PATH"]}
    ended = subprocess.run(
        [sys.executable, "-c", _SMALL_DISK, str(tmp_path)], env=env, capture_output=True, text=True, timeout=600
    )
    assert ended.returncode == 0, ended.stderr
