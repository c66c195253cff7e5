"""A valid sample of every wire message, made from its fields' own bounds."""

from __future__ import annotations

import importlib
import itertools
import pkgutil
from collections.abc import Callable
from typing import Any

import numpy as np

import fedcredit.wire
from fedcredit.kernels import group
from fedcredit.wire import message as wire
from fedcredit.wire.collectives import BestSplits
from fedcredit.wire.intersect import FilterProgress
from fedcredit.wire.membership import FilterPart, PermitGiven
from fedcredit.wire.message import Message, MessageInvalid
from fedcredit.wire.registry import DriftOrder, ModelChange, ModelOrder
from fedcredit.wire.schema import ColumnsCompared, ColumnShape, ColumnsVerdict, SharedColumns
from fedcredit.wire.score import ScorePart, ScoreRequest
from fedcredit.wire.score_bands import BandChoices, BandTables
from fedcredit.wire.statistics import OpenedCells, SharedTable, TableGroups, text_of

__all__ = ["messages", "sample"]

TEST_TAGS = 0x7F00
SHAPES = {
    1: ((3,), (1,), (0,)),
    2: ((2, 32), (2, 16), (2, 3)),
    3: ((2, 3, 2), (32, 1, 2), (128, 2, 16), (128, 2, 32), (768, 3, 2)),
}
TEXTS = ("a", "tax", "SOME_CODE", "127.0.0.1:7443", "", "2026-01-01T00:00:00+00:00", "00" * 32)
POINT = group.multiply_base(np.full((1, 32), 1, np.uint8)).tobytes()

CELLS = np.array([[0, 1, 0], [0, 0, 0]], np.uint8)
MADE: dict[type[Message], Callable[[], Message]] = {
    BestSplits: lambda: BestSplits(np.arange(10, dtype="<i8").reshape(2, 5) % 5 % 4, np.ones((2, 7))),
    FilterPart: lambda: FilterPart.of(FilterProgress(1, 2)),
    PermitGiven: lambda: PermitGiven(b"\x00\x01", b"{}", "00" * 16, bytes(64)),
    ModelChange: lambda: ModelChange("activate", "sme", 1, "ann"),
    DriftOrder: lambda: DriftOrder("sme", 1, "2026-05", 1000, 200, "ann"),
    ModelOrder: lambda: ModelOrder("publish", "sme", 0, "job-1", "scorecard.0", "ann"),
    BandChoices: lambda: BandChoices(bytes(32), 0, np.arange(192, dtype=np.uint8).reshape(3, 64)),
    BandTables: lambda: BandTables(
        bytes(32), 0, POINT, np.arange(48, dtype=np.uint8).reshape(3, 16), np.arange(3, dtype="<u8")
    ),
    ScorePart: lambda: ScorePart(
        bytes(32), 0, np.arange(192, dtype=np.uint8).reshape(3, 64), np.arange(3, dtype="<u8")
    ),
    ScoreRequest: lambda: ScoreRequest(
        requester="bank",
        purpose="financing",
        model=b"m" * 32,
        key=b"k" * 32,
        nonce=b"n" * 32,
        issued_at=1_800_000_000,
        rows=3,
        providers="tax\nsocial",
        pair_keys=np.arange(96, dtype=np.uint8).reshape(3, 32),
        subjects=b"s" * 32,
        consents=np.arange(64, dtype=np.uint8).reshape(2, 32),
    ),
    SharedColumns: lambda: SharedColumns.of(
        [ColumnShape("debt", "numeric", (), (-1.0, 9e9)), ColumnShape("town", "categorical", ("a", "南"))]
    ),
    ColumnsCompared: lambda: ColumnsCompared.of({"lacking": ("debt",), "levels": ("town", "南")}),
    ColumnsVerdict: lambda: ColumnsVerdict.of({"city-1": {"kind": ("debt",)}, "city-2": {"further": ("x",)}}),
    TableGroups: lambda: TableGroups(*text_of(["A", "(others)"])),
    OpenedCells: lambda: OpenedCells(CELLS, np.arange(10, dtype=np.uint64).reshape(5, 2)),
    SharedTable: lambda: SharedTable(
        1,
        0,
        *text_of(["north", "南"]),
        *text_of(["A", "B", "(others)"]),
        CELLS,
        (60 - 60 * CELLS.astype(np.int64)),
        np.where(CELLS, 0.0, 1.5)[None],
        np.zeros((0, 2, 3)),
    ),
}
"""Messages whose fields hang on each other."""


def messages() -> list[type[Message]]:
    """Every message that may travel, by tag."""
    for module in pkgutil.iter_modules(fedcredit.wire.__path__, "fedcredit.wire."):
        if not module.name.endswith("._gen"):
            importlib.import_module(module.name)
    return [kind for tag, kind in sorted(wire._REGISTRY.items()) if tag < TEST_TAGS]


def sample(kind: type[Message]) -> Message:
    """A valid `kind`. Raises AssertionError when its bounds alone do not lead to one: then add what is missing here."""
    if kind in MADE:
        return MADE[kind]()
    specs = wire._specs(kind)
    choices = [_values(spec) for _, spec in specs]
    for values in itertools.islice(itertools.product(*choices), 20_000):
        try:
            return kind(**dict(zip((name for name, _ in specs), values, strict=True)))
        except MessageInvalid:
            continue
    raise AssertionError(f"no sample of {kind.__name__} found: tell {__name__} what its fields hold")


def _values(spec: Any) -> tuple[Any, ...]:
    match spec.kind:
        case wire._Kind.COUNT:
            return tuple(dict.fromkeys(n for n in (spec.low, 1, 2, 3, spec.high) if spec.low <= n <= spec.high))
        case wire._Kind.FLAG:
            return (True, False)
        case wire._Kind.TEXT:
            return tuple(text for text in TEXTS if len(text) <= spec.high)
        case wire._Kind.BLOB:
            sizes = dict.fromkeys((spec.low, min(spec.high, max(spec.low, 40))))
            fitting = [text for text in (b"{}", POINT) if spec.low <= len(text) <= spec.high]
            counted = (bytes(range(1, n + 1)) for n in sizes if n < 255)
            return (*fitting, *(bytes(range(1, 256)) * (n // 255) + bytes(n % 255) for n in sizes), *counted)
    made = [np.ones(shape, spec.dtype) for shape in SHAPES.get(spec.rank, ()) if np.prod(shape) <= spec.high]
    return (
        *made,
        *(np.full_like(array, 2) for array in made),
        *(np.arange(array.size, dtype=spec.dtype) for array in made[:1] if spec.rank == 1),
    )
