//! Many checks of one message: kinds are prepared once, tokens read once, subjects looked up many at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;

use crate::desk::{Desk, Prepared, Ready, Refused, Sitting, answer};
use crate::index::{Found, Index};
use crate::kinds::Source;
use crate::limits::Given;
use crate::program_run::{Asked, Records};
use crate::question::{Batch, Caller, Check, Now};
use crate::ruling::{BatchRuling, CHECK_RECORD_BYTES, CheckRecord, Outcome, Reason};
use crate::token::Known;

/// Checks that a task takes at a time: enough that their look-ups wait for memory together.
const PER_TASK: usize = 512;

/// What the quotas of a rule let through of a message.
struct Permit {
    rule: u32,
    has_day: bool,
    wanted: u32,
    granted: u32,
    short: Reason,
    /// Of those that were let through, how many were refused after all.
    refused: AtomicU32,
}

/// A consent of a message, and whether it holds.
type Shown = (Option<Arc<Known>>, Result<(), Refused>);

/// An index, and where which keys' records go.
type Wanted<'a> = (&'a Index, Vec<(usize, &'a [u8])>);

/// All that the checks of a message share.
struct Message<'a> {
    sitting: &'a Sitting<'a>,
    kinds: &'a [Prepared<'a>],
    consents: &'a [Shown],
    permits: &'a [Permit],
    /// Of a kind, its permit; as many as there are kinds.
    permit_of: &'a [usize],
    /// Which checks came too late for a quota; None: none did.
    late: Option<&'a [bool]>,
}

/// Where the rulings on some checks go.
struct Out<'a> {
    outcomes: &'a mut [u8],
    recorded_on: &'a mut [u32],
    records: &'a mut [u8],
}

/// A check before its records are looked at.
struct Weighed<'a> {
    tag: [u8; 16],
    consent: Option<&'a Known>,
    verdict: Result<(), Refused>,
}

impl Desk {
    /// The rulings on all checks of a batch, on all cores. Whatever is recorded must be durable before anybody is told.
    pub fn rule_batch(&self, caller: &Caller, batch: &Batch<'_>, now: Now) -> BatchRuling {
        let snapshot = self.snapshot();
        let sitting = Sitting::new(&snapshot, caller, batch.purpose, now);
        let kinds: Vec<Prepared<'_>> =
            batch.kinds.iter().map(|kind| sitting.prepare(kind.predicate, kind.arguments)).collect();
        let consents: Vec<Shown> = batch.consents.par_iter().map(|token| sitting.consent(token)).collect();
        let (permits, permit_of) = self.permits(&sitting, &kinds, batch.checks);
        let late = late(&permits, &permit_of, batch.checks);
        let message = Message {
            sitting: &sitting,
            kinds: &kinds,
            consents: &consents,
            permits: &permits,
            permit_of: &permit_of,
            late: late.as_deref(),
        };
        let count = batch.checks.len();
        let (mut outcomes, mut recorded_on) = (vec![0; count], vec![0; count]);
        let mut records = vec![0; count * CHECK_RECORD_BYTES];
        let parts = batch
            .checks
            .par_chunks(PER_TASK)
            .zip(outcomes.par_chunks_mut(PER_TASK))
            .zip(recorded_on.par_chunks_mut(PER_TASK))
            .zip(records.par_chunks_mut(PER_TASK * CHECK_RECORD_BYTES));
        parts.enumerate().for_each(|(part, (((checks, outcomes), recorded_on), records))| {
            self.rule_part(&message, part * PER_TASK, checks, Out { outcomes, recorded_on, records });
        });
        for permit in permits.iter().filter(|permit| permit.has_day) {
            let refused = permit.refused.load(Ordering::Relaxed);
            self.limits.give_back(sitting.requester, permit.rule, refused, sitting.clock);
        }
        let (versions, purpose) = (snapshot.versions(sitting.today), sitting.recorded_purpose());
        BatchRuling { outcomes, recorded_on, records, versions, purpose }
    }

