//! ristretto255 (RFC 9496), hash-to-group (RFC 9380 with SHA-512) and the OPRF of RFC 9497, mode 0, in batches.
//!
//! A point is its 32-byte encoding and a batch is a flat buffer of them. Decoding refuses what is not canonical and the
//! identity, so every point that goes on is a generator of the prime-order group. Everything here is constant time in
//! scalars and points. Batches are cut into blocks that rayon spreads over the cores; [`crate::ristretto`] computes a block.

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::arithmetic::Arithmetic;
use crate::error::KernelError;
use crate::expand::{Dst, WIDE_BYTES};
use crate::items::Items;
use crate::ristretto::{BLOCK, BadRow, Halves, decode};
use crate::sha512::Beginning;

pub const POINT_BYTES: usize = 32;
pub const SCALAR_BYTES: usize = 32;

/// Bytes of a full OPRF output (SHA-512).
pub const OUTPUT_BYTES: usize = 64;

/// The domain separation tag of hash-to-group in RFC 9497, section 4.1 and 3.2: "HashToGroup-" || contextString.
pub const OPRF_DST: &[u8] = b"HashToGroup-OPRFV1-\x00-ristretto255-SHA512";

/// Rows a rayon task takes at a time at least, of what costs little a row.
const ROWS_PER_TASK: usize = 128;

/// `expand_message_xmd` of RFC 9380, section 5.3.1, with SHA-512.
pub fn expand_message_xmd(message: &[u8], dst: &[u8], out: &mut [u8]) -> Result<(), KernelError> {
    let dst = Dst::new(dst);
    // RFC 9380: ell <= 255 and len_in_bytes <= 65535.
    if out.is_empty() || out.len() > 255 * 64 {
        return Err(KernelError::Range { what: "expanded length", index: out.len() });
    }
    dst.expand(message, out);
    Ok(())
}

/// Hash-to-group of RFC 9497 for ristretto255-SHA512: `n` items to `n` points.
///
/// Raises `Range` for an item that hashes to the identity, as RFC 9497 `Blind` does; nobody knows one. So do the
/// functions below that hash.
pub fn hash_to_group(items: &Items<'_>, dst: &[u8]) -> Result<Vec<u8>, KernelError> {
    let (dst, arithmetic) = (Dst::new(dst), Arithmetic::best());
    in_blocks(items.len(), |first, cells| {
        arithmetic.map(&uniform(items, &dst, first, cells.len()), cells).map_err(bad_item(first))
    })
}

/// RFC 9497 `Blind` with one scalar for the whole batch: `scalar * H(item)`.
///
/// Unlike the RFC's fresh scalar per item this hides the items only under DDH, with H a random oracle.
pub fn oprf_blind(items: &Items<'_>, scalar: &[u8; 32]) -> Result<Vec<u8>, KernelError> {
    let (dst, half, arithmetic) = (Dst::new(OPRF_DST), parse_half(scalar, 0)?, Arithmetic::best());
    in_blocks(items.len(), |first, cells| {
        let uniform = uniform(items, &dst, first, cells.len());
        arithmetic.map_and_multiply(&uniform, Halves::One(&half), cells).map_err(bad_item(first))
    })
}

/// RFC 9497 `Blind` with a scalar for every item.
pub fn oprf_blind_each(items: &Items<'_>, scalars: &[u8]) -> Result<Vec<u8>, KernelError> {
    let scalars = split(scalars, "scalars")?;
    same_length("scalars", items.len(), scalars.len())?;
    let (dst, arithmetic) = (Dst::new(OPRF_DST), Arithmetic::best());
    in_blocks(items.len(), |first, cells| {
        let halves = parse_halves(&scalars[first..first + cells.len()], first)?;
        let uniform = uniform(items, &dst, first, cells.len());
        arithmetic.map_and_multiply(&uniform, Halves::Each(&halves), cells).map_err(bad_item(first))
    })
}

/// RFC 9497 `BlindEvaluate`: each point times the key. Also plain multiplication by one scalar.
pub fn multiply(points: &[u8], scalar: &[u8; 32]) -> Result<Vec<u8>, KernelError> {
    multiply_times(Arithmetic::best(), points, scalar, 1)
}

/// Each point times the scalar to the power of `times`: so many multiplications between one decoding and one encoding.
/// For measuring what a multiplication alone costs.
pub fn multiply_times(
    arithmetic: Arithmetic,
    points: &[u8],
    scalar: &[u8; 32],
    times: usize,
) -> Result<Vec<u8>, KernelError> {
    if times == 0 {
        return Err(KernelError::Range { what: "times", index: 0 });
    }
    let points = split(points, "points")?;
    let half = parse_half(scalar, 0)?;
    in_blocks(points.len(), |first, cells| {
        let points = &points[first..first + cells.len()];
        arithmetic.multiply(points, Halves::One(&half), times, cells).map_err(bad_point(first))
    })
}

