"""What members report to their platform: uses of data, and what became of loans."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "4"
down_revision = "3"


def upgrade() -> None:
    """Add what reports of members are kept in."""
    op.create_table(
        "usage_reports",
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("since", sa.Text, primary_key=True),
        sa.Column("until", sa.Text, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("received", sa.Text, nullable=False),
    )
    op.create_table(
        "loan_outcomes",
        sa.Column("institution", sa.Text, primary_key=True),
        sa.Column("reference", sa.Text, primary_key=True),
        sa.Column("day", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("amount_yuan", sa.BigInteger, nullable=False),
        sa.Column("rate_bp", sa.Integer, nullable=False),
        sa.Column("received", sa.Text, nullable=False),
    )
    op.execute(sa.text("UPDATE schema_version SET version = 4"))
