//! A vector under one party's key that passes from party to party, each of which keeps some of its numbers.
//!
//! Who has a public key multiplies a vector, slot by slot, by zeros and ones of its own, and adds an encryption of zero.
//! What it hands on is modulo one prime less. Who is last gives, of the first part, only the coefficients that the sums
//! over blocks follow from, flooded, and both parts scaled down. Constant time in zeros and ones.
//!
//! A ciphertext is (c0, c1) with c0 + c1 s = round(q m / t) + noise. Polynomials are rows of residues, as values
//! (`rlwe_modulus`), unless something else is said.

use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::error::KernelError;
use crate::rlwe_chain_ring::{KEPT, PRIMES, Ring, WORD_BYTES, bits_of, pack, ring, unpack};
use crate::rlwe_modulus::centred;
use crate::rlwe_ring::expect;
use crate::rlwe_sample::{Numbers, SEED_BYTES, Seed, zeros};

/// A public key: b = e - a s, and a by its seed, modulo all primes.
pub struct Public {
    ring: &'static Ring,
    b: Vec<u64>,
    a: Vec<u64>,
}

/// Ciphertexts as they came in, modulo `limbs` primes.
#[derive(Clone, Copy)]
pub struct Vectors<'a> {
    pub limbs: usize,
    pub bytes: &'a [u8],
    /// That of second parts, if they are fresh; else both parts are there.
    pub seed: Option<&'a [u8; SEED_BYTES]>,
}

/// Which numbers of a row's block are kept: those of which all conditions hold, if the row is released.
///
/// A condition is a bit of the row and what it has to be; `first` (numbers + 1,) says where each number's begin. Bits
/// are secret, all else is not.
#[derive(Clone, Copy)]
pub struct Conditions<'a> {
    pub first: &'a [u32],
    pub bit: &'a [u32],
    pub value: &'a [u8],
    /// (rows, width), 0 or 1.
    pub bits: &'a [u8],
    pub width: usize,
    /// (rows,), 0 or 1.
    pub released: &'a [u8],
    /// Blocks of a ciphertext, a row each.
    pub blocks: usize,
}

impl Conditions<'_> {
    fn check(&self, degree: usize, ciphertexts: usize) -> Result<(), KernelError> {
        Ring::expect_blocks(self.blocks)?;
        let rows = self.released.len();
        expect("rows", ciphertexts, rows.div_ceil(self.blocks))?;
        expect("bits", rows * self.width, self.bits.len())?;
        expect("conditions", self.bit.len(), self.value.len())?;
        let numbers = self.first.len().wrapping_sub(1);
        if self.first.is_empty() || numbers > degree / self.blocks {
            return Err(KernelError::Range { what: "numbers of a row", index: numbers });
        }
        let ordered = self.first.is_sorted() && self.first[numbers] as usize == self.bit.len();
        if !ordered || self.bit.iter().any(|&bit| bit as usize >= self.width) {
            return Err(KernelError::Range { what: "conditions", index: self.bit.len() });
        }
        Ok(())
    }

    /// Zeros and ones in the slots of one ciphertext.
    fn slots(&self, number: usize, out: &mut [u64]) {
        out.fill(0);
        let width = out.len() / self.blocks;
        let rows = self.blocks * number..self.released.len().min(self.blocks * (number + 1));
        for (row, out) in rows.zip(out.chunks_exact_mut(width)) {
            let bits = &self.bits[row * self.width..][..self.width];
            for (out, at) in out.iter_mut().zip(self.first.windows(2)) {
                let conditions = at[0] as usize..at[1] as usize;
                let held = self.bit[conditions.clone()].iter().zip(&self.value[conditions]);
                let kept = held.fold(self.released[row], |kept, (&bit, &value)| kept & !(bits[bit as usize] ^ value));
                *out = u64::from(kept & 1);
            }
        }
    }
}

/// What one ciphertext is worked on in: a plaintext, and both parts.
struct Room {
    plain: Numbers,
    parts: [Numbers; 2],
}

impl Room {
    fn new(degree: usize, limbs: usize) -> Self {
        Self { plain: zeros(degree), parts: [zeros(limbs * degree), zeros(limbs * degree)] }
    }
}

