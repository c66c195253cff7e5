//! Messages of `protos/fedcredit/v1/verify.proto`, read without copying and in their one encoding: fields in the order of
//! their numbers, each once, numbers in their shortest form, nothing unknown and no default written out.
//!
//! The bounds are those of `fedcredit.wire.verification`. Whatever is read borrows from the message.

use crate::question::{Argument, ArgumentValue, Batch, Check, Kind};

pub const MAX_REQUEST_BYTES: usize = 32 << 10;
pub const MAX_BATCH_BYTES: usize = 8 << 20;
pub const MAX_CHECKS: usize = 1 << 16;
pub const MAX_KINDS: usize = 256;
pub const NONCE_BYTES: usize = 16;
const MAX_CONSENT: usize = 4096;
const MAX_NAME: usize = 64;
const MAX_SUBJECT: usize = 256;
const MAX_TEXT: usize = 1024;
const MAX_TEXTS: usize = 64;
const MAX_ARGUMENTS: usize = 16;

/// Bytes that are no message in its one encoding and within its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

type Read<T> = Result<T, Malformed>;

/// One question as it came.
#[derive(Debug, Default)]
pub struct Request<'a> {
    pub subject: &'a str,
    pub subject_name: &'a str,
    pub kind: AskedKind<'a>,
    pub purpose: &'a str,
    pub consent: &'a str,
}

/// A predicate and its arguments; the texts of all of them lie in one list.
#[derive(Debug, Default)]
pub struct AskedKind<'a> {
    pub predicate: &'a str,
    arguments: Vec<(&'a str, Value<'a>)>,
    texts: Vec<&'a str>,
}

#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Number(f64),
    Text(&'a str),
    /// From there to there in the list of texts.
    Texts(usize, usize),
}

/// Many checks as they came.
#[derive(Debug, Default)]
pub struct BatchRequest<'a> {
    pub purpose: &'a str,
    pub consents: Vec<&'a str>,
    pub checks: Vec<Check<'a>>,
    kinds: Vec<AskedKind<'a>>,
}

impl<'a> Request<'a> {
    /// The request in `data`.
    pub fn read(data: &'a [u8]) -> Read<Self> {
        let mut request = Self::default();
        let (mut asked, mut nonce) = (false, false);
        if data.len() > MAX_REQUEST_BYTES {
            return Err(Malformed);
        }
        let mut fields = Fields::of(data);
        while let Some((number, wire)) = fields.next(&[])? {
            match (number, wire) {
                (1, BYTES) => {
                    request.read_question(fields.bytes()?)?;
                    asked = true;
                }
                (2, BYTES) => request.purpose = fields.text(1, MAX_NAME)?,
                (3, BYTES) => request.consent = fields.text(1, MAX_CONSENT)?,
                (4, BYTES) => nonce = fields.bytes()?.len() == NONCE_BYTES,
                _ => return Err(Malformed),
            }
        }
        if asked && nonce && !request.purpose.is_empty() { Ok(request) } else { Err(Malformed) }
    }

    fn read_question(&mut self, data: &'a [u8]) -> Read<()> {
        let mut fields = Fields::of(data);
        while let Some((number, wire)) = fields.next(&[3])? {
            match (number, wire) {
                (1, BYTES) => self.subject = fields.text(1, MAX_SUBJECT)?,
                (2, BYTES) => self.kind.predicate = fields.text(1, MAX_NAME)?,
                (3, BYTES) => self.kind.read_argument(fields.bytes()?)?,
                (4, BYTES) => self.subject_name = fields.text(1, MAX_SUBJECT)?,
                _ => return Err(Malformed),
            }
        }
        if self.subject.is_empty() || self.kind.predicate.is_empty() { Err(Malformed) } else { Ok(()) }
    }
}

