"""What Paillier's cryptosystem costs, beside `phe` and the bare operations of `gmpy2` where those are installed.

    python benchmarks/paillier.py [--bits N ...] [--rows N] [--repeat N] > benchmarks/results/paillier.json

Prints one JSON object a key size. All figures are processor time of all cores added up, an operation: with others at
work it changes little, and one core takes as long. Medians of the repeats; seeds are fixed, keys are fresh.

- `owner_encrypt_ms`, `encrypt_ms`, `randomise_ms`, `decrypt_ms`: a row, by who has the primes or has not;
- `add_us`: two ciphertexts, bytes to bytes. `sum_us`: one addition of `sums`, where every row goes to a group of ten
  columns, its reading shared by them; `check_us`: a ciphertext that came in;
- `multiply_ms`: by a signed factor of 64 bits;
- `encryptor_ms`, `owner_encryptor_ms`: making one, with its table;
- `slots`, `packed_us`: numbers of 30 bits, a million of which may be summed, in a plaintext, and what the owner's
  encryption takes for one of them;
- `portable`: the first four and `add_us` without AVX-512; `phe`: the same by `phe` (with gmpy2 if `phe_gmpy2`);
- `gmpy2`: `multiply_us`, one product modulo n^2, of which `encrypt` takes `products`; `decrypt_sec_ms`, both powers of
  a decryption by `powmod_sec`, which is the one for secret exponents, and `decrypt_ms` by `powmod`, which is not.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from alignment import describe

from fedcredit.crypto.packing import Packing
from fedcredit.crypto.paillier import PrivateKey, PublicEncryptor
from fedcredit.crypto.paillier_checks import Profile
from fedcredit.crypto.randomness import insecure_seeded

MILLI, MICRO = 1_000, 1_000_000
COLUMNS, GROUPS = 10, 16
PEER_ROWS = 20


def cost(case: Callable[[], object], rows: int, repeat: int) -> float:
    """Median seconds of processor time a row."""
    seconds = []
    for _ in range(repeat):
        start = time.process_time()
        case()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds) / rows


def found(name: str) -> Any:
    """The module, or None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def ours(key: PrivateKey, rows: int, repeat: int) -> dict[str, float]:
    """The operations that others have as well."""
    public = key.public
    source = insecure_seeded(1)
    encryptor, own = PublicEncryptor(public, source), key.encryptor(source)
    plain = source.array(rows, public.width)
    plain[:, 0] = 0
    c = own.encrypt(plain)
    if (key.decrypt(c) != plain).any():
        raise AssertionError("another plaintext")
    return {
        "owner_encrypt_ms": cost(lambda: own.encrypt(plain), rows, repeat) * MILLI,
        "encrypt_ms": cost(lambda: encryptor.encrypt(plain), rows, repeat) * MILLI,
        "randomise_ms": cost(lambda: encryptor.randomised(c), rows, repeat) * MILLI,
        "decrypt_ms": cost(lambda: key.decrypt(c), rows, repeat) * MILLI,
        "add_us": cost(lambda: public.add(c, c), rows, repeat) * MICRO,
    }


def more(key: PrivateKey, rows: int, repeat: int) -> dict[str, float]:
    """The operations that are ours alone."""
    public, source, rng = key.public, insecure_seeded(2), np.random.default_rng(3)
    own = key.encryptor(source)
    packing = Packing(public, 2**30, 1_000_000)
    numbers = rng.integers(-(2**30), 2**30, (rows, packing.slots))
    c = own.encrypt(packing.pack(numbers))
    sent, groups = c.sent(), rng.integers(0, GROUPS, (rows, COLUMNS)).astype(np.uint32)
    factors = rng.integers(-(2**63), 2**63 - 1, rows)
    packed = cost(lambda: own.encrypt(packing.pack(numbers)), rows * packing.slots, repeat)
    return {
        "sum_us": cost(lambda: public.sums(c, groups, GROUPS), rows * COLUMNS, repeat) * MICRO,
        "check_us": cost(lambda: public.received(sent, count=rows, key_id=public.id), rows, repeat) * MICRO,
        "multiply_ms": cost(lambda: public.multiply(c, factors), rows, repeat) * MILLI,
        "encryptor_ms": cost(lambda: PublicEncryptor(public, source), 1, repeat) * MILLI,
        "owner_encryptor_ms": cost(lambda: key.encryptor(source), 1, repeat) * MILLI,
        "slots": packing.slots,
        "packed_us": packed * MICRO,
    }


def by_phe(phe: Any, key: PrivateKey, repeat: int) -> dict[str, float]:
    """`phe` with the same key."""
    public = phe.PaillierPublicKey(key.public.n)
    private = phe.PaillierPrivateKey(public, key.p, key.q)
    numbers = list(range(PEER_ROWS))
    c = [public.encrypt(number) for number in numbers]

    def add() -> None:
        for number in c:
            number + number

    return {
        "encrypt_ms": cost(lambda: [public.encrypt(number) for number in numbers], PEER_ROWS, repeat) * MILLI,
        "decrypt_ms": cost(lambda: [private.decrypt(number) for number in c], PEER_ROWS, repeat) * MILLI,
        "add_us": cost(add, PEER_ROWS, repeat) * MICRO,
    }


def by_gmpy2(gmpy2: Any, key: PrivateKey, repeat: int) -> dict[str, float]:
    """What the same algorithms would take by `gmpy2`."""
    n, rng = key.public.n, np.random.default_rng(4)
    square = gmpy2.mpz(n * n)
    a = gmpy2.mpz(int.from_bytes(rng.bytes(2 * key.public.width), "big")) % square

    def multiply() -> None:
        x = a
        for _ in range(1000):
            x = x * a % square

    def decrypt(power: Callable[[Any, Any, Any], Any]) -> None:
        for prime in (key.p, key.q):
            power(a % (prime * prime), gmpy2.mpz(prime - 1), gmpy2.mpz(prime * prime))

    return {
        "multiply_us": cost(multiply, 1000, repeat) * MICRO,
        "products": -(-(n.bit_length() // 2) // 6),
        "decrypt_sec_ms": cost(lambda: decrypt(gmpy2.powmod_sec), 1, repeat) * MILLI,
        "decrypt_ms": cost(lambda: decrypt(gmpy2.powmod), 1, repeat) * MILLI,
    }


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """Four digits are more than there are."""
    return {name: float(f"{value:.4g}") for name, value in figures.items()}


def line(bits: int, rows: int, repeat: int) -> dict[str, object]:
    """One key size."""
    conditions = describe()
    key = PrivateKey.generate(Profile("measured", 2048, bits))
    portable = PrivateKey.from_primes(key.p, key.q, key.public.profile, portable=True)
    figures: dict[str, object] = rounded(ours(key, rows, repeat) | more(key, rows, repeat))
    figures["portable"] = rounded(ours(portable, max(rows // 10, 1), repeat))
    phe, gmpy2 = found("phe"), found("gmpy2")
    if phe:
        figures["phe"], figures["phe_gmpy2"] = rounded(by_phe(phe, key, repeat)), gmpy2 is not None
    if gmpy2:
        figures["gmpy2"] = rounded(by_gmpy2(gmpy2, key, repeat))
    case = {"bench": "paillier", "bits": bits, "rows": rows, "repeat": repeat}
    return case | figures | {"threads": os.cpu_count()} | conditions


def main() -> None:
    """Measure every key size and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bits", type=int, nargs="+", default=[2048, 3072, 4096])
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    for bits in arguments.bits:
        print(json.dumps(line(bits, arguments.rows, arguments.repeat)), flush=True)


if __name__ == "__main__":
    main()
