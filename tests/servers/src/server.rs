//! Serves one service on loopback: reads requests, applies faults, counts, answers.
//!
//! The order of a call: the body is read; a request without a signature is refused; the clock's
//! skew is judged when that is switched on; else the fault is picked; the service answers; the call
//! is counted; the answer is spoiled if the fault says so.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE, HOST, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::body::Pieces;
use crate::clock::{Clock, http_date};
use crate::connection::Connection;
use crate::control;
use crate::faults::{Effect, Faults};
use crate::garbage::mangle;
use crate::service::{Answer, Call, Refusal, Service};
use crate::signature::{Signature, Skew};
use crate::stats::{Seen, Stats};

/// The largest request body that is read.
const REQUEST_BYTES_MAX: usize = 24 << 20;

/// Everything one server has.
pub struct Server {
    /// The service it speaks for.
    pub service: Box<dyn Service>,
    /// Its time.
    pub clock: Arc<Clock>,
    /// Its faults.
    pub faults: Faults,
    /// Its counts.
    pub stats: Stats,
    /// Its opinion on the clocks of its clients.
    pub skew: Skew,
    requests: AtomicU64,
    connections: AtomicU64,
}

impl Server {
    /// A server without faults.
    #[must_use]
    pub fn new(service: Box<dyn Service>, clock: Arc<Clock>) -> Self {
        Self {
            service,
            clock,
            faults: Faults::default(),
            stats: Stats::default(),
            skew: Skew::default(),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        }
    }