/// Each point times its own scalar.
pub fn multiply_each(points: &[u8], scalars: &[u8]) -> Result<Vec<u8>, KernelError> {
    let (points, scalars) = (split(points, "points")?, split(scalars, "scalars")?);
    same_length("scalars", points.len(), scalars.len())?;
    let arithmetic = Arithmetic::best();
    in_blocks(points.len(), |first, cells| {
        let rows = first..first + cells.len();
        let halves = parse_halves(&scalars[rows.clone()], first)?;
        arithmetic.multiply(&points[rows], Halves::Each(&halves), 1, cells).map_err(bad_point(first))
    })
}

/// The generator times each scalar.
pub fn multiply_base(scalars: &[u8]) -> Result<Vec<u8>, KernelError> {
    let scalars = split(scalars, "scalars")?;
    in_blocks(scalars.len(), |first, cells| {
        let halves = parse_halves(&scalars[first..first + cells.len()], first)?;
        let points: Vec<_> = halves.iter().map(RistrettoPoint::mul_base).collect();
        for (cell, encoded) in cells.iter_mut().zip(RistrettoPoint::double_and_compress_batch(&points)) {
            *cell = encoded.to_bytes();
        }
        Ok(())
    })
}

/// `a[i] + b[i]`. A sum that is the identity is refused like an identity that came in.
pub fn add(a: &[u8], b: &[u8]) -> Result<Vec<u8>, KernelError> {
    combine(a, b, |a, b| a + b)
}

/// `a[i] - b[i]`. A difference that is the identity is refused like an identity that came in.
pub fn subtract(a: &[u8], b: &[u8]) -> Result<Vec<u8>, KernelError> {
    combine(a, b, |a, b| a - b)
}

/// Decodes every point and drops the result: the check alone.
pub fn check_points(points: &[u8]) -> Result<(), KernelError> {
    let (points, arithmetic) = (split(points, "points")?, Arithmetic::best());
    let blocks = points.par_chunks(BLOCK).enumerate();
    blocks.try_for_each(|(block, points)| arithmetic.check(points).map_err(bad_point(block * BLOCK)))
}

/// RFC 9497 `Finalize` for a batch blinded with one scalar: unblinds, hashes, cuts to `out_width` bytes an item.
pub fn oprf_finalize(
    items: &Items<'_>,
    evaluated: &[u8],
    scalar: &[u8; 32],
    out_width: usize,
) -> Result<Vec<u8>, KernelError> {
    same_length("evaluated points", items.len() * POINT_BYTES, evaluated.len())?;
    let inverse = Zeroizing::new(parse_scalar(scalar, 0)?.invert().to_bytes());
    finish(items, &multiply(evaluated, &inverse)?, out_width)
}

/// RFC 9497 `Finalize` for a batch blinded with a scalar for every item.
pub fn oprf_finalize_each(
    items: &Items<'_>,
    evaluated: &[u8],
    scalars: &[u8],
    out_width: usize,
) -> Result<Vec<u8>, KernelError> {
    same_length("evaluated points", items.len() * POINT_BYTES, evaluated.len())?;
    let inverses = Zeroizing::new(invert_scalars(scalars)?);
    finish(items, &multiply_each(evaluated, &inverses)?, out_width)
}

/// RFC 9497 `Evaluate`: the key holder's own value of the function, cut to `out_width` bytes an item.
pub fn oprf_evaluate(items: &Items<'_>, key: &[u8; 32], out_width: usize) -> Result<Vec<u8>, KernelError> {
    finish(items, &oprf_blind(items, key)?, out_width)
}

/// Scalars from 64 uniform bytes each, reduced modulo the group order. A zero is refused (probability 2^-252).
pub fn scalars_from_wide(wide: &[u8]) -> Result<Vec<u8>, KernelError> {
    let (wide, rest) = wide.as_chunks::<64>();
    same_length("wide scalars", 0, rest.len())?;
    let mut out = Vec::with_capacity(wide.len() * SCALAR_BYTES);
    for (row, bytes) in wide.iter().enumerate() {
        let scalar = Scalar::from_bytes_mod_order_wide(bytes);
        if scalar == Scalar::ZERO {
            return Err(bad_scalar(row));
        }
        out.extend_from_slice(scalar.as_bytes());
    }
    Ok(out)
}

