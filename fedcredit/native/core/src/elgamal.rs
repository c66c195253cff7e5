//! Exponential ElGamal over ristretto255 in batches: small numbers under a key, which anybody can add.
//!
//! With Y = x G, a ciphertext of m is (r G, m G + r Y), for a fresh r. Sums of ciphertexts are ciphertexts of sums, modulo
//! the order of the group. The owner of x gets m G, not m, and finds m in a table of the multiples of G where m may lie.
//! What he looks up are encodings of doubles, 2 m G, since those of a block take one inversion.
//!
//! A ciphertext is 64 bytes, a batch a flat buffer of them. Everything is constant time in messages, randomness, points
//! and keys, and uses all cores; [`crate::elgamal8`] takes eight rows at a time where AVX-512 IFMA is.

use curve25519_dalek::constants::{RISTRETTO_BASEPOINT_POINT, RISTRETTO_BASEPOINT_TABLE};
use curve25519_dalek::ristretto::{RistrettoBasepointTable, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use rayon::prelude::*;
use subtle::{Choice, ConditionallySelectable};
use zeroize::Zeroizing;

use crate::arithmetic::Arithmetic;
#[cfg(target_arch = "x86_64")]
use crate::edwards8::Multiples;
#[cfg(target_arch = "x86_64")]
use crate::elgamal8;
use crate::error::KernelError;
use crate::group::{SCALAR_BYTES, parse_halves, parse_scalar, same_length, split};
use crate::ristretto::{BLOCK, BadRow, decode};

pub const CIPHERTEXT_BYTES: usize = 64;

/// Rows a rayon task takes at a time: a call of some hundred rows has work for several cores.
const ROWS_PER_TASK: usize = 64;

/// The part and the row in it that is not a point, or is the identity.
#[derive(Debug, PartialEq, Eq)]
pub struct BadPart {
    pub part: usize,
    pub row: usize,
}

/// A public key, with the multiples of it that encryption takes.
pub enum Key {
    Portable(Box<RistrettoBasepointTable>),
    #[cfg(target_arch = "x86_64")]
    Eight(Multiples),
}

impl Key {
    /// Refuses what is not canonical and the identity. Takes some milliseconds: keep it.
    pub fn new(arithmetic: Arithmetic, point: &[u8; 32]) -> Result<Self, KernelError> {
        let point = decode(&[*point], 0).map_err(|BadRow(index)| KernelError::BadPoint { index })?;
        Ok(match arithmetic {
            Arithmetic::Portable => Self::Portable(Box::new(RistrettoBasepointTable::create(&point))),
            #[cfg(target_arch = "x86_64")]
            Arithmetic::Eight => Self::Eight(elgamal8::of_point(&point)),
        })
    }

    /// A ciphertext of each message. Messages are scalars, zero among them; randomness is fresh for each, and not zero.
    pub fn encrypt(&self, messages: &[u8], randomness: &[u8]) -> Result<Vec<u8>, KernelError> {
        let (messages, randomness) = (split(messages, "messages")?, split(randomness, "randomness")?);
        same_length("randomness", messages.len(), randomness.len())?;
        let mut out = vec![0; messages.len() * CIPHERTEXT_BYTES];
        let (cells, _) = out.as_chunks_mut::<CIPHERTEXT_BYTES>();
        in_tasks(cells, |first, cells| {
            let rows = first..first + cells.len();
            let halves = parse_halves(&randomness[rows.clone()], rows.start)?;
            let messages = parse_messages(&messages[rows.clone()], rows.start)?;
            let (mut firsts, mut seconds) = (vec![[0; 32]; cells.len()], vec![[0; 32]; cells.len()]);
            self.encrypt_halves(&messages, &halves, &mut firsts, &mut seconds);
            for (cell, (first, second)) in cells.iter_mut().zip(firsts.iter().zip(&seconds)) {
                cell[..32].copy_from_slice(first);
                cell[32..].copy_from_slice(second);
            }
            Ok(())
        })?;
        Ok(out)
    }

    fn encrypt_halves(
        &self,
        messages: &[Scalar],
        randomness: &[Scalar],
        firsts: &mut [[u8; 32]],
        seconds: &mut [[u8; 32]],
    ) {
        match self {
            Self::Portable(key) => {
                let left: Vec<_> = randomness.iter().map(RistrettoPoint::mul_base).collect();
                let of_key = |(m, r): (&Scalar, &Scalar)| RISTRETTO_BASEPOINT_TABLE * m + key.as_ref() * r;
                let right: Vec<_> = messages.iter().zip(randomness).map(of_key).collect();
                encode_doubles(&left, firsts);
                encode_doubles(&right, seconds);
            }
            #[cfg(target_arch = "x86_64")]
            Self::Eight(key) => elgamal8::encrypt(key, messages, randomness, firsts, seconds),
        }
    }
}

/// The encodings of 2 m G, of the sums m of `parts` many ciphertexts a row: zeros where m is 0.
///
/// `ciphertexts` are those of all rows of the first part, then of the next. Points that come in are refused when they
/// are not canonical or the identity: `BadPoint` counts ciphertexts.
pub fn open(
    arithmetic: Arithmetic,
    secret: &[u8; 32],
    ciphertexts: &[u8],
    parts: usize,
) -> Result<Vec<u8>, KernelError> {
    let negated = Zeroizing::new(-*parse_scalar(secret, 0)?);
    let (ciphertexts, rest) = ciphertexts.as_chunks::<CIPHERTEXT_BYTES>();
    same_length("ciphertexts", 0, rest.len())?;
    if parts == 0 {
        return Err(KernelError::Range { what: "parts", index: 0 });
    }
    let rows = ciphertexts.len() / parts;
    same_length("ciphertexts", rows * parts, ciphertexts.len())?;
    let mut out = vec![0; rows * 32];
    let (cells, _) = out.as_chunks_mut::<32>();
    in_tasks(cells, |first, cells| {
        let column = |half: usize| -> Vec<Vec<[u8; 32]>> {
            let of_part = |part: usize| &ciphertexts[part * rows + first..part * rows + first + cells.len()];
            (0..parts).map(|part| of_part(part).iter().map(|c| c.as_chunks::<32>().0[half]).collect()).collect()
        };
        let (firsts, seconds) = (column(0), column(1));
        let opened = match arithmetic {
            Arithmetic::Portable => open_portable(&firsts, &seconds, &negated, cells),
            #[cfg(target_arch = "x86_64")]
            Arithmetic::Eight => elgamal8::open(&firsts, &seconds, &negated, cells),
        };
        opened.map_err(|BadPart { part, row }| KernelError::BadPoint { index: part * rows + first + row })
    })?;
    Ok(out)
}

/// The encodings of 2 m G for `n` numbers m from `first` on: where [`open`]'s are looked up.
pub fn doubles(first: i64, n: usize) -> Vec<u8> {
    let mut out = vec![0; n * 32];
    let (cells, _) = out.as_chunks_mut::<32>();
    cells.par_chunks_mut(BLOCK).enumerate().for_each(|(block, cells)| {
        // Numbers past i64 wrap nowhere: they are added in the group.
        let mut point = RistrettoPoint::mul_base(&(signed(first) + Scalar::from((block * BLOCK) as u64)));
        let mut points = Vec::with_capacity(cells.len());
        for _ in 0..cells.len() {
            points.push(point);
            point += RISTRETTO_BASEPOINT_POINT;
        }
        encode_doubles(&points, cells);
    });
    out
}

/// Each value with its row of every list of masks added or, where `negative`, subtracted, as scalars.
///
/// A mask is 64 uniform bytes, reduced; `masks` are those of all rows of the first list, then of the next.
pub fn masked(values: &[i64], masks: &[u8], negative: &[bool]) -> Result<Vec<u8>, KernelError> {
    let (masks, rest) = masks.as_chunks::<64>();
    same_length("masks", 0, rest.len())?;
    same_length("masks", values.len() * negative.len(), masks.len())?;
    let mut out = vec![0; values.len() * SCALAR_BYTES];
    let (cells, _) = out.as_chunks_mut::<SCALAR_BYTES>();
    in_tasks(cells, |first, cells| {
        for (row, cell) in (first..).zip(cells) {
            let mut total = signed(values[row]);
            for (list, negative) in negative.iter().enumerate() {
                let mask = Scalar::from_bytes_mod_order_wide(&masks[list * values.len() + row]);
                // Which lists are subtracted is public.
                total = if *negative { total - mask } else { total + mask };
            }
            *cell = total.to_bytes();
        }
        Ok(())
    })?;
    Ok(out)
}

/// Works on cells in parallel tasks: `task` gets the first row and where to write. What is one task is done here and now,
/// since a single row would wait longer for another thread than it takes.
fn in_tasks<T: Send>(
    cells: &mut [T],
    task: impl Fn(usize, &mut [T]) -> Result<(), KernelError> + Sync,
) -> Result<(), KernelError> {
    if cells.len() <= ROWS_PER_TASK {
        return task(0, cells);
    }
    cells.par_chunks_mut(ROWS_PER_TASK).enumerate().try_for_each(|(n, cells)| task(n * ROWS_PER_TASK, cells))
}

fn open_portable(
    firsts: &[Vec<[u8; 32]>],
    seconds: &[Vec<[u8; 32]>],
    negated: &Scalar,
    out: &mut [[u8; 32]],
) -> Result<(), BadPart> {
    let (left, right) = (summed(firsts)?, summed(seconds)?);
    let points: Vec<_> = left.iter().zip(&right).map(|(left, right)| right + left * negated).collect();
    encode_doubles(&points, out);
    Ok(())
}

fn summed(parts: &[Vec<[u8; 32]>]) -> Result<Vec<RistrettoPoint>, BadPart> {
    let mut sums: Vec<RistrettoPoint> = Vec::new();
    for (part, points) in parts.iter().enumerate() {
        for row in 0..points.len() {
            let more = decode(points, row).map_err(|BadRow(row)| BadPart { part, row })?;
            if part == 0 {
                sums.push(more);
            } else {
                sums[row] += more;
            }
        }
    }
    Ok(sums)
}

fn encode_doubles(points: &[RistrettoPoint], out: &mut [[u8; 32]]) {
    for (cell, encoded) in out.iter_mut().zip(RistrettoPoint::double_and_compress_batch(points)) {
        *cell = encoded.to_bytes();
    }
}

/// Half of each message; the first one has the number `first`.
fn parse_messages(messages: &[[u8; 32]], first: usize) -> Result<Zeroizing<Vec<Scalar>>, KernelError> {
    let mut halves = Zeroizing::new(Vec::with_capacity(messages.len()));
    for (index, message) in (first..).zip(messages) {
        let parsed = Option::<Scalar>::from(Scalar::from_canonical_bytes(*message));
        halves.push(parsed.ok_or(KernelError::Range { what: "message", index })?.div_by_2());
    }
    Ok(halves)
}

/// A number as a scalar, without a branch on its sign.
fn signed(value: i64) -> Scalar {
    let size = Scalar::from(value.unsigned_abs());
    Scalar::conditional_select(&size, &-size, Choice::from((value < 0) as u8))
}
