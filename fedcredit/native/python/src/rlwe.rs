//! `fedcredit.kernels.rlwe`: linearly homomorphic encryption on ring-LWE.

use fedcredit_core::error::KernelError;
use fedcredit_core::rlwe::{Public, Sent};
use fedcredit_core::rlwe_bunch;
use fedcredit_core::rlwe_inner::Coded;
use fedcredit_core::rlwe_modulus::DEGREE;
use fedcredit_core::rlwe_owner::{Owner, Packing};
use fedcredit_core::rlwe_ring::{POLYNOMIAL_BYTES, first_bad};
use fedcredit_core::rlwe_sample::SEED_BYTES;
use numpy::ndarray::Array2;
use numpy::{
    Element, IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3,
    PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use zeroize::Zeroizing;

use crate::refuse;

pub(crate) type Matrix<'py, T> = Bound<'py, PyArray2<T>>;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<RlweOwner>()?;
    m.add_class::<RlwePublic>()?;
    m.add_function(wrap_pyfunction!(rlwe_first_bad, m)?)?;
    m.add_function(wrap_pyfunction!(rlwe_bunch_products, m)?)
}

/// A secret key.
#[pyclass(frozen, module = "fedcredit._native")]
struct RlweOwner(Owner);

#[pymethods]
impl RlweOwner {
    #[new]
    fn new(py: Python<'_>, secret: &[u8]) -> PyResult<Self> {
        let secret = seed(secret)?;
        Ok(Self(py.detach(|| Owner::new(&secret))))
    }

    /// The public key's bytes.
    fn public<'py>(&self, py: Python<'py>, public: &[u8], secret: &[u8]) -> PyResult<Bound<'py, PyArray1<u8>>> {
        let (public, secret) = (seed(public)?, seed(secret)?);
        Ok(py.detach(|| self.0.public(&public, &secret)).into_pyarray(py))
    }

    /// First parts of ciphertexts of `values`: (k blocks, bytes).
    fn encrypt<'py>(
        &self,
        py: Python<'py>,
        values: PyReadonlyArray2<'py, i64>,
        slots: bool,
        public: &[u8],
        secret: &[u8],
    ) -> PyResult<Matrix<'py, u8>> {
        let (public, secret) = (seed(public)?, seed(secret)?);
        let packing = if slots { Packing::Slots } else { Packing::Coefficients };
        let (rows, values) = (values.shape()[1], values.as_slice()?);
        matrix(py, py.detach(|| self.0.encrypt(values, rows, packing, &public, &secret)), POLYNOMIAL_BYTES)
    }

    /// Numbers in the slots of answers: (n, N).
    fn decrypt_slots<'py>(&self, py: Python<'py>, c: PyReadonlyArray2<'py, u64>) -> PyResult<Matrix<'py, i64>> {
        let c = flat(&c, 2 * DEGREE)?;
        matrix(py, py.detach(|| self.0.decrypt_slots(c)), DEGREE)
    }

    /// Numbers of answers of inner products: (n,).
    fn decrypt_inner<'py>(
        &self,
        py: Python<'py>,
        c: PyReadonlyArray2<'py, u64>,
    ) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let c = flat(&c, DEGREE + 1)?;
        Ok(py.detach(|| self.0.decrypt_inner(c)).map_err(refuse)?.into_pyarray(py))
    }
}

/// A public key.
#[pyclass(frozen, module = "fedcredit._native")]
pub(crate) struct RlwePublic(pub(crate) Public);

#[pymethods]
impl RlwePublic {
    #[new]
    fn new(py: Python<'_>, public: &[u8], b: PyReadonlyArray1<'_, u8>) -> PyResult<Self> {
        let (public, b) = (seed(public)?, b.as_slice()?);
        py.detach(|| Public::new(&public, b)).map(Self).map_err(refuse)
    }

