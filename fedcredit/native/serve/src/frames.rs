//! As much of HTTP/2's frames (RFC 9113, section 4) and of HPACK (RFC 7541) as it takes to let a call end before the
//! library has seen it, and to say so between two frames of the library's.

pub const HEAD_BYTES: usize = 9;
/// What a client says before its first frame.
pub const PREFACE_BYTES: usize = 24;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
const RESET: u8 = 3;
const PUSH: u8 = 5;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const PRIORITY: u8 = 32;

const STATUS_200: u8 = 0x80 | 8;
const NAME_CONTENT_TYPE: u8 = 31;

/// What stands before a frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Head {
    pub fn read(bytes: &[u8; HEAD_BYTES]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = *bytes;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        Self { length, kind, flags, stream: u32::from_be_bytes(stream) & (u32::MAX >> 1) }
    }

    /// `length` must be below 2^24.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.length as u32).to_be_bytes()[1..]);
        out.extend_from_slice(&[self.kind, self.flags]);
        out.extend_from_slice(&self.stream.to_be_bytes());
    }

    /// Whether another frame may follow: not between the parts of a list of headers.
    fn ends(&self) -> bool {
        !matches!(self.kind, HEADERS | PUSH | CONTINUATION) || self.flags & END_HEADERS != 0
    }
}

/// Gives back what was used of the connection's window.
pub fn window(out: &mut Vec<u8>, more: u32) {
    Head { length: 4, kind: WINDOW, flags: 0, stream: 0 }.write(out);
    out.extend_from_slice(&more.to_be_bytes());
}

/// Ends a stream.
pub fn reset(out: &mut Vec<u8>, stream: u32, code: u32) {
    Head { length: 4, kind: RESET, flags: 0, stream }.write(out);
    out.extend_from_slice(&code.to_be_bytes());
}

/// The block that ends a call of gRPC unanswered. Each field is written whole and is kept in no table, so that it reads
/// the same on any connection at any time. Names and values must be shorter than 127 bytes.
pub fn ending(content_type: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    // The number of a name of the static table is the prefix of four bits and what goes beyond it.
    let mut block = vec![STATUS_200, 0x0f, NAME_CONTENT_TYPE - 0x0f];
    let mut text = |text: &str| {
        block.push(text.len() as u8);
        block.extend_from_slice(text.as_bytes());
    };
    text(content_type);
    for (name, value) in fields {
        // A new name follows: its kind is a byte of nothing, as a text without letters is.
        text("");
        text(name);
        text(value);
    }
    block
}

/// Whether a block puts nothing into the table of the one who reads it, and does not change its size: then nothing that
/// comes after depends on whether it was read.
pub fn leaves_table(block: &[u8]) -> bool {
    let mut at = block;
    while let Some(&first) = at.first() {
        let named = match first {
            // Something of the table.
            0x80.. => {
                if integer(&mut at, 7).is_none() {
                    return false;
                }
                continue;
            }
            // A field that is to be kept, or the size of the table.
            0x20..0x80 => return false,
            _ => integer(&mut at, 4),
        };
        let texts = match named {
            Some(0) => 2,
            Some(_) => 1,
            None => return false,
        };
        for _ in 0..texts {
            let rest = integer(&mut at, 7).and_then(|length| at.get(length..));
            match rest {
                Some(rest) => at = rest,
                None => return false,
            }
        }
    }
    true
}

