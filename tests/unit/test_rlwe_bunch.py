"""Many vectors under a bunch of ring-LWE keys: against the slow twin, against integers, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.crypto.randomness import Randomness, SystemRandomness, insecure_seeded
from fedcredit.crypto.rlwe import PLAIN_MODULUS, SLOTS, SecretKey, masks
from fedcredit.crypto.rlwe_bunch import MAX_CIPHERTEXTS, BunchProducts, BunchVectors, PublicBunch, SecretBunch
from fedcredit.crypto.rlwe_checks import BadCiphertext, BadKey, Heading
from fedcredit.errors import RefusedError
from fedcredit.kernels import reference_rlwe as reference
from fedcredit.kernels.rlwe import CIPHERTEXT_BYTES, PRIMES, SEED_BYTES, OwnerKernel
from fedcredit.kernels.rlwe_bunch import bunch_products

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
T = PLAIN_MODULUS
ROWS = SLOTS + 3
BODY = Heading.BYTES + SEED_BYTES
MANY = 1 << 20


def source(label: str = "") -> Randomness:
    return insecure_seeded(3, label)


@cache
def bunch() -> SecretBunch:
    return SecretBunch.generate(insecure_seeded(1), 3, answers=MANY)


@cache
def foreign() -> SecretBunch:
    return SecretBunch.generate(insecure_seeded(2), 3, answers=MANY)


@cache
def values() -> I64:
    return np.random.default_rng(4).integers(-(2**62), 2**62, (3, ROWS))


@cache
def columns() -> I64:
    return np.random.default_rng(5).integers(-(2**62), 2**62, (2, ROWS))


@cache
def sent() -> BunchVectors:
    return bunch().encrypt(values(), source("sent"))


@cache
def products(label: str = "") -> BunchProducts:
    return bunch().public.products(sent(), columns(), values()[:, :2], source(label))


def modulo(x: object) -> list[list[int]]:
    found: list[list[int]] = (np.asarray(x).astype(object) % T).tolist()
    return found


@pytest.mark.slow
def test_answers_are_the_twin_s() -> None:
    """Two vectors of two blocks, bit by bit; the numbers of the seeds are those of the kernel."""
    secrets, errors = [bytes([i]) * 32 for i in (1, 2)], [bytes([i]) * 32 for i in (3, 4)]
    key_seed, seed, hidden = (bytes([i]) * 32 for i in (5, 6, 7))
    rows = SLOTS + 5
    rng = np.random.default_rng(1)
    vectors, factors = (rng.integers(-(2**62), 2**62, (2, rows)) for _ in range(2))
    added = rng.integers(-(2**62), 2**62, (2, 2))
    owners = [OwnerKernel(secret) for secret in secrets]
    b = np.stack([owner.public(key_seed, error) for owner, error in zip(owners, errors, strict=True)])
    c = [
        owner.encrypt(vectors[v : v + 1], slots=False, public=seed, secret=errors[1 - v])
        for v, owner in enumerate(owners)
    ]
    first, second = bunch_products(key_seed, b, seed, np.concatenate(c), factors, added, secret=hidden)

    def blocks(row: I64) -> list[list[int]]:
        return [[int(x) for x in row[at : at + SLOTS]] for at in range(0, rows, SLOTS)]

    keys = [reference.secret(secret) for secret in secrets]
    firsts = [
        [
            reference.ciphertext(key, reference.plaintext(block, slots=False), number, seed, errors[1 - v])
            for number, block in enumerate(blocks(vectors[v]))
        ]
        for v, key in enumerate(keys)
    ]
    zeros = [0] * SLOTS
    public = [reference.ciphertext(key, zeros, 0, key_seed, error) for key, error in zip(keys, errors, strict=True)]
    expected = reference.bunch_product(
        firsts,
        [reference.uniform(seed, number) for number in range(2)],
        blocks(factors[1]),
        [int(x) for x in added[:, 1]],
        (public, reference.uniform(key_seed, 0)),
        1,
        hidden,
    )
    assert (first[1].tolist(), second[1].tolist()) == expected


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rows=st.sampled_from([1, 2, 100, SLOTS - 1, SLOTS, SLOTS + 1, 2 * SLOTS + 5]),
    vectors=st.integers(1, 4),
    count=st.integers(1, 3),
)
def test_products_are_inner_products(seed: int, rows: int, vectors: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    secret = SecretBunch.generate(insecure_seeded(seed), 4, answers=MANY)
    v, f, added = (
        rng.integers(-(2**63), 2**63 - 1, shape) for shape in ((vectors, rows), (count, rows), (vectors, count))
    )
    found = secret.decrypt(secret.public.products(secret.encrypt(v, source()), f, added, source("answer")))
    assert abs(found).max() <= T // 2
    assert modulo(found) == modulo(v.astype(object) @ f.astype(object).T + added)


def test_what_is_decrypted_is_what_was_to_be_computed_over_the_wire() -> None:
    """With fresh randomness of the system's; fewer vectors than there are keys."""
    secret = SecretBunch.generate(SystemRandomness(), 3, answers=MANY)
    flat = secret.public.to_bytes()
    assert len(flat) == PublicBunch.size(3)
    public = PublicBunch.from_bytes(flat, keys=3)
    assert public.id == secret.public.id
    flat = secret.encrypt(values()[:2], SystemRandomness()).to_bytes()
    assert len(flat) == BunchVectors.size(2, ROWS)
    c = BunchVectors.from_bytes(flat, public, vectors=2, rows=ROWS)
    added = masks(SystemRandomness(), 2, 2)
    answer = public.products(c, columns(), added, SystemRandomness()).to_bytes()
    assert len(answer) == BunchProducts.size(2, 2)
    found = secret.decrypt(BunchProducts.from_bytes(answer, secret.public, vectors=2, columns=2, rows=ROWS))
    assert modulo(found) == modulo(values()[:2].astype(object) @ columns().astype(object).T + added)


