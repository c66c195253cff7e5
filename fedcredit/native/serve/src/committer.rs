//! The one thread that writes the log: whatever has come while the last batch was on its way to the disk goes together in
//! the next one, under one signature.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

use tokio::sync::oneshot;

use crate::log_entry::MAX_BATCH;
use crate::log_file::{Batch, Draft, LogError, LogFile};
use crate::metrics::Metrics;

/// Called for the time. Units: milliseconds since 1970.
pub type Clock = fn() -> i64;

/// An entry that is durable.
#[derive(Debug)]
pub struct Recorded {
    pub batch: Arc<Batch>,
    /// Its place in the batch.
    pub place: usize,
}

/// Resolves when the entry is durable, or to an error when the log has ended: then it was not acknowledged.
pub type Recording = oneshot::Receiver<Recorded>;

struct Waiting {
    draft: Draft,
    done: oneshot::Sender<Recorded>,
}

/// Where entries are handed in. Cloned freely; the thread ends when the last one is gone.
#[derive(Clone)]
pub struct Recorder {
    queue: SyncSender<Waiting>,
}

/// The log takes nothing: it has ended, or more entries wait than there may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    Full,
    Ended,
}

impl Recorder {
    /// Starts the thread that owns `log`. At most `bound` entries wait for it.
    pub fn start(
        log: LogFile,
        bound: usize,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (queue, waiting) = sync_channel(bound);
        let thread = Builder::new().name("verify-log".to_owned());
        let thread = thread.spawn(move || run(log, &waiting, clock, &metrics))?;
        Ok((Self { queue }, thread))
    }

    /// Hands in what shall be an entry; does not wait.
    pub fn record(&self, draft: Draft) -> Result<Recording, NotTaken> {
        let (done, recording) = oneshot::channel();
        match self.queue.try_send(Waiting { draft, done }) {
            Ok(()) => Ok(recording),
            Err(TrySendError::Full(_)) => Err(NotTaken::Full),
            Err(TrySendError::Disconnected(_)) => Err(NotTaken::Ended),
        }
    }
}

/// Says that the log has ended, should its thread end in a panic.
struct Watch<'a>(&'a Metrics);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.log_ended("INTERNAL", "the thread that writes the log has ended");
        }
    }
}

fn run(mut log: LogFile, queue: &Receiver<Waiting>, clock: Clock, metrics: &Metrics) {
    let _watch = Watch(metrics);
    while let Ok(first) = queue.recv() {
        let (mut drafts, mut waiting) = (vec![first.draft], vec![first.done]);
        while drafts.len() < MAX_BATCH
            && let Ok(next) = queue.try_recv()
        {
            drafts.push(next.draft);
            waiting.push(next.done);
        }
        match log.append(drafts, clock()) {
            Ok(batch) => {
                metrics.committed(waiting.len(), log.head());
                let batch = Arc::new(batch);
                for (place, done) in waiting.into_iter().enumerate() {
                    // Who waited may have gone; the entry is there all the same.
                    let _ = done.send(Recorded { batch: batch.clone(), place });
                }
            }
            // With the queue gone, everybody who waits or comes is told that the log has ended.
            Err(LogError { code, what, .. }) => return metrics.log_ended(code, &what),
        }
    }
}
