"""Sums as models ask for them: exact integers, fixed point, losses; over links in memory, by the real driver."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from horizontal.plain_sums import federations, parties

from fedcredit.errors import ConfigError, DataError, FedcreditError, PeerLost
from fedcredit.estimators.sums import Sums
from fedcredit.protocols.aggregate import LeftOut, TooFewLeft


def everywhere(n: int, work: Callable[[Sums, int], Awaitable[Any]], **begin: Any) -> list[Any]:
    """What `work` gave or raised at each of n members."""

    async def member(federation: Any, k: int) -> Any:
        return await work(await Sums.begin(federation, "model.0/sums", **begin), k)

    async def run() -> list[Any]:
        runs = (member(federation, k) for k, federation in enumerate(federations(n)))
        return await asyncio.gather(*runs, return_exceptions=True)

    return asyncio.run(run())


def result(ends: list[Any]) -> Any:
    """What all members got, the same at all of them."""
    for end in ends:
        if isinstance(end, BaseException):
            raise end
        np.testing.assert_array_equal(end, ends[0])
    return ends[0]


@pytest.mark.parametrize("begin", [{}, {"threshold": 5}, {"threshold": 4}], ids=["all", "all of five", "four of five"])
def test_integers_are_exact_and_keep_their_shape(begin: dict[str, int]) -> None:
    values = np.random.default_rng(1).integers(-(10**12), 10**12, (5, 3, 2))

    async def work(sums: Sums, k: int) -> Any:
        # Not contiguous, as columns of a table are not.
        summed = await sums.integers("cells", np.asfortranarray(values[k]), bound=10**13)
        assert (await sums.integers("none", np.zeros((0, 4), np.int64), bound=1)).shape == (0, 4)
        assert (await sums.integers("one", np.array(k), bound=100)).shape == ()
        assert sums.members == parties(5)
        assert sums.leader == parties(1)[0]
        return summed

    np.testing.assert_array_equal(result(everywhere(5, work, **begin)), values.sum(axis=0))


def test_words_wrap_around() -> None:
    async def work(sums: Sums, k: int) -> Any:
        return await sums.words("w", np.array([2**64 - 1, k], np.uint64))

    assert result(everywhere(4, work)).tolist() == [2**64 - 4, 6]


@pytest.mark.parametrize("bound", [1e-300, 0.7, 1.0, 3.0, 1e6, 2.0**60, 1e200])
def test_reals_are_off_by_no_more_than_said(bound: float) -> None:
    values = np.random.default_rng(2).uniform(-bound, bound, (4, 50))
    values[:, 0], values[:, 1], values[:, 2] = bound, -bound, 0.0

    async def work(sums: Sums, k: int) -> Any:
        return await sums.reals("x", values[k], bound=bound)

    got = result(everywhere(4, work))
    exact = np.array([float(sum(map(_fraction, column))) for column in values.T])
    assert np.abs(got - exact).max() <= 16 * bound * 2.0**-61 + np.spacing(4 * bound)
    assert got[2] == 0.0


def _fraction(value: float) -> Fraction:
    return Fraction(float(value))


def test_whole_numbers_as_reals_are_exact() -> None:
    async def work(sums: Sums, k: int) -> Any:
        return await sums.reals("n", np.array([12345.0 + k, -0.5]), bound=2.0**20)

    assert result(everywhere(3, work)).tolist() == [3 * 12345.0 + 3, -1.5]


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("integers", np.array([25])),
        ("integers", np.array([-25])),
        ("integers", np.array([-(2**63)])),
        ("reals", np.array([100.1])),
        ("reals", np.array([np.nan])),
        ("reals", np.array([-np.inf])),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_sent(call: str, value: np.ndarray) -> None:
    async def work(sums: Sums, k: int) -> Any:
        with pytest.raises(DataError) as refused:
            await getattr(sums, call)("income", value, bound=100)
        assert refused.value.code == "SUM_RANGE"
        assert "income" in str(refused.value)
        assert "25" not in str(refused.value).replace("bound", "")
        return await sums.integers("next", np.array([24]), bound=100)

    assert result(everywhere(4, work)).tolist() == [96]


def test_bounds_and_types_that_make_no_sense_are_a_bug_of_the_caller() -> None:
    async def work(sums: Sums, k: int) -> Any:
        for bound in (0, -1, 2**62 + 1):
            with pytest.raises(ValueError, match="bound"):
                await sums.integers("x", np.array([0]), bound=bound)
        for bound in (0.0, float("inf"), float("nan")):
            with pytest.raises(ValueError, match="bound"):
                await sums.reals("x", np.array([0.0]), bound=bound)
        with pytest.raises(ValueError, match="int32"):
            await sums.integers("x", np.zeros(1, np.int32), bound=5)
        return 0

    result(everywhere(3, work))


@pytest.mark.parametrize("begin", [{}, {"threshold": 3}])
def test_a_label_serves_once(begin: dict[str, int]) -> None:
    async def work(sums: Sums, k: int) -> Any:
        await sums.integers("rows", np.array([1]), bound=10)
        with pytest.raises(FedcreditError) as refused:
            await sums.integers("rows", np.array([1]), bound=10)
        # Each stage has its own name, so the transport would refuse it as well.
        return refused.value.code in ("LABEL_REUSED", "STAGE_REUSED")

    assert result(everywhere(4, work, **begin)) is True


def test_two_members_are_refused_unless_they_accept_it() -> None:
    async def work(sums: Sums, k: int) -> Any:
        return await sums.integers("rows", np.array([k]), bound=10)

    ends = everywhere(2, work)
    assert all(isinstance(end, ConfigError) and end.code == "AGGREGATE_TOO_FEW" for end in ends)
    assert result(everywhere(2, work, two_parties_accepted=True)).tolist() == [1]


@pytest.mark.parametrize(("n", "threshold"), [(5, 3), (5, 6), (5, 0), (3, 2), (10, 5)])
def test_thresholds_that_hide_too_little_are_refused(n: int, threshold: int) -> None:
    async def work(sums: Sums, k: int) -> Any:
        raise AssertionError

    for end in everywhere(n, work, threshold=threshold):
        assert isinstance(end, ConfigError)
        assert end.code == "AGGREGATE_THRESHOLD"


def test_one_that_gives_up_is_left_out_of_the_next_sums() -> None:
    async def work(sums: Sums, k: int) -> Any:
        first = await sums.integers("one", np.array([k]), bound=100)
        if k == 3:
            # Its part in the second sum ends in the middle, for a reason of its own.
            sums.federation.randomness.bytes = None  # type: ignore[method-assign]
        second = await sums.integers("two", np.array([k]), bound=100)
        assert sums.members == tuple(name for name in parties(6) if name != parties(4)[3])
        third = await sums.integers("three", np.array([k]), bound=100)
        return [*first, *second, *third]

    ends = everywhere(6, work, threshold=4)
    assert isinstance(ends.pop(3), TypeError)
    assert result(ends) == [15, 12, 12]


def test_too_few_that_are_left_end_by_an_error_that_names_who_is_gone() -> None:
    async def work(sums: Sums, k: int) -> Any:
        await sums.integers("one", np.array([k]), bound=100)
        if k in (1, 4):
            sums.federation.randomness.bytes = None  # type: ignore[method-assign]
        return await sums.integers("two", np.array([k]), bound=100)

    ends = everywhere(5, work, threshold=4)
    assert isinstance(ends[0], TooFewLeft)
    assert {*ends[0].lost} == {parties(5)[1], parties(5)[4]}
    for k in (2, 3):
        assert isinstance(ends[k], PeerLost)
        assert ends[k].culprit == parties(1)[0]
        assert not isinstance(ends[k], LeftOut)


def test_keys_are_for_roles_that_need_everybody() -> None:
    async def work(sums: Sums, k: int) -> Any:
        return sums.group.members

    assert result(everywhere(4, work)) == parties(4)
    for end in everywhere(4, work, threshold=3):
        assert isinstance(end, FedcreditError)
        assert end.exit_status == 70
