//! ristretto255, the OPRF, the OKVS and the digest.

use fedcredit_core::arithmetic::Arithmetic;
use fedcredit_core::error::KernelError;
use fedcredit_core::items::Items;
use fedcredit_core::{digest, group, okvs};
use numpy::ndarray::Array2;
use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray2, PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::refuse;

type Bytes2<'py> = PyReadonlyArray2<'py, u8>;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(blake3, m)?)?;
    m.add_function(wrap_pyfunction!(blake3_derive, m)?)?;
    m.add_function(wrap_pyfunction!(blake3_keyed, m)?)?;
    m.add_function(wrap_pyfunction!(blake3_keyed_xor, m)?)?;
    m.add_function(wrap_pyfunction!(digest_lookup, m)?)?;
    m.add_function(wrap_pyfunction!(digest_find_repeat, m)?)?;
    m.add_function(wrap_pyfunction!(expand_message_xmd, m)?)?;
    m.add_function(wrap_pyfunction!(hash_to_group, m)?)?;
    m.add_function(wrap_pyfunction!(group_multiply, m)?)?;
    m.add_function(wrap_pyfunction!(group_multiply_times, m)?)?;
    m.add_function(wrap_pyfunction!(group_multiply_each, m)?)?;
    m.add_function(wrap_pyfunction!(group_multiply_base, m)?)?;
    m.add_function(wrap_pyfunction!(group_add, m)?)?;
    m.add_function(wrap_pyfunction!(group_subtract, m)?)?;
    m.add_function(wrap_pyfunction!(group_check, m)?)?;
    m.add_function(wrap_pyfunction!(scalars_from_wide, m)?)?;
    m.add_function(wrap_pyfunction!(scalars_invert, m)?)?;
    m.add_function(wrap_pyfunction!(oprf_blind, m)?)?;
    m.add_function(wrap_pyfunction!(oprf_blind_each, m)?)?;
    m.add_function(wrap_pyfunction!(oprf_evaluate, m)?)?;
    m.add_function(wrap_pyfunction!(oprf_finalize, m)?)?;
    m.add_function(wrap_pyfunction!(oprf_finalize_each, m)?)?;
    m.add_function(wrap_pyfunction!(okvs_slots, m)?)?;
    m.add_function(wrap_pyfunction!(okvs_encode, m)?)?;
    m.add_function(wrap_pyfunction!(okvs_decode_xor, m)?)?;
    Ok(())
}

/// BLAKE3 of `data[start..]`, 32 bytes; of nothing where `start` is past the end. Releases the GIL.
/// `start` lets a frame's body be hashed where it lies.
#[pyfunction]
#[pyo3(signature = (data, start = 0))]
fn blake3<'py>(py: Python<'py>, data: &[u8], start: usize) -> Bound<'py, PyBytes> {
    let body = data.get(start..).unwrap_or_default();
    let digest = py.detach(|| digest::blake3(body));
    PyBytes::new(py, &digest)
}

/// `length` bytes of BLAKE3 in key-derivation mode.
#[pyfunction]
fn blake3_derive<'py>(py: Python<'py>, context: &str, material: &[u8], length: usize) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, length, |out| {
        digest::derive(context, material, out);
        Ok(())
    })
}

/// Keyed BLAKE3 of every item: (n, out_width).
#[pyfunction]
fn blake3_keyed<'py>(
    py: Python<'py>,
    key: [u8; 32],
    rows: Bytes2<'py>,
    strip: bool,
    out_width: usize,
) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let items = padded(&rows, strip)?;
    let out = py.detach(|| digest::keyed(&key, &items, out_width)).map_err(refuse)?;
    matrix(py, out, out_width)
}

