"""The OKVS reads back what was put in, hides it, and refuses what cannot be; its slow twin agrees on every slot."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.kernels import okvs, reference_okvs

U8 = npt.NDArray[np.uint8]
SEED = bytes(range(32))


def encoded(keys: U8, label: str, seed: bytes = SEED) -> tuple[U8, U8]:
    """Uniform values for `keys`, and the store of both."""
    source = insecure_seeded(1, label)
    values = source.array(len(keys), 16)
    return values, okvs.encode(keys, values, seed, source.array(okvs.slots(len(keys)), 16))


def read(store: U8, n: int, keys: U8, seed: bytes = SEED) -> U8:
    out = np.zeros((len(keys), 16), np.uint8)
    okvs.decode_xor(store, n, keys, seed, out)
    return out


def random_keys(n: int) -> U8:
    return insecure_seeded(2, f"keys {n}").array(n, 16)


@pytest.mark.parametrize("n", [*range(0, 300, 7), 1_000, 24_575, 24_576, 100_000])
def test_every_key_reads_its_value(n: int) -> None:
    keys = random_keys(n)
    values, store = encoded(keys, f"store {n}")
    assert len(store) == okvs.slots(n) == reference_okvs.slots(n)
    assert (read(store, n, keys) == values).all()
    for key, value in list(zip(keys, values, strict=True))[-20:]:
        assert reference_okvs.decode(store, n, key.tobytes(), SEED) == value.tobytes()


@pytest.mark.slow
def test_a_million_pairs() -> None:
    keys = random_keys(1_000_000)
    values, store = encoded(keys, "million")
    assert len(store) < 1.24 * len(keys)
    assert (read(store, len(keys), keys) == values).all()


def test_no_size_needs_a_second_seed() -> None:
    for n in range(300):
        for seed in range(5):
            encoded(random_keys(n), f"{n}", bytes([seed] * 32))


@pytest.mark.parametrize("shift", [0, 40, 104])
def test_keys_that_look_alike_are_keys_like_others(shift: int) -> None:
    numbers = np.zeros((30_000, 2), np.uint64)
    numbers[:, shift // 64] = np.arange(30_000, dtype=np.uint64) << np.uint64(shift % 64)
    keys = numbers.view(np.uint8)
    values, store = encoded(keys, "alike")
    assert (read(store, len(keys), keys) == values).all()


def test_other_keys_read_noise() -> None:
    _, store = encoded(random_keys(1000), "noise")
    others = insecure_seeded(9).array(4000, 16)
    noise = read(store, 1000, others)
    assert noise[0].tobytes() == reference_okvs.decode(store, 1000, others[0].tobytes(), SEED)
    assert len({r.tobytes() for r in noise}) == 4000
    ones = np.unpackbits(noise).mean()
    assert abs(ones - 0.5) < 6 * 0.5 / np.sqrt(noise.size * 8)


@pytest.mark.parametrize("n", [40, 3000, 30_000])
def test_the_store_looks_uniform_whatever_its_keys(n: int) -> None:
    # Values are uniform, so every slot must be, also those no key reads.
    _, store = encoded(random_keys(n), f"uniform {n}")
    per_bit = np.unpackbits(store, axis=1).mean(axis=0)
    assert (np.abs(per_bit - 0.5) < 6 * 0.5 / np.sqrt(len(store))).all()
    assert len({slot.tobytes() for slot in store}) == len(store)


def test_the_seed_alone_decides_which_slots_a_key_reads() -> None:
    keys = random_keys(200)
    _, store = encoded(keys, "seed")
    assert not (read(store, 200, keys, bytes(32)) == read(store, 200, keys)).all(axis=1).any()
    rows = {tuple(reference_okvs.row(keys[0].tobytes(), 200, bytes([seed] * 32))) for seed in range(20)}
    assert len(rows) == 20


@pytest.mark.parametrize("n", [1, 100, 60_000])
def test_repeated_keys_are_refused(n: int) -> None:
    keys = random_keys(n)
    for repeated in (np.concatenate([keys, keys[:1]]), np.zeros((2 * n, 16), np.uint8)):
        for seed in (bytes(32), SEED):
            with pytest.raises(okvs.NoAssignment):
                encoded(repeated, "repeated", seed)


@pytest.mark.parametrize(
    "call",
    [
        lambda: okvs.slots(-1),
        lambda: okvs.slots(2**28 + 1),
        lambda: okvs.encode(np.zeros((1, 16), np.uint8), np.zeros((2, 16), np.uint8), bytes(32), np.zeros((1, 16))),
        lambda: okvs.decode_xor(np.zeros((9, 16), np.uint8), 1, np.zeros((1, 16)), bytes(32), np.zeros((1, 16))),
    ],
)
def test_wrong_shapes_are_refused(call: Any) -> None:
    with pytest.raises(ValueError):
        call()
