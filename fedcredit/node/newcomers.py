"""How many proposals a party looks at: each leaves rows, files and an entry of the audit log, refused or not."""

from __future__ import annotations

from fedcredit.errors import Problem, RefusedError
from fedcredit.observe import logs
from fedcredit.runtime.clock import Clock

__all__ = ["PER_HOUR", "Newcomers"]

PER_HOUR = 3600
"""Far more than people submit, and a few megabytes an hour of what a platform gone wrong could have a party keep."""

_HOUR_S = 3600.0

_log = logs.get("policy")


class Newcomers:
    """The proposals of the last hour. Forgotten at a restart, which a platform cannot bring about."""

    def __init__(self, clock: Clock, per_hour: int = PER_HOUR) -> None:
        self._clock, self._per_hour = clock, per_hour
        self._seen: dict[tuple[str, int], float] = {}  # oldest first
        self._conflicts = 0

    def count(self, job: str, *, conflict: bool = False) -> None:
        """Count a proposal that is not kept yet: a name once, one in `conflict` with a kept proposal each time.

        Raises: RefusedError (QUOTA); nothing is to be written of that one.
        """
        now = self._clock.monotonic()
        while self._seen and now - next(iter(self._seen.values())) >= _HOUR_S:
            del self._seen[next(iter(self._seen))]
        self._conflicts += conflict
        key = (job, self._conflicts if conflict else 0)
        if key in self._seen:
            return
        if len(self._seen) >= self._per_hour:
            _log.warning("policy.proposals_over_quota", job=job, code="QUOTA")
            what, fix = f"more than {self._per_hour} proposals came within an hour", "propose it again later"
            raise RefusedError(Problem("QUOTA", f"job {job}", what, fix))
        self._seen[key] = now
