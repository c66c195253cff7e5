"""Figures of this process for Prometheus, in a registry of their own. `docs/observability.md` has them in a table.

Labels have few values, all of them names that the node's own configuration or code gives: peers, states, kinds of
stages, methods, codes. No job, subject, column or value is ever one.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

__all__ = [
    "AUDIT_ENTRIES",
    "AUDIT_FORKS",
    "AUDIT_HEADS_REFUSED",
    "AUDIT_WITNESSED",
    "BYTES",
    "CALLS",
    "CERTIFICATE_SECONDS",
    "CONNECTED",
    "HANDSHAKES_REFUSED",
    "JOBS",
    "QUEUED_BYTES",
    "READY",
    "RECONNECTS",
    "REGISTRY",
    "RELAYED_BYTES",
    "RELAYED_CONNECTIONS",
    "ROUNDS",
    "STAGE_SECONDS",
    "STORE_SECONDS",
    "link_broke",
    "stage_kind",
]

REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000)

JOBS = Gauge("fedcredit_jobs", "Jobs in the store, by state", ("state",), registry=REGISTRY)
STAGE_SECONDS = Histogram(
    "fedcredit_stage_seconds", "Stages of jobs that ended", ("kind",), buckets=_SECONDS, registry=REGISTRY
)
BYTES = Counter("fedcredit_job_bytes", "Bytes of jobs on links", ("peer", "direction"), registry=REGISTRY)
ROUNDS = Counter("fedcredit_rounds", "Turns of this party in protocols", ("peer",), registry=REGISTRY)
RECONNECTS = Counter("fedcredit_reconnects", "Links that were dialled again", ("peer",), registry=REGISTRY)
CONNECTED = Gauge("fedcredit_peer_connected", "1 while the link that is needed stands", ("peer",), registry=REGISTRY)
QUEUED_BYTES = Gauge("fedcredit_queued_bytes", "Sent, not yet taken by the peer's role", ("peer",), registry=REGISTRY)
CALLS = Counter("fedcredit_control_calls", "Control calls answered", ("method", "code"), registry=REGISTRY)
HANDSHAKES_REFUSED = Counter("fedcredit_handshakes_refused", "Callers not let in", ("reason",), registry=REGISTRY)
CERTIFICATE_SECONDS = Gauge("fedcredit_certificate_seconds", "Until the certificate ends", registry=REGISTRY)
AUDIT_ENTRIES = Gauge("fedcredit_audit_entries", "Entries of the audit log", registry=REGISTRY)
AUDIT_WITNESSED = Gauge(
    "fedcredit_audit_witnessed_entries",
    "Entries of our log when a peer last signed it",
    ("log", "peer"),
    registry=REGISTRY,
)
AUDIT_FORKS = Counter(
    "fedcredit_audit_forks", "Heads of a peer's log that did not follow", ("peer",), registry=REGISTRY
)
AUDIT_HEADS_REFUSED = Counter(
    "fedcredit_audit_heads_refused", "Our heads that do not follow what a peer has signed", ("peer",), registry=REGISTRY
)
STORE_SECONDS = Histogram(
    "fedcredit_store_seconds", "Transactions of the store", ("kind",), buckets=_SECONDS, registry=REGISTRY
)
RELAYED_BYTES = Counter("fedcredit_relayed_bytes", "Bytes that the relay carried", ("caller", "to"), registry=REGISTRY)
RELAYED_CONNECTIONS = Gauge(
    "fedcredit_relayed_connections", "Connections through the relay now", ("peer",), registry=REGISTRY
)
READY = Gauge("fedcredit_ready", "1 while the node takes work", registry=REGISTRY)

_STAGES = frozenset({"validate", "align", "split", "publish"})


def stage_kind(stage: str) -> str:
    """The stage's kind, of which there are few: models have names that their job gives them."""
    first = stage.partition("/")[0]
    return first if first in _STAGES else "model"


def link_broke(peer: str) -> None:
    """The link to `peer` is down, and is dialled again."""
    CONNECTED.labels(peer).set(0)
    RECONNECTS.labels(peer).inc()
