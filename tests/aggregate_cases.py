"""Members that add up, played in one thread; what their messages say, and what a member or two know of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.ids import PartyId
from fedcredit.protocols.aggregate import Group, Round, SurvivingSum, agree, default_threshold, scattered, total
from fedcredit.transport.memory import Link, Outcome, run_network
from fedcredit.wire.message import Message, message_type

U64 = npt.NDArray[np.uint64]

SESSION = bytes(range(32))
MOST = np.uint64(2**64 - 1)


def members(n: int) -> tuple[PartyId, ...]:
    return tuple(PartyId(f"city-{k:03}") for k in range(n))


def vectors(n: int, length: int) -> dict[PartyId, U64]:
    return {
        me: np.random.default_rng([k, length]).integers(0, 2**64, length, np.uint64) for k, me in enumerate(members(n))
    }


def added(vectors: Mapping[PartyId, U64], names: Sequence[PartyId] | None = None) -> U64:
    chosen = [vectors[name] for name in (names or vectors)]
    return np.sum(np.stack(chosen), axis=0, dtype=np.uint64)


def groups(n: int, *, session: bytes = SESSION, seed: int = 1) -> dict[PartyId, Group]:
    names = members(n)
    roles = {me: agree(me, names, session, insecure_seeded(seed, me)) for me in names}
    return run_network(roles, insecure_in_process=True).results


def totals(of: Mapping[PartyId, Group], label: str, values: Mapping[PartyId, U64], **how: Any) -> Outcome:
    roles = {me: total(of[me], label, values[me]) for me in of}
    return run_network(roles, insecure_in_process=True, **how)


def blocks(
    of: Mapping[PartyId, Group], label: str, values: Mapping[PartyId, U64], sizes: list[int], **how: Any
) -> Outcome:
    roles = {me: scattered(of[me], label, values[me], sizes) for me in of}
    return run_network(roles, insecure_in_process=True, **how)


def surviving(
    values: Mapping[PartyId, U64],
    *,
    threshold: int | None = None,
    label: str = "round",
    session: bytes = SESSION,
    seed: int = 1,
    **how: Any,
) -> Outcome:
    names = tuple(values)
    threshold = default_threshold(len(names)) if threshold is None else threshold
    roles = {
        me: SurvivingSum(Round(me, names, session, label, threshold, words.size), words).steps(
            insecure_seeded(seed, me)
        )
        for me, words in values.items()
    }
    return run_network(roles, insecure_in_process=True, **how)


class Recorder:
    """All messages on their way, as (link, message), in order. Hand it to `tamper`."""

    def __init__(self) -> None:
        self.messages: list[tuple[Link, Message]] = []

    def __call__(self, link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
        self.messages.append((link, message_type(tag).decode(body)))
        return tag, body

    def of(self, kind: type[Message], sender: PartyId | None = None) -> list[tuple[Link, Any]]:
        return [(link, m) for link, m in self.messages if isinstance(m, kind) and sender in (None, link.sender)]

    def seen_by(self, *parties: PartyId) -> list[tuple[Link, bytes]]:
        """Everything that these parties sent or were sent, byte for byte."""
        return [(link, m.encode()) for link, m in self.messages if {*link} & {*parties}]


def chi_square(data: bytes) -> float:
    """How far bytes are from uniform: about 255 for those that are, with a deviation of 23."""
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    expected = len(data) / 256
    return float(((counts - expected) ** 2 / expected).sum())


UNIFORM = (135.0, 420.0)
"""Of `chi_square`: uniform bytes are outside once in 10^6 times."""
