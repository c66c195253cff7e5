from fedcredit.wire._gen import array_pb2 as _array_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LinearColumns(_message.Message):
    __slots__ = ("columns", "rows")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    columns: int
    rows: int
    def __init__(self, columns: _Optional[int] = ..., rows: _Optional[int] = ...) -> None: ...

class LinearTerms(_message.Message):
    __slots__ = ("columns", "curvature", "penalty")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    CURVATURE_FIELD_NUMBER: _ClassVar[int]
    PENALTY_FIELD_NUMBER: _ClassVar[int]
    columns: _array_pb2.Array
    curvature: _array_pb2.Array
    penalty: _array_pb2.Array
    def __init__(self, columns: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., curvature: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., penalty: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class LinearMove(_message.Message):
    __slots__ = ("action", "size", "on_s", "on_hy")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ON_S_FIELD_NUMBER: _ClassVar[int]
    ON_HY_FIELD_NUMBER: _ClassVar[int]
    action: int
    size: _array_pb2.Array
    on_s: _array_pb2.Array
    on_hy: _array_pb2.Array
    def __init__(self, action: _Optional[int] = ..., size: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., on_s: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., on_hy: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class ScoreRange(_message.Message):
    __slots__ = ("bound",)
    BOUND_FIELD_NUMBER: _ClassVar[int]
    bound: int
    def __init__(self, bound: _Optional[int] = ...) -> None: ...

class ScoreShares(_message.Message):
    __slots__ = ("first", "words")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    first: int
    words: _array_pb2.Array
    def __init__(self, first: _Optional[int] = ..., words: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class Masked(_message.Message):
    __slots__ = ("numbers",)
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    numbers: _array_pb2.Array
    def __init__(self, numbers: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class ShareSums(_message.Message):
    __slots__ = ("numbers",)
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    numbers: _array_pb2.Array
    def __init__(self, numbers: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class Products(_message.Message):
    __slots__ = ("numbers",)
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    numbers: _array_pb2.Array
    def __init__(self, numbers: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class Centres(_message.Message):
    __slots__ = ("shift", "centres")
    SHIFT_FIELD_NUMBER: _ClassVar[int]
    CENTRES_FIELD_NUMBER: _ClassVar[int]
    shift: _array_pb2.Array
    centres: _array_pb2.Array
    def __init__(self, shift: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., centres: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class LinearSigns(_message.Message):
    __slots__ = ("columns",)
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    columns: _array_pb2.Array
    def __init__(self, columns: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class StandardErrors(_message.Message):
    __slots__ = ("numbers",)
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    numbers: _array_pb2.Array
    def __init__(self, numbers: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...
