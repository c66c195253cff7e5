//! Inner products of encrypted vectors with columns of who computes: one number each, masked and made fresh.
//!
//! A column is multiplied in as values modulo each prime, block by block. Of the product's first part only the first
//! coefficient is wanted, which is the mean of its values. Constant time in columns and masks, as all of `rlwe`.

use std::ops::Range;

use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

use crate::error::KernelError;
use crate::rlwe::{Pair, Public, Sent, block_of, blocks, finish_second, summed, ternary_values, values_of, wide};
use crate::rlwe_modulus::{DEGREE, once};
use crate::rlwe_products::Factors;
use crate::rlwe_ring::{POLYNOMIAL, expect, polynomials, ring};
use crate::rlwe_sample::{Numbers, SEED_BYTES, Seed, zeros};

/// Codes that are looked at together.
const LANES: usize = 32;

/// Columns whose numbers follow from codes of rows: a row's number is the sum of the weights of the cells it is in.
#[derive(Clone, Copy)]
pub struct Coded<'a> {
    /// (features, rows).
    pub codes: &'a [u8],
    pub rows: usize,
    /// All cells, those of the first column first. Feature, code and weight of each.
    pub features: &'a [u32],
    pub groups: &'a [u8],
    pub weights: &'a [i64],
    /// Where each column's cells begin, and the end.
    pub first: &'a [u32],
}

/// Columns, as they are put into a sum.
pub(crate) trait Columns: Sync {
    /// Adds the product of one ciphertext with its block of column `f`.
    fn add(&self, f: usize, term: usize, inner: &mut Inner, pair: &Opened);
}

/// Both parts of a fresh ciphertext, with their quotients.
pub(crate) struct Opened {
    pair: Pair,
    c0: Vec<u64>,
    c1: Vec<u64>,
}

impl Opened {
    fn new(sent: Sent<'_>, term: usize) -> Self {
        let mut pair = Pair::new();
        pair.open(sent, term);
        let (mut c0, mut c1) = (vec![0; POLYNOMIAL], vec![0; POLYNOMIAL]);
        for (limb, transform) in ring().limbs.iter().enumerate() {
            let at = limb * DEGREE..(limb + 1) * DEGREE;
            transform.quotients(&pair.c0[at.clone()], &mut c0[at.clone()]);
            transform.quotients(&pair.c1[at.clone()], &mut c1[at]);
        }
        Self { pair, c0, c1 }
    }

    /// The first part, as factors.
    pub fn first(&self) -> Factors<'_> {
        Factors { values: &self.pair.c0, quotients: &self.c0 }
    }

    /// The second part.
    pub fn second(&self) -> Factors<'_> {
        Factors { values: &self.pair.c1, quotients: &self.c1 }
    }
}

/// All ciphertexts of a sum.
pub(crate) fn open_all(sent: Sent<'_>, terms: usize) -> Vec<Opened> {
    (0..terms).into_par_iter().map(|term| Opened::new(sent, term)).collect()
}

struct Plain<'a> {
    columns: &'a [i64],
    each: usize,
    rows: usize,
}

impl Columns for Plain<'_> {
    fn add(&self, f: usize, term: usize, inner: &mut Inner, pair: &Opened) {
        let (c, block) = (term / blocks(self.rows), term % blocks(self.rows));
        inner.add(pair, block_of(&self.columns[(c * self.each + f) * self.rows..][..self.rows], block));
    }
}

impl Coded<'_> {
    fn check(&self) -> Result<usize, KernelError> {
        let columns = self.first.len().saturating_sub(1);
        let features = self.codes.len() / self.rows.max(1);
        expect("codes", features * self.rows, self.codes.len())?;
        expect("groups", self.features.len(), self.groups.len())?;
        expect("weights", self.features.len(), self.weights.len())?;
        expect("cells", self.first.last().map_or(0, |&last| last as usize), self.features.len())?;
        let outside = self.features.iter().position(|&f| f as usize >= features);
        let unordered = self.first.windows(2).position(|pair| pair[0] > pair[1]);
        match outside.or(unordered) {
            Some(index) => Err(KernelError::Range { what: "cells", index }),
            None if self.first.first() != Some(&0) => Err(KernelError::Range { what: "cells", index: 0 }),
            None => Ok(columns),
        }
    }
}

