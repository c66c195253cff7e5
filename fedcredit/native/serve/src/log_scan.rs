//! Reading a log when it is opened: every entry's form, the tree, the signed head, and what a crash left behind it.

use std::io::{self, Read};
use std::path::PathBuf;

use fedcredit_core::log::{HASH_BYTES, Limits, first_bad, leaves};
use serde_json::Value;

use crate::log_entry::{EVENTS, MAX_BATCH, MAX_LINE_BYTES, MAX_TEXT};
use crate::log_head::Head;
use crate::log_tree::{Frontier, Hash};

const BLOCK_BYTES: usize = 8 << 20;
const REST_BYTES: usize = MAX_BATCH * (MAX_LINE_BYTES + 1);
const LIMITS: Limits<'_> = Limits { line: MAX_LINE_BYTES, text: MAX_TEXT, batch: MAX_BATCH as u64, events: EVENTS };

/// Why a log is not opened: its code, what is wrong, and the entry where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub code: &'static str,
    pub what: String,
}

impl Broken {
    pub fn new(code: &'static str, what: impl Into<String>) -> Self {
        Self { code, what: what.into() }
    }
}

/// A log that was found whole. `rest` is what an interrupted batch left behind its last signed entry.
pub struct Scan {
    pub frontier: Frontier,
    pub bytes: u64,
    pub rest: Vec<u8>,
}

/// Why a scan did not come to an end.
pub enum ScanError {
    Broken(Broken),
    Io(io::Error),
    /// The same, at a file of its own.
    File(PathBuf, io::Error),
}

impl From<Broken> for ScanError {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Checks that `file` holds the entries that `head` stands for, in blocks. `older` are heads of it that were signed before,
/// and `known` is one that was kept elsewhere.
///
/// `see` gets every checked line, before the log as a whole is known to be whole.
pub fn scan(
    file: &mut dyn Read,
    head: &Head,
    older: &[&Head],
    known: Option<&Head>,
    see: &mut dyn FnMut(&[u8]) -> Result<(), ScanError>,
) -> Result<Scan, ScanError> {
    let (mut frontier, mut bytes, mut data) = (Frontier::default(), 0u64, Vec::new());
    if known.is_some_and(|known| known.size > head.size) {
        return Err(rolled_back().into());
    }
    let mut marks: Vec<Mark<'_>> = older.iter().map(|older| (*older, other_root as Wrong)).collect();
    marks.extend(known.map(|known| (known, rolled_back as Wrong)));
    marks.sort_by_key(|(head, _)| head.size);
    while frontier.size() < head.size && fill(file, &mut data)? > 0 {
        let end = whole_lines(&data, head.size - frontier.size());
        if end == 0 && data.len() > MAX_LINE_BYTES {
            break;
        }
        let block = &data[..end];
        if let Some(bad) = first_bad(block, frontier.size(), &LIMITS).map_err(|_| tampered("is no text of lines"))? {
            let what = format!("entry {}: a line that is no entry of its place", frontier.size() + bad as u64);
            return Err(Broken::new("AUDIT_ENTRY", what).into());
        }
        let hashes = leaves(block).map_err(|_| tampered("is no text of lines"))?;
        let hashes: Vec<Hash> = hashes.as_chunks::<HASH_BYTES>().0.to_vec();
        grow(&mut frontier, &hashes, &marks)?;
        for line in block.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            see(line)?;
        }
        bytes += end as u64;
        data.drain(..end);
    }
    if frontier.size() != head.size {
        return Err(tampered(format!("{} entries where {} were signed", frontier.size(), head.size)).into());
    }
    if frontier.root() != head.root {
        return Err(other_root().into());
    }
    let mut rest = data;
    file.take((REST_BYTES + 1).saturating_sub(rest.len()) as u64).read_to_end(&mut rest)?;
    if rest.len() > REST_BYTES || !is_interrupted_batch(&rest, head.size) {
        return Err(tampered(format!("more entries than the {} that were signed", head.size)).into());
    }
    Ok(Scan { frontier, bytes, rest })
}

/// Whether what follows the `size` signed entries can be what a crash left of one batch, and so of nothing that was
/// acknowledged: see `fedcredit.governance.audit.is_interrupted_batch`, which says the same.
pub fn is_interrupted_batch(rest: &[u8], size: u64) -> bool {
    let lines: Vec<&[u8]> = rest.strip_suffix(b"\n").unwrap_or(rest).split(|&byte| byte == b'\n').collect();
    if lines.len() == 1 {
        return true;
    }
    let (mut end, mut next) = (None, size);
    for line in lines.iter().take(MAX_BATCH + 1) {
        let Some((sequence, more)) = place_of(line) else { continue };
        let this = sequence + more + 1;
        if sequence < next || end.is_some_and(|end| end != this) {
            return false;
        }
        (next, end) = (sequence + 1, Some(this));
    }
    end.is_some_and(|end| lines.len() as u64 <= (end - size).min(MAX_BATCH as u64))
}

/// The sequence number of an entry and how many of its batch follow; None if the line is no entry.
fn place_of(line: &[u8]) -> Option<(u64, u64)> {
    let entry: Value = serde_json::from_slice(line).ok()?;
    let sequence = entry.get("sequence")?.as_u64()?;
    let mut ended = line.to_vec();
    ended.push(b'\n');
    if first_bad(&ended, sequence, &LIMITS) != Ok(None) {
        return None;
    }
    let more = entry.get("more").and_then(Value::as_u64).unwrap_or(0);
    Some((sequence, more))
}

type Wrong = fn() -> Broken;
/// A head that the log must go through, and what is wrong if it does not.
type Mark<'a> = (&'a Head, Wrong);

/// Adds leaves, stopping at each of `marks`, which come by size, to compare the roots.
fn grow(frontier: &mut Frontier, hashes: &[Hash], marks: &[Mark<'_>]) -> Result<(), Broken> {
    let mut rest = hashes;
    for (head, wrong) in marks {
        let Some(before) = head.size.checked_sub(frontier.size()) else { continue };
        if before > rest.len() as u64 {
            break;
        }
        let (first, second) = rest.split_at(before as usize);
        add(frontier, first);
        if frontier.root() != head.root {
            return Err(wrong());
        }
        rest = second;
    }
    add(frontier, rest);
    Ok(())
}

fn add(frontier: &mut Frontier, hashes: &[Hash]) {
    if !hashes.is_empty() {
        let grown = frontier.grow(hashes.to_vec());
        frontier.advance(&grown);
    }
}

/// Reads on until a block is there or the file ends; returns how much came.
fn fill(file: &mut dyn Read, data: &mut Vec<u8>) -> io::Result<usize> {
    file.take(BLOCK_BYTES as u64).read_to_end(data)
}

/// Where the last of at most `most` lines of `data` ends.
fn whole_lines(data: &[u8], most: u64) -> usize {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let ends = data.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    ends.take(most).last().map_or(0, |(at, _)| at + 1)
}

fn tampered(what: impl Into<String>) -> Broken {
    Broken::new("AUDIT_TAMPERED", what)
}

fn other_root() -> Broken {
    tampered("the entries lead to another root than the signed one")
}

fn rolled_back() -> Broken {
    Broken::new("AUDIT_ROLLED_BACK", "the log does not begin with the entries of a head that was kept elsewhere")
}
