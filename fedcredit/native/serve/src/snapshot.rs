//! What the control plane hands over: predicates, rules, issuers, revocations and the indexes that are served.
//!
//! All that is wrong is said at once. Indexes that were open in the snapshot before are not read again.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::consent::{ListAge, decode, is_name, is_party};
use crate::days::Day;
use crate::hexadecimal::unhex;
use crate::index::{Form, Index};
use crate::index_layout::ColumnKind;
use crate::kinds::{Served, served};
use crate::limits::Clock;
use crate::program_text::shape;
use crate::question::Now;
use crate::rules::{Action, Budget, Names, Rule};
use crate::ruling::{Versions, tag};
use crate::snapshot_text::{ActionText, IssuerText, RuleText, SCHEMA, SnapshotText};
use crate::strict::Members;
use crate::token::{Issuer, Speaker, Tokens, key_of, kid_of};
use crate::trouble::Trouble;

const MAX_RULES: usize = 1000;
const MAX_DAYS: u32 = 366;
const WEEK_MINUTES: u32 = 7 * 24 * 60;

/// Counts snapshots, so that what was looked up among the revoked of one is looked up again in the next.
static EPOCH: AtomicU64 = AtomicU64::new(1);

/// Which file an index was opened from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct FileIdentity {
    path: PathBuf,
    place: (u64, u64, u64, i64, i64),
}

impl FileIdentity {
    fn of(path: &Path) -> Option<Self> {
        let known = fs::metadata(path).ok()?;
        let place = (known.dev(), known.ino(), known.size(), known.mtime(), known.mtime_nsec());
        Some(Self { path: path.into(), place })
    }
}

/// The index, and its field, that say which name a subject has.
#[derive(Debug)]
pub struct Register {
    pub index: Arc<Index>,
    column: usize,
}

impl Register {
    /// Whether it says that the subject has a name of this normal form.
    pub fn confirms(&self, subject: &str, name: &str) -> bool {
        let Some(found) = self.index.find(subject.as_bytes()) else { return false };
        (found.first..found.end).any(|row| self.index.text(self.column, row, Form::Normal) == Some(name.as_bytes()))
    }
}

/// All that questions are ruled by. Immutable, but for the tokens that have been read.
#[derive(Debug)]
pub struct Snapshot {
    pub provider: Arc<str>,
    pub region: Box<str>,
    pub catalog_version: u32,
    pub predicates_version: u32,
    zone_minutes: i32,
    files: HashMap<FileIdentity, Arc<Index>>,
    /// Questions by predicate.
    pub served: HashMap<Box<str>, Served>,
    pub rules: Box<[Rule]>,
    pub tokens: Arc<Tokens>,
    pub revoked: HashSet<[u8; 16]>,
    pub list_age: ListAge,
    pub names: Option<Register>,
    pub institutions: HashMap<Box<str>, Box<str>>,
    pub epoch: u64,
}

impl Snapshot {
    /// The snapshot that a text says, with its index files opened and checked.
    ///
    /// Troubles: `SNAPSHOT_FORM`, `SNAPSHOT_VALUE`, `SNAPSHOT_INDEX`, `SNAPSHOT_KEY`; of an index and of a program.
    pub fn parse(text: &str) -> Result<Self, Vec<Trouble>> {
        Self::parse_after(text, None)
    }

    /// As `parse`; files that `before` has open are not opened again, and tokens that it has read stay read if the same
    /// issuers are believed.
    pub(crate) fn parse_after(text: &str, before: Option<&Self>) -> Result<Self, Vec<Trouble>> {
        let text: SnapshotText = serde_json::from_str(text)
            .map_err(|error| vec![Trouble::new("SNAPSHOT_FORM", "snapshot", shape(&error))])?;
        let mut reading = Reading::default();
        let snapshot = reading.snapshot(&text, before);
        match (snapshot, reading.troubles) {
            (Some(snapshot), troubles) if troubles.is_empty() => Ok(snapshot),
            (_, troubles) => Err(troubles),
        }
    }

    /// The day and the minute of the week in the provider's zone.
    pub fn local(&self, now: Now) -> (i32, u32) {
        let minutes = now.seconds().div_euclid(60).saturating_add(i64::from(self.zone_minutes));
        let day = minutes.div_euclid(24 * 60).clamp(i64::from(i32::MIN / 2), i64::from(i32::MAX / 2));
        // The first of January 1970 was a Thursday; weeks begin on Monday.
        let of_week = (minutes + 3 * 24 * 60).rem_euclid(i64::from(WEEK_MINUTES));
        (day as i32, of_week as u32)
    }

    pub fn clock(&self, now: Now) -> Clock {
        Clock { now_ms: now.unix_ms, now_s: now.seconds(), today: self.local(now).0 }
    }

