"""The native module is the right one; BLAKE3 is BLAKE3; batches equal their rows."""

from __future__ import annotations

import numpy as np
import pytest

from fedcredit.crypto.randomness import KeyedRandomness, Randomness, SystemRandomness, insecure_seeded
from fedcredit.errors import ConfigError
from fedcredit.kernels import digest, require_native


@pytest.mark.parametrize(("found", "code"), [(None, "NATIVE_MISSING"), ("0.0.9", "NATIVE_VERSION")])
def test_another_native_version_is_refused(found: str | None, code: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        require_native(found, "0.1.0")
    assert refusal.value.code == code


def test_blake3_published_vectors() -> None:
    # BLAKE3-team/BLAKE3 test_vectors/test_vectors.json: input lengths 0 and 3 (bytes 0, 1, 2), first 32 bytes.
    assert digest.blake3(b"").hex() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert digest.blake3(bytes(range(3))).hex() == "e1be4d7a8ab5560aa4199eea339849ba8e293d55ca0a81006726d184519e647f"


def test_derive_separates_contexts_and_extends() -> None:
    assert digest.derive("a", b"x") != digest.derive("b", b"x")
    assert digest.derive("a", b"x", 100)[:32] == digest.derive("a", b"x")
    with pytest.raises(ValueError, match="length"):
        digest.derive("a", b"x", 0)


def test_keyed_ignores_padding_of_text_but_not_of_bytes() -> None:
    text = np.array([b"ab", b"abc"])
    wide = text.astype("S9")
    assert (digest.keyed(bytes(32), text) == digest.keyed(bytes(32), wide)).all()
    raw = wide.view(np.uint8).reshape(2, 9)
    assert (digest.keyed(bytes(32), raw) != digest.keyed(bytes(32), text)).any()
    one = digest.keyed(bytes(32), np.array([b"abc"]))
    assert (digest.keyed(bytes(32), text)[1] == one[0]).all()


def test_keyed_xor_is_its_own_inverse() -> None:
    items = insecure_seeded(1).array(3000, 16)
    once = digest.keyed(bytes(32), items, 40)
    digest.keyed_xor(bytes(32), items, once)
    assert not once.any()


def test_lookup_and_find_repeat() -> None:
    table = insecure_seeded(2).array(500, 16)
    assert digest.lookup(table, table[[7, 499, 0]]).tolist() == [7, 499, 0]
    assert digest.lookup(table, np.zeros((1, 16), np.uint8)).tolist() == [-1]
    assert digest.find_repeat(table) is None
    assert digest.find_repeat(np.concatenate([table, table[3:4]])) == 500


@pytest.mark.parametrize(
    "call",
    [
        lambda: digest.keyed(bytes(31), np.zeros((1, 4), np.uint8)),
        lambda: digest.keyed(bytes(32), np.zeros(4, np.uint8)),
        lambda: digest.keyed(bytes(32), np.zeros((1, 0), np.uint8)),
        lambda: digest.keyed(bytes(32), np.zeros((1, 4), np.int64)),
        lambda: digest.keyed(bytes(32), np.zeros((1, 4), np.uint8), 0),
        lambda: digest.keyed_xor(bytes(32), np.zeros((2, 4), np.uint8), np.zeros((1, 4), np.uint8)),
        lambda: digest.keyed_xor(bytes(32), np.zeros((2, 4), np.uint8), np.zeros((4, 4), np.uint8)[::2]),
        lambda: digest.lookup(np.zeros((1, 8), np.uint8), np.zeros((1, 16), np.uint8)),
    ],
)
def test_wrong_shapes_are_refused(call: object) -> None:
    assert callable(call)
    with pytest.raises(ValueError):
        call()


def test_keyed_randomness_is_a_function_of_key_and_label() -> None:
    key = bytes(range(32))
    assert KeyedRandomness(key, "a").bytes(100) == KeyedRandomness(key, "a").bytes(100)
    assert KeyedRandomness(key, "a").bytes(100) != KeyedRandomness(key, "b").bytes(100)
    one = KeyedRandomness(key, "a")
    assert one.bytes(10) + one.bytes(23) == KeyedRandomness(key, "a").bytes(33)
    assert one.fork("x").bytes(9) == KeyedRandomness(key, "a").fork("x").bytes(9), (
        "forks do not depend on what was read"
    )
    assert one.fork("x").bytes(9) != one.fork("y").bytes(9)
    assert key.hex() not in repr(one)
    with pytest.raises(ValueError, match="32"):
        KeyedRandomness(b"short", "a")


@pytest.mark.parametrize("source", [SystemRandomness(), insecure_seeded(3)])
def test_sources_have_the_shapes_they_promise(source: Randomness) -> None:
    assert source.array(5, 7).shape == (5, 7)
    assert source.array(5, 7).flags.writeable
    assert source.words(9).dtype == np.uint64
    assert set(source.bits(1001).tolist()) == {0, 1}
    assert source.bits(1001).size == 1001
    assert len(source.scalar()) == 32
    assert len(source.fork("a").bytes(3)) == 3
