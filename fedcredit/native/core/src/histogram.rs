//! Sums per bin in the clear: a party's own columns, and the `plain` backend of the tests.

use rayon::prelude::*;

use crate::error::KernelError;
use crate::onehot::Assignment;

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
