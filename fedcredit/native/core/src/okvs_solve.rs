//! The slots of one cluster of an OKVS: peeling, and elimination for the rows that peeling leaves.
//!
//! Peeling takes a row that alone touches a slot: that slot is the row's own, and is set once all others of the row are.
//! Where every slot is touched twice or never, one row is set aside and peeling goes on. At the end the rows set aside, as
//! a rule none or a few dozen, are a small dense system over the slots that no row owns: with those at their random fill
//! and all owned slots set, each such row misses its value by some residue, and a few free slots take that up.
//! This is the approximate triangulation of Richardson and Urbanke (2001), transposed.

use crate::error::KernelError;
use crate::okvs::{DENSE_SLOTS, Layout, VALUE_BYTES};
use crate::okvs_place::Place;

/// Rows set aside at most: far more means that keys repeat.
const ASIDE_LIMIT: usize = 4096;

/// Rows looked at to choose the one to set aside.
const CANDIDATES: usize = 16;

/// Mask bits looked up together.
const TABLE_BITS: usize = 6;
const TABLES: usize = DENSE_SLOTS / TABLE_BITS;

/// The XOR of any choice of dense slots from a few look-ups.
pub struct DenseTables([[u128; 1 << TABLE_BITS]; TABLES]);

impl DenseTables {
    pub fn new(dense: &[[u8; VALUE_BYTES]]) -> Self {
        let mut tables = [[0; 1 << TABLE_BITS]; TABLES];
        for (table, slots) in tables.iter_mut().zip(dense.chunks(TABLE_BITS)) {
            for (bit, slot) in slots.iter().enumerate() {
                let slot = u128::from_le_bytes(*slot);
                let (below, above) = table.split_at_mut(1 << bit);
                above.iter_mut().zip(below).for_each(|(sum, rest)| *sum = *rest ^ slot);
            }
        }
        Self(tables)
    }

    /// The XOR of the dense slots in `mask`.
    pub fn read(&self, mask: u64) -> u128 {
        let index = |i: usize| (mask >> (i * TABLE_BITS)) as usize % (1 << TABLE_BITS);
        self.0.iter().enumerate().fold(0, |sum, (i, table)| sum ^ table[index(i)])
    }
}

/// Solves one cluster after the other, in buffers that are kept.
#[derive(Default)]
pub struct Solver {
    third: usize,
    places: Vec<Place>,
    values: Vec<u128>,
    /// Per sparse slot: in the high half how many rows touch it, in the low half the XOR of their numbers, which is the
    /// row once only one is left.
    touching: Vec<u32>,
    alone: Vec<u16>,
    /// The rows in the order in which each was alone in a slot, and that slot.
    order: Vec<(u16, u16)>,
    peeled: Vec<bool>,
    aside: Vec<u16>,
}

