//! Which slots of an OKVS a key reads, and batches of keys sorted by the cluster in which they do.

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Block};

use crate::okvs::{KEY_BYTES, Layout, VALUE_BYTES};

/// Blocks that are encrypted together: the widest AES backend works on 64.
const BATCH: usize = 64;

const CONTEXT: &str = "fedcredit v1 okvs places";

/// The slots of its cluster that one key reads, and the number of the key.
#[derive(Clone, Copy, Default)]
pub struct Place {
    /// One slot in each third, counted from the start of the third.
    pub sparse: [u16; 3],
    /// The mask of dense slots, 16 bits at a time, lowest first.
    dense: [u16; 3],
    pub row: u32,
}

impl Place {
    pub fn new(sparse: [u16; 3], mask: u64, row: u32) -> Self {
        Self { sparse, dense: [mask as u16, (mask >> 16) as u16, (mask >> 32) as u16], row }
    }

    /// The dense slots, as bits.
    pub fn mask(&self) -> u64 {
        u64::from(self.dense[0]) | u64::from(self.dense[1]) << 16 | u64::from(self.dense[2]) << 32
    }

    /// The three sparse slots, counted from the start of the cluster.
    pub fn columns(&self, third: usize) -> [usize; 3] {
        let [a, b, c] = self.sparse;
        [usize::from(a), third + usize::from(b), 2 * third + usize::from(c)]
    }

    /// The XOR of the sparse slots, given all of the cluster's.
    pub fn read_sparse(&self, sparse: &[[u8; VALUE_BYTES]], third: usize) -> u128 {
        self.columns(third).iter().fold(0, |sum, &column| sum ^ u128::from_le_bytes(sparse[column]))
    }
}

/// From keys to places, for one seed and layout.
pub struct Hasher {
    cipher: Aes128,
    clusters: u64,
    third: u64,
}

impl Hasher {
    pub fn new(seed: &[u8; 32], layout: &Layout) -> Self {
        let mut key = [0; 16];
        crate::digest::derive(CONTEXT, seed, &mut key);
        Self { cipher: Aes128::new(&key.into()), clusters: layout.clusters as u64, third: layout.third as u64 }
    }

    /// Puts the places of `keys` into `sorted`, by cluster; keys of one cluster stay in order. The first key is number
    /// `first`.
    pub fn sort(&self, keys: &[[u8; KEY_BYTES]], first: usize, sorted: &mut Sorted) {
        let Sorted { hashed, places, starts } = sorted;
        hashed.clear();
        starts.clear();
        starts.resize(self.clusters as usize + 1, 0);
        let mut batch = [Block::default(); BATCH];
        for keys in keys.chunks(BATCH) {
            let batch = &mut batch[..keys.len()];
            batch.iter_mut().zip(keys).for_each(|(block, key)| *block = (*key).into());
            self.cipher.encrypt_blocks(batch);
            for block in batch {
                let (cluster, place) = self.place((*block).into(), (first + hashed.len()) as u32);
                starts[cluster as usize] += 1;
                hashed.push((cluster, place));
            }
        }
        // From counts to where each cluster ends, and, as it fills from behind, to where it starts.
        let mut end = 0;
        for start in starts.iter_mut() {
            end += *start;
            *start = end;
        }
        places.resize(keys.len(), Place::default());
        for (cluster, place) in hashed.iter().rev() {
            let start = &mut starts[*cluster as usize];
            *start -= 1;
            places[*start as usize] = *place;
        }
    }

    /// Cluster and slots are the digits of the low half as a fraction: the high word of a product is the digit, the low
    /// word the fraction that remains.
    fn place(&self, block: [u8; 16], row: u32) -> (u32, Place) {
        let block = u128::from_le_bytes(block);
        let mut fraction = block as u64;
        let mut digit = |base: u64| {
            let product = u128::from(fraction) * u128::from(base);
            fraction = product as u64;
            (product >> 64) as u64
        };
        let cluster = digit(self.clusters) as u32;
        let sparse = [digit(self.third) as u16, digit(self.third) as u16, digit(self.third) as u16];
        (cluster, Place::new(sparse, (block >> 64) as u64, row))
    }
}

/// Places sorted by cluster.
#[derive(Default)]
pub struct Sorted {
    /// As they come, each with its cluster.
    hashed: Vec<(u32, Place)>,
    places: Vec<Place>,
    starts: Vec<u32>,
}

impl Sorted {
    /// Without the buffer that sorting needs, for those that are kept.
    pub fn lean(mut self) -> Self {
        self.hashed = Vec::new();
        self
    }

    /// The places in `cluster`, in the order of the keys.
    pub fn of(&self, cluster: usize) -> &[Place] {
        &self.places[self.starts[cluster] as usize..self.starts[cluster + 1] as usize]
    }
}
