//! Integers modulo m^2 for odd m, as pairs: (a, b) stands for a + b m. This is where ciphertexts of Paillier live.
//!
//! A product of pairs is a a' + (a b' + a' b) m, so m^2 is never computed with: three products as long as m and two
//! Montgomery reductions modulo m take the place of one product and one reduction twice as long, 5 to 8. With
//! R = 2^(52 limbs) and q = -a a' / m modulo R,
//!
//! ```text
//! a a' = R t - q m                                    so, modulo m^2,
//! a a' + (a b' + a' b) m = R t + (a b' + a' b - q) m = R (t + u m),   u = (a b' + a' b - q) / R modulo m
//! ```
//!
//! What is reduced is a b' + a' b + (R - 1 - q) + (1 - R mod m), so that nothing is negative. A value x is mostly held as
//! x R, and then the product of two values is the product of their pairs divided by R: [`Work::multiply`].
//!
//! **Bounds.** R is at least 2^8 m. *Small*: both halves below 2 m. *Loose*: both below 11 m. Factors may be loose:
//! t < (121 m^2 + R m) / R < 2 m, u < (242 m^2 + R + m + R m) / R < 2 m, so products are small. [`Work::combine`] of
//! up to four parts below R and small constants is below (8 m R + R + m + R m) / R < 10 m, loose.
//! Columns take 4096 terms below 2^52; the most there are is 10 times 160 limbs.

use zeroize::{Zeroize, Zeroizing};

use crate::error::KernelError;
use crate::lanes::{LIMB_BITS, Lanes, MASK, STEP};
use crate::limbs::{limbs_of, value_bits};

/// Bits by which R is larger than m, at least.
const SLACK_BITS: usize = 8;

/// The longest modulus.
pub const MAX_BITS: usize = 8192;

/// What the arithmetic modulo m^2 needs to know of m. Wiped when dropped, since m may be a prime of a key.
pub struct Ring {
    /// Limbs of m, and m in them.
    pub limbs: usize,
    pub m: Vec<u64>,
    /// m^2, in twice as many.
    pub square: Vec<u64>,
    /// -1 / m modulo 2^52.
    inverse: u64,
    /// (1 - R) modulo m.
    offset: Vec<u64>,
    /// The pairs of R, R^2 and so on, to R^5.
    powers: Vec<Vec<u64>>,
}

impl Ring {
    /// The ring of an odd `m`, big-endian, of at least 64 and at most [`MAX_BITS`] bits.
    pub fn new(m: &[u8]) -> Result<Self, KernelError> {
        let bits = value_bits(m);
        if !(64..=MAX_BITS).contains(&bits) || m[m.len() - 1] & 1 == 0 {
            return Err(KernelError::Range { what: "modulus", index: bits });
        }
        let limbs = (bits + SLACK_BITS).div_ceil(LIMB_BITS).next_multiple_of(STEP);
        let mut own = vec![0; limbs];
        limbs_of(m, &mut own);
        // Newton: each step doubles the bits that are right, of which an odd number has three at first.
        let mut inverse = own[0];
        for _ in 0..5 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(own[0].wrapping_mul(inverse)));
        }
        let mut ring = Self {
            limbs,
            square: square(&own),
            inverse: inverse.wrapping_neg() & MASK,
            offset: vec![0; limbs],
            powers: Vec::new(),
            m: own,
        };
        ring.powers = ring.powers_of_two();
        // R modulo m is the first half of R's pair; it is not zero, m being odd.
        let r = &ring.powers[0][..limbs];
        let mut borrow = 0;
        for ((cell, &m), (k, &r)) in ring.offset.iter_mut().zip(&ring.m).zip(r.iter().enumerate()) {
            let difference = (m + u64::from(k == 0)).wrapping_sub(r).wrapping_sub(borrow);
            borrow = difference >> 63;
            *cell = difference & MASK;
        }
        Ok(ring)
    }

    /// Limbs of a pair.
    pub fn pair(&self) -> usize {
        2 * self.limbs
    }

    /// The pair of R: one, in the form that is multiplied.
    pub fn one(&self) -> &[u64] {
        &self.powers[0]
    }

    /// The pair of R^k, for k from 1 to 5.
    pub fn power(&self, k: usize) -> &[u64] {
        &self.powers[k - 1]
    }

    /// Pairs of R^1 to R^5, canonical, by doubling one.
    fn powers_of_two(&self) -> Vec<Vec<u64>> {
        let n = self.limbs;
        let mut pair = vec![0; 2 * n];
        pair[0] = 1;
        (0..5)
            .map(|_| {
                for _ in 0..LIMB_BITS * n {
                    let (a, b) = pair.split_at_mut(n);
                    double(b, 0);
                    subtract(b, &self.m);
                    double(a, 0);
                    // What is taken off the first half is one more in the second.
                    let more = subtract(a, &self.m);
                    increment(b, more);
                    subtract(b, &self.m);
                }
                pair.clone()
            })
            .collect()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.m.zeroize();
        self.square.zeroize();
        self.inverse.zeroize();
        self.offset.zeroize();
        self.powers.zeroize();
    }
}

/// A ring with its constants in all lanes, and room to multiply in. One for each thread.
pub struct Work<'a, V: Lanes> {
    pub ring: &'a Ring,
    m: Numbers<V>,
    offset: Numbers<V>,
    inverse: V,
    first: Numbers<V>,
    second: Numbers<V>,
}

