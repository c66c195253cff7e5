//! A thread that syncs files while others write to them on: a half of the journal is used again when it is done.

use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{Builder, JoinHandle};

/// The thread, and whether it was asked for something that it has not told the end of.
pub struct Syncing {
    ask: Option<Sender<()>>,
    told: Receiver<io::Result<()>>,
    under_way: bool,
    thread: Option<JoinHandle<()>>,
}

impl Syncing {
    pub fn start(files: Vec<File>) -> io::Result<Self> {
        let ((ask, asked), (tell, told)) = (channel(), channel());
        let thread = Builder::new().name("verify-log-sync".to_owned());
        let thread = thread.spawn(move || {
            for () in asked {
                if tell.send(files.iter().try_for_each(File::sync_data)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { ask: Some(ask), told, under_way: false, thread: Some(thread) })
    }

    /// Has everything synced that was written up to now; does not wait.
    pub fn begin(&mut self) -> io::Result<()> {
        let asked = self.ask.as_ref().is_some_and(|ask| ask.send(()).is_ok());
        self.under_way = true;
        if asked { Ok(()) } else { Err(ended()) }
    }

    /// Waits for what was begun. An error of it is told once, here or by `check`.
    pub fn wait(&mut self) -> io::Result<()> {
        if !self.under_way {
            return Ok(());
        }
        let told = self.told.recv().map_err(|_| ended())?;
        self.under_way = false;
        told
    }

    /// Whether what was begun has failed by now; does not wait.
    pub fn check(&mut self) -> io::Result<()> {
        match self.told.try_recv() {
            Ok(told) => {
                self.under_way = false;
                told
            }
            Err(TryRecvError::Empty) => Ok(()),
            Err(TryRecvError::Disconnected) => Err(ended()),
        }
    }
}

impl Drop for Syncing {
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            // What it synced last is of no account: the journal still holds it.
            let _ = thread.join();
        }
    }
}

fn ended() -> io::Error {
    io::Error::other("the thread that syncs the log has ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_is_waited_for_and_its_error_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("a")).unwrap();
        let mut good = Syncing::start(vec![file.try_clone().unwrap()]).unwrap();
        good.wait().unwrap();
        for _ in 0..3 {
            good.begin().unwrap();
            good.wait().unwrap();
            good.check().unwrap();
        }
        // It cannot be synced.
        let null = File::open("/dev/null").unwrap();
        let mut bad = Syncing::start(vec![file, null]).unwrap();
        bad.begin().unwrap();
        assert!(bad.wait().is_err());
        bad.wait().unwrap();
        bad.begin().unwrap();
        while bad.check().is_ok() {}
        bad.check().unwrap();
    }
}
