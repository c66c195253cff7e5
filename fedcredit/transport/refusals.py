"""Handshakes that TLS itself refused, in this process's log with a code.

gRPC tells nobody of them but the process's standard error, in words of its own. So a node lets its standard error pass
through here: lines about handshakes become log entries, everything else goes on as it was.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from fedcredit.observe import logs, metrics

__all__ = ["code_of", "refusals_logged"]

_log = logs.get("transport")

_LINE = re.compile(rb"Handshake failed with error SSL_ERROR_SSL: .*?:OPENSSL_internal:([A-Z0-9_]+): ?([^\r\n]*)")

_CODES = {
    "WRONG_VERSION_NUMBER": "TLS_PLAINTEXT",
    "HTTP_REQUEST": "TLS_PLAINTEXT",
    "HTTPS_PROXY_REQUEST": "TLS_PLAINTEXT",
    "UNSUPPORTED_PROTOCOL": "TLS_VERSION",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "TLS_NO_CERTIFICATE",
    "BAD_SIGNATURE": "TLS_SIGNATURE",
    "EXCESSIVE_MESSAGE_SIZE": "TLS_CHAIN",
}
_DETAILS = {
    "certificate has expired": "TLS_EXPIRED",
    "certificate is not yet valid": "TLS_NOT_YET_VALID",
    "unable to get local issuer certificate": "TLS_WRONG_AUTHORITY",
    "self signed certificate": "TLS_WRONG_AUTHORITY",
    "self signed certificate in certificate chain": "TLS_WRONG_AUTHORITY",
    "certificate signature failure": "TLS_WRONG_AUTHORITY",
    "unsupported certificate purpose": "TLS_PURPOSE",
    "invalid CA certificate": "TLS_CHAIN",
    "path length constraint exceeded": "TLS_CHAIN",
    "certificate chain too long": "TLS_CHAIN",
    "permitted subtree violation": "TLS_NAME",
    "excluded subtree violation": "TLS_NAME",
    "unhandled critical extension": "TLS_EXTENSION",
}

_AT_MOST_EVERY_S = 1.0


def code_of(line: bytes) -> str | None:
    """The code for a line of gRPC's about a handshake; None if it is about something else."""
    found = _LINE.search(line)
    if found is None:
        return None
    reason, detail = found[1].decode(), found[2].decode("ascii", "replace").strip()
    if reason == "CERTIFICATE_VERIFY_FAILED":
        return _DETAILS.get(detail, "TLS_UNTRUSTED")
    return _CODES.get(reason, "TLS_HANDSHAKE")


@contextmanager
def refusals_logged() -> Iterator[None]:
    """While this is open, standard error passes through here; set up logging within.

    For a process that is a node, not for a library.
    """
    real = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    thread = threading.Thread(target=_pass_on, args=(reading, real), name="standard error", daemon=True)
    thread.start()
    # Python's own errors and logs go the straight way: this process must not wait for itself.
    straight, before = os.fdopen(os.dup(real), "w", buffering=1, errors="backslashreplace"), sys.stderr
    sys.stderr = straight
    try:
        yield
    finally:
        sys.stderr = before
        os.dup2(real, 2)  # ours was the last end for writing, so the thread reads to the end of it
        thread.join(timeout=2.0)
        os.close(real)


def _pass_on(reading: int, real: int) -> None:
    counted: Counter[str] = Counter()
    told: dict[str, float] = {}
    rest = b""
    while data := os.read(reading, 1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        if len(rest) > 1 << 16:
            lines, rest = [*lines, rest], b""
        for line in lines:
            if (code := code_of(line)) is None:
                _write(real, line + b"\n")
            else:
                _tell(code, counted, told)
    _write(real, rest)
    os.close(reading)


def _tell(code: str, counted: Counter[str], told: dict[str, float]) -> None:
    """Log a refusal, each kind once a second: a stranger who knocks all day must not fill the disk."""
    counted[code] += 1
    metrics.HANDSHAKES_REFUSED.labels(code).inc()
    now = time.monotonic()
    if now - told.get(code, -_AT_MOST_EVERY_S) >= _AT_MOST_EVERY_S:
        told[code] = now
        _log.warning("handshake.refused", code=code, count=counted[code])


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
