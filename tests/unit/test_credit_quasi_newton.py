"""The distributed optimiser: nobody has more than its own block, and all together reach the centralised fit."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from credit_tables import woe_columns
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from fedcredit.credit.glm import fit_logistic
from fedcredit.credit.quasi_newton import HISTORY, Block, Plan, Search, products_length

F64 = np.ndarray


def fit_in_blocks(
    X: F64, y: F64, widths: list[int], *, gap: float = 1e-22, l2: float = 0.0, rounds: int = 80
) -> tuple[F64, list[float], list[float]]:
    """Coefficients of columns that were put to mean 0 and size 1, the intercept first; gap and gradients' count."""
    n = y.size
    p = y.mean()
    columns = np.column_stack([np.ones(n), X])
    parts = np.split(columns, np.cumsum([widths[0] + 1, *widths[1:]])[:-1], axis=1)
    penalties = [np.full(part.shape[1], l2) for part in parts]
    penalties[0][0] = 0.0

    def gradients(values: list[F64]) -> list[F64]:
        residual = expit(sum(part @ b for part, b in zip(parts, values, strict=True))) - y
        return [part.T @ residual + a * b for part, a, b in zip(parts, penalties, values, strict=True)]

    start = [np.zeros(part.shape[1]) for part in parts]
    start[0][0] = np.log(p / (1 - p))
    inverses = [
        np.linalg.inv(part.T @ part * p * (1 - p) + np.diag(a)) for part, a in zip(parts, penalties, strict=True)
    ]
    blocks = [Block(*given_) for given_ in zip(start, gradients(start), inverses, strict=True)]
    search = Search(sum(block.first_products() for block in blocks))
    tried, path = 1, [search.gap]
    for _ in range(rounds):
        for block in blocks:
            block.direct(search.plan)
        while True:
            there = [block.try_step(search.size) for block in blocks]
            tried += 1
            for block, gradient in zip(blocks, gradients(there), strict=True):
                block.found(gradient)
            products = [block.products() for block in blocks]
            assert {p.size for p in products} == {products_length(search.steps + 1)}
            if search.judge(sum(products)):
                break
        for block in blocks:
            block.accept()
        path.append(search.gap)
        if search.gap < gap:
            break
    return np.concatenate([block.values for block in blocks]), path, [float(tried)]


def standardised(X: F64) -> F64:
    return (X - X.mean(axis=0)) / X.std(axis=0)


@given(
    seed=st.integers(0, 10_000),
    widths=st.lists(st.integers(0, 4), min_size=1, max_size=4),
    l2=st.sampled_from([0.0, 5.0]),
)
@settings(max_examples=40, deadline=None)
def test_all_blocks_together_reach_the_centralised_fit(seed: int, widths: list[int], l2: float) -> None:
    rng = np.random.default_rng(seed)
    d = sum(widths)
    X = standardised(rng.normal(size=(400, d)) + 0.7 * rng.normal(size=(400, 1)))
    y = (rng.random(400) < expit(X @ rng.normal(size=d) / np.sqrt(d + 1) - 1)).astype(np.uint8)
    y[:2] = 0, 1
    expected = fit_logistic(X, y, l2=l2).estimates.values
    found, _, _ = fit_in_blocks(X, y, widths, l2=l2)
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_direction_is_that_of_the_two_loops_over_vectors() -> None:
    rng = np.random.default_rng(0)
    d, moves = 7, HISTORY + 3
    A = rng.normal(size=(d, d))
    A = A @ A.T + np.eye(d)
    inverse = np.zeros((d, d))
    inverse[:3, :3], inverse[3:, 3:] = np.linalg.inv(A[:3, :3]), np.linalg.inv(A[3:, 3:])
    b = rng.normal(size=d)
    parts = [slice(0, 3), slice(3, 7)]
    blocks = [Block(b[at], (A @ b)[at], inverse[at, at]) for at in parts]
    search = Search(sum(block.first_products() for block in blocks))
    S: list[F64] = []
    Y: list[F64] = []
    for _ in range(moves):
        g = A @ b
        q, used = g.copy(), []
        for s, y in zip(S[::-1], Y[::-1], strict=True):
            used.append(s @ q / (s @ y))
            q = q - used[-1] * y
        r = inverse @ q
        for s, y, a in zip(S, Y, used[::-1], strict=True):
            r = r + (a - y @ r / (s @ y)) * s
        for block in blocks:
            block.direct(search.plan)
        there = np.concatenate([block.try_step(1.0) for block in blocks])
        assert there - b == pytest.approx(-r, rel=1e-6, abs=1e-9)
        assert search.slope == pytest.approx(-g @ r, rel=1e-6, abs=1e-12)
        for block, at in zip(blocks, parts, strict=True):
            block.found((A @ there)[at])
        if not search.judge(sum(block.products() for block in blocks)):
            there = np.concatenate([block.try_step(search.size) for block in blocks])
            for block, at in zip(blocks, parts, strict=True):
                block.found((A @ there)[at])
            assert search.judge(sum(block.products() for block in blocks))
        for block in blocks:
            block.accept()
        S, Y = [*S, there - b][-HISTORY:], [*Y, A @ (there - b)][-HISTORY:]
        b = there
        if np.abs(A @ b).max() < 1e-9:
            break
    assert len(S) > 3


def test_a_step_that_overshoots_is_taken_back() -> None:
    """Along a valley whose curvature grows: the first curvature promises too long a step."""
    block = Block(np.array([-6.0]), np.array([4 * (-6.0) ** 3]), np.array([[1.0]]))
    search = Search(block.first_products())
    block.direct(search.plan)
    sizes = []
    while True:
        b = block.try_step(search.size)
        block.found(4 * b**3)
        sizes.append(search.size)
        if search.judge(block.products()):
            break
    assert len(sizes) > 1
    assert all(later <= earlier / 2 for earlier, later in pairwise(sizes))


def judge_often(search: Search, products: F64) -> None:
    for _ in range(60):
        assert not search.judge(products)


def test_what_has_no_minimum_ends() -> None:
    block = Block(np.zeros(1), np.array([-1.0]), np.array([[1.0]]))
    search = Search(block.first_products())
    block.direct(search.plan)
    block.try_step(1.0)
    for wrong in (np.nan, np.inf):
        block.found(np.array([wrong]))
        with pytest.raises(FloatingPointError), np.errstate(invalid="ignore"):
            search.judge(block.products())
    block.found(np.array([5.0]))
    with pytest.raises(FloatingPointError, match="short enough"):
        judge_often(search, block.products())
    with pytest.raises(FloatingPointError, match="another number"):
        search.judge(np.zeros(3))
    with pytest.raises(ValueError):
        block.direct(Plan(np.zeros(2), np.zeros(2)))


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize(("folder", "own", "most"), [("default_credit", 13, 20), ("sba", 6, 20)])
def test_few_rounds_reach_the_centralised_fit_on_real_records(folder: str, own: int, most: int) -> None:
    """What docs/protocols/linear.md says of rounds."""
    columns, y = woe_columns(folder)
    X = np.stack(list(columns.values()), axis=1)
    spread = X.std(axis=0)
    fit = fit_logistic(X, y)
    loose, path, _ = fit_in_blocks(standardised(X), y, [own, X.shape[1] - own], gap=1e-6)
    assert loose[1:] / spread == pytest.approx(fit.coefficients, abs=5e-4)
    assert len(path) <= 15
    found, path, (gradients,) = fit_in_blocks(standardised(X), y, [own, X.shape[1] - own], gap=1e-12)
    assert found[1:] / spread == pytest.approx(fit.coefficients, abs=1e-6)
    assert gradients <= most
