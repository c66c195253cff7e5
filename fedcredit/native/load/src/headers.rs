//! As much of HPACK (RFC 7541) as calling with gRPC takes: writing one request's headers over and over, and reading how a
//! call ended. The answers' dynamic table is kept empty by our settings, so that blocks are read one by one.

/// What a block of an answer said of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Said {
    /// `grpc-status`, if it is there.
    pub grpc: Option<u8>,
    /// `:status`, if it is there and is not 200.
    pub not_ok: bool,
}

/// A block that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadBlock;

/// The headers of calls of one method, twice: as the first call of a connection writes them, which puts them into the
/// server's table, and as later ones do, which point there.
#[derive(Debug, Clone)]
pub struct CallHeaders {
    pub first: Vec<u8>,
    pub later: Vec<u8>,
    /// For servers whose table is smaller than the usual one.
    pub plain: Vec<u8>,
}

const METHOD_POST: u8 = 0x80 | 3;
const SCHEME_HTTPS: u8 = 0x80 | 7;
const NAME_AUTHORITY: u8 = 1;
const NAME_PATH: u8 = 4;
const NAME_CONTENT_TYPE: u8 = 31;
/// The place of what was put into the table last.
const NEWEST: u8 = 62;

impl CallHeaders {
    /// `timeout_ms` is what the server is told of how long the caller waits.
    pub fn new(authority: &str, path: &str, timeout_ms: u64) -> Self {
        let timeout = format!("{timeout_ms}m");
        let fields: [(u8, &str, &str); 5] = [
            (NAME_PATH, "", path),
            (NAME_AUTHORITY, "", authority),
            (NAME_CONTENT_TYPE, "", "application/grpc"),
            (0, "te", "trailers"),
            (0, "grpc-timeout", &timeout),
        ];
        let mut made = Self {
            first: vec![METHOD_POST, SCHEME_HTTPS],
            later: vec![METHOD_POST, SCHEME_HTTPS],
            plain: vec![METHOD_POST, SCHEME_HTTPS],
        };
        for (place, (indexed, name, value)) in fields.into_iter().enumerate() {
            literal(&mut made.first, 0x40, 6, indexed, name, value);
            literal(&mut made.plain, 0x00, 4, indexed, name, value);
            made.later.push(0x80 | (NEWEST + (fields.len() - 1 - place) as u8));
        }
        made
    }
}

fn literal(out: &mut Vec<u8>, kind: u8, prefix: u32, indexed: u8, name: &str, value: &str) {
    integer(out, kind, prefix, usize::from(indexed));
    if indexed == 0 {
        integer(out, 0, 7, name.len());
        out.extend_from_slice(name.as_bytes());
    }
    integer(out, 0, 7, value.len());
    out.extend_from_slice(value.as_bytes());
}

fn integer(out: &mut Vec<u8>, kind: u8, prefix: u32, value: usize) {
    let most = (1usize << prefix) - 1;
    if value < most {
        return out.push(kind | value as u8);
    }
    out.push(kind | most as u8);
    let mut rest = value - most;
    while rest >= 128 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Reads what a block says of the call. Our settings keep the dynamic table empty, so that a reference to it is an error.
pub fn read(block: &[u8]) -> Result<Said, BadBlock> {
    let (mut at, mut said) = (block, Said::default());
    while let Some(&first) = at.first() {
        if first & 0x80 != 0 {
            match take_integer(&mut at, 7)? {
                // `:status` with a value stands at 8 to 14, 200 first.
                8 | 1..=7 | 15..=61 => {}
                9..=14 => said.not_ok = true,
                _ => return Err(BadBlock),
            }
        } else if first & 0xe0 == 0x20 {
            take_integer(&mut at, 5)?;
        } else {
            let index = take_integer(&mut at, if first & 0x40 != 0 { 6 } else { 4 })?;
            let name = match index {
                0 => Some(take_text(&mut at)?),
                1..=61 => None,
                _ => return Err(BadBlock),
            };
            let value = take_text(&mut at)?;
            if (8..=14).contains(&index) && !value.is("200") {
                said.not_ok = true;
            }
            if name.is_some_and(|name| name.is("grpc-status")) {
                said.grpc = Some((0..=16).find(|code| value.is(&code.to_string())).ok_or(BadBlock)?);
            }
        }
    }
    Ok(said)
}

/// A text as it was written, plain or in Huffman's code.
#[derive(Clone, Copy)]
struct Text<'a> {
    huffman: bool,
    bytes: &'a [u8],
}

impl Text<'_> {
    /// Rather than decode it, the text that is looked for is encoded: few are, and their characters are few.
    fn is(self, wanted: &str) -> bool {
        if self.huffman { self.bytes == huffman(wanted) } else { self.bytes == wanted.as_bytes() }
    }
}

