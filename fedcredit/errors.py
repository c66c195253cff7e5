"""The error tree: what went wrong, whose fault it is, and what to do about it.

Three questions split the tree: is it ours (a bug), yours (usage, configuration, data, policy), or theirs (a peer)?

    FedcreditError                 70   ours: an invariant of fedcredit broke
      UsageError                    2   yours: the command line
      DataError                    65   yours: a table
      ConfigError                  78   yours: a job file, a party file, the environment
      RefusedError                 77   a policy or a missing consent said no
      PeerLost                     69   theirs: silent or unreachable; may be tried again
      PeerError                    76   theirs: broke the protocol; fatal for the session, never tried again

Every error carries one or more `Problem`s: a stable `code`, where, what, and how to fix it. No error text holds a
row's value, a key or a person's identifier; peers are told the code and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "ConfigError",
    "DataError",
    "FedcreditError",
    "PeerError",
    "PeerLost",
    "Problem",
    "RefusedError",
    "UsageError",
    "rebuilt",
]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, said so that its owner can mend it. `code` is a contract: it never changes."""

    code: str
    where: str
    what: str
    fix: str = ""

    def __str__(self) -> str:
        text = f"{self.code}: {self.where}: {self.what}"
        return f"{text} -> {self.fix}" if self.fix else text


class FedcreditError(Exception):
    """An invariant of fedcredit broke: a bug of ours."""

    exit_status: ClassVar[int] = 70
    default_code: ClassVar[str] = "INTERNAL"

    def __init__(self, problems: Problem | Sequence[Problem] | str) -> None:
        if isinstance(problems, str):
            problems = Problem(self.default_code, "fedcredit", problems)
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    @property
    def code(self) -> str:
        """The stable code of the first problem; safe to show to a peer."""
        return self.problems[0].code if self.problems else self.default_code


class UsageError(FedcreditError):
    """The command line asked for something that does not exist or does not go together."""

    exit_status, default_code = 2, "USAGE"


class DataError(FedcreditError):
    """A table is not what its schema says. Codes: `CSV_*`, `COLUMN_*`, `ID_*`, `VALUE_*`, `LABEL_*`, `LIMIT_*`, ..."""

    exit_status, default_code = 65, "DATA"


class ConfigError(FedcreditError):
    """A job or party file, or the environment, is wrong. Lists all problems, not the first one."""

    exit_status, default_code = 78, "CONFIG"


class RefusedError(FedcreditError):
    """A policy, a missing consent or a minimum size forbids it."""

    exit_status, default_code = 77, "REFUSED"


class PeerLost(FedcreditError):
    """A peer is silent or unreachable. The session may be resumed."""

    exit_status, default_code = 69, "PEER_LOST"

    def __init__(self, culprit: str, step: str, reason: str) -> None:
        super().__init__(Problem("PEER_LOST", f"{culprit} at {step}", reason))
        self.culprit, self.step, self.reason = culprit, step, reason

    def __reduce__(self) -> tuple[type[PeerLost], tuple[str, str, str]]:
        return type(self), (self.culprit, self.step, self.reason)


class PeerError(FedcreditError):
    """A peer broke the protocol: fatal for the session, never retried.

    `code` says how: UNEXPECTED_MESSAGE, MESSAGE_INVALID, ARRAY_INVALID, POINT_INVALID, SEQUENCE, CONFLICT, ...
    """

    exit_status, default_code = 76, "PEER_MISBEHAVED"

    def __init__(self, culprit: str, step: str, reason: str, code: str = "PEER_MISBEHAVED") -> None:
        super().__init__(Problem(code, f"{culprit} at {step}", reason))
        self.culprit, self.step, self.reason = culprit, step, reason

    def __reduce__(self) -> tuple[type[PeerError], tuple[str, str, str, str]]:
        return type(self), (self.culprit, self.step, self.reason, self.code)


def rebuilt(problems: Sequence[Problem], exit_status: int) -> FedcreditError:
    """The error that had these problems and this exit status, read from where it was written down."""
    if problems and exit_status in (PeerLost.exit_status, PeerError.exit_status):
        culprit, _, step = problems[0].where.partition(" at ")
        if exit_status == PeerLost.exit_status:
            return PeerLost(culprit, step, problems[0].what)
        return PeerError(culprit, step, problems[0].what, problems[0].code)
    kinds: tuple[type[FedcreditError], ...] = (UsageError, DataError, ConfigError, RefusedError)
    return next((kind for kind in kinds if kind.exit_status == exit_status), FedcreditError)(problems)
