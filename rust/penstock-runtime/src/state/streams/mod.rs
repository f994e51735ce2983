//! Streams kept in the state: shards, hash keys and sequence numbers as Kinesis has them.
//!
//! Rules: a put is acknowledged after it is on disk; one put is one row a shard, encoded as it is
//! read, so that a fetch copies text and makes no record; records are kept for the retention and
//! no longer, and a put that would pass the size cap is refused, never made room for.

mod admin;
mod append;
mod layout;
mod read;
mod registry;
mod reshard;
mod sequence;
mod trim;

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::fault::FaultKind;
use penstock_engine::ids::ShardId;
use penstock_engine::time::Wall;

pub use admin::{ShardDescription, StreamDescription};
pub use append::{NewRecord, PUT_BYTES_MAX, PUT_RECORDS_MAX, Placed, RECORD_BYTES_MAX};
pub use layout::{SHARDS_MAX, stream_arn, stream_name};
pub use read::FETCH_BYTES_MAX;

use super::Core;
use crate::error::{StoreError, StreamError};
use registry::Registry;

/// What all embedded streams together may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// How long a record is kept.
    pub retention: Duration,
    /// How many bytes of records are kept.
    pub bytes_max: u64,
}

impl Default for StreamLimits {
    /// A day, as Kinesis keeps records, and 10 GiB.
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(24 * 3600),
            bytes_max: 10 << 30,
        }
    }
}

/// The embedded streams of a state.
pub struct Streams {
    core: Arc<Core>,
    registry: Arc<Registry>,
    limits: StreamLimits,
}

impl Streams {
    pub(super) fn open(core: Arc<Core>, limits: StreamLimits) -> Result<Self, StoreError> {
        let registry = Arc::new(core.read(Registry::load)?);
        Ok(Self {
            core,
            registry,
            limits,
        })
    }

    /// What all streams together may keep.
    #[must_use]
    pub fn limits(&self) -> StreamLimits {
        self.limits
    }

    /// Ends every wait for records: the state is closed.
    pub(super) fn wake_all(&self) {
        self.registry.clear();
    }

    /// Records that arrived before this moment have expired.
    fn expiry(&self) -> Wall {
        let retention = i64::try_from(self.limits.retention.as_millis()).unwrap_or(i64::MAX);
        Wall(self.core.wall_ms().saturating_sub(retention))
    }
}

fn sql(error: &rusqlite::Error) -> StreamError {
    StreamError::Store(super::database::store_error(error))
}

fn shard_not_found(stream: &str, shard: &ShardId) -> StreamError {
    StreamError::ShardNotFound {
        stream: stream.to_owned(),
        shard: shard.to_string(),
    }
}

/// A row that only a bug, or somebody else's hand in the file, can have written.
fn broken_row(what: &str) -> StoreError {
    StoreError::new(FaultKind::Fatal, format!("the state file: {what}"))
}