fn integer(at: &mut &[u8], prefix: u32) -> Option<usize> {
    let most = (1usize << prefix) - 1;
    let (&first, rest) = at.split_first()?;
    *at = rest;
    let mut value = usize::from(first) & most;
    if value < most {
        return Some(value);
    }
    for shift in [0, 7, 14] {
        let (&byte, rest) = at.split_first()?;
        *at = rest;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Where frames end in what the library writes, piece by piece.
#[derive(Debug, Default)]
pub struct Boundary {
    head: [u8; HEAD_BYTES],
    /// How much of `head` has come.
    got: usize,
    /// How much of the payload has not.
    rest: usize,
    /// Whether a list of headers is under way.
    open: bool,
}

impl Boundary {
    /// Takes what is written next.
    pub fn take(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            if self.rest > 0 {
                let now = self.rest.min(piece.len());
                self.rest -= now;
                piece = &piece[now..];
                continue;
            }
            let now = (HEAD_BYTES - self.got).min(piece.len());
            self.head[self.got..self.got + now].copy_from_slice(&piece[..now]);
            self.got += now;
            piece = &piece[now..];
            if self.got == HEAD_BYTES {
                let head = Head::read(&self.head);
                (self.got, self.rest, self.open) = (0, head.length, !head.ends());
            }
        }
    }

    /// Whether a frame of others may stand here.
    pub fn here(&self) -> bool {
        self.got == 0 && self.rest == 0 && !self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_written_as_they_are_read() {
        let head = Head { length: 0x01_02_03, kind: HEADERS, flags: END_HEADERS, stream: 0x7f00_0001 };
        let mut out = Vec::new();
        head.write(&mut out);
        assert_eq!(out, [1, 2, 3, 1, 4, 0x7f, 0, 0, 1]);
        assert_eq!(Head::read(out.first_chunk().unwrap()), head);
        // The bit before the stream's number says nothing.
        out[5] |= 0x80;
        assert_eq!(Head::read(out.first_chunk().unwrap()), head);
    }

    #[test]
    fn a_block_that_keeps_something_or_changes_the_size_is_told_from_one_that_does_not() {
        // `:method: POST`, and RFC 7541, C.2.2: a path that is not kept.
        let plain = [&[0x83, 0x04, 0x0c][..], b"/sample/path"].concat();
        assert!(leaves_table(&plain));
        assert!(leaves_table(&[]));
        // An index of two bytes; a new name that is never kept (C.2.3); a name of the dynamic table.
        assert!(leaves_table(&[0xff, 0x05]));
        assert!(leaves_table(&[&[0x10, 0x08][..], b"password", &[0x06], b"secret"].concat()));
        assert!(leaves_table(&[0x0f, 0x30, 0x01, b'x']));
        // C.2.1: a field that is kept; by its name, too; the table's size.
        assert!(!leaves_table(&[&[0x40, 0x0a][..], b"custom-key", &[0x0d], b"custom-header"].concat()));
        assert!(!leaves_table(&[0x83, 0x44, 0x01, b'x']));
        assert!(!leaves_table(&[0x20]));
        assert!(!leaves_table(&[0x3f, 0xe1, 0x1f]));
        // Cut off, or with numbers beyond all sense: the library is to say what is wrong.
        for at in 1..plain.len() {
            assert_eq!(leaves_table(&plain[..at]), at == 1, "{at}");
        }
        assert!(!leaves_table(&[0xff, 0xff, 0xff, 0xff, 0x01]));
        assert!(!leaves_table(&[0x00, 0x7f, 0xff, 0xff, 0x7f]));
    }

    #[test]
    fn an_ending_is_read_by_the_library_as_it_was_meant_and_leaves_its_table() {
        let block = ending("application/grpc", &[("grpc-status", "8"), ("grpc-message", "OVERLOADED")]);
        assert!(leaves_table(&block));
        let expected: Vec<&[u8]> = vec![
            b"\x88\x0f\x10\x10application/grpc",
            b"\x00\x0bgrpc-status\x018",
            b"\x00\x0cgrpc-message\x0aOVERLOADED",
        ];
        assert_eq!(block, expected.concat());
    }

    #[test]
    fn frames_end_where_they_end_however_they_are_cut() {
        let mut said = Vec::new();
        window(&mut said, 7);
        let mut ends = vec![said.len()];
        Head { length: 3, kind: HEADERS, flags: 0, stream: 1 }.write(&mut said);
        said.extend_from_slice(&[0x88; 3]);
        Head { length: 0, kind: CONTINUATION, flags: END_HEADERS, stream: 1 }.write(&mut said);
        ends.push(said.len());
        Head { length: 5, kind: DATA, flags: END_STREAM, stream: 1 }.write(&mut said);
        said.extend_from_slice(&[0; 5]);
        ends.push(said.len());
        for step in 1..said.len() {
            let mut boundary = Boundary::default();
            let mut at = 0;
            assert!(boundary.here());
            for piece in said.chunks(step) {
                boundary.take(piece);
                at += piece.len();
                assert_eq!(boundary.here(), ends.contains(&at), "{step} {at}");
            }
        }
    }
}
