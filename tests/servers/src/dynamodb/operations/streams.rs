//! Describes and lists streams.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::DynamoDb;
use super::super::item::invalid;
use crate::service::{Answer, Call, Refusal};
use crate::validation::{constraint_broken, missing, parse, within};

/// The most shards, or streams, of one answer.
const PAGE_MAX: u64 = 100;

pub(super) fn describe(dynamodb: &DynamoDb, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: DescribeStream = parse(call.body)?;
    let arn = request.stream_arn.ok_or_else(|| missing("streamArn"))?;
    let limit = page(request.limit)?;
    let parent = request.shard_filter.map(ShardFilter::parent).transpose()?;
    let now_ms = dynamodb.clock.now_ms();
    let mut model = dynamodb.settled(now_ms);
    let stream = model.stream(&arn)?;
    let after = |id: &String| {
        let start = request.exclusive_start_shard_id.as_ref();
        start.is_none_or(|start| id > start)
    };
    let mut listed: Vec<_> = stream
        .shards
        .iter()
        .filter(|shard| after(&shard.id) && (parent.is_none() || shard.parent == parent))
        .collect();
    listed.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    let has_more = listed.len() > limit;
    listed.truncate(limit);
    let mut description = stream.describe(now_ms);
    description["Shards"] = listed.iter().map(|shard| shard.describe()).collect();
    if has_more {
        description["LastEvaluatedShardId"] = json!(listed.last().map(|shard| &shard.id));
    }
    Ok(Answer::json(&json!({"StreamDescription": description})))
}

pub(super) fn list(dynamodb: &DynamoDb, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: ListStreams = parse(call.body)?;
    let limit = page(request.limit)?;
    let now_ms = dynamodb.clock.now_ms();
    let model = dynamodb.settled(now_ms);
    let rest: Vec<_> = model
        .streams
        .values()
        .filter(|stream| {
            let table = request.table_name.as_ref();
            let start = request.exclusive_start_stream_arn.as_ref();
            table.is_none_or(|name| *name == stream.table)
                && start.is_none_or(|start| stream.arn > *start)
        })
        .collect();
    let page = &rest[..rest.len().min(limit)];
    let streams: Vec<Value> = page
        .iter()
        .map(|stream| {
            json!({
                "StreamArn": stream.arn,
                "StreamLabel": stream.label,
                "TableName": stream.table,
            })
        })
        .collect();
    let mut answer = json!({"Streams": streams});
    if page.len() < rest.len() {
        answer["LastEvaluatedStreamArn"] = json!(page.last().map(|stream| &stream.arn));
    }
    Ok(Answer::json(&answer))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeStream {
    stream_arn: Option<String>,
    limit: Option<u64>,
    exclusive_start_shard_id: Option<String>,
    shard_filter: Option<ShardFilter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ShardFilter {
    #[serde(rename = "Type")]
    kind: Option<String>,
    shard_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListStreams {
    table_name: Option<String>,
    limit: Option<u64>,
    exclusive_start_stream_arn: Option<String>,
}

impl ShardFilter {
    /// The shard whose children are asked for.
    fn parent(self) -> Result<String, Refusal> {
        let kind = self.kind.unwrap_or_default();
        if kind != "CHILD_SHARDS" {
            return Err(constraint_broken(
                "shardFilter.type",
                &kind,
                "satisfy enum value set: [CHILD_SHARDS]",
            ));
        }
        self.shard_id
            .ok_or_else(|| invalid("ShardFilter of type CHILD_SHARDS needs a ShardId"))
    }
}

fn page(limit: Option<u64>) -> Result<usize, Refusal> {
    let limit = within("limit", limit.unwrap_or(PAGE_MAX), 1..=PAGE_MAX)?;
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}
