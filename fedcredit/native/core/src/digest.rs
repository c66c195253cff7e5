//! Digests, keyed functions and look-up over batches of items. BLAKE3 throughout.

use rayon::prelude::*;

use crate::error::KernelError;
use crate::items::Items;
use crate::partition::{self, Table};

/// Bytes of an item's digest, an OKVS key and an OKVS value.
pub const DIGEST_BYTES: usize = 16;

/// Rows a rayon task takes at a time: enough work to hide the scheduling.
const ROWS_PER_TASK: usize = 1024;

/// BLAKE3 of `data`.
pub fn blake3(data: &[u8]) -> [u8; 32] {
    *blake3::hash(data).as_bytes()
}

/// Fills `out` from BLAKE3 in key-derivation mode: `context` says what the output is for.
pub fn derive(context: &str, material: &[u8], out: &mut [u8]) {
    blake3::Hasher::new_derive_key(context).update(material).finalize_xof().fill(out);
}

/// A pseudorandom function of every item: row `i` of the result is keyed BLAKE3 of item `i`, cut to `out_width` bytes.
pub fn keyed(key: &[u8; 32], items: &Items<'_>, out_width: usize) -> Result<Vec<u8>, KernelError> {
    if out_width == 0 {
        return Err(KernelError::Range { what: "output width", index: 0 });
    }
    let mut out = vec![0; items.len() * out_width];
    out.par_chunks_mut(out_width).with_min_len(ROWS_PER_TASK).enumerate().for_each(|(row, cell)| {
        keyed_into(key, items.get(row), cell);
    });
    Ok(out)
}

/// XORs `keyed(key, items, out_width)` into `out`.
pub fn keyed_xor(key: &[u8; 32], items: &Items<'_>, out: &mut [u8], out_width: usize) -> Result<(), KernelError> {
    if out_width == 0 {
        return Err(KernelError::Range { what: "output width", index: 0 });
    }
    if out.len() != items.len() * out_width {
        return Err(KernelError::Shape { what: "accumulator", expected: items.len() * out_width, found: out.len() });
    }
    out.par_chunks_mut(out_width).with_min_len(ROWS_PER_TASK).enumerate().for_each(|(row, cell)| {
        let mut pad = vec![0; out_width];
        keyed_into(key, items.get(row), &mut pad);
        cell.iter_mut().zip(&pad).for_each(|(c, p)| *c ^= p);
    });
    Ok(())
}

/// The row of `table` equal to each of `wanted`, or -1. Both hold 16-byte entries.
pub fn lookup(table: &[u8], wanted: &[u8]) -> Result<Vec<i64>, KernelError> {
    partition::lookup(Table::new("table", table, DIGEST_BYTES)?, Table::new("wanted entries", wanted, DIGEST_BYTES)?)
}

/// The first row of `table` whose 16-byte entry stands in an earlier row too, or None when all are distinct.
pub fn find_repeat(table: &[u8]) -> Result<Option<usize>, KernelError> {
    let repeats = partition::repeats(Table::new("table", table, DIGEST_BYTES)?, false);
    Ok(repeats.first().map(|&row| row as usize))
}

fn keyed_into(key: &[u8; 32], item: &[u8], out: &mut [u8]) {
    if out.len() <= 32 {
        out.copy_from_slice(&blake3::keyed_hash(key, item).as_bytes()[..out.len()]);
    } else {
        blake3::Hasher::new_keyed(key).update(item).finalize_xof().fill(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyed_depends_on_key_and_item_and_extends_consistently() {
        let data: Vec<u8> = (0..40).collect();
        let items = Items::full(&data, 8).unwrap();
        let short = keyed(&[1; 32], &items, 16).unwrap();
        let long = keyed(&[1; 32], &items, 64).unwrap();
        for row in 0..5 {
            assert_eq!(short[16 * row..16 * row + 16], long[64 * row..64 * row + 16]);
        }
        assert_ne!(short, keyed(&[2; 32], &items, 16).unwrap());
        let mut twice = short.clone();
        keyed_xor(&[1; 32], &items, &mut twice, 16).unwrap();
        assert!(twice.iter().all(|&b| b == 0));
    }

    #[test]
    fn lookup_finds_rows_and_misses() {
        let table: Vec<u8> = (0..100u128).flat_map(|i| (i * 7919).to_le_bytes()).collect();
        let wanted: Vec<u8> = [(99 * 7919u128), 1, 0].iter().flat_map(|i| i.to_le_bytes()).collect();
        assert_eq!(lookup(&table, &wanted).unwrap(), vec![99, -1, 0]);
        assert_eq!(find_repeat(&table).unwrap(), None);
        let mut repeated = table.clone();
        repeated.extend_from_slice(&table[16..32]);
        assert_eq!(find_repeat(&repeated).unwrap(), Some(100));
        assert!(lookup(&table, &wanted[1..]).is_err());
    }
}
