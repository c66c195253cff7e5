//! What a vector that passes through parties has for noise, and what comes out of it.

use super::*;
use crate::rlwe::wide;
use crate::rlwe_chain_owner::Owner;
use crate::rlwe_chain_ring::{PLAIN, WORD_BITS};
use crate::rlwe_modulus::DEGREE;

const SEED: [u8; 32] = [1; 32];

struct Town {
    owner: Owner,
    public: Public,
    seed: [u8; 32],
}

fn town(degree: usize) -> Town {
    let owner = Owner::new(degree, &[7; 32]).expect("a degree");
    let b = owner.public(&[8; 32], &[9; 32]);
    let public = Public::new(degree, &[8; 32], &b).expect("its key");
    Town { owner, public, seed: SEED }
}

fn numbers(seed: u64, n: usize, below: u64) -> Vec<u64> {
    let mut state = seed;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((u128::from(state) * u128::from(below)) >> 64) as u64
        })
        .collect()
}

/// All conditions of one number for each bit: number i is kept where bit i is one.
fn plainly<'a>(
    first: &'a [u32],
    bit: &'a [u32],
    value: &'a [u8],
    bits: &'a [u8],
    released: &'a [u8],
) -> Conditions<'a> {
    Conditions { first, bit, value, bits, width: bit.len(), released, blocks: 4 }
}

#[test]
fn what_comes_out_is_the_sum_of_what_all_keep_for_any_number_of_parties() {
    for (degree, parties) in [(DEGREE, 1), (DEGREE, 2), (DEGREE, 3), (2 * DEGREE, 4), (2 * DEGREE, 8)] {
        let Town { owner, public, seed } = town(degree);
        let (width, rows) = (300, 6);
        let values: Vec<i64> = numbers(5, rows * width, 400_000).iter().map(|&x| x as i64 - 200_000).collect();
        let (first, bit): (Vec<u32>, Vec<u32>) = ((0..=width as u32).collect(), (0..width as u32).collect());
        let value = vec![1; width];
        let mut kept = vec![true; rows * width];
        let fresh = owner.encrypt(&values, width, 4, parties + 2, &seed, &[2; 32]).expect("values");
        let mut bytes = fresh;
        for party in 0..parties {
            let bits: Vec<u8> = numbers(party as u64, rows * width, 10).iter().map(|&x| u8::from(x > 0)).collect();
            let released: Vec<u8> = (0..rows).map(|row| u8::from(row != 1 || party != 0)).collect();
            for (i, kept) in kept.iter_mut().enumerate() {
                *kept &= bits[i] == 1 && released[i / width] == 1;
            }
            let conditions = plainly(&first, &bit, &value, &bits, &released);
            let limbs = parties + 2 - party;
            let vectors = Vectors { limbs, bytes: &bytes, seed: (party == 0).then_some(&seed) };
            let own = [40 + party as u8; 32];
            bytes = if party + 1 < parties {
                let passed = public.pass_on(vectors, conditions, &own).expect("vectors");
                assert_eq!(public.ring.first_bad(limbs - 1, &passed), Ok(None));
                passed
            } else {
                public.finish(vectors, conditions, &own).expect("vectors")
            };
        }
        let (sums, sound) = owner.open(&bytes, 4).expect("answers");
        assert_eq!(sound, [1, 1]);
        for (row, sum) in sums.iter().enumerate() {
            let terms = values.chunks(width).zip(kept.chunks(width)).nth(row);
            let wanted: i64 = terms.map_or(0, |(x, kept)| x.iter().zip(kept).filter(|x| *x.1).map(|x| x.0).sum());
            assert_eq!(*sum, wanted);
        }
        // Under another key nothing is within bounds.
        let other = Owner::new(degree, &[6; 32]).expect("a degree");
        assert_eq!(other.open(&bytes, 4).expect("answers").1, [0, 0]);
    }
}

