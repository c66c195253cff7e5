//! The sums of a round: the asker's over its masks, the holder's over its vectors. See [`crate::onehot`].

use rayon::prelude::*;

use crate::error::KernelError;
use crate::hash::{BATCH, Hash, feature_key};
use crate::onehot::{
    Assignment, Opening, Received, Round, Task, Trees, add_parts, by_feature, on_this_processor, same, segment,
};
use crate::tree::{Batch, Paths, depth};

/// The asker's sums of its masks, added to `sums`; with an `opening` also the corrections `(features, rows, K)` to send.
///
/// Shapes: `roots` (F, n); `sums` see [`Trees::sums_len`].
pub fn asker_sums(
    trees: &Trees,
    delta: u128,
    roots: &[u128],
    round: &Round,
    at: &Assignment,
    opening: Option<Opening>,
    sums: &mut [u64],
) -> Result<Vec<u64>, KernelError> {
    trees.check(round, at)?;
    same("roots", trees.bins.len() * trees.n_rows, roots.len())?;
    same("sums", trees.sums_len(round, at.n_nodes), sums.len())?;
    let k = round.n_values;
    let per_feature = at.rows.len() * k;
    let (values, keep) = opening.map_or((None, None), |o| (Some(o.values), o.keep));
    if let Some(values) = values {
        same("values", per_feature, values.len())?;
    }
    let mut corrections = vec![0u64; if values.is_some() { round.features.len() * per_feature } else { 0 }];
    let out_of_feature = split_corrections(&mut corrections, round.features.len(), per_feature);
    let kept = trees.kept(round, at.rows.len(), keep)?;
    let sums_of = by_feature(trees, round, at.n_nodes, sums);
    let size = segment(round.features.len());
    let work: Vec<_> = round.features.iter().zip(sums_of).zip(out_of_feature.into_iter().zip(kept)).collect();
    work.into_par_iter().for_each(|((&feature, sums), (out, keep))| {
        let bins = usize::from(trees.bins[feature as usize]);
        let roots = &roots[feature as usize * trees.n_rows..][..trees.n_rows];
        let segments = at.rows.len().div_ceil(size);
        let pieces = pieces(out, size * k, segments).into_par_iter();
        let kept = self::pieces(keep, size * k * bins, segments).into_par_iter();
        add_parts(
            sums,
            pieces.zip(kept).zip(at.rows.par_chunks(size)).enumerate().map(|(s, ((out, keep), rows))| {
                let nodes = &at.nodes[s * size..][..rows.len()];
                let values = values.map(|v| &v[s * size * k..][..rows.len() * k]);
                let at = Assignment { rows, nodes, n_nodes: at.n_nodes };
                on_this_processor(AskerSegment { trees, delta, roots, feature, bins, round, at, values, out, keep })
            }),
        );
    });
    Ok(corrections)
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
    keep: Option<&'a mut [u64]>,
}

impl Task<Vec<u64>> for AskerSegment<'_> {
    #[inline(always)]
    fn run<H: Hash>(mut self) -> Vec<u64> {
        let (k, bins) = (self.round.n_values, self.bins);
        let mut sums = vec![0u64; self.at.n_nodes * k * bins];
        let mut batch: Batch<H> = Batch::new(self.trees.expand_key, self.feature, depth(self.bins as u16));
        let mut masks: Vec<H> =
            self.round.mask_keys.iter().map(|key| H::new(&feature_key(key, self.feature))).collect();
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
                    if let Some(keep) = self.keep.as_deref_mut() {
                        keep[((b * BATCH + g) * k + value) * bins..][..bins].copy_from_slice(&words[..bins]);
                    }
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
    let Received { words: corrections, by_position, keep } = corrections;
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
    let kept = trees.kept(round, at.rows.len(), keep)?;
    let sums_of = by_feature(trees, round, at.n_nodes, sums);
    let size = segment(round.features.len());
    let work: Vec<_> = round.features.iter().zip(sums_of.into_iter().zip(kept)).enumerate().collect();
    work.into_par_iter().for_each(|(slot, (&feature, (sums, keep)))| {
        let bins = trees.bins[feature as usize];
        let depth = depth(bins);
        let paths = Paths {
            depth,
            keys: &keys[starts[feature as usize]..][..n * depth],
            codes: &codes[feature as usize * n..][..n],
        };
        let corrections = &corrections[slot * stride..][..stride];
        let kept_words = size * round.n_values * usize::from(bins);
        let kept = pieces(keep, kept_words, at.rows.len().div_ceil(size)).into_par_iter();
        let segments = at.rows.par_chunks(size).zip(at.nodes.par_chunks(size)).zip(kept).enumerate();
        add_parts(
            sums,
            segments.map(|(s, ((rows, nodes), keep))| {
                let at = Assignment { rows, nodes, n_nodes: at.n_nodes };
                let bins = usize::from(bins);
                let first = by_position.then_some(s * size);
                on_this_processor(HolderSegment { trees, feature, bins, paths, round, at, corrections, first, keep })
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
    keep: Option<&'a mut [u64]>,
}

impl Task<Vec<u64>> for HolderSegment<'_> {
    #[inline(always)]
    fn run<H: Hash>(mut self) -> Vec<u64> {
        let (k, bins) = (self.round.n_values, self.bins);
        let mut sums = vec![0u64; self.at.n_nodes * k * bins];
        let mut batch: Batch<H> = Batch::new(self.trees.expand_key, self.feature, depth(self.bins as u16));
        let mut masks: Vec<H> =
            self.round.mask_keys.iter().map(|key| H::new(&feature_key(key, self.feature))).collect();
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
                    if let Some(keep) = self.keep.as_deref_mut() {
                        keep[((b * BATCH + g) * k + value) * bins..][..bins].copy_from_slice(&words[..bins]);
                    }
                    let cells = &mut sums[(node as usize * k + value) * bins..][..bins];
                    cells.iter_mut().zip(words).for_each(|(cell, mask)| *cell = cell.wrapping_add(*mask));
                }
            }
        }
        sums
    }
}

/// A buffer in pieces of `size`, or as many times nothing.
fn pieces(buffer: Option<&mut [u64]>, size: usize, n: usize) -> Vec<Option<&mut [u64]>> {
    buffer.map_or_else(|| (0..n).map(|_| None).collect(), |buffer| buffer.chunks_mut(size).map(Some).collect())
}

fn split_corrections(all: &mut [u64], n_features: usize, per_feature: usize) -> Vec<Option<&mut [u64]>> {
    if all.is_empty() {
        return (0..n_features).map(|_| None).collect();
    }
    all.chunks_mut(per_feature).map(Some).collect()
}
