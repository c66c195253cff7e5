//! An oblivious key-value store: `n` pairs become a vector from which each key's value can be read, and which looks
//! uniform, whatever the keys were, when the values are uniform.
//!
//! Clustered, as in Raghuraman and Rindal, "Blazing Fast PSI from Improved OKVS and Subfield VOLE" (CCS 2022): keys
//! fall into clusters of 2^14 on average, and every cluster is a small store of its own that fits a core's cache, so that
//! clusters are encoded side by side. Within a cluster a key reads three sparse slots, one in each third, and those of 48
//! dense slots that its mask names; its value is their XOR. [`crate::okvs_solve`] says how the slots are found. Slots that
//! no equation fixes keep the given randomness, so among all vectors that fit the pairs each is equally likely.
//!
//! # One pass from key to slots
//!
//! One AES block per key, under a key derived from the public seed; the low half names cluster and sparse slots, the high
//! half the mask. Keys are 16 uniform bytes already: digests under a key of the session, so that nobody who chose
//! identifiers before the session can have chosen keys. The seed is drawn after the keys are fixed. AES is a permutation,
//! so distinct keys have distinct blocks, and keys that look alike have blocks that do not. In what follows AES under a
//! random key is taken for an ideal cipher.
//!
//! # An encoding fails with probability below 2^-40
//!
//! A failure would tell something of the keys to whoever sees the seed that came instead, so it must not happen:
//!
//! 1. A cluster gets more than `capacity` keys: below 2^-42 over all clusters, by Bernstein's inequality with union bound
//!    ([`Layout::of`]). All clusters have the same size, whatever they hold.
//! 2. The rows of a cluster are linearly dependent over GF(2). A set of rows that XORs to zero in the sparse part does so
//!    in 48 random bits with probability 2^-48, so a cluster fails with probability at most 2^-48 E, where E is the
//!    expected number of non-empty sets of rows that XOR to zero in the sparse part. For L rows and thirds of t slots
//!    E = sum over even k of C(L, k) p(k, t)^3 with p(k, t) = 2^-t sum over j of C(t, j) ((t - 2 j) / t)^k, the probability
//!    that k balls leave an even number in each of t bins. That is a finite sum (a test evaluates it): E is below 2^-10 for
//!    a cluster filled to its capacity, where 3 t / L >= 1.13, and below 2^2 for every smaller store. With at most 2^14
//!    clusters (2^28 keys) that is below 2^-43. The sum stays small down to 3 t / L = 1.125: fewer slots than the 1.222 L
//!    that peeling alone would need suffice, since what peeling leaves is solved by elimination and not given up.
//!
//! Sparse places come from 64 bits where at most 2^53 places exist, which makes none likelier than (1 + 2^-11) times the
//! uniform: for the sets that count, of two and four rows, no difference. Elimination gives up beyond 4,096 rows, ten
//! times what clusters filled to capacity need.

use rayon::prelude::*;

use crate::error::KernelError;
use crate::okvs_place::{Hasher, Place, Sorted};
use crate::okvs_solve::{DenseTables, Solver};

pub const KEY_BYTES: usize = 16;
pub const VALUE_BYTES: usize = 16;

/// Dense slots of a cluster, and bits of a key's mask.
pub const DENSE_SLOTS: usize = 48;

/// The most pairs of one store.
pub const MAX_KEYS: usize = 1 << 28;

/// Keys of a cluster on average, as a power of two.
const CLUSTER_BITS: u32 = 14;

/// Keys that an encoder sorts at a time: they and their places fit a core's cache.
const KEYS_SORTED: usize = 1 << 16;

/// Keys for each cluster that a decoder sorts at a time, as a power of two: each such batch reads the store once.
const READ_BITS: u32 = 10;

/// Keys that a decoder sorts at a time, at most.
const KEYS_READ: usize = 1 << 21;

/// Where a store of `n` pairs keeps what; it follows from `n` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub clusters: usize,
    /// Slots in each third of a cluster's sparse part.
    pub third: usize,
    /// Keys that a cluster takes.
    pub capacity: usize,
}

