"""Masks are AES-256 in counter mode whatever the pieces, cancel, and shares are those of the slow twin."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.kernels import masks
from fedcredit.kernels import reference_masks as reference

KEY = hashlib.sha256(b"a key").digest()
OTHER = hashlib.sha256(b"another key").digest()
MOST = (1 << 64) - 1


def some(n: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, MOST, n, np.uint64, endpoint=True)


@given(first=st.integers(0, 1 << 63), n=st.integers(0, 300), subtract=st.booleans())
def test_the_stream_is_that_of_another_library(first: int, n: int, subtract: bool) -> None:
    into = some(n)
    expected = [
        (int(x) + (-m if subtract else m)) & MOST for x, m in zip(into, reference.mask(KEY, first, n), strict=True)
    ]
    masks.add_mask(into, KEY, first, subtract=subtract)
    assert into.tolist() == expected


@pytest.mark.parametrize(
    ("key", "block"),
    [
        ("80", "e35a6dcb19b201a01ebcfa8aa22b5759"),
        ("c0", "b29169cdcf2d83e838125a12ee6aa400"),
        ("e0", "d8f3a72fc3cdf74dfaf6c3e6b97b2fa6"),
    ],
)
def test_the_first_block_is_the_published_one(key: str, block: str) -> None:
    # NIST AESAVS, variable key known answers of 256 bits: AES of zeros. The kernel's own tests have SP 800-38A, F.5.5.
    words = np.zeros(2, np.uint64)
    masks.add_mask(words, bytes.fromhex(key.ljust(64, "0")), 0, subtract=False)
    assert words.astype("<u8").tobytes().hex() == block


@pytest.mark.parametrize("size", [1, 31, 32, 33, 2048, 2049, 10_000])
def test_pieces_make_the_whole(size: int) -> None:
    n, keys, signs = 10_001 if size > 33 else 200, [KEY, OTHER], [False, True]
    whole, parts = some(n), some(n)
    masks.add_masks(whole, keys, signs, 77)
    for place in range(0, n, size):
        masks.add_masks(parts[place : place + size], keys, signs, 77 + place)
    assert np.array_equal(whole, parts)
    masks.add_mask(whole, KEY, 77, subtract=True)
    masks.add_mask(whole, OTHER, 77, subtract=False)
    assert np.array_equal(whole, some(n))


def test_what_does_not_fit_is_refused() -> None:
    words = some(64)
    frozen = some(4)
    frozen.flags.writeable = False
    for into in (words[::2], words.astype(np.int64), words.reshape(8, 8), frozen):
        with pytest.raises(ValueError, match="into"):
            masks.add_mask(into, KEY, 0, subtract=False)
    with pytest.raises(ValueError, match="keys"):
        masks.add_mask(words, KEY[:16], 0, subtract=False)
    with pytest.raises(ValueError, match="subtract"):
        masks.add_masks(words, [KEY], [], 0)
    for first in (-1, MOST - 63, 1 << 64):
        with pytest.raises(ValueError, match="first"):
            masks.add_mask(words, KEY, first, subtract=False)
    assert np.array_equal(words, some(64))


@given(
    secret=st.binary(min_size=1, max_size=21),
    n=st.integers(1, 9),
    data=st.data(),
)
def test_shares_are_those_of_the_slow_twin(secret: bytes, n: int, data: st.DataObject) -> None:
    threshold = data.draw(st.integers(1, n))
    flat = data.draw(st.binary(min_size=(threshold - 1) * len(secret), max_size=(threshold - 1) * len(secret)))
    coefficients = np.frombuffer(flat, np.uint8).reshape(threshold - 1, len(secret))
    shares = masks.split_bytes(np.frombuffer(secret, np.uint8), coefficients, n)
    for column, byte in enumerate(secret):
        assert shares[:, column].tolist() == reference.split(byte, coefficients[:, column].tolist(), n)
    places = data.draw(st.permutations(range(n)))[:threshold]
    at = data.draw(st.integers(0, 255))
    values = masks.shares_at(at, places, shares[places])
    points = [(place + 1, int(shares[place, 0])) for place in places]
    assert values[0] == reference.interpolate(at, points)
    assert masks.shares_at(0, places, shares[places]).tobytes() == secret


def test_shares_that_do_not_fit_are_refused() -> None:
    secret, none = np.zeros(4, np.uint8), np.zeros((0, 4), np.uint8)
    for n, coefficients in ((0, none), (256, none), (1, np.zeros((1, 4), np.uint8)), (3, np.zeros((1, 5), np.uint8))):
        with pytest.raises(ValueError, match=r"shares|coefficients"):
            masks.split_bytes(secret, coefficients, n)
    with pytest.raises(ValueError, match="secrets"):
        masks.split_bytes(np.zeros((2, 2), np.uint8), none, 3)
    shares = np.zeros((2, 4), np.uint8)
    for places in ([0], [0, 0], [0, 255], [-1, 0]):
        with pytest.raises(ValueError, match=r"places|shares"):
            masks.shares_at(0, places, shares)
    with pytest.raises(ValueError, match="at"):
        masks.shares_at(256, [0, 1], shares)