impl Public {
    /// The key of a seed and the bytes of b, which are residues below their primes.
    pub fn new(degree: usize, seed: &[u8; SEED_BYTES], bytes: &[u8]) -> Result<Self, KernelError> {
        let ring = ring(degree)?;
        let limbs = ring.limbs.len();
        expect("public key", ring.bytes(limbs), bytes.len())?;
        if let Some(index) = ring.first_bad(limbs, bytes)? {
            return Err(KernelError::Range { what: "public key", index });
        }
        let (mut b, mut a) = (vec![0; limbs * degree], vec![0; limbs * degree]);
        for (limb, (b, a)) in b.chunks_exact_mut(degree).zip(a.chunks_exact_mut(degree)).enumerate() {
            unpack(limb, &bytes[ring.limb_start(limb)..][..ring.limb_bytes(limb)], b);
            uniform(ring, Seed(seed), 0, limb, a);
        }
        Ok(Self { ring, b, a })
    }

    /// Vectors to hand on, modulo one prime less: (ciphertexts, 2, bytes).
    pub fn pass_on(
        &self,
        vectors: Vectors<'_>,
        conditions: Conditions<'_>,
        seed: &[u8; SEED_BYTES],
    ) -> Result<Vec<u8>, KernelError> {
        let (ring, limbs) = (self.ring, vectors.limbs);
        let count = self.count(vectors, conditions)?;
        ring.expect_limbs(limbs.wrapping_sub(1))?;
        let size = ring.bytes(limbs - 1);
        let mut out = vec![0; count * 2 * size];
        let room = || Room::new(ring.degree, limbs);
        out.par_chunks_exact_mut(2 * size).enumerate().for_each_init(room, |room, (number, out)| {
            self.keep(vectors, conditions, number, Seed(seed), room);
            let parts = out.par_chunks_exact_mut(size).zip(&mut room.parts);
            parts.enumerate().for_each(|(part, (out, values))| {
                self.drop_prime(values, limbs, Seed(seed), (2 * number + part) as u64);
                for limb in 0..limbs - 1 {
                    let bytes = &mut out[ring.limb_start(limb)..][..ring.limb_bytes(limb)];
                    pack(limb, &values[limb * ring.degree..][..ring.degree], bytes);
                }
            });
        });
        Ok(out)
    }

    /// Answers to the key's owner, from vectors modulo the primes that are kept: (ciphertexts, blocks + N, WORD_BYTES).
    pub fn finish(
        &self,
        vectors: Vectors<'_>,
        conditions: Conditions<'_>,
        seed: &[u8; SEED_BYTES],
    ) -> Result<Vec<u8>, KernelError> {
        let (ring, blocks) = (self.ring, conditions.blocks);
        let count = self.count(vectors, conditions)?;
        expect("primes", KEPT, vectors.limbs)?;
        let size = WORD_BYTES * (blocks + ring.degree);
        let mut out = vec![0; count * size];
        let room = || Room::new(ring.degree, KEPT);
        out.par_chunks_exact_mut(size).enumerate().for_each_init(room, |room, (number, out)| {
            self.keep(vectors, conditions, number, Seed(seed), room);
            self.flooded(&mut room.parts, blocks, Seed(seed), number as u64, out);
        });
        Ok(out)
    }

    fn count(&self, vectors: Vectors<'_>, conditions: Conditions<'_>) -> Result<usize, KernelError> {
        self.ring.expect_limbs(vectors.limbs)?;
        let size = self.ring.bytes(vectors.limbs) * if vectors.seed.is_some() { 1 } else { 2 };
        let count = vectors.bytes.len() / size;
        expect("vectors", count * size, vectors.bytes.len())?;
        conditions.check(self.ring.degree, count)?;
        Ok(count)
    }

    /// A ciphertext times what its conditions keep, and an encryption of zero, but for its errors. Both parts.
    fn keep(&self, vectors: Vectors<'_>, conditions: Conditions<'_>, number: usize, seed: Seed<'_>, room: &mut Room) {
        conditions.slots(number, &mut room.plain);
        self.ring.plain.inverse(&mut room.plain);
        self.times(vectors, number, seed, room);
    }

