//! An oblivious key-value store: `n` pairs become a vector from which each key's value can be read, and which looks
//! uniform, whatever the keys were, when the values are uniform.
//!
//! Three-hash garbled cuckoo table (Garimella, Pinkas, Rosulek, Trieu, Yanai: "Oblivious Key-Value Stores and
//! Amplification for Private Set Intersection", CRYPTO 2021). A key reads three slots of the sparse part, one in each
//! third of it, and those slots of the dense part that its 64-bit mask names; its value is their XOR. Encoding peels keys
//! that alone touch a slot; what cannot be peeled, the 2-core, is a handful of keys and is solved by Gaussian elimination
//! over sparse and dense slots together. Slots that no equation fixes are filled from given randomness, so among all
//! vectors that fit the pairs each is equally likely.
//!
//! Failure: the sparse part has 1.3 n + 512 slots against the peeling threshold of 1.222 n, so that the core does not grow
//! with n; keys with equal slots, the common small core, are told apart by 64 random bits. An encoding fails when d
//! surplus equations meet 64 dense columns without full rank, with probability about 2^-(64 - d), far below 2^-40.
//! So the public seed says nothing of the keys, in spite of the retry that a caller must offer.

use rayon::prelude::*;

use crate::error::KernelError;

pub const KEY_BYTES: usize = 16;
pub const VALUE_BYTES: usize = 16;

/// Slots of the dense part, and bits of a key's mask.
pub const DENSE_SLOTS: usize = 64;

/// Keys that the elimination takes on; a larger core means that the seed was bad or that keys repeat.
const CORE_LIMIT: usize = 2048;

const ROWS_PER_TASK: usize = 1024;

/// Slots of the vector for `n` pairs: ceil(1.3 n) + 512, rounded up to thirds, and the dense part.
pub fn slots(n: usize) -> usize {
    3 * third(n) + DENSE_SLOTS
}

/// Encodes distinct `keys` with `values` under the public `seed`.
///
/// `fill` is `slots(n) * 16` uniform bytes; the result overwrites it. Fails with `NoAssignment` when this seed does not
/// work; keys that repeat fail under every seed.
pub fn encode(keys: &[u8], values: &[u8], seed: &[u8; 32], fill: &mut [u8]) -> Result<(), KernelError> {
    let (keys, values) = (blocks(keys, "keys")?, blocks(values, "values")?);
    same_length("values", keys.len(), values.len())?;
    same_length("fill", slots(keys.len()) * VALUE_BYTES, fill.len())?;
    if u32::try_from(slots(keys.len())).is_err() {
        return Err(KernelError::Range { what: "number of keys", index: keys.len() });
    }
    let (slots, _) = fill.as_chunks_mut::<VALUE_BYTES>();
    let third = third(keys.len());
    let rows: Vec<Row> = keys.par_iter().with_min_len(ROWS_PER_TASK).map(|key| Row::new(key, seed, third)).collect();

    let peeled = Peeled::new(&rows, 3 * third);
    if peeled.core.len() > CORE_LIMIT {
        return Err(KernelError::NoAssignment);
    }
    solve_core(&rows, &peeled.core, values, slots, 3 * third)?;
    // Last peeled first: when a row's turn comes, all slots but its own have their final value.
    for &(row, own) in peeled.order.iter().rev() {
        let rest = rows[row as usize].read_without(slots, 3 * third, own);
        slots[own as usize] = (u128::from_le_bytes(values[row as usize]) ^ rest).to_le_bytes();
    }
    Ok(())
}

/// The values of `keys` in the vector `store` of `n` pairs: the encoded value for a key that is in it, otherwise bytes
/// that depend on the whole vector.
pub fn decode(store: &[u8], n: usize, keys: &[u8], seed: &[u8; 32]) -> Result<Vec<u8>, KernelError> {
    let mut out = vec![0; keys.len()];
    decode_xor(store, n, keys, seed, &mut out)?;
    Ok(out)
}

