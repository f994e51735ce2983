//! Gives shard iterators and reads records.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::super::DynamoDb;
use super::super::item::invalid;
use super::super::shard::Shard;
use super::super::stream::Stream;
use super::super::token::{ITERATOR_MS, ShardIterator};
use crate::log::Page;
use crate::service::{Answer, Call, Refusal};
use crate::validation::{constraint_broken, missing, parse, within};

/// The most records and bytes of one answer.
const LIMIT_MAX: u64 = 1000;
const ANSWER_BYTES_MAX: usize = 1 << 20;

pub(super) fn get_shard_iterator(dynamodb: &DynamoDb, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: GetShardIterator = parse(call.body)?;
    let arn = request.stream_arn.as_deref();
    let arn = arn.ok_or_else(|| missing("streamArn"))?;
    let shard_id = request.shard_id.as_deref();
    let shard_id = shard_id.ok_or_else(|| missing("shardId"))?;
    let now_ms = dynamodb.clock.now_ms();
    let mut model = dynamodb.settled(now_ms);
    let serial = model.next_serial();
    let shard = find(model.stream(arn)?, shard_id)?;
    let iterator = ShardIterator {
        position: request.position(shard)?,
        stream: arn.to_owned(),
        shard: shard.id.clone(),
        issued_ms: now_ms,
        serial,
    };
    Ok(Answer::json(&json!({"ShardIterator": iterator.encode()})))
}

pub(super) fn get_records(dynamodb: &DynamoDb, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: GetRecords = parse(call.body)?;
    let limit = within("limit", request.limit.unwrap_or(LIMIT_MAX), 1..=LIMIT_MAX)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let token = request.shard_iterator.as_deref();
    let token = token.ok_or_else(|| missing("shardIterator"))?;
    let iterator = ShardIterator::decode(token).ok_or_else(|| invalid("Invalid ShardIterator"))?;
    let now_ms = dynamodb.clock.now_ms();
    let mut model = dynamodb.settled(now_ms);
    let ends_late = model.settings.ends_late;
    let serial = model.next_serial();
    let shard = find(model.stream(&iterator.stream)?, &iterator.shard)?;
    let aged = now_ms.saturating_sub(iterator.issued_ms) > ITERATOR_MS;
    if aged || iterator.serial < shard.iterators_from {
        let message = "Iterator expired. The iterator was created at a time that is further in \
                       the past than the tolerated delay of 15 minutes";
        return Err(Refusal::client("ExpiredIteratorException", message));
    }
    if iterator.position < shard.log.first() {
        return Err(trimmed());
    }
    let limit = if call.without_records() { 0 } else { limit };
    let page = shard.log.read(iterator.position, limit, ANSWER_BYTES_MAX);
    let drained = shard.closed_ms.is_some() && page.next >= shard.log.tip();
    let ended = drained && !(ends_late && page.count > 0);
    drop(model);
    let next = ShardIterator {
        position: page.next,
        issued_ms: now_ms,
        serial,
        ..iterator
    };
    let next = (!ended).then(|| next.encode());
    Ok(assemble(page, next.as_deref()))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetShardIterator {
    stream_arn: Option<String>,
    shard_id: Option<String>,
    shard_iterator_type: Option<String>,
    sequence_number: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetRecords {
    shard_iterator: Option<String>,
    limit: Option<u64>,
}

impl GetShardIterator {
    /// The index to read from.
    fn position(&self, shard: &Shard) -> Result<u64, Refusal> {
        let kind = self.shard_iterator_type.as_deref();
        let kind = kind.ok_or_else(|| missing("shardIteratorType"))?;
        match (kind, self.sequence_number.as_deref()) {
            ("TRIM_HORIZON", None) => Ok(shard.log.first()),
            ("LATEST", None) => Ok(shard.log.tip()),
            ("AT_SEQUENCE_NUMBER", Some(text)) => Ok(index(shard, text)?.max(1)),
            ("AFTER_SEQUENCE_NUMBER", Some(text)) => Ok(index(shard, text)? + 1),
            ("TRIM_HORIZON" | "LATEST", Some(_)) => Err(invalid(format!(
                "The request is invalid. A SequenceNumber goes with AT_SEQUENCE_NUMBER and \
                 AFTER_SEQUENCE_NUMBER, not with {kind}"
            ))),
            ("AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER", None) => Err(invalid(format!(
                "The request is invalid. {kind} needs a SequenceNumber"
            ))),
            _ => Err(constraint_broken(
                "shardIteratorType",
                kind,
                "satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_SEQUENCE_NUMBER, \
                 TRIM_HORIZON]",
            )),
        }
    }
}

fn find<'a>(stream: &'a mut Stream, id: &str) -> Result<&'a mut Shard, Refusal> {
    let at = stream.find(id).ok_or_else(|| {
        let arn = &stream.arn;
        let message =
            format!("Requested resource not found: Shard: {id} in Stream: {arn} not found");
        Refusal::client("ResourceNotFoundException", message)
    })?;
    Ok(&mut stream.shards[at])
}

/// The index of a sequence number of this shard that was not trimmed.
fn index(shard: &Shard, text: &str) -> Result<u64, Refusal> {
    if !(21..=40).contains(&text.len()) {
        let must = "have length between 21 and 40";
        return Err(constraint_broken("sequenceNumber", text, must));
    }
    let index = shard
        .index_of(text)
        .filter(|index| *index < shard.log.tip());
    let index = index.ok_or_else(|| {
        invalid(format!(
            "Invalid SequenceNumber {text}: it is not one of {}",
            shard.id
        ))
    })?;
    // The number a shard starts with stands for its first record.
    if index.max(1) < shard.log.first() {
        return Err(trimmed());
    }
    Ok(index)
}

fn trimmed() -> Refusal {
    Refusal::client(
        "TrimmedDataAccessException",
        "The operation attempted to read past the oldest stream record in a shard",
    )
}

fn assemble(page: Page, next: Option<&str>) -> Answer {
    let next = next.map_or(String::new(), |token| {
        format!("\"NextShardIterator\":\"{token}\",")
    });
    let mut parts = Vec::with_capacity(page.slices.len() * 2 + 2);
    parts.push(Bytes::from(format!("{{{next}\"Records\":[")));
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
