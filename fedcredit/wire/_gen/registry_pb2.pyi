from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class ModelOffer(_message.Message):
    __slots__ = ("offer", "signature", "certificate")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    offer: bytes
    signature: bytes
    certificate: bytes
    def __init__(self, offer: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., certificate: _Optional[bytes] = ...) -> None: ...

class ModelWord(_message.Message):
    __slots__ = ("word", "signature", "certificate")
    WORD_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    word: bytes
    signature: bytes
    certificate: bytes
    def __init__(self, word: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., certificate: _Optional[bytes] = ...) -> None: ...

class ModelChange(_message.Message):
    __slots__ = ("change", "name", "version", "by")
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    change: str
    name: str
    version: int
    by: str
    def __init__(self, change: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[int] = ..., by: _Optional[str] = ...) -> None: ...

class ModelOrder(_message.Message):
    __slots__ = ("order", "name", "version", "job", "model", "by")
    ORDER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    order: str
    name: str
    version: int
    job: str
    model: str
    by: str
    def __init__(self, order: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[int] = ..., job: _Optional[str] = ..., model: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class ShowModels(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class ModelDocument(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: bytes
    def __init__(self, document: _Optional[bytes] = ...) -> None: ...

class FollowModels(_message.Message):
    __slots__ = ("number", "wait_ms")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    number: int
    wait_ms: int
    def __init__(self, number: _Optional[int] = ..., wait_ms: _Optional[int] = ...) -> None: ...

class ModelBulletin(_message.Message):
    __slots__ = ("body", "signature", "certificate")
    BODY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    signature: bytes
    certificate: bytes
    def __init__(self, body: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., certificate: _Optional[bytes] = ...) -> None: ...

class DriftOrder(_message.Message):
    __slots__ = ("name", "version", "month", "index", "scores", "by")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MONTH_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    month: str
    index: int
    scores: int
    by: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., month: _Optional[str] = ..., index: _Optional[int] = ..., scores: _Optional[int] = ..., by: _Optional[str] = ...) -> None: ...

class ModelDrift(_message.Message):
    __slots__ = ("word", "signature", "certificate")
    WORD_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    word: bytes
    signature: bytes
    certificate: bytes
    def __init__(self, word: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., certificate: _Optional[bytes] = ...) -> None: ...
