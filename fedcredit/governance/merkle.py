"""The Merkle tree of an audit log: RFC 9162, SHA-256.

A tree is known by its size and root. An inclusion proof shows that an entry is in it, a consistency proof that a later
tree only added to it; both are lists of node hashes, ordered as in the RFC. Functions are pure. Verification raises
`ProofInvalid` and returns nothing, so that a forgotten test of a result cannot accept a forgery.

Source: RFC 9162, sections 2.1.1 to 2.1.5; proofs about subtrees (a batch of entries without those around it):
draft-ietf-plants-merkle-tree-certs, section 4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fedcredit.errors import DataError, Problem

__all__ = [
    "EMPTY_ROOT",
    "HASH_BYTES",
    "Levels",
    "ProofInvalid",
    "Tree",
    "consistency_path",
    "consistency_proof",
    "inclusion_path",
    "inclusion_proof",
    "leaf_hash",
    "levels_of",
    "node_hash",
    "tree_of",
    "verify_consistency",
    "verify_inclusion",
    "verify_subtree_consistency",
    "verify_subtree_inclusion",
]

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

Levels: TypeAlias = Sequence[Sequence[bytes]]
"""A tree level by level, from the leaves to the root."""


class ProofInvalid(DataError):
    """A proof does not show what it claims: the log or the proof was tampered with."""

    default_code = "AUDIT_PROOF"

    def __init__(self, what: str) -> None:
        super().__init__(Problem(self.default_code, "Merkle proof", what))


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry as a leaf. Its prefix differs from a node's, so neither can pass for the other."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node over its two children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Tree:
    """What appending needs of a tree: its size, and the roots of its complete subtrees, largest first.

    One subtree per set bit of `size`, so a log of n entries is continued from log2(n) hashes.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def append(self, *leaves: bytes) -> Tree:
        """The tree with more leaf hashes, in order."""
        peaks, size = [*self.peaks], self.size
        for leaf in leaves:
            peaks.append(leaf)
            # Appending is binary addition of one: every trailing set bit merges two subtrees of the same size.
            carry = size
            while carry & 1:
                right, left = peaks.pop(), peaks.pop()
                peaks.append(node_hash(left, right))
                carry >>= 1
            size += 1
        return Tree(size, tuple(peaks))

    @property
    def root(self) -> bytes:
        """The root hash over all leaves."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for left in reversed(self.peaks[:-1]):
            root = node_hash(left, root)
        return root


def tree_of(leaves: Iterable[bytes]) -> Tree:
    """The tree over leaf hashes, in order."""
    return Tree().append(*leaves)


def inclusion_proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The proof that leaf `index` is in the tree over all of `leaves`. Raises ProofInvalid if there is no such leaf."""
    return inclusion_path(levels_of(leaves), index)


def consistency_proof(leaves: Sequence[bytes], first_size: int) -> tuple[bytes, ...]:
    """The proof that the tree over `leaves` extends the one over its first `first_size`.

    Raises: ProofInvalid unless 0 < first_size <= len(leaves): nothing is consistent with an empty tree.
    """
    return consistency_path(levels_of(leaves), first_size)


def inclusion_path(levels: Levels, index: int) -> tuple[bytes, ...]:
    """As `inclusion_proof`, from the levels of the tree."""
    size = len(levels[0])
    if not 0 <= index < size:
        raise ProofInvalid(f"no leaf {index} in a tree of {size}")
    proof = []
    for level in levels:
        if index ^ 1 < len(level):
            proof.append(level[index ^ 1])
        index >>= 1
    return tuple(proof)


