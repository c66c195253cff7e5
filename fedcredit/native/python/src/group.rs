//! ristretto255, the OPRF, the OKVS and the digest.

use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(blake3, m)?)?;
    m.add_function(wrap_pyfunction!(probe, m)?)?;
    Ok(())
}

/// BLAKE3 of `data`, 32 bytes. Releases the GIL.
#[pyfunction]
fn blake3<'py>(py: Python<'py>, data: &[u8]) -> Bound<'py, PyBytes> {
    let digest = py.detach(|| fedcredit_core::digest::blake3(data));
    PyBytes::new(py, &digest)
}

#[pyfunction]
fn probe<'py>(py: Python<'py>, data: PyReadonlyArray1<'py, u64>) -> PyResult<Bound<'py, PyArray1<u64>>> {
    let slice = data.as_slice()?;
    Ok(PyArray1::from_vec(py, slice.to_vec()))
}
