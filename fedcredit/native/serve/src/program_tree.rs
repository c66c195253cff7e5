//! From the steps of a program to its tree, with all types checked, and columns found in their indexes.

use crate::index::{Form, Index};
use crate::index_layout::ColumnKind;
use crate::normal::normal;
use crate::program::form_of;
use crate::program_nodes::{Brought, By, Column, Compare, Date, Flag, Most, Number, Several, Text, Value};
use crate::program_text::{Constant, ProgramText, StepText, bad};
use crate::trouble::Trouble;

/// Nodes of a tree at most. A step that is taken twice is in it twice; no expression comes near it.
const MAX_NODES: usize = 4096;

/// The tree of a program, and which parameters are compared in normal form.
pub fn plant(text: &ProgramText, matched: &[&str], indexes: &[Option<&Index>]) -> Result<(Flag, Vec<bool>), Trouble> {
    let normal = vec![false; text.parameters.len()];
    let mut planter = Planter { text, matched, indexes, normal, nodes: 0 };
    let tree = planter.flag(text.steps.len() - 1, None)?;
    Ok((tree, planter.normal))
}

struct Planter<'a> {
    text: &'a ProgramText,
    matched: &'a [&'a str],
    indexes: &'a [Option<&'a Index>],
    normal: Vec<bool>,
    nodes: usize,
}

/// The item whose records are being looked at, as a place in the program; None outside of an aggregate.
type Over = Option<usize>;

