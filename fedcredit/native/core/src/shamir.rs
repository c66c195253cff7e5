//! Shamir's secret sharing, byte by byte over the field GF(2^8) = GF(2)[X] / (X^8 + X^4 + X^3 + X + 1).
//!
//! A byte is the value at 0 of a polynomial of degree `threshold - 1`, whose other coefficients are uniform; share `i`
//! (0 <= i < 255) is its value at `i + 1`. Places are public, so what is multiplied by one may branch on it; secrets,
//! coefficients and shares are only shifted and added, eight bytes to a word: no table, no branch and no address depends
//! on them. Source: A. Shamir, How to share a secret, 1979; the field is that of FIPS 197, section 4.2.

use rayon::prelude::*;

use crate::error::KernelError;

/// Products of bytes that one core computes as fast as two.
const ALONE: usize = 1 << 18;

/// The most shares there are: places of the field but 0.
pub const MAX_SHARES: usize = 255;

/// The shares of each byte of `secrets`.
///
/// Shapes: `secrets` (w,), `coefficients` (threshold - 1, w), uniform, lowest degree first; `out` (n, w).
pub fn split(secrets: &[u8], coefficients: &[u8], threshold: usize, out: &mut [u8]) -> Result<(), KernelError> {
    let width = secrets.len();
    if threshold == 0 {
        return Err(KernelError::Range { what: "threshold", index: 0 });
    }
    if coefficients.len() != (threshold - 1) * width {
        return Err(shape("coefficients", (threshold - 1) * width, coefficients.len()));
    }
    if width == 0 {
        return if out.is_empty() { Ok(()) } else { Err(shape("shares", 0, out.len())) };
    }
    if !out.len().is_multiple_of(width) || out.len() / width > MAX_SHARES {
        return Err(shape("shares", out.len() / width * width, out.len()));
    }
    let work = |(place, share): (usize, &mut [u8])| {
        // Horner's rule, from the highest degree down.
        let x = place as u8 + 1;
        share.fill(0);
        coefficients.chunks(width).rev().chain([secrets]).for_each(|part| scale_add(share, x, part));
    };
    // Waking the pool costs more than a few secrets.
    if out.len() * threshold <= ALONE {
        out.chunks_mut(width).enumerate().for_each(work);
    } else {
        out.par_chunks_mut(width).enumerate().for_each(work);
    }
    Ok(())
}

/// The value at `at` of the polynomial through `shares` at `places`; `at` 0 is the secret's, `i + 1` that of share `i`.
///
/// Shapes: `places` (t,), each below 255 and no two the same; `shares` (t, w); `out` (w,).
pub fn combine(places: &[u8], shares: &[u8], at: u8, out: &mut [u8]) -> Result<(), KernelError> {
    let width = out.len();
    if shares.len() != places.len() * width {
        return Err(shape("shares", places.len() * width, shares.len()));
    }
    let mut seen = [false; 256];
    if let Some(index) = places.iter().position(|&p| p == u8::MAX || std::mem::replace(&mut seen[p as usize], true)) {
        return Err(KernelError::Range { what: "places", index });
    }
    out.fill(0);
    if width == 0 {
        return Ok(());
    }
    for (place, share) in places.iter().zip(shares.chunks(width)) {
        // Lagrange: the product of (at - x_j) / (x_i - x_j) over all others; minus is plus.
        let (mut above, mut below) = (1, 1);
        for other in places.iter().filter(|&other| other != place) {
            above = times(above, at ^ (other + 1));
            below = times(below, (place + 1) ^ (other + 1));
        }
        add_scaled(out, times(above, inverse(below)), share);
    }
    Ok(())
}

fn shape(what: &'static str, expected: usize, found: usize) -> KernelError {
    KernelError::Shape { what, expected, found }
}

/// The product of two bytes of the field that are public.
fn times(a: u8, b: u8) -> u8 {
    scaled(u64::from(a), b) as u8
}

/// `a^254`, which is `1 / a`.
fn inverse(a: u8) -> u8 {
    let (mut power, mut square) = (1, a);
    for _ in 1..8 {
        square = times(square, square);
        power = times(power, square);
    }
    power
}

/// Eight bytes times the public `x`: of each bit of it, that many times X.
#[inline(always)]
fn scaled(word: u64, x: u8) -> u64 {
    let (mut sum, mut word) = (0, word);
    for bit in 0..8 {
        sum ^= word & u64::from((x >> bit) & 1).wrapping_neg();
        word = ((word & 0x7f7f_7f7f_7f7f_7f7f) << 1) ^ (((word >> 7) & 0x0101_0101_0101_0101) * 0x1b);
    }
    sum
}

/// `into = into * x + part`.
fn scale_add(into: &mut [u8], x: u8, part: &[u8]) {
    each_word(into, part, |old, part| scaled(old, x) ^ part);
}

/// `into += part * x`.
fn add_scaled(into: &mut [u8], x: u8, part: &[u8]) {
    each_word(into, part, |old, part| old ^ scaled(part, x));
}

#[inline(always)]
fn each_word(into: &mut [u8], part: &[u8], join: impl Fn(u64, u64) -> u64) {
    let ((words, rest), (parts, others)) = (into.as_chunks_mut::<8>(), part.as_chunks::<8>());
    for (word, part) in words.iter_mut().zip(parts) {
        *word = join(u64::from_le_bytes(*word), u64::from_le_bytes(*part)).to_le_bytes();
    }
    for (byte, part) in rest.iter_mut().zip(others) {
        *byte = join(u64::from(*byte), u64::from(*part)) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_standard() {
        // FIPS 197, sections 4.2 and 4.2.1.
        assert_eq!(times(0x57, 0x83), 0xc1);
        assert_eq!(times(0x57, 0x13), 0xfe);
        for a in 1..=255 {
            assert_eq!(times(a, inverse(a)), 1);
        }
    }

    #[test]
    fn any_threshold_shares_give_secret_and_other_shares() {
        let word = |i: usize| (i.wrapping_mul(0x9e37_79b9) >> 11) as u8;
        for (n, threshold, width) in [(1, 1, 32), (3, 2, 64), (5, 5, 7), (255, 128, 33), (255, 255, 8)] {
            let secrets: Vec<u8> = (0..width).map(word).collect();
            let coefficients: Vec<u8> = (0..width * (threshold - 1)).map(|i| word(i + 1000)).collect();
            let mut shares = vec![0; n * width];
            split(&secrets, &coefficients, threshold, &mut shares).unwrap();
            let places: Vec<u8> = (0..n as u8).rev().take(threshold).collect();
            let held: Vec<u8> = places.iter().flat_map(|&p| shares[p as usize * width..][..width].to_vec()).collect();
            let mut out = vec![0; width];
            combine(&places, &held, 0, &mut out).unwrap();
            assert_eq!(out, secrets, "{threshold} of {n}");
            combine(&places, &held, 1, &mut out).unwrap();
            assert_eq!(out, shares[..width]);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut out = [0; 4];
        assert!(combine(&[1, 1], &[0; 8], 0, &mut out).is_err());
        assert!(combine(&[255], &[0; 4], 0, &mut out).is_err());
        assert!(combine(&[1, 2], &[0; 7], 0, &mut out).is_err());
        assert!(split(&[0; 4], &[0; 3], 2, &mut [0; 8]).is_err());
        assert!(split(&[0; 4], &[0; 4], 2, &mut [0; 9]).is_err());
        assert!(split(&[0; 4], &[], 0, &mut [0; 8]).is_err());
        assert!(split(&[0; 1], &[], 1, &mut [0; 256]).is_err());
    }
}
