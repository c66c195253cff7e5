//! Sums of products of residues with public factors, whose quotients are worked out once: no division, no wide words.
//!
//! What a ciphertext of another party is multiplied with is secret, what is in it is not. Constant time in the former.

use crate::arithmetic::Arithmetic;
use crate::rlwe::wide;
#[cfg(target_arch = "x86_64")]
use crate::rlwe_eight;
use crate::rlwe_modulus::{Transform, once};

/// Public factors of one polynomial modulo one prime, with their quotients.
#[derive(Clone, Copy)]
pub struct Factors<'a> {
    pub values: &'a [u64],
    pub quotients: &'a [u64],
}

impl<'a> Factors<'a> {
    #[cfg(target_arch = "x86_64")]
    fn table(self) -> rlwe_eight::Table<'a> {
        rlwe_eight::Table { powers: self.values, quotients: self.quotients }
    }

    /// Some of them.
    pub fn some(self, at: std::ops::Range<usize>) -> Self {
        Self { values: &self.values[at.clone()], quotients: &self.quotients[at] }
    }
}

impl Transform {
    /// Adds products with factors to sums. Numbers come below q; sums come and leave below 4q.
    pub fn add_products(&self, sums: &mut [u64], factors: Factors<'_>, x: &[u64]) {
        match self.arithmetic {
            Arithmetic::Portable => self.add_products_by_one(sums, factors, x),
            #[cfg(target_arch = "x86_64")]
            Arithmetic::Eight => rlwe_eight::add_products(self.modulus.value, factors.table(), sums, x),
        }
    }

    /// The sum of products with factors, modulo q. Numbers come below q.
    pub fn along(&self, factors: Factors<'_>, x: &[u64]) -> u64 {
        match self.arithmetic {
            Arithmetic::Portable => self.along_by_one(factors, x),
            #[cfg(target_arch = "x86_64")]
            Arithmetic::Eight => rlwe_eight::along(self.modulus.value, factors.table(), x)
                .iter()
                .fold(0, |sum, &part| self.modulus.add(sum, self.modulus.reduce(part))),
        }
    }

    /// `a[i] b[i] + c[i] d[i]` modulo q, into `a`. Numbers below q, of at least 2^28 and below 2^48.
    pub fn multiply_add(&self, a: &mut [u64], b: &[u64], c: &[u64], d: &[u64]) {
        match self.arithmetic {
            Arithmetic::Portable => {
                for ((a, &b), (&c, &d)) in a.iter_mut().zip(b).zip(c.iter().zip(d)) {
                    *a = self.modulus.reduce_wide(wide(*a, b) + wide(c, d));
                }
            }
            #[cfg(target_arch = "x86_64")]
            Arithmetic::Eight => rlwe_eight::multiply_add(self.modulus.value, a, b, c, d),
        }
    }

    fn add_products_by_one(&self, sums: &mut [u64], factors: Factors<'_>, x: &[u64]) {
        let q = &self.modulus;
        for ((sum, &x), (&w, &quotient)) in sums.iter_mut().zip(x).zip(factors.values.iter().zip(factors.quotients)) {
            *sum = once(sum.wrapping_add(q.lazy(x, w, quotient)), 4 * q.value);
        }
    }

    fn along_by_one(&self, factors: Factors<'_>, x: &[u64]) -> u64 {
        let q = &self.modulus;
        let terms = x.iter().zip(factors.values.iter().zip(factors.quotients));
        q.reduce(
            terms
                .fold(0, |sum: u64, (&x, (&w, &quotient))| once(sum.wrapping_add(q.lazy(x, w, quotient)), 2 * q.value)),
        )
    }

    /// The quotients of public numbers below q, by which products with them take no division.
    pub fn quotients(&self, values: &[u64], out: &mut [u64]) {
        let q = self.modulus.value;
        // floor(2^124 / q) is 2^64 and a little more, for q just below 2^60.
        let more = u128::from(((1u128 << 124) / u128::from(q)) as u64);
        for (out, &x) in out.iter_mut().zip(values) {
            let mut quotient = (x << 4).wrapping_add(((u128::from(x) * more) >> 60) as u64);
            // At most two too small, so that what is left of x 2^64 is below 3q.
            for _ in 0..2 {
                let left = 0u64.wrapping_sub(quotient.wrapping_mul(q));
                quotient += u64::from(left >= q);
            }
            *out = quotient;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rlwe_modulus::{DEGREE, Factor};
    use crate::rlwe_ring::LIMBS;

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
    fn sums_of_products_agree_with_division() {
        for q in LIMBS {
            let fast = Transform::new(q);
            let portable = Transform::by(q, Arithmetic::Portable);
            let mut a = numbers(1, q);
            a[..4].copy_from_slice(&[0, 1, q - 1, q / 2]);
            let mut b = numbers(2, q);
            b[..4].copy_from_slice(&[q - 1, q - 1, q - 1, 0]);
            let mut quotients = vec![0; DEGREE];
            fast.quotients(&a, &mut quotients);
            assert!(quotients.iter().zip(&a).all(|(&quotient, &x)| quotient == Factor::of(x, q).quotient));
            let factors = Factors { values: &a, quotients: &quotients };
            for transform in [&fast, &portable] {
                let mut sums = vec![4 * q - 1; DEGREE];
                transform.add_products(&mut sums, factors, &b);
                transform.add_products(&mut sums, factors, &b);
                for (i, &sum) in sums.iter().enumerate() {
                    assert!(sum < 4 * q);
                    let product = 2 * (u128::from(a[i]) * u128::from(b[i]) % u128::from(q));
                    assert_eq!(u128::from(sum % q), (product + u128::from(q) - 1) % u128::from(q));
                }
                let along =
                    a.iter().zip(&b).map(|(&a, &b)| u128::from(a) * u128::from(b) % u128::from(q)).sum::<u128>();
                assert_eq!(u128::from(transform.along(factors, &b)), along % u128::from(q));
            }
        }
    }
}
