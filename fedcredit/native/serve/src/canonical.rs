//! The one form of JSON that a token may have, so that two readers cannot read two things.
//!
//! Keys rise, no blanks, printable ASCII without backslashes, no key twice, integers of at most 15 characters and no
//! other numbers: what `fedcredit/governance/consent/canonical.py` writes, and nothing else.

/// A value, borrowed from the text.
#[derive(Debug, Clone, PartialEq)]
pub enum Json<'a> {
    Null,
    Flag(bool),
    Number(i64),
    Text(&'a str),
    List(Vec<Json<'a>>),
    Object(Vec<(&'a str, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// The members of an object with exactly these keys, in their order, which has to rise.
    pub fn members<const N: usize>(&self, keys: [&str; N]) -> Option<[&Json<'a>; N]> {
        let Self::Object(members) = self else { return None };
        if members.len() != N || members.iter().zip(keys).any(|((key, _), wanted)| *key != wanted) {
            return None;
        }
        Some(std::array::from_fn(|place| &members[place].1))
    }

    pub fn text(&self) -> Option<&'a str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub fn number(&self) -> Option<i64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    pub fn list(&self) -> Option<&[Json<'a>]> {
        if let Self::List(list) = self { Some(list) } else { None }
    }
}

const MAX_DEPTH: i32 = 8;
const MAX_DIGITS: usize = 15;

/// What the bytes say. None: they are not in that form.
pub fn read(data: &[u8]) -> Option<Json<'_>> {
    let text = std::str::from_utf8(data).ok()?;
    if !data.iter().all(|&byte| (0x20..=0x7e).contains(&byte) && byte != b'\\') {
        return None;
    }
    // Brackets inside of texts count too; no text of a token has any.
    let mut deep = 0;
    for byte in data {
        deep += i32::from(matches!(byte, b'[' | b'{')) - i32::from(matches!(byte, b']' | b'}'));
        if deep > MAX_DEPTH {
            return None;
        }
    }
    let mut reader = Reader { text, place: 0 };
    let value = reader.value(0)?;
    (reader.place == text.len()).then_some(value)
}

struct Reader<'a> {
    text: &'a str,
    place: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.place).copied()
    }

    fn takes(&mut self, wanted: &str) -> Option<()> {
        self.text[self.place..].starts_with(wanted).then(|| self.place += wanted.len())
    }

    fn value(&mut self, depth: usize) -> Option<Json<'a>> {
        match self.peek()? {
            // Texts may have brackets that close before they open, so that what was counted is no bound on this.
            b'{' | b'[' if depth >= MAX_DEPTH as usize => None,
            b'{' => self.object(depth),
            b'[' => self.list(depth),
            b'"' => self.string().map(Json::Text),
            b't' => self.takes("true").map(|()| Json::Flag(true)),
            b'f' => self.takes("false").map(|()| Json::Flag(false)),
            b'n' => self.takes("null").map(|()| Json::Null),
            _ => self.number(),
        }
    }

    fn string(&mut self) -> Option<&'a str> {
        self.takes("\"")?;
        let start = self.place;
        let length = self.text[start..].find('"')?;
        self.place += length + 1;
        Some(&self.text[start..start + length])
    }

    fn number(&mut self) -> Option<Json<'a>> {
        let rest = &self.text[self.place..];
        let length = rest.bytes().position(|byte| !matches!(byte, b'0'..=b'9' | b'-')).unwrap_or(rest.len());
        let number = &rest[..length];
        let digits = number.strip_prefix('-').unwrap_or(number);
        let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let is_shortest = number == "0" || !digits.starts_with('0');
        if length > MAX_DIGITS || !is_plain || !is_shortest {
            return None;
        }
        self.place += length;
        number.parse().ok().map(Json::Number)
    }

    fn list(&mut self, depth: usize) -> Option<Json<'a>> {
        self.takes("[")?;
        let mut found = Vec::new();
        if self.takes("]").is_some() {
            return Some(Json::List(found));
        }
        loop {
            found.push(self.value(depth + 1)?);
            if self.takes("]").is_some() {
                return Some(Json::List(found));
            }
            self.takes(",")?;
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json<'a>> {
        self.takes("{")?;
        let mut found: Vec<(&str, Json<'_>)> = Vec::new();
        if self.takes("}").is_some() {
            return Some(Json::Object(found));
        }
        loop {
            let key = self.string()?;
            if found.last().is_some_and(|(before, _)| *before >= key) {
                return None;
            }
            self.takes(":")?;
            found.push((key, self.value(depth + 1)?));
            if self.takes("}").is_some() {
                return Some(Json::Object(found));
            }
            self.takes(",")?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn one_form_is_read_and_no_other() {
        for good in ["{}", "[]", "0", "-1", "\"\"", "[1,2]", "{\"a\":[],\"b\":{\"a\":null}}", "123456789012345", "true"]
        {
            assert!(read(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            "",
            " {}",
            "{} ",
            "[1, 2]",
            "{\"b\":1,\"a\":1}",
            "{\"a\":1,\"a\":1}",
            "01",
            "-0",
            "+1",
            "1.0",
            "1e3",
            "--1",
            "1-1",
            "-",
            "1234567890123456",
            "\"\\u0041\"",
            "\"é\"",
            "\"",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "{\"a\"",
            "{\"a\":1,}",
            "{a:1}",
            "nul",
            "NaN",
            "[[[[[[[[[1]]]]]]]]]",
            "[\"]]\",[[[[[[[[]]]]]]]]]",
            "\u{feff}{}",
            "{}{}",
        ] {
            assert!(read(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
