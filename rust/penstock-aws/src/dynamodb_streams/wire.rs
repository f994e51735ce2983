//! Defines the bodies of DynamoDB Streams' requests and short answers.

use penstock_engine::ids::Position;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeStream<'a> {
    pub stream_arn: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclusive_start_shard_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard_filter: Option<ShardFilter<'a>>,
}

/// Asks for the shards that follow one; some imitations do not heed it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShardFilter<'a> {
    pub r#type: &'static str,
    pub shard_id: &'a str,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    pub stream_description: StreamDescription,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StreamDescription {
    pub creation_request_date_time: Option<f64>,
    /// Absent while the stream is being enabled.
    #[serde(default)]
    pub shards: Vec<ListedShard>,
    pub last_evaluated_shard_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedShard {
    pub shard_id: String,
    pub parent_shard_id: Option<String>,
    pub sequence_number_range: SequenceNumberRange,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SequenceNumberRange {
    pub ending_sequence_number: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetShardIterator<'a> {
    stream_arn: &'a str,
    shard_id: &'a str,
    shard_iterator_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<&'a str>,
}

impl<'a> GetShardIterator<'a> {
    /// Asks for an iterator at a position that is not the shard's end.
    pub(super) fn new(stream_arn: &'a str, shard_id: &'a str, from: &'a Position) -> Self {
        let (kind, sequence_number) = match from {
            // There is no iterator for a moment: what is older is left out when it comes.
            Position::TrimHorizon | Position::AtTimestamp(_) | Position::ShardEnd => {
                ("TRIM_HORIZON", None)
            }
            Position::After {
                sequence,
                sub: None,
            } => ("AFTER_SEQUENCE_NUMBER", Some(sequence.as_str())),
            // Part of the record is not settled, so that it is read again.
            Position::After {
                sequence,
                sub: Some(_),
            } => ("AT_SEQUENCE_NUMBER", Some(sequence.as_str())),
        };
        Self {
            stream_arn,
            shard_id,
            shard_iterator_type: kind,
            sequence_number,
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
}
