//! Keeps checkpoints and leases.
//!
//! Rules: a fence only grows, also across restarts and after a mapping is gone; a checkpoint is
//! saved under the newest fence only and never goes back; each is one versioned document, and its
//! position stands in columns of its own that people can read.

use futures_util::future::BoxFuture;
use penstock_engine::fault::FaultKind;
use penstock_engine::ids::{Fence, MappingId, Position, ShardId};
use penstock_engine::io::{Checkpoint, Resume};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::database::store_error;
use super::{Flush, State};
use crate::error::StoreError;
use crate::ports::{CheckpointStore, LeaseStore};

/// The version of the document that this version of penstock writes, and the last it reads. The
/// first had no tumbling windows: an older penstock would forget their state, and refuses this one.
const VERSION: u32 = 2;

/// What is saved for one shard of a mapping, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckpointRow {
    /// The shard.
    pub shard: ShardId,
    /// The newest fence of its lease.
    pub fence: Fence,
    /// Whether somebody holds the lease.
    pub held: bool,
    /// When it was saved, in milliseconds since 1970.
    pub saved_ms: i64,
    /// The checkpoint.
    pub checkpoint: Checkpoint,
}

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    checkpoint: Checkpoint,
}

impl State {
    /// Everything that is saved for a mapping, by shard.
    ///
    /// # Errors
    ///
    /// When the state cannot be read.
    pub fn checkpoints(&self, mapping: &MappingId) -> Result<Vec<CheckpointRow>, StoreError> {
        let rows = self.core.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT shard, coalesce(leases.fence, 0), coalesce(held, 0), saved_ms, document
                 FROM checkpoints LEFT JOIN leases USING (mapping, shard)
                 WHERE mapping = ?1 ORDER BY shard",
            )?;
            let rows = statement.query_map([mapping.as_str()], |row| {
                let text: String = row.get(4)?;
                Ok((
                    row.get::<_, String>(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    text,
                ))
            })?;
            rows.collect::<rusqlite::Result<Vec<(String, i64, bool, i64, String)>>>()
        })?;
        rows.into_iter()
            .map(|(shard, fence, held, saved_ms, document)| {
                let shard = ShardId::new(shard);
                let checkpoint = parsed(&document, &shard)?;
                Ok(CheckpointRow {
                    shard,
                    fence: fence_of(fence),
                    held,
                    saved_ms,
                    checkpoint,
                })
            })
            .collect()
    }

    /// Forgets a mapping's checkpoints. Its fences stay, so that an old holder stays locked out.
    ///
    /// # Errors
    ///
    /// When the state cannot be written.
    pub fn forget_checkpoints(&self, mapping: &MappingId) -> Result<(), StoreError> {
        let mapping = mapping.clone();
        let work = move |connection: &Connection| {
            connection
                .execute(
                    "DELETE FROM checkpoints WHERE mapping = ?1",
                    [mapping.as_str()],
                )
                .map(|_| ())
                .map_err(|error| store_error(&error))
        };
        self.core
            .write(Flush::Now, CHANGE_BYTES, work, |()| {})
            .wait()
    }
}

/// What a change of a row weighs in the log: a page.
pub(super) const CHANGE_BYTES: usize = 16 << 10;

impl CheckpointStore for State {
    fn load(&self, mapping: MappingId) -> BoxFuture<'_, Result<Resume, StoreError>> {
        Box::pin(async move {
            let rows = self.checkpoints(&mapping)?;
            let rows = rows
                .into_iter()
                .map(|row| (row.shard, row.checkpoint))
                .collect();
            Ok(Resume { rows })
        })
    }

    fn register(
        &self,
        mapping: MappingId,
        rows: Vec<(ShardId, Checkpoint)>,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let saved_ms = self.core.wall_ms();
        let work = move |connection: &Connection| {
            for (shard, checkpoint) in &rows {
                insert(
                    connection,
                    "OR IGNORE",
                    &mapping,
                    shard,
                    checkpoint,
                    saved_ms,
                )?;
            }
            Ok(())
        };
        let written = self.core.write(Flush::Now, CHANGE_BYTES, work, |()| {});
        Box::pin(written.done())
    }

    fn save(
        &self,
        mapping: MappingId,
        shard: ShardId,
        checkpoint: Checkpoint,
        fence: Fence,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let saved_ms = self.core.wall_ms();
        let work = move |connection: &Connection| {
            check_fence(connection, &mapping, &shard, fence)?;
            if let Some(saved) = saved(connection, &mapping, &shard)? {
                check_forward(&shard, &saved, &checkpoint)?;
            }
            insert(
                connection,
                "OR REPLACE",
                &mapping,
                &shard,
                &checkpoint,
                saved_ms,
            )
        };
        let written = self.core.write(Flush::Ride, CHANGE_BYTES, work, |()| {});
        Box::pin(written.done())
    }
}