/// Coefficients of the phase, as numbers of least size modulo what is kept.
fn phase(ring: &Ring, parts: &[Numbers; 2], secret: &[i64]) -> Vec<i128> {
    let degree = ring.degree;
    let residues: Vec<Vec<u64>> = (0..KEPT)
        .map(|limb| {
            let transform = &ring.limbs[limb];
            let s = ring.small_values(limb, secret);
            let mut sum: Vec<u64> = (0..degree)
                .map(|j| {
                    let at = limb * degree + j;
                    transform.modulus.reduce_wide(u128::from(parts[0][at]) + wide(parts[1][at], s[j]))
                })
                .collect();
            transform.inverse(&mut sum);
            sum
        })
        .collect();
    // Noise is far below two primes: the third only tells that it is.
    let (p, q) = (PRIMES[0], &ring.limbs[1].modulus);
    let inverse = q.factor(q.inverse_vartime(p % q.value));
    (0..degree)
        .map(|j| {
            let digit = q.times(q.sub(residues[1][j], residues[0][j] % q.value), inverse);
            let both = i128::from(p) * i128::from(centred(digit, q.value)) + i128::from(residues[0][j]);
            let third = ring.limbs[2].modulus.value;
            assert_eq!(both.rem_euclid(i128::from(third)) as u64, residues[2][j], "noise is below two primes");
            both
        })
        .collect()
}

/// Both parts of a ciphertext, as it came in.
fn parts_of(ring: &Ring, vectors: Vectors<'_>) -> [Numbers; 2] {
    let (degree, size) = (ring.degree, ring.bytes(vectors.limbs));
    let [mut first, mut second] = [zeros(vectors.limbs * degree), zeros(vectors.limbs * degree)];
    for limb in 0..vectors.limbs {
        let (at, here) = (limb * degree..(limb + 1) * degree, ring.limb_start(limb)..);
        unpack(limb, &vectors.bytes[here.clone()][..ring.limb_bytes(limb)], &mut first[at.clone()]);
        match vectors.seed {
            Some(seed) => uniform(ring, Seed(seed), 0, limb, &mut second[at]),
            None => unpack(limb, &vectors.bytes[size..][here][..ring.limb_bytes(limb)], &mut second[at]),
        }
    }
    [first, second]
}

/// Noise of the worst factors there can be stays below what the document reckons, and flooding and the bound cover it.
#[test]
fn noise_of_the_worst_factors_is_what_was_reckoned_and_floods_cover_it() {
    for (degree, parties, reckoned) in [(DEGREE, 3, 50.0), (2 * DEGREE, 8, 53.5)] {
        let Town { owner, public, seed } = town(degree);
        let ring = public.ring;
        let half = PLAIN / 2;
        // Encrypted is zero, so that the phase is noise alone. Factors have t / 2 everywhere: all of one sign, of any, or
        // of those by which the first coefficient of the product adds up all noise there is.
        for pattern in 0..3 {
            let mut bytes = owner.encrypt(&vec![0; degree], degree, 1, parties + 2, &seed, &[2; 32]).expect("zeros");
            let mut noise = 0.0f64;
            for party in 0..parties {
                let limbs = parties + 2 - party;
                let vectors = Vectors { limbs, bytes: &bytes, seed: (party == 0).then_some(&seed) };
                let own = [40 + party as u8; 32];
                let signed = |below: bool| if below { PLAIN - half } else { half };
                let factor: Vec<u64> = match pattern {
                    0 => vec![half; degree],
                    1 => numbers(3, degree, 2).iter().map(|&x| signed(x == 0)).collect(),
                    _ => {
                        let before = phase(ring, &parts_of(ring, vectors), owner.secret());
                        (0..degree).map(|j| signed((before[(degree - j) % degree] > 0) == (j > 0))).collect()
                    }
                };
                let mut room = Room::new(degree, limbs);
                room.plain.copy_from_slice(&factor);
                public.times(vectors, 0, Seed(&own), &mut room);
                let mut parts = room.parts;
                if party + 1 == parties {
                    let found = phase(ring, &parts, owner.secret());
                    noise = found.iter().map(|x| x.unsigned_abs()).max().unwrap_or(0) as f64;
                    break;
                }
                let mut next = Vec::new();
                for (part, values) in parts.iter_mut().enumerate() {
                    public.drop_prime(values, limbs, Seed(&own), part as u64);
                    for limb in 0..limbs - 1 {
                        let mut out = vec![0; ring.limb_bytes(limb)];
                        pack(limb, &values[limb * degree..][..degree], &mut out);
                        next.extend(out);
                    }
                }
                bytes = next;
            }
            assert!(noise.log2() < reckoned, "2^{}", noise.log2());
            assert!(pattern < 2 || noise.log2() > reckoned - 8.0, "2^{} is not the worst", noise.log2());
            // A number's answer is as far from uniform as noise is large against the range of flooding: 45 bits, so
            // that it is 40 for all of a ciphertext.
            assert!(f64::from(ring.flood) + 1.0 - reckoned >= 45.0);
            let modulus: f64 = PRIMES[..KEPT].iter().map(|&q| (q as f64).log2()).sum();
            let scaled = 2f64.powf(f64::from(ring.flood) - modulus + f64::from(WORD_BITS));
            let rounding = 10.0 * ((degree as f64 + 1.0) / 12.0).sqrt();
            assert!(1.001 * scaled + rounding + 3.0 < ring.noise as f64);
            assert!((ring.noise as f64) < 2f64.powi(WORD_BITS as i32) / PLAIN as f64 / 2.0 / 30.0);
        }
    }
}