def test_the_worst_plaintexts_are_read_right() -> None:
    """Numbers of the largest size, over as many blocks as one vector may have in a batch of two."""
    rows = MAX_CIPHERTEXTS // 2 * SLOTS
    secret = SecretBunch.generate(source(), 2, answers=MANY)
    v = np.stack([np.full(rows, T // 2), np.full(rows, -(T // 2))])
    f = np.full((1, rows), T // 2)
    found = secret.decrypt(
        secret.public.products(secret.encrypt(v, source("v")), f, np.zeros((2, 1), np.int64), source())
    )
    expected = rows * (T // 2) ** 2
    assert modulo(found) == [[expected % T], [-expected % T]]


def test_keys_share_their_seed_alone() -> None:
    """The same vector under each key is another ciphertext each, and no key is another's."""
    public = bunch().public
    same = bunch().encrypt(np.repeat(values()[:1], 3, axis=0), source())
    for first in (public.b, same.first.reshape(3, -1)):
        for x, y in ((0, 1), (0, 2), (1, 2)):
            # Bytes agree as often as those of random numbers do, one in 256.
            assert abs((first[x] == first[y]).mean() - 1 / 256) < 8 * (1 / 256 / first[x].size) ** 0.5


def test_the_same_answer_is_never_the_same_twice() -> None:
    """By the second part too, which would tell what it was multiplied by if it were not made fresh."""
    one, two = products("a"), products("b")
    assert (one.second != two.second).mean() > 0.999
    assert (one.first != two.first).all()
    nothing = bunch().public.products(sent(), np.zeros_like(columns()), np.zeros((3, 2), np.int64), source("zeros"))
    assert (nothing.second != 0).mean() > 0.999
    assert not bunch().decrypt(nothing).any()


def test_what_floods_one_vector_s_number_says_nothing_of_another_s() -> None:
    """Noise of answers that share a second part, worked out with the secrets: as wide as the flood, and independent."""
    n, secrets = 400, [bytes([i]) * 32 for i in (1, 2)]
    owners = [OwnerKernel(secret) for secret in secrets]
    b = np.stack([owner.public(bytes(32), bytes([9 + v]) * 32) for v, owner in enumerate(owners)])
    c = [
        owner.encrypt(np.ones((1, 5), np.int64), slots=False, public=bytes(32), secret=bytes([12 + v]) * 32)
        for v, owner in enumerate(owners)
    ]
    zeros = np.zeros((n, 5), np.int64)
    first, second = bunch_products(bytes(32), b, bytes(32), np.concatenate(c), zeros, zeros[:, :2].T, secret=b"s" * 32)
    noise = []
    for v, secret in enumerate(secrets):
        s = np.array(reference.secret(secret))
        # The first coefficient of a product: turned round and negative but for the first, modulo 2^64.
        turned = np.concatenate([s[:1], -s[:0:-1]]).astype(np.uint64)
        noise.append((first[:, v] + (second * turned).sum(axis=1, dtype=np.uint64)).astype(np.int64).astype(float))
    for x in noise:
        # Uniform in [-64, 64), and what rounding to 2^64 adds, of deviation 21.
        assert np.abs(x).max() < 64 + 261
        assert 30 < x.std() < 55
    assert abs(np.corrcoef(*noise)[0, 1]) < 5 / n**0.5 + 0.3


def test_nothing_is_shown() -> None:
    shown = repr([bunch(), bunch().public, sent(), products()])
    for secret in ("array", "seed", "kernel", "0x"):
        assert secret not in shown


def test_everything_follows_from_the_randomness() -> None:
    again = SecretBunch.generate(insecure_seeded(1), 3, answers=1)
    assert (again.public.to_bytes() == bunch().public.to_bytes()).all()
    assert (again.encrypt(values(), source("sent")).to_bytes() == sent().to_bytes()).all()
    assert (
        again.public.products(sent(), columns(), values()[:, :2], source()).to_bytes() == products().to_bytes()
    ).all()


def spoiled(at: int, bad: bytes) -> Callable[[U8], U8]:
    def change(flat: U8) -> U8:
        out = flat.copy()
        out[at : at + len(bad)] = np.frombuffer(bad, np.uint8)
        return out

    return change


TOO_LARGE = (PRIMES[0] | 0 << 60).to_bytes(15, "little")
HEADS: dict[str, tuple[Callable[[U8], U8], str]] = {
    "short": (lambda flat: flat[1:], "are due"),
    "long": (lambda flat: np.concatenate([flat, flat[:1]]), "are due"),
    "words": (lambda flat: flat.astype(np.int64), "not a row of bytes"),
    "other parameters": (spoiled(3, b"\xff\xfe"), "other parameters"),
    "another key": (spoiled(20, b"\xff\xfe"), "another key"),
    "another kind": (spoiled(32, b"\x02"), "are not"),
    "other rows": (spoiled(48, b"\x01"), "are due"),
}


@pytest.mark.parametrize("name", [*HEADS, "a residue too large"])
def test_bad_ciphertexts_are_refused(name: str) -> None:
    bad, said = HEADS.get(name, (spoiled(BODY + 2 * CIPHERTEXT_BYTES, TOO_LARGE), "residue"))
    with pytest.raises(BadCiphertext, match=said) as refused:
        BunchVectors.from_bytes(bad(sent().to_bytes()), bunch().public, vectors=3, rows=ROWS)
    assert refused.value.index == (None if name in HEADS else 2)
    assert refused.value.code == refused.value.of_peer("tax", "moments").code == "CIPHERTEXT_INVALID"


@pytest.mark.parametrize("name", [*HEADS, "transparent"])
def test_bad_answers_are_refused(name: str) -> None:
    width = 8 * (3 + SLOTS)
    transparent = spoiled(Heading.BYTES + width + 24, bytes(8 * SLOTS))
    bad, said = HEADS.get(name, (transparent, "second part is zero"))
    with pytest.raises(BadCiphertext, match=said) as refused:
        BunchProducts.from_bytes(bad(products().to_bytes()), bunch().public, vectors=3, columns=2, rows=ROWS)
    assert refused.value.index == (None if name in HEADS else 1)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (lambda flat: flat[1:], "not"),
        (lambda flat: flat.astype(np.int64), "not"),
        (spoiled(3, b"\xff\xfe"), "other parameters"),
        (spoiled(48 + CIPHERTEXT_BYTES, bytes(CIPHERTEXT_BYTES)), "zero"),
        (spoiled(48 + 2 * CIPHERTEXT_BYTES, TOO_LARGE), "residue"),
    ],
    ids=["short", "words", "other parameters", "zero", "a residue too large"],
)
def test_a_bad_bunch_is_refused(bad: Callable[[U8], U8], said: str) -> None:
    with pytest.raises(BadKey, match=said) as refused:
        PublicBunch.from_bytes(bad(bunch().public.to_bytes()), keys=3)
    assert refused.value.code == "KEY_INVALID"


def test_bunches_do_not_mix() -> None:
    single = SecretKey.generate(source())
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: foreign().public.products(sent(), columns(), values()[:, :2], source()), "another key"),
        (lambda: foreign().decrypt(products()), "another key"),
        (lambda: single.public.inner_products(sent(), columns(), values()[0, :2], source()), "another key"),  # type: ignore[arg-type]
    ]
    for call, said in calls:
        with pytest.raises(BadCiphertext, match=said):
            call()


def test_a_budget_of_answers_is_kept() -> None:
    secret = SecretBunch.generate(source(), 2, answers=5)
    c = secret.encrypt(values()[:2, :5], source())
    answer = secret.public.products(c, columns()[:, :5], np.zeros((2, 2), np.int64), source())
    secret.decrypt(answer)
    with pytest.raises(RefusedError) as refused:
        secret.decrypt(answer)
    assert refused.value.code == "DECRYPT_BUDGET"


def test_shapes_that_do_not_fit_are_refused() -> None:
    public, three = bunch().public, values()[:, :2]
    one = BunchProducts(products().heading, np.zeros((2, 4), np.uint64), products().second)
    calls: list[Callable[[], object]] = [
        lambda: SecretBunch.generate(source(), 0, answers=1),
        lambda: bunch().encrypt(np.zeros((4, 5), np.int64), source()),
        lambda: bunch().encrypt(np.zeros((0, 5), np.int64), source()),
        lambda: bunch().encrypt(np.zeros((1, 0), np.int64), source()),
        lambda: bunch().encrypt(np.zeros((3, MAX_CIPHERTEXTS // 3 * SLOTS + 1), np.int64), source()),
        lambda: public.products(sent(), columns()[:, 1:], three, source()),
        lambda: public.products(sent(), columns(), three[:2], source()),
        lambda: public.products(sent(), columns(), three[:, :1], source()),
        lambda: public.products(sent(), columns().astype(np.float64), three, source()),  # type: ignore[arg-type]
        lambda: bunch_products(b"x", public.b, sent().seed, sent().first, columns(), three, secret=bytes(32)),
        lambda: bunch_products(bytes(32), public.b, bytes(32), sent().first[1:], columns(), three, secret=bytes(32)),
    ]
    for call in calls:
        with pytest.raises(ValueError):
            call()
    with pytest.raises(BadCiphertext, match="4 vectors"):
        bunch().decrypt(one)
