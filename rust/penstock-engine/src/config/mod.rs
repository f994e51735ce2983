//! Holds a mapping's configuration: valid by construction.
//!
//! Rules: a `MappingConfig` comes only from `document::parse`, which checks every range and every
//! rule between fields; `None` stands for AWS's -1 ("no limit").

pub mod defaults;
pub mod destinations;
pub mod document;
pub mod error;
mod filters;
mod identities;
mod layout;
pub mod names;
mod queues;
mod reader;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use error::ConfigError;

use crate::filter::Filters;
use crate::ids::MappingId;
use crate::time::Wall;

/// Everything that one mapping's engine needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MappingConfig {
    /// The mapping.
    pub id: MappingId,
    /// The source's ARN, as events and documents show it.
    pub source_arn: String,
    /// The region that events show.
    pub region: String,
    /// Which event a batch becomes.
    pub shape: EventShape,
    /// The function that is called.
    pub function: FunctionConfig,
    /// Where a first start begins.
    pub starting_position: StartingPosition,
    /// The most records of one invocation, 1 to 10,000.
    pub batch_size: u32,
    /// Which records are handled; `None` is all of them.
    #[serde(default)]
    pub filters: Option<Arc<Filters>>,
    /// The longest wait for a fuller batch, 0 to 300 s.
    pub batch_window: Duration,
    /// `ParallelizationFactor`: lanes of each shard, 1 to 10.
    pub lanes: u8,
    /// `TumblingWindowInSeconds`: the length of the windows over which state is carried, 1 to
    /// 900 s; `None` is no windows.
    #[serde(default)]
    pub tumbling_window: Option<Duration>,
    /// Retries after the first attempt, 0 to 10,000; `None` is without end.
    pub maximum_retry_attempts: Option<u32>,
    /// The oldest record that is still invoked, 60 s to 7 days; `None` is any age.
    pub maximum_record_age: Option<Duration>,
    /// Whether a failed batch is split in two.
    pub bisect: bool,
    /// Whether `batchItemFailures` in an answer counts.
    pub partial_response: bool,
    /// What becomes of the state of a tumbling window that comes with a partial report.
    #[serde(default)]
    pub partial_state: PartialState,
    /// Where failure documents go; `None` drops the records and counts them.
    pub on_failure: Option<String>,
    /// What happens when that destination fails.
    pub on_destination_failure: OnDestinationFailure,
    /// How long to wait between attempts.
    pub backoff: BackoffConfig,
    /// The largest event, in bytes of compact JSON.
    pub payload_bytes_max: u64,
    /// How many records beyond the watermark may be handed out.
    pub ahead_records_max: u32,
    /// How many bytes of fetched pages this mapping may hold.
    pub buffered_bytes_max: u64,
    /// What reading this source asks for.
    pub source: SourceProfile,
    /// What only queues have; `None` for a stream. Of a queue's options those of streams have
    /// their neutral values.
    #[serde(default)]
    pub queue: Option<QueueRules>,
}

/// The rules of a mapping on a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRules {
    /// Whether the queue keeps order within message groups.
    pub fifo: bool,
    /// The most invocations at once, 2 to 1,000; `None` leaves it to the engine.
    pub maximum_concurrency: Option<u32>,
    /// Of a FIFO queue: whether messages that follow a failed one in its group count as failed
    /// too, where Lambda deletes them.
    pub strict_groups: bool,
}

/// The function, as events, documents and deadlines need it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FunctionConfig {
    /// Its ARN, qualified as the mapping names it.
    pub arn: String,
    /// The version that runs, `$LATEST` or a number.
    pub version: String,
    /// The ARN of its role, shown to handlers as `invokeIdentityArn`.
    pub role_arn: String,
    /// How long one invocation may take.
    pub timeout: Duration,
    /// The name under which workers find the handler.
    pub handler: String,
    /// The pool of workers that runs it.
    pub pool: String,
}

/// Which event a batch becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventShape {
    /// `aws:kinesis`.
    Kinesis,
    /// `aws:dynamodb`.
    DynamoDb,
    /// `aws:sqs`.
    Sqs,
}

/// Where a first start begins reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartingPosition {
    /// The oldest record.
    TrimHorizon,
    /// Records that arrive from now on; resolved once, at the first start, to a time.
    Latest,
    /// The first record that arrived at or after this moment.
    AtTimestamp(Wall),
}

/// What becomes of the state of a tumbling window that an answer gives beside failed items.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartialState {
    /// It holds what succeeded, and goes on with the records behind that.
    #[default]
    Keep,
    /// It may hold what failed too: the state before the batch goes on. What succeeded is in no
    /// state, and nothing is in it twice.
    Discard,
}

/// What to do when the destination of failure documents fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnDestinationFailure {
    /// Keep trying; the checkpoint waits.
    Hold,
    /// Try three times, then drop the records and count them, as AWS does.
    Drop,
}

/// How long to wait between attempts: `min(cap, base * 2^(k-1))`, give or take `jitter`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BackoffConfig {
    /// The first wait.
    pub base: Duration,
    /// The longest wait.
    pub cap: Duration,
    /// The largest part of a wait that chance adds or takes away, 0 to 1.
    pub jitter: f64,
}

/// What reading a source asks for; the source's driver says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceProfile {
    /// How long to wait after an empty read at the tip.
    pub idle_interval: Duration,
    /// How long a read may wait for its first record; zero when the source cannot wait.
    pub fetch_wait: Duration,
    /// The most records of one read.
    pub fetch_records_max: u32,
    /// The most bytes that one read can answer.
    pub fetch_bytes_max: u64,
    /// Reads a second and shard at the tip; `None` is no limit.
    pub tip_reads_per_second: Option<u32>,
    /// How often shards are listed again without a reason.
    pub list_interval: Duration,
}
