//! Knows when each queue has something to receive, so that waiting costs no reading.
//!
//! Rules: it follows commits, in their order; whoever waits is woken when that time changes, and
//! when the queue is gone.

use std::collections::BTreeMap;
use std::sync::Mutex;

use rusqlite::Connection;
use tokio::sync::watch;

use super::next_ms;
use crate::state::database::locked;

/// All queues, by name, each with the moment from which on it has something to receive.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<BTreeMap<String, watch::Sender<Option<i64>>>>);

impl Registry {
    /// Reads everything.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut entries = BTreeMap::new();
        let mut query = connection.prepare("SELECT name, queue, fifo FROM queues")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let next = next_ms(connection, row.get(1)?, row.get(2)?)?;
            entries.insert(row.get(0)?, watch::Sender::new(next));
        }
        Ok(Self(Mutex::new(entries)))
    }

    /// A queue was created, or has something to receive at another time.
    pub(super) fn update(&self, name: &str, next: Option<i64>) {
        let mut entries = locked(&self.0);
        match entries.get(name) {
            Some(sender) => drop(sender.send_replace(next)),
            None => drop(entries.insert(name.to_owned(), watch::Sender::new(next))),
        }
    }

    /// A queue was deleted; those who wait wake and find it gone.
    pub(super) fn remove(&self, name: &str) {
        locked(&self.0).remove(name);
    }

    /// Follows a queue; `None` when there is none of this name.
    pub(super) fn follow(&self, name: &str) -> Option<watch::Receiver<Option<i64>>> {
        locked(&self.0).get(name).map(watch::Sender::subscribe)
    }

    /// Wakes everybody for good.
    pub(super) fn clear(&self) {
        locked(&self.0).clear();
    }
}
