//! ristretto255 (RFC 9496) a block of points at a time, from encodings to encodings, by one of two arithmetics.
//!
//! [`Arithmetic::Portable`] is curve25519-dalek, which takes one point after the other and is fast on any processor.
//! [`Arithmetic::Eight`] is `ristretto8`, eight points at a time where AVX-512 IFMA is. Both are constant time in
//! scalars and points, and give the same bytes; which one runs is asked of the processor.
//!
//! Encoding takes an inverse square root, but the encodings of doubles take one inversion a block. So points are multiplied
//! by half the scalar.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;

use crate::arithmetic::Arithmetic;
#[cfg(target_arch = "x86_64")]
use crate::ristretto8;

/// Points in a block that is worth its one inversion, which costs half a per cent of 256 multiplications.
pub const BLOCK: usize = 256;

/// Half of what points are multiplied by, modulo the group order.
#[derive(Clone, Copy)]
pub enum Halves<'a> {
    /// One scalar for all points.
    One(&'a Scalar),
    /// A scalar for each.
    Each(&'a [Scalar]),
}

impl<'a> Halves<'a> {
    /// That of a row.
    pub fn at(&self, row: usize) -> &'a Scalar {
        match self {
            Self::One(half) => half,
            Self::Each(halves) => &halves[row],
        }
    }
}

/// The row of a block that is not a point, or is the identity.
#[derive(Debug, PartialEq, Eq)]
pub struct BadRow(pub usize);

impl Arithmetic {
    /// Twice the half scalar times each point, `times` times over: what a half gives is doubled, and multiplied again.
    pub fn multiply(
        self,
        points: &[[u8; 32]],
        halves: Halves<'_>,
        times: usize,
        out: &mut [[u8; 32]],
    ) -> Result<(), BadRow> {
        match self {
            Self::Portable => double_and_encode(points.len(), out, |row| {
                let mut point = decode(points, row)? * halves.at(row);
                for _ in 1..times {
                    point = (point + point) * halves.at(row);
                }
                Ok(point)
            }),
            #[cfg(target_arch = "x86_64")]
            Self::Eight => ristretto8::multiply(points, halves, times, out),
        }
    }

    /// Twice the half scalar times the element that each 64 uniform bytes map to (RFC 9496, section 4.3.4).
    pub fn map_and_multiply(
        self,
        uniform: &[[u8; 64]],
        halves: Halves<'_>,
        out: &mut [[u8; 32]],
    ) -> Result<(), BadRow> {
        match self {
            Self::Portable => double_and_encode(uniform.len(), out, |row| Ok(map(uniform, row)? * halves.at(row))),
            #[cfg(target_arch = "x86_64")]
            Self::Eight => ristretto8::map_and_multiply(uniform, halves, out),
        }
    }

    /// The element that each 64 uniform bytes map to.
    pub fn map(self, uniform: &[[u8; 64]], out: &mut [[u8; 32]]) -> Result<(), BadRow> {
        match self {
            Self::Portable => {
                assert_eq!(uniform.len(), out.len());
                for (row, cell) in out.iter_mut().enumerate() {
                    *cell = map(uniform, row)?.compress().to_bytes();
                }
                Ok(())
            }
            #[cfg(target_arch = "x86_64")]
            Self::Eight => ristretto8::map(uniform, out),
        }
    }

    /// Decodes every point and drops the result.
    pub fn check(self, points: &[[u8; 32]]) -> Result<(), BadRow> {
        match self {
            Self::Portable => (0..points.len()).try_for_each(|row| decode(points, row).map(|_| ())),
            #[cfg(target_arch = "x86_64")]
            Self::Eight => ristretto8::check(points),
        }
    }
}

/// The point of an encoding; refuses what is not canonical and the identity.
pub fn decode(points: &[[u8; 32]], row: usize) -> Result<RistrettoPoint, BadRow> {
    match CompressedRistretto(points[row]).decompress() {
        Some(point) if !point.is_identity() => Ok(point),
        _ => Err(BadRow(row)),
    }
}

fn map(uniform: &[[u8; 64]], row: usize) -> Result<RistrettoPoint, BadRow> {
    let point = RistrettoPoint::from_uniform_bytes(&uniform[row]);
    if point.is_identity() { Err(BadRow(row)) } else { Ok(point) }
}

fn double_and_encode(
    n: usize,
    out: &mut [[u8; 32]],
    point: impl Fn(usize) -> Result<RistrettoPoint, BadRow>,
) -> Result<(), BadRow> {
    assert_eq!(n, out.len());
    let points = (0..n).map(point).collect::<Result<Vec<_>, _>>()?;
    for (cell, encoded) in out.iter_mut().zip(RistrettoPoint::double_and_compress_batch(&points)) {
        *cell = encoded.to_bytes();
    }
    Ok(())
}
