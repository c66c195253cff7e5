from fedcredit.wire._gen import array_pb2 as _array_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ScoreKey(_message.Message):
    __slots__ = ("owner", "name", "begins", "ends", "point", "proof")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    BEGINS_FIELD_NUMBER: _ClassVar[int]
    ENDS_FIELD_NUMBER: _ClassVar[int]
    POINT_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    owner: str
    name: str
    begins: int
    ends: int
    point: bytes
    proof: bytes
    def __init__(self, owner: _Optional[str] = ..., name: _Optional[str] = ..., begins: _Optional[int] = ..., ends: _Optional[int] = ..., point: _Optional[bytes] = ..., proof: _Optional[bytes] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("requester", "purpose", "model", "key", "nonce", "issued_at", "rows", "providers", "pair_keys", "subjects", "consents")
    REQUESTER_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    PAIR_KEYS_FIELD_NUMBER: _ClassVar[int]
    SUBJECTS_FIELD_NUMBER: _ClassVar[int]
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    requester: str
    purpose: str
    model: bytes
    key: bytes
    nonce: bytes
    issued_at: int
    rows: int
    providers: str
    pair_keys: _array_pb2.Array
    subjects: bytes
    consents: _array_pb2.Array
    def __init__(self, requester: _Optional[str] = ..., purpose: _Optional[str] = ..., model: _Optional[bytes] = ..., key: _Optional[bytes] = ..., nonce: _Optional[bytes] = ..., issued_at: _Optional[int] = ..., rows: _Optional[int] = ..., providers: _Optional[str] = ..., pair_keys: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., subjects: _Optional[bytes] = ..., consents: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class ScoreSubjects(_message.Message):
    __slots__ = ("first", "codes", "consents")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    CODES_FIELD_NUMBER: _ClassVar[int]
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    first: int
    codes: _array_pb2.Array
    consents: _array_pb2.Array
    def __init__(self, first: _Optional[int] = ..., codes: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., consents: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class ScorePart(_message.Message):
    __slots__ = ("request", "first", "ciphertexts", "marks")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    CIPHERTEXTS_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    request: bytes
    first: int
    ciphertexts: _array_pb2.Array
    marks: _array_pb2.Array
    def __init__(self, request: _Optional[bytes] = ..., first: _Optional[int] = ..., ciphertexts: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., marks: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class ScoreBands(_message.Message):
    __slots__ = ("bounds",)
    BOUNDS_FIELD_NUMBER: _ClassVar[int]
    bounds: _array_pb2.Array
    def __init__(self, bounds: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class BandPart(_message.Message):
    __slots__ = ("request", "first", "words", "marks")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    request: bytes
    first: int
    words: _array_pb2.Array
    marks: _array_pb2.Array
    def __init__(self, request: _Optional[bytes] = ..., first: _Optional[int] = ..., words: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., marks: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class BandChoices(_message.Message):
    __slots__ = ("request", "first", "points")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    request: bytes
    first: int
    points: _array_pb2.Array
    def __init__(self, request: _Optional[bytes] = ..., first: _Optional[int] = ..., points: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...

class BandTables(_message.Message):
    __slots__ = ("request", "first", "point", "tables", "marks")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    POINT_FIELD_NUMBER: _ClassVar[int]
    TABLES_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    request: bytes
    first: int
    point: bytes
    tables: _array_pb2.Array
    marks: _array_pb2.Array
    def __init__(self, request: _Optional[bytes] = ..., first: _Optional[int] = ..., point: _Optional[bytes] = ..., tables: _Optional[_Union[_array_pb2.Array, _Mapping]] = ..., marks: _Optional[_Union[_array_pb2.Array, _Mapping]] = ...) -> None: ...
