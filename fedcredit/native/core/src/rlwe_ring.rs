//! The ring of ring-LWE ciphertexts, numbers as they are put into it, and how polynomials travel.
//!
//! Z[X] / (X^N + 1) modulo q = q0 q1 q2, by residues. A plaintext is a polynomial modulo t; it is carried as
//! round(q m / t). Answers are scaled from q to 2^64 before they leave: what noise there is becomes as small.
//!
//! Sources: Z. Brakerski, 2012, and J. Fan, F. Vercauteren, 2012 (the scheme); J.-C. Bajard, J. Eynard, A. Hasan, V.
//! Zucca, 2016 (residues); D. Micciancio, O. Regev and others on switching moduli.

use std::sync::OnceLock;

use crate::error::KernelError;
use crate::rlwe_modulus::{DEGREE, Factor, Modulus, Transform, centred, once};
use crate::rlwe_sample::{FLOOD_BITS, Numbers, zeros};

/// Bits of a prime of q.
pub const LIMB_BITS: u32 = 60;

/// The largest three primes below 2^60 that are 1 modulo 2N.
pub const LIMBS: [u64; 3] = [0xfff_ffff_ffff_c001, 0xfff_ffff_fffe_8001, 0xfff_ffff_fffd_8001];

/// The largest prime below 2^54 that is 1 modulo 2N: plaintexts are numbers modulo it.
pub const PLAIN_MODULUS: u64 = 0x3f_ffff_ffef_8001;

/// Numbers of a polynomial modulo q.
pub const POLYNOMIAL: usize = LIMBS.len() * DEGREE;

/// Bytes of a polynomial modulo q: residues of 60 bits, side by side.
pub const POLYNOMIAL_BYTES: usize = POLYNOMIAL * LIMB_BITS as usize / 8;

/// What two residues fill.
const PAIR_BYTES: usize = 15;

/// Everything that follows from the constants above.
pub struct Ring {
    pub limbs: [Transform; 3],
    pub plain: Transform,
    /// q modulo t.
    q_in_plain: Factor,
    /// 1 / t modulo each prime.
    inverse_plain: [Factor; 3],
    /// q_i / q modulo q_i.
    inverse_others: [Factor; 3],
    /// 2^100 (2^60 - q_i) / q_i, rounded.
    fractions: [u64; 3],
    /// 1 / q0 modulo q1.
    pub inverse_first: Factor,
}

/// The ring; made when it is first asked for.
pub fn ring() -> &'static Ring {
    static RING: OnceLock<Ring> = OnceLock::new();
    RING.get_or_init(Ring::new)
}

impl Ring {
    fn new() -> Self {
        let limbs = LIMBS.map(Transform::new);
        let plain = Transform::new(PLAIN_MODULUS);
        let product = |of: &Modulus, but: Option<usize>| {
            let numbers = LIMBS.iter().enumerate().filter(|&(i, _)| Some(i) != but);
            numbers.fold(1u128, |all, (_, &q)| all * u128::from(q) % u128::from(of.value)) as u64
        };
        let each = |value: &dyn Fn(usize, &Modulus) -> u64| -> [Factor; 3] {
            std::array::from_fn(|i| limbs[i].modulus.factor(value(i, &limbs[i].modulus)))
        };
        Self {
            q_in_plain: plain.modulus.factor(product(&plain.modulus, None)),
            inverse_plain: each(&|_, q| q.inverse_vartime(PLAIN_MODULUS)),
            inverse_others: each(&|i, q| q.inverse_vartime(product(q, Some(i)))),
            fractions: LIMBS.map(|q| {
                let rest = u128::from((1 << LIMB_BITS) - q);
                (((rest << 100) + u128::from(q / 2)) / u128::from(q)) as u64
            }),
            inverse_first: limbs[1].modulus.factor(limbs[1].modulus.inverse_vartime(LIMBS[0] % LIMBS[1])),
            limbs,
            plain,
        }
    }

    /// `x` modulo t.
    #[inline(always)]
    pub fn plain_of(&self, x: i64) -> u64 {
        const OFFSET: u64 = (1 << 63) % PLAIN_MODULUS;
        let t = &self.plain.modulus;
        t.sub(t.reduce((x as u64) ^ (1 << 63)), OFFSET)
    }

