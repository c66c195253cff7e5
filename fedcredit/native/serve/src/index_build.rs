//! Building an index: records come in chunks, in any order; the file has them by subject.
//!
//! Memory is that of the columns and 20 bytes a record for putting them in order; past a bound that the caller sets
//! nothing more is taken. A subject's records stay in the order in which they came.

use std::io;
use std::path::Path;

use rayon::prelude::*;
use siphasher::sip::SipHasher13;

use crate::index::bucket_of;
use crate::index_columns::{Buffer, DAYS, Dictionary, NOTHING, TextSlices, Values};
use crate::index_layout::{
    ColumnKind, ColumnLayout, Layout, MAX_COLUMNS, MAX_NAME, MAX_ROWS, NO_DAY, NORMAL_KEYS, ONE_ROW_EACH, TextPlaces,
};
use crate::index_write::Writer;
use crate::normal::normal;
use crate::trouble::Trouble;

/// Bytes of a key at most.
pub const MAX_KEY: usize = 1024;

/// Rows that are gathered before they are written.
const AT_ONCE: usize = 1 << 19;
/// Rows that a task gathers.
const PER_TASK: usize = 1 << 12;

/// What an index is to have.
#[derive(Debug, Clone)]
pub struct Plan {
    pub item: String,
    /// The field by which records are found; empty: not said.
    pub key: String,
    /// Names, kinds, and whether the normal forms of texts are kept.
    pub columns: Vec<(String, ColumnKind, bool)>,
    /// Whether keys are brought into their normal form, as those of a register that is kept by name.
    pub has_normal_keys: bool,
    /// Memory for records at most, in bytes.
    pub max_bytes: usize,
}

/// Records, column by column, in the order of the plan; `None` for what is known: all of them.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    pub keys: TextSlices<'a>,
    /// The day of each record, in days since 1970.
    pub days: Option<&'a [i32]>,
    pub days_known: Option<&'a [u8]>,
    pub columns: &'a [(Values<'a>, Option<&'a [u8]>)],
}

/// An index under way.
#[derive(Debug)]
pub struct Builder {
    plan: Plan,
    hash_key: [u8; 16],
    letters: Vec<u8>,
    starts: Vec<u64>,
    days: Vec<i32>,
    columns: Vec<Buffer>,
}

impl Builder {
    /// Troubles: `INDEX_INPUT`, where names are empty, too long, or there twice; `INDEX_IO`, without randomness.
    pub fn new(mut plan: Plan) -> Result<Self, Trouble> {
        plan.columns.sort();
        let names = || plan.columns.iter().map(|(name, _, _)| name.as_str()).chain([plan.item.as_str()]);
        if plan.columns.len() > MAX_COLUMNS
            || names().any(|name| name.is_empty() || name.len() > MAX_NAME)
            || plan.key.len() > MAX_NAME
        {
            return Err(Trouble::new(
                "INDEX_INPUT",
                "plan",
                "has too many columns, or a name that is empty or too long",
            ));
        }
        if let Some(twice) = plan.columns.windows(2).find(|two| two[0].0 == two[1].0) {
            return Err(Trouble::new("INDEX_INPUT", format!("column {}", twice[0].0), "is there twice"));
        }
        let mut hash_key = [0; 16];
        getrandom::fill(&mut hash_key).map_err(|error| Trouble::new("INDEX_IO", "randomness", error.to_string()))?;
        let columns = plan.columns.iter().map(|(_, kind, _)| Buffer::new(*kind, &hash_key)).collect();
        Ok(Self { plan, hash_key, letters: Vec::new(), starts: vec![0], days: Vec::new(), columns })
    }

