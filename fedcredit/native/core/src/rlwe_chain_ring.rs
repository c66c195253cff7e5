//! The rings of vectors that pass from party to party, how numbers are put into them, and how polynomials travel.
//!
//! Z[X] / (X^N + 1) modulo a product of primes, N = 8192 or 16384. Whoever multiplies drops the last prime: what is
//! left is three primes when the last party has multiplied. Plaintexts are numbers modulo t in the slots of a
//! polynomial, by blocks of a power of two: the sums over the blocks follow from as many coefficients.
//!
//! Sources: Z. Brakerski, 2012, and J. Fan, F. Vercauteren, 2012 (the scheme); Z. Brakerski, C. Gentry,
//! V. Vaikuntanathan, 2012 (dropping primes); J.-C. Bajard, J. Eynard, A. Hasan, V. Zucca, 2016 (residues).

use std::sync::OnceLock;

use zeroize::Zeroizing;

use crate::arithmetic::Arithmetic;
use crate::error::KernelError;
use crate::rlwe_modulus::{DEGREE, Factor, Modulus, Transform, centred};
use crate::rlwe_ring::expect;
use crate::rlwe_sample::Numbers;

/// Primes that are 1 modulo 2^15, which is 2N or its multiple. The first three stay: the largest whose product is below
/// 2^134. The others are dropped one after the other, the last one first: the largest below 2^42.
pub const PRIMES: [u64; 10] = [
    0x1965_fe9e_8001,
    0x1965_fe96_8001,
    0x1965_fe93_8001,
    0x3ff_fffa_8001,
    0x3ff_ffe8_0001,
    0x3ff_ffe2_8001,
    0x3ff_ffd3_8001,
    0x3ff_ffd2_0001,
    0x3ff_ffca_0001,
    0x3ff_ffc3_0001,
];

/// Primes that are left in the end.
pub const KEPT: usize = 3;

/// The largest prime below 2^29 that is 1 modulo 2^15: plaintexts are numbers modulo it.
pub const PLAIN: u64 = 0x1ffc_8001;

/// Numbers of an answer are modulo 2^WORD_BITS.
pub const WORD_BITS: u32 = 48;

/// Bytes of a number of an answer.
pub const WORD_BYTES: usize = 6;

/// Blocks of a polynomial, at most.
pub const MAX_BLOCKS: usize = 32;

/// Everything that follows from N and the constants above.
pub struct Ring {
    pub degree: usize,
    pub limbs: Vec<Transform>,
    pub plain: Transform,
    /// The product of the first l primes modulo t, by l.
    products: Vec<Factor>,
    /// 1 / t modulo each prime.
    inverse_plain: Vec<Factor>,
    /// 1 / p modulo each prime before p, by p.
    inverses: Vec<Vec<Factor>>,
    /// q_i / q modulo q_i, of those that are kept.
    inverse_others: [Factor; KEPT],
    /// 2^108 / q_i.
    fractions: [u64; KEPT],
    /// Answers are read right, and told from others, within so much of 2^48 / t.
    pub noise: u64,
    /// Flooding is uniform in [-2^flood, 2^flood).
    pub flood: u32,
}

/// The ring of N = 8192, of five primes, or of N = 16384, of ten. Made when it is first asked for.
pub fn ring(degree: usize) -> Result<&'static Ring, KernelError> {
    static SMALL: OnceLock<Ring> = OnceLock::new();
    static LARGE: OnceLock<Ring> = OnceLock::new();
    // The bound on noise: flooding, scaled, and ten deviations and more of rounding.
    match degree / DEGREE {
        1 if degree == DEGREE => Ok(SMALL.get_or_init(|| Ring::new(degree, 5, 94, 800))),
        2 if degree == 2 * DEGREE => Ok(LARGE.get_or_init(|| Ring::new(degree, 10, 98, 4800))),
        _ => Err(KernelError::Range { what: "degree", index: degree }),
    }
}

