//! Inner products with columns in fixed point, cut into limbs, and with products of two such columns.
//!
//! A column of whole numbers is one sum, or two: over its upper and its lower digits. Cut where they are needed, block by
//! block, so that no column in limbs is ever held. Columns that serve many vectors can be prepared: held as values.
//! Constant time in columns and shares.

use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::error::KernelError;
use crate::rlwe::{Public, Sent, blocks, values_of};
use crate::rlwe_inner::{Columns, Inner, Opened, open_all};
use crate::rlwe_modulus::DEGREE;
use crate::rlwe_ring::{POLYNOMIAL, Ring, expect, polynomials, ring};
use crate::rlwe_sample::{Numbers, SEED_BYTES, Seed, zeros};

/// What one column of prepared sums has of all ciphertexts at a time, in numbers: half of a core's second cache.
const TILE: usize = 1 << 14;

/// Columns (d, rows) of numbers, as so many sums of each: all digits, or the upper and the lower ones.
#[derive(Clone, Copy)]
pub struct Limbs<'a> {
    pub numbers: &'a [i32],
    pub rows: usize,
    /// One or two.
    pub limbs: usize,
    /// Digits of a lower limb; of a product of two columns twice as many.
    pub bits: u32,
    /// Sums are over products of columns j <= l, in their order, not over columns.
    pub pairs: bool,
}

impl Limbs<'_> {
    fn columns(&self) -> usize {
        self.numbers.len() / self.rows.max(1)
    }

    /// How many sums there are.
    pub fn sums(&self) -> usize {
        let d = self.columns();
        self.limbs * if self.pairs { d * (d + 1) / 2 } else { d }
    }

    fn check(&self, first: usize, count: usize) -> Result<(), KernelError> {
        expect("numbers", self.columns() * self.rows, self.numbers.len())?;
        if !(1..=2).contains(&self.limbs) || !(1..=31).contains(&self.bits) || self.rows == 0 {
            return Err(KernelError::Range { what: "limbs", index: self.limbs });
        }
        match first.checked_add(count) {
            Some(stop) if stop <= self.sums() => Ok(()),
            _ => Err(KernelError::Range { what: "sums", index: first }),
        }
    }

    /// The numbers of one block of sum number `place`.
    fn fill(&self, place: usize, block: usize, out: &mut [i64]) {
        let (item, limb) = (place / self.limbs, place % self.limbs);
        let (start, length) = (block * DEGREE, out.len());
        let of = |column: usize| &self.numbers[column * self.rows + start..][..length];
        if self.pairs {
            let (j, l) = self.pair(item);
            let (a, b) = (of(j), of(l));
            for (out, (&a, &b)) in out.iter_mut().zip(a.iter().zip(b)) {
                *out = i64::from(a) * i64::from(b);
            }
        } else {
            for (out, &x) in out.iter_mut().zip(of(item)) {
                *out = i64::from(x);
            }
        }
        if self.limbs == 1 {
            return;
        }
        let bits = if self.pairs { 2 * self.bits } else { self.bits };
        let half = 1i64 << (bits - 1);
        for x in out.iter_mut() {
            // The lower limb is signed, so that both are as small as can be.
            let upper = x.wrapping_add(half) >> bits;
            *x = if limb == 0 { upper } else { x.wrapping_sub(upper << bits) };
        }
    }

    fn pair(&self, item: usize) -> (usize, usize) {
        let (mut j, mut before, d) = (0, 0, self.columns());
        while item >= before + d - j {
            before += d - j;
            j += 1;
        }
        (j, j + item - before)
    }

    fn length(&self, block: usize) -> usize {
        (self.rows - block * DEGREE).min(DEGREE)
    }

    /// Sums `first ..` over rows with a share, modulo t, of least size. `share` (rows,); gives (count,).
    pub fn sums_with(&self, first: usize, count: usize, share: &[i64]) -> Result<Vec<i64>, KernelError> {
        self.check(first, count)?;
        expect("share", self.rows, share.len())?;
        let t = &ring().plain.modulus;
        // A multiple of t above 2^123, which is more than a block of products of 57 and 53 bits can be below zero.
        let offset = u128::from(t.value) << 70;
        let sum = |f: usize| {
            let mut column = Zeroizing::new(vec![0i64; DEGREE]);
            let total = (0..blocks(self.rows)).fold(0, |total, block| {
                let column = &mut column[..self.length(block)];
                self.fill(first + f, block, column);
                let run = column.iter().zip(&share[block * DEGREE..]).fold(0i128, |run, (&x, &s)| {
                    run.wrapping_add(i128::from(x) * i128::from(Ring::centred(ring().plain_of(s))))
                });
                t.add(total, t.reduce_wide(offset.wrapping_add(run as u128)))
            });
            Ring::centred(total)
        };
        Ok((0..count).into_par_iter().map(sum).collect())
    }
}

