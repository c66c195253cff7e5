from fedcredit.wire._gen import array_pb2 as _array_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ColumnFigures(_message.Message):
    __slots__ = ("missing", "stability")
    MISSING_FIELD_NUMBER: _ClassVar[int]
    STABILITY_FIELD_NUMBER: _ClassVar[int]
    missing: _array_pb2.Array
    stability: _array_pb2.Array
    def __init__(self, missing: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., stability: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class ChosenColumns(_message.Message):
    __slots__ = ("columns", "parties", "final")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    PARTIES_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    columns: _array_pb2.Array
    parties: _array_pb2.Array
    final: bool
    def __init__(self, columns: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., parties: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., final: _Optional[bool] = ...) -> None: ...

class KeptColumns(_message.Message):
    __slots__ = ("kept", "correlation", "nearest")
    KEPT_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_FIELD_NUMBER: _ClassVar[int]
    NEAREST_FIELD_NUMBER: _ClassVar[int]
    kept: _array_pb2.Array
    correlation: _array_pb2.Array
    nearest: _array_pb2.Array
    def __init__(self, kept: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., correlation: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., nearest: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class Significance(_message.Message):
    __slots__ = ("z",)
    Z_FIELD_NUMBER: _ClassVar[int]
    z: _array_pb2.Array
    def __init__(self, z: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class CardDocument(_message.Message):
    __slots__ = ("part", "last")
    PART_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    part: bytes
    last: bool
    def __init__(self, part: _Optional[bytes] = ..., last: _Optional[bool] = ...) -> None: ...
