"""Whether a node takes work, for whoever asks by gRPC's health protocol (`grpc.health.v1`) on the node's own port.

    ""                 readiness: SERVING, or NOT_SERVING while a fault stands or the node drains
    "fedcredit.live"   liveness: SERVING for as long as the process can answer at all

A node that is alive and not ready is left alone by whoever watches it: it comes back by itself, or a person has to
make room on its disk. The codes of what keeps it from work stand beside the answer, in the trailing metadata.
Callers are believed parties, and the node itself: the gate has checked their certificates.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2

from fedcredit.errors import PeerLost
from fedcredit.observe import logs, metrics
from fedcredit.transport.connections import Connection
from fedcredit.wire.frame import is_code

__all__ = ["LIVE", "READY", "REASONS_KEY", "Health", "Look", "ask_health"]

READY, LIVE = "", "fedcredit.live"
REASONS_KEY = "fedcredit-reasons"

LOOK_S = 0.5
"""A fault shows within a second."""

LOOK_TIMEOUT_S = 5.0

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

_log = logs.get("node")


@dataclass(frozen=True, slots=True)
class Look:
    """A question whose answer may keep the node from work: `well` returns False, or raises, while it does.

    Called in a thread of its own; one that does not answer in time is not well.
    """

    code: str
    well: Callable[[], bool]


class Health:
    """The state of one node. Lives on its event loop."""

    def __init__(self) -> None:
        library: Any = health  # its part for asyncio has no types
        self._servicer = library.aio.HealthServicer()
        self._reasons: dict[str, None] = {}
        self._watch: asyncio.Task[None] | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """The codes of what keeps the node from work; empty when it is ready."""
        return tuple(self._reasons)

    @property
    def service(self) -> Any:
        """The handlers of `grpc.health.v1.Health`, for the node's server."""
        decode = health_pb2.HealthCheckRequest.FromString
        encode = health_pb2.HealthCheckResponse.SerializeToString
        handlers = {
            "Check": grpc.unary_unary_rpc_method_handler(self._check, decode, encode),
            "Watch": grpc.unary_stream_rpc_method_handler(self._servicer.Watch, decode, encode),
        }
        return grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers)

    async def start(self, looks: tuple[Look, ...]) -> None:
        """Look once, say so, and look again every half second."""
        await self._servicer.set(LIVE, _SERVING)
        await self._look(looks)
        await self._say()
        self._watch = asyncio.create_task(self._keep_looking(looks), name="health")

    async def refuse(self, code: str) -> None:
        """Not ready for the reason `code`, from now on."""
        await self._set(code, well=False)

    async def stop(self) -> None:
        """Look no more."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch

    async def _check(self, request: Any, context: Any) -> Any:
        if request.service == READY and self._reasons:
            context.set_trailing_metadata(((REASONS_KEY, ",".join(self._reasons)),))
        return await self._servicer.Check(request, context)

    async def _keep_looking(self, looks: tuple[Look, ...]) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self._look(looks)

    async def _look(self, looks: tuple[Look, ...]) -> None:
        for look in looks:
            await self._set(look.code, well=await _answer(look))

    async def _set(self, code: str, *, well: bool) -> None:
        if well is (code not in self._reasons):
            return
        if well:
            del self._reasons[code]
            _log.info("node.well_again", code=code)
        else:
            self._reasons[code] = None
            _log.warning("node.not_ready", code=code)
        await self._say()

    async def _say(self) -> None:
        metrics.READY.set(not self._reasons)
        await self._servicer.set(READY, _NOT_SERVING if self._reasons else _SERVING)


async def ask_health(connection: Connection, *, timeout_s: float = 10.0) -> tuple[bool, tuple[str, ...]]:
    """Whether the node at the other end takes work, and the codes of what keeps it from that.

    Raises: PeerLost when it does not answer.
    """
    encode = health_pb2.HealthCheckRequest.SerializeToString
    call = connection.unary_unary("/grpc.health.v1.Health/Check", encode, health_pb2.HealthCheckResponse.FromString)
    asked = call(health_pb2.HealthCheckRequest(service=READY), timeout=timeout_s)
    try:
        answer = await asked
        metadata = dict(await asked.trailing_metadata() or ())
    except grpc.aio.AioRpcError as error:
        raise PeerLost(connection.peer, "health", f"answered {error.code().name}") from None
    found = str(metadata.get(REASONS_KEY, "")).split(",")
    return answer.status == _SERVING, tuple(code for code in found if is_code(code))


async def _answer(look: Look) -> bool:
    try:
        async with asyncio.timeout(LOOK_TIMEOUT_S):
            return await asyncio.to_thread(look.well)
    except Exception:  # noqa: BLE001 - whatever it is, the answer is no
        return False
