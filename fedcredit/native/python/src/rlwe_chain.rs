//! `fedcredit.kernels.rlwe_chain`: a vector under one party's key that passes from party to party.

use fedcredit_core::rlwe_chain::{Conditions, Public, Vectors};
use fedcredit_core::rlwe_chain_owner::Owner;
use fedcredit_core::rlwe_chain_ring::{WORD_BYTES, ring};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::refuse;
use crate::rlwe::{Matrix, matrix, seed};

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<RlweChainOwner>()?;
    m.add_class::<RlweChainPublic>()?;
    m.add_function(wrap_pyfunction!(rlwe_chain_first_bad, m)?)
}

/// A secret key.
#[pyclass(frozen, module = "fedcredit._native")]
struct RlweChainOwner {
    owner: Owner,
    degree: usize,
}

#[pymethods]
impl RlweChainOwner {
    #[new]
    fn new(py: Python<'_>, degree: usize, secret: &[u8]) -> PyResult<Self> {
        let secret = seed(secret)?;
        let owner = py.detach(|| Owner::new(degree, &secret)).map_err(refuse)?;
        Ok(Self { owner, degree })
    }

    /// The public key's bytes.
    fn public<'py>(&self, py: Python<'py>, public: &[u8], secret: &[u8]) -> PyResult<Bound<'py, PyArray1<u8>>> {
        let (public, secret) = (seed(public)?, seed(secret)?);
        Ok(py.detach(|| self.owner.public(&public, &secret)).into_pyarray(py))
    }

    /// First parts of ciphertexts of rows of numbers: (ciphertexts, bytes).
    fn encrypt<'py>(
        &self,
        py: Python<'py>,
        values: PyReadonlyArray2<'py, i64>,
        blocks: usize,
        primes: usize,
        public: &[u8],
        secret: &[u8],
    ) -> PyResult<Matrix<'py, u8>> {
        let (public, secret) = (seed(public)?, seed(secret)?);
        let (width, values) = (values.shape()[1], values.as_slice()?);
        let made = py.detach(|| self.owner.encrypt(values, width, blocks, primes, &public, &secret));
        matrix(py, made, ring(self.degree).map_err(refuse)?.bytes(primes))
    }

    /// Sums over blocks, (ciphertexts, blocks), and of which ciphertexts the noise is within bounds, 0 or 1.
    fn open<'py>(
        &self,
        py: Python<'py>,
        answers: PyReadonlyArray2<'py, u8>,
        blocks: usize,
    ) -> PyResult<(Matrix<'py, i64>, Bound<'py, PyArray1<u8>>)> {
        let answers = answers.as_slice()?;
        let (sums, sound) = py.detach(|| self.owner.open(answers, blocks)).map_err(refuse)?;
        Ok((matrix(py, Ok(sums), blocks.max(1))?, sound.into_pyarray(py)))
    }
}

/// A public key.
#[pyclass(frozen, module = "fedcredit._native")]
struct RlweChainPublic {
    public: Public,
    degree: usize,
}

#[pymethods]
impl RlweChainPublic {
    #[new]
    fn new(py: Python<'_>, degree: usize, public: &[u8], b: PyReadonlyArray1<'_, u8>) -> PyResult<Self> {
        let (public, b) = (seed(public)?, b.as_slice()?);
        let public = py.detach(|| Public::new(degree, &public, b)).map_err(refuse)?;
        Ok(Self { public, degree })
    }

    /// What of vectors is kept, to hand on, (ciphertexts, 2 bytes), or for the owner, (ciphertexts, bytes).
    #[expect(clippy::too_many_arguments, reason = "a flat call keeps the edge simple")]
    fn keep<'py>(
        &self,
        py: Python<'py>,
        vectors: PyReadonlyArray2<'py, u8>,
        fresh: Option<&[u8]>,
        primes: usize,
        last: bool,
        first: PyReadonlyArray1<'py, u32>,
        bit: PyReadonlyArray1<'py, u32>,
        value: PyReadonlyArray1<'py, u8>,
        bits: PyReadonlyArray2<'py, u8>,
        released: PyReadonlyArray1<'py, u8>,
        blocks: usize,
        secret: &[u8],
    ) -> PyResult<Matrix<'py, u8>> {
        let (fresh, secret) = (fresh.map(seed).transpose()?, seed(secret)?);
        let vectors = Vectors { limbs: primes, bytes: vectors.as_slice()?, seed: fresh.as_deref() };
        let conditions = Conditions {
            first: first.as_slice()?,
            bit: bit.as_slice()?,
            value: value.as_slice()?,
            width: bits.shape()[1],
            bits: bits.as_slice()?,
            released: released.as_slice()?,
            blocks,
        };
        let ring = ring(self.degree).map_err(refuse)?;
        if last {
            let made = py.detach(|| self.public.finish(vectors, conditions, &secret));
            return matrix(py, made, WORD_BYTES * (blocks + self.degree));
        }
        let made = py.detach(|| self.public.pass_on(vectors, conditions, &secret));
        matrix(py, made, 2 * ring.bytes(primes.saturating_sub(1)).max(1))
    }
}

/// The first polynomial with a residue that is not below its prime.
#[pyfunction]
fn rlwe_chain_first_bad(
    py: Python<'_>,
    degree: usize,
    primes: usize,
    polynomials: PyReadonlyArray1<'_, u8>,
) -> PyResult<Option<usize>> {
    let (ring, bytes) = (ring(degree).map_err(refuse)?, polynomials.as_slice()?);
    py.detach(|| ring.first_bad(primes, bytes)).map_err(refuse)
}
