//! `fedcredit.kernels.log`: audit logs in bulk.

use fedcredit_core::log::{self, HASH_BYTES, Limits};
use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray2, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::refuse;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(log_leaves, m)?)?;
    m.add_function(wrap_pyfunction!(log_level_up, m)?)?;
    m.add_function(wrap_pyfunction!(log_first_bad, m)?)?;
    Ok(())
}

fn hashes(py: Python<'_>, hashes: Vec<u8>) -> PyResult<Bound<'_, PyArray2<u8>>> {
    let (n, found) = (hashes.len() / HASH_BYTES, hashes.len());
    let rows = Array2::from_shape_vec((n, HASH_BYTES), hashes).map_err(|_| {
        refuse(fedcredit_core::error::KernelError::Shape { what: "hashes", expected: n * HASH_BYTES, found })
    })?;
    Ok(rows.into_pyarray(py))
}

/// Leaf hashes (n, 32) of lines that end with a line feed.
#[pyfunction]
fn log_leaves<'py>(py: Python<'py>, lines: PyBackedBytes) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let found = py.detach(|| log::leaves(&lines)).map_err(refuse)?;
    hashes(py, found)
}

/// The level (ceil(n / 2), 32) of the tree above `nodes` (n, 32).
#[pyfunction]
fn log_level_up<'py>(py: Python<'py>, nodes: PyReadonlyArray2<'py, u8>) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let nodes = nodes.as_slice()?;
    let found = py.detach(|| log::level_up(nodes)).map_err(refuse)?;
    hashes(py, found)
}

/// The first line that is not the entry of its place, numbered from `first`, or None.
#[pyfunction]
fn log_first_bad(
    py: Python<'_>,
    lines: PyBackedBytes,
    first: u64,
    line: usize,
    text: usize,
    batch: u64,
    events: Vec<PyBackedBytes>,
) -> PyResult<Option<usize>> {
    let events: Vec<&[u8]> = events.iter().map(|event| &**event).collect();
    let limits = Limits { line, text, batch, events: &events };
    py.detach(|| log::first_bad(&lines, first, &limits)).map_err(refuse)
}
