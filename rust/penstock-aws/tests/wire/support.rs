//! Serves scripted answers over plain TCP, so that tests can also cut, reset and delay them.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use penstock_aws::access::{Access, AccessBook, AccessRefresh};
use penstock_aws::dynamodb_streams::{DynamoDbStreamsOptions, DynamoDbStreamsSource};
use penstock_aws::kinesis::{KinesisOptions, KinesisSource};
use penstock_engine::fault::Fault;
use penstock_engine::ids::{Position, ShardId};
use penstock_runtime::ports::{FetchRequest, Parts};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Call {
    /// The request line's target.
    pub target: String,
    /// The operation's name.
    pub operation: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Value,
}

impl Call {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// One answer, and how it is spoilt.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    date: SystemTime,
    body: String,
    cut: Option<usize>,
    reset: bool,
    delay: Duration,
}

impl Reply {
    pub fn text(body: impl Into<String>) -> Self {
        let date = SystemTime::now();
        let delay = Duration::ZERO;
        Self {
            status: 200,
            date,
            body: body.into(),
            cut: None,
            reset: false,
            delay,
        }
    }

    pub fn json(body: &Value) -> Self {
        Self::text(body.to_string())
    }

    pub fn error(status: u16, code: &str) -> Self {
        let body = json!({"__type": code, "message": "so it goes"});
        Self {
            status,
            ..Self::json(&body)
        }
    }

    pub fn status(status: u16, body: &str) -> Self {
        Self {
            status,
            ..Self::text(body)
        }
    }

    /// Ends the connection after so many bytes of the body.
    pub fn cut(self, bytes: usize) -> Self {
        Self {
            cut: Some(bytes),
            ..self
        }
    }

    /// As `cut`, with a reset instead of an end.
    pub fn reset(self, bytes: usize) -> Self {
        Self {
            cut: Some(bytes),
            reset: true,
            ..self
        }
    }

