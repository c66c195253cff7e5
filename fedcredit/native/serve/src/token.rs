//! Consent tokens: JWS in compact form, of one algorithm, in one form; read once, then known by a hash of their bytes.
//!
//! A header is not interpreted: all of it but the name of the key is known beforehand. Then come the issuer's key, the
//! signature (`verify_strict`), and only then the claims. Source: RFC 7515, 7519, 8037, 8725.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, VerifyingKey};
use hashbrown::HashTable;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use siphasher::sip128::SipHasher13;
use zeroize::Zeroizing;

use crate::consent::{By, Consent, Scope, Told, decode};
use crate::hexadecimal::unhex;
use crate::ruling::Reason;
use crate::subjects::{is_person_number, is_sole_proprietor};
use crate::trouble::Trouble;

pub const MAX_TOKEN_BYTES: usize = 4096;
const BY_ENTERPRISE: &str = "enterprise";
const HEADER: [&str; 2] = ["{\"alg\":\"EdDSA\",\"kid\":\"", "\",\"typ\":\"fedcredit-consent+jwt\"}"];

/// Tokens that are known at most, in two generations of which the older is dropped; and parts, each with its lock.
const MAX_KNOWN: usize = 1 << 17;
const PARTS: usize = 64;
/// What consents have in common is looked for among so many of late.
const MAX_SCOPES: usize = 64;

/// A key that consents may be signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct Issuer {
    pub key: VerifyingKey,
    pub speaker: Speaker,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Speaker {
    /// An authority, by its party; it speaks for all.
    Authority(Box<str>),
    /// A subject itself.
    Enterprise(Box<str>),
}

impl Issuer {
    fn believes(&self, consent: &Consent) -> bool {
        match &self.speaker {
            Speaker::Authority(party) => consent.scope.issuer == *party,
            Speaker::Enterprise(subject) => {
                let is_personal = is_sole_proprietor(subject) || is_person_number(subject);
                *consent.scope.issuer == *BY_ENTERPRISE
                    && consent.subject == *subject
                    && (is_personal || consent.by == By::Enterprise)
            }
        }
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").finish_non_exhaustive()
    }
}

/// The key in these bytes. None: they are no point, or one of small order.
pub fn key_of(public_key: &[u8; 32]) -> Option<VerifyingKey> {
    VerifyingKey::from_bytes(public_key).ok().filter(|key| !key.is_weak())
}

/// A key's name: the first 16 bytes of its SHA-256.
pub fn kid_of(public_key: &[u8; 32]) -> [u8; 16] {
    let hash = Sha256::digest(public_key);
    std::array::from_fn(|place| hash[place])
}

/// A token that has been read, and the revocations up to which it is known not to be revoked.
#[derive(Debug)]
pub struct Known {
    pub consent: Consent,
    /// The epoch in which it was last looked up among the revoked.
    pub looked_up_in: AtomicU64,
    /// What stands for its subject in the log of the desk that these tokens belong to, once that was asked for.
    pub subject_tag: OnceLock<[u8; 16]>,
}

/// What a token is known by: SipHash-1-3 of its bytes, 128 bits, under a key that is drawn anew for these issuers.
///
/// SHA-256 of its tokens took an eighth of a batch. Under a secret key less will do: who does not know it cannot look for
/// two tokens that share a name, and would gain nothing by them. What is found is what an issuer signed, and it is held
/// against caller, purpose, subject and question like one that has just been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Name(u64, u64);

/// Gives names, each the same as long as it lives.
struct Namer(SipHasher13);

impl Namer {
    fn new() -> Result<Self, Trouble> {
        let mut key = Zeroizing::new([0; 16]);
        getrandom::fill(&mut *key).map_err(|error| Trouble::new("SNAPSHOT_IO", "randomness", error.to_string()))?;
        Ok(Self(SipHasher13::new_with_key(&key)))
    }

    fn name(&self, token: &str) -> Name {
        let hash = self.0.hash(token.as_bytes());
        Name(hash.h1, hash.h2)
    }
}

/// Without the key.
impl fmt::Debug for Namer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namer").finish_non_exhaustive()
    }
}

type Named = (Name, Arc<Known>);

#[derive(Debug, Default)]
struct Generations {
    young: HashTable<Named>,
    old: HashTable<Named>,
}

/// The issuers that are believed, and the tokens of theirs that have been read.
#[derive(Debug)]
pub struct Tokens {
    issuers: HashMap<[u8; 16], Issuer>,
    namer: Namer,
    scopes: Mutex<VecDeque<Arc<Scope>>>,
    parts: Vec<Mutex<Generations>>,
}

impl Tokens {
    /// Troubles: `SNAPSHOT_IO`, where the machine has no randomness.
    pub fn new(issuers: impl IntoIterator<Item = Issuer>) -> Result<Self, Trouble> {
        let issuers = issuers.into_iter().map(|issuer| (kid_of(issuer.key.as_bytes()), issuer)).collect();
        let parts = (0..PARTS).map(|_| Mutex::default()).collect();
        Ok(Self { issuers, namer: Namer::new()?, scopes: Mutex::default(), parts })
    }

    /// Whether the same issuers are believed, so that what was read stays read.
    pub fn believes_the_same(&self, other: &Self) -> bool {
        self.issuers == other.issuers
    }

    /// What a token says, on the word of an issuer. Only tokens that are believed are kept.
    ///
    /// Reasons: `ConsentMissing`, `TokenMalformed`, `ConsentIssuer`, `ConsentSignature`, `ConsentClaim`,
    /// `ConsentLifetime`.
    pub fn read(&self, token: &str) -> Result<Arc<Known>, Reason> {
        check_size(token)?;
        let name = self.namer.name(token);
        if let Some(known) = self.part(name).find(name) {
            return Ok(known);
        }
        let mut consent = self.read_anew(token)?.consent;
        consent.scope = self.shared(consent.scope);
        let known = Arc::new(Known { consent, looked_up_in: AtomicU64::new(0), subject_tag: OnceLock::new() });
        self.part(name).keep(name, known.clone());
        Ok(known)
    }