/// XORs keyed BLAKE3 of every item into `out` (n, out_width).
#[pyfunction]
fn blake3_keyed_xor(
    py: Python<'_>,
    key: [u8; 32],
    rows: Bytes2<'_>,
    strip: bool,
    mut out: PyReadwriteArray2<'_, u8>,
) -> PyResult<()> {
    let items = padded(&rows, strip)?;
    let out_width = out.shape()[1];
    let out = out.as_slice_mut()?;
    py.detach(|| digest::keyed_xor(&key, &items, out, out_width)).map_err(refuse)
}

/// Row of `table` (n, 16) equal to each row of `wanted` (m, 16), or -1.
#[pyfunction]
fn digest_lookup<'py>(py: Python<'py>, table: Bytes2<'py>, wanted: Bytes2<'py>) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let (table, wanted) = (flat(&table, digest::DIGEST_BYTES)?, flat(&wanted, digest::DIGEST_BYTES)?);
    let found = py.detach(|| digest::lookup(table, wanted)).map_err(refuse)?;
    Ok(found.into_pyarray(py))
}

/// A row of `table` (n, 16) that repeats an earlier one, or None.
#[pyfunction]
fn digest_find_repeat(py: Python<'_>, table: Bytes2<'_>) -> PyResult<Option<usize>> {
    let table = flat(&table, digest::DIGEST_BYTES)?;
    py.detach(|| digest::find_repeat(table)).map_err(refuse)
}

/// `expand_message_xmd` of RFC 9380 with SHA-512.
#[pyfunction]
fn expand_message_xmd<'py>(
    py: Python<'py>,
    message: &[u8],
    dst: &[u8],
    length: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    PyBytes::new_with(py, length, |out| group::expand_message_xmd(message, dst, out).map_err(refuse))
}

/// Items to points: (n, 32).
#[pyfunction]
fn hash_to_group<'py>(
    py: Python<'py>,
    rows: Bytes2<'py>,
    lengths: Option<PyReadonlyArray1<'py, u32>>,
    dst: &[u8],
) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let items = measured(&rows, &lengths)?;
    points(py, py.detach(|| group::hash_to_group(&items, dst)))
}

/// Every point times one scalar.
#[pyfunction]
fn group_multiply<'py>(py: Python<'py>, encoded: Bytes2<'py>, scalar: [u8; 32]) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let encoded = flat(&encoded, group::POINT_BYTES)?;
    points(py, py.detach(|| group::multiply(encoded, &scalar)))
}

/// Every point times the scalar `times` times, between one decoding and one encoding; one point at a time if `portable`.
#[pyfunction]
fn group_multiply_times<'py>(
    py: Python<'py>,
    encoded: Bytes2<'py>,
    scalar: [u8; 32],
    times: usize,
    portable: bool,
) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let encoded = flat(&encoded, group::POINT_BYTES)?;
    let arithmetic = if portable { Arithmetic::Portable } else { Arithmetic::best() };
    points(py, py.detach(|| group::multiply_times(arithmetic, encoded, &scalar, times)))
}

/// Every point times its own scalar.
#[pyfunction]
fn group_multiply_each<'py>(
    py: Python<'py>,
    encoded: Bytes2<'py>,
    scalars: Bytes2<'py>,
) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let (encoded, scalars) = (flat(&encoded, group::POINT_BYTES)?, flat(&scalars, group::SCALAR_BYTES)?);
    points(py, py.detach(|| group::multiply_each(encoded, scalars)))
}

/// The generator times every scalar.
#[pyfunction]
fn group_multiply_base<'py>(py: Python<'py>, scalars: Bytes2<'py>) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let scalars = flat(&scalars, group::SCALAR_BYTES)?;
    points(py, py.detach(|| group::multiply_base(scalars)))
}

/// Row-wise sum of points.
#[pyfunction]
fn group_add<'py>(py: Python<'py>, a: Bytes2<'py>, b: Bytes2<'py>) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let (a, b) = (flat(&a, group::POINT_BYTES)?, flat(&b, group::POINT_BYTES)?);
    points(py, py.detach(|| group::add(a, b)))
}

