//! Describes what the event of a tumbling window has beside its records.
//!
//! Rules: members and their order are Lambda's; moments are whole seconds; the state stands as the
//! compact JSON that the handler gave.

use super::text::escaped_len;
use crate::civil::timestamp_to_the_second;
use crate::config::MappingConfig;
use crate::ids::ShardId;
use crate::io::TumblingCall;
use crate::time::Wall;

/// The members behind `Records`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowMembers<'a> {
    /// `shardId`.
    pub shard: &'a str,
    /// `eventSourceARN`.
    pub source_arn: &'a str,
    /// `window.start`, to the second.
    pub start: String,
    /// `window.end`, to the second.
    pub end: String,
    /// `state`: compact JSON of an object.
    pub state: &'a str,
    /// `isFinalInvokeForWindow`.
    pub is_final: bool,
    /// `isWindowTerminatedEarly`.
    pub terminated_early: bool,
}

impl<'a> WindowMembers<'a> {
    /// The members for a call of a mapping.
    #[must_use]
    pub fn of(call: &'a TumblingCall, shard: &'a ShardId, config: &'a MappingConfig) -> Self {
        Self {
            shard: shard.as_str(),
            source_arn: &config.source_arn,
            start: moment(call.start),
            end: moment(call.end),
            state: &call.state,
            is_final: call.is_final,
            terminated_early: call.terminated_early,
        }
    }
}

/// Bytes that these members add to the compact JSON event, the comma before them included.
#[must_use]
pub fn bytes(call: &TumblingCall, shard: &ShardId, config: &MappingConfig) -> u64 {
    let words = |is: bool| if is { 4 } else { 5 };
    let frame = concat!(
        r#","shardId":"","eventSourceARN":"","window":{"start":"","end":""},"state":"#,
        r#","isFinalInvokeForWindow":,"isWindowTerminatedEarly":"#,
    );
    let values = escaped_len(shard.as_str())
        + escaped_len(&config.source_arn)
        + moment(call.start).len()
        + moment(call.end).len()
        + call.state.len()
        + words(call.is_final)
        + words(call.terminated_early);
    (frame.len() + values) as u64
}

/// A moment as windows show it.
#[must_use]
pub(crate) fn moment(moment: Wall) -> String {
    timestamp_to_the_second(moment)
}
