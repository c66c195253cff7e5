"""What is no ElGamal key, and which range of numbers is none to look sums up in."""

from __future__ import annotations

from fedcredit.errors import ConfigError, DataError, PeerError, Problem

__all__ = ["BadKey", "BadRange", "check_names"]

_MAX_NAME = 64


class BadKey(DataError):
    """What is no key for scores, or none for masks. Code: KEY_INVALID."""

    default_code = "KEY_INVALID"

    def __init__(self, reason: str) -> None:
        super().__init__(Problem(self.default_code, "key for scores", reason, "have its owner publish a fresh one"))
        self.reason = reason

    def of_peer(self, culprit: str, step: str) -> PeerError:
        """The same, said of the peer that sent the key."""
        return PeerError(culprit, step, f"key for scores: {self.reason}", self.code)


class BadRange(ConfigError):
    """A range with no numbers, or too many to look sums up in. Code: SCORE_RANGE."""

    default_code = "SCORE_RANGE"

    def __init__(self, low: int, high: int, most: int) -> None:
        what = f"from {low} to {high} there are not 1 to {most} numbers"
        fix = "round points more coarsely, or give the card's own least and most total"
        super().__init__(Problem(self.default_code, "range of totals", what, fix))


def check_names(*names: str) -> None:
    """Raise BadKey unless each may name a key or its owner."""
    for name in names:
        if not 1 <= len(name) <= _MAX_NAME or not name.isascii() or not name.isprintable():
            raise BadKey(f"owner or name are not 1 to {_MAX_NAME} printable ASCII characters")
