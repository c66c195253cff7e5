//! Identifiers of subjects, a column at a time: their normal form and what is wrong with them, and columns as one key.
//!
//! The rules are those of `fedcredit.tables.identifiers`, which has a slow twin for one identifier.

use std::borrow::Cow;

use rayon::prelude::*;

use crate::error::KernelError;

/// What kind of identifier a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The Unified Social Credit Code of GB 32100-2015: 18 characters with a check character.
    Uscc,
    /// ASCII digits.
    Digits,
    /// Anything printable.
    Text,
}

/// The rules an identifier can break; the numbers are those of `fedcredit.tables.identifiers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Rule {
    Kept = 0,
    Empty = 1,
    Scientific = 2,
    Length = 3,
    Character = 4,
    Check = 5,
}

/// What changed a cell, as bits.
const TRIMMED: u8 = 1;
const NARROWED: u8 = 2;
const RAISED: u8 = 4;

/// A column in normal form.
pub struct Normal {
    /// `width` bytes a row, padded with NULs; nothing but those for a row that breaks a rule.
    pub ids: Vec<u8>,
    pub width: usize,
    pub rules: Vec<u8>,
    /// How many cells lost blanks, had full-width characters, and had lower-case letters in a code.
    pub changed: [usize; 3],
}

const ROWS_PER_TASK: usize = 4096;

const USCC_LENGTH: usize = 18;

/// The normal forms of `n` cells, UTF-8 without NULs, which are joined by NULs.
pub fn normalise(cells: &[u8], n: usize, kind: Kind, max_bytes: usize) -> Result<Normal, KernelError> {
    let text = std::str::from_utf8(cells).map_err(|e| KernelError::Range { what: "cells", index: e.valid_up_to() })?;
    let cells: Vec<&str> = if n == 0 { Vec::new() } else { text.split('\0').collect() };
    if cells.len() != n || (n == 0 && !text.is_empty()) {
        return Err(KernelError::Shape { what: "cells", expected: n, found: cells.len() });
    }
    let found: Vec<(Rule, u8, usize)> = cells
        .par_iter()
        .with_min_len(ROWS_PER_TASK)
        .map(|cell| {
            if kind == Kind::Uscc && is_uscc(cell.as_bytes()) {
                return (Rule::Kept, 0, USCC_LENGTH);
            }
            let (form, changed) = form(cell, kind);
            let rule = rule(&form, kind, max_bytes);
            (rule, changed, if rule == Rule::Kept { form.len() } else { 0 })
        })
        .collect();
    let longest = found.iter().map(|(_, _, length)| *length).max().unwrap_or(0);
    let width = if kind == Kind::Uscc { USCC_LENGTH } else { longest.max(1) };
    let mut ids = vec![0; n * width];
    let rows = ids.par_chunks_mut(width).zip(&cells).zip(&found).with_min_len(ROWS_PER_TASK);
    rows.for_each(|((id, cell), (rule, changed, length))| match (*rule, *changed) {
        (Rule::Kept, 0) => id[..*length].copy_from_slice(cell.as_bytes()),
        (Rule::Kept, _) => id[..*length].copy_from_slice(form(cell, kind).0.as_bytes()),
        _ => {}
    });
    let rules = found.iter().map(|(rule, _, _)| *rule as u8).collect();
    let changed = [TRIMMED, NARROWED, RAISED].map(|bit| found.iter().filter(|(_, c, _)| c & bit != 0).count());
    Ok(Normal { ids, width, rules, changed })
}

/// The normal form of a cell, and what changed it.
fn form(cell: &str, kind: Kind) -> (Cow<'_, str>, u8) {
    if cell.is_ascii() {
        return finish(Cow::Borrowed(cell), kind, 0);
    }
    let narrowed: String = cell.chars().map(narrow).collect();
    let changed = if narrowed == cell { 0 } else { NARROWED };
    finish(Cow::Owned(narrowed), kind, changed)
}

