//! From a request's bytes to a ruling with its entry, and from the durable entry to the reply's bytes.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::committer::Recorded;
use crate::desk::Desk;
use crate::facts;
use crate::grpc::prefix;
use crate::log_file::Draft;
use crate::log_tree::Hash;
use crate::metrics::{Metrics, TurnedAway};
use crate::question::{Caller, Now, Question};
use crate::ruling::{Outcome, Versions};
use crate::wire::{BatchRequest, Request};
use crate::wire_write::{Writer, field_bytes};

/// What was decided, before it is durable: nobody may be told yet.
pub struct Decided {
    pub draft: Draft,
    /// The bytes of the answer; None: it is refused.
    pub answer: Option<Vec<u8>>,
}

/// Rules on the one question in `message`.
pub fn decide(
    desk: &Desk,
    caller: &Caller,
    message: &[u8],
    now: Now,
    metrics: &Metrics,
) -> Result<Option<Decided>, TurnedAway> {
    let request = Request::read(message).map_err(|_| TurnedAway::Malformed)?;
    let arguments = request.kind.arguments();
    let question = Question {
        subject: request.subject,
        subject_name: request.subject_name,
        predicate: request.kind.predicate,
        arguments: &arguments,
        purpose: request.purpose,
        consent: request.consent,
    };
    let ruling = desk.rule(caller, &question, now);
    metrics.ruled(ruling.outcome, ruling.reason);
    if ruling.outcome == Outcome::Refused {
        return Ok(facts::refused(caller, &ruling).map(|line| Decided { draft: Draft::Line(line), answer: None }));
    }
    let answer = answer(&desk.provider(), message, ruling.outcome, ruling.recorded_on, ruling.versions);
    let hash: Hash = Sha256::digest(&answer).into();
    Ok(facts::answered(caller, &ruling, &hash).map(|line| Decided { draft: Draft::Line(line), answer: Some(answer) }))
}

/// Rules on all checks of the batch in `message`.
pub fn decide_batch(
    desk: &Desk,
    caller: &Caller,
    message: &[u8],
    now: Now,
    metrics: &Metrics,
) -> Result<Decided, TurnedAway> {
    let request = BatchRequest::read(message).map_err(|_| TurnedAway::Malformed)?;
    // On one of the threads that work from the beginning, so that nobody is woken for each step.
    let ruling = request.with(|batch| rayon::scope(|_| desk.rule_batch(caller, batch, now)));
    metrics.ruled_batch(&ruling.outcomes);
    let mut days = Vec::with_capacity(4 * ruling.recorded_on.len());
    ruling.recorded_on.iter().for_each(|day| days.extend_from_slice(&day.to_le_bytes()));
    let mut writer = Writer::with_capacity(160 + ruling.outcomes.len() + days.len());
    writer.bytes(1, desk.provider().as_bytes());
    writer.bytes(2, &Sha256::digest(message));
    writer.bytes(3, &ruling.outcomes);
    writer.bytes(4, &days);
    writer.fixed32(5, ruling.versions.evaluated_on);
    writer.fixed32(6, ruling.versions.catalog);
    writer.fixed32(7, ruling.versions.predicates);
    let answers = writer.out;
    let hash = Sha256::digest(&answers).into();
    Ok(Decided { draft: facts::batch(caller, ruling, &hash), answer: Some(answers) })
}

fn answer(provider: &Arc<str>, message: &[u8], outcome: Outcome, recorded_on: u32, versions: Versions) -> Vec<u8> {
    let mut writer = Writer::with_capacity(128);
    writer.bytes(1, provider.as_bytes());
    writer.bytes(2, &Sha256::digest(message));
    writer.outcome(3, outcome as u8);
    writer.fixed32(4, versions.evaluated_on);
    writer.fixed32(5, recorded_on);
    writer.fixed32(6, versions.catalog);
    writer.fixed32(7, versions.predicates);
    writer.out
}

/// The reply, with its prefix, to what was answered with `answer` and is recorded: `VerifyReply` or `VerifyBatchReply`,
/// which have the same fields.
pub fn reply(answer: &[u8], recorded: &Recorded) -> Bytes {
    let (batch, place) = (&recorded.batch, recorded.place);
    let (line, sequence) = (batch.line(place), batch.sequence(place));
    let nodes = batch.path(place).count();
    let proof = field_bytes(line.len())
        + if sequence == 0 { 0 } else { 9 }
        + nodes * field_bytes(size_of::<Hash>())
        + field_bytes(batch.head.len());
    let length = field_bytes(answer.len()) + field_bytes(proof);
    let mut writer = Writer::with_capacity(prefix(0).len() + length);
    writer.out.extend_from_slice(&prefix(length));
    writer.bytes(1, answer);
    writer.begin(2, proof);
    writer.bytes(1, line);
    writer.fixed64_or_none(2, sequence);
    batch.path(place).for_each(|node| writer.bytes(3, node));
    writer.bytes(4, batch.head.as_bytes());
    debug_assert_eq!(writer.out.len(), prefix(0).len() + length);
    writer.out.into()
}
