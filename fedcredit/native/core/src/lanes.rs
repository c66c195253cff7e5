//! Numbers side by side in limbs of 52 bits: what the arithmetic of Paillier is written in, for one number at a time on
//! any processor (`u64`, in `lanes1`) and for eight where AVX-512 IFMA is (`Eight` of `lanes8`).
//!
//! A value of [`Lanes`] is one word of each of `N` numbers. A *column* sums products of limbs without carrying: every
//! term is below 2^52, so a column takes 4096 terms. The functions on slices, that have most of the work, are methods, so that an
//! implementation can compile the generic ones of this file for its processor.
//!
//! Nothing here takes a branch or an address from a number's value: constant time.

use zeroize::Zeroize;

/// Bits of a limb.
pub const LIMB_BITS: usize = 52;

/// Low 52 bits.
pub const MASK: u64 = (1 << LIMB_BITS) - 1;

/// Limbs that a pass over a number takes at once, so that their sums stay in registers.
pub const BLOCK: usize = 5;

/// Limbs of a pair of numbers, in a table, that are read at once, for the same reason.
const READ: usize = 20;

/// The limbs of all numbers are a multiple of this.
pub const STEP: usize = 10;

/// One word of each of `N` numbers.
pub trait Lanes: Copy + Send + Sync + Zeroize + 'static {
    /// How many numbers.
    const N: usize;

    /// The same word for all.
    fn splat(word: u64) -> Self;
    /// The first `N` words of `words`, one each.
    fn load(words: &[u64]) -> Self;
    /// The way back.
    fn store(self, words: &mut [u64]);
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn and(self, other: Self) -> Self;
    /// The word above its low 52 bits.
    fn carry(self) -> Self;
    /// One where the word is negative, as a signed one; zero elsewhere.
    fn sign(self) -> Self;
    /// `self` plus the low 52 bits of the product of both factors' low 52 bits.
    fn add_low(self, a: Self, b: Self) -> Self;
    /// `self` plus the bits above them.
    fn add_high(self, a: Self, b: Self) -> Self;
    /// All ones where both are equal, zero elsewhere.
    fn equal(self, other: Self) -> Self;
    /// The bits of `other` under the mask, and of `self` outside it.
    fn or_if(self, mask: Self, other: Self) -> Self;

    /// Sets the columns, of which there are as many as limbs of both, to the product of `x` and `y`.
    fn multiply(columns: &mut [Self], x: &[Self], y: &[Self]);
    /// Adds the product to them.
    fn multiply_add(columns: &mut [Self], x: &[Self], y: &[Self]);
    /// Montgomery reduction of the columns modulo `m`; see [`reduce`].
    fn reduce(columns: &mut [Self], m: &[Self], inverse: Self);
    /// Columns to limbs.
    fn carry_all(columns: &[Self], limbs: &mut [Self]);
    /// Subtracts `m` from `limbs` where `limbs` is not below it.
    fn subtract_once(limbs: &mut [Self], m: &[u64]);
    /// The entry of a table that each digit names, by reading all of it.
    fn select(table: &[u64], digits: Self, out: &mut [Self]);
    /// The same from a table of its own for each number.
    fn select_own(table: &[Self], digits: Self, out: &mut [Self]);
}

/// `columns = x y`, or with `ADD` `columns += x y`.
#[inline(always)]
pub fn multiply<V: Lanes, const ADD: bool>(columns: &mut [V], x: &[V], y: &[V]) {
    let (zero, n) = (V::splat(0), y.len());
    assert!(columns.len() >= x.len() + n && x.len().is_multiple_of(BLOCK));
    for (block, a) in x.as_chunks::<BLOCK>().0.iter().enumerate() {
        let (body, tail) = columns[BLOCK * block..BLOCK * block + n + BLOCK].split_at_mut(n);
        // At step j, low[k] is of column j + k and high[k] of the one above it.
        let (mut low, mut high, mut above) = ([zero; BLOCK], [zero; BLOCK], zero);
        for (cell, &b) in body.iter_mut().zip(y) {
            for k in 0..BLOCK {
                low[k] = low[k].add_low(a[k], b);
                high[k] = high[k].add_high(a[k], b);
            }
            let sum = low[0].add(above);
            *cell = if ADD || block > 0 { cell.add(sum) } else { sum };
            above = high[0];
            low = [low[1], low[2], low[3], low[4], zero];
            high = [high[1], high[2], high[3], high[4], zero];
        }
        // No block before this one came as far.
        for (k, cell) in tail.iter_mut().enumerate() {
            let sum = low[k].add(above);
            *cell = if ADD { cell.add(sum) } else { sum };
            above = high[k];
        }
    }
}

