//! How an index file is laid out, and the reading of what says so. All numbers are little-endian.
//!
//! ```text
//! 0    magic (8), version u32, flags u32, bytes of the file u64, hash key (16), subjects u64, rows u64
//! 56   bits of the directory u32, bytes of a key u32, columns u32, first and last record day i32 i32, zero u32
//! 80   table: place u64, bytes u64
//! 96   BLAKE3 of bytes 0 to 96 and the BLAKE3 of all from 128 on
//! 128  the sections, each from a multiple of 64 on
//! ...  the table: item, key field, places of the sections, and each column's name, kind and places
//! ```
//!
//! Subjects lie in the order of the keyed hash of their keys. The directory says where the subjects begin whose hash
//! begins with which bits; there are about two in each of its buckets, whose keys are compared whole.

use std::ops::Range;

use crate::trouble::Trouble;

pub const MAGIC: [u8; 8] = *b"FCINDEX\n";
pub const VERSION: u32 = 1;
pub const HEADER_BYTES: usize = 128;
pub const DIGEST_AT: usize = 96;
pub const ALIGNMENT: usize = 64;
/// More columns, or a longer name, is no index.
pub const MAX_COLUMNS: usize = 1000;
pub const MAX_NAME: usize = 200;
/// Positions of rows and subjects are u32.
pub const MAX_ROWS: u64 = u32::MAX as u64 - 1;

pub const ONE_ROW_EACH: u32 = 1;
pub const NORMAL_KEYS: u32 = 2;
const KNOWN_FLAGS: u32 = ONE_ROW_EACH | NORMAL_KEYS;

/// A day that is not known, among days.
pub const NO_DAY: i32 = i32::MIN;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ColumnKind {
    /// f64 a row; NaN: nothing.
    Number = 1,
    /// u8 a row: 0, 1, or 2: nothing.
    Flag = 2,
    /// i32 a row, days since 1970; `NO_DAY`: nothing.
    Date = 3,
    /// A code a row, of `width` bytes, into the column's texts; the largest code: nothing.
    Text = 4,
    /// Codes as those of a text, and where a row's begin: u64 a row and one more, twice the place, plus 1: nothing.
    Texts = 5,
}

impl ColumnKind {
    pub const ALL: [Self; 5] = [Self::Number, Self::Flag, Self::Date, Self::Text, Self::Texts];

    /// Its name in programs and catalogs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Flag => "flag",
            Self::Date => "date",
            Self::Text => "text",
            Self::Texts => "texts",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }
}

/// Texts in one piece and where they begin: u64 a text, and one more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextPlaces {
    pub starts: Range<usize>,
    pub letters: Range<usize>,
}

/// Where a column lies. Places that its kind does not have are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnLayout {
    pub name: Box<str>,
    pub kind: ColumnKind,
    /// Bytes of a code.
    pub width: u8,
    /// Whether there are the texts' normal forms too.
    pub has_normal: bool,
    pub values: Range<usize>,
    pub lists: Range<usize>,
    pub texts: TextPlaces,
    pub normal: TextPlaces,
}

/// What header and table say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub flags: u32,
    pub hash_key: [u8; 16],
    pub subjects: usize,
    pub rows: usize,
    pub directory_bits: u32,
    /// Bytes of every key; 0: they differ, and `key_starts` says where they begin.
    pub key_bytes: usize,
    /// Of the records with a day, the first and the last; `NO_DAY`: there is none.
    pub days: (i32, i32),
    pub item: Box<str>,
    /// The field by which records are found; empty: not said.
    pub key: Box<str>,
    pub directory: Range<usize>,
    pub keys: Range<usize>,
    pub key_starts: Range<usize>,
    /// u32 a subject and one more: where its rows begin. Empty if everyone has one.
    pub row_starts: Range<usize>,
    /// i32 a subject: the day of its latest record.
    pub recorded: Range<usize>,
    pub columns: Vec<ColumnLayout>,
}

