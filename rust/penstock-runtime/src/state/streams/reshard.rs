//! Splits and merges shards.
//!
//! Rules: a split or merge closes its parents and opens its children in one transaction; children
//! are born in a later second than their parents, so that their sequence numbers stand above.

use penstock_engine::ids::ShardId;
use rusqlite::{Connection, OptionalExtension, params};

use super::super::Flush;
use super::admin::{insert_shard, stream_row};
use super::append::column;
use super::layout::{HashRange, shard_id, shard_number};
use super::registry::Tip;
use super::{StreamError, Streams, shard_not_found, sql};

impl Streams {
    /// Splits an open shard in two, at `at` or in the middle of its hash keys.
    ///
    /// # Errors
    ///
    /// When the shard is not there or not open, or `at` is not inside it.
    pub fn split(
        &self,
        name: &str,
        shard: &ShardId,
        at: Option<u128>,
    ) -> Result<Vec<ShardId>, StreamError> {
        let (owned, shard, now_ms) = (name.to_owned(), shard.clone(), self.core.wall_ms());
        self.reshard(name, move |connection| {
            let parent = Parent::open(connection, &owned, &shard)?;
            let at = at.unwrap_or_else(|| parent.range.middle());
            let ranges = parent.range.split_at(at).ok_or_else(|| {
                StreamError::Invalid(format!("hash key {at} does not lie inside shard {shard}"))
            })?;
            resharded(connection, &[parent], &ranges, now_ms)
        })
    }

    /// Merges two open shards whose hash keys touch.
    ///
    /// # Errors
    ///
    /// When one is not there or not open, or they do not touch.
    pub fn merge(
        &self,
        name: &str,
        shard: &ShardId,
        adjacent: &ShardId,
    ) -> Result<Vec<ShardId>, StreamError> {
        let (owned, now_ms) = (name.to_owned(), self.core.wall_ms());
        let (shard, adjacent) = (shard.clone(), adjacent.clone());
        self.reshard(name, move |connection| {
            let parent = Parent::open(connection, &owned, &shard)?;
            let other = Parent::open(connection, &owned, &adjacent)?;
            let range = parent.range.joined(other.range).ok_or_else(|| {
                StreamError::Invalid(format!("shards {shard} and {adjacent} do not touch"))
            })?;
            resharded(connection, &[parent, other], &[range], now_ms)
        })
    }

    fn reshard(
        &self,
        name: &str,
        work: impl FnOnce(&Connection) -> Result<Resharded, StreamError> + Send + 'static,
    ) -> Result<Vec<ShardId>, StreamError> {
        let (name, registry) = (name.to_owned(), self.registry.clone());
        let after = move |done: &Resharded| {
            // Children first, so that whoever sees a parent's end finds them.
            for &child in &done.children {
                registry.update(&name, child, Tip::of_new_shard());
            }
            for &(shard, tip) in &done.closed {
                registry.update(&name, shard, tip);
            }
        };
        let done = self.core.write(Flush::Now, 0, work, after).wait()?;
        Ok(done.children.into_iter().map(shard_id).collect())
    }
}

/// What a split or merge has done.
struct Resharded {
    children: Vec<u32>,
    closed: Vec<(u32, Tip)>,
}

/// An open shard that is about to close.
struct Parent {
    stream: i64,
    shard: u32,
    range: HashRange,
    born_s: i64,
    next_record: u64,
    trimmed_to: u64,
}

impl Parent {
    fn open(connection: &Connection, name: &str, id: &ShardId) -> Result<Self, StreamError> {
        let stream =
            stream_row(connection, name)?.ok_or_else(|| StreamError::NotFound(name.to_owned()))?;
        let shard = shard_number(id).ok_or_else(|| shard_not_found(name, id))?;
        let row = connection
            .query_row(
                "SELECT hash_first, hash_last, born_s, next_record, trimmed_to, closed_ms
                 FROM shards WHERE stream = ?1 AND shard = ?2",
                params![stream, shard],
                |row| {
                    let first = u128::from_be_bytes(row.get(0)?);
                    let last = u128::from_be_bytes(row.get(1)?);
                    let parent = Self {
                        stream,
                        shard,
                        range: HashRange { first, last },
                        born_s: row.get(2)?,
                        next_record: row.get::<_, i64>(3)?.unsigned_abs(),
                        trimmed_to: row.get::<_, i64>(4)?.unsigned_abs(),
                    };
                    Ok((parent, row.get::<_, Option<i64>>(5)?))
                },
            )
            .optional()
            .map_err(|error| sql(&error))?;
        match row {
            None => Err(shard_not_found(name, id)),
            Some((_, Some(_))) => Err(StreamError::ShardClosed {
                stream: name.to_owned(),
                shard: id.to_string(),
            }),
            Some((parent, None)) => Ok(parent),
        }
    }

    fn close(&self, connection: &Connection, now_ms: i64) -> Result<(), StreamError> {
        connection
            .execute(
                "UPDATE shards SET closed_ms = ?3 WHERE stream = ?1 AND shard = ?2",
                params![self.stream, self.shard, now_ms],
            )
            .map(|_| ())
            .map_err(|error| sql(&error))
    }

    fn closed_tip(&self) -> (u32, Tip) {
        let (next_record, trimmed_to) = (self.next_record, self.trimmed_to);
        (
            self.shard,
            Tip {
                next_record,
                trimmed_to,
                closed: true,
            },
        )
    }
}

/// Closes the parents, one or two of one stream, and opens their children.
fn resharded(
    connection: &Connection,
    parents: &[Parent],
    ranges: &[HashRange],
    now_ms: i64,
) -> Result<Resharded, StreamError> {
    let stream = parents[0].stream;
    for parent in parents {
        parent.close(connection, now_ms)?;
    }
    let first: u32 = connection
        .query_row(
            "UPDATE streams SET next_shard = next_shard + ?2 WHERE stream = ?1
             RETURNING next_shard - ?2",
            params![stream, column(ranges.len() as u64)],
            |row| row.get(0),
        )
        .map_err(|error| sql(&error))?;
    let eldest = parents
        .iter()
        .map(|parent| parent.born_s)
        .max()
        .unwrap_or(0);
    let born_s = (now_ms / 1_000).max(eldest + 1);
    let numbers = [
        Some(parents[0].shard),
        parents.get(1).map(|parent| parent.shard),
    ];
    let children: Vec<u32> = (first..).take(ranges.len()).collect();
    for (&child, &range) in children.iter().zip(ranges) {
        insert_shard(connection, stream, child, range, numbers, born_s)
            .map_err(|error| sql(&error))?;
    }
    Ok(Resharded {
        children,
        closed: parents.iter().map(Parent::closed_tip).collect(),
    })
}
