"""Ring-LWE keys, ciphertexts and answers: what is refused, what is computed, what never leaves, and the noise."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from fedcredit.crypto.randomness import Randomness, SystemRandomness, insecure_seeded
from fedcredit.crypto.rlwe import (
    PLAIN_MODULUS,
    SLOTS,
    Ciphertexts,
    InnerProducts,
    PublicKey,
    SecretKey,
    SlotProducts,
    masks,
)
from fedcredit.crypto.rlwe_checks import BadCiphertext, BadKey, Heading
from fedcredit.errors import RefusedError
from fedcredit.kernels import reference_rlwe as reference
from fedcredit.kernels.rlwe import CIPHERTEXT_BYTES, PRIMES, SEED_BYTES

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
T = PLAIN_MODULUS
ROWS = SLOTS + 3
BODY = Heading.BYTES + SEED_BYTES


@cache
def key() -> SecretKey:
    return SecretKey.generate(insecure_seeded(1))


@cache
def foreign() -> SecretKey:
    return SecretKey.generate(insecure_seeded(2))


def source(label: str = "") -> Randomness:
    return insecure_seeded(3, label)


@cache
def vectors() -> I64:
    return np.random.default_rng(4).integers(-(2**62), 2**62, (2, ROWS))


@cache
def by_slots() -> Ciphertexts:
    return key().encrypt_slots(vectors(), source("slots"))


@cache
def by_coefficients() -> Ciphertexts:
    return key().encrypt_coefficients(vectors(), source("coefficients"))


def products(label: str = "products") -> SlotProducts:
    return key().public.slot_products(by_slots(), vectors()[None], vectors()[:1], source(label))


def inner(label: str = "inner") -> InnerProducts:
    return key().public.inner_products(by_coefficients(), vectors()[:, None], vectors()[0, :1], source(label))


def modulo(array: object) -> list[object]:
    return (np.asarray(array).astype(object) % T).tolist()  # type: ignore[no-any-return]


class TestComputing:
    def test_what_is_decrypted_is_what_was_to_be_computed(self) -> None:
        """Over the wire and back, with fresh randomness of the system's."""
        secret = SecretKey.generate(SystemRandomness())
        public = PublicKey.from_bytes(secret.public.to_bytes())
        assert public.id == secret.public.id
        flat = secret.encrypt_slots(vectors(), SystemRandomness()).to_bytes()
        assert len(flat) == Ciphertexts.size(2, ROWS)
        c = Ciphertexts.slots_from_bytes(flat, public, vectors=2, rows=ROWS)
        plain, added = np.stack([vectors(), vectors()[::-1]]), masks(SystemRandomness(), 2, ROWS)
        answer = public.slot_products(c, plain, added, SystemRandomness()).to_bytes()
        assert len(answer) == SlotProducts.size(2, ROWS)
        found = secret.decrypt_slots(SlotProducts.from_bytes(answer, secret.public, sums=2, rows=ROWS))
        assert found.shape == (2, ROWS)
        assert modulo(found) == modulo((vectors().astype(object)[None] * plain).sum(axis=1) + added)

        flat = secret.encrypt_coefficients(vectors(), SystemRandomness()).to_bytes()
        c = Ciphertexts.coefficients_from_bytes(flat, public, vectors=2, rows=ROWS)
        added = masks(SystemRandomness(), 3)
        columns = np.random.default_rng(5).integers(-T, T, (2, 3, ROWS))
        answer = public.inner_products(c, columns, added, SystemRandomness()).to_bytes()
        assert len(answer) == InnerProducts.size(3)
        totals = secret.decrypt_inner(InnerProducts.from_bytes(answer, secret.public, count=3, rows=ROWS))
        expected = (vectors().astype(object)[:, None] * columns).sum(axis=(0, 2)) + added
        assert modulo(totals) == modulo(expected)

    def test_columns_of_one_vector_need_no_first_axis(self) -> None:
        c = key().encrypt_coefficients(vectors()[:1], source())
        one = key().public.inner_products(c, vectors(), vectors()[0, :2], source())
        assert (one.words == key().public.inner_products(c, vectors()[None], vectors()[0, :2], source()).words).all()

    def test_masks_are_uniform(self) -> None:
        drawn = masks(source(), 100, 200)
        assert drawn.shape == (100, 200)
        assert drawn.min() >= 0
        assert drawn.max() < T
        shares = drawn / T
        assert abs(shares.mean() - 1 / 2) < 8 * (1 / 12 / 20_000) ** 0.5
        assert abs(shares.var() - 1 / 12) < 8 * (1 / 180 / 20_000) ** 0.5
        assert (drawn != masks(source("other"), 100, 200)).all()


