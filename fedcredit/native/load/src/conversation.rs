//! A client's side of HTTP/2 (RFC 9113) as far as unary gRPC calls need it: bytes in, bytes out, no socket and no clock.
//!
//! It is this small so that the generator costs little of a processor that it shares with what it measures.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::headers::{self, CallHeaders, Said};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

const WINDOW_AT_FIRST: i64 = 65_535;
/// What we let the server send: as much as there is.
const OUR_WINDOW: u32 = (1 << 31) - 1;
/// Frames that the server sends are at most this long, by our settings.
const OUR_MAX_FRAME: usize = 1 << 20;
/// Longer lists of headers are no answer to a call.
const MAX_BLOCK: usize = 64 << 10;
/// Replies of verification are at most 8 MiB; a longer message is not kept to be checked.
const MAX_KEPT: usize = 9 << 20;

/// gRPC's words for what ends a call without its server having said anything.
const UNKNOWN: u8 = 2;
const CANCELLED: u8 = 1;
const INTERNAL: u8 = 13;
const UNAVAILABLE: u8 = 14;
const RESOURCE_EXHAUSTED: u8 = 8;

/// The server broke the protocol, or said that it goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    Frame,
    Headers,
    GoneAway(u32),
}

/// A call that ended. `tag` is what it was begun with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended<T> {
    pub tag: T,
    /// gRPC's code.
    pub status: u8,
    /// Its message with the five bytes before it; empty unless it was to be kept.
    pub body: Vec<u8>,
}

#[derive(Debug)]
struct Call<T> {
    tag: T,
    keep: bool,
    body: Vec<u8>,
    said: Said,
}

#[derive(Debug)]
struct Unsent {
    stream: u32,
    body: Arc<[u8]>,
    at: usize,
    window: i64,
}

/// One connection.
#[derive(Debug)]
pub struct Conversation<T> {
    headers: Arc<CallHeaders>,
    /// What is to be written to the server; who writes it empties it.
    pub out: Vec<u8>,
    held: Vec<u8>,
    calls: HashMap<u32, Call<T>>,
    ended: VecDeque<Ended<T>>,
    unsent: VecDeque<Unsent>,
    block: Option<(u32, bool, Vec<u8>)>,
    next_stream: u32,
    window: i64,
    received: u32,
    greeted: bool,
    table: u32,
    stream_window: i64,
    max_calls: u32,
    max_frame: usize,
}

impl<T> Conversation<T> {
    /// A connection at its beginning, with our settings in `out`.
    pub fn open(headers: Arc<CallHeaders>) -> Self {
        let mut out = PREFACE.to_vec();
        let ours: [(u16, u32); 4] = [(1, 0), (2, 0), (4, OUR_WINDOW), (5, OUR_MAX_FRAME as u32)];
        frame_head(&mut out, 6 * ours.len(), SETTINGS, 0, 0);
        for (name, value) in ours {
            out.extend_from_slice(&name.to_be_bytes());
            out.extend_from_slice(&value.to_be_bytes());
        }
        window_update(&mut out, OUR_WINDOW - WINDOW_AT_FIRST as u32);
        Self {
            headers,
            out,
            held: Vec::new(),
            calls: HashMap::new(),
            ended: VecDeque::new(),
            unsent: VecDeque::new(),
            block: None,
            next_stream: 1,
            window: WINDOW_AT_FIRST,
            received: 0,
            greeted: false,
            table: 4096,
            stream_window: WINDOW_AT_FIRST,
            max_calls: u32::MAX,
            max_frame: 16_384,
        }
    }

    /// Whether the server's settings have come: before that no call is begun.
    pub fn greeted(&self) -> bool {
        self.greeted
    }

    /// Calls that have begun and not ended.
    pub fn under_way(&self) -> usize {
        self.calls.len()
    }

    /// Whether the server takes another call now.
    pub fn has_room(&self) -> bool {
        self.greeted
            && self.unsent.is_empty()
            && self.calls.len() < self.max_calls as usize
            && self.next_stream < 1 << 31
    }

