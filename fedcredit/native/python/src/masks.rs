//! Masks of words and shares of secrets, in place of arrays or into given ones.

use fedcredit_core::masks::{self, KEY_BYTES};
use fedcredit_core::shamir;
use numpy::{PyReadonlyArray1, PyReadwriteArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use zeroize::Zeroizing;

use crate::refuse;

type Bytes<'py> = PyReadonlyArray1<'py, u8>;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(masks_add, m)?)?;
    m.add_function(wrap_pyfunction!(shamir_split, m)?)?;
    m.add_function(wrap_pyfunction!(shamir_combine, m)?)?;
    Ok(())
}

/// Adds words `first..` of the streams of `keys`, 32 bytes each, to `into`; subtracts them where `subtract` says so.
#[pyfunction]
fn masks_add<'py>(
    py: Python<'py>,
    mut into: PyReadwriteArray1<'py, u64>,
    keys: &[u8],
    subtract: Vec<bool>,
    first: u64,
) -> PyResult<()> {
    let (keys, []) = keys.as_chunks::<KEY_BYTES>() else {
        return Err(PyValueError::new_err("keys: not 32 bytes each"));
    };
    let (keys, into) = (Zeroizing::new(keys.to_vec()), into.as_slice_mut()?);
    py.detach(|| masks::add(into, &keys, &subtract, first)).map_err(refuse)
}

/// Shares of each byte of `secrets` into `out`.
#[pyfunction]
fn shamir_split<'py>(
    py: Python<'py>,
    secrets: Bytes<'py>,
    coefficients: Bytes<'py>,
    threshold: usize,
    mut out: PyReadwriteArray1<'py, u8>,
) -> PyResult<()> {
    let (secrets, coefficients, out) = (secrets.as_slice()?, coefficients.as_slice()?, out.as_slice_mut()?);
    py.detach(|| shamir::split(secrets, coefficients, threshold, out)).map_err(refuse)
}

/// The values at `at` of the polynomials through `shares` at `places`, into `out`.
#[pyfunction]
fn shamir_combine<'py>(
    py: Python<'py>,
    places: Bytes<'py>,
    shares: Bytes<'py>,
    at: u8,
    mut out: PyReadwriteArray1<'py, u8>,
) -> PyResult<()> {
    let (places, shares, out) = (places.as_slice()?, shares.as_slice()?, out.as_slice_mut()?);
    py.detach(|| shamir::combine(places, shares, at, out)).map_err(refuse)
}
