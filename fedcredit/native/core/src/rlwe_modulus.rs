//! Numbers modulo a prime below 2^62, and the transform of polynomials modulo X^N + 1 over it.
//!
//! A polynomial with coefficients a_i is taken to its values at the odd powers of a root psi of order 2N, and products
//! of polynomials become products of values. The forward transform takes coefficients in their natural order and gives
//! value number i at psi^(2 r(i) + 1), where r reverses the bits of i; the inverse takes that order and gives the
//! natural one. Constant time: no branch and no address depends on the numbers.
//!
//! Sources: D. Harvey, Faster arithmetic for number-theoretic transforms, 2014 (numbers that are reduced late);
//! P. Longa, M. Naehrig, Speeding up the number theoretic transform, 2016 (without twisting by psi first).

use crate::arithmetic::Arithmetic;
#[cfg(target_arch = "x86_64")]
use crate::rlwe_eight;

/// Coefficients of a polynomial, N. Transforms are of so many, or of twice as many.
pub const DEGREE: usize = 8192;

/// A prime modulus below 2^62.
#[derive(Debug, Clone, Copy)]
pub struct Modulus {
    pub value: u64,
    one: Factor,
    word: Factor,
}

/// A constant factor w with floor(w 2^64 / q), by which a product modulo q takes no division (Shoup).
#[derive(Debug, Clone, Copy)]
pub struct Factor {
    pub value: u64,
    pub quotient: u64,
}

/// `x - m` where that is not negative, else `x`. For x below 2^63 + m.
///
/// The one choice that secrets are put to: a minimum stays one. Masks made of a sign are told to be choices by compilers,
/// and made branches.
#[inline(always)]
pub fn once(x: u64, m: u64) -> u64 {
    x.min(x.wrapping_sub(m))
}

/// The number of least size that is `x` modulo an odd m, for x below m.
#[inline(always)]
pub fn centred(x: u64, m: u64) -> i64 {
    once(x.wrapping_add(m / 2), m).wrapping_sub(m / 2) as i64
}

#[inline(always)]
fn high(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 64) as u64
}

impl Modulus {
    pub fn new(value: u64) -> Self {
        let factor = |x: u64| Factor::of(x, value);
        let word = ((1u128 << 64) % u128::from(value)) as u64;
        Self { value, one: factor(1), word: factor(word) }
    }

    pub fn factor(&self, x: u64) -> Factor {
        Factor::of(x, self.value)
    }

    /// `x w` modulo q, below 2q, for any x.
    #[inline(always)]
    pub fn lazy(&self, x: u64, w: u64, quotient: u64) -> u64 {
        x.wrapping_mul(w).wrapping_sub(high(x, quotient).wrapping_mul(self.value))
    }

    /// `x w` modulo q, for any x.
    #[inline(always)]
    pub fn times(&self, x: u64, w: Factor) -> u64 {
        once(self.lazy(x, w.value, w.quotient), self.value)
    }

    /// `x` modulo q, for any x.
    #[inline(always)]
    pub fn reduce(&self, x: u64) -> u64 {
        self.times(x, self.one)
    }

    /// `x` modulo q, for any x of two words.
    #[inline(always)]
    pub fn reduce_wide(&self, x: u128) -> u64 {
        let low = self.lazy(x as u64, self.one.value, self.one.quotient);
        let sum = low.wrapping_add(self.lazy((x >> 64) as u64, self.word.value, self.word.quotient));
        once(once(sum, 2 * self.value), self.value)
    }

    /// `a + b` modulo q, of numbers below q.
    #[inline(always)]
    pub fn add(&self, a: u64, b: u64) -> u64 {
        once(a.wrapping_add(b), self.value)
    }

    /// `a - b` modulo q, of numbers below q.
    #[inline(always)]
    pub fn sub(&self, a: u64, b: u64) -> u64 {
        once(a.wrapping_add(self.value).wrapping_sub(b), self.value)
    }

