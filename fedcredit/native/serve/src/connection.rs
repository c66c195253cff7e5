//! One connection: TLS, HTTP/2 within bounds, and a task for each call that is let in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Ping, PingPong, RecvStream};
use http::Request;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::arrival::{Arrivals, Woke};
use crate::calls::Call;
use crate::entrance::{Entrance, Unread};
use crate::gather::{Cork, Gather};
use crate::grpc;
use crate::identity::Believed;
use crate::metrics::TurnedAway;
use crate::question::Caller;
use crate::service::{Phase, Places, Service, Slot};
use crate::turnstile::Turnstile;

/// For TLS and the beginning of HTTP/2 together.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A connection on which nothing has happened for so long is asked whether it is there, and has as long again to answer.
const SILENCE: Duration = Duration::from_secs(30);
const MAX_METADATA_BYTES: u32 = 8 << 10;
const MAX_STREAMS: u32 = 512;
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
const MAX_SEND_BUFFER: usize = 256 << 10;
/// Calls that a caller takes back before they were let in; more of them end the connection (rapid reset).
const MAX_RESETS: usize = 64;
/// Calls without a place that are ended together.
const TURNED_AT_ONCE: usize = 32;
/// Calls that are taken before what there is to say is sent.
const TAKEN_AT_ONCE: usize = 64;
/// What is read from a socket at once; TLS by itself reads four KiB.
const READ_BYTES: usize = 32 << 10;

type Tls = TlsStream<BufReader<TcpStream>>;
type Link = Connection<Entrance<Tls, Box<dyn FnMut() -> bool + Send>>, Bytes>;

/// Who is at the other end, checked again when trust changes.
struct Peer {
    leaf: rustls::pki_types::CertificateDer<'static>,
    believed: Believed,
    caller: Arc<Caller>,
    places: Arc<Places>,
    changes: u64,
}

/// The thread that a connection is served on.
#[derive(Debug, Clone)]
pub struct Thread {
    pub number: usize,
    pub woke: Woke,
}

/// Serves a connection to its end.
pub async fn serve(stream: TcpStream, service: Arc<Service>, thread: Thread) {
    let _ = stream.set_nodelay(true);
    let (cork, unread) = (Cork::default(), Unread::default());
    match timeout(HANDSHAKE, open(stream, &service, cork.clone(), unread.clone())).await.ok().flatten() {
        Some((link, peer)) => {
            let arrivals = Arrivals::new(thread.woke, Instant::now());
            let talk = Talk { link, cork, unread, arrivals, places: peer.places.clone(), taken: 0 };
            run(talk, peer, service, thread.number).await;
        }
        None => drop(service.metrics.failed_handshakes.fetch_add(1, std::sync::atomic::Ordering::Relaxed)),
    }
}

async fn open(stream: TcpStream, service: &Arc<Service>, cork: Cork, unread: Unread) -> Option<(Link, Peer)> {
    let changes = service.doors.changes();
    let stream =
        TlsAcceptor::from(service.doors.shown()).accept(BufReader::with_capacity(READ_BYTES, stream)).await.ok()?;
    let session = stream.get_ref().1;
    if session.alpn_protocol() != Some(b"h2") {
        return None;
    }
    let leaf = session.peer_certificates()?.first()?.clone().into_owned();
    let believed = service.doors.check(&leaf).ok()?;
    let caller = Arc::new(believed.caller.clone());
    let places = Arc::new(Places::new(service.clone(), service.share_of(&caller.party)));
    let turnstile = Turnstile::new(grpc::ending(TurnedAway::Overload.into()));
    let finder = places.clone();
    let place: Box<dyn FnMut() -> bool + Send> = Box::new(move || finder.find());
    let link = Builder::new()
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_METADATA_BYTES)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(MAX_SEND_BUFFER)
        .max_concurrent_reset_streams(MAX_RESETS)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(Some(MAX_RESETS))
        .handshake(Entrance::new(Gather::new(stream, cork), turnstile, place, unread))
        .await
        .ok()?;
    Some((link, Peer { leaf, believed, caller, places, changes }))
}

/// What has been asked for, and how it is answered.
type Come = (Request<RecvStream>, SendResponse<Bytes>);

/// A connection, on which what there is to say goes out together when nothing more has come.
struct Talk {
    link: Link,
    cork: Cork,
    unread: Unread,
    arrivals: Arrivals,
    places: Arc<Places>,
    /// Calls since something was said.
    taken: usize,
}

