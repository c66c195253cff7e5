"""Certificates that must not be believed, and handshakes that must not succeed, at a real port: refused, and logged."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID as Use
from transport_consortium import PATIENCE_S, QUICK, knock
from transport_toys import A, B, C

from fedcredit.errors import ConfigError
from fedcredit.node.pki import Authority, load_credentials, private_pem, read_secret
from fedcredit.transport.grpc import Credentials, GrpcTransport, Keyring
from fedcredit.transport.identity import party_host, party_uri
from fedcredit.transport.refusals import code_of
from fedcredit.transport.trust import Pin, Trust

pytestmark = pytest.mark.anyio

NOW = datetime.now(UTC)  # when tests are collected: they may run hours later
PARTIES = (A, B, C)


@pytest.fixture(scope="module")
def authorities() -> dict[str, Authority]:
    """Every party's own."""
    return {party: Authority.of_party(party) for party in PARTIES}


@pytest.fixture(scope="module")
async def port(authorities) -> AsyncIterator[int]:
    """The port of B, which has pinned A and C."""
    trust = Trust({party: Pin((authority.certificate,)) for party, authority in authorities.items()})
    server = GrpcTransport(B, Keyring(B, authorities[B].credentials(B), trust), limits=QUICK)
    for peer in (A, C):
        server.add_peer(peer, "127.0.0.1:1")
    await server.start()
    yield server.port
    await server.close()


