//! gRPC on an HTTP/2 stream: deadlines, messages with their prefix, statuses. No compression.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Response};

use crate::frames;
use crate::metrics::TurnedAway;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const CONTENT_TYPE_TEXT: &str = "application/grpc";
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static(CONTENT_TYPE_TEXT);
const PREFIX_BYTES: usize = 5;
/// What is set aside for a message before it has come.
const FIRST_BYTES: usize = 16 << 10;

/// How a call ended that was not answered: the status of gRPC and a code, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    number: &'static str,
    code: &'static str,
}

/// Outside, all refusals are this one.
pub const REFUSED: Status = Status { number: "7", code: "VERIFY_REFUSED" };
pub const INTERNAL: Status = Status { number: "13", code: "INTERNAL" };
pub const UNKNOWN_SERVICE: Status = Status { number: "5", code: "SERVICE_UNKNOWN" };

impl From<TurnedAway> for Status {
    fn from(why: TurnedAway) -> Self {
        let (number, code) = match why {
            TurnedAway::Overload => ("8", "OVERLOADED"),
            TurnedAway::Malformed => ("3", "MESSAGE_INVALID"),
            TurnedAway::TooLarge => ("8", "TOO_LARGE"),
            TurnedAway::NoDeadline => ("3", "DEADLINE_REQUIRED"),
            TurnedAway::Late => ("4", "DEADLINE_EXCEEDED"),
            TurnedAway::Unimplemented => ("12", "UNIMPLEMENTED"),
            TurnedAway::Unavailable => ("14", "UNAVAILABLE"),
            TurnedAway::Untrusted => ("16", "TLS_UNTRUSTED"),
        };
        Self { number, code }
    }
}

/// Ends a call that was not answered at all. A caller that has gone is not told.
pub fn end(respond: &mut SendResponse<Bytes>, status: Status) {
    let mut response = Response::new(());
    response.headers_mut().insert(http::header::CONTENT_TYPE, CONTENT_TYPE);
    fill(response.headers_mut(), status.number, status.code);
    let _ = respond.send_response(response, true);
}

/// What `end` says, as it stands in a frame.
pub fn ending(status: Status) -> Vec<u8> {
    frames::ending(CONTENT_TYPE_TEXT, &[(STATUS.as_str(), status.number), (MESSAGE.as_str(), status.code)])
}

/// Begins to answer.
pub fn begin(respond: &mut SendResponse<Bytes>) -> Option<SendStream<Bytes>> {
    let mut response = Response::new(());
    response.headers_mut().insert(http::header::CONTENT_TYPE, CONTENT_TYPE);
    respond.send_response(response, false).ok()
}

/// Ends a call that was answered.
pub fn done(stream: &mut SendStream<Bytes>) {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(STATUS, HeaderValue::from_static("0"));
    let _ = stream.send_trailers(trailers);
}

/// Ends a call of which a part was answered.
pub fn fail(stream: &mut SendStream<Bytes>, status: Status) {
    let mut trailers = HeaderMap::with_capacity(2);
    fill(&mut trailers, status.number, status.code);
    let _ = stream.send_trailers(trailers);
}

fn fill(headers: &mut HeaderMap, number: &'static str, code: &'static str) {
    headers.insert(STATUS, HeaderValue::from_static(number));
    headers.insert(MESSAGE, HeaderValue::from_static(code));
}

/// The prefix of a message of so many bytes.
pub fn prefix(length: usize) -> [u8; PREFIX_BYTES] {
    let [a, b, c, d] = (length as u32).to_be_bytes();
    [0, a, b, c, d]
}

/// Sends as the caller takes it, so that a caller that takes nothing costs no memory but its own message's.
pub async fn send(stream: &mut SendStream<Bytes>, mut data: Bytes) -> Option<()> {
    stream.reserve_capacity(data.len());
    if stream.capacity() >= data.len() {
        return stream.send_data(data, false).ok();
    }
    while data.has_remaining() {
        let room = std::future::poll_fn(|context| stream.poll_capacity(context)).await?.ok()?;
        let piece = data.split_to(room.min(data.len()));
        stream.send_data(piece, false).ok()?;
    }
    Some(())
}

/// How long a caller would wait, at most `most`. An error if it does not say.
pub fn deadline(headers: &HeaderMap, most: Duration) -> Result<Duration, TurnedAway> {
    let text = headers.get("grpc-timeout").and_then(|value| value.to_str().ok()).ok_or(TurnedAway::NoDeadline)?;
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(TurnedAway::NoDeadline)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TurnedAway::NoDeadline);
    }
    let count: u64 = digits.parse().map_err(|_| TurnedAway::NoDeadline)?;
    let asked = match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return Err(TurnedAway::NoDeadline),
    };
    Ok(asked.min(most))
}

