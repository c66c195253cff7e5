//! The server: one thread a core that talks, one that writes the log, and the way in and out.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::arrival::Woke;
use crate::committer::{Letter, Recorder};
use crate::connection::{Thread, serve};
use crate::desk::{Desk, Snapshot, Trouble};
use crate::facts::replay;
use crate::log_entry::{Fact, begin};
use crate::log_file::{Draft, LogError, LogFile};
use crate::metrics::Metrics;
use crate::room::{Bounds, SharedRoom};
use crate::service::{Phase, Service};
use crate::settings::Settings;
use crate::tls::Doors;

/// What a server is started with. The keys are secret.
pub struct Start<'a> {
    /// See `Settings`.
    pub settings: &'a str,
    pub snapshot: &'a str,
    /// See `Trust::parse`.
    pub trust: &'a str,
    /// PEM.
    pub certificate: &'a [u8],
    pub key: &'a [u8],
    /// Ed25519, 32 bytes: with which heads of the log are signed.
    pub signing_key: [u8; 32],
    /// Under which subjects are recorded.
    pub log_key: [u8; 32],
}

/// A server that runs. Dropping it stops it at once.
pub struct Server {
    service: Option<Arc<Service>>,
    metrics: Arc<Metrics>,
    address: SocketAddr,
    open: Arc<Open>,
    threads: Vec<JoinHandle<()>>,
}

/// How many connections are open.
#[derive(Default)]
struct Open {
    count: Mutex<usize>,
    fewer: Condvar,
}

