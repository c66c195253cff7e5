//! An index: the records of one item, to be looked up by subject. Immutable; a newer table is a newer file.
//!
//! A look-up compares the whole key, so that nobody is taken for somebody else. `index_layout` says how a file is laid
//! out, `index_check` what is checked when it is opened, and `index_build` how it is written.

use std::hint::black_box;
use std::ops::Range;
use std::path::Path;

use siphasher::sip::SipHasher13;

use crate::index_check;
use crate::index_layout::{ColumnKind, ColumnLayout, Layout, NO_DAY, NORMAL_KEYS, ONE_ROW_EACH, TextPlaces};
use crate::map::Bytes;
use crate::trouble::Trouble;

/// Look-ups whose memory accesses are under way at once.
const ABREAST: usize = 32;

/// Which form of a text: as the register has it, or its normal form (see [`crate::normal`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    Plain,
    Normal,
}

/// A subject of an index, and its rows: `first` up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub subject: u32,
    pub first: u32,
    pub end: u32,
}

impl Found {
    /// How many records the subject has.
    pub fn rows(self) -> u32 {
        self.end - self.first
    }
}

/// The records of one item.
#[derive(Debug)]
pub struct Index {
    bytes: Bytes,
    layout: Layout,
    hasher: SipHasher13,
}

impl Index {
    /// The index in a file, mapped into memory. All of it is read once, for its checksum and every place in it.
    ///
    /// Troubles: `INDEX_IO`, `INDEX_FORMAT`, `INDEX_VERSION`, `INDEX_CHECKSUM`.
    pub fn open(path: &Path) -> Result<Self, Trouble> {
        Self::new(Bytes::of_file(path)?).map_err(|trouble| trouble.within(&path.display().to_string()))
    }

    /// The index in memory. Troubles: as of `open`.
    pub fn of_bytes(bytes: Vec<u8>) -> Result<Self, Trouble> {
        Self::new(Bytes::Held(bytes))
    }

    fn new(bytes: Bytes) -> Result<Self, Trouble> {
        let (layout, digest) = Layout::read(&bytes)?;
        index_check::whole(&bytes, &digest)?;
        index_check::places(&bytes, &layout)?;
        let hasher = SipHasher13::new_with_key(&layout.hash_key);
        Ok(Self { bytes, layout, hasher })
    }

    pub fn item(&self) -> &str {
        &self.layout.item
    }

    /// The field by which records are found; empty: the file does not say.
    pub fn key_field(&self) -> &str {
        &self.layout.key
    }

    pub fn subjects(&self) -> usize {
        self.layout.subjects
    }

    pub fn rows(&self) -> usize {
        self.layout.rows
    }

    pub fn file_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether keys are in their normal form: whoever looks one up has to bring it into that form.
    pub fn has_normal_keys(&self) -> bool {
        self.layout.flags & NORMAL_KEYS != 0
    }

    /// Of the records with a day, the first and the last, in days since 1970.
    pub fn days(&self) -> Option<(i32, i32)> {
        (self.layout.days.0 != NO_DAY).then_some(self.layout.days)
    }

    /// The columns' names and kinds, and whether texts have normal forms.
    pub fn columns(&self) -> impl Iterator<Item = (&str, ColumnKind, bool)> {
        self.layout.columns.iter().map(|column| (&*column.name, column.kind, column.has_normal))
    }