    /// The same of the plaintext that is in the room.
    fn times(&self, vectors: Vectors<'_>, number: usize, seed: Seed<'_>, room: &mut Room) {
        let (ring, degree, size) = (self.ring, self.ring.degree, self.ring.bytes(vectors.limbs));
        let mut u = Zeroizing::new(vec![0; degree]);
        seed.ternary(number as u64, &mut u);
        let (plain, [first, second]) = (&room.plain, &mut room.parts);
        let parts = first.par_chunks_exact_mut(degree).zip(second.par_chunks_exact_mut(degree));
        parts.enumerate().for_each(|(limb, (c0, c1))| {
            let (transform, at) = (&ring.limbs[limb], ring.limb_start(limb));
            let (q, length) = (&transform.modulus, ring.limb_bytes(limb));
            match vectors.seed {
                Some(seed) => {
                    unpack(limb, &vectors.bytes[number * size + at..][..length], c0);
                    uniform(ring, Seed(seed), number as u64, limb, c1);
                }
                None => {
                    unpack(limb, &vectors.bytes[2 * number * size + at..][..length], c0);
                    unpack(limb, &vectors.bytes[(2 * number + 1) * size + at..][..length], c1);
                }
            }
            let mut factor = zeros(degree);
            for (factor, &x) in factor.iter_mut().zip(plain.iter()) {
                *factor = q.signed(centred(x, ring.plain.modulus.value));
            }
            transform.forward(&mut factor);
            let u = ring.small_values(limb, &u);
            let key = limb * degree..(limb + 1) * degree;
            for (c, key) in [(c0, &self.b[key.clone()]), (c1, &self.a[key])] {
                transform.multiply_add(c, &factor, key, &u);
            }
        });
    }

    /// Adds an error and divides by the last prime, whose residues are then of no use.
    fn drop_prime(&self, values: &mut [u64], limbs: usize, seed: Seed<'_>, number: u64) {
        let (ring, degree) = (self.ring, self.ring.degree);
        let mut error = Zeroizing::new(vec![0; degree]);
        seed.error(number, &mut error);
        let (rest, last) = values.split_at_mut((limbs - 1) * degree);
        let transform = &ring.limbs[limbs - 1];
        transform.inverse(last);
        for (error, &x) in error.iter_mut().zip(last.iter()) {
            // c + e less its residue of least size is a multiple of the prime.
            let residue = transform.modulus.reduce(x.wrapping_add(transform.modulus.signed(*error)));
            *error = centred(residue, PRIMES[limbs - 1]) - *error;
        }
        rest.par_chunks_exact_mut(degree).enumerate().for_each(|(limb, values)| {
            ring.divided(limb, limbs, &error, values, &mut zeros(degree));
        });
    }

    /// The coefficients of the first part that are due, flooded, and the second part with an error; both scaled down.
    fn flooded(&self, parts: &mut [Numbers; 2], blocks: usize, seed: Seed<'_>, number: u64, out: &mut [u8]) {
        let (ring, degree) = (self.ring, self.ring.degree);
        for part in parts.iter_mut() {
            let limbs = part.par_chunks_exact_mut(degree).zip(&ring.limbs);
            limbs.for_each(|(part, transform)| transform.inverse(part));
        }
        let [first, second] = parts;
        let mut flood = Zeroizing::new(vec![0u128; blocks]);
        seed.flood_of(ring.flood, number, &mut flood);
        let mut error = Zeroizing::new(vec![0; degree]);
        seed.error(2 * number + 1, &mut error);
        let (due, rest) = out.split_at_mut(WORD_BYTES * blocks);
        for (i, out) in due.chunks_exact_mut(WORD_BYTES).enumerate() {
            let word = ring.scaled_down(std::array::from_fn(|limb| {
                let q = &ring.limbs[limb].modulus;
                let more = q.sub(q.reduce_wide(flood[i]), q.reduce_wide(1 << ring.flood));
                q.add(first[limb * degree + i * degree / blocks], more)
            }));
            out.copy_from_slice(&word.to_le_bytes()[..WORD_BYTES]);
        }
        for (j, out) in rest.chunks_exact_mut(WORD_BYTES).enumerate() {
            let word = ring.scaled_down(std::array::from_fn(|limb| {
                second[limb * degree + j].wrapping_add(ring.limbs[limb].modulus.signed(error[j]))
            }));
            out.copy_from_slice(&word.to_le_bytes()[..WORD_BYTES]);
        }
    }
}

/// Residues modulo one prime of uniform polynomial number `number` of a public seed.
pub fn uniform(ring: &Ring, seed: Seed<'_>, number: u64, limb: usize, out: &mut [u64]) {
    seed.uniform_of(bits_of(limb), number, limb, &ring.limbs[limb].modulus, out);
}

#[cfg(test)]
#[path = "rlwe_chain_tests.rs"]
mod tests;
