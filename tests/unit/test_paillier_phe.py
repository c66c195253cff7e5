"""Keys and ciphertexts go to `phe` and come from it. It is an extra, `fedcredit[phe]`: without it these are skipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedcredit.crypto.packing import Packing
from fedcredit.crypto.paillier import PrivateKey, PublicEncryptor, PublicKey
from fedcredit.crypto.paillier_checks import insecure_profile
from fedcredit.crypto.randomness import insecure_seeded

phe = pytest.importorskip("phe", reason="phe is not installed: `pip install fedcredit[phe]`")

VECTORS: dict[str, Any] = json.loads((Path(__file__).resolve().parents[1] / "vectors" / "paillier.json").read_text())
NUMBERS = [0, 1, -1, 12345, -(2**62), 2**62]


@pytest.fixture(scope="module", params=[1024, 3072])
def ours(request: pytest.FixtureRequest) -> PrivateKey:
    case = next(case for case in VECTORS["cases"] if case["bits"] == request.param)
    return PrivateKey.from_primes(int(case["p"], 16), int(case["q"], 16), insecure_profile(1024))


def theirs(key: PrivateKey) -> tuple[Any, Any]:
    public = phe.PaillierPublicKey(key.public.n)
    return public, phe.PaillierPrivateKey(public, key.p, key.q)


def test_their_keys_are_ours() -> None:
    public, private = phe.generate_paillier_keypair(n_length=1024)
    key = PrivateKey.from_primes(private.p, private.q, insecure_profile(1024))
    assert key.public.n == public.n
    packing = Packing(key.public, 2**61, 1, slots=1)
    c = PublicEncryptor(PublicKey.from_modulus(public.n, insecure_profile(1024)), insecure_seeded(5)).encrypt(
        packing.pack(np.array(NUMBERS[:4])[:, None])
    )
    assert [private.decrypt(phe.EncryptedNumber(public, x)) for x in c.to_integers()] == NUMBERS[:4]


def test_they_read_what_we_encrypt(ours: PrivateKey) -> None:
    public, private = theirs(ours)
    packing = Packing(ours.public, 2**61, 1, slots=1)
    half = [x // 2 for x in NUMBERS]
    plain = packing.pack(np.array(half)[:, None])
    for encryptor in (PublicEncryptor(ours.public, insecure_seeded(6)), ours.encryptor(insecure_seeded(7))):
        c = encryptor.encrypt(plain)
        assert [private.decrypt(phe.EncryptedNumber(public, x)) for x in c.to_integers()] == half
        total = encryptor.randomised(ours.public.sums(c, np.zeros((len(half), 1), np.uint32), 1))
        assert private.decrypt(phe.EncryptedNumber(public, total.to_integers()[0])) == sum(half)
        multiples = encryptor.randomised(ours.public.multiply(c, np.array([3, -3, 1, 0, 1, -1])))
        read = [private.decrypt(phe.EncryptedNumber(public, x)) for x in multiples.to_integers()]
        assert read == [x * k for x, k in zip(half, (3, -3, 1, 0, 1, -1), strict=True)]


def test_we_read_what_they_encrypt(ours: PrivateKey) -> None:
    public, _ = theirs(ours)
    packing = Packing(ours.public, 2**61, 1, slots=1)
    encrypted = [public.encrypt(x // 2) for x in NUMBERS]
    c = ours.public.from_integers([number.ciphertext() for number in encrypted])
    assert packing.unpack(ours.decrypt(c))[:, 0].tolist() == [x // 2 for x in NUMBERS]
    # Sums that were made there of both.
    own = ours.encryptor(insecure_seeded(8)).encrypt(packing.pack(np.array([[5]])))
    mixed = encrypted[3] + phe.EncryptedNumber(public, own.to_integers()[0])
    back = ours.public.from_integers([mixed.ciphertext()])
    assert packing.unpack(ours.decrypt(back)).tolist() == [[NUMBERS[3] // 2 + 5]]


def test_both_give_the_same_number(ours: PrivateKey) -> None:
    """Their (1 + m n) r^n is ours with r^n as the base and an exponent of one."""
    public, private = theirs(ours)
    r = 123456789
    raw = public.raw_encrypt(42, r_value=r)
    key = ours.public
    plain, one = (np.frombuffer(x.to_bytes(w, "big"), np.uint8)[None] for x, w in ((42, key.width), (1, 1)))
    table = key.kernel.table(pow(r, key.n, key.n**2), 1)
    assert int.from_bytes(key.kernel.encrypt(table, plain, one).tobytes(), "big") == raw
    assert private.raw_decrypt(raw) == 42
