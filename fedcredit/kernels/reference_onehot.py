"""The slow twin of the one-hot kernels: Python integers, one tree at a time, straight from the definitions.

Oracle in tests; nothing else imports it. Blocks are 128-bit integers. Source: as `kernels.onehot`.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

__all__ = ["asker_vector", "crh", "holder_vector", "level_sums", "transfer", "tree_levels"]

MASK64 = (1 << 64) - 1


def crh(key: bytes, x: int, feature: int, row: int) -> int:
    """H(x, tree) = AES_k(sigma(x) xor tree) xor sigma(x), sigma(l || r) = (l xor r) || l, k = AES_key(feature)."""
    upper, lower = x >> 64, x & MASK64
    sigma = ((upper ^ lower) << 64) | upper
    of_feature = _aes(key, feature).to_bytes(16, "little")
    return _aes(of_feature, sigma ^ (feature << 64 | row)) ^ sigma


def tree_levels(key: bytes, delta: int, root: int, depth: int, feature: int, row: int) -> list[list[int]]:
    """All levels of the asker's tree, from level 1 (two nodes) to the leaves."""
    levels = [[root, root ^ delta]]
    while len(levels) < depth:
        children: list[int] = []
        for x in levels[-1]:
            h = crh(key, x, feature, row)
            children += [h, x ^ h]
        levels.append(children)
    return levels


def level_sums(key: bytes, delta: int, q: Sequence[int], feature: int, row: int) -> list[int]:
    """The blocks the asker sends for one tree: m_l = q_l xor (xor of the even nodes of level l), l = 2 .. depth."""
    levels = tree_levels(key, delta, q[0], len(q), feature, row)
    return [q_l ^ _xor(nodes[::2]) for q_l, nodes in zip(q[1:], levels[1:], strict=True)]


def asker_vector(
    key: bytes, mask_keys: bytes, delta: int, root: int, groups: int, n_values: int, feature: int, row: int
) -> list[list[int]]:
    """The asker's masks of one tree: for each value, one word a leaf; leaves beyond the groups belong to no cell."""
    leaves = tree_levels(key, delta, root, (groups - 1).bit_length(), feature, row)[-1]
    return _masks(mask_keys, leaves, n_values, feature, row)


def holder_vector(
    key: bytes,
    mask_keys: bytes,
    keys: Sequence[int],
    group: int,
    corrections: Sequence[int],
    feature: int,
    row: int,
) -> list[list[int]]:
    """The holder's vectors of one tree: masks off its group, and there the correction less all of them."""
    depth = len(keys)
    nodes: list[int | None] = [None]
    for level, opened in enumerate(keys):
        children: list[int | None] = []
        for x in nodes:
            h = None if x is None else crh(key, x, feature, row)
            children += [None, None] if x is None or h is None else [h, x ^ h]
        sibling = (group >> (depth - 1 - level)) ^ 1
        children[sibling] = opened ^ _xor([c for c in children[sibling & 1 :: 2] if c is not None])
        nodes = children
    off_path = [0 if x is None else x for x in nodes]
    vectors = _masks(mask_keys, off_path, len(corrections), feature, row)
    for vector, correction in zip(vectors, corrections, strict=True):
        vector[group] = (correction - sum(a for j, a in enumerate(vector) if j != group)) & MASK64
    return vectors


def transfer(seeds: Sequence[Sequence[bytes]], number: int, choice: int) -> tuple[int, list[int]]:
    """The receiver's block of transfer `number`, and its corrections, one bit a nibble."""
    block, corrections = 0, []
    for j, of_nibble in enumerate(seeds):
        bits = [(_aes(seed, number // 128) >> (number % 128)) & 1 for seed in of_nibble]
        for b in range(4):
            block |= (sum(bit for x, bit in enumerate(bits) if x >> b & 1) & 1) << (4 * j + b)
        corrections.append((sum(bits) & 1) ^ choice)
    return block, corrections


def _masks(mask_keys: bytes, leaves: Sequence[int], n_values: int, feature: int, row: int) -> list[list[int]]:
    vectors = []
    for value in range(n_values):
        key = mask_keys[16 * (value // 2) : 16 * (value // 2) + 16]
        words = [crh(key, leaf, feature, row) for leaf in leaves]
        vectors.append([(w >> 64 * (value % 2)) & MASK64 for w in words])
    return vectors


def _aes(key: bytes, block: int) -> int:
    # One block: ECB is AES itself here, not a mode of encryption.
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
    return int.from_bytes(encryptor.update(block.to_bytes(16, "little")), "little")


def _xor(blocks: Sequence[int]) -> int:
    total = 0
    for block in blocks:
        total ^= block
    return total
