//! An audit log on disk, open for appending: `entries.jsonl`, `checkpoint` (two places for the signed head), `journal` and,
//! for the checks of batches, `checks.bin`.
//!
//! A batch of entries waits for the disk once, for its record in the journal (twice where it has checks). Then it is
//! acknowledged. Lines and head are in their own files by then, but perhaps not on the disk: should the machine lose
//! its power, what is missing there is taken from the journal when the log is opened. A failed write ends the log: what is
//! on the disk is then settled by opening it again, and until then nothing is recorded and so nothing is answered.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use sha2::{Digest, Sha256};

use crate::log_entry::{Fact, MAX_BATCH, begin, finish, stamp};
use crate::log_head::{HEADS_BYTES, Head, SLOT_BYTES, newest, sector};
use crate::log_journal::{Commit, Found, HALF_BYTES, Journal, Tail};
use crate::log_scan::{Broken, ScanError, scan};
use crate::log_sync::Syncing;
use crate::log_tree::{Frontier, Grown, leaf_hash};

pub const ENTRIES: &str = "entries.jsonl";
pub const CHECKPOINT: &str = "checkpoint";
pub const CHECKS: &str = "checks.bin";
const SET_ASIDE: &str = "unacknowledged.jsonl";

/// The line that a batch's entry begins with, once it is known where its checks lie: bytes from the file's beginning.
pub type BeginAt = Box<dyn FnOnce(u64) -> Option<Vec<u8>> + Send>;

/// What will be an entry.
pub enum Draft {
    /// What `log_entry::begin` made.
    Line(Vec<u8>),
    /// The records of a batch's checks, and the line over them.
    Checks { records: Vec<u8>, begin: BeginAt },
}

/// Entries that were made durable together.
#[derive(Debug)]
pub struct Batch {
    grown: Grown,
    /// The text of the signed head.
    pub head: String,
    block: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    /// The line of entry `place` of this batch, without its end.
    pub fn line(&self, place: usize) -> &[u8] {
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.block[start..self.ends[place] - 1]
    }

    /// Its number in the log.
    pub fn sequence(&self, place: usize) -> u64 {
        self.grown.first() + place as u64
    }

    /// The path from it to the signed root.
    pub fn path(&self, place: usize) -> impl Iterator<Item = &[u8; 32]> {
        self.grown.path(self.sequence(place))
    }
}

/// Why a log cannot be opened or written: `code` is one of AUDIT_*, LOCKED. Holds no entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogError {
    pub code: &'static str,
    pub place: PathBuf,
    pub what: String,
}

/// The log in a folder, held by this process alone.
pub struct LogFile {
    folder: PathBuf,
    origin: String,
    key: SigningKey,
    _lock: File,
    entries: File,
    entries_end: u64,
    heads: File,
    next_slot: u64,
    checks: File,
    checks_end: u64,
    journal: Journal,
    syncing: Syncing,
    frontier: Frontier,
    ended: bool,
}

/// Called for each entry when a log is opened: its line, and a way to read the checks that it names.
pub type See<'a> = dyn FnMut(&[u8], &mut Checks<'_>) -> Result<(), Broken> + 'a;

/// The file of checks while a log is opened. It must be read from its beginning to its end, in the order of entries.
pub struct Checks<'a> {
    file: &'a mut File,
    end: u64,
}

impl Checks<'_> {
    /// The checks at `at`, which must follow those of the batch before and have this SHA-256.
    pub fn read(&mut self, at: u64, bytes: u64, hash: &[u8; 32]) -> Result<Vec<u8>, Broken> {
        let gone = || Broken::new("AUDIT_TAMPERED", "the checks of a batch are not those of its entry");
        if at != self.end || bytes > 64 << 20 {
            return Err(gone());
        }
        let mut out = Vec::new();
        Read::by_ref(self.file).take(bytes).read_to_end(&mut out).map_err(|_| gone())?;
        if out.len() as u64 != bytes || Sha256::digest(&out)[..] != hash[..] {
            return Err(gone());
        }
        self.end += bytes;
        Ok(out)
    }
}

impl LogFile {
    /// Opens the log of `origin`, or begins one; checks all of it, puts in place what the journal alone has, and sets aside
    /// what a crash left unacknowledged.
    ///
    /// `known`: a head of this log that was kept elsewhere. `now_ms` is when that is recorded.
    pub fn open(
        folder: &Path,
        origin: &str,
        key: SigningKey,
        known: Option<&Head>,
        now_ms: i64,
        see: &mut See<'_>,
    ) -> Result<Self, LogError> {
        let failed = |what: String, code| LogError { code, place: folder.to_path_buf(), what };
        Self::open_checked(folder, origin, key, known, now_ms, see).map_err(|error| match error {
            ScanError::Broken(broken) => failed(broken.what, broken.code),
            ScanError::Io(error) => failed(error.to_string(), "AUDIT_UNAVAILABLE"),
            ScanError::File(place, error) => LogError { code: "AUDIT_UNAVAILABLE", place, what: error.to_string() },
        })
    }

