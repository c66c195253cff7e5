//! Linearly homomorphic encryption on ring-LWE: what the secret key allows.
//!
//! Constant time in the secret, in errors and in plaintexts; what is computed of them is wiped when dropped. The secret
//! is ternary, and stays in here.

use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::error::KernelError;
use crate::rlwe::{block_of, blocks, uniform};
use crate::rlwe_modulus::{DEGREE, centred, once};
use crate::rlwe_ring::{LIMBS, POLYNOMIAL, POLYNOMIAL_BYTES, Ring, expect, pack, ring};
use crate::rlwe_sample::{Numbers, SEED_BYTES, Seed, small, zeros};

/// A secret key.
pub struct Owner {
    small: Zeroizing<Vec<i64>>,
    values: Numbers,
    quotients: Numbers,
}

/// How numbers are put into a plaintext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// For products number by number.
    Slots,
    /// For inner products with columns.
    Coefficients,
}

impl Owner {
    /// The key of a secret seed that serves nothing else.
    pub fn new(seed: &[u8; SEED_BYTES]) -> Self {
        let ring = ring();
        let mut small = small();
        Seed(seed).ternary(0, &mut small);
        let values = ring.small_values(&small);
        let mut quotients = zeros(POLYNOMIAL);
        for (limb, transform) in ring.limbs.iter().enumerate() {
            let at = limb * DEGREE..(limb + 1) * DEGREE;
            for (quotient, &value) in quotients[at.clone()].iter_mut().zip(&values[at]) {
                *quotient = quotient_of(transform.modulus.value, value);
            }
        }
        Self { small, values, quotients }
    }

    /// The public key: b = e - a s, for a of a public seed and e of a secret one.
    pub fn public(&self, seed: &[u8; SEED_BYTES], secret: &[u8; SEED_BYTES]) -> Vec<u8> {
        let mut out = vec![0; POLYNOMIAL_BYTES];
        self.zero_plus(&zeros(DEGREE), Seed(seed), Seed(secret), 0, &mut out);
        out
    }

    /// First parts of ciphertexts of `values`, (k, rows): (k, blocks, bytes). Second parts follow from `seed`.
    ///
    /// Both seeds are of this call alone.
    pub fn encrypt(
        &self,
        values: &[i64],
        rows: usize,
        packing: Packing,
        seed: &[u8; SEED_BYTES],
        secret: &[u8; SEED_BYTES],
    ) -> Result<Vec<u8>, KernelError> {
        let (blocks, vectors) = (blocks(rows), values.len() / rows.max(1));
        expect("values", vectors * rows, values.len())?;
        let mut out = vec![0; vectors * blocks * POLYNOMIAL_BYTES];
        out.par_chunks_exact_mut(POLYNOMIAL_BYTES).enumerate().for_each_init(
            || zeros(DEGREE),
            |plain, (number, out)| {
                let values = block_of(&values[number / blocks * rows..][..rows], number % blocks);
                match packing {
                    Packing::Slots => ring().of_slots(values, plain),
                    Packing::Coefficients => ring().of_coefficients(values, plain),
                }
                self.zero_plus(plain, Seed(seed), Seed(secret), number as u64, out);
            },
        );
        Ok(out)
    }

    /// The first part of a ciphertext of a plaintext polynomial.
    fn zero_plus(&self, plain: &[u64], seed: Seed<'_>, secret: Seed<'_>, number: u64, out: &mut [u8]) {
        let ring = ring();
        let (mut a, mut c0, mut error) = (vec![0; POLYNOMIAL], zeros(POLYNOMIAL), small());
        uniform(seed, number, &mut a);
        secret.error(number, &mut error);
        for (limb, transform) in ring.limbs.iter().enumerate() {
            let (q, at) = (&transform.modulus, limb * DEGREE..(limb + 1) * DEGREE);
            let c0 = &mut c0[at.clone()];
            for (c0, (&plain, &error)) in c0.iter_mut().zip(plain.iter().zip(error.iter())) {
                // Below 3q, which the transform takes.
                *c0 = ring.scaled_up(limb, plain).wrapping_add(q.signed(error));
            }
            transform.forward(c0);
            let secret = self.values[at.clone()].iter().zip(&self.quotients[at.clone()]);
            for (c0, (&a, (&s, &quotient))) in c0.iter_mut().zip(a[at].iter().zip(secret)) {
                *c0 = q.sub(*c0, once(q.lazy(a, s, quotient), q.value));
            }
        }
        pack(&c0, out);
    }