/// The inverse of each scalar modulo the group order.
pub fn invert_scalars(scalars: &[u8]) -> Result<Vec<u8>, KernelError> {
    let scalars = split(scalars, "scalars")?;
    let mut parsed = Zeroizing::new(Vec::with_capacity(scalars.len()));
    for (row, scalar) in scalars.iter().enumerate() {
        parsed.push(*parse_scalar(scalar, row)?);
    }
    Scalar::invert_batch_alloc(&mut parsed);
    Ok(parsed.iter().flat_map(|scalar| scalar.to_bytes()).collect())
}

fn combine(
    a: &[u8],
    b: &[u8],
    op: impl Fn(RistrettoPoint, RistrettoPoint) -> RistrettoPoint + Sync,
) -> Result<Vec<u8>, KernelError> {
    let (a, b) = (split(a, "points")?, split(b, "points")?);
    same_length("points", a.len(), b.len())?;
    let mut out = vec![0; a.len() * POINT_BYTES];
    let (cells, _) = out.as_chunks_mut::<POINT_BYTES>();
    cells.par_iter_mut().with_min_len(ROWS_PER_TASK).enumerate().try_for_each(|(row, cell)| {
        let result = op(decode(a, row).map_err(bad_point(0))?, decode(b, row).map_err(bad_point(0))?);
        if result.is_identity() {
            return Err(KernelError::BadPoint { index: row });
        }
        *cell = result.compress().to_bytes();
        Ok(())
    })?;
    Ok(out)
}

/// Points of `n` rows, computed in parallel blocks: `block` gets the first row and where to write.
fn in_blocks(
    n: usize,
    block: impl Fn(usize, &mut [[u8; 32]]) -> Result<(), KernelError> + Sync,
) -> Result<Vec<u8>, KernelError> {
    let mut out = vec![0; n * POINT_BYTES];
    let (cells, _) = out.as_chunks_mut::<POINT_BYTES>();
    cells.par_chunks_mut(BLOCK).enumerate().try_for_each(|(number, cells)| block(number * BLOCK, cells))?;
    Ok(out)
}

/// 64 uniform bytes for each of `n` items from `first` on.
fn uniform(items: &Items<'_>, dst: &Dst, first: usize, n: usize) -> Vec<[u8; WIDE_BYTES]> {
    let mut uniform = vec![[0; WIDE_BYTES]; n];
    dst.expand_each(items, first, &mut uniform);
    uniform
}

/// The last line of RFC 9497 `Finalize`, over already unblinded points.
fn finish(items: &Items<'_>, unblinded: &[u8], out_width: usize) -> Result<Vec<u8>, KernelError> {
    if out_width == 0 || out_width > OUTPUT_BYTES {
        return Err(KernelError::Range { what: "output width", index: out_width });
    }
    let points = split(unblinded, "points")?;
    // RFC 9497: PublicInput and PrivateInput are at most 2^16 - 1 bytes.
    if let Some(row) = (0..items.len()).find(|row| items.get(*row).len() > usize::from(u16::MAX)) {
        return Err(KernelError::Range { what: "item", index: row });
    }
    let mut out = vec![0; items.len() * out_width];
    out.par_chunks_mut(ROWS_PER_TASK * out_width).enumerate().for_each(|(task, cells)| {
        let mut digests = vec![[0; OUTPUT_BYTES]; cells.len() / out_width];
        Beginning::none().digest_each(&mut digests, |k, message| {
            let row = task * ROWS_PER_TASK + k;
            let item = items.get(row);
            message.push(&(item.len() as u16).to_be_bytes());
            message.push(item);
            message.push(&(POINT_BYTES as u16).to_be_bytes());
            message.push(&points[row]);
            message.push(b"Finalize");
        });
        for (cell, digest) in cells.chunks_exact_mut(out_width).zip(digests) {
            cell.copy_from_slice(&digest[..out_width]);
        }
    });
    Ok(out)
}

/// A scalar in its canonical encoding, not zero.
pub(crate) fn parse_scalar(bytes: &[u8; 32], index: usize) -> Result<Zeroizing<Scalar>, KernelError> {
    match Option::<Scalar>::from(Scalar::from_canonical_bytes(*bytes)) {
        Some(scalar) if scalar != Scalar::ZERO => Ok(Zeroizing::new(scalar)),
        _ => Err(bad_scalar(index)),
    }
}

/// Half of the scalar in `bytes`.
pub(crate) fn parse_half(bytes: &[u8; 32], index: usize) -> Result<Zeroizing<Scalar>, KernelError> {
    Ok(Zeroizing::new(parse_scalar(bytes, index)?.div_by_2()))
}

/// Half of each scalar; the first one has the number `first`.
pub(crate) fn parse_halves(scalars: &[[u8; 32]], first: usize) -> Result<Zeroizing<Vec<Scalar>>, KernelError> {
    let mut halves = Zeroizing::new(Vec::with_capacity(scalars.len()));
    for (index, scalar) in (first..).zip(scalars) {
        halves.push(*parse_half(scalar, index)?);
    }
    Ok(halves)
}

