//! What has been used up: uses of consents, budgets of different questions, quotas. Bounded; at a bound it refuses.
//!
//! Everything here is rebuilt from the log at a start. A lock is held for one question about one subject at most, so
//! that of many threads with the last use of a consent exactly one gets it.

use crate::parts::{Part, Parts, count, locked, parts};
use crate::rules::Budget;
use crate::ruling::{Outcome, Reason};

/// How much is remembered. Units: entries; 48 bytes for a use, about 150 for a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub uses: usize,
    pub budgets: usize,
    pub quotas: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { uses: 1 << 23, budgets: 1 << 22, quotas: 1 << 16 }
    }
}

/// Whose budget: the requester's about a subject (by its tag) and an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purse {
    pub subject: [u8; 16],
    pub requester: u64,
    pub item: u32,
}

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    pub outcome: Outcome,
    pub reason: Reason,
    pub recorded_on: u32,
}

#[derive(Debug)]
struct Use {
    consent: [u8; 16],
    count: u32,
    expires_s: i64,
}

/// One of the different questions, last asked on `day`, and remembered until `until`.
#[derive(Debug)]
struct Asked {
    question: [u8; 16],
    day: i32,
    until: i32,
    recorded_on: u32,
    outcome: Outcome,
}

#[derive(Debug)]
struct Spent {
    purse: Purse,
    asked: Vec<Asked>,
}

#[derive(Debug)]
struct Quota {
    requester: u64,
    rule: u32,
    /// Thousandths of a question that may be asked now, and as of when.
    thousandths: u64,
    at_ms: i64,
    day: i32,
    today: u32,
}

/// All of it.
#[derive(Debug)]
pub struct Limits {
    uses: Parts<Use>,
    budgets: Parts<Spent>,
    quotas: Parts<Quota>,
    bounds: Bounds,
    /// Drawn anew in each process, so that nobody can choose what shares a place.
    secret: [u64; 2],
}

/// The time of a question, in the units that limits count in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    pub now_ms: i64,
    pub now_s: i64,
    /// Days since 1970 in the provider's zone.
    pub today: i32,
}

impl Limits {
    pub fn new(bounds: Bounds, secret: [u64; 2]) -> Self {
        Self { uses: parts(), budgets: parts(), quotas: parts(), bounds, secret: secret.map(|one| one | 1) }
    }

    fn mix(&self, first: u64, second: u64) -> u64 {
        let product = u128::from(first ^ self.secret[0]) * u128::from(self.secret[1]);
        let once = (product >> 64) as u64 ^ product as u64 ^ second;
        let product = u128::from(once) * u128::from(self.secret[0]);
        (product >> 64) as u64 ^ product as u64
    }

    fn of_sixteen(&self, bytes: &[u8; 16]) -> u64 {
        let half = |at: usize| u64::from_le_bytes(std::array::from_fn(|place| bytes[at + place]));
        self.mix(half(0), half(8))
    }

    fn of_purse(&self, purse: &Purse) -> u64 {
        self.mix(self.of_sixteen(&purse.subject), purse.requester ^ u64::from(purse.item) << 20)
    }

    /// Takes one of a consent's uses. Reasons: `ConsentUsedUp`, `Full`.
    pub fn take_use(&self, consent: &[u8; 16], most: u32, expires_s: i64, now_s: i64) -> Result<(), Reason> {
        let hash = self.of_sixteen(consent);
        let mut part = locked(&self.uses, hash);
        if let Some(held) = part.table.find_mut(hash, |held| held.consent == *consent) {
            if held.count >= most {
                return Err(Reason::ConsentUsedUp);
            }
            held.count += 1;
            held.expires_s = expires_s;
            return Ok(());
        }
        if most == 0 {
            return Err(Reason::ConsentUsedUp);
        }
        self.remember_use(&mut part, hash, Use { consent: *consent, count: 1, expires_s }, now_s)
    }

    fn remember_use(&self, part: &mut Part<Use>, hash: u64, held: Use, now_s: i64) -> Result<(), Reason> {
        let hash_of = |held: &Use| self.of_sixteen(&held.consent);
        if !part.has_room(self.bounds.uses, now_s, hash_of, |held| held.expires_s >= now_s) {
            return Err(Reason::Full);
        }
        part.table.insert_unique(hash, held, hash_of);
        Ok(())
    }

