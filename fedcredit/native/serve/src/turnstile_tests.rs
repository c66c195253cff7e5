use super::*;
use crate::frames::ending;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: u8 = 4;
/// `:method: POST`, `:scheme: https`, and a path that is not kept.
const PLAIN: &[u8] = b"\x83\x87\x04\x02/x";
/// A path that is kept.
const KEPT: &[u8] = b"\x83\x87\x44\x02/x";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Head { length: payload.len(), kind, flags, stream }.write(&mut out);
    out.extend_from_slice(payload);
    out
}

fn call(stream: u32, block: &[u8], body: &[u8]) -> Vec<u8> {
    [frame(HEADERS, END_HEADERS, stream, block), frame(DATA, END_STREAM, stream, body)].concat()
}

fn end() -> Vec<u8> {
    ending("application/grpc", &[("grpc-status", "8")])
}

fn ended(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &end())
}

/// What is passed and what is said when `came` comes in pieces of `step`, with places as `places` says.
fn through(came: &[u8], step: usize, places: impl Fn(usize) -> bool) -> (Vec<u8>, Vec<u8>, usize) {
    let mut turnstile = Turnstile::new(end());
    let (mut passed, mut said, mut asked) = (Vec::new(), Vec::new(), 0);
    let mut held: Vec<u8> = Vec::new();
    for piece in came.chunks(step) {
        held.extend_from_slice(piece);
        let used = turnstile.take(&held, &mut passed, &mut said, &mut || {
            asked += 1;
            places(asked - 1)
        });
        held.drain(..used);
        assert!(held.len() < HEAD_BYTES + MOST_WAITED_FOR);
    }
    passed.extend_from_slice(&held);
    (passed, said, asked)
}

#[test]
fn with_a_place_for_each_all_is_passed_as_it_came_however_it_is_cut() {
    let came = [
        PREFACE.to_vec(),
        frame(SETTINGS, 0, 0, &[]),
        call(1, KEPT, b"question"),
        call(3, PLAIN, &[7; 40_000]),
        frame(HEADERS, 0, 5, PLAIN),
        frame(9, END_HEADERS, 5, PLAIN),
        frame(DATA, END_STREAM, 5, b""),
    ]
    .concat();
    for step in [1, 2, 8, 9, 10, 31, 100, 5_000, came.len()] {
        let (passed, said, asked) = through(&came, step, |_| true);
        assert_eq!((passed == came, said.len(), asked), (true, 0, 1), "{step}");
    }
}

#[test]
fn a_call_without_a_place_is_ended_and_nothing_of_it_is_passed() {
    let came = [
        PREFACE.to_vec(),
        call(1, PLAIN, b"one"),
        call(3, PLAIN, b"two"),
        frame(8, 0, 3, &[0, 0, 0, 9]),
        frame(3, 0, 3, &[0, 0, 0, 8]),
        call(5, PLAIN, b"three"),
        call(9, PLAIN, b"four"),
        frame(3, 0, 5, &[0, 0, 0, 8]),
    ]
    .concat();
    let left = [PREFACE.to_vec(), call(1, PLAIN, b"one"), call(9, PLAIN, b"four")].concat();
    for step in [1, 9, 13, 100, came.len()] {
        let (passed, said, asked) = through(&came, step, |at| at == 0 || at == 3);
        assert_eq!((passed, said, asked), (left.clone(), [ended(3), ended(5)].concat(), 4), "{step}");
    }
}

#[test]
fn a_head_that_changes_the_table_or_comes_in_parts_is_passed_whatever_places_there_are() {
    let padded = [&[1][..], PLAIN, &[0]].concat();
    for came in [
        call(1, KEPT, b""),
        call(1, b"\x20\x83", b""),
        frame(HEADERS, END_HEADERS | PADDED, 1, &padded),
        frame(HEADERS, END_HEADERS | PRIORITY, 1, &[&[0; 5][..], PLAIN].concat()),
        [frame(HEADERS, 0, 1, PLAIN), frame(9, END_HEADERS, 1, b"")].concat(),
        // Too long to be waited for.
        frame(HEADERS, END_HEADERS, 1, &[0x83; MOST_WAITED_FOR + 1])[..2_000].to_vec(),
        // A stream that no client may begin.
        call(2, PLAIN, b""),
    ] {
        let came = [PREFACE, &came].concat();
        let (passed, said, asked) = through(&came, came.len(), |_| false);
        assert_eq!((passed == came, said.len(), asked), (true, 0, 0));
    }
}

#[test]
fn trailers_of_a_call_go_where_the_call_went() {
    let come = |stream| {
        [frame(HEADERS, END_HEADERS, stream, PLAIN), frame(HEADERS, END_HEADERS | END_STREAM, stream, PLAIN)].concat()
    };
    let came = [PREFACE.to_vec(), come(1), come(3)].concat();
    let (passed, said, asked) = through(&came, came.len(), |at| at == 0);
    assert_eq!((passed, said, asked), ([PREFACE.to_vec(), come(1)].concat(), ended(3), 2));
}

#[test]
fn a_body_that_nobody_reads_is_stopped_and_its_window_given_back() {
    let mut came = [PREFACE.to_vec(), frame(HEADERS, END_HEADERS, 1, PLAIN)].concat();
    for _ in 0..5 {
        came.extend(frame(DATA, 0, 1, &[0; 10_000]));
    }
    let (passed, said, _) = through(&came, 1_000, |_| false);
    assert_eq!(passed, PREFACE);
    let stop = frame(3, 0, 1, &[0; 4]);
    let mut expected = [ended(1), stop.clone(), stop.clone(), stop.clone()].concat();
    window(&mut expected, 40_000);
    expected.extend([stop.clone(), stop].concat());
    assert_eq!(said, expected);
}

#[test]
fn memory_of_calls_that_were_turned_away_is_bounded_and_what_is_forgotten_is_below_a_call_that_was_passed() {
    let mut turned = Turned::default();
    for at in 0..10_000u32 {
        let stream = 2 * at + 1;
        // Every third is passed on.
        if at % 3 != 0 {
            turned.add(stream);
        }
        turned.last = stream;
    }
    assert_eq!(turned.ranges.len(), MOST_RANGES);
    assert!(turned.has(19_997) && turned.has(19_995) && !turned.has(19_999) && !turned.has(19_993));
    assert!(!turned.has(3));
    let (oldest, _) = turned.ranges[0];
    assert!((oldest - 3) % 6 == 0 && oldest > 3);
    // A run of any length is one range.
    let mut turned = Turned::default();
    for at in 0..10_000u32 {
        turned.add(2 * at + 1);
        turned.last = 2 * at + 1;
    }
    assert_eq!(turned.ranges, [(1, 19_999)]);
}
