//! The methods of `VerificationService` and of gRPC's health service.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Request;
use tokio::sync::mpsc;
use tokio::time::{timeout, timeout_at};

use crate::answers::{Decided, decide, decide_batch, reply};
use crate::committer::{Home, Recording};
use crate::grpc::{self, INTERNAL, Messages, REFUSED, Status, UNKNOWN_SERVICE, deadline, is_plain, prefix};
use crate::metrics::TurnedAway;
use crate::question::Caller;
use crate::service::{BatchSlot, Service, Slot};
use crate::wire::{MAX_BATCH_BYTES, MAX_REQUEST_BYTES};

const SERVICE: &str = "fedcredit.v1.VerificationService";
/// The longest that a call may take, whatever its caller says: a place is not held by who sends nothing.
const LONGEST: Duration = Duration::from_secs(10);
const LONGEST_BATCH: Duration = Duration::from_secs(60);
const LONGEST_STREAM: Duration = Duration::from_secs(3600);
/// Between one question of a stream and the next.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);
/// Questions of one stream that are under way: decided, and not yet answered.
const AHEAD: usize = 64;
const MAX_HEALTH_BYTES: usize = 256;

/// A method that somebody may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Verify,
    Batch,
    Stream,
    Health,
}

impl Method {
    fn of(path: &str) -> Option<Self> {
        match path {
            "/fedcredit.v1.VerificationService/Verify" => Some(Self::Verify),
            "/fedcredit.v1.VerificationService/VerifyBatch" => Some(Self::Batch),
            "/fedcredit.v1.VerificationService/VerifyStream" => Some(Self::Stream),
            "/grpc.health.v1.Health/Check" => Some(Self::Health),
            _ => None,
        }
    }
}

/// Why a call was not answered.
enum Fault {
    Turned(TurnedAway),
    Ended(Status),
    /// The caller takes nothing any more.
    Gone,
}

impl From<TurnedAway> for Fault {
    fn from(why: TurnedAway) -> Self {
        Self::Turned(why)
    }
}

/// A call that was let in: it has a place among those under way.
pub struct Call {
    pub service: Arc<Service>,
    pub caller: Arc<Caller>,
    pub slot: Slot,
    pub respond: SendResponse<Bytes>,
    /// Since when it may have been there.
    pub came: Instant,
    /// The thread that it is answered on.
    pub home: Home,
}

impl Call {
    /// Answers, refuses or turns away, by the caller's deadline.
    pub async fn run(mut self, request: Request<RecvStream>) {
        let fault = match self.begin(&request) {
            Ok((method, until)) => {
                let answered = timeout_at(until.into(), self.answer(method, request.into_body())).await;
                answered.unwrap_or(Err(Fault::Turned(TurnedAway::Late)))
            }
            Err(why) => Err(Fault::Turned(why)),
        };
        let status = match fault {
            Ok(()) => return,
            Err(Fault::Turned(why)) => {
                self.service.metrics.turned_away(why);
                why.into()
            }
            Err(Fault::Ended(status)) => status,
            Err(Fault::Gone) => return self.respond.send_reset(Reason::CANCEL),
        };
        grpc::end(&mut self.respond, status);
    }

    fn begin(&self, request: &Request<RecvStream>) -> Result<(Method, Instant), TurnedAway> {
        let method = Method::of(request.uri().path()).filter(|_| request.method() == http::Method::POST);
        let method = method.filter(|_| is_plain(request.headers())).ok_or(TurnedAway::Unimplemented)?;
        let longest = match method {
            Method::Verify | Method::Health => LONGEST,
            Method::Batch => LONGEST_BATCH,
            Method::Stream => LONGEST_STREAM,
        };
        Ok((method, self.came + deadline(request.headers(), longest)?))
    }

    async fn answer(&mut self, method: Method, body: RecvStream) -> Result<(), Fault> {
        match method {
            Method::Verify => self.verify(body).await,
            // What is rare lies elsewhere, so that a question's task is small.
            Method::Batch => Box::pin(self.batch(body)).await,
            Method::Stream => Box::pin(self.stream(body)).await,
            Method::Health => Box::pin(self.health(body)).await,
        }
    }

    async fn verify(&mut self, body: RecvStream) -> Result<(), Fault> {
        let begun = Instant::now();
        let message = Messages::of(body, MAX_REQUEST_BYTES).only().await?;
        // A caller that takes its time must not make it seem that others wait.
        let own = begun.elapsed();
        let Asked { answer, recording, .. } = ask(&self.service, &self.caller, &message, self.home)?;
        let recorded = recording.await.map_err(|_| TurnedAway::Unavailable)?;
        let took = self.came.elapsed();
        self.service.metrics.took(took);
        self.service.waited(took.saturating_sub(own));
        let answer = answer.ok_or(Fault::Ended(REFUSED))?;
        self.send(reply(&answer, &recorded)).await
    }

