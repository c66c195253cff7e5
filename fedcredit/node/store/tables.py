"""The tables of a store, as they are after the last migration. A test compares the two."""

from __future__ import annotations

import sqlalchemy as sa

__all__ = [
    "SCHEMA_VERSION",
    "audit_heads",
    "calls",
    "consent_bulletins",
    "consent_keys",
    "consent_revocations",
    "consents",
    "events",
    "head_forks",
    "jobs",
    "leases",
    "loan_outcomes",
    "members",
    "metadata",
    "model_changes",
    "model_parts",
    "model_roles",
    "model_stability",
    "model_versions",
    "model_words",
    "platform_jobs",
    "results",
    "schema_version",
    "spendings",
    "stages",
    "tokens",
    "usage_reports",
    "witnessed_heads",
]

SCHEMA_VERSION = 8
"""The last migration in `migrations/`. A store with a greater number is of a newer fedcredit and is not touched."""

metadata = sa.MetaData()

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("ssid", sa.LargeBinary(32), unique=True, nullable=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("proposal", sa.LargeBinary, nullable=False),
    sa.Column("specification", sa.LargeBinary, nullable=True),
    sa.Column("signatures", sa.LargeBinary, nullable=True),
    sa.Column("commitment_nonce", sa.LargeBinary(32), nullable=True),
    sa.Column("fingerprint", sa.LargeBinary(32), nullable=True),
    sa.Column("problems", sa.Text, nullable=False, server_default="[]"),
    sa.Column("exit_status", sa.Integer, nullable=False, server_default="0"),
    sa.Column("epoch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("created", sa.Text, nullable=False),
    sa.Column("updated", sa.Text, nullable=False, server_default=""),
    sa.Column("submitter", sa.Text, nullable=False, server_default=""),
    sa.Column("rule", sa.Text, nullable=False, server_default=""),
    sa.Column("pending_reason", sa.Text, nullable=False, server_default=""),
    sa.Column("approved_by", sa.Text, nullable=False, server_default=""),
    sa.Column("waiting_code", sa.Text, nullable=False, server_default=""),
    sa.Column("waiting_culprit", sa.Text, nullable=False, server_default=""),
    sa.Column("waiting_since", sa.Text, nullable=False, server_default=""),
    sa.Column("left_out", sa.Text, nullable=False, server_default="[]"),
)

stages = sa.Table(
    "stages",
    metadata,
    sa.Column("job", sa.Text, sa.ForeignKey("jobs.id"), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=True),
    sa.Column("digest", sa.LargeBinary(32), nullable=True),
    sa.Column("started", sa.Text, nullable=False),
    sa.Column("finished", sa.Text, nullable=True),
    sa.Column("epoch", sa.Integer, nullable=False, server_default="0"),
)

results = sa.Table(
    "results",
    metadata,
    sa.Column("job", sa.Text, sa.ForeignKey("jobs.id"), primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("digest", sa.LargeBinary(32), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
)

calls = sa.Table(
    "calls",
    metadata,
    sa.Column("job", sa.Text, primary_key=True),
    sa.Column("method", sa.Text, primary_key=True),
    sa.Column("request", sa.LargeBinary(32), nullable=False),
    sa.Column("reply", sa.LargeBinary, nullable=False),
)

audit_heads = sa.Table(
    "audit_head",
    metadata,
    sa.Column("log", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("root", sa.LargeBinary(32), nullable=False),
)

events = sa.Table(
    "events",
    metadata,
    # No reference to a job: the platform's jobs have events, too.
    sa.Column("job", sa.Text, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

platform_jobs = sa.Table(
    "platform_jobs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("request", sa.Text, unique=True, nullable=False),
    sa.Column("digest", sa.LargeBinary(32), nullable=False),
    sa.Column("definition", sa.LargeBinary, nullable=False),
    sa.Column("proposal", sa.LargeBinary, nullable=False),
    sa.Column("specification", sa.LargeBinary, nullable=True),
    sa.Column("signatures", sa.LargeBinary, nullable=True),
    sa.Column("submitter", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("problems", sa.Text, nullable=False, server_default="[]"),
    sa.Column("exit_status", sa.Integer, nullable=False, server_default="0"),
    sa.Column("created", sa.Text, nullable=False),
    sa.Column("updated", sa.Text, nullable=False),
)

spendings = sa.Table(
    "spendings",
    metadata,
    sa.Column("job", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("spent", sa.Text, nullable=False),
    sa.Index("spendings_of_key", "key", "spent"),
)

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("secret", sa.LargeBinary(32), primary_key=True),  # the hash of the secret, never the secret
    sa.Column("party", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("expires", sa.Text, nullable=False),
    sa.Column("used", sa.Text, nullable=True),
    sa.Column("used_for", sa.LargeBinary(32), nullable=True),
)

members = sa.Table(
    "members",
    metadata,
    sa.Column("party", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("record", sa.LargeBinary, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("serial", sa.Text, nullable=False),
    sa.Column("updated", sa.Text, nullable=False),
)

consents = sa.Table(
    "consents",
    metadata,
    sa.Column("jti", sa.Text, primary_key=True),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("digest", sa.LargeBinary(32), nullable=False),
    sa.Column("token", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("notice", sa.Text, nullable=False),
    sa.Column("language", sa.Text, nullable=False),
    sa.Column("granted", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Column("recorded", sa.Integer, nullable=False, server_default="0"),
    sa.UniqueConstraint("account", "request"),
    sa.Index("consents_of_subject", "subject", "granted"),
)

consent_revocations = sa.Table(
    "consent_revocations",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("revoked", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("recorded", sa.Integer, nullable=False, server_default="0"),
)

consent_keys = sa.Table(
    "consent_keys",
    metadata,
    sa.Column("kid", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("public_key", sa.LargeBinary(32), nullable=False),
    sa.Column("signs_from", sa.BigInteger, nullable=False),
    sa.Column("signs_until", sa.BigInteger, nullable=False),
    sa.Column("ends", sa.BigInteger, nullable=False),
    sa.Column("recorded", sa.Integer, nullable=False, server_default="0"),
)

consent_bulletins = sa.Table(
    "consent_bulletins",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.LargeBinary(32), nullable=False),
)

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("instance", sa.Text, nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("started", sa.Text, nullable=False),
    sa.Column("expires", sa.Double, nullable=False),
)

usage_reports = sa.Table(
    "usage_reports",
    metadata,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("since", sa.Text, primary_key=True),
    sa.Column("until", sa.Text, nullable=False),
    sa.Column("document", sa.LargeBinary, nullable=False),
    sa.Column("received", sa.Text, nullable=False),
)

loan_outcomes = sa.Table(
    "loan_outcomes",
    metadata,
    sa.Column("institution", sa.Text, primary_key=True),
    sa.Column("reference", sa.Text, primary_key=True),
    sa.Column("day", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("amount_yuan", sa.BigInteger, nullable=False),
    sa.Column("rate_bp", sa.Integer, nullable=False),
    sa.Column("received", sa.Text, nullable=False),
)

witnessed_heads = sa.Table(
    "witnessed_heads",
    metadata,
    sa.Column("origin", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("root", sa.LargeBinary(32), nullable=False),
    sa.Column("signed", sa.LargeBinary, nullable=False),
    sa.Column("certificate", sa.LargeBinary, nullable=False),
    sa.Column("seen", sa.Text, nullable=False),
)

head_forks = sa.Table(
    "head_forks",
    metadata,
    sa.Column("origin", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("root", sa.LargeBinary(32), primary_key=True),
    sa.Column("how", sa.Text, nullable=False),
    sa.Column("signed", sa.LargeBinary, nullable=False),
    sa.Column("certificate", sa.LargeBinary, nullable=False),
    sa.Column("kept", sa.LargeBinary, nullable=False),
    sa.Column("kept_certificate", sa.LargeBinary, nullable=False),
    sa.Column("seen", sa.Text, nullable=False),
    sa.Column("recorded", sa.Integer, nullable=False, server_default="0"),
)

model_versions = sa.Table(
    "model_versions",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.LargeBinary(32), nullable=False),
    sa.Column("offer", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("certificate", sa.LargeBinary, nullable=False),
    sa.Column("retired", sa.Integer, nullable=False, server_default="0"),
    sa.Column("published", sa.Text, nullable=False),
    sa.UniqueConstraint("name", "digest"),
)

model_words = sa.Table(
    "model_words",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("party", sa.Text, primary_key=True),
    sa.Column("word", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("certificate", sa.LargeBinary, nullable=False),
    # The part that the party has named first, also after it has withdrawn: no later word may name another.
    sa.Column("part", sa.LargeBinary(32), nullable=True),
    sa.Column("received", sa.Text, nullable=False),
)

model_roles = sa.Table(
    "model_roles",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("champion", sa.Integer, nullable=True),
    sa.Column("challenger", sa.Integer, nullable=True),
    sa.Column("past", sa.Text, nullable=False),
    sa.Column("rolled_back", sa.Integer, nullable=True),
)

model_changes = sa.Table(
    "model_changes",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("facts", sa.Text, nullable=False),
    sa.Column("made", sa.Text, nullable=False),
    sa.Column("recorded", sa.Integer, nullable=False, server_default="0"),
    sa.Index("model_changes_of_name", "name", "number"),
)

model_stability = sa.Table(
    "model_stability",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("month", sa.Text, primary_key=True),
    sa.Column("stability", sa.Double, nullable=False),
    sa.Column("scores", sa.BigInteger, nullable=False),
)

model_parts = sa.Table(
    "model_parts",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("offer", sa.LargeBinary, nullable=False),
    sa.Column("word", sa.LargeBinary, nullable=False),
    # SHA-256 of the part, and the key under which others are told of it; empty where the party never approved.
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("key", sa.LargeBinary, nullable=False),
    sa.Column("told", sa.Integer, nullable=False, server_default="0"),
    sa.Column("updated", sa.Text, nullable=False),
)

score_requests = sa.Table(
    "score_requests",
    metadata,
    sa.Column("requester", sa.Text, primary_key=True),
    sa.Column("nonce", sa.LargeBinary(32), primary_key=True),
    sa.Column("received", sa.BigInteger, nullable=False),
    sa.Column("request", sa.LargeBinary(32), nullable=False),
    sa.Index("score_requests_by_time", "received"),
)

score_rows = sa.Table(
    "score_rows",
    metadata,
    sa.Column("request", sa.LargeBinary(32), primary_key=True),
    sa.Column("row", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("requester", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    # Subject and consent under a key of the node's own; `bound`: the version and the list of providers.
    sa.Column("subject", sa.LargeBinary(16), nullable=False),
    sa.Column("consent", sa.LargeBinary(16), nullable=False),
    sa.Column("bound", sa.LargeBinary(16), nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("outcome", sa.SmallInteger, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Index("score_rows_of_subject", "subject"),
    sa.Index("score_rows_of_consent", "consent"),
    # Not by requester: of a few subjects of a requester with many rows, SQLite would look through all of these.
    sa.Index("score_rows_by_time", "at"),
)

schema_version = sa.Table("schema_version", metadata, sa.Column("version", sa.Integer, primary_key=True))