    /// The number of least size that is `x` modulo t, for x below t.
    #[inline(always)]
    pub fn centred(x: u64) -> i64 {
        centred(x, PLAIN_MODULUS)
    }

    /// A plaintext below t as a factor: that of least size, modulo a prime, below twice the prime.
    #[inline(always)]
    pub fn lift(&self, limb: usize, x: u64) -> u64 {
        self.limbs[limb].modulus.signed(Self::centred(x))
    }

    /// round(q m / t) modulo a prime, for m below t: -r / t, where r is the number of least size that is q m modulo t.
    #[inline(always)]
    pub fn scaled_up(&self, limb: usize, m: u64) -> u64 {
        let negative = self.limbs[limb].modulus.signed(-Self::centred(self.plain.modulus.times(m, self.q_in_plain)));
        self.limbs[limb].modulus.times(negative, self.inverse_plain[limb])
    }

    /// round(2^64 x / q) modulo 2^64, for x by its residues.
    #[inline(always)]
    pub fn scaled_down(&self, x: [u64; 3]) -> u64 {
        let mut sum = 1u128 << 63;
        for (i, x) in x.into_iter().enumerate() {
            // x / q is the sum of z / q_i but for whole numbers, and 2^60 / q_i is 1 + (2^60 - q_i) / q_i.
            let z = u128::from(self.limbs[i].modulus.times(x, self.inverse_others[i]));
            sum = sum.wrapping_add(z << 68).wrapping_add((z * u128::from(self.fractions[i])) >> 32);
        }
        (sum >> 64) as u64
    }

    /// A flooding number, which has 2^FLOOD_BITS added to it, modulo a prime.
    #[inline(always)]
    pub fn flood(&self, limb: usize, x: u128) -> u64 {
        let q = &self.limbs[limb].modulus;
        q.sub(q.reduce_wide(x), q.reduce_wide(1 << FLOOD_BITS))
    }

    /// A plaintext polynomial of numbers in slots: the values at the roots of X^N + 1 modulo t. Below t.
    pub fn of_slots(&self, values: &[i64], out: &mut [u64]) {
        self.of_coefficients(values, out);
        self.plain.inverse(out);
    }

    /// A plaintext polynomial of its coefficients; those that are not there are zero. Below t.
    pub fn of_coefficients(&self, values: &[i64], out: &mut [u64]) {
        out[values.len()..].fill(0);
        for (out, &value) in out.iter_mut().zip(values) {
            *out = self.plain_of(value);
        }
    }

    /// A plaintext polynomial by which the product with one of coefficients has their inner product first. Below t.
    ///
    /// x_0 - x_1 X^(N-1) - x_2 X^(N-2) - ..
    pub fn of_column(&self, values: &[i64], out: &mut [u64]) {
        let t = &self.plain.modulus;
        out.fill(0);
        for (i, &value) in values.iter().enumerate() {
            let x = self.plain_of(value);
            let (place, x) = if i == 0 { (0, x) } else { (DEGREE - i, t.sub(0, x)) };
            out[place] = x;
        }
    }

    /// `s` of small size modulo every prime, as values.
    pub fn small_values(&self, small: &[i64]) -> Numbers {
        let mut out = zeros(POLYNOMIAL);
        for (limb, out) in self.limbs.iter().zip(out.chunks_exact_mut(DEGREE)) {
            for (out, &x) in out.iter_mut().zip(small) {
                *out = limb.modulus.signed(x);
            }
            limb.forward(out);
        }
        out
    }

    /// The phase of one coefficient, scaled to 2^64, as a plaintext of least size.
    #[inline(always)]
    pub fn read(phase: u64) -> i64 {
        let rounded = ((u128::from(phase) * u128::from(PLAIN_MODULUS) + (1 << 63)) >> 64) as u64;
        Self::centred(once(rounded, PLAIN_MODULUS))
    }
}

