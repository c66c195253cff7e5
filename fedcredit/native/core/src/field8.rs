//! Eight elements of GF(p), p = 2^255 - 19, side by side: one in each lane of a vector (x86-64 with AVX-512 IFMA).
//!
//! An element is the sum of five limbs l_k 2^(51 k), each limb a vector of eight 64-bit lanes. IFMA multiplies the low
//! 52 bits of its factors and adds the low or the high 52 bits of the product to a 64-bit lane, so two things have to be
//! true at every operation, and two types say which of them holds:
//!
//! - [`Fe`]: every limb is below 2^51 + 2^18. So a limb fits in 52 bits, and an element may be a factor.
//! - [`Wide`]: every limb is below 2^63, to be carried before it is a factor. Each operation states its bound.
//!
//! Nothing here depends on values but through masks: constant time.
//!
//! Unsafe code, with the obligations of [`crate::vaes`]: it runs after [`available`] said yes, and loads and stores
//! are of whole arrays.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

/// Elements in a vector.
pub const LANES: usize = 8;

/// Low 51 bits.
const MASK: u64 = (1 << 51) - 1;

/// 2^10 p, limb by limb: what [`Wide::minus`] adds, so that no limb falls below zero.
const MULTIPLE_OF_P: [u64; 5] = [((1 << 51) - 19) << 10, MASK << 10, MASK << 10, MASK << 10, MASK << 10];

/// Whether this processor has what this module needs.
pub fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512ifma")
}

/// 256-bit numbers in little-endian words, one number a lane.
pub type Words = [__m512i; 4];

/// Eight field elements whose limbs are below 2^51 + 2^18. Not unique: see [`Fe::words`].
#[derive(Clone, Copy)]
pub struct Fe([__m512i; 5]);

/// Eight field elements whose limbs are below 2^63.
#[derive(Clone, Copy)]
pub struct Wide([__m512i; 5]);

