//! A run: connections are opened, calls are made when they are due, or as soon as others end, until the time is over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::link::{Link, Refused, Target};
use crate::outcome::Outcome;
use crate::proof::Provider;
use crate::schedule::{Arrivals, Schedule, SplitMix};

/// What makes calls come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// A schedule. Units: calls a second.
    Open { rate: f64, arrivals: Arrivals },
    /// Each connection always has so many under way; a call is due when it is sent.
    Closed { under_way: usize },
}

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub pace: Pace,
    /// Messages with the five bytes before them; one is picked at random for each call.
    pub pool: Vec<Arc<[u8]>>,
    pub seed: u64,
    pub connections: usize,
    pub threads: usize,
    /// Calls due in that time at the start are made and not measured.
    pub warm_up: Duration,
    pub measured: Duration,
    /// How long answers are waited for in the end, and connections in the beginning.
    pub patience: Duration,
    /// Every so many'th answer of each thread is checked with `provider`; 0: none.
    pub check_every: u64,
    pub provider: Option<Provider>,
}

#[derive(Debug, Clone, Copy)]
struct Tag {
    due: u64,
    item: u32,
    check: bool,
}

const OK: u8 = 0;
/// The five bytes before a message.
pub const BEFORE: usize = 5;
const LONGEST_WAIT: u64 = 50_000_000;

/// Runs the plan. The calling thread waits for those that do it.
pub fn run(target: &Target, plan: &Plan) -> Result<Outcome, Refused> {
    let threads = plan.threads.clamp(1, plan.connections.max(1));
    let (opened, refused) = (Barrier::new(threads), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let each = |number: usize| {
            let (opened, refused) = (&opened, &refused);
            scope.spawn(move || {
                let connections = plan.connections / threads + usize::from(number < plan.connections % threads);
                let worker = Worker::open(target, plan, number, connections);
                if worker.is_err() {
                    refused.store(true, Ordering::SeqCst);
                }
                opened.wait();
                worker.map(|worker| if refused.load(Ordering::SeqCst) { worker.found } else { worker.work(threads) })
            })
        };
        let workers: Vec<_> = (0..threads).map(each).collect();
        let mut whole = Outcome::default();
        let mut failed = None;
        for worker in workers {
            match worker.join() {
                Ok(Ok(part)) => whole.merge(part),
                Ok(Err(refused)) => failed = Some(refused),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        failed.map_or(Ok(whole), Err)
    })
}

struct Worker<'a> {
    plan: &'a Plan,
    number: usize,
    links: Vec<Option<Link<Tag>>>,
    buffer: Vec<u8>,
    random: SplitMix,
    turn: usize,
    calls: u64,
    begun: Instant,
    found: Outcome,
}

impl<'a> Worker<'a> {
    fn open(target: &Target, plan: &'a Plan, number: usize, connections: usize) -> Result<Self, Refused> {
        let mut buffer = vec![0; 256 << 10];
        let links: Result<Vec<_>, _> =
            (0..connections).map(|_| Link::open(target, plan.patience, &mut buffer).map(Some)).collect();
        let seed = plan.seed.wrapping_mul(0x1_0001).wrapping_add(number as u64);
        Ok(Self {
            plan,
            number,
            links: links?,
            buffer,
            random: SplitMix(!seed),
            turn: 0,
            calls: 0,
            begun: Instant::now(),
            found: Outcome::default(),
        })
    }

    fn work(mut self, threads: usize) -> Outcome {
        // The default is 50 microseconds, which is of the size of what is measured.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1_000));
        self.begun = Instant::now();
        let end = nanoseconds(self.plan.warm_up + self.plan.measured);
        let stop = end + nanoseconds(self.plan.patience);
        let mut schedule = match self.plan.pace {
            Pace::Open { rate, arrivals } => {
                let seed = self.plan.seed.wrapping_add(self.number as u64);
                Some(Schedule::new(arrivals, rate / threads as f64, seed))
            }
            Pace::Closed { .. } => None,
        };
        let mut over = false;
        loop {
            let now = self.now();
            let mut blocked = false;
            if !over {
                blocked = match (&mut schedule, self.plan.pace) {
                    (Some(schedule), _) => self.send_due(schedule, now.min(end)),
                    (None, Pace::Closed { under_way }) if now < end => self.fill(under_way),
                    _ => false,
                };
                over = now >= end || self.links.iter().all(Option::is_none);
            }
            self.flush();
            let open = self.links.iter().flatten().any(|link| link.talk.under_way() > 0);
            if over && (!open || now >= stop) {
                break;
            }
            let next = match &schedule {
                Some(schedule) if !over && !blocked => schedule.due().min(end),
                _ if !over => end,
                _ => stop,
            };
            self.wait(next.saturating_sub(self.now()).min(LONGEST_WAIT));
        }
        self.found.seconds = self.begun.elapsed().as_secs_f64();
        if let Some(mut schedule) = schedule {
            while schedule.due() < end {
                self.found.unsent += 1;
                schedule.advance();
            }
        }
        for link in self.links.iter_mut().flatten() {
            self.found.lost += link.talk.abandon().count() as u64;
            self.found.bytes_in += link.bytes_in;
            self.found.bytes_out += link.bytes_out;
        }
        self.found
    }

