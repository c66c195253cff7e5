"""Consents: those that were given and those that were taken back, issuers' keys, the number of the bulletin."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"


def upgrade() -> None:
    """Add what the authority for consents keeps."""
    op.create_table(
        "consents",
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
    )
    op.create_index("consents_of_subject", "consents", ["subject", "granted"])
    op.create_table(
        "consent_revocations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("revoked", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("recorded", sa.Integer, nullable=False, server_default="0"),
    )
    op.create_table(
        "consent_keys",
        sa.Column("kid", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("public_key", sa.LargeBinary(32), nullable=False),
        sa.Column("signs_from", sa.BigInteger, nullable=False),
        sa.Column("signs_until", sa.BigInteger, nullable=False),
        sa.Column("ends", sa.BigInteger, nullable=False),
        sa.Column("recorded", sa.Integer, nullable=False, server_default="0"),
    )
    op.create_table(
        "consent_bulletins",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
    )
    op.execute(sa.text("UPDATE schema_version SET version = 3"))
