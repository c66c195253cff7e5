"""Whether multiplying, hashing and encrypting take a time that depends on what is secret, as dudect looks for it.

    python benchmarks/constant_time.py [--samples N] [--only TEXT] > benchmarks/results/constant_time.json

Two classes of secrets, one fixed and of an extreme form, the other random, in random order; each call works on 64
points or ciphertexts of ElGamal, on 8 of Paillier with a short key, whose code is that of a long one, or on one of
ring-LWE. A secret is copied to where all secrets go before the clock starts, so that none is nearer than another.
Prints one JSON object a case: `t`, Welch's statistic for the means of both classes being one, over the calls that were
not among the slowest tenth (those were interrupted), and `samples`. Beyond 4.5 in either direction a dependence is as
good as certain; below it none was seen, which is no proof.

Source: O. Reparaz, J. Balasch, I. Verbauwhede: Dude, is my code constant time?, DATE 2017.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from alignment import describe

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.kernels import elgamal, group, lookup, rlwe, rlwe_chain
from fedcredit.kernels.paillier import OwnerKernel, PublicKernel
from fedcredit.kernels.rlwe_limbs import Limbs

POINTS = 64
CIPHERTEXTS = 8
PRIMES = (2**256 - 189, 2**256 - 357)
"""The two largest of 256 bits."""
RANDOM_SECRETS = 256
BOUND = 4.5

F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]
Secrets = npt.NDArray[np.uint8] | npt.NDArray[np.uint32] | npt.NDArray[np.int64]
Case = tuple[str, Secrets, Callable[[Any], object]]


def statistic(first: F64, second: F64) -> float:
    """Welch's t."""
    spread = first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second)
    return float((first.mean() - second.mean()) / math.sqrt(spread))


def cases() -> Iterator[Case]:
    """A name, secrets of which number 0 is the fixed one, and what to call with one of them."""
    source = insecure_seeded(5)
    points = group.hash_to_group(source.array(POINTS, 16))
    keys = source.scalars(RANDOM_SECRETS + 1)
    # Twice one: its half has no digit but the last.
    keys[0] = np.frombuffer((2).to_bytes(32, "little"), np.uint8)
    items = source.array((RANDOM_SECRETS + 1) * POINTS, 16).reshape(RANDOM_SECRETS + 1, POINTS, 16)
    items[0] = 0
    key = keys[1].tobytes()
    yield "multiply, scalar", keys, lambda secret: group.multiply_times(points, secret.tobytes(), 1)
    yield "multiply, scalar, portable", keys, lambda s: group.multiply_times(points, s.tobytes(), 1, portable=True)
    yield "blind, items", items, lambda secret: group.oprf_blind(secret, key)
    yield from elgamal_cases()
    yield from lookup_cases()
    yield from paillier_cases()
    yield from rlwe_cases()
    yield from chain_cases()


def elgamal_cases() -> Iterator[Case]:
    """Encryption by message and by randomness, opening by key, and masking by numbers of either sign."""
    source = insecure_seeded(11)
    many = source.scalars((RANDOM_SECRETS + 1) * POINTS).reshape(RANDOM_SECRETS + 1, POINTS, 32)
    many[0] = np.frombuffer((2).to_bytes(32, "little"), np.uint8)
    key = source.scalars(1)
    point = group.multiply_base(key).tobytes()
    keys = many[:, 0].copy()
    for ending, portable in (("", False), (", portable", True)):
        kernel = elgamal.KeyKernel(point, portable=portable)
        parts = np.stack([kernel.encrypt(many[1], many[2]), kernel.encrypt(many[3], many[4])])
        yield f"ElGamal encrypt, messages{ending}", many, lambda s, k=kernel: k.encrypt(s, many[5])
        yield f"ElGamal encrypt, randomness{ending}", many, lambda s, k=kernel: k.encrypt(many[5], s)
        yield (
            f"ElGamal open, secret{ending}",
            keys,
            lambda s, c=parts, p=portable: elgamal.open_sums(s.tobytes(), c, portable=p),
        )
    numbers = np.random.default_rng(12).integers(-(2**40), 0, (RANDOM_SECRETS + 1, POINTS))
    numbers[0] = 0
    masks = source.array(2, POINTS, elgamal.MASK_BYTES)
    yield "ElGamal masks, numbers", numbers, lambda s: elgamal.masked(s, masks, (False, True))


