from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class HealthRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HealthReply(_message.Message):
    __slots__ = ("party", "kind", "version", "time_ms")
    PARTY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    party: str
    kind: str
    version: str
    time_ms: int
    def __init__(self, party: _Optional[str] = ..., kind: _Optional[str] = ..., version: _Optional[str] = ..., time_ms: _Optional[int] = ...) -> None: ...

class ProposeJob(_message.Message):
    __slots__ = ("proposal", "addresses", "time_ms")
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    proposal: bytes
    addresses: bytes
    time_ms: int
    def __init__(self, proposal: _Optional[bytes] = ..., addresses: _Optional[bytes] = ..., time_ms: _Optional[int] = ...) -> None: ...

class JobOffer(_message.Message):
    __slots__ = ("rows", "features", "commitment", "certificate", "subjects", "unbalanced")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    SUBJECTS_FIELD_NUMBER: _ClassVar[int]
    UNBALANCED_FIELD_NUMBER: _ClassVar[int]
    rows: int
    features: int
    commitment: bytes
    certificate: bytes
    subjects: bytes
    unbalanced: bool
    def __init__(self, rows: _Optional[int] = ..., features: _Optional[int] = ..., commitment: _Optional[bytes] = ..., certificate: _Optional[bytes] = ..., subjects: _Optional[bytes] = ..., unbalanced: _Optional[bool] = ...) -> None: ...

class SignJob(_message.Message):
    __slots__ = ("specification",)
    SPECIFICATION_FIELD_NUMBER: _ClassVar[int]
    specification: bytes
    def __init__(self, specification: _Optional[bytes] = ...) -> None: ...

class JobSignature(_message.Message):
    __slots__ = ("signature",)
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    signature: bytes
    def __init__(self, signature: _Optional[bytes] = ...) -> None: ...

class StartJob(_message.Message):
    __slots__ = ("ssid", "signatures")
    SSID_FIELD_NUMBER: _ClassVar[int]
    SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    ssid: bytes
    signatures: bytes
    def __init__(self, ssid: _Optional[bytes] = ..., signatures: _Optional[bytes] = ...) -> None: ...

class WatchJob(_message.Message):
    __slots__ = ("job", "after")
    JOB_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    job: str
    after: int
    def __init__(self, job: _Optional[str] = ..., after: _Optional[int] = ...) -> None: ...

class CancelJob(_message.Message):
    __slots__ = ("job", "code")
    JOB_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    job: str
    code: str
    def __init__(self, job: _Optional[str] = ..., code: _Optional[str] = ...) -> None: ...

class SubmitJob(_message.Message):
    __slots__ = ("definition", "request")
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    definition: bytes
    request: str
    def __init__(self, definition: _Optional[bytes] = ..., request: _Optional[str] = ...) -> None: ...

class JobSubmitted(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: str
    def __init__(self, job: _Optional[str] = ...) -> None: ...

class JobEvent(_message.Message):
    __slots__ = ("seq", "party", "job", "kind", "stage", "done", "total", "code", "exit_status", "culprit", "detail", "origin")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    PARTY_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    EXIT_STATUS_FIELD_NUMBER: _ClassVar[int]
    CULPRIT_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    seq: int
    party: str
    job: str
    kind: str
    stage: str
    done: int
    total: int
    code: str
    exit_status: int
    culprit: str
    detail: bytes
    origin: int
    def __init__(self, seq: _Optional[int] = ..., party: _Optional[str] = ..., job: _Optional[str] = ..., kind: _Optional[str] = ..., stage: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., code: _Optional[str] = ..., exit_status: _Optional[int] = ..., culprit: _Optional[str] = ..., detail: _Optional[bytes] = ..., origin: _Optional[int] = ...) -> None: ...

class StandingRequest(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: str
    def __init__(self, job: _Optional[str] = ...) -> None: ...

class StandingReply(_message.Message):
    __slots__ = ("state", "epoch", "checkpoints", "ready", "code", "culprit", "need", "left_out")
    STATE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    CULPRIT_FIELD_NUMBER: _ClassVar[int]
    NEED_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    state: str
    epoch: int
    checkpoints: bytes
    ready: bool
    code: str
    culprit: str
    need: int
    left_out: bytes
    def __init__(self, state: _Optional[str] = ..., epoch: _Optional[int] = ..., checkpoints: _Optional[bytes] = ..., ready: _Optional[bool] = ..., code: _Optional[str] = ..., culprit: _Optional[str] = ..., need: _Optional[int] = ..., left_out: _Optional[bytes] = ...) -> None: ...

class ResumeJob(_message.Message):
    __slots__ = ("job", "epoch", "keep", "digest", "finished", "addresses", "left_out")
    JOB_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    KEEP_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    job: str
    epoch: int
    keep: int
    digest: bytes
    finished: bool
    addresses: bytes
    left_out: bytes
    def __init__(self, job: _Optional[str] = ..., epoch: _Optional[int] = ..., keep: _Optional[int] = ..., digest: _Optional[bytes] = ..., finished: _Optional[bool] = ..., addresses: _Optional[bytes] = ..., left_out: _Optional[bytes] = ...) -> None: ...

class ListJobs(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: int
    def __init__(self, limit: _Optional[int] = ...) -> None: ...

class ShowJob(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: str
    def __init__(self, job: _Optional[str] = ...) -> None: ...

class JobReport(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: bytes
    def __init__(self, document: _Optional[bytes] = ...) -> None: ...

class ApproveJob(_message.Message):
    __slots__ = ("job", "by", "refuse", "reason")
    JOB_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    REFUSE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    job: str
    by: str
    refuse: bool
    reason: str
    def __init__(self, job: _Optional[str] = ..., by: _Optional[str] = ..., refuse: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class ShutdownRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Accepted(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