impl<'a> AskedKind<'a> {
    /// The arguments, as the desk takes them. `texts` holds what they borrow.
    pub fn arguments(&self) -> Vec<Argument<'_>> {
        let value = |value: &Value<'a>| match *value {
            Value::Number(number) => ArgumentValue::Number(number),
            Value::Text(text) => ArgumentValue::Text(text),
            Value::Texts(from, to) => ArgumentValue::Texts(&self.texts[from..to]),
        };
        self.arguments.iter().map(|(name, given)| Argument { name, value: value(given) }).collect()
    }

    fn read(data: &'a [u8]) -> Read<Self> {
        let mut kind = Self::default();
        let mut fields = Fields::of(data);
        while let Some((number, wire)) = fields.next(&[2])? {
            match (number, wire) {
                (1, BYTES) => kind.predicate = fields.text(1, MAX_NAME)?,
                (2, BYTES) => kind.read_argument(fields.bytes()?)?,
                _ => return Err(Malformed),
            }
        }
        if kind.predicate.is_empty() { Err(Malformed) } else { Ok(kind) }
    }

    fn read_argument(&mut self, data: &'a [u8]) -> Read<()> {
        let (mut name, mut value) = ("", None);
        let mut fields = Fields::of(data);
        while let Some((number, wire)) = fields.next(&[])? {
            let given = match (number, wire) {
                (1, BYTES) => {
                    name = fields.text(1, MAX_NAME)?;
                    continue;
                }
                (2, FIXED64) => Value::Number(fields.double()?),
                (3, BYTES) => Value::Text(fields.text(0, MAX_TEXT)?),
                (4, BYTES) => self.read_texts(fields.bytes()?)?,
                _ => return Err(Malformed),
            };
            if value.replace(given).is_some() {
                return Err(Malformed);
            }
        }
        let in_order = self.arguments.last().is_none_or(|(before, _)| *before < name);
        if name.is_empty() || !in_order || self.arguments.len() == MAX_ARGUMENTS {
            return Err(Malformed);
        }
        self.arguments.push((name, value.ok_or(Malformed)?));
        Ok(())
    }

    fn read_texts(&mut self, data: &'a [u8]) -> Read<Value<'a>> {
        let from = self.texts.len();
        let mut fields = Fields::of(data);
        while let Some((number, wire)) = fields.next(&[1])? {
            if (number, wire) != (1, BYTES) || self.texts.len() - from == MAX_TEXTS {
                return Err(Malformed);
            }
            self.texts.push(fields.text(0, MAX_TEXT)?);
        }
        Ok(Value::Texts(from, self.texts.len()))
    }
}

impl<'a> BatchRequest<'a> {
    /// The request in `data`.
    pub fn read(data: &'a [u8]) -> Read<Self> {
        let (mut batch, mut nonce) = (Self::default(), false);
        if data.len() > MAX_BATCH_BYTES {
            return Err(Malformed);
        }
        let mut fields = Fields::of(data);
        while let Some((number, wire)) = fields.next(&[1, 4, 5])? {
            match (number, wire) {
                (1, BYTES) if batch.consents.len() < MAX_CHECKS => batch.consents.push(fields.text(0, MAX_CONSENT)?),
                (2, BYTES) => batch.purpose = fields.text(1, MAX_NAME)?,
                (3, BYTES) => nonce = fields.bytes()?.len() == NONCE_BYTES,
                (4, BYTES) if batch.checks.len() < MAX_CHECKS => batch.checks.push(read_check(fields.bytes()?)?),
                (5, BYTES) if batch.kinds.len() < MAX_KINDS => batch.kinds.push(AskedKind::read(fields.bytes()?)?),
                _ => return Err(Malformed),
            }
        }
        let there = |check: &Check<'_>| {
            (check.kind as usize) < batch.kinds.len() && (check.consent as usize) < batch.consents.len()
        };
        let whole = nonce && !batch.purpose.is_empty() && !batch.checks.is_empty() && batch.checks.iter().all(there);
        if whole { Ok(batch) } else { Err(Malformed) }
    }

    /// Calls `then` with the batch as the desk takes it.
    pub fn with<T>(&self, then: impl FnOnce(&Batch<'_>) -> T) -> T {
        let arguments: Vec<Vec<Argument<'_>>> = self.kinds.iter().map(AskedKind::arguments).collect();
        let kinds = self.kinds.iter().zip(&arguments);
        let kinds: Vec<Kind<'_>> =
            kinds.map(|(kind, arguments)| Kind { predicate: kind.predicate, arguments }).collect();
        then(&Batch { purpose: self.purpose, consents: &self.consents, kinds: &kinds, checks: &self.checks })
    }
}

