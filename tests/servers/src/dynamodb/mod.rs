//! DynamoDB Streams and the part of DynamoDB that fills them, JSON 1.0, on one port.
//!
//! A table's writes become records of its stream, in the shard of the item's partition key. Shards
//! roll by the clock or on command, and split on command. One lock guards the model, and whoever
//! takes it first lets happen what the clock says is due.

pub mod expression;
pub mod item;
pub mod model;
pub mod number;
mod operations;
pub mod sequence;
pub mod settings;
pub mod shard;
pub mod stream;
pub mod table;
pub mod token;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::control::{read, wrong};
use crate::service::{Answer, Call, Refusal, Service, Target};
use item::Written;
use model::Model;
use settings::Settings;
use stream::Stream;
use token::ShardIterator;

/// The most children of one split.
const CHILDREN_MAX: u32 = 100;

/// The service.
#[derive(Debug)]
pub struct DynamoDb {
    clock: Arc<Clock>,
    model: Mutex<Model>,
}

impl DynamoDb {
    /// A service without tables.
    #[must_use]
    pub fn new(clock: Arc<Clock>, settings: Settings) -> Self {
        Self {
            clock,
            model: Mutex::new(Model::new(settings)),
        }
    }

    /// The model, with everything done that is due.
    fn settled(&self, now_ms: u64) -> MutexGuard<'_, Model> {
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        model.settle(now_ms);
        model
    }

    /// Closes open shards, each followed by so many children.
    fn split(&self, order: &Split) -> Result<Value, Refusal> {
        if !(1..=CHILDREN_MAX).contains(&order.children) {
            return Err(wrong(format!("`children` is 1 to {CHILDREN_MAX}")));
        }
        let now_ms = self.clock.now_ms();
        let mut model = self.settled(now_ms);
        let stream = enabled(&mut model, &order.stream)?;
        let asked = |id: &str| order.shard.as_ref().is_none_or(|shard| shard == id);
        let open: Vec<usize> = (0..stream.shards.len())
            .filter(|at| {
                let shard = &stream.shards[*at];
                shard.closed_ms.is_none() && asked(&shard.id)
            })
            .collect();
        if open.is_empty() {
            let shard = order.shard.as_deref().unwrap_or_default();
            return Err(wrong(format!("no open shard {shard}")));
        }
        let before = stream.shards.len();
        for at in open {
            stream.split(at, order.children, now_ms);
        }
        let children: Vec<&str> = stream.shards[before..]
            .iter()
            .map(|shard| shard.id.as_str())
            .collect();
        Ok(json!({"shards": children}))
    }

    /// Deletes an item as the service does when its time is over.
    fn ttl_delete(&self, order: TtlDelete) -> Result<Value, Refusal> {
        let now_ms = self.clock.now_ms();
        let mut model = self.settled(now_ms);
        let key = model.usable(&order.table)?.read_key(order.key)?;
        let old = model.write(&order.table, &key, None, true, now_ms)?;
        Ok(json!({"deleted": old.is_some()}))
    }

    fn trim(&self, order: &Trim) -> Result<Value, Refusal> {
        let mut model = self.settled(self.clock.now_ms());
        let shard = model
            .streams
            .values_mut()
            .filter(|stream| stream.table == order.stream)
            .flat_map(|stream| &mut stream.shards)
            .find(|shard| shard.id == order.shard);
        let shard = shard.ok_or_else(|| wrong(format!("no shard {}", order.shard)))?;
        let below = match (&order.below, order.before_ms) {
            (Some(text), None) => shard
                .index_of(text)
                .ok_or_else(|| wrong(format!("{text} is no sequence number of this shard")))?,
            (None, Some(time_ms)) => shard.log.index_at(time_ms),
            (None, None) => shard.log.tip(),
            (Some(_), Some(_)) => return Err(wrong("either `below` or `before_ms`".to_owned())),
        };
        let before = shard.log.first();
        shard.log.trim(below);
        Ok(json!({"trimmed": shard.log.first() - before}))
    }

    fn expire(&self, order: &Expire) -> Value {
        let mut model = self.settled(self.clock.now_ms());
        let serial = model.next_serial();
        let asked = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|it| it == is);
        let mut shards = 0;
        for stream in model.streams.values_mut() {
            if !asked(&order.stream, &stream.table) {
                continue;
            }
            for shard in &mut stream.shards {
                if asked(&order.shard, &shard.id) {
                    shard.iterators_from = serial;
                    shards += 1;
                }
            }
        }
        json!({"shards": shards})
    }
}