impl Columns for Coded<'_> {
    fn add(&self, f: usize, term: usize, inner: &mut Inner, pair: &Opened) {
        let (start, stop) = (term * DEGREE, self.rows.min((term + 1) * DEGREE));
        let mut column = Zeroizing::new(vec![0i64; stop - start]);
        for cell in self.first[f] as usize..self.first[f + 1] as usize {
            let codes = &self.codes[self.features[cell] as usize * self.rows..][start..stop];
            add_weights(codes, self.groups[cell], self.weights[cell], &mut column);
        }
        inner.add(pair, &column);
    }
}

/// Adds `weight` where the code is `group`. Codes are secret: all rows are looked at, and done the same to.
fn add_weights(codes: &[u8], group: u8, weight: i64, out: &mut [i64]) {
    let (codes, rest) = codes.as_chunks::<LANES>();
    let (out, out_rest) = out.as_chunks_mut::<LANES>();
    for (codes, out) in codes.iter().zip(out) {
        add_some_weights(codes, group, weight, out);
    }
    let (mut last, mut sums) = ([0; LANES], [0; LANES]);
    last[..rest.len()].copy_from_slice(rest);
    add_some_weights(&last, group, weight, &mut sums);
    for (out, more) in out_rest.iter_mut().zip(&sums) {
        *out = out.wrapping_add(*more);
    }
    last.zeroize();
    sums.zeroize();
}

#[inline(always)]
fn add_some_weights(codes: &[u8; LANES], group: u8, weight: i64, out: &mut [i64; LANES]) {
    for (out, &code) in out.iter_mut().zip(codes) {
        // Zero where they are the same, else one: less one, all ones or none.
        let other = (code ^ group).min(1);
        *out = out.wrapping_add(weight & i64::from(other).wrapping_sub(1));
    }
}

impl Public {
    /// For each column f: the sum over c and all rows of `sent[c] columns[c, f]`, plus `masks[f]`, as a row of N + 1
    /// numbers: of the first part the one coefficient that says it, then the second part.
    ///
    /// `sent` (c, blocks) by coefficients, `columns` (c, f, rows), `masks` (f,).
    pub fn inner_products(
        &self,
        sent: Sent<'_>,
        columns: &[i64],
        masks: &[i64],
        rows: usize,
        seed: &[u8; SEED_BYTES],
    ) -> Result<Vec<u64>, KernelError> {
        let terms = polynomials(sent.bytes, "ciphertexts")?;
        let vectors = summed(terms, blocks(rows).max(1))?;
        expect("columns", vectors * masks.len() * rows, columns.len())?;
        self.products(sent, &Plain { columns, each: masks.len(), rows }, masks, seed)
    }

    /// The same of one vector with coded columns.
    pub fn coded_products(
        &self,
        sent: Sent<'_>,
        columns: &Coded<'_>,
        masks: &[i64],
        seed: &[u8; SEED_BYTES],
    ) -> Result<Vec<u64>, KernelError> {
        expect("masks", columns.check()?, masks.len())?;
        expect("ciphertexts", blocks(columns.rows), polynomials(sent.bytes, "ciphertexts")?)?;
        self.products(sent, columns, masks, seed)
    }

    pub(crate) fn products(
        &self,
        sent: Sent<'_>,
        columns: &impl Columns,
        masks: &[i64],
        seed: &[u8; SEED_BYTES],
    ) -> Result<Vec<u64>, KernelError> {
        let terms = polynomials(sent.bytes, "ciphertexts")?;
        summed(terms, 1)?;
        let pairs = open_all(sent, terms);
        let mut out = vec![0; masks.len() * (DEGREE + 1)];
        let finish = |f: usize, sum: &Inner, out: &mut [u64]| {
            self.finish_inner(sum, ring().plain_of(masks[f]), Seed(seed), f as u64, out);
        };
        let rows = out.par_chunks_exact_mut(DEGREE + 1).enumerate();
        if masks.len() < 2 * rayon::current_num_threads() {
            // Too few to keep all cores at work: each is cut.
            rows.for_each(|(f, out)| {
                let sum = (0..terms)
                    .into_par_iter()
                    .with_min_len(4)
                    .fold(Inner::new, |mut inner, term| {
                        columns.add(f, term, &mut inner, &pairs[term]);
                        inner
                    })
                    .reduce(Inner::new, Inner::merge);
                finish(f, &sum, out);
            });
        } else {
            rows.for_each_init(Inner::new, |inner, (f, out)| {
                inner.clear();
                for (term, pair) in pairs.iter().enumerate() {
                    columns.add(f, term, inner, pair);
                }
                finish(f, inner, out);
            });
        }
        Ok(out)
    }

