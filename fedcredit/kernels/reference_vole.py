"""The slow twin of `kernels.gf128` and `kernels.vole`: Python integers, one element at a time, from the definitions.

Oracle in tests; nothing else imports it. Elements and blocks are integers below 2^128. Source: as `kernels.vole`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import xor

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fedcredit.kernels import digest

__all__ = ["Trees", "compose", "compress", "multiply"]

POLYNOMIAL = 1 << 128 | 0x87
WEIGHT, STATE = 7, 24
RUN = 1024


def multiply(a: int, b: int) -> int:
    """The product of two elements of GF(2^128)."""
    product = 0
    for i in range(128):
        if b >> i & 1:
            product ^= a << i
    for i in range(254, 127, -1):
        if product >> i & 1:
            product ^= POLYNOMIAL << (i - 128)
    return product


def compose(blocks: Sequence[int]) -> int:
    """The sum of `blocks[i] X^i`."""
    return reduce(xor, (multiply(block, 1 << i) for i, block in enumerate(blocks)), 0)


@dataclass(frozen=True, slots=True)
class Trees:
    """The trees of one piece: how both sides grow them. `key` is the piece's."""

    key: bytes
    trees: int
    leaves: int

    @property
    def depth(self) -> int:
        """Levels below the root."""
        return (self.leaves - 1).bit_length()

    def plant(
        self, delta: int, q: Sequence[int], roots: Sequence[int]
    ) -> tuple[list[int], list[list[tuple[int, int]]], list[int]]:
        """The sender's leaves, tree after tree, the two blocks to send for each level of each tree, and the totals."""
        cells: list[int] = []
        offered, totals = [], []
        for tree, root in enumerate(roots):
            nodes, of_tree = [root], []
            for level in range(self.depth):
                nodes = [child for node in nodes for child in self._children(tree, node)][: self._width(level)]
                number = tree * self.depth + level
                block = q[128 * self.trees + number]
                left = _sum(nodes[::2]) ^ self.pad(number, block)
                right = _sum(nodes[1::2]) ^ self.pad(number, block ^ delta)
                of_tree.append((left, right))
            cells += nodes
            offered.append(of_tree)
            totals.append(_sum(nodes) ^ compose(q[128 * tree : 128 * tree + 128]))
        return cells, offered, totals

    def regrow(
        self,
        t: Sequence[int],
        places: Sequence[int],
        noise: Sequence[int],
        offered: Sequence[Sequence[tuple[int, int]]],
        totals: Sequence[int],
    ) -> tuple[list[int], list[int]]:
        """The receiver's cells of c' and of its sparse vector."""
        cells: list[int] = []
        sparse: list[int] = []
        for tree, place in enumerate(places):
            nodes: list[int | None] = [None]
            for level in range(self.depth):
                pairs = [(None, None) if node is None else self._children(tree, node) for node in nodes]
                nodes = [child for pair in pairs for child in pair][: self._width(level)]
                sibling = place >> (self.depth - 1 - level) ^ 1
                number = tree * self.depth + level
                opened = offered[tree][level][sibling & 1] ^ self.pad(number, t[128 * self.trees + number])
                if sibling < len(nodes):
                    nodes[sibling] = opened ^ _sum([node for node in nodes[sibling & 1 :: 2] if node is not None])
            known = [0 if node is None else node for node in nodes]
            known[place] = totals[tree] ^ compose(t[128 * tree : 128 * tree + 128]) ^ _sum(known)
            cells += known
            sparse += [noise[tree] if i == place else 0 for i in range(self.leaves)]
        return cells, sparse

    def pad(self, number: int, block: int) -> int:
        """H(block) of transfer `number`."""
        return int.from_bytes(
            self.derive(b"P", number.to_bytes(8, "little") + block.to_bytes(16, "little"))[:16], "little"
        )

    def derive(self, use: bytes, rest: bytes) -> bytes:
        """32 bytes for one use of the piece's key."""
        row = np.frombuffer(use + rest, np.uint8)[None, :]
        return digest.keyed(self.key, row, 32).tobytes()

    def _children(self, tree: int, node: int) -> tuple[int, int]:
        keys = self.derive(b"T", tree.to_bytes(8, "little"))
        return _aes(keys[:16], node) ^ node, _aes(keys[16:], node) ^ node

    def _width(self, level: int) -> int:
        return -(-self.leaves // (1 << (self.depth - 1 - level)))


def compress(trees: Trees, cells: Sequence[int], count: int) -> list[int]:
    """`count` outputs of the expand-convolute code of the piece."""
    taps_seed, places_seed = trees.derive(b"C", b"")[:16], trees.derive(b"E", b"")[:16]
    z: list[int] = []
    for i, cell in enumerate(cells):
        taps = _aes(taps_seed, i // 4) >> (32 * (i % 4))
        value = cell ^ (z[i - STATE] if i >= STATE else 0)
        for j in range(1, STATE):
            if i >= j and taps >> (j - 1) & 1:
                value ^= z[i - j]
        z.append(value)
    blocks = -(-count // RUN) * RUN // 4
    bounds = [j * len(cells) // WEIGHT for j in range(WEIGHT + 1)]
    out = [0] * count
    for j in range(WEIGHT):
        for i in range(count):
            random = _aes(places_seed, j * blocks + i // 4) >> (32 * (i % 4)) & 0xFFFFFFFF
            out[i] ^= z[bounds[j] + (random * (bounds[j + 1] - bounds[j]) >> 32)]
    return out


def _sum(blocks: Sequence[int]) -> int:
    return reduce(xor, blocks, 0)


def _aes(key: bytes, block: int) -> int:
    # One block: ECB is AES itself here, not a mode of encryption.
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
    return int.from_bytes(encryptor.update(block.to_bytes(16, "little")), "little")
