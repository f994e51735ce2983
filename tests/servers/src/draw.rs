//! Draws a stream dry with as little as a client can do, to show what the server can give.
//!
//! One connection a shard; each answer is read, its records counted, its next iterator found by
//! searching the text. What penstock does beyond that is penstock's cost.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use memchr::memmem;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::arguments::Draw;

/// Draws all shards at once and prints what came, as one line of JSON.
pub async fn run(options: &Draw) -> io::Result<()> {
    let mut client = Client::connect(options.port).await?;
    let listed = client
        .call("ListShards", &json!({"StreamName": options.stream}))
        .await?;
    let shards: Vec<String> = parse(listed)?["Shards"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|shard| shard["ShardId"].as_str().map(str::to_owned))
        .collect();
    let start = Instant::now();
    let mut draws = JoinSet::new();
    for shard in shards {
        draws.spawn(draw_shard(
            options.port,
            options.stream.clone(),
            shard,
            options.limit,
        ));
    }
    let mut drawn = Drawn::default();
    while let Some(one) = draws.join_next().await {
        let one = one.map_err(io::Error::other)??;
        drawn.records += one.records;
        drawn.bytes += one.bytes;
        drawn.pages += one.pages;
    }
    let line = drawn.describe(start.elapsed());
    writeln!(io::stdout(), "{line}")
}

#[derive(Default)]
struct Drawn {
    records: u64,
    bytes: u64,
    pages: u64,
}

impl Drawn {
    fn describe(&self, took: Duration) -> Value {
        let seconds = took.as_secs_f64();
        json!({
            "records": self.records,
            "pages": self.pages,
            "seconds": (seconds * 1000.0).round() / 1000.0,
            "records_per_second": (self.records as f64 / seconds).round(),
            "mib_per_second": (self.bytes as f64 / seconds / 1_048_576.0).round(),
        })
    }
}

async fn draw_shard(port: u16, stream: String, shard: String, limit: u32) -> io::Result<Drawn> {
    let mut client = Client::connect(port).await?;
    let request = json!({
        "StreamName": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON",
    });
    let answer = parse(client.call("GetShardIterator", &request).await?)?;
    let mut iterator = answer["ShardIterator"].as_str().map(str::to_owned);
    let mut drawn = Drawn::default();
    while let Some(token) = iterator.take() {
        let request = json!({"ShardIterator": token, "Limit": limit});
        let body = client.call("GetRecords", &request).await?;
        // A sequence number stands once in each record and is never a part of its data.
        let records = memmem::find_iter(body, b"\"SequenceNumber\":").count() as u64;
        drawn.records += records;
        drawn.bytes += body.len() as u64;
        drawn.pages += 1;
        if records > 0 {
            iterator = next_iterator(body);
        }
    }
    Ok(drawn)
}

fn next_iterator(body: &[u8]) -> Option<String> {
    let name = b"\"NextShardIterator\":\"";
    let start = memmem::find(body, name)? + name.len();
    let length = memchr::memchr(b'"', &body[start..])?;
    String::from_utf8(body[start..start + length].to_vec()).ok()
}

/// A keep-alive connection and one buffer.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    async fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    /// One call; gives the body of an answer with status 200.
    async fn call(&mut self, operation: &str, request: &Value) -> io::Result<&[u8]> {
        let body = request.to_string();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Amz-Target: Kinesis_20131202.{operation}\r\n\
             Content-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/kinesis/\
             aws4_request, SignedHeaders=host, Signature=0\r\n\r\n",
            body.len()
        );
        self.stream.write_all(head.as_bytes()).await?;
        self.stream.write_all(body.as_bytes()).await?;
        self.buffer.clear();
        let end = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(end) = memmem::find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_lowercase();
        let length = content_length(&head)?;
        self.buffer
            .reserve(end + length - self.buffer.len().min(end + length));
        while self.buffer.len() < end + length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let body = &self.buffer[end..];
        if head.starts_with("http/1.1 200") {
            return Ok(body);
        }
        Err(io::Error::other(format!(
            "{operation}: {}",
            String::from_utf8_lossy(body)
        )))
    }
}

fn content_length(head: &str) -> io::Result<usize> {
    let line = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length = line.and_then(|text| text.trim().parse().ok());
    length.ok_or_else(|| io::Error::other("an answer without a Content-Length"))
}

fn parse(body: &[u8]) -> io::Result<Value> {
    serde_json::from_slice(body).map_err(io::Error::other)
}