/// Residues, side by side.
pub fn pack(residues: &[u64], out: &mut [u8]) {
    for (pair, out) in residues.as_chunks::<2>().0.iter().zip(out.chunks_exact_mut(PAIR_BYTES)) {
        let word = u128::from(pair[0]) | (u128::from(pair[1]) << LIMB_BITS);
        out.copy_from_slice(&word.to_le_bytes()[..PAIR_BYTES]);
    }
}

/// The way back.
pub fn unpack(bytes: &[u8], out: &mut [u64]) {
    for (pair, bytes) in out.as_chunks_mut::<2>().0.iter_mut().zip(bytes.chunks_exact(PAIR_BYTES)) {
        let mut word = [0; 16];
        word[..PAIR_BYTES].copy_from_slice(bytes);
        let word = u128::from_le_bytes(word);
        *pair = [word as u64 & ((1 << LIMB_BITS) - 1), (word >> LIMB_BITS) as u64];
    }
}

/// The first of the polynomials with a residue that is not below its prime.
pub fn first_bad(polynomials: &[u8]) -> Option<usize> {
    use rayon::prelude::*;
    polynomials.par_chunks_exact(POLYNOMIAL_BYTES).position_first(|bytes| {
        let mut residues = vec![0; POLYNOMIAL];
        unpack(bytes, &mut residues);
        residues.chunks_exact(DEGREE).zip(LIMBS).any(|(residues, q)| residues.iter().any(|&x| x >= q))
    })
}

/// How many whole polynomials there are.
pub fn polynomials(bytes: &[u8], what: &'static str) -> Result<usize, KernelError> {
    let count = bytes.len() / POLYNOMIAL_BYTES;
    expect(what, count * POLYNOMIAL_BYTES, bytes.len())?;
    Ok(count)
}

/// Refuses another number of elements than is expected.
pub fn expect(what: &'static str, expected: usize, found: usize) -> Result<(), KernelError> {
    if expected == found {
        return Ok(());
    }
    Err(KernelError::Shape { what, expected, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaling_up_and_down_is_rounding() {
        let ring = ring();
        let t = u128::from(PLAIN_MODULUS);
        for m in [0, 1, 2, PLAIN_MODULUS / 2, PLAIN_MODULUS / 2 + 1, PLAIN_MODULUS - 1, 0x1234_5678_9abc] {
            let up = std::array::from_fn(|limb| ring.scaled_up(limb, m));
            let expected = ((u128::from(m) << 64) + t / 2) / t;
            assert!(ring.scaled_down(up).wrapping_sub(expected as u64).wrapping_add(1) <= 2);
            let centred = Ring::centred(m);
            assert_eq!(Ring::read(expected as u64), centred);
            assert_eq!(ring.plain_of(centred), m);
        }
        for x in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX] {
            assert_eq!(i128::from(ring.plain_of(x)), i128::from(x).rem_euclid(t as i128));
        }
        // x small: round(2^64 x / q) is 0; -x: as well.
        assert_eq!(ring.scaled_down([5; 3]), 0);
        assert_eq!(ring.scaled_down(LIMBS.map(|q| q - 5)), 0);
        // (q - 1) / 2 by its residues: half of 2^64.
        assert_eq!(ring.scaled_down(LIMBS.map(|q| (q - 1) / 2)), 1 << 63);
    }

    #[test]
    fn packing_is_undone_and_what_is_not_below_its_prime_is_found() {
        let mut residues: Vec<u64> =
            LIMBS.iter().flat_map(|&q| (0..DEGREE as u64).map(move |i| q - 1 - i * i)).collect();
        let mut bytes = vec![0; 2 * POLYNOMIAL_BYTES];
        pack(&residues, &mut bytes[..POLYNOMIAL_BYTES]);
        let mut back = vec![0; POLYNOMIAL];
        unpack(&bytes[..POLYNOMIAL_BYTES], &mut back);
        assert_eq!(residues, back);
        assert_eq!(first_bad(&bytes), None);
        residues[2 * DEGREE] = LIMBS[2];
        pack(&residues, &mut bytes[POLYNOMIAL_BYTES..]);
        assert_eq!(first_bad(&bytes), Some(1));
    }
}