fn read_check(data: &[u8]) -> Read<Check<'_>> {
    let mut check = Check { subject: "", kind: 0, consent: 0 };
    let mut fields = Fields::of(data);
    while let Some((number, wire)) = fields.next(&[])? {
        match (number, wire) {
            (1, BYTES) => check.subject = fields.text(1, MAX_SUBJECT)?,
            (2, VARINT) => check.kind = fields.word()?,
            (3, VARINT) => check.consent = fields.word()?,
            _ => return Err(Malformed),
        }
    }
    if check.subject.is_empty() { Err(Malformed) } else { Ok(check) }
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;

/// The fields of a message, one after the other.
struct Fields<'a> {
    data: &'a [u8],
    last: u64,
}

impl<'a> Fields<'a> {
    fn of(data: &'a [u8]) -> Self {
        Self { data, last: 0 }
    }

    /// Number and wire type of the next field; its value must be read before the next one. None at the end.
    fn next(&mut self, repeated: &[u64]) -> Read<Option<(u64, u64)>> {
        if self.data.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let (number, wire) = (key >> 3, key & 7);
        if number < self.last || (number == self.last && !repeated.contains(&number)) {
            return Err(Malformed);
        }
        self.last = number;
        Ok(Some((number, wire)))
    }

    #[inline]
    fn varint(&mut self) -> Read<u64> {
        // Most have one byte.
        if let Some((byte @ 0..=0x7f, rest)) = self.data.split_first() {
            self.data = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Read<u64> {
        let mut value = 0u64;
        for place in 0..10 {
            let (byte, rest) = self.data.split_first().ok_or(Malformed)?;
            self.data = rest;
            if place == 9 && *byte > 1 {
                return Err(Malformed);
            }
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                // A last byte of zero is a longer form of a shorter number.
                return if *byte == 0 && place > 0 { Err(Malformed) } else { Ok(value) };
            }
        }
        Err(Malformed)
    }

    fn bytes(&mut self) -> Read<&'a [u8]> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        let (value, rest) = self.data.split_at_checked(length).ok_or(Malformed)?;
        self.data = rest;
        Ok(value)
    }

