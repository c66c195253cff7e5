//! Half-tree GGM expansion (Guo, Yang, Wang, Zhang, Xie, Zhang and Liu, EUROCRYPT 2023), `BATCH` trees at once.
//!
//! ```text
//!   level 1      q, Delta xor q
//!   child        x  ->  H(x), x xor H(x)        so every level xors to Delta
//! ```
//!
//! The asker expands whole trees. The holder knows, level by level, the xor of the side that its path does not take,
//! and so every node off the path. Its path is secret, so no branch or index may depend on it: nodes lie where no secret
//! is needed to find them, slot 0 the path, slot 1 its sibling, slot `2 r + side` the children of slot `r > 0`, and
//! only the finished masks are brought into the order of the leaves, by conditional swaps.

use std::hint::black_box;

use crate::hash::{BATCH, Hash, Tweaks, feature_key};

/// Levels of the tree over `bins` groups.
pub const fn depth(bins: u16) -> usize {
    if bins <= 2 { 1 } else { (bins - 1).ilog2() as usize + 1 }
}

/// Room for one batch: the present level, the next one, and the mask words of the leaves. Made once for a task, as wide
/// as the leaves; a level uses the front of it.
pub struct Batch<H> {
    hash: H,
    tweaks: Tweaks,
    nodes: Vec<u64>,
    next: Vec<u64>,
    low: Vec<u64>,
    high: Vec<u64>,
    width: usize,
}

impl<H: Hash> Batch<H> {
    #[inline(always)]
    pub fn new(expand_key: &[u8; 16], feature: u32, depth: usize) -> Self {
        let leaves = BATCH << depth;
        Self {
            hash: H::new(&feature_key(expand_key, feature)),
            tweaks: Tweaks { feature: u64::from(feature), rows: [0; BATCH] },
            nodes: vec![0; 2 * leaves],
            next: vec![0; 2 * leaves],
            low: vec![0; leaves],
            high: vec![0; leaves],
            width: 2,
        }
    }

    /// Starts the trees of up to `BATCH` rows; `pair` gives the two nodes of level 1.
    #[inline(always)]
    pub fn start(&mut self, rows: impl Iterator<Item = u32>, mut pair: impl FnMut(u32) -> [u128; 2]) {
        // A short batch goes on with idle trees of whatever is there, so that the hash always works on whole vectors.
        for ((tweak, nodes), row) in self.tweaks.rows.iter_mut().zip(self.nodes.as_chunks_mut::<4>().0).zip(rows) {
            *tweak = u64::from(row);
            let [left, right] = pair(row);
            *nodes = [left as u64, (left >> 64) as u64, right as u64, (right >> 64) as u64];
        }
        self.width = 2;
    }

    /// One level down.
    #[inline(always)]
    pub fn descend(&mut self) {
        let words = 2 * BATCH * self.width;
        self.hash.expand(&self.nodes[..words], self.width, &self.tweaks, &mut self.next[..2 * words]);
        std::mem::swap(&mut self.nodes, &mut self.next);
        self.width *= 2;
    }

    /// The present level, tree by tree, two words to a node.
    #[inline(always)]
    pub fn trees(&mut self) -> impl Iterator<Item = &mut [u64]> {
        self.nodes[..2 * BATCH * self.width].chunks_exact_mut(2 * self.width)
    }

    /// Hashes the leaves under a round's key: two words to a leaf, the masks of two values.
    #[inline(always)]
    pub fn mask(&mut self, hash: &mut H) {
        let leaves = BATCH * self.width;
        let (low, high) = (&mut self.low[..leaves], &mut self.high[..leaves]);
        hash.words(&self.nodes[..2 * leaves], self.width, &self.tweaks, low, high);
    }

    /// The masks of tree `g`, one a leaf: low words for even values, high words for odd ones.
    #[inline(always)]
    pub fn masks(&mut self, g: usize, value: usize) -> &mut [u64] {
        let words = if value.is_multiple_of(2) { &mut self.low } else { &mut self.high };
        &mut words[g * self.width..][..self.width]
    }
}

