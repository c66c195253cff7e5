//! `fedcredit.kernels.identifiers`: columns of identifiers.

use fedcredit_core::error::KernelError;
use fedcredit_core::identifiers::{self, Kind};
use fedcredit_core::lines::{self, Beside};
use fedcredit_core::partition::{self, Table};
use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::refuse;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(identifiers_normalise, m)?)?;
    m.add_function(wrap_pyfunction!(identifiers_join, m)?)?;
    m.add_function(wrap_pyfunction!(identifiers_repeats, m)?)?;
    m.add_function(wrap_pyfunction!(identifiers_in_order, m)?)?;
    m.add_function(wrap_pyfunction!(identifiers_csv_lines, m)?)?;
    Ok(())
}

type Normal<'py> = (Bound<'py, PyArray2<u8>>, Bound<'py, PyArray1<u8>>, [usize; 3]);

/// Normal forms (n, width), broken rules (n,) and numbers of changes of `n` cells joined by NULs.
#[pyfunction]
fn identifiers_normalise<'py>(
    py: Python<'py>,
    cells: PyReadonlyArray1<'py, u8>,
    n: usize,
    kind: &str,
    max_bytes: usize,
) -> PyResult<Normal<'py>> {
    let kind = match kind {
        "uscc" => Kind::Uscc,
        "digits" => Kind::Digits,
        "text" => Kind::Text,
        _ => return Err(refuse(KernelError::Range { what: "kind", index: 0 })),
    };
    let cells = cells.as_slice()?;
    let normal = py.detach(|| identifiers::normalise(cells, n, kind, max_bytes)).map_err(refuse)?;
    let found = normal.ids.len();
    let ids = Array2::from_shape_vec((n, normal.width), normal.ids)
        .map_err(|_| refuse(KernelError::Shape { what: "ids", expected: n, found }))?;
    Ok((ids.into_pyarray(py), normal.rules.into_pyarray(py), normal.changed))
}

/// Keys (n, width) of `columns` (n, width of each), which are joined so that no two rows of parts make one key.
#[pyfunction]
fn identifiers_join<'py>(
    py: Python<'py>,
    columns: Vec<PyReadonlyArray2<'py, u8>>,
) -> PyResult<Bound<'py, PyArray2<u8>>> {
    let n = columns.first().map_or(0, |column| column.shape()[0]);
    let parts = columns.iter().map(|column| Ok((column.as_slice()?, column.shape()[1])));
    let parts: Vec<(&[u8], usize)> = parts.collect::<PyResult<_>>()?;
    let (keys, width) = py.detach(|| identifiers::join(&parts, n)).map_err(refuse)?;
    let found = keys.len();
    let keys = Array2::from_shape_vec((n, width), keys)
        .map_err(|_| refuse(KernelError::Shape { what: "keys", expected: n * width, found }))?;
    Ok(keys.into_pyarray(py))
}

/// The rows of `ids` (n, width) that repeat an earlier one, ascending; rows of zeros are left out.
#[pyfunction]
fn identifiers_repeats<'py>(py: Python<'py>, ids: PyReadonlyArray2<'py, u8>) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let table = Table::new("ids", ids.as_slice()?, ids.shape()[1]).map_err(refuse)?;
    Ok(py.detach(|| partition::repeats(table, true)).into_pyarray(py))
}

/// `rows` of `ids` (n, width) in the order of their bytes.
#[pyfunction]
fn identifiers_in_order<'py>(
    py: Python<'py>,
    ids: PyReadonlyArray2<'py, u8>,
    rows: PyReadonlyArray1<'py, i64>,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let table = Table::new("ids", ids.as_slice()?, ids.shape()[1]).map_err(refuse)?;
    let rows = rows.as_slice()?;
    Ok(py.detach(|| partition::order(table, rows)).map_err(refuse)?.into_pyarray(py))
}

/// The lines of a CSV file with the identifiers `rows` of `ids` (n, width), each of so many `parts`, and beside them the
/// cells `at` of `columns`, which are joined by NULs.
#[pyfunction]
fn identifiers_csv_lines<'py>(
    py: Python<'py>,
    ids: PyReadonlyArray2<'py, u8>,
    parts: usize,
    rows: PyReadonlyArray1<'py, i64>,
    columns: Vec<PyReadonlyArray1<'py, u8>>,
    at: PyReadonlyArray1<'py, i64>,
) -> PyResult<Bound<'py, PyBytes>> {
    let (bytes, width, rows, at) = (ids.as_slice()?, ids.shape()[1], rows.as_slice()?, at.as_slice()?);
    let columns: Vec<&[u8]> = columns.iter().map(|cells| Ok(cells.as_slice()?)).collect::<PyResult<_>>()?;
    let beside = Beside { columns: &columns, at };
    let lines = py.detach(|| lines::csv_lines(bytes, width, parts, rows, beside)).map_err(refuse)?;
    Ok(PyBytes::new(py, &lines))
}
