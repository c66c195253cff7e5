//! One-hot sharing by punctured trees, and the sums that the group-by-sum protocol takes over it.
//!
//! For row `i` and feature `f` with `B_f` groups the asker knows all leaves of a tree ([`crate::tree`]), the holder all
//! but the leaf of its group `b[i, f]`. Level `l` reaches the holder with one block: `m_l = q_l xor (xor of the even
//! nodes)`; its transfer has the inverse of bit `l` of `b` as choice, so it opens the xor of the side that its path does
//! not take. A round derives fresh masks `H_round(leaf)` from the leaves, two words of 64 bits to a call.
//!
//! With `a_j` the masks of all leaves, those beyond `B_f` included, the asker sends `c = v + sum_j a_j`; the holder's
//! vector is `a_j` for `j != b` and `c - sum_{j != b} a_j = v + a_b` for `j = b`. The difference of the two vectors is `v` at `b` and 0 elsewhere.
//!
//! Orders: everything is feature-major. Roots `(F, n)`, keys `(F, n, depth_f)`, sums per feature `(nodes, K, B_f)`,
//! corrections `(F, rows, K)`. The holder's groups are secret, and no branch or index depends on them.

use rayon::prelude::*;

use crate::error::KernelError;
use crate::hash::{BATCH, Hash, Portable};
use crate::tree::{Batch, Paths, depth};
#[cfg(target_arch = "x86_64")]
use crate::vaes::{self, Vaes};

/// Groups of one feature, at most: a group number is a byte.
pub const MAX_BINS: usize = 256;

/// The public shape of the trees of a session.
#[derive(Clone, Copy)]
pub struct Trees<'a> {
    /// Rows `n`.
    pub n_rows: usize,
    /// `B_f` of each feature, 2 to 256.
    pub bins: &'a [u16],
    /// Key of the expansion hash.
    pub expand_key: &'a [u8; 16],
}

/// One round: which features take part, and the keys of the mask hash, one to two values.
#[derive(Clone, Copy)]
pub struct Round<'a> {
    pub features: &'a [u32],
    pub mask_keys: &'a [[u8; 16]],
    /// Values `K` summed at once.
    pub n_values: usize,
}

/// The rows that a call sums, and the node (set of rows) each belongs to.
#[derive(Clone, Copy)]
pub struct Assignment<'a> {
    pub rows: &'a [u32],
    pub nodes: &'a [u32],
    pub n_nodes: usize,
}

/// A round's corrections at the holder, (round features, rows, K).
#[derive(Clone, Copy)]
pub struct Received<'a> {
    pub words: &'a [u64],
    /// Rows are in the order of the [`Assignment`]; else all `n` are there, by number.
    pub by_position: bool,
}

impl Trees<'_> {
    fn check(&self, round: &Round, at: &Assignment) -> Result<(), KernelError> {
        check_assignment(at, self.n_rows)?;
        if let Some(index) = self.bins.iter().position(|&b| !(2..=MAX_BINS).contains(&usize::from(b))) {
            return Err(KernelError::Range { what: "bins", index });
        }
        if let Some(index) = round.features.iter().position(|&f| f as usize >= self.bins.len()) {
            return Err(KernelError::Range { what: "features", index });
        }
        same("mask keys", round.n_values.div_ceil(2), round.mask_keys.len())?;
        if round.n_values == 0 {
            return Err(KernelError::Range { what: "values", index: 0 });
        }
        Ok(())
    }

    /// Elements of the sums of a round.
    pub fn sums_len(&self, round: &Round, n_nodes: usize) -> usize {
        round.features.iter().map(|&f| n_nodes * round.n_values * usize::from(self.bins[f as usize])).sum()
    }
}

fn check_assignment(at: &Assignment, n_rows: usize) -> Result<(), KernelError> {
    same("nodes", at.rows.len(), at.nodes.len())?;
    if let Some(index) = at.rows.iter().position(|&r| r as usize >= n_rows) {
        return Err(KernelError::Range { what: "rows", index });
    }
    if let Some(index) = at.nodes.iter().position(|&q| q as usize >= at.n_nodes) {
        return Err(KernelError::Range { what: "nodes", index });
    }
    Ok(())
}