    /// A sum with a mask (below t), made fresh: of the first part one coefficient; both scaled to 2^64.
    pub(crate) fn finish_inner(&self, sum: &Inner, mask: u64, seed: Seed<'_>, number: u64, out: &mut [u64]) {
        let ring = ring();
        let u = ternary_values(ring, seed, number);
        let mut flood = Zeroizing::new(vec![0u128; 1]);
        seed.flood(number, &mut flood);
        let mut c1 = zeros(POLYNOMIAL);
        let mut first = Zeroizing::new([0; 3]);
        for (limb, transform) in ring.limbs.iter().enumerate() {
            let at = limb * DEGREE..(limb + 1) * DEGREE;
            let (q, out, u) = (&transform.modulus, &mut c1[at.clone()], &u[at.clone()]);
            let terms = sum.c1[at.clone()].iter().zip(&self.a[at.clone()]).zip(u);
            for (out, ((&sum, &key), &u)) in out.iter_mut().zip(terms) {
                *out = q.reduce_wide(wide(key, u).wrapping_add(u128::from(sum)));
            }
            transform.inverse(out);
            // The first coefficient is the mean of all values.
            let total = q.add(sum.c0[limb], along(limb, &self.b[at], u));
            let more = q.add(ring.flood(limb, flood[0]), ring.scaled_up(limb, mask));
            first[limb] = q.add(q.times(total, transform.scale()), more);
        }
        out[0] = ring.scaled_down(*first);
        finish_second(ring, &c1, seed, number, &mut out[1..]);
    }
}

/// Products that are added up before they are reduced, where they are added up along a polynomial.
const RUN: usize = 128;

/// The sum of the products of two rows of residues, modulo their prime.
pub(crate) fn along(limb: usize, a: &[u64], b: &[u64]) -> u64 {
    let q = &ring().limbs[limb].modulus;
    a.chunks(RUN).zip(b.chunks(RUN)).fold(0, |sum, (a, b)| {
        let run = a.iter().zip(b).fold(0u128, |run, (&a, &b)| run.wrapping_add(wide(a, b)));
        q.add(sum, q.reduce_wide(run))
    })
}

/// The sum of products of one column: of first parts the sum of values alone, reduced; of second ones below 4q.
pub(crate) struct Inner {
    c0: Zeroizing<[u64; 3]>,
    c1: Numbers,
    coefficients: Numbers,
    values: Numbers,
}

impl Inner {
    pub fn new() -> Self {
        let c0 = Zeroizing::new([0; 3]);
        Self { c0, c1: zeros(POLYNOMIAL), coefficients: zeros(DEGREE), values: zeros(DEGREE) }
    }

    pub fn clear(&mut self) {
        self.c0.fill(0);
        self.c1.fill(0);
    }

    /// Adds the product with a block of a column.
    pub fn add(&mut self, pair: &Opened, column: &[i64]) {
        let ring = ring();
        ring.of_column(column, &mut self.coefficients);
        let mut values = std::mem::take(&mut self.values);
        for limb in 0..ring.limbs.len() {
            values_of(ring, limb, &self.coefficients, &mut values);
            self.add_values(pair, limb, 0..DEGREE, &values);
        }
        self.values = values;
    }

    /// Adds the product with some values of a column modulo one prime.
    pub fn add_values(&mut self, pair: &Opened, limb: usize, at: Range<usize>, values: &[u64]) {
        let transform = &ring().limbs[limb];
        let at = limb * DEGREE + at.start..limb * DEGREE + at.end;
        let first = transform.along(pair.first().some(at.clone()), values);
        self.c0[limb] = transform.modulus.add(self.c0[limb], first);
        transform.add_products(&mut self.c1[at.clone()], pair.second().some(at), values);
    }

    fn merge(mut self, other: Self) -> Self {
        for (limb, transform) in ring().limbs.iter().enumerate() {
            let at = limb * DEGREE..(limb + 1) * DEGREE;
            self.c0[limb] = transform.modulus.add(self.c0[limb], other.c0[limb]);
            for (sum, &more) in self.c1[at.clone()].iter_mut().zip(&other.c1[at]) {
                *sum = once(sum.wrapping_add(more), 4 * transform.modulus.value);
            }
        }
        self
    }
}
