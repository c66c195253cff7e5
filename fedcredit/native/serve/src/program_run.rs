//! Running a program over one subject's records, as `fedcredit/governance/predicates/single.py` does.
//!
//! What is unknown is None; nothing is computed that nobody looks at, which
//! makes no difference, since an expression has no effects and no errors. Numbers are IEEE doubles without fused
//! operations, sums go in the order of the records, texts are compared byte by byte.

use crate::days::Day;
use crate::index::{Form, Found, Index, Texts};
use crate::program_nodes::{Brought, By, Column, Date, Flag, Most, Number, Several, Text, Value};
use crate::program_text::{MAX_ITEMS, MAX_PARAMETERS};

/// The value of a parameter, with the normal forms of its texts where the program compares those.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Given<'a> {
    #[default]
    Nothing,
    Number(f64),
    Text(&'a str, Box<str>),
    Texts(&'a [&'a str], Box<[Box<str>]>),
}

/// What a program is asked with. The same for all subjects of a kind, but for the first two.
#[derive(Debug, Clone, Default)]
pub struct Asked<'a> {
    pub subject: &'a str,
    pub subject_name: &'a str,
    /// The normal form of the name.
    pub subject_name_normal: &'a str,
    pub institution: Option<&'a str>,
    /// In the program's order.
    pub parameters: [Given<'a>; MAX_PARAMETERS],
}

/// A subject's records of the program's items, in the program's order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Records<'a>(pub [Option<(&'a Index, Found)>; MAX_ITEMS]);

impl Records<'_> {
    pub fn rows(&self, item: usize) -> u32 {
        self.0[item].map_or(0, |(_, found)| found.rows())
    }
}

/// One run: records, what is asked, and the day.
pub struct Run<'a> {
    pub records: &'a Records<'a>,
    pub asked: &'a Asked<'a>,
    pub asof: Day,
}

/// Outside of an aggregate there is no row; nodes that would need one are not made there.
const NO_ROW: u32 = 0;

impl<'a> Run<'a> {
    /// Whether the expression holds for the subject.
    pub fn answer(&self, flag: &'a Flag) -> Option<bool> {
        self.flag(flag, NO_ROW)
    }

    fn rows(&self, item: usize) -> std::ops::Range<u32> {
        self.records.0[item].map_or(0..0, |(_, found)| found.first..found.end)
    }

