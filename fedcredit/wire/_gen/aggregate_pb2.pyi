from fedcredit.wire._gen import array_pb2 as _array_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MemberKey(_message.Message):
    __slots__ = ("public",)
    PUBLIC_FIELD_NUMBER: _ClassVar[int]
    public: bytes
    def __init__(self, public: _Optional[bytes] = ...) -> None: ...

class MaskedWords(_message.Message):
    __slots__ = ("first", "words")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    first: int
    words: _array_pb2.Array
    def __init__(self, first: _Optional[int] = ..., words: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class SumWords(_message.Message):
    __slots__ = ("first", "words")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    first: int
    words: _array_pb2.Array
    def __init__(self, first: _Optional[int] = ..., words: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class Deal(_message.Message):
    __slots__ = ("public", "shares", "checks")
    PUBLIC_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    public: bytes
    shares: _array_pb2.Array
    checks: _array_pb2.Array
    def __init__(self, public: _Optional[bytes] = ..., shares: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., checks: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class DealsHeld(_message.Message):
    __slots__ = ("members",)
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    members: _array_pb2.Array
    def __init__(self, members: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class MembersLeft(_message.Message):
    __slots__ = ("step", "members")
    STEP_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    step: int
    members: _array_pb2.Array
    def __init__(self, step: _Optional[int] = ..., members: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class SecretShares(_message.Message):
    __slots__ = ("shares",)
    SHARES_FIELD_NUMBER: _ClassVar[int]
    shares: _array_pb2.Array
    def __init__(self, shares: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...
