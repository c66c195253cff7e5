from fedcredit.wire._gen import array_pb2 as _array_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CountNumbers(_message.Message):
    __slots__ = ("numbers",)
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    numbers: int
    def __init__(self, numbers: _Optional[int] = ...) -> None: ...

class BankMove(_message.Message):
    __slots__ = ("action", "values")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    action: int
    values: _array_pb2.Array
    def __init__(self, action: _Optional[int] = ..., values: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...