fn broken(what: &str) -> Trouble {
    Trouble::new("INDEX_FORMAT", "", what)
}

/// Reads a byte string from its beginning; what is not there is an error.
struct Reader<'a> {
    left: &'a [u8],
    file: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Trouble> {
        let (found, left) = self.left.split_at_checked(bytes).ok_or_else(|| broken("ends too early"))?;
        self.left = left;
        Ok(found)
    }

    fn exact<const N: usize>(&mut self) -> Result<[u8; N], Trouble> {
        let found = self.take(N)?;
        Ok(std::array::from_fn(|place| found[place]))
    }

    fn u32(&mut self) -> Result<u32, Trouble> {
        Ok(u32::from_le_bytes(self.exact()?))
    }

    fn u64(&mut self) -> Result<u64, Trouble> {
        Ok(u64::from_le_bytes(self.exact()?))
    }

    fn name(&mut self) -> Result<Box<str>, Trouble> {
        let length = usize::from(u16::from_le_bytes(self.exact()?));
        if length > MAX_NAME {
            return Err(broken("has a name that is too long"));
        }
        Ok(std::str::from_utf8(self.take(length)?).map_err(|_| broken("has a name that is no text"))?.into())
    }

    fn range(&mut self) -> Result<Range<usize>, Trouble> {
        let (place, bytes) = (self.u64()?, self.u64()?);
        let end = place.checked_add(bytes).and_then(|end| usize::try_from(end).ok());
        let start = usize::try_from(place).ok();
        match (start, end) {
            (Some(start), Some(end)) if start >= HEADER_BYTES && end <= self.file => Ok(start..end),
            _ => Err(broken("has a section outside of the file")),
        }
    }

    fn texts(&mut self) -> Result<TextPlaces, Trouble> {
        Ok(TextPlaces { starts: self.range()?, letters: self.range()? })
    }
}

impl Layout {
    /// What the header and the table of `file` say, with every place inside of the file; and the file's digest.
    ///
    /// Troubles: `INDEX_FORMAT`, `INDEX_VERSION`.
    pub fn read(file: &[u8]) -> Result<(Self, [u8; 32]), Trouble> {
        let mut header = Reader { left: file.get(..HEADER_BYTES).unwrap_or(file), file: file.len() };
        if header.exact::<8>()? != MAGIC {
            return Err(broken("is no index"));
        }
        let version = header.u32()?;
        if version != VERSION {
            return Err(Trouble::new("INDEX_VERSION", "", format!("is of version {version}, not {VERSION}")));
        }
        let flags = header.u32()?;
        if flags & !KNOWN_FLAGS != 0 || header.u64()? != file.len() as u64 {
            return Err(broken("is not as long as it says, or says what this version does not know"));
        }
        let hash_key = header.exact()?;
        let (subjects, rows) = (header.u64()?, header.u64()?);
        let (directory_bits, key_bytes, columns) = (header.u32()?, header.u32()?, header.u32()? as usize);
        let days = (header.u32()?.cast_signed(), header.u32()?.cast_signed());
        if header.u32()? != 0 || subjects > rows || rows > MAX_ROWS || directory_bits > 32 || columns > MAX_COLUMNS {
            return Err(broken("has a header that cannot be"));
        }
        let table = header.range()?;
        let digest = header.exact()?;
        let mut table = Reader { left: &file[table], file: file.len() };
        let (item, key) = (table.name()?, table.name()?);
        let mut ranges: [Range<usize>; 5] = Default::default();
        for range in &mut ranges {
            *range = table.range()?;
        }
        let [directory, keys, key_starts, row_starts, recorded] = ranges;
        let columns: Vec<ColumnLayout> = (0..columns).map(|_| column(&mut table)).collect::<Result<_, _>>()?;
        if !table.left.is_empty() || !columns.is_sorted_by(|first, second| first.name < second.name) {
            return Err(broken("has a table with something after it, or columns out of order"));
        }
        // At most u32::MAX, which a usize holds.
        let (subjects, rows, key_bytes) = (subjects as usize, rows as usize, key_bytes as usize);
        let layout = Self {
            flags,
            hash_key,
            subjects,
            rows,
            directory_bits,
            key_bytes,
            days,
            item,
            key,
            directory,
            keys,
            key_starts,
            row_starts,
            recorded,
            columns,
        };
        Ok((layout, digest))
    }

