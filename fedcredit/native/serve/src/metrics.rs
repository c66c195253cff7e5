//! What the server counts about itself, for the control plane to read. No name of a subject or caller is in it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::Serialize;

use crate::hexadecimal::hex;
use crate::log_head::Head;
use crate::ruling::{Outcome, Reason};

/// Upper edges of the latency histogram; what is slower is counted in one more. Units: microseconds.
pub const EDGES_US: [u64; 20] = [
    100, 150, 200, 300, 400, 500, 700, 1_000, 1_500, 2_000, 3_000, 5_000, 7_000, 10_000, 20_000, 50_000, 100_000,
    200_000, 500_000, 1_000_000,
];

/// A call that was turned away before it was a question, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum TurnedAway {
    /// Too many are under way.
    Overload,
    /// No message of the contract.
    Malformed,
    TooLarge,
    /// Without a deadline, or with one of no form.
    NoDeadline,
    /// The deadline passed. What was recorded by then stays recorded.
    Late,
    /// No method of ours, or compressed.
    Unimplemented,
    /// The log has ended, or the server is about to.
    Unavailable,
    /// The caller's certificate is not believed any more.
    Untrusted,
}

impl TurnedAway {
    const NAMES: [&'static str; 8] =
        ["overload", "malformed", "too_large", "no_deadline", "late", "unimplemented", "unavailable", "untrusted"];
}

/// All counters; shared by every thread.
#[derive(Debug, Default)]
pub struct Metrics {
    outcomes: [AtomicU64; 5],
    batched: [AtomicU64; 5],
    reasons: [[AtomicU64; 16]; 16],
    turned_away: [AtomicU64; 8],
    slower: [AtomicU64; EDGES_US.len() + 1],
    latency_us: AtomicU64,
    calls: AtomicU64,
    pub batches: AtomicU64,
    pub connections: AtomicU64,
    pub open_connections: AtomicU64,
    pub failed_handshakes: AtomicU64,
    commits: AtomicU64,
    entries: AtomicU64,
    log: Mutex<Log>,
}

#[derive(Debug, Default, Clone, Serialize)]
struct Log {
    size: u64,
    root: String,
    /// Why it takes no more entries; empty while it does.
    ended: String,
}

#[derive(Serialize)]
struct Stats<'a> {
    outcomes: Vec<(&'a str, u64)>,
    batched: Vec<(&'a str, u64)>,
    reasons: Vec<(&'a str, u64)>,
    turned_away: Vec<(&'a str, u64)>,
    latency_edges_us: &'a [u64],
    latency: Vec<u64>,
    latency_sum_us: u64,
    calls: u64,
    batches: u64,
    connections: u64,
    open_connections: u64,
    failed_handshakes: u64,
    in_flight: u64,
    room: u64,
    commits: u64,
    entries: u64,
    serving: bool,
    log: Log,
}

impl Metrics {
    /// One question was ruled on.
    pub fn ruled(&self, outcome: Outcome, reason: Reason) {
        self.outcomes[outcome as usize].fetch_add(1, Relaxed);
        let reason = reason as usize;
        self.reasons[reason / 16 % 16][reason % 16].fetch_add(1, Relaxed);
    }

    /// A batch was ruled on.
    pub fn ruled_batch(&self, outcomes: &[u8]) {
        let mut counts = [0u64; 5];
        for outcome in outcomes {
            counts[usize::from(*outcome).min(4)] += 1;
        }
        for (total, count) in self.batched.iter().zip(counts) {
            total.fetch_add(count, Relaxed);
        }
        self.batches.fetch_add(1, Relaxed);
    }

    pub fn turned_away(&self, why: TurnedAway) {
        self.turned_away[why as usize].fetch_add(1, Relaxed);
    }

    /// A question was answered or refused so long after it had come.
    pub fn took(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.slower[EDGES_US.partition_point(|edge| *edge < us)].fetch_add(1, Relaxed);
        self.latency_us.fetch_add(us, Relaxed);
        self.calls.fetch_add(1, Relaxed);
    }

    /// So many entries became durable together.
    pub fn committed(&self, entries: usize, head: Head) {
        self.commits.fetch_add(1, Relaxed);
        self.entries.fetch_add(entries as u64, Relaxed);
        self.opened(&head);
    }

    /// The log is here.
    pub fn opened(&self, head: &Head) {
        let mut log = self.log.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        log.size = head.size;
        log.root = hex(&head.root);
    }

    /// The log takes no more entries.
    pub fn log_ended(&self, code: &str, what: &str) {
        let mut log = self.log.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        log.ended = format!("{code}: {what}");
    }

    /// Whether the log takes entries.
    pub fn log_goes_on(&self) -> bool {
        self.log.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).ended.is_empty()
    }

    /// Everything as JSON.
    pub fn json(&self, [in_flight, room]: [usize; 2], serving: bool) -> String {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let outcomes = |counts: &[AtomicU64; 5]| {
            Outcome::ALL.iter().map(|outcome| (outcome.as_str(), read(&counts[*outcome as usize]))).collect()
        };
        let reason = |reason: &Reason| {
            let code = *reason as usize;
            (reason.as_str(), read(&self.reasons[code / 16 % 16][code % 16]))
        };
        let stats = Stats {
            outcomes: outcomes(&self.outcomes),
            batched: outcomes(&self.batched),
            reasons: Reason::ALL.iter().map(reason).filter(|(_, count)| *count > 0).collect(),
            turned_away: TurnedAway::NAMES.into_iter().zip(self.turned_away.iter().map(read)).collect(),
            latency_edges_us: &EDGES_US,
            latency: self.slower.iter().map(read).collect(),
            latency_sum_us: read(&self.latency_us),
            calls: read(&self.calls),
            batches: read(&self.batches),
            connections: read(&self.connections),
            open_connections: read(&self.open_connections),
            failed_handshakes: read(&self.failed_handshakes),
            in_flight: in_flight as u64,
            room: room as u64,
            commits: read(&self.commits),
            entries: read(&self.entries),
            serving,
            log: self.log.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone(),
        };
        serde_json::to_string(&stats).unwrap_or_default()
    }
}
