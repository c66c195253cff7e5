//! How many questions may be under way: as many as are answered in time. No clock of its own.
//!
//! The wait of a question grows with those before it. What is waited on average in a window of time is held against a
//! target: if it is longer, fewer may be under way from then on, in proportion; if not, some more. The target is beyond
//! what the log itself takes to make an entry durable, since nobody waits less for a slow disk when fewer ask.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_millis(100);
/// Answers without which a window says nothing.
const ENOUGH: u32 = 16;
/// After so long without enough answers, what was seen before says nothing either.
const FORGOTTEN: Duration = Duration::from_secs(1);
/// A question waits for the end of the commit before its own, and for its own.
const COMMITS_WAITED: u32 = 2;

/// What the room goes by, and between what it stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub least: usize,
    pub most: usize,
    /// What may be waited on average, beyond what the log takes.
    pub target: Duration,
}

/// What has been seen since the last change.
#[derive(Debug, Clone, Copy)]
struct Window {
    begun: Instant,
    waited: Duration,
    answers: u32,
    /// Under way at once.
    peak: usize,
    /// The shortest commit.
    commit: Option<Duration>,
}

impl Window {
    fn new(begun: Instant) -> Self {
        Self { begun, waited: Duration::ZERO, answers: 0, peak: 0, commit: None }
    }
}

/// For how many there is room; told of every answer and every commit.
#[derive(Debug)]
pub struct Room {
    bounds: Bounds,
    now: usize,
    window: Window,
}

impl Room {
    /// As much as there may be, until it turns out to be too much.
    pub fn new(bounds: Bounds, at: Instant) -> Self {
        Self { bounds, now: bounds.most, window: Window::new(at) }
    }

    /// An answer left at `at` after this wait; `under_way` were with it.
    pub fn answered(&mut self, at: Instant, waited: Duration, under_way: usize) {
        let window = &mut self.window;
        window.waited = window.waited.saturating_add(waited);
        window.answers = window.answers.saturating_add(1);
        window.peak = window.peak.max(under_way);
        if window.answers >= ENOUGH && at.saturating_duration_since(window.begun) >= WINDOW {
            self.settle();
            self.window = Window::new(at);
        }
    }

    /// Somebody was turned away at `at`. Without answers a small room would stay small for ever, for nobody asks in it.
    pub fn turned_away(&mut self, at: Instant) {
        if at.saturating_duration_since(self.window.begun) >= FORGOTTEN {
            self.now = self.bounds.most;
            self.window = Window::new(at);
        }
    }

    /// Entries became durable; that took so long.
    pub fn committed(&mut self, took: Duration) {
        let shortest = &mut self.window.commit;
        *shortest = Some(shortest.map_or(took, |before| before.min(took)));
    }

    /// How many may be under way.
    pub fn now(&self) -> usize {
        self.now
    }

    fn settle(&mut self) {
        let Window { waited, answers, peak, commit, .. } = self.window;
        let mean = waited / answers;
        let allowed = self.bounds.target + commit.unwrap_or_default().saturating_mul(COMMITS_WAITED);
        let next = if mean > allowed {
            // Not by more than half, as one bad moment (a disk that stalls) is no overload.
            let kept = (allowed.as_secs_f64() / mean.as_secs_f64()).max(0.5);
            (self.now.min(peak) as f64 * kept) as usize
        } else {
            self.now + self.now / 8 + 1
        };
        self.now = next.clamp(self.bounds.least, self.bounds.most);
    }
}

/// The room of all threads.
#[derive(Debug)]
pub struct SharedRoom {
    room: Mutex<Room>,
    now: AtomicUsize,
}

impl SharedRoom {
    pub fn new(bounds: Bounds, at: Instant) -> Self {
        let room = Room::new(bounds, at);
        Self { now: AtomicUsize::new(room.now()), room: Mutex::new(room) }
    }

    /// See `Room::answered`.
    pub fn answered(&self, at: Instant, waited: Duration, under_way: usize) {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        room.answered(at, waited, under_way);
        self.now.store(room.now(), Ordering::Relaxed);
    }

    /// See `Room::turned_away`.
    pub fn turned_away(&self, at: Instant) {
        // Who is turned away waits for nobody; another one will say it.
        if let Ok(mut room) = self.room.try_lock() {
            room.turned_away(at);
            self.now.store(room.now(), Ordering::Relaxed);
        }
    }