/// Limbs of numbers side by side, wiped when dropped.
pub type Numbers<V> = Zeroizing<Vec<V>>;

/// As many zeros.
pub fn zeros<V: Lanes>(limbs: usize) -> Numbers<V> {
    Zeroizing::new(vec![V::splat(0); limbs])
}

impl<'a, V: Lanes> Work<'a, V> {
    /// Room for `ring`.
    pub fn new(ring: &'a Ring) -> Self {
        Self {
            ring,
            m: splat(&ring.m),
            offset: splat(&ring.offset),
            inverse: V::splat(ring.inverse),
            first: zeros(ring.pair()),
            second: zeros(ring.pair()),
        }
    }

    /// `x = x y / R`. Factors may be loose, the product is small.
    pub fn multiply(&mut self, x: &mut [V], y: &[V]) {
        let n = self.ring.limbs;
        V::multiply(&mut self.first, &x[..n], &y[..n]);
        V::multiply(&mut self.second, &x[..n], &y[n..]);
        V::multiply_add(&mut self.second, &x[n..], &y[..n]);
        self.reduce(x);
    }

    /// `x = x^2 / R`.
    pub fn square(&mut self, x: &mut [V]) {
        let n = self.ring.limbs;
        V::multiply(&mut self.first, &x[..n], &x[..n]);
        V::multiply(&mut self.second, &x[..n], &x[n..]);
        for column in self.second.iter_mut() {
            *column = column.add(*column);
        }
        self.reduce(x);
    }

    /// `x / R`: from the form that is multiplied to the value. The first half is at most m, the second at most m + 1.
    pub fn leave(&mut self, x: &mut [V]) {
        let n = self.ring.limbs;
        self.clear();
        self.first[..n].copy_from_slice(&x[..n]);
        self.second[..n].copy_from_slice(&x[n..]);
        self.reduce(x);
    }

    /// The sum of numbers below R, each times a pair, divided by R; loose. Up to four of them.
    pub fn combine(&mut self, parts: &[V], constants: &[Numbers<V>], out: &mut [V]) {
        let n = self.ring.limbs;
        assert!(parts.len().is_multiple_of(n) && parts.len() / n <= constants.len().min(4));
        self.clear();
        for (part, constant) in parts.chunks_exact(n).zip(constants) {
            V::multiply_add(&mut self.first, part, &constant[..n]);
            V::multiply_add(&mut self.second, part, &constant[n..]);
        }
        self.reduce(out);
    }

    /// The number that a pair stands for, below R: a + b m, not reduced.
    pub fn expand(&mut self, x: &mut [V]) {
        let n = self.ring.limbs;
        self.clear();
        self.first[..n].copy_from_slice(&x[..n]);
        V::multiply_add(&mut self.first, &x[n..], &self.m);
        V::carry_all(&self.first, x);
    }

    /// The number below m^2 that a small pair stands for: of a + b m, below 2 m + 2 m^2, m^2 is taken off twice at most.
    pub fn canonical(&mut self, x: &mut [V]) {
        self.expand(x);
        for _ in 0..2 {
            V::subtract_once(x, &self.ring.square);
        }
    }

    fn clear(&mut self) {
        self.first.fill(V::splat(0));
        self.second.fill(V::splat(0));
    }

    fn reduce(&mut self, out: &mut [V]) {
        let n = self.ring.limbs;
        V::reduce(&mut self.first, &self.m, self.inverse);
        for (column, (q, offset)) in self.second.iter_mut().zip(self.first.iter().zip(self.offset.iter())) {
            *column = column.add(*q).add(*offset);
        }
        V::reduce(&mut self.second, &self.m, self.inverse);
        let (a, b) = out.split_at_mut(n);
        V::carry_all(&self.first[n..], a);
        V::carry_all(&self.second[n..], b);
    }
}

/// The same number in all lanes.
pub fn splat<V: Lanes>(limbs: &[u64]) -> Numbers<V> {
    Zeroizing::new(limbs.iter().map(|&limb| V::splat(limb)).collect())
}

fn double(limbs: &mut [u64], mut carry: u64) {
    for limb in limbs {
        let sum = 2 * *limb + carry;
        *limb = sum & MASK;
        carry = sum >> LIMB_BITS;
    }
}

fn increment(limbs: &mut [u64], mut carry: u64) {
    for limb in limbs {
        let sum = *limb + carry;
        *limb = sum & MASK;
        carry = sum >> LIMB_BITS;
    }
}

/// `limbs - m` where that is not negative; one if so.
fn subtract(limbs: &mut [u64], m: &[u64]) -> u64 {
    let below = |(borrow, limb, m): (u64, u64, u64)| limb.wrapping_sub(m).wrapping_sub(borrow);
    let mut borrow = 0;
    for (&limb, &m) in limbs.iter().zip(m) {
        borrow = below((borrow, limb, m)) >> 63;
    }
    let (taken, mut borrow) = (1 - borrow, 0);
    for (limb, &m) in limbs.iter_mut().zip(m) {
        let difference = below((borrow, *limb, m));
        borrow = difference >> 63;
        *limb ^= taken.wrapping_neg() & (*limb ^ (difference & MASK));
    }
    taken
}

fn square(m: &[u64]) -> Vec<u64> {
    let mut columns = vec![0u64; 2 * m.len()];
    <u64 as Lanes>::multiply_add(&mut columns, m, m);
    let mut limbs = vec![0; columns.len()];
    <u64 as Lanes>::carry_all(&columns, &mut limbs);
    limbs
}
