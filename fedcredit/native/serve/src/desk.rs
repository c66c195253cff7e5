//! Where a question is ruled on: token, revocation, rule, budgets and uses, records, program; in that order.

use std::sync::Arc;

use arc_swap::ArcSwap;

pub use crate::question::{Argument, ArgumentValue, Batch, Caller, Check, Kind, Now, Question};
pub use crate::ruling::{
    BatchRuling, CHECK_RECORD_BYTES, CheckRecord, Outcome, Reason, Record, Ruling, RulingFacts, Versions, tag,
};
pub use crate::trouble::Trouble;

/// What the control plane hands over: predicates, rules, issuers, revocations and the indexes that are served.
#[derive(Debug)]
pub struct Snapshot {
    provider: Arc<str>,
}

impl Snapshot {
    /// The snapshot that a text says, with its index files opened and checked.
    pub fn parse(_text: &str) -> Result<Self, Vec<Trouble>> {
        Ok(Self { provider: Arc::from("") })
    }
}

/// Rules on questions. Shared by all threads; nothing in it waits.
#[derive(Debug)]
pub struct Desk {
    snapshot: ArcSwap<Snapshot>,
}

impl Desk {
    /// `log_key`: under which subjects are recorded; secret, and the same as long as the log is.
    pub fn new(_log_key: [u8; 32], snapshot: Snapshot) -> Self {
        Self { snapshot: ArcSwap::from_pointee(snapshot) }
    }

    /// The provider in whose name it answers.
    pub fn provider(&self) -> Arc<str> {
        self.snapshot.load().provider.clone()
    }

    /// The ruling on one question. Whatever is recorded of it must be durable before anybody is told.
    pub fn rule(&self, _caller: &Caller, _question: &Question<'_>, _now: Now) -> Ruling {
        let none: Arc<str> = Arc::from("");
        Ruling {
            outcome: Outcome::Refused,
            reason: Reason::NoRule,
            recorded_on: 0,
            versions: Versions::default(),
            facts: RulingFacts {
                subject: [0; 16],
                consent: None,
                question: [0; 16],
                item: none.clone(),
                predicate: none.clone(),
                purpose: none.clone(),
                rule: none,
            },
        }
    }

    /// The rulings on all checks of a batch, on all cores.
    pub fn rule_batch(&self, _caller: &Caller, batch: &Batch<'_>, _now: Now) -> BatchRuling {
        BatchRuling {
            outcomes: vec![Outcome::Refused as u8; batch.checks.len()],
            recorded_on: vec![0; batch.checks.len()],
            records: vec![0; batch.checks.len() * CHECK_RECORD_BYTES],
            versions: Versions::default(),
            purpose: Arc::from(""),
        }
    }

    /// Takes a ruling of the past into account, when the log is read at the start; in the order of the log.
    pub fn replay(&self, _record: &Record<'_>) {}

    /// Rules by another snapshot from now on. Uses, budgets and quotas go on.
    pub fn swap(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
    }
}