    /// A number between -q and q, modulo q, below 2q.
    #[inline(always)]
    pub fn signed(&self, x: i64) -> u64 {
        (x as u64).wrapping_add(self.value)
    }

    /// The power of a public number.
    pub fn power_vartime(&self, base: u64, mut exponent: u64) -> u64 {
        let (q, mut square, mut out) = (u128::from(self.value), u128::from(base), 1u128);
        while exponent > 0 {
            if exponent & 1 == 1 {
                out = out * square % q;
            }
            square = square * square % q;
            exponent >>= 1;
        }
        out as u64
    }

    /// The inverse of a public number that is not a multiple of q.
    pub fn inverse_vartime(&self, x: u64) -> u64 {
        self.power_vartime(x, self.value - 2)
    }
}

impl Factor {
    pub(crate) fn of(x: u64, q: u64) -> Self {
        Self { value: x, quotient: ((u128::from(x) << 64) / u128::from(q)) as u64 }
    }
}

/// Tables of the transform modulo one prime: powers of psi in the order of reversed bits, and their inverses.
pub struct Transform {
    pub modulus: Modulus,
    roots: Vec<u64>,
    root_quotients: Vec<u64>,
    inverses: Vec<u64>,
    inverse_quotients: Vec<u64>,
    /// 1 / N.
    scale: Factor,
    pub(crate) arithmetic: Arithmetic,
}

impl Transform {
    /// The transform modulo a prime below 2^60 that is 1 modulo 2N, by the fastest arithmetic that there is. Psi is the
    /// first of g^((q - 1) / 2N), g = 2, 3, .., that has order 2N.
    pub fn new(q: u64) -> Self {
        Self::by(q, Arithmetic::best())
    }

    pub(crate) fn by(q: u64, arithmetic: Arithmetic) -> Self {
        Self::of(q, DEGREE, arithmetic)
    }

    /// The same of `degree` coefficients, DEGREE or twice as many; q is 1 modulo twice of that.
    pub(crate) fn of(q: u64, degree: usize, arithmetic: Arithmetic) -> Self {
        let modulus = Modulus::new(q);
        let order = 2 * degree as u64;
        let psi = (2..)
            .map(|g| modulus.power_vartime(g, (q - 1) / order))
            .find(|&root| modulus.power_vartime(root, degree as u64) == q - 1)
            .unwrap_or(1);
        let bits = degree.trailing_zeros();
        let table = |root: u64| -> (Vec<u64>, Vec<u64>) {
            let mut powers = vec![0; degree];
            let mut power = 1u64;
            for i in 0..degree {
                powers[i.reverse_bits() >> (usize::BITS - bits)] = power;
                power = (u128::from(power) * u128::from(root) % u128::from(q)) as u64;
            }
            let quotients = powers.iter().map(|&w| modulus.factor(w).quotient).collect();
            (powers, quotients)
        };
        let (roots, root_quotients) = table(psi);
        let (inverses, inverse_quotients) = table(modulus.inverse_vartime(psi));
        let scale = modulus.factor(modulus.inverse_vartime(degree as u64));
        Self { modulus, roots, root_quotients, inverses, inverse_quotients, scale, arithmetic }
    }

    /// Coefficients to values, in place. Numbers may come below 4q and leave below q.
    pub fn forward(&self, x: &mut [u64]) {
        match self.arithmetic {
            Arithmetic::Portable => self.forward_by_one(x),
            #[cfg(target_arch = "x86_64")]
            Arithmetic::Eight => {
                let table = rlwe_eight::Table { powers: &self.roots, quotients: &self.root_quotients };
                if x.len() == DEGREE {
                    return rlwe_eight::forward(self.modulus.value, table, 1, x);
                }
                let factors = self.roots[1..2].iter().zip(&self.root_quotients[1..2]);
                each_block(x, DEGREE, factors, |w, quotient, low, high| self.down(w, quotient, low, high));
                for (half, x) in x.chunks_exact_mut(DEGREE).enumerate() {
                    rlwe_eight::forward(self.modulus.value, table, 2 + half, x);
                }
            }
        }
    }