fn take_text<'a>(at: &mut &'a [u8]) -> Result<Text<'a>, BadBlock> {
    let huffman = at.first().is_some_and(|byte| byte & 0x80 != 0);
    let length = take_integer(at, 7)?;
    let (bytes, rest) = at.split_at_checked(length).ok_or(BadBlock)?;
    *at = rest;
    Ok(Text { huffman, bytes })
}

fn take_integer(at: &mut &[u8], prefix: u32) -> Result<usize, BadBlock> {
    let mut next = || {
        let (&byte, rest) = at.split_first().ok_or(BadBlock)?;
        *at = rest;
        Ok(byte)
    };
    let most = (1usize << prefix) - 1;
    let mut value = usize::from(next()?) & most;
    if value < most {
        return Ok(value);
    }
    for shift in [0, 7, 14] {
        let byte = next()?;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(BadBlock)
}

/// `wanted` in the code of RFC 7541, appendix B, for the characters of `grpc-status` and of numbers.
fn huffman(wanted: &str) -> Vec<u8> {
    let (mut out, mut bits, mut held) = (Vec::new(), 0u64, 0u32);
    for byte in wanted.bytes() {
        let (code, length) = match byte {
            b'0'..=b'2' => (u64::from(byte - b'0'), 5),
            b'3'..=b'9' => (0x19 + u64::from(byte - b'3'), 6),
            b'a' => (0x3, 5),
            b'c' => (0x4, 5),
            b's' => (0x8, 5),
            b't' => (0x9, 5),
            b'-' => (0x16, 6),
            b'g' => (0x26, 6),
            b'p' => (0x2b, 6),
            b'r' => (0x2c, 6),
            b'u' => (0x2d, 6),
            _ => return Vec::new(),
        };
        (bits, held) = (bits << length | code, held + length);
        while held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    if held > 0 {
        // The rest of the last byte is ones.
        out.push((bits << (8 - held)) as u8 | ((1u16 << (8 - held)) - 1) as u8);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(out: &mut Vec<u8>, bytes: &[u8], coded: bool) {
        integer(out, if coded { 0x80 } else { 0 }, 7, bytes.len());
        out.extend_from_slice(bytes);
    }

    #[test]
    fn codes_are_those_of_the_standard() {
        // From RFC 7541, C.6.1 (302) and C.6.2 (307), and the block that h2 writes for `grpc-status`.
        assert_eq!(huffman("302"), [0x64, 0x02]);
        assert_eq!(huffman("307"), [0x64, 0x0e, 0xff]);
        assert_eq!(huffman("grpc-status"), [0x9a, 0xca, 0xc8, 0xb2, 0x12, 0x34, 0xda, 0x8f]);
    }

    #[test]
    fn the_status_is_read_in_either_form() {
        for (coded, status) in [(false, 0), (true, 0), (false, 8), (true, 13), (true, 7)] {
            let value = status.to_string();
            let mut block = vec![0x20, 0x88, 0x40];
            let (name, value) = if coded {
                (huffman("grpc-status"), huffman(&value))
            } else {
                (b"grpc-status".to_vec(), value.into_bytes())
            };
            text(&mut block, &name, coded);
            text(&mut block, &value, coded);
            assert_eq!(read(&block), Ok(Said { grpc: Some(status), not_ok: false }));
        }
    }

    #[test]
    fn other_headers_are_passed_over() {
        let mut block = vec![0x88, 0x0f, 0x10];
        text(&mut block, b"application/grpc", false);
        block.push(0x10);
        text(&mut block, b"x-other", false);
        text(&mut block, &[b'v'; 300], false);
        assert_eq!(read(&block), Ok(Said::default()));
    }

    #[test]
    fn a_status_other_than_200_is_told() {
        assert_eq!(read(&[0x8d]), Ok(Said { grpc: None, not_ok: true }));
        let mut block = vec![0x08];
        text(&mut block, b"429", false);
        assert_eq!(read(&block), Ok(Said { grpc: None, not_ok: true }));
    }

    #[test]
    fn what_is_no_block_is_refused() {
        let mut unknown_status = vec![0x00];
        text(&mut unknown_status, b"grpc-status", false);
        text(&mut unknown_status, b"17", false);
        let bad: [&[u8]; 6] =
            [&[0x80], &[0xbe], &[0x7f, 0xff, 0xff, 0xff, 0xff], &[0x00, 0x05, b'a'], &[0x40], &unknown_status];
        for block in bad {
            assert_eq!(read(block), Err(BadBlock), "{block:?}");
        }
    }

    #[test]
    fn later_calls_point_at_what_the_first_one_wrote() {
        let made = CallHeaders::new("tax.party", "/a.B/C", 10_000);
        assert_eq!(made.later, [0x83, 0x87, 0x80 | 66, 0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62]);
        assert!(made.first.windows(6).any(|bytes| bytes == b"/a.B/C"));
        assert_eq!(made.plain.len(), made.first.len() + 1, "31 takes a byte more where it has four bits");
    }
}
