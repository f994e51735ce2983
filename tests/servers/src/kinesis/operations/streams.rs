//! Creates, deletes and describes streams, and sets their retention.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Kinesis;
use super::super::model::ACCOUNT;
use super::super::stream::{State, Stream};
use super::StreamOnly;
use crate::service::{Answer, Call, Refusal};
use crate::validation::{constraint_broken, missing, parse, within};

/// Shards of a new on-demand stream.
const ON_DEMAND_SHARDS: u32 = 4;
/// Hours for which records may be kept.
const RETENTION_HOURS: std::ops::RangeInclusive<u64> = 24..=8760;

pub(super) fn create(kinesis: &Kinesis, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: CreateStream = parse(call.body)?;
    let name = request.stream_name.ok_or_else(|| missing("streamName"))?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if name.is_empty() || name.len() > 128 || !name.bytes().all(legal) {
        let must = "satisfy regular expression pattern: [a-zA-Z0-9_.-]{1,128}";
        return Err(constraint_broken("streamName", &name, must));
    }
    let mode = request
        .stream_mode_details
        .map_or("PROVISIONED".to_owned(), |of| of.stream_mode);
    let (mode, shards) = match (mode.as_str(), request.shard_count) {
        ("ON_DEMAND", None) => ("ON_DEMAND", ON_DEMAND_SHARDS),
        ("PROVISIONED", Some(count)) => {
            let count = within("shardCount", count, 1..=10_000)?;
            ("PROVISIONED", u32::try_from(count).unwrap_or(u32::MAX))
        }
        ("PROVISIONED", None) => return Err(missing("shardCount")),
        ("ON_DEMAND", Some(_)) => {
            let message = "ShardCount cannot be specified for an on-demand stream.";
            return Err(Refusal::client("InvalidArgumentException", message));
        }
        (other, _) => {
            let must = "satisfy enum value set: [PROVISIONED, ON_DEMAND]";
            return Err(constraint_broken(
                "streamModeDetails.streamMode",
                other,
                must,
            ));
        }
    };
    let now_ms = kinesis.clock.now_ms();
    let mut model = kinesis.lock();
    if model
        .streams
        .get_mut(&name)
        .is_some_and(|stream| stream.settle(now_ms))
    {
        let message = format!("Stream {name} under account {ACCOUNT} already exists.");
        return Err(Refusal::client("ResourceInUseException", message));
    }
    let mut stream = Stream::new(&name, call.region, shards, now_ms);
    stream.mode = mode;
    stream.state = State::Creating(now_ms + model.settings.create_ms);
    model.streams.insert(name, stream);
    Ok(Answer::empty())
}

pub(super) fn delete(kinesis: &Kinesis, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: StreamOnly = parse(call.body)?;
    let now_ms = kinesis.clock.now_ms();
    let mut model = kinesis.lock();
    let end_ms = now_ms + model.settings.delete_ms;
    let stream = model.named(request.naming(), now_ms)?;
    if !matches!(stream.state, State::Deleting(_)) {
        stream.state = State::Deleting(end_ms);
    }
    Ok(Answer::empty())
}

pub(super) fn describe(kinesis: &Kinesis, call: Call<'_>) -> Result<Answer, Refusal> {
    let of: StreamOnly = parse(call.body)?;
    let request: DescribeStream = parse(call.body)?;
    let limit = within("limit", request.limit.unwrap_or(100), 1..=10_000)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let now_ms = kinesis.clock.now_ms();
    let mut model = kinesis.lock();
    let stream = model.named(of.naming(), now_ms)?;
    let visible = !matches!(stream.state, State::Creating(_));
    let after = |id: &String| {
        request
            .exclusive_start_shard_id
            .as_ref()
            .is_none_or(|start| id > start)
    };
    let mut rest: Vec<Value> = stream
        .listed(now_ms)
        .filter(|shard| visible && after(&shard.id()))
        .map(super::super::shard::Shard::describe)
        .collect();
    let has_more = rest.len() > limit;
    rest.truncate(limit);
    let mut description = common(stream);
    description["Shards"] = json!(rest);
    description["HasMoreShards"] = json!(has_more);
    Ok(Answer::json(&json!({"StreamDescription": description})))
}

