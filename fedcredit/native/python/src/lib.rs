//! `fedcredit._native`: the one crate that touches Python. Each file exposes one module of the core.
//!
//! Arrays come in as contiguous numpy arrays and are only borrowed; results are new arrays. Shapes, dtypes and ranges
//! are checked twice: with good messages in `fedcredit.kernels`, and again here so that nothing can panic.

mod desk;
mod elgamal;
mod filter;
mod group;
mod identifiers;
mod index;
mod load;
mod log;
mod lookup;
mod masks;
mod onehot;
mod paillier;
mod rlwe;
mod rlwe_chain;
mod rlwe_limbs;
mod serve;
mod vole;

use fedcredit_core::error::KernelError;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

pyo3::create_exception!(_native, BadPoint, PyValueError, "Bytes that are not a canonical, non-identity group element.");
pyo3::create_exception!(
    _native,
    BadFilter,
    PyValueError,
    "Bytes that are not a compact set, or an update that does not fit one."
);
pyo3::create_exception!(_native, NoAssignment, PyValueError, "No OKVS for these keys under this seed.");

/// A kernel's refusal as a ValueError; `fedcredit.kernels` gives it the caller's context. A peer's fault and a failed
/// seed have types of their own, since callers act on them.
fn refuse(error: KernelError) -> PyErr {
    let text = error.to_string();
    match error {
        KernelError::BadPoint { .. } => BadPoint::new_err(text),
        KernelError::BadEncoding { .. } => BadFilter::new_err(text),
        KernelError::NoAssignment => NoAssignment::new_err(text),
        _ => PyValueError::new_err(text),
    }
}

#[pymodule]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add("BadPoint", m.py().get_type::<BadPoint>())?;
    m.add("BadFilter", m.py().get_type::<BadFilter>())?;
    m.add("NoAssignment", m.py().get_type::<NoAssignment>())?;
    desk::register(m)?;
    elgamal::register(m)?;
    filter::register(m)?;
    group::register(m)?;
    identifiers::register(m)?;
    index::register(m)?;
    load::register(m)?;
    log::register(m)?;
    lookup::register(m)?;
    masks::register(m)?;
    onehot::register(m)?;
    paillier::register(m)?;
    rlwe::register(m)?;
    rlwe_chain::register(m)?;
    rlwe_limbs::register(m)?;
    serve::register(m)?;
    vole::register(m)?;
    Ok(())
}
