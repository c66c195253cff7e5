//! `fedcredit.kernels.paillier`: Paillier's cryptosystem in batches.

use fedcredit_core::error::KernelError;
use fedcredit_core::paillier::Public;
use fedcredit_core::paillier_owner::{OwnTables, Owner, PrimeParts};
use fedcredit_core::powers::{Digits, Table};
use numpy::ndarray::{Array2, Array3};
use numpy::{IntoPyArray, PyArray2, PyArray3, PyReadonlyArray2, PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::refuse;

type Bytes2<'py> = PyReadonlyArray2<'py, u8>;
type NewBytes2<'py> = Bound<'py, PyArray2<u8>>;

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PaillierPublic>()?;
    m.add_class::<PaillierTable>()?;
    m.add_class::<PaillierOwner>()?;
    m.add_class::<PaillierOwnTables>()
}

/// A public key.
#[pyclass(frozen, module = "fedcredit._native")]
struct PaillierPublic(Public);

/// Multiples of a base that blinds ciphertexts.
#[pyclass(frozen, module = "fedcredit._native")]
struct PaillierTable {
    table: Table,
    pair: usize,
}

#[pymethods]
impl PaillierPublic {
    #[new]
    fn new(py: Python<'_>, n: &[u8], portable: bool) -> PyResult<Self> {
        py.detach(|| Public::new(n, portable)).map(Self).map_err(refuse)
    }

    /// `a[i] b[i]` modulo n^2.
    fn add<'py>(&self, py: Python<'py>, a: Bytes2<'py>, b: Bytes2<'py>) -> PyResult<NewBytes2<'py>> {
        let (a, b) = (flat(&a, self.0.wide())?, flat(&b, self.0.wide())?);
        matrix(py, py.detach(|| self.0.add(a, b)), self.0.wide())
    }

    /// `c[i]^k[i]` modulo n^2.
    fn power<'py>(&self, py: Python<'py>, c: Bytes2<'py>, k: Bytes2<'py>) -> PyResult<NewBytes2<'py>> {
        let bytes = k.shape()[1];
        let (c, k) = (flat(&c, self.0.wide())?, k.as_slice()?);
        matrix(py, py.detach(|| self.0.power(c, k, bytes)), self.0.wide())
    }

    /// Of `digits` (rows, bases, places) and `c` (rows bases, 2 width), of each row the product of powers of its bases.
    fn combined<'py>(
        &self,
        py: Python<'py>,
        c: Bytes2<'py>,
        digits: PyReadonlyArray3<'py, u64>,
        bits: usize,
        slot_bits: usize,
    ) -> PyResult<NewBytes2<'py>> {
        let (bases, places) = (digits.shape()[1], digits.shape()[2]);
        let (c, digits) = (flat(&c, self.0.wide())?, digits.as_slice()?);
        let form = Digits { places, bits, slot_bits };
        matrix(py, py.detach(|| self.0.combined(c, digits, bases, form)), self.0.wide())
    }

    /// The product of each group's rows, for each column of `groups`: (columns, n_groups, 2 width).
    fn sums<'py>(
        &self,
        py: Python<'py>,
        c: Bytes2<'py>,
        groups: PyReadonlyArray2<'py, u32>,
        n_groups: usize,
    ) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let (columns, wide) = (groups.shape()[1], self.0.wide());
        let (c, groups) = (flat(&c, wide)?, groups.as_slice()?);
        let out = py.detach(|| self.0.sums(c, groups, columns, n_groups)).map_err(refuse)?;
        let found = out.len();
        let array = Array3::from_shape_vec((columns, n_groups, wide), out)
            .map_err(|_| refuse(KernelError::Shape { what: "result", expected: columns * n_groups * wide, found }))?;
        Ok(array.into_pyarray(py))
    }

    /// Multiples of `base` modulo n^2 for exponents of so many bytes.
    fn table(&self, py: Python<'_>, base: &[u8], exponent_bytes: usize) -> PyResult<PaillierTable> {
        let table = py.detach(|| self.0.table(base, exponent_bytes)).map_err(refuse)?;
        Ok(PaillierTable { table, pair: self.0.ring.pair() })
    }

    /// `(1 + m[i] n) base^r[i]` modulo n^2.
    fn encrypt<'py>(
        &self,
        py: Python<'py>,
        table: &PaillierTable,
        m: Bytes2<'py>,
        r: Bytes2<'py>,
    ) -> PyResult<NewBytes2<'py>> {
        let table = self.own(table)?;
        let (m, r) = (flat(&m, self.0.width)?, flat(&r, table.exponent_bytes)?);
        matrix(py, py.detach(|| self.0.encrypt(table, m, r)), self.0.wide())
    }

    /// `c[i] base^r[i]` modulo n^2.
    fn randomise<'py>(
        &self,
        py: Python<'py>,
        table: &PaillierTable,
        c: Bytes2<'py>,
        r: Bytes2<'py>,
    ) -> PyResult<NewBytes2<'py>> {
        let table = self.own(table)?;
        let (c, r) = (flat(&c, self.0.wide())?, flat(&r, table.exponent_bytes)?);
        matrix(py, py.detach(|| self.0.randomise(table, c, r)), self.0.wide())
    }
}

