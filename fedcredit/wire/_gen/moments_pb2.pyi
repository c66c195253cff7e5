from fedcredit.wire._gen import array_pb2 as _array_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MomentColumns(_message.Message):
    __slots__ = ("columns", "rows")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    columns: int
    rows: int
    def __init__(self, columns: _Optional[int] = ..., rows: _Optional[int] = ...) -> None: ...

class ColumnCounts(_message.Message):
    __slots__ = ("columns",)
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    columns: _array_pb2.Array
    def __init__(self, columns: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class OwnCorrelations(_message.Message):
    __slots__ = ("numbers",)
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    numbers: _array_pb2.Array
    def __init__(self, numbers: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class MomentShares(_message.Message):
    __slots__ = ("numbers",)
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    numbers: _array_pb2.Array
    def __init__(self, numbers: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...
