//! Correlated oblivious transfer by extension: from 128 base transfers to any number.
//!
//! SoftSpokenOT with a repetition code over `k = 4` bits, semi-honest (Roy, CRYPTO 2022, figures 7 and 10). The sender's
//! secret `Delta` is 32 nibbles. For nibble `j` the receiver holds 16 seeds, the sender the 15 of them other than
//! number `Delta_j`, renumbered `y = x xor Delta_j` so that the missing one is number 0. With `s_x` the streams:
//!
//! ```text
//!   receiver   u_j = xor_x s_x        t_{j,b} = xor over x with bit b of s_x
//!   sender     q_{j,b} = xor over y with bit b of s_y = t_{j,b} xor Delta_{j,b} u_j
//! ```
//!
//! The receiver sends `d_j = u_j xor c` for its choice bits `c`; the sender adds `Delta_{j,b} d_j`. Transposed, transfer
//! `i` has `q_i = t_i xor c_i Delta`: 4 bytes a transfer on the wire, 4 AES blocks at either side.

use rayon::prelude::*;

use crate::error::KernelError;
use crate::hash::Stream;

/// Nibbles of `Delta`.
pub const NIBBLES: usize = 32;
/// Streams to a nibble.
pub const STREAMS: usize = 16;
/// Transfers to one column block: what a 128 x 128 bit transposition makes of it.
pub const COLUMN: usize = 128;

/// `NIBBLES x STREAMS` seeds of 16 bytes; at the sender number 0 of each nibble is unknown and never read.
pub type Seeds = [[[u8; 16]; STREAMS]; NIBBLES];

/// What the receiver has of transfers `128 * first ..`: its blocks `t_i`, and `d_j` to send, nibble by nibble.
///
/// `choices` holds one bit a transfer, 128 to an element, least significant first.
pub fn receive(seeds: &Seeds, first: u64, choices: &[u128]) -> (Vec<u128>, Vec<u128>) {
    let n = choices.len();
    let mut rows = vec![0u128; 128 * n];
    let mut corrections = vec![0u128; NIBBLES * n];
    rows.par_chunks_mut(4 * n).zip(corrections.par_chunks_mut(n)).zip(seeds.par_iter()).for_each(
        |((rows, d), seeds)| {
            columns(seeds, 0, first, n, rows, d);
            for (d, c) in d.iter_mut().zip(choices) {
                *d ^= c;
            }
        },
    );
    (transpose(&rows, n), corrections)
}

/// What the sender has of transfers `128 * first ..`: its blocks `q_i = t_i xor c_i Delta`.
pub fn send(seeds: &Seeds, delta: u128, first: u64, corrections: &[u128]) -> Result<Vec<u128>, KernelError> {
    if !corrections.len().is_multiple_of(NIBBLES) {
        return Err(KernelError::Shape { what: "corrections", expected: NIBBLES, found: corrections.len() });
    }
    let n = corrections.len() / NIBBLES;
    if n == 0 {
        return Ok(Vec::new());
    }
    let mut rows = vec![0u128; 128 * n];
    rows.par_chunks_mut(4 * n).zip(corrections.par_chunks(n)).zip(seeds.par_iter()).enumerate().for_each(
        |(j, ((rows, d), seeds))| {
            let mut unused = vec![0u128; n];
            columns(seeds, 1, first, n, rows, &mut unused);
            for (b, row) in rows.chunks_mut(n).enumerate() {
                // All ones where the bit of Delta is one: no branch on the secret.
                let select = ((delta >> (4 * j + b)) & 1).wrapping_neg();
                for (q, d) in row.iter_mut().zip(d) {
                    *q ^= d & select;
                }
            }
        },
    );
    Ok(transpose(&rows, n))
}

/// Adds stream `x` of one nibble to the rows of the bits of `x`, and all of them to `sum`, from stream `from` on.
fn columns(seeds: &[[u8; 16]; STREAMS], from: usize, first: u64, n: usize, rows: &mut [u128], sum: &mut [u128]) {
    for (x, seed) in seeds.iter().enumerate().skip(from) {
        let mut stream = vec![0u128; n];
        Stream::new(seed).fill(first, &mut stream);
        for (b, row) in rows.chunks_mut(n).enumerate() {
            if (x >> b) & 1 == 1 {
                row.iter_mut().zip(&stream).for_each(|(r, s)| *r ^= s);
            }
        }
        sum.iter_mut().zip(&stream).for_each(|(r, s)| *r ^= s);
    }
}

/// 128 rows of `128 n` bits to `128 n` rows of 128 bits.
fn transpose(rows: &[u128], n: usize) -> Vec<u128> {
    let mut out = vec![0u128; 128 * n];
    out.par_chunks_mut(COLUMN).enumerate().for_each(|(i, square)| {
        for (r, cell) in square.iter_mut().enumerate() {
            *cell = rows[r * n + i];
        }
        transpose_square(square);
    });
    out
}

/// Transposes a 128 x 128 bit square by swapping ever smaller off-diagonal blocks (Warren, Hacker's Delight, 7-3).
fn transpose_square(square: &mut [u128]) {
    let mut width = 64;
    let mut mask = u64::MAX as u128;
    while width != 0 {
        for start in (0..128).step_by(2 * width) {
            for k in start..start + width {
                let swap = ((square[k] >> width) ^ square[k + width]) & mask;
                square[k + width] ^= swap;
                square[k] ^= swap << width;
            }
        }
        width >>= 1;
        mask ^= mask << width;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposition_moves_bit_i_of_row_j_to_bit_j_of_row_i() {
        let mut square: Vec<u128> =
            (0..128u128).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).collect();
        let before = square.clone();
        transpose_square(&mut square);
        for (i, row) in square.iter().enumerate() {
            for (j, old) in before.iter().enumerate() {
                assert_eq!((row >> j) & 1, (old >> i) & 1);
            }
        }
    }

    #[test]
    fn transfers_are_correlated_by_delta() {
        let seeds: Seeds = core::array::from_fn(|j| core::array::from_fn(|x| [(16 * j + x) as u8; 16]));
        let seeds: Seeds = core::array::from_fn(|j| {
            core::array::from_fn(|x| {
                let mut seed = seeds[j][x];
                seed[0] ^= (j >> 4) as u8 + 1;
                seed
            })
        });
        let delta = 0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6978u128;
        let mut senders: Seeds = [[[0; 16]; STREAMS]; NIBBLES];
        for (j, row) in senders.iter_mut().enumerate() {
            let nibble = ((delta >> (4 * j)) & 15) as usize;
            for (y, seed) in row.iter_mut().enumerate().skip(1) {
                *seed = seeds[j][y ^ nibble];
            }
        }
        let choices = [0xdead_beef_u128, u128::MAX, 5 << 77];
        let (t, d) = receive(&seeds, 9, &choices);
        let q = send(&senders, delta, 9, &d).unwrap();
        for i in 0..q.len() {
            let c = (choices[i / 128] >> (i % 128)) & 1;
            assert_eq!(q[i], t[i] ^ (delta * c), "transfer {i}");
        }
    }
}
