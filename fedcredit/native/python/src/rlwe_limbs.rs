//! `fedcredit.kernels.rlwe_limbs`: inner products on ring-LWE with columns in fixed point.

use fedcredit_core::rlwe::Sent;
use fedcredit_core::rlwe_limbs::{Limbs, Prepared};
use fedcredit_core::rlwe_modulus::DEGREE;
use fedcredit_core::rlwe_ring::POLYNOMIAL_BYTES;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::refuse;
use crate::rlwe::{Matrix, RlwePublic, flat, matrix, seed};

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<RlwePrepared>()?;
    m.add_function(wrap_pyfunction!(rlwe_limb_sums, m)?)?;
    m.add_function(wrap_pyfunction!(rlwe_limb_products, m)?)?;
    m.add_function(wrap_pyfunction!(rlwe_prepared_products, m)?)
}

fn limbs_of<'a>(numbers: &'a PyReadonlyArray2<'_, i32>, limbs: usize, bits: u32, pairs: bool) -> PyResult<Limbs<'a>> {
    Ok(Limbs { numbers: numbers.as_slice()?, rows: numbers.shape()[1], limbs, bits, pairs })
}

/// Sums of columns in limbs that serve many vectors.
#[pyclass(frozen, module = "fedcredit._native")]
struct RlwePrepared(Prepared);

#[pymethods]
impl RlwePrepared {
    #[new]
    fn new(py: Python<'_>, numbers: PyReadonlyArray2<'_, i32>, limbs: usize, bits: u32, pairs: bool) -> PyResult<Self> {
        let limbs = limbs_of(&numbers, limbs, bits, pairs)?;
        py.detach(|| Prepared::new(&limbs)).map(Self).map_err(refuse)
    }
}

/// Sums over rows with a share modulo t: (count,).
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "a flat call keeps the edge simple")]
fn rlwe_limb_sums<'py>(
    py: Python<'py>,
    numbers: PyReadonlyArray2<'py, i32>,
    limbs: usize,
    bits: u32,
    pairs: bool,
    first: usize,
    count: usize,
    share: PyReadonlyArray1<'py, i64>,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let (limbs, share) = (limbs_of(&numbers, limbs, bits, pairs)?, share.as_slice()?);
    Ok(py.detach(|| limbs.sums_with(first, count, share)).map_err(refuse)?.into_pyarray(py))
}

/// Inner products of one vector with sums `first ..` under masks: (masks, N + 1).
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "a flat call keeps the edge simple")]
fn rlwe_limb_products<'py>(
    py: Python<'py>,
    key: &RlwePublic,
    public: &[u8],
    c: PyReadonlyArray2<'py, u8>,
    numbers: PyReadonlyArray2<'py, i32>,
    limbs: usize,
    bits: u32,
    pairs: bool,
    first: usize,
    masks: PyReadonlyArray1<'py, i64>,
    secret: &[u8],
) -> PyResult<Matrix<'py, u64>> {
    let (public, secret) = (seed(public)?, seed(secret)?);
    let sent = Sent { seed: &public, bytes: flat(&c, POLYNOMIAL_BYTES)? };
    let (limbs, masks) = (limbs_of(&numbers, limbs, bits, pairs)?, masks.as_slice()?);
    matrix(py, py.detach(|| key.0.limb_products(sent, &limbs, first, masks, &secret)), DEGREE + 1)
}

/// The same with sums that were prepared.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "a flat call keeps the edge simple")]
fn rlwe_prepared_products<'py>(
    py: Python<'py>,
    key: &RlwePublic,
    public: &[u8],
    c: PyReadonlyArray2<'py, u8>,
    prepared: &RlwePrepared,
    first: usize,
    masks: PyReadonlyArray1<'py, i64>,
    secret: &[u8],
) -> PyResult<Matrix<'py, u64>> {
    let (public, secret) = (seed(public)?, seed(secret)?);
    let sent = Sent { seed: &public, bytes: flat(&c, POLYNOMIAL_BYTES)? };
    let masks = masks.as_slice()?;
    matrix(py, py.detach(|| key.0.prepared_products(sent, &prepared.0, first, masks, &secret)), DEGREE + 1)
}
