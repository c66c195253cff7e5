//! Where a question is ruled on: its form, the rule about it, quotas, the consent, budgets and uses, records, program.
//!
//! Every question goes the same way, and whatever comes of it has facts for the log. `desk_batch` rules on many.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::consent::{Place, is_name};
use crate::days::Day;
use crate::kinds::Served;
use crate::limits::{Bounds, Clock, Given, Limits, Past, Purse};
use crate::normal::normal;
use crate::program::Answer;
use crate::program_run::{Asked, Records};
pub use crate::question::{Argument, ArgumentValue, Batch, Caller, Check, Kind, Now, Question};
use crate::rules::{Rule, Scope, decide};
pub use crate::ruling::{
    BatchRuling, CHECK_RECORD_BYTES, CheckRecord, Outcome, Reason, Record, Ruling, RulingFacts, Versions, tag,
};
pub use crate::snapshot::Snapshot;
use crate::token::Known;
pub use crate::trouble::Trouble;

/// Bytes of a subject's code and of its name.
const MAX_SUBJECT: usize = 64;
const MAX_NAME: usize = 800;
/// For how long a use or a question of the past counts at most. Units: days.
const LONGEST_DAYS: i32 = 367;

/// Rules on questions. Shared by all threads; nothing in it waits but for locks that are held for a question each.
pub struct Desk {
    snapshot: ArcSwap<Snapshot>,
    /// Held while a snapshot is read, so that two are not read at once.
    reloading: Mutex<()>,
    pub(crate) limits: Limits,
    log_key: Hmac<Sha256>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

/// A refusal, and what was known by then.
pub(crate) type Refused = Reason;

/// A predicate with arguments, and the rule about it.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    pub served: Option<&'a Served>,
    pub rule: Option<&'a Rule>,
    pub hash: [u8; 16],
    pub asked: Asked<'a>,
    pub verdict: Result<(), Refused>,
}

/// What is the same for all questions of one message.
pub(crate) struct Sitting<'a> {
    pub snapshot: &'a Snapshot,
    pub caller: &'a Caller,
    pub purpose: &'a str,
    pub requester: u64,
    pub clock: Clock,
    pub minute: u32,
    pub today: Day,
}

impl<'a> Sitting<'a> {
    pub fn new(snapshot: &'a Snapshot, caller: &'a Caller, purpose: &'a str, now: Now) -> Self {
        let clock = snapshot.clock(now);
        let (_, minute) = snapshot.local(now);
        Self {
            snapshot,
            caller,
            purpose,
            requester: long_tag(&caller.party),
            clock,
            minute,
            today: Day::new(clock.today),
        }
    }

    /// The purpose for the log: a name, or nothing.
    pub fn recorded_purpose(&self) -> Arc<str> {
        if is_name(self.purpose) { self.purpose.into() } else { "".into() }
    }

    /// The predicate and the rule about it. Reasons: those of arguments and rules.
    pub fn prepare(&self, predicate: &str, arguments: &[Argument<'a>]) -> Prepared<'a> {
        let mut out = Prepared { served: None, rule: None, hash: [0; 16], asked: Asked::default(), verdict: Ok(()) };
        out.verdict = self.fill(&mut out, predicate, arguments);
        out
    }

    fn fill(&self, out: &mut Prepared<'a>, predicate: &str, arguments: &[Argument<'a>]) -> Result<(), Refused> {
        if !is_name(self.purpose) {
            return Err(Reason::Question);
        }
        let served = self.snapshot.served.get(predicate).ok_or(Reason::Predicate)?;
        out.served = Some(served);
        served.check(arguments)?;
        out.hash = served.hash(arguments);
        let scope = Scope {
            requester: &self.caller.party,
            purpose: self.purpose,
            predicate: &served.predicate,
            item: &served.item,
            level: served.level,
            needs_consent: served.needs_consent,
            minute: self.minute,
        };
        let (rule, verdict) = decide(&self.snapshot.rules, &scope);
        out.rule = rule;
        verdict?;
        out.asked = served.program.asked(arguments);
        out.asked.institution = self.snapshot.institutions.get(&*self.caller.party).map(|code| &**code);
        if served.program.takes_institution() && out.asked.institution.is_none() {
            return Err(Reason::Institution);
        }
        Ok(())
    }

    /// The consent in a token, if it holds now, here, for this caller and purpose. The first is for the log.
    pub fn consent(&self, token: &str) -> (Option<Arc<Known>>, Result<(), Refused>) {
        let known = match self.snapshot.tokens.read(token) {
            Ok(known) => known,
            Err(reason) => return (None, Err(reason)),
        };
        let place = Place {
            provider: &self.snapshot.provider,
            region: &self.snapshot.region,
            requester: &self.caller.party,
            authority: &self.caller.authority,
            purpose: self.purpose,
        };
        let consent = &known.consent;
        let is_revoked = || {
            if known.looked_up_in.load(Ordering::Relaxed) == self.snapshot.epoch {
                return false;
            }
            let found = self.snapshot.revoked.contains(&consent.id);
            if !found {
                known.looked_up_in.store(self.snapshot.epoch, Ordering::Relaxed);
            }
            found
        };
        let holds = consent.holds(self.clock.now_s, self.snapshot.list_age, is_revoked);
        let verdict = holds.and_then(|()| consent.fits(&place));
        (Some(known), verdict)
    }

    /// Whether a subject is one, and its name is its own where that decides whose records are looked at.
    pub fn subject(&self, served: &Served, rule: &Rule, subject: &str, form: &str) -> Result<(), Refused> {
        if !is_subject(subject) {
            return Err(Reason::Question);
        }
        if !served.goes_by_name() {
            return Ok(());
        }
        if form.is_empty() {
            return Err(Reason::SubjectName);
        }
        // A consent is about a code: without somebody who says whose name it is, another's records could be asked for.
        let is_confirmed = || self.snapshot.names.as_ref().is_some_and(|names| names.confirms(subject, form));
        if rule.no_consent || is_confirmed() { Ok(()) } else { Err(Reason::SubjectName) }
    }
}

/// What a question came to, before its answer.
pub(crate) struct Ready<'a> {
    pub served: &'a Served,
    pub rule: &'a Rule,
    pub hash: &'a [u8; 16],
    pub consent: Option<&'a Known>,
    pub tag: &'a [u8; 16],
}

