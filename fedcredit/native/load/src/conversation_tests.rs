//! Conversations with a server that is played by the test, frame by frame.

use super::*;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame_head(&mut out, payload.len(), kind, flags, stream);
    out.extend_from_slice(payload);
    out
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

fn opened(settings: &[u8]) -> Conversation<u32> {
    let mut made = Conversation::open(Arc::new(CallHeaders::new("tax", "/a.B/C", 1000)));
    made.out.clear();
    assert!(!made.has_room());
    made.take(&frame(SETTINGS, 0, 0, settings)).unwrap();
    assert!(made.has_room());
    made.out.clear();
    made
}

fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, u32, usize)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let length = usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
        found.push((bytes[3], bytes[4], u32::from_be_bytes(bytes[5..9].try_into().unwrap()), length));
        bytes = &bytes[9 + length..];
    }
    found
}

const STATUS_0: &[u8] = b"\x00\x0bgrpc-status\x010";
const STATUS_8: &[u8] = b"\x00\x0bgrpc-status\x018";

#[test]
fn a_call_is_sent_and_its_answer_read_however_it_is_cut() {
    let body: Arc<[u8]> = Arc::from(&b"\0\0\0\0\x03abc"[..]);
    let answer = [
        frame(HEADERS, END_HEADERS, 1, &[0x20, 0x88]),
        frame(DATA, PADDED, 1, b"\x02\0\0\0\0\x02hi\0\0"),
        frame(HEADERS, END_STREAM, 1, &STATUS_0[..4]),
        frame(CONTINUATION, END_HEADERS, 1, &STATUS_0[4..]),
        frame(HEADERS, END_HEADERS | END_STREAM, 3, &[&[0x88], STATUS_8].concat()),
    ]
    .concat();
    for cut in 1..answer.len() {
        let mut talk = opened(&[]);
        talk.call(&body, true, 70);
        talk.call(&body, false, 71);
        let sent: Vec<_> = frames(&talk.out).iter().map(|(kind, flags, stream, _)| (*kind, *flags, *stream)).collect();
        assert_eq!(sent, [(1, 4, 1), (0, 1, 1), (1, 4, 3), (0, 1, 3)]);
        for piece in answer.chunks(cut) {
            talk.take(piece).unwrap();
        }
        assert_eq!(talk.next_ended(), Some(Ended { tag: 70, status: 0, body: b"\0\0\0\0\x02hi".to_vec() }));
        assert_eq!(talk.next_ended(), Some(Ended { tag: 71, status: 8, body: Vec::new() }));
        assert_eq!((talk.next_ended(), talk.under_way()), (None, 0));
    }
}

#[test]
fn windows_and_limits_of_the_server_are_kept() {
    let body: Arc<[u8]> = Arc::from(vec![7; 70_000]);
    let mut talk = opened(&[setting(3, 2), setting(4, 20_000)].concat());
    talk.call(&body, false, 1);
    assert!(!talk.has_room(), "a body waits");
    let sent = |talk: &mut Conversation<u32>| {
        let found = frames(&talk.out).iter().filter(|(kind, ..)| *kind == DATA).map(|(.., n)| *n).sum::<usize>();
        talk.out.clear();
        found
    };
    assert_eq!(sent(&mut talk), 20_000);
    talk.take(&frame(WINDOW, 0, 1, &60_000u32.to_be_bytes())).unwrap();
    assert_eq!(sent(&mut talk), 45_535, "the connection's window bounds it");
    talk.take(&frame(WINDOW, 0, 0, &10_000u32.to_be_bytes())).unwrap();
    assert_eq!(sent(&mut talk), 4_465);
    assert!(talk.has_room());
    talk.call(&Arc::from(&b"\0\0\0\0\0"[..]), false, 2);
    assert!(!talk.has_room(), "two are as many as there may be");
}

#[test]
fn a_small_table_of_headers_is_left_alone() {
    let body: Arc<[u8]> = Arc::from(&b"\0\0\0\0\0"[..]);
    let mut talk = opened(&setting(1, 0));
    let plain = CallHeaders::new("tax", "/a.B/C", 1000).plain.len();
    talk.call(&body, false, 1);
    talk.call(&body, false, 2);
    let blocks: Vec<_> = frames(&talk.out).into_iter().filter(|(kind, ..)| *kind == HEADERS).collect();
    assert_eq!((blocks[0].3, blocks[1].3), (plain + 1, plain));
}

#[test]
fn a_reset_ends_its_call_and_going_away_the_connection() {
    let body: Arc<[u8]> = Arc::from(&b"\0\0\0\0\0"[..]);
    let mut talk = opened(&[]);
    for (tag, code, status) in [(1, 7u32, UNAVAILABLE), (2, 11, RESOURCE_EXHAUSTED), (3, 2, INTERNAL)] {
        talk.call(&body, false, tag);
        talk.take(&frame(RESET, 0, 2 * tag - 1, &code.to_be_bytes())).unwrap();
        assert_eq!(talk.next_ended(), Some(Ended { tag, status, body: Vec::new() }));
    }
    talk.call(&body, false, 9);
    assert_eq!(talk.take(&frame(GOAWAY, 0, 0, &[0, 0, 0, 7, 0, 0, 0, 11])), Err(Broken::GoneAway(11)));
    assert_eq!(talk.abandon().collect::<Vec<_>>(), [9]);
}

#[test]
fn pings_are_answered_and_nonsense_is_refused() {
    let mut talk = opened(&[]);
    talk.take(&frame(PING, 0, 0, b"12345678")).unwrap();
    assert_eq!(frames(&talk.out), [(PING, ACK, 0, 8)]);
    let bad = [
        frame(PUSH, END_HEADERS, 1, &[0; 4]),
        frame(CONTINUATION, END_HEADERS, 1, &[]),
        frame(PING, 0, 0, b"short"),
        frame(SETTINGS, 0, 0, &[0; 5]),
        frame(DATA, PADDED, 1, &[9, 0]),
        frame(HEADERS, END_HEADERS | PRIORITY, 1, &[0; 3]),
        frame(HEADERS, END_HEADERS, 1, &[0xff, 0xff]),
        vec![0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1],
    ];
    for bytes in bad {
        assert!(opened(&[]).take(&bytes).is_err(), "{bytes:?}");
    }
}
