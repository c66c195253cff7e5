from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class EnrolRequest(_message.Message):
    __slots__ = ("secret", "party", "kind", "address", "authority", "request", "signer", "proof")
    SECRET_FIELD_NUMBER: _ClassVar[int]
    PARTY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    AUTHORITY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    SIGNER_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    secret: bytes
    party: str
    kind: str
    address: str
    authority: bytes
    request: bytes
    signer: bytes
    proof: bytes
    def __init__(self, secret: _Optional[bytes] = ..., party: _Optional[str] = ..., kind: _Optional[str] = ..., address: _Optional[str] = ..., authority: _Optional[bytes] = ..., request: _Optional[bytes] = ..., signer: _Optional[bytes] = ..., proof: _Optional[bytes] = ...) -> None: ...

class EnrolReply(_message.Message):
    __slots__ = ("directory", "signature", "certificate")
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    directory: bytes
    signature: bytes
    certificate: bytes
    def __init__(self, directory: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., certificate: _Optional[bytes] = ...) -> None: ...

class FetchRequest(_message.Message):
    __slots__ = ("serial", "wait_ms")
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    serial: int
    wait_ms: int
    def __init__(self, serial: _Optional[int] = ..., wait_ms: _Optional[int] = ...) -> None: ...

class WithdrawRequest(_message.Message):
    __slots__ = ("not_before", "proof")
    NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    not_before: int
    proof: bytes
    def __init__(self, not_before: _Optional[int] = ..., proof: _Optional[bytes] = ...) -> None: ...
