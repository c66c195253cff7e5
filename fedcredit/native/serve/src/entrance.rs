//! A stream that is read through a turnstile, so that calls without a place end before HTTP/2's library has seen them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::frames::HEAD_BYTES;
use crate::gather::Gather;
use crate::turnstile::{MOST_WAITED_FOR, Turnstile};

/// What is read at once.
const READ_BYTES: usize = 16 << 10;
/// What is read, when none of it is passed on, before others have their turn.
const READ_IN_A_TURN: usize = 64 << 10;

/// Says whether there is more to read that only waits for its turn; shared with the stream.
#[derive(Debug, Clone, Default)]
pub struct Unread(Arc<AtomicBool>);

impl Unread {
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The stream. `place` says of a call that could be turned away whether there is a place for it.
pub struct Entrance<S, P> {
    stream: Gather<S>,
    turnstile: Turnstile,
    place: P,
    unread: Unread,
    /// What has come and waits for the rest of its frame: `came[..ends]`.
    came: Box<[u8]>,
    ends: usize,
    passed: Vec<u8>,
    /// How much of `passed` has been given to the library.
    given: usize,
    said: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin, P: FnMut() -> bool> Entrance<S, P> {
    pub fn new(stream: Gather<S>, turnstile: Turnstile, place: P, unread: Unread) -> Self {
        Self {
            stream,
            turnstile,
            place,
            unread,
            came: vec![0; READ_BYTES + MOST_WAITED_FOR + HEAD_BYTES].into(),
            ends: 0,
            passed: Vec::new(),
            given: 0,
            said: Vec::new(),
        }
    }

    fn give(&mut self, into: &mut ReadBuf<'_>) {
        let now = into.remaining().min(self.passed.len() - self.given);
        into.put_slice(&self.passed[self.given..self.given + now]);
        self.given += now;
        if self.given == self.passed.len() {
            self.passed.clear();
            self.given = 0;
        }
    }

    /// Reads once; returns how much that was.
    fn poll_once(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Who takes no answers is not read from either.
        ready!(self.stream.poll_room(context))?;
        let mut free = ReadBuf::new(&mut self.came[self.ends..]);
        ready!(self.stream.inner().poll_read(context, &mut free))?;
        let count = free.filled().len();
        self.ends += count;
        if count == 0 {
            // The library is to say what it thinks of half a frame.
            self.passed.extend_from_slice(&self.came[..self.ends]);
            self.ends = 0;
            return Poll::Ready(Ok(0));
        }
        let used = self.turnstile.take(&self.came[..self.ends], &mut self.passed, &mut self.said, &mut self.place);
        self.came.copy_within(used..self.ends, 0);
        self.ends -= used;
        self.stream.say(&self.said);
        self.said.clear();
        Poll::Ready(Ok(count))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, P: FnMut() -> bool + Unpin> AsyncRead for Entrance<S, P> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let entrance = self.get_mut();
        let mut read = 0;
        entrance.unread.0.store(false, Ordering::Relaxed);
        while entrance.passed.is_empty() {
            if read >= READ_IN_A_TURN {
                entrance.unread.0.store(true, Ordering::Relaxed);
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            match ready!(entrance.poll_once(context))? {
                0 => break,
                count => read += count,
            }
        }
        entrance.give(into);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, P: FnMut() -> bool + Unpin> AsyncWrite for Entrance<S, P> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, piece)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
#[path = "entrance_tests.rs"]
mod tests;