    /// How many connections were accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Listens on loopback; port 0 takes a free one.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn listen(port: u16) -> io::Result<(TcpListener, u16)> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        let port = listener.local_addr()?.port();
        Ok((listener, port))
    }

    /// Serves until it is dropped.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors or a client that left already: neither is ours to end for.
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            // Latency only: a connection that refuses the option still works.
            let _ = stream.set_nodelay(true);
            self.connections.fetch_add(1, Ordering::Relaxed);
            let connection = Connection::new(stream);
            let reset = connection.reset_flag();
            let server = Arc::clone(&self);
            tokio::spawn(async move {
                let answer = service_fn(move |request| {
                    let (server, reset) = (Arc::clone(&server), Arc::clone(&reset));
                    async move { Ok::<_, Infallible>(server.respond(request, reset).await) }
                });
                let io = TokioIo::new(connection);
                // A connection that ends badly is the client's affair, or a fault on purpose.
                let _ = http1::Builder::new().serve_connection(io, answer).await;
            });
        }
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        reset: Arc<AtomicBool>,
    ) -> Response<Pieces> {
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, REQUEST_BYTES_MAX).collect().await else {
            return self.refuse(Refusal {
                status: 413,
                code: "RequestEntityTooLarge".to_owned(),
                message: format!("the request's body is larger than {REQUEST_BYTES_MAX} bytes"),
            });
        };
        let body = body.to_bytes();
        if let Some(action) = head.uri.path().strip_prefix("/_control/") {
            let outcome = control::act(self, &head.method, action, head.uri.query(), &body);
            return match outcome {
                Ok(value) => self.reply(StatusCode::OK, Pieces::whole(vec![value])),
                Err(refusal) => self.refuse_as(&refusal),
            };
        }
        match self.accept(&head.method, &head.headers) {
            Ok((operation, signature)) => {
                let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
                let host = host.unwrap_or("127.0.0.1");
                self.call(operation, &signature, host, &body, reset).await
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// What must hold of a request before its service hears of it.
    fn accept<'a>(
        &self,
        method: &Method,
        headers: &'a HeaderMap,
    ) -> Result<(&'a str, Signature<'a>), Refusal> {
        let text = |name| {
            headers
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        if method != Method::POST {
            return Err(Refusal {
                status: 405,
                code: "MethodNotAllowed".to_owned(),
                message: format!("{method} is not answered here: calls are POST /"),
            });
        }
        let operation = text("x-amz-target").and_then(|target| self.service.operation(target));
        let operation =
            operation.ok_or_else(|| Refusal::client("UnknownOperationException", ""))?;
        let signature = Signature::of(text("authorization"), text("x-amz-date"))?;
        Ok((operation, signature))
    }

    async fn call(
        &self,
        operation: &str,
        signature: &Signature<'_>,
        host: &str,
        body: &Bytes,
        reset: Arc<AtomicBool>,
    ) -> Response<Pieces> {
        let at_ms = self.clock.uptime_ms();
        let target = self.service.target(body);
        let timely = self.skew.judge(signature, self.clock.now_ms());
        let effect = match timely {
            Ok(()) => self.faults.meet(operation, &target, signature.access_key),
            Err(_) => None,
        };
        if let Some(Effect::Slow { ms }) = effect {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        let call = Call {
            operation,
            body,
            region: signature.region,
            host,
            effect: effect.as_ref(),
        };
        let refusal = match &effect {
            Some(Effect::Throttle {}) => Some(self.service.throttled(operation, &target)),
            Some(Effect::Error {
                status,
                code,
                message,
            }) => Some(Refusal {
                status: *status,
                code: code.clone(),
                message: message.clone(),
            }),
            _ => None,
        };
        let outcome = match (timely.err().or(refusal), self.service.answer_later(call)) {
            (Some(refusal), _) => Err(refusal),
            (None, Some(later)) => later.await,
            (None, None) => self.service.answer(call),
        };
        let (name, records) = match &outcome {
            Ok(answer) => (
                spoiled(effect.as_ref()).unwrap_or("ok").to_owned(),
                answer.records,
            ),
            Err(refusal) => (refusal.code.clone(), 0),
        };
        let seen = Seen {
            at_ms,
            operation: operation.to_owned(),
            target,
            outcome: name,
            records,
        };
        self.stats.note(seen);
        match outcome {
            Ok(answer) => self.reply(StatusCode::OK, spoil(answer, effect, reset)),
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Refuses in the service's way.
    fn refuse(&self, refusal: Refusal) -> Response<Pieces> {
        let query_error = self.service.query_error(&refusal);
        let mut response = self.refuse_as(&refusal.spelled_by(&*self.service));
        if let Some(text) = query_error {
            response
                .headers_mut()
                .insert("x-amzn-query-error", visible(&text));
        }
        response
    }

    fn refuse_as(&self, refusal: &Refusal) -> Response<Pieces> {
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
        self.reply(status, Pieces::whole(vec![refusal.body()]))
    }

    fn reply(&self, status: StatusCode, body: Pieces) -> Response<Pieces> {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static(self.service.content_type()),
        );
        headers.insert("x-amzn-requestid", visible(&self.request_id()));
        headers.insert(
            DATE,
            visible(&http_date(self.skew.apply(self.clock.now_ms()))),
        );
        response
    }

    /// A request id in the shape of a UUID; two requests never share one.
    fn request_id(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let mixed = (number ^ self.clock.now_ms() << 20).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{number:012x}",
            mixed >> 32,
            mixed >> 16 & 0xffff,
            mixed >> 4 & 0xfff,
            mixed & 0xfff
        )
    }
}

/// The name under which a carried-out call is counted when a fault touches its answer.
fn spoiled(effect: Option<&Effect>) -> Option<&'static str> {
    match effect? {
        Effect::Reset { .. } => Some("reset"),
        Effect::Truncate { .. } => Some("truncated"),
        Effect::Garbage { .. } => Some("garbage"),
        Effect::Empty {} => Some("empty"),
        Effect::Slow { .. } => Some("slow"),
        Effect::RefuseEntries { .. } => Some("entries_refused"),
        Effect::Duplicate {} => Some("duplicated"),
        Effect::Ok {} | Effect::Throttle {} | Effect::Error { .. } => None,
    }
}

fn spoil(answer: Answer, effect: Option<Effect>, reset: Arc<AtomicBool>) -> Pieces {
    match effect {
        Some(Effect::Reset { after_bytes }) => Pieces::cut(answer.parts, after_bytes, Some(reset)),
        Some(Effect::Truncate { after_bytes }) => Pieces::cut(answer.parts, after_bytes, None),
        Some(Effect::Garbage { form }) => Pieces::whole(vec![mangle(&answer.parts, form)]),
        _ => Pieces::whole(answer.parts),
    }
}

fn visible(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("dates and request ids are visible ASCII")
}
