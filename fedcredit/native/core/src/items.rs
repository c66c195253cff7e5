//! A batch of byte strings in one flat buffer: `n` rows of the same width, and where in its row each string ends.

use crate::error::KernelError;

/// Borrowed rows of `width` bytes. An item is a prefix of its row.
#[derive(Clone, Copy)]
pub struct Items<'a> {
    bytes: &'a [u8],
    width: usize,
    ends: Ends<'a>,
}

#[derive(Clone, Copy)]
enum Ends<'a> {
    /// Every item fills its row.
    Full,
    /// An item ends before the row's trailing NULs, as in numpy's `S` arrays.
    Stripped,
    /// Item `i` is the first `lengths[i]` bytes of its row.
    Lengths(&'a [u32]),
}

impl<'a> Items<'a> {
    /// Items that fill their rows; trailing NULs belong to them.
    pub fn full(bytes: &'a [u8], width: usize) -> Result<Self, KernelError> {
        Self::new(bytes, width, Ends::Full)
    }

    /// Items padded with NULs, as numpy's `S` arrays are; the padding does not belong to them.
    pub fn stripped(bytes: &'a [u8], width: usize) -> Result<Self, KernelError> {
        Self::new(bytes, width, Ends::Stripped)
    }

    /// Items with a length each. What stands behind an item in its row is ignored.
    pub fn with_lengths(bytes: &'a [u8], width: usize, lengths: &'a [u32]) -> Result<Self, KernelError> {
        let items = Self::new(bytes, width, Ends::Lengths(lengths))?;
        if lengths.len() != items.len() {
            return Err(KernelError::Shape { what: "lengths", expected: items.len(), found: lengths.len() });
        }
        match lengths.iter().position(|&length| length as usize > width) {
            Some(index) => Err(KernelError::Range { what: "lengths", index }),
            None => Ok(items),
        }
    }

    fn new(bytes: &'a [u8], width: usize, ends: Ends<'a>) -> Result<Self, KernelError> {
        if width == 0 || !bytes.len().is_multiple_of(width) {
            return Err(KernelError::Shape { what: "items", expected: width, found: bytes.len() });
        }
        Ok(Self { bytes, width, ends })
    }

    pub fn len(&self) -> usize {
        self.bytes.len() / self.width
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Item `row`; `row` must be below `len()`.
    pub fn get(&self, row: usize) -> &'a [u8] {
        let cell = &self.bytes[row * self.width..(row + 1) * self.width];
        match self.ends {
            Ends::Full => cell,
            Ends::Stripped => &cell[..cell.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1)],
            Ends::Lengths(lengths) => &cell[..lengths[row] as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_as_declared() {
        let bytes = b"ab\0\0c\0d\0";
        assert_eq!(Items::full(bytes, 4).unwrap().get(0), b"ab\0\0");
        assert_eq!(Items::stripped(bytes, 4).unwrap().get(0), b"ab");
        assert_eq!(Items::stripped(bytes, 4).unwrap().get(1), b"c\0d");
        assert_eq!(Items::stripped(&[0; 4], 4).unwrap().get(0), b"");
        assert_eq!(Items::with_lengths(bytes, 4, &[1, 4]).unwrap().get(1), b"c\0d\0");
        assert!(Items::with_lengths(bytes, 4, &[1, 5]).is_err());
        assert!(Items::with_lengths(bytes, 4, &[1]).is_err());
        assert!(Items::full(bytes, 3).is_err());
        assert!(Items::full(bytes, 0).is_err());
    }
}