    /// The header, with the digest left out, for a file of so many bytes with its table at that place.
    pub fn header(&self, file_bytes: u64, table_at: u64, table_bytes: u64) -> [u8; HEADER_BYTES] {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend(MAGIC);
        out.extend([VERSION, self.flags].into_iter().flat_map(u32::to_le_bytes));
        out.extend(file_bytes.to_le_bytes());
        out.extend(self.hash_key);
        out.extend([self.subjects as u64, self.rows as u64].into_iter().flat_map(u64::to_le_bytes));
        let (key_bytes, columns) = (self.key_bytes as u32, self.columns.len() as u32);
        let (first, last) = (self.days.0.cast_unsigned(), self.days.1.cast_unsigned());
        out.extend([self.directory_bits, key_bytes, columns, first, last, 0].into_iter().flat_map(u32::to_le_bytes));
        out.extend([table_at, table_bytes].into_iter().flat_map(u64::to_le_bytes));
        out.resize(HEADER_BYTES, 0);
        std::array::from_fn(|place| out[place])
    }

    /// The table.
    pub fn table(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_name(&mut out, &self.item);
        put_name(&mut out, &self.key);
        for range in [&self.directory, &self.keys, &self.key_starts, &self.row_starts, &self.recorded] {
            put_range(&mut out, range);
        }
        for column in &self.columns {
            put_name(&mut out, &column.name);
            out.extend([column.kind as u8, column.width, u8::from(column.has_normal), 0]);
            let (texts, normal) = (&column.texts, &column.normal);
            for range in [&column.values, &column.lists, &texts.starts, &texts.letters, &normal.starts, &normal.letters]
            {
                put_range(&mut out, range);
            }
        }
        out
    }
}

fn column(table: &mut Reader<'_>) -> Result<ColumnLayout, Trouble> {
    let name = table.name()?;
    let [kind, width, has_normal, zero] = table.exact()?;
    let kind = ColumnKind::ALL.into_iter().find(|&one| one as u8 == kind);
    let (Some(kind), 0..=1, 0) = (kind, has_normal, zero) else {
        return Err(broken("has a column of no known kind"));
    };
    let (values, lists) = (table.range()?, table.range()?);
    let (texts, normal) = (table.texts()?, table.texts()?);
    Ok(ColumnLayout { name, kind, width, has_normal: has_normal == 1, values, lists, texts, normal })
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    out.extend((name.len() as u16).to_le_bytes());
    out.extend(name.as_bytes());
}

fn put_range(out: &mut Vec<u8>, range: &Range<usize>) {
    // An empty place is the first that can be, so that it is inside of any file.
    let start = range.start.max(HEADER_BYTES);
    out.extend((start as u64).to_le_bytes());
    out.extend((range.len() as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_as_long_as_it_is_said_to_be() {
        let layout = Layout {
            flags: 0,
            hash_key: [1; 16],
            subjects: 2,
            rows: 3,
            directory_bits: 4,
            key_bytes: 5,
            days: (NO_DAY, -1),
            item: "x".into(),
            key: "".into(),
            directory: 0..0,
            keys: 0..0,
            key_starts: 0..0,
            row_starts: 0..0,
            recorded: 0..0,
            columns: Vec::new(),
        };
        let header = layout.header(7, 128, 9);
        assert_eq!(header[DIGEST_AT - 16..DIGEST_AT], [128, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
    }
}