    /// What the quotas of the rules about these kinds let through, and which of them counts for a kind.
    fn permits(
        &self,
        sitting: &Sitting<'_>,
        kinds: &[Prepared<'_>],
        checks: &[Check<'_>],
    ) -> (Vec<Permit>, Vec<usize>) {
        let mut permits: Vec<Permit> = Vec::new();
        let mut limits = Vec::new();
        let mut permit_of = vec![usize::MAX; kinds.len()];
        for (kind, prepared) in kinds.iter().enumerate() {
            let Some(rule) = prepared.rule.filter(|_| prepared.verdict.is_ok()) else { continue };
            let known = permits.iter().position(|permit| permit.rule == rule.tag);
            permit_of[kind] = known.unwrap_or_else(|| {
                limits.push((rule.per_second, rule.per_day));
                permits.push(Permit {
                    rule: rule.tag,
                    has_day: rule.per_day.is_some(),
                    wanted: 0,
                    granted: 0,
                    short: Reason::PerSecond,
                    refused: AtomicU32::new(0),
                });
                permits.len() - 1
            });
        }
        for check in checks {
            if let Some(&permit) = permit_of.get(check.kind as usize).filter(|&&permit| permit != usize::MAX) {
                permits[permit].wanted += 1;
            }
        }
        for (permit, limits) in permits.iter_mut().zip(limits) {
            let wanted = permit.wanted;
            let taken = self.limits.take_quota(sitting.requester, permit.rule, limits, wanted, sitting.clock);
            (permit.granted, permit.short) = taken;
        }
        (permits, permit_of)
    }

    /// The tag of a check's subject: made once for a consent of the subject's own, however many messages show it.
    fn tag_of(&self, message: &Message<'_>, check: &Check<'_>) -> [u8; 16] {
        let shown = message.consents.get(check.consent as usize).and_then(|(known, _)| known.as_deref());
        match shown.filter(|known| *known.consent.subject == *check.subject) {
            Some(known) => *known.subject_tag.get_or_init(|| self.subject_tag(check.subject)),
            None => self.subject_tag(check.subject),
        }
    }

    fn rule_part(&self, message: &Message<'_>, first: usize, checks: &[Check<'_>], out: Out<'_>) {
        let mut weighed: Vec<Weighed<'_>> = Vec::with_capacity(checks.len());
        let mut before: Option<(&str, [u8; 16])> = None;
        for (place, check) in checks.iter().enumerate() {
            // Checks of one subject come together, as a rule.
            let tag = match before {
                Some((subject, tag)) if subject == check.subject => tag,
                _ => self.tag_of(message, check),
            };
            before = Some((check.subject, tag));
            let permit = message.permit(check);
            if message.late.is_some_and(|late| late[first + place]) {
                let reason = permit.map_or(Reason::PerSecond, |permit| permit.short);
                weighed.push(Weighed { tag, consent: None, verdict: Err(reason) });
                continue;
            }
            let (consent, verdict) = message.weigh(check);
            if let (Err(_), Some(permit)) = (verdict, permit) {
                permit.refused.fetch_add(1, Ordering::Relaxed);
            }
            weighed.push(Weighed { tag, consent, verdict });
        }
        let (found, width) = find(message, checks, &weighed);
        // What is asked of each kind, copied once for this task: the subject differs.
        let mut asked: Vec<Option<Box<Asked<'_>>>> = vec![None; message.kinds.len()];
        for (place, (check, weighed)) in checks.iter().zip(&weighed).enumerate() {
            let prepared = message.kinds.get(check.kind as usize);
            let given = weighed.verdict.and_then(|()| {
                let (Some(prepared), Some(served), Some(rule)) =
                    (prepared, prepared.and_then(|one| one.served), prepared.and_then(|one| one.rule))
                else {
                    return Err(Reason::Question);
                };
                let ready = Ready { served, rule, hash: &prepared.hash, consent: weighed.consent, tag: &weighed.tag };
                let given = self.settle(message.sitting, &ready, || {
                    let asked = asked[check.kind as usize].get_or_insert_with(|| Box::new(prepared.asked.clone()));
                    asked.subject = check.subject;
                    let mut records = Records::default();
                    served.place(&found[place * width..(place + 1) * width], &mut records);
                    answer(message.sitting, served, &records, asked)
                });
                if given.is_err()
                    && let Some(permit) = message.permit(check)
                {
                    permit.refused.fetch_add(1, Ordering::Relaxed);
                }
                given
            });
            let given = given.unwrap_or_else(|reason| Given { outcome: Outcome::Refused, reason, recorded_on: 0 });
            out.outcomes[place] = given.outcome as u8;
            out.recorded_on[place] = given.recorded_on;
            let record = CheckRecord {
                subject: weighed.tag,
                consent: weighed.consent.map(|known| known.consent.id).unwrap_or_default(),
                question: prepared.map(|prepared| prepared.hash).unwrap_or_default(),
                item: prepared.and_then(|one| one.served).map_or(0, |served| served.item_tag),
                predicate: prepared.and_then(|one| one.served).map_or(0, |served| served.predicate_tag),
                rule: prepared.and_then(|one| one.rule).map_or(0, |rule| rule.tag),
                recorded_on: given.recorded_on,
                outcome: given.outcome,
                reason: given.reason,
            };
            let bytes = place * CHECK_RECORD_BYTES..(place + 1) * CHECK_RECORD_BYTES;
            out.records[bytes].copy_from_slice(&record.encode());
        }
    }
}

impl Message<'_> {
    fn permit(&self, check: &Check<'_>) -> Option<&Permit> {
        self.permits.get(*self.permit_of.get(check.kind as usize)?)
    }