    fn index(&self, column: Column) -> Option<&'a Index> {
        self.records.0[column.item].map(|(index, _)| index)
    }

    fn only(&self, column: Column) -> Option<u32> {
        let (_, found) = self.records.0[column.item]?;
        (found.rows() == 1).then_some(found.first)
    }

    fn number(&self, node: &'a Number, row: u32) -> Option<f64> {
        match node {
            Number::Constant(number) => Some(*number),
            Number::Parameter(place) => match self.asked.parameters[*place] {
                Given::Number(number) => Some(number),
                _ => None,
            },
            Number::Column(column) => self.index(*column)?.number(column.column, row),
            Number::Only(column) => self.index(*column)?.number(column.column, self.only(*column)?),
            Number::Abs(of) => Some(self.number(of, row)?.abs()),
            Number::Year(of) => Some(f64::from(Day::new(self.date(of, row)?).year)),
            Number::DaysSince(of) => Some(f64::from(self.asof.number) - f64::from(self.date(of, row)?)),
            Number::MonthsSince(of) => Some(f64::from(self.asof.months_begun(Day::new(self.date(of, row)?)))),
            Number::YearsSince(of) => Some(f64::from(self.asof.years_completed(Day::new(self.date(of, row)?)))),
            Number::Add(of) => Some(self.number(&of[0], row)? + self.number(&of[1], row)?),
            Number::Sub(of) => Some(self.number(&of[0], row)? - self.number(&of[1], row)?),
            Number::Mul(of) => Some(self.number(&of[0], row)? * self.number(&of[1], row)?),
            Number::Count(item, of) => {
                let mut count = 0_u32;
                for row in self.rows(*item) {
                    count += u32::from(self.flag(of, row)?);
                }
                Some(f64::from(count))
            }
            Number::Sum(item, of, among) => {
                let mut total = 0.0;
                for row in self.rows(*item) {
                    if self.is_chosen(among.as_deref(), row)? {
                        total += self.number(of, row)?;
                    }
                }
                Some(total)
            }
            Number::Extreme(item, most, of, among) => {
                self.extreme(*item, *most, among.as_deref(), |row| self.number(of, row))
            }
            Number::Latest(item, of, by) => self.latest(*item, by, |row| self.number(of, row)),
        }
    }

    fn date(&self, node: &'a Date, row: u32) -> Option<i32> {
        match node {
            Date::AsOf => Some(self.asof.number),
            Date::Column(column) => self.index(*column)?.date(column.column, row),
            Date::Only(column) => self.index(*column)?.date(column.column, self.only(*column)?),
            Date::Extreme(item, most, of, among) => {
                self.extreme(*item, *most, among.as_deref(), |row| self.date(of, row))
            }
            Date::Latest(item, of, by) => self.latest(*item, by, |row| self.date(of, row)),
        }
    }

    fn text(&self, node: &'a Text, row: u32) -> Option<&'a [u8]> {
        match node {
            Text::Constant(text) => Some(text.as_bytes()),
            Text::Parameter(place, form) => match (&self.asked.parameters[*place], form) {
                (Given::Text(plain, _), Form::Plain) => Some(plain.as_bytes()),
                (Given::Text(_, normal), Form::Normal) => Some(normal.as_bytes()),
                _ => None,
            },
            Text::Brought(brought, form) => self.brought(*brought, *form).map(str::as_bytes),
            Text::Column(column) => self.index(*column)?.text(column.column, row, column.form),
            Text::Only(column) => self.index(*column)?.text(column.column, self.only(*column)?, column.form),
            Text::Latest(item, of, by) => self.latest(*item, by, |row| self.text(of, row)),
        }
    }

    fn brought(&self, brought: Brought, form: Form) -> Option<&'a str> {
        match (brought, form) {
            (Brought::Subject, _) => Some(self.asked.subject),
            (Brought::SubjectName, Form::Plain) => Some(self.asked.subject_name),
            (Brought::SubjectName, Form::Normal) => Some(self.asked.subject_name_normal),
            (Brought::Institution, _) => self.asked.institution,
        }
    }

    fn several(&self, node: &'a Several, row: u32) -> Option<Held<'a>> {
        match node {
            Several::Parameter(place, form) => match (&self.asked.parameters[*place], form) {
                (Given::Texts(plain, _), Form::Plain) => Some(Held::Plain(plain)),
                (Given::Texts(_, normal), Form::Normal) => Some(Held::Normal(normal)),
                _ => None,
            },
            Several::Column(column) => self.index(*column)?.texts(column.column, row, column.form).map(Held::Record),
            Several::Only(column) => {
                let row = self.only(*column)?;
                self.index(*column)?.texts(column.column, row, column.form).map(Held::Record)
            }
        }
    }

    fn flag(&self, node: &'a Flag, row: u32) -> Option<bool> {
        match node {
            Flag::Constant(flag) => *flag,
            Flag::Column(column) => self.index(*column)?.flag(column.column, row),
            Flag::Only(column) => self.index(*column)?.flag(column.column, self.only(*column)?),
            Flag::Not(of) => self.flag(of, row).map(|flag| !flag),
            Flag::And(of) => match self.flag(&of[0], row) {
                Some(false) => Some(false),
                Some(true) => self.flag(&of[1], row),
                None => self.flag(&of[1], row).filter(|flag| !flag),
            },
            Flag::Or(of) => match self.flag(&of[0], row) {
                Some(true) => Some(true),
                Some(false) => self.flag(&of[1], row),
                None => self.flag(&of[1], row).filter(|&flag| flag),
            },
            Flag::IsNull(of) => Some(match &**of {
                Value::Number(of) => self.number(of, row).is_none(),
                Value::Date(of) => self.date(of, row).is_none(),
                Value::Text(of) => self.text(of, row).is_none(),
                Value::Several(of) => self.several(of, row).is_none(),
                Value::Flag(of) => self.flag(of, row).is_none(),
            }),
            Flag::Numbers(compare, of) => Some(compare.holds(self.number(&of[0], row)?, self.number(&of[1], row)?)),
            Flag::Dates(compare, of) => Some(compare.holds(self.date(&of[0], row)?, self.date(&of[1], row)?)),
            Flag::Flags(equal, of) => Some((self.flag(&of[0], row)? == self.flag(&of[1], row)?) == *equal),
            Flag::Texts(equal, of) => Some((self.text(&of[0], row)? == self.text(&of[1], row)?) == *equal),
            Flag::NumberIn(of, among) => {
                let number = self.number(of, row)?;
                Some(among.contains(&number))
            }
            Flag::TextIn(of, among) => {
                let text = self.text(of, row)?;
                Some(among.iter().any(|one| one.as_bytes() == text))
            }
            Flag::FlagIn(of, among) => {
                let flag = self.flag(of, row)?;
                Some(among.contains(&flag))
            }
            Flag::Contains(several, text) => {
                let (several, text) = (self.several(several, row)?, self.text(text, row)?);
                Some(several.contains(text))
            }
            Flag::Among(value, column) => self.among(value, *column, row),
            Flag::Any(item, of) => {
                let mut found = Some(false);
                for row in self.rows(*item) {
                    match self.flag(of, row) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        None => found = None,
                    }
                }
                found
            }
            Flag::All(item, of) => {
                let mut found = Some(true);
                for row in self.rows(*item) {
                    match self.flag(of, row) {
                        Some(false) => return Some(false),
                        Some(true) => {}
                        None => found = None,
                    }
                }
                found
            }
            Flag::Exists(item) => Some(!self.rows(*item).is_empty()),
            Flag::Latest(item, of, by) => self.latest(*item, by, |row| self.flag(of, row)),
        }
    }

    /// Whether a condition lets a record in.
    fn is_chosen(&self, among: Option<&'a Flag>, row: u32) -> Option<bool> {
        among.map_or(Some(true), |among| self.flag(among, row))
    }

    /// As Python's `min` and `max`: the first of those that nothing is less, or more, than.
    fn extreme<T: PartialOrd>(
        &self,
        item: usize,
        most: Most,
        among: Option<&'a Flag>,
        value: impl Fn(u32) -> Option<T>,
    ) -> Option<T> {
        let mut found = None;
        for row in self.rows(item) {
            if self.is_chosen(among, row)? {
                let value = value(row)?;
                let is_first = found.as_ref().is_none_or(|found| match most {
                    Most::Least => value < *found,
                    Most::Greatest => value > *found,
                });
                if is_first {
                    found = Some(value);
                }
            }
        }
        found
    }

    /// The value of the latest record; unknown if one has no day, or those of the last day say different things.
    fn latest<T: PartialEq>(&self, item: usize, by: &'a By, value: impl Fn(u32) -> Option<T>) -> Option<T> {
        match by {
            By::Number(by) => self.last(item, |row| self.number(by, row), value),
            By::Date(by) => self.last(item, |row| self.date(by, row), value),
        }
    }

    fn last<T: PartialEq, D: PartialOrd>(
        &self,
        item: usize,
        day: impl Fn(u32) -> Option<D>,
        value: impl Fn(u32) -> Option<T>,
    ) -> Option<T> {
        let last = self.extreme(item, Most::Greatest, None, &day)?;
        let mut found = None;
        for row in self.rows(item) {
            if day(row)? == last {
                let value = value(row)?;
                match &found {
                    None => found = Some(value),
                    Some(found) if *found == value => {}
                    Some(_) => return None,
                }
            }
        }
        found
    }

    fn among(&self, value: &'a Value, column: Column, row: u32) -> Option<bool> {
        match value {
            Value::Number(of) => {
                self.is_held(column, self.number(of, row), |index, row| index.number(column.column, row))
            }
            Value::Date(of) => self.is_held(column, self.date(of, row), |index, row| index.date(column.column, row)),
            Value::Text(of) => {
                self.is_held(column, self.text(of, row), |index, row| index.text(column.column, row, column.form))
            }
            Value::Flag(of) => self.is_held(column, self.flag(of, row), |index, row| index.flag(column.column, row)),
            Value::Several(_) => None,
        }
    }

    fn is_held<T: PartialEq>(
        &self,
        column: Column,
        value: Option<T>,
        held: impl Fn(&'a Index, u32) -> Option<T>,
    ) -> Option<bool> {
        let rows = self.rows(column.item);
        let (Some((index, _)), Some(value)) = (self.records.0[column.item], &value) else {
            return if rows.is_empty() { Some(false) } else { None };
        };
        let mut found = Some(false);
        for row in rows {
            match held(index, row) {
                Some(one) if one == *value => return Some(true),
                Some(_) => {}
                None => found = None,
            }
        }
        found
    }
}

/// Several texts, of a parameter or a record.
enum Held<'a> {
    Plain(&'a [&'a str]),
    Normal(&'a [Box<str>]),
    Record(Texts<'a>),
}

impl Held<'_> {
    fn contains(&self, text: &[u8]) -> bool {
        match self {
            Self::Plain(texts) => texts.iter().any(|one| one.as_bytes() == text),
            Self::Normal(texts) => texts.iter().any(|one| one.as_bytes() == text),
            Self::Record(texts) => texts.contains(text),
        }
    }
}
