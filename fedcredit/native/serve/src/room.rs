//! How many questions may be under way: as many as are answered in time. No clock of its own.
//!
//! The wait of a question grows with those before it. What is waited on average in a window of time is held against a
//! target: if it is longer, fewer may be under way from then on, in proportion; if not, some more. The target is beyond
//! what the log itself takes to make an entry durable, since nobody waits less for a slow disk when fewer ask.
//!
//! When that goes on, calls wait before they are looked at, too. Then whoever has waited for half of the target already
//! mostly is turned away, so that who comes after him is not late as well.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_millis(100);
/// Answers without which a window says nothing.
const ENOUGH: u32 = 16;
/// After so long without an answer, what was seen before says nothing.
const FORGOTTEN: Duration = Duration::from_millis(500);
/// Windows in which too long was waited, until nobody is for a while, make an overload; fewer are a bad moment.
const STRAINED: u32 = 5;
/// What part of the least room is left to who is late: else a server that is always late would answer nobody.
const LATE_PART: usize = 4;
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
    /// Windows with too long a wait since there was all the room.
    strained: u32,
    /// When the last answer left.
    last: Instant,
    window: Window,
}

impl Room {
    /// As much as there may be, until it turns out to be too much.
    pub fn new(bounds: Bounds, at: Instant) -> Self {
        Self { bounds, now: bounds.most, strained: 0, last: at, window: Window::new(at) }
    }

    /// An answer left at `at` after this wait; `under_way` were with it.
    pub fn answered(&mut self, at: Instant, waited: Duration, under_way: usize) {
        self.forget(at);
        self.last = at;
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
        self.forget(at);
    }

    fn forget(&mut self, at: Instant) {
        if at.saturating_duration_since(self.last) >= FORGOTTEN {
            *self = Self::new(self.bounds, at);
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

    /// How many may be under way with one that has waited for half of the target before it was looked at.
    pub fn now_for_late(&self) -> usize {
        if self.strained < STRAINED { self.now } else { self.bounds.least.div_ceil(LATE_PART) }
    }

    fn settle(&mut self) {
        let Window { waited, answers, peak, commit, .. } = self.window;
        let mean = waited / answers;
        let allowed = self.bounds.target + commit.unwrap_or_default().saturating_mul(COMMITS_WAITED);
        let next = if mean > allowed {
            self.strained = self.strained.saturating_add(1);
            // Not by more than half, as one bad moment (a disk that stalls) is no overload.
            let kept = (allowed.as_secs_f64() / mean.as_secs_f64()).max(0.5);
            (self.now.min(peak) as f64 * kept) as usize
        } else {
            self.now + self.now / 8 + 1
        };
        self.now = next.clamp(self.bounds.least, self.bounds.most);
        if mean <= allowed && self.now == self.bounds.most {
            self.strained = 0;
        }
    }
}

/// The room of all threads.
#[derive(Debug)]
pub struct SharedRoom {
    room: Mutex<Room>,
    now: AtomicUsize,
    for_late: AtomicUsize,
    late: Duration,
}

impl SharedRoom {
    pub fn new(bounds: Bounds, at: Instant) -> Self {
        let room = Room::new(bounds, at);
        let (now, for_late) = (AtomicUsize::new(room.now()), AtomicUsize::new(room.now_for_late()));
        Self { now, for_late, late: bounds.target / 2, room: Mutex::new(room) }
    }

    /// See `Room::answered`.
    pub fn answered(&self, at: Instant, waited: Duration, under_way: usize) {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        room.answered(at, waited, under_way);
        self.say(&room);
    }

    /// See `Room::turned_away`.
    pub fn turned_away(&self, at: Instant) {
        // Who is turned away waits for nobody; another one will say it.
        if let Ok(mut room) = self.room.try_lock() {
            room.turned_away(at);
            self.say(&room);
        }
    }

    fn say(&self, room: &Room) {
        self.now.store(room.now(), Ordering::Relaxed);
        self.for_late.store(room.now_for_late(), Ordering::Relaxed);
    }

    /// See `Room::committed`.
    pub fn committed(&self, took: Duration) {
        self.room.lock().unwrap_or_else(PoisonError::into_inner).committed(took);
    }

    /// How many may be under way.
    pub fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    /// How many may be under way with one that has waited so long before it was looked at.
    pub fn now_for(&self, age: Duration) -> usize {
        if age > self.late { self.for_late.load(Ordering::Relaxed) } else { self.now() }
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
    fn who_is_late_has_little_room_in_an_overload_and_all_of_it_after_a_bad_moment() {
        let mut plant = Plant::new(BOUNDS);
        assert_eq!(plant.room.now_for_late(), BOUNDS.most);
        // 300 ms in which nobody is answered, as of a disk that stalls, and then all are.
        plant.run(600, 1, 0, Duration::ZERO);
        plant.run(200, 10, 20, Duration::ZERO);
        assert!(plant.room.now() < BOUNDS.most);
        assert_eq!(plant.room.now_for_late(), plant.room.now());
        plant.run(4_000, 15, 5, Duration::ZERO);
        assert_eq!(plant.room.now_for_late(), BOUNDS.least / LATE_PART);
        plant.run(8_000, 4, 5, Duration::ZERO);
        assert_eq!(plant.room.now_for_late(), BOUNDS.most);
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
