"""The ring-LWE kernels against their slow twin, bit by bit, and against integers modulo t."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from statistics import fmean

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.crypto.paillier_checks import is_probable_prime
from fedcredit.kernels import reference_rlwe as reference
from fedcredit.kernels import rlwe
from fedcredit.kernels.rlwe import CIPHERTEXT_BYTES, PLAIN_MODULUS, PRIMES, SLOTS

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

T = PLAIN_MODULUS
KEY, PUBLIC, HIDDEN, C, E, F = (bytes([i]) * 32 for i in range(6))
EDGES = [0, 1, -1, T - 1, T // 2, T // 2 + 1, -(T // 2), T, -T, 2**63 - 1, -(2**63)]


@cache
def owner() -> rlwe.OwnerKernel:
    return rlwe.OwnerKernel(KEY)


@cache
def public() -> rlwe.PublicKernel:
    return rlwe.PublicKernel(PUBLIC, owner().public(PUBLIC, HIDDEN))


@cache
def secret() -> list[int]:
    return reference.secret(KEY)


@cache
def pair() -> tuple[list[int], list[int]]:
    """The public key as polynomials."""
    return reference.ciphertext(secret(), [0] * SLOTS, 0, PUBLIC, HIDDEN), reference.uniform(PUBLIC, 0)


def numbers(seed: int, *shape: int) -> I64:
    """Anything that an int64 may be, with edges."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(-(2**63), 2**63 - 1, shape, endpoint=True)
    return np.where(rng.random(shape) < 0.3, rng.choice(np.array(EDGES), shape), drawn)


def packed(polynomial: list[int]) -> bytes:
    """As ciphertexts travel: residues of 60 bits, low bits first."""
    flat = [x for row in reference.to_residues(polynomial) for x in row]
    return b"".join((a | b << 60).to_bytes(15, "little") for a, b in zip(flat[::2], flat[1::2], strict=True))


def modulo(array: object) -> npt.NDArray[np.object_]:
    return np.asarray(array).astype(object) % T


def test_the_moduli_are_what_they_are_said_to_be() -> None:
    def largest(bits: int, n: int) -> tuple[int, ...]:
        candidates = range((1 << bits) - 2 * SLOTS + 1, 0, -2 * SLOTS)
        return tuple(q for _, q in zip(range(n), (q for q in candidates if is_probable_prime(q)), strict=False))

    assert largest(60, 3) == PRIMES
    assert largest(54, 1) == (T,)


def test_the_twin_multiplies_as_polynomials_do() -> None:
    a, b = ([int(x) for x in numbers(seed, SLOTS)] for seed in (1, 2))
    product = reference.multiply(a, b)
    for place in (0, 1, 4000, SLOTS - 1):
        low = sum(a[i] * b[place - i] for i in range(place + 1))
        assert product[place] == low - sum(a[i] * b[SLOTS + place - i] for i in range(place + 1, SLOTS))
    values = [reference.values(x, T) for x in (a, b, product)]
    assert all(x * y % T == z for x, y, z in zip(*values, strict=True))
    assert reference.coefficients(values[0], T) == [x % T for x in a]


def test_keys_and_ciphertexts_are_the_twin_s() -> None:
    assert owner().public(PUBLIC, HIDDEN).tobytes() == packed(pair()[0])
    values = numbers(3, 2, 8195)
    for slots in (True, False):
        sent = owner().encrypt(values, slots=slots, public=C, secret=E)
        assert sent.shape == (4, CIPHERTEXT_BYTES)
        for number, block in ((1, values[0, SLOTS:]), (2, values[1, :SLOTS])):
            plain = reference.plaintext([int(x) for x in block], slots=slots)
            assert sent[number].tobytes() == packed(reference.ciphertext(secret(), plain, number, C, E))


