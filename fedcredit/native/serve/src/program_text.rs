//! A compiled predicate as JSON has it (`Program.to_dict()` in Python), and its steps in a form that can be relied on.

use serde::Deserialize;

use crate::index_layout::ColumnKind;
use crate::strict::Members;
use crate::trouble::Trouble;

pub const SCHEMA: &str = "fedcredit-program/1";
/// More steps, items or parameters than any expression gives.
pub const MAX_STEPS: usize = 512;
pub const MAX_ITEMS: usize = 8;
pub const MAX_PARAMETERS: usize = 16;
const MAX_TEXT: usize = 200;

/// A program as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramText {
    schema: String,
    pub item: String,
    pub items: Vec<String>,
    pub fields: Members<Vec<String>>,
    pub parameters: Vec<String>,
    pub keys: Members<(String, String)>,
    pub steps: Vec<StepText>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepText {
    pub op: String,
    #[serde(rename = "type")]
    kind: String,
    pub over: String,
    pub args: Vec<usize>,
    #[serde(default)]
    pub value: Option<Constant>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Constant {
    Flag(bool),
    Number(f64),
    Text(String),
    Set(Vec<Constant>),
}

pub fn bad(step: usize, what: &str) -> Trouble {
    Trouble::new("PROGRAM_STEP", format!("step {step}"), what)
}

impl StepText {
    /// The type of its result.
    pub fn kind(&self) -> Option<ColumnKind> {
        ColumnKind::from_name(&self.kind)
    }

    /// The name that it has as its value.
    pub fn name(&self) -> &str {
        match &self.value {
            Some(Constant::Text(name)) => name,
            _ => "",
        }
    }
}

impl ProgramText {
    /// The program in a JSON text. Troubles: `PROGRAM_FORM`, `PROGRAM_LIMIT`, `PROGRAM_STEP`.
    pub fn parse(text: &str) -> Result<Self, Trouble> {
        let program: Self =
            serde_json::from_str(text).map_err(|error| Trouble::new("PROGRAM_FORM", "program", shape(&error)))?;
        program.check()?;
        Ok(program)
    }

    /// Whether it is what it says, as far as that shows without its types. Troubles: as of `parse`.
    pub fn check(&self) -> Result<(), Trouble> {
        let form = |what: &str| Trouble::new("PROGRAM_FORM", "program", what);
        if self.schema != SCHEMA {
            return Err(form("is of another schema"));
        }
        if self.steps.len() > MAX_STEPS || self.items.len() > MAX_ITEMS || self.parameters.len() > MAX_PARAMETERS {
            return Err(Trouble::new(
                "PROGRAM_LIMIT",
                "program",
                "has more steps, items or parameters than are allowed",
            ));
        }
        let mut items = self.items.clone();
        items.sort();
        items.dedup();
        if self.items.first() != Some(&self.item) || items.len() != self.items.len() {
            return Err(form("has items that do not begin with its own, or one twice"));
        }
        if self.fields.iter().any(|(item, _)| !self.items.iter().any(|known| known == item)) {
            return Err(form("has fields of an item that it does not have"));
        }
        for (number, step) in self.steps.iter().enumerate() {
            self.check_step(number, step)?;
        }
        let last = self.steps.last().ok_or_else(|| form("has no steps"))?;
        if last.kind() != Some(ColumnKind::Flag) || !last.over.is_empty() {
            return Err(form("does not end with a yes or no of the subject"));
        }
        Ok(())
    }

    fn check_step(&self, number: usize, step: &StepText) -> Result<(), Trouble> {
        if step.kind().is_none() {
            return Err(bad(number, "has no known type"));
        }
        if step.args.iter().any(|&argument| argument >= number) || step.args.len() > 2 {
            return Err(bad(number, "takes steps that are not before it, or too many"));
        }
        if !step.over.is_empty() && !self.items.contains(&step.over) {
            return Err(bad(number, "ranges over an item that the program does not have"));
        }
        if let Some(Constant::Text(text)) = &step.value
            && text.len() > 4 * MAX_TEXT
        {
            return Err(bad(number, "has a text that is too long"));
        }
        // What it ranges over follows from what it takes.
        let over = match step.op.as_str() {
            "column" => step.over.as_str(),
            "among_records" => step.args.first().map_or("", |&argument| &self.steps[argument].over),
            "only" | "exists" | "any" | "all" | "count" | "sum" | "min" | "max" | "latest" => "",
            _ => {
                let mut ranges =
                    step.args.iter().map(|&argument| &*self.steps[argument].over).filter(|one| !one.is_empty());
                let first = ranges.next().unwrap_or_default();
                if ranges.any(|other| other != first) {
                    return Err(bad(number, "has records of two items side by side"));
                }
                first
            }
        };
        if over != step.over || (step.op == "column" && over.is_empty()) {
            return Err(bad(number, "does not range over what it takes"));
        }
        let declared = match step.op.as_str() {
            "column" => {
                self.fields.get(&step.over).is_some_and(|fields| fields.iter().any(|field| field == step.name()))
            }
            "parameter" => self.parameters.iter().any(|parameter| parameter == step.name()),
            _ => true,
        };
        if declared { Ok(()) } else { Err(bad(number, "takes a field or parameter that the program does not declare")) }
    }
}

/// What is wrong with a JSON text and where, without anything of the text.
pub fn shape(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Syntax | serde_json::error::Category::Eof => "is no JSON",
        _ => "has an unknown, missing or repeated key, or a value of another kind",
    };
    format!("{what} (line {}, column {})", error.line(), error.column())
}