    fn text(&mut self, low: usize, high: usize) -> Read<&'a str> {
        let value = self.bytes()?;
        if !(low..=high).contains(&value.len()) {
            return Err(Malformed);
        }
        std::str::from_utf8(value).map_err(|_| Malformed)
    }

    /// A number of 32 bits that is not the default.
    fn word(&mut self) -> Read<u32> {
        match u32::try_from(self.varint()?) {
            Ok(0) | Err(_) => Err(Malformed),
            Ok(word) => Ok(word),
        }
    }

    fn double(&mut self) -> Read<f64> {
        let (value, rest) = self.data.split_first_chunk::<8>().ok_or(Malformed)?;
        self.data = rest;
        let value = f64::from_le_bytes(*value);
        if value.is_finite() { Ok(value) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire_write::Writer;

    fn field(number: u8, value: &[u8]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.bytes(number, value);
        writer.out
    }

    fn argument(name: &str, value: &[u8]) -> Vec<u8> {
        field(3, &[field(1, name.as_bytes()), value.to_vec()].concat())
    }

    fn number(value: f64) -> Vec<u8> {
        [&[0x11], &value.to_le_bytes()[..]].concat()
    }

    fn request(question: &[u8], rest: &[u8]) -> Vec<u8> {
        [field(1, question), field(2, b"financing"), field(3, b"a.b.c"), field(4, &[9; 16]), rest.to_vec()].concat()
    }

    fn question(arguments: &[Vec<u8>]) -> Vec<u8> {
        [field(1, b"9132"), field(2, b"continuous"), arguments.concat()].concat()
    }

    #[test]
    fn a_request_is_read_where_it_lies() {
        let texts = field(4, &[field(1, b"2024"), field(1, b"")].concat());
        let data = request(&question(&[argument("k", &number(6.0)), argument("years", &texts)]), &[]);
        let read = Request::read(&data).unwrap();
        assert_eq!((read.subject, read.kind.predicate, read.purpose), ("9132", "continuous", "financing"));
        assert_eq!((read.consent, read.subject_name), ("a.b.c", ""));
        let expected = [
            Argument { name: "k", value: ArgumentValue::Number(6.0) },
            Argument { name: "years", value: ArgumentValue::Texts(&["2024", ""]) },
        ];
        assert_eq!(read.kind.arguments(), expected);
    }

    #[test]
    fn another_form_of_a_request_is_refused() {
        let good = question(&[argument("k", &number(6.0))]);
        assert!(Request::read(&request(&good, &[])).is_ok());
        let many: Vec<Vec<u8>> = (0..17).map(|i| argument(&format!("a{i:02}"), &number(1.0))).collect();
        let bad = [
            Vec::new(),
            vec![0xff],
            request(&good, &[0]),
            request(&good, &field(5, b"x")),
            request(&good, &field(4, &[9; 16])),
            request(&[], &[]),
            request(&question(&[argument("k", &number(f64::NAN))]), &[]),
            request(&question(&[argument("k", &[])]), &[]),
            request(&question(&[argument("k", &number(1.0)), argument("k", &number(1.0))]), &[]),
            request(&question(&[argument("k", &number(1.0)), argument("a", &number(1.0))]), &[]),
            request(&question(&[argument("k", &[number(1.0), field(3, b"x")].concat())]), &[]),
            request(&question(&many), &[]),
            [field(1, &good), field(2, b"financing"), field(4, &[9; 15])].concat(),
            [field(1, &good), field(2, b""), field(4, &[9; 16])].concat(),
            [field(2, b"financing"), field(1, &good), field(4, &[9; 16])].concat(),
            [field(1, &good), field(2, b"\xff\xfe"), field(4, &[9; 16])].concat(),
            [field(1, &good), field(2, b"financing"), field(3, &[b'x'; 4097]), field(4, &[9; 16])].concat(),
            // The length of the purpose in two bytes where one will do.
            [field(1, &good), vec![0x12, 0x89, 0x00], b"financing".to_vec(), field(4, &[9; 16])].concat(),
        ];
        for (at, data) in bad.iter().enumerate() {
            assert_eq!(Request::read(data).err(), Some(Malformed), "{at}");
        }
        let whole = request(&good, &[]);
        for cut in 0..whole.len() {
            assert!(Request::read(&whole[..cut]).is_err());
        }
    }

    #[test]
    fn a_check_names_what_is_there() {
        let kind = field(5, &field(1, b"continuous"));
        let batch = |check: &[u8]| {
            [field(1, b""), field(2, b"financing"), field(3, &[9; 16]), field(4, check), kind.clone()].concat()
        };
        let good = batch(&field(1, b"x"));
        let read = BatchRequest::read(&good).unwrap();
        assert_eq!(
            read.with(|batch| (batch.checks.len(), batch.kinds[0].predicate.to_owned())),
            (1, "continuous".into())
        );
        for numbers in [&[0x10, 1][..], &[0x18, 1], &[0x10, 0], &[0x10, 0x80, 0x80, 0x80, 0x80, 0x10]] {
            assert!(BatchRequest::read(&batch(&[field(1, b"x"), numbers.to_vec()].concat())).is_err());
        }
        assert!(BatchRequest::read(&batch(&[])).is_err());
    }
}
