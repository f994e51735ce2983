//! Removes what has expired.
//!
//! Rules: only what is older than its queue keeps is removed, a bounded number at a time, also when
//! it is out; a FIFO queue forgets after five minutes what was sent.

use rusqlite::{Connection, params};

use super::send::DEDUPLICATION_MS;
use super::{QueueError, Queues, Row, Touched, groups, remove, sql};

/// Messages that one change removes at most, so that it does not hold others up.
const MESSAGES_MAX: u32 = 1_000;

impl Queues {
    /// Removes everything that has expired, as a task.
    ///
    /// # Errors
    ///
    /// When the state cannot be written.
    pub async fn trim(&self) -> Result<(), QueueError> {
        loop {
            let now_ms = self.core.wall_ms();
            let trimmed = self.change(0, move |connection| {
                let mut touched = Touched::default();
                let more = forget_duplicates(connection, now_ms)
                    .and_then(|()| remove_some(connection, now_ms, &mut touched))
                    .map_err(|error| sql(&error))?;
                Ok((more, touched))
            });
            let (more, _) = trimmed.done().await?;
            if !more {
                return Ok(());
            }
        }
    }
}

/// Removes expired messages until `bytes` more fit under the cap, or says that they do not.
pub(super) fn make_room(
    connection: &Connection,
    bytes: u64,
    cap: u64,
    now_ms: i64,
    touched: &mut Touched,
) -> Result<(), QueueError> {
    loop {
        let held = connection
            .prepare_cached("SELECT coalesce(sum(bytes), 0) FROM queues")
            .and_then(|mut query| query.query_row([], |row| row.get::<_, i64>(0)))
            .map_err(|error| sql(&error))?
            .unsigned_abs();
        if held.saturating_add(bytes) <= cap {
            return Ok(());
        }
        if !remove_some(connection, now_ms, touched).map_err(|error| sql(&error))? {
            return Err(QueueError::Full { held, cap });
        }
    }
}

/// Removes some expired messages; whether there were any.
fn remove_some(
    connection: &Connection,
    now_ms: i64,
    touched: &mut Touched,
) -> rusqlite::Result<bool> {
    let mut names = connection.prepare_cached("SELECT name FROM queues")?;
    let names = names.query_map([], |row| row.get(0))?;
    let mut any = false;
    for name in names.collect::<rusqlite::Result<Vec<String>>>()? {
        let Ok(queue) = Row::need(connection, &name) else {
            continue;
        };
        if remove_expired(connection, &queue, now_ms)? {
            any = true;
            touched.add(connection, &queue)?;
        }
    }
    Ok(any)
}

fn remove_expired(connection: &Connection, queue: &Row, now_ms: i64) -> rusqlite::Result<bool> {
    let mut query = connection.prepare_cached(
        "SELECT message, message_group FROM messages WHERE queue = ?1 AND sent_ms < ?2
         ORDER BY sent_ms LIMIT ?3",
    )?;
    let expiry_ms = now_ms.saturating_sub(queue.retention_ms);
    let rows = query.query_map(params![queue.queue, expiry_ms, MESSAGES_MAX], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<String>>(1)?))
    })?;
    let expired = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    for (message, group) in &expired {
        remove(connection, queue.queue, *message)?;
        if let Some(group) = group.as_ref().filter(|_| queue.fifo) {
            groups::renew(connection, queue.queue, group, now_ms)?;
        }
    }
    Ok(!expired.is_empty())
}

fn forget_duplicates(connection: &Connection, now_ms: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM deduplications WHERE sent_ms <= ?1")?
        .execute([now_ms - DEDUPLICATION_MS])
        .map(|_| ())
}
