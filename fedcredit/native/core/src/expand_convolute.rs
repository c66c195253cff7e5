//! The expand-convolute code: compresses a sparse vector of `n` cells to `m <= n / 2` that look uniform (LPN).
//!
//! Raghuraman, Rindal and Tanguy (CRYPTO 2023): convolve the vector with random taps, then let every output be the sum
//! of a few random cells. All coefficients are bits, so the code acts in the same way on each bit of a cell, and cells
//! may be elements of any field of characteristic two, or several of them side by side.
//!
//! ```text
//!   z[i]   = e[i] + z[i - 24] + sum over j = 1 .. 23 of tap[i][j] z[i - j]        cells before the first are zero
//!   out[i] = sum over j = 0 .. 6 of z[place[i][j]],       place[i][j] uniform in the j-th seventh of the cells
//! ```
//!
//! The oldest tap is always one, so that a state of the convolution that is not zero never falls back to zero by
//! itself; one place in each seventh keeps all impulses of an output from lying close to the end.

use rayon::prelude::*;

use crate::error::KernelError;
use crate::gf128::Element;
use crate::hash::Stream;

/// Cells an output is the sum of.
pub const WEIGHT: usize = 7;
/// Cells that the convolution looks back.
pub const STATE: usize = 24;

/// Positions whose random bits are drawn at once.
const RUN: usize = 1024;
/// Outputs whose cells are asked for ahead of their use.
const AHEAD: usize = 32;

/// A cell of `K` words: one or two elements.
pub type Cell<const K: usize> = [u64; K];

/// The cells, convolved in place, with taps from a public `seed`.
pub fn convolve<const K: usize>(cells: &mut [Cell<K>], seed: &[u8; 16]) {
    #[cfg(target_arch = "x86_64")]
    if crate::vaes::available() {
        return crate::vaes::with_features(|| convolve_all(cells, seed));
    }
    convolve_all(cells, seed);
}

#[inline(always)]
fn convolve_all<const K: usize>(cells: &mut [Cell<K>], seed: &[u8; 16]) {
    let mut stream = Stream::new(seed);
    let mut random = [0u128; RUN / 4];
    for start in (0..cells.len()).step_by(RUN) {
        stream.fill((start / 4) as u64, &mut random);
        let end = cells.len().min(start + RUN);
        for at in start..end {
            let taps = (random[(at - start) / 4] >> (32 * (at % 4))) as u32;
            let (past, rest) = cells.split_at_mut(at);
            match past.last_chunk::<STATE>() {
                Some(window) => step(window, &mut rest[0], taps),
                None => {
                    let mut window = [[0; K]; STATE];
                    window[STATE - at..].copy_from_slice(past);
                    step(&window, &mut rest[0], taps);
                }
            }
        }
    }
}

/// One cell after `window`, whose oldest cell comes first. Bit `j` of `taps` belongs to the cell `j + 1` back.
#[inline(always)]
fn step<const K: usize>(window: &[Cell<K>; STATE], cell: &mut Cell<K>, taps: u32) {
    let mut sum = *cell;
    for w in 0..K {
        sum[w] ^= window[0][w];
    }
    for j in (0..STATE - 1).rev() {
        let keep = u64::from(taps >> j & 1).wrapping_neg();
        for w in 0..K {
            sum[w] ^= window[STATE - 1 - j][w] & keep;
        }
    }
    *cell = sum;
}

/// The outputs of convolved `cells`: each of the `K / 2` elements of a cell to a vector of its own.
///
/// One seventh after the other, so that the cells that are read at random stay in the cache.
pub fn expand<const K: usize>(
    cells: &[Cell<K>],
    seed: &[u8; 16],
    mut out: Vec<&mut [Element]>,
) -> Result<(), KernelError> {
    let m = out.first().map_or(0, |part| part.len());
    if out.len() != K / 2 || out.iter().any(|part| part.len() != m) || m > cells.len() / 2 {
        return Err(KernelError::Shape { what: "outputs", expected: cells.len() / 2, found: m });
    }
    // Every seventh has a cell, and places fit 32 bits.
    if cells.len() < WEIGHT || u32::try_from(cells.len()).is_err() {
        return Err(KernelError::Range { what: "number of cells", index: cells.len() });
    }
    // One task has the same run of outputs in all vectors.
    let mut runs: Vec<Vec<&mut [Element]>> = (0..m.div_ceil(RUN)).map(|_| Vec::with_capacity(K / 2)).collect();
    for part in &mut out {
        runs.iter_mut().zip(part.chunks_mut(RUN)).for_each(|(run, chunk)| run.push(chunk));
    }
    let blocks = (runs.len() * RUN / 4) as u64;
    for j in 0..WEIGHT {
        let seventh = &cells[j * cells.len() / WEIGHT..(j + 1) * cells.len() / WEIGHT];
        runs.par_iter_mut().enumerate().for_each(|(number, parts)| {
            let first = j as u64 * blocks + (number * RUN / 4) as u64;
            #[cfg(target_arch = "x86_64")]
            if crate::vaes::available() {
                return crate::vaes::with_features(|| expand_run(seventh, seed, first, j == 0, parts));
            }
            expand_run(seventh, seed, first, j == 0, parts);
        });
    }
    Ok(())
}

