//! A department's rules about questions, as `fedcredit/governance/verification` has them: the first that is about a
//! question decides, and a question that breaks one of its terms is refused there and then.

use std::sync::Arc;

use crate::ruling::Reason;

/// From this level on nothing is answered, whatever a rule says.
pub const CORE: u32 = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Admit,
    Refuse,
}

/// How many different questions one requester has about one subject and item within `days`, today being the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    pub questions: u32,
    pub days: u32,
}

/// Names in order; None: any.
pub type Names = Option<Box<[Box<str>]>>;

/// One rule. Its scope says which questions it is about, its terms what those have to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub name: Arc<str>,
    pub tag: u32,
    pub action: Action,
    pub requesters: Names,
    pub purposes: Names,
    pub predicates: Names,
    pub items: Names,
    /// Minutes of the week from Monday 00:00 on, in the provider's zone, ends left out.
    pub minutes: Option<Box<[(u32, u32)]>>,
    pub level_max: Option<u32>,
    pub per_second: Option<u32>,
    pub per_day: Option<u32>,
    pub budget: Option<Budget>,
    /// Answers without a consent, about what takes none.
    pub no_consent: bool,
}

/// A question as far as a rule looks at it.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    pub requester: &'a str,
    pub purpose: &'a str,
    pub predicate: &'a str,
    pub item: &'a str,
    pub level: u32,
    pub needs_consent: bool,
    pub minute: u32,
}

impl Rule {
    fn is_about(&self, asked: &Scope<'_>) -> bool {
        let has = |names: &Names, name: &str| {
            names.as_ref().is_none_or(|names| names.binary_search_by(|known| (**known).cmp(name)).is_ok())
        };
        has(&self.requesters, asked.requester)
            && has(&self.purposes, asked.purpose)
            && has(&self.predicates, asked.predicate)
            && has(&self.items, asked.item)
            && self.minutes.as_ref().is_none_or(|spans| spans.iter().any(|&(a, b)| (a..b).contains(&asked.minute)))
    }

    /// Whether the question keeps the terms, but for what is used up.
    fn admits(&self, asked: &Scope<'_>) -> Result<(), Reason> {
        if self.action == Action::Refuse {
            return Err(Reason::Rule);
        }
        if asked.level >= CORE || self.level_max.is_some_and(|most| asked.level > most) {
            return Err(Reason::Level);
        }
        if self.no_consent && asked.needs_consent {
            return Err(Reason::NoConsent);
        }
        Ok(())
    }
}

/// The rule that decides on a question, and whether it lets it through. Reasons: `NoRule`, `Rule`, `Level`, `NoConsent`.
pub fn decide<'r>(rules: &'r [Rule], asked: &Scope<'_>) -> (Option<&'r Rule>, Result<(), Reason>) {
    match rules.iter().find(|rule| rule.is_about(asked)) {
        None => (None, Err(Reason::NoRule)),
        Some(rule) => (Some(rule), rule.admits(asked)),
    }
}