    /// The place of a column. None: there is none of that name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.layout.columns.binary_search_by(|column| (*column.name).cmp(name)).ok()
    }

    pub fn kind(&self, column: usize) -> Option<(ColumnKind, bool)> {
        self.layout.columns.get(column).map(|column| (column.kind, column.has_normal))
    }

    /// The subject with this key, or None.
    pub fn find(&self, key: &[u8]) -> Option<Found> {
        let (first, end) = self.bucket(self.hasher.hash(key));
        let subject = (first..end).find(|&subject| self.key(subject as usize) == Some(key))?;
        Some(self.found(subject))
    }

    /// The subjects with these keys, in their order. What one look-up waits for in memory, others do too at the time.
    pub fn find_many<'k>(&self, keys: impl ExactSizeIterator<Item = &'k [u8]> + Clone, out: &mut Vec<Option<Found>>) {
        out.clear();
        out.reserve(keys.len());
        let mut keys = keys;
        let mut buckets = [(0_u32, 0_u32); ABREAST];
        while keys.len() > 0 {
            let several = keys.clone().take(ABREAST);
            for (bucket, key) in buckets.iter_mut().zip(several.clone()) {
                *bucket = self.bucket(self.hasher.hash(key));
            }
            // Nothing depends on what is read here, so that the processor goes on to the next read at once.
            let mut touched = 0_u8;
            for (first, _) in &buckets[..several.len()] {
                let place = self.layout.key_bytes * *first as usize;
                touched ^= self.bytes.get(self.layout.keys.start + place).copied().unwrap_or_default();
                touched ^= self.bytes.get(self.layout.row_starts.start + 4 * *first as usize).copied().unwrap_or(0);
            }
            black_box(touched);
            for (&(first, end), key) in buckets.iter().zip(several) {
                let subject = (first..end).find(|&subject| self.key(subject as usize) == Some(key));
                out.push(subject.map(|subject| self.found(subject)));
            }
            keys.nth(ABREAST - 1);
        }
    }

    /// The day of the subject's latest record, in days since 1970.
    pub fn recorded(&self, found: Found) -> Option<i32> {
        self.i32_at(&self.layout.recorded, found.subject as usize).filter(|&day| day != NO_DAY)
    }

    /// The number of a row; None: the record says nothing, or this is no such column. So are the others.
    #[inline]
    pub fn number(&self, column: usize, row: u32) -> Option<f64> {
        let column = self.of_kind(column, ColumnKind::Number)?;
        Some(f64::from_le_bytes(self.eight(&column.values, row as usize)?)).filter(|number| !number.is_nan())
    }

    #[inline]
    pub fn flag(&self, column: usize, row: u32) -> Option<bool> {
        let column = self.of_kind(column, ColumnKind::Flag)?;
        match self.bytes[column.values.clone()].get(row as usize) {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        }
    }

    #[inline]
    pub fn date(&self, column: usize, row: u32) -> Option<i32> {
        let column = self.of_kind(column, ColumnKind::Date)?;
        self.i32_at(&column.values, row as usize).filter(|&day| day != NO_DAY)
    }

    #[inline]
    pub fn text(&self, column: usize, row: u32, form: Form) -> Option<&[u8]> {
        let column = self.of_kind(column, ColumnKind::Text)?;
        self.letters(column, self.code(column, row as usize)?, form)
    }

    /// Several values of a row.
    pub fn texts(&self, column: usize, row: u32, form: Form) -> Option<Texts<'_>> {
        let layout = self.of_kind(column, ColumnKind::Texts)?;
        let start = u64::from_le_bytes(self.eight(&layout.lists, row as usize)?);
        let end = u64::from_le_bytes(self.eight(&layout.lists, row as usize + 1)?);
        (start & 1 == 0).then_some(Texts {
            index: self,
            column,
            places: (start / 2) as usize..(end / 2) as usize,
            form,
        })
    }

    fn bucket(&self, hash: u64) -> (u32, u32) {
        let bucket = bucket_of(hash, self.layout.directory_bits);
        let place = self.layout.directory.start + 4 * bucket;
        match self.bytes.get(place..place + 8) {
            Some(&[a, b, c, d, e, f, g, h]) => (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])),
            _ => (0, 0),
        }
    }

    fn key(&self, subject: usize) -> Option<&[u8]> {
        let keys = &self.bytes[self.layout.keys.clone()];
        if self.layout.key_bytes > 0 {
            return keys.get(subject * self.layout.key_bytes..(subject + 1) * self.layout.key_bytes);
        }
        let start = u64::from_le_bytes(self.eight(&self.layout.key_starts, subject)?);
        let end = u64::from_le_bytes(self.eight(&self.layout.key_starts, subject + 1)?);
        keys.get(start as usize..end as usize)
    }

    fn found(&self, subject: u32) -> Found {
        if self.layout.flags & ONE_ROW_EACH != 0 {
            return Found { subject, first: subject, end: subject + 1 };
        }
        let row = |place| self.i32_at(&self.layout.row_starts, place).unwrap_or_default().cast_unsigned();
        let first = row(subject as usize);
        Found { subject, first, end: row(subject as usize + 1).max(first) }
    }

    fn of_kind(&self, column: usize, kind: ColumnKind) -> Option<&ColumnLayout> {
        self.layout.columns.get(column).filter(|column| column.kind == kind)
    }

    fn code(&self, column: &ColumnLayout, row: usize) -> Option<usize> {
        let codes = &self.bytes[column.values.clone()];
        match column.width {
            1 => codes.get(row).filter(|&&code| code != u8::MAX).map(|&code| usize::from(code)),
            2 => {
                let code = u16::from_le_bytes(*codes.get(2 * row..)?.first_chunk()?);
                (code != u16::MAX).then_some(usize::from(code))
            }
            _ => {
                let code = u32::from_le_bytes(*codes.get(4 * row..)?.first_chunk()?);
                (code != u32::MAX).then_some(code as usize)
            }
        }
    }

    fn letters(&self, column: &ColumnLayout, code: usize, form: Form) -> Option<&[u8]> {
        let places: &TextPlaces = match form {
            Form::Plain => &column.texts,
            Form::Normal => &column.normal,
        };
        let starts = self.bytes[places.starts.clone()].get(8 * code..)?;
        let start = u64::from_le_bytes(*starts.first_chunk()?);
        let end = u64::from_le_bytes(*starts.get(8..)?.first_chunk()?);
        self.bytes[places.letters.clone()].get(start as usize..end as usize)
    }

    fn eight(&self, section: &Range<usize>, place: usize) -> Option<[u8; 8]> {
        self.bytes[section.clone()].get(8 * place..)?.first_chunk().copied()
    }

    fn i32_at(&self, section: &Range<usize>, place: usize) -> Option<i32> {
        self.bytes[section.clone()].get(4 * place..)?.first_chunk().copied().map(i32::from_le_bytes)
    }
}

/// Several values of a record.
#[derive(Debug, Clone)]
pub struct Texts<'a> {
    index: &'a Index,
    column: usize,
    places: Range<usize>,
    form: Form,
}

impl Texts<'_> {
    pub fn contains(&self, text: &[u8]) -> bool {
        self.values().any(|value| value == text)
    }

    pub fn values(&self) -> impl Iterator<Item = &[u8]> {
        let column = &self.index.layout.columns[self.column];
        self.places.clone().filter_map(|place| self.index.letters(column, self.index.code(column, place)?, self.form))
    }
}

/// The bucket of a hash: its first bits.
pub(crate) fn bucket_of(hash: u64, bits: u32) -> usize {
    // A shift by all 64 bits is none, and there is one bucket then.
    hash.checked_shr(64 - bits).unwrap_or_default() as usize
}
