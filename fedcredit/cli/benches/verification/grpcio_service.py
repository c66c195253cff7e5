"""The same service in plain `grpcio`, the peer of the native one: over asyncio, or over a pool of threads.

The same contract, mutual TLS, checks and durable log (`node.recorder`, whose callers share writes). An answer is signed
by itself: `Proof.head` is the signature over it, and there is no path, which spares this service some hashing.
"""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
import grpc.aio

from fedcredit.cli.benches.verification.plain_desk import PlainDesk, Ruled, utc_now
from fedcredit.cli.benches.verification.setting import BANK, PROVIDER, Setting, signing_key
from fedcredit.ids import PartyId
from fedcredit.node.audit_file import AuditFile
from fedcredit.node.recorder import Receipt, Recorder
from fedcredit.node.store import Store
from fedcredit.runtime.clock import SystemClock
from fedcredit.transport.identity import party_of_certificate
from fedcredit.wire._gen import verify_pb2 as pb

__all__ = ["METHOD", "AioService", "ThreadedService"]

METHOD = "/fedcredit.v1.VerificationService/Verify"
_SERVICE, _NAME = METHOD[1:].split("/")
_THREADS = 32
_MOST_AT_ONCE = 1024
_GRACE_S = 5.0
_REFUSED = (grpc.StatusCode.PERMISSION_DENIED, "VERIFY_REFUSED")


class _Office:
    """What both services have: a desk, a log, a key that signs, and who is at the other end."""

    def __init__(self, setting: Setting) -> None:
        keys = setting.folder / PROVIDER
        signer = signing_key(setting.folder)
        self._sign, verify = signer.sign, signer.public_key().verify
        folder = setting.logs / "peer-audit"
        folder.mkdir(exist_ok=True)
        self._store = Store.at(setting.logs / "peer.sqlite")
        self._log = AuditFile(folder, PROVIDER, sign=self._sign, verify=verify, clock=SystemClock())
        self._recorder = Recorder(self._log, self._store)
        self._desk, self._lock = PlainDesk(setting, os.urandom(32), utc_now()), threading.Lock()
        self._parties: dict[bytes, PartyId] = {}
        authorities = (setting.folder / BANK / "authority.pem").read_bytes()
        pair = ((keys / "tls.key").read_bytes(), (keys / "tls.crt").read_bytes())
        self.credentials = grpc.ssl_server_credentials([pair], authorities, require_client_auth=True)

    def begin(self, context: Any, message: bytes) -> tuple[Ruled, Receipt]:
        """Decide, and line the entry up."""
        caller = self._caller(context)
        with self._lock:
            ruled = self._desk.rule(caller, message, utc_now())
            return ruled, self._recorder.submit(ruled.event, "", ruled.facts)

    def reply(self, answer: bytes) -> bytes:
        """The reply with an answer that is recorded."""
        proof = pb.Proof(entry=b"{}", head=self._sign(answer))
        return pb.VerifyReply(answer=answer, proof=proof).SerializeToString()

    def close(self) -> None:
        """Close the log and the store."""
        self._log.close()
        self._store.close()

    def _caller(self, context: Any) -> PartyId:
        pem = context.auth_context()["x509_pem_cert"][0]
        if pem not in self._parties:
            self._parties[pem] = party_of_certificate(pem)
        return self._parties[pem]


class ThreadedService:
    """One thread a call, of a pool."""

    def __init__(self, setting: Setting) -> None:
        self._office = _Office(setting)
        self._server = grpc.server(ThreadPoolExecutor(_THREADS), maximum_concurrent_rpcs=_MOST_AT_ONCE)
        handlers = {_NAME: grpc.unary_unary_rpc_method_handler(self._verify)}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
        self.port = self._server.add_secure_port("127.0.0.1:0", self._office.credentials)
        self._server.start()

    def stop(self) -> None:
        """Answer what was taken, and close."""
        self._server.stop(_GRACE_S).wait()
        self._office.close()

    def _verify(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        ruled, receipt = self._office.begin(context, message)
        receipt.wait()
        if ruled.answer is None:
            context.abort(*_REFUSED)
        return self._office.reply(ruled.answer)


class AioService:
    """One task a call; one other thread waits for the disk, for all whose entries it writes."""

    def __init__(self, setting: Setting) -> None:
        self._office = _Office(setting)
        self._started = threading.Event()
        self._stopping: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[tuple[Receipt, asyncio.Future[None]]] = []
        self._arrived: asyncio.Event | None = None
        self.port = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        self._started.wait(30)

    def stop(self) -> None:
        """Answer what was taken, and close."""
        if self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(30)
        self._office.close()

    async def _serve(self) -> None:
        self._loop, self._stopping, self._arrived = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        server = grpc.aio.server(maximum_concurrent_rpcs=_MOST_AT_ONCE)
        handlers = {_NAME: grpc.unary_unary_rpc_method_handler(self._verify)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
        self.port = server.add_secure_port("127.0.0.1:0", self._office.credentials)
        writing = asyncio.create_task(self._write(self._arrived))
        await server.start()
        self._started.set()
        await self._stopping.wait()
        await server.stop(_GRACE_S)
        writing.cancel()

    async def _write(self, arrived: asyncio.Event) -> None:
        while True:
            await arrived.wait()
            arrived.clear()
            batch, self._waiting = self._waiting, []
            error = await asyncio.to_thread(_settle, [receipt for receipt, _ in batch])
            for _, done in batch:
                if not done.done():
                    done.set_exception(error) if error is not None else done.set_result(None)

    async def _verify(self, message: bytes, context: Any) -> bytes:
        ruled, receipt = self._office.begin(context, message)
        assert self._arrived is not None, "calls come after the start"
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((receipt, done))
        self._arrived.set()
        await done
        if ruled.answer is None:
            await _abort(context)
        return self._office.reply(ruled.answer)


async def _abort(context: Any) -> NoReturn:
    await context.abort(*_REFUSED)
    raise AssertionError("abort does not return")


def _settle(receipts: list[Receipt]) -> Exception | None:
    """Wait until all are durable; what went wrong, if it did."""
    try:
        for receipt in receipts:
            receipt.wait()
    except Exception as error:  # noqa: BLE001 - each caller is told
        return error
    return None
