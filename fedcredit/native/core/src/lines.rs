//! Identifiers, and cells beside them, as the lines of a CSV file (RFC 4180) that no spreadsheet runs.
//!
//! The rules are those of `fedcredit.tables.export`.

use rayon::prelude::*;

use crate::error::KernelError;
use crate::identifiers::{split, text_of};

const ROWS_PER_TASK: usize = 4096;

/// Columns beside the identifiers: their cells joined by NULs, and which of them belongs to each line.
#[derive(Clone, Copy, Default)]
pub struct Beside<'a> {
    pub columns: &'a [&'a [u8]],
    pub at: &'a [i64],
}

/// The identifiers `rows` of `ids`, which holds `width` bytes a row, as lines; each in `parts` cells if it was joined of
/// more than one, and behind them the cells `beside` it.
///
/// A cell that a spreadsheet would run gets a quote before it.
pub fn csv_lines(
    ids: &[u8],
    width: usize,
    parts: usize,
    rows: &[i64],
    beside: Beside<'_>,
) -> Result<Vec<u8>, KernelError> {
    if width == 0 || !ids.len().is_multiple_of(width) {
        return Err(KernelError::Shape { what: "ids", expected: width, found: ids.len() });
    }
    check(rows, ids.len() / width, "rows")?;
    let columns: Vec<Vec<&[u8]>> =
        beside.columns.iter().map(|cells| cells.split(|&byte| byte == 0).collect()).collect();
    if !columns.is_empty() && beside.at.len() != rows.len() {
        return Err(KernelError::Shape { what: "at", expected: rows.len(), found: beside.at.len() });
    }
    for cells in &columns {
        check(beside.at, cells.len(), "at")?;
    }
    let pieces: Result<Vec<Vec<u8>>, KernelError> = rows
        .par_chunks(ROWS_PER_TASK)
        .enumerate()
        .map(|(number, rows)| {
            let first = number * ROWS_PER_TASK;
            let mut out = Vec::with_capacity(rows.len() * (width + 2));
            for (place, &row) in rows.iter().enumerate() {
                let id = &ids[row as usize * width..][..width];
                if parts == 1 {
                    push_cell(&mut out, text_of(id));
                } else {
                    let found = split(id, parts).ok_or(KernelError::Range { what: "ids", index: row as usize })?;
                    push_cells(&mut out, found.into_iter());
                }
                for cells in &columns {
                    out.push(b',');
                    push_cell(&mut out, cells[beside.at[first + place] as usize]);
                }
                out.extend_from_slice(b"\r\n");
            }
            Ok(out)
        })
        .collect();
    Ok(pieces?.concat())
}

fn check(numbers: &[i64], end: usize, what: &'static str) -> Result<(), KernelError> {
    match numbers.iter().position(|&number| !usize::try_from(number).is_ok_and(|number| number < end)) {
        Some(index) => Err(KernelError::Range { what, index }),
        None => Ok(()),
    }
}

fn push_cells<'a>(out: &mut Vec<u8>, cells: impl Iterator<Item = &'a [u8]>) {
    for (number, cell) in cells.enumerate() {
        if number > 0 {
            out.push(b',');
        }
        push_cell(out, cell);
    }
}

fn push_cell(out: &mut Vec<u8>, cell: &[u8]) {
    let formula = is_formula(cell);
    if !cell.is_empty() && !cell.iter().any(|byte| matches!(byte, b'"' | b',' | b'\r' | b'\n')) {
        out.extend_from_slice(if formula { b"'" } else { b"" });
        out.extend_from_slice(cell);
        return;
    }
    out.extend_from_slice(if formula { b"\"'" } else { b"\"" });
    for &byte in cell {
        out.extend_from_slice(if byte == b'"' { b"\"\"" } else { std::slice::from_ref(&byte) });
    }
    out.push(b'"');
}

fn is_formula(cell: &[u8]) -> bool {
    if cell.first().is_some_and(u8::is_ascii_alphanumeric) {
        return false;
    }
    let start = cell.iter().position(|&byte| byte != b' ').unwrap_or(cell.len());
    let starts = ["=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"];
    starts.iter().any(|begin| cell[start..].starts_with(begin.as_bytes())) && !is_number(cell)
}

/// `[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?`
fn is_number(cell: &[u8]) -> bool {
    let signless = |bytes: &'_ [u8]| usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let cell = &cell[signless(cell)..];
    let (mantissa, exponent) = match cell.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(e) => (&cell[..e], Some(&cell[e + 1..])),
        None => (cell, None),
    };
    let digits = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_digit);
    let (whole, fraction) = match mantissa.iter().position(|&byte| byte == b'.') {
        Some(point) => (&mantissa[..point], &mantissa[point + 1..]),
        None => (mantissa, &[][..]),
    };
    let power = exponent.map(|exponent| &exponent[signless(exponent)..]);
    digits(whole)
        && digits(fraction)
        && whole.len() + fraction.len() > 0
        && power.is_none_or(|power| !power.is_empty() && digits(power))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Beside<'_> = Beside { columns: &[], at: &[] };

    #[test]
    fn lines_that_no_spreadsheet_runs() {
        let cells: [&[u8; 6]; 6] =
            [b"91\0\0\0\0", b"=1\0\0\0\0", b"-1.5e3", b"a,\"b\0\0", b" @x\0\0\0", b"\0\0\0\0\0\0"];
        let ids: Vec<u8> = cells.into_iter().flatten().copied().collect();
        let lines = csv_lines(&ids, 6, 1, &[5, 4, 3, 2, 1, 0], NONE).unwrap();
        assert_eq!(lines, b"\"\"\r\n' @x\r\n\"a,\"\"b\"\r\n-1.5e3\r\n'=1\r\n91\r\n");
        assert!(csv_lines(&ids, 6, 1, &[6], NONE).is_err());
        assert!(csv_lines(&ids, 6, 1, &[-1], NONE).is_err());
        assert!(csv_lines(&ids, 5, 1, &[], NONE).is_err());
    }

    #[test]
    fn joined_identifiers_and_cells_beside_them() {
        let ids = b"\x02a,\x01=\x01b\x02cd";
        let beside = Beside { columns: &[b"x\0=y\0", b"one\0two\0three"], at: &[2, 1] };
        let lines = csv_lines(ids, 5, 2, &[1, 0], beside).unwrap();
        assert_eq!(lines, b"b,cd,\"\",three\r\n\"a,\",'=,'=y,two\r\n");
        assert!(csv_lines(ids, 5, 3, &[0], NONE).is_err());
        for at in [&[0][..], &[0, 3], &[0, -1]] {
            assert!(csv_lines(ids, 5, 2, &[1, 0], Beside { at, ..beside }).is_err());
        }
    }
}
