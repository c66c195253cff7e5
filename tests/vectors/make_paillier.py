"""Writes paillier.json: keys from seeds that anybody can follow, and what Python's integers make of them.

    PYTHONPATH=. python tests/vectors/make_paillier.py > tests/vectors/paillier.json

A number of b bits is SHAKE-256 of its label; a prime is the first one from there on, with both top bits and the last
one set.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from fedcredit.crypto.paillier_checks import is_probable_prime
from fedcredit.kernels import reference_paillier as reference

ABOUT = (
    "Paillier keys, plaintexts, exponents and ciphertexts, hexadecimal. c = (1 + m n) base^r modulo n^2. Made by "
    "make_paillier.py, which says how numbers follow from `bits`; results are those of the slow twin."
)
SIZES = (256, 1024, 2048, 3072)
ROWS = 4
FACTORS = (0, 1, 7, 2**64 - 1)


def number(label: str, bits: int) -> int:
    """A number of up to `bits` bits."""
    drawn = hashlib.shake_256(f"fedcredit paillier {label}".encode()).digest((bits + 7) // 8)
    return int.from_bytes(drawn, "big") % (1 << bits)


def prime(label: str, bits: int) -> int:
    """A prime of `bits` bits."""
    candidate = number(label, bits) | 3 << (bits - 2) | 1
    while any(candidate % small == 0 for small in (3, 5, 7, 11, 13)) or not is_probable_prime(candidate):
        candidate += 2
    return candidate


def case(bits: int) -> dict[str, Any]:
    """Everything of one key size."""
    p, q = prime(f"{bits} p", bits // 2), prime(f"{bits} q", bits // 2)
    n = p * q
    base = pow(number(f"{bits} x", bits) % n, 2 * n, n * n)
    m = [number(f"{bits} m {i}", bits) % n for i in range(ROWS - 1)] + [n - 1]
    r = [number(f"{bits} r {i}", bits // 2) for i in range(ROWS)]
    c = [reference.encrypt(n, a, base, b) for a, b in zip(m, r, strict=True)]
    again = [reference.randomise(n, a, base, b) for a, b in zip(c, reversed(r), strict=True)]
    multiples = [pow(a, k, n * n) for a, k in zip(c, FACTORS, strict=True)]
    sums = reference.sums(n, c, [[i % 2, 0] for i in range(ROWS)], 3)
    lists = {
        "m": m,
        "r": r,
        "c": c,
        "randomised": again,
        "multiples": multiples,
        "sums": [x for row in sums for x in row],
    }
    return {
        "bits": bits,
        **{name: f"{value:x}" for name, value in (("p", p), ("q", q), ("base", base))},
        **{name: [f"{value:x}" for value in values] for name, values in lists.items()},
    }


if __name__ == "__main__":
    print(json.dumps({"about": ABOUT, "factors": list(FACTORS), "cases": [case(bits) for bits in SIZES]}, indent=1))