    /// The columns' names, in the order in which a chunk has them.
    pub fn columns(&self) -> impl Iterator<Item = (&str, ColumnKind)> {
        self.plan.columns.iter().map(|(name, kind, _)| (name.as_str(), *kind))
    }

    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Takes more records. After an error the builder is of no use any more.
    ///
    /// Troubles: `INDEX_INPUT`, where something is not what the plan says; `INDEX_LIMIT`, where it is too much.
    pub fn push(&mut self, chunk: &Chunk<'_>) -> Result<(), Trouble> {
        let keys = chunk.keys.checked("keys")?;
        let rows = keys.count();
        if (self.rows() + rows) as u64 > MAX_ROWS {
            return Err(Trouble::new("INDEX_LIMIT", "records", format!("are more than {MAX_ROWS}")));
        }
        if chunk.columns.len() != self.columns.len() {
            return Err(Trouble::new("INDEX_INPUT", "columns", "are not those of the plan"));
        }
        self.push_keys((0..rows).map(|row| keys.text(row)))?;
        self.push_days(chunk, rows)?;
        let named = self.columns.par_iter_mut().zip(&self.plan.columns).zip(chunk.columns);
        named.try_for_each(|((buffer, (name, _, _)), (values, known))| buffer.push(name, values, *known, rows))?;
        // Putting records in order takes a hash and a place for each, twice.
        let held = self.columns.iter().map(Buffer::held_bytes).sum::<usize>()
            + self.letters.len()
            + (8 + 4 + 20) * self.rows();
        if held > self.plan.max_bytes {
            let what = format!("take more than the {} MiB that are allowed", self.plan.max_bytes >> 20);
            return Err(Trouble::new("INDEX_LIMIT", "records", what));
        }
        Ok(())
    }

