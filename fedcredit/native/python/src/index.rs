//! `fedcredit.kernels.index`: index files, and programs over them.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use fedcredit_serve::days::Day;
use fedcredit_serve::index::Index;
use fedcredit_serve::index_build::{Builder, Chunk, Plan};
use fedcredit_serve::index_columns::{TextSlices, Values};
use fedcredit_serve::index_layout::ColumnKind;
use fedcredit_serve::normal::normal;
use fedcredit_serve::program::{Program, Terms};
use fedcredit_serve::program_run::Records;
use fedcredit_serve::program_text::ProgramText;
use fedcredit_serve::question::{Argument, ArgumentValue};
use fedcredit_serve::trouble::Trouble;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

pyo3::create_exception!(
    _native,
    BadServing,
    PyValueError,
    "An index, a program, a token or a snapshot that is none: a list of code, place and what."
);

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("BadServing", m.py().get_type::<BadServing>())?;
    m.add_class::<IndexBuilder>()?;
    m.add_class::<ServedIndex>()?;
    m.add_class::<IndexProgram>()?;
    m.add_function(wrap_pyfunction!(normal_text, m)?)?;
    Ok(())
}

/// A trouble as an exception; its one argument is a list, as that of others that have several.
pub fn troubled(trouble: Trouble) -> PyErr {
    several(vec![trouble])
}

pub fn several(troubles: Vec<Trouble>) -> PyErr {
    BadServing::new_err((said(troubles),))
}

/// Troubles as Python takes them: a code, the place, and what is wrong there.
pub fn said(troubles: Vec<Trouble>) -> Vec<(&'static str, String, String)> {
    troubles.into_iter().map(|trouble| (trouble.code, trouble.place, trouble.what)).collect()
}

/// The normal form in which texts are matched.
#[pyfunction]
fn normal_text(text: &str) -> String {
    normal(text)
}

fn kind_of(name: &str) -> PyResult<ColumnKind> {
    ColumnKind::from_name(name).ok_or_else(|| PyValueError::new_err("no such type of a column"))
}

/// An index under way.
#[pyclass]
struct IndexBuilder {
    builder: Option<Builder>,
    kinds: Vec<(String, ColumnKind)>,
}

type Known<'py> = Option<PyReadonlyArray1<'py, bool>>;

/// Values of a column as numpy has them; borrowed until they have been taken.
enum Arrays<'py> {
    Numbers(PyReadonlyArray1<'py, f64>),
    Flags(PyReadonlyArray1<'py, bool>),
    Dates(PyReadonlyArray1<'py, i32>),
    Text(Texts<'py>),
    Texts(PyReadonlyArray1<'py, i64>, Texts<'py>),
}

#[derive(FromPyObject)]
struct Texts<'py>(PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, u8>);

impl Texts<'_> {
    fn slices(&self) -> PyResult<TextSlices<'_>> {
        Ok(TextSlices { starts: self.0.as_slice()?, letters: self.1.as_slice()? })
    }
}

impl<'py> Arrays<'py> {
    fn of(kind: ColumnKind, given: &Bound<'py, PyAny>) -> PyResult<Self> {
        Ok(match kind {
            ColumnKind::Number => Self::Numbers(given.extract()?),
            ColumnKind::Flag => Self::Flags(given.extract()?),
            ColumnKind::Date => Self::Dates(given.extract()?),
            ColumnKind::Text => Self::Text(given.extract()?),
            ColumnKind::Texts => {
                let (lists, texts) = given.extract()?;
                Self::Texts(lists, texts)
            }
        })
    }

    fn values(&self) -> PyResult<Values<'_>> {
        Ok(match self {
            Self::Numbers(values) => Values::Numbers(values.as_slice()?),
            Self::Flags(values) => Values::Flags(bytemuck::cast_slice(values.as_slice()?)),
            Self::Dates(values) => Values::Dates(values.as_slice()?),
            Self::Text(texts) => Values::Text(texts.slices()?),
            Self::Texts(lists, texts) => Values::Texts { lists: lists.as_slice()?, texts: texts.slices()? },
        })
    }
}

fn known<'a>(known: &'a Known<'_>) -> PyResult<Option<&'a [u8]>> {
    let Some(known) = known else { return Ok(None) };
    Ok(Some(bytemuck::cast_slice(known.as_slice()?)))
}

#[pymethods]
impl IndexBuilder {
    #[new]
    fn new(
        item: String,
        key: String,
        columns: Vec<(String, String, bool)>,
        has_normal_keys: bool,
        max_bytes: usize,
    ) -> PyResult<Self> {
        let columns = columns
            .into_iter()
            .map(|(name, kind, has_normal)| Ok((name, kind_of(&kind)?, has_normal)))
            .collect::<PyResult<_>>()?;
        let builder = Builder::new(Plan { item, key, columns, has_normal_keys, max_bytes }).map_err(troubled)?;
        let kinds = builder.columns().map(|(name, kind)| (name.to_owned(), kind)).collect();
        Ok(Self { builder: Some(builder), kinds })
    }

