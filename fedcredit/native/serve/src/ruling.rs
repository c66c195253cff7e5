//! What came of a question and why, and what of it is recorded.

use std::sync::Arc;

use sha2::{Digest, Sha256};

/// What the caller is told. The numbers are those of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    Yes = 1,
    No = 2,
    Unknown = 3,
    Refused = 4,
}

impl Outcome {
    pub const ALL: [Self; 4] = [Self::Yes, Self::No, Self::Unknown, Self::Refused];

    /// Its name in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&one| one as u8 == code)
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// Why a ruling is what it is. For the provider's own log: outside, unknown is unknown and refused is refused.
        ///
        /// Numbers and names are in logs, so that none is ever used for another reason.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reason {
            $($(#[$doc])* $name = $code,)*
        }

        impl Reason {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in the log.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// The records say yes or no.
    Decided = 0, "decided";
    /// The subject has no record, and the register is not complete.
    NoRecord = 2, "no_record";
    /// The latest record is too old.
    Stale = 3, "stale";
    /// A record says nothing where it would have to, or records contradict each other.
    ValueMissing = 4, "value_missing";
    /// The same was asked on the same day, and the answer is the one that was given then.
    Repeated = 5, "repeated";

    /// The subject, the name or the purpose is empty or too long, or an index of a batch points nowhere.
    Question = 16, "question";
    /// No such predicate here.
    Predicate = 17, "predicate";
    /// A parameter is missing, unknown, given twice, or of another type.
    Parameter = 18, "parameter";
    /// A parameter is not on its ladder.
    Ladder = 19, "ladder";
    /// The predicate asks for the enquirer's own code, and none is known here.
    Institution = 20, "institution";
    /// The register is kept by name, and nothing here says that the name is the subject's.
    SubjectName = 21, "subject_name";

    /// No rule is about this question.
    NoRule = 24, "no_rule";
    /// The first rule about this question refuses it.
    Rule = 25, "rule";
    /// It rests on data of a level that the rule does not let out.
    Level = 30, "level";
    /// The rule answers without consent, which this item does not allow.
    NoConsent = 31, "no_consent";
    /// Too many questions in this second.
    PerSecond = 26, "per_second";
    /// Too many questions on this day.
    PerDay = 27, "per_day";
    /// Too many different questions about this subject and item.
    Budget = 28, "budget";
    /// What is remembered of uses and budgets has reached its bound.
    Full = 29, "full";

    /// It takes a consent, and none was given. From here on as in `fedcredit/governance/consent/refusal.py`.
    ConsentMissing = 32, "consent_missing";
    TokenMalformed = 33, "token_malformed";
    /// Of no issuer that is believed here for this subject.
    ConsentIssuer = 34, "consent_issuer";
    ConsentSignature = 35, "consent_signature";
    ConsentClaim = 36, "consent_claim";
    ConsentLifetime = 37, "consent_lifetime";
    /// The list of revocations is too old.
    ConsentStale = 38, "consent_stale";
    ConsentRevoked = 39, "consent_revoked";
    ConsentNotYet = 40, "consent_not_yet";
    ConsentExpired = 41, "consent_expired";
    /// For other providers.
    ConsentAudience = 42, "consent_audience";
    /// Bound to another authority's certificate than the caller's.
    ConsentBinding = 43, "consent_binding";
    ConsentRequester = 44, "consent_requester";
    ConsentRegion = 45, "consent_region";
    ConsentPurpose = 46, "consent_purpose";
    ConsentSubject = 47, "consent_subject";
    /// It takes the natural person's own.
    ConsentPerson = 48, "consent_person";
    /// It takes the enterprise's, not a person's.
    ConsentEnterprise = 49, "consent_enterprise";
    ConsentScope = 50, "consent_scope";
    ConsentUsedUp = 51, "consent_used_up";
}

impl Reason {
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.as_str() == name)
    }

    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|&one| one as u8 == code)
    }
}

/// A name in four bytes: the first of its SHA-256, little-endian. A snapshot in which two names share one is refused.
pub fn tag(name: &str) -> u32 {
    let hash = Sha256::digest(name.as_bytes());
    u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]])
}

/// What the snapshot was that ruled. Units: `evaluated_on` is days since 1970 in the provider's zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Versions {
    pub evaluated_on: u32,
    pub catalog: u32,
    pub predicates: u32,
}

