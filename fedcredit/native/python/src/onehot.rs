//! Correlated transfers, one-hot sharing and sums per bin. Blocks of 128 bits travel as pairs of u64, low word first.

use std::borrow::Cow;

use fedcredit_core::cot::{self, NIBBLES, STREAMS, Seeds};
use fedcredit_core::histogram;
use fedcredit_core::onehot::{self, Assignment, Opening, Received, Round, Trees};
use fedcredit_core::sums as rounds;
use numpy::{PyArray1, PyReadonlyArray1, PyReadwriteArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::refuse;

type Words<'py> = PyReadonlyArray1<'py, u64>;
type Indices<'py> = PyReadonlyArray1<'py, u32>;
type Bytes<'py> = PyReadonlyArray1<'py, u8>;
type NewWords<'py> = Bound<'py, PyArray1<u64>>;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(cot_receive, m)?)?;
    m.add_function(wrap_pyfunction!(cot_send, m)?)?;
    m.add_function(wrap_pyfunction!(onehot_level_sums, m)?)?;
    m.add_function(wrap_pyfunction!(onehot_asker_sums, m)?)?;
    m.add_function(wrap_pyfunction!(onehot_holder_sums, m)?)?;
    m.add_function(wrap_pyfunction!(bin_sums, m)?)?;
    m.add_function(wrap_pyfunction!(vector_sums, m)?)?;
    Ok(())
}

/// Pairs of u64 as blocks; copies only where the array is not aligned to 16 bytes.
fn blocks(words: &[u64]) -> PyResult<Cow<'_, [u128]>> {
    if !words.len().is_multiple_of(2) {
        return Err(PyValueError::new_err("blocks: an odd number of words"));
    }
    Ok(bytemuck::try_cast_slice(words).map_or_else(
        |_| {
            let wide = |pair: &[u64]| (u128::from(pair[1]) << 64) | u128::from(pair[0]);
            Cow::Owned(words.chunks(2).map(wide).collect())
        },
        Cow::Borrowed,
    ))
}

fn words<'py>(py: Python<'py>, blocks: &[u128]) -> NewWords<'py> {
    PyArray1::from_slice(py, bytemuck::cast_slice(blocks))
}

fn seeds(flat: &[u8]) -> PyResult<Box<Seeds>> {
    if flat.len() != NIBBLES * STREAMS * 16 {
        return Err(PyValueError::new_err("seeds: expected 32 x 16 x 16 bytes"));
    }
    let mut out: Box<Seeds> = Box::new([[[0; 16]; STREAMS]; NIBBLES]);
    for (seed, bytes) in out.iter_mut().flatten().zip(flat.chunks(16)) {
        seed.copy_from_slice(bytes);
    }
    Ok(out)
}

fn keys(flat: &[u8]) -> Vec<[u8; 16]> {
    flat.as_chunks::<16>().0.to_vec()
}

fn key(bytes: &[u8]) -> PyResult<[u8; 16]> {
    bytes.try_into().map_err(|_| PyValueError::new_err("key: expected 16 bytes"))
}

/// The receiver's blocks and corrections of transfers `128 * first ..`.
#[pyfunction]
fn cot_receive<'py>(
    py: Python<'py>,
    seeds_flat: Bytes<'py>,
    first: u64,
    choices: Words<'py>,
) -> PyResult<(NewWords<'py>, NewWords<'py>)> {
    let seeds = seeds(seeds_flat.as_slice()?)?;
    let choices = blocks(choices.as_slice()?)?;
    if choices.is_empty() {
        return Ok((words(py, &[]), words(py, &[])));
    }
    let (t, d) = py.detach(|| cot::receive(&seeds, first, &choices));
    Ok((words(py, &t), words(py, &d)))
}

/// The sender's blocks of transfers `128 * first ..`.
#[pyfunction]
fn cot_send<'py>(
    py: Python<'py>,
    seeds_flat: Bytes<'py>,
    delta: [u64; 2],
    first: u64,
    corrections: Words<'py>,
) -> PyResult<NewWords<'py>> {
    let seeds = seeds(seeds_flat.as_slice()?)?;
    let corrections = blocks(corrections.as_slice()?)?;
    let q = py.detach(|| cot::send(&seeds, join(delta), first, &corrections)).map_err(refuse)?;
    Ok(words(py, &q))
}

fn join(delta: [u64; 2]) -> u128 {
    (u128::from(delta[1]) << 64) | u128::from(delta[0])
}

/// The asker's level sums of one feature.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "a flat call keeps the edge simple")]
fn onehot_level_sums<'py>(
    py: Python<'py>,
    n_rows: usize,
    bins: PyReadonlyArray1<'py, u16>,
    expand_key: &[u8],
    delta: [u64; 2],
    feature: u32,
    first: u32,
    q: Words<'py>,
) -> PyResult<NewWords<'py>> {
    let expand_key = key(expand_key)?;
    let trees = Trees { n_rows, bins: bins.as_slice()?, expand_key: &expand_key };
    let q = blocks(q.as_slice()?)?;
    let m = py.detach(|| onehot::level_sums(&trees, join(delta), feature, first, &q)).map_err(refuse)?;
    Ok(words(py, &m))
}

