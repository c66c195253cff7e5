from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_YES: _ClassVar[Outcome]
    OUTCOME_NO: _ClassVar[Outcome]
    OUTCOME_UNKNOWN: _ClassVar[Outcome]
    OUTCOME_REFUSED: _ClassVar[Outcome]
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_YES: Outcome
OUTCOME_NO: Outcome
OUTCOME_UNKNOWN: Outcome
OUTCOME_REFUSED: Outcome

class Texts(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class Argument(_message.Message):
    __slots__ = ("name", "number", "text", "texts")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    number: float
    text: str
    texts: Texts
    def __init__(self, name: _Optional[str] = ..., number: _Optional[float] = ..., text: _Optional[str] = ..., texts: _Optional[_Union[Texts, _Mapping]] = ...) -> None: ...

class Question(_message.Message):
    __slots__ = ("subject", "predicate", "arguments", "subject_name")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    PREDICATE_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_NAME_FIELD_NUMBER: _ClassVar[int]
    subject: str
    predicate: str
    arguments: _containers.RepeatedCompositeFieldContainer[Argument]
    subject_name: str
    def __init__(self, subject: _Optional[str] = ..., predicate: _Optional[str] = ..., arguments: _Optional[_Iterable[_Union[Argument, _Mapping]]] = ..., subject_name: _Optional[str] = ...) -> None: ...

class VerifyRequest(_message.Message):
    __slots__ = ("question", "purpose", "consent", "nonce")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    question: Question
    purpose: str
    consent: str
    nonce: bytes
    def __init__(self, question: _Optional[_Union[Question, _Mapping]] = ..., purpose: _Optional[str] = ..., consent: _Optional[str] = ..., nonce: _Optional[bytes] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("provider", "request", "outcome", "evaluated_on", "recorded_on", "catalog_version", "predicates_version")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    EVALUATED_ON_FIELD_NUMBER: _ClassVar[int]
    RECORDED_ON_FIELD_NUMBER: _ClassVar[int]
    CATALOG_VERSION_FIELD_NUMBER: _ClassVar[int]
    PREDICATES_VERSION_FIELD_NUMBER: _ClassVar[int]
    provider: str
    request: bytes
    outcome: Outcome
    evaluated_on: int
    recorded_on: int
    catalog_version: int
    predicates_version: int
    def __init__(self, provider: _Optional[str] = ..., request: _Optional[bytes] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., evaluated_on: _Optional[int] = ..., recorded_on: _Optional[int] = ..., catalog_version: _Optional[int] = ..., predicates_version: _Optional[int] = ...) -> None: ...

class Proof(_message.Message):
    __slots__ = ("entry", "sequence", "path", "head")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    entry: bytes
    sequence: int
    path: _containers.RepeatedScalarFieldContainer[bytes]
    head: bytes
    def __init__(self, entry: _Optional[bytes] = ..., sequence: _Optional[int] = ..., path: _Optional[_Iterable[bytes]] = ..., head: _Optional[bytes] = ...) -> None: ...

class VerifyReply(_message.Message):
    __slots__ = ("answer", "proof")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    answer: bytes
    proof: Proof
    def __init__(self, answer: _Optional[bytes] = ..., proof: _Optional[_Union[Proof, _Mapping]] = ...) -> None: ...

class Kind(_message.Message):
    __slots__ = ("predicate", "arguments")
    PREDICATE_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    predicate: str
    arguments: _containers.RepeatedCompositeFieldContainer[Argument]
    def __init__(self, predicate: _Optional[str] = ..., arguments: _Optional[_Iterable[_Union[Argument, _Mapping]]] = ...) -> None: ...

class Check(_message.Message):
    __slots__ = ("subject", "kind", "consent")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    subject: str
    kind: int
    consent: int
    def __init__(self, subject: _Optional[str] = ..., kind: _Optional[int] = ..., consent: _Optional[int] = ...) -> None: ...

class VerifyBatchRequest(_message.Message):
    __slots__ = ("consents", "purpose", "nonce", "checks", "kinds")
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    consents: _containers.RepeatedScalarFieldContainer[str]
    purpose: str
    nonce: bytes
    checks: _containers.RepeatedCompositeFieldContainer[Check]
    kinds: _containers.RepeatedCompositeFieldContainer[Kind]
    def __init__(self, consents: _Optional[_Iterable[str]] = ..., purpose: _Optional[str] = ..., nonce: _Optional[bytes] = ..., checks: _Optional[_Iterable[_Union[Check, _Mapping]]] = ..., kinds: _Optional[_Iterable[_Union[Kind, _Mapping]]] = ...) -> None: ...

class BatchAnswer(_message.Message):
    __slots__ = ("provider", "request", "outcomes", "recorded_on", "evaluated_on", "catalog_version", "predicates_version")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    RECORDED_ON_FIELD_NUMBER: _ClassVar[int]
    EVALUATED_ON_FIELD_NUMBER: _ClassVar[int]
    CATALOG_VERSION_FIELD_NUMBER: _ClassVar[int]
    PREDICATES_VERSION_FIELD_NUMBER: _ClassVar[int]
    provider: str
    request: bytes
    outcomes: bytes
    recorded_on: bytes
    evaluated_on: int
    catalog_version: int
    predicates_version: int
    def __init__(self, provider: _Optional[str] = ..., request: _Optional[bytes] = ..., outcomes: _Optional[bytes] = ..., recorded_on: _Optional[bytes] = ..., evaluated_on: _Optional[int] = ..., catalog_version: _Optional[int] = ..., predicates_version: _Optional[int] = ...) -> None: ...

class VerifyBatchReply(_message.Message):
    __slots__ = ("answers", "proof")
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    answers: bytes
    proof: Proof
    def __init__(self, answers: _Optional[bytes] = ..., proof: _Optional[_Union[Proof, _Mapping]] = ...) -> None: ...