    pub fn late(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    pub fn dated(self, date: SystemTime) -> Self {
        Self { date, ..self }
    }

    fn bytes(&self) -> Vec<u8> {
        let date = httpdate::fmt_http_date(self.date);
        let (status, length) = (self.status, self.body.len());
        let head =
            format!("HTTP/1.1 {status} X\r\nDate: {date}\r\nContent-Length: {length}\r\n\r\n");
        [
            head.as_bytes(),
            &self.body.as_bytes()[..self.cut.unwrap_or(length)],
        ]
        .concat()
    }
}

type Script = Arc<dyn Fn(&Call) -> Reply + Send + Sync>;

/// A server on a free port that answers by a script.
pub struct Server {
    pub url: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Server {
    pub async fn start(script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::<Mutex<Vec<Call>>>::default();
        let (script, seen): (Script, _) = (Arc::new(script), Arc::clone(&calls));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                tokio::spawn(async move {
                    let mut stream = stream;
                    if serve(&mut stream, &script, &seen).await == Served::Reset {
                        stream.set_zero_linger().unwrap();
                    }
                });
            }
        });
        Self { url, calls }
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub fn operations(&self) -> Vec<String> {
        self.calls()
            .into_iter()
            .map(|call| call.operation)
            .collect()
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Served {
    Closed,
    Reset,
}

/// Answers the requests of one connection.
pub async fn serve(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    script: &Script,
    calls: &Mutex<Vec<Call>>,
) -> Served {
    while let Some(call) = request(stream).await {
        calls.lock().unwrap().push(call.clone());
        let reply = script(&call);
        tokio::time::sleep(reply.delay).await;
        if stream.write_all(&reply.bytes()).await.is_err() {
            break;
        }
        stream.flush().await.ok();
        if reply.reset {
            // What was written must reach the other side before the reset does.
            tokio::time::sleep(Duration::from_millis(20)).await;
            return Served::Reset;
        }
        if reply.cut.is_some() {
            break;
        }
    }
    Served::Closed
}

async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<Call> {
    let head = head(stream).await?;
    let mut lines = head.lines();
    let target = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let find = |name: &str| {
        headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, v)| v.clone())
    };
    let mut body = vec![0; find("content-length").map_or(0, |n| n.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    let operation = find("x-amz-target").unwrap_or_default();
    let operation = operation.rsplit('.').next().unwrap_or_default().to_owned();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(Call {
        target,
        operation,
        headers,
        body,
    })
}

/// Everything up to the empty line.
pub async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// What is done when a book asks for an access.
type OnAsk = Box<dyn Fn(&AccessBook, usize) -> Result<(), Fault> + Send + Sync>;

/// Counts what a book asks for and does as it is told.
pub struct Refresh {
    book: OnceLock<Arc<AccessBook>>,
    asked: Mutex<Vec<String>>,
    on_ask: OnAsk,
}

impl Refresh {
    pub fn book(
        on_ask: impl Fn(&AccessBook, usize) -> Result<(), Fault> + Send + Sync + 'static,
    ) -> (Arc<Refresh>, Arc<AccessBook>) {
        let on_ask = Box::new(on_ask);
        let refresh = Arc::new(Self {
            book: OnceLock::new(),
            asked: Mutex::default(),
            on_ask,
        });
        let book = Arc::new(AccessBook::new(
            Arc::clone(&refresh) as Arc<dyn AccessRefresh>
        ));
        refresh.book.set(Arc::clone(&book)).ok().unwrap();
        (refresh, book)
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl AccessRefresh for Refresh {
    fn ask(&self, _access: &str, reason: &str) -> BoxFuture<'static, Result<(), Fault>> {
        let mut asked = self.asked.lock().unwrap();
        asked.push(reason.to_owned());
        let outcome = (self.on_ask)(self.book.get().unwrap(), asked.len());
        Box::pin(async move {
            tokio::task::yield_now().await;
            outcome
        })
    }
}

/// An access document for a server, as Python pushes it; `changes` replaces members.
pub fn access(url: &str, changes: &Value) -> Access {
    let mut document = json!({
        "access": "default", "region": "us-east-1", "endpoint": url,
        "access_key_id": "AKID", "secret_access_key": "hush", "session_token": null,
        "expires_at": null, "ca_bundle": null, "proxy": null,
        "connect_timeout_s": 2.0, "read_timeout_s": 2.0,
    });
    for (member, value) in changes.as_object().unwrap() {
        document[member] = value.clone();
    }
    Access::parse(document.to_string().as_bytes()).unwrap().1
}

/// A source that reads stream `orders` through a book.
pub fn source_with(book: Arc<AccessBook>) -> KinesisSource {
    let options = KinesisOptions {
        stream: "orders".to_owned(),
        arn: Some("arn:aws:kinesis:us-east-1:123456789012:stream/orders".to_owned()),
        access: "default".to_owned(),
        idle_interval: Duration::from_secs(1),
    };
    KinesisSource::new(options, book)
}

/// A source that reads stream `orders` of a server, with an access that is never asked for.
pub fn source_of(server: &Server) -> KinesisSource {
    let (_, book) = Refresh::book(|_, _| panic!("the access is there"));
    book.push("default", access(&server.url, &json!({})));
    source_with(book)
}

/// The ARN of the stream that `table_source_of` reads.
pub const TABLE_STREAM: &str =
    "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2026-01-31T12:00:00.000";

/// A source that reads the stream of table `orders` of a server.
pub fn table_source_of(server: &Server) -> DynamoDbStreamsSource {
    let (_, book) = Refresh::book(|_, _| panic!("the access is there"));
    book.push("default", access(&server.url, &json!({})));
    let options = DynamoDbStreamsOptions {
        table: "orders".to_owned(),
        arn: TABLE_STREAM.to_owned(),
        access: "default".to_owned(),
        idle_interval: Duration::from_millis(250),
    };
    DynamoDbStreamsSource::new(options, book)
}

/// A read of the shard `shard-0`.
pub fn read_from(from: Position) -> FetchRequest {
    FetchRequest {
        shard: ShardId::new("shard-0"),
        from,
        limit: 10_000,
        wait: Duration::ZERO,
        parts: Parts::default(),
    }
}
