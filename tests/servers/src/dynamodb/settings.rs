//! How this DynamoDB behaves where the real one varies, or where tests want it otherwise.

use std::num::{NonZeroU32, NonZeroU64};

use serde::Deserialize;

/// The shards a new on-demand table has.
const SHARDS: NonZeroU32 = NonZeroU32::new(4).unwrap();
/// Four hours.
const ROLL_MS: NonZeroU64 = NonZeroU64::new(4 * 3600 * 1000).unwrap();

/// The settings; a control call replaces all of them, so what it leaves out is as by default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How long a new table is CREATING, by the server's clock.
    pub create_ms: u64,
    /// How long a changed table is UPDATING, and its stream ENABLING or DISABLING.
    pub update_ms: u64,
    /// How long a deleted table is DELETING.
    pub delete_ms: u64,
    /// How many open shards a new stream has.
    pub shards: NonZeroU32,
    /// After how long an open shard is closed and followed by one child; `null` for never.
    pub roll_ms: Option<NonZeroU64>,
    /// Whether a closed shard ends with an empty answer of its own, after its last records.
    pub ends_late: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            create_ms: 50,
            update_ms: 50,
            delete_ms: 50,
            shards: SHARDS,
            roll_ms: Some(ROLL_MS),
            ends_late: false,
        }
    }
}
