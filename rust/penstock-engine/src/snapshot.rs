//! Gives a read-only picture of a mapping for the API, the command line and metrics.
//!
//! Rules: every shard and lane that does not move carries a typed reason, with its start and, if
//! known, its end; at any instant each polled record is in exactly one of the counted states.

use serde::{Deserialize, Serialize};

use crate::ids::{Fence, InvocationId, MappingId, Position, SequenceNumber, ShardId};
use crate::time::Wall;

/// One mapping at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MappingSnapshot {
    /// The mapping.
    pub mapping: MappingId,
    /// The source's ARN.
    pub source_arn: String,
    /// The handler's name.
    pub handler: String,
    /// Running, paused, draining, stopped or failed.
    pub state: MappingState,
    /// AWS's `LastProcessingResult`.
    pub last_processing_result: String,
    /// Nothing to do: every shard is read to its tip and everything read is settled and saved.
    pub idle: bool,
    /// Records by state.
    pub counters: Counters,
    /// Bytes of pages held.
    pub buffered_bytes: u64,
    /// Why the whole mapping does not move, when it does not.
    pub stall: Option<Stall>,
    /// The shards, by name.
    pub shards: Vec<ShardSnapshot>,
    /// The queue, when the source is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueSnapshot>,
    /// What the engine will wake for next.
    pub next_deadline: Option<String>,
}

/// What a mapping as a whole is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MappingState {
    /// Reading and invoking.
    Running,
    /// Paused by request.
    Paused,
    /// Finishing what is in flight.
    Draining,
    /// Over.
    Stopped,
    /// Stopped by a fault that needs a person; tried again slowly.
    Failing,
}

/// Counts since the engine's birth. The first group are events that happened; the second group
/// are places where a polled record can be, and add up to `polled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Records read from the source.
    pub polled: u64,
    /// Records sent to the handler, each attempt again.
    pub invoked: u64,
    /// Records in failed invocations.
    pub failed: u64,
    /// Invocations started.
    pub invocations: u64,
    /// Invocations whose batch failed, wholly or in part.
    pub failed_invocations: u64,
    /// Batches tried again unchanged.
    pub retries: u64,
    /// Batches split in two.
    pub bisections: u64,
    /// Failure documents that went without their records, being too large with them.
    #[serde(default)]
    pub documents_without_records: u64,
    /// Records lost to the source's retention are not known by number: gaps are.
    pub gaps: u64,

    /// Settled by a filter.
    pub filtered: u64,
    /// Settled by success.
    pub succeeded: u64,
    /// Settled by being dropped: no destination, `drop`, or an operator's skip.
    pub dropped: u64,
    /// Settled by a document that the destination acknowledged.
    pub delivered: u64,
    /// Discarded, its document not yet acknowledged.
    pub awaiting_delivery: u64,
    /// Read and waiting in a lane.
    pub buffered: u64,
    /// In an invocation.
    pub in_flight: u64,
    /// Of a queue: handled or filtered, and not yet known to be deleted from it.
    #[serde(default)]
    pub acknowledging: u64,
    /// Of a queue: left to come back from it, because they failed, were given back, or could not be
    /// deleted in time.
    #[serde(default)]
    pub returned: u64,
    /// Left the buffers unsettled (drain, stop, lost lease) and will be read again.
    pub abandoned: u64,
}

impl Counters {
    /// Whether each polled record is in exactly one place.
    #[must_use]
    pub fn conserved(&self) -> bool {
        self.polled
            == self.filtered
                + self.succeeded
                + self.dropped
                + self.delivered
                + self.awaiting_delivery
                + self.buffered
                + self.in_flight
                + self.acknowledging
                + self.returned
                + self.abandoned
    }
}

