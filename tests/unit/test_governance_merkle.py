"""The Merkle tree against the RFC's own recursion, published vectors and forgeries."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.governance.merkle import (
    EMPTY_ROOT,
    ProofInvalid,
    Tree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    tree_of,
    verify_consistency,
    verify_inclusion,
    verify_subtree_consistency,
    verify_subtree_inclusion,
)

VECTORS = Path(__file__).resolve().parents[2] / ".." / "shared" / "vectors" / "merkle"

sizes = st.integers(1, 130)


def leaves_of(size: int) -> list[bytes]:
    return [leaf_hash(f"entry {i}".encode()) for i in range(size)]


# The recursion of RFC 9162 word for word: slow, obvious, and the oracle of everything below.


def split_point(n: int) -> int:
    """The largest power of two smaller than n."""
    return 1 << (n - 1).bit_length() - 1


def mth(d: list[bytes]) -> bytes:
    """2.1.1, over leaf hashes."""
    if not d:
        return hashlib.sha256(b"").digest()
    if len(d) == 1:
        return d[0]
    k = split_point(len(d))
    return hashlib.sha256(b"\x01" + mth(d[:k]) + mth(d[k:])).digest()


def path(m: int, d: list[bytes]) -> list[bytes]:
    """2.1.3.1."""
    if len(d) == 1:
        return []
    k = split_point(len(d))
    return [*path(m, d[:k]), mth(d[k:])] if m < k else [*path(m - k, d[k:]), mth(d[:k])]


def subproof(m: int, d: list[bytes], complete: bool) -> list[bytes]:
    """2.1.4.1."""
    if m == len(d):
        return [] if complete else [mth(d)]
    k = split_point(len(d))
    if m <= k:
        return [*subproof(m, d[:k], complete), mth(d[k:])]
    return [*subproof(m - k, d[k:], False), mth(d[:k])]


@pytest.mark.parametrize("size", [*range(1, 40), 63, 64, 65, 100])
def test_roots_and_all_proofs_are_those_of_the_rfc(size: int) -> None:
    leaves = leaves_of(size)
    root = tree_of(leaves).root
    assert root == mth(leaves)
    for index in range(size):
        proof = inclusion_proof(leaves, index)
        assert list(proof) == path(index, leaves)
        verify_inclusion(leaves[index], index, size, proof, root)
    for first in range(1, size + 1):
        proof = consistency_proof(leaves, first)
        assert list(proof) == subproof(first, leaves, True)
        verify_consistency(first, mth(leaves[:first]), size, root, proof)


def test_the_empty_tree_has_the_root_of_nothing() -> None:
    assert Tree().root == EMPTY_ROOT == mth([])


def test_leaf_and_node_prefixes_keep_them_apart() -> None:
    left, right = leaves_of(2)
    assert leaf_hash(left + right) != node_hash(left, right)
    assert leaf_hash(b"x") == hashlib.sha256(b"\x00x").digest()


@given(size=sizes, data=st.data())
def test_a_flipped_bit_anywhere_is_refused(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    index = data.draw(st.integers(0, size - 1))
    values = [leaves[index], tree_of(leaves).root, *inclusion_proof(leaves, index)]
    values = flipped(values, data)
    with pytest.raises(ProofInvalid):
        verify_inclusion(values[0], index, size, values[2:], values[1])

    first = data.draw(st.integers(1, size))
    values = [tree_of(leaves[:first]).root, tree_of(leaves).root, *consistency_proof(leaves, first)]
    values = flipped(values, data)
    with pytest.raises(ProofInvalid):
        verify_consistency(first, values[0], size, values[1], values[2:])


@given(size=sizes, data=st.data())
def test_proofs_of_another_length_or_place_are_refused(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    root, index = tree_of(leaves).root, data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(leaves, index)
    other = data.draw(st.integers(-2, size + 2).filter(lambda i: i != index))
    with pytest.raises(ProofInvalid):
        verify_inclusion(leaves[index], other, size, proof, root)
    with pytest.raises(ProofInvalid):
        verify_inclusion(leaves[index], index, size, [*proof, root], root)
    if proof:
        with pytest.raises(ProofInvalid):
            verify_inclusion(leaves[index], index, size, proof[:-1], root)

    first = data.draw(st.integers(1, size))
    added = consistency_proof(leaves, first)
    with pytest.raises(ProofInvalid):
        verify_consistency(first, tree_of(leaves[:first]).root, size, root, [*added, root])
    if added:
        with pytest.raises(ProofInvalid):
            verify_consistency(first, tree_of(leaves[:first]).root, size, root, added[:-1])


def test_a_log_that_rewrote_an_entry_cannot_prove_consistency() -> None:
    leaves = leaves_of(20)
    forged = [*leaves]
    forged[3] = leaf_hash(b"another")
    with pytest.raises(ProofInvalid):
        verify_consistency(10, tree_of(leaves[:10]).root, 20, tree_of(forged).root, consistency_proof(forged, 10))


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 5), (6, 5), (-1, 5)])
def test_sizes_are_checked_before_anything_is_hashed(first: int, second: int) -> None:
    with pytest.raises(ProofInvalid, match="no consistency between"):
        verify_consistency(first, EMPTY_ROOT, second, EMPTY_ROOT, [])
    with pytest.raises(ProofInvalid):
        consistency_proof(leaves_of(5), first)


def test_there_is_no_proof_of_a_leaf_that_is_not_there() -> None:
    for index in (-1, 3):
        with pytest.raises(ProofInvalid):
            inclusion_proof(leaves_of(3), index)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("kind", "number"), [("inclusion", 98), ("consistency", 98), ("subtreeinclusion", 204), ("subtreeconsistency", 118)]
)
def test_published_vectors(kind: str, number: int) -> None:
    """transparency-dev/merkle; some pass a verifier that does not check lengths and sizes first."""
    seen = 0
    for name, case in vectors(kind):
        try:
            verify_case(kind, case)
        except ProofInvalid:
            assert case["wantErr"], f"{name} must be accepted"
        else:
            assert not case["wantErr"], f"{name} must be refused"
        seen += 1
    assert seen == number


def vectors(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if not VECTORS.is_dir():
        pytest.skip("the published Merkle vectors do not lie beside the checkout")
    for file in sorted((VECTORS / kind).rglob("*.json")):
        yield file.relative_to(VECTORS).as_posix(), json.loads(file.read_text())


def verify_case(kind: str, case: dict[str, Any]) -> None:
    proof = [base64.b64decode(node) for node in case["proof"] or []]
    if kind == "inclusion":
        leaf, root = base64.b64decode(case["leafHash"] or ""), base64.b64decode(case["root"] or "")
        verify_inclusion(leaf, case["leafIdx"], case["treeSize"], proof, root)
    elif kind == "subtreeinclusion":
        leaf, root = base64.b64decode(case["leafHash"] or ""), base64.b64decode(case["root"] or "")
        verify_subtree_inclusion(leaf, case["leafIdx"], case["start"], case["end"], proof, root)
    elif kind == "subtreeconsistency":
        roots = [base64.b64decode(case[name] or "") for name in ("root1", "root2")]
        verify_subtree_consistency(case["start"], case["end"], roots[0], case["size"], roots[1], proof)
    else:
        roots = [base64.b64decode(case[name] or "") for name in ("root1", "root2")]
        verify_consistency(case["size1"], roots[0], case["size2"], roots[1], proof)


def flipped(values: list[bytes], data: st.DataObject) -> list[bytes]:
    """`values` with one bit of one of them flipped."""
    which = data.draw(st.integers(0, len(values) - 1))
    bit = data.draw(st.integers(0, 255))
    changed = bytearray(values[which])
    changed[bit // 8] ^= 1 << bit % 8
    return [*values[:which], bytes(changed), *values[which + 1 :]]
