//! What a consent says, and whether it allows one question now: `fedcredit/governance/consent` in Rust.
//!
//! The order of the checks is that of the module in Python, so that every node that refuses writes down the same
//! reason; `tests/vectors/consent` holds the two together.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::canonical::{self, Json};
use crate::ruling::Reason;
use crate::subjects::{is_enterprise_code, is_person_number, is_sole_proprietor};

/// The types of details: a consent is to questions, or to scores.
const QUESTIONS: &str = "fedcredit-verification";
const SCORES: &str = "fedcredit-score";
pub const MAX_LIFETIME_S: i64 = 366 * 86_400;
/// How far clocks may be apart.
pub const LEEWAY_S: i64 = 60;
const MAX_PROVIDERS: usize = 16;
const MAX_NAMES: usize = 64;
const MAX_USES: i64 = 1_000_000;
const MAX_TIME: i64 = 253_402_300_799;

/// Whose word it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Enterprise,
    Person,
}

/// All that a token says, as far as a decision needs it. It holds together; whether it holds now is another question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    pub scope: Arc<Scope>,
    pub subject: Box<str>,
    /// SHA-256 of the `jti`, its first 16 bytes.
    pub id: [u8; 16],
    pub issued_at: i64,
    pub not_before: i64,
    pub expires: i64,
    pub by: By,
    pub max_uses: u32,
}

/// What consents of many subjects have in common. Held once for them: thousands are compared with what is asked, and
/// each would be a way to memory.
///
/// Either of `items` and `predicates` has a name, or `models` has: those of which scores may be computed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    pub issuer: Box<str>,
    pub providers: Box<[Box<str>]>,
    /// SHA-256 of the DER of the requester's authority certificate.
    pub authority: [u8; 32],
    pub requester: Box<str>,
    pub purpose: Box<str>,
    pub region: Box<str>,
    pub items: Box<[Box<str>]>,
    pub predicates: Box<[Box<str>]>,
    pub models: Box<[Box<str>]>,
}

/// A consent with what is shown of it, and no decision needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub consent: Consent,
    pub jti: Box<str>,
    /// SHA-256 of the text that was shown.
    pub disclosure: [u8; 32],
}

/// The name of a party, or of a published model.
pub fn is_party(text: &str) -> bool {
    is_name_of(text, 32, b"_-")
}

/// The name of an item, a predicate, a purpose, a region.
pub fn is_name(text: &str) -> bool {
    is_name_of(text, 64, b"_")
}

fn is_name_of(text: &str, most: usize, also: &[u8]) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || also.contains(&byte);
    text.len() <= most && text.starts_with(|letter: char| letter.is_ascii_lowercase()) && text.bytes().all(fits)
}

fn names(value: &Json<'_>, is: fn(&str) -> bool, least: usize, most: usize) -> Option<Box<[Box<str>]>> {
    let list = value.list()?;
    let found: Vec<&str> = list.iter().map(Json::text).collect::<Option<_>>()?;
    let fits = (least..=most).contains(&found.len())
        && found.iter().all(|name| is(name))
        && found.is_sorted_by(|first, second| first < second);
    fits.then(|| found.into_iter().map(Into::into).collect())
}

fn bytes_of<const N: usize>(value: &Json<'_>) -> Option<[u8; N]> {
    decode::<N>(value.text()?)
}

/// Exactly `N` bytes behind a base64url text of one form.
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

impl Told {
    /// What a payload says. Reasons: `TokenMalformed`, `ConsentClaim`, `ConsentLifetime`.
    pub fn of_payload(payload: &[u8]) -> Result<Self, Reason> {
        let value = canonical::read(payload).ok_or(Reason::TokenMalformed)?;
        let told = claims(&value).ok_or(Reason::ConsentClaim)?;
        let lifetime = told.consent.expires - told.consent.not_before;
        if (1..=MAX_LIFETIME_S).contains(&lifetime) { Ok(told) } else { Err(Reason::ConsentLifetime) }
    }
}

impl Consent {
    /// Whether it holds at that time. `is_revoked` is asked only if the list is not too old.
    pub fn holds(&self, now_s: i64, list_age: ListAge, is_revoked: impl FnOnce() -> bool) -> Result<(), Reason> {
        if now_s - list_age.at_s > list_age.most_s {
            return Err(Reason::ConsentStale);
        }
        if is_revoked() {
            return Err(Reason::ConsentRevoked);
        }
        if self.not_before.max(self.issued_at) > now_s + LEEWAY_S {
            return Err(Reason::ConsentNotYet);
        }
        if self.expires <= now_s - LEEWAY_S {
            return Err(Reason::ConsentExpired);
        }
        Ok(())
    }

    /// Whether it is for this caller, here, about this subject, for this purpose.
    pub fn fits(&self, place: &Place<'_>) -> Result<(), Reason> {
        let scope = &*self.scope;
        if scope.providers.binary_search_by(|known| (**known).cmp(place.provider)).is_err() {
            return Err(Reason::ConsentAudience);
        }
        if scope.authority != *place.authority {
            return Err(Reason::ConsentBinding);
        }
        for (asked, given, reason) in [
            (place.requester, &scope.requester, Reason::ConsentRequester),
            (place.region, &scope.region, Reason::ConsentRegion),
            (place.purpose, &scope.purpose, Reason::ConsentPurpose),
        ] {
            if *asked != **given {
                return Err(reason);
            }
        }
        Ok(())
    }