    fn open_checked(
        folder: &Path,
        origin: &str,
        key: SigningKey,
        known: Option<&Head>,
        now_ms: i64,
        see: &mut See<'_>,
    ) -> Result<Self, ScanError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let lock = File::open(folder)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Broken::new("LOCKED", "another process has this audit log open").into());
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        if !folder.join(CHECKPOINT).exists() && !folder.join(ENTRIES).exists() {
            begin_heads(folder, &lock, origin, &key)?;
        }
        let entries = own().create(true).open(folder.join(ENTRIES))?;
        let mut checks = own().create(true).append(true).open(folder.join(CHECKS))?;
        lock.sync_all()?;
        let journal = Found::read(folder, origin, &key.verifying_key())?;
        let (heads, kept) = read_heads(folder, origin, &key)?;
        let head = journal.newest_head(kept.as_ref().map(|(head, _)| head))?;
        let older = [kept.as_ref().map(|(head, _)| head), journal.tail.as_ref().map(|tail| &tail.head)];
        let older: Vec<&Head> = older.into_iter().flatten().filter(|older| **older != head).collect();
        let mut seen = Checks { file: &mut checks, end: 0 };
        let mut see = |line: &[u8]| see(line, &mut seen).map_err(ScanError::from);
        let found = scan(&mut Tail::over(journal.tail.as_ref(), &entries), &head, &older, known, &mut see)?;
        let checks_end = seen.end;
        // All that is there is proven by a signed head. Only now is anything changed.
        let lacked = journal.put_in_place(&entries, &heads, &head)?;
        // What follows is of a batch that was never acknowledged: its entry would be there.
        if checks.metadata()?.len() > checks_end {
            checks.set_len(checks_end)?;
        }
        let next_slot = kept.map_or(0, |(_, slot)| slot);
        let text = head.signed(origin, &key);
        let whole = Commit { first: head.size, at: found.bytes, lines: &[], head: &text };
        let journal = journal.go_on(folder, &lock, &whole)?;
        let syncing = Syncing::start(vec![entries.try_clone()?, heads.try_clone()?])?;
        let mut log = Self {
            folder: folder.to_path_buf(),
            origin: origin.to_owned(),
            key,
            _lock: lock,
            entries,
            entries_end: found.bytes,
            heads,
            next_slot,
            checks,
            checks_end,
            journal,
            syncing,
            frontier: found.frontier,
            ended: true,
        };
        if lacked > 0 || !found.rest.is_empty() {
            log.recover(lacked, &found.rest, now_ms)?;
        }
        log.ended = false;
        Ok(log)
    }

    /// Makes an entry of each draft, in order, as one batch: when this returns, they are durable.
    ///
    /// After an error the log has ended, and none of them was acknowledged.
    pub fn append(&mut self, drafts: Vec<Draft>, now_ms: i64) -> Result<Batch, LogError> {
        let failed = |what: String| LogError { code: "AUDIT_UNAVAILABLE", place: self.folder.clone(), what };
        if self.ended {
            return Err(failed("an earlier entry could not be written".to_owned()));
        }
        if drafts.is_empty() || drafts.len() > MAX_BATCH {
            return Err(failed(format!("a batch of {} entries", drafts.len())));
        }
        // Whatever happens from here on, half of it may be on the disk.
        self.ended = true;
        let batch = self.write(drafts, now_ms).map_err(|error| LogError {
            code: "AUDIT_UNAVAILABLE",
            place: self.folder.clone(),
            what: error.to_string(),
        })?;
        self.ended = false;
        Ok(batch)
    }

    /// Lets every sync in the background fail.
    #[cfg(test)]
    pub(crate) fn break_syncing(&mut self) -> io::Result<()> {
        self.syncing = Syncing::start(vec![File::open("/dev/null")?])?;
        Ok(())
    }

    /// How many entries there are, and their root.
    pub fn head(&self) -> Head {
        Head { size: self.frontier.size(), root: self.frontier.root() }
    }

    fn write(&mut self, drafts: Vec<Draft>, now_ms: i64) -> io::Result<Batch> {
        let begun = self.write_checks(drafts)?;
        let (time, first) = (stamp(now_ms), self.frontier.size());
        let mut block = Vec::with_capacity(begun.iter().map(|line| line.len() + 96).sum());
        let (mut ends, mut leaves) = (Vec::with_capacity(begun.len()), Vec::with_capacity(begun.len()));
        for (place, line) in begun.iter().enumerate() {
            let start = block.len();
            finish(&mut block, line, first + place as u64, begun.len() - 1 - place, &time);
            leaves.push(leaf_hash(&block[start..block.len() - 1]));
            ends.push(block.len());
        }
        let grown = self.frontier.grow(leaves);
        let head = Head { size: grown.size(), root: grown.root() }.signed(&self.origin, &self.key);
        let commit = Commit { first, at: self.entries_end, lines: &block, head: &head };
        // What is too long for the journal waits for each of the two files, first for the one that is proven by the other.
        let journaled = commit.bytes() <= HALF_BYTES;
        if journaled {
            self.make_room(commit.bytes())?;
            self.journal.put(&commit)?;
        } else {
            // Of two syncs of a file at once, only one is told that it failed.
            self.syncing.wait()?;
        }
        self.entries.write_all_at(&block, self.entries_end)?;
        if !journaled {
            self.entries.sync_data()?;
        }
        let written = sector(&head).ok_or(io::ErrorKind::InvalidInput)?;
        self.heads.write_all_at(&written, self.next_slot * SLOT_BYTES as u64)?;
        if !journaled {
            self.heads.sync_data()?;
        }
        self.syncing.check()?;
        self.entries_end += block.len() as u64;
        self.next_slot = 1 - self.next_slot;
        self.frontier.advance(&grown);
        Ok(Batch { grown, head, block, ends })
    }

    fn write_checks(&mut self, drafts: Vec<Draft>) -> io::Result<Vec<Vec<u8>>> {
        let mut wrote = false;
        let begun = drafts.into_iter().map(|draft| match draft {
            Draft::Line(line) => Ok(line),
            Draft::Checks { records, begin } => {
                self.checks.write_all(&records)?;
                let at = self.checks_end;
                self.checks_end += records.len() as u64;
                wrote = true;
                begin(at).ok_or_else(|| io::ErrorKind::InvalidInput.into())
            }
        });
        let begun = begun.collect::<io::Result<Vec<_>>>()?;
        if wrote {
            self.checks.sync_data()?;
        }
        Ok(begun)
    }

    /// Begins the other half of the journal where this one has no room: all that stands there is in its files by then, or
    /// is waited for.
    fn make_room(&mut self, bytes: usize) -> io::Result<()> {
        if self.journal.has_room(bytes) {
            return Ok(());
        }
        self.syncing.wait()?;
        self.journal.turn();
        self.syncing.begin()
    }

    /// Sets aside what is behind the log's end, and says in the log what was found.
    fn recover(&mut self, lacked: u64, rest: &[u8], now_ms: i64) -> Result<(), ScanError> {
        let mut facts = Vec::new();
        if lacked > 0 {
            facts.push(("restored_bytes", Fact::Number(lacked)));
        }
        if !rest.is_empty() {
            let mut aside = own().create(true).append(true).open(self.folder.join(SET_ASIDE))?;
            aside.write_all(rest.strip_suffix(b"\n").unwrap_or(rest))?;
            aside.write_all(b"\n")?;
            aside.sync_all()?;
            // It must be gone before the journal has an entry in its place: a piece of it behind that would be no crash's.
            self.entries.set_len(self.entries_end)?;
            self.entries.sync_all()?;
            facts.push(("unacknowledged_bytes", Fact::Number(rest.len() as u64)));
        }
        let line = begin("log_recovered", &facts).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.write(vec![Draft::Line(line)], now_ms)?;
        Ok(())
    }

    /// Leaves a log that needs no journal.
    fn close(&mut self) -> io::Result<()> {
        if self.journal.is_closed() {
            return Ok(());
        }
        self.syncing.wait()?;
        self.entries.sync_data()?;
        self.heads.sync_data()?;
        let head = self.head().signed(&self.origin, &self.key);
        let commit = Commit { first: self.frontier.size(), at: self.entries_end, lines: &[], head: &head };
        self.make_room(commit.bytes())?;
        self.journal.put(&commit)
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        if !self.ended {
            // Where this fails, the journal still has all that it had.
            let _ = self.close();
        }
    }
}

