//! The journal of an audit log: the end of it once more, in a file that is written over in place.
//!
//! Who appends to a file and waits for the disk waits for the file's new length, too. The journal has its length from its
//! beginning, every byte of it written, so a commit waits once: its record here holds its lines and the signed head over
//! them. Lines and head then go to their own files without waiting. The journal has two halves. While one is filled,
//! those files are synced past all that stands in the other, and only then is that one written over.
//!
//! A record begins at a page of its own, so that writing it touches none that was acknowledged. Numbers have 8 bytes,
//! big-endian: `MAGIC`, generation, number of the first entry, where its line begins in the file of entries, bytes of
//! lines, bytes of the head's text; lines; text; BLAKE3 of all before; zeros to the end of the page. The generation grows
//! whenever a half is begun, so a record that is left of an older use is told from a newer one. A record without lines says
//! that all before it is synced in the other files: the log was closed.
//!
//! `fedcredit.node.audit_journal` reads it, too.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use ed25519_dalek::VerifyingKey;

use crate::log_head::{HEADS_BYTES, Head, SLOT_BYTES, sector};
use crate::log_scan::{Broken, ScanError};

pub const JOURNAL: &str = "journal";
/// Bytes of one half: of lines for a tenth of a second where they come fastest. Tests turn it over more often.
pub const HALF_BYTES: usize = if cfg!(test) { 32 << 10 } else { 4 << 20 };

const FRESH: &str = ".journal.new";
/// No text and no line has its first byte.
const MAGIC: [u8; 8] = *b"\x89FCJRNL\x01";
const PAGE_BYTES: usize = 4096;
const HEADER_BYTES: usize = 48;
const HASH_BYTES: usize = 32;
const BLANK_BYTES: usize = HALF_BYTES / 8;
/// No journal comes so far by being used; one that was made to is begun anew.
const MAX_GENERATION: u64 = 1 << 62;

/// What a commit adds to a log: the number of its first entry, where that begins in the file of entries, lines, head.
pub struct Commit<'a> {
    pub first: u64,
    pub at: u64,
    pub lines: &'a [u8],
    pub head: &'a str,
}

impl Commit<'_> {
    /// Bytes of its record.
    pub fn bytes(&self) -> usize {
        (HEADER_BYTES + self.lines.len() + self.head.len() + HASH_BYTES).next_multiple_of(PAGE_BYTES)
    }
}

/// The end of a log as its journal has it: `lines`, which begin at byte `at` with entry `first`, and the newest head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    pub first: u64,
    pub at: u64,
    pub lines: Vec<u8>,
    pub head: Head,
    pub text: String,
}

impl Tail {
    /// The entries in `file`, with these lines where they belong.
    pub fn over<'a>(tail: Option<&'a Self>, file: &'a File) -> Overlaid<'a> {
        let (at, lines) = tail.map_or((u64::MAX, &[][..]), |tail| (tail.at, &tail.lines));
        Overlaid { file, at, lines, position: 0 }
    }
}

/// A file with some bytes in it replaced, and more behind its end.
pub struct Overlaid<'a> {
    file: &'a File,
    at: u64,
    lines: &'a [u8],
    position: u64,
}

impl Read for Overlaid<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let before = usize::try_from(self.at.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let within = usize::try_from(self.position.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let read = if before > 0 {
            let most = buffer.len().min(before);
            self.file.read_at(&mut buffer[..most], self.position)?
        } else if let Some(lines) = self.lines.get(within..).filter(|lines| !lines.is_empty()) {
            let most = buffer.len().min(lines.len());
            buffer[..most].copy_from_slice(&lines[..most]);
            most
        } else {
            self.file.read_at(buffer, self.position)?
        };
        self.position += read as u64;
        Ok(read)
    }
}

/// What a log's folder has of a journal. Nothing that is not signed is in it.
pub struct Found {
    file: Option<File>,
    generation: u64,
    pub tail: Option<Tail>,
}