def consistency_path(levels: Levels, first_size: int) -> tuple[bytes, ...]:
    """As `consistency_proof`, from the levels of the tree."""
    size = len(levels[0])
    if not 0 < first_size <= size:
        raise ProofInvalid(f"no consistency between trees of {first_size} and {size}")
    if first_size == size:
        return ()
    node, last, height = first_size - 1, size - 1, 0
    while node & 1:  # climb to the largest complete subtree that ends the first tree
        node, last, height = node >> 1, last >> 1, height + 1
    proof = [levels[height][node]] if node else []  # a first tree that is one complete subtree is known by its root
    while last:
        if node & 1:
            proof.append(levels[height][node - 1])
        elif node < last:
            proof.append(levels[height][node + 1])
        node, last, height = node >> 1, last >> 1, height + 1
    return tuple(proof)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf hash stands at `index` in the tree of `size` and `root`. Raises ProofInvalid."""
    if not 0 <= index < size:
        raise ProofInvalid(f"leaf {index} cannot be in a tree of {size}")
    _check_lengths(leaf, root, *proof)
    node, last, value = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofInvalid("longer than the tree is high")
        if node & 1 or node == last:
            value = node_hash(sibling, value)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofInvalid("shorter than the tree is high")
    if value != root:
        raise ProofInvalid("leads to another root")


def verify_consistency(
    first_size: int, first_root: bytes, second_size: int, second_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the second tree begins with the first one's leaves. Raises ProofInvalid."""
    if not 0 < first_size <= second_size:
        raise ProofInvalid(f"no consistency between trees of {first_size} and {second_size}")
    if first_size == second_size:
        if proof:
            raise ProofInvalid("trees of one size need no proof")
        if first_root != second_root:
            raise ProofInvalid("trees of one size have different roots")
        return
    _check_lengths(first_root, second_root, *proof)
    if not proof:
        raise ProofInvalid("empty")
    # A first tree that is complete is its own first proof node (RFC 9162, 2.1.4.2, step 2).
    nodes = list(proof) if first_size & (first_size - 1) else [first_root, *proof]
    node, last = first_size - 1, second_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    first = second = nodes[0]
    for sibling in nodes[1:]:
        if last == 0:
            raise ProofInvalid("longer than the tree is high")
        if node & 1 or node == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofInvalid("shorter than the tree is high")
    if first != first_root:
        raise ProofInvalid("does not contain the first tree")
    if second != second_root:
        raise ProofInvalid("leads to another root")


def verify_subtree_inclusion(
    leaf: bytes, index: int, start: int, end: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that the leaf hash stands at `index` of a log of whose entries `start ... end` the subtree has `root`.

    Raises: ProofInvalid.
    """
    _check_subtree(start, end)
    verify_inclusion(leaf, index - start, end - start, proof, root)


def verify_subtree_consistency(
    start: int, end: int, subtree_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the subtree over entries `start ... end` is one of the tree of `size` and `root`.

    Of a subtree without entries nothing is shown but that its root is the empty one. Raises: ProofInvalid.
    """
    _check_subtree(start, end)
    if end > size:
        raise ProofInvalid(f"no entries up to {end} in a tree of {size}")
    if start == end or (start, end) == (0, size):
        if proof:
            raise ProofInvalid("an empty subtree and the whole tree need no proof")
        if subtree_root != (EMPTY_ROOT if start == end else root):
            raise ProofInvalid("leads to another root")
        return
    _check_lengths(subtree_root, root, *proof)
    low, node, last = start, end - 1, size - 1
    # Climb to the largest complete subtree that ends the entries, or to their only one.
    while low != node and (node == last or node & 1):
        low, node, last = low >> 1, node >> 1, last >> 1
    nodes = [subtree_root, *proof] if low == node else list(proof)
    if not nodes:
        raise ProofInvalid("empty")
    first = second = nodes[0]
    for sibling in nodes[1:]:
        if last == 0:
            raise ProofInvalid("longer than the tree is high")
        if node & 1 or node == last:
            if low < node:
                first = node_hash(sibling, first)
            second = node_hash(sibling, second)
            while node and not node & 1:
                low, node, last = low >> 1, node >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        low, node, last = low >> 1, node >> 1, last >> 1
    if last:
        raise ProofInvalid("shorter than the tree is high")
    if first != subtree_root:
        raise ProofInvalid("does not contain the subtree")
    if second != root:
        raise ProofInvalid("leads to another root")


def _check_subtree(start: int, end: int) -> None:
    width = end - start
    # Its first entry is a multiple of the power of two that it fits in, so that it is a subtree of every larger tree.
    if not 0 <= start <= end or (width and start % (1 << (width - 1).bit_length())):
        raise ProofInvalid(f"entries {start} to {end} are no subtree")


def levels_of(leaves: Sequence[bytes]) -> Levels:
    """The tree level by level, from the leaves up.

    A last node without a sibling rises unchanged; that is the RFC's split at the largest power of two.
    """
    levels = [leaves]
    while len(levels[-1]) > 1:
        below = levels[-1]
        above = [node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)]
        levels.append([*above, below[-1]] if len(below) & 1 else above)
    return levels


def _check_lengths(*hashes: bytes) -> None:
    # Published vectors hold proofs that a verifier accepts if it hashes values of any length.
    if any(len(value) != HASH_BYTES for value in hashes):
        raise ProofInvalid(f"a hash is not {HASH_BYTES} bytes")
