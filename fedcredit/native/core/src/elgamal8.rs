//! ElGamal on eight rows at a time; see [`crate::elgamal`] for what it computes.
//!
//! A base that stays, the generator or a key, has a list of its multiples: a product takes 64 additions and no doubling.
//! Sums are doubled before they are encoded, so scalars come in halves, as everywhere in [`crate::ristretto8`].
//!
//! Unsafe code: the entries alone, which ask the processor first.
#![allow(unsafe_code)]

use std::sync::OnceLock;

use curve25519_dalek::constants::RISTRETTO_BASEPOINT_POINT;
use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;

use crate::edwards8::{Completed, DIGITS, Digits, Extended, Multiples};
use crate::elgamal::BadPart;
use crate::field8::LANES;
use crate::ristretto::BadRow;
use crate::ristretto8::{available, decode_all, encode_all};

/// The multiples of the generator, made when first asked for.
pub fn of_generator() -> &'static Multiples {
    static MULTIPLES: OnceLock<Multiples> = OnceLock::new();
    MULTIPLES.get_or_init(|| of_point(&RISTRETTO_BASEPOINT_POINT))
}

/// The multiples of a point other than the identity.
pub fn of_point(point: &RistrettoPoint) -> Multiples {
    assert!(available());
    // Encodings of doubles cost one inversion for all.
    let mut place = *point * Scalar::ONE.div_by_2();
    let mut halves = Vec::with_capacity(8 * DIGITS);
    for _ in 0..DIGITS {
        let mut multiple = place;
        for _ in 0..8 {
            halves.push(multiple);
            multiple += place;
        }
        place = multiple - place;
        place += place;
    }
    let encoded: Vec<_> = RistrettoPoint::double_and_compress_batch(&halves).iter().map(|e| e.to_bytes()).collect();
    // SAFETY: the processor has the features, as just asserted.
    unsafe { listed(&encoded) }
}

/// Ciphertexts of twice the messages, with twice the randomness, in two columns.
pub fn encrypt(
    key: &Multiples,
    messages: &[Scalar],
    randomness: &[Scalar],
    firsts: &mut [[u8; 32]],
    seconds: &mut [[u8; 32]],
) {
    assert!(available() && messages.len() == randomness.len());
    assert!(messages.len() == firsts.len() && messages.len() == seconds.len());
    // SAFETY: the processor has the features, as just asserted.
    unsafe { encrypt_inner(key, messages, randomness, firsts, seconds) }
}

/// The encodings of twice what the sums of all parts say, for the secret whose negative is `negated`.
pub fn open(
    firsts: &[Vec<[u8; 32]>],
    seconds: &[Vec<[u8; 32]>],
    negated: &Scalar,
    out: &mut [[u8; 32]],
) -> Result<(), BadPart> {
    assert!(available());
    // SAFETY: the processor has the features, as just asserted.
    unsafe { open_inner(firsts, seconds, negated, out) }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn listed(encoded: &[[u8; 32]]) -> Multiples {
    let mut lists = Vec::with_capacity(DIGITS);
    // Decoded points have Z = 1, and none of these is refused: no multiple below the group's order is the identity.
    let decoded = decode_all(encoded, |_, points| lists.push(points.listed()));
    assert!(decoded.is_ok() && lists.len() == DIGITS);
    lists.reverse();
    lists
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn encrypt_inner(
    key: &Multiples,
    messages: &[Scalar],
    randomness: &[Scalar],
    firsts: &mut [[u8; 32]],
    seconds: &mut [[u8; 32]],
) {
    let generator = of_generator();
    let blocks = messages.len().div_ceil(LANES);
    let (mut left, mut right) = (Vec::with_capacity(blocks), Vec::with_capacity(blocks));
    for (messages, randomness) in messages.chunks(LANES).zip(randomness.chunks(LANES)) {
        let (m, r) = (digits(messages), digits(randomness));
        let neutral = Extended::identity();
        left.push(neutral.plus_multiple(generator, &r).projective().doubled());
        right.push(neutral.plus_multiple(key, &r).plus_multiple(generator, &m).projective().doubled());
    }
    encode_all(&left, firsts);
    encode_all(&right, seconds);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn open_inner(
    firsts: &[Vec<[u8; 32]>],
    seconds: &[Vec<[u8; 32]>],
    negated: &Scalar,
    out: &mut [[u8; 32]],
) -> Result<(), BadPart> {
    let (left, right) = (summed(firsts)?, summed(seconds)?);
    let digits = Digits::new(&[negated.as_bytes(); LANES]);
    let doubles: Vec<Completed> = left
        .iter()
        .zip(&right)
        .map(|(left, right)| {
            let opened = right.plus(&left.multiplied(&digits).extended());
            opened.projective().doubled()
        })
        .collect();
    encode_all(&doubles, out);
    Ok(())
}

/// The sum over all parts, eight rows a vector.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn summed(parts: &[Vec<[u8; 32]>]) -> Result<Vec<Extended>, BadPart> {
    let mut sums: Vec<Extended> = Vec::new();
    for (part, points) in parts.iter().enumerate() {
        let mut place = 0;
        decode_all(points, |_, more| {
            if part == 0 {
                sums.push(*more);
            } else {
                sums[place] = sums[place].plus(more).extended();
            }
            place += 1;
        })
        .map_err(|BadRow(row)| BadPart { part, row })?;
    }
    Ok(sums)
}

/// The digits of up to eight scalars; the last one is repeated.
pub fn digits(scalars: &[Scalar]) -> Digits {
    Digits::new(&core::array::from_fn(|lane| scalars[lane.min(scalars.len() - 1)].as_bytes()))
}
