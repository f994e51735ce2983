//! Removes what has expired.
//!
//! Rules: only expired records are removed, a bounded number at a time; a closed shard that has
//! been empty for the retention leaves the listing, as in Kinesis.

use rusqlite::{Connection, params};

use super::super::Flush;
use super::append::column;
use super::registry::Tip;
use super::{StreamError, Streams, sql};

/// Rows that one change removes at most, so that it does not hold others up.
const ROWS_MAX: usize = 256;

/// What a change has removed.
struct Trimmed {
    tips: Vec<(String, u32, Tip)>,
    gone: Vec<(String, u32)>,
    more: bool,
}

impl Streams {
    /// Removes everything that has expired, as a task.
    ///
    /// # Errors
    ///
    /// When the state cannot be written.
    pub async fn trim(&self) -> Result<(), StreamError> {
        loop {
            let expiry_ms = self.expiry().0;
            let work = move |connection: &Connection| {
                trim_some(connection, expiry_ms).map_err(|error| sql(&error))
            };
            let registry = self.registry.clone();
            let after = move |trimmed: &Trimmed| {
                for (name, shard, tip) in &trimmed.tips {
                    registry.update(name, *shard, *tip);
                }
                for (name, shard) in &trimmed.gone {
                    registry.remove_shard(name, *shard);
                }
            };
            let trimmed = self.core.write(Flush::Ride, 0, work, after).done().await?;
            if !trimmed.more {
                return Ok(());
            }
        }
    }
}

/// Removes expired records until `bytes` more fit under the cap, or says that they do not. Gives
/// the shards that changed.
pub(super) fn make_room(
    connection: &Connection,
    bytes: u64,
    cap: u64,
    expiry_ms: i64,
) -> Result<Vec<(String, u32, Tip)>, StreamError> {
    let mut tips = Vec::new();
    loop {
        let held = held(connection).map_err(|error| sql(&error))?;
        if held.saturating_add(bytes) <= cap {
            return Ok(tips);
        }
        let shards = expired(connection, expiry_ms).map_err(|error| sql(&error))?;
        if shards.is_empty() {
            return Err(StreamError::Full { held, cap });
        }
        for shard in shards {
            tips.push(remove(connection, &shard).map_err(|error| sql(&error))?);
        }
    }
}

fn held(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT coalesce(sum(bytes), 0) FROM shards")?
        .query_row([], |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)
}

fn trim_some(connection: &Connection, expiry_ms: i64) -> rusqlite::Result<Trimmed> {
    let expired = expired(connection, expiry_ms)?;
    let more = !expired.is_empty();
    let mut tips = Vec::new();
    for shard in &expired {
        tips.push(remove(connection, shard)?);
    }
    let gone = remove_ended(connection, expiry_ms)?;
    Ok(Trimmed { tips, gone, more })
}

/// The expired rows of one shard.
struct Expired {
    stream: i64,
    shard: u32,
    pages: Vec<i64>,
    bytes: u64,
    last_record: u64,
}

fn expired(connection: &Connection, expiry_ms: i64) -> rusqlite::Result<Vec<Expired>> {
    let mut query = connection.prepare_cached(
        "SELECT pages.stream, pages.shard, page, pages.bytes, first_record + records - 1
         FROM shards CROSS JOIN pages USING (stream, shard)
         WHERE arrival_ms < ?1 ORDER BY pages.stream, pages.shard, arrival_ms LIMIT ?2",
    )?;
    let mut rows = query.query(params![expiry_ms, ROWS_MAX as i64])?;
    let mut found: Vec<Expired> = Vec::new();
    while let Some(row) = rows.next()? {
        let (stream, shard): (i64, u32) = (row.get(0)?, row.get(1)?);
        if found
            .last()
            .is_none_or(|last| (last.stream, last.shard) != (stream, shard))
        {
            found.push(Expired {
                stream,
                shard,
                pages: Vec::new(),
                bytes: 0,
                last_record: 0,
            });
        }
        let Some(last) = found.last_mut() else {
            continue;
        };
        last.pages.push(row.get(2)?);
        last.bytes += row.get::<_, i64>(3)?.unsigned_abs();
        last.last_record = last.last_record.max(row.get::<_, i64>(4)?.unsigned_abs());
    }
    Ok(found)
}

fn remove(connection: &Connection, expired: &Expired) -> rusqlite::Result<(String, u32, Tip)> {
    let mut delete = connection.prepare_cached("DELETE FROM pages WHERE page = ?1")?;
    for page in &expired.pages {
        delete.execute([page])?;
    }
    connection
        .prepare_cached(
            "UPDATE shards SET bytes = bytes - ?3, trimmed_to = max(trimmed_to, ?4)
             WHERE stream = ?1 AND shard = ?2",
        )?
        .execute(params![
            expired.stream,
            expired.shard,
            column(expired.bytes),
            column(expired.last_record),
        ])?;
    connection
        .prepare_cached(
            "SELECT name, next_record, trimmed_to, closed_ms IS NOT NULL
             FROM shards JOIN streams USING (stream) WHERE stream = ?1 AND shard = ?2",
        )?
        .query_row(params![expired.stream, expired.shard], |row| {
            let tip = Tip {
                next_record: row.get::<_, i64>(1)?.unsigned_abs(),
                trimmed_to: row.get::<_, i64>(2)?.unsigned_abs(),
                closed: row.get(3)?,
            };
            Ok((row.get(0)?, expired.shard, tip))
        })
}

/// Removes closed shards that have been empty for the retention.
fn remove_ended(connection: &Connection, expiry_ms: i64) -> rusqlite::Result<Vec<(String, u32)>> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM shards WHERE closed_ms < ?1 AND bytes = 0
         RETURNING (SELECT name FROM streams WHERE streams.stream = shards.stream), shard",
    )?;
    let rows = delete.query_map([expiry_ms], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}
