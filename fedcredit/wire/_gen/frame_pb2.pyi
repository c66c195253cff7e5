from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Frame(_message.Message):
    __slots__ = ("header", "body")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    header: FrameHeader
    body: bytes
    def __init__(self, header: _Optional[_Union[FrameHeader, _Mapping]] = ..., body: _Optional[bytes] = ...) -> None: ...

class FrameHeader(_message.Message):
    __slots__ = ("ssid", "epoch", "stage", "sender", "seq", "tag", "body_hash")
    SSID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    BODY_HASH_FIELD_NUMBER: _ClassVar[int]
    ssid: bytes
    epoch: int
    stage: str
    sender: str
    seq: int
    tag: int
    body_hash: bytes
    def __init__(self, ssid: _Optional[bytes] = ..., epoch: _Optional[int] = ..., stage: _Optional[str] = ..., sender: _Optional[str] = ..., seq: _Optional[int] = ..., tag: _Optional[int] = ..., body_hash: _Optional[bytes] = ...) -> None: ...

class Abort(_message.Message):
    __slots__ = ("stage", "code", "status", "lost")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    stage: str
    code: str
    status: int
    lost: str
    def __init__(self, stage: _Optional[str] = ..., code: _Optional[str] = ..., status: _Optional[int] = ..., lost: _Optional[str] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("ssid", "epoch", "stage", "next_seq", "refused", "hang_up")
    SSID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQ_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    HANG_UP_FIELD_NUMBER: _ClassVar[int]
    ssid: bytes
    epoch: int
    stage: str
    next_seq: int
    refused: str
    hang_up: str
    def __init__(self, ssid: _Optional[bytes] = ..., epoch: _Optional[int] = ..., stage: _Optional[str] = ..., next_seq: _Optional[int] = ..., refused: _Optional[str] = ..., hang_up: _Optional[str] = ...) -> None: ...