def lookup_cases() -> Iterator[Case]:
    """Choosing and reading by index, and tables by offset and by the owner's scalar."""
    source, side, key = insecure_seeded(13), 32, bytes(32)
    numbers = np.random.default_rng(14).integers(0, side * side, (RANDOM_SECRETS + 1, POINTS)).astype(np.uint32)
    numbers[0] = 0
    scalars = source.scalars(2 * POINTS).reshape(POINTS, 2, 32)
    secrets = source.scalars(RANDOM_SECRETS + 1)
    secrets[0] = np.frombuffer((2).to_bytes(32, "little"), np.uint8)
    base, own = (group.multiply_base(source.scalars(1)).tobytes() for _ in range(2))
    edges, last, mine = list(range(60, 600, 60)), 599, secrets[1].tobytes()
    for ending, portable in (("", False), (", portable", True)):
        points = lookup.choose(base, side, scalars, numbers[1], portable=portable)
        tables = lookup.answer(base, mine, key, 0, side, edges, last, points, numbers[2], portable=portable)
        yield (
            f"lookup choose, indices{ending}",
            numbers,
            lambda s, p=portable: lookup.choose(base, side, scalars, s, portable=p),
        )
        yield (
            f"lookup answer, offsets{ending}",
            numbers,
            lambda s, p=portable, c=points: lookup.answer(base, mine, key, 0, side, edges, last, c, s, portable=p),
        )
        yield (
            f"lookup answer, scalar{ending}",
            secrets,
            lambda s, p=portable, c=points: lookup.answer(
                base, s.tobytes(), key, 0, side, edges, last, c, numbers[2], portable=p
            ),
        )
        yield (
            f"lookup read, indices{ending}",
            numbers,
            lambda s, p=portable, t=tables: lookup.read(own, key, 0, side, scalars, s, t, portable=p),
        )


def rlwe_cases() -> Iterator[Case]:
    """What is encrypted, and what is multiplied by: zeros, or any numbers."""
    seeds = [bytes([i]) * rlwe.SEED_BYTES for i in range(6)]
    owner = rlwe.OwnerKernel(seeds[0])
    public = rlwe.PublicKernel(seeds[1], owner.public(seeds[1], seeds[2]))
    half = rlwe.PLAIN_MODULUS // 2
    numbers = np.random.default_rng(8).integers(-half, half, (RANDOM_SECRETS + 1, 1, rlwe.SLOTS))
    numbers[0] = 0
    masks = np.ones((1, rlwe.SLOTS), np.int64)

    def encrypt(secret: Any) -> Any:
        return owner.encrypt(secret, slots=True, public=seeds[3], secret=seeds[4])

    c = encrypt(numbers[1])
    yield "ring-LWE encrypt, numbers", numbers, encrypt
    yield (
        "ring-LWE slot products, numbers",
        numbers,
        lambda s: public.slot_products(seeds[3], c, s[None], masks, secret=seeds[5]),
    )
    yield (
        "ring-LWE inner products, column",
        numbers,
        lambda s: public.inner_products(seeds[3], c, s[None], masks[0, :1], secret=seeds[5]),
    )
    codes = np.random.default_rng(9).integers(0, 10, (RANDOM_SECRETS + 1, 1, rlwe.SLOTS)).astype(np.uint8)
    codes[0] = 0
    cells = np.arange(4)
    groups, first = cells.astype(np.uint8), np.array([0, 4], np.uint32)
    weights, one = 10_001**cells, masks[0, :1]
    yield (
        "ring-LWE coded products, codes",
        codes,
        lambda s: public.coded_products(
            seeds[3], c, rlwe.Coded(s, np.zeros(4, np.uint32), groups, weights, first), one, secret=seeds[5]
        ),
    )
    fine = np.random.default_rng(10).integers(-(1 << 14), 1 << 14, (RANDOM_SECRETS + 1, 1, rlwe.SLOTS)).astype(np.int32)
    fine[0] = 0
    whole = slice(0, 1)
    for ending, pairs in (("", False), (" of pairs", True)):
        yield (
            f"ring-LWE limb products{ending}, numbers",
            fine,
            lambda s, p=pairs: Limbs(s, 1, 14, p).products(public, seeds[3], c, whole, one, secret=seeds[5]),
        )
    yield (
        "ring-LWE prepared products, numbers",
        fine,
        lambda s: Limbs(s, 1, 14).prepare().products(public, seeds[3], c, whole, one, secret=seeds[5]),
    )


