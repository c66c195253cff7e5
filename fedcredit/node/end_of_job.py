"""How a job ended, to whoever handed it in at this party's node."""

from __future__ import annotations

from pathlib import Path

from fedcredit.errors import PeerError, PeerLost
from fedcredit.node.operator import error_of_end
from fedcredit.node.processes import read_failure
from fedcredit.wire.control import JobEvent

__all__ = ["refuse_a_bad_end"]


def refuse_a_bad_end(folder: Path, name: str, end: JobEvent) -> None:
    """Raises what ended the job, with the reasons that this party itself wrote down in its node's `folder`."""
    if (error := error_of_end(end)) is not None:
        own = read_failure(folder / "jobs" / name)
        mine = own is not None and own.code == error.code and not isinstance(error, PeerError | PeerLost)
        raise own if own is not None and mine else error
