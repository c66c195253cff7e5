//! What an index file must be before anything in it is looked up: whole, and with every place inside of it.

use rayon::prelude::*;

use crate::index_layout::{
    ALIGNMENT, ColumnKind, ColumnLayout, DIGEST_AT, HEADER_BYTES, Layout, MAX_NAME, NO_DAY, ONE_ROW_EACH, TextPlaces,
};
use crate::trouble::Trouble;

/// Bytes that a task checks at a time.
const PER_TASK: usize = 1 << 20;

fn broken(what: String) -> Trouble {
    Trouble::new("INDEX_FORMAT", "", what)
}

/// Whether the file is what was written. Troubles: `INDEX_CHECKSUM`.
pub fn whole(file: &[u8], said: &[u8; 32]) -> Result<(), Trouble> {
    let mut body = blake3::Hasher::new();
    body.update_rayon(&file[HEADER_BYTES..]);
    if digest(&file[..HEADER_BYTES], body.finalize()) == *said {
        return Ok(());
    }
    Err(Trouble::new("INDEX_CHECKSUM", "", "is not what was written"))
}

/// The digest of a file: of its header but for the digest's place, and of what comes after, which is known before.
pub fn digest(header: &[u8], body: blake3::Hash) -> [u8; 32] {
    *blake3::Hasher::new().update(&header[..DIGEST_AT]).update(body.as_bytes()).finalize().as_bytes()
}

/// Whether every section is as long as it has to be, and everything that points somewhere points into its section.
///
/// The checksum says that the file is what somebody wrote; this says that it can be read. Troubles: `INDEX_FORMAT`.
pub fn places(file: &[u8], layout: &Layout) -> Result<(), Trouble> {
    let Layout { subjects, rows, .. } = *layout;
    let buckets = 1_usize << layout.directory_bits;
    length("directory", layout.directory.len(), buckets.checked_add(1), 4)?;
    rising("directory", file, &layout.directory, subjects as u64, 4)?;
    if layout.key_bytes > 0 {
        length("keys", layout.keys.len(), Some(subjects), layout.key_bytes)?;
        length("starts of keys", layout.key_starts.len(), Some(0), 8)?;
    } else {
        length("starts of keys", layout.key_starts.len(), subjects.checked_add(1), 8)?;
        rising("starts of keys", file, &layout.key_starts, layout.keys.len() as u64, 8)?;
    }
    length("days", layout.recorded.len(), Some(subjects), 4)?;
    if layout.flags & ONE_ROW_EACH != 0 {
        length("starts of rows", layout.row_starts.len(), Some(0), 4)?;
        if subjects != rows {
            return Err(broken("has one record a subject, but not as many records as subjects".into()));
        }
    } else {
        length("starts of rows", layout.row_starts.len(), subjects.checked_add(1), 4)?;
        rising("starts of rows", file, &layout.row_starts, rows as u64, 4)?;
    }
    if (layout.days.0 == NO_DAY) != (layout.days.1 == NO_DAY) || layout.days.0 > layout.days.1 {
        return Err(broken("has a last day before the first".into()));
    }
    let sections = [&layout.directory, &layout.keys, &layout.key_starts, &layout.row_starts, &layout.recorded];
    if sections.iter().any(|section| !section.start.is_multiple_of(ALIGNMENT)) {
        return Err(broken("has a section at an odd place".into()));
    }
    layout.columns.par_iter().try_for_each(|found| column(file, found, rows))
}

fn column(file: &[u8], column: &ColumnLayout, rows: usize) -> Result<(), Trouble> {
    let name = &*column.name;
    let values = &file[column.values.clone()];
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(broken("has a column without a name".into()));
    }
    match column.kind {
        ColumnKind::Number => {
            length(name, values.len(), Some(rows), 8)?;
            let finite = values
                .par_chunks(PER_TASK)
                .all(|part| part.as_chunks().0.iter().all(|&number| !f64::from_le_bytes(number).is_infinite()));
            require(finite, name, "an infinite number")
        }
        ColumnKind::Flag => {
            length(name, values.len(), Some(rows), 1)?;
            require(values.par_chunks(PER_TASK).all(|part| part.iter().all(|&flag| flag <= 2)), name, "no flag")
        }
        ColumnKind::Date => length(name, values.len(), Some(rows), 4),
        ColumnKind::Text => codes(file, column, rows),
        ColumnKind::Texts => {
            length(name, column.lists.len(), rows.checked_add(1), 8)?;
            let all = if column.width == 0 { 0 } else { values.len() / usize::from(column.width) };
            // Twice the place, and whether it is nothing.
            let lists = file[column.lists.clone()].as_chunks().0;
            let place = |at: usize| u64::from_le_bytes(lists[at]) / 2;
            let rising = (1..rows + 1).into_par_iter().with_min_len(PER_TASK).all(|at| place(at - 1) <= place(at));
            require(rising && place(0) == 0 && place(rows) == all as u64, name, "lists out of their place")?;
            codes(file, column, all)
        }
    }
}

fn codes(file: &[u8], column: &ColumnLayout, count: usize) -> Result<(), Trouble> {
    let (name, width) = (&*column.name, usize::from(column.width));
    require(matches!(width, 1 | 2 | 4), name, "codes of an odd width")?;
    let values = &file[column.values.clone()];
    length(name, values.len(), Some(count), width)?;
    let known = texts(name, file, &column.texts)?;
    if column.has_normal {
        require(texts(name, file, &column.normal)? == known, name, "another number of normal forms")?;
    } else {
        require(column.normal.starts.is_empty() && column.normal.letters.is_empty(), name, "normal forms")?;
    }
    let nothing = (1_u64 << (8 * width)) - 1;
    let fine = values.par_chunks(PER_TASK / width * width).all(|part| {
        part.chunks_exact(width).all(|code| {
            let code = code.iter().rev().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte));
            code == nothing || code < known as u64
        })
    });
    require(fine, name, "a code without a text")
}

/// How many texts there are.
fn texts(name: &str, file: &[u8], places: &TextPlaces) -> Result<usize, Trouble> {
    let count = places.starts.len() / 8;
    require(count > 0 && places.starts.len().is_multiple_of(8), name, "texts of no known number")?;
    rising(name, file, &places.starts, places.letters.len() as u64, 8)?;
    Ok(count - 1)
}

fn require(holds: bool, name: &str, what: &str) -> Result<(), Trouble> {
    if holds { Ok(()) } else { Err(broken(format!("has {what} in {name}"))) }
}

fn length(name: &str, found: usize, count: Option<usize>, width: usize) -> Result<(), Trouble> {
    let wanted = count.and_then(|count| count.checked_mul(width));
    require(wanted == Some(found), name, "too much or too little")
}

/// Whether the numbers of a section begin with 0, never fall, and end with `last`.
fn rising(name: &str, file: &[u8], section: &std::ops::Range<usize>, last: u64, width: usize) -> Result<(), Trouble> {
    let section = &file[section.clone()];
    let number = |at: usize| {
        let bytes = &section[at * width..(at + 1) * width];
        bytes.iter().rev().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte))
    };
    let count = section.len() / width;
    let rises = (1..count).into_par_iter().with_min_len(PER_TASK).all(|at| number(at - 1) <= number(at));
    require(count > 0 && rises && number(0) == 0 && number(count - 1) == last, name, "numbers out of their order")
}
