//! Since when a call may have been there before it was looked at.
//!
//! When a server has more to do than it can, calls wait where nobody counts them: in the buffers of sockets. But what was
//! read has come after its connection was last found empty, and after its thread last had nothing to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When a thread last began to work after it had nothing to do. Shared by what runs on it.
#[derive(Debug, Clone)]
pub struct Woke {
    begun: Instant,
    /// Units: nanoseconds since `begun`.
    at: Arc<AtomicU64>,
}

impl Woke {
    pub fn new(now: Instant) -> Self {
        Self { begun: now, at: Arc::default() }
    }

    /// It has begun to work.
    pub fn note(&self, now: Instant) {
        let since = now.saturating_duration_since(self.begun).as_nanos();
        self.at.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.begun + Duration::from_nanos(self.at.load(Ordering::Relaxed))
    }
}

/// What is known of when a connection's calls came.
#[derive(Debug)]
pub struct Arrivals {
    woke: Woke,
    empty: Instant,
}

impl Arrivals {
    pub fn new(woke: Woke, now: Instant) -> Self {
        Self { woke, empty: now }
    }

    /// Everything that had come has been read.
    pub fn read_all(&mut self, now: Instant) {
        self.empty = now;
    }

    /// Before this, a call that is read now was not there.
    pub fn since(&self) -> Instant {
        self.empty.max(self.woke.last())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_came_after_its_connection_was_empty_and_its_thread_idle() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let woke = Woke::new(begun);
        let mut arrivals = Arrivals::new(woke.clone(), at(1));
        assert_eq!(arrivals.since(), at(1));
        woke.note(at(50));
        assert_eq!(arrivals.since(), at(50));
        arrivals.read_all(at(60));
        assert_eq!(arrivals.since(), at(60));
        // A clock that goes back moves nothing.
        woke.note(begun - Duration::from_millis(5));
        assert_eq!(arrivals.since(), at(60));
    }
}
