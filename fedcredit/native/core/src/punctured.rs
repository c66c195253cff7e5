//! Punctured trees: one side knows all leaves of a tree, the other one all but one of them, which it chose in secret.
//!
//! GGM trees (Goldreich, Goldwasser, Micali) with the children of `x` being `AES_l(x) xor x` and `AES_r(x) xor x`, the
//! keys `l`, `r` public and different for every tree. Level by level the planter offers, under the two pads of an
//! oblivious transfer, the xor of all left and that of all right nodes; the other side opens the one off its path.
//!
//! A tree has any number of leaves: what lies beyond them is not grown. The path is secret, so that no branch or index
//! depends on it: the children of the path's node are grown from zero, which makes them two public blocks, and what the
//! path's nodes should be is mended by a scan of the whole level under masks.

use std::hint::black_box;

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Block};

use crate::gf128::{Element, add};

/// Levels of a tree of `leaves` leaves, below its root. Range: `leaves` at least 2.
pub fn depth(leaves: usize) -> usize {
    (leaves - 1).ilog2() as usize + 1
}

/// The node function of one tree, and room for its levels.
pub struct Grower {
    sides: [Aes128; 2],
    scratch: Vec<Block>,
    nodes: Vec<Element>,
    next: Vec<Element>,
    depth: usize,
    leaves: usize,
}

impl Grower {
    /// For trees of `leaves` leaves.
    pub fn new(leaves: usize) -> Self {
        let zero = Aes128::new(&Block::default());
        Self {
            sides: [zero.clone(), zero],
            scratch: Vec::new(),
            nodes: Vec::new(),
            next: Vec::new(),
            depth: depth(leaves),
            leaves,
        }
    }

    /// Takes the keys of another tree.
    pub fn rekey(&mut self, keys: &[u8; 32]) {
        let (left, right) = keys.split_at(16);
        for (side, key) in self.sides.iter_mut().zip([left, right]) {
            let mut block = Block::default();
            block.copy_from_slice(key);
            *side = Aes128::new(&block);
        }
    }

    /// Grows the tree of `root`. `level` is given the xor of the left and of the right nodes of each level, from the top.
    pub fn plant(&mut self, root: Element, mut level: impl FnMut(usize, [Element; 2])) -> &[Element] {
        self.start(root);
        for l in 0..self.depth {
            self.descend(l);
            level(l, sums(&self.nodes));
        }
        &self.nodes
    }

    /// Grows the tree around leaf `hole`, whose content is zero. `opened` gives for each level the xor of all nodes on
    /// the side that the path does not take.
    pub fn regrow(&mut self, hole: u32, mut opened: impl FnMut(usize) -> Element) -> &[Element] {
        self.start([0, 0]);
        // What grows from the path's node, which is zero here.
        let public = [0, 1].map(|side| {
            let mut block = Block::default();
            self.sides[side].encrypt_block(&mut block);
            words(&block)
        });
        for l in 0..self.depth {
            self.descend(l);
            let found = sums(&self.nodes);
            let path = hole >> (self.depth - 1 - l);
            let right = u64::from(path & 1).wrapping_neg();
            let (on_path, off_path) = (choose(right, public), choose(!right, public));
            // The sum on the other side lacks the sibling and has a public block in its place, unless the sibling is
            // beyond the leaves; then the scan does not come to it.
            let sibling = add(add(opened(l), choose(!right, found)), off_path);
            for (node, number) in self.nodes.iter_mut().zip(0u32..) {
                let at_path = equal(number, path);
                let at_sibling = equal(number, path ^ 1);
                for w in 0..2 {
                    node[w] ^= (at_path & on_path[w]) ^ (at_sibling & (off_path[w] ^ sibling[w]));
                }
            }
        }
        &self.nodes
    }

    fn start(&mut self, root: Element) {
        self.nodes.clear();
        self.nodes.push(root);
    }

    /// From level `l - 1` to level `l`, as many nodes as lead to a leaf.
    fn descend(&mut self, l: usize) {
        let width = ((self.leaves - 1) >> (self.depth - 1 - l)) + 1;
        self.next.resize(width, [0, 0]);
        self.scratch.resize(self.nodes.len(), Block::default());
        for (side, cipher) in self.sides.iter().enumerate() {
            for (block, node) in self.scratch.iter_mut().zip(&self.nodes) {
                *block = (u128::from(node[1]) << 64 | u128::from(node[0])).to_le_bytes().into();
            }
            cipher.encrypt_blocks(&mut self.scratch);
            let children = self.next.iter_mut().skip(side).step_by(2);
            for ((child, block), node) in children.zip(&self.scratch).zip(&self.nodes) {
                *child = add(words(block), *node);
            }
        }
        std::mem::swap(&mut self.nodes, &mut self.next);
    }
}

fn words(block: &Block) -> Element {
    let whole = u128::from_le_bytes((*block).into());
    [whole as u64, (whole >> 64) as u64]
}

/// The xor of the nodes with even and of those with odd numbers.
fn sums(nodes: &[Element]) -> [Element; 2] {
    let (pairs, last) = nodes.as_chunks::<2>();
    let mut sums = pairs.iter().fold([[0, 0]; 2], |sum, pair| [add(sum[0], pair[0]), add(sum[1], pair[1])]);
    if let [node] = last {
        sums[0] = add(sums[0], *node);
    }
    sums
}

/// All ones where the numbers are equal, else zero.
#[inline(always)]
pub fn equal(a: u32, b: u32) -> u64 {
    // Zero alone has no bit in it or in its negative.
    let difference = u64::from(a ^ b);
    ((difference | difference.wrapping_neg()) >> 63).wrapping_sub(1)
}

/// The second of a pair where `mask` is all ones, the first where it is zero.
#[inline(always)]
pub fn choose(mask: u64, pair: [Element; 2]) -> Element {
    // Hides from the compiler that the mask is one of two, so that it makes no branch of it.
    let mask = black_box(mask);
    [0, 1].map(|w| pair[0][w] ^ (mask & (pair[0][w] ^ pair[1][w])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regrown_tree_lacks_its_hole_alone() {
        for leaves in [2, 3, 4, 5, 7, 8, 13, 16, 33] {
            let keys: [u8; 32] = core::array::from_fn(|i| (i * 7 + leaves) as u8);
            let mut grower = Grower::new(leaves);
            grower.rekey(&keys);
            let mut offered = Vec::new();
            let all = grower.plant([1, 2], |_, sums| offered.push(sums)).to_vec();
            assert_eq!((all.len(), offered.len()), (leaves, depth(leaves)));
            for hole in 0..leaves as u32 {
                let side = |l: usize| 1 - (hole >> (depth(leaves) - 1 - l) & 1) as usize;
                let found = grower.regrow(hole, |l| offered[l][side(l)]);
                for (number, (a, b)) in all.iter().zip(found).enumerate() {
                    assert_eq!(if number as u32 == hole { &[0, 0] } else { a }, b, "{leaves} {hole} {number}");
                }
            }
        }
    }

    #[test]
    fn equality_is_a_mask() {
        assert_eq!((equal(3, 3), equal(3, 2), equal(0, u32::MAX), equal(0, 0)), (u64::MAX, 0, 0, u64::MAX));
    }
}
