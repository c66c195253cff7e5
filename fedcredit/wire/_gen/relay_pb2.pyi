from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class RelayJoin(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RelayCall(_message.Message):
    __slots__ = ("call", "caller")
    CALL_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    call: bytes
    caller: str
    def __init__(self, call: _Optional[bytes] = ..., caller: _Optional[str] = ...) -> None: ...

class RelayPiece(_message.Message):
    __slots__ = ("to", "call", "data", "end")
    TO_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    to: str
    call: bytes
    data: bytes
    end: bool
    def __init__(self, to: _Optional[str] = ..., call: _Optional[bytes] = ..., data: _Optional[bytes] = ..., end: _Optional[bool] = ...) -> None: ...
