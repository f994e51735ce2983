//! Says what must hold of rows, checkpoints and the reads that follow from them.
//!
//! Rules: a checkpoint covers settled records only and never goes back; rows say where each shard
//! begins; nothing is read before its row is durable.

use penstock_engine::config::StartingPosition;
use penstock_engine::ids::{Position, ShardId};
use penstock_engine::io::{Checkpoint, Fetch};
use penstock_engine::time::Wall;

use super::{Verdict, violated};
use crate::model::{Model, Stage};

/// I2, I9: a checkpoint covers settled records only, and a discarded one is settled only when its
/// document is acknowledged.
///
/// # Errors
/// When it covers more.
pub fn checkpoint_covers_settled_only(
    model: &Model,
    shard: usize,
    checkpoint: &Checkpoint,
    now: Wall,
) -> Verdict {
    let records = &model.shards[shard].records;
    if checkpoint.position == Position::ShardEnd && !model.shards[shard].closed {
        let id = &model.shards[shard].id;
        return violated(
            "checkpoint_covers_settled_only",
            "I2",
            format!("{id} is not closed"),
        );
    }
    for (place, record) in records.iter().enumerate().skip(model.shards[shard].low) {
        let owed = model.shards[shard].owes(place);
        let covered = owed && model.covers(shard, checkpoint, place);
        if covered && !model.counts_as_settled(shard, place, now) {
            return violated(
                if record.stage == Stage::Awaiting {
                    "document_before_checkpoint"
                } else {
                    "checkpoint_covers_settled_only"
                },
                if record.stage == Stage::Awaiting {
                    "I9"
                } else {
                    "I2"
                },
                format!(
                    "record {place} is {:?}, the checkpoint is {:?} with {:?}",
                    record.stage, checkpoint.position, checkpoint.lanes
                ),
            );
        }
    }
    Ok(())
}

/// I11: a checkpoint never goes back, in its position or in any record that it covered.
///
/// # Errors
/// When it does.
pub fn checkpoint_monotonic(
    model: &Model,
    shard: usize,
    old: Option<&Checkpoint>,
    new: &Checkpoint,
) -> Verdict {
    let Some(old) = old else { return Ok(()) };
    let model_shard = &model.shards[shard];
    let (was, is) = (
        model_shard.covered(&old.position),
        model_shard.covered(&new.position),
    );
    if is < was || (old.position == Position::ShardEnd && new.position != Position::ShardEnd) {
        return violated(
            "checkpoint_monotonic",
            "I11",
            format!("{:?} after {:?}", new.position, old.position),
        );
    }
    for place in is.max(model_shard.trimmed)..model_shard.records.len() {
        let record = &model_shard.records[place];
        let was = model.covers(shard, old, place);
        if was && !record.filtered && !model.covers(shard, new, place) {
            let message = format!("record {place} was covered and is no more");
            return violated("checkpoint_monotonic", "I11", message);
        }
    }
    Ok(())
}

/// I16: the rows of a first start say the starting position, LATEST resolved to a listing's time;
/// shards found later begin at their oldest record.
///
/// # Errors
/// When a row says something else.
pub fn first_rows(
    model: &Model,
    rows: &[(ShardId, Checkpoint)],
    first_start: bool,
    has_row: impl Fn(&ShardId) -> bool,
) -> Verdict {
    for (id, checkpoint) in rows.iter().filter(|(id, _)| !has_row(id)) {
        let closed = model
            .find(id)
            .is_some_and(|shard| model.shards[shard].closed);
        let first_start = first_start && model.first_listing.contains(id);
        let right = match (&checkpoint.position, model.config.starting_position) {
            (Position::TrimHorizon, StartingPosition::TrimHorizon) => true,
            (Position::TrimHorizon, _) => !first_start,
            (Position::AtTimestamp(at), StartingPosition::Latest) => {
                first_start && model.listing_times.contains(at)
            }
            (Position::AtTimestamp(at), StartingPosition::AtTimestamp(from)) => {
                first_start && *at == from
            }
            (Position::ShardEnd, StartingPosition::Latest) => first_start && closed,
            _ => false,
        };
        if !right {
            let message = format!("{id} begins at {:?}", checkpoint.position);
            return violated("first_rows", "I16", message);
        }
    }
    Ok(())
}

/// I16, I1: nothing is read before its row is durable, and reading goes on where it stopped.
///
/// # Errors
/// When it does not.
pub fn reads_follow_on(model: &Model, shard: usize, fetch: &Fetch) -> Verdict {
    let Some(tenure) = &model.shards[shard].tenure else {
        return violated(
            "lease_is_held",
            "I10",
            format!("{} is read without one", fetch.shard),
        );
    };
    if model.shards[shard].start.is_none() {
        return violated(
            "row_before_read",
            "I16",
            format!("{} has no row", fetch.shard),
        );
    }
    let next = model.shards[shard].covered(&fetch.from);
    if matches!(fetch.from, Position::After { .. }) && next > tenure.handed {
        let message = format!(
            "{} is read from {next}, {} came last",
            fetch.shard, tenure.handed
        );
        return violated("reads_follow_on", "I1", message);
    }
    Ok(())
}