#[test]
fn parameters_are_within_the_tables_for_128_bits() {
    for (degree, parties, allowed) in [(DEGREE, 3, 218.0), (2 * DEGREE, 8, 438.0)] {
        let ring = ring(degree).expect("a degree");
        assert_eq!(ring.limbs.len(), parties + KEPT - 1);
        assert!(PRIMES[..ring.limbs.len()].iter().map(|&q| (q as f64).log2()).sum::<f64>() <= allowed);
    }
    let order = 4 * DEGREE as u64;
    assert!(PRIMES.iter().chain([&PLAIN]).all(|q| q % order == 1));
}

#[test]
fn what_does_not_fit_is_refused() {
    let Town { owner, public, seed } = town(DEGREE);
    let bytes = owner.encrypt(&[1; 20], 10, 4, 3, &seed, &[2; 32]).expect("values");
    let (first, bit, value) = ([0, 1, 2], [0, 1], [1, 0]);
    let conditions = plainly(&first, &bit, &value, &[1; 4], &[1; 2]);
    let fresh = Vectors { limbs: 3, bytes: &bytes, seed: Some(&seed) };
    assert!(public.finish(fresh, conditions, &seed).is_ok());
    assert!(public.pass_on(fresh, conditions, &seed).is_err(), "no prime is left to drop");
    assert!(public.finish(Vectors { seed: None, ..fresh }, conditions, &seed).is_err());
    assert!(public.finish(Vectors { limbs: 4, ..fresh }, conditions, &seed).is_err());
    for bad in [
        Conditions { blocks: 3, ..conditions },
        Conditions { blocks: 64, ..conditions },
        Conditions { width: 1, ..conditions },
        Conditions { bits: &[1; 3], ..conditions },
        Conditions { released: &[1; 5], ..conditions },
        Conditions { first: &[], ..conditions },
        Conditions { first: &[0, 2, 1], ..conditions },
        Conditions { first: &[0, 1, 3], ..conditions },
        Conditions { bit: &[0, 2], ..conditions },
        Conditions { value: &[1], ..conditions },
    ] {
        assert!(public.finish(fresh, bad, &seed).is_err());
    }
    assert!(owner.encrypt(&[1; 20], 0, 4, 3, &seed, &seed).is_err());
    assert!(owner.encrypt(&[1; 20], 10, 4, 2, &seed, &seed).is_err());
    assert!(owner.encrypt(&[1; 20], 10, 4, 6, &seed, &seed).is_err());
    assert!(owner.encrypt(&[1; 2049], 2049, 4, 3, &seed, &seed).is_err());
    assert!(owner.open(&bytes, 4).is_err());
    assert!(Owner::new(4096, &seed).is_err());
    assert!(Public::new(DEGREE, &seed, &vec![255; public.ring.bytes(5)]).is_err());
}
