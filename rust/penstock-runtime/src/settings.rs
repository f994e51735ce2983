//! Holds what a runtime is started with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tracing::Level;

use crate::state::queues::QueueLimits;
use crate::state::streams::StreamLimits;

/// What a runtime is started with.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// Where state is kept; `None` keeps it in memory.
    pub state_dir: Option<PathBuf>,
    /// Whether the clock moves only by `advance`.
    pub manual_clock: bool,
    /// The seed of all jitter; `None` takes one by chance.
    pub seed: Option<u64>,
    /// The pools of workers, with their slots.
    pub pools: BTreeMap<String, u32>,
    /// Bytes of pages from which on reads wait.
    pub buffered_bytes_max: u64,
    /// Where traces of all engines are written; `None` writes none.
    pub trace_dir: Option<PathBuf>,
    /// How many log lines and notices wait to be pulled, each.
    pub log_capacity: usize,
    /// Log lines up to this level are kept.
    pub log_level: Level,
    /// How long embedded streams keep a record.
    pub stream_retention: Duration,
    /// How many bytes all embedded streams together keep.
    pub stream_bytes_max: u64,
    /// How many bytes all embedded queues together keep.
    pub queue_bytes_max: u64,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        let streams = StreamLimits::default();
        Self {
            state_dir: None,
            manual_clock: false,
            seed: None,
            pools: BTreeMap::new(),
            buffered_bytes_max: 256 << 20,
            trace_dir: None,
            log_capacity: 10_000,
            log_level: Level::INFO,
            stream_retention: streams.retention,
            stream_bytes_max: streams.bytes_max,
            queue_bytes_max: QueueLimits::default().bytes_max,
        }
    }
}
