"""Identifiers of a large table lie in a file: the same, gone with the table, and no memory but for what is read."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from table_files import spec_of

from fedcredit.tables import open_table, spilled
from fedcredit.tables.scratch import Scratch
from fedcredit.tables.spec import Resources
from fedcredit.tables.spilled import SpilledIds

ROWS = [f"subject {k * 7919 % 1_000:03} {'x' * (k % 5)}" for k in range(1_000)]


@pytest.fixture
def everything_spills(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spilled, "SPILLED_BYTES", 0)
    monkeypatch.setattr(spilled, "_ROWS_AT_ONCE", 64)


def table_of(folder: Path, content: bytes, **options: object) -> tuple[list[bytes], bytes, int]:
    """The identifiers, the fingerprint of the contents, and how many files hold something while the table is open."""
    spill = folder / "spill"
    spill.mkdir(exist_ok=True)
    spec = spec_of(folder, content, id_type="text", **options)
    with open_table(spec, resources=Resources(spill_dir=spill)) as table:
        ids = table.ids()
        assert not ids.flags.writeable
        found = ids.tolist(), table.content_fingerprint(), int(isinstance(ids.base, np.memmap))
    assert ids.tolist() == found[0], "what was taken from a table stays when that is closed"
    assert not list(spill.iterdir())
    return found


@pytest.mark.parametrize("way", ["one column", "two columns", "first of repeated"])
def test_a_table_is_the_same_from_a_file(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = ROWS + ROWS[:100] if way == "first of repeated" else ROWS
    lines = "".join(f"{cell},{k % 7 if way == 'two columns' else 0},{k}\n" for k, cell in enumerate(cells))
    options: dict[str, object] = {
        "one column": {},
        "two columns": {"id": ("id", "part")},
        "first of repeated": {"duplicates": "first"},
    }[way]
    content = f"id,part,x\n{lines}".encode()
    ids, fingerprint, mapped = table_of(tmp_path, content, **options)
    assert len(ids) == 1_000
    assert mapped == 0
    monkeypatch.setattr(spilled, "SPILLED_BYTES", 0)
    monkeypatch.setattr(spilled, "_ROWS_AT_ONCE", 64)
    assert table_of(tmp_path, content, **options) == (ids, fingerprint, 1)


def test_pieces_come_in_any_order_and_width(everything_spills: None, tmp_path: Path) -> None:
    ids = np.array([cell.encode() for cell in ROWS])
    kept = SpilledIds(len(ids), ids.dtype.itemsize, tmp_path)
    for first in (600, 0, 300, 900):
        part = ids[first : first + 300]
        kept.put(first, part.astype(f"S{max(map(len, part.tolist()))}"))
    assert np.array_equal(kept.array(), ids)
    assert np.array_equal(np.concatenate([piece for _, piece in kept.pieces()]), ids)
    assert [first for first, _ in kept.pieces()] == list(range(0, 1_000, 64))
    assert not list(tmp_path.iterdir()), "the file has no name"


def test_what_is_let_go_takes_no_memory(tmp_path: Path) -> None:
    n_bytes = 32 << 20
    scratch = Scratch(tmp_path, n_bytes)
    scratch.write(0, np.ones(n_bytes, np.uint8))

    def mapped_kib() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssFile:"))

    before = mapped_kib()
    array = scratch.mapped(np.dtype(np.uint8), n_bytes)
    assert int(array.sum()) == n_bytes
    assert mapped_kib() - before > (n_bytes >> 10) // 2
    del array
    assert mapped_kib() - before < (n_bytes >> 10) // 2


@contextmanager
def files_up_to(n_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_room_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    with files_up_to(1 << 20):
        Scratch(tmp_path, 1 << 19)
        with pytest.raises(OSError) as refused:
            Scratch(tmp_path, 1 << 21)
    assert refused.value.errno in (errno.EFBIG, errno.ENOSPC)
