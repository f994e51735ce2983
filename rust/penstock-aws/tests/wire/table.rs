//! Runs the shared suite of stream sources against the stream of a table on the wire.

use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use penstock_aws::dynamodb_streams::DynamoDbStreamsSource;
use penstock_runtime::ports::StreamSource;
use penstock_runtime::testing::source::SourceBench;
use serde_json::{Value, json};

use crate::support::{Call, Reply, Server, TABLE_STREAM, table_source_of};

penstock_runtime::ports_suite!(source: bench);

async fn bench() -> Bench {
    let table = Arc::new(Mutex::new(Table::new()));
    let served = Arc::clone(&table);
    let server = Server::start(move |call| served.lock().unwrap().answer(call)).await;
    let source = Arc::new(table_source_of(&server));
    Bench { table, source }
}

struct Bench {
    table: Arc<Mutex<Table>>,
    source: Arc<DynamoDbStreamsSource>,
}

impl SourceBench for Bench {
    fn source(&self) -> Arc<dyn StreamSource> {
        Arc::clone(&self.source) as Arc<dyn StreamSource>
    }

    fn put<'a>(&'a self, partition_key: &'a str, data: &'a [u8]) -> BoxFuture<'a, ()> {
        self.table.lock().unwrap().put(partition_key, data);
        Box::pin(std::future::ready(()))
    }

    fn split(&self) -> BoxFuture<'_, ()> {
        self.table.lock().unwrap().split();
        Box::pin(std::future::ready(()))
    }

    fn pass(&self) -> BoxFuture<'_, ()> {
        self.table.lock().unwrap().now_s += 1;
        Box::pin(std::future::ready(()))
    }
}

/// A table whose iterators name a shard and a place in it: `SHARD/PLACE`.
struct Table {
    now_s: u64,
    shards: Vec<Shard>,
}

struct Shard {
    id: String,
    parent: Option<String>,
    closed: bool,
    records: Vec<Value>,
}

impl Table {
    fn new() -> Self {
        Self {
            now_s: 1_545_084_650,
            shards: vec![Shard::new(0, None)],
        }
    }

    fn put(&mut self, key: &str, data: &[u8]) {
        let records = &mut self.shards[0].records;
        // Of differing length: they are compared as numbers.
        let number = 98 + records.len();
        let keys = json!({"id": {"S": key}});
        let image = json!({"id": {"S": key}, "data": {"B": STANDARD.encode(data)}});
        records.push(json!({
            "eventID": format!("{number:032x}"), "eventName": "INSERT", "eventVersion": "1.1",
            "eventSource": "aws:dynamodb", "awsRegion": "us-east-1",
            "dynamodb": {
                "ApproximateCreationDateTime": self.now_s, "Keys": keys, "NewImage": image,
                "SequenceNumber": number.to_string(), "SizeBytes": data.len(),
                "StreamViewType": "NEW_IMAGE",
            },
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
        let now = UNIX_EPOCH + Duration::from_secs(self.now_s);
        let reply = match call.operation.as_str() {
            "DescribeStream" => {
                assert_eq!(body["StreamArn"], TABLE_STREAM);
                Reply::json(&json!({"StreamDescription": {
                    "StreamArn": TABLE_STREAM, "StreamStatus": "ENABLED",
                    "CreationRequestDateTime": 1_545_000_000.5,
                    "Shards": self.shards.iter().map(Shard::listed).collect::<Vec<_>>(),
                }}))
            }
            "GetShardIterator" => match shard(&body["ShardId"]) {
                Some(shard) => {
                    let iterator = format!("{}/{}", shard.id, shard.place(body));
                    Reply::json(&json!({"ShardIterator": iterator}))
                }
                None => Reply::error(400, "ResourceNotFoundException"),
            },
            "GetRecords" => {
                let iterator = body["ShardIterator"].as_str().unwrap();
                let (id, place) = iterator.split_once('/').unwrap();
                let limit = body["Limit"].as_u64().unwrap() as usize;
                let shard = shard(&json!(id)).unwrap();
                Reply::json(&shard.read(place.parse().unwrap(), limit))
            }
            _ => Reply::error(400, "UnknownOperationException"),
        };
        reply.dated(now)
    }
}

impl Shard {
    fn new(number: u32, parent: Option<String>) -> Self {
        Self {
            id: format!("shardId-{number:020}-0123abcd"),
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

    fn read(&self, place: usize, limit: usize) -> Value {
        let records = &self.records[place..];
        let records = &records[..records.len().min(limit)];
        let mut answer = json!({"Records": records});
        if !self.closed || !records.is_empty() {
            answer["NextShardIterator"] = json!(format!("{}/{}", self.id, place + records.len()));
        }
        answer
    }

    /// How many records an iterator passes over.
    fn place(&self, body: &Value) -> usize {
        let number = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
        let before = |record: &&Value| match body["ShardIteratorType"].as_str().unwrap() {
            "TRIM_HORIZON" => false,
            "AFTER_SEQUENCE_NUMBER" => {
                number(&record["dynamodb"]["SequenceNumber"]) <= number(&body["SequenceNumber"])
            }
            other => panic!("no source of a table asks for {other}"),
        };
        self.records.iter().take_while(before).count()
    }
}