/// What of a question goes into the log. Nothing in it was chosen by the caller: a name that the snapshot does not
/// have is empty here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulingFacts {
    /// HMAC-SHA-256 of the subject's code under the node's log key, its first 16 bytes.
    pub subject: [u8; 16],
    /// SHA-256 of the consent's `jti`, its first 16 bytes; None if no consent was read.
    pub consent: Option<[u8; 16]>,
    /// SHA-256 of the predicate and its arguments, its first 16 bytes; zeros if there is no such predicate.
    pub question: [u8; 16],
    pub item: Arc<str>,
    pub predicate: Arc<str>,
    pub purpose: Arc<str>,
    /// The rule that decided; empty if it did not come to that.
    pub rule: Arc<str>,
}

/// What came of one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    pub outcome: Outcome,
    pub reason: Reason,
    /// The day of the latest record behind the answer, in days since 1970; 0: none.
    pub recorded_on: u32,
    pub versions: Versions,
    pub facts: RulingFacts,
}

/// What came of a batch: as many of each as it has checks, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRuling {
    /// `Outcome as u8`.
    pub outcomes: Vec<u8>,
    pub recorded_on: Vec<u32>,
    /// `CHECK_RECORD_BYTES` a check, for the log: see [`CheckRecord`].
    pub records: Vec<u8>,
    pub versions: Versions,
    pub purpose: Arc<str>,
}

/// Bytes of a check in the log.
pub const CHECK_RECORD_BYTES: usize = 72;

/// One ruling as it is remembered: enough to rebuild uses, budgets and quotas from the log. Names are tags, see [`tag`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckRecord {
    pub subject: [u8; 16],
    /// Zeros: no consent was read.
    pub consent: [u8; 16],
    pub question: [u8; 16],
    pub item: u32,
    pub predicate: u32,
    /// 0: it did not come to a rule.
    pub rule: u32,
    pub recorded_on: u32,
    pub outcome: Outcome,
    pub reason: Reason,
}

impl CheckRecord {
    /// Its bytes: the fields in order, numbers little-endian, and six zeros.
    pub fn encode(&self) -> [u8; CHECK_RECORD_BYTES] {
        let mut out = [0; CHECK_RECORD_BYTES];
        out[..16].copy_from_slice(&self.subject);
        out[16..32].copy_from_slice(&self.consent);
        out[32..48].copy_from_slice(&self.question);
        for (place, number) in [self.item, self.predicate, self.rule, self.recorded_on].into_iter().enumerate() {
            out[48 + 4 * place..52 + 4 * place].copy_from_slice(&number.to_le_bytes());
        }
        out[64] = self.outcome as u8;
        out[65] = self.reason as u8;
        out
    }

    /// None if the bytes are no record's.
    pub fn decode(bytes: &[u8; CHECK_RECORD_BYTES]) -> Option<Self> {
        let sixteen = |at: usize| std::array::from_fn(|place| bytes[at + place]);
        let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|place| bytes[at + place]));
        if bytes[66..] != [0; 6] {
            return None;
        }
        Some(Self {
            subject: sixteen(0),
            consent: sixteen(16),
            question: sixteen(32),
            item: number(48),
            predicate: number(52),
            rule: number(56),
            recorded_on: number(60),
            outcome: Outcome::from_code(bytes[64])?,
            reason: Reason::from_code(bytes[65])?,
        })
    }
}

impl Ruling {
    /// What is remembered of it. An entry of the log holds the same in words: beside the facts the requester, the
    /// outcome, the reason, and `recorded` (the day, a whole number).
    pub fn record(&self) -> CheckRecord {
        let facts = &self.facts;
        let named = |name: &str| if name.is_empty() { 0 } else { tag(name) };
        CheckRecord {
            subject: facts.subject,
            consent: facts.consent.unwrap_or_default(),
            question: facts.question,
            item: named(&facts.item),
            predicate: named(&facts.predicate),
            rule: named(&facts.rule),
            recorded_on: self.recorded_on,
            outcome: self.outcome,
            reason: self.reason,
        }
    }
}

/// A ruling of the past, from the log, to rebuild uses, budgets and quotas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// When it was recorded. Units: seconds since 1970.
    pub at_s: i64,
    pub requester: &'a str,
    pub check: CheckRecord,
}
