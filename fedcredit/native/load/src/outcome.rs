//! What came of a run.

use std::collections::BTreeMap;

use crate::histogram::Histogram;

/// What came of a run. A call counts in `latencies` if it was due within the time that is measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// By gRPC's code, from when a call was due to its last byte. Units: nanoseconds.
    pub latencies: BTreeMap<u8, Histogram>,
    /// From when a call was due to when it was handed to TLS: what the generator itself, and the server's limit on calls
    /// at once, added. Units: nanoseconds.
    pub delays: Histogram,
    /// All calls that ended, measured or not, by gRPC's code.
    pub ended: BTreeMap<u8, u64>,
    /// Calls that were due and were never sent, since the server took no more.
    pub unsent: u64,
    /// Calls that were under way when their connection, or the time to wait for them, ended.
    pub lost: u64,
    /// Connections that the server ended before the run did.
    pub broken: u64,
    /// Answers that were checked, and those of them that were wrong.
    pub checked: u64,
    pub wrong: u64,
    /// On the wire with TLS, after the handshakes.
    pub bytes_out: u64,
    pub bytes_in: u64,
    /// From the first call that could be due to the last answer. Units: seconds.
    pub seconds: f64,
}

impl Outcome {
    pub fn merge(&mut self, other: Self) {
        for (status, histogram) in other.latencies {
            self.latencies.entry(status).or_default().merge(&histogram);
        }
        for (status, count) in other.ended {
            *self.ended.entry(status).or_default() += count;
        }
        self.delays.merge(&other.delays);
        self.unsent += other.unsent;
        self.lost += other.lost;
        self.broken += other.broken;
        self.checked += other.checked;
        self.wrong += other.wrong;
        self.bytes_out += other.bytes_out;
        self.bytes_in += other.bytes_in;
        self.seconds = self.seconds.max(other.seconds);
    }
}
