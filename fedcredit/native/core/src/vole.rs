//! Silent vector oblivious linear evaluation over GF(2^128), one piece of it: `c = a Delta + b`.
//!
//! The sender has `Delta` and `b`, the receiver `a` and `c`. With punctured trees and correlated transfers both make a
//! sparse instance, `noise` in `trees` secret places: `c' = e Delta + b'`; a public linear code makes a long one of it,
//! pseudorandom by the LPN assumption (Boyle, Couteau, Gilboa, Ishai, CCS 2018; Rindal and Schoppmann, EUROCRYPT 2021).
//!
//! Transfers of a piece, `q_i = t_i xor choice_i Delta`: 128 for each tree, choices the bits of its noise `y`, then
//! `depth` for each tree, choices the inverse bits of its place, upper bit first.
//!
//! ```text
//!   receiver   y Delta + b'' = c''       c'' = sum of t_i X^i,    b'' = sum of q_i X^i       i = 0 .. 127
//!   sender     pads of a level: H(q), H(q xor Delta)              receiver H(t), the one of its choice
//!   sender     total = b'' + sum of the leaves, and the leaves are b'
//!   receiver   leaf of the place = total + c'' + sum of the other leaves = b' + y Delta
//! ```

use rayon::prelude::*;

use crate::cot::COLUMN;
use crate::error::KernelError;
use crate::expand_convolute::{Cell, convolve, expand};
use crate::gf128::{Element, add, compose};
use crate::punctured::{Grower, choose, depth, equal};

/// What both sides know of a piece. `key` is public and no other piece has it.
pub struct Piece<'a> {
    pub key: &'a [u8; 32],
    pub trees: usize,
    /// Leaves of a tree, at least 2.
    pub leaves: usize,
}

/// What the sender sends: see [`plant`].
pub struct Offer {
    /// (trees, depth, 2): the sums of a level's left and right nodes, each under its pad.
    pub levels: Vec<Element>,
    /// (trees,)
    pub totals: Vec<Element>,
}

impl Piece<'_> {
    /// Cells of the sparse vector.
    pub fn cells(&self) -> usize {
        self.trees * self.leaves
    }

    /// Levels of a tree.
    pub fn depth(&self) -> usize {
        depth(self.leaves)
    }

    /// Transfers that the piece takes.
    pub fn transfers(&self) -> usize {
        self.trees * (COLUMN + self.depth())
    }

    fn check(&self, transfers: usize, cells: usize) -> Result<(), KernelError> {
        if self.trees == 0 || self.leaves < 2 || u32::try_from(self.cells()).is_err() {
            return Err(KernelError::Range { what: "shape of the trees", index: self.leaves });
        }
        // Transfers are made in columns; those beyond are not used.
        if transfers < self.transfers() {
            return Err(KernelError::Shape { what: "transfers", expected: self.transfers(), found: transfers });
        }
        same("cells", self.cells(), cells)
    }

    /// The public keys of one tree.
    fn tree_keys(&self, tree: usize) -> [u8; 32] {
        self.derive(b'T', &(tree as u64).to_le_bytes())
    }

    fn seed(&self, use_: u8) -> [u8; 16] {
        let [low, _] = halves(self.derive(use_, &[]));
        low
    }

    /// The pad of transfer `number`.
    fn pad(&self, number: usize, block: Element) -> Element {
        let mut input = [0; 24];
        input[..8].copy_from_slice(&(number as u64).to_le_bytes());
        input[8..16].copy_from_slice(&block[0].to_le_bytes());
        input[16..].copy_from_slice(&block[1].to_le_bytes());
        let [low, _] = halves(self.derive(b'P', &input));
        let whole = u128::from_le_bytes(low);
        [whole as u64, (whole >> 64) as u64]
    }

    fn derive(&self, use_: u8, input: &[u8]) -> [u8; 32] {
        blake3::Hasher::new_keyed(self.key).update(&[use_]).update(input).finalize().into()
    }
}

