"""The first store: jobs, stages, results, replies, the head of the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None


def upgrade() -> None:
    """Make an empty store of version 1."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("ssid", sa.LargeBinary(32), unique=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("proposal", sa.LargeBinary, nullable=False),
        sa.Column("specification", sa.LargeBinary),
        sa.Column("signatures", sa.LargeBinary),
        sa.Column("commitment_nonce", sa.LargeBinary(32)),
        sa.Column("fingerprint", sa.LargeBinary(32)),
        sa.Column("problems", sa.Text, nullable=False, server_default="[]"),
        sa.Column("exit_status", sa.Integer, nullable=False, server_default="0"),
        sa.Column("epoch", sa.Integer, nullable=False, server_default="0"),
        sa.Column("created", sa.Text, nullable=False),
    )
    op.create_table(
        "stages",
        sa.Column("job", sa.Text, sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("state", sa.LargeBinary),
        sa.Column("digest", sa.LargeBinary(32)),
        sa.Column("started", sa.Text, nullable=False),
        sa.Column("finished", sa.Text),
    )
    op.create_table(
        "results",
        sa.Column("job", sa.Text, sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("path", sa.Text, primary_key=True),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "calls",
        sa.Column("job", sa.Text, primary_key=True),
        sa.Column("method", sa.Text, primary_key=True),
        sa.Column("request", sa.LargeBinary(32), nullable=False),
        sa.Column("reply", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "audit_head",
        sa.Column("log", sa.Text, primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary(32), nullable=False),
    )
    version = op.create_table("schema_version", sa.Column("version", sa.Integer, primary_key=True))
    op.execute(version.insert().values(version=1))