impl Desk {
    /// `log_key`: under which subjects are recorded; secret, and the same as long as the log is.
    pub fn new(log_key: [u8; 32], snapshot: Snapshot) -> Self {
        Self::with_bounds(log_key, snapshot, Bounds::default())
    }

    /// As `new`, with bounds on what is remembered.
    pub fn with_bounds(log_key: [u8; 32], snapshot: Snapshot, bounds: Bounds) -> Self {
        let log_key = zeroize::Zeroizing::new(log_key);
        let keyed: Hmac<Sha256> = KeyInit::new_from_slice(&*log_key).expect("HMAC takes a key of any length");
        // Where a table's entries lie is nobody's business; without randomness the log key says it as well.
        let hidden = keyed.clone().chain_update(b"fedcredit/v1/limits").finalize().into_bytes();
        let half = |at: usize| u64::from_le_bytes(std::array::from_fn(|place| hidden[at + place]));
        Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            reloading: Mutex::new(()),
            limits: Limits::new(bounds, [half(0), half(8)]),
            log_key: keyed,
        }
    }

    /// The provider in whose name it answers.
    pub fn provider(&self) -> Arc<str> {
        self.snapshot.load().provider.clone()
    }

    /// The snapshot by which questions are ruled now. Its tokens know tags of this desk, so that no other has them.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Reads a snapshot and rules by it from now on; index files that are open stay open, tokens that were read stay
    /// read, uses, budgets and quotas go on. After an error the snapshot of before counts.
    ///
    /// Troubles: as of `Snapshot::parse`; `CONFIG_INVALID`, where it is of another provider.
    pub fn reload(&self, text: &str) -> Result<(), Vec<Trouble>> {
        let _alone = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.snapshot();
        let fresh = Snapshot::parse_after(text, Some(&before))?;
        if fresh.provider != before.provider {
            return Err(vec![Trouble::new("CONFIG_INVALID", "snapshot", "it is of another provider")]);
        }
        self.snapshot.store(Arc::new(fresh));
        Ok(())
    }

    /// What stands for a subject in the log.
    pub fn subject_tag(&self, subject: &str) -> [u8; 16] {
        let code = self.log_key.clone().chain_update(subject.as_bytes()).finalize().into_bytes();
        std::array::from_fn(|place| code[place])
    }

    /// The ruling on one question. Whatever is recorded of it must be durable before anybody is told.
    pub fn rule(&self, caller: &Caller, question: &Question<'_>, now: Now) -> Ruling {
        let snapshot = self.snapshot.load();
        let sitting = Sitting::new(&snapshot, caller, question.purpose, now);
        let form = if question.subject_name.is_empty() || question.subject_name.len() > MAX_NAME {
            String::new()
        } else {
            normal(question.subject_name)
        };
        let mut prepared = sitting.prepare(question.predicate, question.arguments);
        let asked = &mut prepared.asked;
        (asked.subject, asked.subject_name, asked.subject_name_normal) =
            (question.subject, question.subject_name, &form);
        let tag = self.subject_tag(question.subject);
        let mut consent = None;
        let ruled = self.decide(&sitting, &prepared, question, &tag, &mut consent);
        let given = ruled.unwrap_or_else(|reason| Given { outcome: Outcome::Refused, reason, recorded_on: 0 });
        let nothing = || Arc::from("");
        Ruling {
            outcome: given.outcome,
            reason: given.reason,
            recorded_on: given.recorded_on,
            versions: snapshot.versions(sitting.today),
            facts: RulingFacts {
                subject: tag,
                consent: consent.map(|known| known.consent.id),
                question: prepared.hash,
                item: prepared.served.map_or_else(nothing, |served| served.item.clone()),
                predicate: prepared.served.map_or_else(nothing, |served| served.predicate.clone()),
                purpose: sitting.recorded_purpose(),
                rule: prepared.rule.map_or_else(nothing, |rule| rule.name.clone()),
            },
        }
    }

    fn decide(
        &self,
        sitting: &Sitting<'_>,
        prepared: &Prepared<'_>,
        question: &Question<'_>,
        tag: &[u8; 16],
        consent: &mut Option<Arc<Known>>,
    ) -> Result<Given, Refused> {
        prepared.verdict?;
        let (Some(served), Some(rule)) = (prepared.served, prepared.rule) else { return Err(Reason::NoRule) };
        let limits = (rule.per_second, rule.per_day);
        let (granted, short) = self.limits.take_quota(sitting.requester, rule.tag, limits, 1, sitting.clock);
        if granted == 0 {
            return Err(short);
        }
        let mut ruled = || {
            if question.subject_name.len() > MAX_NAME {
                return Err(Reason::Question);
            }
            let form = prepared.asked.subject_name_normal;
            sitting.subject(served, rule, question.subject, form)?;
            if !rule.no_consent {
                let (known, verdict) = sitting.consent(question.consent);
                *consent = known;
                verdict?;
                let known = consent.as_ref().ok_or(Reason::ConsentMissing)?;
                known.consent.covers(question.subject, &served.matter())?;
            }
            let ready = Ready { served, rule, hash: &prepared.hash, consent: consent.as_deref(), tag };
            self.settle(sitting, &ready, || {
                answer(sitting, served, &served.records(question.subject, form), &prepared.asked)
            })
        };
        let ruled = ruled();
        if ruled.is_err() && rule.per_day.is_some() {
            self.limits.give_back(sitting.requester, rule.tag, 1, sitting.clock);
        }
        ruled
    }

    /// Takes a use and, where the rule has a budget, a question of it; then answers.
    pub(crate) fn settle(
        &self,
        sitting: &Sitting<'_>,
        ready: &Ready<'_>,
        answer: impl FnOnce() -> Given,
    ) -> Result<Given, Refused> {
        let take = || match ready.consent {
            None => Ok(()),
            Some(known) => {
                let consent = &known.consent;
                self.limits.take_use(&consent.id, consent.max_uses, consent.expires + 60, sitting.clock.now_s)
            }
        };
        let Some(budget) = ready.rule.budget else {
            take()?;
            return Ok(answer());
        };
        let purse = Purse { subject: *ready.tag, requester: sitting.requester, item: ready.served.item_tag };
        self.limits.ask(&purse, budget, ready.hash, sitting.clock, take, answer)
    }

    /// Takes a ruling of the past into account, when the log is read at the start; in the order of the log.
    ///
    /// For how long it counts follows from the rule of that name, if there still is one, or is a year.
    pub fn replay(&self, record: &Record<'_>) {
        let check = &record.check;
        if check.outcome == Outcome::Refused {
            return;
        }
        let snapshot = self.snapshot.load();
        let clock = snapshot.clock(Now { unix_ms: record.at_s.saturating_mul(1000) });
        let rule = snapshot.rules.iter().find(|rule| rule.tag == check.rule);
        let days = rule.map_or(LONGEST_DAYS, |rule| rule.budget.map_or(0, |budget| budget.days as i32));
        self.limits.replay(
            &Past {
                consent: &check.consent,
                // When it ends is not in the log: as late as it can.
                expires_s: record.at_s.saturating_add(i64::from(LONGEST_DAYS) * 86_400),
                purse: Purse { subject: check.subject, requester: long_tag(record.requester), item: check.item },
                question: &check.question,
                rule: check.rule,
                days,
                given: Given { outcome: check.outcome, reason: check.reason, recorded_on: check.recorded_on },
            },
            clock,
        );
    }

    /// How many consents, budgets and quotas are remembered.
    pub fn held(&self) -> [usize; 3] {
        self.limits.held()
    }
}

/// The answer from a subject's records.
pub(crate) fn answer(sitting: &Sitting<'_>, served: &Served, records: &Records<'_>, asked: &Asked<'_>) -> Given {
    let Answer { outcome, reason, recorded_on } = served.program.answer(records, asked, sitting.today, served.terms);
    let recorded_on = recorded_on.and_then(|day| u32::try_from(day).ok()).unwrap_or(0);
    Given { outcome, reason, recorded_on }
}

/// Whether a text can be a subject's code at all.
pub(crate) fn is_subject(text: &str) -> bool {
    (1..=MAX_SUBJECT).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A party's name in eight bytes, for what is remembered.
pub(crate) fn long_tag(name: &str) -> u64 {
    let hash = Sha256::digest(name.as_bytes());
    u64::from_le_bytes(std::array::from_fn(|place| hash[place]))
}
