//! The bytes of an index file, mapped into memory. The only module of this crate with `unsafe`.
#![allow(unsafe_code)]

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use memmap2::{Advice, Mmap};

use crate::trouble::Trouble;

/// Bytes that do not change: a file that is mapped, or memory.
#[derive(Debug)]
pub enum Bytes {
    Mapped(Mmap),
    Held(Vec<u8>),
}

impl Bytes {
    /// The bytes of the file at `path`, which must not be written to as long as they are used.
    ///
    /// Troubles: `INDEX_IO`, where it cannot be read or is no plain file.
    pub fn of_file(path: &Path) -> Result<Self, Trouble> {
        let refused = |what: String| Trouble::new("INDEX_IO", path.display().to_string(), what);
        let file = File::open(path).map_err(|error| refused(error.to_string()))?;
        let known = file.metadata().map_err(|error| refused(error.to_string()))?;
        if !known.is_file() {
            return Err(refused("is no plain file".into()));
        }
        if known.len() == 0 {
            return Ok(Self::Held(Vec::new()));
        }
        // SAFETY: a mapping is sound as long as nobody changes or cuts the file under it. An index is written under
        // another name, synced, and moved to its place; `index_build` never writes to a file that is in place, and a
        // newer index is another file, so that this one's pages live as long as the mapping. The folder is the node's
        // own, with mode 0700: who could write there can change this process in other ways too. Every access goes
        // through slices with checked bounds, and no text is taken for UTF-8, so that other bytes than those that
        // were checked give wrong answers at worst. The decision on index files in docs/adr has the alternatives.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| refused(error.to_string()))?;
        // All of it is about to be checked. The advice is only that: a system that does not take it reads all the same.
        let _ = map.advise(Advice::WillNeed);
        Ok(Self::Mapped(map))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Held(held) => held,
        }
    }
}