class TestWhatLeaves:
    def test_nothing_is_shown(self) -> None:
        shown = repr([key(), by_slots(), by_coefficients(), products(), inner()])
        assert "array" not in shown
        assert "seed" not in shown
        assert "kernel" not in shown
        assert "0x" not in shown

    def test_the_same_numbers_are_never_the_same_ciphertexts(self) -> None:
        first, second = (key().encrypt_slots(vectors(), source(label)) for label in ("a", "b"))
        assert first.seed != second.seed
        # Bytes agree as often as those of random numbers do, one in 256.
        assert abs((first.first == second.first).mean() - 1 / 256) < 8 * (1 / 256 / first.first.size) ** 0.5

    def test_the_same_answer_is_never_the_same_twice(self) -> None:
        """By the second part too, which would tell what it was multiplied by if it were not made fresh."""
        for made, second in ((products, SLOTS), (inner, 1)):
            words = [made(label).words[:, second:] for label in ("a", "b")]
            assert (words[0] != words[1]).mean() > 0.999
        zeros = np.zeros((1, 2, ROWS), np.int64)
        c = key().public.slot_products(by_slots(), zeros, zeros[:, 0], source("zeros"))
        assert (c.words != 0).mean() > 0.999
        assert not key().decrypt_slots(c).any()

    def test_everything_follows_from_the_randomness(self) -> None:
        again = [SecretKey.generate(insecure_seeded(1)).public.to_bytes(), products().words, inner().words]
        assert all(
            (x == y).all()
            for x, y in zip(again, [key().public.to_bytes(), products().words, inner().words], strict=True)
        )


class TestKeys:
    @pytest.mark.parametrize(
        ("bad", "said"),
        [
            (lambda flat: flat[1:], "not"),
            (lambda flat: np.concatenate([flat, flat[:1]]), "not"),
            (lambda flat: flat.astype(np.int64), "not"),
            (lambda flat: flat.reshape(1, -1), "not"),
            (lambda flat: changed(flat, 0), "other parameters"),
            (lambda flat: np.concatenate([flat[:48], np.zeros(CIPHERTEXT_BYTES, np.uint8)]), "first part is zero"),
            (
                lambda flat: np.concatenate([flat[:48], np.full(CIPHERTEXT_BYTES, 255, np.uint8)]),
                "not below its modulus",
            ),
        ],
        ids=["short", "long", "dtype", "axes", "parameters", "zero", "residues"],
    )
    def test_a_bad_key_is_refused(self, bad: Callable[[U8], U8], said: str) -> None:
        with pytest.raises(BadKey, match=said) as refused:
            PublicKey.from_bytes(bad(key().public.to_bytes()))
        assert refused.value.code == refused.value.of_peer("bank", "linear/key").code == "KEY_INVALID"

    def test_a_budget_of_answers_is_kept(self) -> None:
        secret = SecretKey.generate(source(), answers=3)
        c = secret.encrypt_coefficients(vectors()[:, :5], source())
        answers = [
            secret.public.inner_products(c, np.ones((2, n, 5), np.int64), np.zeros(n, np.int64), source())
            for n in (2, 1)
        ]
        secret.decrypt_inner(answers[0])
        with pytest.raises(RefusedError, match="DECRYPT_BUDGET") as refused:
            secret.decrypt_inner(answers[0])
        assert refused.value.code == "DECRYPT_BUDGET"
        secret.decrypt_inner(answers[1])
        slots = secret.public.slot_products(
            secret.encrypt_slots(vectors()[:, :5], source()), vectors()[None, :, :5], vectors()[:1, :5], source()
        )
        with pytest.raises(RefusedError, match="0 left"):
            secret.decrypt_slots(slots)
        with pytest.raises(ValueError, match="not positive"):
            SecretKey.generate(source(), answers=0)


