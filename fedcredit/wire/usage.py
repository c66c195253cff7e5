"""Messages with which members report to their platform how data were used, and what became of loans."""

from __future__ import annotations

from dataclasses import dataclass

from fedcredit.wire._gen import usage_pb2
from fedcredit.wire.message import Message, blob

__all__ = ["MAX_REPORT_BYTES", "LoanOutcomes", "UsageReport"]

MAX_REPORT_BYTES = 8 << 20
"""A report with a hundred thousand lines, or outcomes of ten thousand loans."""


@dataclass(frozen=True, slots=True, repr=False)
class UsageReport(Message, tag=0x180, proto=usage_pb2.UsageReport):
    """How a provider's data were used from day to day.

    Reveals: to the platform, how many questions of which institution about which item, for which purpose, had which
    outcome; of how many subjects it was given a part of which model's scores. No subject, and no single question.
    Assumes: mutual TLS, from the provider itself; that its counts are true rests on its word, and on its audit log.
    """

    document: bytes = blob(2, MAX_REPORT_BYTES)


@dataclass(frozen=True, slots=True, repr=False)
class LoanOutcomes(Message, tag=0x181, proto=usage_pb2.LoanOutcomes):
    """How an institution's loans stand.

    Reveals: to the platform, of each loan reported the enterprise, its standing, amount and rate, and the
    institution's own name of it. Nothing to other members.
    Assumes: mutual TLS, from the institution itself; that it may report them is a matter of its contracts.
    """

    document: bytes = blob(2, MAX_REPORT_BYTES)
