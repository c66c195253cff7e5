//! GF(2^128) and silent VOLE for Python: elements are rows of 16 bytes, or pairs of u64, low word first.

use std::borrow::Cow;

use fedcredit_core::gf128::{self, Element};
use fedcredit_core::vole::{self, Offer, Piece};
use numpy::{PyArray1, PyReadonlyArray1, PyReadwriteArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::refuse;

type Words<'py> = PyReadonlyArray1<'py, u64>;
type Bytes<'py> = PyReadonlyArray1<'py, u8>;
type NewWords<'py> = Bound<'py, PyArray1<u64>>;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(gf128_scale_add, m)?)?;
    m.add_function(wrap_pyfunction!(vole_plant, m)?)?;
    m.add_function(wrap_pyfunction!(vole_regrow, m)?)?;
    m.add_function(wrap_pyfunction!(vole_compress_sender, m)?)?;
    m.add_function(wrap_pyfunction!(vole_compress_receiver, m)?)?;
    Ok(())
}

/// Bytes as elements; copies only where they do not lie as words must.
fn elements(bytes: &[u8]) -> PyResult<Cow<'_, [Element]>> {
    let (rows, []) = bytes.as_chunks::<16>() else {
        return Err(PyValueError::new_err("elements: not rows of 16 bytes"));
    };
    Ok(bytemuck::try_cast_slice(bytes)
        .map_or_else(|_| Cow::Owned(rows.iter().map(|row| bytemuck::pod_read_unaligned(row)).collect()), Cow::Borrowed))
}

fn elements_mut(bytes: &mut [u8]) -> PyResult<&mut [Element]> {
    // An empty array may lie anywhere.
    if bytes.is_empty() {
        return Ok(&mut []);
    }
    bytemuck::try_cast_slice_mut(bytes)
        .map_err(|_| PyValueError::new_err("elements: not rows of 16 bytes at an address of words"))
}

fn cells<'a, const K: usize>(words: &'a mut PyReadwriteArray1<'_, u64>) -> PyResult<&'a mut [[u64; K]]> {
    match words.as_slice_mut()?.as_chunks_mut::<K>() {
        (cells, []) => Ok(cells),
        _ => Err(PyValueError::new_err("cells: not whole cells")),
    }
}

fn pairs(words: &[u64]) -> PyResult<&[Element]> {
    match words.as_chunks::<2>() {
        (pairs, []) => Ok(pairs),
        _ => Err(PyValueError::new_err("elements: an odd number of words")),
    }
}

/// Adds `values * factor` to `into`.
#[pyfunction]
fn gf128_scale_add<'py>(
    py: Python<'py>,
    values: Bytes<'py>,
    factor: Element,
    mut into: PyReadwriteArray1<'py, u8>,
) -> PyResult<()> {
    let values = elements(values.as_slice()?)?;
    let into = elements_mut(into.as_slice_mut()?)?;
    py.detach(|| gf128::scale_add(&values, factor, into)).map_err(refuse)
}

/// The sender's trees into `cells`; returns the levels and totals to send.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "a flat call keeps the edge simple")]
fn vole_plant<'py>(
    py: Python<'py>,
    key: [u8; 32],
    trees: usize,
    leaves: usize,
    delta: Element,
    q: Words<'py>,
    roots: Words<'py>,
    mut into: PyReadwriteArray1<'py, u64>,
) -> PyResult<(NewWords<'py>, NewWords<'py>)> {
    let piece = Piece { key: &key, trees, leaves };
    let (q, roots, into) = (pairs(q.as_slice()?)?, pairs(roots.as_slice()?)?, cells(&mut into)?);
    let offer = py.detach(|| vole::plant(&piece, delta, q, roots, into)).map_err(refuse)?;
    let words = |elements: &[Element]| PyArray1::from_slice(py, elements.as_flattened());
    Ok((words(&offer.levels), words(&offer.totals)))
}

/// The receiver's trees into `cells`.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "a flat call keeps the edge simple")]
fn vole_regrow<'py>(
    py: Python<'py>,
    key: [u8; 32],
    trees: usize,
    leaves: usize,
    t: Words<'py>,
    places: PyReadonlyArray1<'py, u32>,
    noise: Words<'py>,
    levels: Words<'py>,
    totals: Words<'py>,
    mut into: PyReadwriteArray1<'py, u64>,
) -> PyResult<()> {
    let piece = Piece { key: &key, trees, leaves };
    let offer = Offer { levels: pairs(levels.as_slice()?)?.to_vec(), totals: pairs(totals.as_slice()?)?.to_vec() };
    let (t, noise) = (pairs(t.as_slice()?)?, pairs(noise.as_slice()?)?);
    let (places, into) = (places.as_slice()?, cells(&mut into)?);
    py.detach(|| vole::regrow(&piece, t, places, noise, &offer, into)).map_err(refuse)
}

/// The sender's `b` from its cells, which are used up.
#[pyfunction]
fn vole_compress_sender<'py>(
    py: Python<'py>,
    key: [u8; 32],
    trees: usize,
    leaves: usize,
    mut scratch: PyReadwriteArray1<'py, u64>,
    mut b: PyReadwriteArray1<'py, u8>,
) -> PyResult<()> {
    let piece = Piece { key: &key, trees, leaves };
    let (from, b) = (cells(&mut scratch)?, elements_mut(b.as_slice_mut()?)?);
    py.detach(|| vole::compress_sender(&piece, from, b)).map_err(refuse)
}

/// The receiver's `a` and `c` from its cells, which are used up.
#[pyfunction]
fn vole_compress_receiver<'py>(
    py: Python<'py>,
    key: [u8; 32],
    trees: usize,
    leaves: usize,
    mut scratch: PyReadwriteArray1<'py, u64>,
    mut a: PyReadwriteArray1<'py, u8>,
    mut c: PyReadwriteArray1<'py, u8>,
) -> PyResult<()> {
    let piece = Piece { key: &key, trees, leaves };
    let from = cells(&mut scratch)?;
    let (a, c) = (elements_mut(a.as_slice_mut()?)?, elements_mut(c.as_slice_mut()?)?);
    py.detach(|| vole::compress_receiver(&piece, from, a, c)).map_err(refuse)
}
