"""From a file to a table in the engine: the file's form, its fingerprint, its columns; not yet its values."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass

from fedcredit.errors import DataError
from fedcredit.tables.engine import Engine
from fedcredit.tables.header import Layout, csv_names, lay_out
from fedcredit.tables.problems import Problems, refuse
from fedcredit.tables.source import SourceFile, Utf8Check, nameless_file
from fedcredit.tables.spec import Limits, Resources, TableSpec
from fedcredit.tables.structure import CsvScan

__all__ = ["Loaded", "changed", "load"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A table in the engine, one row per row of the file, cells as text."""

    engine: Engine
    layout: Layout
    n_rows: int
    fingerprint: bytes
    lines_known: bool


def load(spec: TableSpec, limits: Limits, resources: Resources, expected_fingerprint: bytes | None) -> Loaded:
    """Read the file that `spec` names; the caller closes the engine.

    Raises: DataError, see `open_table`.
    """
    with SourceFile(spec, limits) as source:
        try:
            if spec.format == "parquet" or (spec.format == "auto" and source.is_parquet):
                return _load_parquet(source, spec, limits, resources, expected_fingerprint)
            if source.is_parquet:
                raise refuse("CSV_MALFORMED", source.name, "is a Parquet file", "declare format = 'parquet'")
            return _load_csv(source, spec, limits, resources, expected_fingerprint)
        except DataError:
            # A file that changes under its reader looks malformed in any way.
            source.check_unchanged()
            raise


def changed(name: str) -> DataError:
    """The file is not what it was when it was fingerprinted."""
    return refuse("DATASET_CHANGED", name, "the file is not the one of before", "start again with the file as it is")


def _load_csv(
    source: SourceFile, spec: TableSpec, limits: Limits, resources: Resources, expected: bytes | None
) -> Loaded:
    with contextlib.ExitStack() as held:
        scan = CsvScan(source.name, spec.delimiter, limits)
        sink: Callable[[bytes], object] = scan.feed
        path, read = source.engine_path, source.read
        if spec.encoding != "utf-8":
            # The engine reads UTF-8 alone without extensions, so it gets a copy.
            copy = held.enter_context(nameless_file(resources.spill_dir))
            path = f"/proc/self/fd/{copy.fileno()}"

            def sink(text: bytes) -> None:
                copy.write(text)
                scan.feed(text)

            def read(start: int, end: int) -> bytes:
                copy.flush()
                return os.pread(copy.fileno(), end - start, start)

        check = Utf8Check(source.name, spec.encoding, sink)
        fingerprint = source.fingerprint(check.feed)
        check.feed(b"", last=True)
        structure = scan.finish()
        if expected is not None and fingerprint != expected:
            raise changed(source.name)
        names = csv_names(read(*structure.header), spec.delimiter)
        layout = lay_out(spec, names, Problems(source.name))
        engine = Engine(source.name, path, resources)
        with contextlib.ExitStack() as failed:
            failed.callback(engine.close)
            engine.load_csv(path, structure, spec.delimiter, layout.used, limits)
            source.check_unchanged()
            if engine.one("SELECT count(*) FROM raw")[0] != structure.n_rows:
                what = "two readings of the file disagree on its rows"
                raise refuse("CSV_MALFORMED", source.name, what, "export it again, by the rules of RFC 4180")
            failed.pop_all()
    return Loaded(engine, layout, structure.n_rows, fingerprint, structure.lines_known)


def _load_parquet(
    source: SourceFile, spec: TableSpec, limits: Limits, resources: Resources, expected: bytes | None
) -> Loaded:
    problems = Problems(source.name)
    fingerprint = source.fingerprint()
    if expected is not None and fingerprint != expected:
        raise changed(source.name)
    path = source.engine_path
    engine = Engine(source.name, path, resources)
    with contextlib.ExitStack() as failed:
        failed.callback(engine.close)
        names, n_rows = engine.parquet_columns(path, limits)
        if n_rows == 0:
            raise refuse("PARQUET_EMPTY", source.name, "has no row", "give it rows")
        layout = lay_out(spec, names, problems)
        for i, kind in engine.load_parquet(path, layout.used, len(names)).items():
            what = f"the type {kind.split('(')[0]} is neither number, text, date nor truth value"
            problems.add("COLUMN_TYPE", what, "list it in drop", column=layout.names[i])
        problems.check()
        _check_cells(engine, layout, limits, problems)
        source.check_unchanged()
        failed.pop_all()
    return Loaded(engine, layout, n_rows, fingerprint, lines_known=False)


def _check_cells(engine: Engine, layout: Layout, limits: Limits, problems: Problems) -> None:
    """What the scan of a CSV file sees to: cells within limits and without NUL bytes."""
    for i in layout.used:
        longest, nul = engine.one(f"SELECT max(strlen(c{i})), count(*) FILTER (contains(c{i}, chr(0))) FROM raw")  # noqa: S608
        if (longest or 0) > limits.max_cell_bytes:
            what = f"a cell is longer than {limits.max_cell_bytes} bytes"
            problems.add("LIMIT_CELL_BYTES", what, "shorten it, or leave it out", column=layout.names[i])
        if nul:
            problems.add("VALUE_INVALID", "a NUL byte in a cell", "export as text", column=layout.names[i])
    problems.check()
