//! A table of what is remembered, in parts with a lock each, with a bound at which nothing new goes in.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;

const PARTS: usize = 128;
/// How long a part that is full is left alone before what has expired is looked for again. Units: seconds.
const PURGE_EVERY_S: i64 = 10;

/// A part of a table.
#[derive(Debug)]
pub struct Part<T> {
    pub table: HashTable<T>,
    purged_at_s: i64,
    /// Something was left out when the log was read: what is not here may have been.
    pub is_incomplete: bool,
}

/// All parts of one table.
pub type Parts<T> = Box<[Mutex<Part<T>>]>;

/// An empty table.
pub fn parts<T>() -> Parts<T> {
    (0..PARTS)
        .map(|_| Mutex::new(Part { table: HashTable::new(), purged_at_s: i64::MIN, is_incomplete: false }))
        .collect()
}

/// The part in which an entry of that hash lies, locked.
pub fn locked<T>(parts: &Parts<T>, hash: u64) -> MutexGuard<'_, Part<T>> {
    // A table is whole between two calls, so that a thread that died while it held the lock has broken nothing.
    parts[(hash >> 32) as usize % PARTS].lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Part<T> {
    /// Whether one more fits, after what has expired is gone.
    pub fn has_room(
        &mut self,
        bound: usize,
        now_s: i64,
        hash: impl Fn(&T) -> u64,
        mut keep: impl FnMut(&mut T) -> bool,
    ) -> bool {
        if self.is_incomplete {
            return false;
        }
        let most = bound.div_ceil(PARTS);
        if self.table.len() < most {
            return true;
        }
        if now_s.saturating_sub(self.purged_at_s) < PURGE_EVERY_S {
            return false;
        }
        self.purged_at_s = now_s;
        self.table.retain(|entry| keep(entry));
        self.table.shrink_to(most / 2, hash);
        self.table.len() < most
    }
}

/// How many entries there are.
pub fn count<T>(parts: &Parts<T>) -> usize {
    parts.iter().map(|part| part.lock().unwrap_or_else(PoisonError::into_inner).table.len()).sum()
}
