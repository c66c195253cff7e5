//! Half-tree GGM expansion (Guo, Yang, Wang, Zhang, Xie, Liu and Zhao, EUROCRYPT 2023, figure 3), `BATCH` trees at once.
//!
//! ```text
//!   level 1      q, Delta xor q
//!   child        x  ->  H(x), x xor H(x)        so every level xors to Delta
//! ```
//!
//! The asker expands whole trees. The holder knows, level by level, the xor of the side that its path does not take,
//! and so every node off the path. Its path is secret: no branch or index depends on it.

use crate::hash::{BATCH, Engine, Tweaks};

/// Levels of the tree over `bins` groups.
pub const fn depth(bins: u16) -> usize {
    if bins <= 2 { 1 } else { (bins - 1).ilog2() as usize + 1 }
}

/// Room for one batch: the present level, the next one, and the mask words of the leaves.
pub struct Batch<H> {
    hash: H,
    tweaks: Tweaks,
    pub nodes: Vec<u64>,
    next: Vec<u64>,
    low: Vec<u64>,
    high: Vec<u64>,
    width: usize,
}

impl<H: Engine> Batch<H> {
    #[inline(always)]
    pub fn new(expand_key: &[u8; 16], feature: u32) -> Self {
        Self {
            hash: H::new(expand_key),
            tweaks: Tweaks { feature: u64::from(feature), rows: [0; BATCH] },
            nodes: Vec::new(),
            next: Vec::new(),
            low: Vec::new(),
            high: Vec::new(),
            width: 2,
        }
    }

    /// Starts the trees of up to `BATCH` rows; `pair` gives the two nodes of level 1.
    #[inline(always)]
    pub fn start(&mut self, rows: impl Iterator<Item = u32>, mut pair: impl FnMut(u32) -> [u128; 2]) {
        self.nodes.clear();
        for (tweak, row) in self.tweaks.rows.iter_mut().zip(rows) {
            *tweak = u64::from(row);
            self.nodes.extend(pair(row).iter().flat_map(|x| [*x as u64, (x >> 64) as u64]));
        }
        // A short batch is filled up with idle trees, so that the hash always works on whole vectors.
        self.nodes.resize(4 * BATCH, 0);
        self.width = 2;
    }

    /// One level down.
    #[inline(always)]
    pub fn descend(&mut self) {
        self.next.resize(2 * self.nodes.len(), 0);
        self.hash.expand(&self.nodes, self.width, &self.tweaks, &mut self.next);
        std::mem::swap(&mut self.nodes, &mut self.next);
        self.width *= 2;
    }

    /// The present level, tree by tree, two words to a node.
    #[inline(always)]
    pub fn trees(&mut self) -> impl Iterator<Item = &mut [u64]> {
        self.nodes.chunks_exact_mut(2 * self.width)
    }

    /// Drops the leaves beyond `bins`, but for one where needed to keep vectors whole.
    #[inline(always)]
    pub fn prune(&mut self, bins: usize) {
        let width = bins.next_multiple_of(2).min(self.width);
        if width < self.width {
            for tree in 1..BATCH {
                let from = 2 * tree * self.width;
                self.nodes.copy_within(from..from + 2 * width, 2 * tree * width);
            }
            self.nodes.truncate(2 * BATCH * width);
            self.width = width;
        }
    }

    /// Hashes the leaves under a round's key: two words to a leaf, the masks of two values.
    #[inline(always)]
    pub fn mask(&mut self, hash: &mut H) {
        let leaves = self.nodes.len() / 2;
        self.low.resize(leaves, 0);
        self.high.resize(leaves, 0);
        hash.words(&self.nodes, self.width, &self.tweaks, &mut self.low, &mut self.high);
    }

    /// The masks of tree `g`: low words for even values, high words for odd ones.
    #[inline(always)]
    pub fn masks(&self, g: usize, value: usize, bins: usize) -> &[u64] {
        let words = if value.is_multiple_of(2) { &self.low } else { &self.high };
        &words[g * self.width..][..bins]
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
    /// Expands all nodes off the paths; those on them are zero.
    #[inline(always)]
    pub fn expand<H: Engine>(&self, batch: &mut Batch<H>, rows: &[u32]) {
        batch.start(rows.iter().copied(), |row| {
            let (key, right) = (self.keys[row as usize * self.depth], self.bit(row, 0));
            let took_right = u128::from(right).wrapping_neg();
            [key & took_right, key & !took_right]
        });
        for level in 1..self.depth {
            batch.descend();
            for (&row, nodes) in rows.iter().zip(batch.trees()) {
                let prefix = u64::from(self.codes[row as usize]) >> (self.depth - level);
                let key = self.keys[row as usize * self.depth + level];
                H::open_sibling(nodes, prefix, self.bit(row, level), key);
            }
        }
    }

    /// Bit `level` of the group of `row`, most significant first.
    #[inline(always)]
    fn bit(&self, row: u32, level: usize) -> u64 {
        (u64::from(self.codes[row as usize]) >> (self.depth - 1 - level)) & 1
    }
}
