//! Splits and merges shards.

use serde::Deserialize;

use super::super::Kinesis;
use super::super::model::ACCOUNT;
use super::super::stream::Stream;
use super::{StreamOnly, find_shard};
use crate::service::{Answer, Call, Refusal};
use crate::validation::{missing, parse};

pub(super) fn split(kinesis: &Kinesis, call: Call<'_>) -> Result<Answer, Refusal> {
    let of: StreamOnly = parse(call.body)?;
    let request: SplitShard = parse(call.body)?;
    let id = request
        .shard_to_split
        .ok_or_else(|| missing("shardToSplit"))?;
    let text = request
        .new_starting_hash_key
        .ok_or_else(|| missing("newStartingHashKey"))?;
    let now_ms = kinesis.clock.now_ms();
    let mut model = kinesis.lock();
    let end_ms = now_ms + model.settings.update_ms;
    let stream = model.active(of.naming(), now_ms)?;
    let at = open_shard(stream, &id, now_ms)?;
    let range = stream.shards[at].range;
    let start = text
        .parse::<u128>()
        .ok()
        .filter(|start| *start > range.start.saturating_add(1) && *start < range.end);
    let Some(start) = start else {
        let message = format!(
            "NewStartingHashKey {text} used in SplitShard() on shard {id} in stream {} under \
             account {ACCOUNT} is not both greater than one plus the shard's StartingHashKey {} \
             and less than the shard's EndingHashKey {}.",
            stream.name, range.start, range.end
        );
        return Err(Refusal::client("InvalidArgumentException", message));
    };
    stream.split(at, start, now_ms, end_ms);
    Ok(Answer::empty())
}

pub(super) fn merge(kinesis: &Kinesis, call: Call<'_>) -> Result<Answer, Refusal> {
    let of: StreamOnly = parse(call.body)?;
    let request: MergeShards = parse(call.body)?;
    let id = request
        .shard_to_merge
        .ok_or_else(|| missing("shardToMerge"))?;
    let other_id = request
        .adjacent_shard_to_merge
        .ok_or_else(|| missing("adjacentShardToMerge"))?;
    let now_ms = kinesis.clock.now_ms();
    let mut model = kinesis.lock();
    let end_ms = now_ms + model.settings.update_ms;
    let stream = model.active(of.naming(), now_ms)?;
    let first = open_shard(stream, &id, now_ms)?;
    let second = open_shard(stream, &other_id, now_ms)?;
    let (one, other) = (stream.shards[first].range, stream.shards[second].range);
    let follows = |low: u128, high: u128| low.checked_add(1) == Some(high);
    if !follows(one.end, other.start) && !follows(other.end, one.start) {
        let message = format!(
            "Shards {id} and {other_id} in stream {} under account {ACCOUNT} are not an adjacent \
             pair of shards eligible for merging",
            stream.name
        );
        return Err(Refusal::client("InvalidArgumentException", message));
    }
    stream.merge(first, second, now_ms, end_ms);
    Ok(Answer::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SplitShard {
    shard_to_split: Option<String>,
    new_starting_hash_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MergeShards {
    shard_to_merge: Option<String>,
    adjacent_shard_to_merge: Option<String>,
}

/// A shard that can be closed.
fn open_shard(stream: &Stream, id: &str, now_ms: u64) -> Result<usize, Refusal> {
    let at = find_shard(stream, id, now_ms)?;
    if stream.shards[at].closed_ms.is_none() {
        return Ok(at);
    }
    let message = format!(
        "Shard {id} in stream {} under account {ACCOUNT} has already been merged or split, and \
         thus is not eligible for merging or splitting.",
        stream.name
    );
    Err(Refusal::client("ResourceInUseException", message))
}
