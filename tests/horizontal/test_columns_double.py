"""The stand-in for masked sums adds up, and says so when a member stays away."""

from __future__ import annotations

import numpy as np
import pytest
from horizontal.plain_sums import Board, PlainSums, outcomes, parties, together

from fedcredit.errors import DataError, PeerLost


def test_totals_are_the_same_everywhere() -> None:
    board = Board(parties(3))

    async def work(sums: PlainSums, k: int) -> tuple[list[int], float]:
        whole = await sums.integers("whole", np.array([k, -2 * k]), bound=1 << 40)
        real = await sums.reals("real", np.full((1, 1), 0.1 * (k + 1)), bound=2.0)
        return whole.tolist(), float(real[0, 0])

    found = together(3, work, board)
    assert {tuple(whole) for whole, _ in found} == {(3, -6)}
    assert [real for _, real in found] == pytest.approx([0.6] * 3, abs=1e-15)
    assert list(board.totals) == ["sums/whole", "sums/real"]


def test_who_fails_leaves_nobody_waiting() -> None:
    async def work(sums: PlainSums, k: int) -> None:
        await sums.integers("one", np.array([k]), bound=4 if k == 2 else 1 << 40)

    found = outcomes(3, work)
    assert [type(one) for one in found] == [PeerLost, PeerLost, DataError]
    assert found[0].culprit == "city-2"
