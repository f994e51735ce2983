//! Makes one signed request and gives one classified answer.
//!
//! Rules: no retries; every request ends within the access's timeouts; an answer larger than
//! [`BODY_BYTES_MAX`] is refused before it is held. Two refusals are mended here, so that the
//! engine may ask again at once: credentials that ended (others are asked for) and a clock that
//! is off (the difference is kept). Each is mended once; when that did not help it is `Denied`.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use penstock_engine::fault::FaultKind;
use penstock_engine::time::Wall;
use penstock_runtime::error::SourceError;
use tokio::sync::Mutex;

use crate::access::{Access, AccessBook};
use crate::protocol::{Place, Refusal, Subject, date, refused, wall};
use crate::signing::{Service, Signer};
use crate::transport::Transport;

/// The largest answer: ten MiB of payloads in base64 is 14 MB, and names and keys come with them.
pub const BODY_BYTES_MAX: usize = 32 << 20;

/// The largest buffer that an answer is received into: a fraction of a processor's second cache.
pub(crate) const RECEIVE_BYTES: usize = 256 << 10;

/// A clock that is off by less than this is not why a signature was refused.
const SKEW_MS_MIN: i64 = 4 * 60 * 1000;

/// The body of an answer with status 200.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The body, as it came.
    pub body: Vec<u8>,
    /// The other side's clock.
    pub date: Option<Wall>,
}

/// What is said of a condition that does not hold.
const CONDITION: &str = "its condition does not hold";

/// How a request was answered, when it was.
enum Answered {
    /// It was done; the other side's clock.
    Done(Option<Wall>),
    /// Its condition does not hold; the body that says so.
    Not(Vec<u8>),
}

/// One service through one access.
pub(crate) struct Client {
    signer: Signer,
    access: String,
    book: Arc<AccessBook>,
    /// Locked while connections are prepared: many shards start at once, and certificates are
    /// read once.
    transport: Mutex<Option<Arc<Transport>>>,
    /// Milliseconds that the other side's clock is ahead of ours.
    skew: AtomicI64,
    /// Whether the clock or the credentials were mended and no answer has come since.
    clock_mended: AtomicBool,
    credentials_mended: AtomicBool,
}

impl Client {
    /// A client that makes its connections when they are needed.
    pub(crate) fn new(service: Service, access: &str, book: Arc<AccessBook>) -> Self {
        Self {
            signer: Signer::new(service),
            access: access.to_owned(),
            book,
            transport: Mutex::default(),
            skew: AtomicI64::new(0),
            clock_mended: AtomicBool::new(false),
            credentials_mended: AtomicBool::new(false),
        }
    }

    /// The access to make requests with; asked for when there is none yet or it has ended.
    pub(crate) async fn access(&self, subject: &Subject<'_>) -> Result<Arc<Access>, SourceError> {
        let current = self.book.current(&self.access);
        let reason = match &current {
            None => "needed for the first time",
            Some(access) => match &access.credentials {
                None => "no credentials were found",
                Some(credentials) if credentials.expires_at.is_some_and(|at| at <= self.now()) => {
                    "the credentials have expired"
                }
                Some(_) => return Ok(Arc::clone(access)),
            },
        };
        self.book
            .renew(&self.access, current.as_deref(), reason)
            .await
            .map_err(|fault| {
                SourceError::new(
                    fault.kind,
                    format!("{subject} could not start: {}", fault.message),
                )
            })
    }

    /// The time by the other side's clock, as far as it is known.
    pub(crate) fn now(&self) -> Wall {
        Wall(
            wall(SystemTime::now())
                .0
                .saturating_add(self.skew.load(Ordering::Relaxed)),
        )
    }

    /// Sends one request; an answer is only one with status 200.
    pub(crate) async fn call(
        &self,
        access: &Access,
        subject: &Subject<'_>,
        body: Vec<u8>,
    ) -> Result<Answer, SourceError> {
        self.call_waiting(access, subject, body, Duration::ZERO)
            .await
    }

