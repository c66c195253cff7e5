//! A predicate that is served, and a question about it with its arguments checked.

use std::collections::HashMap;
use std::sync::Arc;

use crate::consent::{Matter, is_name};
use crate::index::{Found, Index};
use crate::normal::normal;
use crate::program::{Program, Terms};
use crate::program_run::Records;
use crate::question::{Argument, ArgumentValue};
use crate::ruling::{Reason, tag};
use crate::snapshot::question_hash;
use crate::snapshot_text::{BroughtText, ParameterKind, QuestionText, Rung, WhoText};
use crate::trouble::Trouble;

const MAX_TEXT: usize = 200;
const MAX_TEXTS: usize = 100;

#[derive(Debug)]
struct Parameter {
    name: Box<str>,
    kind: ParameterKind,
    ladder: Vec<Rung>,
    is_matched: bool,
}

/// An index of a question's item, and whether subjects are looked up in it by name.
#[derive(Debug)]
pub struct Source {
    pub index: Arc<Index>,
    pub is_by_name: bool,
}

/// A predicate that is served.
#[derive(Debug)]
pub struct Served {
    pub predicate: Arc<str>,
    pub predicate_tag: u32,
    pub item: Arc<str>,
    pub item_tag: u32,
    pub items: Box<[Box<str>]>,
    pub program: Program,
    pub sources: Box<[Source]>,
    pub terms: Terms,
    pub level: u32,
    pub needs_consent: bool,
    pub is_personal: bool,
    parameters: Box<[Parameter]>,
}

/// The question of a snapshot, over its indexes. Troubles: `SNAPSHOT_VALUE`, `SNAPSHOT_INDEX`, those of a program.
pub fn served(text: &QuestionText, indexes: &HashMap<String, Arc<Index>>) -> Result<Served, Trouble> {
    let bad = |code, what: &str| Trouble::new(code, "", what);
    text.program.check()?;
    if !is_name(&text.predicate) || text.item != text.program.item {
        return Err(bad("SNAPSHOT_VALUE", "has a name that is none, or another item than its program"));
    }
    let mut sources = Vec::with_capacity(text.program.items.len());
    for item in &text.program.items {
        let Some((field, brought)) = text.keys.get(item) else {
            return Err(bad("SNAPSHOT_VALUE", "does not say by which field the records of an item are found"));
        };
        let by_field = indexes.get(&format!("{item}/{field}"));
        let index =
            by_field.or_else(|| indexes.get(item)).ok_or_else(|| bad("SNAPSHOT_INDEX", "has no index of an item"))?;
        let is_by_name = *brought == BroughtText::SubjectName;
        if index.key_field() != field || index.has_normal_keys() != is_by_name {
            return Err(bad("SNAPSHOT_INDEX", "has an index by another field, or by name where it is by code"));
        }
        sources.push(Source { index: index.clone(), is_by_name });
    }
    let mut parameters: Vec<Parameter> = text
        .parameters
        .iter()
        .map(|(name, parameter)| Parameter {
            name: name.into(),
            kind: parameter.kind,
            ladder: parameter.ladder.clone(),
            // A text without a ladder is one that the enquirer holds, as much as one that says so.
            is_matched: parameter.is_matched || parameter.ladder.is_empty(),
        })
        .collect();
    parameters.sort_by(|first, second| first.name.cmp(&second.name));
    for name in &text.program.parameters {
        let is_brought = matches!(name.as_str(), "subject" | "subject_name" | "institution");
        if is_brought == parameters.iter().any(|parameter| *parameter.name == **name) {
            return Err(bad("SNAPSHOT_VALUE", "declares other parameters than its program takes"));
        }
    }
    let matched: Vec<&str> =
        parameters.iter().filter(|parameter| parameter.is_matched).map(|parameter| &*parameter.name).collect();
    let borrowed: Vec<Option<&Index>> = sources.iter().map(|source| Some(&*source.index)).collect();
    let program = Program::new(&text.program, &matched, &borrowed)?;
    Ok(Served {
        predicate: text.predicate.as_str().into(),
        predicate_tag: tag(&text.predicate),
        item: text.item.as_str().into(),
        item_tag: tag(&text.item),
        items: text.program.items.iter().map(|item| item.as_str().into()).collect(),
        program,
        sources: sources.into(),
        terms: Terms { is_complete: text.complete, max_age_days: text.max_age_days },
        level: text.level,
        needs_consent: !text.consent_of.is_empty(),
        is_personal: text.consent_of.contains(&WhoText::Person),
        parameters: parameters.into(),
    })
}

