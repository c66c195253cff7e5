//! The transform of `rlwe_modulus`, eight numbers at a time (x86-64 with AVX-512). It gives the same numbers.
//!
//! A product of 64 bits has its high half from three products of 32 bits and no carries, so that the quotient is at
//! most two too small, and what is left below 4q, not 2q: moduli have to be below 2^60. Those below 2^48 go by products
//! of 52 bits. Levels go in pairs, and the last five together, so that numbers are loaded and stored five times, not
//! thirteen times.
//!
//! Unsafe code, with the obligations of [`crate::vaes`]: it runs after [`crate::field8::available`] said yes, and loads
//! and stores are of whole arrays.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::rlwe_modulus::{DEGREE, Factor};

/// What lies together at the last five levels.
const GROUP: usize = 32;

/// Powers with their quotients, in the order of reversed bits.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    pub powers: &'a [u64],
    pub quotients: &'a [u64],
}

/// Where the numbers of two vectors go, so that what meets at a level below eight lies in two vectors, and back.
struct Places {
    low: [i64; 8],
    high: [i64; 8],
    first: [i64; 8],
    second: [i64; 8],
    factors: [i64; 8],
}

/// For distances 4, 2 and 1.
const PLACES: [Places; 3] = [
    Places {
        low: [0, 1, 2, 3, 8, 9, 10, 11],
        high: [4, 5, 6, 7, 12, 13, 14, 15],
        first: [0, 1, 2, 3, 8, 9, 10, 11],
        second: [4, 5, 6, 7, 12, 13, 14, 15],
        factors: [0, 0, 0, 0, 1, 1, 1, 1],
    },
    Places {
        low: [0, 1, 4, 5, 8, 9, 12, 13],
        high: [2, 3, 6, 7, 10, 11, 14, 15],
        first: [0, 1, 8, 9, 2, 3, 10, 11],
        second: [4, 5, 12, 13, 6, 7, 14, 15],
        factors: [0, 0, 1, 1, 2, 2, 3, 3],
    },
    Places {
        low: [0, 2, 4, 6, 8, 10, 12, 14],
        high: [1, 3, 5, 7, 9, 11, 13, 15],
        first: [0, 8, 1, 9, 2, 10, 3, 11],
        second: [4, 12, 5, 13, 6, 14, 7, 15],
        factors: [0, 1, 2, 3, 4, 5, 6, 7],
    },
];

/// Coefficients to values, in place. Numbers may come below 8q and leave below q.
///
/// `node` is 1, or 2 and 3 for the halves of a transform of twice as many after its first level.
/// Must run only where [`crate::field8::available`] is true.
pub fn forward(q: u64, table: Table<'_>, node: usize, x: &mut [u64]) {
    // SAFETY: the instructions are there.
    unsafe {
        if q < NARROW {
            forward_by_eight::<true>(q, table, node, x)
        } else {
            forward_by_eight::<false>(q, table, node, x)
        }
    }
}

/// Values to coefficients, in place. Numbers may come below 4q and leave below q. `node` as in [`forward`].
///
/// Must run only where [`crate::field8::available`] is true.
pub fn inverse(q: u64, table: Table<'_>, node: usize, scale: Factor, x: &mut [u64]) {
    // SAFETY: the instructions are there.
    unsafe {
        if q < NARROW {
            inverse_by_eight::<true>(q, table, node, scale, x)
        } else {
            inverse_by_eight::<false>(q, table, node, scale, x)
        }
    }
}

/// Adds products with factors to sums. Sums come and leave below 4q; lengths are multiples of eight.
///
/// Must run only where [`crate::field8::available`] is true.
pub fn add_products(q: u64, factors: Table<'_>, sums: &mut [u64], x: &[u64]) {
    // SAFETY: the instructions are there.
    unsafe { add_products_by_eight(q, factors, sums, x) }
}

/// Eight parts of the sum of products with factors, each below 4q; lengths are multiples of eight.
///
/// Must run only where [`crate::field8::available`] is true.
pub fn along(q: u64, factors: Table<'_>, x: &[u64]) -> [u64; 8] {
    // SAFETY: the instructions are there.
    unsafe { along_by_eight(q, factors, x) }
}

