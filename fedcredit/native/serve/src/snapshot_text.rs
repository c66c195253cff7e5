//! A snapshot as it is written: strict JSON, unknown keys are errors. docs/verification-index.md lists the keys.

use serde::{Deserialize, Deserializer};

use crate::program_text::ProgramText;
use crate::strict::Members;

pub const SCHEMA: &str = "fedcredit-serving/1";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotText {
    pub schema: String,
    pub provider: String,
    pub region: String,
    pub catalog_version: u32,
    pub predicates_version: u32,
    pub zone_minutes: i32,
    /// Files by item, or by `item/field` where an item is looked up by several fields.
    pub indexes: Members<String>,
    pub questions: Vec<QuestionText>,
    pub rules: Vec<RuleText>,
    pub issuers: Vec<IssuerText>,
    pub revoked: Vec<String>,
    pub revocations_at: i64,
    pub revocations_max_age_s: i64,
    /// The index, by code, and its field that say which name a subject has.
    #[serde(default)]
    pub names: Option<NamesText>,
    /// Requesters' own codes, by party.
    #[serde(default)]
    pub institutions: Members<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamesText {
    pub index: String,
    pub field: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuestionText {
    pub predicate: String,
    pub item: String,
    pub program: ProgramText,
    pub parameters: Members<ParameterText>,
    pub keys: Members<(String, BroughtText)>,
    pub complete: bool,
    #[serde(deserialize_with = "said")]
    pub max_age_days: Option<u32>,
    pub consent_of: Vec<WhoText>,
    pub level: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BroughtText {
    Subject,
    SubjectName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhoText {
    Enterprise,
    Person,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterText {
    #[serde(rename = "type")]
    pub kind: ParameterKind,
    pub ladder: Vec<Rung>,
    #[serde(rename = "match")]
    pub is_matched: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterKind {
    Number,
    Text,
    Texts,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Rung {
    Number(f64),
    Text(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleText {
    pub name: String,
    pub action: ActionText,
    #[serde(deserialize_with = "said")]
    pub requesters: Option<Vec<String>>,
    #[serde(deserialize_with = "said")]
    pub purposes: Option<Vec<String>>,
    #[serde(deserialize_with = "said")]
    pub predicates: Option<Vec<String>>,
    #[serde(deserialize_with = "said")]
    pub items: Option<Vec<String>>,
    #[serde(deserialize_with = "said")]
    pub minutes: Option<Vec<(u32, u32)>>,
    #[serde(deserialize_with = "said")]
    pub level_max: Option<u32>,
    #[serde(deserialize_with = "said")]
    pub per_second: Option<u32>,
    #[serde(deserialize_with = "said")]
    pub per_day: Option<u32>,
    #[serde(deserialize_with = "said")]
    pub budget: Option<BudgetText>,
    pub no_consent: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionText {
    Admit,
    Refuse,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetText {
    pub questions: u32,
    pub days: u32,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum IssuerText {
    Authority { kid: String, public_key: String, name: String },
    Enterprise { kid: String, public_key: String, subject: String },
}

/// What may be null, but has to be said: a key that is left out is no bound that was lifted.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}
