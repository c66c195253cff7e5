//! What a caller sends, frame by frame, before HTTP/2's library reads it: calls for which there is no place end here.
//!
//! To turn a call away costs the library half of what an answer costs: it decodes the head, keeps a stream, and forgets
//! it. In a flood that would leave little for those who are let in. A head can be dropped unread if it leaves the table of
//! HPACK (RFC 7541) as it is; others are passed on, and turned away behind the library. No socket and no clock.

use std::collections::VecDeque;

use crate::frames::{
    DATA, END_HEADERS, END_STREAM, HEAD_BYTES, HEADERS, Head, PADDED, PREFACE_BYTES, PRIORITY, leaves_table, reset,
    window,
};

/// Calls that follow each other and were turned away, as ranges; the oldest are forgotten. Between two ranges lies a call
/// that was passed on, so that the library, should a late frame of a forgotten call reach it, takes that for a closed one.
const MOST_RANGES: usize = 1024;
/// What dropped bodies have used of the connection's window is given back in pieces of this size.
const WINDOW_PIECE: u32 = 32 << 10;
/// The stream was not needed (RFC 9113, section 7).
const NO_ERROR: u32 = 0;
/// The longest head that is waited for until it has come whole.
pub const MOST_WAITED_FOR: usize = 4 << 10;

/// What is to become of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Pass,
    Drop,
    /// It cannot be told before more has come.
    Wait,
}

/// The calls of one connection that have been turned away.
#[derive(Debug, Default)]
struct Turned {
    /// First and last stream of each run, in order.
    ranges: VecDeque<(u32, u32)>,
    /// The highest stream that was ever begun.
    last: u32,
}

impl Turned {
    fn add(&mut self, stream: u32) {
        match self.ranges.back_mut() {
            Some((_, end)) if *end == self.last => *end = stream,
            _ => self.ranges.push_back((stream, stream)),
        }
        if self.ranges.len() > MOST_RANGES {
            self.ranges.pop_front();
        }
    }

    fn has(&self, stream: u32) -> bool {
        let at = self.ranges.partition_point(|&(_, end)| end < stream);
        self.ranges.get(at).is_some_and(|&(first, _)| first <= stream)
    }
}

/// Reads a connection's frames and drops those of calls that there is no place for.
#[derive(Debug)]
pub struct Turnstile {
    /// How a call ends that is turned away: a block of HPACK that leaves the caller's table as it is.
    ending: Vec<u8>,
    turned: Turned,
    /// Of the frame under way: what has not come yet, and what becomes of it.
    rest: usize,
    way: Way,
    /// What bodies that were dropped have used of the connection's window.
    owed: u32,
}

impl Turnstile {
    /// `ending` ends a call: see `frames::ending`.
    pub fn new(ending: Vec<u8>) -> Self {
        Self { ending, turned: Turned::default(), rest: PREFACE_BYTES, way: Way::Pass, owed: 0 }
    }

    /// Takes what has come from its beginning, and says how much of it was taken. What was not, less than a frame's head and
    /// `MOST_WAITED_FOR`, must be given again with more. `passed` gets what the library is to read, `said` whole frames for
    /// the caller. `place` is asked for each call that could be turned away: whether there is one for it.
    pub fn take(
        &mut self,
        came: &[u8],
        passed: &mut Vec<u8>,
        said: &mut Vec<u8>,
        place: &mut dyn FnMut() -> bool,
    ) -> usize {
        let mut used = 0;
        loop {
            let now = self.rest.min(came.len() - used);
            if self.way == Way::Pass {
                passed.extend_from_slice(&came[used..used + now]);
            }
            used += now;
            self.rest -= now;
            let Some(head) = came[used..].first_chunk::<HEAD_BYTES>() else { return used };
            let head = Head::read(head);
            let payload = &came[used + HEAD_BYTES..];
            match self.decide(head, payload.get(..head.length), said, place) {
                Way::Wait => return used,
                way => self.way = way,
            }
            self.rest = HEAD_BYTES + head.length;
        }
    }

    /// `payload`: None if it has not come whole.
    fn decide(
        &mut self,
        head: Head,
        payload: Option<&[u8]>,
        said: &mut Vec<u8>,
        place: &mut dyn FnMut() -> bool,
    ) -> Way {
        if head.kind == HEADERS && head.stream > self.turned.last && head.stream % 2 == 1 {
            let plain = head.flags & (END_HEADERS | PADDED | PRIORITY) == END_HEADERS;
            let way = match payload {
                None if plain && head.length <= MOST_WAITED_FOR => return Way::Wait,
                Some(block) if plain && leaves_table(block) && !place() => Way::Drop,
                _ => Way::Pass,
            };
            if way == Way::Drop {
                self.turned.add(head.stream);
                Head { length: self.ending.len(), kind: HEADERS, flags: END_HEADERS | END_STREAM, ..head }.write(said);
                said.extend_from_slice(&self.ending);
            }
            self.turned.last = head.stream;
            return way;
        }
        if head.stream == 0 || !self.turned.has(head.stream) {
            return Way::Pass;
        }
        if head.kind == DATA {
            self.owed += head.length as u32;
            if self.owed >= WINDOW_PIECE {
                window(said, std::mem::take(&mut self.owed));
            }
            if head.flags & END_STREAM == 0 {
                // There is more to come that nobody will read.
                reset(said, head.stream, NO_ERROR);
            }
        }
        Way::Drop
    }
}

#[cfg(test)]
#[path = "turnstile_tests.rs"]
mod tests;
