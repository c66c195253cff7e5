//! Why a kernel refuses its input. Kernels never panic on input: they return one of these.

use std::fmt;

/// The reason a kernel did not run. `BadPoint` and `BadEncoding` are a peer's fault, the others the caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelError {
    /// An input has another length or shape than its siblings imply.
    Shape { what: &'static str, expected: usize, found: usize },
    /// An element is outside its range.
    Range { what: &'static str, index: usize },
    /// Bytes that are not a canonical, non-identity group element.
    BadPoint { index: usize },
    /// Bytes that are not the code of anything.
    BadEncoding { what: &'static str },
    /// No assignment was found for this seed; try another.
    NoAssignment,
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape { what, expected, found } => {
                write!(f, "{what}: expected {expected} elements, found {found}")
            }
            Self::Range { what, index } => write!(f, "{what}: element {index} is out of range"),
            Self::BadPoint { index } => write!(f, "element {index} is not a valid group element"),
            Self::BadEncoding { what } => write!(f, "{what}"),
            Self::NoAssignment => write!(f, "no assignment for this seed"),
        }
    }
}

impl std::error::Error for KernelError {}
