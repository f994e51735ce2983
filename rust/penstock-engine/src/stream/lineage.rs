//! Plans where shards begin, and knows which may start, given which have ended.
//!
//! Rules (AWS Lambda Developer Guide; DynamoDB guide, "Reading and processing a stream"): a child
//! starts when all its parents have ended; a parent that no listing shows any more counts as
//! ended; a first start takes every shard from the oldest record, or from a moment; LATEST is
//! resolved once, to the source's own time at the first listing, and closed shards are then left
//! out; a shard found later begins at its oldest record whatever the starting position is.

use std::collections::BTreeMap;

use super::shard::{Shard, State};
use crate::config::StartingPosition;
use crate::ids::{Position, ShardId};
use crate::io::{ShardInfo, ShardListing};
use crate::mutants::{self, Mutant};

/// Where a shard of the first listing begins.
pub(crate) fn first_position(
    starting: StartingPosition,
    info: &ShardInfo,
    listing: &ShardListing,
) -> Position {
    match starting {
        StartingPosition::TrimHorizon => Position::TrimHorizon,
        StartingPosition::AtTimestamp(at) => Position::AtTimestamp(at),
        StartingPosition::Latest if info.closed => Position::ShardEnd,
        StartingPosition::Latest => Position::AtTimestamp(listing.server_time),
    }
}

/// Where a shard that was found after the first start begins.
pub(crate) fn late_position() -> Position {
    Position::TrimHorizon
}

/// Which of a shard's parents it still waits for. An unknown parent of a shard that no listing
/// has confirmed yet may exist, so it is waited for.
pub(crate) fn open_parents(
    shard: &Shard,
    shards: &[Shard],
    index: &BTreeMap<ShardId, usize>,
) -> Vec<ShardId> {
    if mutants::active(Mutant::ChildBeforeParent) {
        return Vec::new();
    }
    let waits = |parent: &&ShardId| match index.get(*parent) {
        Some(place) => shards[*place].state != State::Ended,
        None => !shard.confirmed,
    };
    shard.parents.iter().filter(waits).cloned().collect()
}