/// XORs `decode(store, n, keys, seed)` into `out`.
pub fn decode_xor(store: &[u8], n: usize, keys: &[u8], seed: &[u8; 32], out: &mut [u8]) -> Result<(), KernelError> {
    let (store, keys) = (blocks(store, "store")?, blocks(keys, "keys")?);
    // Bounding n first keeps the arithmetic of `slots` from overflowing.
    if u32::try_from(n).is_err() || store.len() != slots(n) {
        return Err(KernelError::Shape { what: "store", expected: store.len(), found: n });
    }
    same_length("values", keys.len() * VALUE_BYTES, out.len())?;
    let third = third(n);
    let (cells, _) = out.as_chunks_mut::<VALUE_BYTES>();
    cells.par_iter_mut().zip(keys).with_min_len(ROWS_PER_TASK).for_each(|(cell, key)| {
        let value = Row::new(key, seed, third).read(store, 3 * third);
        *cell = (u128::from_le_bytes(*cell) ^ value).to_le_bytes();
    });
    Ok(())
}

/// The slots one key reads.
#[derive(Clone, Copy)]
struct Row {
    sparse: [u32; 3],
    dense: u64,
}

impl Row {
    fn new(key: &[u8; KEY_BYTES], seed: &[u8; 32], third: usize) -> Self {
        let hash = blake3::keyed_hash(seed, key);
        let (words, _) = hash.as_bytes().as_chunks::<8>();
        // The high half of a 64-bit product maps a word evenly to [0, third), up to third / 2^64.
        let slot = |i: usize| {
            let place = (u128::from(u64::from_le_bytes(words[i])) * third as u128) >> 64;
            (i * third) as u32 + place as u32
        };
        Self { sparse: [slot(0), slot(1), slot(2)], dense: u64::from_le_bytes(words[3]) }
    }

    fn read(&self, slots: &[[u8; VALUE_BYTES]], n_sparse: usize) -> u128 {
        let sparse = self.sparse.iter().fold(0, |sum, &slot| sum ^ u128::from_le_bytes(slots[slot as usize]));
        sparse ^ self.read_dense(&slots[n_sparse..])
    }

    fn read_without(&self, slots: &[[u8; VALUE_BYTES]], n_sparse: usize, own: u32) -> u128 {
        self.read(slots, n_sparse) ^ u128::from_le_bytes(slots[own as usize])
    }

    fn read_dense(&self, dense: &[[u8; VALUE_BYTES]]) -> u128 {
        dense.iter().enumerate().fold(0, |sum, (bit, slot)| {
            let keep = u128::from(self.dense >> bit & 1).wrapping_neg();
            sum ^ (u128::from_le_bytes(*slot) & keep)
        })
    }
}

/// The rows in the order in which each was alone in one of its slots, and the rows that never were.
struct Peeled {
    order: Vec<(u32, u32)>,
    core: Vec<u32>,
}

impl Peeled {
    fn new(rows: &[Row], n_sparse: usize) -> Self {
        // Per slot: how many rows touch it, and the XOR of their numbers, which is the row once only one is left.
        let mut touching = vec![(0u32, 0u32); n_sparse];
        for (row, number) in rows.iter().zip(0u32..) {
            for slot in row.sparse {
                let (count, sum) = &mut touching[slot as usize];
                *count += 1;
                *sum ^= number;
            }
        }
        let mut alone: Vec<u32> = (0u32..).zip(&touching).filter(|(_, t)| t.0 == 1).map(|(slot, _)| slot).collect();
        let mut order = Vec::with_capacity(rows.len());
        let mut done = vec![false; rows.len()];
        while let Some(own) = alone.pop() {
            let (count, row) = touching[own as usize];
            if count != 1 {
                continue;
            }
            order.push((row, own));
            done[row as usize] = true;
            for slot in rows[row as usize].sparse {
                let (count, sum) = &mut touching[slot as usize];
                *count -= 1;
                *sum ^= row;
                if *count == 1 {
                    alone.push(slot);
                }
            }
        }
        let core = (0u32..).zip(&done).filter(|(_, done)| !**done).map(|(row, _)| row).collect();
        Self { order, core }
    }
}

