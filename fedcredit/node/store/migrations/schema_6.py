"""The registry of models: versions, words and roles at a platform, own parts at a party, and changes for their logs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "6"
down_revision = "5"


def upgrade() -> None:
    """Add what models are registered in."""
    op.create_table(
        "model_versions",
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
    op.create_table(
        "model_words",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("party", sa.Text, primary_key=True),
        sa.Column("word", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.Column("certificate", sa.LargeBinary, nullable=False),
        sa.Column("part", sa.LargeBinary(32), nullable=True),
        sa.Column("received", sa.Text, nullable=False),
    )
    op.create_table(
        "model_roles",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("champion", sa.Integer, nullable=True),
        sa.Column("challenger", sa.Integer, nullable=True),
        sa.Column("past", sa.Text, nullable=False),
        sa.Column("rolled_back", sa.Integer, nullable=True),
    )
    op.create_table(
        "model_changes",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("made", sa.Text, nullable=False),
        sa.Column("recorded", sa.Integer, nullable=False, server_default="0"),
    )
    op.create_table(
        "model_stability",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("month", sa.Text, primary_key=True),
        sa.Column("stability", sa.Double, nullable=False),
        sa.Column("scores", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "model_parts",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("offer", sa.LargeBinary, nullable=False),
        sa.Column("word", sa.LargeBinary, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("told", sa.Integer, nullable=False, server_default="0"),
        sa.Column("updated", sa.Text, nullable=False),
    )
    op.create_index("model_changes_of_name", "model_changes", ["name", "number"])
    op.execute(sa.text("UPDATE schema_version SET version = 6"))
