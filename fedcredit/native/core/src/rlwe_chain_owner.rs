//! A vector under one party's key that passes from party to party: what the secret key allows.
//!
//! Constant time in the secret, in errors and in plaintexts; what is computed of them is wiped when dropped. The secret
//! is ternary, and stays in here.

use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::error::KernelError;
use crate::rlwe_chain::uniform;
use crate::rlwe_chain_ring::{PLAIN, Ring, WORD_BITS, WORD_BYTES, pack, ring};
use crate::rlwe_modulus::centred;
use crate::rlwe_ring::expect;
use crate::rlwe_sample::{Numbers, SEED_BYTES, Seed, zeros};

/// A secret key.
pub struct Owner {
    ring: &'static Ring,
    small: Zeroizing<Vec<i64>>,
    /// -s modulo all primes, as values.
    values: Vec<Numbers>,
}

impl Owner {
    /// The key of a secret seed that serves nothing else.
    pub fn new(degree: usize, seed: &[u8; SEED_BYTES]) -> Result<Self, KernelError> {
        let ring = ring(degree)?;
        let mut small = Zeroizing::new(vec![0; degree]);
        Seed(seed).ternary(0, &mut small);
        let negative: Zeroizing<Vec<i64>> = Zeroizing::new(small.iter().map(|&x| -x).collect());
        let values = (0..ring.limbs.len()).map(|limb| ring.small_values(limb, &negative)).collect();
        Ok(Self { ring, small, values })
    }

    /// The public key: b = e - a s, for a of a public seed and e of a secret one.
    pub fn public(&self, seed: &[u8; SEED_BYTES], secret: &[u8; SEED_BYTES]) -> Vec<u8> {
        let limbs = self.ring.limbs.len();
        let mut out = vec![0; self.ring.bytes(limbs)];
        self.zero_plus(&zeros(self.ring.degree), limbs, Seed(seed), Seed(secret), 0, &mut out);
        out
    }

    /// First parts of ciphertexts of rows of numbers, a block each: (ciphertexts, bytes). Second parts follow from `seed`.
    ///
    /// `values` (rows, width), a block of 1 / `blocks` of a polynomial each. Both seeds are of this call alone.
    pub fn encrypt(
        &self,
        values: &[i64],
        width: usize,
        blocks: usize,
        limbs: usize,
        seed: &[u8; SEED_BYTES],
        secret: &[u8; SEED_BYTES],
    ) -> Result<Vec<u8>, KernelError> {
        let ring = self.ring;
        ring.expect_limbs(limbs)?;
        Ring::expect_blocks(blocks)?;
        let block = ring.degree / blocks;
        if width == 0 || width > block {
            return Err(KernelError::Range { what: "numbers of a row", index: width });
        }
        let rows = values.len() / width;
        expect("values", rows * width, values.len())?;
        let mut out = vec![0; rows.div_ceil(blocks) * ring.bytes(limbs)];
        out.par_chunks_exact_mut(ring.bytes(limbs)).enumerate().for_each(|(number, out)| {
            let mut plain = zeros(ring.degree);
            let rows = values.chunks_exact(width).skip(number * blocks);
            for (plain, row) in plain.chunks_exact_mut(block).zip(rows) {
                for (plain, &value) in plain.iter_mut().zip(row) {
                    *plain = ring.plain_of(value);
                }
            }
            ring.plain.inverse(&mut plain);
            self.zero_plus(&plain, limbs, Seed(seed), Seed(secret), number as u64, out);
        });
        Ok(out)
    }

    /// The first part of a ciphertext of a plaintext polynomial: round(q m / t) + e - a s.
    fn zero_plus(&self, plain: &[u64], limbs: usize, seed: Seed<'_>, secret: Seed<'_>, number: u64, out: &mut [u8]) {
        let (ring, degree) = (self.ring, self.ring.degree);
        let mut error = Zeroizing::new(vec![0; degree]);
        secret.error(number, &mut error);
        let parts: Vec<Vec<u8>> = (0..limbs)
            .into_par_iter()
            .map(|limb| {
                let transform = &ring.limbs[limb];
                let q = &transform.modulus;
                let (mut a, mut c0) = (vec![0; degree], zeros(degree));
                uniform(ring, seed, number, limb, &mut a);
                for (c0, (&plain, &error)) in c0.iter_mut().zip(plain.iter().zip(error.iter())) {
                    *c0 = ring.scaled_up(limbs, limb, plain).wrapping_add(q.signed(error));
                }
                transform.forward(&mut c0);
                let ones = vec![1; degree];
                transform.multiply_add(&mut c0, &ones, &a, &self.values[limb]);
                let mut out = vec![0; ring.limb_bytes(limb)];
                pack(limb, &c0, &mut out);
                out
            })
            .collect();
        for (limb, part) in parts.iter().enumerate() {
            out[ring.limb_start(limb)..][..part.len()].copy_from_slice(part);
        }
    }

    /// Sums over the blocks of answers, of least size, (ciphertexts, blocks), and of each ciphertext whether its noise is
    /// within bounds, 0 or 1.
    pub fn open(&self, answers: &[u8], blocks: usize) -> Result<(Vec<i64>, Vec<u8>), KernelError> {
        Ring::expect_blocks(blocks)?;
        let size = WORD_BYTES * (blocks + self.ring.degree);
        let count = answers.len() / size;
        expect("answers", count * size, answers.len())?;
        let (mut sums, mut sound) = (vec![0; count * blocks], vec![0; count]);
        let each = sums.par_chunks_exact_mut(blocks).zip(sound.par_iter_mut()).zip(answers.par_chunks_exact(size));
        each.for_each(|((sums, sound), answer)| {
            let (due, rest) = answer.split_at(WORD_BYTES * blocks);
            let second: Vec<u64> = rest.chunks_exact(WORD_BYTES).map(word).collect();
            let mut all = true;
            let mut plain: Numbers = Zeroizing::new(
                due.chunks_exact(WORD_BYTES)
                    .enumerate()
                    .map(|(i, bytes)| {
                        let phase = word(bytes).wrapping_add(self.times_secret(&second, i * self.ring.degree / blocks));
                        let (number, within) = self.ring.read(phase & ((1 << WORD_BITS) - 1));
                        all &= within;
                        number
                    })
                    .collect::<Vec<u64>>(),
            );
            self.ring.block_sums(&mut plain);
            for (sum, &x) in sums.iter_mut().zip(plain.iter()) {
                *sum = centred(x, PLAIN);
            }
            *sound = u8::from(all);
        });
        Ok((sums, sound))
    }

    /// Coefficient number `place` of `c s` modulo 2^64 and X^N + 1.
    fn times_secret(&self, c: &[u64], place: usize) -> u64 {
        let term = |sum: u64, (&c, &s): (&u64, &i64)| sum.wrapping_add(c.wrapping_mul(s as u64));
        let (low, high) = c.split_at(place + 1);
        let straight = low.iter().zip(self.small[..=place].iter().rev()).fold(0, term);
        straight.wrapping_sub(high.iter().zip(self.small[place + 1..].iter().rev()).fold(0, term))
    }

    /// The secret, for tests of noise.
    #[cfg(test)]
    pub fn secret(&self) -> &[i64] {
        &self.small
    }
}

fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..WORD_BYTES].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}
