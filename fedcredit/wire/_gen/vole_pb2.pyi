from fedcredit.wire._gen import array_pb2 as _array_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class VoleChoices(_message.Message):
    __slots__ = ("piece", "elements", "words")
    PIECE_FIELD_NUMBER: _ClassVar[int]
    ELEMENTS_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    piece: int
    elements: int
    words: _array_pb2.Array
    def __init__(self, piece: _Optional[int] = ..., elements: _Optional[int] = ..., words: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class VoleOffer(_message.Message):
    __slots__ = ("piece", "blocks")
    PIECE_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    piece: int
    blocks: _array_pb2.Array
    def __init__(self, piece: _Optional[int] = ..., blocks: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...