pub(super) fn describe_summary(kinesis: &Kinesis, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: StreamOnly = parse(call.body)?;
    let now_ms = kinesis.clock.now_ms();
    let mut model = kinesis.lock();
    let stream = model.named(request.naming(), now_ms)?;
    let mut summary = common(stream);
    let open = stream
        .shards
        .iter()
        .filter(|shard| shard.closed_ms.is_none())
        .count();
    summary["OpenShardCount"] = json!(open);
    summary["ConsumerCount"] = json!(0);
    Ok(Answer::json(&json!({"StreamDescriptionSummary": summary})))
}

pub(super) fn list(kinesis: &Kinesis, call: Call<'_>) -> Result<Answer, Refusal> {
    let request: ListStreams = parse(call.body)?;
    let limit = within("limit", request.limit.unwrap_or(100), 1..=10_000)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let start = request.next_token.or(request.exclusive_start_stream_name);
    let now_ms = kinesis.clock.now_ms();
    let mut model = kinesis.lock();
    model.streams.retain(|_, stream| stream.settle(now_ms));
    let after = |name: &String| start.as_ref().is_none_or(|start| name > start);
    let rest: Vec<&Stream> = model
        .streams
        .values()
        .filter(|stream| after(&stream.name))
        .collect();
    let page = &rest[..rest.len().min(limit)];
    let names: Vec<&str> = page.iter().map(|stream| stream.name.as_str()).collect();
    let has_more = page.len() < rest.len();
    let mut answer = json!({"StreamNames": names, "HasMoreStreams": has_more});
    if has_more {
        answer["NextToken"] = json!(names.last());
    }
    answer["StreamSummaries"] = page.iter().map(|stream| summary(stream)).collect();
    Ok(Answer::json(&answer))
}

pub(super) fn retain(kinesis: &Kinesis, call: Call<'_>, longer: bool) -> Result<Answer, Refusal> {
    let of: StreamOnly = parse(call.body)?;
    let request: Retain = parse(call.body)?;
    let hours = request
        .retention_period_hours
        .ok_or_else(|| missing("retentionPeriodHours"))?;
    if !RETENTION_HOURS.contains(&hours) {
        let message = format!("Retention must be 24 to 8760 hours. Requested {hours} hours");
        return Err(Refusal::client("InvalidArgumentException", message));
    }
    let now_ms = kinesis.clock.now_ms();
    let mut model = kinesis.lock();
    let stream = model.active(of.naming(), now_ms)?;
    let (now, name) = (stream.retention_hours, &stream.name);
    let (wrong, word) = if longer {
        (hours < now, "longer")
    } else {
        (hours > now, "shorter")
    };
    if wrong {
        let message = format!(
            "Requested retention period ({hours} hours) for stream {name} must be {word} than \
             the existing retention period ({now} hours)."
        );
        return Err(Refusal::client("InvalidArgumentException", message));
    }
    stream.retention_hours = hours;
    Ok(Answer::empty())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateStream {
    stream_name: Option<String>,
    shard_count: Option<u64>,
    stream_mode_details: Option<StreamModeDetails>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StreamModeDetails {
    stream_mode: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeStream {
    limit: Option<u64>,
    exclusive_start_shard_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListStreams {
    limit: Option<u64>,
    exclusive_start_stream_name: Option<String>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Retain {
    retention_period_hours: Option<u64>,
}

/// What both descriptions say.
fn common(stream: &Stream) -> Value {
    let mut description = summary(stream);
    description["RetentionPeriodHours"] = json!(stream.retention_hours);
    description["EnhancedMonitoring"] = json!([{"ShardLevelMetrics": []}]);
    description["EncryptionType"] = json!("NONE");
    description
}

fn summary(stream: &Stream) -> Value {
    json!({
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "StreamStatus": stream.status(),
        "StreamModeDetails": {"StreamMode": stream.mode},
        "StreamCreationTimestamp": stream.created_ms as f64 / 1000.0,
    })
}
