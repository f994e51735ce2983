//! Gives shard iterators and reads records.

use std::time::Instant;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::model::{ACCOUNT, Naming};
use super::super::sequence::SequenceNumber;
use super::super::shard::{Shard, id_of};
use super::super::stream::Stream;
use super::super::token::{ITERATOR_MS, ShardIterator};
use super::super::{Kinesis, rate_exceeded};
use super::{StreamOnly, find_shard, to_ms};
use crate::clock::http_date;
use crate::log::Page;
use crate::service::{Answer, Call, Refusal};
use crate::validation::{missing, parse, within};

/// The most records and bytes of one answer.
const LIMIT_MAX: u64 = 10_000;
const ANSWER_BYTES_MAX: usize = 10 << 20;

pub(super) fn get_shard_iterator(kinesis: &Kinesis, call: Call<'_>) -> Result<Answer, Refusal> {
    let of: StreamOnly = parse(call.body)?;
    let request: GetShardIterator = parse(call.body)?;
    let shard_id = request
        .shard_id
        .as_deref()
        .ok_or_else(|| missing("shardId"))?;
    let now_ms = kinesis.clock.now_ms();
    let mut model = kinesis.lock();
    let serial = model.next_serial();
    let stream = model.usable(of.naming(), now_ms)?;
    let shard = &stream.shards[find_shard(stream, shard_id, now_ms)?];
    let iterator = ShardIterator {
        position: request.position(stream, shard, now_ms)?,
        stream: stream.name.clone(),
        created_ms: stream.created_ms,
        shard: shard.index,
        issued_ms: now_ms,
        serial,
    };
    Ok(Answer::json(&json!({"ShardIterator": iterator.encode()})))
}

