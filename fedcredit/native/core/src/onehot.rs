//! One-hot sharing by punctured trees; the sums that the group-by-sum protocol takes over it are in [`crate::sums`].
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
use crate::tree::{Batch, depth};
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

/// What opens a round at the asker: its values (rows, K), and where to keep the vectors, see [`Received::keep`].
pub struct Opening<'a> {
    pub values: &'a [u64],
    pub keep: Option<&'a mut [u64]>,
}

/// A round's corrections at the holder, (round features, rows, K).
pub struct Received<'a> {
    pub words: &'a [u64],
    /// Rows are in the order of the [`Assignment`]; else all `n` are there, by number.
    pub by_position: bool,
    /// Where to keep the vectors, per feature (rows, K, B_f): [`crate::histogram::vector_sums`] sums them again.
    pub keep: Option<&'a mut [u64]>,
}

impl Trees<'_> {
    pub(crate) fn check(&self, round: &Round, at: &Assignment) -> Result<(), KernelError> {
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

    /// The kept vectors of each feature, if any: `rows` take the place of nodes.
    pub(crate) fn kept<'a>(
        &self,
        round: &Round,
        rows: usize,
        keep: Option<&'a mut [u64]>,
    ) -> Result<Vec<Option<&'a mut [u64]>>, KernelError> {
        let Some(keep) = keep else { return Ok(round.features.iter().map(|_| None).collect()) };
        same("kept vectors", self.sums_len(round, rows), keep.len())?;
        Ok(by_feature(self, round, rows, keep).into_iter().map(Some).collect())
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

pub(crate) fn same(what: &'static str, expected: usize, found: usize) -> Result<(), KernelError> {
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
    let piece = segment(1);
    out.par_chunks_mut(piece * (depth - 1)).zip(q.par_chunks(piece * depth)).enumerate().for_each(|(i, (out, q))| {
        let first = first + (i * piece) as u32;
        on_this_processor(LevelSums { trees, delta, feature, first, depth, q, out });
    });
    Ok(out)
}

/// Rows of one task: enough to amortise its set-up where many features keep the cores busy, fewer where few do.
pub(crate) fn segment(n_features: usize) -> usize {
    if n_features >= 4 * rayon::current_num_threads() { 4096 } else { 1024 }
}

/// A task of one thread, compiled once for every kind of AES.
pub(crate) trait Task<T> {
    fn run<H: Hash>(self) -> T;
}

/// Runs `task` on the fastest AES of this processor.
pub(crate) fn on_this_processor<T>(task: impl Task<T>) -> T {
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
        let mut batch: Batch<H> = Batch::new(self.trees.expand_key, self.feature, self.depth);
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

pub(crate) fn by_feature<'a>(trees: &Trees, round: &Round, n_nodes: usize, sums: &'a mut [u64]) -> Vec<&'a mut [u64]> {
    let mut rest = sums;
    let mut parts = Vec::with_capacity(round.features.len());
    for &f in round.features {
        let (part, tail) = rest.split_at_mut(n_nodes * round.n_values * usize::from(trees.bins[f as usize]));
        parts.push(part);
        rest = tail;
    }
    parts
}

pub(crate) fn add_parts(sums: &mut [u64], parts: impl IndexedParallelIterator<Item = Vec<u64>>) {
    let mut collected = Vec::new();
    parts.collect_into_vec(&mut collected);
    for part in collected {
        sums.iter_mut().zip(part).for_each(|(sum, x)| *sum = sum.wrapping_add(x));
    }
}
