"""The structure of a CSV file by RFC 4180, found by our own reader before the engine parses a cell.

The engine is lenient here and there (it takes a row with one comma too many) and says little about where. This scan
counts records and cells with numpy, so it is exact about rows and lines; the engine's row count has to agree.

Stricter than most: a quote stands at both ends of a cell or is doubled inside one; line ends are all LF or all CRLF;
every row has as many cells as the header. Blank lines count for nothing, wherever they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedcredit.errors import DataError
from fedcredit.tables.problems import MAX_PROBLEMS, Problems
from fedcredit.tables.spec import Limits

__all__ = ["CsvScan", "Structure"]

_LF, _CR, _QUOTE = 10, 13, 34
_BOM = b"\xef\xbb\xbf"

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Structure:
    """What the scan found: enough to parse the file and to say where a row stands."""

    n_rows: int  # records after the header, blank lines left out
    n_columns: int
    header: tuple[int, int]  # byte range, without the byte order mark and the line end
    leading_blanks: int
    lines_known: bool  # row k (from 0) is line k + 2


@dataclass(frozen=True, slots=True)
class _Fault:
    position: int  # in the chunk
    what: str
    fix: str


class CsvScan:
    """Takes the file chunk by chunk (`feed`), then says what it is (`finish`).

    Raises: DataError with `CSV_MALFORMED`, `CSV_EMPTY`, `LIMIT_ROWS`, `LIMIT_COLUMNS`, `LIMIT_CELL_BYTES`,
    `LIMIT_ROW_BYTES`. What makes the rest unreadable is raised at once; ragged rows are gathered until `finish`.
    """

    def __init__(self, name: str, delimiter: str, limits: Limits) -> None:
        self._delimiter = ord(delimiter)
        self._limits = limits
        self._problems = Problems(name)
        self._n_records = 0  # complete and not blank; the header is one
        self._n_columns = 0
        self._header = (0, 0)
        self._leading_blanks = 0
        self._blank_waits = False  # a blank line has been seen; matters if a row follows
        self._lines_known = True
        self._crlf: bool | None = None
        # Where the current chunk starts, and what went before it.
        self._offset = 0
        self._before = _LF  # a file starts as a line does
        self._inside = False  # in quotes
        self._lone_cr = False  # the last byte is a CR outside quotes
        # The record and the cell that are not complete yet.
        self._record_start = 0
        self._cell_start = 0
        self._n_cells = 0  # complete ones
        self._line = 1  # line on which the record starts
        self._line_feeds = 0  # in the record so far, all of them in quotes

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if self._offset == 0 and chunk.startswith(_BOM):
            self._offset = self._record_start = self._cell_start = len(_BOM)
            chunk = chunk[len(_BOM) :]
        if not chunk:
            return
        data = np.frombuffer(chunk, np.uint8)
        outside, quote_fault = self._quotes(chunk, data)
        feeds = data == _LF
        ends = feeds if outside is None else feeds & outside
        # Of two at one place the line end comes first: it is the byte before, in the chunk before.
        faults = [f for f in (self._line_end_fault(chunk, data, ends, outside), quote_fault) if f is not None]
        if faults:
            fault = min(faults, key=lambda f: f.position)
            self._records(data[: fault.position], ends, feeds, outside)
            raise self._stop("CSV_MALFORMED", fault.what, fault.fix)
        self._records(data, ends, feeds, outside)
        self._before = int(data[-1])
        self._lone_cr = self._before == _CR and (outside is None or bool(outside[-1]))
        self._inside = outside is not None and not outside[-1]
        if self._offset - self._record_start > self._limits.max_row_bytes:
            raise self._unclosed() if self._inside else self._too_long_row()

    def finish(self) -> Structure:
        """The structure of the whole file."""
        if self._inside:
            raise self._unclosed()
        if self._lone_cr:
            raise self._stop("CSV_MALFORMED", *_LINE_ENDS)
        if self._offset > self._record_start:
            # The last record has no line end.
            if self._offset - self._cell_start > self._limits.max_cell_bytes:
                raise self._too_long_cell()
            start = np.array([self._record_start])
            self._complete(np.array([self._n_cells + 1]), start, self._offset - start, np.array([self._line]))
        if self._n_records == 0:
            raise self._stop("CSV_EMPTY", "the file is empty", "give it a header and rows")
        self._problems.check()
        if self._n_records == 1:
            raise self._stop("CSV_EMPTY", "there is a header and no row", "give it rows")
        return Structure(
            n_rows=self._n_records - 1,
            n_columns=self._n_columns,
            header=self._header,
            leading_blanks=self._leading_blanks,
            lines_known=self._lines_known,
        )

    def _quotes(self, chunk: bytes, data: Bytes) -> tuple[Bools | None, _Fault | None]:
        """For each byte whether it is outside quotes (None: all are), and the first misplaced quote."""
        if b'"' not in chunk:
            fault = self._after_close(int(data[0]), 0) if self._before == _QUOTE and not self._inside else None
            return (np.zeros(len(data), np.bool_) if self._inside else None), fault
        quotes = data == _QUOTE
        # A quote toggles; a doubled one toggles twice and leaves the state as it was.
        outside = ((np.cumsum(quotes, dtype=np.uint8) + self._inside) & 1) == 0
        at = np.flatnonzero(quotes)
        closes = outside[at]
        opening = at[~closes]
        previous = np.where(opening == 0, self._before, data[opening - 1])
        wrong = opening[(previous != self._delimiter) & (previous != _LF) & (previous != _QUOTE)]
        closing = at[closes]
        closing = closing[closing + 1 < len(data)]
        following = data[closing + 1]
        misplaced = closing[
            (following != self._delimiter) & (following != _LF) & (following != _CR) & (following != _QUOTE)
        ]
        faults = [_Fault(int(found[0]), *_QUOTES) for found in (wrong, misplaced) if len(found)]
        if self._before == _QUOTE and not self._inside and (fault := self._after_close(int(data[0]), 0)):
            faults.append(fault)
        return outside, min(faults, key=lambda f: f.position, default=None)

    def _after_close(self, following: int, position: int) -> _Fault | None:
        allowed = (self._delimiter, _LF, _CR, _QUOTE)
        return None if following in allowed else _Fault(position, *_QUOTES)

    def _line_end_fault(self, chunk: bytes, data: Bytes, ends: Bools, outside: Bools | None) -> _Fault | None:
        """The first line end that is unlike the first one of the file, or a CR that ends no line."""
        if self._lone_cr and data[0] != _LF:
            return _Fault(0, *_LINE_ENDS)
        at = np.flatnonzero(ends)
        if self._crlf is None and len(at):
            first = int(at[0])
            self._crlf = bool(data[first - 1] == _CR) if first else self._lone_cr
        if b"\r" not in chunk and not self._lone_cr and not self._crlf:
            return None
        is_crlf = np.where(at == 0, self._lone_cr, data[at - 1] == _CR)
        odd = at[is_crlf != self._crlf]
        returns = data == _CR if outside is None else (data == _CR) & outside
        lone = np.flatnonzero(returns[:-1] & (data[1:] != _LF))
        positions = [int(found[0]) for found in (odd, lone) if len(found)]
        return _Fault(min(positions), *_LINE_ENDS) if positions else None

    def _records(self, data: Bytes, ends: Bools, feeds: Bools, outside: Bools | None) -> None:
        """Count the records that end in `data`, a chunk or the good beginning of one."""
        size = len(data)
        commas = data == self._delimiter
        marks = np.flatnonzero(ends[:size] | (commas if outside is None else commas & outside[:size]))
        if len(marks):
            at = marks + self._offset
            lengths = np.diff(at, prepend=self._cell_start - 1) - 1
            # The CR of a line end counts as a byte of the last cell, hence one more.
            if int(lengths.max()) > self._limits.max_cell_bytes + 1:
                first = int(np.argmax(lengths > self._limits.max_cell_bytes + 1))
                self._records(data[: max(0, int(marks[first] - lengths[first]))], ends, feeds, outside)
                raise self._too_long_cell()
            self._cell_start = int(at[-1]) + 1
            last = np.flatnonzero(ends[marks])  # the marks that end a record
            if len(last):
                self._complete_in_chunk(feeds[:size], at, last)
            self._n_cells += len(marks) - 1 - (int(last[-1]) if len(last) else -1)
        self._line_feeds += int(np.count_nonzero(feeds[max(0, self._record_start - self._offset) : size]))
        self._offset += size

    def _complete_in_chunk(self, feeds: Bools, at: Positions, last: Positions) -> None:
        ends = at[last]
        n_cells = np.diff(last, prepend=-1 - self._n_cells)
        starts = np.concatenate(([self._record_start], ends[:-1] + 1))
        lines = self._lines(feeds, ends - self._offset)
        self._complete(n_cells, starts, ends - starts - int(bool(self._crlf)), lines[:-1])
        self._record_start, self._line = int(ends[-1]) + 1, int(lines[-1])
        self._n_cells = self._line_feeds = 0

    def _lines(self, feeds: Bools, ends: Positions) -> Positions:
        """The line on which each record starts that ends at `ends`, and the line after the last of them."""
        if np.count_nonzero(feeds[: int(ends[-1]) + 1]) == len(ends) and self._line_feeds == 0:
            return self._line + np.arange(len(ends) + 1)
        self._lines_known = False  # a line break in quotes
        after = np.cumsum(feeds)[ends] + (self._line + self._line_feeds)
        return np.concatenate(([self._line], after))

    def _complete(self, n_cells: Positions, starts: Positions, lengths: Positions, lines: Positions) -> None:
        """Take note of complete records: the number of their cells, where they start, their bytes, their lines."""
        blank = (n_cells == 1) & (lengths == 0)
        full = np.flatnonzero(~blank)
        if self._blank_waits and len(full):
            self._lines_known = False
        if blank.any():
            self._blank_waits = True
            self._lines_known &= len(full) == 0 or int(full[-1]) < int(np.argmax(blank))
            if self._n_records == 0:
                self._leading_blanks += int(full[0]) if len(full) else len(blank)
            n_cells, starts, lengths, lines = n_cells[full], starts[full], lengths[full], lines[full]
        if len(n_cells) == 0:
            return
        if self._n_records == 0:
            self._n_columns = int(n_cells[0])
            self._header = int(starts[0]), int(starts[0] + lengths[0])
            if self._n_columns > self._limits.max_columns:
                found = f"{self._n_columns} columns, the limit is {self._limits.max_columns}"
                raise self._stop("LIMIT_COLUMNS", found, "leave some out of the file")
        if int(lengths.max()) > self._limits.max_row_bytes:
            self._n_records += int(np.argmax(lengths > self._limits.max_row_bytes))
            raise self._too_long_row()
        for i in np.flatnonzero(n_cells != self._n_columns)[: MAX_PROBLEMS + 1]:
            self._problems.add(
                "CSV_MALFORMED",
                f"line {lines[i]} has {n_cells[i]} cells, the header {self._n_columns}",
                "give the row as many cells as the header",
                row=self._n_records + int(i) - 1,
            )
        self._n_records += len(n_cells)
        if self._n_records - 1 > self._limits.max_rows:
            raise self._stop("LIMIT_ROWS", f"more than {self._limits.max_rows} rows", "split the table")
        if len(self._problems.found) > MAX_PROBLEMS:
            self._problems.check()

    def _stop(self, code: str, what: str, fix: str) -> DataError:
        """The problem of the open record, after the ragged rows before it."""
        row = self._n_records - 1
        if code == "CSV_MALFORMED":
            what = f"from line {self._line} on: {what}"
        self._problems.add(code, what, fix, row=row if row >= 0 else None)
        return DataError(self._problems.found[: MAX_PROBLEMS + 1])

    def _unclosed(self) -> DataError:
        return self._stop("CSV_MALFORMED", "a quote is never closed", "close it, or double a quote inside a cell")

    def _too_long_cell(self) -> DataError:
        limit = self._limits.max_cell_bytes
        return self._stop("LIMIT_CELL_BYTES", f"a cell is longer than {limit} bytes", "shorten it, or leave it out")

    def _too_long_row(self) -> DataError:
        return self._stop("LIMIT_ROW_BYTES", f"a row is longer than {self._limits.max_row_bytes} bytes", "shorten it")


_QUOTES = (
    "a quote in the middle of a cell",
    "quote the whole cell and double quotes inside it",
)
_LINE_ENDS = (
    "a line end unlike the others",
    "use LF or CRLF for all lines; a CR inside a cell needs quotes",
)