/// A mapping's queue at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueSnapshot {
    /// Receives that are under way.
    pub receives_outstanding: u32,
    /// How many batches are allowed at once now, those being received included.
    pub concurrency: u32,
    /// How many are ever allowed: the mapping's `MaximumConcurrency`, or the ceiling of all.
    pub concurrency_max: u32,
    /// Invocations that run.
    pub in_flight: u32,
    /// Messages received and not handed out.
    pub buffered: u64,
    /// Of a FIFO queue: message groups that have a message with a handler, or one that failed and
    /// has not come back.
    pub blocked_groups: u32,
    /// How long the queue hides what is received, in seconds, once it has said so.
    pub visibility_timeout_s: Option<u64>,
    /// After so many receives the queue itself moves a message away, when it does.
    pub max_receive_count: Option<u32>,
    /// Why nothing is received or invoked, when nothing is.
    pub stall: Option<Stall>,
}

/// One shard at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShardSnapshot {
    /// The shard.
    pub shard: ShardId,
    /// Its state, as `stream::shard` names it.
    pub state: String,
    /// The lease.
    pub fence: Option<Fence>,
    /// Every record at or before it is settled.
    pub watermark: Position,
    /// The same, as last saved.
    pub checkpoint: Position,
    /// When the unsaved part of the watermark began.
    pub unsaved_since: Option<Wall>,
    /// How far behind the tip, as the source last said.
    pub behind_ms: Option<u64>,
    /// When the oldest unsettled record arrived.
    pub oldest_unsettled: Option<Wall>,
    /// Records waiting in its lanes.
    pub buffered: u64,
    /// Why the shard is not being read, when it is not.
    pub stall: Option<Stall>,
    /// Its lanes.
    pub lanes: Vec<LaneSnapshot>,
}

/// One lane at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaneSnapshot {
    /// Which lane.
    pub lane: u8,
    /// Records waiting, those in flight included.
    pub queued: u64,
    /// The running invocation.
    pub invocation: Option<InvocationId>,
    /// Completed attempts of the batch at its head.
    pub attempts: u32,
    /// Documents not yet acknowledged.
    pub undelivered: u32,
    /// Why it does not move, when it does not.
    pub stall: Option<Stall>,
}

/// Why something does not move.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stall {
    /// The reason.
    #[serde(flatten)]
    pub reason: Reason,
    /// Since when.
    pub since: Wall,
    /// What will end it and when, if known.
    pub until: Option<Wall>,
}

/// A typed reason for not moving.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// The handler is running.
    InHandler {
        /// Which invocation.
        invocation: InvocationId,
        /// Which attempt of it.
        attempt: u32,
        /// Whether the function's timeout has passed.
        overdue: bool,
    },
    /// Waiting to try a failed batch again.
    BackingOff {
        /// What the handler did.
        error: String,
        /// The first record of the batch.
        record: SequenceNumber,
        /// Completed attempts.
        attempts: u32,
    },
    /// Waiting to try the final invocation of a tumbling window again.
    ClosingWindow {
        /// What the handler did.
        error: String,
        /// Completed attempts.
        attempts: u32,
    },
    /// Parents are not settled to their ends.
    WaitingForParents {
        /// Which.
        parents: Vec<ShardId>,
    },
    /// The source asked to slow down.
    Throttled {
        /// What it said.
        message: String,
    },
    /// The source fails.
    SourceFailing {
        /// The fault's word.
        fault: String,
        /// What it said.
        message: String,
    },
    /// The shard is read to its tip.
    WaitingForRecords,
    /// There are records, but fewer than a full batch, and the window is still open.
    WaitingForWindow,
    /// A batch is due and every worker is busy.
    NoFreeWorker,
    /// Paused by request.
    Paused,
    /// Finishing.
    Draining,
    /// Other lanes of the shard are too far behind.
    TooFarAhead,
    /// Enough is read already.
    BufferFull,
    /// The destination of failure documents fails.
    DestinationFailing {
        /// What it said.
        message: String,
    },
    /// The checkpoint cannot be saved.
    CheckpointFailing {
        /// What the store said.
        message: String,
    },
    /// Waiting for the lease of the shard.
    WaitingForLease {
        /// What the holder's store said, if it refused.
        message: String,
    },
    /// Nothing is left of this shard.
    Ended,
}
