"""Which parties a job goes on without."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "8"
down_revision = "7"


def upgrade() -> None:
    """Add who was left out of each job."""
    op.add_column("jobs", sa.Column("left_out", sa.Text, nullable=False, server_default="[]"))
    op.execute(sa.text("UPDATE schema_version SET version = 8"))
