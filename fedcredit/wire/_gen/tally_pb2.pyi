from fedcredit.wire._gen import array_pb2 as _array_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PointRange(_message.Message):
    __slots__ = ("low", "high")
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    low: int
    high: int
    def __init__(self, low: _Optional[int] = ..., high: _Optional[int] = ...) -> None: ...

class TallyStep(_message.Message):
    __slots__ = ("step",)
    STEP_FIELD_NUMBER: _ClassVar[int]
    step: int
    def __init__(self, step: _Optional[int] = ...) -> None: ...

class LevelShares(_message.Message):
    __slots__ = ("first", "words")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    first: int
    words: _array_pb2.Array
    def __init__(self, first: _Optional[int] = ..., words: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class TallySums(_message.Message):
    __slots__ = ("words",)
    WORDS_FIELD_NUMBER: _ClassVar[int]
    words: _array_pb2.Array
    def __init__(self, words: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class PointShares(_message.Message):
    __slots__ = ("first", "words")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    first: int
    words: _array_pb2.Array
    def __init__(self, first: _Optional[int] = ..., words: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...