/// The paths of a holder's rows in the trees of one feature.
#[derive(Clone, Copy)]
pub struct Paths<'a> {
    pub depth: usize,
    /// (n, depth) blocks: for every level the xor of the side that the path does not take.
    pub keys: &'a [u128],
    /// (n,) groups.
    pub codes: &'a [u8],
}

impl Paths<'_> {
    /// Expands all nodes off the paths, in slots.
    #[inline(always)]
    pub fn expand<H: Hash>(&self, batch: &mut Batch<H>, rows: &[u32]) {
        batch.start(rows.iter().copied(), |row| [0, self.keys[row as usize * self.depth]]);
        for level in 1..self.depth {
            batch.descend();
            for (&row, nodes) in rows.iter().zip(batch.trees()) {
                open_sibling(nodes, self.bit(row, level), self.keys[row as usize * self.depth + level]);
            }
        }
    }

    /// Asks for the keys of rows that come next.
    #[inline(always)]
    pub fn prefetch(&self, rows: &[u32]) {
        #[cfg(target_arch = "x86_64")]
        for &row in rows {
            let keys = &self.keys[row as usize * self.depth..][..self.depth];
            crate::vaes::prefetch(&keys[0]);
            crate::vaes::prefetch(&keys[self.depth - 1]);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = rows;
    }

    /// Brings the words of a row's slots into the order of its leaves; slot 0 ends at the row's own group.
    ///
    /// From the leaves up, at each level the half with the path lies left in slots; it belongs right where the bit is 1.
    #[inline(always)]
    pub fn place(&self, row: u32, words: &mut [u64]) {
        for level in (0..self.depth).rev() {
            let swap = self.bit(row, level).wrapping_neg();
            // Halves of constant size become straight vector code.
            match self.depth - 1 - level {
                0 => swap_halves::<1>(words, swap),
                1 => swap_halves::<2>(words, swap),
                2 => swap_halves::<4>(words, swap),
                3 => swap_halves::<8>(words, swap),
                4 => swap_halves::<16>(words, swap),
                5 => swap_halves::<32>(words, swap),
                6 => swap_halves::<64>(words, swap),
                _ => swap_halves::<128>(words, swap),
            }
        }
    }

    /// Bit `level` of the group of `row`, most significant first. The barrier keeps the compiler from branching on it.
    #[inline(always)]
    fn bit(&self, row: u32, level: usize) -> u64 {
        black_box((u64::from(self.codes[row as usize]) >> (self.depth - 1 - level)) & 1)
    }
}

/// Exchanges the first `N` words with the next `N` where `swap` is all ones, and not where it is zero.
#[inline(always)]
fn swap_halves<const N: usize>(words: &mut [u64], swap: u64) {
    if let Some((left, rest)) = words.split_first_chunk_mut::<N>()
        && let Some(right) = rest.first_chunk_mut::<N>()
    {
        for (a, b) in left.iter_mut().zip(right) {
            let difference = (*a ^ *b) & swap;
            *a ^= difference;
            *b ^= difference;
        }
    }
}

/// Fills slot 1 of a level from `key`, the xor of its side, and empties slot 0. The sibling is on the right where the
/// path's `bit` is 0.
#[inline(always)]
fn open_sibling(nodes: &mut [u64], bit: u64, key: u128) {
    // Words of a pair of children: left low, left high, right low, right high. The first pair is the path's.
    let mut side = [0u64; 4];
    let (path, others) = nodes.split_at_mut(4);
    for pair in others.as_chunks::<4>().0 {
        side.iter_mut().zip(pair).for_each(|(sum, word)| *sum ^= word);
    }
    let (right, left) = (bit.wrapping_sub(1), bit.wrapping_neg());
    let low = key as u64 ^ (side[0] & left) ^ (side[2] & right);
    let high = (key >> 64) as u64 ^ (side[1] & left) ^ (side[3] & right);
    path.copy_from_slice(&[0, 0, low, high]);
}