/// Row-wise difference of points.
#[pyfunction]
fn group_subtract<'py>(py: Python<'py>, a: Bytes2<'py>, b: Bytes2<'py>) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let (a, b) = (flat(&a, group::POINT_BYTES)?, flat(&b, group::POINT_BYTES)?);
    points(py, py.detach(|| group::subtract(a, b)))
}

/// Raises BadPoint unless every row is a valid point.
#[pyfunction]
fn group_check(py: Python<'_>, encoded: Bytes2<'_>) -> PyResult<()> {
    let encoded = flat(&encoded, group::POINT_BYTES)?;
    py.detach(|| group::check_points(encoded)).map_err(refuse)
}

/// Scalars from 64 uniform bytes a row.
#[pyfunction]
fn scalars_from_wide<'py>(py: Python<'py>, wide: Bytes2<'py>) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let wide = flat(&wide, 64)?;
    points(py, py.detach(|| group::scalars_from_wide(wide)))
}

/// The inverse of every scalar.
#[pyfunction]
fn scalars_invert<'py>(py: Python<'py>, scalars: Bytes2<'py>) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let scalars = flat(&scalars, group::SCALAR_BYTES)?;
    points(py, py.detach(|| group::invert_scalars(scalars)))
}

/// RFC 9497 Blind, one scalar for all items.
#[pyfunction]
fn oprf_blind<'py>(
    py: Python<'py>,
    rows: Bytes2<'py>,
    lengths: Option<PyReadonlyArray1<'py, u32>>,
    scalar: [u8; 32],
) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let items = measured(&rows, &lengths)?;
    points(py, py.detach(|| group::oprf_blind(&items, &scalar)))
}

/// RFC 9497 Blind, a scalar for every item.
#[pyfunction]
fn oprf_blind_each<'py>(
    py: Python<'py>,
    rows: Bytes2<'py>,
    lengths: Option<PyReadonlyArray1<'py, u32>>,
    scalars: Bytes2<'py>,
) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let (items, scalars) = (measured(&rows, &lengths)?, flat(&scalars, group::SCALAR_BYTES)?);
    points(py, py.detach(|| group::oprf_blind_each(&items, scalars)))
}

/// RFC 9497 Evaluate by the key holder: (n, out_width).
#[pyfunction]
fn oprf_evaluate<'py>(
    py: Python<'py>,
    rows: Bytes2<'py>,
    lengths: Option<PyReadonlyArray1<'py, u32>>,
    key: [u8; 32],
    out_width: usize,
) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let items = measured(&rows, &lengths)?;
    matrix(py, py.detach(|| group::oprf_evaluate(&items, &key, out_width)).map_err(refuse)?, out_width)
}

/// RFC 9497 Finalize of a batch blinded with one scalar: (n, out_width).
#[pyfunction]
fn oprf_finalize<'py>(
    py: Python<'py>,
    rows: Bytes2<'py>,
    lengths: Option<PyReadonlyArray1<'py, u32>>,
    evaluated: Bytes2<'py>,
    scalar: [u8; 32],
    out_width: usize,
) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let (items, evaluated) = (measured(&rows, &lengths)?, flat(&evaluated, group::POINT_BYTES)?);
    let out = py.detach(|| group::oprf_finalize(&items, evaluated, &scalar, out_width)).map_err(refuse)?;
    matrix(py, out, out_width)
}

/// RFC 9497 Finalize of a batch blinded with a scalar for every item: (n, out_width).
#[pyfunction]
fn oprf_finalize_each<'py>(
    py: Python<'py>,
    rows: Bytes2<'py>,
    lengths: Option<PyReadonlyArray1<'py, u32>>,
    evaluated: Bytes2<'py>,
    scalars: Bytes2<'py>,
    out_width: usize,
) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let (items, evaluated) = (measured(&rows, &lengths)?, flat(&evaluated, group::POINT_BYTES)?);
    let scalars = flat(&scalars, group::SCALAR_BYTES)?;
    let out = py.detach(|| group::oprf_finalize_each(&items, evaluated, scalars, out_width)).map_err(refuse)?;
    matrix(py, out, out_width)
}

