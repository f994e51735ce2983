//! Defines the bodies of Kinesis's requests and short answers.

use penstock_engine::ids::Position;
use serde::{Deserialize, Serialize};

/// How a request names its stream: by one of the two.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StreamRef<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_name: Option<&'a str>,
    #[serde(rename = "StreamARN", skip_serializing_if = "Option::is_none")]
    pub stream_arn: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListShards<'a> {
    #[serde(flatten)]
    pub stream: StreamRef<'a>,
}

/// The following pages: the token names the stream, and a request with both is refused.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListMoreShards<'a> {
    pub next_token: &'a str,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedShards {
    pub shards: Vec<ListedShard>,
    pub next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedShard {
    pub shard_id: String,
    pub parent_shard_id: Option<String>,
    pub adjacent_parent_shard_id: Option<String>,
    pub sequence_number_range: SequenceNumberRange,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SequenceNumberRange {
    pub starting_sequence_number: String,
    pub ending_sequence_number: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Summary {
    pub stream_description_summary: SummaryDescription,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SummaryDescription {
    pub stream_creation_timestamp: Option<f64>,
    pub retention_period_hours: Option<u32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetShardIterator<'a> {
    #[serde(flatten)]
    stream: StreamRef<'a>,
    shard_id: &'a str,
    shard_iterator_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    starting_sequence_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<f64>,
}

impl<'a> GetShardIterator<'a> {
    /// Asks for an iterator at a position that is not the shard's end.
    pub(super) fn new(stream: StreamRef<'a>, shard_id: &'a str, from: &'a Position) -> Self {
        let (kind, sequence, timestamp) = match from {
            // A shard that has ended is not read; its oldest record is where nothing is skipped.
            Position::TrimHorizon | Position::ShardEnd => ("TRIM_HORIZON", None, None),
            Position::AtTimestamp(at) => ("AT_TIMESTAMP", None, Some(at.0 as f64 / 1000.0)),
            Position::After {
                sequence,
                sub: None,
            } => ("AFTER_SEQUENCE_NUMBER", Some(sequence.as_str()), None),
            // Part of the record is not settled, so that it is read again.
            Position::After {
                sequence,
                sub: Some(_),
            } => ("AT_SEQUENCE_NUMBER", Some(sequence.as_str()), None),
        };
        Self {
            stream,
            shard_id,
            shard_iterator_type: kind,
            starting_sequence_number: sequence,
            timestamp,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShardIterator {
    pub shard_iterator: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetRecords<'a> {
    pub shard_iterator: &'a str,
    pub limit: u32,
    #[serde(rename = "StreamARN", skip_serializing_if = "Option::is_none")]
    pub stream_arn: Option<&'a str>,
}