fn finish(narrowed: Cow<'_, str>, kind: Kind, mut changed: u8) -> (Cow<'_, str>, u8) {
    let mut bare = match narrowed {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(BLANKS)),
        Cow::Owned(ref text) => Cow::Owned(text.trim_matches(BLANKS).to_owned()),
    };
    changed |= if bare.len() == narrowed.len() { 0 } else { TRIMMED };
    if kind == Kind::Uscc && bare.is_ascii() && bare.bytes().any(|byte| byte.is_ascii_lowercase()) {
        bare.to_mut().make_ascii_uppercase();
        changed |= RAISED;
    }
    (bare, changed)
}

const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// Full-width forms as ASCII; the ideographic and the no-break space are blanks.
fn narrow(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        '\u{3000}' | '\u{a0}' => ' ',
        _ => c,
    }
}

fn rule(form: &str, kind: Kind, max_bytes: usize) -> Rule {
    if form.is_empty() {
        return Rule::Empty;
    }
    if is_scientific(form.as_bytes()) {
        return Rule::Scientific;
    }
    let wrong_length = match kind {
        Kind::Uscc => form.chars().count() != USCC_LENGTH,
        Kind::Digits | Kind::Text => form.len() > max_bytes,
    };
    if wrong_length {
        return Rule::Length;
    }
    match kind {
        // 18 characters that are not 18 bytes are not all ASCII.
        Kind::Uscc => form.as_bytes().try_into().map_or(Rule::Character, uscc_rule),
        Kind::Digits if !form.bytes().all(|byte| byte.is_ascii_digit()) => Rule::Character,
        Kind::Text if form.chars().any(is_unprintable) => Rule::Character,
        Kind::Digits | Kind::Text => Rule::Kept,
    }
}

/// What a spreadsheet makes of a long number: a digit, digits behind a point, an exponent with a plus.
fn is_scientific(form: &[u8]) -> bool {
    let Some(e) = form.iter().position(|byte| matches!(byte, b'e' | b'E')) else {
        return false;
    };
    let digits = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    let (number, exponent) = (&form[..e], &form[e + 1..]);
    let number_is_one = match number {
        [digit] => digit.is_ascii_digit(),
        [digit, b'.', rest @ ..] => digit.is_ascii_digit() && digits(rest),
        _ => false,
    };
    number_is_one && matches!(exponent, [b'+', power @ ..] if power.len() <= 3 && digits(power))
}

/// Values of the characters of GB 32100-2015, 4.2: 0-9 and A-Z without I, O, S, V, Z; 255 for all others.
const USCC_VALUES: [u8; 256] = {
    let (alphabet, mut values, mut i) = (b"0123456789ABCDEFGHJKLMNPQRTUWXY", [255; 256], 0);
    while i < alphabet.len() {
        values[alphabet[i] as usize] = i as u8;
        i += 1;
    }
    values
};

/// Weights of the characters before the check character: 3^i modulo 31.
const USCC_WEIGHTS: [u16; USCC_LENGTH - 1] = {
    let (mut weights, mut i) = ([1; USCC_LENGTH - 1], 1);
    while i < weights.len() {
        weights[i] = weights[i - 1] * 3 % 31;
        i += 1;
    }
    weights
};

/// A valid code in normal form.
fn is_uscc(code: &[u8]) -> bool {
    <&[u8; USCC_LENGTH]>::try_from(code).is_ok_and(|code| uscc_rule(code) == Rule::Kept)
}

/// GB 32100-2015, annex A: the check character makes the sum with weights 3^i a multiple of 31.
fn uscc_rule(code: &[u8; USCC_LENGTH]) -> Rule {
    let values = code.map(|byte| USCC_VALUES[usize::from(byte)]);
    // At most 17 * 255 * 30, more than 16 bits hold, where a character is none.
    let sum: u32 = values.iter().zip(USCC_WEIGHTS).map(|(&value, weight)| u32::from(value) * u32::from(weight)).sum();
    let check = u32::from(values[USCC_LENGTH - 1]);
    if values.contains(&255) {
        Rule::Character
    } else if (sum + check).is_multiple_of(31) {
        Rule::Kept
    } else {
        Rule::Check
    }
}