impl Ring {
    fn new(degree: usize, limbs: usize, flood: u32, noise: u64) -> Self {
        let transform = |q: u64| Transform::of(q, degree, Arithmetic::best());
        let (limbs, plain): (Vec<Transform>, Transform) =
            (PRIMES[..limbs].iter().map(|&q| transform(q)).collect(), transform(PLAIN));
        let product = |of: &Modulus, primes: &mut dyn Iterator<Item = u64>| {
            primes.fold(1u128, |all, q| all * u128::from(q) % u128::from(of.value)) as u64
        };
        Self {
            degree,
            products: (0..=limbs.len())
                .map(|l| plain.modulus.factor(product(&plain.modulus, &mut PRIMES[..l].iter().copied())))
                .collect(),
            inverse_plain: limbs.iter().map(|limb| limb.modulus.factor(limb.modulus.inverse_vartime(PLAIN))).collect(),
            inverses: (0..limbs.len())
                .map(|p| {
                    let of = |q: &Modulus| q.factor(q.inverse_vartime(PRIMES[p] % q.value));
                    limbs[..p].iter().map(|limb| of(&limb.modulus)).collect()
                })
                .collect(),
            inverse_others: std::array::from_fn(|i| {
                let q = &limbs[i].modulus;
                let mut others = PRIMES[..KEPT].iter().copied().filter(|&other| other != q.value);
                q.factor(q.inverse_vartime(product(q, &mut others)))
            }),
            fractions: std::array::from_fn(|i| ((1u128 << 108) / u128::from(PRIMES[i])) as u64),
            limbs,
            plain,
            noise,
            flood,
        }
    }

    /// Refuses a number of primes that no ciphertext has.
    pub fn expect_limbs(&self, limbs: usize) -> Result<(), KernelError> {
        if (KEPT..=self.limbs.len()).contains(&limbs) {
            return Ok(());
        }
        Err(KernelError::Range { what: "primes", index: limbs })
    }

    /// Refuses a number of blocks that polynomials do not have.
    pub fn expect_blocks(blocks: usize) -> Result<(), KernelError> {
        if blocks.is_power_of_two() && blocks <= MAX_BLOCKS {
            return Ok(());
        }
        Err(KernelError::Range { what: "blocks", index: blocks })
    }

    /// `x` modulo t.
    #[inline(always)]
    pub fn plain_of(&self, x: i64) -> u64 {
        const OFFSET: u64 = (1 << 63) % PLAIN;
        let t = &self.plain.modulus;
        t.sub(t.reduce((x as u64) ^ (1 << 63)), OFFSET)
    }

    /// round(q m / t) modulo a prime, for m below t and q of so many primes; below the prime.
    #[inline(always)]
    pub fn scaled_up(&self, limbs: usize, limb: usize, m: u64) -> u64 {
        let rest = centred(self.plain.modulus.times(m, self.products[limbs]), PLAIN);
        self.limbs[limb].modulus.times(self.limbs[limb].modulus.signed(-rest), self.inverse_plain[limb])
    }

    /// Divides the values of a polynomial by the last of `limbs` primes, rounded, as its residues there are `last`.
    ///
    /// `last` are coefficients of least size: what is taken off so that the prime divides it.
    pub fn divided(&self, limb: usize, limbs: usize, last: &[i64], values: &mut [u64], work: &mut [u64]) {
        let transform = &self.limbs[limb];
        for (work, &x) in work.iter_mut().zip(last) {
            *work = transform.modulus.signed(x);
        }
        transform.forward(work);
        let inverse = self.inverses[limbs - 1][limb];
        for (value, &work) in values.iter_mut().zip(work.iter()) {
            *value = transform.modulus.times(transform.modulus.sub(*value, work), inverse);
        }
    }

    /// round(2^48 x / q) modulo 2^48, for x by its residues modulo those that are kept; one off at most.
    #[inline(always)]
    pub fn scaled_down(&self, x: [u64; KEPT]) -> u64 {
        let mut sum = 1u128 << 59;
        for (i, x) in x.into_iter().enumerate() {
            // x / q is the sum of z / q_i but for whole numbers.
            let z = self.limbs[i].modulus.times(x, self.inverse_others[i]);
            sum = sum.wrapping_add(u128::from(z) * u128::from(self.fractions[i]));
        }
        (sum >> 60) as u64 & ((1 << WORD_BITS) - 1)
    }

    /// A coefficient's phase modulo 2^48 as a plaintext below t, and whether its noise is within bounds.
    #[inline(always)]
    pub fn read(&self, phase: u64) -> (u64, bool) {
        let product = u128::from(phase) * u128::from(PLAIN);
        let rounded = (product + (1 << (WORD_BITS - 1))) >> WORD_BITS;
        let off = (product as i128 - (rounded << WORD_BITS) as i128).unsigned_abs();
        (self.plain.modulus.reduce(rounded as u64), off <= u128::from(self.noise * PLAIN))
    }

