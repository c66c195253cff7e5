//! Masks of words: streams that two parties expand from a secret in common, added into a vector modulo 2^64.
//!
//! The stream of a 32-byte key is AES-256 in counter mode from counter zero (NIST SP 800-38A, section 6.5), its bytes read
//! as little-endian words. AES-256, since the key is then the cipher's own and no derivation stands between; AES in
//! counter mode, since any place of it can be had at once and processors compute it faster than they read memory. So
//! `add` works block by block of the vector, all keys over one block while it lies in the first cache, blocks on all
//! cores: a vector is read and written once, however many keys there are.
//!
//! Letters: n words of the vector, K keys. `mask_aes` is the stream on vector AES; [`Portable`] on whatever the `aes`
//! crate finds, down to constant-time code without tables.

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes256, Block};
use rayon::prelude::*;

use crate::error::KernelError;
#[cfg(target_arch = "x86_64")]
use crate::mask_aes::Vector;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Words to a task: 16 KiB, half of a first cache.
const RUN: usize = 2048;

/// Words that are computed at once; streams are cut at multiples of it.
pub const GROUP: usize = 32;

/// A stream of words by its groups.
pub trait Stream: Sync {
    /// The stream of `key` whose counters have `high` as their upper half: zero but in tests.
    fn new(key: &[u8; KEY_BYTES], high: u64) -> Self;

    /// Adds groups `first..` to all of `into`, times -1 where `subtract` says so. `into` is whole groups.
    fn add_groups(&self, first: u64, subtract: bool, into: &mut [u64]);
}

/// Adds words `first..first + n` of each key's stream to `into`, or subtracts them, modulo 2^64.
///
/// Shapes: `into` (n,), `keys` and `subtract` (K,). Range: `first + n` within 2^64.
pub fn add(into: &mut [u64], keys: &[[u8; KEY_BYTES]], subtract: &[bool], first: u64) -> Result<(), KernelError> {
    #[cfg(target_arch = "x86_64")]
    if crate::vaes::available() {
        return add_streams::<Vector>(into, keys, subtract, first);
    }
    add_streams::<Portable>(into, keys, subtract, first)
}

fn add_streams<S: Stream>(
    into: &mut [u64],
    keys: &[[u8; KEY_BYTES]],
    subtract: &[bool],
    first: u64,
) -> Result<(), KernelError> {
    if keys.len() != subtract.len() {
        return Err(KernelError::Shape { what: "subtract", expected: keys.len(), found: subtract.len() });
    }
    if first.checked_add(into.len() as u64).is_none() {
        return Err(KernelError::Range { what: "first", index: 0 });
    }
    let streams: Vec<(S, bool)> = keys.iter().zip(subtract).map(|(key, &sign)| (S::new(key, 0), sign)).collect();
    let work = |(run, into): (usize, &mut [u64])| {
        streams.iter().for_each(|(stream, sign)| add_words(stream, first + (run * RUN) as u64, *sign, into));
    };
    // Waking the pool costs more than a short vector.
    if into.len() <= RUN {
        work((0, into));
    } else {
        into.par_chunks_mut(RUN).enumerate().for_each(work);
    }
    Ok(())
}

/// Words `first..`, which may begin and end within a group.
fn add_words<S: Stream>(stream: &S, first: u64, subtract: bool, into: &mut [u64]) {
    let (group, skip) = (first / GROUP as u64, (first % GROUP as u64) as usize);
    let head = if skip == 0 { 0 } else { into.len().min(GROUP - skip) };
    let (head, rest) = into.split_at_mut(head);
    add_part(stream, group, skip, subtract, head);
    let group = group + u64::from(skip != 0);
    let (whole, tail) = rest.split_at_mut(rest.len() / GROUP * GROUP);
    stream.add_groups(group, subtract, whole);
    add_part(stream, group + (whole.len() / GROUP) as u64, 0, subtract, tail);
}

/// Words of one group, from `skip` on.
fn add_part<S: Stream>(stream: &S, group: u64, skip: usize, subtract: bool, into: &mut [u64]) {
    if into.is_empty() {
        return;
    }
    let mut words = [0; GROUP];
    words[skip..skip + into.len()].copy_from_slice(into);
    stream.add_groups(group, subtract, &mut words);
    into.copy_from_slice(&words[skip..skip + into.len()]);
}

/// The stream on whatever AES the `aes` crate finds.
pub struct Portable {
    cipher: Aes256,
    high: u64,
}

impl Stream for Portable {
    fn new(key: &[u8; KEY_BYTES], high: u64) -> Self {
        Self { cipher: Aes256::new(&(*key).into()), high }
    }

    fn add_groups(&self, first: u64, subtract: bool, into: &mut [u64]) {
        for (group, into) in (first..).zip(into.chunks_exact_mut(GROUP)) {
            let counter = |i| (u128::from(self.high) << 64) | u128::from(group * (GROUP as u64 / 2) + i as u64);
            let mut blocks: [Block; GROUP / 2] = core::array::from_fn(|i| counter(i).to_be_bytes().into());
            self.cipher.encrypt_blocks(&mut blocks);
            for (pair, block) in into.as_chunks_mut::<2>().0.iter_mut().zip(blocks) {
                let block = u128::from_le_bytes(block.into());
                for (word, mask) in pair.iter_mut().zip([block as u64, (block >> 64) as u64]) {
                    *word = if subtract { word.wrapping_sub(mask) } else { word.wrapping_add(mask) };
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "masks_tests.rs"]
mod tests;
