//! Messages of `protos/fedcredit/v1/verify.proto`, written in their one encoding.

const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// Writes fields in the order in which they are asked for.
#[derive(Debug, Default)]
pub struct Writer {
    pub out: Vec<u8>,
}

impl Writer {
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes) }
    }

    /// A text, bytes or message; an element of a list where it is empty as well.
    pub fn bytes(&mut self, number: u8, value: &[u8]) {
        self.begin(number, value.len());
        self.out.extend_from_slice(value);
    }

    /// A message of so many bytes, which are written next.
    pub fn begin(&mut self, number: u8, length: usize) {
        self.out.push(number << 3 | BYTES);
        self.length(length);
    }

    /// An enum's value, which is left out when it is 0.
    pub fn outcome(&mut self, number: u8, value: u8) {
        if value != 0 {
            self.out.extend_from_slice(&[number << 3, value]);
        }
    }

    /// Four bytes, always written.
    pub fn fixed32(&mut self, number: u8, value: u32) {
        self.out.push(number << 3 | FIXED32);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// Eight bytes, left out when 0.
    pub fn fixed64_or_none(&mut self, number: u8, value: u64) {
        if value != 0 {
            self.out.push(number << 3 | FIXED64);
            self.out.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn length(&mut self, mut value: usize) {
        while value > 0x7f {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}

/// Bytes that a length-delimited field takes, of a number below 16.
pub fn field_bytes(length: usize) -> usize {
    let digits = (usize::BITS - (length | 1).leading_zeros()).div_ceil(7) as usize;
    1 + digits + length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_known_before_they_are_written() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 70_000] {
            let mut writer = Writer::default();
            writer.bytes(1, &vec![0; length]);
            assert_eq!(writer.out.len(), field_bytes(length));
        }
    }
}