impl Served {
    /// What a consent has to cover.
    pub fn matter(&self) -> Matter<'_> {
        Matter { predicate: &self.predicate, items: &self.items, is_personal: self.is_personal }
    }

    /// Whether a name of the subject decides whose records are looked at.
    pub fn goes_by_name(&self) -> bool {
        self.sources.iter().any(|source| source.is_by_name)
    }

    /// The subject's records.
    pub fn records(&self, subject: &str, name_normal: &str) -> Records<'_> {
        let mut records = Records::default();
        for (records, source) in records.0.iter_mut().zip(&self.sources) {
            let key = if source.is_by_name { name_normal } else { subject };
            *records = source.index.find(key.as_bytes()).map(|found| (&*source.index, found));
        }
        records
    }

    /// Puts the subject's records in their places, where they have been found already, in the order of the sources.
    pub fn place<'a>(&'a self, found: &[Option<Found>], records: &mut Records<'a>) {
        for ((records, source), found) in records.0.iter_mut().zip(&self.sources).zip(found) {
            *records = found.map(|found| (&*source.index, found));
        }
    }

    /// Whether the arguments are those that the predicate declares. Reasons: `Parameter`, `Ladder`.
    pub fn check(&self, arguments: &[Argument<'_>]) -> Result<(), Reason> {
        if arguments.len() != self.parameters.len() {
            return Err(Reason::Parameter);
        }
        for parameter in &self.parameters {
            let mut given = arguments.iter().filter(|argument| *argument.name == *parameter.name);
            let (Some(argument), None) = (given.next(), given.next()) else { return Err(Reason::Parameter) };
            parameter.check(&argument.value)?;
        }
        Ok(())
    }

    /// What the question is known by. The arguments are those that `check` let pass.
    pub fn hash(&self, arguments: &[Argument<'_>]) -> [u8; 16] {
        let values = self.parameters.iter().filter_map(|parameter| {
            let argument = arguments.iter().find(|argument| *argument.name == *parameter.name)?;
            Some((&*parameter.name, parameter.bytes(&argument.value)))
        });
        question_hash(&self.predicate, values)
    }
}

impl Parameter {
    fn check(&self, value: &ArgumentValue<'_>) -> Result<(), Reason> {
        let is_text = |text: &str| !text.is_empty() && text.chars().count() <= MAX_TEXT;
        let fits = match (self.kind, value) {
            (ParameterKind::Number, ArgumentValue::Number(number)) => number.is_finite(),
            (ParameterKind::Text, ArgumentValue::Text(text)) => is_text(text),
            (ParameterKind::Texts, ArgumentValue::Texts(texts)) => {
                (1..=MAX_TEXTS).contains(&texts.len()) && texts.iter().all(|text| is_text(text))
            }
            _ => false,
        };
        if !fits {
            return Err(Reason::Parameter);
        }
        let is_rung = |rung: &Rung| match (rung, value) {
            (Rung::Number(rung), ArgumentValue::Number(number)) => rung == number,
            (Rung::Text(rung), ArgumentValue::Text(text)) => rung == text,
            _ => false,
        };
        if self.ladder.is_empty() || self.ladder.iter().any(is_rung) { Ok(()) } else { Err(Reason::Ladder) }
    }

    /// The value in one form, so that the same question is the same, however it is written.
    fn bytes(&self, value: &ArgumentValue<'_>) -> Vec<u8> {
        let form = |text: &str| if self.is_matched { normal(text) } else { text.to_owned() };
        match value {
            // There are two zeros, and they are equal.
            ArgumentValue::Number(number) => (number + 0.0).to_le_bytes().into(),
            ArgumentValue::Text(text) => form(text).into_bytes(),
            ArgumentValue::Texts(texts) => {
                let mut forms: Vec<String> = texts.iter().map(|text| form(text)).collect();
                forms.sort();
                forms.dedup();
                let mut out = Vec::new();
                for form in forms {
                    out.extend((form.len() as u64).to_le_bytes());
                    out.extend(form.as_bytes());
                }
                out
            }
        }
    }
}
