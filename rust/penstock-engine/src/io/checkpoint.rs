//! Defines what is saved of a shard, and what an operator lets go of.
//!
//! Rules: a checkpoint is one value, so that no part of it is ever ahead of another; it is read by
//! later versions, so members are added with a default.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{Fence, Position, RequestId, SequenceNumber, ShardId};
use crate::time::Wall;

/// One versioned value that says how far a shard is done. It covers settled records only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Every record at or before it is settled.
    pub position: Position,
    /// How far lanes are done beyond `position`: one entry for each way in which keys were sent to
    /// lanes since. A record is settled when any entry says so. Empty when nothing is ahead.
    pub lanes: Vec<LanePositions>,
    /// The batches at the heads of lanes that have already been attempted; the lanes are those of
    /// the last entry of `lanes`.
    pub fronts: Vec<FrontUnit>,
    /// The stream's incarnation that the position belongs to.
    pub incarnation: Option<Wall>,
    /// When the last settled record arrived: tells a gap on resume.
    pub settled_arrival: Option<Wall>,
    /// The tumbling window that is open at `position`, with its state: saved with the position, so
    /// that neither is ever ahead of the other.
    #[serde(default)]
    pub window: Option<TumblingWindow>,
    /// The fence under which it was written.
    pub fence: Fence,
}

impl Checkpoint {
    /// The first checkpoint of a shard: nothing settled yet, reading starts at `position`.
    #[must_use]
    pub fn starting_at(position: Position, incarnation: Option<Wall>) -> Self {
        Self {
            position,
            lanes: Vec::new(),
            fronts: Vec::new(),
            incarnation,
            settled_arrival: None,
            window: None,
            fence: Fence::default(),
        }
    }
}

/// A tumbling window of one shard that has begun and has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TumblingWindow {
    /// Its first moment.
    pub start: Wall,
    /// The first moment behind it.
    pub end: Wall,
    /// What the last successful invocation gave: an object as compact JSON.
    pub state: Arc<str>,
    /// Set once no record will be added: the final invocation is owed.
    pub closing: Option<Closing>,
}

/// The final invocation that a tumbling window owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// Whether the state has grown too large, so that the window ends before its time.
    pub early: bool,
    /// Completed attempts that were charged.
    pub attempts: u32,
    /// The id under which it is tried.
    pub request_id: RequestId,
}

/// Each lane's own position under one way of sending keys to lanes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LanePositions {
    /// How many lanes there were.
    pub count: u8,
    /// Which version of the hash sent keys to lanes.
    pub hash_version: u8,
    /// The last settled record of each lane beyond the watermark, `None` where there is none.
    pub settled: Vec<Option<SequenceNumber>>,
}

/// A batch at the head of a lane that was attempted and is not settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontUnit {
    /// The lane.
    pub lane: u8,
    /// Its first record.
    pub first: SequenceNumber,
    /// How many records of the lane.
    pub records: u32,
    /// Completed attempts that were charged.
    pub attempts: u32,
    /// The id under which it is retried.
    pub request_id: RequestId,
}

/// What a driver knows of a mapping's past before its engine is born.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resume {
    /// Every shard that has a row, ended ones included. Empty on a first start.
    pub rows: Vec<(ShardId, Checkpoint)>,
}

/// Records that an operator let go, in one lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SkippedRange {
    /// The lane.
    pub lane: u8,
    /// The first and last record; `None` for the final invocation of a tumbling window.
    pub span: Option<(SequenceNumber, SequenceNumber)>,
    /// How many records.
    pub records: u32,
    /// The name of the document that was not delivered.
    pub document: String,
}
