//! An audit log in bulk: the hashes of its lines, the tree over them, and whether each line is an entry.
//!
//! A line is an entry if it is the canonical form that `fedcredit.governance.audit` writes and decodes one by one; the
//! form here is that one, and tests hold the two together. The tree is RFC 9162's, with SHA-256.

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::error::KernelError;

/// Bytes of a hash in the tree.
pub const HASH_BYTES: usize = 32;

/// Lines or nodes a rayon task takes at a time: enough work to hide the scheduling.
const PER_TASK: usize = 256;

/// What an entry may hold at most. See `fedcredit.governance.audit`, which passes what it checks itself.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    /// Bytes of a line without its end.
    pub line: usize,
    /// Characters of a text, and of an integer.
    pub text: usize,
    /// Entries of one batch.
    pub batch: u64,
    /// The names of events.
    pub events: &'a [&'a [u8]],
}

/// The leaf hashes of `lines`, each of which ends with a line feed.
pub fn leaves(lines: &[u8]) -> Result<Vec<u8>, KernelError> {
    let lines = split(lines)?;
    let mut out = vec![0; lines.len() * HASH_BYTES];
    out.par_chunks_mut(HASH_BYTES).with_min_len(PER_TASK).zip(lines.par_iter()).for_each(|(hash, line)| {
        let digest = Sha256::new().chain_update([0]).chain_update(line).finalize();
        hash.copy_from_slice(&digest);
    });
    Ok(out)
}

/// The level of the tree above `nodes`. A last node without a sibling rises unchanged.
pub fn level_up(nodes: &[u8]) -> Result<Vec<u8>, KernelError> {
    if !nodes.len().is_multiple_of(HASH_BYTES) {
        return Err(KernelError::Shape { what: "nodes", expected: HASH_BYTES, found: nodes.len() });
    }
    let mut out = vec![0; nodes.len().div_ceil(2 * HASH_BYTES) * HASH_BYTES];
    let pairs = nodes.par_chunks(2 * HASH_BYTES);
    out.par_chunks_mut(HASH_BYTES).with_min_len(PER_TASK).zip(pairs).for_each(|(node, pair)| {
        if pair.len() == HASH_BYTES {
            node.copy_from_slice(pair);
        } else {
            node.copy_from_slice(&Sha256::new().chain_update([1]).chain_update(pair).finalize());
        }
    });
    Ok(out)
}

/// The first of `lines` that is not an entry, or not the one in its place: number `first` and counting.
pub fn first_bad(lines: &[u8], first: u64, limits: &Limits<'_>) -> Result<Option<usize>, KernelError> {
    let lines = split(lines)?;
    let whole = |(index, line): (usize, &&[u8])| {
        line.len() <= limits.line && entry(line, first.checked_add(index as u64), limits).is_some()
    };
    Ok(lines.par_iter().enumerate().with_min_len(PER_TASK).position_first(|numbered| !whole(numbered)))
}

/// The lines of `data` without their ends.
fn split(data: &[u8]) -> Result<Vec<&[u8]>, KernelError> {
    match data.split_last() {
        None => Ok(Vec::new()),
        Some((b'\n', body)) => Ok(body.split(|&byte| byte == b'\n').collect()),
        Some(_) => Err(KernelError::BadEncoding { what: "the last line has no end" }),
    }
}

/// Some if `line` is entry number `sequence`.
fn entry(line: &[u8], sequence: Option<u64>, limits: &Limits<'_>) -> Option<()> {
    let mut rest = Rest(line);
    rest.literal(b"{\"event\":")?;
    let start = rest.0;
    rest.text(limits.text)?;
    let event = &start[1..start.len() - rest.0.len() - 1];
    limits.events.contains(&event).then_some(())?;
    rest.literal(b",\"facts\":{")?;
    rest.facts(limits.text)?;
    rest.literal(b",\"job\":")?;
    rest.text(limits.text)?;
    if rest.literal(b",\"more\":").is_some() {
        let more = rest.natural()?;
        (0 < more && more < limits.batch).then_some(())?;
    }
    rest.literal(b",\"sequence\":")?;
    (rest.natural()? == sequence?).then_some(())?;
    rest.literal(b",\"time\":\"")?;
    rest.time()?;
    rest.literal(b"\"}")?;
    rest.0.is_empty().then_some(())
}