    fn push_keys<'k>(&mut self, keys: impl Iterator<Item = &'k str>) -> Result<(), Trouble> {
        for (row, key) in keys.enumerate() {
            let folded = self.plan.has_normal_keys.then(|| normal(key));
            let key = folded.as_deref().unwrap_or(key);
            if key.is_empty() || key.len() > MAX_KEY {
                return Err(Trouble::new(
                    "INDEX_INPUT",
                    format!("record {row}"),
                    "has a key that is empty or too long",
                ));
            }
            self.letters.extend_from_slice(key.as_bytes());
            self.starts.push(self.letters.len() as u64);
        }
        Ok(())
    }

    fn push_days(&mut self, chunk: &Chunk<'_>, rows: usize) -> Result<(), Trouble> {
        let Some(days) = chunk.days else {
            self.days.resize(self.days.len() + rows, NO_DAY);
            return Ok(());
        };
        if days.len() != rows || chunk.days_known.is_some_and(|known| known.len() != rows) {
            return Err(Trouble::new("INDEX_INPUT", "days", "are not one a record"));
        }
        let known = |row: usize| chunk.days_known.is_none_or(|known| known[row] != 0);
        if days.iter().enumerate().any(|(row, day)| known(row) && !DAYS.contains(day)) {
            return Err(Trouble::new("INDEX_INPUT", "days", "are not of the years 1 to 9999"));
        }
        self.days.extend(days.iter().enumerate().map(|(row, &day)| if known(row) { day } else { NO_DAY }));
        Ok(())
    }

    /// Writes the file, on disk and in place when this returns; it replaces one that was there. Returns its bytes.
    ///
    /// Troubles: `INDEX_IO`.
    pub fn finish(self, path: &Path) -> Result<usize, Trouble> {
        self.write(path).map_err(|error| Trouble::new("INDEX_IO", path.display().to_string(), error.to_string()))
    }

    fn key(&self, row: u32) -> &[u8] {
        &self.letters[self.starts[row as usize] as usize..self.starts[row as usize + 1] as usize]
    }

    fn write(mut self, path: &Path) -> io::Result<usize> {
        let (order, subjects, directory_bits, directory) = self.order();
        let mut out = Writer::new(path)?;
        let directory = out.section(&bytes_of_u32(&directory))?;
        let (keys, key_starts, key_bytes) = self.put_keys(&mut out, &order, &subjects)?;
        (self.letters, self.starts) = (Vec::new(), Vec::new());
        let has_one_each = subjects.len() - 1 == order.len();
        let row_starts = out.section(&if has_one_each { Vec::new() } else { bytes_of_u32(&subjects) })?;
        let recorded: Vec<u8> = subjects
            .par_windows(2)
            .with_min_len(PER_TASK)
            .flat_map_iter(|rows| {
                let days = order[rows[0] as usize..rows[1] as usize].iter().map(|&row| self.days[row as usize]);
                days.max().unwrap_or(NO_DAY).to_le_bytes()
            })
            .collect();
        let recorded = out.section(&recorded)?;
        let known = || self.days.par_iter().copied().filter(|&day| day != NO_DAY);
        let days = (known().min().unwrap_or(NO_DAY), known().max().unwrap_or(NO_DAY));
        let mut columns = Vec::with_capacity(self.columns.len());
        for (buffer, (name, kind, has_normal)) in std::mem::take(&mut self.columns).into_iter().zip(&self.plan.columns)
        {
            columns.push(put_column(&mut out, buffer, name, *kind, *has_normal, &order)?);
        }
        let flags = if has_one_each { ONE_ROW_EACH } else { 0 };
        out.finish(&Layout {
            flags: flags | if self.plan.has_normal_keys { NORMAL_KEYS } else { 0 },
            hash_key: self.hash_key,
            subjects: subjects.len() - 1,
            rows: order.len(),
            directory_bits,
            key_bytes,
            days,
            item: self.plan.item.as_str().into(),
            key: self.plan.key.as_str().into(),
            directory,
            keys,
            key_starts,
            row_starts,
            recorded,
            columns,
        })
    }

    /// The rows by subject; where each subject's begin, and one more; and the directory with its bits.
    fn order(&self) -> (Vec<u32>, Vec<u32>, u32, Vec<u32>) {
        let hasher = SipHasher13::new_with_key(&self.hash_key);
        let mut order: Vec<(u64, u32)> = (0..self.rows() as u32)
            .into_par_iter()
            .with_min_len(PER_TASK)
            .map(|row| (hasher.hash(self.key(row)), row))
            .collect();
        order.par_sort_unstable();
        // Two keys of one hash are rare, and their records must not lie between each other.
        for run in order.chunk_by_mut(|first, second| first.0 == second.0).filter(|run| run.len() > 1) {
            if run.iter().any(|&(_, row)| self.key(row) != self.key(run[0].1)) {
                run.sort_unstable_by_key(|&(_, row)| (self.key(row), row));
            }
        }
        let mut subjects = Vec::new();
        let mut hashes = Vec::new();
        for (place, &(hash, row)) in order.iter().enumerate() {
            let is_new = place == 0 || hash != order[place - 1].0 || self.key(row) != self.key(order[place - 1].1);
            if is_new {
                subjects.push(place as u32);
                hashes.push(hash);
            }
        }
        subjects.push(order.len() as u32);
        // About two subjects a bucket, or fewer.
        let bits = (hashes.len() / 2).max(1).next_power_of_two().trailing_zeros();
        let mut directory = vec![0_u32; (1 << bits) + 1];
        for &hash in &hashes {
            directory[bucket_of(hash, bits) + 1] += 1;
        }
        for bucket in 1..directory.len() {
            directory[bucket] += directory[bucket - 1];
        }
        (order.into_par_iter().map(|(_, row)| row).collect(), subjects, bits, directory)
    }

    fn put_keys(
        &self,
        out: &mut Writer,
        order: &[u32],
        subjects: &[u32],
    ) -> io::Result<(std::ops::Range<usize>, std::ops::Range<usize>, usize)> {
        let firsts = &subjects[..subjects.len() - 1];
        let key = |place: &u32| self.key(order[*place as usize]);
        let length = firsts.first().map_or(0, |place| key(place).len());
        let is_even = firsts.par_iter().all(|place| key(place).len() == length);
        let start = out.begin()?;
        let mut ends = Vec::with_capacity(if is_even { 0 } else { subjects.len() });
        let mut end = 0_u64;
        for place in firsts {
            if !is_even {
                ends.push(end);
                end += key(place).len() as u64;
            }
            out.put(key(place))?;
        }
        let keys = out.end(start);
        if is_even && length > 0 {
            return Ok((keys, out.section(&[])?, length));
        }
        ends.push(end);
        Ok((keys, out.section(&bytes_of_u64(&ends))?, 0))
    }
}

