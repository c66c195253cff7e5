//! The nodes of a program's tree, by the type of their value. Each is unknown where what it takes is, unless it says.

use crate::index::Form;

/// A column of an item: the item's place in the program, and the column's in its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    pub item: usize,
    pub column: usize,
    pub form: Form,
}

/// Whom a text that every enquiry has is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    Subject,
    SubjectName,
    Institution,
}

#[derive(Debug)]
pub enum Number {
    Constant(f64),
    Parameter(usize),
    Column(Column),
    Only(Column),
    Abs(Box<Number>),
    Year(Box<Date>),
    DaysSince(Box<Date>),
    MonthsSince(Box<Date>),
    YearsSince(Box<Date>),
    Add(Box<[Number; 2]>),
    Sub(Box<[Number; 2]>),
    Mul(Box<[Number; 2]>),
    Count(usize, Box<Flag>),
    Sum(usize, Box<Number>, Option<Box<Flag>>),
    Extreme(usize, Most, Box<Number>, Option<Box<Flag>>),
    Latest(usize, Box<Number>, By),
}

#[derive(Debug)]
pub enum Date {
    AsOf,
    Column(Column),
    Only(Column),
    Extreme(usize, Most, Box<Date>, Option<Box<Flag>>),
    Latest(usize, Box<Date>, By),
}

#[derive(Debug)]
pub enum Text {
    Constant(Box<str>),
    Parameter(usize, Form),
    Brought(Brought, Form),
    Column(Column),
    Only(Column),
    Latest(usize, Box<Text>, By),
}

#[derive(Debug)]
pub enum Several {
    Parameter(usize, Form),
    Column(Column),
    Only(Column),
}

#[derive(Debug)]
pub enum Flag {
    Constant(Option<bool>),
    Column(Column),
    Only(Column),
    Not(Box<Flag>),
    And(Box<[Flag; 2]>),
    Or(Box<[Flag; 2]>),
    IsNull(Box<Value>),
    Numbers(Compare, Box<[Number; 2]>),
    Dates(Compare, Box<[Date; 2]>),
    Flags(bool, Box<[Flag; 2]>),
    Texts(bool, Box<[Text; 2]>),
    NumberIn(Box<Number>, Box<[f64]>),
    TextIn(Box<Text>, Box<[Box<str>]>),
    FlagIn(Box<Flag>, Box<[bool]>),
    Contains(Box<Several>, Box<Text>),
    Among(Box<Value>, Column),
    Any(usize, Box<Flag>),
    All(usize, Box<Flag>),
    Exists(usize),
    Latest(usize, Box<Flag>, By),
}

/// A node of any type.
#[derive(Debug)]
pub enum Value {
    Number(Number),
    Date(Date),
    Text(Text),
    Several(Several),
    Flag(Flag),
}

#[derive(Debug)]
pub enum By {
    Number(Box<Number>),
    Date(Box<Date>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Most {
    Least,
    Greatest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Compare {
    #[inline]
    pub fn holds<T: PartialOrd>(self, left: T, right: T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Unequal => left != right,
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::More => left > right,
            Self::AtLeast => left >= right,
        }
    }
}
