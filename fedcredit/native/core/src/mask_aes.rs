//! The streams of [`crate::masks`] on vector AES (x86-64 with VAES), all in registers: 256 bits wide with AVX2, 512 with
//! AVX-512, which has half of the instructions to get through beside those of AES.
//!
//! Unsafe code, with the obligations of [`crate::vaes`]: every call comes after its `available` said yes, and loads and
//! stores stay inside their slices.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use zeroize::Zeroize;

use crate::masks::{GROUP, KEY_BYTES, Stream};
use crate::vaes::available;

/// Words of a vector: two blocks.
const WORDS: usize = 4;
/// Vectors in flight: enough to hide the latency of an AES round.
const LANES: usize = GROUP / WORDS;
/// Round keys of AES-256.
const KEYS: usize = 15;

/// Words of a wide vector: four blocks.
const WIDE_WORDS: usize = 8;

/// The stream on vector AES. Must exist only where [`available`] is true.
pub struct Vector {
    round_keys: [__m256i; KEYS],
    high: u64,
    wide: bool,
}

/// Whether this processor works on 512 bits at once.
fn wide_available() -> bool {
    available() && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

impl Drop for Vector {
    fn drop(&mut self) {
        self.round_keys.zeroize();
    }
}

impl Stream for Vector {
    fn new(key: &[u8; KEY_BYTES], high: u64) -> Self {
        assert!(available(), "this processor has no vector AES");
        // SAFETY: the processor has AES-NI, as just asserted.
        unsafe { Self { round_keys: schedule(key), high, wide: wide_available() } }
    }

    fn add_groups(&self, first: u64, subtract: bool, into: &mut [u64]) {
        // SAFETY: `new` checked the processor, and what of it is wide.
        unsafe {
            match (self.wide, subtract) {
                (true, true) => self.add_wide::<true>(first, into),
                (true, false) => self.add_wide::<false>(first, into),
                (false, true) => self.add::<true>(first, into),
                (false, false) => self.add::<false>(first, into),
            }
        }
    }
}

impl Vector {
    #[target_feature(enable = "avx2,aes,vaes")]
    fn add<const SUBTRACT: bool>(&self, first: u64, into: &mut [u64]) {
        // A counter is big-endian: its upper word, then its lower, each with its bytes turned round.
        let turn = _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0809_0a0b_0c0d_0e0f, 0x0001_0203_0405_0607));
        let high = self.high as i64;
        let mut counter = _mm256_set_epi64x(block(first).wrapping_add(1), high, block(first), high);
        let two = _mm256_set_epi64x(2, 0, 2, 0);
        for group in into.as_chunks_mut::<GROUP>().0 {
            let mut x = [_mm256_setzero_si256(); LANES];
            for x in &mut x {
                *x = _mm256_xor_si256(_mm256_shuffle_epi8(counter, turn), self.round_keys[0]);
                counter = _mm256_add_epi64(counter, two);
            }
            for key in &self.round_keys[1..KEYS - 1] {
                for x in &mut x {
                    *x = _mm256_aesenc_epi128(*x, *key);
                }
            }
            for (x, words) in x.into_iter().zip(group.as_chunks_mut::<WORDS>().0) {
                let mask = _mm256_aesenclast_epi128(x, self.round_keys[KEYS - 1]);
                // SAFETY: `words` is one vector long.
                unsafe {
                    let place = words.as_mut_ptr().cast();
                    let old = _mm256_loadu_si256(place);
                    let new = if SUBTRACT { _mm256_sub_epi64(old, mask) } else { _mm256_add_epi64(old, mask) };
                    _mm256_storeu_si256(place, new);
                }
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,aes,vaes")]
    fn add_wide<const SUBTRACT: bool>(&self, first: u64, into: &mut [u64]) {
        let turn = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0809_0a0b_0c0d_0e0f, 0x0001_0203_0405_0607));
        let (high, low) = (self.high as i64, block(first));
        let at = |ahead: i64| low.wrapping_add(ahead);
        let mut counter = _mm512_set_epi64(at(3), high, at(2), high, at(1), high, at(0), high);
        let four = _mm512_set_epi64(4, 0, 4, 0, 4, 0, 4, 0);
        let keys = self.round_keys.map(|key| _mm512_broadcast_i64x4(key));
        // Two groups at once, so that eight vectors are in flight here too, and one where there is one left.
        let (pairs, rest) = into.as_chunks_mut::<{ 2 * GROUP }>();
        for group in pairs {
            // SAFETY: compiled for the same features.
            counter = unsafe { wide_group::<SUBTRACT, 8>(&keys, counter, turn, four, group) };
        }
        for group in rest.as_chunks_mut::<GROUP>().0 {
            // SAFETY: compiled for the same features.
            counter = unsafe { wide_group::<SUBTRACT, 4>(&keys, counter, turn, four, group) };
        }
    }
}

