from fedcredit.wire._gen import array_pb2 as _array_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TransferKey(_message.Message):
    __slots__ = ("point",)
    POINT_FIELD_NUMBER: _ClassVar[int]
    point: bytes
    def __init__(self, point: _Optional[bytes] = ...) -> None: ...

class TransferChoices(_message.Message):
    __slots__ = ("points",)
    POINTS_FIELD_NUMBER: _ClassVar[int]
    points: _array_pb2.Array
    def __init__(self, points: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class SeedSums(_message.Message):
    __slots__ = ("blocks",)
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    blocks: _array_pb2.Array
    def __init__(self, blocks: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...