    /// Whether it allows this question about this subject, apart from how often. One to scores allows no question.
    pub fn covers(&self, subject: &str, matter: &Matter<'_>) -> Result<(), Reason> {
        if *subject != *self.subject {
            return Err(Reason::ConsentSubject);
        }
        match (matter.is_personal || is_sole_proprietor(subject), self.by) {
            (true, By::Enterprise) => return Err(Reason::ConsentPerson),
            (false, By::Person) => return Err(Reason::ConsentEnterprise),
            _ => {}
        }
        let has = |names: &[Box<str>], name: &str| names.binary_search_by(|known| (**known).cmp(name)).is_ok();
        let by_items = || !matter.items.is_empty() && matter.items.iter().all(|item| has(&self.scope.items, item));
        if has(&self.scope.predicates, matter.predicate) || by_items() { Ok(()) } else { Err(Reason::ConsentScope) }
    }
}

/// As of when the list of revocations is, and how old it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListAge {
    pub at_s: i64,
    pub most_s: i64,
}

/// Where and by whom a consent is used.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub provider: &'a str,
    pub region: &'a str,
    pub requester: &'a str,
    pub authority: &'a [u8; 32],
    pub purpose: &'a str,
}

/// What is asked. `items`: all that the answer rests on; `is_personal`: they are a natural person's.
#[derive(Debug, Clone, Copy)]
pub struct Matter<'a> {
    pub predicate: &'a str,
    pub items: &'a [Box<str>],
    pub is_personal: bool,
}

/// What is consented to: both types of details have who asks, for what, where and how often.
struct Details<'a> {
    requester: &'a Json<'a>,
    purpose: &'a Json<'a>,
    region: &'a Json<'a>,
    max_uses: &'a Json<'a>,
    items: Box<[Box<str>]>,
    predicates: Box<[Box<str>]>,
    models: Box<[Box<str>]>,
}

fn details<'a>(value: &'a Json<'a>) -> Option<Details<'a>> {
    if let Some([max_uses, models, purpose, region, requester, kind]) =
        value.members(["max_uses", "models", "purpose", "region", "requester", "type"])
    {
        let models = names(models, is_party, 1, MAX_NAMES)?;
        let found = Details { requester, purpose, region, max_uses, items: [].into(), predicates: [].into(), models };
        return (kind.text()? == SCORES).then_some(found);
    }
    let [items, max_uses, predicates, purpose, region, requester, kind] =
        value.members(["items", "max_uses", "predicates", "purpose", "region", "requester", "type"])?;
    let (items, predicates) = (names(items, is_name, 0, MAX_NAMES)?, names(predicates, is_name, 0, MAX_NAMES)?);
    let holds = kind.text()? == QUESTIONS && !(items.is_empty() && predicates.is_empty());
    holds.then_some(Details { requester, purpose, region, max_uses, items, predicates, models: [].into() })
}

fn claims(value: &Json<'_>) -> Option<Told> {
    let [aud, agreed, cnf, by, disclosure, exp, iat, iss, jti, nbf, sub] = value.members([
        "aud",
        "authorization_details",
        "cnf",
        "consent_by",
        "disclosure",
        "exp",
        "iat",
        "iss",
        "jti",
        "nbf",
        "sub",
    ])?;
    let [confirmation] = cnf.members(["x5t#S256"])?;
    let [agreed] = agreed.list()? else { return None };
    let Details { requester, purpose, region, max_uses, items, predicates, models } = details(agreed)?;
    let by = match by.text()? {
        "enterprise" => By::Enterprise,
        "person" => By::Person,
        _ => return None,
    };
    let text = |value: &Json<'_>, is: fn(&str) -> bool| value.text().filter(|text| is(text)).map(Box::from);
    let time = |value: &Json<'_>| value.number().filter(|time| (0..=MAX_TIME).contains(time));
    let subject = sub.text()?;
    if !(is_enterprise_code(subject) || (by == By::Person && is_person_number(subject))) {
        return None;
    }
    bytes_of::<16>(jti)?;
    let scope = Scope {
        issuer: text(iss, is_party)?,
        providers: names(aud, is_party, 1, MAX_PROVIDERS)?,
        authority: bytes_of(confirmation)?,
        requester: text(requester, is_party)?,
        purpose: text(purpose, is_name)?,
        region: text(region, is_name)?,
        items,
        predicates,
        models,
    };
    let consent = Consent {
        scope: Arc::new(scope),
        subject: subject.into(),
        id: id_of(jti.text()?),
        issued_at: time(iat)?,
        not_before: time(nbf)?,
        expires: time(exp)?,
        by,
        max_uses: max_uses.number().filter(|uses| (1..=MAX_USES).contains(uses))? as u32,
    };
    Some(Told { consent, jti: jti.text()?.into(), disclosure: bytes_of(disclosure)? })
}

/// A consent's name in lists of revocations and in logs.
pub fn id_of(jti: &str) -> [u8; 16] {
    let hash = Sha256::digest(jti.as_bytes());
    std::array::from_fn(|place| hash[place])
}