    /// Sums over k of `c[k] plain[m, k]` plus masks, slot by slot: (m blocks, 2 N).
    fn slot_products<'py>(
        &self,
        py: Python<'py>,
        public: &[u8],
        c: PyReadonlyArray2<'py, u8>,
        plain: PyReadonlyArray3<'py, i64>,
        masks: PyReadonlyArray2<'py, i64>,
        secret: &[u8],
    ) -> PyResult<Matrix<'py, u64>> {
        let (public, secret) = (seed(public)?, seed(secret)?);
        let sent = Sent { seed: &public, bytes: flat(&c, POLYNOMIAL_BYTES)? };
        let (rows, plain, masks) = (masks.shape()[1], plain.as_slice()?, masks.as_slice()?);
        matrix(py, py.detach(|| self.0.slot_products(sent, plain, masks, rows, &secret)), 2 * DEGREE)
    }

    /// Sums over c and rows of `c[c] columns[c, f]` plus masks: (f, N + 1).
    fn inner_products<'py>(
        &self,
        py: Python<'py>,
        public: &[u8],
        c: PyReadonlyArray2<'py, u8>,
        columns: PyReadonlyArray3<'py, i64>,
        masks: PyReadonlyArray1<'py, i64>,
        secret: &[u8],
    ) -> PyResult<Matrix<'py, u64>> {
        let (public, secret) = (seed(public)?, seed(secret)?);
        let sent = Sent { seed: &public, bytes: flat(&c, POLYNOMIAL_BYTES)? };
        let (rows, columns, masks) = (columns.shape()[2], columns.as_slice()?, masks.as_slice()?);
        matrix(py, py.detach(|| self.0.inner_products(sent, columns, masks, rows, &secret)), DEGREE + 1)
    }

    /// The same of one vector with columns of codes: (columns, N + 1).
    #[expect(clippy::too_many_arguments, reason = "a flat call keeps the edge simple")]
    fn coded_products<'py>(
        &self,
        py: Python<'py>,
        public: &[u8],
        c: PyReadonlyArray2<'py, u8>,
        codes: PyReadonlyArray2<'py, u8>,
        features: PyReadonlyArray1<'py, u32>,
        groups: PyReadonlyArray1<'py, u8>,
        weights: PyReadonlyArray1<'py, i64>,
        first: PyReadonlyArray1<'py, u32>,
        masks: PyReadonlyArray1<'py, i64>,
        secret: &[u8],
    ) -> PyResult<Matrix<'py, u64>> {
        let (public, secret) = (seed(public)?, seed(secret)?);
        let sent = Sent { seed: &public, bytes: flat(&c, POLYNOMIAL_BYTES)? };
        let coded = Coded {
            codes: codes.as_slice()?,
            rows: codes.shape()[1],
            features: features.as_slice()?,
            groups: groups.as_slice()?,
            weights: weights.as_slice()?,
            first: first.as_slice()?,
        };
        let masks = masks.as_slice()?;
        matrix(py, py.detach(|| self.0.coded_products(sent, &coded, masks, &secret)), DEGREE + 1)
    }
}

/// The first row that is no polynomial modulo q.
#[pyfunction]
fn rlwe_first_bad(py: Python<'_>, polynomials: PyReadonlyArray2<'_, u8>) -> PyResult<Option<usize>> {
    let bytes = flat(&polynomials, POLYNOMIAL_BYTES)?;
    Ok(py.detach(|| first_bad(bytes)))
}

/// Inner products of many vectors, each under a key of its own, with columns, plus masks: (f, vectors + N).
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "one call of Python's, taken apart at once")]
fn rlwe_bunch_products<'py>(
    py: Python<'py>,
    key_seed: &[u8],
    keys: PyReadonlyArray2<'py, u8>,
    public: &[u8],
    c: PyReadonlyArray2<'py, u8>,
    columns: PyReadonlyArray2<'py, i64>,
    masks: PyReadonlyArray2<'py, i64>,
    secret: &[u8],
) -> PyResult<Matrix<'py, u64>> {
    let (key_seed, public, secret) = (seed(key_seed)?, seed(public)?, seed(secret)?);
    let sent_keys = Sent { seed: &key_seed, bytes: flat(&keys, POLYNOMIAL_BYTES)? };
    let sent = Sent { seed: &public, bytes: flat(&c, POLYNOMIAL_BYTES)? };
    let (vectors, rows) = (masks.shape()[0], columns.shape()[1]);
    let (columns, masks) = (columns.as_slice()?, masks.as_slice()?);
    let products = py.detach(|| rlwe_bunch::products(sent_keys, sent, columns, masks, rows, &secret));
    matrix(py, products, vectors + DEGREE)
}

pub(crate) fn seed(bytes: &[u8]) -> PyResult<Zeroizing<[u8; SEED_BYTES]>> {
    let shape = KernelError::Shape { what: "seed", expected: SEED_BYTES, found: bytes.len() };
    bytes.try_into().map(Zeroizing::new).map_err(|_| refuse(shape))
}

pub(crate) fn flat<'a, T: Element>(rows: &'a PyReadonlyArray2<'_, T>, width: usize) -> PyResult<&'a [T]> {
    if rows.shape()[1] != width {
        return Err(refuse(KernelError::Shape { what: "row", expected: width, found: rows.shape()[1] }));
    }
    Ok(rows.as_slice()?)
}

pub(crate) fn matrix<T: Element>(
    py: Python<'_>,
    flat: Result<Vec<T>, KernelError>,
    width: usize,
) -> PyResult<Matrix<'_, T>> {
    let flat = flat.map_err(refuse)?;
    let rows = flat.len() / width;
    let array = Array2::from_shape_vec((rows, width), flat)
        .map_err(|_| refuse(KernelError::Shape { what: "result", expected: width, found: rows }))?;
    Ok(array.into_pyarray(py))
}