impl PaillierPublic {
    /// A table of another length is of another key.
    fn own<'a>(&self, table: &'a PaillierTable) -> PyResult<&'a Table> {
        let expected = self.0.ring.pair();
        if table.pair == expected {
            return Ok(&table.table);
        }
        Err(refuse(KernelError::Shape { what: "table", expected, found: table.pair }))
    }
}

/// A private key.
#[pyclass(frozen, module = "fedcredit._native")]
struct PaillierOwner(Owner);

/// Multiples of a base modulo both squares.
#[pyclass(frozen, module = "fedcredit._native")]
struct PaillierOwnTables {
    tables: OwnTables,
    width: usize,
}

#[pymethods]
impl PaillierOwner {
    /// Of n; for each prime: itself, 1 modulo its square and 0 modulo the other's, and its factor of plaintexts.
    #[new]
    fn new(
        py: Python<'_>,
        n: &[u8],
        p: (Vec<u8>, Vec<u8>, Vec<u8>),
        q: (Vec<u8>, Vec<u8>, Vec<u8>),
        portable: bool,
    ) -> PyResult<Self> {
        let (p, q) = (Wiped::new(p), Wiped::new(q));
        py.detach(|| Owner::new(n, &p.parts(), &q.parts(), portable)).map(Self).map_err(refuse)
    }

    /// Multiples of `base` modulo both squares, for exponents of so many bytes.
    fn tables(&self, py: Python<'_>, base: &[u8], exponent_bytes: usize) -> PyResult<PaillierOwnTables> {
        let tables = py.detach(|| self.0.tables(base, exponent_bytes)).map_err(refuse)?;
        Ok(PaillierOwnTables { tables, width: self.0.width() })
    }

    /// `(1 + m[i] n) base^r[i]` modulo n^2.
    fn encrypt<'py>(
        &self,
        py: Python<'py>,
        tables: &PaillierOwnTables,
        m: Bytes2<'py>,
        r: Bytes2<'py>,
    ) -> PyResult<NewBytes2<'py>> {
        let width = self.0.width();
        if tables.width != width {
            return Err(refuse(KernelError::Shape { what: "tables", expected: width, found: tables.width }));
        }
        let (m, r) = (flat(&m, width)?, flat(&r, tables.tables.exponent_bytes())?);
        matrix(py, py.detach(|| self.0.encrypt(&tables.tables, m, r)), 2 * width)
    }

    /// The plaintexts of `c`: (n, width).
    fn decrypt<'py>(&self, py: Python<'py>, c: Bytes2<'py>) -> PyResult<NewBytes2<'py>> {
        let c = flat(&c, 2 * self.0.width())?;
        matrix(py, py.detach(|| self.0.decrypt(c)), self.0.width())
    }
}

/// Numbers of a private key, overwritten when dropped.
struct Wiped([zeroize::Zeroizing<Vec<u8>>; 3]);

impl Wiped {
    fn new((prime, of_squares, of_plaintexts): (Vec<u8>, Vec<u8>, Vec<u8>)) -> Self {
        Self([prime, of_squares, of_plaintexts].map(zeroize::Zeroizing::new))
    }

    fn parts(&self) -> PrimeParts<'_> {
        PrimeParts { prime: &self.0[0], of_squares: &self.0[1], of_plaintexts: &self.0[2] }
    }
}

fn flat<'a>(rows: &'a Bytes2<'_>, width: usize) -> PyResult<&'a [u8]> {
    if rows.shape()[1] != width {
        return Err(refuse(KernelError::Shape { what: "row", expected: width, found: rows.shape()[1] }));
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
