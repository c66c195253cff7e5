"""Classes of gRPC with their type arguments, which only a type checker knows of: at run time they take none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import grpc.aio

__all__ = ["Context", "Handler", "Handlers"]

if TYPE_CHECKING:
    from typing import TypeAlias

    Context: TypeAlias = grpc.aio.ServicerContext[bytes, bytes]
    Handler: TypeAlias = grpc.RpcMethodHandler[bytes, bytes]
    Handlers = grpc.GenericRpcHandler[bytes, bytes]
else:
    Context, Handler, Handlers = grpc.aio.ServicerContext, grpc.RpcMethodHandler, grpc.GenericRpcHandler