fn same(what: &'static str, expected: usize, found: usize) -> Result<(), KernelError> {
    if expected == found { Ok(()) } else { Err(KernelError::Shape { what, expected, found }) }
}

/// The asker's side of set-up for rows `first..` of `feature`: `q` holds `(rows, depth)` blocks of its correlated
/// transfers; returns the blocks `(rows, depth - 1)` to send. The roots are the first block of every row of `q`.
pub fn level_sums(trees: &Trees, delta: u128, feature: u32, first: u32, q: &[u128]) -> Result<Vec<u128>, KernelError> {
    let bins =
        *trees.bins.get(feature as usize).ok_or(KernelError::Range { what: "features", index: feature as usize })?;
    let depth = depth(bins);
    let n = q.len() / depth;
    same("q", n * depth, q.len())?;
    if first as usize + n > trees.n_rows {
        return Err(KernelError::Range { what: "rows", index: first as usize + n });
    }
    let mut out = vec![0u128; n * (depth - 1)];
    if depth == 1 {
        return Ok(out);
    }
    let piece = SEGMENT.next_multiple_of(BATCH);
    out.par_chunks_mut(piece * (depth - 1)).zip(q.par_chunks(piece * depth)).enumerate().for_each(|(i, (out, q))| {
        let first = first + (i * piece) as u32;
        on_this_processor(LevelSums { trees, delta, feature, first, depth, q, out });
    });
    Ok(out)
}

/// The asker's sums of its masks, added to `sums`; with `values` also the corrections `(features, rows, K)` to send.
///
/// Shapes: `roots` (F, n); `values` (rows, K); `sums` see [`Trees::sums_len`].
pub fn asker_sums(
    trees: &Trees,
    delta: u128,
    roots: &[u128],
    round: &Round,
    at: &Assignment,
    values: Option<&[u64]>,
    sums: &mut [u64],
) -> Result<Vec<u64>, KernelError> {
    trees.check(round, at)?;
    same("roots", trees.bins.len() * trees.n_rows, roots.len())?;
    same("sums", trees.sums_len(round, at.n_nodes), sums.len())?;
    let k = round.n_values;
    let per_feature = at.rows.len() * k;
    if let Some(values) = values {
        same("values", per_feature, values.len())?;
    }
    let mut corrections = vec![0u64; if values.is_some() { round.features.len() * per_feature } else { 0 }];
    let out_of_feature = split_corrections(&mut corrections, round.features.len(), per_feature);
    let work: Vec<_> =
        round.features.iter().zip(by_feature(trees, round, at.n_nodes, sums)).zip(out_of_feature).collect();
    work.into_par_iter().for_each(|((&feature, sums), out)| {
        let bins = usize::from(trees.bins[feature as usize]);
        let roots = &roots[feature as usize * trees.n_rows..][..trees.n_rows];
        let pieces = out.map_or_else(
            || at.rows.chunks(SEGMENT).map(|_| None).collect::<Vec<_>>(),
            |out| out.chunks_mut(SEGMENT * k).map(Some).collect(),
        );
        add_parts(
            sums,
            pieces.into_par_iter().zip(at.rows.par_chunks(SEGMENT)).enumerate().map(|(s, (out, rows))| {
                let nodes = &at.nodes[s * SEGMENT..][..rows.len()];
                let values = values.map(|v| &v[s * SEGMENT * k..][..rows.len() * k]);
                let at = Assignment { rows, nodes, n_nodes: at.n_nodes };
                on_this_processor(AskerSegment { trees, delta, roots, feature, bins, round, at, values, out })
            }),
        );
    });
    Ok(corrections)
}

/// Rows of one task: enough to amortise its set-up, few enough to keep all cores busy.
const SEGMENT: usize = 4096;

/// A task of one thread, compiled once for every kind of AES.
trait Task<T> {
    fn run<H: Hash>(self) -> T;
}

/// Runs `task` on the fastest AES of this processor.
fn on_this_processor<T>(task: impl Task<T>) -> T {
    #[cfg(target_arch = "x86_64")]
    if vaes::available() {
        return vaes::with_features(|| task.run::<Vaes>());
    }
    task.run::<Portable>()
}

