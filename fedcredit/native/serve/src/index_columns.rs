//! The columns of an index that is being built, in the order in which records come.

use hashbrown::HashTable;
use rayon::prelude::*;
use siphasher::sip::SipHasher13;

use crate::index_layout::{ColumnKind, NO_DAY};
use crate::normal::normal;
use crate::trouble::Trouble;

/// Days of the years 1 to 9999, which is what a date can be.
pub const DAYS: std::ops::RangeInclusive<i32> = -719_162..=2_932_896;

/// The code of nothing, before codes have their final width.
pub const NOTHING: u32 = u32::MAX;

/// Texts one after the other: `starts` has where each begins in `letters`, and one more, as in Arrow.
#[derive(Debug, Clone, Copy)]
pub struct TextSlices<'a> {
    pub starts: &'a [i64],
    pub letters: &'a [u8],
}

impl<'a> TextSlices<'a> {
    /// The texts as slices of one string. Troubles: `INDEX_INPUT`.
    pub fn checked(self, place: &str) -> Result<CheckedTexts<'a>, Trouble> {
        let bad = |what: &str| Trouble::new("INDEX_INPUT", place, what);
        let letters = std::str::from_utf8(self.letters).map_err(|_| bad("is not UTF-8"))?;
        let fits = |&start: &i64| usize::try_from(start).is_ok_and(|start| letters.is_char_boundary(start));
        if self.starts.is_empty() || !self.starts.is_sorted() || !self.starts.par_iter().all(fits) {
            return Err(bad("has starts that are none"));
        }
        Ok(CheckedTexts { starts: self.starts, letters })
    }
}

/// Texts of which every start has been checked.
#[derive(Debug, Clone, Copy)]
pub struct CheckedTexts<'a> {
    starts: &'a [i64],
    letters: &'a str,
}

impl<'a> CheckedTexts<'a> {
    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn text(&self, place: usize) -> &'a str {
        &self.letters[self.starts[place] as usize..self.starts[place + 1] as usize]
    }
}

