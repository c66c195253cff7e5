"""LightGBM's network, with functions of ours in place of its sockets.

Its state is of one thread: what installs it has to train on the same thread. Nothing may be raised through C, so what
goes wrong in a function is kept, LightGBM reads zeros from then on, and who called it looks for `error` afterwards.

Source: LightGBM 4.6 and 4.7, include/LightGBM/meta.h and c_api.h (`LGBM_NetworkInitWithFunctions`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from fedcredit.errors import FedcreditError

__all__ = ["Gather", "Network", "Scatter"]

Gather: TypeAlias = Callable[[bytes], tuple[bytes, ...]]
"""From a machine's own bytes to the blocks of all machines."""

Scatter: TypeAlias = Callable[[bytes, int, tuple[int, ...], tuple[int, ...]], bytes]
"""From a machine's own bytes, the bytes of one number, where blocks start and how long they are, to its own block."""

_INT_P = ctypes.POINTER(ctypes.c_int)
_ReduceScatter = ctypes.CFUNCTYPE(
    None,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_int,
    _INT_P,
    _INT_P,
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_void_p,
)
_AllGather = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_int, _INT_P, _INT_P, ctypes.c_int, ctypes.c_void_p, ctypes.c_int
)


class Network:
    """Machine number `rank` of `machines`. `error`: the first that `gather` or `scatter` raised, or None."""

    def __init__(self, rank: int, machines: int, gather: Gather, scatter: Scatter) -> None:
        self.error: BaseException | None = None
        self._rank, self._machines = rank, machines
        self._gather, self._scatter = gather, scatter
        # LightGBM keeps bare addresses, so these live as long as this object.
        self._functions = _ReduceScatter(self._reduce_scatter), _AllGather(self._allgather)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """This thread's boosters are machines of this network within. Raises: FedcreditError."""
        import lightgbm

        # LightGBM's own handle on its library: another one would have a network of its own.
        basic: Any = lightgbm.basic
        library = basic._LIB
        addresses = [ctypes.cast(function, ctypes.c_void_p) for function in self._functions]
        status = library.LGBM_NetworkInitWithFunctions(
            ctypes.c_int(self._machines), ctypes.c_int(self._rank), *addresses
        )
        if status != 0:
            raise FedcreditError("LightGBM did not take the functions of its network")
        try:
            yield
        finally:
            library.LGBM_NetworkFree()

    def _allgather(self, source: int, size: int, starts: Any, sizes: Any, blocks: int, into: int, room: int) -> None:
        try:
            if self.error is None:
                gathered = self._gather(ctypes.string_at(source, size))
                if blocks != len(gathered) or any(
                    len(block) != sizes[k] or starts[k] + len(block) > room for k, block in enumerate(gathered)
                ):
                    raise FedcreditError("LightGBM gathers blocks of other sizes than it gives")
                for k, block in enumerate(gathered):
                    ctypes.memmove(into + starts[k], block, len(block))
                return
        except BaseException as error:  # noqa: BLE001 - nothing may be raised through C
            self.error = error
        ctypes.memset(into, 0, room)

    def _reduce_scatter(
        self,
        source: int,
        size: int,
        type_bytes: int,
        starts: Any,
        sizes: Any,
        blocks: int,
        into: int,
        room: int,
        reducer: int,
    ) -> None:
        own = sizes[self._rank]
        try:
            if self.error is None:
                data = ctypes.string_at(source, size)
                block = self._scatter(data, type_bytes, tuple(starts[:blocks]), tuple(sizes[:blocks]))
                if len(block) != own or own > room:
                    raise FedcreditError("LightGBM adds up blocks of other sizes than it gives")
                if block:
                    ctypes.memmove(into, block, own)
                return
        except BaseException as error:  # noqa: BLE001 - nothing may be raised through C
            self.error = error
        if 0 < own <= room:
            ctypes.memset(into, 0, own)
