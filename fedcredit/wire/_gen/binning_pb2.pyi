from fedcredit.wire._gen import array_pb2 as _array_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Prebins(_message.Message):
    __slots__ = ("values", "missing", "special", "style")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    SPECIAL_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    values: _array_pb2.Array
    missing: _array_pb2.Array
    special: _array_pb2.Array
    style: _array_pb2.Array
    def __init__(self, values: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., missing: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., special: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., style: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class CountPlan(_message.Message):
    __slots__ = ("batches",)
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    batches: int
    def __init__(self, batches: _Optional[int] = ...) -> None: ...

class SettledBins(_message.Message):
    __slots__ = ("first", "refused", "labels", "iv", "woe")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    IV_FIELD_NUMBER: _ClassVar[int]
    WOE_FIELD_NUMBER: _ClassVar[int]
    first: int
    refused: _array_pb2.Array
    labels: _array_pb2.Array
    iv: _array_pb2.Array
    woe: _array_pb2.Array
    def __init__(self, first: _Optional[int] = ..., refused: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., labels: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., iv: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., woe: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class CountKey(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    def __init__(self, key: _Optional[bytes] = ...) -> None: ...

class SealedLabels(_message.Message):
    __slots__ = ("first", "data")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    first: int
    data: bytes
    def __init__(self, first: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class RowCounts(_message.Message):
    __slots__ = ("first", "rows")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    first: int
    rows: _array_pb2.Array
    def __init__(self, first: _Optional[int] = ..., rows: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class SealedCounts(_message.Message):
    __slots__ = ("first", "data")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    first: int
    data: bytes
    def __init__(self, first: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...