/// Adds `N` vectors of the stream from `counter` on to `words`; the counter after them.
///
/// # Safety
/// The caller is compiled for AVX-512 and VAES.
#[inline(always)]
unsafe fn wide_group<const SUBTRACT: bool, const N: usize>(
    keys: &[__m512i; KEYS],
    mut counter: __m512i,
    turn: __m512i,
    four: __m512i,
    words: &mut [u64],
) -> __m512i {
    // SAFETY: the features are the caller's, by contract; loads and stores are of whole chunks.
    unsafe {
        let mut x = [_mm512_setzero_si512(); N];
        for x in &mut x {
            *x = _mm512_xor_si512(_mm512_shuffle_epi8(counter, turn), keys[0]);
            counter = _mm512_add_epi64(counter, four);
        }
        for key in &keys[1..KEYS - 1] {
            for x in &mut x {
                *x = _mm512_aesenc_epi128(*x, *key);
            }
        }
        for (x, words) in x.into_iter().zip(words.as_chunks_mut::<WIDE_WORDS>().0) {
            let mask = _mm512_aesenclast_epi128(x, keys[KEYS - 1]);
            let place = words.as_mut_ptr().cast();
            let old = _mm512_loadu_si512(place);
            let new = if SUBTRACT { _mm512_sub_epi64(old, mask) } else { _mm512_add_epi64(old, mask) };
            _mm512_storeu_si512(place, new);
        }
        counter
    }
}

/// The number of a group's first block.
fn block(group: u64) -> i64 {
    group.wrapping_mul(GROUP as u64 / 2) as i64
}

/// The AES-256 key schedule (FIPS 197, section 5.2), each round key in both halves of a vector.
#[target_feature(enable = "avx2,aes")]
fn schedule(key: &[u8; KEY_BYTES]) -> [__m256i; KEYS] {
    // SAFETY: `key` is two vectors of 16 bytes long.
    let (even, odd) = unsafe { (_mm_loadu_si128(key.as_ptr().cast()), _mm_loadu_si128(key[16..].as_ptr().cast())) };
    let mut keys = [even; KEYS];
    keys[1] = odd;
    macro_rules! next {
        ($i:literal, $rcon:literal, $word:literal) => {
            let assist = _mm_shuffle_epi32::<$word>(_mm_aeskeygenassist_si128::<$rcon>(keys[$i - 1]));
            keys[$i] = next_key(keys[$i - 2], assist);
        };
    }
    // Every other key takes its word rotated and a constant; the ones between neither.
    next!(2, 0x01, 0xff);
    next!(3, 0x00, 0xaa);
    next!(4, 0x02, 0xff);
    next!(5, 0x00, 0xaa);
    next!(6, 0x04, 0xff);
    next!(7, 0x00, 0xaa);
    next!(8, 0x08, 0xff);
    next!(9, 0x00, 0xaa);
    next!(10, 0x10, 0xff);
    next!(11, 0x00, 0xaa);
    next!(12, 0x20, 0xff);
    next!(13, 0x00, 0xaa);
    next!(14, 0x40, 0xff);
    let wide = keys.map(|k| _mm256_broadcastsi128_si256(k));
    keys.zeroize();
    wide
}

#[target_feature(enable = "avx2")]
fn next_key(key: __m128i, assist: __m128i) -> __m128i {
    let mut k = _mm_xor_si128(key, _mm_slli_si128::<4>(key));
    k = _mm_xor_si128(k, _mm_slli_si128::<8>(k));
    _mm_xor_si128(k, assist)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_widths_add_the_same() {
        if !wide_available() {
            eprintln!("skipped: no AVX-512 on this processor");
            return;
        }
        let mut stream = Vector::new(&[0x5a; KEY_BYTES], 3);
        for groups in [1, 2, 3, 8] {
            for subtract in [false, true] {
                let (mut wide, mut narrow) = (vec![7; groups * GROUP], vec![7; groups * GROUP]);
                stream.wide = true;
                stream.add_groups(9, subtract, &mut wide);
                stream.wide = false;
                stream.add_groups(9, subtract, &mut narrow);
                assert_eq!(wide, narrow);
            }
        }
    }
}
