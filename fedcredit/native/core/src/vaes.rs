//! The hash of [`crate::hash`] on 256-bit vector AES (x86-64 with AVX2 and VAES), all in registers.
//!
//! Unsafe code, like [`crate::clmul`] and the arithmetic of eight points (`field8`, `ristretto8`), and nothing else here.
//! Two obligations, kept here: every call into it happens after [`available`] said yes, and every load and store stays
//! inside its slice (`chunks_exact` gives the bounds).
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use crate::hash::{BATCH, Hash, Tweaks};

/// Whether this processor has what [`Vaes`] needs.
pub fn available() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("aes")
        && is_x86_feature_detected!("vaes")
}

/// Runs `task` compiled for the features that [`available`] checks, so that plain loops in it use vectors as well.
pub fn with_features<T>(task: impl FnOnce() -> T) -> T {
    #[target_feature(enable = "avx2,aes,vaes,bmi2")]
    fn run<T>(task: impl FnOnce() -> T) -> T {
        task()
    }
    assert!(available(), "this processor has no vector AES");
    // SAFETY: the processor has the features, as just asserted.
    unsafe { run(task) }
}

/// Asks for a cache line ahead of its use.
#[inline(always)]
pub fn prefetch<T>(item: &T) {
    // SAFETY: a hint about a live reference; SSE is part of x86-64.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(item).cast()) };
}

/// Vectors in flight: enough to hide the latency of an AES round.
const LANES: usize = 8;
/// Words of a vector: two blocks.
const WORDS: usize = 4;

/// The hash on vector AES. Must exist only where [`available`] is true.
pub struct Vaes {
    round_keys: [__m256i; 11],
}

impl Hash for Vaes {
    fn new(key: &[u8; 16]) -> Self {
        assert!(available(), "this processor has no vector AES");
        // SAFETY: the processor has AES-NI, as just asserted.
        unsafe { Self { round_keys: schedule(key) } }
    }

    #[inline(always)]
    fn expand(&mut self, nodes: &[u64], width: usize, tweaks: &Tweaks, children: &mut [u64]) {
        assert_eq!(children.len(), 2 * nodes.len());
        // SAFETY: `new` checked the processor.
        unsafe { self.expand_inner(nodes, width, tweaks, children) }
    }

    #[inline(always)]
    fn words(&mut self, leaves: &[u64], width: usize, tweaks: &Tweaks, low: &mut [u64], high: &mut [u64]) {
        assert!(2 * low.len() == leaves.len() && low.len() == high.len());
        // SAFETY: `new` checked the processor.
        unsafe { self.words_inner(leaves, width, tweaks, low, high) }
    }
}

impl Vaes {
    #[target_feature(enable = "avx2,aes,vaes")]
    fn expand_inner(&self, nodes: &[u64], width: usize, tweaks: &Tweaks, children: &mut [u64]) {
        let mut trees = Trees::new(width, tweaks);
        let mut out = children.chunks_exact_mut(2 * WORDS * LANES);
        for group in nodes.chunks_exact(WORDS * LANES) {
            // SAFETY: compiled for the same features.
            let (x, h) = unsafe { self.hash(group, &mut trees) };
            let Some(out) = out.next() else { return };
            for ((x, h), out) in x.into_iter().zip(h).zip(out.chunks_exact_mut(2 * WORDS)) {
                let right = _mm256_xor_si256(x, h);
                // Lanes: left and right of the first node, then of the second.
                let first = _mm256_permute2x128_si256::<0x20>(h, right);
                let second = _mm256_permute2x128_si256::<0x31>(h, right);
                // SAFETY: `out` is two vectors long.
                unsafe {
                    _mm256_storeu_si256(out.as_mut_ptr().cast(), first);
                    _mm256_storeu_si256(out[WORDS..].as_mut_ptr().cast(), second);
                }
            }
        }
    }

    #[target_feature(enable = "avx2,aes,vaes")]
    fn words_inner(&self, leaves: &[u64], width: usize, tweaks: &Tweaks, low: &mut [u64], high: &mut [u64]) {
        let mut trees = Trees::new(width, tweaks);
        let lows = low.chunks_exact_mut(WORDS / 2 * LANES);
        let highs = high.chunks_exact_mut(WORDS / 2 * LANES);
        for ((group, low), high) in leaves.chunks_exact(WORDS * LANES).zip(lows).zip(highs) {
            // SAFETY: compiled for the same features.
            let (_, h) = unsafe { self.hash(group, &mut trees) };
            for ((pair, low), high) in
                h.as_chunks::<2>().0.iter().zip(low.chunks_exact_mut(WORDS)).zip(high.chunks_exact_mut(WORDS))
            {
                // unpack works within 128-bit lanes and leaves blocks in order 0 2 1 3; the permutation mends it.
                let lows = _mm256_permute4x64_epi64::<0xd8>(_mm256_unpacklo_epi64(pair[0], pair[1]));
                let highs = _mm256_permute4x64_epi64::<0xd8>(_mm256_unpackhi_epi64(pair[0], pair[1]));
                // SAFETY: `low` and `high` are one vector long.
                unsafe {
                    _mm256_storeu_si256(low.as_mut_ptr().cast(), lows);
                    _mm256_storeu_si256(high.as_mut_ptr().cast(), highs);
                }
            }
        }
    }