def issue(
    authority: Authority,
    *,
    key: Any = None,
    names: list[x509.GeneralName] | None = None,
    uses: tuple[Any, ...] = (Use.CLIENT_AUTH, Use.SERVER_AUTH),
    start: datetime = NOW - timedelta(days=1),
    end: datetime = NOW + timedelta(days=1),
    ca: bool = False,
    path_length: int | None = None,
    subject: x509.Name | None = None,
    more: tuple[tuple[x509.ExtensionType, bool], ...] = (),
) -> tuple[Any, x509.Certificate]:
    """A key and its certificate, as an authority that does not keep our rules might make it."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject or x509.Name([]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca, path_length), critical=True)
    )
    names = [uri(A), host(A)] if names is None else names
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if uses:
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    for extension, critical in more:
        builder = builder.add_extension(extension, critical)
    return key, builder.sign(authority.key, hashes.SHA256())


def uri(party: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(party_uri(party))  # type: ignore[arg-type]


def host(party: str) -> x509.GeneralName:
    return x509.DNSName(party_host(party))  # type: ignore[arg-type]


def shown(key: Any, *chain: x509.Certificate) -> tuple[bytes, bytes]:
    pem = b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in chain)
    if isinstance(key, rsa.RSAPrivateKey):
        form = serialization.PrivateFormat.PKCS8
        return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()), pem
    return private_pem(key), pem


def below(authority: Authority, length: int, path_length: int | None = 0) -> tuple[bytes, bytes]:
    """A leaf at the end of `length` authorities below the pinned one."""
    above, chain = authority, []
    for k in range(length):
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"authority {k}")])
        key, certificate = issue(above, ca=True, path_length=path_length, subject=subject, names=[], uses=())
        above = Authority(certificate, key)
        chain.insert(0, certificate)
    key, leaf = issue(above)
    return shown(key, leaf, *chain)


def self_signed(authorities: dict[str, Authority]) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    pretended = Authority(authorities[A].certificate, key)  # its name and its own key
    return shown(*issue(pretended))


UNKNOWN_CRITICAL = ((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), True),)
NEVER_SENT: set[str] = set()  # gRPC's own client gives up before the certificate is out; see also below
CN_A = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, party_host(A))])

CASES: dict[str, tuple[Callable[[dict[str, Authority]], tuple[bytes, bytes]], set[str]]] = {
    "expired": (lambda a: shown(*issue(a[A], end=NOW - timedelta(minutes=1))), {"TLS_EXPIRED"}),
    "not yet valid": (
        lambda a: shown(*issue(a[A], start=NOW + timedelta(days=1), end=NOW + timedelta(days=2))),
        {"TLS_NOT_YET_VALID"},
    ),
    "an authority nobody knows": (lambda a: shown(*issue(Authority.of_party(A))), {"TLS_SIGNATURE"}),
    "the authority of another party": (
        lambda a: shown(*issue(a[C], names=[uri(A), host(C)])),
        {"TLS_IDENTITY", "TLS_WRONG_AUTHORITY"},
    ),
    "the authority of another party, whose names it may not use": (lambda a: shown(*issue(a[C])), {"TLS_NAME"}),
    "another party's URI": (lambda a: shown(*issue(a[A], names=[uri(C), host(A)])), {"TLS_IDENTITY"}),
    "another party's URI and host": (lambda a: shown(*issue(a[A], names=[uri(C), host(C)])), {"TLS_NAME"}),
    "common name only": (lambda a: shown(*issue(a[A], names=[], subject=CN_A)), {"TLS_UNTRUSTED"}),
    "wildcard": (
        lambda a: shown(*issue(a[A], names=[uri(A), x509.DNSName("*.party.fedcredit.internal")])),
        {"TLS_NAME", "TLS_UNTRUSTED"},
    ),
    "no use": (lambda a: shown(*issue(a[A], uses=())), {"TLS_IDENTITY"}),
    "servers only": (lambda a: shown(*issue(a[A], uses=(Use.SERVER_AUTH,))), {"TLS_PURPOSE"}),
    "clients only": (lambda a: shown(*issue(a[A], uses=(Use.CLIENT_AUTH,))), {"TLS_IDENTITY"}),
    "an authority as a leaf": (lambda a: shown(*issue(a[A], ca=True)), {"TLS_IDENTITY", "TLS_CHAIN"}),
    "the pinned authority itself": (lambda a: shown(a[A].key, a[A].certificate), NEVER_SENT),
    "an authority below the pinned one": (lambda a: below(a[A], 1), {"TLS_CHAIN", "TLS_WRONG_AUTHORITY"}),
    "a chain of a hundred": (lambda a: below(a[A], 100, None), NEVER_SENT),
    "RSA of 1024 bits": (
        lambda a: shown(*issue(a[A], key=rsa.generate_private_key(65537, 1024))),
        {"TLS_IDENTITY", "TLS_HANDSHAKE"},
    ),
    "self-signed": (self_signed, {"TLS_SIGNATURE"}),
    "an unknown critical extension": (lambda a: shown(*issue(a[A], more=UNKNOWN_CRITICAL)), {"TLS_EXTENSION"}),
}


async def said(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, *wanted: str, patience_s: float = PATIENCE_S
) -> set[str]:
    """The codes in the log, gRPC's lines as a node would log them, and our own: once one of those `wanted` is there.

    A line may come after the call has ended, and one about an earlier call after it has begun.
    """
    codes: set[str] = set()
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        lines = capfd.readouterr().err.encode().splitlines()
        codes |= {code for line in lines if (code := code_of(line))}
        codes |= set(re.findall(r"handshake\.refused code=(\w+)", caplog.text))
        if codes & set(wanted) or (codes and not wanted):
            break
        await asyncio.sleep(0.02)
    return codes


@pytest.mark.parametrize("case", CASES)
async def test_a_certificate_is_refused_and_logged(case, port, authorities, capfd, caplog) -> None:
    make, expected = CASES[case]
    key, chain = make(authorities)
    capfd.readouterr()
    status, _ = await knock(port, Credentials(key, chain, authorities[B].pem), B)
    assert status in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED)
    assert not expected or await said(capfd, caplog, *expected) & expected


async def test_a_good_certificate_is_let_in(port, authorities, capfd, caplog) -> None:
    key, chain = shown(*issue(authorities[A]))
    status, _ = await knock(port, Credentials(key, chain, authorities[B].pem), B)
    assert status is grpc.StatusCode.OK
    assert "handshake.refused" not in caplog.text


async def test_a_revoked_party_is_refused_and_logged(port, authorities, capfd, caplog) -> None:
    pins = {party: Pin((authority.certificate,)) for party, authority in authorities.items()}
    pins[A] = Pin((authorities[A].certificate,), refused="PEER_REVOKED")
    async with opened(authorities, Trust(pins)) as transport:
        capfd.readouterr()
        status, _ = await knock(transport.port, authorities[A].credentials(A), B)
        assert status in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED)
    own = Credentials(*shown(*issue(authorities[A])), authorities[B].pem)
    async with opened(authorities, Trust(pins)) as transport:
        capfd.readouterr()
        status, _ = await knock(transport.port, own, B)
        assert status is grpc.StatusCode.UNAVAILABLE
        assert await said(capfd, caplog, "TLS_WRONG_AUTHORITY") == {
            "TLS_WRONG_AUTHORITY"
        }  # it stands among the roots no more


class opened:
    """A server of B with `trust`."""

    def __init__(self, authorities: dict[str, Authority], trust: Trust) -> None:
        self._transport = GrpcTransport(B, Keyring(B, authorities[B].credentials(B), trust), limits=QUICK)

    async def __aenter__(self) -> GrpcTransport:
        await self._transport.start()
        self._transport.add_peer(A, "127.0.0.1:1")
        return self._transport

    async def __aexit__(self, *_: object) -> None:
        await self._transport.close()


async def test_without_a_certificate_or_without_tls_nobody_gets_in(port, authorities, capfd, caplog) -> None:
    capfd.readouterr()
    status, _ = await knock(port, Credentials(b"", b"", authorities[B].pem), B)
    assert status is grpc.StatusCode.UNAVAILABLE
    assert await said(capfd, caplog, "TLS_NO_CERTIFICATE") == {"TLS_NO_CERTIFICATE"}
    status, _ = await knock(port, None, B)
    assert status is grpc.StatusCode.UNAVAILABLE
    assert await said(capfd, caplog, "TLS_PLAINTEXT") == {"TLS_PLAINTEXT"}


def hello(port: int, data: bytes) -> bytes:
    """What the port answers to `data`; it hangs up in the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as stream:
        stream.sendall(data)
        answer = b""
        try:
            while more := stream.recv(4096):
                answer += more
        except ConnectionError:
            pass
        return answer