    async fn batch(&mut self, body: RecvStream) -> Result<(), Fault> {
        let _slot: BatchSlot = self.service.admit_batch().ok_or(TurnedAway::Overload)?;
        let message = Messages::of_few(body, MAX_BATCH_BYTES).only().await?;
        let (service, caller, home) = (self.service.clone(), self.caller.clone(), self.home);
        // Milliseconds of work are nothing for a thread that talks. Ruling and handing in are one step, so that a deadline
        // cannot come between them.
        let asked = tokio::task::spawn_blocking(move || {
            let decided = decide_batch(&service.desk, &caller, &message, service.now(), &service.metrics)?;
            Ok::<_, TurnedAway>((decided.answer, service.record(decided.draft, home)?))
        });
        let (answers, recording) = asked.await.map_err(|_| Fault::Ended(INTERNAL))??;
        let recorded = recording.await.map_err(|_| TurnedAway::Unavailable)?;
        self.service.metrics.took(self.came.elapsed());
        self.send(reply(&answers.ok_or(Fault::Ended(INTERNAL))?, &recorded)).await
    }

    async fn stream(&mut self, body: RecvStream) -> Result<(), Fault> {
        let (ahead, mut behind) = mpsc::channel::<Result<Asked, Fault>>(AHEAD);
        let (service, caller, home) = (&self.service, &self.caller, self.home);
        let reader = async move {
            let mut messages = Messages::of(body, MAX_REQUEST_BYTES);
            // Room first: what was decided must not be forgotten.
            while let Ok(room) = ahead.reserve().await {
                let asked = match timeout(LONGEST_SILENCE, messages.next()).await {
                    Ok(Ok(Some(message))) => ask(service, caller, &message, home),
                    Ok(Ok(None)) => return,
                    Ok(Err(why)) => Err(why.into()),
                    Err(_) => Err(TurnedAway::Late.into()),
                };
                let over = asked.is_err();
                room.send(asked);
                if over {
                    return;
                }
            }
        };
        let mut stream = grpc::begin(&mut self.respond).ok_or(Fault::Gone)?;
        let writer = async {
            while let Some(asked) = behind.recv().await {
                let Asked { answer, recording, came } = asked?;
                let recorded = recording.await.map_err(|_| TurnedAway::Unavailable)?;
                service.metrics.took(came.elapsed());
                let answer = answer.ok_or(Fault::Ended(REFUSED))?;
                grpc::send(&mut stream, reply(&answer, &recorded)).await.ok_or(Fault::Gone)?;
            }
            Ok::<(), Fault>(())
        };
        let written = async {
            tokio::pin!(reader, writer);
            let mut reading = true;
            loop {
                tokio::select! {
                    () = &mut reader, if reading => reading = false,
                    written = &mut writer => return written,
                }
            }
        };
        let written = written.await;
        match written {
            Ok(()) => grpc::done(&mut stream),
            Err(Fault::Turned(why)) => {
                self.service.metrics.turned_away(why);
                grpc::fail(&mut stream, why.into());
            }
            Err(Fault::Ended(status)) => grpc::fail(&mut stream, status),
            Err(Fault::Gone) => return Err(Fault::Gone),
        }
        Ok(())
    }

    async fn health(&mut self, body: RecvStream) -> Result<(), Fault> {
        let message = Messages::of(body, MAX_HEALTH_BYTES).only().await?;
        // The one field is the service's name; without one it is about all of them.
        let named = [&[0x0a, SERVICE.len() as u8], SERVICE.as_bytes()].concat();
        if !message.is_empty() && message[..] != named {
            return Err(Fault::Ended(UNKNOWN_SERVICE));
        }
        let serving = if self.service.serving() { 1 } else { 2 };
        let frame = [&prefix(2)[..], &[0x08, serving]].concat();
        self.send(frame.into()).await
    }

    async fn send(&mut self, frame: Bytes) -> Result<(), Fault> {
        let mut stream = grpc::begin(&mut self.respond).ok_or(Fault::Gone)?;
        grpc::send(&mut stream, frame).await.ok_or(Fault::Gone)?;
        grpc::done(&mut stream);
        Ok(())
    }
}

/// A question that was ruled on; nobody may be told before it is recorded.
struct Asked {
    answer: Option<Vec<u8>>,
    recording: Recording,
    came: Instant,
}

/// Rules on a question and hands in its entry, in one step.
fn ask(service: &Service, caller: &Caller, message: &[u8], home: Home) -> Result<Asked, Fault> {
    let came = Instant::now();
    let decided = decide(&service.desk, caller, message, service.now(), &service.metrics)?;
    let Decided { draft, answer } = decided.ok_or(Fault::Ended(INTERNAL))?;
    Ok(Asked { answer, recording: service.record(draft, home)?, came })
}
