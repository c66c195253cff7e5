"""What a provider of scores has let have: requests by their nonces, and subjects with what became of each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "7"
down_revision = "6"


def upgrade() -> None:
    """Add what scores are answered by."""
    op.create_table(
        "score_requests",
        sa.Column("requester", sa.Text, primary_key=True),
        sa.Column("nonce", sa.LargeBinary(32), primary_key=True),
        sa.Column("received", sa.BigInteger, nullable=False),
        sa.Column("request", sa.LargeBinary(32), nullable=False),
    )
    op.create_index("score_requests_by_time", "score_requests", ["received"])
    op.create_table(
        "score_rows",
        sa.Column("request", sa.LargeBinary(32), primary_key=True),
        sa.Column("row", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("requester", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("subject", sa.LargeBinary(16), nullable=False),
        sa.Column("consent", sa.LargeBinary(16), nullable=False),
        sa.Column("bound", sa.LargeBinary(16), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.SmallInteger, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
    )
    op.create_index("score_rows_of_subject", "score_rows", ["subject"])
    op.create_index("score_rows_of_consent", "score_rows", ["consent"])
    op.create_index("score_rows_by_time", "score_rows", ["at"])
    op.execute(sa.text("UPDATE schema_version SET version = 7"))