impl Service for DynamoDb {
    fn operation<'a>(&self, target_header: &'a str) -> Option<&'a str> {
        let known: [(&str, &[&str]); 2] = [
            ("DynamoDBStreams_20120810.", &operations::STREAMS),
            ("DynamoDB_20120810.", &operations::TABLES),
        ];
        known.iter().find_map(|(prefix, names)| {
            let name = target_header.strip_prefix(prefix)?;
            names.contains(&name).then_some(name)
        })
    }

    fn content_type(&self) -> &'static str {
        "application/x-amz-json-1.0"
    }

    fn spelled(&self, code: &str) -> String {
        let space = match code {
            "ValidationException" => "com.amazon.coral.validate",
            "AccessDeniedException"
            | "ExpiredTokenException"
            | "IncompleteSignatureException"
            | "InternalFailure"
            | "InvalidSignatureException"
            | "MissingAuthenticationTokenException"
            | "SerializationException"
            | "ServiceUnavailable"
            | "ThrottlingException"
            | "UnknownOperationException"
            | "UnrecognizedClientException" => "com.amazon.coral.service",
            _ => "com.amazonaws.dynamodb.v20120810",
        };
        format!("{space}#{code}")
    }

    fn target(&self, body: &Bytes) -> Target {
        let Ok(named) = serde_json::from_slice::<Named>(body) else {
            return Target::default();
        };
        let iterator = named
            .shard_iterator
            .as_deref()
            .and_then(ShardIterator::decode);
        if let Some(iterator) = iterator {
            return Target {
                stream: table_of_arn(&iterator.stream).map(str::to_owned),
                shard: Some(iterator.shard),
            };
        }
        let arn = named.stream_arn.as_deref();
        let of_batch = || named.request_items?.into_keys().next();
        Target {
            stream: named
                .table_name
                .or_else(|| arn.and_then(table_of_arn).map(str::to_owned))
                .or_else(of_batch),
            shard: named.shard_id,
        }
    }

    fn answer(&self, call: Call<'_>) -> Result<Answer, Refusal> {
        operations::answer(self, call)
    }

    fn throttled(&self, operation: &str, _target: &Target) -> Refusal {
        if operations::STREAMS.contains(&operation) {
            let message = "Rate of requests exceeds the allowed throughput of this stream.";
            return Refusal::client("LimitExceededException", message);
        }
        Refusal::client(
            "ProvisionedThroughputExceededException",
            "The level of configured provisioned throughput for the table was exceeded.",
        )
    }

    fn control(&self, action: &str, body: &Bytes) -> Option<Result<Value, Refusal>> {
        match action {
            "settings" => Some(read(body).map(|settings| {
                self.settled(self.clock.now_ms()).settings = settings;
                json!({})
            })),
            "split" => Some(read(body).and_then(|order| self.split(&order))),
            "ttl_delete" => Some(read(body).and_then(|order| self.ttl_delete(order))),
            "trim" => Some(read(body).and_then(|order| self.trim(&order))),
            "expire_iterators" => Some(read(body).map(|order| self.expire(&order))),
            _ => None,
        }
    }
}

/// The table's name within the ARN of a table or a stream.
fn table_of_arn(arn: &str) -> Option<&str> {
    let (_, rest) = arn.split_once(":table/")?;
    rest.split('/').next()
}

fn enabled<'a>(model: &'a mut Model, table: &str) -> Result<&'a mut Stream, Refusal> {
    model
        .enabled(table)
        .ok_or_else(|| wrong(format!("no table {table} with an enabled stream")))
}

/// The members by which any request says what it is about.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    table_name: Option<String>,
    stream_arn: Option<String>,
    shard_id: Option<String>,
    shard_iterator: Option<String>,
    request_items: Option<BTreeMap<String, IgnoredAny>>,
}

/// Closes one open shard of a table's stream, or all; one child each is a roll.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Split {
    stream: String,
    shard: Option<String>,
    children: u32,
}

/// Deletes an item as the service does.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TtlDelete {
    table: String,
    key: Written,
}

/// Trims one shard: below a sequence number, before a time, or all of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trim {
    stream: String,
    shard: String,
    below: Option<String>,
    before_ms: Option<u64>,
}

/// Expires the iterators that are out: of one shard, one table, or all.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expire {
    stream: Option<String>,
    shard: Option<String>,
}
