//! Rows told apart, and found again, in time linear in their number, and put in order. Rows are dealt out by a hash into parts that fit a
//! core's cache, and each part is sorted on its own.
//!
//! A row takes 8 bytes: what is left of its hash, and its number. Equal hashes are compared in full, so a hash may be
//! cheap, and rows that somebody made to collide cost a sort and no wrong answer.

use rayon::prelude::*;

use crate::error::KernelError;

/// Rows dealt out at a time.
const ROWS_AT_ONCE: usize = 1 << 16;

/// Rows of a part, on average.
const PART_ROWS: usize = 1 << 12;

/// Parts at most, as a power of two: beyond, dealing out costs more than larger parts do.
const MAX_PART_BITS: u32 = 12;

/// Rows in a flat buffer, `width` bytes each.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    bytes: &'a [u8],
    width: usize,
}

impl<'a> Table<'a> {
    pub fn new(what: &'static str, bytes: &'a [u8], width: usize) -> Result<Self, KernelError> {
        if width == 0 || !bytes.len().is_multiple_of(width) {
            return Err(KernelError::Shape { what, expected: width, found: bytes.len() });
        }
        if u32::try_from(bytes.len() / width).is_err() {
            return Err(KernelError::Range { what, index: bytes.len() / width });
        }
        Ok(Self { bytes, width })
    }

    pub fn len(&self) -> usize {
        self.bytes.len() / self.width
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn get(&self, row: u32) -> &'a [u8] {
        &self.bytes[row as usize * self.width..][..self.width]
    }
}

/// The rows of `table` that repeat an earlier one, ascending. Rows of zeros alone are not looked at if `skip_zeros`.
pub fn repeats(table: Table<'_>, skip_zeros: bool) -> Vec<u32> {
    let parts = Parts::new(table, part_bits(table.len()), skip_zeros);
    let mut rows: Vec<u32> = (0..parts.len())
        .into_par_iter()
        .map_init(Vec::new, |part, number| {
            parts.sorted(number, part);
            let mut found = Vec::new();
            for equal in part.chunk_by_mut(|a, b| a.0 == b.0).filter(|equal| equal.len() > 1) {
                equal.sort_unstable_by(|a, b| table.get(a.1).cmp(table.get(b.1)).then(a.1.cmp(&b.1)));
                found.extend(equal.windows(2).filter(|w| table.get(w[0].1) == table.get(w[1].1)).map(|w| w[1].1));
            }
            found
        })
        .flatten_iter()
        .collect();
    rows.par_sort_unstable();
    rows
}

/// The row of `table` equal to each of `wanted`, or -1; the first one if it repeats.
pub fn lookup(table: Table<'_>, wanted: Table<'_>) -> Result<Vec<i64>, KernelError> {
    if table.width != wanted.width {
        return Err(KernelError::Shape { what: "wanted entries", expected: table.width, found: wanted.width });
    }
    let bits = part_bits(table.len());
    let (parts, questions) = (Parts::new(table, bits, false), Parts::new(wanted, bits, false));
    let answers: Vec<Vec<(u32, u32)>> = (0..parts.len())
        .into_par_iter()
        .map_init(Vec::new, |part, number| {
            parts.sorted(number, part);
            let mut found = Vec::new();
            for &(hash, question) in questions.of(number) {
                let start = part.partition_point(|&(other, _)| other < hash);
                let equal = part[start..].iter().take_while(|&&(other, _)| other == hash);
                let same = equal.filter(|&&(_, row)| table.get(row) == wanted.get(question));
                // The part is sorted by hash and row.
                found.extend(same.map(|&(_, row)| (question, row)).next());
            }
            found
        })
        .collect();
    let mut rows = vec![-1; wanted.len()];
    for (question, row) in answers.into_iter().flatten() {
        rows[question as usize] = i64::from(row);
    }
    Ok(rows)
}

/// `rows` of `table` in the order of their bytes; those with equal bytes in the order of their numbers.
pub fn order(table: Table<'_>, rows: &[i64]) -> Result<Vec<i64>, KernelError> {
    let n = table.len();
    let checked: Option<Vec<u32>> =
        rows.par_iter().map(|&row| u32::try_from(row).ok().filter(|&row| (row as usize) < n)).collect();
    let rows = checked.ok_or(KernelError::Range { what: "rows", index: n })?;
    let Some(&first) = rows.first() else {
        return Ok(Vec::new());
    };
    // Identifiers of one register begin alike; what tells them apart comes behind.
    let alike = |row: u32| table.get(row).iter().zip(table.get(first)).take_while(|(a, b)| a == b).count();
    let prefix = rows.par_iter().map(|&row| alike(row)).min().unwrap_or(0);
    let key = |row: u32| {
        let mut key = [0; 8];
        let rest = &table.get(row)[prefix..];
        let length = rest.len().min(8);
        key[..length].copy_from_slice(&rest[..length]);
        u64::from_be_bytes(key)
    };
    let mut keyed: Vec<(u64, u32)> = rows.par_iter().map(|&row| (key(row), row)).collect();
    drop(rows);
    // In place: a stable sort would want half as much memory again for its buffer.
    let full = |a: u32, b: u32| table.get(a).cmp(table.get(b)).then(a.cmp(&b));
    keyed.par_sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| full(a.1, b.1)));
    Ok(keyed.into_iter().map(|(_, row)| i64::from(row)).collect())
}

/// All rows by the first bits of their hash, in pieces of `ROWS_AT_ONCE`: the rest of the hash and the row's number.
struct Parts {
    bits: u32,
    pieces: Vec<Piece>,
}

struct Piece {
    rows: Vec<(u32, u32)>,
    starts: Vec<u32>,
}

