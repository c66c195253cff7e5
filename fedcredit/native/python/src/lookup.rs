//! `fedcredit.kernels.lookup`: one cell of a table for who has an index, without telling which.

use fedcredit_core::arithmetic::Arithmetic;
use fedcredit_core::error::KernelError;
use fedcredit_core::lookup::{self, Square, Steps};
use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use zeroize::Zeroizing;

use crate::refuse;

type Bytes2<'py> = PyReadonlyArray2<'py, u8>;
type Numbers<'py> = PyReadonlyArray1<'py, u32>;
type NewBytes2<'py> = Bound<'py, PyArray2<u8>>;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(lookup_choose, m)?)?;
    m.add_function(wrap_pyfunction!(lookup_answer, m)?)?;
    m.add_function(wrap_pyfunction!(lookup_read, m)?)
}

/// Of indices (n,), with scalars (2 n, 32): points (n, 64).
#[pyfunction]
fn lookup_choose<'py>(
    py: Python<'py>,
    base: [u8; 32],
    side: usize,
    scalars: Bytes2<'py>,
    indices: Numbers<'py>,
    portable: bool,
) -> PyResult<NewBytes2<'py>> {
    let (scalars, indices) = (scalars.as_slice()?, indices.as_slice()?);
    let width = 32 * lookup::DIGITS;
    let chosen = py.detach(|| lookup::choose(arithmetic(portable), &base, Square::new(side)?, scalars, indices));
    matrix(py, chosen, width)
}

/// Of points (n, 64) and offsets (n,): tables (n, side^2), of rows from `first` on.
#[pyfunction]
#[expect(clippy::too_many_arguments)]
fn lookup_answer<'py>(
    py: Python<'py>,
    base: [u8; 32],
    secret: [u8; 32],
    key: [u8; 32],
    first: u64,
    side: usize,
    edges: Vec<u16>,
    last: u16,
    points: Bytes2<'py>,
    offsets: Numbers<'py>,
    portable: bool,
) -> PyResult<NewBytes2<'py>> {
    let secret = Zeroizing::new(secret);
    let (points, offsets) = (points.as_slice()?, offsets.as_slice()?);
    let answered = py.detach(|| {
        let (square, steps) = (Square::new(side)?, Steps { edges: &edges, last });
        lookup::answer(arithmetic(portable), &base, &secret, &key, first, square, &steps, points, offsets)
    });
    matrix(py, answered, side * side)
}

/// Of tables (n, side^2) the cell of each index: (n,).
#[pyfunction]
#[expect(clippy::too_many_arguments)]
fn lookup_read<'py>(
    py: Python<'py>,
    point: [u8; 32],
    key: [u8; 32],
    first: u64,
    side: usize,
    scalars: Bytes2<'py>,
    indices: Numbers<'py>,
    tables: Bytes2<'py>,
    portable: bool,
) -> PyResult<Bound<'py, PyArray1<u8>>> {
    let (scalars, indices, tables) = (scalars.as_slice()?, indices.as_slice()?, tables.as_slice()?);
    let cells = py.detach(|| {
        lookup::read(arithmetic(portable), &point, &key, first, Square::new(side)?, scalars, indices, tables)
    });
    Ok(cells.map_err(refuse)?.into_pyarray(py))
}

fn arithmetic(portable: bool) -> Arithmetic {
    if portable { Arithmetic::Portable } else { Arithmetic::best() }
}

fn matrix(py: Python<'_>, flat: Result<Vec<u8>, KernelError>, width: usize) -> PyResult<NewBytes2<'_>> {
    let flat = flat.map_err(refuse)?;
    let rows = flat.len() / width;
    let array = Array2::from_shape_vec((rows, width), flat)
        .map_err(|_| refuse(KernelError::Shape { what: "result", expected: width, found: rows }))?;
    Ok(array.into_pyarray(py))
}
