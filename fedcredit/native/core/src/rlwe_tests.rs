//! The noise of the worst sums that are allowed, measured before it is flooded, against what is reckoned in
//! `docs/protocols/rlwe.md`. Nothing outside of tests gives noise out.

use super::*;
use crate::rlwe_modulus::Modulus;
use crate::rlwe_owner::{Owner, Packing};
use crate::rlwe_ring::{LIMBS, PLAIN_MODULUS};
use crate::rlwe_sample::FLOOD_BITS;

const KEY: [u8; 32] = [1; 32];
const PUBLIC: [u8; 32] = [2; 32];
const HIDDEN: [u8; 32] = [3; 32];
const SENT: [u8; 32] = [4; 32];
const ERRORS: [u8; 32] = [5; 32];
const ANSWER: [u8; 32] = [6; 32];

/// The largest plaintext coefficient.
const LARGEST: i64 = (PLAIN_MODULUS / 2) as i64;

fn q() -> f64 {
    LIMBS.iter().map(|&q| q as f64).product()
}

/// What rounding may add up to in a coefficient of a sum of so many ciphertexts, at the worst and with that of what
/// makes it fresh; and errors, but for ten deviations.
fn reckoned(summed: usize) -> (f64, f64) {
    let (n, t) = ((summed * DEGREE) as f64, PLAIN_MODULUS as f64);
    (n * t / 4.0 + 2.0 * 21.0 * DEGREE as f64 + 1.0, 10.0 * (10.5 * n).sqrt() * t / 2.0)
}

/// A number below t whose round(q m / t) is off by almost a half.
fn off_by_half() -> i64 {
    let t = Modulus::new(PLAIN_MODULUS);
    let q = LIMBS.iter().fold(1u128, |all, &q| all * u128::from(q) % u128::from(PLAIN_MODULUS)) as u64;
    // q m is t / 2 - 1 modulo t.
    let m = u128::from(t.inverse_vartime(q)) * u128::from(PLAIN_MODULUS / 2 - 1) % u128::from(PLAIN_MODULUS);
    m as i64
}

/// Residues modulo the first two primes of a number that is far smaller than their product.
fn joined(x: [u64; 2]) -> i128 {
    let q = Modulus::new(LIMBS[1]);
    let inverse = q.factor(q.inverse_vartime(LIMBS[0] % LIMBS[1]));
    let digit = q.times(q.sub(x[1], x[0] % LIMBS[1]), inverse);
    let digit = if digit > LIMBS[1] / 2 { i128::from(digit) - i128::from(LIMBS[1]) } else { i128::from(digit) };
    i128::from(x[0]) + i128::from(LIMBS[0]) * digit
}

/// The largest noise of a sum, of which `expected` is the plaintext, by its coefficients below t.
fn noise(sum: &Sum, expected: &[u64]) -> f64 {
    let mut secret = small();
    Seed(&KEY).ternary(0, &mut secret);
    let secret = ring().small_values(&secret);
    let parts: Vec<Vec<u64>> = (0..2)
        .map(|limb| {
            let transform = &ring().limbs[limb];
            let q = &transform.modulus;
            let mut phase: Vec<u64> = (limb * DEGREE..(limb + 1) * DEGREE)
                .map(|i| q.add(q.reduce_wide(sum.c0[i]), q.reduce_wide(wide(q.reduce_wide(sum.c1[i]), secret[i]))))
                .collect();
            transform.inverse(&mut phase);
            phase.iter().zip(expected).map(|(&x, &m)| q.sub(x, ring().scaled_up(limb, m))).collect()
        })
        .collect();
    parts[0].iter().zip(&parts[1]).map(|(&x, &y)| joined([x, y]).unsigned_abs()).max().unwrap_or(0) as f64
}

/// The sum of `summed` ciphertexts of `number` in every coefficient, times plaintexts of the largest in every one.
fn worst(summed: usize, number: i64) -> (Sum, Vec<u64>) {
    let owner = Owner::new(&KEY);
    let values = vec![number; summed * DEGREE];
    let sent = owner.encrypt(&values, DEGREE, Packing::Coefficients, &SENT, &ERRORS).unwrap();
    // Slots whose polynomial has the largest in every coefficient.
    let mut slots = vec![ring().plain_of(LARGEST); DEGREE];
    ring().plain.forward(&mut slots);
    let slots: Vec<i64> = slots.iter().map(|&x| Ring::centred(x)).collect();
    let mut totals = Slots::new(1);
    for k in 0..summed {
        totals.add(Sent { seed: &SENT, bytes: &sent }, k, |_| &slots);
    }
    // Coefficient j of the product of two constant polynomials: j + 1 terms, less the others.
    let t = i128::from(PLAIN_MODULUS);
    let each = i128::from(number) * i128::from(LARGEST) % t * summed as i128 % t;
    let expected = (0..DEGREE as i128).map(|j| (each * (2 * (j + 1) - DEGREE as i128)).rem_euclid(t) as u64).collect();
    (totals.sums.pop().unwrap(), expected)
}

