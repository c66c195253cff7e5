//! SHA-512 of many messages at once.
//!
//! Hash-to-group and the OPRF hash three messages an item, each of which ends within one block. Eight of them go side by
//! side where AVX-512 is (`sha8`), else one after the other by the sha2 crate; the digests are the same. Longer messages
//! are left to that crate.

use sha2::block_api::compress512;
use sha2::{Digest, Sha512};

#[cfg(target_arch = "x86_64")]
use crate::sha8;

/// Bytes of a block, `s_in_bytes` of RFC 9380.
pub const BLOCK_BYTES: usize = 128;

/// What of the last block a message can fill: behind it come a one bit and the length in 16 bytes.
const ROOM: usize = BLOCK_BYTES - 17;

/// Messages that are hashed side by side.
const ABREAST: usize = 8;

/// The state before the first block: FIPS 180-4, section 5.3.5.
const START: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// A message's last block.
pub type Block = [u8; BLOCK_BYTES];

/// What all messages begin with: nothing, or a block.
#[derive(Clone)]
pub struct Beginning {
    state: [u64; 8],
    hash: Sha512,
    bytes: usize,
}

/// A message behind its beginning, part by part. In `long` altogether once it takes more than `block`.
pub struct Message {
    block: Block,
    end: usize,
    long: Vec<u8>,
}

impl Beginning {
    /// Nothing.
    pub fn none() -> Self {
        Self { state: START, hash: Sha512::new(), bytes: 0 }
    }

    /// One block.
    pub fn block(block: &Block) -> Self {
        let mut state = START;
        compress512(&mut state, std::slice::from_ref(block));
        Self { state, hash: Sha512::new().chain_update(block), bytes: BLOCK_BYTES }
    }

    /// SHA-512 of every message. `parts` gives those of the message of an index of `out`.
    pub fn digest_each(&self, out: &mut [[u8; 64]], parts: impl Fn(usize, &mut Message)) {
        let mut blocks = [[0; BLOCK_BYTES]; ABREAST];
        for (group, out) in out.chunks_mut(ABREAST).enumerate() {
            let mut long = [const { Vec::new() }; ABREAST];
            for ((k, block), long) in blocks.iter_mut().enumerate().zip(&mut long).take(out.len()) {
                let mut message = Message { block: [0; BLOCK_BYTES], end: 0, long: Vec::new() };
                parts(group * ABREAST + k, &mut message);
                *block = message.padded(self.bytes);
                *long = message.long;
            }
            digests(&self.state, &blocks[..out.len()], out);
            for (out, long) in out.iter_mut().zip(long).filter(|(_, long)| !long.is_empty()) {
                *out = self.hash.clone().chain_update(&long).finalize().into();
            }
        }
    }
}

impl Message {
    /// The next part.
    pub fn push(&mut self, part: &[u8]) {
        let end = self.end + part.len();
        if self.long.is_empty() && end <= ROOM {
            self.block[self.end..end].copy_from_slice(part);
            self.end = end;
            return;
        }
        if self.long.is_empty() {
            self.long.extend_from_slice(&self.block[..self.end]);
        }
        self.long.extend_from_slice(part);
    }

    /// The block with its padding, behind `before` bytes.
    fn padded(&mut self, before: usize) -> Block {
        self.block[self.end] = 0x80;
        self.block[BLOCK_BYTES - 8..].copy_from_slice(&(8 * (before + self.end) as u64).to_be_bytes());
        self.block
    }
}

/// The digest of each message, given its last block and the state before it, the same for all.
fn digests(state: &[u64; 8], blocks: &[Block], out: &mut [[u8; 64]]) {
    assert_eq!(blocks.len(), out.len());
    #[cfg(target_arch = "x86_64")]
    if sha8::available() {
        return sha8::digests(state, blocks, out);
    }
    one_by_one(state, blocks, out);
}

fn one_by_one(state: &[u64; 8], blocks: &[Block], out: &mut [[u8; 64]]) {
    for (block, out) in blocks.iter().zip(out) {
        let mut state = *state;
        compress512(&mut state, std::slice::from_ref(block));
        for (word, bytes) in state.iter().zip(out.as_chunks_mut::<8>().0) {
            *bytes = word.to_be_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> Vec<u8> {
        (0..=255).cycle().take(600).collect()
    }

    /// The parts of the message of an index, of lengths that rise from nothing over one block.
    fn parts(text: &[u8], k: usize) -> [&[u8]; 2] {
        [&text[..k], &text[300..300 + 3 * k]]
    }

    fn book(before: &[u8], text: &[u8], k: usize) -> [u8; 64] {
        let [a, b] = parts(text, k);
        Sha512::new().chain_update(before).chain_update(a).chain_update(b).finalize().into()
    }

    #[test]
    fn digests_are_those_of_sha2_at_any_length_and_number() {
        let text = text();
        let block = [7; BLOCK_BYTES];
        for (beginning, before) in [(Beginning::none(), &block[..0]), (Beginning::block(&block), &block[..])] {
            for n in (0..=17).chain([64]) {
                let mut out = vec![[0; 64]; n];
                beginning.digest_each(&mut out, |k, message| {
                    for part in parts(&text, k) {
                        message.push(part);
                    }
                });
                assert_eq!(out, (0..n).map(|k| book(before, &text, k)).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn long_messages_between_short_ones() {
        let text = text();
        let mut out = [[0; 64]; 20];
        Beginning::none().digest_each(&mut out, |k, message| {
            for part in parts(&text, if k % 3 == 0 { 70 } else { 2 }) {
                message.push(part);
            }
        });
        for (k, digest) in out.iter().enumerate() {
            assert_eq!(*digest, book(&[], &text, if k % 3 == 0 { 70 } else { 2 }));
        }
    }

    #[test]
    fn one_by_one_is_the_same() {
        let blocks: Vec<Block> = (0..11).map(|k| [k; BLOCK_BYTES]).collect();
        let (mut best, mut portable) = ([[0; 64]; 11], [[0; 64]; 11]);
        digests(&START, &blocks, &mut best);
        one_by_one(&START, &blocks, &mut portable);
        assert_eq!(best, portable);
    }
}