struct LevelSums<'a> {
    trees: &'a Trees<'a>,
    delta: u128,
    feature: u32,
    first: u32,
    depth: usize,
    q: &'a [u128],
    out: &'a mut [u128],
}

impl Task<()> for LevelSums<'_> {
    #[inline(always)]
    fn run<H: Hash>(self) {
        let mut batch: Batch<H> = Batch::new(self.trees.expand_key, self.feature);
        let step = self.depth - 1;
        for (i, (out, q)) in self.out.chunks_mut(BATCH * step).zip(self.q.chunks(BATCH * self.depth)).enumerate() {
            let first = self.first + (i * BATCH) as u32;
            let rows = (q.len() / self.depth) as u32;
            batch.start(first..first + rows, |row| {
                let root = q[(row - first) as usize * self.depth];
                [root, self.delta ^ root]
            });
            for level in 1..self.depth {
                batch.descend();
                for ((out, q), nodes) in out.chunks_mut(step).zip(q.chunks(self.depth)).zip(batch.trees()) {
                    let even = nodes.as_chunks::<4>().0.iter().fold([0; 2], |sum, x| [sum[0] ^ x[0], sum[1] ^ x[1]]);
                    out[level - 1] = q[level] ^ ((u128::from(even[1]) << 64) | u128::from(even[0]));
                }
            }
        }
    }
}

struct AskerSegment<'a> {
    trees: &'a Trees<'a>,
    delta: u128,
    roots: &'a [u128],
    feature: u32,
    bins: usize,
    round: &'a Round<'a>,
    at: Assignment<'a>,
    values: Option<&'a [u64]>,
    out: Option<&'a mut [u64]>,
}

impl Task<Vec<u64>> for AskerSegment<'_> {
    #[inline(always)]
    fn run<H: Hash>(mut self) -> Vec<u64> {
        let (k, bins) = (self.round.n_values, self.bins);
        let mut sums = vec![0u64; self.at.n_nodes * k * bins];
        let mut batch: Batch<H> = Batch::new(self.trees.expand_key, self.feature);
        let mut masks: Vec<H> = self.round.mask_keys.iter().map(H::new).collect();
        for (b, (rows, nodes)) in self.at.rows.chunks(BATCH).zip(self.at.nodes.chunks(BATCH)).enumerate() {
            batch.start(rows.iter().copied(), |row| {
                let root = self.roots[row as usize];
                [root, self.delta ^ root]
            });
            for _ in 1..depth(bins as u16) {
                batch.descend();
            }
            for value in 0..k {
                if value % 2 == 0 {
                    batch.mask(&mut masks[value / 2]);
                }
                for (g, &node) in nodes.iter().enumerate() {
                    let cells = &mut sums[(node as usize * k + value) * bins..][..bins];
                    let words = batch.masks(g, value);
                    cells.iter_mut().zip(&*words).for_each(|(cell, &mask)| *cell = cell.wrapping_add(mask));
                    let total = words.iter().fold(0u64, |sum, &mask| sum.wrapping_add(mask));
                    if let (Some(out), Some(values)) = (self.out.as_deref_mut(), self.values) {
                        let at = (b * BATCH + g) * k + value;
                        out[at] = values[at].wrapping_add(total);
                    }
                }
            }
        }
        sums
    }
}

