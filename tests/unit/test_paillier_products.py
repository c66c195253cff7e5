"""Sums of products modulo t under Paillier: against Python's integers, at the ends of all ranges."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest

from fedcredit.crypto.paillier import OwnEncryptor, PrivateKey
from fedcredit.crypto.paillier_checks import BadCiphertext, insecure_profile
from fedcredit.crypto.paillier_layouts import HIDING_BITS, Matching, Slots
from fedcredit.crypto.paillier_products import match, sum_columns, weigh_rows
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.crypto.rlwe import PLAIN_MODULUS, centred, masks

T = PLAIN_MODULUS
RANDOM = insecure_seeded(0)


@cache
def key() -> tuple[PrivateKey, OwnEncryptor]:
    private = PrivateKey.generate(insecure_profile(1024))
    return private, private.encryptor(RANDOM)


def opened(rows: np.ndarray) -> np.ndarray:
    private, _ = key()
    return private.decrypt(private.public.received(rows, count=len(rows), key_id=private.public.id))


def ends(rng: np.random.Generator, bound: int, *shape: int) -> np.ndarray:
    """Numbers of size up to `bound`, of which many are at an end."""
    found = rng.integers(-bound, bound, shape, endpoint=True)
    return np.where(rng.random(shape) < 0.3, bound * rng.choice([-1, 1], shape), found)


def residues(rng: np.random.Generator, *shape: int) -> np.ndarray:
    found = centred(masks(insecure_seeded(int(rng.integers(1 << 30))), *shape))
    return np.where(rng.random(shape) < 0.2, T // 2 * rng.choice([-1, 1], shape), found)


@pytest.mark.parametrize(
    ("terms", "first", "second", "rows"), [(52, 14, 17, 23), (52, 17, 21, 8), (1, 3, 4, 1), (5, 28, 29, 4)]
)
def test_inner_products_row_by_row(terms: int, first: int, second: int, rows: int) -> None:
    private, encryptor = key()
    rng = np.random.default_rng(terms + first)
    layout = Matching(private.public, terms, first, second)
    f, g = ends(rng, 1 << first, terms, rows), ends(rng, 1 << second, terms, rows)
    f[:, 0], g[:, 0] = 1 << first, 1 << second
    m = masks(RANDOM, rows)
    sealed = encryptor.encrypt(layout.pack(f))
    found = layout.read(opened(match(layout, sealed, g, m, RANDOM)), rows) - layout.excess_of_owner(f) - m
    exact = (f.astype(object) * g.astype(object)).sum(axis=0)
    assert [int(x) % T for x in found] == [int(x) % T for x in exact]


@pytest.mark.parametrize(("count", "bits"), [(1, 22), (3, 22), (11, 22), (2, 40)])
def test_products_of_a_row_with_several_numbers(count: int, bits: int) -> None:
    private, encryptor = key()
    rng = np.random.default_rng(count)
    slots = Slots(private.public, count, T.bit_length() + bits + 2)
    rows = 13
    w, x, m = residues(rng, rows), ends(rng, 1 << bits, count, rows), masks(RANDOM, count, rows)
    sealed = encryptor.encrypt(Slots(private.public, 1, slots.value_bits).pack(w[:, None]))
    found = slots.read(opened(weigh_rows(slots, sealed, x, bits, m, RANDOM)), rows)
    exact = np.remainder(w, T).astype(object)[:, None] * (x.T.astype(object) + (1 << bits)) + m.T.astype(object)
    assert (found == exact % T).all()


@pytest.mark.parametrize(("width", "bits"), [(1, 22), (4, 22), (9, 49)])
def test_sums_of_columns(width: int, bits: int) -> None:
    private, encryptor = key()
    rng = np.random.default_rng(width)
    n = 40
    slots = Slots(private.public, width, T.bit_length() + bits + n.bit_length())
    vectors = residues(rng, n, width)
    columns = np.concatenate(
        [
            ends(rng, 1 << bits, 3, n),
            rng.integers(-3, 4, (2, n)),
            np.full((1, n), 5),
            np.full((1, n), -(1 << bits)),
            np.zeros((1, n), np.int64),
            rng.integers(0, 1 << bits, (1, n)),
        ]
    )
    m = masks(RANDOM, len(columns), width)
    sealed = encryptor.encrypt(slots.pack(vectors))
    answers = sum_columns(slots, sealed, columns, m, RANDOM)
    assert len(answers) == slots.answers(len(columns))
    found = slots.read(opened(answers), len(columns))
    exact = columns.astype(object) @ vectors.astype(object) + m.astype(object)
    assert (found == exact % T).all()


def test_a_column_of_many_values_is_summed_by_digits() -> None:
    private, encryptor = key()
    rng = np.random.default_rng(8)
    n, bits = 600, 22
    slots = Slots(private.public, 1, T.bit_length() + bits + n.bit_length())
    vector, columns = residues(rng, n, 1), ends(rng, 1 << bits, 2, n)
    m = masks(RANDOM, 2, 1)
    answers = sum_columns(slots, encryptor.encrypt(slots.pack(vector)), columns, m, RANDOM)
    exact = columns.astype(object) @ vector.astype(object) + m.astype(object)
    assert (slots.read(opened(answers), 2) == exact % T).all()


def test_pads_hide_all_but_the_sum_with_the_mask() -> None:
    """Whatever the answer, what is decrypted is spread over 2^64 times its range: the ends of it tell nothing."""
    private, _ = key()
    slots = Slots(private.public, 1, 60)
    pads = slots.pads(np.zeros((3000, 1), np.int64), RANDOM)
    numbers = [
        int.from_bytes(row[-slots.slot_bytes * (k + 1) :][: slots.slot_bytes].tobytes(), "big")
        for row in pads
        for k in range(slots.merged)
    ][:3000]
    assert all(number % T == 0 for number in numbers)
    least, most = min(numbers), max(numbers)
    assert least >= 1 << 60
    assert most < 1 << (60 + HIDING_BITS + 3)
    assert most - least > 1 << (60 + HIDING_BITS + 1)
    # The matched coefficients that are not asked for are padded as well.
    layout = Matching(private.public, 52, 14, 17)
    flat = layout.pads(np.zeros(6, np.int64), RANDOM)
    used = layout.merged * layout.product * layout.slot_bytes
    tops = flat[:, -used:].reshape(-1, layout.slot_bytes)[:, :3]
    assert tops.any(axis=1).all()


def test_what_has_no_room_is_refused() -> None:
    private, encryptor = key()
    public = private.public
    for bad in (
        lambda: Slots(public, 0, 60),
        lambda: Slots(public, 1, 1000),
        lambda: Matching(public, 0, 1, 1),
        lambda: Matching(public, 52, 41, 14),
        lambda: Matching(public, 52, -1, 14),
        lambda: Matching(public, 2, 3, 3).pack(np.full((2, 1), 9)),
        lambda: Matching(public, 2, 3, 3).pack(np.zeros((3, 1), np.int64)),
    ):
        with pytest.raises(ValueError):
            bad()
    slots, layout = Slots(public, 1, 78), Matching(public, 1, 3, 3)
    sealed = encryptor.encrypt(slots.pack(np.ones((1, 1), np.int64)))
    with pytest.raises(ValueError):
        weigh_rows(slots, sealed, np.full((1, 1), 9), 3, np.zeros((1, 1), np.int64), RANDOM)
    with pytest.raises(ValueError):
        match(layout, sealed, np.full((1, 1), 9), np.zeros(1, np.int64), RANDOM)


def test_plaintexts_that_no_answer_gives_are_refused() -> None:
    private, _ = key()
    slots, layout = Slots(private.public, 1, 78), Matching(private.public, 52, 14, 17)
    good, middles = slots.pads(np.zeros((1, 1), np.int64), RANDOM), layout.pads(np.zeros(1, np.int64), RANDOM)
    assert slots.read(good, 1).tolist() == [[0]]
    assert layout.read(middles, 1).tolist() == [0]
    for plain, read in ((good, slots.read), (middles, layout.read)):
        for at, _ in itertools.product((0, 1), range(1)):
            bad = plain.copy()
            if at == 0:
                bad[0, 0] = 1
            else:
                size = slots.slot_bytes if read == slots.read else layout.slot_bytes
                bad[0, -size] |= 0x80
            with pytest.raises(BadCiphertext):
                read(bad, 1)
