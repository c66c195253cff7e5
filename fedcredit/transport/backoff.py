"""Pauses between attempts at something that another party, or the way to it, does not let happen yet."""

from __future__ import annotations

import random

__all__ = ["Backoff"]


class Backoff:
    """An endless iterator of pauses in seconds, from `first_s` to `longest_s`, each `growth` times the one before.

    Jitter, down to `least` of a pause, keeps those that lost the same peer from coming back in step.
    """

    def __init__(self, first_s: float, longest_s: float, *, growth: float = 2.0, least: float = 0.5) -> None:
        self._first_s, self._longest_s, self._growth, self._least = first_s, longest_s, growth, least
        self._next_s = first_s

    def __iter__(self) -> Backoff:
        return self

    def __next__(self) -> float:
        pause_s, self._next_s = self._next_s, min(self._growth * self._next_s, self._longest_s)
        return pause_s * random.uniform(self._least, 1.0)  # noqa: S311

    def reset(self) -> None:
        """Begin with the first pause again: something went well."""
        self._next_s = self._first_s
