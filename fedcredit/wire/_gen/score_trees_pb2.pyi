from fedcredit.wire._gen import array_pb2 as _array_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TreesKey(_message.Message):
    __slots__ = ("owner", "name", "begins", "ends", "parameters", "seed", "b")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    BEGINS_FIELD_NUMBER: _ClassVar[int]
    ENDS_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    owner: str
    name: str
    begins: int
    ends: int
    parameters: str
    seed: bytes
    b: _array_pb2.Array
    def __init__(self, owner: _Optional[str] = ..., name: _Optional[str] = ..., begins: _Optional[int] = ..., ends: _Optional[int] = ..., parameters: _Optional[str] = ..., seed: _Optional[bytes] = ..., b: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class TreesMap(_message.Message):
    __slots__ = ("model", "counts", "splits", "left")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    SPLITS_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    model: bytes
    counts: _array_pb2.Array
    splits: _array_pb2.Array
    left: _array_pb2.Array
    def __init__(self, model: _Optional[bytes] = ..., counts: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., splits: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., left: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class TreesVector(_message.Message):
    __slots__ = ("request", "sealed")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    request: bytes
    sealed: _array_pb2.Array
    def __init__(self, request: _Optional[bytes] = ..., sealed: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class TreesPart(_message.Message):
    __slots__ = ("request", "sealed", "marks")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    request: bytes
    sealed: _array_pb2.Array
    marks: _array_pb2.Array
    def __init__(self, request: _Optional[bytes] = ..., sealed: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., marks: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...
