//! What curve points and large numbers are computed with: one at a time, or eight side by side.

#[cfg(target_arch = "x86_64")]
use crate::field8;

/// One of two that give the same bytes; which one runs is asked of the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// One at a time, on any processor.
    Portable,
    /// Eight at a time, with AVX-512 IFMA. Must exist only where `field8::available` is true.
    #[cfg(target_arch = "x86_64")]
    Eight,
}

impl Arithmetic {
    /// The fastest on this processor.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if field8::available() {
            return Self::Eight;
        }
        Self::Portable
    }
}
