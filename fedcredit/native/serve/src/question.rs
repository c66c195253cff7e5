//! Who asks what, and when: borrowed from the message, not yet believed.

use std::sync::Arc;

/// Who is at the other end of the connection. The transport has checked the certificate before it makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The party that the certificate names.
    pub party: Arc<str>,
    /// SHA-256 of the DER of the authority that vouches for it; a consent is bound to that.
    pub authority: [u8; 32],
}

/// The value of a parameter, as the caller gives it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ArgumentValue<'a> {
    Number(f64),
    Text(&'a str),
    Texts(&'a [&'a str]),
}

/// A parameter of a predicate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Argument<'a> {
    pub name: &'a str,
    pub value: ArgumentValue<'a>,
}

/// One question about one subject.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Question<'a> {
    /// The subject's code; empty is no subject.
    pub subject: &'a str,
    /// The subject's name, for registers that are kept by name; may be empty.
    pub subject_name: &'a str,
    pub predicate: &'a str,
    pub arguments: &'a [Argument<'a>],
    pub purpose: &'a str,
    /// The consent token (JWS, compact form); empty if there is none.
    pub consent: &'a str,
}

/// A question without its subject, in a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kind<'a> {
    pub predicate: &'a str,
    pub arguments: &'a [Argument<'a>],
}

/// One check of a batch: a subject, and the positions of its kind and its consent in the batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Check<'a> {
    pub subject: &'a str,
    pub kind: u32,
    /// A position that the batch does not have (`u32::MAX`, say): without a consent.
    pub consent: u32,
}

/// Many questions of one caller for one purpose.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Batch<'a> {
    pub purpose: &'a str,
    pub consents: &'a [&'a str],
    pub kinds: &'a [Kind<'a>],
    pub checks: &'a [Check<'a>],
}

/// The time at which a question is decided. Units: milliseconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    pub unix_ms: i64,
}

impl Now {
    /// Whole seconds since 1970.
    pub fn seconds(self) -> i64 {
        self.unix_ms.div_euclid(1000)
    }
}
