from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class ScoreMeeting(_message.Message):
    __slots__ = ("model", "version", "purpose", "words", "lent")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    LENT_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    purpose: str
    words: bytes
    lent: bytes
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., purpose: _Optional[str] = ..., words: _Optional[bytes] = ..., lent: _Optional[bytes] = ...) -> None: ...

class ScoreMet(_message.Message):
    __slots__ = ("word", "manifest", "kind", "role", "max_rows", "min_providers")
    WORD_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    MIN_PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    word: bytes
    manifest: bytes
    kind: str
    role: str
    max_rows: int
    min_providers: int
    def __init__(self, word: _Optional[bytes] = ..., manifest: _Optional[bytes] = ..., kind: _Optional[str] = ..., role: _Optional[str] = ..., max_rows: _Optional[int] = ..., min_providers: _Optional[int] = ...) -> None: ...

class ScoreCall(_message.Message):
    __slots__ = ("model", "version", "messages", "consents")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: int
    messages: bytes
    consents: bytes
    def __init__(self, model: _Optional[str] = ..., version: _Optional[int] = ..., messages: _Optional[bytes] = ..., consents: _Optional[bytes] = ...) -> None: ...

class ScoreReply(_message.Message):
    __slots__ = ("messages", "signature", "certificate")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    messages: bytes
    signature: bytes
    certificate: bytes
    def __init__(self, messages: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., certificate: _Optional[bytes] = ...) -> None: ...