/// Adds a cell of the seventh to each of a run of outputs; with `fresh`, they are zero whatever they hold.
#[inline(always)]
fn expand_run<const K: usize>(
    seventh: &[Cell<K>],
    seed: &[u8; 16],
    first: u64,
    fresh: bool,
    parts: &mut [&mut [Element]],
) {
    let mut random = [0u128; RUN / 4];
    Stream::new(seed).fill(first, &mut random);
    let places: [u32; RUN] = core::array::from_fn(|i| {
        let random = (random[i / 4] >> (32 * (i % 4))) as u32;
        // The high half of the product maps 32 random bits evenly to the seventh, up to its length / 2^32.
        ((u64::from(random) * seventh.len() as u64) >> 32) as u32
    });
    let n = parts[0].len();
    let keep = if fresh { 0 } else { u64::MAX };
    for (i, &place) in places.iter().enumerate().take(n) {
        #[cfg(target_arch = "x86_64")]
        if let Some(&later) = places.get(i + AHEAD) {
            crate::vaes::prefetch(&seventh[later as usize]);
        }
        let cell = &seventh[place as usize];
        for (part, element) in parts.iter_mut().zip(cell.as_chunks::<2>().0) {
            let sum = &mut part[i];
            *sum = [(sum[0] & keep) ^ element[0], (sum[1] & keep) ^ element[1]];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sparse<const K: usize>(n: usize) -> Vec<Cell<K>> {
        let mut cells = vec![[0; K]; n];
        for i in (3..n).step_by(97) {
            cells[i] = core::array::from_fn(|w| (i * (w + 1)) as u64 ^ 0x5555 << w);
        }
        cells
    }

    #[test]
    fn the_code_is_linear_and_the_same_for_every_width() {
        let (n, m) = (3001, 1200);
        let (taps, places) = ([1; 16], [2; 16]);
        let mut wide: Vec<Cell<4>> = sparse(n);
        let mut narrow: [Vec<Cell<2>>; 2] = [0, 2].map(|w| wide.iter().map(|c| [c[w], c[w + 1]]).collect());
        convolve(&mut wide, &taps);
        let mut out = [vec![[0; 2]; m], vec![[0; 2]; m]];
        let [a, b] = &mut out;
        expand(&wide, &places, vec![a, b]).unwrap();
        for (cells, want) in narrow.iter_mut().zip(&out) {
            convolve(cells, &taps);
            let mut found = vec![[0; 2]; m];
            expand(cells, &places, vec![&mut found]).unwrap();
            assert_eq!(&found, want);
        }
    }

    #[test]
    fn the_vector_and_the_plain_convolution_agree() {
        let (mut a, mut b): (Vec<Cell<4>>, Vec<Cell<4>>) = (sparse(5000), sparse(5000));
        convolve(&mut a, &[9; 16]);
        convolve_all(&mut b, &[9; 16]);
        assert_eq!(a, b);
    }

    #[test]
    fn a_cell_that_is_not_zero_never_dies_out() {
        let mut cells = vec![[0u64; 2]; 4000];
        cells[0] = [1, 0];
        convolve(&mut cells, &[3; 16]);
        assert!(cells.windows(STATE).all(|window| window.iter().any(|cell| cell[0] != 0)));
        let ones = cells.iter().filter(|cell| cell[0] != 0).count();
        assert!((1800..2200).contains(&ones), "{ones}");
    }

    #[test]
    fn more_outputs_than_half_the_cells_are_refused() {
        let mut out = vec![[0; 2]; 11];
        assert!(expand::<2>(&[[0; 2]; 21], &[0; 16], vec![&mut out]).is_err());
        assert!(expand::<4>(&[[0; 4]; 40], &[0; 16], vec![&mut out]).is_err());
        assert!(expand::<2>(&[[0; 2]; 6], &[0; 16], vec![&mut out[..1]]).is_err());
    }
}