/// `a[i] b[i] + c[i] d[i]` modulo q, into `a`; numbers below q, of at least 2^28 and below 2^48.
///
/// Must run only where [`crate::field8::available`] is true.
pub fn multiply_add(q: u64, a: &mut [u64], b: &[u64], c: &[u64], d: &[u64]) {
    // SAFETY: the instructions are there.
    unsafe { multiply_add_by_eight(q, a, b, c, d) }
}

/// Moduli below it go by products of 52 bits.
const NARROW: u64 = 1 << 48;

type Words = __m512i;

/// A modulus and its multiples.
#[derive(Clone, Copy)]
struct Prime {
    one: Words,
    two: Words,
    four: Words,
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn load(words: &[u64; 8]) -> Words {
    // SAFETY: 64 bytes are there.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn store(x: Words, words: &mut [u64; 8]) {
    // SAFETY: 64 bytes are there.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), x) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn places(places: &[i64; 8]) -> Words {
    // SAFETY: 64 bytes are there.
    unsafe { _mm512_loadu_si512(places.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn splat(word: u64) -> Words {
    _mm512_set1_epi64(word as i64)
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn once(x: Words, m: Words) -> Words {
    _mm512_min_epu64(x, _mm512_sub_epi64(x, m))
}

/// `x w` modulo q, below 4q, for any x; below 2^52 where moduli are narrow.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn lazy<const N: bool>(q: Prime, x: Words, [w, quotient]: [Words; 2]) -> Words {
    if N {
        let zero = splat(0);
        let high = _mm512_madd52hi_epu64(zero, x, quotient);
        let rest = _mm512_sub_epi64(_mm512_madd52lo_epu64(zero, x, w), _mm512_madd52lo_epu64(zero, high, q.one));
        return _mm512_and_si512(rest, splat((1 << 52) - 1));
    }
    let (x_high, quotient_high) = (_mm512_srli_epi64::<32>(x), _mm512_srli_epi64::<32>(quotient));
    let left = _mm512_srli_epi64::<32>(_mm512_mul_epu32(x_high, quotient));
    let right = _mm512_srli_epi64::<32>(_mm512_mul_epu32(x, quotient_high));
    let high = _mm512_add_epi64(_mm512_mul_epu32(x_high, quotient_high), _mm512_add_epi64(left, right));
    _mm512_sub_epi64(_mm512_mullo_epi64(x, w), _mm512_mullo_epi64(high, q.one))
}

/// One step down: numbers below 8q stay below 8q.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn down<const N: bool>(q: Prime, low: &mut Words, high: &mut Words, factor: [Words; 2]) {
    let (a, b) = (once(*low, q.four), lazy::<N>(q, *high, factor));
    *low = _mm512_add_epi64(a, b);
    *high = _mm512_add_epi64(_mm512_sub_epi64(a, b), q.four);
}

/// One step up: numbers below 4q stay below 4q.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn up<const N: bool>(q: Prime, low: &mut Words, high: &mut Words, factor: [Words; 2]) {
    let (a, b) = (*low, *high);
    *low = once(_mm512_add_epi64(a, b), q.four);
    *high = lazy::<N>(q, _mm512_add_epi64(_mm512_sub_epi64(a, b), q.four), factor);
}

/// A quotient of 64 bits, or of 52.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn narrowed<const N: bool>(quotient: Words) -> Words {
    if N { _mm512_srli_epi64::<12>(quotient) } else { quotient }
}

impl Table<'_> {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn one<const N: bool>(self, place: usize) -> [Words; 2] {
        [splat(self.powers[place]), narrowed::<N>(splat(self.quotients[place]))]
    }

    /// Factors from `place` on, each as often as there are numbers between those that meet. Eight words are read.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn some<const N: bool>(self, place: usize, level: usize) -> [Words; 2] {
        let [powers, quotients] = [self.powers, self.quotients].map(|words| {
            let eight = words[place..].first_chunk().unwrap_or(&[0; 8]);
            _mm512_permutexvar_epi64(places(&PLACES[level].factors), load(eight))
        });
        [powers, narrowed::<N>(quotients)]
    }
}