/// Columns `first ..` of some limbs.
struct Run<'a> {
    limbs: Limbs<'a>,
    first: usize,
}

impl Columns for Run<'_> {
    fn add(&self, f: usize, term: usize, inner: &mut Inner, pair: &Opened) {
        let mut column = Zeroizing::new(vec![0i64; self.limbs.length(term)]);
        self.limbs.fill(self.first + f, term, &mut column);
        inner.add(pair, &column);
    }
}

/// All sums of some limbs, as values modulo each prime: 192 KiB for each sum and block.
pub struct Prepared {
    values: Numbers,
    blocks: usize,
    sums: usize,
}

impl Prepared {
    /// Works them out.
    pub fn new(limbs: &Limbs<'_>) -> Result<Self, KernelError> {
        limbs.check(0, 0)?;
        let (sums, blocks) = (limbs.sums(), blocks(limbs.rows));
        let mut values = zeros(sums * blocks * POLYNOMIAL);
        values.par_chunks_exact_mut(POLYNOMIAL).enumerate().for_each(|(place, out)| {
            let (f, block) = (place / blocks, place % blocks);
            let mut column = Zeroizing::new(vec![0i64; limbs.length(block)]);
            limbs.fill(f, block, &mut column);
            let mut coefficients = zeros(DEGREE);
            ring().of_column(&column, &mut coefficients);
            for (limb, out) in out.chunks_exact_mut(DEGREE).enumerate() {
                values_of(ring(), limb, &coefficients, out);
            }
        });
        Ok(Self { values, blocks, sums })
    }
}

impl Public {
    /// Inner products of one vector with sums `first ..`, as many as there are masks, under the masks.
    pub fn limb_products(
        &self,
        sent: Sent<'_>,
        limbs: &Limbs<'_>,
        first: usize,
        masks: &[i64],
        seed: &[u8; SEED_BYTES],
    ) -> Result<Vec<u64>, KernelError> {
        limbs.check(first, masks.len())?;
        expect("ciphertexts", blocks(limbs.rows), polynomials(sent.bytes, "ciphertexts")?)?;
        self.products(sent, &Run { limbs: *limbs, first }, masks, seed)
    }

    /// The same with columns that were prepared.
    pub fn prepared_products(
        &self,
        sent: Sent<'_>,
        prepared: &Prepared,
        first: usize,
        masks: &[i64],
        seed: &[u8; SEED_BYTES],
    ) -> Result<Vec<u64>, KernelError> {
        let terms = polynomials(sent.bytes, "ciphertexts")?;
        expect("ciphertexts", prepared.blocks, terms)?;
        if first.checked_add(masks.len()).is_none_or(|stop| stop > prepared.sums) {
            return Err(KernelError::Range { what: "sums", index: first });
        }
        let pairs = open_all(sent, terms);
        let mut out = vec![0; masks.len() * (DEGREE + 1)];
        let group = masks.len().div_ceil(2 * rayon::current_num_threads()).max(1);
        let tile = (TILE / terms.next_power_of_two()).clamp(64, DEGREE);
        out.par_chunks_mut(group * (DEGREE + 1)).enumerate().for_each(|(number, out)| {
            let start = number * group;
            let count = out.len() / (DEGREE + 1);
            let mut sums: Vec<Inner> = std::iter::repeat_with(Inner::new).take(count).collect();
            for limb in 0..ring().limbs.len() {
                // Some numbers of all ciphertexts stay near while all columns of the group pass by.
                for at in (0..DEGREE).step_by(tile) {
                    for (f, sum) in sums.iter_mut().enumerate() {
                        for (term, pair) in pairs.iter().enumerate() {
                            let place = ((first + start + f) * terms + term) * POLYNOMIAL + limb * DEGREE + at;
                            sum.add_values(pair, limb, at..at + tile, &prepared.values[place..place + tile]);
                        }
                    }
                }
            }
            for (f, (sum, out)) in sums.iter().zip(out.chunks_exact_mut(DEGREE + 1)).enumerate() {
                let mask = ring().plain_of(masks[start + f]);
                self.finish_inner(sum, mask, Seed(seed), (start + f) as u64, out);
            }
        });
        Ok(out)
    }
}