impl<'a> Planter<'a> {
    /// A step that must be of this type, and one more node.
    fn step(&mut self, number: usize, kind: ColumnKind) -> Result<&'a StepText, Trouble> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Trouble::new("PROGRAM_LIMIT", "program", "is too large when written out"));
        }
        let step = &self.text.steps[number];
        if step.kind() == Some(kind) { Ok(step) } else { Err(bad(number, "is of another type than it is used as")) }
    }

    fn arguments<const N: usize>(&self, number: usize) -> Result<[usize; N], Trouble> {
        let args = &self.text.steps[number].args;
        <[usize; N]>::try_from(args.as_slice()).map_err(|_| bad(number, "takes another number of steps"))
    }

    fn unknown<T>(&self, number: usize) -> Result<T, Trouble> {
        Err(bad(number, "is no known operation on these types"))
    }

    fn item(&self, number: usize, name: &str) -> Result<usize, Trouble> {
        let known = self.text.items.iter().position(|item| item == name);
        known.ok_or_else(|| bad(number, "is about an item that the program does not have"))
    }

    /// An aggregate's item and first step. It cannot stand inside another.
    fn aggregate(&self, number: usize, over: Over) -> Result<usize, Trouble> {
        if over.is_some() {
            return Err(bad(number, "stands inside an aggregate"));
        }
        self.item(number, self.text.steps[number].name())
    }

    fn column(&self, number: usize, over: Over, kind: ColumnKind, form: Form) -> Result<Column, Trouble> {
        let step = &self.text.steps[number];
        let item = self.item(number, &step.over)?;
        if over != Some(item) || !step.args.is_empty() {
            return Err(bad(number, "is a record's value where there is no record"));
        }
        // A place that no index has: such a column says nothing.
        let mut column = usize::MAX;
        if let Some(index) = self.indexes[item]
            && let Some(found) = index.column(step.name())
        {
            let Some((held, has_normal)) = index.kind(found) else { return self.unknown(number) };
            if held != kind || (form == Form::Normal && !has_normal) {
                let what = if held == kind { "has no normal forms in the index" } else { "is of another type there" };
                return Err(Trouble::new("PROGRAM_INDEX", format!("{}.{}", step.over, step.name()), what));
            }
            column = found;
        }
        Ok(Column { item, column, form })
    }

    /// The column of an `only`: the value of the subject's only record.
    fn only(&mut self, number: usize, over: Over, kind: ColumnKind, form: Form) -> Result<Column, Trouble> {
        let [column] = self.arguments(number)?;
        let step = self.step(column, kind)?;
        if over.is_some() || step.op != "column" {
            return Err(bad(number, "takes no column, or stands inside an aggregate"));
        }
        let item = self.item(number, &step.over)?;
        self.column(column, Some(item), kind, form)
    }

    fn parameter(&mut self, number: usize, form: Form) -> Result<usize, Trouble> {
        let name = self.text.steps[number].name();
        let place = self.text.parameters.iter().position(|parameter| parameter == name);
        let place = place.ok_or_else(|| bad(number, "takes a parameter that is not declared"))?;
        self.normal[place] |= form == Form::Normal;
        Ok(place)
    }

    fn number(&mut self, number: usize, over: Over) -> Result<Number, Trouble> {
        let step = self.step(number, ColumnKind::Number)?;
        Ok(match step.op.as_str() {
            "constant" => match (&step.value, step.args.as_slice()) {
                (Some(Constant::Number(value)), []) => Number::Constant(*value),
                _ => return self.unknown(number),
            },
            "parameter" => Number::Parameter(self.parameter(number, Form::Plain)?),
            "column" => Number::Column(self.column(number, over, ColumnKind::Number, Form::Plain)?),
            "only" => Number::Only(self.only(number, over, ColumnKind::Number, Form::Plain)?),
            "abs" => {
                let [of] = self.arguments(number)?;
                Number::Abs(Box::new(self.number(of, over)?))
            }
            "year" | "days_since" | "months_since" | "years_since" => {
                let [of] = self.arguments(number)?;
                let of = Box::new(self.date(of, over)?);
                match step.op.as_str() {
                    "year" => Number::Year(of),
                    "days_since" => Number::DaysSince(of),
                    "months_since" => Number::MonthsSince(of),
                    _ => Number::YearsSince(of),
                }
            }
            "add" | "sub" | "mul" => {
                let [left, right] = self.arguments(number)?;
                let both = Box::new([self.number(left, over)?, self.number(right, over)?]);
                match step.op.as_str() {
                    "add" => Number::Add(both),
                    "sub" => Number::Sub(both),
                    _ => Number::Mul(both),
                }
            }
            "count" => {
                let (item, [of]) = (self.aggregate(number, over)?, self.arguments(number)?);
                Number::Count(item, Box::new(self.flag(of, Some(item))?))
            }
            "sum" | "min" | "max" => {
                let (item, of, among) = self.chosen(number, over)?;
                let of = Box::new(self.number(of, Some(item))?);
                match step.op.as_str() {
                    "sum" => Number::Sum(item, of, among),
                    "min" => Number::Extreme(item, Most::Least, of, among),
                    _ => Number::Extreme(item, Most::Greatest, of, among),
                }
            }
            "latest" => {
                let (item, of, by) = self.latest(number, over)?;
                Number::Latest(item, Box::new(self.number(of, Some(item))?), by)
            }
            _ => return self.unknown(number),
        })
    }

    /// An aggregate's item, what it is of, and the condition on records if there is one.
    fn chosen(&mut self, number: usize, over: Over) -> Result<(usize, usize, Option<Box<Flag>>), Trouble> {
        let item = self.aggregate(number, over)?;
        match *self.text.steps[number].args.as_slice() {
            [of] => Ok((item, of, None)),
            [of, among] => Ok((item, of, Some(Box::new(self.flag(among, Some(item))?)))),
            _ => self.unknown(number),
        }
    }

    fn latest(&mut self, number: usize, over: Over) -> Result<(usize, usize, By), Trouble> {
        let item = self.aggregate(number, over)?;
        let [of, by] = self.arguments(number)?;
        let by = match self.text.steps[by].kind() {
            Some(ColumnKind::Number) => By::Number(Box::new(self.number(by, Some(item))?)),
            _ => By::Date(Box::new(self.date(by, Some(item))?)),
        };
        Ok((item, of, by))
    }

    fn date(&mut self, number: usize, over: Over) -> Result<Date, Trouble> {
        let step = self.step(number, ColumnKind::Date)?;
        Ok(match step.op.as_str() {
            "asof" => Date::AsOf,
            "column" => Date::Column(self.column(number, over, ColumnKind::Date, Form::Plain)?),
            "only" => Date::Only(self.only(number, over, ColumnKind::Date, Form::Plain)?),
            "min" | "max" => {
                let (item, of, among) = self.chosen(number, over)?;
                let most = if step.op == "min" { Most::Least } else { Most::Greatest };
                Date::Extreme(item, most, Box::new(self.date(of, Some(item))?), among)
            }
            "latest" => {
                let (item, of, by) = self.latest(number, over)?;
                Date::Latest(item, Box::new(self.date(of, Some(item))?), by)
            }
            _ => return self.unknown(number),
        })
    }

    fn text(&mut self, number: usize, over: Over, form: Form) -> Result<Text, Trouble> {
        let step = self.step(number, ColumnKind::Text)?;
        Ok(match step.op.as_str() {
            "constant" => match (&step.value, form) {
                (Some(Constant::Text(text)), Form::Plain) => Text::Constant(text.as_str().into()),
                (Some(Constant::Text(text)), Form::Normal) => Text::Constant(normal(text).into()),
                _ => return self.unknown(number),
            },
            "parameter" => match step.name() {
                "subject" => Text::Brought(Brought::Subject, form),
                "subject_name" => Text::Brought(Brought::SubjectName, form),
                "institution" => Text::Brought(Brought::Institution, form),
                _ => Text::Parameter(self.parameter(number, form)?, form),
            },
            "column" => Text::Column(self.column(number, over, ColumnKind::Text, form)?),
            "only" => Text::Only(self.only(number, over, ColumnKind::Text, form)?),
            "latest" => {
                let (item, of, by) = self.latest(number, over)?;
                Text::Latest(item, Box::new(self.text(of, Some(item), form)?), by)
            }
            _ => return self.unknown(number),
        })
    }

    fn several(&mut self, number: usize, over: Over, form: Form) -> Result<Several, Trouble> {
        let step = self.step(number, ColumnKind::Texts)?;
        Ok(match step.op.as_str() {
            "parameter" => Several::Parameter(self.parameter(number, form)?, form),
            "column" => Several::Column(self.column(number, over, ColumnKind::Texts, form)?),
            "only" => Several::Only(self.only(number, over, ColumnKind::Texts, form)?),
            _ => return self.unknown(number),
        })
    }

    /// Whether a step is a parameter that is matched, so that what it is compared with is matched too.
    fn is_matched(&self, number: usize) -> bool {
        let step = &self.text.steps[number];
        step.op == "parameter" && (step.name() == "subject_name" || self.matched.contains(&step.name()))
    }

    fn value(&mut self, number: usize, over: Over, form: Form) -> Result<Value, Trouble> {
        Ok(match self.text.steps[number].kind() {
            Some(ColumnKind::Number) => Value::Number(self.number(number, over)?),
            Some(ColumnKind::Date) => Value::Date(self.date(number, over)?),
            Some(ColumnKind::Text) => Value::Text(self.text(number, over, form)?),
            Some(ColumnKind::Texts) => Value::Several(self.several(number, over, form)?),
            Some(ColumnKind::Flag) => Value::Flag(self.flag(number, over)?),
            None => return self.unknown(number),
        })
    }

    fn flag(&mut self, number: usize, over: Over) -> Result<Flag, Trouble> {
        let step = self.step(number, ColumnKind::Flag)?;
        Ok(match step.op.as_str() {
            "constant" => match (&step.value, step.args.as_slice()) {
                (Some(Constant::Flag(flag)), []) => Flag::Constant(Some(*flag)),
                _ => return self.unknown(number),
            },
            "column" => Flag::Column(self.column(number, over, ColumnKind::Flag, Form::Plain)?),
            "only" => Flag::Only(self.only(number, over, ColumnKind::Flag, Form::Plain)?),
            "not" => {
                let [of] = self.arguments(number)?;
                Flag::Not(Box::new(self.flag(of, over)?))
            }
            "and" | "or" => {
                let [left, right] = self.arguments(number)?;
                let both = Box::new([self.flag(left, over)?, self.flag(right, over)?]);
                if step.op == "and" { Flag::And(both) } else { Flag::Or(both) }
            }
            "is_null" => {
                let [of] = self.arguments(number)?;
                Flag::IsNull(Box::new(self.value(of, over, form_of(self.is_matched(of)))?))
            }
            "eq" | "ne" | "lt" | "le" | "gt" | "ge" => self.comparison(number, over)?,
            "one_of" => self.one_of(number, over)?,
            "contains" => {
                let [several, text] = self.arguments(number)?;
                let form = form_of(self.is_matched(several) || self.is_matched(text));
                Flag::Contains(Box::new(self.several(several, over, form)?), Box::new(self.text(text, over, form)?))
            }
            "among_records" => {
                let [value, column] = self.arguments(number)?;
                let kind = self.text.steps[column].kind().filter(|&kind| kind != ColumnKind::Texts);
                let (Some(kind), "column") = (kind, self.text.steps[column].op.as_str()) else {
                    return self.unknown(number);
                };
                if self.text.steps[value].kind() != Some(kind) {
                    return Err(bad(number, "compares values of two types"));
                }
                let form = form_of(self.is_matched(value));
                let other = self.item(number, &self.text.steps[column].over)?;
                Flag::Among(Box::new(self.value(value, over, form)?), self.column(column, Some(other), kind, form)?)
            }
            "any" | "all" => {
                let (item, [of]) = (self.aggregate(number, over)?, self.arguments(number)?);
                let of = Box::new(self.flag(of, Some(item))?);
                if step.op == "any" { Flag::Any(item, of) } else { Flag::All(item, of) }
            }
            "exists" => {
                let [] = self.arguments(number)?;
                Flag::Exists(self.aggregate(number, over)?)
            }
            "latest" => {
                let (item, of, by) = self.latest(number, over)?;
                Flag::Latest(item, Box::new(self.flag(of, Some(item))?), by)
            }
            _ => return self.unknown(number),
        })
    }

    fn comparison(&mut self, number: usize, over: Over) -> Result<Flag, Trouble> {
        let [left, right] = self.arguments(number)?;
        let compare = match self.text.steps[number].op.as_str() {
            "eq" => Compare::Equal,
            "ne" => Compare::Unequal,
            "lt" => Compare::Less,
            "le" => Compare::AtMost,
            "gt" => Compare::More,
            _ => Compare::AtLeast,
        };
        let is_equality = matches!(compare, Compare::Equal | Compare::Unequal);
        Ok(match self.text.steps[left].kind() {
            Some(ColumnKind::Number) => {
                Flag::Numbers(compare, Box::new([self.number(left, over)?, self.number(right, over)?]))
            }
            Some(ColumnKind::Date) => Flag::Dates(compare, Box::new([self.date(left, over)?, self.date(right, over)?])),
            Some(ColumnKind::Text) if is_equality => {
                let form = form_of(self.is_matched(left) || self.is_matched(right));
                let both = Box::new([self.text(left, over, form)?, self.text(right, over, form)?]);
                Flag::Texts(compare == Compare::Equal, both)
            }
            Some(ColumnKind::Flag) if is_equality => {
                let both = Box::new([self.flag(left, over)?, self.flag(right, over)?]);
                Flag::Flags(compare == Compare::Equal, both)
            }
            _ => return self.unknown(number),
        })
    }

    fn one_of(&mut self, number: usize, over: Over) -> Result<Flag, Trouble> {
        let [of] = self.arguments(number)?;
        let Some(Constant::Set(values)) = &self.text.steps[number].value else { return self.unknown(number) };
        let mixed = || bad(number, "has a set of another type");
        Ok(match self.text.steps[of].kind() {
            Some(ColumnKind::Number) => {
                let among =
                    values.iter().map(|one| if let Constant::Number(one) = one { Ok(*one) } else { Err(mixed()) });
                Flag::NumberIn(Box::new(self.number(of, over)?), among.collect::<Result<_, _>>()?)
            }
            Some(ColumnKind::Text) => {
                let is_matched = self.is_matched(of);
                let form = |text: &String| if is_matched { normal(text).into() } else { text.as_str().into() };
                let among =
                    values.iter().map(|one| if let Constant::Text(one) = one { Ok(form(one)) } else { Err(mixed()) });
                let among = among.collect::<Result<_, _>>()?;
                Flag::TextIn(Box::new(self.text(of, over, form_of(is_matched))?), among)
            }
            Some(ColumnKind::Flag) => {
                let among =
                    values.iter().map(|one| if let Constant::Flag(one) = one { Ok(*one) } else { Err(mixed()) });
                Flag::FlagIn(Box::new(self.flag(of, over)?), among.collect::<Result<_, _>>()?)
            }
            _ => return self.unknown(number),
        })
    }
}