    /// All that each of these tokens says, or why it is not believed, as `read` does. On all cores; none is kept.
    pub fn read_many(&self, tokens: &[impl AsRef<str> + Sync]) -> Vec<Result<Told, Reason>> {
        let read = |token: &str| check_size(token).and_then(|()| self.read_anew(token));
        tokens.par_iter().map(|token| read(token.as_ref())).collect()
    }

    /// The same scope as a consent of late has it, if one does.
    fn shared(&self, scope: Arc<Scope>) -> Arc<Scope> {
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = scopes.iter().find(|known| **known == scope) {
            return known.clone();
        }
        scopes.truncate(MAX_SCOPES - 1);
        scopes.push_front(scope.clone());
        scope
    }

    fn part(&self, name: Name) -> MutexGuard<'_, Generations> {
        // A table is whole between two calls, so that a thread that died while it held the lock has broken nothing.
        self.parts[name.1 as usize % PARTS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_anew(&self, token: &str) -> Result<Told, Reason> {
        let malformed = Reason::TokenMalformed;
        let (signed, signature) = token.rsplit_once('.').ok_or(malformed)?;
        let (header, payload) =
            signed.split_once('.').filter(|(_, payload)| !payload.contains('.')).ok_or(malformed)?;
        let kid = kid(header).ok_or(malformed)?;
        let claims = URL_SAFE_NO_PAD.decode(payload).map_err(|_| malformed)?;
        let signature: [u8; 64] = decode(signature).ok_or(malformed)?;
        let issuer = self.issuers.get(&kid).ok_or(Reason::ConsentIssuer)?;
        let verified = issuer.key.verify_strict(signed.as_bytes(), &Signature::from_bytes(&signature));
        verified.map_err(|_| Reason::ConsentSignature)?;
        let told = Told::of_payload(&claims)?;
        if issuer.believes(&told.consent) { Ok(told) } else { Err(Reason::ConsentIssuer) }
    }
}

fn check_size(token: &str) -> Result<(), Reason> {
    match token.len() {
        0 => Err(Reason::ConsentMissing),
        1..=MAX_TOKEN_BYTES => Ok(()),
        _ => Err(Reason::TokenMalformed),
    }
}

impl Generations {
    fn find(&mut self, name: Name) -> Option<Arc<Known>> {
        if let Some((_, known)) = self.young.find(name.0, |named| named.0 == name) {
            return Some(known.clone());
        }
        let (_, known) = self.old.find_entry(name.0, |named| named.0 == name).ok()?.remove().0;
        self.keep(name, known.clone());
        Some(known)
    }

    fn keep(&mut self, name: Name, known: Arc<Known>) {
        if self.young.len() >= MAX_KNOWN / PARTS / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        let entry = self.young.entry(name.0, |named| named.0 == name, |named| named.0.0);
        entry.insert((name, known));
    }
}

/// The name of the key in a header, if that is otherwise what it has to be.
fn kid(header: &str) -> Option<[u8; 16]> {
    let header = URL_SAFE_NO_PAD.decode(header).ok()?;
    let text = std::str::from_utf8(&header).ok()?;
    let name = text.strip_prefix(HEADER[0])?.strip_suffix(HEADER[1])?;
    unhex(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Arc<Known> {
        let scope = Scope {
            issuer: "platform".into(),
            providers: ["fund".into()].into(),
            authority: [0; 32],
            requester: "bank".into(),
            purpose: "financing".into(),
            region: "nanjing".into(),
            items: [].into(),
            predicates: ["hf_current".into()].into(),
            models: [].into(),
        };
        let consent = Consent {
            scope: Arc::new(scope),
            subject: "91320100MA1MTQ0X09".into(),
            id: [0; 16],
            issued_at: 0,
            not_before: 0,
            expires: 1,
            by: By::Enterprise,
            max_uses: 1,
        };
        Arc::new(Known { consent, looked_up_in: AtomicU64::new(0), subject_tag: OnceLock::new() })
    }

    #[test]
    fn a_name_is_of_all_bytes_and_of_one_process() {
        let (namer, other) = (Namer::new().unwrap(), Namer::new().unwrap());
        let token = "a.b.c".repeat(200);
        assert_eq!(namer.name(&token), namer.name(&token));
        assert_ne!(namer.name(&token), other.name(&token));
        for place in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[place] ^= 1;
            assert_ne!(namer.name(&token), namer.name(std::str::from_utf8(&changed).unwrap()), "{place}");
        }
        for longer in ["\0", "\0\0\0\0\0\0\0"] {
            assert_ne!(namer.name(&token), namer.name(&(token.clone() + longer)));
        }
        assert_eq!(format!("{namer:?}"), "Namer { .. }");
    }

    #[test]
    fn what_is_used_outlives_what_is_not() {
        let (mut held, known) = (Generations::default(), known());
        let most = (MAX_KNOWN / PARTS / 2) as u64;
        let name = |number: u64| Name(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), number);
        for number in 0..2 * most {
            held.keep(name(number), known.clone());
            assert!(held.find(name(0)).is_some());
        }
        assert!(held.find(name(1)).is_none());
        assert!(held.find(name(2 * most - 1)).is_some());
        assert!(held.young.len() + held.old.len() <= 2 * most as usize);
        // Another hash than that of the name would be another token's.
        assert!(held.find(Name(name(0).0, 1)).is_none());
    }
}
