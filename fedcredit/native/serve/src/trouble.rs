//! What is wrong with an index file, a program or a snapshot.

use std::fmt;

/// One thing that is wrong, with a code that stays the same. Holds no record's value and no subject's identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub code: &'static str,
    /// The file or the key in it.
    pub place: String,
    pub what: String,
}

impl Trouble {
    pub fn new(code: &'static str, place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { code, place: place.into(), what: what.into() }
    }

    /// The same, found while `place` was read.
    pub fn within(mut self, place: &str) -> Self {
        self.place = if self.place.is_empty() { place.into() } else { format!("{place}: {}", self.place) };
        self
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.code, self.place, self.what)
    }
}

impl std::error::Error for Trouble {}