pub(super) fn get_records(kinesis: &Kinesis, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: GetRecords = parse(call.body)?;
    let limit = request.limit.unwrap_or(LIMIT_MAX);
    if limit > LIMIT_MAX {
        let message = format!("Limit {limit} is larger than {LIMIT_MAX}.");
        return Err(Refusal::client("InvalidArgumentException", message));
    }
    let limit = usize::try_from(within("limit", limit, 1..=LIMIT_MAX)?).unwrap_or(usize::MAX);
    let token = request
        .shard_iterator
        .as_deref()
        .ok_or_else(|| missing("shardIterator"))?;
    let iterator = ShardIterator::decode(token)
        .ok_or_else(|| Refusal::client("InvalidArgumentException", "Invalid ShardIterator."))?;
    let now_ms = kinesis.clock.now_ms();
    let mut model = kinesis.lock();
    let settings = model.settings.clone();
    let serial = model.next_serial();
    let naming = Naming {
        name: Some(&iterator.stream),
        arn: request.stream_arn.as_deref(),
    };
    let stream = model.usable(naming, now_ms)?;
    if stream.created_ms != iterator.created_ms {
        return Err(Refusal::client(
            "InvalidArgumentException",
            "Invalid ShardIterator.",
        ));
    }
    let at = find_shard(stream, &id_of(iterator.shard), now_ms)?;
    let shard = &mut stream.shards[at];
    expired(&iterator, shard, now_ms)?;
    if !shard.admits_read(settings.read_limits, Instant::now()) {
        return Err(rate_exceeded(&shard.id(), &iterator.stream));
    }
    let limit = if call.without_records() { 0 } else { limit };
    let page = shard.log.read(iterator.position, limit, ANSWER_BYTES_MAX);
    shard.spend_read(page.size);
    let drained = shard.closed_ms.is_some() && page.next >= shard.log.tip();
    let ended = drained && !(settings.ends_late && page.count > 0);
    let behind_ms = behind_ms(shard, &page, now_ms);
    let next = ShardIterator {
        position: page.next,
        issued_ms: now_ms,
        serial,
        ..iterator
    };
    let next = (!ended).then(|| next.encode());
    let children = (ended && settings.child_shards).then(|| children_of(stream, at));
    drop(model);
    Ok(assemble(
        page,
        behind_ms,
        next.as_deref(),
        children.as_ref(),
    ))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetShardIterator {
    shard_id: Option<String>,
    shard_iterator_type: Option<String>,
    starting_sequence_number: Option<String>,
    timestamp: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetRecords {
    shard_iterator: Option<String>,
    limit: Option<u64>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
}

impl GetShardIterator {
    /// The index to read from.
    fn position(&self, stream: &Stream, shard: &Shard, now_ms: u64) -> Result<u64, Refusal> {
        let kind = self.shard_iterator_type.as_deref();
        let kind = kind.ok_or_else(|| missing("shardIteratorType"))?;
        match (kind, self.starting_sequence_number.as_deref()) {
            ("TRIM_HORIZON", None) => Ok(shard.log.first()),
            ("LATEST", None) => Ok(shard.log.tip()),
            ("AT_SEQUENCE_NUMBER", Some(text)) => Ok(self.number(text, stream, shard)?.index),
            ("AFTER_SEQUENCE_NUMBER", Some(text)) => {
                Ok(self.number(text, stream, shard)?.index.saturating_add(1))
            }
            ("AT_TIMESTAMP", _) => self.at_time(shard, now_ms),
            (_, number) => Err(Refusal::client(
                "InvalidArgumentException",
                format!(
                    "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and \
                     StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no \
                     StartingSequenceNumber. Request specified {kind} and {} \
                     StartingSequenceNumber.",
                    if number.is_some() { "also a" } else { "no" }
                ),
            )),
        }
    }

    fn number(
        &self,
        text: &str,
        stream: &Stream,
        shard: &Shard,
    ) -> Result<SequenceNumber, Refusal> {
        let (id, name) = (shard.id(), &stream.name);
        let refuse = |message| Err(Refusal::client("InvalidArgumentException", message));
        let used = format!(
            "StartingSequenceNumber {text} used in GetShardIterator on shard {id} in stream \
             {name} under account {ACCOUNT} is invalid"
        );
        let Some(number) = SequenceNumber::parse(text) else {
            return refuse(format!("{used}."));
        };
        if number.shard != shard.index {
            let other = id_of(number.shard);
            return refuse(format!(
                "Invalid StartingSequenceNumber. It encodes {other}, while it was used in a call \
                 to a shard with {id}"
            ));
        }
        if number.born_s != shard.born_s {
            return refuse(format!("{used} because it did not come from this stream."));
        }
        Ok(number)
    }

    fn at_time(&self, shard: &Shard, now_ms: u64) -> Result<u64, Refusal> {
        let seconds = self.timestamp.ok_or_else(|| {
            Refusal::client(
                "InvalidArgumentException",
                "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. \
                 Current request has no timestamp parameter.",
            )
        })?;
        let asked_ms = to_ms(seconds);
        if asked_ms > now_ms {
            return Err(Refusal::client(
                "InvalidArgumentException",
                format!(
                    "The timestampInMillis parameter cannot be greater than the \
                     currentTimestampInMillis. timestampInMillis: {asked_ms}, \
                     currentTimestampInMillis: {now_ms}"
                ),
            ));
        }
        Ok(shard.log.index_at(asked_ms))
    }
}

fn expired(iterator: &ShardIterator, shard: &Shard, now_ms: u64) -> Result<(), Refusal> {
    let aged = now_ms.saturating_sub(iterator.issued_ms) > ITERATOR_MS;
    if !aged && iterator.serial >= shard.iterators_from {
        return Ok(());
    }
    let (issued, now) = (http_date(iterator.issued_ms), http_date(now_ms));
    Err(Refusal::client(
        "ExpiredIteratorException",
        format!(
            "Iterator expired. The iterator was created at time {issued} while right now it is \
             {now} which is further in the future than the tolerated delay of {ITERATOR_MS} \
             milliseconds."
        ),
    ))
}

/// How far the page ends behind the tip: 0 at the tip, at least 1 before it.
fn behind_ms(shard: &Shard, page: &Page, now_ms: u64) -> u64 {
    if page.next >= shard.log.tip() {
        return 0;
    }
    let reached = page
        .last_arrived_ms
        .or_else(|| shard.log.arrived_ms(page.next));
    reached.map_or(1, |arrived| now_ms.saturating_sub(arrived).max(1))
}

fn children_of(stream: &Stream, at: usize) -> Value {
    let parent = stream.shards[at].index;
    let children = stream
        .shards
        .iter()
        .filter(|shard| shard.parents.contains(&parent));
    children.map(Shard::describe_child).collect()
}

fn assemble(page: Page, behind_ms: u64, next: Option<&str>, children: Option<&Value>) -> Answer {
    let next = next.map_or("null".to_owned(), |token| format!("\"{token}\""));
    let children = children.map_or(String::new(), |list| format!("\"ChildShards\":{list},"));
    let head = format!(
        r#"{{{children}"MillisBehindLatest":{behind_ms},"NextShardIterator":{next},"Records":["#
    );
    let mut parts = Vec::with_capacity(page.slices.len() * 2 + 2);
    parts.push(Bytes::from(head));
    for (nth, slice) in page.slices.into_iter().enumerate() {
        if nth > 0 {
            parts.push(Bytes::from_static(b","));
        }
        parts.push(slice);
    }
    parts.push(Bytes::from_static(b"]}"));
    Answer {
        parts,
        records: page.count,
    }
}
