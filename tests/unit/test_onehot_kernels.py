"""The one-hot kernels against their slow twins, and against inputs that they must refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedcredit.kernels import onehot
from fedcredit.kernels import reference_onehot as slow
from fedcredit.kernels.onehot import Assignment, Forest, Round

DELTA = 0x9D2C_5680_1234_5678_9ABC_DEF0_0FED_CBA9
EXPAND, MASKS = b"expand-key-16byt", b"mask-key-nr-one!mask-key-nr-two!"


def blocks(rng: Any, *shape: int) -> Any:
    return rng.integers(0, 2**64, (*shape, 2), dtype=np.uint64)


def whole(pair: Any) -> int:
    return int(pair[0]) | int(pair[1]) << 64


@pytest.mark.parametrize("groups", [2, 3, 5, 8, 17, 33])
@pytest.mark.parametrize("n_values", [1, 2, 3])
def test_sums_are_those_of_the_slow_twin(groups: int, n_values: int) -> None:
    rng = np.random.default_rng(groups)
    n, features = 37, (groups, 4)
    forest = Forest(n, features, EXPAND)
    round_ = Round((1, 0), n_values, MASKS[: 16 * ((n_values + 1) // 2)])
    depth = forest.depths
    q = [blocks(rng, n, d) for d in depth]
    codes = np.stack([rng.integers(0, b, n, dtype=np.uint8) for b in features])
    roots = np.stack([of[:, 0] for of in q])
    at = Assignment(np.array([3, 36, 0, 7], np.uint32), np.array([1, 0, 1, 1], np.uint32), 2)
    values = rng.integers(0, 2**64, (4, n_values), dtype=np.uint64)
    mine, sent = onehot.asker_sums(forest, DELTA, roots, round_, at, values)
    keys = []
    wanted_mine = np.zeros((2, n_values, groups + 4), np.uint64)
    for f, of in enumerate(q):
        m = onehot.level_sums(forest, DELTA, f, 0, of)
        for i in range(n):
            row = [whole(x) for x in of[i]]
            assert [whole(x) for x in m[i]] == slow.level_sums(EXPAND, DELTA, row, f, i)
            bits = [codes[f, i] >> (depth[f] - 1 - level) & 1 for level in range(depth[f])]
            t = [x ^ (0 if bit else DELTA) for x, bit in zip(row, bits, strict=True)]
            keys.append([t[0], *(whole(a) ^ b for a, b in zip(m[i], t[1:], strict=True))])
    flat = np.array([[k & slow.MASK64, k >> 64] for row in keys for k in row], np.uint64)
    theirs = onehot.holder_sums(forest, flat, codes, round_, at, sent, by_position=True)
    wanted_theirs = np.zeros_like(wanted_mine)
    for slot, f in enumerate(round_.features):
        start = 0 if slot == 0 else features[round_.features[0]]
        for pos, (i, node) in enumerate(zip(at.rows, at.nodes, strict=True)):
            masks = slow.asker_vector(EXPAND, MASKS, DELTA, whole(roots[f, i]), features[f], n_values, f, int(i))
            words = [(int(values[pos, v]) + sum(masks[v])) & slow.MASK64 for v in range(n_values)]
            assert words == [int(w) for w in sent[slot, pos]]
            other = slow.holder_vector(EXPAND, MASKS, keys[f * n + int(i)], int(codes[f, i]), words, f, int(i))
            cells = slice(start, start + features[f])
            wanted_mine[node, :, cells] += np.array(masks, np.uint64)[:, : features[f]]
            wanted_theirs[node, :, cells] += np.array(other, np.uint64)[:, : features[f]]
    assert np.array_equal(mine, wanted_mine)
    assert np.array_equal(theirs, wanted_theirs)


def test_transfers_are_those_of_the_slow_twin() -> None:
    rng = np.random.default_rng(1)
    seeds = rng.integers(0, 256, (32, 16, 16), dtype=np.uint8)
    choices = rng.integers(0, 2**64, (2, 2), dtype=np.uint64)
    t, corrections = onehot.transfer_receive(seeds, 5, choices)
    raw = [[bytes(seed) for seed in of] for of in seeds]
    for i in (0, 1, 63, 64, 127, 128, 255):
        choice = whole(choices[i // 128]) >> (i % 128) & 1
        block, bits = slow.transfer(raw, 5 * 128 + i, choice)
        assert whole(t[i]) == block
        assert [whole(corrections[j, i // 128]) >> (i % 128) & 1 for j in range(32)] == bits


@pytest.mark.parametrize(("n", "depth"), [(1, 1), (130, 1), (7, 5), (300, 8)])
def test_choice_bits_are_the_inverse_bits_of_the_group(n: int, depth: int) -> None:
    codes = np.random.default_rng(n).integers(0, 1 << depth, n, dtype=np.uint8)
    words = onehot.choice_words(codes, depth)
    assert words.shape == (-(-n * depth // 128), 2)
    bits = np.unpackbits(words.view(np.uint8).reshape(-1), bitorder="little")[: n * depth].reshape(n, depth)
    assert all(int("".join(map(str, 1 - row)), 2) == code for row, code in zip(bits, codes, strict=True))


def test_sums_in_the_clear_wrap_modulo_two_to_the_64() -> None:
    codes = np.array([[0, 1, 1, 0]], np.uint8)
    values = np.array([[2**63], [2**63], [2**63], [2**63]], np.uint64)
    at = Assignment(np.arange(4, dtype=np.uint32), np.zeros(4, np.uint32), 1)
    assert onehot.bin_sums(codes, (2,), (0,), at, values).tolist() == [[[0, 0]]]


GOOD: dict[str, Any] = {
    "roots": np.zeros((1, 4, 2), np.uint64),
    "values": np.zeros((2, 1), np.uint64),
    "rows": np.array([0, 3], np.uint32),
    "nodes": np.array([0, 0], np.uint32),
}
BAD = {
    "roots of other rows": {"roots": np.zeros((1, 3, 2), np.uint64)},
    "values of other rows": {"values": np.zeros((3, 1), np.uint64)},
    "signed values": {"values": np.zeros((2, 1), np.int64)},
    "a row that is not there": {"rows": np.array([0, 4], np.uint32)},
    "a node that is not there": {"nodes": np.array([0, 1], np.uint32)},
    "fewer nodes than rows": {"nodes": np.array([0], np.uint32)},
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_shapes_and_ranges_are_refused(case: str) -> None:
    given = GOOD | BAD[case]
    at = Assignment(given["rows"], given["nodes"], 1)
    with pytest.raises(ValueError, match=r".+"):
        onehot.asker_sums(Forest(4, (3,), EXPAND), 1, given["roots"], Round((0,), 1, MASKS[:16]), at, given["values"])


@pytest.mark.parametrize(("rows", "groups", "key"), [(0, (2,), 16), (1, (1,), 16), (1, (257,), 16), (1, (2,), 15)])
def test_impossible_forests_are_refused(rows: int, groups: tuple[int, ...], key: int) -> None:
    with pytest.raises(ValueError, match="Forest"):
        Forest(rows, groups, bytes(key))