async def test_old_and_foreign_protocols_are_refused_and_logged(port, capfd, caplog) -> None:
    def dial() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.minimum_version = ssl.TLSVersion.TLSv1_1
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(("127.0.0.1", port), timeout=10) as stream, pytest.raises(OSError):
            context.wrap_socket(stream)

    capfd.readouterr()
    await asyncio.to_thread(dial)
    assert await said(capfd, caplog, "TLS_VERSION") == {"TLS_VERSION"}
    # GB/T 38636's TLCP says version 1.1, 0x0101, in its hello.
    body = b"\x01\x01" + bytes(32) + b"\x00\x00\x02\xe0\x13\x01\x00"
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    tlcp = b"\x16\x01\x01" + len(message).to_bytes(2, "big") + message
    await asyncio.to_thread(hello, port, tlcp)
    assert await said(capfd, caplog)
    # HTTP and noise.
    for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(range(256)) * 4):
        await asyncio.to_thread(hello, port, data)
        assert await said(capfd, caplog)


def test_keys_that_do_not_belong_or_that_others_may_read_are_refused(tmp_path: Path, authorities) -> None:
    own, other = authorities[A].credentials(A), authorities[A].credentials(A)
    for name, data in (("tls.key", other.private_key), ("tls.crt", own.certificate), ("ca.pem", own.authorities)):
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).chmod(0o600)
    paths = [tmp_path / name for name in ("tls.key", "tls.crt", "ca.pem")]
    with pytest.raises(ConfigError, match="KEY_INVALID"):
        load_credentials(*paths, me=A)
    paths[0].chmod(0o644)
    with pytest.raises(ConfigError, match="KEY_EXPOSED"):
        read_secret(paths[0])


async def test_a_signature_with_a_weak_hash_is_refused() -> None:
    """SHA-1 is refused where it is read; a signer of ours would not make one."""
    authority = Authority.of_party(A)
    leaf = authority.credentials(A)
    certificate = x509.load_pem_x509_certificate(leaf.certificate)
    der = certificate.public_bytes(serialization.Encoding.DER)
    # ecdsa-with-SHA256 becomes ecdsa-with-SHA1, in both places.
    sha256, sha1 = bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06072a8648ce3d0401")
    assert der.count(sha256) == 2
    forged = x509.load_der_x509_certificate(_shorter(der, sha256, sha1))
    pem = forged.public_bytes(serialization.Encoding.PEM)
    with pytest.raises(Exception, match="TLS_WEAK"):
        Trust({A: Pin((authority.certificate,))}).check_link(pem, datetime.now(UTC))


def _shorter(der: bytes, old: bytes, new: bytes) -> bytes:
    """`der` with both algorithm identifiers one byte shorter, and the lengths around them put right."""

    def algorithm(data: bytes) -> bytes:
        return data.replace(b"\x30" + bytes([len(old)]) + old, b"\x30" + bytes([len(new)]) + new)

    def sequence(data: bytes) -> bytes:
        return b"\x30\x82" + len(data).to_bytes(2, "big") + data

    assert der[:2] == b"\x30\x82"
    assert der[4:6] == b"\x30\x82"
    inner = int.from_bytes(der[6:8], "big")
    body, rest = der[8 : 8 + inner], der[8 + inner :]
    return sequence(sequence(algorithm(body)) + algorithm(rest))