impl Layout {
    /// The layout of a store of `n` pairs, in whole numbers so that all parties have the same.
    ///
    /// Source of the slack: Bernstein's inequality, P[X > m + s] <= exp(-s^2 / (2 m + 2 s / 3)), over all clusters.
    pub fn of(n: usize) -> Self {
        let clusters = ((n + (1 << (CLUSTER_BITS - 1))) >> CLUSTER_BITS).max(1);
        let mean = n.div_ceil(clusters);
        let capacity = if clusters == 1 {
            n
        } else {
            // ln 2 < 0.7, so e^-exponent is below 2^-42 / clusters.
            let exponent = ((42 + clusters.next_power_of_two().ilog2() as usize) * 7).div_ceil(10);
            let part = exponent.div_ceil(3);
            (mean + part + (part * part + 2 * exponent * mean).isqrt() + 1).min(n)
        };
        let third = (mean * SLOTS_PER_KEY.0).div_ceil(3 * SLOTS_PER_KEY.1);
        Self { clusters, third: third.max((capacity * 113).div_ceil(300)), capacity }
    }

    /// Slots of one cluster: the sparse ones and then the dense ones.
    pub fn cluster_slots(&self) -> usize {
        3 * self.third + DENSE_SLOTS
    }

    /// Slots of the whole store.
    pub fn slots(&self) -> usize {
        self.clusters * self.cluster_slots()
    }
}

/// Sparse slots for each key of an average cluster, as a fraction.
const SLOTS_PER_KEY: (usize, usize) = (123, 100);

/// Slots of the vector for `n` pairs.
pub fn slots(n: usize) -> usize {
    Layout::of(n).slots()
}

/// Encodes distinct `keys` with `values` under the public `seed`.
///
/// `fill` is `slots(n) * 16` uniform bytes; the result overwrites it. Fails with `NoAssignment` when this seed does not
/// work; keys that repeat fail under every seed.
pub fn encode(keys: &[u8], values: &[u8], seed: &[u8; 32], fill: &mut [u8]) -> Result<(), KernelError> {
    let (keys, values) = (blocks(keys, "keys")?, blocks(values, "values")?);
    same_length("values", keys.len(), values.len())?;
    if keys.len() > MAX_KEYS {
        return Err(KernelError::Range { what: "number of keys", index: keys.len() });
    }
    let layout = Layout::of(keys.len());
    same_length("fill", layout.slots() * VALUE_BYTES, fill.len())?;
    let hasher = Hasher::new(seed, &layout);
    let parts: Vec<Sorted> = keys
        .par_chunks(KEYS_SORTED)
        .enumerate()
        .map(|(part, keys)| {
            let mut sorted = Sorted::default();
            hasher.sort(keys, part * KEYS_SORTED, &mut sorted);
            sorted.lean()
        })
        .collect();
    let (slots, _) = fill.as_chunks_mut::<VALUE_BYTES>();
    slots.par_chunks_mut(layout.cluster_slots()).enumerate().try_for_each_init(
        Solver::default,
        |solver, (cluster, slots)| {
            solver.take(parts.iter().map(|part| part.of(cluster)), values, &layout)?;
            solver.solve(slots)
        },
    )
}

/// The values of `keys` in the vector `store` of `n` pairs: the encoded value for a key that is in it, otherwise bytes
/// that depend on the whole of its cluster.
pub fn decode(store: &[u8], n: usize, keys: &[u8], seed: &[u8; 32]) -> Result<Vec<u8>, KernelError> {
    let mut out = vec![0; keys.len()];
    decode_xor(store, n, keys, seed, &mut out)?;
    Ok(out)
}

