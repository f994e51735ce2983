//! Moves checkpoints as an operator asks.
//!
//! Rules: all shards of one move or none; each under a fence of its own that nobody holds, so that
//! whoever read the shard before can save nothing any more; a position of an embedded stream that
//! the stream does not have is refused before anything is changed.

use penstock_engine::fault::FaultKind;
use penstock_engine::ids::{Fence, MappingId, Position, ShardId};
use penstock_engine::io::Checkpoint;
use penstock_engine::time::Wall;
use rusqlite::{Connection, params};
use serde::Serialize;

use super::checkpoints::{CHANGE_BYTES, fence_of, insert, saved};
use super::database::store_error;
use super::{Flush, State};
use crate::error::StoreError;

/// What a move has done to one shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// The shard.
    pub shard: ShardId,
    /// What was saved before.
    pub before: Option<Checkpoint>,
    /// What is saved now, under a new fence.
    pub after: Checkpoint,
}

impl State {
    /// Puts these checkpoints in place of what is saved, or keeps what is saved where none is
    /// given; gives them back with their new fences.
    ///
    /// # Errors
    ///
    /// When the state cannot be written, or nothing is saved that could be kept.
    pub fn move_checkpoints(
        &self,
        mapping: &MappingId,
        rows: Vec<(ShardId, Option<Checkpoint>)>,
    ) -> Result<Vec<Moved>, StoreError> {
        let (mapping, saved_ms) = (mapping.clone(), self.core.wall_ms());
        let work = move |connection: &Connection| {
            let place = |(shard, given): (ShardId, Option<Checkpoint>)| {
                let before = saved(connection, &mapping, &shard)?;
                let Some(mut checkpoint) = given.or_else(|| before.clone()) else {
                    let message = format!("nothing is saved for shard {shard}");
                    return Err(StoreError::new(FaultKind::NotFound, message));
                };
                checkpoint.fence = next_fence(connection, &mapping, &shard, saved_ms)?;
                insert(
                    connection,
                    "OR REPLACE",
                    &mapping,
                    &shard,
                    &checkpoint,
                    saved_ms,
                )?;
                Ok(Moved {
                    shard,
                    before,
                    after: checkpoint,
                })
            };
            rows.into_iter().map(place).collect()
        };
        self.core
            .write(Flush::Now, CHANGE_BYTES, work, |_| {})
            .wait()
    }

    /// Refuses a position that an embedded stream does not have. Which stream it is tells the
    /// moment of its creation; what is read from elsewhere cannot be asked here.
    ///
    /// # Errors
    ///
    /// When the stream does not have the position any more, or never had it.
    pub fn check_position(
        &self,
        created: Option<Wall>,
        shard: &ShardId,
        position: &Position,
    ) -> Result<(), StoreError> {
        let Some(name) = self.stream_of(created, shard)? else {
            return Ok(());
        };
        let checked = self.streams.check_position(&name, shard, position);
        checked.map_err(|fault| StoreError::new(FaultKind::Invalid, fault.message))
    }

    fn stream_of(
        &self,
        created: Option<Wall>,
        shard: &ShardId,
    ) -> Result<Option<String>, StoreError> {
        let failed = |error: crate::error::StreamError| StoreError::from(error.fault());
        let streams = self.streams.list().map_err(failed)?;
        Ok(streams
            .into_iter()
            .find(|stream| {
                Some(stream.created) == created
                    && stream.shards.iter().any(|known| known.id == *shard)
            })
            .map(|stream| stream.name))
    }
}

/// The shard's next fence, which nobody holds.
fn next_fence(
    connection: &Connection,
    mapping: &MappingId,
    shard: &ShardId,
    taken_ms: i64,
) -> Result<Fence, StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO leases (mapping, shard, fence, held, taken_ms)
             VALUES (?1, ?2, 1, 0, ?3) ON CONFLICT (mapping, shard)
             DO UPDATE SET fence = fence + 1, held = 0, taken_ms = excluded.taken_ms
             RETURNING fence",
        )
        .and_then(|mut statement| {
            let row = params![mapping.as_str(), shard.as_str(), taken_ms];
            statement.query_row(row, |row| row.get(0))
        })
        .map(fence_of)
        .map_err(|error| store_error(&error))
}