impl Fe {
    /// The same element in all lanes. Its limbs are below 2^51.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn all(limbs: &[u64; 5]) -> Self {
        Self(limbs.map(|limb| _mm512_set1_epi64(limb as i64)))
    }

    /// The low 255 bits of each number, modulo p.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn from_words(w: &Words) -> Self {
        let mask = _mm512_set1_epi64(MASK as i64);
        let join = |low, high| _mm512_and_si512(_mm512_or_si512(low, high), mask);
        Self([
            _mm512_and_si512(w[0], mask),
            join(_mm512_srli_epi64::<51>(w[0]), _mm512_slli_epi64::<13>(w[1])),
            join(_mm512_srli_epi64::<38>(w[1]), _mm512_slli_epi64::<26>(w[2])),
            join(_mm512_srli_epi64::<25>(w[2]), _mm512_slli_epi64::<39>(w[3])),
            _mm512_and_si512(_mm512_srli_epi64::<12>(w[3]), mask),
        ])
    }

    /// The canonical representatives, below p.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn words(&self) -> Words {
        let mask = _mm512_set1_epi64(MASK as i64);
        let nineteen = _mm512_set1_epi64(19);
        let mut l = self.0;
        // The value v is below 2^255 + 2^223 < 2 p, so v mod p is v - q p with q = floor((v + 19) / 2^255), 0 or 1.
        let mut q = _mm512_srli_epi64::<51>(_mm512_add_epi64(l[0], nineteen));
        for limb in &l[1..] {
            q = _mm512_srli_epi64::<51>(_mm512_add_epi64(*limb, q));
        }
        // v - q p = v + 19 q - 2^255 q: the carry out of the last limb is dropped.
        let mut carry = _mm512_madd52lo_epu64(_mm512_setzero_si512(), q, nineteen);
        for limb in &mut l {
            let sum = _mm512_add_epi64(*limb, carry);
            carry = _mm512_srli_epi64::<51>(sum);
            *limb = _mm512_and_si512(sum, mask);
        }
        [
            _mm512_or_si512(l[0], _mm512_slli_epi64::<51>(l[1])),
            _mm512_or_si512(_mm512_srli_epi64::<13>(l[1]), _mm512_slli_epi64::<38>(l[2])),
            _mm512_or_si512(_mm512_srli_epi64::<26>(l[2]), _mm512_slli_epi64::<25>(l[3])),
            _mm512_or_si512(_mm512_srli_epi64::<39>(l[3]), _mm512_slli_epi64::<12>(l[4])),
        ]
    }

    /// The product, not carried. Every limb is below 2^59.
    ///
    /// Column k of the product gets the low halves of a_i b_j with i + j = k, and twice the high halves of those with
    /// i + j = k - 1, since 2^52 = 2 * 2^51. Halves are below 2^52 and 2^50 + 2^19; column k + 5 counts 19-fold in column
    /// k. Most is in column 0: one low half, and 19 times four low and twice five high ones, below (1 + 19 * 6.5) 2^52 + 2^29.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn product(&self, other: &Self) -> Wide {
        let (a, b) = (&self.0, &other.0);
        let mut sums = [_mm512_setzero_si512(); 10];
        for i in 0..5 {
            for j in 0..5 {
                sums[i + j + 1] = _mm512_madd52hi_epu64(sums[i + j + 1], a[i], b[j]);
            }
        }
        for sum in &mut sums[1..] {
            *sum = _mm512_add_epi64(*sum, *sum);
        }
        for i in 0..5 {
            for j in 0..5 {
                sums[i + j] = _mm512_madd52lo_epu64(sums[i + j], a[i], b[j]);
            }
        }
        let [l0, l1, l2, l3, l4, h0, h1, h2, h3, h4] = sums;
        fold([l0, l1, l2, l3, l4], [h0, h1, h2, h3, h4])
    }

    /// The product.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn times(&self, other: &Self) -> Self {
        self.product(other).carried()
    }

    /// The square, not carried. Every limb is below 2^59, as in [`Fe::product`].
    ///
    /// Products of different limbs are taken once and doubled: 15 products of limbs in place of 25.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn square(&self) -> Wide {
        let a = &self.0;
        let mut sums = [_mm512_setzero_si512(); 10];
        for i in 0..5 {
            for j in i + 1..5 {
                sums[i + j + 1] = _mm512_madd52hi_epu64(sums[i + j + 1], a[i], a[j]);
            }
        }
        for sum in &mut sums[2..9] {
            *sum = _mm512_add_epi64(*sum, *sum);
        }
        for i in 0..5 {
            sums[2 * i + 1] = _mm512_madd52hi_epu64(sums[2 * i + 1], a[i], a[i]);
        }
        for i in 0..5 {
            for j in i + 1..5 {
                sums[i + j] = _mm512_madd52lo_epu64(sums[i + j], a[i], a[j]);
            }
        }
        for sum in &mut sums[1..] {
            *sum = _mm512_add_epi64(*sum, *sum);
        }
        for i in 0..5 {
            sums[2 * i] = _mm512_madd52lo_epu64(sums[2 * i], a[i], a[i]);
        }
        let [l0, l1, l2, l3, l4, h0, h1, h2, h3, h4] = sums;
        fold([l0, l1, l2, l3, l4], [h0, h1, h2, h3, h4])
    }

    /// The square.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn squared(&self) -> Self {
        self.square().carried()
    }

    /// The same value, as what sums are made of. Every limb is below 2^52.
    #[inline]
    pub fn wide(&self) -> Wide {
        Wide(self.0)
    }

    /// `self + other`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn plus(&self, other: &Self) -> Self {
        self.wide().plus(&other.wide()).carried()
    }

    /// `self - other`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn minus(&self, other: &Self) -> Self {
        self.wide().minus(&other.wide()).carried()
    }

    /// `-self`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn negated(&self) -> Self {
        Wide([_mm512_setzero_si512(); 5]).minus(&self.wide()).carried()
    }

    /// `self` in lanes outside the mask, `other` in those inside.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn or_if(&self, mask: __mmask8, other: &Self) -> Self {
        Self(blend(mask, &self.0, &other.0))
    }

    /// `-self` in lanes inside the mask.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn negated_if(&self, mask: __mmask8) -> Self {
        self.or_if(mask, &self.negated())
    }

    /// Lanes that are zero.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn is_zero(&self) -> __mmask8 {
        let [a, b, c, d] = self.words();
        let any = _mm512_or_si512(_mm512_or_si512(a, b), _mm512_or_si512(c, d));
        _mm512_testn_epi64_mask(any, any)
    }

    /// Lanes that RFC 9496 calls negative: whose canonical representative is odd.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn is_negative(&self) -> __mmask8 {
        _mm512_test_epi64_mask(self.words()[0], _mm512_set1_epi64(1))
    }

    /// CT_ABS of RFC 9496.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn abs(&self) -> Self {
        self.negated_if(self.is_negative())
    }

    /// Limbs under a mask of whole lanes where `entry` is to be taken; used to scan tables.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn take(&mut self, mask: __m512i, entry: &Self) {
        // A bitwise choice and no masked load, so that the entry is read whatever the mask.
        for (own, entry) in self.0.iter_mut().zip(&entry.0) {
            *own = _mm512_ternarylogic_epi64::<0xca>(mask, *entry, *own);
        }
    }
}

