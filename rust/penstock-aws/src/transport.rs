//! Carries requests over HTTP/1.1: connections kept alive, TLS by rustls, proxies.
//!
//! Rules: a connection is made within a deadline that covers names, TCP, the proxy and TLS; no
//! request that reached a server is sent again. An `https` endpoint behind a proxy is reached
//! through CONNECT, an `http` one by asking the proxy for the whole address, as botocore does.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::PROXY_AUTHORIZATION;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use tower_service::Service;

use crate::access::{Access, Proxy};
use crate::client::RECEIVE_BYTES;

/// How long an unused connection is kept; AWS closes its side after about a minute.
const IDLE_CONNECTION: Duration = Duration::from_secs(50);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A pool of connections made in one way.
pub(crate) struct Transport {
    made_for: Access,
    client: Client<Dialer, Full<Bytes>>,
    /// Added to each request that a proxy sees as it is.
    proxy_authorization: Option<HeaderValue>,
}

impl Transport {
    /// A transport for `access`; reads certificates, so it is called off the I/O threads.
    pub(crate) fn new(access: &Access) -> io::Result<Self> {
        let proxy = access.proxy.as_ref();
        let secure = is_https(&access.endpoint) || proxy.is_some_and(|p| is_https(&p.address));
        let roots = if secure {
            roots(access.ca_bundle.as_deref())?
        } else {
            RootCertStore::empty()
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let authorization = proxy.and_then(|proxy| proxy.authorization.as_ref());
        let authorization = authorization
            .map(|value| HeaderValue::from_str(value.reveal()))
            .transpose()
            .map_err(io::Error::other)?
            .map(|mut value| {
                value.set_sensitive(true);
                value
            });
        let dialer = Dialer {
            tcp: tcp(),
            tls: Arc::new(tls),
            proxy: proxy.cloned(),
            authorization: authorization.clone(),
            patience: access.connect_timeout,
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION)
            .http1_max_buf_size(RECEIVE_BYTES)
            .build(dialer);
        let forwarded = !is_https(&access.endpoint);
        let proxy_authorization = authorization.filter(|_| forwarded);
        Ok(Self {
            made_for: access.clone(),
            client,
            proxy_authorization,
        })
    }

    /// Whether requests for `access` may use these connections: credentials do not matter.
    pub(crate) fn suits(&self, access: &Access) -> bool {
        let mine = &self.made_for;
        mine.endpoint == access.endpoint
            && mine.proxy == access.proxy
            && mine.ca_bundle == access.ca_bundle
            && mine.connect_timeout == access.connect_timeout
    }

    /// Sends a request and waits for the answer's head.
    pub(crate) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Error> {
        if let Some(value) = &self.proxy_authorization {
            request
                .headers_mut()
                .insert(PROXY_AUTHORIZATION, value.clone());
        }
        self.client.request(request).await
    }
}

fn is_https(uri: &Uri) -> bool {
    uri.scheme() == Some(&http::uri::Scheme::HTTPS)
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(Duration::from_secs(30)));
    tcp
}

/// The certificates of `bundle`, or the system's.
fn roots(bundle: Option<&Path>) -> io::Result<RootCertStore> {
    let found = match bundle {
        Some(path) => rustls_native_certs::load_certs_from_paths(Some(path), None),
        None => rustls_native_certs::load_native_certs(),
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    let place = bundle.map_or("the system".to_owned(), |path| path.display().to_string());
    let cause = found
        .errors
        .first()
        .map(|error| format!(" ({error})"))
        .unwrap_or_default();
    Err(io::Error::other(format!(
        "no certificates of authorities were found in {place}{cause}"
    )))
}

/// Makes connections, each within a deadline.
#[derive(Clone)]
struct Dialer {
    tcp: HttpConnector,
    tls: Arc<ClientConfig>,
    proxy: Option<Proxy>,
    authorization: Option<HeaderValue>,
    patience: Duration,
}

impl Dialer {
    async fn dial(self, destination: Uri) -> Result<Wire, BoxError> {
        let tls = Arc::clone(&self.tls);
        let mut hop = HttpsConnector::from((self.tcp, Arc::clone(&self.tls)));
        let Some(proxy) = self.proxy else {
            return Ok(Wire {
                io: Box::new(hop.call(destination).await?),
                forwarded: false,
            });
        };
        if !is_https(&destination) {
            return Ok(Wire {
                io: Box::new(hop.call(proxy.address).await?),
                forwarded: true,
            });
        }
        let mut tunnel = Tunnel::new(proxy.address, hop);
        if let Some(value) = self.authorization {
            tunnel = tunnel.with_auth(value);
        }
        let io = HttpsConnector::from((tunnel, tls))
            .call(destination)
            .await?;
        Ok(Wire {
            io: Box::new(io),
            forwarded: false,
        })
    }
}

impl Service<Uri> for Dialer {
    type Response = Wire;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Wire, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move {
            let patience = dialer.patience;
            tokio::time::timeout(patience, dialer.dial(destination))
                .await
                .unwrap_or_else(|_| {
                    let message = format!("no connection within {} s", patience.as_secs_f64());
                    Err(io::Error::new(io::ErrorKind::TimedOut, message).into())
                })
        })
    }
}

trait Stream: Read + Write + Connection + Send + Unpin {}

impl<T: Read + Write + Connection + Send + Unpin> Stream for T {}

/// One connection, whatever it is made of.
struct Wire {
    io: Box<dyn Stream>,
    /// Whether a proxy reads the requests and needs whole addresses.
    forwarded: bool,
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.forwarded)
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, buffers)
    }
}
