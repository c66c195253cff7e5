//! Eight numbers side by side, one in each lane of a vector (x86-64 with AVX-512 IFMA).
//!
//! Unsafe code, with the obligations of [`crate::vaes`]: a value of [`Eight`] is made only after [`available`] said yes,
//! and loads and stores are of whole vectors, with their lengths checked. The small methods are inlined into the large
//! ones, which are compiled for the processor.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use zeroize::Zeroize;

use crate::lanes::{self, Lanes};

pub use crate::field8::available;

/// One word of each of eight numbers. Must exist only where [`available`] is true.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Eight(__m512i);

impl Zeroize for Eight {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

// SAFETY of every block below: the instructions exist, since the value does; memory is touched after a check of its length.
impl Lanes for Eight {
    const N: usize = 8;

    #[inline(always)]
    fn splat(word: u64) -> Self {
        Self(unsafe { _mm512_set1_epi64(word as i64) })
    }

    #[inline(always)]
    fn load(words: &[u64]) -> Self {
        let words = &words[..8];
        Self(unsafe { _mm512_loadu_si512(words.as_ptr().cast()) })
    }

    #[inline(always)]
    fn store(self, words: &mut [u64]) {
        let words = &mut words[..8];
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm512_add_epi64(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(unsafe { _mm512_sub_epi64(self.0, other.0) })
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Self(unsafe { _mm512_and_si512(self.0, other.0) })
    }

    #[inline(always)]
    fn carry(self) -> Self {
        Self(unsafe { _mm512_srli_epi64::<52>(self.0) })
    }

    #[inline(always)]
    fn sign(self) -> Self {
        Self(unsafe { _mm512_srli_epi64::<63>(self.0) })
    }

    #[inline(always)]
    fn add_low(self, a: Self, b: Self) -> Self {
        Self(unsafe { _mm512_madd52lo_epu64(self.0, a.0, b.0) })
    }

    #[inline(always)]
    fn add_high(self, a: Self, b: Self) -> Self {
        Self(unsafe { _mm512_madd52hi_epu64(self.0, a.0, b.0) })
    }

    #[inline(always)]
    fn equal(self, other: Self) -> Self {
        Self(unsafe { _mm512_movm_epi64(_mm512_cmpeq_epi64_mask(self.0, other.0)) })
    }

    #[inline(always)]
    fn or_if(self, mask: Self, other: Self) -> Self {
        // A bitwise choice and no masked load, so that both are read whatever the mask.
        Self(unsafe { _mm512_ternarylogic_epi64::<0xca>(mask.0, other.0, self.0) })
    }

    fn multiply(columns: &mut [Self], x: &[Self], y: &[Self]) {
        unsafe { multiply(columns, x, y) }
    }

    fn multiply_add(columns: &mut [Self], x: &[Self], y: &[Self]) {
        unsafe { multiply_add(columns, x, y) }
    }

    fn reduce(columns: &mut [Self], m: &[Self], inverse: Self) {
        unsafe { reduce(columns, m, inverse) }
    }

    fn carry_all(columns: &[Self], limbs: &mut [Self]) {
        unsafe { carry_all(columns, limbs) }
    }

    fn subtract_once(limbs: &mut [Self], m: &[u64]) {
        unsafe { subtract_once(limbs, m) }
    }

    fn select(table: &[u64], digits: Self, out: &mut [Self]) {
        unsafe { select(table, digits, out) }
    }

    fn select_own(table: &[Self], digits: Self, out: &mut [Self]) {
        unsafe { select_own(table, digits, out) }
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn multiply(columns: &mut [Eight], x: &[Eight], y: &[Eight]) {
    lanes::multiply::<Eight, false>(columns, x, y);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn multiply_add(columns: &mut [Eight], x: &[Eight], y: &[Eight]) {
    lanes::multiply::<Eight, true>(columns, x, y);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn reduce(columns: &mut [Eight], m: &[Eight], inverse: Eight) {
    lanes::reduce(columns, m, inverse);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn carry_all(columns: &[Eight], limbs: &mut [Eight]) {
    lanes::carry_all(columns, limbs);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn subtract_once(limbs: &mut [Eight], m: &[u64]) {
    lanes::subtract_once(limbs, m);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn select(table: &[u64], digits: Eight, out: &mut [Eight]) {
    lanes::select(table, digits, out);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn select_own(table: &[Eight], digits: Eight, out: &mut [Eight]) {
    lanes::select_own(table, digits, out);
}
