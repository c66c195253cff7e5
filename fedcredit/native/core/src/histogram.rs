//! Sums over nodes without cryptography: per bin of a party's own columns, and of vectors kept from a round.

use rayon::prelude::*;

use crate::error::KernelError;
use crate::onehot::{Assignment, add_parts, segment};

/// Adds `values[pos, k]` to cell `(node, k, codes[f, row])` of feature `f` for every position, modulo 2^64.
///
/// Shapes: `codes` (F, n), `values` (rows, K), `sums` per feature in `features` (nodes, K, B_f), concatenated.
pub fn bin_sums(
    codes: &[u8],
    n_rows: usize,
    bins: &[u16],
    features: &[u32],
    at: &Assignment,
    values: &[u64],
    sums: &mut [u64],
) -> Result<(), KernelError> {
    let shape = |what, expected, found| {
        if expected == found { Ok(()) } else { Err(KernelError::Shape { what, expected, found }) }
    };
    shape("codes", bins.len() * n_rows, codes.len())?;
    shape("nodes", at.rows.len(), at.nodes.len())?;
    if at.rows.is_empty() {
        return Ok(());
    }
    let k = values.len() / at.rows.len();
    shape("values", at.rows.len() * k, values.len())?;
    let mut parts = Vec::with_capacity(features.len());
    let mut rest = sums;
    for (index, &f) in features.iter().enumerate() {
        let bins = usize::from(*bins.get(f as usize).ok_or(KernelError::Range { what: "features", index })?);
        let cells = at.n_nodes * k * bins;
        if rest.len() < cells {
            return Err(KernelError::Shape { what: "sums", expected: cells, found: rest.len() });
        }
        let (part, tail) = rest.split_at_mut(cells);
        parts.push((f, bins, part));
        rest = tail;
    }
    shape("sums", 0, rest.len())?;
    parts.into_par_iter().try_for_each(|(f, bins, sums)| {
        let codes = &codes[f as usize * n_rows..][..n_rows];
        for (pos, (&row, &node)) in at.rows.iter().zip(at.nodes).enumerate() {
            let code = *codes.get(row as usize).ok_or(KernelError::Range { what: "rows", index: pos })?;
            if usize::from(code) >= bins || node as usize >= at.n_nodes {
                return Err(KernelError::Range { what: "codes or nodes", index: pos });
            }
            for value in 0..k {
                let cell = &mut sums[(node as usize * k + value) * bins + usize::from(code)];
                *cell = cell.wrapping_add(values[pos * k + value]);
            }
        }
        Ok(())
    })
}

/// Adds row `at.rows[i]` of `vectors` to node `at.nodes[i]`: what a round's kernel kept, over another assignment.
///
/// Shapes, per feature of `bins` and concatenated: `vectors` (n_rows, K, B_f), `sums` (nodes, K, B_f).
pub fn vector_sums(
    vectors: &[u64],
    n_rows: usize,
    bins: &[u16],
    n_values: usize,
    at: &Assignment,
    sums: &mut [u64],
) -> Result<(), KernelError> {
    let cells: usize = bins.iter().map(|&b| n_values * usize::from(b)).sum();
    let shape = |what, expected, found| {
        if expected == found { Ok(()) } else { Err(KernelError::Shape { what, expected, found }) }
    };
    shape("vectors", n_rows * cells, vectors.len())?;
    shape("sums", at.n_nodes * cells, sums.len())?;
    shape("nodes", at.rows.len(), at.nodes.len())?;
    if let Some(index) = at.rows.iter().position(|&r| r as usize >= n_rows) {
        return Err(KernelError::Range { what: "rows", index });
    }
    if let Some(index) = at.nodes.iter().position(|&q| q as usize >= at.n_nodes) {
        return Err(KernelError::Range { what: "nodes", index });
    }
    let (mut work, mut vectors, mut sums) = (Vec::with_capacity(bins.len()), vectors, sums);
    for &b in bins {
        let width = n_values * usize::from(b);
        let (own, rest) = vectors.split_at(n_rows * width);
        let (into, others) = sums.split_at_mut(at.n_nodes * width);
        work.push((width, own, into));
        (vectors, sums) = (rest, others);
    }
    let size = segment(bins.len());
    work.into_par_iter().for_each(|(width, vectors, sums)| {
        let segments = at.rows.par_chunks(size).zip(at.nodes.par_chunks(size));
        add_parts(
            sums,
            segments.map(|(rows, nodes)| {
                let mut part = vec![0u64; at.n_nodes * width];
                for (&row, &node) in rows.iter().zip(nodes) {
                    let cells = &mut part[node as usize * width..][..width];
                    let vector = &vectors[row as usize * width..][..width];
                    cells.iter_mut().zip(vector).for_each(|(cell, word)| *cell = cell.wrapping_add(*word));
                }
                part
            }),
        );
    });
    Ok(())
}