    /// See `Room::committed`.
    pub fn committed(&self, took: Duration) {
        self.room.lock().unwrap_or_else(PoisonError::into_inner).committed(took);
    }

    /// How many may be under way.
    pub fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { least: 64, most: 1024, target: Duration::from_millis(8) };
    const TICK: Duration = Duration::from_micros(500);

    /// A server that answers `per_tick` of those under way in the order in which they came, each half a millisecond.
    struct Plant {
        room: Room,
        at: Instant,
        waiting: std::collections::VecDeque<Instant>,
        turned_away: usize,
        longest: Duration,
    }

    impl Plant {
        fn new(bounds: Bounds) -> Self {
            let at = Instant::now();
            let waiting = std::collections::VecDeque::new();
            Self { room: Room::new(bounds, at), at, waiting, turned_away: 0, longest: Duration::ZERO }
        }

        fn run(&mut self, ticks: usize, come: usize, per_tick: usize, commit: Duration) {
            (self.turned_away, self.longest) = (0, Duration::ZERO);
            for _ in 0..ticks {
                for _ in 0..come {
                    if self.waiting.len() < self.room.now() {
                        self.waiting.push_back(self.at);
                    } else {
                        self.turned_away += 1;
                    }
                }
                self.at += TICK;
                self.room.committed(commit);
                for _ in 0..per_tick.min(self.waiting.len()) {
                    let under_way = self.waiting.len();
                    let Some(came) = self.waiting.pop_front() else { break };
                    let waited = commit + (self.at - came);
                    self.longest = self.longest.max(waited);
                    self.room.answered(self.at, waited, under_way);
                }
            }
        }
    }

    #[test]
    fn an_overload_is_turned_away_and_what_is_let_in_is_answered_in_time() {
        let mut plant = Plant::new(BOUNDS);
        // 30,000 a second come where 10,000 are answered: with 1,024 under way each would wait 100 ms.
        plant.run(4_000, 15, 5, Duration::ZERO);
        plant.run(4_000, 15, 5, Duration::ZERO);
        assert!((64..=96).contains(&plant.room.now()), "{}", plant.room.now());
        assert!(plant.longest < Duration::from_millis(10), "{:?}", plant.longest);
        // Nothing that could be answered was turned away: ten of fifteen.
        assert!((39_000..=41_000).contains(&plant.turned_away), "{}", plant.turned_away);
    }

    #[test]
    fn when_the_overload_is_over_there_is_room_for_a_burst_again() {
        let mut plant = Plant::new(BOUNDS);
        plant.run(4_000, 15, 5, Duration::ZERO);
        plant.run(8_000, 4, 5, Duration::ZERO);
        assert_eq!((plant.room.now(), plant.turned_away), (BOUNDS.most, 0));
    }

    #[test]
    fn a_load_that_is_answered_in_time_is_never_turned_away() {
        let mut plant = Plant::new(BOUNDS);
        plant.run(20_000, 20, 20, Duration::ZERO);
        assert_eq!((plant.room.now(), plant.turned_away), (BOUNDS.most, 0));
    }

    #[test]
    fn a_slow_disk_is_no_overload() {
        let mut plant = Plant::new(BOUNDS);
        plant.run(20_000, 20, 20, Duration::from_millis(40));
        assert_eq!((plant.room.now(), plant.turned_away), (BOUNDS.most, 0));
    }

    #[test]
    fn a_small_room_that_nobody_can_ask_in_is_forgotten() {
        let mut plant = Plant::new(BOUNDS);
        plant.run(4_000, 15, 5, Duration::ZERO);
        let (small, at) = (plant.room.now(), plant.at);
        assert!(small < 100);
        plant.room.turned_away(at + FORGOTTEN / 2);
        assert_eq!(plant.room.now(), small);
        plant.room.turned_away(at + 2 * FORGOTTEN);
        assert_eq!(plant.room.now(), BOUNDS.most);
    }

    #[test]
    fn it_stays_within_its_bounds() {
        let mut plant = Plant::new(BOUNDS);
        plant.run(4_000, 100, 1, Duration::ZERO);
        assert_eq!(plant.room.now(), BOUNDS.least);
        let fixed = Bounds { least: 7, most: 7, ..BOUNDS };
        let mut plant = Plant::new(fixed);
        plant.run(4_000, 100, 1, Duration::ZERO);
        assert_eq!(plant.room.now(), 7);
    }
}
