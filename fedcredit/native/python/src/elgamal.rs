//! `fedcredit.kernels.elgamal`: numbers under a key on ristretto255, and proofs that a key's owner knows its secret.

use fedcredit_core::arithmetic::Arithmetic;
use fedcredit_core::elgamal::{self, Key};
use fedcredit_core::error::KernelError;
use fedcredit_core::schnorr;
use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use zeroize::Zeroizing;

use crate::refuse;

type Bytes2<'py> = PyReadonlyArray2<'py, u8>;
type Bytes3<'py> = PyReadonlyArray3<'py, u8>;
type NewBytes2<'py> = Bound<'py, PyArray2<u8>>;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<ElGamalKey>()?;
    m.add_function(wrap_pyfunction!(elgamal_open, m)?)?;
    m.add_function(wrap_pyfunction!(elgamal_doubles, m)?)?;
    m.add_function(wrap_pyfunction!(elgamal_masked, m)?)?;
    m.add_function(wrap_pyfunction!(schnorr_prove, m)?)?;
    m.add_function(wrap_pyfunction!(schnorr_verify, m)?)
}

/// A public key and its multiples.
#[pyclass(frozen, module = "fedcredit._native")]
struct ElGamalKey(Key);

#[pymethods]
impl ElGamalKey {
    #[new]
    fn new(py: Python<'_>, point: [u8; 32], portable: bool) -> PyResult<Self> {
        py.detach(|| Key::new(arithmetic(portable), &point)).map(Self).map_err(refuse)
    }

    /// A ciphertext of each message: (n, 64).
    fn encrypt<'py>(
        &self,
        py: Python<'py>,
        messages: Bytes2<'py>,
        randomness: Bytes2<'py>,
    ) -> PyResult<NewBytes2<'py>> {
        let (messages, randomness) = (flat(&messages)?, flat(&randomness)?);
        matrix(py, py.detach(|| self.0.encrypt(messages, randomness)), elgamal::CIPHERTEXT_BYTES)
    }
}

/// The encodings of twice the sums that `parts` (k, n, 64) are ciphertexts of: (n, 32).
#[pyfunction]
fn elgamal_open<'py>(
    py: Python<'py>,
    secret: [u8; 32],
    parts: Bytes3<'py>,
    portable: bool,
) -> PyResult<NewBytes2<'py>> {
    let (secret, count) = (Zeroizing::new(secret), parts.shape()[0]);
    if parts.shape()[2] != elgamal::CIPHERTEXT_BYTES {
        let (expected, found) = (elgamal::CIPHERTEXT_BYTES, parts.shape()[2]);
        return Err(refuse(KernelError::Shape { what: "ciphertext", expected, found }));
    }
    let ciphertexts = parts.as_slice()?;
    matrix(py, py.detach(|| elgamal::open(arithmetic(portable), &secret, ciphertexts, count)), 32)
}

/// The encodings of twice `n` numbers from `first` on: (n, 32).
#[pyfunction]
fn elgamal_doubles(py: Python<'_>, first: i64, n: u32) -> PyResult<NewBytes2<'_>> {
    matrix(py, py.detach(|| Ok(elgamal::doubles(first, n as usize))), 32)
}

/// Values (n,) and their masks (k, n, 64), added or subtracted: (n, 32).
#[pyfunction]
fn elgamal_masked<'py>(
    py: Python<'py>,
    values: PyReadonlyArray1<'py, i64>,
    masks: Bytes3<'py>,
    negative: Vec<bool>,
) -> PyResult<NewBytes2<'py>> {
    let (values, masks) = (values.as_slice()?, masks.as_slice()?);
    matrix(py, py.detach(|| elgamal::masked(values, masks, &negative)), 32)
}

/// The proof that its maker knows `secret`, for one context.
#[pyfunction]
fn schnorr_prove<'py>(
    py: Python<'py>,
    secret: [u8; 32],
    nonce: [u8; 32],
    context: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let (secret, nonce) = (Zeroizing::new(secret), Zeroizing::new(nonce));
    let proof = py.detach(|| schnorr::prove(&secret, &nonce, context)).map_err(refuse)?;
    Ok(PyBytes::new(py, &proof))
}

/// Whether it is one.
#[pyfunction]
fn schnorr_verify(py: Python<'_>, point: [u8; 32], context: &[u8], proof: [u8; 64]) -> bool {
    py.detach(|| schnorr::verify(&point, context, &proof))
}

fn arithmetic(portable: bool) -> Arithmetic {
    if portable { Arithmetic::Portable } else { Arithmetic::best() }
}

/// The rows of a contiguous (n, 32) array, laid end to end.
fn flat<'a>(rows: &'a Bytes2<'_>) -> PyResult<&'a [u8]> {
    if rows.shape()[1] != 32 {
        return Err(refuse(KernelError::Shape { what: "row", expected: 32, found: rows.shape()[1] }));
    }
    Ok(rows.as_slice()?)
}

fn matrix(py: Python<'_>, flat: Result<Vec<u8>, KernelError>, width: usize) -> PyResult<NewBytes2<'_>> {
    let flat = flat.map_err(refuse)?;
    let rows = flat.len() / width;
    let array = Array2::from_shape_vec((rows, width), flat)
        .map_err(|_| refuse(KernelError::Shape { what: "result", expected: width, found: rows }))?;
    Ok(array.into_pyarray(py))
}