def changed(flat: U8, place: int) -> U8:
    other = flat.copy()
    other[place] ^= 1
    return other


def too_large(flat: U8) -> U8:
    """The first residue of the third ciphertext is its prime."""
    other = flat.copy()
    start = BODY + 2 * CIPHERTEXT_BYTES
    word = int.from_bytes(other[start : start + 15].tobytes(), "little") >> 60 << 60 | PRIMES[0]
    other[start : start + 15] = np.frombuffer(word.to_bytes(15, "little"), np.uint8)
    return other


def transparent(flat: U8, width: int, second: int, index: int) -> U8:
    other = flat.copy()
    other[Heading.BYTES :].view(np.uint64).reshape(-1, width)[index, second:] = 0
    return other


HEADS = [
    (lambda flat: changed(flat, 0), None, "other parameters"),
    (lambda flat: changed(flat, 16), None, "another key"),
    (lambda flat: changed(flat, 32), None, "they are not"),
    (lambda flat: changed(flat, 40), None, "are due"),
    (lambda flat: changed(flat, 48), None, "are due"),
    (lambda flat: flat[:-1], None, "bytes, where"),
    (lambda flat: flat[:20], None, "bytes, where"),
    (lambda flat: flat[:0], None, "bytes, where"),
    (lambda flat: np.concatenate([flat, flat[:1]]), None, "bytes, where"),
    (lambda flat: flat.reshape(1, -1), None, "not a row of bytes"),
    (lambda flat: flat.astype(np.int64), None, "not a row of bytes"),
]
IDS = ["parameters", "key", "kind", "count", "rows", "short", "head", "empty", "long", "axes", "dtype"]