impl Found {
    /// Reads the journal of the log of `origin`, signed by `key`, in `folder`.
    pub fn read(folder: &Path, origin: &str, key: &VerifyingKey) -> io::Result<Self> {
        let mut file = match OpenOptions::new().read(true).write(true).open(folder.join(JOURNAL)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { file: None, generation: 0, tail: None });
            }
            opened => opened?,
        };
        let mut data = Vec::new();
        (&mut file).take(2 * HALF_BYTES as u64 + 1).read_to_end(&mut data)?;
        let whole = data.len() == 2 * HALF_BYTES;
        let mut records: Vec<Record<'_>> =
            data.chunks(HALF_BYTES).flat_map(|half| records(half, origin, key)).collect();
        records.sort_by_key(|record| record.generation);
        let generation = records.last().map_or(0, |newest| newest.generation);
        Ok(Self { file: whole.then_some(file), generation, tail: tail(&records) })
    }

    /// The head that the log must lead to: `kept` in the checkpoint, or the journal's if that is newer.
    pub fn newest_head(&self, kept: Option<&Head>) -> Result<Head, Broken> {
        match (kept, &self.tail) {
            // Before the journal went on from there, it was synced.
            (Some(kept), Some(tail)) if kept.size < tail.first => Err(Broken::new(
                "AUDIT_TAMPERED",
                "the checkpoint is older than it was when the journal went on from it",
            )),
            (Some(kept), Some(tail)) if kept.size < tail.head.size => Ok(tail.head.clone()),
            (Some(kept), _) => Ok(kept.clone()),
            // A disk that loses its power while a head is written may have half of it; the journal has it whole.
            (None, Some(tail)) if !tail.lines.is_empty() => Ok(tail.head.clone()),
            (None, _) => Err(Broken::new("AUDIT_HEAD", "the checkpoint is not this party's signed head")),
        }
    }

    /// Writes what the journal holds to its own files and syncs them, whatever is there: after a failed sync, a file may
    /// read better than it is on the disk. `newest` is the log's head. Returns how many bytes of lines were not there.
    pub fn put_in_place(&self, mut entries: &File, heads: &File, newest: &Head) -> io::Result<u64> {
        let Some(tail) = self.tail.as_ref().filter(|tail| !tail.lines.is_empty()) else { return Ok(0) };
        let mut there = Vec::new();
        entries.seek(SeekFrom::Start(tail.at))?;
        entries.take(tail.lines.len() as u64).read_to_end(&mut there)?;
        let same = there.iter().zip(&tail.lines).take_while(|(there, line)| there == line).count();
        entries.write_all_at(&tail.lines, tail.at)?;
        entries.sync_all()?;
        if *newest == tail.head {
            let written = sector(&tail.text).ok_or(io::ErrorKind::InvalidInput)?;
            for slot in 0..2 {
                heads.write_all_at(&written, slot * SLOT_BYTES as u64)?;
            }
            heads.set_len(HEADS_BYTES as u64)?;
            heads.sync_all()?;
        }
        Ok((tail.lines.len() - same) as u64)
    }

    /// The journal, to be written from here on. All that the one found held is synced in its own files, and `whole`, without
    /// lines, is said in it.
    pub fn go_on(self, folder: &Path, handle: &File, whole: &Commit<'_>) -> Result<Journal, ScanError> {
        let (file, generation) = match self.file {
            Some(file) if self.generation < MAX_GENERATION => (file, self.generation + 1),
            _ => (begin(folder, handle).map_err(|error| ScanError::File(folder.join(JOURNAL), error))?, 1),
        };
        let mut journal = Journal { file, generation, end: 0, closed: true, record: Vec::new() };
        if self.tail.is_some_and(|tail| !tail.lines.is_empty()) {
            journal.put(whole)?;
        }
        Ok(journal)
    }
}

/// An open journal.
pub struct Journal {
    file: File,
    generation: u64,
    end: usize,
    closed: bool,
    record: Vec<u8>,
}

impl Journal {
    /// Whether the half has room for a record of so many bytes.
    pub fn has_room(&self, bytes: usize) -> bool {
        bytes <= HALF_BYTES - self.end
    }

    /// Begins the other half. All that stands in it must be synced in its own files.
    pub fn turn(&mut self) {
        (self.generation, self.end) = (self.generation + 1, 0);
    }