impl Talk {
    /// The next call, and since when it may have been there; None: it is over.
    async fn next(&mut self) -> Option<(Come, Instant)> {
        let come = std::future::poll_fn(|context| {
            let holds = self.taken < TAKEN_AT_ONCE;
            self.cork.set(holds);
            let mut come = self.link.poll_accept(context);
            if holds && come.is_pending() {
                self.cork.set(false);
                come = self.link.poll_accept(context);
            }
            if come.is_pending() {
                self.places.give_back();
                if !self.unread.get() {
                    self.arrivals.read_all(Instant::now());
                }
            }
            if !holds || come.is_pending() {
                self.taken = 0;
            }
            come
        });
        let come = come.await?.ok()?;
        self.taken += 1;
        Some((come, self.arrivals.since()))
    }
}

async fn run(mut talk: Talk, mut peer: Peer, service: Arc<Service>, number: usize) {
    let mut phase = service.phase.subscribe();
    let mut pulse = talk.link.ping_pong().map(Pulse::new);
    let mut turned = Vec::new();
    let mut ticks = interval(SILENCE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    loop {
        tokio::select! {
            biased;
            come = talk.next() => match come {
                Some(((request, respond), came)) => {
                    if let Some(pulse) = &mut pulse {
                        pulse.heard = true;
                    }
                    match admit(&service, &mut peer) {
                        Ok(slot) => {
                            let (service, caller) = (service.clone(), peer.caller.clone());
                            let call = Call { service, caller, slot, respond, came, home: Some(number) };
                            tokio::spawn(call.run(request));
                        }
                        Err(why) => turned.push((respond, why)),
                    }
                    if turned.len() >= TURNED_AT_ONCE {
                        turn_away(&service, &mut turned).await;
                    }
                }
                None => return,
            },
            // Nothing more has come for now.
            () = std::future::ready(()), if !turned.is_empty() => turn_away(&service, &mut turned).await,
            _ = phase.changed() => match *phase.borrow_and_update() {
                Phase::Serving => {}
                Phase::Draining => talk.link.graceful_shutdown(),
                Phase::Stopping => return,
            },
            _ = ticks.tick() => {
                // A peer that is not believed any more is let go, whether it asks or not.
                if !believe(&service, &mut peer) {
                    talk.link.graceful_shutdown();
                }
                if pulse.as_mut().is_some_and(Pulse::lost) {
                    return;
                }
            }
            () = Pulse::pong(&mut pulse) => {}
        }
    }
}

/// A place for the call, or why there is none; nothing waits for its body.
fn admit(service: &Service, peer: &mut Peer) -> Result<Slot, TurnedAway> {
    let place = peer.places.take();
    if !believe(service, peer) {
        return Err(TurnedAway::Untrusted);
    }
    place.ok_or(TurnedAway::Overload)
}

/// Ends calls that have no place: several in one write, since in a flood each write of its own would cost more than the
/// rest of turning a call away. Then calls under way go first: else a flood would be turned away and nothing answered.
async fn turn_away(service: &Service, turned: &mut Vec<(SendResponse<Bytes>, TurnedAway)>) {
    for (mut respond, why) in turned.drain(..) {
        service.metrics.turned_away(why);
        grpc::end(&mut respond, why.into());
    }
    yield_now().await;
}

/// Whether the peer is still the one it was let in as.
fn believe(service: &Service, peer: &mut Peer) -> bool {
    let changes = service.doors.changes();
    if changes != peer.changes {
        match service.doors.check(&peer.leaf) {
            // An authority that changed is another one to consents, too.
            Ok(believed) if believed.caller == *peer.caller => (peer.believed, peer.changes) = (believed, changes),
            _ => return false,
        }
    }
    service.now().seconds() <= peer.believed.until
}

/// Whether the other end is there.
struct Pulse {
    ping_pong: PingPong,
    heard: bool,
    asked: bool,
}

impl Pulse {
    fn new(ping_pong: PingPong) -> Self {
        Self { ping_pong, heard: true, asked: false }
    }

    /// Called once in a while: true if it was asked the last time and nothing has come since.
    fn lost(&mut self) -> bool {
        if !std::mem::take(&mut self.heard) {
            if self.asked {
                return true;
            }
            self.asked = self.ping_pong.send_ping(Ping::opaque()).is_ok();
        }
        false
    }

    async fn pong(pulse: &mut Option<Self>) {
        match pulse {
            Some(pulse) if pulse.asked => {
                let answered = std::future::poll_fn(|context| pulse.ping_pong.poll_pong(context)).await;
                pulse.asked = false;
                pulse.heard = answered.is_ok();
            }
            _ => std::future::pending().await,
        }
    }
}