/// Slots of an OKVS of `n` pairs.
#[pyfunction]
fn okvs_slots(n: u32) -> usize {
    okvs::slots(n as usize)
}

/// Overwrites `fill` (slots, 16), uniform bytes, with the OKVS of the pairs. Raises NoAssignment for a bad seed.
#[pyfunction]
fn okvs_encode(
    py: Python<'_>,
    keys: Bytes2<'_>,
    values: Bytes2<'_>,
    seed: [u8; 32],
    mut fill: PyReadwriteArray2<'_, u8>,
) -> PyResult<()> {
    let (keys, values) = (flat(&keys, okvs::KEY_BYTES)?, flat(&values, okvs::VALUE_BYTES)?);
    if fill.shape()[1] != okvs::VALUE_BYTES {
        return Err(refuse(KernelError::Shape { what: "fill", expected: okvs::VALUE_BYTES, found: fill.shape()[1] }));
    }
    let fill = fill.as_slice_mut()?;
    py.detach(|| okvs::encode(keys, values, &seed, fill)).map_err(refuse)
}

/// XORs the values of `keys` in `store`, an OKVS of `n` pairs, into `out` (m, 16).
#[pyfunction]
fn okvs_decode_xor(
    py: Python<'_>,
    store: Bytes2<'_>,
    n: u32,
    keys: Bytes2<'_>,
    seed: [u8; 32],
    mut out: PyReadwriteArray2<'_, u8>,
) -> PyResult<()> {
    let (store, keys) = (flat(&store, okvs::VALUE_BYTES)?, flat(&keys, okvs::KEY_BYTES)?);
    if out.shape()[1] != okvs::VALUE_BYTES {
        return Err(refuse(KernelError::Shape { what: "out", expected: okvs::VALUE_BYTES, found: out.shape()[1] }));
    }
    let out = out.as_slice_mut()?;
    py.detach(|| okvs::decode_xor(store, n as usize, keys, &seed, out)).map_err(refuse)
}

/// The rows of a contiguous (n, width) array, laid end to end.
fn flat<'a>(rows: &'a Bytes2<'_>, width: usize) -> PyResult<&'a [u8]> {
    if rows.shape()[1] != width {
        return Err(refuse(KernelError::Shape { what: "row", expected: width, found: rows.shape()[1] }));
    }
    Ok(rows.as_slice()?)
}

/// Items of full rows, or with their padding stripped.
fn padded<'a>(rows: &'a Bytes2<'_>, strip: bool) -> PyResult<Items<'a>> {
    let (bytes, width) = (rows.as_slice()?, rows.shape()[1]);
    if strip { Items::stripped(bytes, width) } else { Items::full(bytes, width) }.map_err(refuse)
}

/// Items of full rows, or with a length each.
fn measured<'a>(rows: &'a Bytes2<'_>, lengths: &'a Option<PyReadonlyArray1<'_, u32>>) -> PyResult<Items<'a>> {
    let (bytes, width) = (rows.as_slice()?, rows.shape()[1]);
    match lengths {
        Some(lengths) => Items::with_lengths(bytes, width, lengths.as_slice()?),
        None => Items::full(bytes, width),
    }
    .map_err(refuse)
}

fn points(py: Python<'_>, encoded: Result<Vec<u8>, KernelError>) -> PyResult<Bound<'_, PyArray2<u8>>> {
    matrix(py, encoded.map_err(refuse)?, group::POINT_BYTES)
}

/// `flat` as rows of `width` bytes; no copy.
fn matrix(py: Python<'_>, flat: Vec<u8>, width: usize) -> PyResult<Bound<'_, PyArray2<u8>>> {
    let rows = flat.len() / width;
    let array = Array2::from_shape_vec((rows, width), flat)
        .map_err(|_| refuse(KernelError::Shape { what: "result", expected: width, found: rows }))?;
    Ok(array.into_pyarray(py))
}
