"""Paillier keys and ciphertexts: what is refused, what is computed, and what never leaves."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.crypto import paillier_checks as checks
from fedcredit.crypto.paillier import Ciphertexts, Encryptor, PrivateKey, PublicEncryptor, PublicKey
from fedcredit.crypto.paillier_checks import LEGACY_112, STRONG_128, BadCiphertext, BadKey, insecure_profile
from fedcredit.crypto.randomness import SystemRandomness, insecure_seeded
from fedcredit.errors import FedcreditError
from fedcredit.kernels.reference_paillier import from_rows, to_rows

ROOT = Path(__file__).resolve().parents[2]
VECTORS: dict[str, Any] = json.loads((ROOT / "tests" / "vectors" / "paillier.json").read_text())
SHORT = insecure_profile(256)


def primes(bits: int) -> tuple[int, int]:
    case = next(case for case in VECTORS["cases"] if case["bits"] == bits)
    return int(case["p"], 16), int(case["q"], 16)


@cache
def private(bits: int = 256) -> PrivateKey:
    return PrivateKey.from_primes(*primes(bits), insecure_profile(bits))


@cache
def foreign() -> PrivateKey:
    """Another key of the same length."""
    p, q = (number + 2 * next(k for k in range(10**6) if checks.is_probable_prime(number + 2 * k)) for number in START)
    return PrivateKey.from_primes(p, q, SHORT)


START = ((3 << 126) + 1, (7 << 125) + 1)


@cache
def encryptors() -> tuple[Encryptor, Encryptor]:
    """With the public key alone, and with the primes."""
    return PublicEncryptor(private().public, insecure_seeded(1)), private().encryptor(insecure_seeded(2))


def encrypted(numbers: list[int], encryptor: int = 0) -> Ciphertexts:
    key = private().public
    return encryptors()[encryptor].encrypt(to_rows([x % key.n for x in numbers], key.width))


def decrypted(c: Ciphertexts) -> list[int]:
    return from_rows(private().decrypt(c))


class TestKeys:
    @pytest.mark.parametrize("bits", [3072, 2048])
    def test_lengths(self, bits: int) -> None:
        p, q = primes(bits)
        key = PrivateKey.from_primes(p, q, STRONG_128 if bits == 3072 else LEGACY_112)
        assert key.public.width == bits // 8
        c = key.encryptor(SystemRandomness()).encrypt(to_rows([0, 5, p * q - 1], bits // 8))
        assert from_rows(key.decrypt(c)) == [0, 5, p * q - 1]
        if bits == 2048:
            with pytest.raises(BadKey, match="profile 128-bit takes keys from 3072 bits on"):
                PublicKey.from_modulus(p * q)

    @pytest.mark.slow
    @pytest.mark.parametrize("profile", [STRONG_128, LEGACY_112], ids=lambda profile: profile.name)
    def test_a_fresh_key(self, profile: checks.Profile) -> None:
        key = PrivateKey.generate(profile)
        assert key.public.n.bit_length() == profile.default_bits
        c = PublicEncryptor(key.public, SystemRandomness()).encrypt(to_rows([123], key.public.width))
        assert from_rows(key.decrypt(c)) == [123]
        assert PrivateKey.generate(profile).p not in (key.p, key.q)

    @pytest.mark.parametrize(
        ("modulus", "said"),
        [
            (lambda p, q: 2 * p * q, "even"),
            (lambda p, q: 0, "even or not positive"),
            (lambda p, q: -p * q, "even or not positive"),
            (lambda p, q: next(n for n in range(p * p | 1, 1 << 600, 2) if checks.is_probable_prime(n)), "is prime"),
            (lambda p, q: p * p, "is a power"),
            (lambda p, q: q**3, "is a power"),
            (lambda p, q: q**7, "is a power"),
            (lambda p, q: 3 * p * q, "a factor below 1048576"),
            (lambda p, q: 1048573 * p * q, "a factor below 1048576"),
            (lambda p, q: p, "128 bits; profile insecure takes keys from 256 bits on"),
            (lambda p, q: (1 << 8192) + 1, "8193 bits are more than 8192"),
        ],
    )
    def test_a_bad_modulus_is_refused(self, modulus: Any, said: str) -> None:
        with pytest.raises(BadKey, match=said) as refused:
            PublicKey.from_modulus(modulus(*primes(256)), SHORT)
        assert refused.value.code == "KEY_INVALID"
        assert refused.value.of_peer("bank", "groupsum/key").code == "KEY_INVALID"

    def test_short_keys_are_refused_by_default(self) -> None:
        p, q = primes(1024)
        for profile in (STRONG_128, LEGACY_112):
            with pytest.raises(BadKey, match="1024 bits"):
                PublicKey.from_modulus(p * q, profile)
        # One bit less than the shortest that is taken.
        with pytest.raises(BadKey, match="2047 bits"):
            PublicKey.from_modulus((1 << 2046) + 1, LEGACY_112)

    @pytest.mark.parametrize(
        ("p", "q", "said"),
        [
            (lambda p, q: p * q, lambda p, q: p, "different length"),
            (lambda p, q: p * p, lambda p, q: q * q, "is a power"),
            (lambda p, q: p * q, lambda p, q: q * foreign().p, "not prime"),
        ],
    )
    def test_bad_primes_are_refused(self, p: Any, q: Any, said: str) -> None:
        with pytest.raises(BadKey, match=said):
            PrivateKey.from_primes(p(*primes(256)), q(*primes(256)), SHORT)

    def test_primes_near_to_each_other_are_refused(self) -> None:
        p = primes(1024)[0]
        near = next(n for n in range(p + 2**300, 1 << 512, 2) if checks.is_probable_prime(n))
        with pytest.raises(BadKey, match="too near"):
            PrivateKey.from_primes(p, near, insecure_profile(1024))

    def test_a_shared_factor_is_refused(self) -> None:
        p, q = primes(256)
        n = p * q
        checks.refuse_shared_factors(n, [foreign().public.n])
        for other in (n, p * foreign().p):
            with pytest.raises(BadKey, match="shares a factor"):
                checks.refuse_shared_factors(n, [foreign().public.n, other])

    def test_keys_travel_as_bytes(self) -> None:
        key = private()
        rows = key.public.to_bytes()
        assert rows.shape == (1, key.public.width)
        assert PublicKey.from_bytes(rows, SHORT).id == key.public.id != foreign().public.id
        secret = key.to_bytes()
        assert secret.shape == (2, key.public.width // 2)
        assert PrivateKey.from_bytes(secret, SHORT).public.id == key.public.id
        for bad in (rows[:0], rows[0], np.concatenate([rows * 0, rows], axis=1), rows.astype(np.int64)):
            with pytest.raises(BadKey):
                PublicKey.from_bytes(bad, SHORT)
            with pytest.raises(BadKey):
                PrivateKey.from_bytes(bad, SHORT)

    def test_no_secret_is_shown(self) -> None:
        key = private()
        for shown in (repr(key), repr(key.public), repr(encryptors()), repr(encrypted([5]))):
            for secret in (key.p, key.q, key.public.n):
                assert str(secret) not in shown
                assert f"{secret:x}" not in shown
            assert "array" not in shown


@pytest.mark.shared
def test_primality_against_wycheproof() -> None:
    file = ROOT.parent / "shared" / "vectors" / "wycheproof" / "primality_test.json"
    if not file.exists():
        pytest.skip("the vectors are not beside the checkout")
    tests = [test for group in json.loads(file.read_text())["testGroups"] for test in group["tests"]]
    assert len(tests) == 317
    for test in tests:
        value = int.from_bytes(bytes.fromhex(test["value"]), "big", signed=True)
        # `acceptable` are negatives of primes: there is one answer here, no.
        assert checks.is_probable_prime(value) == (test["result"] == "valid"), test["comment"]


class TestCiphertexts:
    @pytest.mark.parametrize(
        ("number", "said"),
        [
            (lambda n: 0, "not between 1 and"),
            (lambda n: 1, "not between 1 and"),
            (lambda n: n, "shares a factor"),
            (lambda n: n * n, "not between 1 and"),
            (lambda n: n * n + 5, "not between 1 and"),
            (lambda n: -1, "negative"),
            (lambda n: 1 << 1024, "longer than 64 bytes"),
            (lambda n: primes(256)[0] * 12345, "shares a factor"),
            (lambda n: (1 << 512) - 1, "not between 1 and"),
        ],
    )
    @pytest.mark.parametrize("place", [0, 3])
    def test_a_bad_one_is_refused(self, number: Any, said: str, place: int) -> None:
        key = private().public
        numbers = encrypted([1, 2, 3]).to_integers()
        numbers.insert(place, number(key.n))
        with pytest.raises(BadCiphertext, match=f"Paillier ciphertext {place}: .*{said}") as refused:
            key.from_integers(numbers)
        assert refused.value.index == place
        assert refused.value.code == refused.value.of_peer("tax", "groupsum/1").code == "CIPHERTEXT_INVALID"

    def test_good_ones_are_taken(self) -> None:
        key = private().public
        sent = encrypted([1, 2, 3]).sent()
        assert decrypted(key.received(sent, count=3, key_id=key.id)) == [1, 2, 3]
        edges = [2, key.n * key.n - 1, key.n + 1]
        assert len(key.from_integers(edges)) == 3
        assert len(key.received(sent[:0], count=0, key_id=key.id)) == 0

    def test_another_key_number_or_width_is_refused(self) -> None:
        key, sent = private().public, encrypted([1, 2, 3]).sent()
        with pytest.raises(BadCiphertext, match="of another key"):
            key.received(sent, count=3, key_id=foreign().public.id)
        for count in (2, 4):
            with pytest.raises(BadCiphertext, match="3 of them"):
                key.received(sent, count=count, key_id=key.id)
        wider = np.concatenate([np.zeros((3, 1), np.uint8), sent], axis=1)
        for bad in (wider, sent[:, 1:], sent[0], sent.astype(np.int64)):
            with pytest.raises(BadCiphertext, match="are not 64 bytes"):
                key.received(bad, count=3, key_id=key.id)

    def test_one_sent_back_as_it_was_is_refused(self) -> None:
        key, own = private().public, encrypted([1, 2, 3])
        again = encryptors()[0].randomised(own)
        again.refuse_repeats(own)
        back = key.from_integers([*again.to_integers(), own.to_integers()[1]])
        with pytest.raises(BadCiphertext, match=r"ciphertext 3: .*own"):
            back.refuse_repeats(own)

    def test_what_is_not_randomised_does_not_leave(self) -> None:
        key, c = private().public, encrypted([1, 2])
        made = [
            key.add(c, c),
            key.multiply(c, np.array([1, 0])),
            key.sums(c, np.zeros((2, 1), np.uint32), 1),
            key.from_integers(c.to_integers()),
        ]
        for stale in made:
            for leave in (stale.sent, stale.to_integers):
                with pytest.raises(FedcreditError, match="must not leave"):
                    leave()
            encryptors()[0].randomised(stale).sent()
        # What needs it most: a multiple by one is the same number, a multiple by nothing is 1.
        assert (made[1].rows[0] == c.rows[0]).all()
        assert from_rows(made[1].rows[1:]) == [1]

    def test_keys_do_not_mix(self) -> None:
        c = encrypted([1])
        other = PublicEncryptor(foreign().public, insecure_seeded(3))
        calls = [
            lambda: foreign().public.add(c, c),
            lambda: foreign().public.multiply(c, np.array([1])),
            lambda: foreign().public.sums(c, np.zeros((1, 1), np.uint32), 1),
            lambda: foreign().decrypt(c),
            lambda: other.randomised(c),
        ]
        for call in calls:
            with pytest.raises(BadCiphertext, match="of another key"):
                call()


class TestArithmetic:
    @settings(max_examples=40)
    @given(
        rows=st.lists(
            st.tuples(st.integers(-(2**62), 2**62), st.integers(-(2**62), 2**62), st.integers(-(2**63), 2**63 - 1)),
            min_size=1,
            max_size=9,
        ),
        encryptor=st.integers(0, 1),
    )
    def test_of_ciphertexts_is_that_of_numbers(self, rows: list[tuple[int, int, int]], encryptor: int) -> None:
        key, n = private().public, private().public.n
        a, b, factors = (list(column) for column in zip(*rows, strict=True))
        first, second = encrypted(a, encryptor), encrypted(b, encryptor)
        assert decrypted(key.add(first, second)) == [(x + y) % n for x, y in zip(a, b, strict=True)]
        multiples = key.multiply(first, np.array(factors, np.int64))
        assert decrypted(multiples) == [x * k % n for x, k in zip(a, factors, strict=True)]
        unsigned = np.array([k % 2**64 for k in factors], np.uint64)
        assert decrypted(key.multiply(first, unsigned)) == [
            x * (k % 2**64) % n for x, k in zip(a, factors, strict=True)
        ]
        again = encryptors()[encryptor].randomised(multiples)
        assert decrypted(again) == decrypted(multiples)
        assert not (again.rows == multiples.rows).all(axis=1).any()
        groups = np.array([[i % 2, 0] for i in range(len(rows))], np.uint32)
        even, odd = sum(a[::2]), sum(a[1::2])
        assert decrypted(key.sums(first, groups, 2)) == [x % n for x in (even, odd, even + odd, 0)]

    def test_wrong_lengths_are_refused(self) -> None:
        key, c = private().public, encrypted([1, 2])
        with pytest.raises(BadCiphertext, match="1 of them, where 2 are due"):
            key.add(c, encrypted([1]))
        for factors in (np.array([1]), np.array([[1, 2]]), np.array([1.0, 2.0])):
            with pytest.raises(ValueError, match="factors"):
                key.multiply(c, factors)
        with pytest.raises(ValueError, match="plaintexts"):
            encryptors()[0].encrypt(np.zeros((1, key.width + 1), np.uint8))
        for encryptor in encryptors():
            for plain in (key.n, 256**key.width - 1):
                with pytest.raises(ValueError, match="not below the modulus"):
                    encryptor.encrypt(to_rows([0, plain], key.width))

    def test_the_same_numbers_are_never_the_same_ciphertexts(self) -> None:
        key = private().public
        fresh = [c for encryptor in (0, 1) for c in encrypted([7] * 50, encryptor).to_integers()]
        assert len(set(fresh)) == len(fresh) == 100
        assert decrypted(key.from_integers(fresh)) == [7] * 100

    def test_an_encryptor_follows_its_randomness(self) -> None:
        key, plain = private(), to_rows([1, 2], private().public.width)
        first, second = (PublicEncryptor(key.public, insecure_seeded(9)).encrypt(plain) for _ in range(2))
        own = key.encryptor(insecure_seeded(9)).encrypt(plain)
        # The same base and exponents give the same ciphertexts by either way: they cannot be told apart.
        assert (first.rows == second.rows).all()
        assert (first.rows == own.rows).all()