    /// Asks a question within a budget: what was answered today is answered again; else `take` and then `answer`.
    ///
    /// Reasons: `Budget`, `Full`, those of `take`. A question that is refused costs nothing.
    pub fn ask(
        &self,
        purse: &Purse,
        budget: Budget,
        question: &[u8; 16],
        clock: Clock,
        take: impl FnOnce() -> Result<(), Reason>,
        answer: impl FnOnce() -> Given,
    ) -> Result<Given, Reason> {
        let hash = self.of_purse(purse);
        let days = i32::try_from(budget.days).unwrap_or(i32::MAX);
        let until = clock.today.saturating_add(days);
        let mut part = locked(&self.budgets, hash);
        if let Some(spent) = part.table.find_mut(hash, |spent| spent.purse == *purse) {
            let before = spent.asked.iter().position(|asked| asked.question == *question);
            if let Some(again) = before.map(|place| &mut spent.asked[place])
                && again.day == clock.today
            {
                take()?;
                again.until = again.until.max(until);
                return Ok(Given { outcome: again.outcome, reason: Reason::Repeated, recorded_on: again.recorded_on });
            }
            let within = spent.asked.iter().filter(|asked| clock.today.saturating_sub(asked.day) < days).count();
            if within >= budget.questions as usize {
                return Err(Reason::Budget);
            }
            take()?;
            let given = answer();
            spent.note(question, clock.today, until, given);
            return Ok(given);
        }
        if budget.questions == 0 {
            return Err(Reason::Budget);
        }
        if !part.has_room(
            self.bounds.budgets,
            clock.now_s,
            |spent| self.of_purse(&spent.purse),
            |spent| spent.lasts(clock),
        ) {
            return Err(Reason::Full);
        }
        take()?;
        let given = answer();
        let mut spent = Spent { purse: *purse, asked: Vec::with_capacity(1) };
        spent.note(question, clock.today, until, given);
        part.table.insert_unique(hash, spent, |spent| self.of_purse(&spent.purse));
        Ok(given)
    }

    /// Takes as many of `wanted` questions as the quotas let through now, and says why it was not all of them.
    pub fn take_quota(
        &self,
        requester: u64,
        rule: u32,
        (per_second, per_day): (Option<u32>, Option<u32>),
        wanted: u32,
        clock: Clock,
    ) -> (u32, Reason) {
        if per_second.is_none() && per_day.is_none() {
            return (wanted, Reason::Decided);
        }
        let hash = self.mix(requester, u64::from(rule));
        let mut part = locked(&self.quotas, hash);
        let Some(quota) = self.quota(&mut part, hash, requester, rule, per_second, clock) else {
            return (0, Reason::Full);
        };
        let mut granted = wanted;
        let mut reason = Reason::Decided;
        if let Some(rate) = per_second.map(u64::from) {
            // A clock that goes back gives nothing.
            let elapsed = u64::try_from(clock.now_ms.saturating_sub(quota.at_ms)).unwrap_or(0);
            quota.thousandths = quota.thousandths.saturating_add(rate.saturating_mul(elapsed)).min(rate * 1000);
            quota.at_ms = quota.at_ms.max(clock.now_ms);
            let now = u32::try_from(quota.thousandths / 1000).unwrap_or(u32::MAX);
            if now < granted {
                (granted, reason) = (now, Reason::PerSecond);
            }
            quota.thousandths -= u64::from(granted) * 1000;
        }
        quota.begin(clock.today);
        if let Some(most) = per_day {
            let left = most.saturating_sub(quota.today);
            if left < granted {
                (granted, reason) = (left, Reason::PerDay);
            }
        }
        quota.today = quota.today.saturating_add(granted);
        (granted, reason)
    }

    /// Gives back what was taken of a day's quota for questions that were refused after all.
    pub fn give_back(&self, requester: u64, rule: u32, count: u32, clock: Clock) {
        let hash = self.mix(requester, u64::from(rule));
        let mut part = locked(&self.quotas, hash);
        let found = part.table.find_mut(hash, |quota| quota.requester == requester && quota.rule == rule);
        if let Some(quota) = found.filter(|quota| quota.day == clock.today) {
            quota.today = quota.today.saturating_sub(count);
        }
    }