/// For this process's owner alone.
fn own() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// Puts two heads of an empty log in place at once.
fn begin_heads(folder: &Path, handle: &File, origin: &str, key: &SigningKey) -> io::Result<()> {
    let fresh = folder.join(".checkpoint.new");
    let empty = Frontier::default();
    let head = Head { size: 0, root: empty.root() }.signed(origin, key);
    let written = sector(&head).ok_or(io::ErrorKind::InvalidInput)?;
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.set_len(HEADS_BYTES as u64)?;
    for slot in 0..2 {
        file.write_all_at(&written, slot * SLOT_BYTES as u64)?;
    }
    file.sync_all()?;
    fs::rename(&fresh, folder.join(CHECKPOINT))?;
    handle.sync_all()
}

/// The file of heads, and the newest in it with the place that the next one goes to; None if not both are heads.
fn read_heads(folder: &Path, origin: &str, key: &SigningKey) -> Result<(File, Option<(Head, u64)>), ScanError> {
    let mut file = match own().open(folder.join(CHECKPOINT)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Broken::new("AUDIT_TAMPERED", "the signed head is gone").into());
        }
        opened => opened?,
    };
    let mut data = Vec::new();
    (&mut file).take(HEADS_BYTES as u64 + 1).read_to_end(&mut data)?;
    let found = newest(&data, origin, &key.verifying_key());
    Ok((file, found.map(|(head, slot)| (head, slot as u64))))
}
