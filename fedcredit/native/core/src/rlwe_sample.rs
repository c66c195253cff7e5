//! What ring-LWE draws: uniform residues from a public seed; small numbers and masks from a secret one.
//!
//! A stream is BLAKE3, keyed with the seed of 32 bytes, of what is drawn and its number. Words are 64 bits, low byte
//! first. What is drawn from a secret seed takes the same number of words, branches and addresses whatever comes out.

use zeroize::Zeroizing;

use crate::rlwe_modulus::{DEGREE, Modulus};
use crate::rlwe_ring::LIMB_BITS;

/// Bytes of a seed.
pub const SEED_BYTES: usize = 32;

/// Errors are the number of ones in so many bits, less that in so many others: variance 10.5, at most 21.
pub const ERROR_BITS: u32 = 21;

/// Flooding is uniform in [-2^FLOOD_BITS, 2^FLOOD_BITS).
pub const FLOOD_BITS: u32 = 122;

/// What a stream is for.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub enum Use {
    Uniform = 1,
    Error = 2,
    Ternary = 3,
    Flood = 4,
}

/// A seed, of which every use and number has a stream of its own.
#[derive(Clone, Copy)]
pub struct Seed<'a>(pub &'a [u8; SEED_BYTES]);

/// Numbers of a polynomial, wiped when dropped.
pub type Numbers = Zeroizing<Vec<u64>>;

/// A polynomial of zeros, wiped when dropped.
pub fn zeros(n: usize) -> Numbers {
    Zeroizing::new(vec![0; n])
}

impl Seed<'_> {
    fn stream(self, what: Use, limb: usize, number: u64) -> Stream {
        let mut item = [0; 16];
        item[0] = what as u8;
        item[1] = limb as u8;
        item[8..].copy_from_slice(&number.to_le_bytes());
        Stream {
            reader: blake3::Hasher::new_keyed(self.0).update(&item).finalize_xof(),
            bytes: Zeroizing::new([0; CHUNK]),
        }
    }

    /// Uniform residues modulo `modulus`, of LIMB_BITS bits: words whose low bits are not below it are passed over.
    pub fn uniform(self, number: u64, limb: usize, modulus: &Modulus, out: &mut [u64]) {
        self.uniform_of(LIMB_BITS, number, limb, modulus, out);
    }

    /// The same of so many bits.
    pub fn uniform_of(self, bits: u32, number: u64, limb: usize, modulus: &Modulus, out: &mut [u64]) {
        let mask = (1 << bits) - 1;
        let mut stream = self.stream(Use::Uniform, limb, number);
        let mut filled = 0;
        while filled < out.len() {
            stream.refill();
            let words = stream.bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes) & mask);
            let room = &mut out[filled..];
            let mut above = 0;
            for (out, word) in room.iter_mut().zip(words.clone()) {
                *out = word;
                above |= (modulus.value - 1).wrapping_sub(word);
            }
            if above >> 63 == 0 {
                filled += room.len().min(CHUNK / 8);
            } else {
                // Some are not below, where primes are just below 2^bits one in 2^40: each is written, and kept if it is.
                for word in words {
                    if let Some(out) = out.get_mut(filled) {
                        *out = word;
                        filled += usize::from(word < modulus.value);
                    }
                }
            }
        }
    }

    /// Errors, centred binomial.
    pub fn error(self, number: u64, out: &mut [i64]) {
        const MASK: u64 = (1 << ERROR_BITS) - 1;
        self.each(Use::Error, number, out, |word| {
            i64::from((word & MASK).count_ones()) - i64::from(((word >> ERROR_BITS) & MASK).count_ones())
        });
    }

    /// -1, 0 and 1, each a third of the time but for 2^-62.
    pub fn ternary(self, number: u64, out: &mut [i64]) {
        self.each(Use::Ternary, number, out, |word| ((u128::from(word) * 3) >> 64) as i64 - 1);
    }

    /// What floods noise, plus 2^FLOOD_BITS.
    pub fn flood(self, number: u64, out: &mut [u128]) {
        self.flood_of(FLOOD_BITS, number, out);
    }

    /// Uniform in [-2^bits, 2^bits), plus 2^bits.
    pub fn flood_of(self, bits: u32, number: u64, out: &mut [u128]) {
        let mut stream = self.stream(Use::Flood, 0, number);
        for chunk in out.chunks_mut(CHUNK / 16) {
            stream.refill();
            for (out, bytes) in chunk.iter_mut().zip(stream.bytes.as_chunks::<16>().0) {
                *out = u128::from_le_bytes(*bytes) & ((1 << (bits + 1)) - 1);
            }
        }
    }

    #[inline(always)]
    fn each(self, what: Use, number: u64, out: &mut [i64], small: impl Fn(u64) -> i64) {
        let mut stream = self.stream(what, 0, number);
        for chunk in out.chunks_mut(CHUNK / 8) {
            stream.refill();
            for (out, bytes) in chunk.iter_mut().zip(stream.bytes.as_chunks::<8>().0) {
                *out = small(u64::from_le_bytes(*bytes));
            }
        }
    }
}

/// Bytes that are made at a time.
const CHUNK: usize = 8192;

struct Stream {
    reader: blake3::OutputReader,
    bytes: Zeroizing<[u8; CHUNK]>,
}

impl Stream {
    fn refill(&mut self) {
        self.reader.fill(&mut self.bytes[..]);
    }
}

/// Small numbers of a polynomial, wiped when dropped.
pub fn small() -> Zeroizing<Vec<i64>> {
    Zeroizing::new(vec![0; DEGREE])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rlwe_ring::LIMBS;

    #[test]
    fn words_that_are_not_below_the_modulus_are_passed_over() {
        let seed = [7; SEED_BYTES];
        let mut all = vec![0; 4 * DEGREE];
        // 2^60: nothing is passed over.
        Seed(&seed).uniform(9, 1, &Modulus::new(1 << LIMB_BITS), &mut all);
        for q in [LIMBS[0], (1 << 59) + 7, 1 << 58] {
            let mut out = vec![0; DEGREE / 2 + 3];
            Seed(&seed).uniform(9, 1, &Modulus::new(q), &mut out);
            let below: Vec<u64> = all.iter().copied().filter(|&word| word < q).take(out.len()).collect();
            assert_eq!(out, below);
        }
    }

    #[test]
    fn small_numbers_are_spread_as_they_should_be() {
        let (mut error, mut ternary) = (vec![0; 64 * DEGREE], vec![0; 64 * DEGREE]);
        Seed(&[1; SEED_BYTES]).error(0, &mut error);
        Seed(&[1; SEED_BYTES]).ternary(0, &mut ternary);
        let mean = |of: &dyn Fn(i64) -> i64, x: &[i64]| x.iter().map(|&x| of(x) as f64).sum::<f64>() / x.len() as f64;
        // Eight deviations of each mean: of 10.5 / n, of (10.5^2 2) / n, and of a third's.
        let root = (error.len() as f64).sqrt();
        assert!(mean(&|x| x, &error).abs() < 8.0 * 10.5f64.sqrt() / root);
        assert!((mean(&|x| x * x, &error) - 10.5).abs() < 8.0 * 10.5 * 2f64.sqrt() / root);
        for wanted in [-1, 0, 1] {
            assert!((mean(&|x| i64::from(x == wanted), &ternary) - 1.0 / 3.0).abs() < 8.0 * 0.4715 / root);
        }
        assert!(error.iter().all(|x| x.unsigned_abs() <= u64::from(ERROR_BITS)));
    }
}
