"""Classes of gRPC with their type arguments, which only a type checker knows of: at run time they take none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import grpc
import grpc.aio

__all__ = ["EOF", "Context", "Handler", "Handlers"]

EOF = cast(Any, grpc.aio).EOF
"""What reading a stream gives after its last message; the library's types do not know it."""

if TYPE_CHECKING:
    from typing import TypeAlias

    Context: TypeAlias = grpc.aio.ServicerContext[bytes, bytes]
    Handler: TypeAlias = grpc.RpcMethodHandler[bytes, bytes]
    Handlers = grpc.GenericRpcHandler[bytes, bytes]
else:
    Context, Handler, Handlers = grpc.aio.ServicerContext, grpc.RpcMethodHandler, grpc.GenericRpcHandler
