"""The platform's enrolment port: one call, for parties that have no certificate yet; and the party's way to it.

Only the server shows a certificate. So a caller is nobody: what it sends is small, few are answered a second, and a
refusal says no more than one of two codes. The log has the reasons.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, cast

import grpc
import grpc.aio
from cryptography.hazmat.primitives.serialization import Encoding

from fedcredit.errors import ConfigError, FedcreditError, PeerLost, Problem, RefusedError
from fedcredit.node.trust.office import Office
from fedcredit.node.trust.token import TokenFile
from fedcredit.observe import logs
from fedcredit.transport.grpc import Keyring
from fedcredit.transport.identity import party_host
from fedcredit.transport.typed_grpc import Handlers
from fedcredit.wire.enrol import EnrolReply, EnrolRequest
from fedcredit.wire.message import MessageInvalid

__all__ = ["EnrolmentPort", "send_request"]

_log = logs.get("trust")

ENROL = "/fedcredit.v1.Enrolment/Enrol"
MAX_REQUEST_BYTES = 64 << 10
MAX_REPLY_BYTES = 4 << 20
CALLS_AT_ONCE = 8
CALLS_PER_10_S = 50
TIMEOUT_S = 30.0

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_metadata_size", 8 << 10),
    ("grpc.absolute_max_metadata_size", 8 << 10),
    ("grpc.max_concurrent_streams", 4),
    ("grpc.max_connection_age_ms", 60_000),
    ("grpc.max_connection_idle_ms", 30_000),
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.so_reuseport", 0),
)


class EnrolmentPort(Handlers):
    """Listens at `address` (host:port) for `office`."""

    def __init__(self, office: Office, keyring: Keyring, address: str) -> None:
        self._office, self._keyring, self._address = office, keyring, address
        self._answered: deque[float] = deque(maxlen=CALLS_PER_10_S)
        self._handler = grpc.unary_unary_rpc_method_handler(cast(Any, self._enrol))
        self._server: grpc.aio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen. Raises ConfigError (PORT_IN_USE)."""
        server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=CALLS_AT_ONCE)
        server.add_generic_rpc_handlers((self,))
        try:
            self.port = server.add_secure_port(self._address, self._keyring.server_credentials(clients=False))
        except RuntimeError as error:
            what = f"cannot listen on {self._address}"
            raise ConfigError(Problem("PORT_IN_USE", "enrol.listen", what, "choose another port")) from error
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            await self._server.stop(1.0)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """gRPC's question for the handler of a call."""
        return self._handler if handler_call_details.method == ENROL else None

    async def _enrol(self, data: bytes, context: Any) -> bytes:
        now = asyncio.get_running_loop().time()
        if len(self._answered) == CALLS_PER_10_S and now < self._answered[0] + 10:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA")
        self._answered.append(now)
        try:
            return (await self._office.enrol(EnrolRequest.decode(data))).encode()
        except RefusedError as refused:
            _log.warning("enrolment.refused", code=refused.code)
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "TOKEN_REFUSED")
        except (MessageInvalid, ConfigError) as invalid:
            _log.warning("enrolment.refused", code=invalid.code)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_REFUSED")
        except Exception as bug:  # noqa: BLE001 - a stranger learns nothing of it
            _log.error("enrolment.failed", error=type(bug).__name__)
            await context.abort(grpc.StatusCode.INTERNAL, "INTERNAL")
        raise AssertionError("abort raises")


async def send_request(token: TokenFile, request: EnrolRequest, address: str | None = None) -> EnrolReply:
    """The platform's answer. Whoever answers has proved to be the platform of the token.

    Raises: RefusedError (TOKEN_REFUSED, REQUEST_REFUSED), PeerLost when the platform cannot be reached.
    """
    secure = grpc.ssl_channel_credentials(token.authority.public_bytes(Encoding.PEM))
    options = (
        ("grpc.ssl_target_name_override", party_host(token.platform)),
        ("grpc.max_receive_message_length", MAX_REPLY_BYTES),
        ("grpc.use_local_subchannel_pool", 1),
    )
    async with grpc.aio.secure_channel(address or token.enrol, secure, options=options) as channel:
        try:
            data = await channel.unary_unary(ENROL, None, None)(request.encode(), timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise _error_of(token, error) from None
    return EnrolReply.decode(cast(bytes, data))


def _error_of(token: TokenFile, error: grpc.aio.AioRpcError) -> FedcreditError:
    where = f"{token.platform} at {token.enrol}"
    if error.code() == grpc.StatusCode.PERMISSION_DENIED:
        what = "does not take this token: it was used, it is out of date, or it is not of this party"
        return RefusedError(Problem("TOKEN_REFUSED", where, what, "ask the platform for a new one"))
    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return PeerLost(token.platform, "enrolment", "cannot be reached, or is not the platform of the token")
    return RefusedError(Problem("REQUEST_REFUSED", where, "refused the request", "its log has the reason"))
