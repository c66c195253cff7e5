"""The frozen state of a stage: an explicit record of numbers, texts and arrays, and its bytes.

A stage's result is what the next stages need and nothing else. It is written to the store when the stage ends, so that
a job can go on from there: whoever uses it cannot tell whether it was just made or thawed.

Layout: magic, length of a JSON header, header, raw little-endian arrays. No pickle.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from fedcredit.errors import FedcreditError, Problem

__all__ = ["StageRunner", "StageState", "run_at_once", "state_invalid"]

_MAGIC = b"fcstate1"
_DTYPES = ("<u1", "<u2", "<u4", "<u8", "<i4", "<i8", "<f8", "|b1", "|u1")

S = TypeVar("S", bound="StageState")


class StageState:
    """Base of the states of stages: subclass as a frozen dataclass of JSON values and numpy arrays.

    `schema` names the layout; a state of another schema is refused. Fixed-width bytes (identifiers) travel as arrays.
    """

    schema: ClassVar[str]

    def freeze(self) -> bytes:
        """The bytes of this state; equal states have equal bytes."""
        values: dict[str, Any] = {}
        arrays: list[dict[str, Any]] = []
        bodies: list[bytes] = []
        for name in _names(type(self)):
            value = getattr(self, name)
            if isinstance(value, np.ndarray):
                plain = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
                arrays.append({"name": name, "dtype": plain.dtype.str, "shape": list(value.shape)})
                bodies.append(plain.tobytes())
            else:
                values[name] = value
        header = json.dumps(
            {"schema": self.schema, "values": values, "arrays": arrays}, sort_keys=True, separators=(",", ":")
        ).encode()
        return b"".join((_MAGIC, len(header).to_bytes(4, "big"), header, *bodies))

    @classmethod
    def thaw(cls, data: bytes) -> Self:
        """The state in `data`. Raises FedcreditError (STATE_INVALID)."""
        try:
            length = int.from_bytes(data[8:12], "big")
            header = json.loads(data[12 : 12 + length])
            if data[:8] != _MAGIC or header["schema"] != cls.schema:
                raise state_invalid(f"not a {cls.schema}")
            values: dict[str, Any] = dict(header["values"])
            offset = 12 + length
            for entry in header["arrays"]:
                array, offset = _array(data, offset, entry)
                values[entry["name"]] = array
            if offset != len(data) or values.keys() != set(_names(cls)):
                raise state_invalid(f"{cls.schema} has other fields")
        except (KeyError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            raise state_invalid(f"{cls.schema} cannot be read") from None
        return cls(**values)


class StageRunner(Protocol):
    """Runs one stage and keeps its frozen state; a stage that is kept already is thawed and not run again."""

    async def __call__(self, stage: str, kind: type[S], work: Callable[[], Awaitable[S]]) -> S:
        """The state of `stage`, thawed or made by `work`."""


async def run_at_once(stage: str, kind: type[S], work: Callable[[], Awaitable[S]]) -> S:
    """The plain way to run a stage: nothing is kept. A `StageRunner`."""
    return await work()


def state_invalid(what: str) -> FedcreditError:
    """A stored state that cannot be used: the store was damaged or written by another version."""
    return FedcreditError(Problem("STATE_INVALID", "store", what, "run the job again"))


def _names(cls: type[StageState]) -> list[str]:
    as_dataclass: Any = cls  # every subclass is one
    fields = dataclasses.fields(as_dataclass)
    return [field.name for field in fields]


def _array(data: bytes, offset: int, entry: dict[str, Any]) -> tuple[npt.NDArray[Any], int]:
    if entry["dtype"] not in _DTYPES and not entry["dtype"].startswith("|S"):
        raise state_invalid("an array of a type that is not stored")
    dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
    if not all(type(n) is int and n >= 0 for n in shape):
        raise state_invalid("an array of no shape")
    end = offset + dtype.itemsize * math.prod(shape)
    if end > len(data):
        raise state_invalid("an array is cut short")
    return np.frombuffer(data[offset:end], dtype).reshape(shape), end
