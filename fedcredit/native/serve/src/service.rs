//! What all connections share: the desk, the log, the doors, the counters, and how much may be under way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::committer::{Clock, Home, NotTaken, Recorder, Recording};
use crate::desk::Desk;
use crate::log_file::Draft;
use crate::metrics::{Metrics, TurnedAway};
use crate::question::Now;
use crate::room::SharedRoom;
use crate::settings::Settings;
use crate::tls::Doors;

/// How far the server is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Serving,
    /// Calls under way are answered, no more are taken.
    Draining,
    /// Everything is dropped.
    Stopping,
}

/// Shared by all threads.
pub struct Service {
    pub desk: Desk,
    pub doors: Doors,
    pub metrics: Arc<Metrics>,
    pub phase: watch::Sender<Phase>,
    room: Arc<SharedRoom>,
    recorder: Recorder,
    clock: Clock,
    in_flight: AtomicUsize,
    batches: AtomicUsize,
    shares: Mutex<HashMap<Arc<str>, Arc<AtomicUsize>>>,
    most_batches: usize,
}

impl Service {
    pub fn new(
        desk: Desk,
        doors: Doors,
        metrics: Arc<Metrics>,
        room: Arc<SharedRoom>,
        recorder: Recorder,
        clock: Clock,
        settings: &Settings,
    ) -> Self {
        Self {
            desk,
            doors,
            metrics,
            phase: watch::Sender::new(Phase::Serving),
            room,
            recorder,
            clock,
            in_flight: AtomicUsize::new(0),
            batches: AtomicUsize::new(0),
            shares: Mutex::default(),
            most_batches: settings.max_batches,
        }
    }

    pub fn now(&self) -> Now {
        Now { unix_ms: (self.clock)() }
    }

    /// Whether questions are answered: the log takes entries, and nobody has asked to stop.
    pub fn serving(&self) -> bool {
        *self.phase.borrow() == Phase::Serving && self.metrics.log_goes_on()
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Hands in what shall be an entry; it is waited for on the thread `home`.
    pub fn record(&self, draft: Draft, home: Home) -> Result<Recording, TurnedAway> {
        self.recorder.record(draft, home).map_err(|not| match not {
            NotTaken::Full => TurnedAway::Overload,
            NotTaken::Ended => TurnedAway::Unavailable,
        })
    }

    /// How many questions of `party` are under way, over all its connections.
    pub fn share_of(&self, party: &Arc<str>) -> Arc<AtomicUsize> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        // Who is not connected any more is forgotten, so that there are no more than connections.
        shares.retain(|_, share| Arc::strong_count(share) > 1);
        shares.entry(party.clone()).or_default().clone()
    }

    /// A place for one more question; None if there are too many already, of this caller or of all.
    pub fn admit(self: &Arc<Self>, share: &Arc<AtomicUsize>) -> Option<Slot> {
        let slot = Slot { service: self.clone(), share: share.clone() };
        let all = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let own = share.fetch_add(1, Ordering::Relaxed);
        let most = self.room();
        if all < most && own < share_of(most) {
            return Some(slot);
        }
        // Dropping the place gives back what was counted.
        self.room.turned_away(Instant::now());
        None
    }

    /// How many questions may be under way.
    pub fn room(&self) -> usize {
        self.room.now()
    }

    /// A question leaves now, answered or refused, after a wait that was none of its caller's making.
    pub fn waited(&self, wait: Duration) {
        self.room.answered(Instant::now(), wait, self.in_flight());
    }

    /// A place for one more batch.
    pub fn admit_batch(self: &Arc<Self>) -> Option<BatchSlot> {
        let slot = BatchSlot(self.clone());
        (self.batches.fetch_add(1, Ordering::Relaxed) < self.most_batches).then_some(slot)
    }
}

/// The most of one caller.
fn share_of(most: usize) -> usize {
    most.div_ceil(4) * 3
}

/// A question under way.
pub struct Slot {
    service: Arc<Service>,
    share: Arc<AtomicUsize>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.service.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.share.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Places that were found for calls of a connection before HTTP/2's library has seen them.
pub struct Places {
    service: Arc<Service>,
    share: Arc<AtomicUsize>,
    found: Mutex<Vec<Slot>>,
}

impl Places {
    /// For a connection of the caller whose share this is.
    pub fn new(service: Arc<Service>, share: Arc<AtomicUsize>) -> Self {
        Self { service, share, found: Mutex::default() }
    }

    /// Whether there is a place for one more call; if so, it is kept.
    pub fn find(&self) -> bool {
        match self.service.admit(&self.share) {
            Some(slot) => self.found().push(slot),
            None => {
                self.service.metrics.turned_away(TurnedAway::Overload);
                return false;
            }
        }
        true
    }

    /// A place for a call that has come out of the library: one that was kept, or another one.
    pub fn take(&self) -> Option<Slot> {
        let kept = self.found().pop();
        kept.or_else(|| self.service.admit(&self.share))
    }

    /// Everything has come out of the library: what is left was for calls that it has ended itself.
    pub fn give_back(&self) {
        self.found().clear();
    }

    fn found(&self) -> std::sync::MutexGuard<'_, Vec<Slot>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch under way.
pub struct BatchSlot(Arc<Service>);

impl Drop for BatchSlot {
    fn drop(&mut self) {
        self.0.batches.fetch_sub(1, Ordering::Relaxed);
    }
}
