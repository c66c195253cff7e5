from fedcredit.wire._gen import array_pb2 as _array_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TableAsk(_message.Message):
    __slots__ = ("categories", "values")
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    categories: int
    values: int
    def __init__(self, categories: _Optional[int] = ..., values: _Optional[int] = ...) -> None: ...

class TableGroups(_message.Message):
    __slots__ = ("sizes", "text")
    SIZES_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    sizes: _array_pb2.Array
    text: _array_pb2.Array
    def __init__(self, sizes: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., text: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class CellPoints(_message.Message):
    __slots__ = ("first", "points")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    first: int
    points: _array_pb2.Array
    def __init__(self, first: _Optional[int] = ..., points: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class CellPointsAgain(_message.Message):
    __slots__ = ("first", "points")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    first: int
    points: _array_pb2.Array
    def __init__(self, first: _Optional[int] = ..., points: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class SmallPoints(_message.Message):
    __slots__ = ("first", "points")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    first: int
    points: _array_pb2.Array
    def __init__(self, first: _Optional[int] = ..., points: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class OpenedCells(_message.Message):
    __slots__ = ("hidden", "words")
    HIDDEN_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    hidden: _array_pb2.Array
    words: _array_pb2.Array
    def __init__(self, hidden: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., words: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class SharedTable(_message.Message):
    __slots__ = ("number", "refused", "row_sizes", "row_text", "column_sizes", "column_text", "hidden", "counts", "sums", "spreads")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    ROW_SIZES_FIELD_NUMBER: _ClassVar[int]
    ROW_TEXT_FIELD_NUMBER: _ClassVar[int]
    COLUMN_SIZES_FIELD_NUMBER: _ClassVar[int]
    COLUMN_TEXT_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    SUMS_FIELD_NUMBER: _ClassVar[int]
    SPREADS_FIELD_NUMBER: _ClassVar[int]
    number: int
    refused: int
    row_sizes: _array_pb2.Array
    row_text: _array_pb2.Array
    column_sizes: _array_pb2.Array
    column_text: _array_pb2.Array
    hidden: _array_pb2.Array
    counts: _array_pb2.Array
    sums: _array_pb2.Array
    spreads: _array_pb2.Array
    def __init__(self, number: _Optional[int] = ..., refused: _Optional[int] = ..., row_sizes: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., row_text: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., column_sizes: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., column_text: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., hidden: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., counts: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., sums: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., spreads: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...