/// Takes numbers that meet at a distance below eight into two vectors, and back.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn apart(level: usize, first: Words, second: Words) -> [Words; 2] {
    let at = &PLACES[level];
    [&at.low, &at.high].map(|index| _mm512_permutex2var_epi64(first, places(index), second))
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn together(level: usize, low: Words, high: Words) -> [Words; 2] {
    let at = &PLACES[level];
    [&at.first, &at.second].map(|index| _mm512_permutex2var_epi64(low, places(index), high))
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn prime(q: u64) -> Prime {
    Prime { one: splat(q), two: splat(2 * q), four: splat(4 * q) }
}

/// The four quarters of a block, eight numbers of each at a time.
#[inline(always)]
fn quarters(block: &mut [u64]) -> impl Iterator<Item = [&mut [u64; 8]; 4]> {
    let (front, back) = block.split_at_mut(block.len() / 2);
    let (a, b) = front.split_at_mut(front.len() / 2);
    let (c, d) = back.split_at_mut(back.len() / 2);
    let [a, b, c, d] = [a, b, c, d].map(|quarter| quarter.as_chunks_mut::<8>().0.iter_mut());
    a.zip(b).zip(c.zip(d)).map(|((a, b), (c, d))| [a, b, c, d])
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn forward_by_eight<const N: bool>(q: u64, table: Table<'_>, node: usize, x: &mut [u64]) {
    let q = prime(q);
    let mut count = 1;
    while DEGREE / count > GROUP {
        for (i, block) in x.chunks_exact_mut(DEGREE / count).enumerate() {
            let at = node * count + i;
            let (one, two, three) = (table.one::<N>(at), table.one::<N>(2 * at), table.one::<N>(2 * at + 1));
            for words in quarters(block) {
                let [mut a, mut b, mut c, mut d] = [load(words[0]), load(words[1]), load(words[2]), load(words[3])];
                down::<N>(q, &mut a, &mut c, one);
                down::<N>(q, &mut b, &mut d, one);
                down::<N>(q, &mut a, &mut b, two);
                down::<N>(q, &mut c, &mut d, three);
                for (x, words) in [a, b, c, d].into_iter().zip(words) {
                    store(x, words);
                }
            }
        }
        count *= 4;
    }
    for (i, group) in x.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
        let words = group.as_chunks_mut::<8>().0;
        let [mut a, mut b, mut c, mut d] = [load(&words[0]), load(&words[1]), load(&words[2]), load(&words[3])];
        let at = node * count + i;
        let one = table.one::<N>(at);
        down::<N>(q, &mut a, &mut c, one);
        down::<N>(q, &mut b, &mut d, one);
        down::<N>(q, &mut a, &mut b, table.one::<N>(2 * at));
        down::<N>(q, &mut c, &mut d, table.one::<N>(2 * at + 1));
        for level in 0..3 {
            let (first, width) = ((4 * at) << level, 2 << level);
            for (pair, (x, y)) in [(&mut a, &mut b), (&mut c, &mut d)].into_iter().enumerate() {
                let [mut low, mut high] = apart(level, *x, *y);
                down::<N>(q, &mut low, &mut high, table.some::<N>(first + pair * width, level));
                [*x, *y] = together(level, low, high);
            }
        }
        for (x, words) in [a, b, c, d].into_iter().zip(words) {
            store(once(once(once(x, q.four), q.two), q.one), words);
        }
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn inverse_by_eight<const N: bool>(q: u64, table: Table<'_>, node: usize, scale: Factor, x: &mut [u64]) {
    let q = prime(q);
    let mut count = DEGREE / GROUP;
    for (i, group) in x.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
        let words = group.as_chunks_mut::<8>().0;
        let [mut a, mut b, mut c, mut d] = [load(&words[0]), load(&words[1]), load(&words[2]), load(&words[3])];
        let at = node * count + i;
        for level in (0..3).rev() {
            let (first, width) = ((4 * at) << level, 2 << level);
            for (pair, (x, y)) in [(&mut a, &mut b), (&mut c, &mut d)].into_iter().enumerate() {
                let [mut low, mut high] = apart(level, *x, *y);
                up::<N>(q, &mut low, &mut high, table.some::<N>(first + pair * width, level));
                [*x, *y] = together(level, low, high);
            }
        }
        up::<N>(q, &mut a, &mut b, table.one::<N>(2 * at));
        up::<N>(q, &mut c, &mut d, table.one::<N>(2 * at + 1));
        let one = table.one::<N>(at);
        up::<N>(q, &mut a, &mut c, one);
        up::<N>(q, &mut b, &mut d, one);
        for (x, words) in [a, b, c, d].into_iter().zip(words) {
            store(x, words);
        }
    }
    let scale = [splat(scale.value), narrowed::<N>(splat(scale.quotient))];
    while count > 1 {
        count /= 4;
        for (i, block) in x.chunks_exact_mut(DEGREE / count).enumerate() {
            let at = node * count + i;
            let (one, two, three) = (table.one::<N>(at), table.one::<N>(2 * at), table.one::<N>(2 * at + 1));
            for words in quarters(block) {
                let [mut a, mut b, mut c, mut d] = [load(words[0]), load(words[1]), load(words[2]), load(words[3])];
                up::<N>(q, &mut a, &mut b, two);
                up::<N>(q, &mut c, &mut d, three);
                up::<N>(q, &mut a, &mut c, one);
                up::<N>(q, &mut b, &mut d, one);
                for (x, words) in [a, b, c, d].into_iter().zip(words) {
                    store(x, words);
                }
            }
        }
    }
    for words in x.as_chunks_mut::<8>().0 {
        store(once(once(lazy::<N>(q, load(words), scale), q.two), q.one), words);
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn add_products_by_eight(q: u64, factors: Table<'_>, sums: &mut [u64], x: &[u64]) {
    let q = prime(q);
    let factors = factors.powers.as_chunks::<8>().0.iter().zip(factors.quotients.as_chunks::<8>().0);
    for ((sum, x), (w, quotient)) in sums.as_chunks_mut::<8>().0.iter_mut().zip(x.as_chunks::<8>().0).zip(factors) {
        let product = lazy::<false>(q, load(x), [load(w), load(quotient)]);
        store(once(_mm512_add_epi64(load(sum), product), q.four), sum);
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn along_by_eight(q: u64, factors: Table<'_>, x: &[u64]) -> [u64; 8] {
    let q = prime(q);
    let factors = factors.powers.as_chunks::<8>().0.iter().zip(factors.quotients.as_chunks::<8>().0);
    // Two sums, so that one waits for nothing while the other is made.
    let mut sums = [splat(0); 2];
    for (i, (x, (w, quotient))) in x.as_chunks::<8>().0.iter().zip(factors).enumerate() {
        let sum = &mut sums[i % 2];
        *sum = once(_mm512_add_epi64(*sum, lazy::<false>(q, load(x), [load(w), load(quotient)])), q.four);
    }
    let sum = once(_mm512_add_epi64(sums[0], sums[1]), q.four);
    let mut out = [0; 8];
    store(sum, &mut out);
    out
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn multiply_add_by_eight(q: u64, a: &mut [u64], b: &[u64], c: &[u64], d: &[u64]) {
    // Products of numbers of so many bits have a high part of as many, whose quotient is at most three too small: it comes
    // of twice that part, and of half the inverse, so that both are below 2^52.
    let bits = 64 - q.leading_zeros();
    let inverse = splat(((1u128 << (51 + bits)) / u128::from(q)) as u64);
    let (up, q) = (splat(u64::from(52 - bits)), prime(q));
    let zero = splat(0);
    let times = |x: Words, y: Words| {
        let high = _mm512_madd52hi_epu64(zero, x, _mm512_sllv_epi64(y, up));
        let quotient = _mm512_madd52hi_epu64(zero, _mm512_add_epi64(high, high), inverse);
        let rest = _mm512_sub_epi64(_mm512_madd52lo_epu64(zero, x, y), _mm512_madd52lo_epu64(zero, quotient, q.one));
        _mm512_and_si512(rest, splat((1 << 52) - 1))
    };
    let a = a.as_chunks_mut::<8>().0.iter_mut().zip(b.as_chunks::<8>().0);
    for ((a, b), (c, d)) in a.zip(c.as_chunks::<8>().0.iter().zip(d.as_chunks::<8>().0)) {
        let sum = _mm512_add_epi64(times(load(a), load(b)), times(load(c), load(d)));
        store(once(once(once(sum, q.four), q.two), q.one), a);
    }
}