/// First and last characters, in order, of runs of Unicode's general categories Cc, Cf and Co; Cs cannot be in UTF-8.
/// Source: Unicode 16.0, DerivedGeneralCategory.txt.
const UNPRINTABLE: [(char, char); 26] = [
    ('\0', '\u{1f}'),
    ('\u{7f}', '\u{9f}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{e000}', '\u{f8ff}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
    ('\u{f0000}', '\u{ffffd}'),
    ('\u{100000}', '\u{10fffd}'),
];

fn is_unprintable(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    UNPRINTABLE.get(UNPRINTABLE.partition_point(|&(_, last)| last < c)).is_some_and(|&(first, _)| first <= c)
}

/// Longest part of a joined key: what a byte can say.
const MAX_PART_BYTES: usize = 255;

/// Keys of several columns as one, `n` rows of each: every part behind a byte with its length, so that no two different
/// rows of parts make one key. A row with an empty part has no key, and is nothing but NULs.
///
/// `columns` are rows and their width; gives the keys and their width.
pub fn join(columns: &[(&[u8], usize)], n: usize) -> Result<(Vec<u8>, usize), KernelError> {
    if columns.is_empty() {
        return Err(KernelError::Shape { what: "columns", expected: 1, found: 0 });
    }
    for &(bytes, width) in columns {
        if width == 0 || bytes.len() != n * width {
            return Err(KernelError::Shape { what: "columns", expected: n * width, found: bytes.len() });
        }
    }
    let parts = |row: usize| columns.iter().map(move |&(bytes, width)| text_of(&bytes[row * width..][..width]));
    let lengths: Vec<Option<usize>> = (0..n)
        .into_par_iter()
        .with_min_len(ROWS_PER_TASK)
        .map(|row| parts(row).try_fold(0, |sum, part| (!part.is_empty()).then_some(sum + 1 + part.len())))
        .collect();
    if let Some(index) = (0..n).into_par_iter().find_first(|&row| parts(row).any(|part| part.len() > MAX_PART_BYTES)) {
        return Err(KernelError::Range { what: "columns", index });
    }
    let width = lengths.par_iter().map(|length| length.unwrap_or(0)).max().unwrap_or(0).max(1);
    let mut keys = vec![0; n * width];
    keys.par_chunks_mut(width).enumerate().with_min_len(ROWS_PER_TASK).for_each(|(row, key)| {
        if lengths[row].is_none() {
            return;
        }
        let mut at = 0;
        for part in parts(row) {
            key[at] = part.len() as u8;
            key[at + 1..][..part.len()].copy_from_slice(part);
            at += 1 + part.len();
        }
    });
    Ok((keys, width))
}

/// The parts of a key that `join` made of so many, or None if it is none of those.
pub(crate) fn split(key: &[u8], parts: usize) -> Option<Vec<&[u8]>> {
    let mut rest = key;
    let found: Option<Vec<&[u8]>> = (0..parts)
        .map(|_| {
            let (&length, behind) = rest.split_first()?;
            let (part, behind) = behind.split_at_checked(usize::from(length))?;
            rest = behind;
            (!part.is_empty()).then_some(part)
        })
        .collect();
    found.filter(|_| rest.iter().all(|&byte| byte == 0))
}

/// A row without the NULs that pad it.
pub(crate) fn text_of(row: &[u8]) -> &[u8] {
    &row[..row.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(cell: &str, kind: Kind) -> (Vec<u8>, u8, u8) {
        let normal = normalise(cell.as_bytes(), 1, kind, 64).unwrap();
        let [trimmed, narrowed, raised] = normal.changed.map(|count| count as u8);
        (normal.ids, normal.rules[0], TRIMMED * trimmed + NARROWED * narrowed + RAISED * raised)
    }

    #[test]
    fn normal_forms_and_what_changed_them() {
        let code = b"91350100M000100Y43".to_vec();
        assert_eq!(one("91350100M000100Y43", Kind::Uscc), (code.clone(), 0, 0));
        assert_eq!(one(" 91350100m000100y43\t", Kind::Uscc), (code.clone(), 0, TRIMMED | RAISED));
        assert_eq!(one("９1350100Ｍ000100Ｙ43\u{3000}", Kind::Uscc), (code, 0, TRIMMED | NARROWED));
        assert_eq!(one("００12", Kind::Digits), (b"0012".to_vec(), 0, NARROWED));
        assert_eq!(one("aBc 中", Kind::Text), ("aBc 中".as_bytes().to_vec(), 0, 0));
    }

    #[test]
    fn broken_rules() {
        for (cell, kind, rule) in [
            ("", Kind::Text, Rule::Empty),
            (" \u{a0}", Kind::Text, Rule::Empty),
            ("1.23E+17", Kind::Uscc, Rule::Scientific),
            ("9e+140", Kind::Digits, Rule::Scientific),
            ("9e+1400", Kind::Digits, Rule::Character),
            ("1.E+17", Kind::Text, Rule::Kept),
            ("91350100M000100Y4", Kind::Uscc, Rule::Length),
            ("91350100M000100Y4\u{e9}", Kind::Uscc, Rule::Character),
            ("9I350100M000100Y43", Kind::Uscc, Rule::Character),
            ("91350100M000100Y44", Kind::Uscc, Rule::Check),
            ("12a", Kind::Digits, Rule::Character),
            ("a\u{200b}b", Kind::Text, Rule::Character),
            (&"x".repeat(65), Kind::Text, Rule::Length),
        ] {
            let (ids, found, _) = one(cell, kind);
            assert_eq!(found, rule as u8, "{cell}");
            assert!(rule == Rule::Kept || ids.iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn columns_are_as_wide_as_the_longest_kept() {
        let normal = normalise("a\0\0bcd\0e\u{200b}ffffff".as_bytes(), 4, Kind::Text, 64).unwrap();
        assert_eq!((normal.width, &normal.ids[..]), (3, &b"a\0\0\0\0\0bcd\0\0\0"[..]));
        assert_eq!(normalise(b"", 0, Kind::Text, 64).unwrap().width, 1);
        assert!(normalise(b"a\0b", 1, Kind::Text, 64).is_err());
        assert!(normalise(b"a", 0, Kind::Text, 64).is_err());
        assert!(normalise(b"\xff", 1, Kind::Text, 64).is_err());
    }

    #[test]
    fn joined_keys_are_different_where_a_part_is() {
        let (keys, width) = join(&[(b"ab\0a\0\0x\0\0", 3), (b"c\0bcd\0", 2)], 3).unwrap();
        assert_eq!(width, 5);
        assert_eq!(&keys[..], b"\x02ab\x01c\x01a\x02bc\x01x\x01d\0");
        assert_eq!(split(&keys[10..], 2).unwrap(), [b"x", b"d"]);
        assert!(split(&keys[10..], 3).is_none());
        assert!(split(b"\x09ab", 1).is_none());
        assert!(split(b"\x01ab", 1).is_none());
        let (keys, width) = join(&[(b"a\0", 1), (b"bc", 1)], 2).unwrap();
        assert_eq!((&keys[..], width), (&b"\x01a\x01b\0\0\0\0"[..], 4));
    }

    #[test]
    fn what_cannot_be_joined() {
        assert!(join(&[], 0).is_err());
        assert!(join(&[(b"abc", 2)], 1).is_err());
        assert!(join(&[(b"ab", 1), (b"a", 1)], 2).is_err());
        assert!(join(&[(&[b'x'; 256], 256)], 1).is_err());
        assert_eq!(join(&[(b"", 1), (b"", 3)], 0).unwrap(), (vec![], 1));
    }
}
