"""The Paillier kernels, by both arithmetics, against the vectors and against their slow twin."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.crypto.paillier_checks import is_probable_prime
from fedcredit.kernels import paillier
from fedcredit.kernels import reference_paillier as reference
from fedcredit.kernels.reference_paillier import from_rows, to_rows

U8 = npt.NDArray[np.uint8]
VECTORS: dict[str, Any] = json.loads((Path(__file__).resolve().parents[1] / "vectors" / "paillier.json").read_text())
BOTH = pytest.mark.parametrize("portable", [False, True], ids=["best", "portable"])


@cache
def key(bits: int) -> tuple[int, int]:
    """Two primes of half the bits each, for tests."""

    def prime(candidate: int) -> int:
        while not is_probable_prime(candidate):
            candidate += 2
        return candidate

    half = bits // 2
    return prime((3 << (half - 2)) + 1), prime((1 << half) - (1 << (half - 3)) + 1)


def hexes(values: list[str]) -> list[int]:
    return [int(value, 16) for value in values]


@BOTH
@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: str(case["bits"]))
def test_vectors(case: dict[str, Any], portable: bool) -> None:
    p, q, base = (int(case[name], 16) for name in ("p", "q", "base"))
    public, owner = paillier.PublicKernel(p * q, portable=portable), paillier.OwnerKernel(p, q, portable=portable)
    w = public.width
    m, r = to_rows(hexes(case["m"]), w), to_rows(hexes(case["r"]), w // 2)
    c = to_rows(hexes(case["c"]), 2 * w)
    table, tables = public.table(base, w // 2), owner.tables(base, w // 2)
    assert (public.encrypt(table, m, r) == c).all()
    assert (owner.encrypt(tables, m, r) == c).all()
    assert (owner.decrypt(c) == m).all()
    assert from_rows(public.randomise(table, c, r[::-1])) == hexes(case["randomised"])
    assert from_rows(public.power(c, to_rows(VECTORS["factors"], 8))) == hexes(case["multiples"])
    groups = np.array([[i % 2, 0] for i in range(len(m))], np.uint32)
    sums = public.sums(c, groups, 3)
    assert sums.shape == (2, 3, 2 * w)
    assert from_rows(sums.reshape(6, 2 * w)) == hexes(case["sums"])


def test_the_vectors_are_what_their_maker_makes() -> None:
    case = VECTORS["cases"][0]
    p, q, base = (int(case[name], 16) for name in ("p", "q", "base"))
    rows = zip(hexes(case["m"]), hexes(case["r"]), hexes(case["c"]), strict=True)
    for m, r, c in rows:
        assert reference.encrypt(p * q, m, base, r) == c
        assert reference.decrypt(p, q, c) == m


@BOTH
@settings(max_examples=25)
@given(data=st.data(), bits=st.sampled_from([128, 130, 192, 256, 302, 512, 516]), rows=st.integers(1, 19))
def test_kernels_equal_the_twin(data: st.DataObject, bits: int, rows: int, portable: bool) -> None:
    p, q = key(bits)
    n, square = p * q, (p * q) ** 2
    public, owner = paillier.PublicKernel(n, portable=portable), paillier.OwnerKernel(p, q, portable=portable)
    w, e = public.width, data.draw(st.integers(1, 12))
    rng = data.draw(st.randoms(use_true_random=False))

    def numbers(below: int) -> list[int]:
        edges = [0, 1, below - 1, below // 2]
        return [rng.choice(edges) if rng.random() < 0.25 else rng.randrange(below) for _ in range(rows)]

    base = rng.choice([0, 1, square - 1, rng.randrange(square)])
    # What comes in may be any number of the length, above n^2 too.
    m, r, a, b = numbers(n), numbers(256**e), numbers(256 ** (2 * w)), numbers(256 ** (2 * w))
    table, tables = public.table(base, e), owner.tables(base, e)
    encrypted = [reference.encrypt(n, *row) for row in zip(m, [base] * rows, r, strict=True)]
    assert from_rows(public.encrypt(table, to_rows(m, w), to_rows(r, e))) == encrypted
    assert from_rows(owner.encrypt(tables, to_rows(m, w), to_rows(r, e))) == encrypted
    wide_a, wide_b = to_rows(a, 2 * w), to_rows(b, 2 * w)
    assert from_rows(public.add(wide_a, wide_b)) == [x * y % square for x, y in zip(a, b, strict=True)]
    assert from_rows(public.power(wide_a, to_rows(r, e))) == [pow(x, k, square) for x, k in zip(a, r, strict=True)]
    assert from_rows(public.randomise(table, wide_a, to_rows(r, e))) == [
        x * pow(base, k, square) % square for x, k in zip(a, r, strict=True)
    ]
    residue = [pow(rng.randrange(1, p), n, square) for _ in range(rows)]
    ciphertexts = [(1 + x * n) * y % square for x, y in zip(m, residue, strict=True)]
    assert (
        from_rows(owner.decrypt(to_rows(ciphertexts, 2 * w))) == m == [reference.decrypt(p, q, c) for c in ciphertexts]
    )


@BOTH
@pytest.mark.parametrize(
    ("rows", "columns", "n_groups"), [(1, 1, 1), (7, 3, 2), (100, 1, 5), (40, 17, 3), (8195, 2, 4)]
)
def test_sums(rows: int, columns: int, n_groups: int, portable: bool) -> None:
    n = key(128)[0] * key(128)[1]
    rng = np.random.default_rng(rows)
    c = rng.integers(0, 256, (rows, 32), np.uint8)
    # The last group stays empty where there is more than one.
    groups = rng.integers(0, max(n_groups - 1, 1), (rows, columns)).astype(np.uint32)
    sums = paillier.PublicKernel(n, portable=portable).sums(c, groups, n_groups)
    expected = reference.sums(n, [x % n**2 for x in from_rows(c)], groups.tolist(), n_groups)
    assert [from_rows(column) for column in sums] == expected


@BOTH
@pytest.mark.parametrize(
    ("rows", "bases", "places", "bits", "slot_bits"),
    [(1, 1, 1, 4, 4), (9, 3, 2, 20, 56), (17, 2, 5, 64, 64), (8, 1, 4, 24, 31), (3, 5, 3, 8, 100), (0, 2, 2, 8, 8)],
)
def test_powers_of_several_bases(rows: int, bases: int, places: int, bits: int, slot_bits: int, portable: bool) -> None:
    n = key(256)[0] * key(256)[1]
    rng = np.random.default_rng(bits)
    c = rng.integers(0, 256, (rows * bases, 64), np.uint8)
    digits = rng.integers(0, 1 << 63, (rows, bases, places), np.uint64) >> np.uint64(max(63 - bits, 0))
    digits[rows // 2 :, -1] = 0
    digits[: rows // 3] = (1 << bits) - 1
    found = paillier.PublicKernel(n, portable=portable).combined(c, digits, bits, slot_bits)
    numbers = from_rows(c)
    split = [numbers[bases * i : bases * (i + 1)] for i in range(rows)]
    assert from_rows(found) == reference.combined(n, split, digits.tolist(), slot_bits)


def test_a_batch_is_its_rows() -> None:
    p, q = key(256)
    owner, rng = paillier.OwnerKernel(p, q), np.random.default_rng(3)
    c, m, r = (rng.integers(0, 256, (150, w), np.uint8) for w in (64, 31, 16))
    m = np.concatenate([np.zeros((150, 1), np.uint8), m], axis=1)
    tables = owner.tables(5, 16)
    whole = owner.encrypt(tables, m, r)
    assert (
        np.concatenate([owner.encrypt(tables, m[i : i + 7], r[i : i + 7]) for i in range(0, 150, 7)]) == whole
    ).all()
    assert (np.concatenate([owner.decrypt(c[i : i + 7]) for i in range(0, 150, 7)]) == owner.decrypt(c)).all()


def test_empty_batches_are_empty() -> None:
    p, q = key(128)
    public, owner = paillier.PublicKernel(p * q), paillier.OwnerKernel(p, q)
    none, wide = np.zeros((0, 16), np.uint8), np.zeros((0, 32), np.uint8)
    assert public.encrypt(public.table(2, 3), none, none[:, :3]).shape == (0, 32)
    assert owner.encrypt(owner.tables(2, 3), none, none[:, :3]).shape == (0, 32)
    assert public.add(wide, wide).shape == (0, 32)
    assert owner.decrypt(wide).shape == (0, 16)
    assert from_rows(public.sums(wide, np.zeros((0, 2), np.uint32), 3).reshape(6, 32)) == [1] * 6
    assert public.sums(wide, np.zeros((0, 0), np.uint32), 3).shape == (0, 3, 32)


def test_bad_shapes_are_refused() -> None:
    p, q = key(128)
    public, owner = paillier.PublicKernel(p * q), paillier.OwnerKernel(p, q)
    other = paillier.PublicKernel(key(1024)[0] * key(1024)[1])
    wide, plain, r = np.ones((2, 32), np.uint8), np.ones((2, 16), np.uint8), np.ones((2, 3), np.uint8)
    groups = np.zeros((2, 1), np.uint32)
    table = public.table(2, 3)
    calls = [
        lambda: public.add(wide, wide[:1]),
        lambda: public.add(plain, plain),
        lambda: public.add(wide.view(np.int8), wide),  # type: ignore[arg-type]
        lambda: public.power(wide, r[:1]),
        lambda: public.power(wide, r[:, :0]),
        lambda: public.sums(wide, groups[:1], 1),
        lambda: public.sums(wide, groups + np.uint32(1), 1),
        lambda: public.sums(wide, groups, 0),
        lambda: public.sums(wide, groups, -1),
        lambda: public.sums(wide, groups.astype(np.int64), 1),  # type: ignore[arg-type]
        lambda: public.combined(wide, np.zeros((2, 2, 1), np.uint64), 4, 8),
        lambda: public.combined(wide, np.zeros((2, 1, 0), np.uint64), 4, 8),
        lambda: public.combined(wide, np.zeros((2, 0, 1), np.uint64), 4, 8),
        lambda: public.combined(wide, np.zeros((2, 1, 1), np.int64), 4, 8),  # type: ignore[arg-type]
        lambda: public.combined(wide, np.full((2, 1, 1), 16, np.uint64), 4, 8),
        lambda: public.combined(wide, np.zeros((2, 1, 1), np.uint64), 6, 8),
        lambda: public.combined(wide, np.zeros((2, 1, 1), np.uint64), 12, 8),
        lambda: public.combined(wide, np.zeros((2, 1, 1), np.uint64), 68, 100),
        lambda: public.combined(wide, np.zeros((2, 1, 1), np.uint64), 0, 8),
        lambda: public.encrypt(table, plain, r[:, :2]),
        lambda: public.encrypt(table, plain, r[:1]),
        lambda: public.encrypt(other.table(2, 3), plain, r),
        lambda: public.encrypt(table, wide, r),
        lambda: public.randomise(table, plain, r),
        lambda: public.table(2, 0),
        lambda: owner.encrypt(owner.tables(2, 3), plain, r[:, :2]),
        lambda: owner.encrypt(paillier.OwnerKernel(*key(1024)).tables(2, 3), plain, r),
        lambda: owner.decrypt(plain),
        lambda: paillier.PublicKernel(p * q + 1),
        lambda: paillier.PublicKernel(p),
        lambda: paillier.PublicKernel((1 << 8192) + 1),
        lambda: paillier.OwnerKernel(p, p),
        lambda: paillier.OwnerKernel(p, 3),
    ]
    for call in calls:
        with pytest.raises(ValueError):
            call()


def test_no_secret_is_shown() -> None:
    p, q = key(128)
    owner = paillier.OwnerKernel(p, q)
    for shown in (repr(owner), repr(owner._native), repr(owner.tables(2, 3)), str(vars(owner))):
        assert str(p) not in shown
        assert f"{p:x}" not in shown
