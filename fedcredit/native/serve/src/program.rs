//! A compiled predicate: checked once, against the indexes that it runs over, then asked of one subject after the other.
//!
//! `program_text` has its form in JSON, `program_nodes` its nodes, `program_tree` makes and `program_run` evaluates them.
//!
//! **Texts that are matched.** A text that the enquirer holds and compares is compared in its normal form
//! ([`crate::normal`]): both sides of every comparison with such a parameter, and with `$subject_name`. All other texts
//! are compared as they are.

use rayon::prelude::*;

use crate::days::Day;
use crate::index::{Form, Index};
use crate::normal::normal;
use crate::program_nodes::Flag;
use crate::program_run::{Asked, Given, Records, Run};
use crate::program_text::ProgramText;
use crate::program_tree;
use crate::question::{Argument, ArgumentValue};
use crate::ruling::{Outcome, Reason};
use crate::trouble::Trouble;

/// Subjects that a task takes at a time.
const PER_TASK: usize = 1024;

/// How a department's register is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// Whether no record means that there is nothing.
    pub is_complete: bool,
    /// How old a subject's latest record may be, in days.
    pub max_age_days: Option<u32>,
}

/// An answer, with the day of the latest record behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    pub outcome: Outcome,
    pub reason: Reason,
    pub recorded_on: Option<i32>,
}

/// A program over indexes.
#[derive(Debug)]
pub struct Program {
    items: Box<[Box<str>]>,
    parameters: Box<[Box<str>]>,
    /// Which of the parameters are compared in normal form.
    needs_normal: Box<[bool]>,
    takes_institution: bool,
    tree: Flag,
}

impl Program {
    /// The program of `text` over `indexes`, one for each of its items, or None where there is no record at all.
    ///
    /// `matched`: the parameters that are matched. A field that an index does not have says nothing.
    /// Troubles: `PROGRAM_FORM`, `PROGRAM_STEP`, `PROGRAM_LIMIT`; `PROGRAM_INDEX`, where an index does not fit.
    pub fn new(text: &ProgramText, matched: &[&str], indexes: &[Option<&Index>]) -> Result<Self, Trouble> {
        text.check()?;
        if indexes.len() != text.items.len() {
            return Err(Trouble::new("PROGRAM_INDEX", "program", "is over another number of items"));
        }
        for (item, index) in text.items.iter().zip(indexes) {
            if index.is_some_and(|index| index.item() != item) {
                return Err(Trouble::new("PROGRAM_INDEX", item, "is not the item of the index"));
            }
        }
        let (tree, normal) = program_tree::plant(text, matched, indexes)?;
        let boxed = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
        Ok(Self {
            items: boxed(&text.items),
            parameters: boxed(&text.parameters),
            needs_normal: normal.into(),
            takes_institution: text.parameters.iter().any(|name| name == "institution"),
            tree,
        })
    }

    /// Its items: its own, then those that are looked up beside it.
    pub fn items(&self) -> impl ExactSizeIterator<Item = &str> {
        self.items.iter().map(|item| &**item)
    }

    /// Whether it asks for the enquirer's own code.
    pub fn takes_institution(&self) -> bool {
        self.takes_institution
    }

    /// What is asked with these arguments; parameters that are not among them are not known.
    pub fn asked<'a>(&self, arguments: &[Argument<'a>]) -> Asked<'a> {
        let mut asked = Asked::default();
        let named = self.parameters.iter().zip(&self.needs_normal).zip(&mut asked.parameters);
        for ((name, &needs_normal), given) in named {
            let Some(argument) = arguments.iter().find(|argument| *argument.name == **name) else { continue };
            let form = |text: &str| if needs_normal { normal(text).into() } else { "".into() };
            *given = match argument.value {
                ArgumentValue::Number(number) => Given::Number(number),
                ArgumentValue::Text(text) => Given::Text(text, form(text)),
                ArgumentValue::Texts(texts) => Given::Texts(texts, texts.iter().map(|text| form(text)).collect()),
            };
        }
        asked
    }

    /// The answer about the subject whose records these are.
    #[inline]
    pub fn answer(&self, records: &Records<'_>, asked: &Asked<'_>, asof: Day, terms: Terms) -> Answer {
        let recorded_on = records.0[0].and_then(|(index, found)| index.recorded(found));
        let unknown = |reason| Answer { outcome: Outcome::Unknown, reason, recorded_on };
        let has_records = records.rows(0) > 0;
        if !has_records && !terms.is_complete {
            return unknown(Reason::NoRecord);
        }
        if let (true, Some(oldest)) = (has_records, terms.max_age_days) {
            let age = recorded_on.map(|day| i64::from(asof.number) - i64::from(day));
            if age.is_none_or(|age| age > i64::from(oldest)) {
                return unknown(Reason::Stale);
            }
        }
        match (Run { records, asked, asof }).answer(&self.tree) {
            None => unknown(Reason::ValueMissing),
            Some(true) => Answer { outcome: Outcome::Yes, reason: Reason::Decided, recorded_on },
            Some(false) => Answer { outcome: Outcome::No, reason: Reason::Decided, recorded_on },
        }
    }

    /// The answers about several subjects, on all cores: each its code, its name, and the name's normal form.
    pub fn answer_many(
        &self,
        indexes: &[Option<&Index>],
        subjects: &[(&str, &str, &str)],
        asked: &Asked<'_>,
        asof: Day,
        terms: Terms,
    ) -> Vec<Answer> {
        let several = |subjects: &[(&str, &str, &str)]| {
            let mut records = vec![Records::default(); subjects.len()];
            let mut found = Vec::new();
            for (item, index) in indexes.iter().enumerate() {
                let Some(index) = index else { continue };
                let by_name = index.has_normal_keys();
                let keys =
                    subjects.iter().map(|(code, _, name)| if by_name { name.as_bytes() } else { code.as_bytes() });
                index.find_many(keys, &mut found);
                for (records, found) in records.iter_mut().zip(&found) {
                    records.0[item] = found.map(|found| (*index, found));
                }
            }
            let mut asked = asked.clone();
            let answers = subjects.iter().zip(&records).map(|(&(code, name, normal), records)| {
                (asked.subject, asked.subject_name, asked.subject_name_normal) = (code, name, normal);
                self.answer(records, &asked, asof, terms)
            });
            answers.collect::<Vec<_>>()
        };
        subjects.par_chunks(PER_TASK).flat_map_iter(several).collect()
    }
}

/// Which form the texts of a comparison have.
pub(crate) fn form_of(is_matched: bool) -> Form {
    if is_matched { Form::Normal } else { Form::Plain }
}