fn bad_point(first: usize) -> impl Fn(BadRow) -> KernelError {
    move |BadRow(row)| KernelError::BadPoint { index: first + row }
}

/// An item that hashes to the identity.
fn bad_item(first: usize) -> impl Fn(BadRow) -> KernelError {
    move |BadRow(row)| KernelError::Range { what: "item", index: first + row }
}

fn bad_scalar(index: usize) -> KernelError {
    KernelError::Range { what: "scalar", index }
}

pub(crate) fn split<'a>(flat: &'a [u8], what: &'static str) -> Result<&'a [[u8; 32]], KernelError> {
    let (rows, rest) = flat.as_chunks::<32>();
    if rest.is_empty() { Ok(rows) } else { Err(KernelError::Shape { what, expected: 32, found: rest.len() }) }
}

pub(crate) fn same_length(what: &'static str, expected: usize, found: usize) -> Result<(), KernelError> {
    if expected == found { Ok(()) } else { Err(KernelError::Shape { what, expected, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: [u8; 32] = {
        let mut two = [0; 32];
        two[0] = 2;
        two
    };

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }

    /// RFC 9497, appendix A.1.1.1, both vectors.
    #[test]
    fn oprf_vectors_of_rfc_9497() {
        let key: [u8; 32] = hex("5ebcea5ee37023ccb9fc2d2019f9d7737be85591ae8652ffa9ef0f4d37063b0e").try_into().unwrap();
        let blind: [u8; 32] =
            hex("64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706").try_into().unwrap();
        let mut rows = vec![0; 34];
        rows[17..].fill(0x5a);
        let items = Items::with_lengths(&rows, 17, &[1, 17]).unwrap();
        let blinded = oprf_blind(&items, &blind).unwrap();
        assert_eq!(blinded[..32], hex("609a0ae68c15a3cf6903766461307e5c8bb2f95e7e6550e1ffa2dc99e412803c"));
        assert_eq!(blinded[32..], hex("da27ef466870f5f15296299850aa088629945a17d1f5b7f5ff043f76b3c06418"));
        assert_eq!(blinded, oprf_blind_each(&items, &[blind, blind].concat()).unwrap());
        let evaluated = multiply(&blinded, &key).unwrap();
        assert_eq!(evaluated[..32], hex("7ec6578ae5120958eb2db1745758ff379e77cb64fe77b0b2d8cc917ea0869c7e"));
        let output = oprf_finalize(&items, &evaluated, &blind, 64).unwrap();
        assert_eq!(output[..8], hex("527759c3d9366f27"));
        assert_eq!(output[64..72], hex("f4a74c9c59249737"));
        assert_eq!(output, oprf_finalize_each(&items, &evaluated, &[blind, blind].concat(), 64).unwrap());
        assert_eq!(output, oprf_evaluate(&items, &key, 64).unwrap());
    }

    #[test]
    fn arithmetic_agrees_with_itself() {
        let scalars = scalars_from_wide(&(0..=255).cycle().take(64 * 300).collect::<Vec<u8>>()).unwrap();
        let points = multiply_base(&scalars).unwrap();
        let doubled = multiply(&points, &TWO).unwrap();
        assert_eq!(add(&points, &points).unwrap(), doubled);
        assert_eq!(subtract(&doubled, &points).unwrap(), points);
        let products = multiply_each(&points, &scalars).unwrap();
        assert_eq!(multiply_each(&products, &invert_scalars(&scalars).unwrap()).unwrap(), points);
    }

    #[test]
    fn refuses_bad_points_and_scalars() {
        let mut points = hash_to_group(&Items::full(&[7; 300], 1).unwrap(), b"test").unwrap();
        points[32 * 200..32 * 201].fill(0);
        assert_eq!(multiply(&points, &TWO), Err(KernelError::BadPoint { index: 200 }));
        assert_eq!(check_points(&[0xff; 32]), Err(KernelError::BadPoint { index: 0 }));
        let generator = multiply_base(&{
            let mut one = [0; 32];
            one[0] = 1;
            one
        })
        .unwrap();
        assert_eq!(subtract(&generator, &generator), Err(KernelError::BadPoint { index: 0 }));
        for scalar in [[0; 32], [0xff; 32]] {
            assert!(matches!(multiply(&generator, &scalar), Err(KernelError::Range { .. })));
            assert!(matches!(multiply_base(&scalar), Err(KernelError::Range { .. })));
            assert!(matches!(invert_scalars(&scalar), Err(KernelError::Range { .. })));
        }
        assert!(multiply(&generator[1..], &TWO).is_err());
    }
}