/// Gaussian elimination over GF(2) for the rows of the core; sets one slot per row, the others keep their fill.
fn solve_core(
    rows: &[Row],
    core: &[u32],
    values: &[[u8; VALUE_BYTES]],
    slots: &mut [[u8; VALUE_BYTES]],
    n_sparse: usize,
) -> Result<(), KernelError> {
    if core.is_empty() {
        return Ok(());
    }
    // Columns: the sparse slots that the core touches, then the dense ones.
    let mut columns: Vec<u32> = core.iter().flat_map(|&row| rows[row as usize].sparse).collect();
    columns.sort_unstable();
    columns.dedup();
    let n_core_sparse = columns.len();
    columns.extend(n_sparse as u32..(n_sparse + DENSE_SLOTS) as u32);
    let words = columns.len().div_ceil(64);
    let mut matrix: Vec<(Vec<u64>, u128)> = core
        .iter()
        .map(|&number| {
            let row = &rows[number as usize];
            let mut bits = vec![0u64; words];
            for slot in row.sparse {
                // Every slot of the core was put into `columns` above.
                let column = columns[..n_core_sparse].partition_point(|&c| c < slot);
                bits[column / 64] ^= 1 << (column % 64);
            }
            for bit in (0..DENSE_SLOTS).filter(|bit| row.dense >> bit & 1 == 1) {
                let column = n_core_sparse + bit;
                bits[column / 64] ^= 1 << (column % 64);
            }
            (bits, u128::from_le_bytes(values[number as usize]))
        })
        .collect();

    let mut pivots = Vec::with_capacity(core.len());
    for column in 0..columns.len() {
        let rank = pivots.len();
        let set = |row: &(Vec<u64>, u128)| row.0[column / 64] >> (column % 64) & 1 == 1;
        let Some(found) = (rank..matrix.len()).find(|&i| set(&matrix[i])) else {
            continue;
        };
        matrix.swap(rank, found);
        let pivot = matrix[rank].clone();
        for (i, row) in matrix.iter_mut().enumerate() {
            if i != rank && set(row) {
                row.0.iter_mut().zip(&pivot.0).for_each(|(a, b)| *a ^= b);
                row.1 ^= pivot.1;
            }
        }
        pivots.push(column);
        if pivots.len() == core.len() {
            break;
        }
    }
    if pivots.len() < core.len() {
        return Err(KernelError::NoAssignment);
    }
    // Reduced form: a row holds its own pivot and free columns only, and those keep their fill.
    for ((bits, value), &pivot) in matrix.iter().zip(&pivots) {
        let free = (0..columns.len()).filter(|&c| c != pivot && bits[c / 64] >> (c % 64) & 1 == 1);
        let sum = free.fold(*value, |sum, c| sum ^ u128::from_le_bytes(slots[columns[c] as usize]));
        slots[columns[pivot] as usize] = sum.to_le_bytes();
    }
    Ok(())
}

/// Slots in each third of the sparse part.
fn third(n: usize) -> usize {
    (n.saturating_mul(13).div_ceil(10).saturating_add(512)).div_ceil(3)
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

    #[test]
    fn decodes_what_was_encoded_for_every_size() {
        for n in (0..70).chain([999, 20_000]) {
            let (keys, values) = (random(16 * n, 1), random(16 * n, 2));
            let mut store = random(16 * slots(n), 3);
            encode(&keys, &values, &[9; 32], &mut store).unwrap();
            assert_eq!(decode(&store, n, &keys, &[9; 32]).unwrap(), values);
            let other = random(16 * 100, 4);
            assert!(decode(&store, n, &other, &[9; 32]).unwrap().as_chunks::<16>().0.iter().all(|v| *v != [0; 16]));
        }
    }

    #[test]
    fn solves_cores_that_peeling_leaves() {
        // A small table forced by hand: all keys share their sparse slots, the dense part has to tell them apart.
        let n = 40;
        let keys = random(16 * n, 1);
        let values = random(16 * n, 2);
        let rows: Vec<Row> = blocks(&keys, "")
            .unwrap()
            .iter()
            .map(|key| Row { sparse: [0, 1, 2], ..Row::new(key, &[1; 32], 1) })
            .collect();
        let mut flat = random(16 * (3 + DENSE_SLOTS), 3);
        let (slots, _) = flat.as_chunks_mut::<16>();
        let core: Vec<u32> = (0..n as u32).collect();
        assert!(Peeled::new(&rows, 3).core == core);
        solve_core(&rows, &core, blocks(&values, "").unwrap(), slots, 3).unwrap();
        for (row, value) in rows.iter().zip(blocks(&values, "").unwrap()) {
            assert_eq!(row.read(slots, 3), u128::from_le_bytes(*value));
        }
    }

    #[test]
    fn repeated_keys_have_no_assignment() {
        let keys = [random(160, 1), random(16, 1)].concat();
        let mut store = random(16 * slots(11), 3);
        assert_eq!(encode(&keys, &random(176, 2), &[9; 32], &mut store), Err(KernelError::NoAssignment));
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
}
