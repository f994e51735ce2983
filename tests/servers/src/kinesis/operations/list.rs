//! Lists shards: six filters, pages, tokens that live for five minutes.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::Kinesis;
use super::super::model::{Naming, no_stream};
use super::super::shard::Shard;
use super::super::stream::{State, Stream};
use super::super::token::{NEXT_TOKEN_MS, NextToken};
use super::{StreamOnly, to_ms};
use crate::service::{Answer, Call, Refusal};
use crate::validation::{missing, parse, within};

/// Shards of a page when the request does not say.
const PAGE_SHARDS: u64 = 1000;

pub(super) fn list_shards(kinesis: &Kinesis, call: Call<'_>) -> Result<Answer, Refusal> {
    let of: StreamOnly = parse(call.body)?;
    let request: ListShards = parse(call.body)?;
    let limit = within(
        "maxResults",
        request.max_results.unwrap_or(PAGE_SHARDS),
        1..=10_000,
    )?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let now_ms = kinesis.clock.now_ms();
    let token = request
        .next_token
        .as_deref()
        .map(|text| open_token(text, now_ms))
        .transpose()?;
    if token.is_some() && (of.stream_name.is_some() || of.stream_arn.is_some()) {
        let message = "NextToken and StreamName cannot be provided together.";
        return Err(Refusal::client("InvalidArgumentException", message));
    }
    let naming = match &token {
        Some(token) => Naming {
            name: Some(&token.stream),
            arn: None,
        },
        None => of.naming(),
    };
    let filter_text = match (&token, &request.shard_filter) {
        (Some(token), _) => token.filter.clone(),
        (None, Some(filter)) => json!(filter).to_string(),
        (None, None) => "null".to_owned(),
    };
    let filter: Option<ShardFilter> = parse(filter_text.as_bytes())?;
    let mut model = kinesis.lock();
    let stream = model.named(naming, now_ms)?;
    match stream.state {
        State::Active | State::Updating(_) => {}
        State::Creating(_) => return Err(no_stream(&stream.name)),
        State::Deleting(_) => {
            let message = format!("Stream {} is being deleted.", stream.name);
            return Err(Refusal::client("ResourceInUseException", message));
        }
    }
    let chosen = Chosen::new(filter.as_ref(), stream, now_ms)?;
    let start = request.exclusive_start_shard_id.as_deref();
    let rest: Vec<&Shard> = stream
        .listed(now_ms)
        .filter(|shard| token.as_ref().is_none_or(|token| shard.index > token.after))
        .filter(|shard| start.is_none_or(|start| shard.id().as_str() > start))
        .filter(|shard| chosen.takes(shard))
        .collect();
    let page = &rest[..rest.len().min(limit)];
    let shards: Vec<Value> = page.iter().map(|shard| shard.describe()).collect();
    let mut answer = json!({"Shards": shards});
    if let (Some(last), true) = (page.last(), page.len() < rest.len()) {
        let (stream, after) = (stream.name.clone(), last.index);
        let next = NextToken {
            stream,
            after,
            issued_ms: now_ms,
            filter: filter_text,
        };
        answer["NextToken"] = json!(next.encode());
    }
    Ok(Answer::json(&answer))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListShards {
    next_token: Option<String>,
    exclusive_start_shard_id: Option<String>,
    max_results: Option<u64>,
    shard_filter: Option<ShardFilter>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShardFilter {
    r#type: Option<String>,
    shard_id: Option<String>,
    timestamp: Option<f64>,
}

/// What a filter comes down to.
enum Chosen {
    All,
    After(String),
    OpenAt(u64),
    OpenSince(u64),
    OpenNow,
}

impl Chosen {
    fn new(filter: Option<&ShardFilter>, stream: &Stream, now_ms: u64) -> Result<Self, Refusal> {
        let Some(filter) = filter else {
            return Ok(Self::All);
        };
        let kind = filter
            .r#type
            .as_deref()
            .ok_or_else(|| missing("shardFilter.type"))?;
        let horizon_ms = stream.horizon_ms(now_ms);
        let time_ms = || {
            let asked_ms = to_ms(
                filter
                    .timestamp
                    .ok_or_else(|| incomplete(kind, "Timestamp"))?,
            );
            if asked_ms > now_ms {
                let message = "Timestamp in ShardFilter cannot be in the future.";
                return Err(Refusal::client("InvalidArgumentException", message));
            }
            Ok(asked_ms.max(horizon_ms))
        };
        match kind {
            "AFTER_SHARD_ID" => {
                let id = filter
                    .shard_id
                    .clone()
                    .ok_or_else(|| incomplete(kind, "ShardId"))?;
                Ok(Self::After(id))
            }
            "AT_TRIM_HORIZON" => Ok(Self::OpenAt(horizon_ms)),
            "FROM_TRIM_HORIZON" => Ok(Self::OpenSince(horizon_ms)),
            "AT_LATEST" => Ok(Self::OpenNow),
            "AT_TIMESTAMP" => Ok(Self::OpenAt(time_ms()?)),
            "FROM_TIMESTAMP" => Ok(Self::OpenSince(time_ms()?)),
            other => {
                let message = format!("ShardFilter type {other} is not supported.");
                Err(Refusal::client("InvalidArgumentException", message))
            }
        }
    }

    fn takes(&self, shard: &Shard) -> bool {
        match self {
            Self::All => true,
            Self::After(id) => shard.id() > *id,
            Self::OpenAt(time_ms) => shard.was_open_at(*time_ms),
            Self::OpenSince(time_ms) => shard.closed_ms.is_none_or(|closed| closed >= *time_ms),
            Self::OpenNow => shard.closed_ms.is_none(),
        }
    }
}

fn incomplete(kind: &str, member: &str) -> Refusal {
    let message = format!("{member} must be provided in ShardFilter of type {kind}.");
    Refusal::client("InvalidArgumentException", message)
}

fn open_token(text: &str, now_ms: u64) -> Result<NextToken, Refusal> {
    let token = NextToken::decode(text)
        .ok_or_else(|| Refusal::client("InvalidArgumentException", "Invalid NextToken."))?;
    if now_ms.saturating_sub(token.issued_ms) > NEXT_TOKEN_MS {
        let message = "The specified NextToken has expired.";
        return Err(Refusal::client("ExpiredNextTokenException", message));
    }
    Ok(token)
}