/// The sender's trees, from `roots` (trees,): leaves into `cells`, and what to send.
pub fn plant(
    piece: &Piece,
    delta: Element,
    q: &[Element],
    roots: &[Element],
    cells: &mut [Cell<2>],
) -> Result<Offer, KernelError> {
    piece.check(q.len(), cells.len())?;
    same("roots", piece.trees, roots.len())?;
    let (values, choices) = q.split_at(piece.trees * COLUMN);
    let depth = piece.depth();
    let mut offer = Offer { levels: vec![[0, 0]; piece.trees * depth * 2], totals: vec![[0, 0]; piece.trees] };
    cells
        .par_chunks_mut(piece.leaves)
        .zip(offer.levels.par_chunks_mut(2 * depth))
        .zip(&mut offer.totals)
        .zip(roots)
        .enumerate()
        .for_each_init(
            || Grower::new(piece.leaves),
            |grower, (tree, (((cells, levels), total), root))| {
                grower.rekey(&piece.tree_keys(tree));
                let leaves = grower.plant(*root, |l, sums| {
                    let number = tree * depth + l;
                    let block = choices[number];
                    levels[2 * l] = add(sums[0], piece.pad(number, block));
                    levels[2 * l + 1] = add(sums[1], piece.pad(number, add(block, delta)));
                });
                cells.copy_from_slice(leaves);
                let base = compose(&values[tree * COLUMN..][..COLUMN]);
                *total = leaves.iter().fold(base, |sum, leaf| add(sum, *leaf));
            },
        );
    Ok(offer)
}

/// The receiver's trees around its `places` (trees,) with its `noise` (trees,): cells of `c'` and `e` side by side.
pub fn regrow(
    piece: &Piece,
    t: &[Element],
    places: &[u32],
    noise: &[Element],
    offer: &Offer,
    cells: &mut [Cell<4>],
) -> Result<(), KernelError> {
    piece.check(t.len(), cells.len())?;
    let depth = piece.depth();
    same("places", piece.trees, places.len())?;
    same("noise", piece.trees, noise.len())?;
    same("levels", piece.trees * depth * 2, offer.levels.len())?;
    same("totals", piece.trees, offer.totals.len())?;
    if let Some(index) = places.iter().position(|&place| place as usize >= piece.leaves) {
        return Err(KernelError::Range { what: "places", index });
    }
    let (values, choices) = t.split_at(piece.trees * COLUMN);
    cells.par_chunks_mut(piece.leaves).enumerate().for_each_init(
        || Grower::new(piece.leaves),
        |grower, (tree, cells)| {
            grower.rekey(&piece.tree_keys(tree));
            let place = places[tree];
            let leaves = grower.regrow(place, |l| {
                let number = tree * depth + l;
                let offered = &offer.levels[2 * number..][..2];
                // The side off the path: left, number 0, where the path goes right.
                let left = u64::from(place >> (depth - 1 - l) & 1).wrapping_neg();
                add(choose(left, [offered[1], offered[0]]), piece.pad(number, choices[number]))
            });
            let base = add(offer.totals[tree], compose(&values[tree * COLUMN..][..COLUMN]));
            let hole = leaves.iter().fold(base, |sum, leaf| add(sum, *leaf));
            let noise = noise[tree];
            for ((cell, leaf), number) in cells.iter_mut().zip(leaves).zip(0u32..) {
                let here = equal(number, place);
                *cell = [leaf[0] ^ (here & hole[0]), leaf[1] ^ (here & hole[1]), here & noise[0], here & noise[1]];
            }
        },
    );
    Ok(())
}

/// The sender's `b` from its cells, which are used up.
pub fn compress_sender(piece: &Piece, cells: &mut [Cell<2>], b: &mut [Element]) -> Result<(), KernelError> {
    piece.check(piece.transfers(), cells.len())?;
    convolve(cells, &piece.seed(b'C'));
    expand(cells, &piece.seed(b'E'), vec![b])
}

/// The receiver's `a` and `c` from its cells, which are used up.
pub fn compress_receiver(
    piece: &Piece,
    cells: &mut [Cell<4>],
    a: &mut [Element],
    c: &mut [Element],
) -> Result<(), KernelError> {
    piece.check(piece.transfers(), cells.len())?;
    convolve(cells, &piece.seed(b'C'));
    expand(cells, &piece.seed(b'E'), vec![c, a])
}

fn halves(bytes: [u8; 32]) -> [[u8; 16]; 2] {
    let (parts, _) = bytes.as_chunks::<16>();
    [parts[0], parts[1]]
}

fn same(what: &'static str, expected: usize, found: usize) -> Result<(), KernelError> {
    if expected == found { Ok(()) } else { Err(KernelError::Shape { what, expected, found }) }
}
