//! A stream that gathers what is written, so that all that a connection has to say at a moment goes out in one piece.
//!
//! HTTP/2's library sends every larger frame by itself: for each answer a record of TLS and a call of the system, which
//! together cost as much as the answer. Here frames of many answers share both, and others may put frames between them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::frames::Boundary;

/// What is held back at most; one write may go beyond it.
const MOST_BYTES: usize = 64 << 10;

/// Says whether a stream holds back what is written; shared with the stream.
#[derive(Debug, Clone, Default)]
pub struct Cork(Arc<AtomicBool>);

impl Cork {
    pub fn set(&self, holds: bool) {
        self.0.store(holds, Ordering::Relaxed);
    }
}

/// A stream whose flushes do nothing while the cork is in, unless there is much to write already.
#[derive(Debug)]
pub struct Gather<S> {
    inner: S,
    cork: Cork,
    held: Vec<u8>,
    /// How much of `held` has been written.
    written: usize,
    boundary: Boundary,
    /// Frames of others, which wait for the end of the library's own.
    others: Vec<u8>,
}

impl<S: AsyncWrite + Unpin> Gather<S> {
    pub fn new(inner: S, cork: Cork) -> Self {
        Self { inner, cork, held: Vec::new(), written: 0, boundary: Boundary::default(), others: Vec::new() }
    }

    /// What is read from.
    pub fn inner(&mut self) -> Pin<&mut S> {
        Pin::new(&mut self.inner)
    }

    /// Puts whole frames behind the frame that is being written; they go out with what follows.
    pub fn say(&mut self, frames: &[u8]) {
        self.others.extend_from_slice(frames);
        self.fit_in();
    }

    /// Sees to it that no more is held back than there may be, before more is said.
    pub fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.held.len() + self.others.len() < MOST_BYTES { Poll::Ready(Ok(())) } else { self.write_held(context) }
    }

    fn fit_in(&mut self) {
        if self.boundary.here() {
            self.held.append(&mut self.others);
        }
    }

    fn write_held(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.held.len() {
            match ready!(Pin::new(&mut self.inner).poll_write(context, &self.held[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        self.held.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn hold(&mut self, context: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.held.len() >= MOST_BYTES {
            ready!(self.write_held(context))?;
        }
        for piece in pieces {
            self.held.extend_from_slice(piece);
            self.boundary.take(piece);
        }
        self.fit_in();
        Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().hold(context, &[io::IoSlice::new(piece)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().hold(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if stream.cork.0.load(Ordering::Relaxed) && stream.held.len() < MOST_BYTES {
            return Poll::Ready(Ok(()));
        }
        ready!(stream.write_held(context))?;
        Pin::new(&mut stream.inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        ready!(stream.write_held(context))?;
        Pin::new(&mut stream.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf, duplex};

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
    }

    #[test]
    fn what_is_held_back_goes_out_in_order_when_the_cork_is_out() {
        run(async {
            let (mut there, here) = duplex(1 << 20);
            let cork = Cork::default();
            let mut stream = Gather::new(here, cork.clone());
            cork.set(true);
            stream.write_all(b"one ").await.unwrap();
            stream.flush().await.unwrap();
            stream.write_all(b"two").await.unwrap();
            stream.flush().await.unwrap();
            let mut got = [0; 16];
            let mut early = ReadBuf::new(&mut got);
            let read = std::future::poll_fn(|context| {
                Poll::Ready(Pin::new(&mut there).poll_read(context, &mut early).is_ready())
            });
            assert!(!read.await);
            cork.set(false);
            stream.flush().await.unwrap();
            assert_eq!(there.read(&mut got).await.unwrap(), 7);
            assert_eq!(&got[..7], b"one two");
        });
    }

    #[test]
    fn no_more_is_held_back_than_the_bound_and_a_slow_reader_loses_nothing() {
        run(async {
            let (mut there, here) = duplex(1000);
            let cork = Cork::default();
            let mut stream = Gather::new(here, cork.clone());
            cork.set(true);
            let said: Vec<u8> = (0..300_000u32).map(|at| at as u8).collect();
            let expected = said.clone();
            let speaker = async move {
                for piece in said.chunks(1400) {
                    stream.write_all(piece).await.unwrap();
                    stream.flush().await.unwrap();
                    assert!(stream.held.len() < MOST_BYTES + 1400);
                }
                stream.shutdown().await.unwrap();
            };
            let mut got = Vec::new();
            let (_, read) = tokio::join!(speaker, there.read_to_end(&mut got));
            read.unwrap();
            assert_eq!(got, expected);
        });
    }
}
