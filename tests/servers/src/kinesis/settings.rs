//! How this Kinesis behaves where the real one varies, or where tests want it otherwise.

use serde::Deserialize;

/// The settings; a control call replaces all of them, so what it leaves out is as by default.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether the last answer of a closed shard names its children.
    pub child_shards: bool,
    /// Whether a closed shard ends with an empty answer of its own, after its last records.
    pub ends_late: bool,
    /// How long a new stream is CREATING, by the server's clock.
    pub create_ms: u64,
    /// How long a resharded stream is UPDATING.
    pub update_ms: u64,
    /// How long a deleted stream is DELETING.
    pub delete_ms: u64,
    /// How long before it is put a record is said to have arrived: the real service's stamps go
    /// back and forth as well. Order and sequence numbers know nothing of it.
    pub arrivals_before_ms: u64,
    /// What a shard allows its readers.
    pub read_limits: Option<ReadLimits>,
    /// What a shard allows its writers.
    pub write_limits: Option<WriteLimits>,
}

/// A shard's limits for readers, in real time.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReadLimits {
    /// GetRecords calls a second.
    pub calls_per_second: f64,
    /// Bytes of data and keys a second.
    pub bytes_per_second: f64,
}

/// A shard's limits for writers, in real time.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WriteLimits {
    /// Records a second.
    pub records_per_second: f64,
    /// Bytes of data and keys a second.
    pub bytes_per_second: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            child_shards: true,
            ends_late: false,
            create_ms: 50,
            update_ms: 50,
            delete_ms: 50,
            arrivals_before_ms: 0,
            read_limits: None,
            write_limits: None,
        }
    }
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            calls_per_second: 5.0,
            bytes_per_second: f64::from(2 << 20),
        }
    }
}

impl Default for WriteLimits {
    fn default() -> Self {
        Self {
            records_per_second: 1000.0,
            bytes_per_second: f64::from(1 << 20),
        }
    }
}
