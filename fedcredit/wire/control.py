"""Messages of the control plane: between an operator, the platform and the parties. No subject's data travels here.

They are requests and replies of gRPC calls, not of protocol stages; a session that meets one rejects it.
"""

from __future__ import annotations

from dataclasses import dataclass

from fedcredit.wire._gen import (
    consent_pb2,
    enrol_pb2,
    membership_pb2,
    node_pb2,
    registry_pb2,
    scoring_pb2,
    usage_pb2,
    witness_pb2,
)
from fedcredit.wire.message import Message, blob, count, flag, text

__all__ = [
    "Accepted",
    "ApproveJob",
    "CancelJob",
    "HealthReply",
    "HealthRequest",
    "JobEvent",
    "JobOffer",
    "JobReport",
    "JobSignature",
    "JobSubmitted",
    "ListJobs",
    "ProposeJob",
    "ShowJob",
    "ShutdownRequest",
    "SignJob",
    "StartJob",
    "SubmitJob",
    "WatchJob",
    "service_methods",
]

MAX_DOCUMENT = 1 << 20
"""Bytes of a JSON document (a job's definition, its specification)."""

MAX_REPORT = 1 << 20
"""Bytes of a report on jobs."""

MAX_NAME = 64


@dataclass(frozen=True, slots=True, repr=False)
class HealthRequest(Message, tag=0x100, proto=node_pb2.HealthRequest):
    """Is the node up? Reveals: nothing. Assumes: mutual TLS."""


@dataclass(frozen=True, slots=True, repr=False)
class HealthReply(Message, tag=0x101, proto=node_pb2.HealthReply):
    """It is. Reveals: its name, kind, version and clock. Assumes: mutual TLS, an allowed caller."""

    party: str = text(MAX_NAME)
    kind: str = text(MAX_NAME)
    version: str = text(MAX_NAME)
    time_ms: int = count(2**63)


@dataclass(frozen=True, slots=True, repr=False)
class ProposeJob(Message, tag=0x102, proto=node_pb2.ProposeJob):
    """A job as the platform would have it. Reveals: its public parameters. Assumes: mutual TLS, from the platform."""

    proposal: bytes = blob(2, MAX_DOCUMENT)
    addresses: bytes = blob(2, MAX_DOCUMENT)
    time_ms: int = count(2**63)


@dataclass(frozen=True, slots=True, repr=False)
class JobOffer(Message, tag=0x103, proto=node_pb2.JobOffer):
    """A party can do its part.

    Reveals: number of rows and features, whether the table has the same subjects as in an earlier job, and whether a
    filter of earlier jobs is kept; the commitment hides the table's fingerprint.
    Assumes: mutual TLS; the commitment's nonce is secret and fresh, and the key of `subjects` is secret.
    """

    rows: int = count(2**40)
    features: int = count(2**20)
    commitment: bytes = blob(32)
    certificate: bytes = blob(1, 1 << 16)
    subjects: bytes = blob(32)
    unbalanced: bool = flag()


@dataclass(frozen=True, slots=True, repr=False)
class SignJob(Message, tag=0x104, proto=node_pb2.SignJob):
    """The final specification. Reveals: all parties' offers. Assumes: mutual TLS, from the platform."""

    specification: bytes = blob(2, MAX_DOCUMENT)


@dataclass(frozen=True, slots=True, repr=False)
class JobSignature(Message, tag=0x105, proto=node_pb2.JobSignature):
    """A party's agreement to exactly one specification. Reveals: that it agrees. Assumes: Ed25519."""

    signature: bytes = blob(64)


@dataclass(frozen=True, slots=True, repr=False)
class StartJob(Message, tag=0x106, proto=node_pb2.StartJob):
    """Everybody has signed this hash. Reveals: the signatures. Assumes: mutual TLS, from the platform."""

    ssid: bytes = blob(32)
    signatures: bytes = blob(2, MAX_DOCUMENT)


@dataclass(frozen=True, slots=True, repr=False)
class WatchJob(Message, tag=0x107, proto=node_pb2.WatchJob):
    """Tell me what happens in a job. Reveals: nothing. Assumes: mutual TLS, an allowed caller."""

    job: str = text(MAX_NAME)
    after: int = count(2**63)


