//! Entries of an audit log, byte for byte as `fedcredit.governance.audit` writes them: JSON with sorted keys, no spaces, in
//! ASCII.

use std::fmt::Write;

use crate::days::Day;

/// The limits of the log's form: those of `fedcredit.governance.audit`.
pub const MAX_LINE_BYTES: usize = 16 * 1024;
pub const MAX_TEXT: usize = 256;
pub const MAX_BATCH: usize = 4096;

/// What may be recorded in this log.
pub const EVENTS: &[&[u8]] = &[
    b"verified",
    b"verify_refused",
    b"verify_batch",
    b"serving_changed",
    b"consent_granted",
    b"consent_revoked",
    b"policy_changed",
    b"trust_changed",
    b"log_recovered",
];

/// What of a line comes after `begin`: fewer bytes than this.
const MAX_END_BYTES: usize = 128;

/// A fact: a text, a whole number or a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact<'a> {
    Text(&'a str),
    Number(u64),
    Flag(bool),
}

/// An entry's line as far as it does not depend on its place and time. `facts` are in the order of their names.
///
/// None if it could not be read again: a fact of no plain name, out of order, or too long.
pub fn begin(event: &str, facts: &[(&str, Fact<'_>)]) -> Option<Vec<u8>> {
    if !EVENTS.contains(&event.as_bytes()) || facts.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
        return None;
    }
    let mut out = String::with_capacity(640);
    let _ = write!(out, "{{\"event\":\"{event}\",\"facts\":{{");
    for (place, (name, fact)) in facts.iter().enumerate() {
        if !is_name(name) {
            return None;
        }
        if place > 0 {
            out.push(',');
        }
        let _ = write!(out, "\"{name}\":");
        match *fact {
            Fact::Text(text) if text.chars().count() > MAX_TEXT => return None,
            Fact::Text(text) => quote(&mut out, text),
            Fact::Number(number) => drop(write!(out, "{number}")),
            Fact::Flag(flag) => out.push_str(if flag { "true" } else { "false" }),
        }
    }
    out.push_str("},\"job\":\"\"");
    (out.len() <= MAX_LINE_BYTES - MAX_END_BYTES).then(|| out.into_bytes())
}

/// Adds to `block` the line of an entry with its end.
pub fn finish(block: &mut Vec<u8>, begin: &[u8], sequence: u64, more: usize, time: &str) {
    use std::io::Write;
    block.extend_from_slice(begin);
    if more > 0 {
        let _ = write!(block, ",\"more\":{more}");
    }
    let _ = writeln!(block, ",\"sequence\":{sequence},\"time\":\"{time}\"}}");
}

/// A moment as entries have it. Units: milliseconds since 1970, up to the year 9999.
pub fn stamp(unix_ms: i64) -> String {
    let (seconds, millis) = (unix_ms.div_euclid(1000), unix_ms.rem_euclid(1000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let Day { year, month, of_month, .. } = Day::new(i32::try_from(days).unwrap_or(i32::MAX));
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{of_month:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}+00:00")
}

fn is_name(name: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.len() <= 40 && name.as_bytes().first().is_some_and(u8::is_ascii_lowercase) && name.bytes().all(rest)
}

/// A text as Python's `json` writes it in ASCII.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_one_that_python_writes() {
        let facts = [
            ("answer", Fact::Text("0f")),
            ("count", Fact::Number(3)),
            ("ok", Fact::Flag(true)),
            ("rule", Fact::Text("规则 \"a\"\u{7f}\u{1f600}\n")),
        ];
        let begun = begin("verified", &facts).unwrap();
        let mut line = Vec::new();
        finish(&mut line, &begun, 41, 2, &stamp(1_777_896_000_007));
        let expected = "{\"event\":\"verified\",\"facts\":{\"answer\":\"0f\",\"count\":3,\"ok\":true,\
            \"rule\":\"\\u89c4\\u5219 \\\"a\\\"\\u007f\\ud83d\\ude00\\n\"},\"job\":\"\",\"more\":2,\"sequence\":41,\
            \"time\":\"2026-05-04T12:00:00.007+00:00\"}\n";
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }

    #[test]
    fn what_could_not_be_read_again_is_not_written() {
        assert!(begin("unheard_of", &[]).is_none());
        assert!(begin("verified", &[("Name", Fact::Flag(true))]).is_none());
        assert!(begin("verified", &[("b", Fact::Flag(true)), ("a", Fact::Flag(true))]).is_none());
        assert!(begin("verified", &[("a", Fact::Text(&"x".repeat(257)))]).is_none());
        assert!(begin("verified", &[("a", Fact::Text(&"规".repeat(256)))]).is_some());
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(stamp(0), "1970-01-01T00:00:00.000+00:00");
        assert_eq!(stamp(951_782_400_000), "2000-02-29T00:00:00.000+00:00");
        assert_eq!(stamp(4_107_542_399_999), "2100-02-28T23:59:59.999+00:00");
        assert_eq!(stamp(4_107_542_400_000), "2100-03-01T00:00:00.000+00:00");
    }
}