/// Montgomery reduction: for columns of value T, of which there are twice as many as limbs of `m`, and q = -T / m modulo R,
/// where R is 2^52 to the power of the limbs of `m`, leaves columns of (T + q m) / R in the upper half, and in the lower
/// half the limbs of R - 1 - q. `inverse` is -1 / m modulo 2^52.
#[inline(always)]
pub fn reduce<V: Lanes>(columns: &mut [V], m: &[V], inverse: V) {
    let n = m.len();
    assert!(columns.len() >= 2 * n && n.is_multiple_of(BLOCK));
    let (zero, mask) = (V::splat(0), V::splat(MASK));
    for block in 0..n / BLOCK {
        let columns = &mut columns[BLOCK * block..];
        let mut own = [zero; BLOCK];
        own.copy_from_slice(&columns[..BLOCK]);
        let (mut high, mut q, mut carry) = ([zero; BLOCK], [zero; BLOCK], zero);
        for k in 0..BLOCK {
            let column = own[k].add(high[k]).add(carry);
            q[k] = zero.add_low(column, inverse);
            carry = column.add_low(q[k], m[0]).carry();
            for j in k + 1..BLOCK {
                own[j] = own[j].add_low(q[k], m[j - k]);
                high[j] = high[j].add_high(q[k], m[j - k - 1]);
            }
        }
        // The block's own columns get their terms twice, and nobody reads them again.
        multiply::<V, true>(&mut columns[..n + BLOCK], &q, m);
        for (cell, q) in columns.iter_mut().zip(q) {
            *cell = mask.sub(q);
        }
        columns[BLOCK] = columns[BLOCK].add(carry);
    }
}

/// Columns to limbs below 2^52. The carry out of the last one is dropped: callers know that it is zero.
#[inline(always)]
pub fn carry_all<V: Lanes>(columns: &[V], limbs: &mut [V]) {
    assert!(columns.len() >= limbs.len());
    let mask = V::splat(MASK);
    let mut carry = V::splat(0);
    for (limb, column) in limbs.iter_mut().zip(columns) {
        let sum = column.add(carry);
        *limb = sum.and(mask);
        carry = sum.carry();
    }
}

/// `limbs - m` where that is not negative.
#[inline(always)]
pub fn subtract_once<V: Lanes>(limbs: &mut [V], m: &[u64]) {
    assert_eq!(limbs.len(), m.len());
    let (mask, zero) = (V::splat(MASK), V::splat(0));
    let mut borrow = zero;
    for (limb, &m) in limbs.iter().zip(m) {
        borrow = limb.sub(V::splat(m)).sub(borrow).sign();
    }
    let take = borrow.equal(zero);
    borrow = zero;
    for (limb, &m) in limbs.iter_mut().zip(m) {
        let difference = limb.sub(V::splat(m)).sub(borrow);
        borrow = difference.sign();
        *limb = limb.or_if(take, difference.and(mask));
    }
}

/// The entry that each digit names. `table` is entry after entry, each as long as `out`.
#[inline(always)]
pub fn select<V: Lanes>(table: &[u64], digits: V, out: &mut [V]) {
    select_by(table, digits, out, V::splat);
}

/// The entry that each digit names, of a table of its own for each number.
#[inline(always)]
pub fn select_own<V: Lanes>(table: &[V], digits: V, out: &mut [V]) {
    select_by(table, digits, out, |word| word);
}

#[inline(always)]
fn select_by<V: Lanes, T: Copy>(table: &[T], digits: V, out: &mut [V], word: impl Fn(T) -> V) {
    let n = out.len();
    assert!(n.is_multiple_of(READ) && table.len().is_multiple_of(n));
    for (part, out) in out.as_chunks_mut::<READ>().0.iter_mut().enumerate() {
        let mut found = [V::splat(0); READ];
        for (number, entry) in table.chunks_exact(n).enumerate() {
            let mask = digits.equal(V::splat(number as u64));
            for (found, &entry) in found.iter_mut().zip(&entry[READ * part..READ * part + READ]) {
                *found = found.or_if(mask, word(entry));
            }
        }
        *out = found;
    }
}
