from fedcredit.wire._gen import node_pb2 as _node_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class GrantConsent(_message.Message):
    __slots__ = ("account", "secret", "request", "terms", "disclosure")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    DISCLOSURE_FIELD_NUMBER: _ClassVar[int]
    account: str
    secret: str
    request: str
    terms: bytes
    disclosure: bytes
    def __init__(self, account: _Optional[str] = ..., secret: _Optional[str] = ..., request: _Optional[str] = ..., terms: _Optional[bytes] = ..., disclosure: _Optional[bytes] = ...) -> None: ...

class RevokeConsent(_message.Message):
    __slots__ = ("account", "secret", "consent", "token", "reason")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    account: str
    secret: str
    consent: str
    token: str
    reason: str
    def __init__(self, account: _Optional[str] = ..., secret: _Optional[str] = ..., consent: _Optional[str] = ..., token: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ShowConsents(_message.Message):
    __slots__ = ("account", "secret", "consent")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    account: str
    secret: str
    consent: str
    def __init__(self, account: _Optional[str] = ..., secret: _Optional[str] = ..., consent: _Optional[str] = ...) -> None: ...

class RegisterConsentKey(_message.Message):
    __slots__ = ("account", "secret", "subject", "public_key", "proof")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    account: str
    secret: str
    subject: str
    public_key: bytes
    proof: bytes
    def __init__(self, account: _Optional[str] = ..., secret: _Optional[str] = ..., subject: _Optional[str] = ..., public_key: _Optional[bytes] = ..., proof: _Optional[bytes] = ...) -> None: ...

class ChangeConsentKeys(_message.Message):
    __slots__ = ("rotate", "retire")
    ROTATE_FIELD_NUMBER: _ClassVar[int]
    RETIRE_FIELD_NUMBER: _ClassVar[int]
    rotate: bool
    retire: str
    def __init__(self, rotate: _Optional[bool] = ..., retire: _Optional[str] = ...) -> None: ...

class ConsentDocument(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: bytes
    def __init__(self, document: _Optional[bytes] = ...) -> None: ...

class FollowConsents(_message.Message):
    __slots__ = ("number", "wait_ms")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    number: int
    wait_ms: int
    def __init__(self, number: _Optional[int] = ..., wait_ms: _Optional[int] = ...) -> None: ...

class ConsentBulletin(_message.Message):
    __slots__ = ("head", "signature", "certificate", "body")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    head: bytes
    signature: bytes
    certificate: bytes
    body: bytes
    def __init__(self, head: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., certificate: _Optional[bytes] = ..., body: _Optional[bytes] = ...) -> None: ...