class TestBadCiphertexts:
    @pytest.mark.parametrize(
        ("bad", "index", "said"),
        [
            *HEADS,
            (too_large, 2, "not below its modulus"),
            (lambda flat: np.delete(flat, slice(56, 72)), None, "bytes, where"),
        ],
        ids=[*IDS, "residue", "half a seed"],
    )
    @pytest.mark.parametrize("slots", [True, False], ids=["slots", "coefficients"])
    def test_fresh_ones(self, bad: Callable[[U8], U8], index: int | None, said: str, slots: bool) -> None:
        read = Ciphertexts.slots_from_bytes if slots else Ciphertexts.coefficients_from_bytes
        flat = (by_slots() if slots else by_coefficients()).to_bytes()
        assert len(read(flat, key().public, vectors=2, rows=ROWS).first) == 4
        self.refused(lambda: read(bad(flat), key().public, vectors=2, rows=ROWS), index, said)

    @pytest.mark.parametrize(
        ("bad", "index", "said"),
        [*HEADS, (lambda flat: transparent(flat, 2 * SLOTS, SLOTS, 1), 1, "second part is zero")],
        ids=[*IDS, "transparent"],
    )
    def test_slot_products(self, bad: Callable[[U8], U8], index: int | None, said: str) -> None:
        flat = products().to_bytes()
        assert len(SlotProducts.from_bytes(flat, key().public, sums=1, rows=ROWS).words) == 2
        self.refused(lambda: SlotProducts.from_bytes(bad(flat), key().public, sums=1, rows=ROWS), index, said)

    @pytest.mark.parametrize(
        ("bad", "index", "said"),
        [*HEADS, (lambda flat: transparent(flat, SLOTS + 1, 1, 0), 0, "second part is zero")],
        ids=[*IDS, "transparent"],
    )
    def test_inner_products(self, bad: Callable[[U8], U8], index: int | None, said: str) -> None:
        flat = inner().to_bytes()
        assert len(InnerProducts.from_bytes(flat, key().public, count=1, rows=ROWS).words) == 1
        self.refused(lambda: InnerProducts.from_bytes(bad(flat), key().public, count=1, rows=ROWS), index, said)

    def refused(self, call: Callable[[], object], index: int | None, said: str) -> None:
        with pytest.raises(BadCiphertext, match=said) as refused:
            call()
        assert refused.value.index == index
        assert refused.value.code == refused.value.of_peer("tax", "linear/1").code == "CIPHERTEXT_INVALID"

    def test_keys_and_kinds_do_not_mix(self) -> None:
        other, plain, added = foreign().public, vectors()[None], vectors()[:1]
        columns, one = vectors()[:, None], vectors()[0, :1]
        calls: list[tuple[Callable[[], object], str]] = [
            (lambda: other.slot_products(by_slots(), plain, added, source()), "another key"),
            (lambda: other.inner_products(by_coefficients(), columns, one, source()), "another key"),
            (lambda: foreign().decrypt_slots(products()), "another key"),
            (lambda: foreign().decrypt_inner(inner()), "another key"),
            (lambda: key().public.slot_products(by_coefficients(), plain, added, source()), "not slots"),
            (lambda: key().public.inner_products(by_slots(), columns, one, source()), "not coefficients"),
        ]
        for call, said in calls:
            with pytest.raises(BadCiphertext, match=said):
                call()

    def test_shapes_are_those_of_the_ciphertexts(self) -> None:
        public = key().public
        calls: list[Callable[[], object]] = [
            lambda: public.slot_products(by_slots(), vectors()[None, :1], vectors()[:1], source()),
            lambda: public.slot_products(by_slots(), vectors()[None, :, 1:], vectors()[:1, 1:], source()),
            lambda: public.slot_products(by_slots(), vectors()[None], vectors(), source()),
            lambda: public.inner_products(by_coefficients(), vectors(), vectors()[0, :2], source()),
            lambda: public.inner_products(by_coefficients(), vectors()[:, None, 1:], vectors()[0, :1], source()),
            lambda: public.inner_products(by_coefficients(), vectors()[:, None], vectors()[0, :2], source()),
            lambda: public.inner_products(by_coefficients(), vectors()[0], vectors()[0, :2], source()),
        ]
        for call in calls:
            with pytest.raises(ValueError, match=r"plaintexts|masks|columns"):
                call()


class TestNoise:
    """By the secret, which the twin makes of the same seed; nothing of the product gives noise out."""

    def test_of_what_comes_back(self) -> None:
        """Answers are read right as long as noise stays below 2^64 / 2t, 512: at the largest sums it is below 330."""
        randomness = insecure_seeded(1)
        secret = reference.secret(randomness.bytes(SEED_BYTES))
        flood = 2 ** (reference.FLOOD_BITS + 64) / reference.MODULUS
        assert 63.9 < flood < 64.1
        plain = np.full((1, 2, SLOTS), T // 2)
        c = key().encrypt_slots(np.full((2, SLOTS), T // 2), source())
        made = key().public.slot_products(c, plain, plain[:, 0], source("noise"))
        message = reference.plaintext([int(x) for x in key().decrypt_slots(made)[0]], slots=True)
        first, second = ([int(x) for x in part] for part in made.words.reshape(2, SLOTS))
        parts = zip(first, reference.multiply(second, secret), message, strict=True)
        off = [(a + b - reference.rounded(m << 64, T)) % 2**64 for a, b, m in parts]
        largest = max(min(x, 2**64 - x) for x in off)
        # Rounding of the second part, ten deviations of it: 10 sqrt(2 N / 3 / 12); and of the first.
        assert flood / 2 < largest < flood + 214 + 2
