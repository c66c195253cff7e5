//! `fedcredit._native`: the one crate that touches Python. Each file exposes one module of the core.
//!
//! Arrays come in as contiguous numpy arrays and are only borrowed; results are new arrays. Shapes, dtypes and ranges
//! are checked twice: with good messages in `fedcredit.kernels`, and again here so that nothing can panic.

mod group;
mod onehot;

use fedcredit_core::error::KernelError;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A kernel's refusal as a ValueError; `fedcredit.kernels` gives it the caller's context.
fn refuse(error: KernelError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

#[pymodule]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    group::register(m)?;
    onehot::register(m)?;
    Ok(())
}
