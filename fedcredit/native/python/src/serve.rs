//! `fedcredit.kernels.serving`: the server of verification, which runs on threads of its own without the GIL.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use fedcredit_serve::desk::Trouble;
use fedcredit_serve::log_entry::Fact;
use fedcredit_serve::server::{Server, Start};
use fedcredit_serve::wire::{BatchRequest, Request};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt, PyString};

use crate::index::said;

pyo3::create_exception!(
    _native,
    ServeFailed,
    PyValueError,
    "The server cannot do that; a list of (code, place, what) says why."
);

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("ServeFailed", m.py().get_type::<ServeFailed>())?;
    m.add_function(wrap_pyfunction!(verify_reads, m)?)?;
    m.add_class::<VerificationServer>()
}

/// Whether the server takes these bytes for a request: of one question, or of a batch.
#[pyfunction]
fn verify_reads(data: &[u8], batch: bool) -> bool {
    if batch { BatchRequest::read(data).is_ok() } else { Request::read(data).is_ok() }
}

fn failed(troubles: Vec<Trouble>) -> PyErr {
    ServeFailed::new_err((said(troubles),))
}

fn secret(name: &str, bytes: &[u8]) -> PyResult<[u8; 32]> {
    bytes.try_into().map_err(|_| PyValueError::new_err(format!("{name} is not 32 bytes")))
}

/// The server of verification. It runs from `start` to `stop`, on its own threads.
#[pyclass(frozen, module = "fedcredit._native")]
struct VerificationServer {
    server: RwLock<Server>,
    port: u16,
}

#[pymethods]
impl VerificationServer {
    #[staticmethod]
    #[pyo3(signature = (settings, snapshot, trust, certificate, key, signing_key, log_key))]
    #[expect(clippy::too_many_arguments, reason = "each is a different secret or document")]
    fn start(
        py: Python<'_>,
        settings: &str,
        snapshot: &str,
        trust: &str,
        certificate: &[u8],
        key: &[u8],
        signing_key: &[u8],
        log_key: &[u8],
    ) -> PyResult<Self> {
        let (signing_key, log_key) = (secret("signing_key", signing_key)?, secret("log_key", log_key)?);
        let with = Start { settings, snapshot, trust, certificate, key, signing_key, log_key };
        let server = py.detach(|| Server::start(with)).map_err(failed)?;
        let port = server.address().port();
        Ok(Self { server: RwLock::new(server), port })
    }

    /// The port that it listens at.
    #[getter]
    fn port(&self) -> u16 {
        self.port
    }

    fn swap(&self, py: Python<'_>, snapshot: &str) -> PyResult<()> {
        py.detach(|| self.with(|server| server.swap(snapshot))).map_err(failed)
    }

    fn reload_trust(&self, py: Python<'_>, trust: &str, certificate: &[u8], key: &[u8]) -> PyResult<()> {
        py.detach(|| self.with(|server| server.reload(trust, certificate, key))).map_err(failed)
    }

    fn record(&self, py: Python<'_>, event: &str, facts: Vec<(String, Bound<'_, PyAny>)>) -> PyResult<String> {
        let owned = facts.iter().map(|(name, value)| Ok((name.as_str(), Owned::of(value)?)));
        let owned: Vec<(&str, Owned)> = owned.collect::<PyResult<_>>()?;
        let facts: Vec<(&str, Fact<'_>)> = owned.iter().map(|(name, value)| (*name, value.fact())).collect();
        py.detach(|| self.with(|server| server.record(event, &facts))).map_err(failed)
    }

    fn stats(&self, py: Python<'_>) -> String {
        py.detach(|| self.with(|server| server.stats()))
    }

    fn drain(&self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        let most = Duration::try_from_secs_f64(seconds).map_err(|_| PyValueError::new_err("seconds: not a time"))?;
        Ok(py.detach(|| self.with(|server| server.drain(most))))
    }

    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.server.write().unwrap_or_else(PoisonError::into_inner).stop());
    }
}

impl VerificationServer {
    /// Several may call at once; `stop` alone waits for the others.
    fn with<T>(&self, then: impl FnOnce(&Server) -> T) -> T {
        then(&self.server.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A fact that outlives Python's object.
enum Owned {
    Text(String),
    Number(u64),
    Flag(bool),
}

impl Owned {
    fn of(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        // A flag is an integer to Python.
        if value.is_instance_of::<PyBool>() {
            Ok(Self::Flag(value.extract()?))
        } else if value.is_instance_of::<PyInt>() {
            Ok(Self::Number(value.extract()?))
        } else if value.is_instance_of::<PyString>() {
            Ok(Self::Text(value.extract()?))
        } else {
            Err(PyValueError::new_err("a fact is a text, a whole number or a flag"))
        }
    }

    fn fact(&self) -> Fact<'_> {
        match self {
            Self::Text(text) => Fact::Text(text),
            Self::Number(number) => Fact::Number(*number),
            Self::Flag(flag) => Fact::Flag(*flag),
        }
    }
}