impl Parts {
    fn new(table: Table<'_>, bits: u32, skip_zeros: bool) -> Self {
        let pieces = table.bytes.par_chunks(ROWS_AT_ONCE * table.width).enumerate();
        let pieces = pieces.map(|(number, bytes)| {
            let first = (number * ROWS_AT_ONCE) as u32;
            let hashed: Vec<(u64, u32)> = (first..)
                .zip(bytes.chunks_exact(table.width))
                .filter(|(_, bytes)| !skip_zeros || bytes.iter().any(|&byte| byte != 0))
                .map(|(row, bytes)| (hash(bytes), row))
                .collect();
            let part = |hash: u64| (hash.rotate_left(bits) & ((1 << bits) - 1)) as usize;
            let mut starts = vec![0u32; (1 << bits) + 1];
            hashed.iter().for_each(|&(hash, _)| starts[part(hash)] += 1);
            // From counts to where each part ends, and, as it fills from behind, to where it starts.
            let mut end = 0;
            for start in &mut starts {
                end += *start;
                *start = end;
            }
            let mut rows = vec![(0, 0); hashed.len()];
            for &(hash, row) in hashed.iter().rev() {
                let start = &mut starts[part(hash)];
                *start -= 1;
                rows[*start as usize] = (hash as u32, row);
            }
            Piece { rows, starts }
        });
        Self { bits, pieces: pieces.collect() }
    }

    fn len(&self) -> usize {
        1 << self.bits
    }

    fn of(&self, part: usize) -> impl Iterator<Item = &(u32, u32)> {
        self.pieces.iter().flat_map(move |p| &p.rows[p.starts[part] as usize..p.starts[part + 1] as usize])
    }

    /// One part into `out`, by hash and row.
    fn sorted(&self, part: usize, out: &mut Vec<(u32, u32)>) {
        out.clear();
        out.extend(self.of(part));
        out.sort_unstable();
    }
}

fn part_bits(n: usize) -> u32 {
    (n / PART_ROWS).max(1).ilog2().min(MAX_PART_BITS)
}

/// Mixes the words of a row: both ends of the result depend on all of it.
fn hash(bytes: &[u8]) -> u64 {
    let mix = |state: u64, word: u64| {
        let product = u128::from(state ^ word) * 0x9e37_79b9_7f4a_7c15;
        (product ^ (product >> 64)) as u64 ^ word.rotate_left(32)
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let state = words.iter().fold(0x243f_6a88_85a3_08d3, |state, word| mix(state, u64::from_le_bytes(*word)));
    mix(state, u64::from_le_bytes(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[[u8; 20]]) -> Table<'_> {
        Table::new("table", rows.as_flattened(), 20).unwrap()
    }

    fn row(number: u32) -> [u8; 20] {
        let mut row = *b"0000000000----------";
        row[..4].copy_from_slice(&number.to_be_bytes());
        row
    }

    #[test]
    fn finds_what_a_map_finds() {
        for n in [0, 1, 2, 100, 200_000] {
            let rows: Vec<_> = (0..n).map(|i| row(i % 150_000)).collect();
            let again: Vec<u32> = (0..n).filter(|i| *i >= 150_000).collect();
            assert_eq!(repeats(table(&rows), false), again);
            let wanted: Vec<_> = (0..n).rev().map(|i| row(2 * i)).collect();
            let found: Vec<i64> =
                (0..n).rev().map(|i| if 2 * i < n.min(150_000) { i64::from(2 * i) } else { -1 }).collect();
            assert_eq!(lookup(table(&rows), table(&wanted)).unwrap(), found);
        }
    }

    #[test]
    fn zeros_count_when_asked_for() {
        let rows = [[0; 20], row(1), [0; 20], row(1)];
        assert_eq!(repeats(table(&rows), true), [3]);
        assert_eq!(repeats(table(&rows), false), [2, 3]);
        assert_eq!(lookup(table(&rows), table(&[[0; 20], row(1), row(2)])).unwrap(), [0, 1, -1]);
    }

    #[test]
    fn every_row_the_same() {
        let rows = vec![row(7); 100_000];
        assert_eq!(repeats(table(&rows), false), (1..100_000).collect::<Vec<u32>>());
        assert!(lookup(table(&rows), table(&rows[..50])).unwrap().iter().all(|&found| found == 0));
    }

    #[test]
    fn orders_by_bytes_and_equals_by_number() {
        let rows: Vec<_> = (0..50_000u32).map(|i| row(i.wrapping_mul(0x9e37_79b9) % 40_000)).collect();
        let asked: Vec<i64> = (0..50_000).rev().filter(|i| i % 3 != 0).collect();
        let mut expected = asked.clone();
        expected.sort_by_key(|&i| (rows[i as usize], i));
        assert_eq!(order(table(&rows), &asked).unwrap(), expected);
        assert_eq!(order(table(&rows), &[]).unwrap(), []);
        assert_eq!(order(table(&rows[..1]), &[0, 0]).unwrap(), [0, 0]);
        assert!(order(table(&rows), &[-1]).is_err());
        assert!(order(table(&rows), &[50_000]).is_err());
    }

    #[test]
    fn hashes_of_counted_rows_spread() {
        let part = |i: u32| (hash(&row(i)) >> 56) as usize;
        let mut counts = [0; 256];
        (0..256_000).for_each(|i| counts[part(i)] += 1);
        assert!(counts.iter().all(|&count| count > 700 && count < 1300));
    }

    #[test]
    fn refuses_wrong_shapes() {
        assert!(Table::new("table", &[0; 21], 20).is_err());
        assert!(Table::new("table", &[0; 21], 0).is_err());
        assert!(lookup(table(&[]), Table::new("wanted", &[0; 8], 4).unwrap()).is_err());
    }
}