    /// As `call`, for a request that the other side may hold for `wait` before it answers.
    pub(crate) async fn call_waiting(
        &self,
        access: &Access,
        subject: &Subject<'_>,
        body: Vec<u8>,
        wait: Duration,
    ) -> Result<Answer, SourceError> {
        let mut answer = Vec::new();
        let called = self.call_into(access, subject, body, wait, &mut answer);
        let date = called.await?;
        Ok(Answer { body: answer, date })
    }

    /// As `call_waiting`, and takes the body of the answer in as it arrives; gives the other side's
    /// clock.
    pub(crate) async fn call_into(
        &self,
        access: &Access,
        subject: &Subject<'_>,
        body: Vec<u8>,
        wait: Duration,
        taker: &mut impl Taker,
    ) -> Result<Option<Wall>, SourceError> {
        match self.answered(access, subject, body, wait, taker).await? {
            Answered::Done(date) => Ok(date),
            Answered::Not(_) => {
                let endpoint = &access.endpoint;
                let place = Place { subject, endpoint };
                Err(place.error(FaultKind::Fenced, "was refused", &CONDITION))
            }
        }
    }

    /// As `call`, for a write with a condition: `Err` has what says that it does not hold.
    pub(crate) async fn call_if(
        &self,
        access: &Access,
        subject: &Subject<'_>,
        body: Vec<u8>,
    ) -> Result<Result<Vec<u8>, Vec<u8>>, SourceError> {
        let mut answer = Vec::new();
        let answered = self.answered(access, subject, body, Duration::ZERO, &mut answer);
        Ok(match answered.await? {
            Answered::Done(_) => Ok(answer),
            Answered::Not(refusal) => Err(refusal),
        })
    }

    async fn answered(
        &self,
        access: &Access,
        subject: &Subject<'_>,
        body: Vec<u8>,
        wait: Duration,
        taker: &mut impl Taker,
    ) -> Result<Answered, SourceError> {
        let place = Place {
            subject,
            endpoint: &access.endpoint,
        };
        let skew = self.skew.load(Ordering::Relaxed);
        let signed_at = Wall(wall(SystemTime::now()).0.saturating_add(skew));
        let request = self
            .signer
            .signed(access, subject.operation, body.into(), signed_at)
            .map_err(|cause| place.error(FaultKind::Invalid, "could not be signed", &cause))?;
        let patience = access.connect_timeout.saturating_add(access.read_timeout);
        let patience = patience.saturating_add(wait);
        let exchange = self.exchange(access, &place, request, taker);
        let (status, headers, body) = within(patience, exchange).await.unwrap_or_else(|| {
            let cause = format!("no whole answer within {} s", patience.as_secs_f64());
            Err(place.error(FaultKind::Transient, "failed", &cause))
        })?;
        let date = date(&headers);
        if status == StatusCode::OK {
            self.clock_mended.store(false, Ordering::Relaxed);
            self.credentials_mended.store(false, Ordering::Relaxed);
            return Ok(Answered::Done(date));
        }
        let refused = refused(status, &headers, &body);
        tracing::debug!(%subject, refusal = ?refused.refusal, text = refused.text, "refused");
        let kind = match refused.refusal {
            Refusal::Fault(kind) => kind,
            Refusal::Condition => return Ok(Answered::Not(body)),
            Refusal::Credentials => self.mend_credentials(access, &place, &refused.text).await?,
            Refusal::Signature => self.mend_clock(skew, signed_at, date),
        };
        Err(place.error(kind, "was refused", &refused.text))
    }

    /// Sends and reads the whole answer; the body is given back unless the status is 200.
    async fn exchange(
        &self,
        access: &Access,
        place: &Place<'_>,
        request: Request<Full<Bytes>>,
        taker: &mut impl Taker,
    ) -> Result<(StatusCode, HeaderMap, Vec<u8>), SourceError> {
        let transport = self
            .transport(access)
            .await
            .map_err(|error| place.error(FaultKind::Invalid, "cannot be sent", &error))?;
        let response = transport
            .send(request)
            .await
            .map_err(|error| place.error(FaultKind::Transient, "failed", &Chain(&error)))?;
        let (parts, body) = Response::into_parts(response);
        let mut refusal = Vec::new();
        let read = match parts.status {
            StatusCode::OK => read(body, taker).await,
            _ => read(body, &mut refusal).await,
        };
        read.map_err(|error| match error {
            ReadError::TooLarge => {
                let cause = format!("the answer is larger than {BODY_BYTES_MAX} bytes");
                place.error(FaultKind::TooLarge, "failed", &cause)
            }
            ReadError::Broken(error) => {
                place.error(FaultKind::Transient, "was cut off", &Chain(&error))
            }
        })?;
        Ok((parts.status, parts.headers, refusal))
    }

