"""Jobs that wait and go on; the platform's jobs, events, budgets, enrolment, the lease of the node."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"


def upgrade() -> None:
    """Add what durable jobs, policies, enrolment and leases keep."""
    for name in (
        "updated",
        "submitter",
        "rule",
        "pending_reason",
        "approved_by",
        "waiting_code",
        "waiting_culprit",
        "waiting_since",
    ):
        op.add_column("jobs", sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.execute(sa.text("UPDATE jobs SET updated = created"))
    op.add_column("stages", sa.Column("epoch", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "events",
        sa.Column("job", sa.Text, primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "platform_jobs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("request", sa.Text, unique=True, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("definition", sa.LargeBinary, nullable=False),
        sa.Column("proposal", sa.LargeBinary, nullable=False),
        sa.Column("specification", sa.LargeBinary),
        sa.Column("signatures", sa.LargeBinary),
        sa.Column("submitter", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False, server_default="0"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("problems", sa.Text, nullable=False, server_default="[]"),
        sa.Column("exit_status", sa.Integer, nullable=False, server_default="0"),
        sa.Column("created", sa.Text, nullable=False),
        sa.Column("updated", sa.Text, nullable=False),
    )
    op.create_table(
        "spendings",
        sa.Column("job", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("spent", sa.Text, nullable=False),
    )
    op.create_index("spendings_of_key", "spendings", ["key", "spent"])
    op.create_table(
        "tokens",
        sa.Column("secret", sa.LargeBinary(32), primary_key=True),
        sa.Column("party", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("expires", sa.Text, nullable=False),
        sa.Column("used", sa.Text),
        sa.Column("used_for", sa.LargeBinary(32)),
    )
    op.create_table(
        "members",
        sa.Column("party", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("serial", sa.Text, nullable=False),
        sa.Column("updated", sa.Text, nullable=False),
    )
    leases = op.create_table(
        "leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started", sa.Text, nullable=False),
        sa.Column("expires", sa.Double, nullable=False),
    )
    # The one lease there is, held by nobody: whoever takes it finds a row that it can lock.
    nobody = {"fence": 0, "instance": "", "place": "", "host": "", "pid": 0, "started": "", "expires": 0.0}
    op.execute(leases.insert().values(name="node", **nobody))
    # The first fedcredit wrote its version after its tables: a crash between the two left the version out.
    op.execute(sa.text("DELETE FROM schema_version"))
    op.execute(sa.text("INSERT INTO schema_version (version) VALUES (2)"))
