"""The load generator against small gRPC servers: what it counts, and that a stall is seen by whoever was due."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fedcredit.ids import party_id
from fedcredit.kernels.load import OK, RESOURCE_EXHAUSTED, Load, Target, quantile, run
from fedcredit.node.pki import Authority
from fedcredit.transport.identity import Credentials, party_host

PATH = "/test.Echo/Call"
TAX, BANK = party_id("tax"), party_id("bank")
Handle = Callable[[bytes, grpc.ServicerContext], bytes]

# One call at a time. Without the second option gRPC also counts calls that have ended but whose memory is not free yet,
# and refuses one that was begun in time.
ONE_BY_ONE = (("grpc.max_concurrent_streams", 1), ("grpc.http.overload_protection", 0))


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


def der(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)


def pkcs8(pem: bytes) -> bytes:
    key = serialization.load_pem_private_key(pem, None)
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@contextmanager
def served(
    authority: Authority, handle: Handle, *, threads: int = 16, options: tuple[tuple[str, int], ...] = ()
) -> Iterator[Target]:
    """A server of one method; the target for a bank that it lets in."""
    own, bank = authority.credentials(TAX), authority.credentials(BANK)
    server = grpc.server(ThreadPoolExecutor(threads), options=options)
    methods = {"Call": grpc.unary_unary_rpc_method_handler(handle)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", methods),))
    secured = grpc.ssl_server_credentials(((own.private_key, own.certificate),), own.authorities, True)
    port = server.add_secure_port("127.0.0.1:0", secured)
    server.start()
    try:
        yield target(f"127.0.0.1:{port}", own, bank)
    finally:
        server.stop(None).wait(10)


def target(address: str, server: Credentials, caller: Credentials) -> Target:
    return Target(
        address, party_host(TAX), der(server.certificate), (der(caller.certificate),), pkcs8(caller.private_key), PATH
    )


def counts(buckets: tuple[tuple[int, int], ...]) -> int:
    return sum(count for _, count in buckets)


def test_every_call_is_counted_by_its_status(authority: Authority) -> None:
    numbers = itertools.count()
    seen: dict[bytes, int] = {b"a": 0, b"b" * 3000: 0}
    lock = threading.Lock()

    def handle(message: bytes, context: grpc.ServicerContext) -> bytes:
        with lock:
            number = next(numbers)
            seen[message] += 1
        if number % 3 == 1:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")
        if number % 3 == 2:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no")
        return message

    with served(authority, handle) as there:
        load = Load(measured_s=0.3, rate=1000, poisson=False, connections=4, warm_up_s=0.1)
        found = run(there, sorted(seen), load)
    assert found.ended == {OK: 133, RESOURCE_EXHAUSTED: 133, 7: 133}
    assert {status: counts(buckets) for status, buckets in found.latencies.items()} == pytest.approx(
        {OK: 100, RESOURCE_EXHAUSTED: 100, 7: 100}, abs=34
    )
    assert sum(counts(buckets) for buckets in found.latencies.values()) == counts(found.delays) == 300
    assert (found.unsent, found.lost, found.broken, found.answered) == (0, 0, 0, 133)
    assert sum(seen.values()) == 399
    assert all(count > 100 for count in seen.values())
    assert found.bytes_out > 3000 * seen[b"b" * 3000]
    # A third was echoed, and which third is a matter of threads.
    assert found.bytes_in > 0


def test_a_stall_counts_for_every_call_that_was_due(authority: Authority) -> None:
    """All calls are held until the last one has come, 20 ms apart: the first waits for at least all gaps."""
    calls, gap_ns = 10, 20_000_000
    everybody = threading.Barrier(calls)

    def handle(message: bytes, _: grpc.ServicerContext) -> bytes:
        everybody.wait(60)
        return message

    with served(authority, handle) as there:
        load = Load(measured_s=(calls + 0.5) * gap_ns / 1e9, rate=1e9 / gap_ns, poisson=False, connections=3)
        found = run(there, [b"x"], load)
    assert found.ended == {OK: calls}
    longest = sorted(itertools.chain.from_iterable([high] * n for high, n in found.latencies[OK]))
    for still_to_come, latency in enumerate(longest):
        assert latency >= still_to_come * gap_ns


def test_calls_that_the_server_holds_off_count_from_when_they_were_due(authority: Authority) -> None:
    """One call at a time, the first of which takes 300 ms: those behind it are sent late, and count as late."""
    first = threading.Event()

    def handle(message: bytes, _: grpc.ServicerContext) -> bytes:
        if not first.is_set():
            first.set()
            time.sleep(0.3)
        return message

    with served(authority, handle, options=ONE_BY_ONE) as there:
        found = run(there, [b"x"], Load(measured_s=1.0, rate=100, poisson=False, connections=1))
    assert found.answered + found.unsent == 99
    assert found.lost == 0
    # Of the calls that were due in these 300 ms, those of the first 270 went out more than 20 ms late.
    assert sum(count for high, count in found.delays if high > 20_000_000) >= 20
    assert quantile(found.latencies[OK], 1.0) >= quantile(found.delays, 1.0)


def test_calls_that_are_never_sent_are_said(authority: Authority) -> None:
    def handle(message: bytes, _: grpc.ServicerContext) -> bytes:
        time.sleep(1.0)
        return message

    with served(authority, handle, options=ONE_BY_ONE) as there:
        found = run(there, [b"x"], Load(measured_s=0.2, rate=100, poisson=False, connections=2))
    assert (found.answered, found.unsent, found.lost) == (2, 17, 0)


def test_closed_loop_keeps_as_many_under_way_as_it_says(authority: Authority) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def handle(message: bytes, _: grpc.ServicerContext) -> bytes:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        with lock:
            now -= 1
        return message

    with served(authority, handle) as there:
        found = run(there, [b"x"], Load(measured_s=0.3, under_way=3, connections=2, threads=2))
    assert found.answered == sum(found.ended.values()) > 6
    assert 1 <= most <= 6
    assert counts(found.latencies[OK]) == found.answered


def test_bytes_of_any_length_come_back_whole(authority: Authority) -> None:
    big = bytes(3_000_000)
    sizes: list[int] = []

    def handle(message: bytes, _: grpc.ServicerContext) -> bytes:
        sizes.append(len(message))
        return message

    with served(authority, handle) as there:
        found = run(there, [big], Load(measured_s=0.05, under_way=1, connections=1))
    assert set(sizes) == {len(big)}
    assert found.answered == len(sizes)
    assert found.bytes_in > len(big) * len(sizes)
    assert found.bytes_out > len(big) * len(sizes)


def test_a_caller_of_another_authority_is_refused(authority: Authority) -> None:
    stranger = Authority.create().credentials(BANK)
    with served(authority, lambda message, _: message) as there:
        odd = replace(there, chain=(der(stranger.certificate),), key=pkcs8(stranger.private_key))
        with pytest.raises(ConnectionError):
            run(odd, [b"x"], Load(measured_s=0.1, rate=10, patience_s=5))


def test_a_server_with_another_certificate_is_not_believed(authority: Authority) -> None:
    with served(authority, lambda message, _: message) as there:
        odd = replace(there, certificate=der(authority.credentials(TAX).certificate))
        with pytest.raises(ConnectionError, match="handshake"):
            run(odd, [b"x"], Load(measured_s=0.1, rate=10, patience_s=5))


def test_nobody_there(authority: Authority) -> None:
    with served(authority, lambda message, _: message) as there:
        pass
    with pytest.raises(ConnectionError):
        run(there, [b"x"], Load(measured_s=0.1, rate=10, patience_s=5))


@pytest.mark.parametrize(
    "bad",
    [
        {"measured_s": -1.0},
        {"measured_s": float("nan")},
        {"rate": 0.0},
        {"rate": float("inf")},
        {"connections": 0},
        {"threads": 0},
        {"under_way": 0},
        {"seed": -1},
        {"check_every": 5},
        {"provider": ("tax", "tax/verify", bytes(32))},
        {"check_every": 5, "provider": ("tax", "tax/verify", bytes(31))},
    ],
)
def test_a_load_that_cannot_be_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w+: "):
        Load(**{"measured_s": 1.0} | bad)  # type: ignore[arg-type]


def test_bad_input_is_refused(authority: Authority) -> None:
    with served(authority, lambda message, _: message) as there:
        with pytest.raises(ValueError, match="pool"):
            run(there, [], Load(measured_s=0.1))
        with pytest.raises(ValueError, match="IP:PORT"):
            run(replace(there, address="localhost"), [b"x"], Load(measured_s=0.1))
        with pytest.raises(ValueError, match="credentials"):
            run(replace(there, key=b"none"), [b"x"], Load(measured_s=0.1))


def test_quantiles_are_those_of_the_counts() -> None:
    buckets = ((10, 50), (20, 49), (500, 1))
    assert [quantile(buckets, share) for share in (0.0, 0.5, 0.51, 0.99, 1.0)] == [10, 10, 20, 20, 500]
    assert quantile((), 0.5) != quantile((), 0.5)
    with pytest.raises(ValueError, match="share"):
        quantile(buckets, 1.5)
