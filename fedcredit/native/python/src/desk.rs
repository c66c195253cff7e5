//! `fedcredit.kernels.desk`: rulings on questions without a network, and consent tokens as the data plane reads them.

use std::collections::HashMap;
use std::sync::Arc;

use fedcredit_serve::consent::{By, ListAge, Matter, Place, Scope};
use fedcredit_serve::desk::{
    Batch, CHECK_RECORD_BYTES, Caller, Check, CheckRecord, Desk, Kind, Now, Outcome, Question, Reason, Record, Snapshot,
};
use fedcredit_serve::limits::Bounds;
use fedcredit_serve::token::{Issuer, Speaker, Tokens};
use numpy::{IntoPyArray, PyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::index::{Arguments, GivenValue, several, troubled};

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<ServingDesk>()?;
    m.add_class::<ConsentReader>()?;
    Ok(())
}

fn wrong(what: &str) -> PyErr {
    PyValueError::new_err(what.to_owned())
}

fn caller(party: &str, authority: &[u8]) -> PyResult<Caller> {
    let authority = authority.try_into().map_err(|_| wrong("authority: not 32 bytes"))?;
    Ok(Caller { party: party.into(), authority })
}

/// A desk that rules on questions.
#[pyclass(frozen)]
struct ServingDesk {
    desk: Desk,
}

type OneKind = (String, Vec<(String, GivenValue)>);

#[pymethods]
impl ServingDesk {
    #[new]
    #[pyo3(signature = (log_key, snapshot, bounds=None))]
    fn new(py: Python<'_>, log_key: [u8; 32], snapshot: &str, bounds: Option<(usize, usize, usize)>) -> PyResult<Self> {
        let bounds = bounds.map_or_else(Bounds::default, |(uses, budgets, quotas)| Bounds { uses, budgets, quotas });
        let snapshot = py.detach(|| Snapshot::parse(snapshot)).map_err(several)?;
        Ok(Self { desk: Desk::with_bounds(log_key, snapshot, bounds) })
    }

    /// Rules by another snapshot from now on.
    fn reload(&self, py: Python<'_>, snapshot: &str) -> PyResult<()> {
        py.detach(|| self.desk.reload(snapshot)).map_err(several)
    }

