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
