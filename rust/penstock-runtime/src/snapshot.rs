//! Gives a read-only picture of a whole runtime.

use std::collections::BTreeMap;

use penstock_engine::ids::MappingId;
use penstock_engine::snapshot::MappingSnapshot;
use penstock_engine::time::Wall;
use serde::Serialize;

use crate::state::StoreStats;

/// A runtime at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuntimeSnapshot {
    /// The runtime's wall clock.
    pub now: Wall,
    /// Whether it drains: no new mapping, nothing new started.
    pub draining: bool,
    /// The mappings, by id.
    pub mappings: Vec<MappingStatus>,
    /// The pools of workers, by name.
    pub exchange: BTreeMap<String, PoolSnapshot>,
    /// Bytes of pages held and reserved.
    pub buffered_bytes: u64,
    /// Bytes from which on reads wait.
    pub buffered_bytes_max: u64,
    /// Reads that wait for room.
    pub reads_waiting: usize,
    /// What the state's writer has done.
    pub store: StoreStats,
    /// Errands that nobody has taken.
    pub errands_waiting: usize,
    /// Log lines dropped because nobody pulled them.
    pub lost_logs: u64,
    /// Notices dropped because nobody pulled them.
    pub lost_notices: u64,
}

/// A mapping at one moment, as far as its task tells.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MappingStatus {
    /// The mapping.
    pub id: MappingId,
    /// Whether its task answered in time; if not, the picture is an older one or missing.
    pub answered: bool,
    /// Whether its task is over.
    pub ended: bool,
    /// Why it ended, when that was not asked for.
    pub error: Option<String>,
    /// The picture.
    #[serde(flatten)]
    pub snapshot: Option<MappingSnapshot>,
}

/// One pool at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PoolSnapshot {
    /// Slots that the pool was configured with.
    pub slots: u32,
    /// Workers that wait.
    pub waiting: usize,
    /// Invocations that run.
    pub busy: usize,
    /// Mappings that have a batch due and no worker for it.
    pub due_mappings: usize,
}