    /// The sums over blocks of slots, from the coefficients at multiples of N / blocks, in place. Below t.
    ///
    /// All roots of X^N + 1 in a block have the same power number N / blocks, and powers between add up to zero there.
    pub fn block_sums(&self, coefficients: &mut [u64]) {
        let (t, blocks) = (&self.plain.modulus, coefficients.len());
        let width = (self.degree / blocks) as u64;
        let root = t.power_vartime(self.plain.root(), width);
        let found: Vec<u64> = (0..blocks)
            .map(|block| {
                let bits = blocks.trailing_zeros();
                let place = if bits == 0 { 0 } else { block.reverse_bits() >> (usize::BITS - bits) };
                let point = t.factor(t.power_vartime(root, 2 * place as u64 + 1));
                let value = coefficients.iter().rev().fold(0, |sum, &x| t.add(t.times(sum, point), x));
                t.times(value, t.factor(width))
            })
            .collect();
        coefficients.copy_from_slice(&found);
    }

    /// Small numbers modulo a prime, as values.
    pub fn small_values(&self, limb: usize, small: &[i64]) -> Numbers {
        let transform = &self.limbs[limb];
        let mut out = Zeroizing::new(small.iter().map(|&x| transform.modulus.signed(x)).collect::<Vec<u64>>());
        transform.forward(&mut out);
        out
    }

    /// Bytes of a polynomial modulo so many primes.
    pub fn bytes(&self, limbs: usize) -> usize {
        (0..limbs).map(|limb| self.limb_bytes(limb)).sum()
    }

    /// Bytes of a polynomial's residues modulo one prime: as many bits as the prime has, side by side.
    pub fn limb_bytes(&self, limb: usize) -> usize {
        self.degree / 8 * bits_of(limb) as usize
    }

    /// Where the residues modulo a prime begin.
    pub fn limb_start(&self, limb: usize) -> usize {
        self.bytes(limb)
    }

    /// The first of the polynomials with a residue that is not below its prime.
    pub fn first_bad(&self, limbs: usize, polynomials: &[u8]) -> Result<Option<usize>, KernelError> {
        use rayon::prelude::*;
        self.expect_limbs(limbs)?;
        let size = self.bytes(limbs);
        expect("polynomials", polynomials.len() / size * size, polynomials.len())?;
        Ok(polynomials.par_chunks_exact(size).position_first(|bytes| {
            let mut residues = vec![0; self.degree];
            (0..limbs).any(|limb| {
                unpack(limb, &bytes[self.limb_start(limb)..][..self.limb_bytes(limb)], &mut residues);
                residues.iter().any(|&x| x >= PRIMES[limb])
            })
        }))
    }
}

/// Bits of a prime.
pub fn bits_of(limb: usize) -> u32 {
    u64::BITS - PRIMES[limb].leading_zeros()
}

/// Residues modulo a prime, side by side: eight of b bits fill b bytes.
pub fn pack(limb: usize, residues: &[u64], out: &mut [u8]) {
    match bits_of(limb) {
        45 => pack_of::<45>(residues, out),
        _ => pack_of::<42>(residues, out),
    }
}

/// The way back.
pub fn unpack(limb: usize, bytes: &[u8], out: &mut [u64]) {
    match bits_of(limb) {
        45 => unpack_of::<45>(bytes, out),
        _ => unpack_of::<42>(bytes, out),
    }
}

fn pack_of<const BITS: usize>(residues: &[u64], out: &mut [u8]) {
    for (eight, out) in residues.as_chunks::<8>().0.iter().zip(out.as_chunks_mut::<BITS>().0) {
        let mut words = [0u64; 6];
        for (i, &x) in eight.iter().enumerate() {
            let (word, shift) = (i * BITS / 64, i * BITS % 64);
            words[word] |= x << shift;
            if shift + BITS > 64 {
                words[word + 1] |= x >> (64 - shift);
            }
        }
        for (out, word) in out.chunks_mut(8).zip(words) {
            out.copy_from_slice(&word.to_le_bytes()[..out.len()]);
        }
    }
}

