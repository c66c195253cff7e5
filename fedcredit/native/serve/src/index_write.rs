//! Writing an index file: sections at even places, a checksum over all, and a file that is whole or not there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::index_check::digest;
use crate::index_layout::{ALIGNMENT, DIGEST_AT, HEADER_BYTES, Layout};

/// Bytes that are gathered before they are hashed and written: enough for all cores to have a part.
const AT_ONCE: usize = 4 << 20;

/// An index file under way. Until `finish` it has another name; dropped before, it is removed.
pub struct Writer {
    file: File,
    target: PathBuf,
    beside: PathBuf,
    hasher: blake3::Hasher,
    held: Vec<u8>,
    place: usize,
    is_done: bool,
}

impl Writer {
    pub fn new(target: &Path) -> io::Result<Self> {
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let beside = target.with_file_name(format!("{}.new", name.to_string_lossy()));
        // What a crash left.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(&[0; HEADER_BYTES])?;
        let hasher = blake3::Hasher::new();
        let held = Vec::with_capacity(AT_ONCE + ALIGNMENT);
        Ok(Self { file, target: target.into(), beside, hasher, held, place: HEADER_BYTES, is_done: false })
    }

    /// Begins a section; `end` ends it.
    pub fn begin(&mut self) -> io::Result<usize> {
        let gap = self.place.next_multiple_of(ALIGNMENT) - self.place;
        self.put(&[0; ALIGNMENT][..gap])?;
        Ok(self.place)
    }

    pub fn end(&self, start: usize) -> Range<usize> {
        start..self.place
    }

    pub fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(AT_ONCE) {
            if self.held.len() + part.len() > AT_ONCE {
                self.flush()?;
            }
            self.held.extend_from_slice(part);
            self.place += part.len();
        }
        Ok(())
    }

    /// A whole section.
    pub fn section(&mut self, bytes: &[u8]) -> io::Result<Range<usize>> {
        let start = self.begin()?;
        self.put(bytes)?;
        Ok(self.end(start))
    }

    /// Writes table and header, has everything on disk, and gives the file its name. Returns its bytes.
    pub fn finish(mut self, layout: &Layout) -> io::Result<usize> {
        let table = self.section(&layout.table())?;
        self.flush()?;
        let mut header = layout.header(self.place as u64, table.start as u64, table.len() as u64);
        let digest = digest(&header, self.hasher.finalize());
        header[DIGEST_AT..].copy_from_slice(&digest);
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header)?;
        self.file.sync_all()?;
        fs::rename(&self.beside, &self.target)?;
        self.is_done = true;
        let folder = self.target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
        Ok(self.place)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hasher.update_rayon(&self.held);
        self.file.write_all(&self.held)?;
        self.held.clear();
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.is_done {
            // Nothing to do if that fails: the next build removes it first.
            let _ = fs::remove_file(&self.beside);
        }
    }
}