/// What of a line is not read yet. Every method takes what it names off the front, or says that it is not there.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn literal(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    /// Facts up to the closing brace: names in ascending order.
    fn facts(&mut self, max_text: usize) -> Option<()> {
        let mut before: &[u8] = b"";
        if self.literal(b"}").is_some() {
            return Some(());
        }
        loop {
            self.literal(b"\"")?;
            let end = self.0.iter().position(|&byte| byte == b'"')?;
            let name = self.take(end)?;
            let first_is_letter = name.first()?.is_ascii_lowercase();
            let plain = name.iter().all(|&b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            (first_is_letter && plain && name.len() <= 40 && before < name).then_some(())?;
            before = name;
            self.literal(b"\":")?;
            self.fact(max_text)?;
            match self.byte()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    fn fact(&mut self, max_text: usize) -> Option<()> {
        match self.0.first()? {
            b'"' => self.text(max_text),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            _ => {
                let before = self.0.len();
                let negative = self.literal(b"-").is_some();
                let digits = self.digits()?;
                (!(negative && digits == b"0") && before - self.0.len() <= max_text).then_some(())
            }
        }
    }

    /// A number without leading zeros.
    fn digits(&mut self) -> Option<&'a [u8]> {
        let digits = self.take(self.0.iter().take_while(|byte| byte.is_ascii_digit()).count())?;
        (digits == b"0" || *digits.first()? != b'0').then_some(digits)
    }

    fn natural(&mut self) -> Option<u64> {
        std::str::from_utf8(self.digits()?).ok()?.parse().ok()
    }

    /// A text in quotes, of at most `max` characters, as Python writes JSON in ASCII: everything that has to be escaped
    /// is, in its shortest form, and nothing else.
    fn text(&mut self, max: usize) -> Option<()> {
        self.literal(b"\"")?;
        for _ in 0..=max {
            match self.byte()? {
                b'"' => return Some(()),
                b'\\' => match self.byte()? {
                    b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' => self.escaped()?,
                    _ => return None,
                },
                b' '..=b'~' => {}
                _ => return None,
            }
        }
        None
    }

    /// What follows `\u`. The two halves of a pair of surrogates are one character.
    fn escaped(&mut self) -> Option<()> {
        let unit = self.hex()?;
        let short = matches!(unit, 0x08 | 0x09 | 0x0a | 0x0c | 0x0d);
        (!short && !(0x20..=0x7e).contains(&unit)).then_some(())?;
        if (0xd800..0xdc00).contains(&unit) {
            let mut ahead = Rest(self.0);
            if ahead.literal(b"\\u").is_some() && ahead.hex().is_some_and(|low| (0xdc00..0xe000).contains(&low)) {
                self.0 = ahead.0;
            }
        }
        Some(())
    }

    fn hex(&mut self) -> Option<u16> {
        let digits = self.take(4)?;
        digits.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b)).then_some(())?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }

    /// A moment in UTC to the millisecond, that there is in the calendar.
    fn time(&mut self) -> Option<()> {
        let year = self.number(4)?;
        self.literal(b"-")?;
        let month = self.number(2)?;
        self.literal(b"-")?;
        let day = self.number(2)?;
        self.literal(b"T")?;
        let hour = self.number(2)?;
        self.literal(b":")?;
        let minute = self.number(2)?;
        self.literal(b":")?;
        let second = self.number(2)?;
        self.literal(b".")?;
        self.number(3)?;
        self.literal(b"+00:00")?;
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            2 => 28 + u32::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        (year > 0 && (1..=days).contains(&day) && hour < 24 && minute < 60 && second < 60).then_some(())
    }

    fn number(&mut self, width: usize) -> Option<u32> {
        let digits = self.take(width)?;
        digits.iter().all(u8::is_ascii_digit).then_some(())?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits<'_> = Limits { line: 16_384, text: 256, batch: 4096, events: &[b"job_done"] };

    fn is_entry(line: &str) -> bool {
        first_bad(format!("{line}\n").as_bytes(), 3, &LIMITS) == Ok(None)
    }

    #[test]
    fn what_is_canonical_is_an_entry() {
        let time = "\"time\":\"2024-02-29T23:59:59.000+00:00\"}";
        for facts in ["", "\"a\":1", "\"a\":-7,\"b\":true", "\"a\":\"\\u4e2d\\ud83d\\ude00\\n\\\"\""] {
            assert!(is_entry(&format!(
                "{{\"event\":\"job_done\",\"facts\":{{{facts}}},\"job\":\"j\",\"sequence\":3,{time}"
            )));
        }
        assert!(is_entry(&format!(
            "{{\"event\":\"job_done\",\"facts\":{{}},\"job\":\"\",\"more\":9,\"sequence\":3,{time}"
        )));
        for facts in
            ["\"b\":1,\"a\":1", "\"a\":01", "\"a\":-0", "\"a\":1.0", "\"a\":null", "\"a\":\"\\u0041\"", "\"a\":1,"]
        {
            assert!(!is_entry(&format!(
                "{{\"event\":\"job_done\",\"facts\":{{{facts}}},\"job\":\"j\",\"sequence\":3,{time}"
            )));
        }
        let other = "\"time\":\"2023-02-29T23:59:59.000+00:00\"}";
        assert!(!is_entry(&format!("{{\"event\":\"job_done\",\"facts\":{{}},\"job\":\"j\",\"sequence\":3,{other}")));
        assert!(!is_entry(&format!("{{\"event\":\"job_done\",\"facts\":{{}},\"job\":\"j\",\"sequence\":4,{time}")));
    }

    #[test]
    fn a_line_without_end_and_half_a_hash_are_refused() {
        assert!(leaves(b"a\nb").is_err());
        assert!(level_up(&[0; 33]).is_err());
        assert_eq!(leaves(b""), Ok(Vec::new()));
        assert_eq!(level_up(&[7; 32]), Ok(vec![7; 32]));
    }
}
