//! Kinesis Data Streams, JSON 1.1: the operations that readers, writers and resharders use.
//!
//! One lock guards the model. What costs time happens outside it: requests are parsed and encoded
//! before it is taken, and a read takes slices of shared text under it. Throttling of shards is
//! real when the settings say so.

pub mod canned;
pub mod model;
mod operations;
pub mod sequence;
pub mod settings;
pub mod shard;
pub mod stream;
pub mod token;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::control::{read, wrong};
use crate::service::{Answer, Call, Refusal, Service, Target};
use model::{ACCOUNT, Model, name_of_arn};
use sequence::SequenceNumber;
use settings::Settings;
use token::ShardIterator;

/// The service.
#[derive(Debug)]
pub struct Kinesis {
    clock: Arc<Clock>,
    model: Mutex<Model>,
}

impl Kinesis {
    /// A service without streams.
    #[must_use]
    pub fn new(clock: Arc<Clock>, settings: Settings) -> Self {
        Self {
            clock,
            model: Mutex::new(Model::new(settings)),
        }
    }

    /// Adds the stream of a canned run.
    pub fn add_canned(&self, spec: &canned::Spec) {
        let stream = canned::build(spec, self.clock.now_ms());
        self.lock().streams.insert(stream.name.clone(), stream);
    }

    fn lock(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trim(&self, order: &Trim) -> Result<Value, Refusal> {
        let mut model = self.lock();
        let stream = model.streams.get_mut(&order.stream);
        let stream = stream.ok_or_else(|| wrong(format!("no stream {}", order.stream)))?;
        let shard = stream
            .shards
            .iter_mut()
            .find(|shard| shard.id() == order.shard);
        let shard = shard.ok_or_else(|| wrong(format!("no shard {}", order.shard)))?;
        let below = match (&order.below, order.before_ms) {
            (Some(text), None) => {
                let number = SequenceNumber::parse(text);
                number
                    .ok_or_else(|| wrong(format!("{text} is no sequence number")))?
                    .index
            }
            (None, Some(time_ms)) => shard.log.index_at(time_ms),
            (None, None) => shard.log.tip(),
            (Some(_), Some(_)) => return Err(wrong("either `below` or `before_ms`".to_owned())),
        };
        let before = shard.log.first();
        shard.log.trim(below);
        Ok(json!({"trimmed": shard.log.first() - before}))
    }

    fn expire(&self, order: &Expire) -> Value {
        let mut model = self.lock();
        let serial = model.next_serial();
        let mut shards = 0;
        for stream in model.streams.values_mut() {
            if order
                .stream
                .as_ref()
                .is_some_and(|name| *name != stream.name)
            {
                continue;
            }
            for shard in &mut stream.shards {
                if order.shard.as_ref().is_none_or(|id| *id == shard.id()) {
                    shard.iterators_from = serial;
                    shards += 1;
                }
            }
        }
        json!({"shards": shards})
    }
}

impl Service for Kinesis {
    fn operation<'a>(&self, target_header: &'a str) -> Option<&'a str> {
        target_header.strip_prefix("Kinesis_20131202.")
    }

    fn target(&self, body: &Bytes) -> Target {
        let Ok(named) = serde_json::from_slice::<Named>(body) else {
            return Target::default();
        };
        if let Some(iterator) = named
            .shard_iterator
            .as_deref()
            .and_then(ShardIterator::decode)
        {
            let shard = Some(shard::id_of(iterator.shard));
            return Target {
                stream: Some(iterator.stream),
                shard,
            };
        }
        let from_arn = || {
            named
                .stream_arn
                .as_deref()
                .and_then(name_of_arn)
                .map(str::to_owned)
        };
        Target {
            stream: named.stream_name.clone().or_else(from_arn),
            shard: named
                .shard_id
                .or(named.shard_to_split)
                .or(named.shard_to_merge),
        }
    }

    fn answer(&self, call: Call<'_>) -> Result<Answer, Refusal> {
        operations::answer(self, call)
    }

    fn throttled(&self, operation: &str, target: &Target) -> Refusal {
        let per_shard = ["GetRecords", "GetShardIterator", "PutRecord", "PutRecords"];
        if !per_shard.contains(&operation) {
            return Refusal::client("LimitExceededException", "Rate exceeded.");
        }
        let stream = target.stream.as_deref().unwrap_or("unknown");
        rate_exceeded(
            target.shard.as_deref().unwrap_or("shardId-000000000000"),
            stream,
        )
    }

    fn control(&self, action: &str, body: &Bytes) -> Option<Result<Value, Refusal>> {
        match action {
            "settings" => Some(read::<Settings>(body).map(|settings| {
                self.lock().settings = settings;
                json!({})
            })),
            "trim" => Some(read(body).and_then(|order| self.trim(&order))),
            "expire_iterators" => Some(read(body).map(|order| self.expire(&order))),
            _ => None,
        }
    }
}

/// The refusal of a read or write that exceeds a shard's rate.
fn rate_exceeded(shard: &str, stream: &str) -> Refusal {
    let message =
        format!("Rate exceeded for shard {shard} in stream {stream} under account {ACCOUNT}.");
    Refusal::client("ProvisionedThroughputExceededException", message)
}

/// The members by which any request says what it is about.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    shard_id: Option<String>,
    shard_iterator: Option<String>,
    shard_to_split: Option<String>,
    shard_to_merge: Option<String>,
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

/// Expires the iterators that are out: of one shard, one stream, or all.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expire {
    stream: Option<String>,
    shard: Option<String>,
}
