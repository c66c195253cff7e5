//! Products in GF(2^128) by carry-less multiplication (x86-64 with PCLMULQDQ; two at a time with VPCLMULQDQ).
//!
//! Unsafe code, with the obligations of [`crate::vaes`]: every call comes after [`available`] said yes, and every load
//! and store stays inside its slice.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::gf128::{Element, FOLD};

/// Whether this processor multiplies without carries.
pub fn available() -> bool {
    is_x86_feature_detected!("pclmulqdq") && is_x86_feature_detected!("sse2")
}

fn two_at_a_time() -> bool {
    is_x86_feature_detected!("vpclmulqdq") && is_x86_feature_detected!("avx2") && available()
}

/// `into[i] += values[i] * factor`. The slices are of one length.
pub fn scale_add(values: &[Element], factor: Element, into: &mut [Element]) {
    assert!(available() && values.len() == into.len());
    let mut done = 0;
    if two_at_a_time() {
        done = values.len() / 2 * 2;
        // SAFETY: the processor has the features, as just asked.
        unsafe { pairs(&values[..done], factor, &mut into[..done]) };
    }
    // SAFETY: the processor has the features, as asserted.
    unsafe { singles(&values[done..], factor, &mut into[done..]) };
}

#[target_feature(enable = "sse2,pclmulqdq")]
fn singles(values: &[Element], factor: Element, into: &mut [Element]) {
    let factor = _mm_set_epi64x(factor[1] as i64, factor[0] as i64);
    // Both words hold the sum of the factor's words, for the middle product of Karatsuba's rule.
    let crossed = _mm_xor_si128(factor, _mm_shuffle_epi32::<0x4e>(factor));
    let fold = _mm_set_epi64x(0, FOLD as i64);
    for (sum, value) in into.iter_mut().zip(values) {
        // SAFETY: an element is 16 bytes long.
        unsafe {
            let a = _mm_loadu_si128(value.as_ptr().cast());
            let low = _mm_clmulepi64_si128::<0x00>(a, factor);
            let high = _mm_clmulepi64_si128::<0x11>(a, factor);
            let both = _mm_xor_si128(a, _mm_shuffle_epi32::<0x4e>(a));
            let cross = _mm_clmulepi64_si128::<0x00>(both, crossed);
            let middle = _mm_xor_si128(_mm_xor_si128(low, high), cross);
            let low = _mm_xor_si128(low, _mm_slli_si128::<8>(middle));
            let high = _mm_xor_si128(high, _mm_srli_si128::<8>(middle));
            let upper = _mm_clmulepi64_si128::<0x01>(high, fold);
            let high = _mm_xor_si128(high, _mm_srli_si128::<8>(upper));
            let lower = _mm_clmulepi64_si128::<0x00>(high, fold);
            let product = _mm_xor_si128(_mm_xor_si128(low, _mm_slli_si128::<8>(upper)), lower);
            let old = _mm_loadu_si128(sum.as_ptr().cast());
            _mm_storeu_si128(sum.as_mut_ptr().cast(), _mm_xor_si128(old, product));
        }
    }
}

/// As [`singles`], an even number of elements.
#[target_feature(enable = "avx2,vpclmulqdq")]
fn pairs(values: &[Element], factor: Element, into: &mut [Element]) {
    let factor = _mm256_broadcastsi128_si256(_mm_set_epi64x(factor[1] as i64, factor[0] as i64));
    let crossed = _mm256_xor_si256(factor, _mm256_shuffle_epi32::<0x4e>(factor));
    let fold = _mm256_set_epi64x(0, FOLD as i64, 0, FOLD as i64);
    for (sums, values) in into.chunks_exact_mut(2).zip(values.chunks_exact(2)) {
        // SAFETY: two elements are 32 bytes long.
        unsafe {
            let a = _mm256_loadu_si256(values.as_ptr().cast());
            let low = _mm256_clmulepi64_epi128::<0x00>(a, factor);
            let high = _mm256_clmulepi64_epi128::<0x11>(a, factor);
            let both = _mm256_xor_si256(a, _mm256_shuffle_epi32::<0x4e>(a));
            let cross = _mm256_clmulepi64_epi128::<0x00>(both, crossed);
            let middle = _mm256_xor_si256(_mm256_xor_si256(low, high), cross);
            let low = _mm256_xor_si256(low, _mm256_bslli_epi128::<8>(middle));
            let high = _mm256_xor_si256(high, _mm256_bsrli_epi128::<8>(middle));
            let upper = _mm256_clmulepi64_epi128::<0x01>(high, fold);
            let high = _mm256_xor_si256(high, _mm256_bsrli_epi128::<8>(upper));
            let lower = _mm256_clmulepi64_epi128::<0x00>(high, fold);
            let product = _mm256_xor_si256(_mm256_xor_si256(low, _mm256_bslli_epi128::<8>(upper)), lower);
            let old = _mm256_loadu_si256(sums.as_ptr().cast());
            _mm256_storeu_si256(sums.as_mut_ptr().cast(), _mm256_xor_si256(old, product));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gf128::{add, multiply};

    #[test]
    fn agrees_with_the_portable_product() {
        if !available() {
            eprintln!("skipped: no carry-less multiplication on this processor");
            return;
        }
        let word = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_mul(i | 1);
        for n in 0..9u64 {
            let values: Vec<Element> = (0..n).map(|i| [word(2 * i + 1), word(2 * i + 2)]).collect();
            for factor in [[0, 0], [1, 0], [u64::MAX; 2], [word(91), word(93)]] {
                let mut into = vec![[5, 6]; values.len()];
                scale_add(&values, factor, &mut into);
                let want: Vec<Element> = values.iter().map(|v| add([5, 6], multiply(*v, factor))).collect();
                assert_eq!(into, want);
                let mut single = vec![[5, 6]; values.len()];
                // SAFETY: `available` said yes.
                unsafe { singles(&values, factor, &mut single) };
                assert_eq!(single, want);
            }
        }
    }
}
