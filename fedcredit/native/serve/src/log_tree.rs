//! The Merkle tree of an audit log (RFC 9162, SHA-256) that only ever grows: kept as its frontier, 32 bytes a level.
//!
//! A batch of new leaves gives the new root, the new frontier, and the path of each new leaf to the new root, without
//! any older leaf: what an older subtree adds to such a path is in the frontier.

use sha2::{Digest, Sha256};

/// A node of the tree.
pub type Hash = [u8; 32];

/// The leaf hash of an entry's line without its end.
pub fn leaf_hash(line: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(line).finalize().into()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The roots of the full subtrees that a log of `size` entries is made of; the one of level `l` counts where bit `l`
/// of `size` is set.
#[derive(Debug, Clone, Default)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

/// A batch of leaves behind a log, and the part of every level of the new tree that they changed.
#[derive(Debug)]
pub struct Grown {
    first: u64,
    size: u64,
    levels: Vec<Level>,
}

/// From node `start`, which is even or the first new one, all nodes of one level.
#[derive(Debug)]
struct Level {
    start: u64,
    nodes: Vec<Hash>,
}

impl Frontier {
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree. Of an empty log it is the hash of nothing.
    pub fn root(&self) -> Hash {
        let mut found: Option<Hash> = None;
        for (level, root) in self.roots.iter().enumerate() {
            if self.size >> level & 1 == 1 {
                found = Some(found.map_or(*root, |right| node_hash(root, &right)));
            }
        }
        found.unwrap_or_else(|| Sha256::digest([]).into())
    }

    /// What the tree becomes with `leaves`, of which there is at least one.
    pub fn grow(&self, leaves: Vec<Hash>) -> Grown {
        let (first, size) = (self.size, self.size + leaves.len() as u64);
        let mut levels = Vec::with_capacity(65 - size.leading_zeros() as usize);
        let (mut start, mut nodes) = (first, leaves);
        for depth in 0.. {
            if start & 1 == 1 {
                nodes.insert(0, self.roots[depth]);
                start -= 1;
            }
            let last = start + nodes.len() as u64 == 1;
            let above = nodes.chunks(2).map(|pair| match pair {
                [left, right] => node_hash(left, right),
                alone => alone[0],
            });
            let above: Vec<Hash> = if last { Vec::new() } else { above.collect() };
            levels.push(Level { start, nodes: std::mem::replace(&mut nodes, above) });
            if last {
                break;
            }
            start >>= 1;
        }
        Grown { first, size, levels }
    }

    /// Goes on to the tree with the leaves of `grown`, which was made from this one.
    pub fn advance(&mut self, grown: &Grown) {
        debug_assert_eq!(self.size, grown.first);
        self.roots.resize(self.roots.len().max(grown.levels.len()), [0; 32]);
        for (depth, level) in grown.levels.iter().enumerate() {
            let whole = grown.size >> depth;
            // The last full subtree of this level, unless it is an older one that is known already.
            if whole & 1 == 1 && whole > level.start {
                self.roots[depth] = level.nodes[(whole - 1 - level.start) as usize];
            }
        }
        self.size = grown.size;
    }
}

impl Grown {
    /// The number of the first new leaf.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// How many leaves the new tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn root(&self) -> Hash {
        self.levels[self.levels.len() - 1].nodes[0]
    }

    /// The inclusion path of new leaf `index` (a number in the log), from the leaf upwards: RFC 9162, section 2.1.3.
    pub fn path(&self, index: u64) -> impl Iterator<Item = &Hash> {
        debug_assert!((self.first..self.size).contains(&index));
        self.levels.iter().enumerate().filter_map(move |(depth, level)| {
            let sibling = (index >> depth) ^ 1;
            // A last node without a sibling rises unchanged.
            level.nodes.get((sibling.checked_sub(level.start)?) as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9162, section 2.1.1, word for word.
    fn by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [one] => *one,
            many => {
                let cut = many.len().next_power_of_two() / 2;
                node_hash(&by_definition(&many[..cut]), &by_definition(&many[cut..]))
            }
        }
    }

    /// RFC 9162, section 2.1.3.1.
    fn path_by_definition(index: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let cut = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(cut);
        let (mut path, other) = if index < cut {
            (path_by_definition(index, left), right)
        } else {
            (path_by_definition(index - cut, right), left)
        };
        path.push(by_definition(other));
        path
    }

    #[test]
    fn batches_of_every_size_give_the_tree_of_the_rfc() {
        let leaves: Vec<Hash> = (0..97u32).map(|i| leaf_hash(&i.to_le_bytes())).collect();
        for batch in 1..40 {
            let mut log = Frontier::default();
            assert_eq!(log.root(), by_definition(&[]));
            for new in leaves.chunks(batch) {
                let grown = log.grow(new.to_vec());
                let all = &leaves[..grown.size() as usize];
                assert_eq!(grown.root(), by_definition(all));
                for index in grown.first()..grown.size() {
                    let path: Vec<Hash> = grown.path(index).copied().collect();
                    assert_eq!(path, path_by_definition(index as usize, all), "{index} of {}", all.len());
                }
                log.advance(&grown);
                assert_eq!(log.root(), by_definition(all));
            }
        }
    }

    #[test]
    fn it_remembers_a_hash_a_level() {
        let mut log = Frontier::default();
        for chunk in 0..1000u64 {
            let leaves = (0..100u64).map(|i| leaf_hash(&(chunk * 100 + i).to_le_bytes())).collect();
            let grown = log.grow(leaves);
            log.advance(&grown);
        }
        assert!(log.roots.len() <= 18);
    }
}
