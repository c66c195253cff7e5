//! The one symmetric assumption of the group-by-sum protocol: a circular correlation-robust hash.
//!
//! `H_k(x, t) = AES_k(sigma(x) xor t) xor sigma(x)` with the linear orthomorphism `sigma(l || r) = (l xor r) || l`.
//! For a fixed public key `k` this is the MMO construction of Guo, Katz, Wang and Yu (IEEE S&P 2020, section 7.3) with
//! the tree number `t` mixed in. `k` is derived from the session, the purpose, the round and the feature, so calls of
//! two rounds or features use two permutations. Secrets are inputs, never keys.
//!
//! Blocks of 128 bits are pairs of u64, low word first, so that the compiler can work on four words at once.

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Block};

/// Trees expanded together: two nodes each fill the 64 blocks that the widest AES backend works on.
pub const BATCH: usize = 32;

/// The key of one feature: `AES_key(feature)`. Trees of a feature share a permutation, those of two features do not, so
/// that a guess at a hash's input can be held against the trees of one feature at a time.
pub fn feature_key(key: &[u8; 16], feature: u32) -> [u8; 16] {
    let mut block = Block::from(u128::from(feature).to_le_bytes());
    Aes128::new(&(*key).into()).encrypt_block(&mut block);
    block.into()
}

/// The number of tree (`feature`, `row`): all trees of a session differ in it.
#[derive(Clone, Copy)]
pub struct Tweaks {
    pub feature: u64,
    pub rows: [u64; BATCH],
}

/// The two uses of the hash, over trees of `width` blocks, tree `i` of the batch with its own tweak.
pub trait Hash {
    /// The hash under `key`, which is public.
    fn new(key: &[u8; 16]) -> Self;

    /// Children of every node: `x` becomes `H(x), x xor H(x)`. `children` is twice as long as `nodes`.
    fn expand(&mut self, nodes: &[u64], width: usize, tweaks: &Tweaks, children: &mut [u64]);

    /// The hash of every leaf, low words apart from high words.
    fn words(&mut self, leaves: &[u64], width: usize, tweaks: &Tweaks, low: &mut [u64], high: &mut [u64]);
}

/// The hash on whatever AES the `aes` crate finds, down to constant-time portable code.
pub struct Portable {
    cipher: Aes128,
    scratch: Vec<Block>,
}

impl Portable {
    #[inline(always)]
    fn each(&mut self, nodes: &[u64], width: usize, tweaks: &Tweaks, mut take: impl FnMut(usize, u64, u64)) {
        self.scratch.resize(nodes.len() / 2, Block::default());
        for (i, (block, x)) in self.scratch.iter_mut().zip(nodes.as_chunks::<2>().0).enumerate() {
            let (low, high) = (x[1] ^ tweaks.rows[i / width], (x[0] ^ x[1]) ^ tweaks.feature);
            *block = ((u128::from(high) << 64) | u128::from(low)).to_le_bytes().into();
        }
        self.cipher.encrypt_blocks(&mut self.scratch);
        for (i, (block, x)) in self.scratch.iter().zip(nodes.as_chunks::<2>().0).enumerate() {
            let y = u128::from_le_bytes((*block).into());
            take(i, y as u64 ^ x[1], (y >> 64) as u64 ^ x[0] ^ x[1]);
        }
    }
}

impl Hash for Portable {
    fn new(key: &[u8; 16]) -> Self {
        Self { cipher: Aes128::new(&(*key).into()), scratch: Vec::new() }
    }

    fn expand(&mut self, nodes: &[u64], width: usize, tweaks: &Tweaks, children: &mut [u64]) {
        self.each(nodes, width, tweaks, |i, low, high| {
            let (x, pair) = (&nodes[2 * i..2 * i + 2], &mut children[4 * i..4 * i + 4]);
            pair.copy_from_slice(&[low, high, x[0] ^ low, x[1] ^ high]);
        });
    }

    fn words(&mut self, leaves: &[u64], width: usize, tweaks: &Tweaks, low: &mut [u64], high: &mut [u64]) {
        self.each(leaves, width, tweaks, |i, l, h| {
            low[i] = l;
            high[i] = h;
        });
    }
}

/// AES-128 in counter mode: the stream of a secret `seed`.
pub struct Stream {
    cipher: Aes128,
    scratch: Vec<Block>,
}

impl Stream {
    /// The stream of `seed`.
    pub fn new(seed: &[u8; 16]) -> Self {
        Self { cipher: Aes128::new(&(*seed).into()), scratch: Vec::new() }
    }

    /// Blocks `first..first + out.len()` of the stream.
    pub fn fill(&mut self, first: u64, out: &mut [u128]) {
        self.scratch.clear();
        self.scratch.extend((0..out.len() as u64).map(|i| Block::from(u128::from(first + i).to_le_bytes())));
        self.cipher.encrypt_blocks(&mut self.scratch);
        for (word, block) in out.iter_mut().zip(&self.scratch) {
            *word = u128::from_le_bytes((*block).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_is_aes_of_the_counter() {
        // FIPS 197 appendix C.1: key 00..0f, plaintext 00112233..ff.
        let key: [u8; 16] = core::array::from_fn(|i| i as u8);
        let cipher = Aes128::new(&key.into());
        let mut block = Block::from(core::array::from_fn::<u8, 16, _>(|i| (i * 17) as u8));
        cipher.encrypt_block(&mut block);
        assert_eq!(block[..4], [0x69, 0xc4, 0xe0, 0xd8]);
        let mut seen = [0u128; 3];
        Stream::new(&key).fill(7, &mut seen);
        let mut counter = Block::from(8u128.to_le_bytes());
        cipher.encrypt_block(&mut counter);
        assert_eq!(seen[1], u128::from_le_bytes(counter.into()));
    }
}
