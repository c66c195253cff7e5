"""The group kernels and their slow twin against the published vectors, and against each other."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.kernels import group
from fedcredit.kernels import reference_group as reference

U8 = npt.NDArray[np.uint8]
ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "vectors"
RFC9496: dict[str, Any] = json.loads((ROOT / "tests" / "vectors" / "rfc9496.json").read_text())


def shared(path: str) -> Any:
    file = SHARED / path
    if not file.exists():
        pytest.skip(f"{path} is not beside the checkout")
    return json.loads(file.read_text())


def rows(*encodings: str | bytes) -> U8:
    raw = [bytes.fromhex(e) if isinstance(e, str) else e for e in encodings]
    return np.frombuffer(b"".join(raw), np.uint8).reshape(len(raw), -1)


def little(value: int) -> bytes:
    return value.to_bytes(32, "little")


class TestRfc9496:
    def test_multiples_of_the_generator(self) -> None:
        encodings = RFC9496["multiples_of_generator"]
        scalars = rows(*(little(i) for i in range(1, 16)))
        assert (group.multiply_base(scalars) == rows(*encodings[1:])).all()
        point = reference.IDENTITY
        for encoding in encodings:
            assert reference.encode(point).hex() == encoding
            assert reference.decode(bytes.fromhex(encoding)) == point
            point += reference.generator()

    @pytest.mark.parametrize("bad", RFC9496["bad_encodings"], ids=lambda bad: bad["encoding"][:8])
    def test_bad_encodings_are_refused(self, bad: dict[str, str]) -> None:
        good = bytes.fromhex(RFC9496["multiples_of_generator"][1])
        for call in (group.check_points, lambda p: group.multiply(p, little(2)), lambda p: group.add(p, p)):
            with pytest.raises(group.BadPoint, match="element 1 "):
                call(rows(good, bad["encoding"]))
        with pytest.raises(ValueError):
            reference.decode(bytes.fromhex(bad["encoding"]))

    def test_the_identity_is_refused(self) -> None:
        with pytest.raises(group.BadPoint, match="element 0 "):
            group.check_points(np.zeros((1, 32), np.uint8))
        one = rows(RFC9496["multiples_of_generator"][1])
        with pytest.raises(group.BadPoint):
            group.subtract(one, one)

    @pytest.mark.parametrize("case", RFC9496["from_uniform"], ids=lambda case: case["element"][:8])
    def test_from_uniform(self, case: dict[str, str]) -> None:
        uniform = hashlib.sha512(case["sha512_of"].encode()).digest()
        assert reference.encode(reference.from_uniform_bytes(uniform)).hex() == case["element"]


@pytest.mark.shared
class TestRfc9380:
    def test_expand_message_xmd_sha512(self) -> None:
        suite = shared("rfc9380/expand_message_xmd_SHA512_38.json")
        assert len(suite["tests"]) == 10
        for case in suite["tests"]:
            message, dst, length = case["msg"].encode(), suite["DST"].encode(), int(case["len_in_bytes"], 16)
            assert group.expand_message_xmd(message, dst, length).hex() == case["uniform_bytes"]
            assert reference.expand_message_xmd(message, dst, length).hex() == case["uniform_bytes"]


@pytest.mark.shared
class TestRfc9497:
    def suite(self) -> Any:
        suites = shared("rfc9497/allVectors.json")
        return next(s for s in suites if s["identifier"] == "ristretto255-SHA512" and s["mode"] == 0)

    def test_the_domain_separation_tag(self) -> None:
        assert bytes.fromhex(self.suite()["groupDST"]) == group.OPRF_DST

    def test_oprf_mode(self) -> None:
        suite = self.suite()
        key = bytes.fromhex(suite["skSm"])
        for case in suite["vectors"]:
            item, blind = rows(case["Input"]), bytes.fromhex(case["Blind"])
            blinded = group.oprf_blind(item, blind)
            assert blinded.tobytes().hex() == case["BlindedElement"]
            assert (group.oprf_blind_each(item, rows(blind)) == blinded).all()
            evaluated = group.multiply(blinded, key)
            assert evaluated.tobytes().hex() == case["EvaluationElement"]
            assert group.oprf_finalize(item, evaluated, blind).tobytes().hex() == case["Output"]
            assert group.oprf_finalize_each(item, evaluated, rows(blind)).tobytes().hex() == case["Output"]
            assert group.oprf_evaluate(item, key).tobytes().hex() == case["Output"]
            point = reference.decode(evaluated.tobytes())
            slow = reference.oprf_finalize(item.tobytes(), int.from_bytes(blind, "little"), point)
            assert slow.hex() == case["Output"]


class TestTwin:
    """The kernels equal the slow twin on items of many lengths."""

    source = insecure_seeded(7)
    items = source.array(10, 200)
    # SHA-512 takes another block for the blinded item from 68 bytes on, for the finalized one too.
    lengths = np.array([0, 1, 16, 33, 66, 67, 68, 69, 70, 200], np.uint32)
    key = source.scalar()

    def messages(self) -> list[bytes]:
        return [row[:n].tobytes() for row, n in zip(self.items, self.lengths, strict=True)]

    def test_hash_to_group(self) -> None:
        for dst in (group.OPRF_DST, b"short", b"d" * 300):
            points = group.hash_to_group(self.items, lengths=self.lengths, dst=dst)
            slow = [reference.encode(reference.hash_to_group(m, dst)) for m in self.messages()]
            assert [p.tobytes() for p in points] == slow

    def test_oprf_evaluate(self) -> None:
        values = group.oprf_evaluate(self.items, self.key, lengths=self.lengths, width=40)
        key = int.from_bytes(self.key, "little")
        slow = [reference.oprf_evaluate(m, key, group.OPRF_DST)[:40] for m in self.messages()]
        assert [v.tobytes() for v in values] == slow

    def test_arithmetic(self) -> None:
        scalars = self.source.scalars(4)
        points = group.multiply_base(scalars)
        slow = [reference.generator() * int.from_bytes(s.tobytes(), "little") for s in scalars]
        assert [p.tobytes() for p in points] == [reference.encode(p) for p in slow]
        assert group.add(points[:2], points[2:])[0].tobytes() == reference.encode(slow[0] + slow[2])
        assert group.subtract(points[:2], points[2:])[0].tobytes() == reference.encode(slow[0] + -slow[2])
        assert (group.multiply_each(points, group.invert(scalars)) == group.multiply_base(rows(little(1)))).all()

    def test_scalars_from_wide(self) -> None:
        wide = self.source.array(5, 64)
        slow = [little(int.from_bytes(w.tobytes(), "little") % reference.L) for w in wide]
        assert [s.tobytes() for s in group.scalars_from_wide(wide)] == slow

    def test_blinding_with_one_scalar_is_many_equal_scalars(self) -> None:
        items, blind = self.source.array(300, 16), self.source.scalar()
        each = np.tile(np.frombuffer(blind, np.uint8), (300, 1))
        blinded = group.oprf_blind(items, blind)
        assert (blinded == group.oprf_blind_each(items, each)).all()
        evaluated = group.multiply(blinded, self.key)
        assert (group.oprf_finalize(items, evaluated, blind) == group.oprf_evaluate(items, self.key)).all()


@pytest.mark.parametrize("n", [1, 7, 8, 9, 300])
def test_both_arithmetics_give_the_same_points(n: int) -> None:
    source = insecure_seeded(9)
    points, key = group.hash_to_group(source.array(n, 16)), source.scalar()
    once = group.multiply(points, key)
    twice = group.multiply(once, key)
    for portable in (False, True):
        assert (group.multiply_times(points, key, 1, portable=portable) == once).all()
        assert (group.multiply_times(points, key, 2, portable=portable) == twice).all()
    with pytest.raises(ValueError, match="0 times"):
        group.multiply_times(points, key, 0)


@pytest.mark.parametrize("scalar", [bytes(32), little(reference.L), little(reference.L + 1), b"\xff" * 32, bytes(31)])
def test_bad_scalars_are_refused(scalar: bytes) -> None:
    point = group.multiply_base(rows(little(1)))
    with pytest.raises(ValueError, match="scalar"):
        group.multiply(point, scalar)
    with pytest.raises(ValueError, match="scalar"):
        group.oprf_blind(np.zeros((1, 4), np.uint8), scalar)


@pytest.mark.parametrize(
    "call",
    [
        lambda: group.multiply(np.zeros((1, 31), np.uint8), little(1)),
        lambda: group.multiply(np.zeros(32, np.uint8), little(1)),
        lambda: group.multiply(np.zeros((1, 32), np.int8).view(np.int8), little(1)),
        lambda: group.multiply_each(np.zeros((2, 32), np.uint8), np.ones((1, 32), np.uint8)),
        lambda: group.hash_to_group(np.zeros((2, 4), np.uint8), lengths=np.array([1], np.uint32)),
        lambda: group.hash_to_group(np.zeros((2, 4), np.uint8), lengths=np.array([1, 5], np.uint32)),
        lambda: group.hash_to_group(np.zeros((2, 0), np.uint8)),
        lambda: group.oprf_evaluate(np.zeros((1, 4), np.uint8), little(1), width=65),
        lambda: group.oprf_evaluate(np.zeros((1, 4), np.uint8), little(1), width=0),
        lambda: group.oprf_finalize(np.zeros((2, 4), np.uint8), np.zeros((1, 32), np.uint8), little(1)),
        lambda: group.expand_message_xmd(b"", b"", 0),
        lambda: group.expand_message_xmd(b"", b"", 16321),
    ],
)
def test_wrong_shapes_are_refused(call: Any) -> None:
    with pytest.raises(ValueError):
        call()


def test_empty_batches_are_empty() -> None:
    none = np.zeros((0, 32), np.uint8)
    assert group.multiply(none, little(1)).shape == (0, 32)
    assert group.oprf_evaluate(none, little(1), width=16).shape == (0, 16)