    /// The connections for `access`, made anew when they were made for another place.
    async fn transport(&self, access: &Access) -> io::Result<Arc<Transport>> {
        let mut transport = self.transport.lock().await;
        if let Some(transport) = transport.as_ref().filter(|made| made.suits(access)) {
            return Ok(Arc::clone(transport));
        }
        let wanted = access.clone();
        let made = tokio::task::spawn_blocking(move || Transport::new(&wanted)).await;
        let made = Arc::new(made.map_err(io::Error::other)??);
        *transport = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Asks for other credentials than were refused: `Expired` when there are some.
    async fn mend_credentials(
        &self,
        access: &Access,
        place: &Place<'_>,
        text: &str,
    ) -> Result<FaultKind, SourceError> {
        let current = self.book.current(&self.access);
        if current.is_some_and(|now| now.credentials != access.credentials) {
            // Others have come since this request was signed.
            return Ok(FaultKind::Expired);
        }
        if self.credentials_mended.swap(false, Ordering::Relaxed) {
            return Ok(FaultKind::Denied);
        }
        let renewed = self.book.renew(&self.access, Some(access), text).await;
        renewed.map_err(|fault| {
            let cause = format!("{text}; {}", fault.message);
            place.error(fault.kind, "was refused", &cause)
        })?;
        self.credentials_mended.store(true, Ordering::Relaxed);
        Ok(FaultKind::Expired)
    }

    /// Takes over the other side's clock when ours is far from it: `Expired` if so.
    fn mend_clock(&self, skew: i64, signed_at: Wall, date: Option<Wall>) -> FaultKind {
        if self.skew.load(Ordering::Relaxed) != skew {
            // Another request has mended it since this one was signed.
            return FaultKind::Expired;
        }
        let off = date.map_or(0, |date| date.0.saturating_sub(signed_at.0));
        if off.abs() < SKEW_MS_MIN || self.clock_mended.swap(false, Ordering::Relaxed) {
            return FaultKind::Denied;
        }
        self.skew.store(skew.saturating_add(off), Ordering::Relaxed);
        self.clock_mended.store(true, Ordering::Relaxed);
        tracing::debug!(
            off_ms = off,
            "the machine's clock is off; requests are signed by theirs"
        );
        FaultKind::Expired
    }
}

/// An error with its innermost cause, which is the one that tells.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let innermost = std::iter::successors(self.0.source(), |error| error.source()).last();
        match innermost {
            Some(cause) => write!(f, "{} ({cause})", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

async fn within<T>(patience: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(patience, work).await.ok()
}

enum ReadError {
    TooLarge,
    Broken(hyper::Error),
}

/// Takes the body of an answer in.
pub(crate) trait Taker: Send {
    /// So many bytes are announced.
    fn announce(&mut self, bytes: usize);

    /// The next bytes, a piece of a buffer of at most [`RECEIVE_BYTES`] that lives as long as they.
    fn take(&mut self, data: Bytes);
}

impl Taker for Vec<u8> {
    fn announce(&mut self, bytes: usize) {
        self.reserve_exact(bytes);
    }

    fn take(&mut self, data: Bytes) {
        self.extend_from_slice(&data);
    }
}

/// Reads a body as it arrives.
async fn read(mut body: Incoming, taker: &mut impl Taker) -> Result<(), ReadError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > BODY_BYTES_MAX {
        return Err(ReadError::TooLarge);
    }
    taker.announce(announced);
    let mut come = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(ReadError::Broken)?.into_data() else {
            continue;
        };
        come += data.len();
        if come > BODY_BYTES_MAX {
            return Err(ReadError::TooLarge);
        }
        taker.take(data);
    }
    Ok(())
}
