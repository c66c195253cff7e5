//! What of a ruling stands in the log, and back: rulings of the past, read from the log when it is opened.
//!
//! An entry over an answer goes out with the answer, as part of its proof. So it does not say why an answer is `unknown`,
//! and is equally long for every outcome: the outcome stands there as a number, the record's day in five digits.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::days::day_number;
use crate::hexadecimal::{hex, unhex};
use crate::log_entry::{Fact, begin};
use crate::log_file::{Checks, Draft};
use crate::log_scan::Broken;
use crate::log_tree::Hash;
use crate::question::Caller;
use crate::ruling::{BatchRuling, CHECK_RECORD_BYTES, CheckRecord, Outcome, Reason, Record, Ruling, tag};

/// The line of an answer. None if it could not be read again.
pub fn answered(caller: &Caller, ruling: &Ruling, answer: &Hash) -> Option<Vec<u8>> {
    let facts = &ruling.facts;
    let consent = facts.consent.map(|consent| hex(&consent)).unwrap_or_default();
    begin(
        "verified",
        &[
            ("answer", Fact::Text(&hex(answer))),
            ("consent", Fact::Text(&consent)),
            ("item", Fact::Text(&facts.item)),
            ("outcome", Fact::Number(ruling.outcome as u64)),
            ("predicate", Fact::Text(&facts.predicate)),
            ("purpose", Fact::Text(&facts.purpose)),
            ("question", Fact::Text(&hex(&facts.question))),
            ("recorded", Fact::Text(&format!("{:05}", ruling.recorded_on))),
            ("requester", Fact::Text(&caller.party)),
            ("rule", Fact::Text(&facts.rule)),
            ("subject", Fact::Text(&hex(&facts.subject))),
        ],
    )
}

/// The line of a refusal, which goes to nobody.
pub fn refused(caller: &Caller, ruling: &Ruling) -> Option<Vec<u8>> {
    let facts = &ruling.facts;
    let consent = facts.consent.map(|consent| hex(&consent)).unwrap_or_default();
    begin(
        "verify_refused",
        &[
            ("consent", Fact::Text(&consent)),
            ("item", Fact::Text(&facts.item)),
            ("predicate", Fact::Text(&facts.predicate)),
            ("purpose", Fact::Text(&facts.purpose)),
            ("question", Fact::Text(&hex(&facts.question))),
            ("reason", Fact::Text(ruling.reason.as_str())),
            ("requester", Fact::Text(&caller.party)),
            ("rule", Fact::Text(&facts.rule)),
            ("subject", Fact::Text(&hex(&facts.subject))),
        ],
    )
}

/// The entry of a batch, and the records of its checks.
pub fn batch(caller: &Caller, ruling: BatchRuling, answers: &Hash) -> Draft {
    let (answer, hash) = (hex(answers), hex(&Sha256::digest(&ruling.records)));
    let (count, bytes) = (ruling.outcomes.len() as u64, ruling.records.len() as u64);
    let (purpose, requester) = (ruling.purpose, caller.party.clone());
    let line = move |at: u64| {
        let facts = [
            ("answer", Fact::Text(&answer)),
            ("checks", Fact::Number(count)),
            ("checks_at", Fact::Number(at)),
            ("checks_bytes", Fact::Number(bytes)),
            ("checks_hash", Fact::Text(&hash)),
            ("purpose", Fact::Text(&purpose)),
            ("requester", Fact::Text(&requester)),
        ];
        begin("verify_batch", &facts)
    };
    Draft::Checks { records: ruling.records, begin: Box::new(line) }
}

/// An entry as far as it is of interest here.
#[derive(Deserialize)]
struct Entry<'a> {
    event: &'a str,
    facts: serde_json::Map<String, serde_json::Value>,
    time: &'a str,
}

/// Calls `replay` with every ruling that an entry of the log holds.
pub fn replay(line: &[u8], checks: &mut Checks<'_>, replay: &mut dyn FnMut(&Record<'_>)) -> Result<(), Broken> {
    let strange = || Broken::new("AUDIT_ENTRY", "an entry of verification lacks its facts");
    let entry: Entry<'_> = serde_json::from_slice(line).map_err(|_| strange())?;
    let text = |name: &str| entry.facts.get(name).and_then(serde_json::Value::as_str).ok_or_else(strange);
    let number = |name: &str| entry.facts.get(name).and_then(serde_json::Value::as_u64).ok_or_else(strange);
    let sixteen = |name: &str| match text(name)? {
        "" => Ok([0; 16]),
        digits => unhex::<16>(digits).ok_or_else(strange),
    };
    let named = |name: &str| text(name).map(|name| if name.is_empty() { 0 } else { tag(name) });
    let answered = match entry.event {
        "verified" => true,
        "verify_refused" => false,
        "verify_batch" => {
            let hash = unhex::<32>(text("checks_hash")?).ok_or_else(strange)?;
            let records = checks.read(number("checks_at")?, number("checks_bytes")?, &hash)?;
            let (records, rest) = records.as_chunks::<CHECK_RECORD_BYTES>();
            if !rest.is_empty() {
                return Err(strange());
            }
            let (at_s, requester) = (seconds(entry.time).ok_or_else(strange)?, text("requester")?);
            for record in records {
                let check = CheckRecord::decode(record).ok_or_else(strange)?;
                replay(&Record { at_s, requester, check });
            }
            return Ok(());
        }
        _ => return Ok(()),
    };
    let (outcome, reason, recorded_on) = if answered {
        let outcome = u8::try_from(number("outcome")?).ok().and_then(Outcome::from_code).ok_or_else(strange)?;
        (outcome, Reason::Decided, text("recorded")?.parse().map_err(|_| strange())?)
    } else {
        (Outcome::Refused, Reason::from_name(text("reason")?).ok_or_else(strange)?, 0)
    };
    let check = CheckRecord {
        subject: sixteen("subject")?,
        consent: sixteen("consent")?,
        question: sixteen("question")?,
        item: named("item")?,
        predicate: named("predicate")?,
        rule: named("rule")?,
        recorded_on,
        outcome,
        reason,
    };
    replay(&Record { at_s: seconds(entry.time).ok_or_else(strange)?, requester: text("requester")?, check });
    Ok(())
}

/// Seconds since 1970 of a moment as entries have it.
fn seconds(time: &str) -> Option<i64> {
    let part = |from: usize, to: usize| time.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let days = day_number(year, month, day);
    Some(days * 86_400 + part(11, 13)? * 3600 + part(14, 16)? * 60 + part(17, 19)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_entry::stamp;

    #[test]
    fn moments_read_back() {
        for unix_ms in [0, 951_782_400_000, 1_777_896_000_007, 4_107_542_399_999, 4_107_542_400_000] {
            assert_eq!(seconds(&stamp(unix_ms)), Some(unix_ms / 1000));
        }
    }
}
