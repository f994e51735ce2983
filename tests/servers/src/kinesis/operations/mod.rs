//! The operations, by name, and what they share in reading requests.

mod list;
mod read;
mod reshard;
mod streams;
mod write;

use serde::Deserialize;

use super::Kinesis;
use super::model::{ACCOUNT, Naming};
use super::stream::Stream;
use crate::service::{Answer, Call, Refusal};

/// Carries a call out.
pub(super) fn answer(kinesis: &Kinesis, call: Call<'_>) -> Result<Answer, Refusal> {
    match call.operation {
        "CreateStream" => streams::create(kinesis, call),
        "DeleteStream" => streams::delete(kinesis, call),
        "DescribeStream" => streams::describe(kinesis, call),
        "DescribeStreamSummary" => streams::describe_summary(kinesis, call),
        "ListStreams" => streams::list(kinesis, call),
        "IncreaseStreamRetentionPeriod" => streams::retain(kinesis, call, true),
        "DecreaseStreamRetentionPeriod" => streams::retain(kinesis, call, false),
        "ListShards" => list::list_shards(kinesis, call),
        "GetShardIterator" => read::get_shard_iterator(kinesis, call),
        "GetRecords" => read::get_records(kinesis, call),
        "PutRecord" => write::put_record(kinesis, call),
        "PutRecords" => write::put_records(kinesis, call),
        "SplitShard" => reshard::split(kinesis, call),
        "MergeShards" => reshard::merge(kinesis, call),
        _ => Err(Refusal::client("UnknownOperationException", "")),
    }
}

/// The request of operations that only name a stream, and the naming of all others.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StreamOnly {
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
}

impl StreamOnly {
    fn naming(&self) -> Naming<'_> {
        Naming {
            name: self.stream_name.as_deref(),
            arn: self.stream_arn.as_deref(),
        }
    }
}

/// The position of a listed shard, or AWS's refusal.
fn find_shard(stream: &Stream, id: &str, now_ms: u64) -> Result<usize, Refusal> {
    stream.find(id, now_ms).ok_or_else(|| {
        let name = &stream.name;
        let message = format!("Shard {id} in stream {name} under account {ACCOUNT} does not exist");
        Refusal::client("ResourceNotFoundException", message)
    })
}

/// A request's time, in seconds with a fraction, as whole milliseconds.
fn to_ms(seconds: f64) -> u64 {
    // Negative and absurd times saturate, which is before or after everything.
    (seconds * 1000.0).round() as u64
}