@pytest.mark.slow
@pytest.mark.parametrize("slots", [True, False], ids=["slots", "inner"])
def test_answers_are_the_twin_s(slots: bool) -> None:
    values, plain, masks = numbers(4, 2, 100), numbers(5, 2, 2, 100), numbers(6, 2, 100)
    lists = [[[int(x) for x in row] for row in rows] for rows in plain]
    sent = owner().encrypt(values, slots=slots, public=C, secret=E)
    pairs = [
        (
            reference.ciphertext(secret(), reference.plaintext(list(values[k]), slots=slots), k, C, E),
            reference.uniform(C, k),
        )
        for k in range(2)
    ]
    if slots:
        answers = public().slot_products(C, sent, plain, masks, secret=F)
        first, second = reference.slot_product(pairs, lists[1], list(masks[1]), pair(), 1, F)
        assert answers[1].tolist() == first + second
    else:
        answers = public().inner_products(C, sent, plain, masks[:, 7], secret=F)
        columns = [lists[0][1], lists[1][1]]
        first_one, second = reference.inner_product(pairs, columns, int(masks[1, 7]), pair(), 1, F)
        assert answers[1].tolist() == [first_one, *second]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rows=st.sampled_from([1, 2, 100, SLOTS - 1, SLOTS, SLOTS + 1, 2 * SLOTS + 5]),
    vectors=st.integers(1, 5),
    sums=st.integers(1, 3),
)
def test_slot_products_are_products(seed: int, rows: int, vectors: int, sums: int) -> None:
    values, plain, masks = (
        numbers(seed, vectors, rows),
        numbers(seed + 1, sums, vectors, rows),
        numbers(seed + 2, sums, rows),
    )
    sent = owner().encrypt(values, slots=True, public=C, secret=E)
    answers = owner().decrypt_slots(public().slot_products(C, sent, plain, masks, secret=F))
    found = answers.reshape(sums, -1)
    assert abs(found).max() <= T // 2
    expected = (values.astype(object)[None] * plain.astype(object)).sum(axis=1) + masks
    assert (modulo(found[:, :rows]) == expected % T).all()
    assert not found[:, rows:].any()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rows=st.sampled_from([1, 2, 100, SLOTS - 1, SLOTS, SLOTS + 1, 2 * SLOTS + 5]),
    vectors=st.integers(1, 3),
    columns=st.integers(1, 4),
)
def test_inner_products_are_inner_products(seed: int, rows: int, vectors: int, columns: int) -> None:
    values, factors = numbers(seed, vectors, rows), numbers(seed + 1, vectors, columns, rows)
    masks = numbers(seed + 2, columns)
    sent = owner().encrypt(values, slots=False, public=C, secret=E)
    found = owner().decrypt_inner(public().inner_products(C, sent, factors, masks, secret=F))
    assert abs(found).max() <= T // 2
    expected = (values.astype(object)[:, None] * factors.astype(object)).sum(axis=(0, 2)) + masks
    assert (modulo(found) == expected % T).all()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rows=st.sampled_from([1, 2, 31, 32, 33, 100, SLOTS - 1, SLOTS, SLOTS + 1, 2 * SLOTS + 5]),
    features=st.integers(1, 4),
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=8),
)
def test_columns_of_codes_are_those_columns(seed: int, rows: int, features: int, sizes: list[int]) -> None:
    """The same answers, to the last bit, as of columns that were made before."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (features, rows)).astype(np.uint8)
    codes[0, rng.integers(rows)] = 255
    cells = sum(sizes)
    coded = rlwe.Coded(
        codes,
        rng.integers(0, features, cells).astype(np.uint32),
        rng.choice(np.array([0, 1, 2, 3, 255], np.uint8), cells),
        numbers(seed, cells),
        np.cumsum([0, *sizes]).astype(np.uint32),
    )
    columns = np.zeros((1, len(sizes), rows), np.int64)
    of_cell = np.repeat(np.arange(len(sizes)), sizes)
    for column, f, group, weight in zip(of_cell, coded.features, coded.groups, coded.weights, strict=True):
        columns[0, column] += np.where(codes[f] == group, weight, 0)
    masks = numbers(seed + 1, len(sizes))
    sent = owner().encrypt(numbers(seed + 2, 1, rows), slots=False, public=C, secret=E)
    expected = public().inner_products(C, sent, columns, masks, secret=F)
    assert np.array_equal(public().coded_products(C, sent, coded, masks, secret=F), expected)
    some = slice(len(sizes) // 2, len(sizes))
    part = public().coded_products(C, sent, coded.some(some), masks[some], secret=F)
    again = public().inner_products(C, sent, np.ascontiguousarray(columns[:, some]), masks[some], secret=F)
    assert np.array_equal(part, again)


def test_what_is_drawn_is_spread_as_it_should_be() -> None:
    """Bounds of eight deviations, on fixed seeds: a sampler that is wrong is far outside."""
    n = 4 * SLOTS
    errors = np.array([x for i in range(4) for x in reference.error(E, i)])
    assert abs(errors.mean()) < 8 * (10.5 / n) ** 0.5
    assert abs(errors.var() - 10.5) < 8 * 10.5 * (2 / n) ** 0.5
    assert 8 < abs(errors).max() <= 21
    thirds = np.bincount(np.array([x for i in range(4) for x in reference.ternary(E, i)]) + 1)
    assert len(thirds) == 3
    assert (abs(thirds - n / 3) < 8 * (n * 2 / 9) ** 0.5).all()
    flood = [x / 2**reference.FLOOD_BITS for i in range(4) for x in reference.flood(E, i)]
    assert max(map(abs, flood)) <= 1
    assert abs(fmean(flood)) < 8 * (1 / 3 / n) ** 0.5
    assert abs(fmean(x * x for x in flood) - 1 / 3) < 8 * (4 / 45 / n) ** 0.5
    uniform = [x / reference.MODULUS for x in reference.uniform(C, 3)]
    assert abs(fmean(uniform) - 1 / 2) < 8 * (1 / 12 / SLOTS) ** 0.5
    assert abs(fmean((x - 1 / 2) ** 2 for x in uniform) - 1 / 12) < 8 * (1 / 180 / SLOTS) ** 0.5


def test_streams_of_other_numbers_and_uses_are_others() -> None:
    streams = [
        tuple(reference.words(seed, use, limb, number, 4))
        for seed in (C, E)
        for use in (1, 2, 3, 4)
        for limb in (0, 1)
        for number in (0, 1, 256)
    ]
    assert len(set(streams)) == len(streams)


class TestRefused:
    def test_shapes_and_dtypes(self) -> None:
        own, other = owner(), public()
        values = numbers(1, 2, 10)
        sent = own.encrypt(values, slots=True, public=C, secret=E)
        first, masks = np.array([0, 1, 2], np.uint32), np.zeros(2, np.int64)
        coded = rlwe.Coded(
            np.zeros((2, 10), np.uint8), np.array([0, 1], np.uint32), np.zeros(2, np.uint8), masks, first
        )
        cases = [
            lambda: own.encrypt(values[0], slots=True, public=C, secret=E),
            lambda: own.encrypt(values.astype(np.uint64), slots=True, public=C, secret=E),
            lambda: own.encrypt(values[:, :0], slots=True, public=C, secret=E),
            lambda: own.encrypt(values, slots=True, public=C[1:], secret=E),
            lambda: own.decrypt_slots(np.zeros((1, 2 * SLOTS - 1), np.uint64)),
            lambda: own.decrypt_slots(np.zeros((1, 2 * SLOTS), np.int64)),
            lambda: own.decrypt_inner(np.zeros((1, SLOTS), np.uint64)),
            lambda: other.slot_products(C, sent[:1], values[None], values[:1], secret=F),
            lambda: other.slot_products(C, sent[:, 1:], values[None], values[:1], secret=F),
            lambda: other.slot_products(C, sent, values[None], values, secret=F),
            lambda: other.slot_products(C, sent, values, values[:1], secret=F),
            lambda: other.slot_products(C, sent, values[None, :, :0], values[:1, :0], secret=F),
            lambda: other.slot_products(C, sent[:0], values[None, :0], values[:1], secret=F),
            lambda: other.inner_products(C, sent, values[:, None], values[0, :2], secret=F),
            lambda: other.inner_products(C, sent[:1], values[:, None], values[0, :1], secret=F),
            lambda: other.inner_products(C, sent, values[:, None], values[0, :1].astype(float), secret=F),
            lambda: other.coded_products(C, sent, coded, masks, secret=F),
            lambda: other.coded_products(C, sent[:1], replace(coded, codes=coded.codes[0]), masks, secret=F),
            lambda: other.coded_products(C, sent[:1], replace(coded, codes=coded.codes[:, :0]), masks, secret=F),
            lambda: other.coded_products(C, sent[:1], coded, masks[:1], secret=F),
            lambda: other.coded_products(C, sent[:1], coded, masks.astype(float), secret=F),
            lambda: rlwe.OwnerKernel(b"short"),
            lambda: rlwe.PublicKernel(PUBLIC, np.zeros(5, np.uint8)),
            lambda: rlwe.PublicKernel(PUBLIC, np.full(CIPHERTEXT_BYTES, 255, np.uint8)),
            lambda: rlwe.first_bad(sent[0]),
        ]
        for case in cases:
            with pytest.raises(ValueError, match=r"got|more than|seed|public key|values|masks"):
                case()

    def test_too_many_to_a_sum(self) -> None:
        n = rlwe.MAX_SUMMED + 1
        sent, values = np.zeros((n, CIPHERTEXT_BYTES), np.uint8), np.zeros((1, n, 1), np.int64)
        with pytest.raises(ValueError, match="more than 255"):
            public().slot_products(C, sent, values, values[:, 0], secret=F)
        with pytest.raises(ValueError, match="more than 255"):
            public().inner_products(C, sent, values.reshape(n, 1, 1), values[0, 0], secret=F)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"features": np.array([0, 2], np.uint32)},
            {"features": np.array([0], np.uint32)},
            {"groups": np.zeros(3, np.uint8)},
            {"weights": np.zeros(1, np.int64)},
            {"first": np.array([0, 1, 3], np.uint32)},
            {"first": np.array([1, 1, 2], np.uint32)},
            {"first": np.array([0, 3, 2], np.uint32)},
        ],
    )
    def test_cells_that_are_not_there(self, wrong: dict[str, np.ndarray]) -> None:
        sent = owner().encrypt(numbers(1, 1, 10), slots=False, public=C, secret=E)
        cells = {
            "features": np.array([0, 1], np.uint32),
            "groups": np.zeros(2, np.uint8),
            "weights": np.zeros(2, np.int64),
            "first": np.array([0, 1, 2], np.uint32),
        }
        coded = rlwe.Coded(np.zeros((2, 10), np.uint8), **(cells | wrong))
        with pytest.raises(ValueError, match=r"cells|groups|weights"):
            public().coded_products(C, sent, coded, np.zeros(2, np.int64), secret=F)

    @pytest.mark.parametrize("limb", range(3))
    def test_residues_that_are_not_below_their_primes(self, limb: int) -> None:
        sent = owner().encrypt(numbers(1, 3, 5), slots=True, public=C, secret=E)
        assert rlwe.first_bad(sent) is None
        place = limb * SLOTS * 60 // 8
        for residue, bad in ((PRIMES[limb] - 1, None), (PRIMES[limb], 2), ((1 << 60) - 1, 2)):
            word = int.from_bytes(sent[2, place : place + 15].tobytes(), "little") >> 60 << 60 | residue
            sent[2, place : place + 15] = np.frombuffer(word.to_bytes(15, "little"), np.uint8)
            assert rlwe.first_bad(sent) == bad
