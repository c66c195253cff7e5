"""Bodies that are no message: every bad array and every bad protobuf gets its code, and nothing is allocated for it."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fedcredit.wire._gen import array_pb2, intersect_pb2, node_pb2
from fedcredit.wire._gen.boosting_pb2 import Sides, TreeStart
from fedcredit.wire.boosting import FeatureBins
from fedcredit.wire.control import CancelJob, StartJob
from fedcredit.wire.intersect import BlindedItems, Release, SetSize
from fedcredit.wire.message import Message, MessageInvalid, array, message_type


@dataclass(frozen=True, slots=True, repr=False)
class Table(Message, tag=0x7F11, proto=TreeStart):
    """Reveals: numbers. Assumes: nothing."""

    features: npt.NDArray[np.float64] = array("f8", 2, 1000)


@dataclass(frozen=True, slots=True, repr=False)
class Words(Message, tag=0x7F12, proto=Sides):
    """Reveals: numbers. Assumes: nothing."""

    bits: npt.NDArray[np.uint64] = array("u8", 3, 1 << 19)


def encoded(dtype: int, shape: list[int], data: bytes) -> bytes:
    return TreeStart(features=array_pb2.Array(dtype=dtype, shape=shape, data=data)).SerializeToString()


GOOD = np.arange(6, dtype=np.float64).reshape(2, 3)
U8, U64, F64 = array_pb2.DTYPE_U8, array_pb2.DTYPE_U64, array_pb2.DTYPE_F64


def test_a_good_array_arrives_whole() -> None:
    assert (Table.decode(encoded(F64, [2, 3], GOOD.tobytes())).features == GOOD).all()
    assert Table.decode(encoded(F64, [0, 3], b"")).features.shape == (0, 3)


@pytest.mark.parametrize(
    ("dtype", "shape", "data"),
    [
        (0, [2, 3], GOOD.tobytes()),
        (8, [2, 3], GOOD.tobytes()),
        (99, [2, 3], GOOD.tobytes()),
        (2**31 - 1, [2, 3], GOOD.tobytes()),
        (U64, [2, 3], GOOD.tobytes()),
        (U8, [6, 8], GOOD.tobytes()),
        (F64, [], GOOD.tobytes()),
        (F64, [6], GOOD.tobytes()),
        (F64, [2, 3, 1], GOOD.tobytes()),
        (F64, [2, 2], GOOD.tobytes()),
        (F64, [3, 3], GOOD.tobytes()),
        (F64, [2, 3], GOOD.tobytes()[:-1]),
        (F64, [2, 3], b""),
        (F64, [2**32, 2**32], b""),
        (F64, [2**63, 2], b""),
        (F64, [2**61, 8], GOOD.tobytes()),
        (F64, [0, 2**64 - 1], b""),
        (F64, [2**64 - 1, 0], b""),
        (F64, [2**64 - 2, 3], GOOD.tobytes()),
        (F64, [40, 40], np.zeros((40, 40)).tobytes()),
        (F64, [2, 3], np.where(GOOD == 4, math.nan, GOOD).tobytes()),
        (F64, [2, 3], np.where(GOOD == 4, math.inf, GOOD).tobytes()),
        (F64, [2, 3], np.where(GOOD == 4, -math.inf, GOOD).tobytes()),
        (F64, [1] * 1_000_000, GOOD.tobytes()),
    ],
    ids=lambda value: str(value)[:24] if not isinstance(value, bytes) else f"{len(value)} bytes",
)
def test_a_bad_array_is_refused(dtype: int, shape: list[int], data: bytes) -> None:
    with pytest.raises(MessageInvalid) as refused:
        Table.decode(encoded(dtype, shape, data))
    assert refused.value.code == "ARRAY_INVALID"
    assert "Table.features" in str(refused.value)


@pytest.mark.parametrize(
    "value",
    [
        GOOD.astype(">f8"),
        GOOD.astype(np.float32),
        GOOD.astype(object),
        GOOD.astype(str),
        GOOD.reshape(-1),
        np.array(3.0),
        GOOD.tolist(),
        np.zeros((40, 40)),
        GOOD * math.nan,
    ],
    ids=lambda value: f"{getattr(value, 'dtype', 'list')} {getattr(value, 'shape', '')}",
)
def test_a_bad_array_is_not_sent_either(value: Any) -> None:
    with pytest.raises(MessageInvalid) as refused:
        Table(value)
    assert refused.value.code == "ARRAY_INVALID"


def test_an_array_with_holes_travels_as_its_elements() -> None:
    wide = np.arange(24, dtype=np.float64).reshape(4, 6)
    for value in (wide[::2, ::2], wide.T[1:3, 1:4], np.asfortranarray(GOOD)):
        sent = Table.decode(Table(value).encode()).features
        assert sent.flags.c_contiguous
        assert (sent == value).all()


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (SetSize, b"\x08" + b"\xff" * 9 + b"\x01"),  # -1
        (SetSize, b"\x08" + b"\xff" * 10),
        (CancelJob, b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),  # a length of -1
        (CancelJob, b"\x0a\xff\xff\xff\xff\x0f"),  # a length of 2**32 - 1
        (CancelJob, b"\x0a\x05job"),
        (CancelJob, b"\x0a\x02\xff\xfe"),  # no UTF-8
        (CancelJob, b"\x0b" * 200),  # groups in groups, never closed
        (CancelJob, b"\x1b" * 200 + b"\x1c" * 200),  # closed, but deeper than a parser should follow
        (CancelJob, b"\x0c"),
        (CancelJob, b"\x0f"),
        (CancelJob, b"\x02\x00"),  # field number 0
        (StartJob, b""),
        (StartJob, node_pb2.StartJob(ssid=b"s" * 31, signatures=b"{}").SerializeToString()),
        (StartJob, node_pb2.StartJob(ssid=b"s" * 32).SerializeToString()),
        (StartJob, node_pb2.StartJob(ssid=b"s" * 32, signatures=bytes((1 << 20) + 1)).SerializeToString()),
        (Release, intersect_pb2.Release(rows=3).SerializeToString()),
    ],
    ids=range(16),
)
def test_a_bad_body_is_refused(kind: type[Message], data: bytes) -> None:
    with pytest.raises(MessageInvalid) as refused:
        kind.decode(data)
    assert refused.value.code == "MESSAGE_INVALID"
    assert kind.__name__ in str(refused.value)


def test_an_array_of_a_field_that_is_missing_is_refused() -> None:
    for kind, body in ((BlindedItems, b""), (FeatureBins, b"")):
        with pytest.raises(MessageInvalid) as refused:
            kind.decode(body)
        assert refused.value.code == "ARRAY_INVALID"


def test_fields_that_nobody_knows_are_dropped_and_an_empty_set_is_no_set() -> None:
    known = CancelJob("job", "CANCELLED")
    assert CancelJob.decode(known.encode() + b"\x98\x06\x07" + b"\xa2\x06\x03xyz").encode() == known.encode()
    with pytest.raises(MessageInvalid) as refused:
        SetSize.decode(b"")
    assert refused.value.code == "SET_SIZE"


def test_a_tag_that_nobody_knows_is_refused() -> None:
    with pytest.raises(MessageInvalid) as refused:
        message_type(0x7FFE)
    assert refused.value.code == "MESSAGE_INVALID"


SCARCE = """
import resource
from fedcredit.wire.control import SignJob
from fedcredit.wire.message import MessageInvalid
bodies = [SignJob(b"x" * 200_000).encode() for _ in range(2)]
SignJob.decode(bodies[0])
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
has = int(status["VmSize"].split()[0]) << 10
resource.setrlimit(resource.RLIMIT_AS, (has, has))
kept, said = [], ""
while not said:
    try:
        kept.append(SignJob.decode(bodies[1]))
    except MemoryError:
        kept.clear()
        said = "no memory"
    except MessageInvalid as refused:
        said = str(refused)
print(said)
"""


def test_no_peer_is_to_blame_for_want_of_memory_here() -> None:
    ran = subprocess.run([sys.executable, "-c", SCARCE], capture_output=True, text=True, timeout=300, check=False)
    assert (ran.returncode, ran.stdout) == (0, "no memory\n"), ran.stderr
