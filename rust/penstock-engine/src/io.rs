//! Defines everything that crosses the engine's edge.
//!
//! Rules: outputs are requests, and each is answered by exactly one input with the same `OpId`
//! (its own answer, or `Failed`); failures are inputs; nothing here performs anything.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::MappingConfig;
use crate::failure::FailureDocument;
use crate::fault::Fault;
use crate::ids::{Fence, InvocationId, OpId, Position, RequestId, ShardId, SlotId};
use crate::record::{Batch, Page};
use crate::time::{Mono, Wall};

mod checkpoint;
mod queue;

pub use checkpoint::{
    Checkpoint, Closing, FrontUnit, LanePositions, Resume, SkippedRange, TumblingWindow,
};
pub use queue::{QueueFacts, Receive, Refused};

/// What happens to an engine.
#[derive(Debug, Clone)]
pub enum Input {
    /// The mapping's options changed; records in flight finish under the old ones.
    Reconfigured(Box<MappingConfig>),
    /// Start nothing new until `Resumed`.
    Paused,
    /// Go on after `Paused`.
    Resumed,
    /// Start nothing new, finish what runs, save, and answer `Output::Stopped`, by then at latest.
    Drain {
        /// When to stop waiting for what still runs.
        by: Mono,
    },
    /// Stop at once; what runs counts as abandoned.
    Stop,
    /// From now on the workers in these slots keep what handlers remember: a lane goes on in the
    /// slot where it ran last, while that is one of them. None: any lane goes to any worker.
    Crew {
        /// The slots.
        slots: Vec<SlotId>,
    },
    /// Answers `ListShards`.
    ShardsListed {
        /// The request.
        op: OpId,
        /// All shards that the source shows.
        listing: ShardListing,
    },
    /// Answers `Register`: the rows are durable.
    Registered {
        /// The request.
        op: OpId,
    },
    /// Answers `TakeLease`.
    LeaseGranted {
        /// The request.
        op: OpId,
        /// Proves the lease; larger than every earlier one of this shard.
        fence: Fence,
        /// Of a stream that several processes share: nothing of the shard starts from this moment
        /// on, unless `LeaseRenewed` says otherwise. `None`: the lease is for good.
        until: Option<Mono>,
        /// What was last saved for the shard, read after the lease was granted.
        checkpoint: Option<Checkpoint>,
    },
    /// The lease of a shard goes on until a later moment.
    LeaseRenewed {
        /// The shard.
        shard: ShardId,
        /// The lease.
        fence: Fence,
        /// Nothing of the shard starts from this moment on.
        until: Mono,
    },
    /// Another process is to have the shard: start nothing more of it, finish what runs, save, and
    /// give it up by `Output::DropLease`.
    LeaseDrains {
        /// The shard.
        shard: ShardId,
    },
    /// Another process has settled the shard to its end.
    EndedElsewhere {
        /// The shard.
        shard: ShardId,
    },
    /// Somebody else holds the shard now.
    LeaseLost {
        /// The shard.
        shard: ShardId,
    },
    /// An operator has put another checkpoint for a shard into the store, under a fence that
    /// nobody holds.
    Moved {
        /// The shard.
        shard: ShardId,
        /// What the store has now.
        checkpoint: Box<Checkpoint>,
    },
    /// An operator lets go of the records of a shard that wait for their destination; answered by
    /// `Output::Skipped`.
    Skip {
        /// The shard.
        shard: ShardId,
    },
    /// A part of the answer to `Fetch`, which goes on: more of it comes, or a failure.
    Arrived {
        /// The request.
        op: OpId,
        /// What came, at least one record.
        page: Arc<dyn Page>,
    },
    /// Answers `Fetch`, with what has not come in parts.
    Fetched {
        /// The request.
        op: OpId,
        /// What came.
        fetched: Fetched,
    },
    /// Answers `DescribeQueue`.
    QueueDescribed {
        /// The request.
        op: OpId,
        /// What the queue says of itself.
        queue: QueueFacts,
    },
    /// Answers `Receive`, one that was abandoned too.
    Received {
        /// The request.
        op: OpId,
        /// The messages; `None` when none came.
        page: Option<Arc<dyn Page>>,
    },
    /// Answers `Acknowledge`.
    Acknowledged {
        /// The request.
        op: OpId,
        /// Messages that were not deleted; all others were.
        refused: Vec<Refused>,
    },
    /// Answers `ExtendVisibility`.
    Extended {
        /// The request.
        op: OpId,
        /// Messages whose visibility stays as it was.
        refused: Vec<Refused>,
    },
    /// A worker answers an invocation.
    Completed {
        /// The invocation.
        invocation: InvocationId,
        /// How it ended.
        outcome: Outcome,
    },
    /// Answers `SaveCheckpoint`: it is durable.
    CheckpointSaved {
        /// The request.
        op: OpId,
    },
    /// Answers `Deliver`: the destination has acknowledged the document.
    Delivered {
        /// The request.
        op: OpId,
    },
    /// Any request can end so.
    Failed {
        /// The request.
        op: OpId,
        /// How.
        fault: Fault,
    },
}