impl Server {
    /// Opens the log, rebuilds uses and budgets from it, and listens.
    pub fn start(with: Start<'_>) -> Result<Self, Vec<Trouble>> {
        let settings = Settings::parse(with.settings).map_err(|what| trouble("CONFIG_INVALID", "settings", what))?;
        let doors = Doors::new(with.trust, with.certificate, with.key)
            .map_err(|what| trouble("TLS_IDENTITY", "trust, certificate and key", what))?;
        let desk = Desk::new(with.log_key, Snapshot::parse(with.snapshot)?);
        let listener =
            listen(&settings.listen).map_err(|error| trouble("LISTEN", &settings.listen, error.to_string()))?;
        let address = listener.local_addr().map_err(|error| trouble("LISTEN", &settings.listen, error.to_string()))?;
        let metrics = Arc::new(Metrics::default());
        let log = open_log(&settings, &desk, &with.signing_key)?;
        metrics.opened(&log.head());
        // The queue never is the bound: whoever hands in has been let in before.
        let bound = settings.max_in_flight + settings.max_batches + 64 * settings.max_connections;
        let failed = |error: io::Error| trouble("THREADS", "server", error.to_string());
        let (homes, mails): (Vec<_>, Vec<_>) = (0..threads(&settings)).map(|_| unbounded_channel()).unzip();
        let room = Arc::new(SharedRoom::new(room_of(&settings), Instant::now()));
        let started = Recorder::start(log, bound, unix_ms, metrics.clone(), room.clone(), homes);
        let (recorder, committer) = started.map_err(failed)?;
        let service = Arc::new(Service::new(desk, doors, metrics.clone(), room, recorder, unix_ms, &settings));
        let open = Arc::new(Open::default());
        let mut server =
            Self { service: Some(service.clone()), metrics, address, open: open.clone(), threads: vec![committer] };
        let mut ways = Vec::new();
        for (number, mail) in mails.into_iter().enumerate() {
            let (way, come) = unbounded_channel();
            ways.push(way);
            let (service, open, most_batches) = (service.clone(), open.clone(), settings.max_batches);
            let worker = Worker { number, service, open, come, mail, most_batches };
            let thread = Builder::new().name(format!("verify-{number}")).spawn(move || worker.run());
            server.threads.push(thread.map_err(failed)?);
        }
        let acceptor = Acceptor { service, open, ways, most: settings.max_connections };
        let thread = Builder::new().name("verify-accept".to_owned()).spawn(move || acceptor.run(listener));
        server.threads.push(thread.map_err(failed)?);
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers from another snapshot from the next question on, or from the old one if that cannot be used.
    pub fn swap(&self, snapshot: &str) -> Result<(), Vec<Trouble>> {
        self.service()?.desk.reload(snapshot)
    }

    /// Shows and believes something else from the next handshake and call on.
    pub fn reload(&self, trust: &str, certificate: &[u8], key: &[u8]) -> Result<(), Vec<Trouble>> {
        let replaced = self.service()?.doors.replace(trust, certificate, key);
        replaced.map_err(|what| trouble("TLS_IDENTITY", "trust, certificate and key", what))
    }

    /// Adds an entry to the log and returns the text of the head that has it, when it is durable.
    pub fn record(&self, event: &str, facts: &[(&str, Fact<'_>)]) -> Result<String, Vec<Trouble>> {
        let line = begin(event, facts);
        let line = line.ok_or_else(|| trouble("AUDIT_ENTRY", event, "no entry of this log".to_owned()))?;
        let ended = || trouble("AUDIT_UNAVAILABLE", event, "the log takes no entries".to_owned());
        let recording = self.service()?.record(Draft::Line(line), None).map_err(|_| ended())?;
        let recorded = recording.blocking_recv().map_err(|_| ended())?;
        Ok(recorded.batch.head.clone())
    }

    /// What it counts, as JSON.
    pub fn stats(&self) -> String {
        let service = self.service.as_ref();
        self.metrics.json(
            service.map_or([0; 2], |service| [service.in_flight(), service.room()]),
            service.is_some_and(|service| service.serving()),
        )
    }

    /// Takes no more calls, answers those under way, and waits for that; false if `most` was not enough.
    pub fn drain(&self, most: Duration) -> bool {
        let Some(service) = &self.service else { return true };
        service.phase.send_if_modified(|phase| std::mem::replace(phase, Phase::Draining.max(*phase)) < Phase::Draining);
        let until = Instant::now() + most;
        let mut count = self.open.count.lock().unwrap_or_else(PoisonError::into_inner);
        while *count > 0 {
            let Some(rest) = until.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()) else {
                return false;
            };
            count = self.open.fewer.wait_timeout(count, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Ends it at once. What was handed in is written, whoever waited for it is cut off.
    pub fn stop(&mut self) {
        if let Some(service) = self.service.take() {
            service.phase.send_replace(Phase::Stopping);
            drop(service);
            for thread in self.threads.drain(..).rev() {
                // A thread that ended in a panic has ended.
                let _ = thread.join();
            }
        }
    }

    fn service(&self) -> Result<&Arc<Service>, Vec<Trouble>> {
        self.service.as_ref().ok_or_else(|| trouble("STOPPED", "server", "it has been stopped".to_owned()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A thread that talks.
struct Worker {
    number: usize,
    service: Arc<Service>,
    open: Arc<Open>,
    come: UnboundedReceiver<std::net::TcpStream>,
    mail: UnboundedReceiver<Letter>,
    most_batches: usize,
}

/// After so many steps of its tasks a thread looks whether entries have become durable. By default that is rare: in a
/// flood of calls answers would lie until all of it was read.
const STEPS_BETWEEN_LETTERS: u32 = 4;

impl Worker {
    fn run(mut self) {
        let mut runtime = runtime::Builder::new_current_thread();
        // What a batch takes is done beside, by as many threads as batches may be under way.
        runtime.enable_io().enable_time().max_blocking_threads(self.most_batches);
        let woke = Woke::new(Instant::now());
        let thread = Thread { number: self.number, woke: woke.clone() };
        runtime.on_thread_unpark(move || woke.note(Instant::now()));
        runtime.global_queue_interval(STEPS_BETWEEN_LETTERS);
        let Ok(runtime) = runtime.build() else { return };
        let mut phase = self.service.phase.subscribe();
        runtime.block_on(async {
            tokio::spawn(async move {
                while let Some(letter) = self.mail.recv().await {
                    letter.deliver();
                }
            });
            loop {
                tokio::select! {
                    Some(stream) = self.come.recv() => {
                        let (service, open, thread) = (self.service.clone(), self.open.clone(), thread.clone());
                        tokio::spawn(async move {
                            let _counted = Counted { open, service: service.clone() };
                            if let Ok(stream) = TcpStream::from_std(stream) {
                                serve(stream, service, thread).await;
                            }
                        });
                    }
                    stopping = phase.wait_for(|phase| *phase == Phase::Stopping) => {
                        drop(stopping);
                        return;
                    }
                }
            }
        });
        runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

/// The thread that takes connections and hands them round.
struct Acceptor {
    service: Arc<Service>,
    open: Arc<Open>,
    ways: Vec<UnboundedSender<std::net::TcpStream>>,
    most: usize,
}

impl Acceptor {
    fn run(self, listener: TcpListener) {
        let Ok(runtime) = runtime::Builder::new_current_thread().enable_io().enable_time().build() else { return };
        let mut phase = self.service.phase.subscribe();
        runtime.block_on(async {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            let mut next = 0usize;
            loop {
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => {
                            self.hand_on(stream, next);
                            next = next.wrapping_add(1);
                        }
                        // Out of descriptors, or the caller has gone already: the next one may do.
                        Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                    },
                    going = phase.wait_for(|phase| *phase > Phase::Serving) => {
                        drop(going);
                        return;
                    }
                }
            }
        });
    }

    fn hand_on(&self, stream: TcpStream, next: usize) {
        let mut count = self.open.count.lock().unwrap_or_else(PoisonError::into_inner);
        if *count >= self.most {
            self.service.metrics.failed_handshakes.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if let Ok(stream) = stream.into_std()
            && self.ways[next % self.ways.len()].send(stream).is_ok()
        {
            *count += 1;
            self.service.metrics.connections.fetch_add(1, Ordering::Relaxed);
            self.service.metrics.open_connections.store(*count as u64, Ordering::Relaxed);
        }
    }
}

/// An open connection.
struct Counted {
    open: Arc<Open>,
    service: Arc<Service>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut count = self.open.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count -= 1;
        self.service.metrics.open_connections.store(*count as u64, Ordering::Relaxed);
        self.open.fewer.notify_all();
    }
}

fn open_log(settings: &Settings, desk: &Desk, signing_key: &[u8; 32]) -> Result<LogFile, Vec<Trouble>> {
    let known = settings.known_head().map_err(|what| trouble("CONFIG_INVALID", "settings", what))?;
    let key = SigningKey::from_bytes(signing_key);
    let mut see =
        |line: &[u8], checks: &mut crate::log_file::Checks<'_>| replay(line, checks, &mut |record| desk.replay(record));
    // A party signs all its logs with one key, so each has a name of its own: `fedcredit.governance.audit.origin_of`.
    let origin = format!("{}/verify", desk.provider());
    let opened = LogFile::open(&settings.folder, &origin, key, known.as_ref(), unix_ms(), &mut see);
    opened.map_err(|LogError { code, place, what }| trouble(code, &place.to_string_lossy(), what))
}

fn listen(at: &str) -> io::Result<TcpListener> {
    let address = at.to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn threads(settings: &Settings) -> usize {
    match settings.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        given => given,
    }
}

fn room_of(settings: &Settings) -> Bounds {
    let most = settings.max_in_flight;
    Bounds {
        least: settings.least_in_flight.min(most),
        most,
        target: Duration::from_millis(settings.target_wait_ms as u64),
    }
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn trouble(code: &'static str, place: &str, what: String) -> Vec<Trouble> {
    vec![Trouble { code, place: place.to_owned(), what }]
}