/// XORs `decode(store, n, keys, seed)` into `out`.
pub fn decode_xor(store: &[u8], n: usize, keys: &[u8], seed: &[u8; 32], out: &mut [u8]) -> Result<(), KernelError> {
    let (store, keys) = (blocks(store, "store")?, blocks(keys, "keys")?);
    // Bounding n first keeps the arithmetic of the layout from overflowing.
    if n > MAX_KEYS || store.len() != slots(n) {
        return Err(KernelError::Shape { what: "store", expected: store.len(), found: n });
    }
    same_length("values", keys.len() * VALUE_BYTES, out.len())?;
    let layout = Layout::of(n);
    let hasher = Hasher::new(seed, &layout);
    let (cells, _) = out.as_chunks_mut::<VALUE_BYTES>();
    let batch = (layout.clusters << READ_BITS).clamp(KEYS_SORTED, KEYS_READ);
    cells.par_chunks_mut(batch).zip(keys.par_chunks(batch)).for_each_init(Sorted::default, |sorted, (cells, keys)| {
        hasher.sort(keys, 0, sorted);
        for (cluster, slots) in store.chunks(layout.cluster_slots()).enumerate() {
            read_cluster(slots, &layout, sorted.of(cluster), cells);
        }
    });
    Ok(())
}

/// XORs the values of `places` in one cluster into their rows of `cells`.
fn read_cluster(slots: &[[u8; VALUE_BYTES]], layout: &Layout, places: &[Place], cells: &mut [[u8; VALUE_BYTES]]) {
    if places.is_empty() {
        return;
    }
    let (sparse, dense) = slots.split_at(3 * layout.third);
    let tables = DenseTables::new(dense);
    for place in places {
        let value = place.read_sparse(sparse, layout.third) ^ tables.read(place.mask());
        let cell = &mut cells[place.row as usize];
        *cell = (u128::from_le_bytes(*cell) ^ value).to_le_bytes();
    }
}

fn blocks<'a>(flat: &'a [u8], what: &'static str) -> Result<&'a [[u8; 16]], KernelError> {
    let (rows, rest) = flat.as_chunks::<16>();
    if rest.is_empty() { Ok(rows) } else { Err(KernelError::Shape { what, expected: 16, found: rest.len() }) }
}