impl LeaseStore for State {
    fn take(
        &self,
        mapping: MappingId,
        shard: ShardId,
    ) -> BoxFuture<'_, Result<(Fence, Option<Checkpoint>), StoreError>> {
        let taken_ms = self.core.wall_ms();
        let work = move |connection: &Connection| {
            let fence = connection
                .prepare_cached(
                    "INSERT INTO leases (mapping, shard, fence, held, taken_ms)
                     VALUES (?1, ?2, 1, 1, ?3) ON CONFLICT (mapping, shard)
                     DO UPDATE SET fence = fence + 1, held = 1, taken_ms = excluded.taken_ms
                     RETURNING fence",
                )
                .and_then(|mut statement| {
                    statement
                        .query_row(params![mapping.as_str(), shard.as_str(), taken_ms], |row| {
                            row.get(0)
                        })
                })
                .map_err(|error| store_error(&error))?;
            Ok((fence_of(fence), saved(connection, &mapping, &shard)?))
        };
        let written = self.core.write(Flush::Now, CHANGE_BYTES, work, |_| {});
        Box::pin(written.done())
    }

    fn release(
        &self,
        mapping: MappingId,
        shard: ShardId,
        fence: Fence,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let work = move |connection: &Connection| {
            check_fence(connection, &mapping, &shard, fence)?;
            connection
                .prepare_cached("UPDATE leases SET held = 0 WHERE mapping = ?1 AND shard = ?2")
                .and_then(|mut statement| {
                    statement
                        .execute([mapping.as_str(), shard.as_str()])
                        .map(|_| ())
                })
                .map_err(|error| store_error(&error))
        };
        let written = self.core.write(Flush::Ride, CHANGE_BYTES, work, |()| {});
        Box::pin(written.done())
    }
}

fn check_fence(
    connection: &Connection,
    mapping: &MappingId,
    shard: &ShardId,
    fence: Fence,
) -> Result<(), StoreError> {
    let newest: Option<i64> = connection
        .prepare_cached("SELECT fence FROM leases WHERE mapping = ?1 AND shard = ?2")
        .and_then(|mut statement| {
            statement
                .query_row([mapping.as_str(), shard.as_str()], |row| row.get(0))
                .optional()
        })
        .map_err(|error| store_error(&error))?;
    match newest {
        Some(newest) if fence_of(newest) == fence => Ok(()),
        Some(newest) => Err(StoreError::new(
            FaultKind::Fenced,
            format!(
                "shard {shard} has been taken under fence {newest}, after {}",
                fence.0
            ),
        )),
        None => Err(StoreError::new(
            FaultKind::Fenced,
            format!("nobody has taken shard {shard} yet"),
        )),
    }
}

/// The engine promises it; a broken promise must not reach the disk.
fn check_forward(
    shard: &ShardId,
    saved: &Checkpoint,
    checkpoint: &Checkpoint,
) -> Result<(), StoreError> {
    let same_stream = saved.incarnation == checkpoint.incarnation;
    if !same_stream || checkpoint.position.covers(&saved.position) {
        return Ok(());
    }
    let message = format!(
        "the checkpoint of shard {shard} would go back from {:?} to {:?}",
        saved.position, checkpoint.position
    );
    Err(StoreError::new(FaultKind::Fatal, message))
}

pub(super) fn saved(
    connection: &Connection,
    mapping: &MappingId,
    shard: &ShardId,
) -> Result<Option<Checkpoint>, StoreError> {
    let document: Option<String> = connection
        .prepare_cached("SELECT document FROM checkpoints WHERE mapping = ?1 AND shard = ?2")
        .and_then(|mut statement| {
            statement
                .query_row([mapping.as_str(), shard.as_str()], |row| row.get(0))
                .optional()
        })
        .map_err(|error| store_error(&error))?;
    document
        .map(|document| parsed(&document, shard))
        .transpose()
}

pub(super) fn insert(
    connection: &Connection,
    conflict: &str,
    mapping: &MappingId,
    shard: &ShardId,
    checkpoint: &Checkpoint,
    saved_ms: i64,
) -> Result<(), StoreError> {
    let (position, sequence, sub, at_ms) = columns(&checkpoint.position);
    let document = Document {
        version: VERSION,
        checkpoint: checkpoint.clone(),
    };
    let document = serde_json::to_string(&document)
        .map_err(|error| StoreError::new(FaultKind::Fatal, format!("a checkpoint: {error}")))?;
    connection
        .prepare_cached(&format!(
            "INSERT {conflict} INTO checkpoints (mapping, shard, position, sequence_number,
             sub_sequence, at_ms, fence, saved_ms, document)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
        ))
        .and_then(|mut statement| {
            statement.execute(params![
                mapping.as_str(),
                shard.as_str(),
                position,
                sequence,
                sub,
                at_ms,
                i64::try_from(checkpoint.fence.0).unwrap_or(i64::MAX),
                saved_ms,
                document,
            ])
        })
        .map(|_| ())
        .map_err(|error| store_error(&error))
}

/// A position for people: its kind, and whichever of number, part and moment it has.
fn columns(position: &Position) -> (&'static str, Option<&str>, Option<i64>, Option<i64>) {
    match position {
        Position::TrimHorizon => ("TRIM_HORIZON", None, None, None),
        Position::AtTimestamp(moment) => ("AT_TIMESTAMP", None, None, Some(moment.0)),
        Position::After { sequence, sub } => {
            let sub = sub.map(|sub| i64::try_from(sub).unwrap_or(i64::MAX));
            ("AFTER_SEQUENCE_NUMBER", Some(sequence.as_str()), sub, None)
        }
        Position::ShardEnd => ("SHARD_END", None, None, None),
    }
}

fn parsed(document: &str, shard: &ShardId) -> Result<Checkpoint, StoreError> {
    let fatal = |detail: String| {
        let message = format!("the checkpoint of shard {shard} cannot be read: {detail}");
        StoreError::new(FaultKind::Fatal, message)
    };
    let document: Document =
        serde_json::from_str(document).map_err(|error| fatal(error.to_string()))?;
    if document.version > VERSION {
        return Err(fatal(format!(
            "it was written as version {} by a later penstock",
            document.version
        )));
    }
    Ok(document.checkpoint)
}

pub(super) fn fence_of(column: i64) -> Fence {
    Fence(column.unsigned_abs())
}