    /// Begins a call. `body` is a message with the five bytes that gRPC has before it; `keep`: its answer is wanted.
    pub fn call(&mut self, body: &Arc<[u8]>, keep: bool, tag: T) {
        let stream = self.next_stream;
        self.next_stream += 2;
        let block = match stream {
            _ if self.table < 4096 => &self.headers.plain,
            1 => &self.headers.first,
            _ => &self.headers.later,
        };
        let shrunk = stream == 1 && self.table < 4096;
        frame_head(&mut self.out, block.len() + usize::from(shrunk), HEADERS, END_HEADERS, stream);
        if shrunk {
            // Nothing is put into the server's table, so that it may as well be empty.
            self.out.push(0x20);
        }
        self.out.extend_from_slice(block);
        self.calls.insert(stream, Call { tag, keep, body: Vec::new(), said: Said::default() });
        self.unsent.push_back(Unsent { stream, body: body.clone(), at: 0, window: self.stream_window });
        self.send_bodies();
    }

    /// Takes bytes of the server.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        if self.held.is_empty() {
            let used = self.take_frames(bytes)?;
            self.held.extend_from_slice(&bytes[used..]);
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(bytes);
            let used = self.take_frames(&held)?;
            held.drain(..used);
            self.held = held;
        }
        Ok(())
    }

    /// The next call that has ended.
    pub fn next_ended(&mut self) -> Option<Ended<T>> {
        self.ended.pop_front()
    }

    /// What was under way when the connection ended.
    pub fn abandon(&mut self) -> impl Iterator<Item = T> {
        self.unsent.clear();
        self.calls.drain().map(|(_, call)| call.tag)
    }

    fn take_frames(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        let mut used = 0;
        while let Some(head) = bytes[used..].first_chunk::<FRAME_HEAD>() {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            if length > OUR_MAX_FRAME {
                return Err(Broken::Frame);
            }
            let Some(payload) = bytes.get(used + FRAME_HEAD..used + FRAME_HEAD + length) else { break };
            let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            self.take_frame(head[3], head[4], stream, payload)?;
            used += FRAME_HEAD + length;
        }
        Ok(used)
    }

    fn take_frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<(), Broken> {
        if self.block.is_some() != (kind == CONTINUATION) {
            return Err(Broken::Frame);
        }
        match kind {
            DATA => self.take_data(flags, stream, payload)?,
            HEADERS => {
                let mut block = unpadded(flags, payload)?;
                if flags & PRIORITY != 0 {
                    block = block.get(5..).ok_or(Broken::Frame)?;
                }
                self.take_block(stream, flags & END_STREAM != 0, flags & END_HEADERS != 0, block)?;
            }
            CONTINUATION => {
                let (of, last, mut block) = self.block.take().ok_or(Broken::Frame)?;
                block.extend_from_slice(payload);
                if of != stream || block.len() > MAX_BLOCK {
                    return Err(Broken::Frame);
                }
                self.take_block(stream, last, flags & END_HEADERS != 0, &block)?;
            }
            RESET => {
                let status = match word(payload)? {
                    7 => UNAVAILABLE,
                    8 => CANCELLED,
                    11 => RESOURCE_EXHAUSTED,
                    _ => INTERNAL,
                };
                self.unsent.retain(|unsent| unsent.stream != stream);
                self.end(stream, Some(status));
            }
            SETTINGS if flags & ACK == 0 => self.take_settings(payload)?,
            PING if flags & ACK == 0 => {
                let payload: &[u8; 8] = payload.try_into().map_err(|_| Broken::Frame)?;
                frame_head(&mut self.out, 8, PING, ACK, 0);
                self.out.extend_from_slice(payload);
            }
            GOAWAY => return Err(Broken::GoneAway(word(payload.get(4..8).ok_or(Broken::Frame)?)?)),
            WINDOW => {
                let more = i64::from(word(payload)? & OUR_WINDOW);
                if stream == 0 {
                    self.window += more;
                } else if let Some(unsent) = self.unsent.iter_mut().find(|unsent| unsent.stream == stream) {
                    unsent.window += more;
                }
                self.send_bodies();
            }
            PUSH => return Err(Broken::Frame),
            // Acknowledgements, and kinds that are to be passed over when they are not known.
            _ => {}
        }
        Ok(())
    }

    fn take_settings(&mut self, payload: &[u8]) -> Result<(), Broken> {
        let (settings, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(Broken::Frame);
        }
        for setting in settings {
            let value = word(&setting[2..])?;
            match u16::from_be_bytes([setting[0], setting[1]]) {
                // Calls that have begun have used the table; a server that shrinks it later is none that we know.
                1 if self.next_stream > 1 && value < 4096 => return Err(Broken::Headers),
                1 => self.table = value,
                3 => self.max_calls = value,
                4 => {
                    let more = i64::from(value) - self.stream_window;
                    self.stream_window += more;
                    self.unsent.iter_mut().for_each(|unsent| unsent.window += more);
                }
                5 => self.max_frame = (value as usize).clamp(16_384, OUR_MAX_FRAME),
                _ => {}
            }
        }
        self.greeted = true;
        frame_head(&mut self.out, 0, SETTINGS, ACK, 0);
        self.send_bodies();
        Ok(())
    }

    fn take_data(&mut self, flags: u8, stream: u32, payload: &[u8]) -> Result<(), Broken> {
        let data = unpadded(flags, payload)?;
        if let Some(call) = self.calls.get_mut(&stream)
            && call.keep
            && call.body.len() + data.len() <= MAX_KEPT
        {
            call.body.extend_from_slice(data);
        }
        self.received += payload.len() as u32;
        if self.received > OUR_WINDOW / 2 {
            window_update(&mut self.out, self.received);
            self.received = 0;
        }
        if flags & END_STREAM != 0 {
            self.end(stream, None);
        }
        Ok(())
    }

    fn take_block(&mut self, stream: u32, last: bool, whole: bool, block: &[u8]) -> Result<(), Broken> {
        if !whole {
            self.block = Some((stream, last, block.to_vec()));
            return Ok(());
        }
        let said = headers::read(block).map_err(|_| Broken::Headers)?;
        if let Some(call) = self.calls.get_mut(&stream) {
            call.said.grpc = said.grpc.or(call.said.grpc);
            call.said.not_ok |= said.not_ok;
        }
        if last {
            self.unsent.retain(|unsent| unsent.stream != stream);
            self.end(stream, None);
        }
        Ok(())
    }

    fn end(&mut self, stream: u32, reset: Option<u8>) {
        if let Some(call) = self.calls.remove(&stream) {
            let said = if call.said.not_ok { None } else { call.said.grpc };
            let status = said.or(reset).unwrap_or(UNKNOWN);
            self.ended.push_back(Ended { tag: call.tag, status, body: call.body });
        }
    }

    /// Sends what the server's windows let through, in the order of the calls.
    fn send_bodies(&mut self) {
        while let Some(unsent) = self.unsent.front_mut() {
            let left = unsent.body.len() - unsent.at;
            let window = self.window.min(unsent.window).max(0) as usize;
            let now = left.min(window).min(self.max_frame);
            if now == 0 {
                return;
            }
            let flags = if now == left { END_STREAM } else { 0 };
            frame_head(&mut self.out, now, DATA, flags, unsent.stream);
            self.out.extend_from_slice(&unsent.body[unsent.at..unsent.at + now]);
            unsent.at += now;
            unsent.window -= now as i64;
            self.window -= now as i64;
            if now == left {
                self.unsent.pop_front();
            }
        }
    }
}

fn unpadded(flags: u8, payload: &[u8]) -> Result<&[u8], Broken> {
    if flags & PADDED == 0 {
        return Ok(payload);
    }
    let (&padding, rest) = payload.split_first().ok_or(Broken::Frame)?;
    rest.len().checked_sub(usize::from(padding)).map(|length| &rest[..length]).ok_or(Broken::Frame)
}

fn word(payload: &[u8]) -> Result<u32, Broken> {
    payload.try_into().map(u32::from_be_bytes).map_err(|_| Broken::Frame)
}

fn frame_head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    out.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}

fn window_update(out: &mut Vec<u8>, more: u32) {
    frame_head(out, 4, WINDOW, 0, 0);
    out.extend_from_slice(&more.to_be_bytes());
}

#[cfg(test)]
#[path = "conversation_tests.rs"]
mod tests;
