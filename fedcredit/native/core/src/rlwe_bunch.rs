//! Inner products of many vectors with the same columns, under a bunch of keys: one key a vector, one `a` for all keys.
//!
//! Ciphertexts of block j of all vectors are (b_j,v, a_j) with a_j the same for all v. So the second part of what comes of
//! a column is the same for all vectors, and is computed, made fresh and sent once; of each vector's first part one
//! number is wanted. Every key has a secret and errors of its own (Peikert, Vaikuntanathan and Waters, 2008).
//!
//! Constant time in columns and masks.

use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::error::KernelError;
use crate::rlwe::{
    MAX_SUMMED, Sent, add_products, block_of, blocks, finish_second, ternary_values, uniform, values_of, wide,
};
use crate::rlwe_inner::along;
use crate::rlwe_modulus::DEGREE;
use crate::rlwe_ring::{POLYNOMIAL, POLYNOMIAL_BYTES, expect, first_bad, polynomials, ring, unpack};
use crate::rlwe_sample::{Numbers, SEED_BYTES, Seed, zeros};

/// For each column f and vector v: the sum over all rows of `sent[v] columns[f]`, plus `masks[v, f]`.
///
/// `keys` are (vectors), `sent` (vectors, blocks) by coefficients, `columns` (f, rows), `masks` (vectors, f). Gives for
/// each column a row of vectors + N numbers: of each vector's first part the one coefficient that says it, then the
/// second part of all. Residues that are not below their primes are refused in keys; in `sent` the caller has done so.
pub fn products(
    keys: Sent<'_>,
    sent: Sent<'_>,
    columns: &[i64],
    masks: &[i64],
    rows: usize,
    seed: &[u8; SEED_BYTES],
) -> Result<Vec<u64>, KernelError> {
    let (vectors, blocks) = (polynomials(keys.bytes, "public keys")?, blocks(rows));
    expect("ciphertexts", vectors * blocks, polynomials(sent.bytes, "ciphertexts")?)?;
    if vectors == 0 || blocks == 0 || blocks > MAX_SUMMED {
        return Err(KernelError::Range { what: "ciphertexts of a sum", index: blocks });
    }
    let each = columns.len() / rows;
    expect("columns", each * rows, columns.len())?;
    expect("masks", vectors * each, masks.len())?;
    if let Some(index) = first_bad(keys.bytes) {
        return Err(KernelError::Range { what: "public keys", index });
    }
    let bunch = Bunch {
        vectors,
        b: opened(keys.bytes),
        a: drawn(keys.seed, 1),
        first: opened(sent.bytes),
        second: drawn(sent.seed, blocks),
    };
    let mut out = vec![0; each * (vectors + DEGREE)];
    out.par_chunks_exact_mut(vectors + DEGREE).enumerate().for_each_init(
        || Work::new(vectors),
        |work, (f, out)| {
            work.clear();
            for block in 0..blocks {
                bunch.add(block, blocks, block_of(&columns[f * rows..][..rows], block), work);
            }
            bunch.finish(work, |v| masks[v * each + f], Seed(seed), f as u64, out);
        },
    );
    Ok(out)
}

/// Public keys and ciphertexts, as values.
struct Bunch {
    vectors: usize,
    b: Vec<u64>,
    a: Vec<u64>,
    first: Vec<u64>,
    second: Vec<u64>,
}

/// The sums of one column: of first parts the sum of all values of each vector, reduced; second parts not reduced.
struct Work {
    first: Vec<Zeroizing<[u64; 3]>>,
    second: Zeroizing<Vec<u128>>,
    coefficients: Numbers,
    values: Numbers,
}

impl Work {
    fn new(vectors: usize) -> Self {
        Self {
            first: (0..vectors).map(|_| Zeroizing::new([0; 3])).collect(),
            second: Zeroizing::new(vec![0; POLYNOMIAL]),
            coefficients: zeros(DEGREE),
            values: zeros(DEGREE),
        }
    }

    fn clear(&mut self) {
        self.first.iter_mut().for_each(|first| first.fill(0));
        self.second.fill(0);
    }
}

impl Bunch {
    /// Adds the products with one block of a column.
    fn add(&self, block: usize, blocks: usize, column: &[i64], work: &mut Work) {
        let ring = ring();
        ring.of_column(column, &mut work.coefficients);
        for (limb, transform) in ring.limbs.iter().enumerate() {
            let at = limb * DEGREE..(limb + 1) * DEGREE;
            values_of(ring, limb, &work.coefficients, &mut work.values);
            let second = &self.second[block * POLYNOMIAL..][at.clone()];
            add_products(&mut work.second[at.clone()], second, &work.values);
            for (v, sums) in work.first.iter_mut().enumerate() {
                let first = &self.first[(v * blocks + block) * POLYNOMIAL..][at.clone()];
                sums[limb] = transform.modulus.add(sums[limb], along(limb, first, &work.values));
            }
        }
    }

    /// What the sums come to, with masks, made fresh: an encryption of zero under every key added, and noise flooded.
    fn finish(&self, work: &Work, mask: impl Fn(usize) -> i64, seed: Seed<'_>, number: u64, out: &mut [u64]) {
        let ring = ring();
        let u = ternary_values(ring, seed, number);
        let mut flood = Zeroizing::new(vec![0u128; self.vectors]);
        seed.flood(number, &mut flood);
        let mut c1 = zeros(POLYNOMIAL);
        for (limb, transform) in ring.limbs.iter().enumerate() {
            let at = limb * DEGREE..(limb + 1) * DEGREE;
            let out = &mut c1[at.clone()];
            let terms = work.second[at.clone()].iter().zip(&self.a[at.clone()]).zip(&u[at]);
            for (out, ((&sum, &key), &u)) in out.iter_mut().zip(terms) {
                *out = transform.modulus.reduce_wide(sum.wrapping_add(wide(key, u)));
            }
            transform.inverse(out);
        }
        let (firsts, second) = out.split_at_mut(self.vectors);
        for (v, out) in firsts.iter_mut().enumerate() {
            let mask = ring.plain_of(mask(v));
            *out = ring.scaled_down(std::array::from_fn(|limb| {
                let (transform, at) = (&ring.limbs[limb], limb * DEGREE..(limb + 1) * DEGREE);
                let q = &transform.modulus;
                let fresh = along(limb, &self.b[v * POLYNOMIAL..][at.clone()], &u[at]);
                let more = q.add(ring.flood(limb, flood[v]), ring.scaled_up(limb, mask));
                // The first coefficient is the mean of all values.
                q.add(q.times(q.add(work.first[v][limb], fresh), transform.scale()), more)
            }));
        }
        finish_second(ring, &c1, seed, number, second);
    }
}

fn opened(bytes: &[u8]) -> Vec<u64> {
    let mut out = vec![0; bytes.len() / POLYNOMIAL_BYTES * POLYNOMIAL];
    out.par_chunks_exact_mut(POLYNOMIAL)
        .zip(bytes.par_chunks_exact(POLYNOMIAL_BYTES))
        .for_each(|(out, bytes)| unpack(bytes, out));
    out
}

fn drawn(seed: &[u8; SEED_BYTES], count: usize) -> Vec<u64> {
    let mut out = vec![0; count * POLYNOMIAL];
    out.par_chunks_exact_mut(POLYNOMIAL).enumerate().for_each(|(number, out)| uniform(Seed(seed), number as u64, out));
    out
}
