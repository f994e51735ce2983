//! Keeps the order of groups in FIFO queues.
//!
//! Rules: a group's messages are handed out from its head only; a group with a message out waits
//! until that is deleted or visible again, and then stands behind the groups that have waited
//! longer; each change of a group's messages ends with `begin` or `renew`.

use rusqlite::{Connection, OptionalExtension, params};

/// A message was added at a group's end, which can be received from `visible_ms` on if it is the
/// only one, and changes nothing for the group otherwise.
pub(super) fn begin(
    connection: &Connection,
    queue: i64,
    group: &str,
    visible_ms: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO message_groups (queue, message_group, ready_ms) VALUES (?1, ?2, ?3)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![queue, group, visible_ms])
        .map(|_| ())
}

/// Notes when a group can be received from again, now that its messages have changed: when its
/// head is visible and nothing of it is out.
pub(super) fn renew(
    connection: &Connection,
    queue: i64,
    group: &str,
    now_ms: i64,
) -> rusqlite::Result<()> {
    let head: Option<i64> = connection
        .prepare_cached(
            "SELECT visible_ms FROM messages INDEXED BY messages_by_group
             WHERE queue = ?1 AND message_group = ?2 AND sequence IS NOT NULL
             ORDER BY message LIMIT 1",
        )?
        .query_row(params![queue, group], |row| row.get(0))
        .optional()?;
    let Some(head_ms) = head else {
        return connection
            .prepare_cached("DELETE FROM message_groups WHERE queue = ?1 AND message_group = ?2")?
            .execute(params![queue, group])
            .map(|_| ());
    };
    let out_ms: Option<i64> = connection
        .prepare_cached(
            "SELECT max(visible_ms) FROM messages INDEXED BY messages_out
             WHERE queue = ?1 AND message_group = ?2
             AND sequence IS NOT NULL AND receipt IS NOT NULL",
        )?
        .query_row(params![queue, group], |row| row.get(0))?;
    connection
        .prepare_cached(
            "INSERT INTO message_groups (queue, message_group, ready_ms) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET ready_ms = excluded.ready_ms",
        )?
        .execute(params![
            queue,
            group,
            head_ms.max(out_ms.unwrap_or(0)).max(now_ms)
        ])
        .map(|_| ())
}

/// The groups that can be received from, those first that have waited longest.
pub(super) fn ready(
    connection: &Connection,
    queue: i64,
    now_ms: i64,
    limit: u32,
) -> rusqlite::Result<Vec<String>> {
    let mut query = connection.prepare_cached(
        "SELECT message_group FROM message_groups WHERE queue = ?1 AND ready_ms <= ?2
         ORDER BY ready_ms LIMIT ?3",
    )?;
    let groups = query.query_map(params![queue, now_ms, limit], |row| row.get(0))?;
    groups.collect()
}

/// The messages at the head of a group that are visible, in their order.
pub(super) fn head(
    connection: &Connection,
    queue: i64,
    group: &str,
    now_ms: i64,
    limit: u32,
) -> rusqlite::Result<Vec<(i64, u32)>> {
    let mut query = connection.prepare_cached(
        "SELECT message, receives, visible_ms FROM messages INDEXED BY messages_by_group
         WHERE queue = ?1 AND message_group = ?2 AND sequence IS NOT NULL
         ORDER BY message LIMIT ?3",
    )?;
    let mut rows = query.query(params![queue, group, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(2)? > now_ms {
            break;
        }
        found.push((row.get(0)?, row.get(1)?));
    }
    Ok(found)
}