    /// The columns in the order in which `push` takes them.
    fn columns(&self) -> Vec<String> {
        self.kinds.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Takes more records.
    fn push(
        &mut self,
        py: Python<'_>,
        keys: Texts<'_>,
        days: Option<PyReadonlyArray1<'_, i32>>,
        days_known: Known<'_>,
        columns: Vec<(Bound<'_, PyAny>, Known<'_>)>,
    ) -> PyResult<()> {
        if columns.len() != self.kinds.len() {
            return Err(PyValueError::new_err("columns: not those of the plan"));
        }
        let arrays: Vec<Arrays<'_>> = columns
            .iter()
            .zip(&self.kinds)
            .map(|((given, _), (_, kind))| Arrays::of(*kind, given))
            .collect::<PyResult<_>>()?;
        let values: Vec<(Values<'_>, Option<&[u8]>)> = arrays
            .iter()
            .zip(&columns)
            .map(|(arrays, (_, marks))| Ok((arrays.values()?, known(marks)?)))
            .collect::<PyResult<_>>()?;
        let days = days.as_ref().map(|days| days.as_slice()).transpose()?;
        let chunk = Chunk { keys: keys.slices()?, days, days_known: known(&days_known)?, columns: &values };
        // A builder that has failed is gone.
        let mut builder = self.builder.take().ok_or_else(|| PyValueError::new_err("the builder is used up"))?;
        py.detach(|| builder.push(&chunk)).map_err(troubled)?;
        self.builder = Some(builder);
        Ok(())
    }

    /// Writes the file; returns its bytes.
    fn finish(&mut self, py: Python<'_>, path: PathBuf) -> PyResult<usize> {
        let builder = self.builder.take().ok_or_else(|| PyValueError::new_err("the builder is used up"))?;
        py.detach(|| builder.finish(&path)).map_err(troubled)
    }
}

type About = (String, String, bool, usize, usize, usize, Option<(i32, i32)>);

/// An index file, open.
#[pyclass(frozen)]
pub struct ServedIndex {
    index: Arc<Index>,
}

#[pymethods]
impl ServedIndex {
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let index = py.detach(|| Index::open(&path)).map_err(troubled)?;
        Ok(Self { index: Arc::new(index) })
    }

    /// The index in these bytes.
    #[staticmethod]
    fn of_bytes(py: Python<'_>, data: Vec<u8>) -> PyResult<Self> {
        let index = py.detach(|| Index::of_bytes(data)).map_err(troubled)?;
        Ok(Self { index: Arc::new(index) })
    }

    /// Item, key field, whether keys are in normal form, subjects, records, bytes, first and last day.
    fn about(&self) -> About {
        let index = &self.index;
        let (item, key) = (index.item().to_owned(), index.key_field().to_owned());
        (item, key, index.has_normal_keys(), index.subjects(), index.rows(), index.file_bytes(), index.days())
    }

    /// The columns: name, type, whether texts have normal forms.
    fn columns(&self) -> Vec<(String, &'static str, bool)> {
        self.index.columns().map(|(name, kind, normal)| (name.to_owned(), kind.as_str(), normal)).collect()
    }

    /// How many records each of the subjects has.
    fn count<'py>(&self, py: Python<'py>, keys: Vec<String>) -> Bound<'py, PyArray1<u32>> {
        let counts: Vec<u32> = py.detach(|| {
            let mut found = Vec::new();
            self.index.find_many(keys.iter().map(String::as_bytes), &mut found);
            found.into_iter().map(|found| found.map_or(0, |found| found.rows())).collect()
        });
        counts.into_pyarray(py)
    }
}

#[derive(FromPyObject)]
pub enum GivenValue {
    Number(f64),
    Text(String),
    Texts(Vec<String>),
}

/// Arguments, owned; borrowed again as the desk takes them.
pub struct Arguments(pub Vec<(String, GivenValue)>);

impl Arguments {
    /// Gives the arguments to `then`.
    pub fn with<R>(&self, then: impl FnOnce(&[Argument<'_>]) -> R) -> R {
        then(&self.borrowed(&self.texts()))
    }

    /// The lists of texts, an argument each, that `borrowed` borrows.
    pub fn texts(&self) -> Vec<Vec<&str>> {
        self.0
            .iter()
            .map(|(_, value)| match value {
                GivenValue::Texts(texts) => texts.iter().map(String::as_str).collect(),
                _ => Vec::new(),
            })
            .collect()
    }

    /// The arguments as the desk takes them. `texts` are those of the same name.
    pub fn borrowed<'a>(&'a self, texts: &'a [Vec<&'a str>]) -> Vec<Argument<'a>> {
        let value = |given: &'a GivenValue, texts: &'a [&'a str]| match given {
            GivenValue::Number(number) => ArgumentValue::Number(*number),
            GivenValue::Text(text) => ArgumentValue::Text(text),
            GivenValue::Texts(_) => ArgumentValue::Texts(texts),
        };
        self.0.iter().zip(texts).map(|((name, given), texts)| Argument { name, value: value(given, texts) }).collect()
    }
}

