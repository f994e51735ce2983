//! Puts records: one, or up to five hundred of which some may be refused.
//!
//! Requests are checked and records prepared before the model is locked.

use std::borrow::Cow;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::settings::Settings;
use super::super::stream::Stream;
use super::super::{Kinesis, rate_exceeded};
use super::StreamOnly;
use crate::hash::hash_of;
use crate::service::{Answer, Call, Refusal};
use crate::validation::{constraint_broken, missing, parse};

/// The most bytes of data in one record.
const DATA_BYTES_MAX: usize = 1 << 20;
/// The most records, and bytes of data and keys, of one PutRecords.
const RECORDS_MAX: usize = 500;
const REQUEST_BYTES_MAX: usize = 5 << 20;

pub(super) fn put_record(kinesis: &Kinesis, call: Call<'_>) -> Result<Answer, Refusal> {
    let of: StreamOnly = parse(call.body)?;
    let record = Prepared::new(parse(call.body)?, "data")?;
    let now_ms = kinesis.clock.now_ms();
    let mut model = kinesis.lock();
    let settings = model.settings.clone();
    let stream = model.usable(of.naming(), now_ms)?;
    let (shard, number) = record.append(stream, &settings, now_ms)?;
    let mut answer = Answer::json(&json!({"ShardId": shard, "SequenceNumber": number}));
    answer.records = 1;
    Ok(answer)
}

pub(super) fn put_records(kinesis: &Kinesis, call: Call<'_>) -> Result<Answer, Refusal> {
    let of: StreamOnly = parse(call.body)?;
    let request: PutRecords<'_> = parse(call.body)?;
    let entries = request.records.ok_or_else(|| missing("records"))?;
    if entries.is_empty() || entries.len() > RECORDS_MAX {
        let bound = if entries.is_empty() {
            "greater than or equal to 1"
        } else {
            "less than or equal to 500"
        };
        let value = format!("[{} records]", entries.len());
        return Err(constraint_broken(
            "records",
            &value,
            &format!("have length {bound}"),
        ));
    }
    let mut records = Vec::with_capacity(entries.len());
    for (nth, entry) in entries.into_iter().enumerate() {
        records.push(Prepared::new(
            entry,
            &format!("records.{}.member.data", nth + 1),
        )?);
    }
    if records.iter().map(|record| record.size).sum::<usize>() > REQUEST_BYTES_MAX {
        let message = "Records size exceeds 5 MB limit";
        return Err(Refusal::client("InvalidArgumentException", message));
    }
    let now_ms = kinesis.clock.now_ms();
    let mut model = kinesis.lock();
    let settings = model.settings.clone();
    let stream = model.usable(of.naming(), now_ms)?;
    let mut failed = 0;
    let mut results: Vec<Value> = Vec::with_capacity(records.len());
    for record in &records {
        results.push(match record.append(stream, &settings, now_ms) {
            Ok((shard, number)) => json!({"ShardId": shard, "SequenceNumber": number}),
            Err(refusal) => {
                failed += 1;
                json!({"ErrorCode": refusal.code, "ErrorMessage": refusal.message})
            }
        });
    }
    let mut answer = Answer::json(&json!({"FailedRecordCount": failed, "Records": results}));
    answer.records = records.len() - failed;
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecords<'a> {
    #[serde(borrow)]
    records: Option<Vec<Entry<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(borrow)]
    partition_key: Cow<'a, str>,
    explicit_hash_key: Option<String>,
}

/// A record that passed all checks.
struct Prepared<'a> {
    data: Cow<'a, str>,
    /// The partition key as a JSON string.
    key: String,
    hash: u128,
    size: usize,
}

impl<'a> Prepared<'a> {
    fn new(entry: Entry<'a>, name: &str) -> Result<Self, Refusal> {
        let Ok(bytes) = STANDARD.decode(entry.data.as_bytes()) else {
            return Err(Refusal::client(
                "SerializationException",
                "Data is not base64.",
            ));
        };
        if bytes.len() > DATA_BYTES_MAX {
            let value = format!("[{} bytes]", bytes.len());
            let must = format!("have length less than or equal to {DATA_BYTES_MAX}");
            return Err(constraint_broken(name, &value, &must));
        }
        let key = entry.partition_key;
        if !(1..=256).contains(&key.chars().count()) {
            return Err(constraint_broken(
                "partitionKey",
                &key,
                "have length between 1 and 256",
            ));
        }
        let hash = match &entry.explicit_hash_key {
            Some(text) => explicit_hash(text)?,
            None => hash_of(&key),
        };
        let size = bytes.len() + key.len();
        Ok(Self {
            data: entry.data,
            key: json!(key).to_string(),
            hash,
            size,
        })
    }

    fn append(
        &self,
        stream: &mut Stream,
        settings: &Settings,
        now_ms: u64,
    ) -> Result<(String, String), Refusal> {
        let shard = stream.route(self.hash);
        if !shard.admits_write(settings.write_limits, self.size, Instant::now()) {
            let id = shard.id();
            return Err(rate_exceeded(&id, &stream.name));
        }
        let before_ms = settings.arrivals_before_ms;
        let number = shard.append_late(&self.data, &self.key, self.size, now_ms, before_ms);
        Ok((shard.id(), number))
    }
}

fn explicit_hash(text: &str) -> Result<u128, Refusal> {
    let plain = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| plain).ok_or_else(|| {
        let message = format!(
            "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. \
             Specified value was {text}"
        );
        Refusal::client("InvalidArgumentException", message)
    })
}