/// The asker's sums of masks, into `sums`; returns the corrections where `values` is given.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "a flat call keeps the edge simple")]
fn onehot_asker_sums<'py>(
    py: Python<'py>,
    n_rows: usize,
    bins: PyReadonlyArray1<'py, u16>,
    expand_key: &[u8],
    delta: [u64; 2],
    roots: Words<'py>,
    features: Indices<'py>,
    mask_keys: &[u8],
    n_values: usize,
    rows: Indices<'py>,
    nodes: Indices<'py>,
    n_nodes: usize,
    values: Option<Words<'py>>,
    mut keep: Option<PyReadwriteArray1<'py, u64>>,
    mut sums: PyReadwriteArray1<'py, u64>,
) -> PyResult<NewWords<'py>> {
    let (expand_key, mask_keys) = (key(expand_key)?, keys(mask_keys));
    let trees = Trees { n_rows, bins: bins.as_slice()?, expand_key: &expand_key };
    let round = Round { features: features.as_slice()?, mask_keys: &mask_keys, n_values };
    let at = Assignment { rows: rows.as_slice()?, nodes: nodes.as_slice()?, n_nodes };
    let roots = blocks(roots.as_slice()?)?;
    let keep = keep.as_mut().map(|k| k.as_slice_mut()).transpose()?;
    let opening = values.as_ref().map(|v| v.as_slice()).transpose()?.map(|values| Opening { values, keep });
    let sums = sums.as_slice_mut()?;
    let corrections =
        py.detach(|| rounds::asker_sums(&trees, join(delta), &roots, &round, &at, opening, sums)).map_err(refuse)?;
    Ok(PyArray1::from_vec(py, corrections))
}

/// The holder's sums of its vectors, into `sums`.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "a flat call keeps the edge simple")]
fn onehot_holder_sums<'py>(
    py: Python<'py>,
    n_rows: usize,
    bins: PyReadonlyArray1<'py, u16>,
    expand_key: &[u8],
    level_keys: Words<'py>,
    codes: Bytes<'py>,
    features: Indices<'py>,
    mask_keys: &[u8],
    n_values: usize,
    rows: Indices<'py>,
    nodes: Indices<'py>,
    n_nodes: usize,
    corrections: Words<'py>,
    by_position: bool,
    mut keep: Option<PyReadwriteArray1<'py, u64>>,
    mut sums: PyReadwriteArray1<'py, u64>,
) -> PyResult<()> {
    let (expand_key, mask_keys) = (key(expand_key)?, keys(mask_keys));
    let trees = Trees { n_rows, bins: bins.as_slice()?, expand_key: &expand_key };
    let round = Round { features: features.as_slice()?, mask_keys: &mask_keys, n_values };
    let at = Assignment { rows: rows.as_slice()?, nodes: nodes.as_slice()?, n_nodes };
    let level_keys = blocks(level_keys.as_slice()?)?;
    let keep = keep.as_mut().map(|k| k.as_slice_mut()).transpose()?;
    let (codes, corrections) = (codes.as_slice()?, Received { words: corrections.as_slice()?, by_position, keep });
    let sums = sums.as_slice_mut()?;
    py.detach(|| rounds::holder_sums(&trees, &level_keys, codes, &round, &at, corrections, sums)).map_err(refuse)
}

/// Sums per bin in the clear, into `sums`.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "a flat call keeps the edge simple")]
fn bin_sums<'py>(
    py: Python<'py>,
    codes: Bytes<'py>,
    n_rows: usize,
    bins: PyReadonlyArray1<'py, u16>,
    features: Indices<'py>,
    rows: Indices<'py>,
    nodes: Indices<'py>,
    n_nodes: usize,
    values: Words<'py>,
    mut sums: PyReadwriteArray1<'py, u64>,
) -> PyResult<()> {
    let at = Assignment { rows: rows.as_slice()?, nodes: nodes.as_slice()?, n_nodes };
    let (codes, bins, features) = (codes.as_slice()?, bins.as_slice()?, features.as_slice()?);
    let (values, sums) = (values.as_slice()?, sums.as_slice_mut()?);
    py.detach(|| histogram::bin_sums(codes, n_rows, bins, features, &at, values, sums)).map_err(refuse)
}

/// Sums of kept vectors, into `sums`.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "a flat call keeps the edge simple")]
fn vector_sums<'py>(
    py: Python<'py>,
    vectors: Words<'py>,
    n_rows: usize,
    bins: PyReadonlyArray1<'py, u16>,
    n_values: usize,
    rows: Indices<'py>,
    nodes: Indices<'py>,
    n_nodes: usize,
    mut sums: PyReadwriteArray1<'py, u64>,
) -> PyResult<()> {
    let at = Assignment { rows: rows.as_slice()?, nodes: nodes.as_slice()?, n_nodes };
    let (vectors, bins, sums) = (vectors.as_slice()?, bins.as_slice()?, sums.as_slice_mut()?);
    py.detach(|| histogram::vector_sums(vectors, n_rows, bins, n_values, &at, sums)).map_err(refuse)
}
