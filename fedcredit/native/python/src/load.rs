//! `fedcredit.kernels.load`: calls made to a server on a schedule, and how long they took.

use std::sync::Arc;
use std::time::Duration;

use fedcredit_load::headers::CallHeaders;
use fedcredit_load::histogram::Histogram;
use fedcredit_load::link::{Refused, Target};
use fedcredit_load::outcome::Outcome;
use fedcredit_load::proof::Provider;
use fedcredit_load::run::{Pace, Plan, run};
use fedcredit_load::schedule::Arrivals;
use pyo3::exceptions::{PyConnectionError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyDict;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<LoadTarget>()?;
    m.add_function(wrap_pyfunction!(load_run, m)?)?;
    Ok(())
}

/// A server, the method that is called, and the caller's key.
#[pyclass(frozen)]
pub struct LoadTarget(Target);

#[pymethods]
impl LoadTarget {
    /// `certificate`: the server's; `chain` and `key` (PKCS #8): the caller's; all in DER.
    #[new]
    fn new(
        address: &str,
        name: &str,
        certificate: Vec<u8>,
        chain: Vec<Vec<u8>>,
        key: Vec<u8>,
        path: &str,
        timeout_ms: u64,
    ) -> PyResult<Self> {
        let address = address.parse().map_err(|_| PyValueError::new_err("the address is not IP:PORT"))?;
        let headers = CallHeaders::new(name, path, timeout_ms);
        Target::new(address, name, certificate, chain, key, headers).map(Self).map_err(refuse)
    }
}

/// Runs a load; what came of it, by name.
#[pyfunction]
#[pyo3(signature = (target, pool, *, rate, poisson, under_way, seed, connections, threads, warm_up_s, measured_s,
    patience_s, check_every, provider))]
#[allow(clippy::too_many_arguments)]
fn load_run<'py>(
    py: Python<'py>,
    target: &LoadTarget,
    pool: Vec<PyBackedBytes>,
    rate: Option<f64>,
    poisson: bool,
    under_way: usize,
    seed: u64,
    connections: usize,
    threads: usize,
    warm_up_s: f64,
    measured_s: f64,
    patience_s: f64,
    check_every: u64,
    provider: Option<(String, String, [u8; 32])>,
) -> PyResult<Bound<'py, PyDict>> {
    let pace = match rate {
        Some(rate) if rate > 0.0 && rate.is_finite() => {
            Pace::Open { rate, arrivals: if poisson { Arrivals::Poisson } else { Arrivals::Even } }
        }
        Some(_) => return Err(PyValueError::new_err("the rate is no positive number")),
        None => Pace::Closed { under_way },
    };
    let provider = match provider {
        Some((name, origin, key)) => Some(
            Provider::new(&name, &origin, &key).ok_or_else(|| PyValueError::new_err("the provider's key is none"))?,
        ),
        None => None,
    };
    if pool.is_empty() || connections == 0 {
        return Err(PyValueError::new_err("nothing to send, or no connection to send it on"));
    }
    let plan = Plan {
        pace,
        pool: pool.iter().map(|message| framed(message)).collect::<PyResult<_>>()?,
        seed,
        connections,
        threads,
        warm_up: seconds(warm_up_s)?,
        measured: seconds(measured_s)?,
        patience: seconds(patience_s)?,
        check_every,
        provider,
    };
    drop(pool);
    let outcome = py.detach(|| run(&target.0, &plan)).map_err(refuse)?;
    told(py, &outcome)
}

fn seconds(value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value).map_err(|_| PyValueError::new_err("a time is no number of seconds"))
}

/// A message with gRPC's five bytes before it.
fn framed(message: &[u8]) -> PyResult<Arc<[u8]>> {
    let length = u32::try_from(message.len()).map_err(|_| PyValueError::new_err("a message is too long"))?;
    Ok([&[0], &length.to_be_bytes()[..], message].concat().into())
}

fn refuse(refused: Refused) -> PyErr {
    match refused {
        Refused::Credentials(_) => PyValueError::new_err(refused.to_string()),
        _ => PyConnectionError::new_err(refused.to_string()),
    }
}

fn told<'py>(py: Python<'py>, outcome: &Outcome) -> PyResult<Bound<'py, PyDict>> {
    let buckets = |histogram: &Histogram| histogram.buckets();
    let found = PyDict::new(py);
    let latencies = PyDict::new(py);
    for (status, histogram) in &outcome.latencies {
        latencies.set_item(status, buckets(histogram))?;
    }
    found.set_item("latencies", latencies)?;
    found.set_item("delays", buckets(&outcome.delays))?;
    found.set_item("ended", outcome.ended.clone())?;
    found.set_item("unsent", outcome.unsent)?;
    found.set_item("lost", outcome.lost)?;
    found.set_item("broken", outcome.broken)?;
    found.set_item("checked", outcome.checked)?;
    found.set_item("wrong", outcome.wrong)?;
    found.set_item("bytes_out", outcome.bytes_out)?;
    found.set_item("bytes_in", outcome.bytes_in)?;
    found.set_item("seconds", outcome.seconds)?;
    Ok(found)
}
