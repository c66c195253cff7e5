from fedcredit.wire._gen import array_pb2 as _array_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChoiceCorrections(_message.Message):
    __slots__ = ("feature", "first_row", "words")
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    FIRST_ROW_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    feature: int
    first_row: int
    words: _array_pb2.Array
    def __init__(self, feature: _Optional[int] = ..., first_row: _Optional[int] = ..., words: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class LevelSums(_message.Message):
    __slots__ = ("feature", "first_row", "blocks")
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    FIRST_ROW_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    feature: int
    first_row: int
    blocks: _array_pb2.Array
    def __init__(self, feature: _Optional[int] = ..., first_row: _Optional[int] = ..., blocks: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class Corrections(_message.Message):
    __slots__ = ("round", "first", "words")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    round: int
    first: int
    words: _array_pb2.Array
    def __init__(self, round: _Optional[int] = ..., first: _Optional[int] = ..., words: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class GroupSums(_message.Message):
    __slots__ = ("round", "first", "words")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    round: int
    first: int
    words: _array_pb2.Array
    def __init__(self, round: _Optional[int] = ..., first: _Optional[int] = ..., words: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class PlainGroups(_message.Message):
    __slots__ = ("feature", "codes")
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    CODES_FIELD_NUMBER: _ClassVar[int]
    feature: int
    codes: _array_pb2.Array
    def __init__(self, feature: _Optional[int] = ..., codes: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class PaillierKey(_message.Message):
    __slots__ = ("modulus",)
    MODULUS_FIELD_NUMBER: _ClassVar[int]
    modulus: bytes
    def __init__(self, modulus: _Optional[bytes] = ...) -> None: ...

class EncryptedValues(_message.Message):
    __slots__ = ("round", "first", "key", "rows")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    round: int
    first: int
    key: bytes
    rows: _array_pb2.Array
    def __init__(self, round: _Optional[int] = ..., first: _Optional[int] = ..., key: _Optional[bytes] = ..., rows: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class EncryptedSums(_message.Message):
    __slots__ = ("round", "first", "key", "rows")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    round: int
    first: int
    key: bytes
    rows: _array_pb2.Array
    def __init__(self, round: _Optional[int] = ..., first: _Optional[int] = ..., key: _Optional[bytes] = ..., rows: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...