    /// What stands for a subject in the log.
    fn subject_tag<'py>(&self, py: Python<'py>, subject: &str) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.desk.subject_tag(subject))
    }

    /// How many consents, budgets and quotas are remembered.
    fn held(&self) -> [usize; 3] {
        self.desk.held()
    }

    /// The ruling on one question, and its record for the log.
    #[expect(clippy::too_many_arguments, reason = "its one caller names them all")]
    fn rule<'py>(
        &self,
        py: Python<'py>,
        party: &str,
        authority: &[u8],
        subject: &str,
        subject_name: &str,
        predicate: &str,
        arguments: Vec<(String, GivenValue)>,
        purpose: &str,
        consent: &str,
        now_ms: i64,
    ) -> PyResult<Bound<'py, PyDict>> {
        let caller = caller(party, authority)?;
        let ruling = py.detach(|| {
            Arguments(arguments).with(|arguments| {
                let question = Question { subject, subject_name, predicate, arguments, purpose, consent };
                self.desk.rule(&caller, &question, Now { unix_ms: now_ms })
            })
        });
        let out = PyDict::new(py);
        out.set_item("outcome", ruling.outcome.as_str())?;
        out.set_item("reason", ruling.reason.as_str())?;
        out.set_item("recorded_on", ruling.recorded_on)?;
        out.set_item("evaluated_on", ruling.versions.evaluated_on)?;
        out.set_item("subject", PyBytes::new(py, &ruling.facts.subject))?;
        out.set_item("consent", ruling.facts.consent.map(|consent| PyBytes::new(py, &consent)))?;
        out.set_item("question", PyBytes::new(py, &ruling.facts.question))?;
        out.set_item("item", &*ruling.facts.item)?;
        out.set_item("predicate", &*ruling.facts.predicate)?;
        out.set_item("purpose", &*ruling.facts.purpose)?;
        out.set_item("rule", &*ruling.facts.rule)?;
        out.set_item("record", PyBytes::new(py, &ruling.record().encode()))?;
        Ok(out)
    }

    /// The rulings on a batch: outcomes, record days, and records for the log.
    #[expect(clippy::too_many_arguments, reason = "its one caller names them all")]
    #[expect(clippy::type_complexity, reason = "three arrays")]
    fn rule_batch<'py>(
        &self,
        py: Python<'py>,
        party: &str,
        authority: &[u8],
        purpose: &str,
        consents: Vec<String>,
        kinds: Vec<OneKind>,
        checks: Vec<(String, u32, u32)>,
        now_ms: i64,
        repeat: usize,
    ) -> PyResult<(Bound<'py, PyArray1<u8>>, Bound<'py, PyArray1<u32>>, Bound<'py, PyBytes>, f64)> {
        let caller = caller(party, authority)?;
        let (ruling, seconds) = py.detach(|| {
            let consents: Vec<&str> = consents.iter().map(String::as_str).collect();
            let kinds: Vec<(String, Arguments)> =
                kinds.into_iter().map(|(predicate, arguments)| (predicate, Arguments(arguments))).collect();
            let texts: Vec<_> = kinds.iter().map(|(_, arguments)| arguments.texts()).collect();
            let arguments: Vec<_> =
                kinds.iter().zip(&texts).map(|((_, arguments), texts)| arguments.borrowed(texts)).collect();
            let kinds: Vec<Kind<'_>> =
                kinds.iter().zip(&arguments).map(|((predicate, _), arguments)| Kind { predicate, arguments }).collect();
            let checks: Vec<Check<'_>> = checks
                .iter()
                .map(|(subject, kind, consent)| Check { subject, kind: *kind, consent: *consent })
                .collect();
            let batch = Batch { purpose, consents: &consents, kinds: &kinds, checks: &checks };
            let begun = std::time::Instant::now();
            let mut ruling = self.desk.rule_batch(&caller, &batch, Now { unix_ms: now_ms });
            for _ in 1..repeat {
                ruling = self.desk.rule_batch(&caller, &batch, Now { unix_ms: now_ms });
            }
            (ruling, begun.elapsed().as_secs_f64() / repeat.max(1) as f64)
        });
        let records = PyBytes::new(py, &ruling.records);
        Ok((ruling.outcomes.into_pyarray(py), ruling.recorded_on.into_pyarray(py), records, seconds))
    }

    /// Takes records of the past into account, each of `CHECK_RECORD_BYTES` bytes.
    fn replay(&self, py: Python<'_>, at_s: i64, requester: &str, records: &[u8]) -> PyResult<()> {
        let (records, rest) = records.as_chunks::<CHECK_RECORD_BYTES>();
        let checks: Option<Vec<CheckRecord>> = records.iter().map(CheckRecord::decode).collect();
        let checks = checks.filter(|_| rest.is_empty()).ok_or_else(|| wrong("records: not those of checks"))?;
        py.detach(|| checks.into_iter().for_each(|check| self.desk.replay(&Record { at_s, requester, check })));
        Ok(())
    }

    /// Asks the same question from many threads at once; how often each outcome and reason came.
    #[expect(clippy::too_many_arguments, reason = "its one caller names them all")]
    fn race(
        &self,
        py: Python<'_>,
        threads: usize,
        party: &str,
        authority: &[u8],
        subject: &str,
        predicate: &str,
        arguments: Vec<Vec<(String, GivenValue)>>,
        purpose: &str,
        consent: &str,
        now_ms: i64,
    ) -> PyResult<Vec<(&'static str, &'static str)>> {
        let caller = caller(party, authority)?;
        let start = std::sync::Barrier::new(threads);
        let arguments: Vec<Arguments> = arguments.into_iter().map(Arguments).collect();
        if arguments.is_empty() {
            return Err(wrong("arguments: none"));
        }
        let found: Vec<(Outcome, Reason)> = py.detach(|| {
            std::thread::scope(|scope| {
                let ask = |number: usize| {
                    let (caller, start, arguments) = (&caller, &start, &arguments);
                    scope.spawn(move || {
                        arguments[number % arguments.len()].with(|arguments| {
                            let question =
                                Question { subject, subject_name: "", predicate, arguments, purpose, consent };
                            start.wait();
                            let ruling = self.desk.rule(caller, &question, Now { unix_ms: now_ms });
                            (ruling.outcome, ruling.reason)
                        })
                    })
                };
                let asked: Vec<_> = (0..threads).map(ask).collect();
                asked.into_iter().filter_map(|thread| thread.join().ok()).collect()
            })
        });
        Ok(found.into_iter().map(|(outcome, reason)| (outcome.as_str(), reason.as_str())).collect())
    }
}

/// Reads consent tokens as the data plane does.
#[pyclass(frozen)]
struct ConsentReader {
    tokens: Tokens,
}

