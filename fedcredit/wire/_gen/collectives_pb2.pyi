from fedcredit.wire._gen import array_pb2 as _array_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BestSplits(_message.Message):
    __slots__ = ("numbers", "reals")
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    REALS_FIELD_NUMBER: _ClassVar[int]
    numbers: _array_pb2.Array
    reals: _array_pb2.Array
    def __init__(self, numbers: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., reals: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class Agreed(_message.Message):
    __slots__ = ("digest",)
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    def __init__(self, digest: _Optional[bytes] = ...) -> None: ...