#[test]
fn noise_of_the_worst_sum_is_what_was_reckoned_and_floods_cover_it() {
    let (rounding, errors) = reckoned(MAX_SUMMED);
    // With plaintexts of zero there are errors alone: they stay within ten deviations, and are not nothing.
    let (sum, expected) = worst(MAX_SUMMED, 0);
    let measured = noise(&sum, &expected);
    assert!(measured < errors && measured > errors / 10.0, "{} of {}", measured.log2(), errors.log2());
    // With the worst rounding, at the worst plaintext, the bound is reached.
    let (sum, expected) = worst(MAX_SUMMED, off_by_half());
    let measured = noise(&sum, &expected);
    assert!(measured < rounding + errors && measured > 0.9 * rounding, "{} of {}", measured.log2(), rounding.log2());
    // 40 bits of flooding are asked for.
    let flood = 2f64.powi(FLOOD_BITS as i32);
    assert!((rounding + errors) * 2f64.powi(40) < flood);
    // And what is flooded is still read right, with ten deviations of the rounding of both parts.
    let scaled = (flood + rounding + errors) * 2f64.powi(64) / q();
    let scaling = 1.0 + 10.0 * (DEGREE as f64 / 12.0).sqrt();
    assert!(scaled + scaling < 0.7 * 2f64.powi(63) / PLAIN_MODULUS as f64);
}

#[test]
fn the_worst_sums_are_read_right() {
    let owner = Owner::new(&KEY);
    let public = Public::new(&PUBLIC, &owner.public(&PUBLIC, &HIDDEN)).unwrap();
    let (number, t) = (off_by_half(), i128::from(PLAIN_MODULUS));
    let rows = MAX_SUMMED * DEGREE;
    let values = vec![number; rows];
    let each = i128::from(number) * i128::from(LARGEST) % t;
    let total = |terms: usize| (each * terms as i128).rem_euclid(t) as u64;
    // One inner product over all rows that there may be.
    let sent = owner.encrypt(&values, rows, Packing::Coefficients, &SENT, &ERRORS).unwrap();
    let columns = vec![LARGEST; rows];
    let answer = public.inner_products(Sent { seed: &SENT, bytes: &sent }, &columns, &[0], rows, &ANSWER).unwrap();
    assert_eq!(owner.decrypt_inner(&answer).unwrap(), [Ring::centred(total(rows))]);
    // As many products as there may be in each of a block's slots.
    let sent = owner.encrypt(&values, DEGREE, Packing::Slots, &SENT, &ERRORS).unwrap();
    let masks = vec![0; DEGREE];
    let answer = public.slot_products(Sent { seed: &SENT, bytes: &sent }, &columns, &masks, DEGREE, &ANSWER).unwrap();
    assert_eq!(owner.decrypt_slots(&answer).unwrap(), vec![Ring::centred(total(MAX_SUMMED)); DEGREE]);
}

#[test]
fn wrong_lengths_are_refused() {
    let owner = Owner::new(&KEY);
    let public = Public::new(&PUBLIC, &owner.public(&PUBLIC, &HIDDEN)).unwrap();
    let bytes = owner.encrypt(&[1, 2], 1, Packing::Slots, &SENT, &ERRORS).unwrap();
    let sent = Sent { seed: &SENT, bytes: &bytes };
    let short = Sent { seed: &SENT, bytes: &bytes[1..] };
    assert!(public.slot_products(sent, &[1, 2], &[0], 1, &ANSWER).is_ok());
    assert!(public.slot_products(short, &[1, 2], &[0], 1, &ANSWER).is_err());
    assert!(public.slot_products(sent, &[1], &[0], 1, &ANSWER).is_err());
    assert!(public.slot_products(sent, &[1, 2], &[0, 1, 2], 2, &ANSWER).is_err());
    assert!(public.inner_products(sent, &[1, 2], &[0], 1, &ANSWER).is_ok());
    assert!(public.inner_products(short, &[1, 2], &[0], 1, &ANSWER).is_err());
    assert!(public.inner_products(sent, &[1, 2, 3], &[0], 1, &ANSWER).is_err());
    assert!(public.inner_products(Sent { seed: &SENT, bytes: &[] }, &[], &[], 1, &ANSWER).is_err());
    assert!(Public::new(&PUBLIC, &bytes[1..]).is_err());
    assert!(owner.encrypt(&[1, 2, 3], 2, Packing::Slots, &SENT, &ERRORS).is_err());
    assert!(owner.decrypt_slots(&[0; 5]).is_err());
    assert!(owner.decrypt_inner(&[0; 5]).is_err());
    assert_eq!(Owner::new(&KEY).public(&PUBLIC, &HIDDEN), owner.public(&PUBLIC, &HIDDEN));
}