/// Issuer, providers, authority, requester, purpose, region, items, predicates, models; how often.
type GivenScope<'py> = Bound<'py, PyTuple>;
/// Each a reason, or what a token says.
type Rows<'py> = Bound<'py, PyList>;

fn given_scope<'py>(py: Python<'py>, scope: &Scope, max_uses: u32) -> PyResult<GivenScope<'py>> {
    let names = |names: &[Box<str>]| PyTuple::new(py, names.iter().map(|name| PyString::new(py, name)));
    let given = (
        &*scope.issuer,
        names(&scope.providers)?,
        PyBytes::new(py, &scope.authority),
        &*scope.requester,
        &*scope.purpose,
        &*scope.region,
        names(&scope.items)?,
        names(&scope.predicates)?,
        names(&scope.models)?,
        max_uses,
    );
    given.into_pyobject(py)
}

/// A reason, or none.
type Why = Option<&'static str>;

#[pymethods]
impl ConsentReader {
    /// Issuers: the public key, and an authority's name or a subject.
    #[new]
    fn new(issuers: Vec<([u8; 32], Option<String>, Option<String>)>) -> PyResult<Self> {
        let mut found = Vec::new();
        for (key, name, subject) in issuers {
            let key = fedcredit_serve::token::key_of(&key).ok_or_else(|| wrong("issuers: not an Ed25519 key"))?;
            let speaker = match (name, subject) {
                (Some(name), None) => Speaker::Authority(name.into()),
                (None, Some(subject)) => Speaker::Enterprise(subject.into()),
                _ => return Err(wrong("issuers: neither an authority nor an enterprise")),
            };
            found.push(Issuer { key, speaker });
        }
        Ok(Self { tokens: Tokens::new(found).map_err(troubled)? })
    }

    /// Why a token is not believed; and of one that is, its id and whom it is about.
    fn read<'py>(&self, py: Python<'py>, token: &str) -> (Why, Option<(Bound<'py, PyBytes>, String, u32)>) {
        match self.tokens.read(token) {
            Err(reason) => (Some(reason.as_str()), None),
            Ok(known) => {
                let consent = &known.consent;
                (None, Some((PyBytes::new(py, &consent.id), consent.subject.to_string(), consent.max_uses)))
            }
        }
    }

    /// Of each token why it is not believed, or what it says beside the scope, whose place comes first; and the scopes.
    fn read_many<'py>(&self, py: Python<'py>, tokens: Vec<PyBackedStr>) -> PyResult<(Rows<'py>, Vec<GivenScope<'py>>)> {
        let read = py.detach(|| self.tokens.read_many(&tokens));
        let rows = PyList::empty(py);
        let (mut places, mut scopes) = (HashMap::new(), Vec::new());
        for told in &read {
            let told = match told {
                Ok(told) => told,
                Err(reason) => {
                    rows.append(reason.as_str())?;
                    continue;
                }
            };
            let consent = &told.consent;
            let place = *places.entry((&consent.scope, consent.max_uses)).or_insert_with(|| {
                scopes.push(given_scope(py, &consent.scope, consent.max_uses));
                scopes.len() - 1
            });
            let by = match consent.by {
                By::Enterprise => "enterprise",
                By::Person => "person",
            };
            rows.append((
                place,
                &*consent.subject,
                &*told.jti,
                consent.issued_at,
                consent.not_before,
                consent.expires,
                by,
                PyBytes::new(py, &told.disclosure),
            ))?;
        }
        Ok((rows, scopes.into_iter().collect::<PyResult<_>>()?))
    }

    /// Why a token does not allow a question, apart from how often it was used.
    #[expect(clippy::too_many_arguments, reason = "its one caller names them all")]
    fn decide(
        &self,
        token: &str,
        provider: &str,
        region: &str,
        requester: &str,
        authority: [u8; 32],
        purpose: &str,
        subject: &str,
        predicate: &str,
        items: Vec<String>,
        is_personal: bool,
        now_s: i64,
        revocations: (i64, i64),
        revoked: Vec<[u8; 16]>,
    ) -> Why {
        let decide = || {
            let known: Arc<_> = self.tokens.read(token)?;
            let list_age = ListAge { at_s: revocations.0, most_s: revocations.1 };
            known.consent.holds(now_s, list_age, || revoked.contains(&known.consent.id))?;
            known.consent.fits(&Place { provider, region, requester, authority: &authority, purpose })?;
            let items: Vec<Box<str>> = items.into_iter().map(Into::into).collect();
            known.consent.covers(subject, &Matter { predicate, items: &items, is_personal })
        };
        decide().err().map(Reason::as_str)
    }
}