/// Values of a column, a row each.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    Numbers(&'a [f64]),
    Flags(&'a [u8]),
    /// Days since 1970.
    Dates(&'a [i32]),
    Text(TextSlices<'a>),
    /// `lists` has where each row's texts begin, and one more.
    Texts {
        lists: &'a [i64],
        texts: TextSlices<'a>,
    },
}

/// Different texts, each once, in the order in which they came.
#[derive(Debug, Default)]
pub struct Dictionary {
    pub letters: Vec<u8>,
    pub starts: Vec<u64>,
    codes: HashTable<u32>,
    hasher: SipHasher13,
}

impl Dictionary {
    fn new(key: &[u8; 16]) -> Self {
        Self { starts: vec![0], hasher: SipHasher13::new_with_key(key), ..Self::default() }
    }

    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// The code of a text. None: there are too many.
    fn code(&mut self, text: &[u8]) -> Option<u32> {
        let Self { letters, starts, codes, hasher } = self;
        let held = |code: u32| &letters[starts[code as usize] as usize..starts[code as usize + 1] as usize];
        let hash = hasher.hash(text);
        if let Some(&code) = codes.find(hash, |&code| held(code) == text) {
            return Some(code);
        }
        let code = u32::try_from(starts.len() - 1).ok().filter(|&code| code < NOTHING)?;
        codes.insert_unique(hash, code, |&code| hasher.hash(held(code)));
        letters.extend_from_slice(text);
        starts.push(letters.len() as u64);
        Some(code)
    }

    /// The normal form of each of its texts, at the same place.
    pub fn normal_forms(&self) -> (Vec<u8>, Vec<u64>) {
        let forms: Vec<String> = (0..self.count())
            .into_par_iter()
            .map(|code| {
                let held = &self.letters[self.starts[code] as usize..self.starts[code + 1] as usize];
                normal(&String::from_utf8_lossy(held))
            })
            .collect();
        let mut starts = Vec::with_capacity(forms.len() + 1);
        let mut letters = Vec::with_capacity(self.letters.len());
        starts.push(0);
        for form in forms {
            letters.extend_from_slice(form.as_bytes());
            starts.push(letters.len() as u64);
        }
        (letters, starts)
    }

    fn held_bytes(&self) -> usize {
        self.letters.len() + 8 * self.starts.len() + 5 * self.codes.capacity()
    }
}

/// A column so far.
#[derive(Debug)]
pub enum Buffer {
    Numbers(Vec<f64>),
    Flags(Vec<u8>),
    Dates(Vec<i32>),
    Text {
        codes: Vec<u32>,
        dictionary: Dictionary,
    },
    /// `lists`: twice the place where a row's codes begin, plus 1 if it says nothing.
    Texts {
        lists: Vec<u64>,
        codes: Vec<u32>,
        dictionary: Dictionary,
    },
}

impl Buffer {
    pub fn new(kind: ColumnKind, key: &[u8; 16]) -> Self {
        match kind {
            ColumnKind::Number => Self::Numbers(Vec::new()),
            ColumnKind::Flag => Self::Flags(Vec::new()),
            ColumnKind::Date => Self::Dates(Vec::new()),
            ColumnKind::Text => Self::Text { codes: Vec::new(), dictionary: Dictionary::new(key) },
            ColumnKind::Texts => Self::Texts { lists: Vec::new(), codes: Vec::new(), dictionary: Dictionary::new(key) },
        }
    }

    /// Takes values of `rows` more records. `known`: which of them say something; None: all.
    ///
    /// Troubles: `INDEX_INPUT`, where a value is none of the column's kind.
    pub fn push(&mut self, name: &str, values: &Values<'_>, known: Option<&[u8]>, rows: usize) -> Result<(), Trouble> {
        let bad = |what: &str| Trouble::new("INDEX_INPUT", format!("column {name}"), what);
        let is_known = |row: usize| known.is_none_or(|known| known[row] != 0);
        if known.is_some_and(|known| known.len() != rows) {
            return Err(bad("has as many marks of what is known as it has no records"));
        }
        let long = match values {
            Values::Numbers(values) => values.len(),
            Values::Flags(values) => values.len(),
            Values::Dates(values) => values.len(),
            Values::Text(texts) => texts.starts.len().saturating_sub(1),
            Values::Texts { lists, .. } => lists.len().saturating_sub(1),
        };
        if long != rows {
            return Err(bad("does not have one value a record"));
        }
        match (self, values) {
            (Self::Numbers(held), Values::Numbers(values)) => {
                if values.iter().enumerate().any(|(row, value)| is_known(row) && !value.is_finite()) {
                    return Err(bad("has a number that is not finite"));
                }
                held.extend(values.iter().enumerate().map(|(row, &one)| if is_known(row) { one } else { f64::NAN }));
            }
            (Self::Flags(held), Values::Flags(values)) => {
                if values.iter().enumerate().any(|(row, &value)| is_known(row) && value > 1) {
                    return Err(bad("has a flag that is neither 0 nor 1"));
                }
                held.extend(values.iter().enumerate().map(|(row, &one)| if is_known(row) { one } else { 2 }));
            }
            (Self::Dates(held), Values::Dates(values)) => {
                if values.iter().enumerate().any(|(row, value)| is_known(row) && !DAYS.contains(value)) {
                    return Err(bad("has a day outside of the years 1 to 9999"));
                }
                held.extend(values.iter().enumerate().map(|(row, &one)| if is_known(row) { one } else { NO_DAY }));
            }
            (Self::Text { codes, dictionary }, Values::Text(texts)) => {
                let texts = texts.checked(name)?;
                codes.reserve(rows);
                for row in 0..rows {
                    let code = if is_known(row) { dictionary.code(texts.text(row).as_bytes()) } else { Some(NOTHING) };
                    codes.push(code.ok_or_else(|| bad("has too many different texts"))?);
                }
            }
            (Self::Texts { lists, codes, dictionary }, Values::Texts { lists: starts, texts }) => {
                let texts = texts.checked(name)?;
                let fits = |&start: &i64| usize::try_from(start).is_ok_and(|start| start <= texts.count());
                if !starts.is_sorted() || !starts.iter().all(fits) {
                    return Err(bad("has lists that are none"));
                }
                for row in 0..rows {
                    lists.push(2 * codes.len() as u64 + u64::from(!is_known(row)));
                    let places = if is_known(row) { starts[row] as usize..starts[row + 1] as usize } else { 0..0 };
                    for place in places {
                        let code = dictionary.code(texts.text(place).as_bytes());
                        codes.push(code.ok_or_else(|| bad("has too many different texts"))?);
                    }
                }
            }
            _ => return Err(bad("has values of another kind than the column's")),
        }
        Ok(())
    }

    /// Bytes of memory, about.
    pub fn held_bytes(&self) -> usize {
        match self {
            Self::Numbers(held) => 8 * held.len(),
            Self::Flags(held) => held.len(),
            Self::Dates(held) => 4 * held.len(),
            Self::Text { codes, dictionary } => 4 * codes.len() + dictionary.held_bytes(),
            Self::Texts { lists, codes, dictionary } => 8 * lists.len() + 4 * codes.len() + dictionary.held_bytes(),
        }
    }
}