    /// The numbers in the slots of answers, (n, 2, N): (n, N), of least size.
    pub fn decrypt_slots(&self, answers: &[u64]) -> Result<Vec<i64>, KernelError> {
        let count = answers.len() / (2 * DEGREE);
        expect("answers", count * 2 * DEGREE, answers.len())?;
        let mut out = vec![0; count * DEGREE];
        out.par_chunks_exact_mut(DEGREE).zip(answers.par_chunks_exact(2 * DEGREE)).for_each(|(out, answer)| {
            let (c0, c1) = answer.split_at(DEGREE);
            let mut plain = self.times_secret(c1);
            for (x, &c0) in plain.iter_mut().zip(c0) {
                *x = ring().plain_of(Ring::read(x.wrapping_add(c0)));
            }
            ring().plain.forward(&mut plain);
            for (out, &x) in out.iter_mut().zip(plain.iter()) {
                *out = Ring::centred(x);
            }
        });
        Ok(out)
    }

    /// The numbers of answers of inner products, (n, N + 1): (n,), of least size.
    pub fn decrypt_inner(&self, answers: &[u64]) -> Result<Vec<i64>, KernelError> {
        let count = answers.len() / (DEGREE + 1);
        expect("answers", count * (DEGREE + 1), answers.len())?;
        let read = |answer: &[u64]| {
            let (c0, c1) = (answer[0], &answer[1..]);
            // The first coefficient of c1 s: c1_0 s_0 - c1_(N-1) s_1 - c1_(N-2) s_2 - ..
            let rest = self.small[1..].iter().zip(c1[1..].iter().rev());
            let first = c0.wrapping_add(c1[0].wrapping_mul(self.small[0] as u64));
            Ring::read(rest.fold(first, |sum, (&s, &c)| sum.wrapping_sub(c.wrapping_mul(s as u64))))
        };
        Ok(answers.par_chunks_exact(DEGREE + 1).map(read).collect())
    }

    /// `c s` modulo 2^64 and X^N + 1. The product over the integers is below 2^77: two primes hold it.
    fn times_secret(&self, c: &[u64]) -> Numbers {
        let ring = ring();
        let mut parts = [zeros(DEGREE), zeros(DEGREE)];
        for (limb, part) in parts.iter_mut().enumerate() {
            let (transform, at) = (&ring.limbs[limb], limb * DEGREE..(limb + 1) * DEGREE);
            let q = &transform.modulus;
            for (x, &c) in part.iter_mut().zip(c) {
                *x = q.reduce(c);
            }
            transform.forward(part);
            let secret = self.values[at.clone()].iter().zip(&self.quotients[at]);
            for (x, (&s, &quotient)) in part.iter_mut().zip(secret) {
                *x = q.lazy(*x, s, quotient);
            }
            transform.inverse(part);
        }
        let [mut low, high] = parts;
        let (first, q) = (LIMBS[0], &ring.limbs[1].modulus);
        for (x, &y) in low.iter_mut().zip(high.iter()) {
            // x + first digit, where a digit above the half stands for a number below zero.
            let digit = q.times(q.sub(y, once(*x, q.value)), ring.inverse_first);
            *x = x.wrapping_add(first.wrapping_mul(centred(digit, q.value) as u64));
        }
        low
    }
}

/// floor(w 2^64 / q), bit by bit: w is secret, and division takes a time that depends on it.
fn quotient_of(q: u64, w: u64) -> u64 {
    let (mut rest, mut quotient) = (w, 0u64);
    for _ in 0..64 {
        rest <<= 1;
        // One where q fits, from the sign of q - 1 - rest.
        quotient = (quotient << 1) | ((q - 1).wrapping_sub(rest) >> 63);
        rest = once(rest, q);
    }
    quotient
}
