"""Fixed-point gradients: no subset overflows, and the stated error bound holds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedcredit.credit.quantise import GradientScale, error_bound, pack, unpack

sizes = st.shared(st.integers(1, 60), key="n")
magnitudes = st.sampled_from([1e-12, 1e-3, 1.0, 1e9])


@st.composite
def gradients(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = draw(sizes)
    g = draw(arrays(np.float64, n, elements=st.floats(-1, 1))) * draw(magnitudes)
    h = draw(arrays(np.float64, n, elements=st.floats(0, 1))) * draw(magnitudes)
    return g, h


@given(gh=gradients(), subset=sizes.flatmap(lambda n: arrays(np.bool_, n)))
def test_any_sum_of_rows_unpacks_within_the_bound(gh: tuple[np.ndarray, np.ndarray], subset: np.ndarray) -> None:
    g, h = gh
    packed, scale = pack(g, h)
    total = packed[subset].sum(dtype=np.uint64)
    G, H = unpack(total, scale)
    # Exactly the sum of what the rows were rounded to: nothing carried over from one half into the other.
    row_g, row_h = unpack(packed, scale)
    assert float(G) == math.fsum(row_g[subset])
    assert float(H) == math.fsum(row_h[subset])
    bound_g, bound_h = error_bound(scale, int(subset.sum()))
    # fsum is exact up to one rounding of the true sum.
    assert abs(float(G) - math.fsum(g[subset])) <= bound_g * (1 + 1e-12) + 1e-15 * abs(math.fsum(g[subset]))
    assert abs(float(H) - math.fsum(h[subset])) <= bound_h * (1 + 1e-12) + 1e-15 * abs(math.fsum(h[subset]))


@given(gh=gradients())
def test_the_scale_is_the_finest_that_fits(gh: tuple[np.ndarray, np.ndarray]) -> None:
    g, h = gh
    _, scale = pack(g, h)
    for values, bits, limit in ((g, scale.gradient_bits, 2**31), (h, scale.hessian_bits, 2**32)):
        magnitude = float(np.abs(values).sum())
        assert np.abs(np.rint(np.ldexp(values, bits))).sum() < limit
        if magnitude > 1e-280:
            assert np.ldexp(magnitude, bits + 1) + values.size / 2 >= limit - 1


def test_subset_sums_of_all_one_sign_come_close_to_the_limit_and_no_further() -> None:
    n = 100_000
    packed, scale = pack(np.full(n, -1.0), np.full(n, 0.25))
    G, H = unpack(packed.sum(dtype=np.uint64), scale)
    assert (float(G), float(H)) == (-n, n / 4)
    assert n * 2.0**scale.gradient_bits > 2**30


def test_a_credit_portfolio_is_summed_to_six_digits() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.random(150_000) < 0.05, rng.beta(1, 19, 150_000)
    g, h = p - y, p * (1 - p)
    packed, scale = pack(g, h)
    G, H = unpack(packed.sum(dtype=np.uint64), scale)
    assert abs(G - g.sum()) < 1e-6 * np.abs(g).sum()
    assert abs(H - h.sum()) < 1e-6 * h.sum()


def test_nothing_to_pack() -> None:
    packed, scale = pack(np.zeros(4), np.zeros(4))
    assert packed.tolist() == [0, 0, 0, 0]
    assert scale == GradientScale(0, 0)
    assert pack(np.empty(0), np.empty(0))[0].shape == (0,)


def test_sums_of_any_shape_unpack() -> None:
    packed, scale = pack(np.array([-0.5, 0.25]), np.array([0.5, 0.25]))
    G, H = unpack(packed.reshape(2, 1, 1), scale)
    assert G.ravel().tolist() == [-0.5, 0.25]
    assert H.ravel().tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("g", "h"),
    [
        ([1.0, 2.0], [1.0]),
        ([math.nan], [1.0]),
        ([math.inf], [1.0]),
        ([1.0], [math.nan]),
        ([1.0], [-1e-9]),
        ([[1.0]], [[1.0]]),
    ],
)
def test_what_cannot_be_packed_is_refused(g: list[float], h: list[float]) -> None:
    with pytest.raises(ValueError, match="pack"):
        pack(np.array(g), np.array(h))