impl Solver {
    /// Takes the places of a cluster and their values. Fails if they are more than a cluster takes.
    pub fn take<'a>(
        &mut self,
        parts: impl Iterator<Item = &'a [Place]>,
        values: &[[u8; VALUE_BYTES]],
        layout: &Layout,
    ) -> Result<(), KernelError> {
        self.third = layout.third;
        self.places.clear();
        parts.for_each(|part| self.places.extend_from_slice(part));
        if self.places.len() > layout.capacity {
            return Err(KernelError::NoAssignment);
        }
        self.values.clear();
        self.values.extend(self.places.iter().map(|place| u128::from_le_bytes(values[place.row as usize])));
        Ok(())
    }

    /// Sets the slots of the cluster, uniform before, so that every place reads its value.
    pub fn solve(&mut self, slots: &mut [[u8; VALUE_BYTES]]) -> Result<(), KernelError> {
        self.peel()?;
        let (sparse, dense) = slots.split_at_mut(3 * self.third);
        if !self.aside.is_empty() {
            self.substitute(sparse, &DenseTables::new(dense));
            self.mend(sparse, dense)?;
        }
        self.substitute(sparse, &DenseTables::new(dense));
        Ok(())
    }

    #[cfg(test)]
    /// How many rows peeling set aside in the cluster that was solved last.
    pub fn n_aside(&self) -> usize {
        self.aside.len()
    }

    fn peel(&mut self) -> Result<(), KernelError> {
        let (n_rows, third) = (self.places.len(), self.third);
        let touching = &mut self.touching;
        touching.clear();
        touching.resize(3 * third, 0);
        for (row, place) in (0u32..).zip(&self.places) {
            for column in place.columns(third) {
                touching[column] = (touching[column] + ONE) ^ row;
            }
        }
        self.order.clear();
        self.aside.clear();
        self.peeled.clear();
        self.peeled.resize(n_rows, false);
        // Every slot is alone at most once, as counts only fall; one more place lets the write below stand unconditional.
        self.alone.clear();
        self.alone.resize(3 * third + 1, 0);
        let mut n_alone = 0;
        for (column, state) in touching.iter().enumerate() {
            self.alone[n_alone] = column as u16;
            n_alone += usize::from(state / ONE == 1);
        }
        let mut next = 0;
        loop {
            while n_alone > 0 {
                n_alone -= 1;
                let own = self.alone[n_alone];
                let state = touching[usize::from(own)];
                if state / ONE != 1 {
                    continue;
                }
                let row = state % ONE;
                self.order.push((row as u16, own));
                self.peeled[row as usize] = true;
                for column in self.places[row as usize].columns(third) {
                    touching[column] = (touching[column] - ONE) ^ row;
                    self.alone[n_alone] = column as u16;
                    n_alone += usize::from(touching[column] / ONE == 1);
                }
            }
            if self.order.len() + self.aside.len() == n_rows {
                return Ok(());
            }
            if self.aside.len() == ASIDE_LIMIT {
                return Err(KernelError::NoAssignment);
            }
            // The row that leaves most slots to one row alone.
            while self.peeled[next] {
                next += 1;
            }
            let freed = |row: usize| {
                self.places[row].columns(third).iter().filter(|&&column| touching[column] / ONE == 2).count()
            };
            let left = (next..n_rows).filter(|&row| !self.peeled[row]).take(CANDIDATES);
            let row = left.max_by_key(|&row| freed(row)).unwrap_or(next);
            self.aside.push(row as u16);
            self.peeled[row] = true;
            for column in self.places[row].columns(third) {
                touching[column] = (touching[column] - ONE) ^ row as u32;
                self.alone[n_alone] = column as u16;
                n_alone += usize::from(touching[column] / ONE == 1);
            }
        }
    }

    /// Sets every peeled row's own slot. Last peeled first: then all slots but the row's own have their final value.
    fn substitute(&self, sparse: &mut [[u8; VALUE_BYTES]], tables: &DenseTables) {
        for &(row, own) in self.order.iter().rev() {
            let place = &self.places[usize::from(row)];
            let (row, own) = (usize::from(row), usize::from(own));
            let read = place.read_sparse(sparse, self.third) ^ tables.read(place.mask());
            sparse[own] = (u128::from_le_bytes(sparse[own]) ^ read ^ self.values[row]).to_le_bytes();
        }
    }

    /// Changes free slots so that the rows set aside read their values too, once the others are substituted again.
    fn mend(&self, sparse: &mut [[u8; VALUE_BYTES]], dense: &mut [[u8; VALUE_BYTES]]) -> Result<(), KernelError> {
        let (n_aside, words) = (self.aside.len(), self.aside.len().div_ceil(64));
        // Per sparse slot, which rows set aside change when it does, with all owned slots following. A slot that a row
        // owns is touched else only by rows peeled before and rows set aside: it is complete when its row's turn comes.
        let mut moves = vec![0u64; sparse.len() * words];
        for (bit, &row) in self.aside.iter().enumerate() {
            for column in self.places[usize::from(row)].columns(self.third) {
                moves[column * words + bit / 64] ^= 1 << (bit % 64);
            }
        }
        let mut owned = vec![false; sparse.len()];
        for &(row, own) in &self.order {
            let own = usize::from(own);
            owned[own] = true;
            let columns = self.places[usize::from(row)].columns(self.third);
            for column in columns.into_iter().filter(|&column| column != own) {
                for word in 0..words {
                    moves[column * words + word] ^= moves[own * words + word];
                }
            }
        }
        let mut basis = Basis::new(n_aside);
        for column in (0..sparse.len()).filter(|&column| !owned[column]) {
            if basis.is_full() {
                break;
            }
            basis.offer(column, &moves[column * words..(column + 1) * words]);
        }
        // Rows with equal sparse slots, say, move together, and only dense slots tell them apart.
        if !basis.is_full() {
            let dense_moves = self.dense_moves(&moves, words);
            for (bit, moves) in dense_moves.chunks(words).enumerate() {
                basis.offer(sparse.len() + bit, moves);
            }
        }
        if !basis.is_full() {
            return Err(KernelError::NoAssignment);
        }
        let tables = DenseTables::new(dense);
        let residues = self.aside.iter().map(|&row| {
            let place = &self.places[usize::from(row)];
            self.values[usize::from(row)] ^ place.read_sparse(sparse, self.third) ^ tables.read(place.mask())
        });
        for (column, change) in basis.solve(residues.collect()) {
            let slot = match column.checked_sub(sparse.len()) {
                None => &mut sparse[column],
                Some(bit) => &mut dense[bit],
            };
            *slot = (u128::from_le_bytes(*slot) ^ change).to_le_bytes();
        }
        Ok(())
    }

    /// As `moves` in `mend`, for the dense slots.
    fn dense_moves(&self, moves: &[u64], words: usize) -> Vec<u64> {
        let mut out = vec![0u64; DENSE_SLOTS * words];
        for (bit, &row) in self.aside.iter().enumerate() {
            for slot in bits(self.places[usize::from(row)].mask()) {
                out[slot * words + bit / 64] ^= 1 << (bit % 64);
            }
        }
        for &(row, own) in &self.order {
            let own = usize::from(own);
            for slot in bits(self.places[usize::from(row)].mask()) {
                for word in 0..words {
                    out[slot * words + word] ^= moves[own * words + word];
                }
            }
        }
        out
    }
}