    /// Values to coefficients, in place. Numbers may come below 2q and leave below q.
    pub fn inverse(&self, x: &mut [u64]) {
        match self.arithmetic {
            Arithmetic::Portable => self.inverse_by_one(x),
            #[cfg(target_arch = "x86_64")]
            Arithmetic::Eight => {
                let table = rlwe_eight::Table { powers: &self.inverses, quotients: &self.inverse_quotients };
                if x.len() == DEGREE {
                    return rlwe_eight::inverse(self.modulus.value, table, 1, self.scale, x);
                }
                for (half, x) in x.chunks_exact_mut(DEGREE).enumerate() {
                    rlwe_eight::inverse(self.modulus.value, table, 2 + half, self.scale, x);
                }
                let factors = self.inverses[1..2].iter().zip(&self.inverse_quotients[1..2]);
                each_block(x, DEGREE, factors, |w, quotient, low, high| {
                    self.up(w, quotient, low, high);
                    *low = once(*low, self.modulus.value);
                    *high = once(*high, self.modulus.value);
                });
            }
        }
    }

    fn forward_by_one(&self, x: &mut [u64]) {
        let q = self.modulus;
        let mut half = x.len() / 2;
        let mut first = 1;
        while first < x.len() {
            let factors = self.roots[first..2 * first].iter().zip(&self.root_quotients[first..2 * first]);
            each_block(x, half, factors, |w, quotient, low, high| self.down(w, quotient, low, high));
            first *= 2;
            half /= 2;
        }
        for value in x.iter_mut() {
            *value = once(once(*value, 2 * q.value), q.value);
        }
    }

    fn inverse_by_one(&self, x: &mut [u64]) {
        let mut half = 1;
        let mut first = x.len() / 2;
        while first > 0 {
            let factors = self.inverses[first..2 * first].iter().zip(&self.inverse_quotients[first..2 * first]);
            each_block(x, half, factors, |w, quotient, low, high| self.up(w, quotient, low, high));
            half *= 2;
            first /= 2;
        }
        for value in x.iter_mut() {
            *value = self.modulus.times(*value, self.scale);
        }
    }

    /// One step towards values: numbers below 4q stay below 4q.
    #[inline(always)]
    fn down(&self, w: u64, quotient: u64, low: &mut u64, high: &mut u64) {
        let q = &self.modulus;
        let (a, b) = (once(*low, 2 * q.value), q.lazy(*high, w, quotient));
        *low = a.wrapping_add(b);
        *high = a.wrapping_sub(b).wrapping_add(2 * q.value);
    }

    /// One step towards coefficients: numbers below 2q stay below 2q.
    #[inline(always)]
    fn up(&self, w: u64, quotient: u64, low: &mut u64, high: &mut u64) {
        let q = &self.modulus;
        let (a, b) = (*low, *high);
        *low = once(a.wrapping_add(b), 2 * q.value);
        *high = q.lazy(a.wrapping_sub(b).wrapping_add(2 * q.value), w, quotient);
    }

    /// Psi, the root of order 2N.
    pub(crate) fn root(&self) -> u64 {
        self.roots[self.roots.len() / 2]
    }

    /// 1 / N, which the inverse transform multiplies by.
    pub fn scale(&self) -> Factor {
        self.scale
    }
}

