//! The field GF(2^128) = GF(2)[X] / (X^128 + X^7 + X^2 + X + 1).
//!
//! Bit `i` of an element, as an integer, is the coefficient of `X^i`; as bytes an element is that integer, low byte
//! first. (GCM counts bits the other way round, so its products are not ours.) Addition is xor.
//!
//! Elements are secrets: no branch and no address depends on one. On x86-64 with carry-less multiplication [`clmul`]
//! does the work, chosen at run time; [`multiply`] is the portable way, and what the tests hold the other one to.

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use crate::clmul;
use crate::error::KernelError;

/// An element in two words, low word first.
pub type Element = [u64; 2];

/// `X^128`, reduced.
pub const FOLD: u64 = 0x87;

/// Elements to a task: enough work to be worth a thread.
const RUN: usize = 1 << 14;

/// `into[i] += values[i] * factor`.
pub fn scale_add(values: &[Element], factor: Element, into: &mut [Element]) -> Result<(), KernelError> {
    if values.len() != into.len() {
        return Err(KernelError::Shape { what: "into", expected: values.len(), found: into.len() });
    }
    into.par_chunks_mut(RUN).zip(values.par_chunks(RUN)).for_each(|(into, values)| scale_run(values, factor, into));
    Ok(())
}

fn scale_run(values: &[Element], factor: Element, into: &mut [Element]) {
    #[cfg(target_arch = "x86_64")]
    if clmul::available() {
        return clmul::scale_add(values, factor, into);
    }
    for (sum, value) in into.iter_mut().zip(values) {
        *sum = add(*sum, multiply(*value, factor));
    }
}

/// `a + b`.
#[inline(always)]
pub fn add(a: Element, b: Element) -> Element {
    [a[0] ^ b[0], a[1] ^ b[1]]
}

/// `a * X`.
#[inline(always)]
pub fn times_x(a: Element) -> Element {
    let over = (a[1] >> 63).wrapping_neg() & FOLD;
    [(a[0] << 1) ^ over, (a[1] << 1) | (a[0] >> 63)]
}

/// `sum of bits[i] * X^i`, by Horner's rule: what 128 transfers whose choices are the bits of `y` make of `y * Delta`.
pub fn compose(parts: &[Element]) -> Element {
    parts.iter().rev().fold([0, 0], |sum, part| add(times_x(sum), *part))
}

/// `a * b`, portable: integer multiplication with holes between the bits, so that no carry reaches the next bit.
pub fn multiply(a: Element, b: Element) -> Element {
    // Karatsuba: low, high and middle of the 255-bit product.
    let low = carryless(a[0], b[0]);
    let high = carryless(a[1], b[1]);
    let middle = carryless(a[0] ^ a[1], b[0] ^ b[1]) ^ low ^ high;
    let (low, high) = (low ^ (middle << 64), high ^ (middle >> 64));
    // X^128 = FOLD, twice: the upper word of `high` lands in its lower word and above.
    let upper = carryless((high >> 64) as u64, FOLD);
    let lower = carryless(high as u64 ^ (upper >> 64) as u64, FOLD);
    let sum = low ^ (upper << 64) ^ lower;
    [sum as u64, (sum >> 64) as u64]
}

/// The 127-bit carry-less product of two words.
///
/// Every fourth bit of a word is kept at a time (Pornin, BearSSL: `ghash_ctmul64`). Column `p` of the low half of the
/// integer product of two such words sums at most `p / 4 + 1` ones: below 16 up to bit 59, so that the sum stays in the
/// three holes above; from bit 60 on a carry leaves the word.
fn carryless(a: u64, b: u64) -> u128 {
    const PART: u64 = 0x1111_1111_1111_1111;
    let (low, high) = (carryless_low(a, b, PART), carryless_low(a.reverse_bits(), b.reverse_bits(), PART));
    // The product of reversed words is the reversed product; its low half has the upper bits, one place off.
    (u128::from(high.reverse_bits() >> 1) << 64) | u128::from(low)
}

/// The low 64 bits of the carry-less product.
#[inline(always)]
fn carryless_low(a: u64, b: u64, part: u64) -> u64 {
    let split = |x: u64| [x & part, x & (part << 1), x & (part << 2), x & (part << 3)];
    let (a, b) = (split(a), split(b));
    let mut out = 0;
    for i in 0..4 {
        let mut sum = 0;
        for j in 0..4 {
            sum ^= a[j].wrapping_mul(b[(i + 4 - j) % 4]);
        }
        out |= sum & (part << i);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Multiplication as the definition has it, one coefficient after the other.
    fn slowly(a: Element, b: Element) -> Element {
        let mut sum = [0, 0];
        for i in (0..128).rev() {
            sum = times_x(sum);
            if (b[i / 64] >> (i % 64)) & 1 == 1 {
                sum = add(sum, a);
            }
        }
        sum
    }

    fn some(seed: u64) -> impl Iterator<Item = Element> {
        let word = |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (i << 7)).wrapping_mul(0xd134_2543_de82_ef95);
        let edges = [[0, 0], [1, 0], [2, 0], [0, 1 << 63], [u64::MAX; 2], [0, 1], [FOLD, 0]];
        edges.into_iter().chain((1..40).map(move |i| [word(seed + 2 * i), word(seed + 2 * i + 1)]))
    }

    #[test]
    fn the_portable_product_is_that_of_the_definition() {
        for a in some(1) {
            for b in some(1000) {
                assert_eq!(multiply(a, b), slowly(a, b), "{a:x?} {b:x?}");
            }
        }
    }

    #[test]
    fn scaling_adds_products_at_any_length() {
        for n in [0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 46] {
            let values: Vec<Element> = some(5).take(n).collect();
            let factor = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];
            let mut into: Vec<Element> = some(77).take(n).collect();
            let want: Vec<Element> =
                into.iter().zip(&values).map(|(sum, value)| add(*sum, slowly(*value, factor))).collect();
            scale_add(&values, factor, &mut into).unwrap();
            assert_eq!(into, want);
        }
        assert!(scale_add(&[[0, 0]], [0, 0], &mut []).is_err());
    }

    #[test]
    fn bits_compose_to_the_element() {
        let delta = [7, 9];
        let y: Element = [0xdead_beef, 1 << 63];
        let parts: Vec<Element> =
            (0..128).map(|i| if (y[i / 64] >> (i % 64)) & 1 == 1 { delta } else { [0, 0] }).collect();
        assert_eq!(compose(&parts), multiply(y, delta));
    }
}