/// One row in the count of `touching`.
const ONE: u32 = 1 << 16;

/// The numbers of the bits that are set.
fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (mask != 0).then(|| mask.trailing_zeros() as usize);
        mask &= mask.wrapping_sub(1);
        bit
    })
}

/// Linearly independent columns of `size` bits, each with its number, as they are offered.
struct Basis {
    size: usize,
    chosen: Vec<(usize, Vec<u64>)>,
    /// Per leading bit, a combination of chosen columns that starts there.
    reduced: Vec<Option<Vec<u64>>>,
}

impl Basis {
    fn new(size: usize) -> Self {
        Self { size, chosen: Vec::with_capacity(size), reduced: vec![None; size] }
    }

    fn is_full(&self) -> bool {
        self.chosen.len() == self.size
    }

    /// Takes the column unless it depends on those taken before.
    fn offer(&mut self, number: usize, column: &[u64]) {
        let mut rest = column.to_vec();
        for word in 0..rest.len() {
            while rest[word] != 0 {
                let leading = 64 * word + rest[word].trailing_zeros() as usize;
                match &self.reduced[leading] {
                    Some(other) => rest[word..].iter_mut().zip(&other[word..]).for_each(|(a, b)| *a ^= b),
                    None => {
                        self.reduced[leading] = Some(rest);
                        self.chosen.push((number, column.to_vec()));
                        return;
                    }
                }
            }
        }
    }

    /// The numbers of the columns and what each must be multiplied with for their sum to be `sums`. The basis is full.
    fn solve(&self, sums: Vec<u128>) -> Vec<(usize, u128)> {
        let words = self.size.div_ceil(64);
        let mut rows: Vec<(Vec<u64>, u128)> = sums.into_iter().map(|sum| (vec![0; words], sum)).collect();
        for (j, (_, column)) in self.chosen.iter().enumerate() {
            for (word, &mask) in column.iter().enumerate() {
                bits(mask).for_each(|bit| rows[64 * word + bit].0[j / 64] ^= 1 << (j % 64));
            }
        }
        for j in 0..self.size {
            let set = |row: &(Vec<u64>, u128)| row.0[j / 64] >> (j % 64) & 1 == 1;
            // The columns are independent, so some row from the j-th on has column j.
            let Some(found) = (j..self.size).find(|&i| set(&rows[i])) else { continue };
            rows.swap(j, found);
            let pivot = rows[j].clone();
            for (i, row) in rows.iter_mut().enumerate() {
                if i != j && set(row) {
                    row.0[j / 64..].iter_mut().zip(&pivot.0[j / 64..]).for_each(|(a, b)| *a ^= b);
                    row.1 ^= pivot.1;
                }
            }
        }
        self.chosen.iter().zip(rows).map(|((number, _), (_, value))| (*number, value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_read_what_the_mask_names() {
        let dense: Vec<[u8; 16]> = (0..DENSE_SLOTS as u128).map(|i| (1u128 << i).to_le_bytes()).collect();
        let tables = DenseTables::new(&dense);
        for mask in [0, 1, 0xdead_beef_cafe, (1 << DENSE_SLOTS) - 1] {
            assert_eq!(tables.read(mask), u128::from(mask));
        }
    }

    #[test]
    fn rows_with_equal_sparse_slots_are_told_apart_by_their_masks() {
        let layout = Layout { clusters: 1, third: 5, capacity: 60 };
        let solve = |masks: &[u64]| {
            let places: Vec<Place> = (0u32..).zip(masks).map(|(row, &mask)| Place::new([1, 2, 3], mask, row)).collect();
            let values: Vec<[u8; 16]> = masks.iter().map(|mask| [*mask as u8; 16]).collect();
            let mut slots = vec![[0x55; 16]; layout.slots()];
            let mut solver = Solver::default();
            solver.take(std::iter::once(&places[..]), &values, &layout)?;
            solver.solve(&mut slots)?;
            let tables = DenseTables::new(&slots[15..]);
            let read = places.iter().map(|p| p.read_sparse(&slots, 5) ^ tables.read(p.mask()));
            assert!(read.eq(values.iter().map(|value| u128::from_le_bytes(*value))));
            Ok(())
        };
        let masks: Vec<u64> = (0..40).map(|bit| 1 << bit).collect();
        assert_eq!(solve(&masks), Ok(()));
        // The last mask is the XOR of three others, and so is its row.
        assert_eq!(solve(&[1, 2, 4, 7]), Err(KernelError::NoAssignment));
        assert_eq!(solve(&[1; 61]), Err(KernelError::NoAssignment));
    }
}
