from fedcredit.wire._gen import array_pb2 as _array_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TermsWanted(_message.Message):
    __slots__ = ("predicate", "purpose")
    PREDICATE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    predicate: str
    purpose: str
    def __init__(self, predicate: _Optional[str] = ..., purpose: _Optional[str] = ...) -> None: ...

class FilterTerms(_message.Message):
    __slots__ = ("region", "entries")
    REGION_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    region: str
    entries: int
    def __init__(self, region: _Optional[str] = ..., entries: _Optional[int] = ...) -> None: ...

class FilterWanted(_message.Message):
    __slots__ = ("predicate", "purpose", "key", "version", "digest")
    PREDICATE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    predicate: str
    purpose: str
    key: bytes
    version: int
    digest: bytes
    def __init__(self, predicate: _Optional[str] = ..., purpose: _Optional[str] = ..., key: _Optional[bytes] = ..., version: _Optional[int] = ..., digest: _Optional[bytes] = ...) -> None: ...

class FilterPart(_message.Message):
    __slots__ = ("kind", "body")
    KIND_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    kind: int
    body: bytes
    def __init__(self, kind: _Optional[int] = ..., body: _Optional[bytes] = ...) -> None: ...

class PermitWanted(_message.Message):
    __slots__ = ("provider", "region", "predicate", "purpose", "key", "blind", "consents")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    PREDICATE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    BLIND_FIELD_NUMBER: _ClassVar[int]
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    provider: str
    region: str
    predicate: str
    purpose: str
    key: bytes
    blind: bytes
    consents: bytes
    def __init__(self, provider: _Optional[str] = ..., region: _Optional[str] = ..., predicate: _Optional[str] = ..., purpose: _Optional[str] = ..., key: _Optional[bytes] = ..., blind: _Optional[bytes] = ..., consents: _Optional[bytes] = ...) -> None: ...

class PermitGiven(_message.Message):
    __slots__ = ("taken", "permit", "kid", "signature")
    TAKEN_FIELD_NUMBER: _ClassVar[int]
    PERMIT_FIELD_NUMBER: _ClassVar[int]
    KID_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    taken: bytes
    permit: bytes
    kid: str
    signature: bytes
    def __init__(self, taken: _Optional[bytes] = ..., permit: _Optional[bytes] = ..., kid: _Optional[str] = ..., signature: _Optional[bytes] = ...) -> None: ...

class EvaluateMembers(_message.Message):
    __slots__ = ("permit", "kid", "signature", "points")
    PERMIT_FIELD_NUMBER: _ClassVar[int]
    KID_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    permit: bytes
    kid: str
    signature: bytes
    points: _array_pb2.Array
    def __init__(self, permit: _Optional[bytes] = ..., kid: _Optional[str] = ..., signature: _Optional[bytes] = ..., points: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class EvaluatedMembers(_message.Message):
    __slots__ = ("points",)
    POINTS_FIELD_NUMBER: _ClassVar[int]
    points: _array_pb2.Array
    def __init__(self, points: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...
