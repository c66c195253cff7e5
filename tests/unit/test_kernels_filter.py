"""The compact set answers as a set does, byte for byte as its slow twin codes it, and refuses what is none."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.kernels import filter as compact
from fedcredit.kernels import reference_filter

U8 = npt.NDArray[np.uint8]


def numbers(values: U8, bits: int) -> list[int]:
    return [int.from_bytes(row.tobytes(), "big") >> (128 - bits) for row in values]


def drawn(n: int, label: str = "values") -> U8:
    return insecure_seeded(4, f"{label} {n}").array(n, 16)


@given(n=st.integers(0, 200), bits=st.integers(1, 128), seed=st.integers(0, 5))
@settings(max_examples=80, deadline=None)
def test_the_code_is_that_of_the_slow_twin(n: int, bits: int, seed: int) -> None:
    values = drawn(n, f"{seed}")
    found = compact.encode(values, bits)
    plain = numbers(values, bits)
    assert found.tobytes() == reference_filter.encode(plain, bits)
    assert reference_filter.decode(found.tobytes(), n, bits) == sorted(plain)
    compact.check(found, n, bits)
    asked = np.concatenate([values[: n // 2], drawn(50, "others")])
    assert compact.contains(found, n, bits, asked).tolist() == [v in set(plain) for v in numbers(asked, bits)]


@given(
    before=st.sets(st.integers(0, 60)),
    after=st.sets(st.integers(0, 60)),
    bits=st.sampled_from([1, 6, 60, 84, 128]),
)
@settings(max_examples=80, deadline=None)
def test_a_change_leads_from_one_set_to_the_other(before: set[int], after: set[int], bits: int) -> None:
    all_of_them = drawn(61)
    old, new = (all_of_them[sorted(chosen)] for chosen in (before, after))
    first, last = compact.encode(old, bits), compact.encode(new, bits)
    change = compact.difference(first, len(old), last, len(new), bits)
    assert compact.apply(first, len(old), change, bits).tobytes() == last.tobytes()
    if bits >= 60:
        assert (change.n_removed, change.n_added) == (len(before - after), len(after - before))
    if after - before and bits >= 60:
        backwards = compact.Change(change.n_added, change.added, change.n_removed, change.removed)
        with pytest.raises(compact.BadFilter):
            compact.apply(first, len(old), backwards, bits)


@pytest.mark.parametrize("n", [1_000, 123_456])
def test_size_follows_from_the_numbers_alone(n: int) -> None:
    size = compact.size(n, 84)
    assert len(compact.encode(drawn(n), 84)) == len(compact.encode(drawn(n, "more"), 84)) == size
    # The least that any code takes is 1.44 bits more than the difference.
    assert 1.44 < size * 8 / n - (84 - math.log2(n)) < 2.15


def test_false_answers_are_as_rare_as_the_bits_say() -> None:
    n, asked, bits = 1 << 14, 1 << 18, 24
    found = compact.contains(compact.encode(drawn(n), bits), n, bits, drawn(asked, "asked"))
    expected = n * asked / 2**bits
    assert abs(int(found.sum()) - expected) < 6 * math.sqrt(expected)


def test_what_is_no_set_is_refused() -> None:
    found = compact.encode(drawn(500), 84)
    upper = -(-(500 + 512 - 1) // 64) * 8
    for byte in range(upper):
        wrong = found.copy()
        wrong[byte] ^= 16
        with pytest.raises(compact.BadFilter):
            compact.check(wrong, 500, 84)
    backwards = found.copy()
    backwards[upper:] = found[upper:][::-1]
    # Whatever the bytes are, a look-up ends.
    compact.contains(backwards, 500, 84, drawn(20))
    compact.contains(np.full_like(found, 255), 500, 84, drawn(20))
    for wrong_size in (found[1:], np.append(found, np.uint8(0))):
        with pytest.raises(ValueError, match="filter"):
            compact.check(wrong_size, 500, 84)
    for n, bits in ((-1, 84), ((1 << 28) + 1, 84), (5, 0), (5, 129)):
        with pytest.raises(ValueError, match="not in"):
            compact.size(n, bits)


def test_all_values_in_one_place_cost_no_more() -> None:
    # A peer may choose its values: all alike in their first bits, so that they lie together.
    n = 1 << 16
    values = np.zeros((n, 16), np.uint8)
    values[:, 12:] = np.arange(n, dtype=">u4").view(np.uint8).reshape(n, 4)
    found = compact.encode(values, 128)
    asked = np.concatenate([values[::5], values[:1] | 128])
    assert compact.contains(found, n, 128, asked).tolist() == [True] * (len(asked) - 1) + [False]