/// What an engine wants. The driver performs each and answers with an input of the same `OpId`.
#[derive(Debug, Clone)]
pub enum Output {
    /// List all shards of the stream.
    ListShards {
        /// The request.
        op: OpId,
    },
    /// Make these rows durable where the shard has none yet, all or none.
    Register {
        /// The request.
        op: OpId,
        /// Shards with their first checkpoints.
        rows: Vec<(ShardId, Checkpoint)>,
    },
    /// Become the only reader of a shard, and read its checkpoint after that. Of a stream that
    /// several processes share it is answered when the shard is this process's, however long that
    /// takes.
    TakeLease {
        /// The request.
        op: OpId,
        /// The shard.
        shard: ShardId,
    },
    /// Give a shard up. Not answered.
    DropLease {
        /// The shard.
        shard: ShardId,
        /// The lease's proof.
        fence: Fence,
    },
    /// Read once from a shard.
    Fetch(Fetch),
    /// Make a checkpoint durable if the fence still holds.
    SaveCheckpoint {
        /// The request.
        op: OpId,
        /// The shard.
        shard: ShardId,
        /// What to save.
        checkpoint: Box<Checkpoint>,
        /// The lease's proof.
        fence: Fence,
    },
    /// Hand a failure document to the mapping's destination.
    Deliver {
        /// The request.
        op: OpId,
        /// Shared, since it may be sent again.
        document: Arc<FailureDocument>,
    },
    /// Ask a queue what it is.
    DescribeQueue {
        /// The request.
        op: OpId,
    },
    /// Receive once from a queue.
    Receive(Receive),
    /// Delete messages from their queue, as many requests as that takes.
    Acknowledge {
        /// The request.
        op: OpId,
        /// The messages, in no order.
        messages: Batch,
    },
    /// Hide messages for so long from now on, as many requests as that takes.
    ExtendVisibility {
        /// The request.
        op: OpId,
        /// The messages, in no order.
        messages: Batch,
        /// How long, in whole seconds; zero gives them back.
        by: Duration,
    },
    /// The answer to this request is not wanted any more; the driver may drop the request, and an
    /// answer that comes all the same is ignored. A `Receive` is not to be dropped but to be ended
    /// soon, and answered: with what it still brought, or `Failed` when nothing will come of it,
    /// so that no receive is under way at the queue when the answer is there.
    Abandon {
        /// The request.
        op: OpId,
    },
    /// A shard that was lost or given up has gone quiet: nothing of it runs here any more.
    Released {
        /// The shard.
        shard: ShardId,
    },
    /// Answers `Input::Skip`.
    Skipped {
        /// The shard.
        shard: ShardId,
        /// What was let go, lane by lane.
        ranges: Vec<SkippedRange>,
        /// Whether a checkpoint that says so is durable; else the records will come again.
        saved: bool,
    },
    /// Something that people want to know.
    Notify(Notice),
    /// The drain or stop is over; the driver may drop the engine.
    Stopped,
}

/// One read from a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// The request.
    pub op: OpId,
    /// The shard.
    pub shard: ShardId,
    /// Where to read from.
    pub from: Position,
    /// At most so many records.
    pub limit: u32,
    /// How long the source may wait for a first record, if it can wait at all.
    pub wait: Duration,
    /// What records of this shard have been weighing: to be reserved in the process's ledger.
    pub reserve_bytes: u64,
}

