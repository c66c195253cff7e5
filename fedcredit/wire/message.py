"""What travels: one frozen dataclass per message, valid from the moment it exists.

A message names its protobuf type and declares each field with its bounds, so encoding is derived and decoding
validates: a decoded message has every array of the declared dtype and rank, every count in range, no field too many.
Bodies come from peers, who are hostile: sizes are checked against the bytes received before anything is allocated.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import Any, ClassVar, Self, TypeVar, cast, dataclass_transform

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError as ProtoDecodeError
from google.protobuf.message import Message as Proto

from fedcredit.errors import FedcreditError, Problem

__all__ = ["Message", "MessageInvalid", "array", "blob", "count", "flag", "message_type", "read_proto", "text"]

MAX_ARRAY_RANK = 4
_NO_ROOM = "alloc failed"

# The allow-list of dtypes that may travel; the number is the one of the protobuf enum `Dtype`.
DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<u1"),
    2: np.dtype("<u2"),
    3: np.dtype("<u4"),
    4: np.dtype("<u8"),
    5: np.dtype("<i4"),
    6: np.dtype("<i8"),
    7: np.dtype("<f8"),
}
DTYPE_NUMBERS = {dtype: number for number, dtype in DTYPES.items()}


class MessageInvalid(FedcreditError):
    """Bytes that are not a valid message. The session turns it into a PeerError that names the sender."""

    exit_status, default_code = 76, "MESSAGE_INVALID"

    def __init__(self, where: str, what: str, code: str = "MESSAGE_INVALID") -> None:
        super().__init__(Problem(code, where, what))


def read_proto(body: Proto, data: bytes | memoryview, where: str) -> None:
    """Read `data` into `body`. Raises: MessageInvalid of `where`; MemoryError, for which no sender is to blame."""
    try:
        # protobuf reads any buffer; its stubs only know bytes.
        body.ParseFromString(cast(bytes, data))
    except ProtoDecodeError as error:
        # To protobuf both are one error, and its text alone tells them apart.
        if _NO_ROOM in str(error):
            raise MemoryError(f"no room to read {where}") from None
        raise MessageInvalid(where, "not protobuf") from None


class _Kind(enum.Enum):
    COUNT = enum.auto()
    TEXT = enum.auto()
    BLOB = enum.auto()
    FLAG = enum.auto()
    ARRAY = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class _Spec:
    kind: _Kind
    low: int = 0
    high: int = 0
    dtype: np.dtype[Any] | None = None
    rank: int = 0


def _field(spec: _Spec) -> Any:
    # Contents never show in logs: repr prints the message's name and its public numbers only.
    return dataclasses.field(metadata={"wire": spec}, repr=spec.kind in (_Kind.COUNT, _Kind.FLAG))


def count(high: int, low: int = 0) -> Any:
    """A field: an integer in [low, high]."""
    return _field(_Spec(_Kind.COUNT, low, high))


def flag() -> Any:
    """A field: a boolean."""
    return _field(_Spec(_Kind.FLAG))


def text(max_length: int) -> Any:
    """A field: text of at most `max_length` characters."""
    return _field(_Spec(_Kind.TEXT, 0, max_length))


def blob(length: int, max_length: int | None = None) -> Any:
    """A field: bytes, exactly `length` long, or from `length` to `max_length`."""
    return _field(_Spec(_Kind.BLOB, length, length if max_length is None else max_length))


def array(dtype: npt.DTypeLike, rank: int, max_items: int) -> Any:
    """A field: an array of `dtype` and `rank` with at most `max_items` elements, finite where it holds floats."""
    return _field(_Spec(_Kind.ARRAY, 0, max_items, np.dtype(dtype).newbyteorder("<"), rank))


_REGISTRY: dict[int, type[Message]] = {}

M = TypeVar("M", bound="Message")


@dataclass_transform(frozen_default=True, field_specifiers=(count, flag, text, blob, array))
class Message:
    """Base of all messages of protocols. Subclass as a frozen dataclass with `tag=` and `proto=`.

    Every subclass's docstring says `Reveals:` and `Assumes:`.
    """

    tag: ClassVar[int]
    proto: ClassVar[type[Proto]]

    def __init_subclass__(cls, *, tag: int | None = None, proto: type[Proto] | None = None) -> None:
        # `slots=True` makes the dataclass decorator build the class anew, without keywords; the last one is real.
        tag, proto = tag or cls.__dict__["tag"], proto or cls.__dict__["proto"]
        if tag in _REGISTRY and _REGISTRY[tag].__qualname__ != cls.__qualname__:
            raise FedcreditError(f"tag {tag:#x} is taken by {_REGISTRY[tag].__name__}")
        cls.tag, cls.proto = tag, proto
        _REGISTRY[tag] = cls

    def __post_init__(self) -> None:
        for name, spec in _specs(type(self)):
            _check(type(self).__name__, name, spec, getattr(self, name))
        self.validate()

    def validate(self) -> None:
        """Check what the fields' bounds cannot say, e.g. that two shapes agree. Raises MessageInvalid."""

    def encode(self) -> bytes:
        """The protobuf body of this message."""
        body = self.proto()
        for name, spec in _specs(type(self)):
            value = getattr(self, name)
            if spec.kind is _Kind.ARRAY:
                into = getattr(body, name)
                into.dtype = DTYPE_NUMBERS[value.dtype]
                into.shape.extend(value.shape)
                into.data = value.tobytes()
            else:
                setattr(body, name, value)
        return body.SerializeToString()

    @classmethod
    def decode(cls, data: bytes | memoryview) -> Self:
        """The message in `data`. Raises MessageInvalid naming the message and the field."""
        body = cls.proto()
        read_proto(body, data, cls.__name__)
        values = {
            name: _array(cls.__name__, name, spec, getattr(body, name))
            if spec.kind is _Kind.ARRAY
            else getattr(body, name)
            for name, spec in _specs(cls)
        }
        return cls(**values)

    def __repr__(self) -> str:
        shown = [
            f"{name}={getattr(self, name)}"
            for name, spec in _specs(type(self))
            if spec.kind in (_Kind.COUNT, _Kind.FLAG)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


def message_type(tag: int) -> type[Message]:
    """The message class registered under `tag`. Raises MessageInvalid."""
    try:
        return _REGISTRY[tag]
    except KeyError:
        raise MessageInvalid(f"tag {tag:#x}", "no such message") from None


_SPECS: dict[type[Message], list[tuple[str, _Spec]]] = {}


def _specs(cls: type[Message]) -> list[tuple[str, _Spec]]:
    """The fields of a message, found once: every message is checked when it is made."""
    if (known := _SPECS.get(cls)) is None:
        as_dataclass: Any = cls  # every subclass is one
        fields = dataclasses.fields(as_dataclass)
        known = _SPECS[cls] = [(f.name, f.metadata["wire"]) for f in fields]
    return known


def _check(message: str, name: str, spec: _Spec, value: Any) -> None:
    where = f"{message}.{name}"
    match spec.kind:
        case _Kind.COUNT:
            if not isinstance(value, int) or not spec.low <= value <= spec.high:
                raise MessageInvalid(where, f"not an integer in [{spec.low}, {spec.high}]")
        case _Kind.FLAG:
            if not isinstance(value, bool):
                raise MessageInvalid(where, "not a boolean")
        case _Kind.TEXT:
            if not isinstance(value, str) or len(value) > spec.high:
                raise MessageInvalid(where, f"not text of at most {spec.high} characters")
        case _Kind.BLOB:
            if not isinstance(value, bytes) or not spec.low <= len(value) <= spec.high:
                raise MessageInvalid(where, f"not {spec.low} to {spec.high} bytes")
        case _Kind.ARRAY:
            if not isinstance(value, np.ndarray) or value.dtype != spec.dtype or value.ndim != spec.rank:
                raise MessageInvalid(where, f"not a rank-{spec.rank} array of {spec.dtype}", "ARRAY_INVALID")
            if value.size > spec.high:
                raise MessageInvalid(where, f"more than {spec.high} elements", "ARRAY_INVALID")
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise MessageInvalid(where, "holds NaN or infinity", "ARRAY_INVALID")


def _array(message: str, name: str, spec: _Spec, wire: Any) -> npt.NDArray[Any]:
    where = f"{message}.{name}"
    dtype = DTYPES.get(wire.dtype)
    if dtype is None or dtype != spec.dtype:
        raise MessageInvalid(where, f"dtype is not {spec.dtype}", "ARRAY_INVALID")
    # The rank first: a peer may claim a million dimensions.
    if len(wire.shape) != spec.rank or len(wire.shape) > MAX_ARRAY_RANK:
        raise MessageInvalid(where, f"rank {len(wire.shape)} where {spec.rank} was due", "ARRAY_INVALID")
    shape = tuple(wire.shape)
    # Python integers do not overflow, so the product is exact whatever the peer claims.
    if math.prod(shape) * dtype.itemsize != len(wire.data):
        raise MessageInvalid(where, "shape and length disagree", "ARRAY_INVALID")
    # Beside an empty dimension any other passes the product; numpy's own sizes do overflow.
    if max(shape, default=0) > spec.high:
        raise MessageInvalid(where, f"more than {spec.high} elements", "ARRAY_INVALID")
    return np.frombuffer(wire.data, dtype=dtype).reshape(shape)
