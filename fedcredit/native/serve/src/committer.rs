//! The one thread that writes the log: whatever has come while the last batch was on its way to the disk goes together in
//! the next one, under one signature.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::log_entry::MAX_BATCH;
use crate::log_file::{Batch, Draft, LogError, LogFile};
use crate::metrics::Metrics;
use crate::room::SharedRoom;

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
    home: Home,
    done: oneshot::Sender<Recorded>,
}

/// The number of the talking thread on which somebody waits; None: on another thread.
pub type Home = Option<usize>;

/// What became durable in one commit for those who wait on one talking thread. It goes there in one piece, since to wake
/// a thread costs a call of the system, and to wake a task on its own thread costs nothing.
pub struct Letter(Vec<(oneshot::Sender<Recorded>, Recorded)>);

impl Letter {
    /// Tells them. Who waited may have gone; the entry is there all the same.
    pub fn deliver(self) {
        for (done, recorded) in self.0 {
            let _ = done.send(recorded);
        }
    }
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
    /// Starts the thread that owns `log`. At most `bound` entries wait for it. `homes`: a way to each talking thread.
    pub fn start(
        log: LogFile,
        bound: usize,
        clock: Clock,
        metrics: Arc<Metrics>,
        room: Arc<SharedRoom>,
        homes: Vec<UnboundedSender<Letter>>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (queue, waiting) = sync_channel(bound);
        let thread = Builder::new().name("verify-log".to_owned());
        let thread = thread.spawn(move || run(log, &waiting, clock, (&metrics, &room), &homes))?;
        Ok((Self { queue }, thread))
    }

    /// Hands in what shall be an entry; does not wait.
    pub fn record(&self, draft: Draft, home: Home) -> Result<Recording, NotTaken> {
        let (done, recording) = oneshot::channel();
        match self.queue.try_send(Waiting { draft, home, done }) {
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

fn run(
    mut log: LogFile,
    queue: &Receiver<Waiting>,
    clock: Clock,
    (metrics, room): (&Metrics, &SharedRoom),
    homes: &[UnboundedSender<Letter>],
) {
    let _watch = Watch(metrics);
    while let Ok(first) = queue.recv() {
        let (mut drafts, mut waiting) = (vec![first.draft], vec![(first.home, first.done)]);
        while drafts.len() < MAX_BATCH
            && let Ok(next) = queue.try_recv()
        {
            drafts.push(next.draft);
            waiting.push((next.home, next.done));
        }
        let begun = Instant::now();
        match log.append(drafts, clock()) {
            Ok(batch) => {
                metrics.committed(waiting.len(), log.head());
                room.committed(begun.elapsed());
                tell(batch, waiting, homes);
            }
            // With the queue gone, everybody who waits or comes is told that the log has ended.
            Err(LogError { code, what, .. }) => return metrics.log_ended(code, &what),
        }
    }
}

fn tell(batch: Batch, waiting: Vec<(Home, oneshot::Sender<Recorded>)>, homes: &[UnboundedSender<Letter>]) {
    let batch = Arc::new(batch);
    let mut letters: Vec<Letter> = homes.iter().map(|_| Letter(Vec::with_capacity(waiting.len()))).collect();
    let mut others = Letter(Vec::new());
    for (place, (home, done)) in waiting.into_iter().enumerate() {
        let letter = home.and_then(|home| letters.get_mut(home)).unwrap_or(&mut others);
        letter.0.push((done, Recorded { batch: batch.clone(), place }));
    }
    for (home, letter) in homes.iter().zip(letters).filter(|(_, letter)| !letter.0.is_empty()) {
        // A thread that has ended has nobody who waits.
        let _ = home.send(letter);
    }
    others.deliver();
}