    /// The consent that counts, if it came to that, and whether the check may be answered, apart from what is used up.
    fn weigh(&self, check: &Check<'_>) -> (Option<&Known>, Result<(), Refused>) {
        let mut consent = None;
        let verdict = self.weigh_with(check, &mut consent);
        (consent, verdict)
    }

    fn weigh_with<'m>(&'m self, check: &Check<'_>, consent: &mut Option<&'m Known>) -> Result<(), Refused> {
        let prepared = self.kinds.get(check.kind as usize).ok_or(Reason::Question)?;
        prepared.verdict?;
        let (Some(served), Some(rule)) = (prepared.served, prepared.rule) else { return Err(Reason::NoRule) };
        // A check has no name, so that registers by name are not asked in batches.
        self.sitting.subject(served, rule, check.subject, "")?;
        if rule.no_consent {
            return Ok(());
        }
        let (known, verdict) = self.consents.get(check.consent as usize).ok_or(Reason::ConsentMissing)?;
        *consent = known.as_deref();
        (*verdict)?;
        let known = consent.ok_or(Reason::ConsentMissing)?;
        known.consent.covers(check.subject, &served.matter())
    }
}

/// The records of all checks that may be answered: `width` a check, in the order of its sources.
///
/// Checks of one subject and one item come together, as a rule, and are looked up once.
fn find(message: &Message<'_>, checks: &[Check<'_>], weighed: &[Weighed<'_>]) -> (Vec<Option<Found>>, usize) {
    let width =
        message.kinds.iter().filter_map(|kind| kind.served).map(|served| served.sources.len()).max().unwrap_or(0);
    let mut found = vec![None; checks.len() * width];
    let mut places: Vec<Wanted<'_>> = Vec::new();
    let mut repeats: Vec<(usize, usize)> = Vec::new();
    let mut before: Option<(usize, &str, &[Source])> = None;
    for (place, (check, weighed)) in checks.iter().zip(weighed).enumerate() {
        let served = message.kinds.get(check.kind as usize).and_then(|kind| kind.served);
        let Some(served) = served.filter(|_| weighed.verdict.is_ok()) else { continue };
        match before {
            Some((first, subject, sources)) if subject == check.subject && are_same(sources, &served.sources) => {
                repeats.push((first, place));
                continue;
            }
            _ => before = Some((place, check.subject, &served.sources)),
        }
        for (number, source) in served.sources.iter().enumerate() {
            let index = &*source.index;
            let known = places.iter().position(|(known, _)| std::ptr::eq(*known, index));
            let known = known.unwrap_or_else(|| {
                places.push((index, Vec::with_capacity(checks.len())));
                places.len() - 1
            });
            places[known].1.push((place * width + number, check.subject.as_bytes()));
        }
    }
    let mut several = Vec::new();
    for (index, wanted) in places {
        index.find_many(wanted.iter().map(|&(_, key)| key), &mut several);
        for (&(place, _), one) in wanted.iter().zip(&several) {
            found[place] = *one;
        }
    }
    for (first, place) in repeats {
        found.copy_within(first * width..(first + 1) * width, place * width);
    }
    (found, width)
}

/// Whether two kinds look into the same indexes, in the same order. In batches none is looked into by name.
fn are_same(sources: &[Source], others: &[Source]) -> bool {
    let same = |(one, other): (&Source, &Source)| Arc::ptr_eq(&one.index, &other.index);
    sources.len() == others.len() && sources.iter().zip(others).all(same)
}

/// Which checks come after those that the quotas let through, in the order of the message.
fn late(permits: &[Permit], permit_of: &[usize], checks: &[Check<'_>]) -> Option<Vec<bool>> {
    if permits.iter().all(|permit| permit.granted == permit.wanted) {
        return None;
    }
    let mut left: Vec<u32> = permits.iter().map(|permit| permit.granted).collect();
    let is_late = |check: &Check<'_>| {
        let left = permit_of.get(check.kind as usize).and_then(|&permit| left.get_mut(permit));
        left.is_some_and(|left| {
            let is_none = *left == 0;
            *left = left.saturating_sub(1);
            is_none
        })
    };
    Some(checks.iter().map(is_late).collect())
}
