//! Keys of an oblivious lookup for eight points at a time; see [`crate::lookup`] for what it computes.
//!
//! A point's keys differ by multiples of one point, which all points share: each takes one addition, and its encoding as a
//! double, for which one inversion serves a task.
//!
//! Unsafe code: the entries alone, which ask the processor first.
#![allow(unsafe_code)]

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;

use crate::edwards8::{Completed, Digits, Extended, Listed, Multiples};
use crate::elgamal8::{digits, of_generator};
use crate::field8::LANES;
use crate::lookup::multiples;
use crate::ristretto::BadRow;
use crate::ristretto8::{available, decode_all, encode_all};

/// The encodings of twice these halves times the point, and of the generator besides.
pub fn products(point: &Multiples, of_generator: Option<&[Scalar]>, of_point: &[Scalar], out: &mut [[u8; 32]]) {
    assert!(available() && of_point.len() == out.len());
    assert!(of_generator.is_none_or(|halves| halves.len() == out.len()));
    // SAFETY: the processor has the features, as just asserted.
    unsafe { products_inner(point, of_generator, of_point, out) }
}

/// What an owner multiplies by, and the multiples of r C from 1 on.
pub struct Owner {
    half: Digits,
    lists: Vec<Listed>,
}

impl Owner {
    /// Of half of r, and C.
    pub fn new(base: &RistrettoPoint, half: &Scalar, side: usize) -> Self {
        assert!(available());
        // Half of half of it: encodings are of doubles, and so are keys.
        let halves = multiples(&(base * half.div_by_2()), 1..side);
        let encoded: Vec<_> = RistrettoPoint::double_and_compress_batch(&halves).iter().map(|e| e.to_bytes()).collect();
        // SAFETY: the processor has the features, as just asserted.
        Self { half: Digits::new(&[half.as_bytes(); LANES]), lists: unsafe { listed(&encoded) } }
    }

    /// The keys of each point, eight points abreast, those of number 0 first. Lanes behind the last point hold copies.
    pub fn keys(&self, points: &[[u8; 32]], keys: &mut [[u8; 32]]) -> Result<(), BadRow> {
        assert!(available() && keys.len() == points.len().div_ceil(LANES) * LANES * (self.lists.len() + 1));
        // SAFETY: the processor has the features, as just asserted.
        unsafe { keys_inner(&self.half, &self.lists, points, keys) }
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn products_inner(point: &Multiples, of_generator: Option<&[Scalar]>, of_point: &[Scalar], out: &mut [[u8; 32]]) {
    let mut doubles = Vec::with_capacity(out.len().div_ceil(LANES));
    for (block, halves) in of_point.chunks(LANES).enumerate() {
        let mut sum = Extended::identity().plus_multiple(point, &digits(halves));
        if let Some(more) = of_generator {
            let more = &more[block * LANES..block * LANES + halves.len()];
            sum = sum.plus_multiple(self::of_generator(), &digits(more));
        }
        doubles.push(sum.projective().doubled());
    }
    encode_all(&doubles, out);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn listed(encoded: &[[u8; 32]]) -> Vec<Listed> {
    let mut lists = Vec::with_capacity(encoded.len().next_multiple_of(LANES));
    // Decoded points have Z = 1, and none of these is refused: no multiple below the group's order is the identity.
    let decoded = decode_all(encoded, |_, points| lists.extend(points.listed()));
    assert!(decoded.is_ok());
    lists.truncate(encoded.len());
    lists
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn keys_inner(half: &Digits, lists: &[Listed], points: &[[u8; 32]], keys: &mut [[u8; 32]]) -> Result<(), BadRow> {
    let mut doubles: Vec<Completed> = Vec::with_capacity(keys.len() / LANES);
    decode_all(points, |_, point| {
        let product = point.multiplied(half).extended();
        doubles.push(product.projective().doubled());
        doubles.extend(lists.iter().map(|multiple| product.plus_listed(multiple).projective().doubled()));
    })?;
    encode_all(&doubles, keys);
    Ok(())
}