    pub fn versions(&self, today: Day) -> Versions {
        Versions {
            evaluated_on: u32::try_from(today.number).unwrap_or(0),
            catalog: self.catalog_version,
            predicates: self.predicates_version,
        }
    }
}

#[derive(Default)]
struct Reading {
    troubles: Vec<Trouble>,
}

impl Reading {
    fn bad(&mut self, code: &'static str, place: impl Into<String>, what: &str) {
        self.troubles.push(Trouble::new(code, place, what));
    }

    fn keep<T>(&mut self, place: &str, found: Result<T, Trouble>) -> Option<T> {
        found.map_err(|trouble| self.troubles.push(trouble.within(place))).ok()
    }

    fn snapshot(&mut self, text: &SnapshotText, before: Option<&Snapshot>) -> Option<Snapshot> {
        if text.schema != SCHEMA {
            self.bad("SNAPSHOT_FORM", "schema", "is another schema");
        }
        if !is_party(&text.provider) || !is_name(&text.region) || text.zone_minutes.abs() > 24 * 60 {
            self.bad("SNAPSHOT_VALUE", "provider, region or zone_minutes", "is none");
        }
        if text.revocations_max_age_s < 0 || text.revocations_at < 0 {
            self.bad("SNAPSHOT_VALUE", "revocations", "have a time that is negative");
        }
        let (files, indexes) = self.indexes(&text.indexes, before);
        let mut questions = HashMap::new();
        for (number, question) in text.questions.iter().enumerate() {
            let place = format!("questions.{number} ({})", question.predicate.chars().take(64).collect::<String>());
            let Some(question) = self.keep(&place, served(question, &indexes)) else { continue };
            if questions.insert(Box::from(&*question.predicate), question).is_some() {
                self.bad("SNAPSHOT_VALUE", place, "is there twice");
            }
        }
        let rules = self.rules(&text.rules);
        let issuers = self.issuers(&text.issuers);
        let fresh = self.keep("issuers", Tokens::new(issuers))?;
        let tokens = before.map(|before| &before.tokens).filter(|tokens| tokens.believes_the_same(&fresh));
        let names = text.names.as_ref().and_then(|names| {
            let found = indexes.get(names.index.as_str()).map(|index| (index, index.column(&names.field)));
            match found {
                Some((index, Some(column)))
                    if index.kind(column) == Some((ColumnKind::Text, true)) && !index.has_normal_keys() =>
                {
                    Some(Register { index: index.clone(), column })
                }
                _ => {
                    self.bad("SNAPSHOT_INDEX", "names", "is no index by code with such a text in normal form");
                    None
                }
            }
        });
        let revoked: Option<HashSet<[u8; 16]>> = text.revoked.iter().map(|text| unhex(text)).collect();
        if revoked.is_none() {
            self.bad("SNAPSHOT_VALUE", "revoked", "has something that is not 16 bytes in hexadecimal");
        }
        self.tags(&questions, &rules);
        Some(Snapshot {
            provider: text.provider.as_str().into(),
            region: text.region.as_str().into(),
            catalog_version: text.catalog_version,
            predicates_version: text.predicates_version,
            zone_minutes: text.zone_minutes,
            files,
            served: questions,
            rules,
            tokens: tokens.cloned().unwrap_or_else(|| Arc::new(fresh)),
            revoked: revoked.unwrap_or_default(),
            list_age: ListAge { at_s: text.revocations_at, most_s: text.revocations_max_age_s },
            names,
            institutions: text.institutions.iter().map(|(party, code)| (party.into(), code.as_str().into())).collect(),
            epoch: EPOCH.fetch_add(1, Ordering::Relaxed),
        })
    }

    fn indexes(
        &mut self,
        text: &Members<String>,
        before: Option<&Snapshot>,
    ) -> (HashMap<FileIdentity, Arc<Index>>, HashMap<String, Arc<Index>>) {
        let mut files = HashMap::new();
        let mut named = HashMap::new();
        for (name, path) in text.iter() {
            let place = format!("indexes.{name}");
            let path = Path::new(path);
            let identity = FileIdentity::of(path).filter(|_| path.is_absolute());
            let Some(identity) = identity else {
                self.bad("SNAPSHOT_INDEX", place, "is no absolute path of a file");
                continue;
            };
            let open = files.get(&identity).or_else(|| before.and_then(|before| before.files.get(&identity)));
            let index: Option<Arc<Index>> = match open {
                Some(index) => Some(Arc::clone(index)),
                None => self.keep(&place, Index::open(path).map(Arc::new)),
            };
            let Some(index) = index else { continue };
            let (item, field) = name.split_once('/').unwrap_or((name, ""));
            if index.item() != item || !(field.is_empty() || field == index.key_field()) {
                self.bad("SNAPSHOT_INDEX", place, "is the index of another item, or by another field");
                continue;
            }
            files.insert(identity, index.clone());
            named.insert(name.to_owned(), index);
        }
        (files, named)
    }

