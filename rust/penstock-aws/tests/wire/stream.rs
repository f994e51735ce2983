//! Runs the shared suite of stream sources against a stream of a few shards on the wire.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use penstock_aws::kinesis::KinesisSource;
use penstock_runtime::ports::StreamSource;
use penstock_runtime::testing::source::SourceBench;
use serde_json::{Value, json};

use crate::support::{Call, Reply, Server, source_of};

penstock_runtime::ports_suite!(source: bench);

async fn bench() -> Bench {
    let stream = Arc::new(Mutex::new(Stream::new()));
    let served = Arc::clone(&stream);
    let server = Server::start(move |call| served.lock().unwrap().answer(call)).await;
    let source = Arc::new(source_of(&server));
    Bench { stream, source }
}

struct Bench {
    stream: Arc<Mutex<Stream>>,
    source: Arc<KinesisSource>,
}

impl SourceBench for Bench {
    fn source(&self) -> Arc<dyn StreamSource> {
        Arc::clone(&self.source) as Arc<dyn StreamSource>
    }

    fn put<'a>(&'a self, partition_key: &'a str, data: &'a [u8]) -> BoxFuture<'a, ()> {
        self.stream.lock().unwrap().put(partition_key, data);
        Box::pin(std::future::ready(()))
    }

    fn split(&self) -> BoxFuture<'_, ()> {
        self.stream.lock().unwrap().split();
        Box::pin(std::future::ready(()))
    }

    fn pass(&self) -> BoxFuture<'_, ()> {
        self.stream.lock().unwrap().now_ms += 7;
        Box::pin(std::future::ready(()))
    }
}

/// A stream whose iterators name a shard and a place in it: `SHARD/PLACE`.
struct Stream {
    now_ms: i64,
    shards: Vec<Shard>,
}

struct Shard {
    id: String,
    parent: Option<String>,
    closed: bool,
    records: Vec<Value>,
}

impl Stream {
    fn new() -> Self {
        let shard = Shard::new(0, None);
        Self {
            now_ms: 1_545_084_650_987,
            shards: vec![shard],
        }
    }

    fn put(&mut self, partition_key: &str, data: &[u8]) {
        let records = &mut self.shards[0].records;
        // Of differing length: they are compared as numbers.
        let number = 98 + records.len();
        records.push(json!({
            "SequenceNumber": number.to_string(),
            "PartitionKey": partition_key,
            "Data": STANDARD.encode(data),
            "ApproximateArrivalTimestamp": self.now_ms as f64 / 1000.0,
        }));
    }

    fn split(&mut self) {
        self.shards[0].closed = true;
        let parent = self.shards[0].id.clone();
        self.shards
            .extend([1, 2].map(|number| Shard::new(number, Some(parent.clone()))));
    }

    fn answer(&self, call: &Call) -> Reply {
        let body = &call.body;
        let shard = |id: &Value| self.shards.iter().find(|shard| *id == shard.id.as_str());
        match call.operation.as_str() {
            "ListShards" => {
                let shards: Vec<_> = self.shards.iter().map(Shard::listed).collect();
                Reply::json(&json!({"Shards": shards}))
            }
            "DescribeStreamSummary" => Reply::json(&json!({"StreamDescriptionSummary": {
                "StreamCreationTimestamp": 1_545_000_000.5, "RetentionPeriodHours": 24,
            }})),
            "GetShardIterator" => match shard(&body["ShardId"]) {
                Some(shard) => {
                    let iterator = format!("{}/{}", shard.id, shard.place(body));
                    Reply::json(&json!({"ShardIterator": iterator}))
                }
                None => Reply::error(400, "ResourceNotFoundException"),
            },
            "GetRecords" => {
                let (id, place) = body["ShardIterator"]
                    .as_str()
                    .unwrap()
                    .split_once('/')
                    .unwrap();
                let limit = body["Limit"].as_u64().unwrap() as usize;
                let shard = shard(&json!(id)).unwrap();
                Reply::json(&self.read(shard, place.parse().unwrap(), limit))
            }
            _ => Reply::error(400, "UnknownOperationException"),
        }
    }

    fn read(&self, shard: &Shard, place: usize, limit: usize) -> Value {
        let records = &shard.records[place..];
        let records = &records[..records.len().min(limit)];
        let behind = if place + records.len() < shard.records.len() {
            1000
        } else {
            0
        };
        let mut answer = json!({"Records": records, "MillisBehindLatest": behind});
        if shard.closed && records.is_empty() {
            let child =
                |shard: &Shard| json!({"ShardId": shard.id, "ParentShards": [shard.parent]});
            answer["NextShardIterator"] = Value::Null;
            answer["ChildShards"] = self.shards[1..].iter().map(child).collect();
        } else {
            answer["NextShardIterator"] = json!(format!("{}/{}", shard.id, place + records.len()));
        }
        answer
    }
}

impl Shard {
    fn new(number: u32, parent: Option<String>) -> Self {
        let id = format!("shardId-{number:012}");
        Self {
            id,
            parent,
            closed: false,
            records: Vec::new(),
        }
    }

    fn listed(&self) -> Value {
        let mut range = json!({"StartingSequenceNumber": "1"});
        if self.closed {
            range["EndingSequenceNumber"] = json!("1000");
        }
        let mut shard = json!({"ShardId": self.id, "SequenceNumberRange": range});
        if let Some(parent) = &self.parent {
            shard["ParentShardId"] = json!(parent);
        }
        shard
    }

    /// How many records an iterator passes over.
    fn place(&self, body: &Value) -> usize {
        let before = |record: &&Value| match body["ShardIteratorType"].as_str().unwrap() {
            "TRIM_HORIZON" => false,
            "AT_TIMESTAMP" => {
                let arrival = record["ApproximateArrivalTimestamp"].as_f64();
                arrival < body["Timestamp"].as_f64()
            }
            "AFTER_SEQUENCE_NUMBER" => {
                let number = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
                number(&record["SequenceNumber"]) <= number(&body["StartingSequenceNumber"])
            }
            other => panic!("no source asks for {other}"),
        };
        self.records.iter().take_while(before).count()
    }
}