/// The holder's sums of its vectors, added to `sums`.
///
/// Shapes: `keys` per feature (n, depth_f), concatenated; `codes` (F, n).
pub fn holder_sums(
    trees: &Trees,
    keys: &[u128],
    codes: &[u8],
    round: &Round,
    at: &Assignment,
    corrections: Received,
    sums: &mut [u64],
) -> Result<(), KernelError> {
    trees.check(round, at)?;
    let n = trees.n_rows;
    let Received { words: corrections, by_position } = corrections;
    let stride = round.n_values * if by_position { at.rows.len() } else { n };
    let starts: Vec<usize> = trees
        .bins
        .iter()
        .scan(0, |next, &b| {
            let start = *next;
            *next += n * depth(b);
            Some(start)
        })
        .collect();
    same("keys", trees.bins.iter().map(|&b| n * depth(b)).sum(), keys.len())?;
    same("codes", trees.bins.len() * n, codes.len())?;
    same("corrections", round.features.len() * stride, corrections.len())?;
    same("sums", trees.sums_len(round, at.n_nodes), sums.len())?;
    let work: Vec<_> = round.features.iter().zip(by_feature(trees, round, at.n_nodes, sums)).enumerate().collect();
    work.into_par_iter().for_each(|(slot, (&feature, sums))| {
        let bins = trees.bins[feature as usize];
        let depth = depth(bins);
        let paths = Paths {
            depth,
            keys: &keys[starts[feature as usize]..][..n * depth],
            codes: &codes[feature as usize * n..][..n],
        };
        let corrections = &corrections[slot * stride..][..stride];
        let pieces = at.rows.par_chunks(SEGMENT).zip(at.nodes.par_chunks(SEGMENT)).enumerate();
        add_parts(
            sums,
            pieces.map(|(s, (rows, nodes))| {
                let at = Assignment { rows, nodes, n_nodes: at.n_nodes };
                let bins = usize::from(bins);
                let first = by_position.then_some(s * SEGMENT);
                on_this_processor(HolderSegment { trees, feature, bins, paths, round, at, corrections, first })
            }),
        );
    });
    Ok(())
}

struct HolderSegment<'a> {
    trees: &'a Trees<'a>,
    feature: u32,
    bins: usize,
    paths: Paths<'a>,
    round: &'a Round<'a>,
    at: Assignment<'a>,
    corrections: &'a [u64],
    /// Position of the first row, where corrections are in the order of the rows; else they are by row number.
    first: Option<usize>,
}

impl Task<Vec<u64>> for HolderSegment<'_> {
    #[inline(always)]
    fn run<H: Hash>(self) -> Vec<u64> {
        let (k, bins) = (self.round.n_values, self.bins);
        let mut sums = vec![0u64; self.at.n_nodes * k * bins];
        let mut batch: Batch<H> = Batch::new(self.trees.expand_key, self.feature);
        let mut masks: Vec<H> = self.round.mask_keys.iter().map(H::new).collect();
        for (b, (rows, nodes)) in self.at.rows.chunks(BATCH).zip(self.at.nodes.chunks(BATCH)).enumerate() {
            let next = &self.at.rows[((b + 1) * BATCH).min(self.at.rows.len())..];
            self.paths.prefetch(&next[..next.len().min(BATCH)]);
            self.paths.expand(&mut batch, rows);
            for value in 0..k {
                if value % 2 == 0 {
                    batch.mask(&mut masks[value / 2]);
                }
                for (g, (&row, &node)) in rows.iter().zip(nodes).enumerate() {
                    let place = self.first.map_or(row as usize, |first| first + b * BATCH + g);
                    let words = batch.masks(g, value);
                    // Slot 0 was hashed from nothing; the row's own entry is what the correction leaves.
                    let others = words[1..].iter().fold(0u64, |sum, &mask| sum.wrapping_add(mask));
                    words[0] = self.corrections[place * k + value].wrapping_sub(others);
                    self.paths.place(row, words);
                    let cells = &mut sums[(node as usize * k + value) * bins..][..bins];
                    cells.iter_mut().zip(words).for_each(|(cell, mask)| *cell = cell.wrapping_add(*mask));
                }
            }
        }
        sums
    }
}

fn by_feature<'a>(trees: &Trees, round: &Round, n_nodes: usize, sums: &'a mut [u64]) -> Vec<&'a mut [u64]> {
    let mut rest = sums;
    let mut parts = Vec::with_capacity(round.features.len());
    for &f in round.features {
        let (part, tail) = rest.split_at_mut(n_nodes * round.n_values * usize::from(trees.bins[f as usize]));
        parts.push(part);
        rest = tail;
    }
    parts
}

fn split_corrections(all: &mut [u64], n_features: usize, per_feature: usize) -> Vec<Option<&mut [u64]>> {
    if all.is_empty() {
        return (0..n_features).map(|_| None).collect();
    }
    all.chunks_mut(per_feature).map(Some).collect()
}

fn add_parts(sums: &mut [u64], parts: impl IndexedParallelIterator<Item = Vec<u64>>) {
    let mut collected = Vec::new();
    parts.collect_into_vec(&mut collected);
    for part in collected {
        sums.iter_mut().zip(part).for_each(|(sum, x)| *sum = sum.wrapping_add(x));
    }
}
