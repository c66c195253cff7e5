"""How fast a party may call: a bucket of tokens that fills at a steady rate. No I/O."""

from __future__ import annotations

__all__ = ["Pace"]


class Pace:
    """The pace of one caller. Each call takes a token; who is ahead of the rate is told how long to wait."""

    def __init__(self, per_s: float, burst: float, now: float) -> None:
        self._per_s, self._burst = per_s, burst
        self._tokens, self._at = burst, now

    def take(self, now: float) -> float:
        """Take a token. Units: returns seconds until it is due, 0 for a caller within its pace.

        Whoever goes on regardless falls behind by a second at most: a burst is forgiven once it is over.
        """
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        self._tokens = max(self._tokens - 1, -self._per_s)
        return max(-self._tokens, 0.0) / self._per_s
