//! How this SQS behaves where tests want it otherwise.

use serde::Deserialize;

/// The settings; a control call replaces all of them, so what it leaves out is as by default.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How many messages of a standard queue may be in flight before `OverLimit`.
    pub in_flight_max: usize,
    /// The same for a FIFO queue.
    pub fifo_in_flight_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            in_flight_max: 120_000,
            fifo_in_flight_max: 20_000,
        }
    }
}
