//! Knows every stream and the tip of every shard, so that waiting costs no reading.
//!
//! Rules: it follows commits, in their order; whoever waits for a shard is woken by its next
//! record, by its end, and when it is gone.

use std::collections::BTreeMap;
use std::sync::Mutex;

use rusqlite::Connection;
use tokio::sync::watch;

use super::super::database::locked;

/// How far a shard is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tip {
    /// The number of the record that comes next.
    pub(super) next_record: u64,
    /// The highest number of a record that was trimmed.
    pub(super) trimmed_to: u64,
    /// Whether nothing more will come.
    pub(super) closed: bool,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its row.
    pub(super) stream: i64,
    /// When it was created: tells streams of one name apart.
    pub(super) created_ms: i64,
    /// Its shards' tips.
    pub(super) shards: BTreeMap<u32, watch::Sender<Tip>>,
}

impl Tip {
    /// Nothing written yet.
    pub(super) fn of_new_shard() -> Self {
        Self {
            next_record: 1,
            trimmed_to: 0,
            closed: false,
        }
    }
}

impl Entry {
    /// A stream whose shards are still to come.
    pub(super) fn new(stream: i64, created_ms: i64) -> Self {
        Self {
            stream,
            created_ms,
            shards: BTreeMap::new(),
        }
    }
}

/// All streams, by name.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<BTreeMap<String, Entry>>);

impl Registry {
    /// Reads everything.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut entries = BTreeMap::new();
        let mut names = connection.prepare("SELECT name, stream, created_ms FROM streams")?;
        let rows = names.query_map([], |row| {
            Ok((
                row.get::<_, String>(0)?,
                Entry::new(row.get(1)?, row.get(2)?),
            ))
        })?;
        for row in rows {
            let (name, entry) = row?;
            entries.insert(name, entry);
        }
        let mut shards = connection.prepare(
            "SELECT name, shard, next_record, trimmed_to, closed_ms IS NOT NULL
             FROM shards JOIN streams USING (stream)",
        )?;
        let mut rows = shards.query([])?;
        while let Some(row) = rows.next()? {
            let tip = Tip {
                next_record: row.get::<_, i64>(2)?.unsigned_abs(),
                trimmed_to: row.get::<_, i64>(3)?.unsigned_abs(),
                closed: row.get(4)?,
            };
            if let Some(entry) = entries.get_mut(&row.get::<_, String>(0)?) {
                entry.shards.insert(row.get(1)?, watch::Sender::new(tip));
            }
        }
        Ok(Self(Mutex::new(entries)))
    }

    /// Looks at a stream.
    pub(super) fn with<T>(&self, name: &str, look: impl FnOnce(&Entry) -> T) -> Option<T> {
        locked(&self.0).get(name).map(look)
    }

    /// A stream was created.
    pub(super) fn insert(&self, name: &str, entry: Entry) {
        locked(&self.0).insert(name.to_owned(), entry);
    }

    /// A stream was deleted; its readers wake and find it gone.
    pub(super) fn remove(&self, name: &str) {
        locked(&self.0).remove(name);
    }

    /// A shard was added, or an existing one has got further.
    pub(super) fn update(&self, name: &str, shard: u32, tip: Tip) {
        if let Some(entry) = locked(&self.0).get_mut(name) {
            match entry.shards.get(&shard) {
                Some(sender) => drop(sender.send_replace(tip)),
                None => drop(entry.shards.insert(shard, watch::Sender::new(tip))),
            }
        }
    }

    /// A shard's rows were removed, since everything in it has expired.
    pub(super) fn remove_shard(&self, name: &str, shard: u32) {
        if let Some(entry) = locked(&self.0).get_mut(name) {
            entry.shards.remove(&shard);
        }
    }

    /// Wakes every reader for good.
    pub(super) fn clear(&self) {
        locked(&self.0).clear();
    }
}