    fn rules(&mut self, text: &[RuleText]) -> Box<[Rule]> {
        if text.len() > MAX_RULES {
            self.bad("SNAPSHOT_VALUE", "rules", "are too many");
        }
        text.iter().enumerate().map(|(number, rule)| self.rule(&format!("rules.{number}"), rule)).collect()
    }

    fn rule(&mut self, place: &str, text: &RuleText) -> Rule {
        let names = |names: &Option<Vec<String>>| -> Names {
            let mut names: Vec<Box<str>> = names.as_ref()?.iter().map(|name| name.as_str().into()).collect();
            names.sort();
            Some(names.into())
        };
        let (requesters, purposes) = (names(&text.requesters), names(&text.purposes));
        let (predicates, items) = (names(&text.predicates), names(&text.items));
        if text.name.is_empty() || text.name.len() > 200 {
            self.bad("SNAPSHOT_VALUE", place, "has no name, or too long a one");
        }
        let spans = text.minutes.as_deref().unwrap_or_default();
        if spans.iter().any(|&(start, end)| start >= end || end > WEEK_MINUTES) {
            self.bad("SNAPSHOT_VALUE", place, "has minutes that are not of a week");
        }
        if text.budget.is_some_and(|budget| budget.days == 0 || budget.days > MAX_DAYS || budget.questions > 10_000) {
            self.bad("SNAPSHOT_VALUE", place, "has a budget of no day, of more than 366, or of too many questions");
        }
        Rule {
            name: text.name.as_str().into(),
            tag: tag(&text.name),
            action: match text.action {
                ActionText::Admit => Action::Admit,
                ActionText::Refuse => Action::Refuse,
            },
            requesters,
            purposes,
            predicates,
            items,
            minutes: text.minutes.as_deref().map(Into::into),
            level_max: text.level_max,
            per_second: text.per_second,
            per_day: text.per_day,
            budget: text.budget.map(|budget| Budget { questions: budget.questions, days: budget.days }),
            no_consent: text.no_consent,
        }
    }

    fn issuers(&mut self, text: &[IssuerText]) -> Vec<Issuer> {
        let mut found = Vec::with_capacity(text.len());
        for (number, issuer) in text.iter().enumerate() {
            let (kid, key, speaker) = match issuer {
                IssuerText::Authority { kid, public_key, name } => {
                    (kid, public_key, Speaker::Authority(name.as_str().into()))
                }
                IssuerText::Enterprise { kid, public_key, subject } => {
                    (kid, public_key, Speaker::Enterprise(subject.as_str().into()))
                }
            };
            let key: Option<[u8; 32]> = decode(key);
            let point = key.as_ref().and_then(key_of);
            match (key, point) {
                (Some(key), Some(point)) if unhex(kid) == Some(kid_of(&key)) => {
                    found.push(Issuer { key: point, speaker })
                }
                _ => self.bad("SNAPSHOT_KEY", format!("issuers.{number}"), "is no Ed25519 key of that kid"),
            }
        }
        found
    }

    /// Whether no two items, predicates or rules share the four bytes that stand for them in the log.
    fn tags(&mut self, questions: &HashMap<Box<str>, Served>, rules: &[Rule]) {
        let items: HashSet<&str> = questions.values().map(|question| &*question.item).collect();
        let predicates: HashSet<&str> = questions.keys().map(|predicate| &**predicate).collect();
        let named: HashSet<&str> = rules.iter().map(|rule| &*rule.name).collect();
        if named.len() != rules.len() {
            self.bad("SNAPSHOT_VALUE", "rules", "have a name twice");
        }
        for (place, names) in [("items", items), ("predicates", predicates), ("rules", named)] {
            let tags: HashSet<u32> = names.iter().map(|name| tag(name)).collect();
            if tags.len() != names.len() || tags.contains(&0) {
                self.bad("SNAPSHOT_VALUE", place, "have two names with one tag; call one of them otherwise");
            }
        }
    }
}

/// What a question is known by: SHA-256 of the predicate and its arguments, which come in the order of their names.
pub fn question_hash<'a>(predicate: &str, arguments: impl Iterator<Item = (&'a str, Vec<u8>)>) -> [u8; 16] {
    let mut hasher = Sha256::new();
    let mut put = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    put(predicate.as_bytes());
    for (name, value) in arguments {
        put(name.as_bytes());
        put(&value);
    }
    let hash = hasher.finalize();
    std::array::from_fn(|place| hash[place])
}
