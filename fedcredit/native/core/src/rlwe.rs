//! Linearly homomorphic encryption on ring-LWE: what a public key allows, products with plaintexts and their sums.
//!
//! A ciphertext is (c0, c1) with c0 + c1 s = round(q m / t) + noise; c1 of a fresh one follows from a public seed.
//! Nothing leaves here that was not made to look fresh first: an encryption of zero is added, noise is flooded, both
//! parts are scaled down to 2^64. Constant time in plaintexts and masks, which are secrets of who computes.
//!
//! Polynomials modulo q are three rows of residues, as values (`rlwe_modulus`), unless something else is said.

use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::error::KernelError;
use crate::rlwe_modulus::DEGREE;
use crate::rlwe_ring::{POLYNOMIAL, POLYNOMIAL_BYTES, Ring, expect, first_bad, polynomials, ring, unpack};
use crate::rlwe_sample::{Numbers, SEED_BYTES, Seed, small, zeros};

/// Ciphertexts that a sum may have, at most: so many products of two residues and one more fit into two words.
pub const MAX_SUMMED: usize = 255;

/// A public key: b = e - a s, and a by its seed.
pub struct Public {
    pub(crate) b: Vec<u64>,
    pub(crate) a: Vec<u64>,
}

/// Fresh ciphertexts as they came in: the seed of their second parts, and their first parts.
#[derive(Clone, Copy)]
pub struct Sent<'a> {
    pub seed: &'a [u8; SEED_BYTES],
    pub bytes: &'a [u8],
}

/// Blocks that so many rows fill.
pub fn blocks(rows: usize) -> usize {
    rows.div_ceil(DEGREE)
}

/// The rows of one block of a vector.
pub fn block_of(vector: &[i64], block: usize) -> &[i64] {
    &vector[block * DEGREE..vector.len().min((block + 1) * DEGREE)]
}

impl Public {
    /// The key of a seed and the bytes of b. Residues that are not below their primes are refused.
    pub fn new(seed: &[u8; SEED_BYTES], b: &[u8]) -> Result<Self, KernelError> {
        expect("public key", POLYNOMIAL_BYTES, b.len())?;
        if let Some(index) = first_bad(b) {
            return Err(KernelError::Range { what: "public key", index });
        }
        let (mut rows, mut a) = (vec![0; POLYNOMIAL], vec![0; POLYNOMIAL]);
        unpack(b, &mut rows);
        uniform(Seed(seed), 0, &mut a);
        Ok(Self { b: rows, a })
    }

    /// For each m and block, slot by slot: the sum over k of `sent[k] plain[m, k]`, plus `masks[m]`. Two rows each.
    ///
    /// `sent` (k, blocks), `plain` (m, k, rows), `masks` (m, rows); gives (m, blocks, 2, N).
    pub fn slot_products(
        &self,
        sent: Sent<'_>,
        plain: &[i64],
        masks: &[i64],
        rows: usize,
        seed: &[u8; SEED_BYTES],
    ) -> Result<Vec<u64>, KernelError> {
        let blocks = blocks(rows);
        let vectors = summed(polynomials(sent.bytes, "ciphertexts")?, blocks.max(1))?;
        let sums = masks.len() / rows.max(1);
        expect("masks", sums * rows, masks.len())?;
        expect("plaintexts", sums * vectors * rows, plain.len())?;
        let mut out = vec![0; sums * blocks * 2 * DEGREE];
        // By blocks, so that what is held at a time does not grow with the rows.
        let done: Vec<Vec<u64>> = (0..blocks)
            .into_par_iter()
            .map(|block| {
                let plain = |m: usize, k: usize| block_of(&plain[(m * vectors + k) * rows..][..rows], block);
                let totals = (0..vectors)
                    .into_par_iter()
                    .with_min_len(4)
                    .fold(
                        || Slots::new(sums),
                        |mut slots, k| {
                            slots.add(sent, k * blocks + block, |m| plain(m, k));
                            slots
                        },
                    )
                    .reduce(|| Slots::new(0), Slots::merge);
                let mut out = vec![0; sums * 2 * DEGREE];
                let mut mask = zeros(DEGREE);
                for (m, (out, sum)) in out.chunks_exact_mut(2 * DEGREE).zip(&totals.sums).enumerate() {
                    ring().of_slots(block_of(&masks[m * rows..][..rows], block), &mut mask);
                    self.finish(sum, &mask, Seed(seed), (m * blocks + block) as u64, out);
                }
                out
            })
            .collect();
        for (block, done) in done.iter().enumerate() {
            for (m, done) in done.chunks_exact(2 * DEGREE).enumerate() {
                out[(m * blocks + block) * 2 * DEGREE..][..2 * DEGREE].copy_from_slice(done);
            }
        }
        Ok(out)
    }

    /// A sum with a mask (coefficients, below t), made fresh: both parts scaled to 2^64.
    fn finish(&self, sum: &Sum, mask: &[u64], seed: Seed<'_>, number: u64, out: &mut [u64]) {
        let ring = ring();
        let (mut c0, mut c1) = (zeros(POLYNOMIAL), zeros(POLYNOMIAL));
        let u = ternary_values(ring, seed, number);
        for (limb, transform) in ring.limbs.iter().enumerate() {
            let at = limb * DEGREE..(limb + 1) * DEGREE;
            let parts = [(&mut c0, &sum.c0, &self.b), (&mut c1, &sum.c1, &self.a)];
            for (out, sum, key) in parts {
                let out = &mut out[at.clone()];
                let terms = sum[at.clone()].iter().zip(&key[at.clone()]).zip(&u[at.clone()]);
                for (out, ((&sum, &key), &u)) in out.iter_mut().zip(terms) {
                    *out = transform.modulus.reduce_wide(sum.wrapping_add(wide(key, u)));
                }
                transform.inverse(out);
            }
        }
        let mut flood = Zeroizing::new(vec![0u128; DEGREE]);
        seed.flood(number, &mut flood);
        let (first, second) = out.split_at_mut(DEGREE);
        for (j, out) in first.iter_mut().enumerate() {
            *out = ring.scaled_down(std::array::from_fn(|limb| {
                let q = &ring.limbs[limb].modulus;
                let more = q.add(ring.flood(limb, flood[j]), ring.scaled_up(limb, mask[j]));
                q.add(c0[limb * DEGREE + j], more)
            }));
        }
        finish_second(ring, &c1, seed, number, second);
    }
}

