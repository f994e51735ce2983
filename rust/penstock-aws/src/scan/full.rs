//! Reads any answer that is JSON: escapes, white space, members nobody knows yet.
//!
//! Rules: what came as it stands is a slice of the answer's text; only what had to be unescaped is
//! copied, into the side text.

use std::borrow::Cow;

use penstock_engine::time::Wall;
use penstock_runtime::page::{Slice, SliceRecord};
use serde::Deserialize;

use super::{ARRIVAL_MS_MAX, BadAnswer, Parsed, child, is_base64, is_sequence_number};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireAnswer<'a> {
    #[serde(borrow)]
    records: Vec<WireRecord<'a>>,
    next_shard_iterator: Option<String>,
    millis_behind_latest: Option<u64>,
    child_shards: Option<Vec<WireChild>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireRecord<'a> {
    #[serde(borrow)]
    partition_key: Cow<'a, str>,
    #[serde(borrow)]
    sequence_number: Cow<'a, str>,
    #[serde(borrow)]
    data: Cow<'a, str>,
    approximate_arrival_timestamp: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireChild {
    shard_id: String,
    parent_shards: Option<Vec<String>>,
}

/// Parses an answer, or says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Parsed, BadAnswer> {
    let answer: WireAnswer<'_> =
        serde_json::from_str(text).map_err(|error| BadAnswer::from_json(&error))?;
    let mut side = String::new();
    let mut records = Vec::with_capacity(answer.records.len());
    for (index, record) in answer.records.iter().enumerate() {
        records.push(slice(text, &mut side, record).map_err(|what| {
            BadAnswer(format!(
                "record {index} of {}: {what}",
                answer.records.len()
            ))
        })?);
    }
    let children = answer.child_shards.unwrap_or_default();
    let children = children.into_iter().map(|wire| {
        let parents = wire.parent_shards.unwrap_or_default();
        child(&wire.shard_id, parents)
    });
    Ok(Parsed {
        records,
        side,
        next_iterator: answer.next_shard_iterator,
        behind_ms: answer.millis_behind_latest,
        children: children.collect(),
    })
}

fn slice(
    text: &str,
    side: &mut String,
    record: &WireRecord<'_>,
) -> Result<SliceRecord, &'static str> {
    if !is_sequence_number(record.sequence_number.as_bytes()) {
        return Err("its sequence number is not one");
    }
    if !is_base64(record.data.as_bytes()) {
        return Err("its data is not base64");
    }
    let millis = (record.approximate_arrival_timestamp * 1000.0).round();
    if !(0.0..=ARRIVAL_MS_MAX as f64).contains(&millis) {
        return Err("its arrival is not a time");
    }
    let mut place = |value: &Cow<'_, str>| match value {
        Cow::Borrowed(value) => {
            let start = value.as_ptr() as usize - text.as_ptr() as usize;
            Slice::of_body(start..start + value.len())
        }
        Cow::Owned(value) => {
            let start = side.len();
            side.push_str(value);
            Slice::of_side(start..side.len())
        }
    };
    let slices = (
        place(&record.partition_key),
        place(&record.sequence_number),
        place(&record.data),
    );
    let (Some(partition_key), Some(sequence_number), Some(data)) = slices else {
        return Err("it lies beyond 2 GiB");
    };
    Ok(SliceRecord {
        partition_key,
        sequence_number,
        data,
        arrival: Wall(millis as i64),
    })
}
