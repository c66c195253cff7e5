//! Fields of up to 128 bits, one behind the other in a buffer of bytes; the first bit of a byte is its lowest.

/// So many ones.
pub fn low_mask(bits: u32) -> u128 {
    u128::MAX.checked_shr(128 - bits).unwrap_or(0)
}

/// `count` bits, at most 128, from bit `start` on; what lies behind the end is zero.
pub fn read_bits(bytes: &[u8], start: usize, count: u32) -> u128 {
    let mut window = [0; 17];
    let rest = bytes.get(start / 8..).unwrap_or_default();
    let length = rest.len().min(17);
    window[..length].copy_from_slice(&rest[..length]);
    let (head, shift) = (u128::from_le_bytes(*window.first_chunk().unwrap_or(&[0; 16])), (start % 8) as u32);
    let tail = u128::from(window[16]).checked_shl(128 - shift).unwrap_or(0);
    (head >> shift | tail) & low_mask(count)
}

/// Adds `count` bits of `value` at bit `start`; they are zero before.
pub fn write_bits(bytes: &mut [u8], start: usize, value: u128, count: u32) {
    if count == 0 {
        return;
    }
    let shift = (start % 8) as u32;
    let head = (value << shift).to_le_bytes();
    let tail = value.checked_shr(128 - shift).unwrap_or(0) as u8;
    let length = (shift + count).div_ceil(8) as usize;
    let cells = &mut bytes[start / 8..][..length];
    for (cell, byte) in cells.iter_mut().zip(head.into_iter().chain([tail])) {
        *cell |= byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_read_back_side_by_side() {
        for count in [0, 1, 7, 8, 9, 63, 64, 77, 127, 128] {
            let field = |i: u128| (i * 0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6978).rotate_left(9) & low_mask(count);
            let mut bytes = vec![0; (20 * count as usize).div_ceil(8)];
            (0..20).for_each(|i| write_bits(&mut bytes, i * count as usize, field(i as u128 % 3), count));
            assert!((0..20).all(|i| read_bits(&bytes, i * count as usize, count) == field(i as u128 % 3)));
        }
        assert_eq!(read_bits(&[255; 3], 20, 128), 15);
        assert_eq!(read_bits(&[255; 3], 900, 5), 0);
    }
}