/// The answer to one read.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The records, if any.
    pub page: Option<Arc<dyn Page>>,
    /// Where to read from next, when that is known better than "after the last record": a
    /// position may advance without records.
    pub next: Option<Position>,
    /// How far behind the tip the answer ended, as the source says; `None` when it does not say.
    pub behind_ms: Option<u64>,
    /// Whether the shard is closed and this was its end.
    pub ended: bool,
    /// Shards that follow this one, when the source named them at its end.
    pub children: Vec<ShardInfo>,
}

/// All shards of a stream at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardListing {
    /// The shards, in any order.
    pub shards: Vec<ShardInfo>,
    /// The source's own clock at that moment.
    pub server_time: Wall,
    /// Which stream of this name it is: its creation time, when the source tells.
    pub incarnation: Option<Wall>,
    /// How long the source keeps records, when it tells.
    pub retention: Option<Duration>,
}

/// One shard as a source lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardInfo {
    /// Its name.
    pub id: ShardId,
    /// The shards it came from: none, one (split) or two (merge).
    pub parents: Vec<ShardId>,
    /// Whether it takes no more records.
    pub closed: bool,
}

/// One call of the handler, for a worker.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Names it within its mapping.
    pub id: InvocationId,
    /// The shard of all its records; of messages the name of their queue.
    pub shard: ShardId,
    /// The lane of all its records.
    pub lane: u8,
    /// 1 for the first call with exactly these records, then 2, …
    pub attempt: u32,
    /// The id that the handler sees.
    pub request_id: RequestId,
    /// The lease under which the shard is read.
    pub fence: Fence,
    /// When the function's timeout has passed.
    pub deadline: Mono,
    /// The tumbling window that the call belongs to, where the mapping has windows.
    pub window: Option<TumblingCall>,
    /// The records; none in the final call of a tumbling window.
    pub batch: Batch,
}

/// What a handler is told of the tumbling window that it is called for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TumblingCall {
    /// The window's first moment.
    pub start: Wall,
    /// The first moment behind it.
    pub end: Wall,
    /// What the last successful invocation of the window gave; `{}` at first.
    pub state: Arc<str>,
    /// Whether this is the window's last call, which has no records.
    pub is_final: bool,
    /// Whether the window ends before its time because its state is too large.
    pub terminated_early: bool,
}

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The handler returned; what it said is classified by `response`.
    Returned(Report),
    /// The same in a tumbling window, with the state that the handler gave: compact JSON of an
    /// object.
    Aggregated {
        /// What the answer says of the records.
        report: Report,
        /// What the next invocation of the window gets.
        state: Arc<str>,
    },
    /// The handler raised, or returned something that cannot be an answer.
    Raised(HandlerError),
    /// The function's timeout passed; whatever the handler said later does not count.
    TimedOut,
    /// The worker died.
    Crashed(HandlerError),
    /// The handler was never started; costs no attempt.
    Rejected(Fault),
}

/// What a returned answer says about the batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// All records succeeded.
    AllSucceeded,
    /// Of a stream: the record at this place in the batch failed, and all that follow count as
    /// failed.
    FailedFrom(u32),
    /// Of a queue: the messages at these places in the batch failed, in ascending order, each once;
    /// all others succeeded.
    Failed(Arc<[u32]>),
    /// The report cannot be used: the whole batch failed.
    Unusable,
}

/// What people are told of a handler's failure: no payloads, at most 1 KB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerError {
    /// The exception's type, or what happened.
    pub kind: String,
    /// Its text, cut and escaped.
    pub message: String,
}

/// Something that people want to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// How loud.
    pub level: NoticeLevel,
    /// A stable word for the kind of notice, for example `shard_started` or `gap`.
    pub code: &'static str,
    /// The shard it is about, if one.
    pub shard: Option<ShardId>,
    /// A sentence.
    pub message: String,
}

/// How loud a notice is, as log levels are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeLevel {
    /// A turn off the usual path.
    Debug,
    /// The life of a mapping.
    Info,
    /// Unusual, still working.
    Warn,
    /// A person must act.
    Error,
}