impl Wide {
    /// The sum, each limb the sum of both limbs: below 2^61 for up to four products.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = *self;
        for (a, b) in sum.0.iter_mut().zip(&other.0) {
            *a = _mm512_add_epi64(*a, *b);
        }
        sum
    }

    /// The difference. `other` is a sum of at most two products and `self` of at most four.
    ///
    /// 2^10 p is added: its limbs are between 2^60 and 2^61, and those of two products at most 2^60. So no limb is
    /// negative, and the result is below 2^61 + 2^61.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn minus(&self, other: &Self) -> Self {
        let mut difference = *self;
        for ((a, b), multiple) in difference.0.iter_mut().zip(&other.0).zip(MULTIPLE_OF_P) {
            *a = _mm512_sub_epi64(_mm512_add_epi64(*a, _mm512_set1_epi64(multiple as i64)), *b);
        }
        difference
    }

    /// The same element with small limbs.
    ///
    /// Limbs are below 2^63, so what is carried is below 2^12: a limb keeps its 51 bits and gets less than 2^12, the first
    /// one less than 19 * 2^12 < 2^17.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn carried(&self) -> Fe {
        let mask = _mm512_set1_epi64(MASK as i64);
        let r = &self.0;
        let next = |k: usize| _mm512_add_epi64(_mm512_and_si512(r[k], mask), _mm512_srli_epi64::<51>(r[k - 1]));
        let round = _mm512_srli_epi64::<51>(r[4]);
        let first = _mm512_madd52lo_epu64(_mm512_and_si512(r[0], mask), round, _mm512_set1_epi64(19));
        Fe([first, next(1), next(2), next(3), next(4)])
    }

    /// `self` in lanes outside the mask, `other` in those inside.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub fn or_if(&self, mask: __mmask8, other: &Self) -> Self {
        Self(blend(mask, &self.0, &other.0))
    }
}

/// `low + 2^255 high` = `low + 19 high`. Limbs of `high` are below 2^55, so the product does not overflow.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn fold(low: [__m512i; 5], high: [__m512i; 5]) -> Wide {
    let nineteen = _mm512_set1_epi64(19);
    let mut sum = low;
    for (low, high) in sum.iter_mut().zip(high) {
        *low = _mm512_add_epi64(*low, _mm512_mullo_epi64(high, nineteen));
    }
    Wide(sum)
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn blend(mask: __mmask8, a: &[__m512i; 5], b: &[__m512i; 5]) -> [__m512i; 5] {
    let mut out = *a;
    for (out, b) in out.iter_mut().zip(b) {
        *out = _mm512_mask_blend_epi64(mask, *out, *b);
    }
    out
}

/// Lanes in which the numbers are equal.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub fn equal(a: &Words, b: &Words) -> __mmask8 {
    a.iter().zip(b).fold(0xff, |all, (a, b)| all & _mm512_cmpeq_epi64_mask(*a, *b))
}

/// Eight 32-byte numbers as words.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub fn load(numbers: &[&[u8; 32]; LANES]) -> Words {
    let mut words = [[0u64; LANES]; 4];
    for (lane, number) in numbers.iter().enumerate() {
        for (k, word) in number.as_chunks::<8>().0.iter().enumerate() {
            words[k][lane] = u64::from_le_bytes(*word);
        }
    }
    // SAFETY: each array is one vector long.
    words.map(|word| unsafe { _mm512_loadu_si512(word.as_ptr().cast()) })
}

/// The way back.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub fn store(words: &Words) -> [[u8; 32]; LANES] {
    let mut numbers = [[0; 32]; LANES];
    for (k, word) in words.iter().enumerate() {
        let mut lanes = [0u64; LANES];
        // SAFETY: the array is one vector long.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), *word) };
        for (number, lane) in numbers.iter_mut().zip(lanes) {
            number[8 * k..8 * k + 8].copy_from_slice(&lane.to_le_bytes());
        }
    }
    numbers
}

#[cfg(test)]
#[path = "field8_tests.rs"]
mod tests;