    /// Writes the record of a commit; when this returns, it is durable.
    pub fn put(&mut self, commit: &Commit<'_>) -> io::Result<()> {
        let bytes = commit.bytes();
        if !self.has_room(bytes) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let (lines, head, record) = (commit.lines, commit.head.as_bytes(), &mut self.record);
        record.clear();
        record.extend_from_slice(&MAGIC);
        for number in [self.generation, commit.first, commit.at, lines.len() as u64, head.len() as u64] {
            record.extend_from_slice(&number.to_be_bytes());
        }
        record.extend_from_slice(lines);
        record.extend_from_slice(head);
        let hash = blake3::hash(record);
        record.extend_from_slice(hash.as_bytes());
        record.resize(bytes, 0);
        self.file.write_all_at(record, (self.generation & 1) * HALF_BYTES as u64 + self.end as u64)?;
        self.file.sync_data()?;
        self.end += bytes;
        self.closed = lines.is_empty();
        Ok(())
    }

    /// Whether it holds nothing that may not be in its own file.
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}

struct Record<'a> {
    generation: u64,
    first: u64,
    at: u64,
    lines: &'a [u8],
    text: &'a str,
    head: Head,
    bytes: usize,
}

impl<'a> Record<'a> {
    /// The record at the beginning of `data`; None if there is none, or none that this log's key has signed.
    fn read(data: &'a [u8], origin: &str, key: &VerifyingKey) -> Option<Self> {
        let header = data.first_chunk::<HEADER_BYTES>()?;
        let &[magic, generation, first, at, lines, head] = header.as_chunks::<8>().0 else { return None };
        if magic != MAGIC {
            return None;
        }
        let [generation, first, at, lines, head] = [generation, first, at, lines, head].map(u64::from_be_bytes);
        at.checked_add(lines)?;
        let hashed = usize::try_from(lines.checked_add(head)?).ok()?.checked_add(HEADER_BYTES)?;
        let (record, rest) = data.split_at_checked(hashed)?;
        if blake3::hash(record).as_bytes() != rest.first_chunk::<HASH_BYTES>()? {
            return None;
        }
        let (lines, text) = record[HEADER_BYTES..].split_at(lines as usize);
        let head = Head::read(text, origin, key)?;
        let count = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        if first.checked_add(count) != Some(head.size) || lines.last().is_some_and(|byte| *byte != b'\n') {
            return None;
        }
        let bytes = (hashed + HASH_BYTES).next_multiple_of(PAGE_BYTES);
        Some(Self { generation, first, at, lines, text: std::str::from_utf8(text).ok()?, head, bytes })
    }

    fn follows(&self, before: &Self) -> bool {
        self.first == before.head.size && self.at == before.at + before.lines.len() as u64
    }
}

/// The records in one half, of whatever generation. One that was never finished hides none behind it.
fn records<'a>(half: &'a [u8], origin: &str, key: &VerifyingKey) -> Vec<Record<'a>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < half.len() {
        let record = Record::read(&half[at..], origin, key);
        at += record.as_ref().map_or(PAGE_BYTES, |record| record.bytes);
        found.extend(record);
    }
    found
}

/// The newest record, with all before it that it continues without a gap, back to where the log was closed.
fn tail(records: &[Record<'_>]) -> Option<Tail> {
    let newest = records.last()?;
    let mut begin = records.len() - 1;
    while begin > 0 && !records[begin].lines.is_empty() && records[begin].follows(&records[begin - 1]) {
        begin -= 1;
    }
    let parts: Vec<&[u8]> = records[begin..].iter().map(|record| record.lines).collect();
    let Record { first, at, .. } = records[begin];
    Some(Tail { first, at, lines: parts.concat(), head: newest.head.clone(), text: newest.text.to_owned() })
}

/// Puts a journal without records in place at once. What is written over later has its place on the disk from here on.
fn begin(folder: &Path, handle: &File) -> io::Result<File> {
    let fresh = folder.join(FRESH);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    let written = write_blank(&file).and_then(|()| fs::rename(&fresh, folder.join(JOURNAL)));
    if written.is_err() {
        // Its room is given back; that it is missed is what is told.
        let _ = fs::remove_file(&fresh);
    }
    written?;
    handle.sync_all()?;
    Ok(file)
}

fn write_blank(file: &File) -> io::Result<()> {
    let blank = vec![0; BLANK_BYTES];
    for at in (0..2 * HALF_BYTES).step_by(BLANK_BYTES) {
        file.write_all_at(&blank, at as u64)?;
    }
    file.sync_all()
}