/// Calls `butterfly` for the pairs of every block of `2 half` numbers. Small blocks are unrolled.
#[inline(always)]
fn each_block<'a>(
    x: &mut [u64],
    half: usize,
    factors: impl Iterator<Item = (&'a u64, &'a u64)>,
    butterfly: impl Fn(u64, u64, &mut u64, &mut u64),
) {
    match half {
        1 => small::<2>(x, factors, butterfly),
        2 => small::<4>(x, factors, butterfly),
        4 => small::<8>(x, factors, butterfly),
        8 => small::<16>(x, factors, butterfly),
        _ => {
            for (block, (&w, &quotient)) in x.chunks_exact_mut(2 * half).zip(factors) {
                let (low, high) = block.split_at_mut(half);
                let pairs = low.as_chunks_mut::<8>().0.iter_mut().zip(high.as_chunks_mut::<8>().0);
                for (low, high) in pairs {
                    for (low, high) in low.iter_mut().zip(high) {
                        butterfly(w, quotient, low, high);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn small<'a, const BLOCK: usize>(
    x: &mut [u64],
    factors: impl Iterator<Item = (&'a u64, &'a u64)>,
    butterfly: impl Fn(u64, u64, &mut u64, &mut u64),
) {
    for (block, (&w, &quotient)) in x.as_chunks_mut::<BLOCK>().0.iter_mut().zip(factors) {
        let (low, high) = block.split_at_mut(BLOCK / 2);
        for (low, high) in low.iter_mut().zip(high) {
            butterfly(w, quotient, low, high);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rlwe_ring::{LIMBS, PLAIN_MODULUS};

    fn numbers(seed: u64, below: u64) -> Vec<u64> {
        let mut state = seed;
        (0..DEGREE)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                ((u128::from(state) * u128::from(below)) >> 64) as u64
            })
            .collect()
    }

    #[test]
    fn there_and_back_is_nothing_and_values_are_at_the_odd_powers() {
        for q in LIMBS.into_iter().chain([PLAIN_MODULUS]) {
            let transform = Transform::new(q);
            let x = numbers(q, q);
            let mut y: Vec<u64> = x.iter().map(|&v| v + if v < 3 { 3 * q } else { 0 }).collect();
            transform.forward(&mut y);
            let psi = transform.roots[DEGREE / 2];
            for place in [0usize, 1, 77, DEGREE - 1] {
                let reversed = place.reverse_bits() >> (usize::BITS - 13);
                let point = transform.modulus.power_vartime(psi, 2 * reversed as u64 + 1);
                let value =
                    x.iter().rev().fold(0u128, |sum, &c| (sum * u128::from(point) + u128::from(c)) % u128::from(q));
                assert_eq!(u128::from(y[place]), value);
            }
            // The same numbers by the other arithmetic, of the largest that may come as well.
            let portable = Transform::by(q, Arithmetic::Portable);
            for mut y in [y.clone(), vec![2 * q - 1; DEGREE], vec![0; DEGREE]] {
                let mut other = y.clone();
                transform.inverse(&mut y);
                portable.inverse(&mut other);
                assert_eq!(y, other);
                y.iter_mut().for_each(|v| *v += 3 * q);
                other.copy_from_slice(&y);
                transform.forward(&mut y);
                portable.forward(&mut other);
                assert_eq!(y, other);
            }
            transform.inverse(&mut y);
            assert_eq!(x, y);
        }
    }

    #[test]
    fn reductions_agree_with_division() {
        for q in LIMBS.into_iter().chain([PLAIN_MODULUS]) {
            let modulus = Modulus::new(q);
            for x in [0, 1, q - 1, q, q + 1, 2 * q, u64::MAX].into_iter().chain(numbers(5, u64::MAX)) {
                assert_eq!(modulus.reduce(x), x % q);
                for y in [0, 1, q, u64::MAX] {
                    let wide = (u128::from(x) << 64) | u128::from(y);
                    assert_eq!(u128::from(modulus.reduce_wide(wide)), wide % u128::from(q));
                }
            }
            assert_eq!(modulus.signed(-1), q - 1);
            assert_eq!(modulus.signed(5), q + 5);
            let half = (q / 2) as i64;
            assert_eq!([0, 1, q / 2, q / 2 + 1, q - 1].map(|x| centred(x, q)), [0, 1, half, -half, -1]);
            assert_eq!(modulus.sub(2, 3), q - 1);
            assert_eq!(modulus.add(q - 1, 1), 0);
        }
    }
}