/// The second part with an error of its own, scaled.
pub(crate) fn finish_second(ring: &Ring, c1: &[u64], seed: Seed<'_>, number: u64, out: &mut [u64]) {
    let mut error = small();
    seed.error(number, &mut error);
    for (j, out) in out.iter_mut().enumerate() {
        *out = ring.scaled_down(std::array::from_fn(|limb| {
            let q = &ring.limbs[limb].modulus;
            c1[limb * DEGREE + j].wrapping_add(q.signed(error[j]))
        }));
    }
}

pub(crate) fn ternary_values(ring: &Ring, seed: Seed<'_>, number: u64) -> Numbers {
    let mut u = small();
    seed.ternary(number, &mut u);
    ring.small_values(&u)
}

/// Uniform polynomial number `number` of a public seed.
pub fn uniform(seed: Seed<'_>, number: u64, out: &mut [u64]) {
    for (limb, (transform, out)) in ring().limbs.iter().zip(out.chunks_exact_mut(DEGREE)).enumerate() {
        seed.uniform(number, limb, &transform.modulus, out);
    }
}

/// How many vectors of so many blocks there are; no more than a sum may have.
pub(crate) fn summed(polynomials: usize, blocks: usize) -> Result<usize, KernelError> {
    let vectors = polynomials / blocks;
    expect("ciphertexts", vectors * blocks, polynomials)?;
    if vectors == 0 || vectors > MAX_SUMMED {
        return Err(KernelError::Range { what: "ciphertexts of a sum", index: vectors });
    }
    Ok(vectors)
}

#[inline(always)]
pub(crate) fn wide(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

/// Both parts of a fresh ciphertext.
pub(crate) struct Pair {
    pub c0: Vec<u64>,
    pub c1: Vec<u64>,
}

impl Pair {
    pub fn new() -> Self {
        Self { c0: vec![0; POLYNOMIAL], c1: vec![0; POLYNOMIAL] }
    }

    pub fn open(&mut self, sent: Sent<'_>, number: usize) {
        unpack(&sent.bytes[number * POLYNOMIAL_BYTES..][..POLYNOMIAL_BYTES], &mut self.c0);
        uniform(Seed(sent.seed), number as u64, &mut self.c1);
    }
}

/// Sums of products, not reduced.
struct Sum {
    c0: Zeroizing<Vec<u128>>,
    c1: Zeroizing<Vec<u128>>,
}

impl Sum {
    fn new() -> Self {
        let zeros = || Zeroizing::new(vec![0; POLYNOMIAL]);
        Self { c0: zeros(), c1: zeros() }
    }
}

pub(crate) fn add_products(sums: &mut [u128], a: &[u64], b: &[u64]) {
    for (sum, (&a, &b)) in sums.iter_mut().zip(a.iter().zip(b)) {
        *sum = sum.wrapping_add(wide(a, b));
    }
}

pub(crate) fn add_sums(sums: &mut [u128], more: &[u128]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum = sum.wrapping_add(*more);
    }
}

/// Several sums over the same ciphertexts, with room to work in.
struct Slots {
    sums: Vec<Sum>,
    pair: Pair,
    coefficients: Numbers,
    values: Numbers,
}

impl Slots {
    fn new(sums: usize) -> Self {
        let sums = (0..sums).map(|_| Sum::new()).collect();
        Self { sums, pair: Pair::new(), coefficients: zeros(DEGREE), values: zeros(DEGREE) }
    }

    fn add<'a>(&mut self, sent: Sent<'_>, number: usize, plain: impl Fn(usize) -> &'a [i64]) {
        let ring = ring();
        self.pair.open(sent, number);
        for (m, sum) in self.sums.iter_mut().enumerate() {
            ring.of_slots(plain(m), &mut self.coefficients);
            for limb in 0..ring.limbs.len() {
                let at = limb * DEGREE..(limb + 1) * DEGREE;
                values_of(ring, limb, &self.coefficients, &mut self.values);
                add_products(&mut sum.c0[at.clone()], &self.pair.c0[at.clone()], &self.values);
                add_products(&mut sum.c1[at.clone()], &self.pair.c1[at], &self.values);
            }
        }
    }

    fn merge(mut self, other: Self) -> Self {
        if self.sums.is_empty() {
            return other;
        }
        for (sum, more) in self.sums.iter_mut().zip(&other.sums) {
            add_sums(&mut sum.c0, &more.c0);
            add_sums(&mut sum.c1, &more.c1);
        }
        self
    }
}

/// A plaintext's values modulo a prime.
pub(crate) fn values_of(ring: &Ring, limb: usize, coefficients: &[u64], values: &mut [u64]) {
    for (value, &x) in values.iter_mut().zip(coefficients) {
        *value = ring.lift(limb, x);
    }
    ring.limbs[limb].forward(values);
}

#[cfg(test)]
#[path = "rlwe_tests.rs"]
mod tests;
