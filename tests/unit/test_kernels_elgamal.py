"""The ElGamal kernels against their slow twin, on either arithmetic, and the bad encodings of RFC 9496."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.kernels import elgamal, group
from fedcredit.kernels import reference_elgamal as reference
from fedcredit.kernels import reference_group as slow

U8 = npt.NDArray[np.uint8]
RFC9496: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "rfc9496.json").read_text())

SECRET = insecure_seeded(3).scalar()
POINT = group.multiply_base(np.frombuffer(SECRET, np.uint8).reshape(1, 32)).tobytes()
KERNELS = {portable: elgamal.KeyKernel(POINT, portable=portable) for portable in (False, True)}
EDGES = [0, 1, 2, 7, 8, 15, 16, 2**64, 2**252, slow.L - 1, slow.L - 65_536]

scalars = st.one_of(st.sampled_from(EDGES), st.integers(0, slow.L - 1))


def rows(values: list[int]) -> U8:
    flat = b"".join(value.to_bytes(32, "little") for value in values)
    return np.frombuffer(flat, np.uint8).reshape(len(values), 32)


@settings(max_examples=25, deadline=None)
@given(pairs=st.lists(st.tuples(scalars, scalars.filter(bool)), min_size=1, max_size=9), portable=st.booleans())
def test_ciphertexts_are_those_of_the_slow_twin(pairs: list[tuple[int, int]], portable: bool) -> None:
    messages, randomness = map(list, zip(*pairs, strict=True))
    ciphertexts = KERNELS[portable].encrypt(rows(messages), rows(randomness))
    key = slow.decode(POINT)
    assert [row.tobytes() for row in ciphertexts] == [reference.encrypt(key, m, r) for m, r in pairs]


@settings(max_examples=15, deadline=None)
@given(
    parts=st.integers(1, 3).flatmap(
        lambda k: st.lists(st.lists(scalars, min_size=k, max_size=k), min_size=1, max_size=5)
    ),
    portable=st.booleans(),
)
def test_parts_open_to_the_double_of_their_sum(parts: list[list[int]], portable: bool) -> None:
    n, k = len(parts), len(parts[0])
    randomness = insecure_seeded(5).scalars(n)
    columns = [KERNELS[portable].encrypt(rows([row[part] for row in parts]), randomness) for part in range(k)]
    opened = elgamal.open_sums(SECRET, np.stack(columns), portable=portable)
    assert [row.tobytes() for row in opened] == [reference.doubled(sum(row)) for row in parts]
    secret = int.from_bytes(SECRET, "little")
    point = reference.open_sum(secret, [column[0].tobytes() for column in columns])
    assert slow.encode(point + point) == opened[0].tobytes()


@pytest.mark.parametrize("first", [-(2**63), -70, 0, 2**63 - 300])
def test_doubles_are_those_of_consecutive_numbers(first: int) -> None:
    found = elgamal.doubles(first, 300)
    for place in (0, 1, 69, 70, 71, 255, 256, 299):
        assert found[place].tobytes() == reference.doubled(first + place)


@given(
    values=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5),
    negative=st.lists(st.booleans(), max_size=4),
    seed=st.integers(0, 1000),
)
def test_masks_are_added_modulo_the_order(values: list[int], negative: list[bool], seed: int) -> None:
    masks = insecure_seeded(seed).array(len(negative), len(values), 64)
    found = elgamal.masked(np.array(values, np.int64), masks, negative)
    for row, value in enumerate(values):
        expected = reference.masked(value, [column[row].tobytes() for column in masks], negative)
        assert found[row].tobytes() == expected


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize(
    "bad", [*(bad["encoding"] for bad in RFC9496["bad_encodings"]), "00" * 32], ids=lambda e: e[:8]
)
def test_bad_encodings_and_the_identity_are_refused_by_number(bad: str, half: int, portable: bool) -> None:
    good = KERNELS[portable].encrypt(rows([1] * 10), rows([2] * 10))
    parts = np.stack([good, good])
    parts[1, 3, 32 * half : 32 * half + 32] = np.frombuffer(bytes.fromhex(bad), np.uint8)
    with pytest.raises(elgamal.BadPoint, match="element 13 "):
        elgamal.open_sums(SECRET, parts, portable=portable)
    with pytest.raises(elgamal.BadPoint):
        elgamal.KeyKernel(bytes.fromhex(bad), portable=portable)


def test_proofs_are_those_of_the_slow_twin() -> None:
    nonce = insecure_seeded(6).scalar()
    proof = elgamal.prove(SECRET, nonce, b"bank")
    assert proof == reference.prove(*(int.from_bytes(s, "little") for s in (SECRET, nonce)), b"bank")
    for context, point, held in (
        (b"bank", POINT, proof),
        (b"", POINT, proof),
        (b"bank", group.multiply(np.frombuffer(POINT, np.uint8).reshape(1, 32), nonce).tobytes(), proof),
        (b"bank", bytes(32), proof),
        (b"bank", POINT, proof[:32] + bytes(32)),
        (b"bank", POINT, proof[:32] + (int.from_bytes(proof[32:], "little") + slow.L).to_bytes(32, "little")),
        (b"bank", POINT, bytes(32) + proof[32:]),
    ):
        good = (context, point, held) == (b"bank", POINT, proof)
        assert elgamal.verify(point, context, held) is reference.verify(point, context, held) is good


def test_wrong_shapes_are_refused_before_the_kernel() -> None:
    kernel, one = KERNELS[False], rows([1])
    for call in (
        lambda: kernel.encrypt(one[:, :31], one),
        lambda: kernel.encrypt(one, rows([1, 2])),
        lambda: kernel.encrypt(one, rows([0])),
        lambda: kernel.encrypt(rows([slow.L]), one),
        lambda: elgamal.open_sums(SECRET, np.zeros((0, 1, 64), np.uint8)),
        lambda: elgamal.open_sums(bytes(32), np.zeros((1, 0, 64), np.uint8)),
        lambda: elgamal.open_sums(b"", np.zeros((1, 0, 64), np.uint8)),
        lambda: elgamal.masked(np.zeros(2, np.int64), np.zeros((1, 1, 64), np.uint8), [False]),
        lambda: elgamal.masked(np.zeros(1, np.int32), np.zeros((1, 1, 64), np.uint8), [False]),  # type: ignore[arg-type]
        lambda: elgamal.prove(bytes(32), SECRET, b""),
        lambda: elgamal.verify(POINT, b"", b""),
    ):
        with pytest.raises(ValueError):
            call()
    assert kernel.encrypt(np.zeros((0, 32), np.uint8), np.zeros((0, 32), np.uint8)).shape == (0, 64)