fn same_length(what: &'static str, expected: usize, found: usize) -> Result<(), KernelError> {
    if expected == found { Ok(()) } else { Err(KernelError::Shape { what, expected, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(n: usize, label: u8) -> Vec<u8> {
        let mut out = vec![0; n];
        blake3::Hasher::new().update(&[label]).finalize_xof().fill(&mut out);
        out
    }

    fn round_trip(keys: &[u8], label: u8) {
        let n = keys.len() / 16;
        let (values, seed) = (random(16 * n, 2), [label; 32]);
        let mut store = random(16 * slots(n), 3);
        encode(keys, &values, &seed, &mut store).unwrap();
        assert_eq!(decode(&store, n, keys, &seed).unwrap(), values);
    }

    #[test]
    fn decodes_what_was_encoded_for_every_size() {
        for n in (0..300).chain([1_000, 24_575, 24_576, 100_000]) {
            round_trip(&random(16 * n, 1), 9);
        }
    }

    #[test]
    fn keys_that_look_alike_are_like_others() {
        for shift in [0, 40, 108] {
            let keys: Vec<u8> = (0..50_000u128).flat_map(|i| (i << shift).to_le_bytes()).collect();
            round_trip(&keys, 4);
        }
    }

    #[test]
    fn other_keys_read_noise() {
        let n = 3_000;
        let mut store = random(16 * slots(n), 3);
        encode(&random(16 * n, 1), &random(16 * n, 2), &[9; 32], &mut store).unwrap();
        let other = decode(&store, n, &random(16 * 100, 4), &[9; 32]).unwrap();
        assert!(other.as_chunks::<16>().0.iter().all(|value| *value != [0; 16]));
    }

    #[test]
    fn repeated_keys_have_no_assignment() {
        for n in [10, 30_000] {
            let keys = [random(16 * n, 1), random(16, 1)].concat();
            let mut store = random(16 * slots(n + 1), 3);
            assert_eq!(encode(&keys, &random(16 * (n + 1), 2), &[9; 32], &mut store), Err(KernelError::NoAssignment));
        }
        let mut store = random(16 * slots(60_000), 3);
        let refused = encode(&[7; 16 * 60_000], &random(16 * 60_000, 2), &[9; 32], &mut store);
        assert_eq!(refused, Err(KernelError::NoAssignment));
    }

    #[test]
    fn refuses_wrong_shapes() {
        let mut store = random(16 * slots(200), 3);
        assert!(encode(&[0; 32], &[0; 16], &[9; 32], &mut store).is_err());
        assert!(encode(&[0; 16], &[0; 16], &[9; 32], &mut store).is_err());
        assert!(decode(&store, 100, &[0; 16], &[9; 32]).is_err());
        assert!(decode(&store, usize::MAX, &[0; 16], &[9; 32]).is_err());
        assert!(decode(&store, 200, &[0; 17], &[9; 32]).is_err());
    }

    /// The logarithm to base 2 of E in the module's text, for `rows` rows and thirds of `third` slots.
    fn dependent_sets(rows: usize, third: usize) -> f64 {
        let ln_factorial: Vec<f64> = (0..=rows.max(third))
            .scan(0.0, |sum, i| {
                *sum += (i.max(1) as f64).ln();
                Some(*sum)
            })
            .collect();
        let ln_choose = |n: usize, k: usize| ln_factorial[n] - ln_factorial[k] - ln_factorial[n - k];
        let weights: Vec<(f64, f64)> = (0..=third)
            .filter(|j| 2 * j != third)
            .map(|j| {
                let share = (third as f64 - 2.0 * j as f64).abs() / third as f64;
                (ln_choose(third, j) - third as f64 * std::f64::consts::LN_2, share.ln())
            })
            .collect();
        // Spelled out, this is a sum of terms that are far too small for a float on their own.
        let ln_sum = |terms: &[f64]| {
            let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            most + terms.iter().map(|term| (term - most).exp()).sum::<f64>().ln()
        };
        let terms: Vec<f64> = (2..=rows)
            .step_by(2)
            .map(|k| {
                let even: Vec<f64> = weights.iter().map(|(weight, share)| weight + k as f64 * share).collect();
                ln_choose(rows, k) + 3.0 * ln_sum(&even)
            })
            .collect();
        if terms.is_empty() { f64::NEG_INFINITY } else { ln_sum(&terms) / std::f64::consts::LN_2 }
    }

    #[test]
    fn an_encoding_fails_less_than_once_in_2_to_the_40() {
        // By hand: two rows are equal in one slot of each third with probability 1 / t^3.
        assert!((dependent_sets(2, 4) - -6.0).abs() < 1e-9);
        assert!((1..400).all(|n| dependent_sets(n, Layout::of(n).third) < 2.0));
        for n in [5_000, 24_576, 1_000_000] {
            let layout = Layout::of(n);
            let failure = dependent_sets(layout.capacity, layout.third) - DENSE_SLOTS as f64;
            assert!(failure + (layout.clusters as f64).log2() < -43.0, "{n}");
        }
        // From here on a cluster is what it is at a million keys, but for a slack that grows with the logarithm.
        for n in [10_000_000, MAX_KEYS] {
            let layout = Layout::of(n);
            assert!(layout.clusters <= 1 << 14);
            assert!(300 * layout.third >= 113 * layout.capacity);
            assert!(layout.clusters * layout.third.pow(3) < 1 << 53);
            assert!(layout.slots() * 100 < n * 124);
        }
    }

    #[test]
    fn a_cluster_filled_to_its_capacity_has_an_assignment() {
        let layout = Layout::of(1 << 20);
        let third = (layout.capacity * 113).div_ceil(300);
        let tight = Layout { clusters: 1, third, capacity: layout.capacity };
        let (keys, values) = (random(16 * tight.capacity, 1), random(16 * tight.capacity, 2));
        let (keys, values) = (blocks(&keys, "").unwrap(), blocks(&values, "").unwrap());
        let mut sorted = Sorted::default();
        Hasher::new(&[3; 32], &tight).sort(keys, 0, &mut sorted);
        let mut flat = random(16 * tight.slots(), 3);
        let (slots, _) = flat.as_chunks_mut::<16>();
        let mut solver = Solver::default();
        solver.take(std::iter::once(sorted.of(0)), values, &tight).unwrap();
        solver.solve(slots).unwrap();
        let mut read = vec![[0; 16]; keys.len()];
        read_cluster(slots, &tight, sorted.of(0), &mut read);
        assert!(read == values);
        assert!(solver.n_aside() > 100 && solver.n_aside() < 1500, "{}", solver.n_aside());
    }
}