/// Whether a request is of gRPC's and not compressed.
pub fn is_plain(headers: &HeaderMap) -> bool {
    let starts = |value: &HeaderValue| value.as_bytes().starts_with(b"application/grpc");
    let identity = |value: &HeaderValue| value == "identity";
    headers.get(http::header::CONTENT_TYPE).is_some_and(starts) && headers.get("grpc-encoding").is_none_or(identity)
}

/// The messages of a request, one after the other.
pub struct Messages {
    body: RecvStream,
    /// What came last, as it came: in the usual case all of a message.
    piece: Bytes,
    /// What came in several pieces; nothing while a piece is whole.
    held: BytesMut,
    most: usize,
    /// Room that is made at once for a message that comes in pieces.
    first: usize,
}

impl Messages {
    /// Of at most `most` bytes each; a longer one is turned away before there is room for it.
    pub fn of(body: RecvStream, most: usize) -> Self {
        Self { body, piece: Bytes::new(), held: BytesMut::new(), most, first: FIRST_BYTES }
    }

    /// As `of`, where so few are under way that room for all of a message may be made before it has come: a long one
    /// that is moved whenever its room is doubled is copied twice.
    pub fn of_few(body: RecvStream, most: usize) -> Self {
        Self { first: most, ..Self::of(body, most) }
    }

    /// The next message; None at the end of the request.
    pub async fn next(&mut self) -> Result<Option<Bytes>, TurnedAway> {
        loop {
            if let Some(message) = self.whole()? {
                return Ok(Some(message));
            }
            match self.body.data().await {
                Some(Ok(piece)) => {
                    let _ = self.body.flow_control().release_capacity(piece.len());
                    if self.held.is_empty() {
                        self.piece = piece;
                    } else {
                        self.held.extend_from_slice(&piece);
                    }
                }
                Some(Err(_)) => return Err(TurnedAway::Malformed),
                None if self.held.is_empty() => return Ok(None),
                None => return Err(TurnedAway::Malformed),
            }
        }
    }

    /// The one message of a request that has one.
    pub async fn only(&mut self) -> Result<Bytes, TurnedAway> {
        let message = self.next().await?.ok_or(TurnedAway::Malformed)?;
        match self.next().await? {
            None => Ok(message),
            Some(_) => Err(TurnedAway::Malformed),
        }
    }

    /// A message that has come to its end. What is left of a piece that has none is held until more comes.
    fn whole(&mut self) -> Result<Option<Bytes>, TurnedAway> {
        if !self.piece.is_empty() {
            if let Some(length) = self.length(&self.piece)?
                && self.piece.len() >= PREFIX_BYTES + length
            {
                self.piece.advance(PREFIX_BYTES);
                return Ok(Some(self.piece.split_to(length)));
            }
            self.held.extend_from_slice(&std::mem::take(&mut self.piece));
        }
        let Some(length) = self.length(&self.held)? else { return Ok(None) };
        if self.held.len() >= PREFIX_BYTES + length {
            self.held.advance(PREFIX_BYTES);
            return Ok(Some(self.held.split_to(length).freeze()));
        }
        // Room for what is promised is made as it comes.
        let missing = PREFIX_BYTES + length - self.held.len();
        self.held.reserve(missing.min(self.first.max(self.held.len())));
        Ok(None)
    }

    fn length(&self, data: &[u8]) -> Result<Option<usize>, TurnedAway> {
        let Some([flag, length @ ..]) = data.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        if *flag != 0 {
            return Err(TurnedAway::Unimplemented);
        }
        match u32::from_be_bytes(*length) as usize {
            length if length > self.most => Err(TurnedAway::TooLarge),
            length => Ok(Some(length)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Duration, TurnedAway> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", HeaderValue::from_str(text).unwrap());
        deadline(&headers, Duration::from_secs(60))
    }

    #[test]
    fn deadlines_are_those_of_the_contract() {
        assert_eq!(read("250m"), Ok(Duration::from_millis(250)));
        assert_eq!(read("7S"), Ok(Duration::from_secs(7)));
        assert_eq!(read("99999999H"), Ok(Duration::from_secs(60)));
        for bad in ["", "S", "1", "1s", "-1S", "+1S", "123456789S", "1.5S", " 1S"] {
            assert_eq!(read(bad), Err(TurnedAway::NoDeadline), "{bad}");
        }
        assert_eq!(deadline(&HeaderMap::new(), Duration::MAX), Err(TurnedAway::NoDeadline));
    }
}
