from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class HeadShown(_message.Message):
    __slots__ = ("head", "certificate", "since", "path")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    head: bytes
    certificate: bytes
    since: int
    path: bytes
    def __init__(self, head: _Optional[bytes] = ..., certificate: _Optional[bytes] = ..., since: _Optional[int] = ..., path: _Optional[bytes] = ...) -> None: ...

class HeadSeen(_message.Message):
    __slots__ = ("signature", "certificate", "known")
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    signature: bytes
    certificate: bytes
    known: bytes
    def __init__(self, signature: _Optional[bytes] = ..., certificate: _Optional[bytes] = ..., known: _Optional[bytes] = ...) -> None: ...