@dataclass(frozen=True, slots=True, repr=False)
class CancelJob(Message, tag=0x108, proto=node_pb2.CancelJob):
    """Stop a job; `code` says why. Reveals: nothing else. Assumes: mutual TLS, an allowed caller."""

    job: str = text(MAX_NAME)
    code: str = text(MAX_NAME)


@dataclass(frozen=True, slots=True, repr=False)
class SubmitJob(Message, tag=0x109, proto=node_pb2.SubmitJob):
    """An operator's job. Reveals: its public parameters. Assumes: mutual TLS, from an operator."""

    definition: bytes = blob(2, MAX_DOCUMENT)
    request: str = text(MAX_NAME)


@dataclass(frozen=True, slots=True, repr=False)
class JobSubmitted(Message, tag=0x10A, proto=node_pb2.JobSubmitted):
    """The platform took the job. Reveals: its name. Assumes: mutual TLS."""

    job: str = text(MAX_NAME)


@dataclass(frozen=True, slots=True, repr=False)
class JobEvent(Message, tag=0x10B, proto=node_pb2.JobEvent):
    """Something happened in a job.

    Reveals: stage, progress, for which peer a party waits and how long, and of a failure its code and culprit.

    Assumes: mutual TLS, an allowed caller.
    """

    seq: int = count(2**63)
    party: str = text(MAX_NAME)
    job: str = text(MAX_NAME)
    kind: str = text(MAX_NAME)
    stage: str = text(128)
    done: int = count(2**63)
    total: int = count(2**63)
    code: str = text(MAX_NAME)
    exit_status: int = count(255)
    culprit: str = text(MAX_NAME)
    detail: bytes = blob(0, MAX_DOCUMENT)
    origin: int = count(2**63)


@dataclass(frozen=True, slots=True, repr=False)
class ShutdownRequest(Message, tag=0x10C, proto=node_pb2.ShutdownRequest):
    """Stop the node. Reveals: nothing. Assumes: mutual TLS, an allowed caller."""


@dataclass(frozen=True, slots=True, repr=False)
class Accepted(Message, tag=0x10D, proto=node_pb2.Accepted):
    """Done, or under way. Reveals: nothing else. Assumes: mutual TLS."""


@dataclass(frozen=True, slots=True, repr=False)
class ListJobs(Message, tag=0x120, proto=node_pb2.ListJobs):
    """Which jobs are there? Reveals: nothing. Assumes: mutual TLS, an allowed caller."""

    limit: int = count(10_000, 1)


@dataclass(frozen=True, slots=True, repr=False)
class ShowJob(Message, tag=0x121, proto=node_pb2.ShowJob):
    """How does a job stand? Reveals: nothing. Assumes: mutual TLS, an allowed caller."""

    job: str = text(MAX_NAME)


@dataclass(frozen=True, slots=True, repr=False)
class JobReport(Message, tag=0x122, proto=node_pb2.JobReport):
    """How a job stands, or many. Reveals: to a node's own operator what the node knows of its jobs; to a member what
    the platform knows of jobs in which it takes part.

    Assumes: mutual TLS, an allowed caller.
    """

    document: bytes = blob(2, MAX_REPORT)


@dataclass(frozen=True, slots=True, repr=False)
class ApproveJob(Message, tag=0x123, proto=node_pb2.ApproveJob):
    """A person of this party lets a job in, or refuses it. Reveals: who, to the node's audit log.

    Assumes: mutual TLS, from the node's own operator.
    """

    job: str = text(MAX_NAME)
    by: str = text(128)
    refuse: bool = flag()
    reason: str = text(200)


def service_methods(service: str) -> set[str]:
    """The methods that the contract declares for a service of a node; each needs a rule before the node starts."""
    files = (node_pb2, enrol_pb2, consent_pb2, membership_pb2, usage_pb2, witness_pb2, registry_pb2, scoring_pb2)
    declared = next(f.DESCRIPTOR.services_by_name[service] for f in files if service in f.DESCRIPTOR.services_by_name)
    return {method.name for method in declared.methods}
