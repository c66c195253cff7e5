"""GF(2^128) and silent VOLE against their slow twins, against our vectors, and against inputs that they must refuse."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.kernels import digest, gf128, vole
from fedcredit.kernels import reference_vole as slow
from fedcredit.kernels.vole import Offer, Piece

DELTA = 0x9D2C_5680_1234_5678_9ABC_DEF0_0FED_CBA9
MASK64 = (1 << 64) - 1
VECTORS = Path(__file__).parents[1] / "vectors" / "vole.json"

elements = st.integers(0, 2**128 - 1) | st.sampled_from([0, 1, 2, 1 << 127, 2**128 - 1])


def rows(values: list[int]) -> Any:
    return np.array([list(v.to_bytes(16, "little")) for v in values], np.uint8).reshape(-1, 16)


def blocks(values: Any) -> Any:
    return np.array([[v & MASK64, v >> 64] for v in values], np.uint64).reshape(-1, 2)


def integers(array: Any) -> list[int]:
    pairs = np.ascontiguousarray(array).reshape(-1).view(np.uint64).reshape(-1, 2)
    return [int(low) | int(high) << 64 for low, high in pairs]


def stream(seed: str, n: int) -> list[int]:
    """`n` blocks that anyone can draw from `seed`."""
    data = digest.derive("fedcredit v1 test vectors vole", seed.encode(), 16 * n)
    return [int.from_bytes(data[16 * i : 16 * i + 16], "little") for i in range(n)]


class Made:
    """A piece with made-up transfers, and what both sides make of it."""

    def __init__(self, count: int, trees: int, min_leaves: int, seed: str = "seed") -> None:
        self.piece = piece = Piece(digest.blake3(seed.encode()), count, trees, min_leaves)
        self.noise = stream(f"{seed} noise", trees)
        self.places = [x % piece.leaves for x in stream(f"{seed} places", trees)]
        self.t = stream(f"{seed} t", 128 * piece.columns)
        self.roots = stream(f"{seed} roots", trees)
        self.choices = vole.choice_words(piece, blocks(self.noise), np.array(self.places, np.uint32))
        bits = np.unpackbits(self.choices.view(np.uint8).reshape(-1), bitorder="little")
        self.q = [t ^ (DELTA if bit else 0) for t, bit in zip(self.t, bits, strict=True)]

    def play(self) -> tuple[Offer, Any, Any, Any]:
        piece = self.piece
        sender, offer = vole.sender_cells(piece, DELTA, blocks(self.q), blocks(self.roots))
        places = np.array(self.places, np.uint32)
        receiver = vole.receiver_cells(piece, blocks(self.t), places, blocks(self.noise), offer)
        a, b, c = (np.full((piece.count, 16), 7, np.uint8) for _ in range(3))
        vole.sender_share(piece, sender, b)
        vole.receiver_share(piece, receiver, a, c)
        return offer, a, b, c


@given(st.lists(elements, max_size=9), elements)
def test_products_are_those_of_the_definition(values: list[int], factor: int) -> None:
    found = gf128.scale(rows(values), factor.to_bytes(16, "little"))
    assert integers(found) == [slow.multiply(v, factor) for v in values]


@given(elements, elements, elements)
@settings(max_examples=30)
def test_the_field_is_one(a: int, b: int, c: int) -> None:
    assert slow.multiply(a, b) == slow.multiply(b, a)
    assert slow.multiply(a, b ^ c) == slow.multiply(a, b) ^ slow.multiply(a, c)
    assert slow.multiply(slow.multiply(a, b), c) == slow.multiply(a, slow.multiply(b, c))
    inverse = a
    for _ in range(126):
        inverse = slow.multiply(slow.multiply(inverse, inverse), a)
    assert slow.multiply(slow.multiply(inverse, inverse), a) == (1 if a else 0)


def test_scaling_adds_in_place_and_reads_any_layout() -> None:
    values = rows(stream("values", 70_000))
    into = rows(stream("into", 70_000))
    factor = DELTA.to_bytes(16, "little")
    want = gf128.scale(values, factor) ^ into
    gf128.scale_add(values, factor, into)
    assert np.array_equal(into, want)
    odd = np.frombuffer(b"x" + values[:50].tobytes(), np.uint8)[1:].reshape(-1, 16)
    assert np.array_equal(gf128.scale(odd, factor), gf128.scale(values[:50], factor))
    assert np.array_equal(gf128.scale(values[:100:2], factor), gf128.scale(values[:100], factor)[::2])


@pytest.mark.parametrize(
    "into", [np.zeros((2, 16), np.uint8), np.zeros((3, 16), np.uint64), np.zeros((3, 32), np.uint8)[:, ::2]]
)
def test_nothing_is_added_into_another_shape(into: Any) -> None:
    with pytest.raises(ValueError, match="into"):
        gf128.scale_add(np.zeros((3, 16), np.uint8), bytes(16), into)


@pytest.mark.parametrize(
    ("count", "trees", "min_leaves"), [(1, 1, 7), (20, 3, 5), (57, 8, 2), (70, 5, 33), (1100, 20, 8)]
)
def test_both_sides_are_those_of_the_slow_twin(count: int, trees: int, min_leaves: int) -> None:
    made = Made(count, trees, min_leaves)
    offer, a, b, c = made.play()
    twin = slow.Trees(made.piece.key, trees, made.piece.leaves)
    cells, offered, totals = twin.plant(DELTA, made.q, made.roots)
    assert integers(offer.levels) == [block for of in offered for pair in of for block in pair]
    assert integers(offer.totals) == totals
    assert integers(b) == slow.compress(twin, cells, count)
    receiver, sparse = twin.regrow(made.t, made.places, made.noise, offered, totals)
    assert integers(c) == slow.compress(twin, receiver, count)
    assert integers(a) == slow.compress(twin, sparse, count)
    assert [slow.multiply(x, DELTA) ^ y for x, y in zip(integers(a), integers(b), strict=True)] == integers(c)


@pytest.mark.parametrize("count", [1, 12_288, 12_289, 100_000])
def test_the_relation_holds_at_the_sizes_of_the_protocol(count: int) -> None:
    made = Made(count, vole.TREES, vole.MIN_LEAVES)
    _, a, b, c = made.play()
    assert np.array_equal(gf128.scale(a, DELTA.to_bytes(16, "little")) ^ b, c)
    assert len(np.unique(a, axis=0)) == count


def test_what_is_made_looks_uniform() -> None:
    """Of 20,000 elements of each vector, every bit is set in about half (six sigma)."""
    _, a, b, c = Made(20_000, vole.TREES, vole.MIN_LEAVES).play()
    for vector in (a, b, c):
        ones = np.unpackbits(vector, axis=1).sum(axis=0, dtype=np.int64)
        assert (abs(ones - 10_000) < 6 * math.sqrt(5_000)).all()


def test_vectors() -> None:
    published = json.loads(VECTORS.read_text())
    for case in published["cases"]:
        made = Made(case["count"], case["trees"], case["min_leaves"], case["seed"])
        offer, a, b, c = made.play()
        assert published["delta"] == DELTA.to_bytes(16, "little").hex()
        for name, array in {"levels": offer.levels, "totals": offer.totals, "a": a, "b": b, "c": c}.items():
            assert digest.blake3(np.ascontiguousarray(array).tobytes()).hex() == case[f"blake3_{name}"], name
        assert [v.tobytes().hex() for v in (a[0], b[0], c[0])] == case["first"]
    for factor, value, product in published["products"]:
        assert (
            gf128.scale(np.frombuffer(bytes.fromhex(value), np.uint8)[None], bytes.fromhex(factor)).tobytes().hex()
            == product
        )


@pytest.mark.parametrize("loss", [0.11, 0.15, 0.2])
def test_noise_outweighs_linear_tests(loss: float) -> None:
    """A test vector of relative weight `loss` misses all noise with probability at most (1 - loss)^trees."""
    assert -vole.TREES * math.log2(1 - loss) >= 128


@pytest.mark.parametrize("count", [1, 40_000, vole.MAX_ELEMENTS])
def test_a_piece_has_twice_the_cells_and_whole_columns(count: int) -> None:
    piece = Piece(bytes(32), count)
    assert piece.cells >= 2 * count
    assert piece.columns * 128 == piece.trees * (128 + piece.depth)
    assert piece.leaves <= 1 << piece.depth < 2 * piece.leaves


@pytest.mark.parametrize(
    ("key", "count", "trees", "leaves"),
    [(31, 1, 1, 2), (32, 0, 1, 2), (32, 2**21 + 1, 768, 2), (32, 1, 0, 2), (32, 1, 1, 1)],
)
def test_impossible_pieces_are_refused(key: int, count: int, trees: int, leaves: int) -> None:
    with pytest.raises(ValueError, match="Piece"):
        Piece(bytes(key), count, trees, leaves)


BAD = ["q", "roots", "t", "places", "noise", "levels", "totals", "a place beyond the leaves", "cells", "b", "a"]


@pytest.mark.parametrize("bad", BAD)
def test_wrong_shapes_and_ranges_are_refused(bad: str) -> None:
    made = Made(20, 3, 5)
    piece = made.piece
    given: dict[str, Any] = {"q": blocks(made.q), "roots": blocks(made.roots), "t": blocks(made.t)}
    given |= {"noise": blocks(made.noise), "places": np.array(made.places, np.uint32)}
    _, offer = vole.sender_cells(piece, DELTA, given["q"], given["roots"])
    given |= {"levels": offer.levels, "totals": offer.totals}
    given |= {"cells": np.zeros((piece.cells, 2), np.uint64), "b": np.zeros((20, 16), np.uint8)}
    given |= {"wide": np.zeros((piece.cells, 4), np.uint64), "a": np.zeros((20, 16), np.uint8)}
    if bad == "a place beyond the leaves":
        given["places"][2] = piece.leaves
    else:
        given[bad] = given[bad][:-1]

    def run() -> None:
        vole.sender_cells(piece, DELTA, given["q"], given["roots"])
        offer = Offer(given["levels"], given["totals"])
        vole.receiver_cells(piece, given["t"], given["places"], given["noise"], offer)
        vole.sender_share(piece, given["cells"], given["b"])
        vole.receiver_share(piece, given["wide"], given["a"], np.zeros((20, 16), np.uint8))

    with pytest.raises(ValueError, match=bad if len(bad) < 10 else "places"):
        run()


def test_another_key_makes_another_code() -> None:
    one, other = Made(200, 16, 4, "one"), Made(200, 16, 4, "one")
    other.piece = replace(other.piece, key=bytes(32))
    assert not np.array_equal(one.play()[1], other.play()[1])


def test_scratch_is_used_again_and_must_be_large_enough() -> None:
    made = Made(300, 16, 4)
    want = made.play()
    piece, places = made.piece, np.array(made.places, np.uint32)
    narrow, wide = (np.full((piece.cells + 9, words), 5, np.uint64) for words in (2, 4))
    sender, offer = vole.sender_cells(piece, DELTA, blocks(made.q), blocks(made.roots), narrow)
    receiver = vole.receiver_cells(piece, blocks(made.t), places, blocks(made.noise), offer, wide)
    assert np.shares_memory(sender, narrow)
    assert np.shares_memory(receiver, wide)
    a, b, c = (np.empty((300, 16), np.uint8) for _ in range(3))
    vole.sender_share(piece, sender, b)
    vole.receiver_share(piece, receiver, a, c)
    assert all(np.array_equal(x, y) for x, y in zip((a, b, c), want[1:], strict=True))
    with pytest.raises(ValueError, match="scratch"):
        vole.sender_cells(piece, DELTA, blocks(made.q), blocks(made.roots), narrow[: piece.cells - 1])
    with pytest.raises(ValueError, match="scratch"):
        vole.receiver_cells(piece, blocks(made.t), places, blocks(made.noise), offer, narrow)
