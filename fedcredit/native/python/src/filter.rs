//! `fedcredit.kernels.filter`: compact sets of pseudorandom values.

use fedcredit_core::digest;
use fedcredit_core::filter::{self, Difference, Filter, Shape, VALUE_BYTES};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray1, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::refuse;

type Bytes<'py> = PyReadonlyArray1<'py, u8>;
type NewBytes<'py> = Bound<'py, PyArray1<u8>>;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(filter_size, m)?)?;
    m.add_function(wrap_pyfunction!(filter_encode, m)?)?;
    m.add_function(wrap_pyfunction!(filter_check, m)?)?;
    m.add_function(wrap_pyfunction!(filter_contains, m)?)?;
    m.add_function(wrap_pyfunction!(filter_difference, m)?)?;
    m.add_function(wrap_pyfunction!(filter_apply, m)?)?;
    m.add_function(wrap_pyfunction!(filter_digest, m)?)?;
    Ok(())
}

/// Bytes of a set of `n` numbers of `bits` bits.
#[pyfunction]
fn filter_size(n: usize, bits: u32) -> PyResult<usize> {
    Ok(Shape::new(n, bits).map_err(refuse)?.size())
}

/// The set of the first `bits` bits of `values` (n, 16) into `out`.
#[pyfunction]
fn filter_encode(
    py: Python<'_>,
    values: PyReadonlyArray2<'_, u8>,
    bits: u32,
    mut out: PyReadwriteArray1<'_, u8>,
) -> PyResult<()> {
    let (values, out) = (rows(&values)?, out.as_slice_mut()?);
    py.detach(|| filter::encode(values, bits, out)).map_err(refuse)
}

/// Raises BadFilter unless `packed` is one of `n` numbers of `bits` bits.
#[pyfunction]
fn filter_check(py: Python<'_>, packed: Bytes<'_>, n: usize, bits: u32) -> PyResult<()> {
    let packed = packed.as_slice()?;
    py.detach(|| Filter::parse(packed, n, bits).map(|_| ())).map_err(refuse)
}

/// Which of `wanted` (m, 16) are in `packed`.
#[pyfunction]
fn filter_contains<'py>(
    py: Python<'py>,
    packed: Bytes<'py>,
    n: usize,
    bits: u32,
    wanted: PyReadonlyArray2<'py, u8>,
) -> PyResult<Bound<'py, PyArray1<bool>>> {
    let (packed, wanted) = (packed.as_slice()?, rows(&wanted)?);
    let found = py.detach(|| Filter::trust(packed, n, bits)?.contains(wanted)).map_err(refuse)?;
    Ok(found.into_pyarray(py))
}

/// What went from `old` to `new` and what came: two sets, with their numbers of entries.
#[pyfunction]
fn filter_difference<'py>(
    py: Python<'py>,
    old: Bytes<'py>,
    n_old: usize,
    new: Bytes<'py>,
    n_new: usize,
    bits: u32,
) -> PyResult<(usize, NewBytes<'py>, usize, NewBytes<'py>)> {
    let (old, new) = (old.as_slice()?, new.as_slice()?);
    let (removed, gone, added, come) = py
        .detach(|| {
            let found = Difference::between(&Filter::trust(old, n_old, bits)?, &Filter::trust(new, n_new, bits)?)?;
            let packed = (filter::pack(&found.removed, bits)?, filter::pack(&found.added, bits)?);
            Ok((found.removed.len(), packed.0, found.added.len(), packed.1))
        })
        .map_err(refuse)?;
    Ok((removed, gone.into_pyarray(py), added, come.into_pyarray(py)))
}

/// `old` without `removed` and with `added` into `out`.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "a flat call keeps the edge simple")]
fn filter_apply(
    py: Python<'_>,
    old: Bytes<'_>,
    n_old: usize,
    removed: Bytes<'_>,
    n_removed: usize,
    added: Bytes<'_>,
    n_added: usize,
    bits: u32,
    mut out: PyReadwriteArray1<'_, u8>,
) -> PyResult<()> {
    let (old, removed, added, out) = (old.as_slice()?, removed.as_slice()?, added.as_slice()?, out.as_slice_mut()?);
    py.detach(|| {
        let (removed, added) = (Filter::parse(removed, n_removed, bits)?, Filter::parse(added, n_added, bits)?);
        filter::apply(&Filter::trust(old, n_old, bits)?, &removed, &added, out)
    })
    .map_err(refuse)
}

/// BLAKE3 of a set, hashed where it lies.
#[pyfunction]
fn filter_digest<'py>(py: Python<'py>, packed: Bytes<'py>) -> PyResult<Bound<'py, PyBytes>> {
    let packed = packed.as_slice()?;
    let found = py.detach(|| digest::blake3(packed));
    Ok(PyBytes::new(py, &found))
}

fn rows<'a>(values: &'a PyReadonlyArray2<'_, u8>) -> PyResult<&'a [u8]> {
    if values.shape()[1] != VALUE_BYTES {
        let (expected, found) = (VALUE_BYTES, values.shape()[1]);
        return Err(refuse(fedcredit_core::error::KernelError::Shape { what: "filter values", expected, found }));
    }
    Ok(values.as_slice()?)
}
