//! Looks at messages without receiving them.
//!
//! Rules: nothing is counted, hidden or moved; messages come in the order in which they reached
//! their queue.

use penstock_engine::time::Wall;
use rusqlite::params;
use serde::Serialize;

use super::{QueueError, Queues, Row};

/// The most messages of one look.
pub const BROWSE_MESSAGES_MAX: u32 = 1_000;

/// A message that somebody looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SeenMessage {
    /// Its place in the queue's order.
    pub number: i64,
    /// Its id.
    pub message_id: String,
    /// Its text.
    pub body: String,
    /// Its group.
    pub group: Option<String>,
    /// When it was sent.
    pub sent_ms: Wall,
    /// How often it was received.
    pub receive_count: u32,
    /// Whether it can be received now.
    pub visible: bool,
    /// The name of the queue that it was received from too often.
    pub origin: Option<String>,
}

impl Queues {
    /// Gives messages behind the place `after`, the oldest first.
    ///
    /// # Errors
    ///
    /// When there is no such queue, or the state cannot be read.
    pub fn browse(
        &self,
        name: &str,
        after: i64,
        limit: u32,
    ) -> Result<Vec<SeenMessage>, QueueError> {
        let now_ms = self.core.wall_ms();
        let limit = limit.min(BROWSE_MESSAGES_MAX);
        self.core.read(|connection| {
            let queue = match Row::need(connection, name) {
                Ok(row) => row.queue,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let mut query = connection.prepare_cached(
                "SELECT message, id, body, message_group, sent_ms, receives, visible_ms <= ?4,
                 origin FROM messages JOIN bodies USING (message)
                 WHERE queue = ?1 AND message > ?2 ORDER BY message LIMIT ?3",
            )?;
            let rows = query.query_map(params![queue, after, limit, now_ms], |row| {
                Ok(SeenMessage {
                    number: row.get(0)?,
                    message_id: row.get(1)?,
                    body: row.get(2)?,
                    group: row.get(3)?,
                    sent_ms: Wall(row.get(4)?),
                    receive_count: row.get(5)?,
                    visible: row.get(6)?,
                    origin: row.get(7)?,
                })
            })?;
            rows.collect::<rusqlite::Result<_>>().map(Ok)
        })?
    }
}