fn unpack_of<const BITS: usize>(bytes: &[u8], out: &mut [u64]) {
    for (eight, bytes) in out.as_chunks_mut::<8>().0.iter_mut().zip(bytes.as_chunks::<BITS>().0) {
        let mut words = [0u64; 6];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks(8)) {
            let mut eight = [0; 8];
            eight[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_le_bytes(eight);
        }
        for (i, x) in eight.iter_mut().enumerate() {
            let (word, shift) = (i * BITS / 64, i * BITS % 64);
            let above = if shift + BITS > 64 { words[word + 1] << (64 - shift) } else { 0 };
            *x = (words[word] >> shift | above) & ((1 << BITS) - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rlwe_sample::Seed;

    fn numbers(limb: usize, degree: usize) -> Vec<u64> {
        let mut out = vec![0; degree];
        Seed(&[3; 32]).uniform_of(bits_of(limb), 1, limb, &Modulus::new(PRIMES[limb]), &mut out);
        out[..2].copy_from_slice(&[PRIMES[limb] - 1, 0]);
        out
    }

    #[test]
    fn transforms_of_both_degrees_agree_with_the_portable_ones_and_with_values_at_the_roots() {
        for degree in [DEGREE, 2 * DEGREE] {
            let ring = ring(degree).expect("a degree");
            for (limb, fast) in ring.limbs.iter().enumerate() {
                let portable = Transform::of(PRIMES[limb], degree, Arithmetic::Portable);
                let x = numbers(limb, degree);
                let (mut y, mut z) = (x.clone(), x.clone());
                fast.forward(&mut y);
                portable.forward(&mut z);
                assert_eq!(y, z);
                let place = degree / 2 + 5;
                let reversed = place.reverse_bits() >> (usize::BITS - degree.trailing_zeros());
                let point = fast.modulus.factor(fast.modulus.power_vartime(fast.root(), 2 * reversed as u64 + 1));
                let value = x.iter().rev().fold(0, |sum, &c| fast.modulus.add(fast.modulus.times(sum, point), c));
                assert_eq!(y[place], value);
                for (mut a, c) in
                    [(y.clone(), vec![PRIMES[limb] - 1; degree]), (vec![PRIMES[limb] - 1; degree], x.clone())]
                {
                    let mut other = a.clone();
                    fast.multiply_add(&mut a, &x, &c, &c);
                    portable.multiply_add(&mut other, &x, &c, &c);
                    assert_eq!(a, other);
                }
                fast.inverse(&mut y);
                portable.inverse(&mut z);
                assert_eq!(y, x);
                assert_eq!(z, x);
            }
        }
    }

    #[test]
    fn packing_is_undone_and_what_is_not_below_its_prime_is_found() {
        let ring = ring(DEGREE).expect("a degree");
        let mut bytes = vec![0; 2 * ring.bytes(5)];
        for limb in 0..5 {
            let (x, mut back) = (numbers(limb, DEGREE), vec![0; DEGREE]);
            let at = ring.limb_start(limb)..ring.limb_start(limb) + ring.limb_bytes(limb);
            pack(limb, &x, &mut bytes[at.clone()]);
            unpack(limb, &bytes[at], &mut back);
            assert_eq!(x, back);
        }
        assert_eq!(ring.first_bad(5, &bytes), Ok(None));
        let start = ring.bytes(5) + ring.limb_start(4);
        pack(4, &[PRIMES[4]; 8], &mut bytes[start..start + 42]);
        assert_eq!(ring.first_bad(5, &bytes), Ok(Some(1)));
    }

    #[test]
    fn sums_over_blocks_are_those_of_slots() {
        for (degree, blocks) in [(DEGREE, 1), (DEGREE, 4), (2 * DEGREE, 32)] {
            let ring = ring(degree).expect("a degree");
            let slots: Vec<u64> = (0..degree as u64).map(|i| (i * i * 977 + 3) % PLAIN).collect();
            let mut coefficients = slots.clone();
            ring.plain.inverse(&mut coefficients);
            let mut few: Vec<u64> = (0..blocks).map(|i| coefficients[i * degree / blocks]).collect();
            ring.block_sums(&mut few);
            let sums: Vec<u64> = slots.chunks(degree / blocks).map(|block| block.iter().sum::<u64>() % PLAIN).collect();
            assert_eq!(few, sums);
        }
    }

    #[test]
    fn scaling_up_down_and_reading_gives_the_number() {
        let ring = ring(2 * DEGREE).expect("a degree");
        for m in [0, 1, 2, PLAIN / 2, PLAIN / 2 + 1, PLAIN - 1, 0x1234_5678] {
            let word = ring.scaled_down(std::array::from_fn(|limb| ring.scaled_up(KEPT, limb, m)));
            assert_eq!(ring.read(word), (m, true));
            assert!(!ring.read(word.wrapping_add(1 << 18) & ((1 << 48) - 1)).1);
        }
        for x in [i64::MIN, -1, 0, 1, i64::MAX] {
            assert_eq!(i128::from(ring.plain_of(x)), i128::from(x).rem_euclid(i128::from(PLAIN)));
        }
    }
}
