"""What stands in a node's store, read from its file by somebody else."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path


def jobs_in(store: Path) -> dict[str, str]:
    """The state of every job."""
    if not store.exists():
        return {}
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=10)) as connection:
        return {str(name): str(state) for name, state in connection.execute("SELECT id, state FROM jobs")}


def spoil_checkpoint(store: Path, job: str, *, first: bool = False) -> tuple[str, bytes]:
    """Change a byte in the state of a job's last, or first, checkpoint; its stage and what is there now.

    The node must not run.
    """
    order = "ASC" if first else "DESC"
    with contextlib.closing(sqlite3.connect(store, timeout=10)) as connection:
        statement = f"SELECT name, state FROM stages WHERE job = ? AND finished IS NOT NULL ORDER BY position {order}"
        name, state = connection.execute(statement, (job,)).fetchone()
        spoilt = bytes([state[0] ^ 1]) + state[1 : len(state) // 2]
        connection.execute("UPDATE stages SET state = ? WHERE job = ? AND name = ?", (spoilt, job, name))
        connection.commit()
    return str(name), spoilt