    fn quota<'p>(
        &self,
        part: &'p mut Part<Quota>,
        hash: u64,
        requester: u64,
        rule: u32,
        per_second: Option<u32>,
        clock: Clock,
    ) -> Option<&'p mut Quota> {
        let is = |quota: &Quota| quota.requester == requester && quota.rule == rule;
        let hash_of = |quota: &Quota| self.mix(quota.requester, u64::from(quota.rule));
        if part.table.find(hash, is).is_none() {
            // Yesterday's count says nothing, and a second that was not used is full again.
            if !part.has_room(self.bounds.quotas, clock.now_s, hash_of, |quota| quota.day == clock.today) {
                return None;
            }
            let thousandths = u64::from(per_second.unwrap_or(0)) * 1000;
            let fresh = Quota { requester, rule, thousandths, at_ms: clock.now_ms, day: clock.today, today: 0 };
            part.table.insert_unique(hash, fresh, hash_of);
        }
        part.table.find_mut(hash, is)
    }

    /// Takes an answer of the past into account: a use, a question of a budget, one of a day's quota. `clock` is of then.
    ///
    /// Where there is no room, what is not remembered counts as used up from then on.
    pub fn replay(&self, past: &Past<'_>, clock: Clock) {
        if *past.consent != [0; 16] {
            let hash = self.of_sixteen(past.consent);
            let mut part = locked(&self.uses, hash);
            if let Some(held) = part.table.find_mut(hash, |held| held.consent == *past.consent) {
                held.count = held.count.saturating_add(1);
                held.expires_s = held.expires_s.max(past.expires_s);
            } else {
                let held = Use { consent: *past.consent, count: 1, expires_s: past.expires_s };
                part.is_incomplete |= self.remember_use(&mut part, hash, held, clock.now_s).is_err();
            }
        }
        if past.days > 0 {
            self.replay_question(past, clock);
        }
        let hash = self.mix(past.purse.requester, u64::from(past.rule));
        let mut part = locked(&self.quotas, hash);
        if let Some(quota) = self.quota(&mut part, hash, past.purse.requester, past.rule, None, clock) {
            quota.begin(clock.today);
            quota.today = quota.today.saturating_add(1);
        } else {
            part.is_incomplete = true;
        }
    }

    fn replay_question(&self, past: &Past<'_>, clock: Clock) {
        let hash = self.of_purse(&past.purse);
        let hash_of = |spent: &Spent| self.of_purse(&spent.purse);
        let until = clock.today.saturating_add(past.days);
        let mut part = locked(&self.budgets, hash);
        if let Some(spent) = part.table.find_mut(hash, |spent| spent.purse == past.purse) {
            spent.note(past.question, clock.today, until, past.given);
        } else if part.has_room(self.bounds.budgets, clock.now_s, hash_of, |spent| spent.lasts(clock)) {
            let mut spent = Spent { purse: past.purse, asked: Vec::with_capacity(1) };
            spent.note(past.question, clock.today, until, past.given);
            part.table.insert_unique(hash, spent, hash_of);
        } else {
            part.is_incomplete = true;
        }
    }

    /// How many consents, budgets and quotas are remembered.
    pub fn held(&self) -> [usize; 3] {
        [count(&self.uses), count(&self.budgets), count(&self.quotas)]
    }
}

/// An answer of the past.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    pub consent: &'a [u8; 16],
    pub expires_s: i64,
    pub purse: Purse,
    pub question: &'a [u8; 16],
    pub rule: u32,
    /// For how many days it counts.
    pub days: i32,
    pub given: Given,
}

impl Quota {
    /// Another day has a count of its own.
    fn begin(&mut self, today: i32) {
        if self.day != today {
            (self.day, self.today) = (today, 0);
        }
    }
}

impl Spent {
    fn note(&mut self, question: &[u8; 16], day: i32, until: i32, given: Given) {
        self.asked.retain(|asked| asked.question == *question || asked.until > day);
        match self.asked.iter_mut().find(|asked| asked.question == *question) {
            Some(asked) => {
                asked.until = asked.until.max(until);
                if day > asked.day {
                    (asked.day, asked.recorded_on, asked.outcome) = (day, given.recorded_on, given.outcome);
                }
            }
            None => {
                let (recorded_on, outcome) = (given.recorded_on, given.outcome);
                self.asked.push(Asked { question: *question, day, until, recorded_on, outcome });
            }
        }
    }

    fn lasts(&self, clock: Clock) -> bool {
        self.asked.iter().any(|asked| asked.until > clock.today)
    }
}