def chain_cases() -> Iterator[Case]:
    """What of a vector is encrypted, kept, handed on and answered, and whether a row is released."""
    seeds, width, blocks = [bytes([i]) * rlwe_chain.SEED_BYTES for i in range(6)], 2_000, 4
    owner = rlwe_chain.OwnerKernel(rlwe.SLOTS, seeds[0])
    public = rlwe_chain.PublicKernel(rlwe.SLOTS, seeds[1], owner.public(seeds[1], seeds[2]))
    half, rng = rlwe_chain.PLAIN_MODULUS // 2, np.random.default_rng(15)
    weights = rng.integers(-half, half, (RANDOM_SECRETS + 1, blocks, width))
    weights[0] = 0
    bits = rng.integers(0, 2, (RANDOM_SECRETS + 1, blocks, width)).astype(np.uint8)
    bits[0] = 0
    released = rng.integers(0, 2, (RANDOM_SECRETS + 1, blocks)).astype(np.uint8)
    released[0] = 0
    places = np.arange(width + 1, dtype=np.uint32)
    each = rlwe_chain.Conditions(places, places[:-1], np.ones(width, np.uint8))

    def encrypt(secret: Any, primes: int = 4) -> Any:
        return owner.encrypt(secret, blocks, primes, public=seeds[3], secret=seeds[4])

    def keep(vectors: Any, of: Any, rows: Any, primes: int) -> Any:
        last = primes == rlwe_chain.KEPT_PRIMES
        return public.keep(vectors, seeds[3], primes, each, of, rows, blocks=blocks, last=last, secret=seeds[5])

    yield "chain encrypt, weights", weights, encrypt
    for ending, primes in (("handed on", 4), ("answered", 3)):
        c = encrypt(weights[1], primes)
        yield f"chain {ending}, bits", bits, lambda s, c=c, p=primes: keep(c, s, released[1] | 1, p)
        yield f"chain {ending}, released", released, lambda s, c=c, p=primes: keep(c, bits[1], s, p)


def paillier_cases() -> Iterator[Case]:
    """Encryption by exponent and by plaintext, and decryption by ciphertext, either way where there are two."""
    source, n = insecure_seeded(7), PRIMES[0] * PRIMES[1]
    exponents = source.array((RANDOM_SECRETS + 1) * CIPHERTEXTS, 32).reshape(RANDOM_SECRETS + 1, CIPHERTEXTS, 32)
    exponents[0] = 0
    plain = source.array((RANDOM_SECRETS + 1) * CIPHERTEXTS, 64).reshape(RANDOM_SECRETS + 1, CIPHERTEXTS, 64)
    plain[:, :, 0] = 0
    plain[0] = 0
    base = pow(int.from_bytes(source.bytes(64), "big"), 2 * n, n * n)
    for ending, portable in (("", False), (", portable", True)):
        public, owner = PublicKernel(n, portable=portable), OwnerKernel(*PRIMES, portable=portable)
        table, tables = public.table(base, 32), owner.tables(base, 32)
        m, r = plain[1], exponents[1]
        c = np.stack([public.encrypt(table, m, r) for m, r in zip(plain, exponents, strict=True)])
        yield f"paillier encrypt, exponent{ending}", exponents, lambda s, k=public, t=table, m=m: k.encrypt(t, m, s)
        yield f"paillier encrypt, plaintext{ending}", plain, lambda s, k=public, t=table, r=r: k.encrypt(t, s, r)
        yield (
            f"paillier owner encrypt, exponent{ending}",
            exponents,
            lambda s, k=owner, t=tables, m=m: k.encrypt(t, m, s),
        )
        yield f"paillier decrypt, ciphertext{ending}", c, lambda s, k=owner: k.decrypt(s)


def measure(secrets: Secrets, case: Callable[[Any], object], samples: int) -> tuple[float, int]:
    """The statistic, and over how many calls."""
    rng = np.random.default_rng(6)
    chosen = np.where(rng.random(samples) < 0.5, 0, rng.integers(1, len(secrets), samples))
    times = np.empty(samples)
    here = np.empty_like(secrets[0])
    for i, number in enumerate(chosen.tolist()):
        here[:] = secrets[number]
        start = time.perf_counter_ns()
        case(here)
        times[i] = time.perf_counter_ns() - start
    kept = times <= np.quantile(times, 0.9)
    return statistic(times[kept & (chosen == 0)], times[kept & (chosen != 0)]), int(kept.sum())


def main() -> None:
    """Measure every case and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--only", default="", help="measure the cases alone whose name has this in it")
    arguments = parser.parse_args()
    for name, secrets, case in cases():
        if arguments.only not in name:
            continue
        conditions = describe()
        t, samples = measure(secrets, case, arguments.samples)
        line = {"bench": "constant_time", "case": name, "t": round(t, 2), "bound": BOUND, "samples": samples}
        print(json.dumps(line | conditions), flush=True)


if __name__ == "__main__":
    main()