/// A program over open indexes.
#[pyclass(frozen)]
struct IndexProgram {
    program: Program,
    indexes: Vec<Option<Arc<Index>>>,
}

/// Seconds of one pass over all subjects, as the mean of several: looked up one by one, many at a time, and answered
/// when they have been found, each by one thread; and answered from their codes on all cores.
type Speeds = (f64, f64, f64, f64);

type Answers<'py> = (Bound<'py, PyArray1<u8>>, Bound<'py, PyArray1<u8>>, Bound<'py, PyArray1<i32>>);

#[pymethods]
impl IndexProgram {
    #[new]
    fn new(text: &str, matched: Vec<String>, indexes: Vec<Option<Py<ServedIndex>>>) -> PyResult<Self> {
        let text = ProgramText::parse(text).map_err(troubled)?;
        let indexes: Vec<Option<Arc<Index>>> =
            indexes.iter().map(|index| index.as_ref().map(|index| index.get().index.clone())).collect();
        let matched: Vec<&str> = matched.iter().map(String::as_str).collect();
        let borrowed: Vec<Option<&Index>> = indexes.iter().map(Option::as_deref).collect();
        let program = Program::new(&text, &matched, &borrowed).map_err(troubled)?;
        Ok(Self { program, indexes })
    }

    /// Outcomes, reasons and record days (the least i32: none) about subjects, by code and name.
    #[expect(clippy::too_many_arguments, reason = "its one caller names them all")]
    fn answer<'py>(
        &self,
        py: Python<'py>,
        codes: Vec<String>,
        names: Vec<String>,
        arguments: Vec<(String, GivenValue)>,
        institution: Option<String>,
        asof: i32,
        is_complete: bool,
        max_age_days: Option<u32>,
    ) -> PyResult<Answers<'py>> {
        if codes.len() != names.len() {
            return Err(PyValueError::new_err("names: not one a subject"));
        }
        let terms = Terms { is_complete, max_age_days };
        let found = py.detach(|| {
            let names: Vec<(String, String)> = names.into_iter().map(|name| (normal(&name), name)).collect();
            let subjects: Vec<_> =
                codes.iter().zip(&names).map(|(code, (form, name))| (&**code, &**name, &**form)).collect();
            let indexes: Vec<Option<&Index>> = self.indexes.iter().map(Option::as_deref).collect();
            Arguments(arguments).with(|arguments| {
                let mut asked = self.program.asked(arguments);
                asked.institution = institution.as_deref();
                self.program.answer_many(&indexes, &subjects, &asked, Day::new(asof), terms)
            })
        });
        let outcomes: Vec<u8> = found.iter().map(|answer| answer.outcome as u8).collect();
        let reasons: Vec<u8> = found.iter().map(|answer| answer.reason as u8).collect();
        let days: Vec<i32> = found.iter().map(|answer| answer.recorded_on.unwrap_or(i32::MIN)).collect();
        Ok((outcomes.into_pyarray(py), reasons.into_pyarray(py), days.into_pyarray(py)))
    }

    /// How long look-ups and answers take, without the interpreter.
    fn measure(
        &self,
        py: Python<'_>,
        codes: Vec<String>,
        arguments: Vec<(String, GivenValue)>,
        asof: i32,
        repeat: usize,
    ) -> PyResult<Speeds> {
        let Some(Some(index)) = self.indexes.first() else { return Err(PyValueError::new_err("indexes: none")) };
        let repeat = repeat.max(1);
        Ok(py.detach(|| {
            let mean = |work: &mut dyn FnMut()| {
                let begun = Instant::now();
                (0..repeat).for_each(|_| work());
                begun.elapsed().as_secs_f64() / repeat as f64
            };
            let keys = || codes.iter().map(String::as_bytes);
            let alone = mean(&mut || {
                for key in keys() {
                    black_box(index.find(key));
                }
            });
            let mut found = Vec::new();
            let together = mean(&mut || index.find_many(keys(), &mut found));
            let indexes: Vec<Option<&Index>> = self.indexes.iter().map(Option::as_deref).collect();
            let subjects: Vec<_> = codes.iter().map(|code| (&**code, "", "")).collect();
            Arguments(arguments).with(|arguments| {
                let asked = self.program.asked(arguments);
                let (day, terms) = (Day::new(asof), Terms::default());
                let answered = mean(&mut || {
                    for found in &found {
                        let mut records = Records::default();
                        records.0[0] = found.map(|found| (&**index, found));
                        black_box(self.program.answer(&records, &asked, day, terms));
                    }
                });
                let all =
                    mean(&mut || drop(black_box(self.program.answer_many(&indexes, &subjects, &asked, day, terms))));
                (alone, together, answered, all)
            })
        }))
    }
}
