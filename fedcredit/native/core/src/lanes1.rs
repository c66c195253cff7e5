//! One number at a time, on any processor. Products of limbs have 104 bits, so a wide word adds up a whole column of them,
//! and only then is it split into limbs: half the time of splitting each product, as vectors have to.

use std::hint::black_box;

use crate::lanes::{self, LIMB_BITS, Lanes, MASK};

impl Lanes for u64 {
    const N: usize = 1;

    #[inline(always)]
    fn splat(word: u64) -> Self {
        word
    }

    #[inline(always)]
    fn load(words: &[u64]) -> Self {
        words[0]
    }

    #[inline(always)]
    fn store(self, words: &mut [u64]) {
        words[0] = self;
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        self & other
    }

    #[inline(always)]
    fn carry(self) -> Self {
        self >> LIMB_BITS
    }

    #[inline(always)]
    fn sign(self) -> Self {
        self >> 63
    }

    #[inline(always)]
    fn add_low(self, a: Self, b: Self) -> Self {
        self.wrapping_add((a & MASK).wrapping_mul(b & MASK) & MASK)
    }

    #[inline(always)]
    fn add_high(self, a: Self, b: Self) -> Self {
        self.wrapping_add(((u128::from(a & MASK) * u128::from(b & MASK)) >> LIMB_BITS) as u64)
    }

    #[inline(always)]
    fn equal(self, other: Self) -> Self {
        let difference = self ^ other;
        // A compiler that saw that this is all ones or zero would branch on it, once for a whole entry of a table.
        black_box(((difference | difference.wrapping_neg()) >> 63).wrapping_sub(1))
    }

    #[inline(always)]
    fn or_if(self, mask: Self, other: Self) -> Self {
        self ^ (mask & (self ^ other))
    }

    fn multiply(columns: &mut [Self], x: &[Self], y: &[Self]) {
        multiply::<false>(columns, x, y);
    }

    fn multiply_add(columns: &mut [Self], x: &[Self], y: &[Self]) {
        multiply::<true>(columns, x, y);
    }

    fn reduce(columns: &mut [Self], m: &[Self], inverse: Self) {
        reduce(columns, m, inverse);
    }

    fn carry_all(columns: &[Self], limbs: &mut [Self]) {
        lanes::carry_all(columns, limbs);
    }

    fn subtract_once(limbs: &mut [Self], m: &[u64]) {
        lanes::subtract_once(limbs, m);
    }

    fn select(table: &[u64], digits: Self, out: &mut [Self]) {
        lanes::select(table, digits, out);
    }

    fn select_own(table: &[Self], digits: Self, out: &mut [Self]) {
        lanes::select_own(table, digits, out);
    }
}

/// `columns = x y`, or with `ADD` `columns += x y`, of limbs below 2^52. At most 2^16 limbs.
fn multiply<const ADD: bool>(columns: &mut [u64], x: &[u64], y: &[u64]) {
    let (n, total) = (y.len(), x.len() + y.len());
    let mut sum = 0;
    for (k, cell) in columns[..total].iter_mut().enumerate() {
        // The limbs of x from `from` to `to` meet those of y from `k - from` down.
        let (from, to) = ((k + 1).saturating_sub(n), x.len().min(k + 1));
        if from < to {
            sum += dot(&x[from..to], &y[k + 1 - to..=k - from]);
        }
        let limb = sum as u64 & MASK;
        *cell = if ADD { *cell + limb } else { limb };
        sum >>= LIMB_BITS;
    }
}

/// What [`lanes::reduce`] does. The upper half is left as limbs.
fn reduce(columns: &mut [u64], m: &[u64], inverse: u64) {
    let n = m.len();
    let (q, high) = columns.split_at_mut(n);
    let mut sum = 0u128;
    for k in 0..n {
        sum += u128::from(q[k]) + dot(&q[..k], &m[1..=k]);
        q[k] = (sum as u64 & MASK).wrapping_mul(inverse) & MASK;
        sum = (sum + u128::from(q[k]) * u128::from(m[0])) >> LIMB_BITS;
    }
    for (k, cell) in high[..n].iter_mut().enumerate() {
        sum += u128::from(*cell) + dot(&q[k + 1..], &m[k + 1..]);
        *cell = sum as u64 & MASK;
        sum >>= LIMB_BITS;
    }
    for q in q {
        *q = MASK - *q;
    }
}

/// The sum of products of `x` from its beginning and `y` from its end, for as many limbs.
#[inline(always)]
fn dot(x: &[u64], y: &[u64]) -> u128 {
    x.iter().zip(y.iter().rev()).fold(0, |sum: u128, (&x, &y)| sum.wrapping_add(u128::from(x) * u128::from(y)))
}
