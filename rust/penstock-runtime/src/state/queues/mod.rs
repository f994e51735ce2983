//! Queues kept in the state, standard and FIFO, with SQS's rules.
//!
//! Rules: a message is acknowledged after it is on disk; every receive is on disk before its
//! messages are handed out, so that a crash loses no count of receives; a group of a FIFO queue
//! with a message out hands out nothing else; a message that was received often enough goes to the
//! queue for dead letters instead of being received again.

mod admin;
mod browse;
mod groups;
mod layout;
mod message;
mod receive;
mod registry;
mod send;
mod settle;
mod tables;
mod trim;

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

pub use admin::{QueueDescription, QueueOptions, Redrive};
pub use browse::{BROWSE_MESSAGES_MAX, SeenMessage};
pub use layout::{is_fifo, queue_arn};
pub use message::{Attribute, AttributeValue, DELAY_S_MAX, MESSAGE_BYTES_MAX, NewMessage};
pub use receive::{RECEIVE_BYTES_MAX, RECEIVE_MESSAGES_MAX, ReceiveOrder, ReceivedMessage};
pub use send::{SEND_BYTES_MAX, SEND_MESSAGES_MAX, Sent};
pub use settle::VISIBILITY_S_MAX;
pub(super) use tables::TABLES;

use super::Core;
use super::writer::Written;
use crate::error::{QueueError, StoreError};
use layout::Names;
use registry::Registry;

/// What all embedded queues together may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// How many bytes of messages are kept.
    pub bytes_max: u64,
}

impl Default for QueueLimits {
    /// 10 GiB.
    fn default() -> Self {
        Self {
            bytes_max: 10 << 30,
        }
    }
}

/// The embedded queues of a state.
pub struct Queues {
    core: Arc<Core>,
    registry: Arc<Registry>,
    names: Arc<Names>,
    limits: QueueLimits,
}

impl Queues {
    pub(super) fn open(core: Arc<Core>, limits: QueueLimits) -> Result<Self, StoreError> {
        let registry = Arc::new(core.read(Registry::load)?);
        let names = Arc::new(Names::by_chance());
        Ok(Self {
            core,
            registry,
            names,
            limits,
        })
    }

    /// Ends every wait for messages: the state is closed.
    pub(super) fn wake_all(&self) {
        self.registry.clear();
    }

    /// Makes a change, and tells those who wait for messages what it did to their queues.
    fn change<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&Connection) -> Result<(T, Touched), QueueError> + Send + 'static,
    ) -> Written<(T, Touched), QueueError> {
        let registry = self.registry.clone();
        let after = move |(_, touched): &(T, Touched)| {
            for (name, next_ms) in &touched.0 {
                registry.update(name, *next_ms);
            }
        };
        self.core.write(super::Flush::Now, bytes, work, after)
    }
}

/// Queues that a change touched: when each of them has something to receive, if ever.
#[derive(Debug, Default)]
struct Touched(Vec<(String, Option<i64>)>);

impl Touched {
    fn add(&mut self, connection: &Connection, queue: &Row) -> rusqlite::Result<()> {
        let next_ms = next_ms(connection, queue.queue, queue.fifo)?;
        self.0.push((queue.name.clone(), next_ms));
        Ok(())
    }
}

/// A queue's row.
#[derive(Debug, Clone)]
struct Row {
    queue: i64,
    name: String,
    fifo: bool,
    created_ms: i64,
    visibility_ms: i64,
    delay_ms: i64,
    retention_ms: i64,
    dead_letters: Option<String>,
    receives_max: Option<u32>,
    by_content: bool,
    bytes: u64,
}

impl Row {
    fn find(connection: &Connection, name: &str) -> Result<Option<Self>, QueueError> {
        connection
            .prepare_cached(
                "SELECT queue, name, fifo, created_ms, visibility_ms, delay_ms, retention_ms,
                 dead_letters, receives_max, by_content, bytes FROM queues WHERE name = ?1",
            )
            .and_then(|mut query| query.query_row([name], Self::read).optional())
            .map_err(|error| sql(&error))
    }

    /// The queue of this name.
    fn need(connection: &Connection, name: &str) -> Result<Self, QueueError> {
        Self::find(connection, name)?.ok_or_else(|| QueueError::NotFound(name.to_owned()))
    }

    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            queue: row.get(0)?,
            name: row.get(1)?,
            fifo: row.get(2)?,
            created_ms: row.get(3)?,
            visibility_ms: row.get(4)?,
            delay_ms: row.get(5)?,
            retention_ms: row.get(6)?,
            dead_letters: row.get(7)?,
            receives_max: row.get(8)?,
            by_content: row.get(9)?,
            bytes: row.get::<_, i64>(10)?.unsigned_abs(),
        })
    }
}

/// When a queue has something to receive, if nothing happens to it before.
fn next_ms(connection: &Connection, queue: i64, fifo: bool) -> rusqlite::Result<Option<i64>> {
    let query = if fifo {
        "SELECT min(ready_ms) FROM message_groups WHERE queue = ?1"
    } else {
        "SELECT min(visible_ms) FROM messages WHERE queue = ?1"
    };
    connection
        .prepare_cached(query)?
        .query_row([queue], |row| row.get(0))
}

/// Takes messages away for good, with what they counted.
fn remove(connection: &Connection, queue: i64, message: i64) -> rusqlite::Result<()> {
    let bytes: Option<i64> = connection
        .prepare_cached("DELETE FROM messages WHERE message = ?1 RETURNING bytes")?
        .query_row([message], |row| row.get(0))
        .optional()?;
    connection
        .prepare_cached("UPDATE queues SET bytes = bytes - ?2 WHERE queue = ?1")?
        .execute((queue, bytes.unwrap_or(0)))?;
    Ok(())
}

fn sql(error: &rusqlite::Error) -> QueueError {
    QueueError::Store(super::database::store_error(error))
}
