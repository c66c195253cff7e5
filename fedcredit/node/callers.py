"""Who may call a desk that decides by its policy, and how often at once."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from fedcredit.errors import Problem, RefusedError
from fedcredit.ids import PartyId

__all__ = ["Anybody", "FewAtATime"]


class Anybody:
    """Whoever has proved to TLS that it is a member: the policy decides on it, and refuses all others alike."""

    def __contains__(self, party: object) -> bool:
        return True


@dataclass(slots=True)
class FewAtATime:
    """Lets one caller have `most` calls at once."""

    most: int
    _calls: Counter[PartyId] = field(default_factory=Counter, repr=False)

    @contextlib.contextmanager
    def one_of(self, caller: PartyId) -> Iterator[None]:
        """A call of `caller`, while it lasts. Raises: RefusedError (QUOTA)."""
        if self._calls[caller] >= self.most:
            what = f"asks more than {self.most} times at once"
            raise RefusedError(Problem("QUOTA", str(caller), what, "wait for an answer"))
        self._calls[caller] += 1
        try:
            yield
        finally:
            self._calls[caller] -= 1