    fn now(&self) -> u64 {
        nanoseconds(self.begun.elapsed())
    }

    /// Sends what is due, each call on the next connection that has room. Whether none had any.
    fn send_due(&mut self, schedule: &mut Schedule, now: u64) -> bool {
        while schedule.due() < now {
            let Some(place) = self.with_room() else { return true };
            self.call(place, schedule.due());
            schedule.advance();
        }
        false
    }

    fn with_room(&mut self) -> Option<usize> {
        for _ in 0..self.links.len() {
            self.turn = (self.turn + 1) % self.links.len();
            if self.links[self.turn].as_ref().is_some_and(|link| link.talk.has_room()) {
                return Some(self.turn);
            }
        }
        None
    }

    fn fill(&mut self, under_way: usize) -> bool {
        for place in 0..self.links.len() {
            while self.links[place]
                .as_ref()
                .is_some_and(|link| link.talk.has_room() && link.talk.under_way() < under_way)
            {
                self.call(place, self.now());
            }
        }
        false
    }

    fn call(&mut self, place: usize, due: u64) {
        let now = self.now();
        let item = (self.random.draw() % self.plan.pool.len() as u64) as u32;
        self.calls += 1;
        let check = self.plan.check_every > 0 && self.calls.is_multiple_of(self.plan.check_every);
        if self.measures(due) {
            self.found.delays.add(now.saturating_sub(due));
        }
        if let Some(link) = &mut self.links[place] {
            link.talk.call(&self.plan.pool[item as usize], check, Tag { due, item, check });
        }
    }

    fn measures(&self, due: u64) -> bool {
        due >= nanoseconds(self.plan.warm_up) && due < nanoseconds(self.plan.warm_up + self.plan.measured)
    }

    fn flush(&mut self) {
        for place in 0..self.links.len() {
            if let Some(link) = &mut self.links[place]
                && link.has_output()
                && link.flush().is_err()
            {
                self.close(place);
            }
        }
    }

    /// Waits until a connection has something, at most so many nanoseconds, and takes it.
    fn wait(&mut self, nanoseconds: u64) {
        let places: Vec<usize> = (0..self.links.len()).filter(|&place| self.links[place].is_some()).collect();
        let interest = |link: &Link<Tag>| {
            if link.has_output() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN }
        };
        let mut watched: Vec<PollFd<'_>> =
            self.links.iter().flatten().map(|link| PollFd::new(&link.socket, interest(link))).collect();
        let timeout = Timespec { tv_sec: 0, tv_nsec: nanoseconds as _ };
        // An interrupted wait is as good as one that is over.
        let _ = poll(&mut watched, Some(&timeout));
        let ready: Vec<usize> =
            places.iter().zip(&watched).filter(|(_, fd)| !fd.revents().is_empty()).map(|(&place, _)| place).collect();
        for place in ready {
            let over = self.links[place].as_mut().is_some_and(|link| link.receive(&mut self.buffer).is_err());
            self.settle(place);
            if over {
                self.close(place);
            }
        }
    }

    /// Counts the calls of a connection that have ended.
    fn settle(&mut self, place: usize) {
        let now = self.now();
        while let Some(ended) = self.links[place].as_mut().and_then(|link| link.talk.next_ended()) {
            *self.found.ended.entry(ended.status).or_default() += 1;
            if self.measures(ended.tag.due) {
                self.found.latencies.entry(ended.status).or_default().add(now.saturating_sub(ended.tag.due));
            }
            if ended.tag.check && ended.status == OK {
                self.check(ended.tag.item, &ended.body);
            }
        }
    }

    fn check(&mut self, item: u32, body: &[u8]) {
        if let Some(provider) = &self.plan.provider {
            self.found.checked += 1;
            let request = &self.plan.pool[item as usize][BEFORE..];
            let proven = body.get(BEFORE..).is_some_and(|reply| provider.proves(request, reply));
            self.found.wrong += u64::from(!proven);
        }
    }

    fn close(&mut self, place: usize) {
        if let Some(mut link) = self.links[place].take() {
            self.found.broken += 1;
            self.found.lost += link.talk.abandon().count() as u64;
            self.found.bytes_in += link.bytes_in;
            self.found.bytes_out += link.bytes_out;
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
