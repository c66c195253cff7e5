use super::*;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::frames::{END_HEADERS, END_STREAM, HEADERS, Head, PREFACE_BYTES, ending};
use crate::gather::Cork;

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
}

fn call(stream: u32) -> Vec<u8> {
    let mut out = Vec::new();
    Head { length: 1, kind: HEADERS, flags: END_HEADERS | END_STREAM, stream }.write(&mut out);
    out.push(0x83);
    out
}

fn calls(count: u32) -> Vec<u8> {
    let mut out = vec![b'p'; PREFACE_BYTES];
    (0..count).for_each(|at| out.extend(call(2 * at + 1)));
    out
}

fn turnstile() -> Turnstile {
    Turnstile::new(ending("application/grpc", &[]))
}

#[test]
fn what_is_passed_is_read_in_order_and_what_is_said_stands_between_frames_of_the_library() {
    run(async {
        let (mut there, here) = duplex(1 << 20);
        there.write_all(&calls(1_000)).await.unwrap();
        there.shutdown().await.unwrap();
        let mut asked = 0;
        let place = || {
            asked += 1;
            asked % 2 == 1
        };
        let unread = Unread::default();
        let mut entrance = Entrance::new(Gather::new(here, Cork::default()), turnstile(), place, unread);
        // Half a frame of the library's.
        let mut own = Vec::new();
        Head { length: 4, kind: 8, flags: 0, stream: 0 }.write(&mut own);
        own.extend_from_slice(&[0, 0, 0, 1]);
        entrance.write_all(&own[..6]).await.unwrap();
        let mut got = Vec::new();
        entrance.read_to_end(&mut got).await.unwrap();
        let mut expected = vec![b'p'; PREFACE_BYTES];
        (0..500).for_each(|at| expected.extend(call(4 * at + 1)));
        assert_eq!(got, expected);
        entrance.write_all(&own[6..]).await.unwrap();
        entrance.shutdown().await.unwrap();
        let mut said = Vec::new();
        drop(entrance);
        there.read_to_end(&mut said).await.unwrap();
        assert_eq!(said[..own.len()], own);
        let (ended, rest) = said[own.len()..].split_at(HEAD_BYTES);
        assert_eq!(Head::read(ended.first_chunk().unwrap()).stream, 3);
        assert_eq!(rest.len() + HEAD_BYTES, 500 * (HEAD_BYTES + ending("application/grpc", &[]).len()));
    });
}

#[test]
fn a_flood_of_calls_without_a_place_lets_others_have_their_turn() {
    run(async {
        let (mut there, here) = duplex(1 << 20);
        there.write_all(&calls(20_000)).await.unwrap();
        let unread = Unread::default();
        let mut entrance = Entrance::new(Gather::new(here, Cork::default()), turnstile(), || false, unread.clone());
        let mut preface = [0; PREFACE_BYTES];
        entrance.read_exact(&mut preface).await.unwrap();
        let (mut room, mut turns) = ([0; 64], 0);
        loop {
            let mut into = ReadBuf::new(&mut room);
            let pending = std::future::poll_fn(|context| {
                Poll::Ready(Pin::new(&mut entrance).poll_read(context, &mut into).is_pending())
            });
            assert!(pending.await);
            // What there is to say goes out, as after each turn of the library's.
            entrance.flush().await.unwrap();
            let mut taken = vec![0; 1 << 20];
            let taken = there.read(&mut taken);
            assert!(taken.await.unwrap() > 0);
            turns += 1;
            if !unread.get() {
                break;
            }
        }
        assert!((3..=6).contains(&turns), "{turns}");
    });
}

#[test]
fn who_takes_no_answers_is_not_read_from() {
    run(async {
        let (mut there, here) = duplex(8 << 10);
        let mut entrance = Entrance::new(Gather::new(here, Cork::default()), turnstile(), || false, Unread::default());
        let sent = calls(1_000_000);
        let mut at = 0;
        let mut room = [0; 64];
        for _ in 0..10_000 {
            let mut into = ReadBuf::new(&mut room);
            std::future::poll_fn(|context| {
                if let Poll::Ready(Ok(count)) = Pin::new(&mut there).poll_write(context, &sent[at..]) {
                    at += count;
                }
                Poll::Ready(Pin::new(&mut entrance).poll_read(context, &mut into).is_ready())
            })
            .await;
        }
        // Of a million calls no more were taken than what may be said of them.
        assert!(at < 200 << 10, "{at}");
    });
}
