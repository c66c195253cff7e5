//! Numbers as big-endian bytes, which travel, and as limbs of 52 bits, which are computed with.

use zeroize::Zeroizing;

use crate::lanes::{LIMB_BITS, Lanes, MASK};

/// The bits of a big-endian number without its leading zeros.
pub fn value_bits(bytes: &[u8]) -> usize {
    match bytes.iter().position(|&byte| byte != 0) {
        Some(first) => 8 * (bytes.len() - first) - bytes[first].leading_zeros() as usize,
        None => 0,
    }
}

/// Limbs that big-endian `bytes` need.
pub fn limbs_for(bytes: usize) -> usize {
    (8 * bytes).div_ceil(LIMB_BITS)
}

/// Big-endian bytes to limbs, lowest first, those above filled with zeros. Bits beyond the last limb are dropped.
///
/// A limb begins at a byte or in the middle of one, so it lies within eight bytes.
pub fn limbs_of(bytes: &[u8], limbs: &mut [u64]) {
    for (k, limb) in limbs.iter_mut().enumerate() {
        let end = bytes.len().saturating_sub(LIMB_BITS * k / 8);
        let (start, mut word) = (end.saturating_sub(8), [0; 8]);
        word[8 - (end - start)..].copy_from_slice(&bytes[start..end]);
        *limb = u64::from_be_bytes(word) >> (LIMB_BITS * k % 8) & MASK;
    }
}

/// The way back, into as many bytes as `bytes` has. Two limbs are 13 bytes.
pub fn bytes_of(limbs: &[u64], bytes: &mut [u8]) {
    for (k, chunk) in bytes.rchunks_mut(2 * LIMB_BITS / 8).enumerate() {
        let limb = |k: usize| u128::from(limbs.get(k).copied().unwrap_or(0));
        let both = (limb(2 * k) | limb(2 * k + 1) << LIMB_BITS).to_be_bytes();
        chunk.copy_from_slice(&both[both.len() - chunk.len()..]);
    }
}

/// The numbers of up to `N` rows, one in each lane; lanes without a row hold zero.
pub fn load_rows<V: Lanes>(rows: &[u8], width: usize, out: &mut [V]) {
    let mut limbs = Zeroizing::new(vec![0; out.len()]);
    let mut words = Zeroizing::new(vec![0; out.len() * V::N]);
    for (lane, row) in rows.chunks_exact(width).enumerate() {
        limbs_of(row, &mut limbs);
        for (word, limb) in words[lane..].iter_mut().step_by(V::N).zip(limbs.iter()) {
            *word = *limb;
        }
    }
    for (value, words) in out.iter_mut().zip(words.chunks_exact(V::N)) {
        *value = V::load(words);
    }
}

/// The way back, for as many rows as there are.
pub fn store_rows<V: Lanes>(values: &[V], rows: &mut [u8], width: usize) {
    let mut words = Zeroizing::new(vec![0; values.len() * V::N]);
    for (value, words) in values.iter().zip(words.chunks_exact_mut(V::N)) {
        value.store(words);
    }
    let mut limbs = Zeroizing::new(vec![0; values.len()]);
    for (lane, row) in rows.chunks_exact_mut(width).enumerate() {
        for (limb, word) in limbs.iter_mut().zip(words[lane..].iter().step_by(V::N)) {
            *limb = *word;
        }
        bytes_of(&limbs, row);
    }
}