fn put_column(
    out: &mut Writer,
    buffer: Buffer,
    name: &str,
    kind: ColumnKind,
    has_normal: bool,
    order: &[u32],
) -> io::Result<ColumnLayout> {
    let mut column = ColumnLayout {
        name: name.into(),
        kind,
        width: 0,
        has_normal: false,
        values: 0..0,
        lists: 0..0,
        texts: TextPlaces::default(),
        normal: TextPlaces::default(),
    };
    match buffer {
        Buffer::Numbers(held) => column.values = gather(out, order, |row| held[row].to_le_bytes())?,
        Buffer::Flags(held) => column.values = gather(out, order, |row| [held[row]])?,
        Buffer::Dates(held) => column.values = gather(out, order, |row| held[row].to_le_bytes())?,
        Buffer::Text { codes, dictionary } => {
            put_texts(out, &dictionary, has_normal, &mut column)?;
            // The code of nothing has all bits set in every width.
            column.values = match column.width {
                1 => gather(out, order, |row| [codes[row] as u8])?,
                2 => gather(out, order, |row| (codes[row] as u16).to_le_bytes())?,
                _ => gather(out, order, |row| codes[row].to_le_bytes())?,
            };
        }
        Buffer::Texts { mut lists, codes, dictionary } => {
            put_texts(out, &dictionary, has_normal, &mut column)?;
            lists.push(2 * codes.len() as u64);
            let of_row = |row: u32| (lists[row as usize] / 2) as usize..(lists[row as usize + 1] / 2) as usize;
            let mut place = 0_u64;
            let start = out.begin()?;
            for &row in order {
                out.put(&(2 * place + (lists[row as usize] & 1)).to_le_bytes())?;
                place += of_row(row).len() as u64;
            }
            out.put(&(2 * place).to_le_bytes())?;
            column.lists = out.end(start);
            let start = out.begin()?;
            for code in order.iter().flat_map(|&row| &codes[of_row(row)]) {
                out.put(&code.to_le_bytes()[..usize::from(column.width)])?;
            }
            column.values = out.end(start);
        }
    }
    Ok(column)
}

fn put_texts(out: &mut Writer, dictionary: &Dictionary, has_normal: bool, column: &mut ColumnLayout) -> io::Result<()> {
    column.width = match dictionary.count() {
        0..0xff => 1,
        0xff..0xffff => 2,
        _ => 4,
    };
    column.texts = TextPlaces {
        starts: out.section(&bytes_of_u64(&dictionary.starts))?,
        letters: out.section(&dictionary.letters)?,
    };
    if has_normal {
        let (letters, starts) = dictionary.normal_forms();
        column.has_normal = true;
        column.normal = TextPlaces { starts: out.section(&bytes_of_u64(&starts))?, letters: out.section(&letters)? };
    }
    Ok(())
}

/// A section with `N` bytes of each row, in order.
fn gather<const N: usize>(
    out: &mut Writer,
    order: &[u32],
    bytes: impl Fn(usize) -> [u8; N] + Sync,
) -> io::Result<std::ops::Range<usize>> {
    let start = out.begin()?;
    let mut held = vec![[0; N]; AT_ONCE.min(order.len())];
    for rows in order.chunks(AT_ONCE) {
        let held = &mut held[..rows.len()];
        held.par_iter_mut().zip(rows).with_min_len(PER_TASK).for_each(|(out, &row)| *out = bytes(row as usize));
        out.put(held.as_flattened())?;
    }
    Ok(out.end(start))
}

fn bytes_of_u32(numbers: &[u32]) -> Vec<u8> {
    numbers.par_iter().with_min_len(PER_TASK).flat_map_iter(|number| number.to_le_bytes()).collect()
}

fn bytes_of_u64(numbers: &[u64]) -> Vec<u8> {
    numbers.par_iter().with_min_len(PER_TASK).flat_map_iter(|number| number.to_le_bytes()).collect()
}

const _: () = assert!(NOTHING as u8 == u8::MAX && NOTHING as u16 == u16::MAX);