    /// `LANES` vectors of blocks and their hashes. Inlined into its two callers, so that vectors stay in registers.
    ///
    /// # Safety
    /// The caller is compiled for the features that [`available`] checks.
    #[inline(always)]
    unsafe fn hash(&self, group: &[u64], trees: &mut Trees) -> ([__m256i; LANES], [__m256i; LANES]) {
        // SAFETY: the features are the caller's, by contract; every load is of one whole chunk.
        unsafe {
            let mut x = [_mm256_setzero_si256(); LANES];
            let mut s = x;
            let mut y = x;
            for (i, words) in group.as_chunks::<WORDS>().0.iter().enumerate().take(LANES) {
                x[i] = _mm256_loadu_si256(words.as_ptr().cast());
                // sigma(l || r) = (l xor r) || l: the upper word to both places, then xor the lower into the upper.
                let upper = _mm256_unpackhi_epi64(x[i], x[i]);
                s[i] = _mm256_xor_si256(upper, _mm256_bslli_epi128::<8>(x[i]));
                y[i] = _mm256_xor_si256(_mm256_xor_si256(s[i], trees.next()), self.round_keys[0]);
            }
            for key in &self.round_keys[1..10] {
                for y in &mut y {
                    *y = _mm256_aesenc_epi128(*y, *key);
                }
            }
            for (y, s) in y.iter_mut().zip(&s) {
                *y = _mm256_xor_si256(_mm256_aesenclast_epi128(*y, self.round_keys[10]), *s);
            }
            (x, y)
        }
    }
}

/// The tweak of each vector in turn. Widths are even, so a vector never spans two trees.
struct Trees<'a> {
    tweaks: &'a Tweaks,
    vectors: usize,
    left: usize,
    tree: usize,
    now: __m256i,
}

impl<'a> Trees<'a> {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(width: usize, tweaks: &'a Tweaks) -> Self {
        assert!(width >= 2 && width.is_multiple_of(2));
        Self { tweaks, vectors: width / 2, left: 0, tree: 0, now: _mm256_setzero_si256() }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn next(&mut self) -> __m256i {
        if self.left == 0 {
            let (feature, row) = (self.tweaks.feature as i64, self.tweaks.rows[self.tree % BATCH] as i64);
            self.now = _mm256_set_epi64x(feature, row, feature, row);
            self.left = self.vectors;
            self.tree += 1;
        }
        self.left -= 1;
        self.now
    }
}

/// The AES-128 key schedule, each round key in both halves of a vector.
#[target_feature(enable = "avx2,aes")]
fn schedule(key: &[u8; 16]) -> [__m256i; 11] {
    // SAFETY: `key` is 16 bytes long.
    let mut keys = [unsafe { _mm_loadu_si128(key.as_ptr().cast()) }; 11];
    macro_rules! round {
        ($i:literal, $rcon:literal) => {
            keys[$i] = next_key(keys[$i - 1], _mm_aeskeygenassist_si128::<$rcon>(keys[$i - 1]));
        };
    }
    round!(1, 0x01);
    round!(2, 0x02);
    round!(3, 0x04);
    round!(4, 0x08);
    round!(5, 0x10);
    round!(6, 0x20);
    round!(7, 0x40);
    round!(8, 0x80);
    round!(9, 0x1b);
    round!(10, 0x36);
    keys.map(|k| _mm256_broadcastsi128_si256(k))
}

#[target_feature(enable = "avx2,aes")]
fn next_key(key: __m128i, assist: __m128i) -> __m128i {
    let mut k = _mm_xor_si128(key, _mm_slli_si128::<4>(key));
    k = _mm_xor_si128(k, _mm_slli_si128::<8>(k));
    _mm_xor_si128(k, _mm_shuffle_epi32::<0xff>(assist))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Portable;

    #[test]
    fn agrees_with_the_portable_hash() {
        if !available() {
            eprintln!("skipped: no vector AES on this processor");
            return;
        }
        let key = [0x5a; 16];
        let tweaks = Tweaks { feature: 3, rows: core::array::from_fn(|i| 100 + i as u64) };
        for width in [2usize, 4, 6, 10, 16] {
            let nodes: Vec<u64> =
                (0..2 * (width * BATCH) as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
            let (mut a, mut b) = (vec![0; 2 * nodes.len()], vec![0; 2 * nodes.len()]);
            Vaes::new(&key).expand(&nodes, width, &tweaks, &mut a);
            Portable::new(&key).expand(&nodes, width, &tweaks, &mut b);
            assert_eq!(a, b);
            let mut words = [const { Vec::new() }; 4];
            words.iter_mut().for_each(|w| w.resize(nodes.len() / 2, 0));
            let [al, ah, bl, bh] = &mut words;
            Vaes::new(&key).words(&nodes, width, &tweaks, al, ah);
            Portable::new(&key).words(&nodes, width, &tweaks, bl, bh);
            assert_eq!((al, ah), (bl, bh));
        }
    }
}
