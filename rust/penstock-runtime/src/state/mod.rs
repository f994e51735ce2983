//! Keeps what must outlive the process in one file: checkpoints, leases, streams and queues.
//!
//! Rules: one process owns a state directory; one thread writes, in groups; what somebody builds
//! on (a lease, a record of a stream) is acknowledged after it is on disk; a file that cannot be
//! trusted is refused, never begun anew. Without a directory the same lives in memory.

mod checkpoints;
mod database;
mod directory;
mod log;
mod moves;
pub mod queues;
mod schema;
mod stats;
pub mod streams;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex};

use penstock_engine::time::Now;
use rusqlite::Connection;

pub use checkpoints::CheckpointRow;
pub use moves::Moved;
pub use stats::StoreStats;

use crate::clock::Clock;
use crate::error::{RuntimeError, StoreError};
use database::{Database, locked};
use directory::OwnedDirectory;
use log::LogMover;
use queues::{QueueLimits, Queues};
use stats::Meter;
use streams::{StreamLimits, Streams};
use writer::{Flush, Writer, Written};

/// An open state.
pub struct State {
    core: Arc<Core>,
    streams: Streams,
    queues: Queues,
}

/// What embedded streams and queues may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateLimits {
    /// The streams.
    pub streams: StreamLimits,
    /// The queues.
    pub queues: QueueLimits,
}

impl From<StreamLimits> for StateLimits {
    fn from(streams: StreamLimits) -> Self {
        Self {
            streams,
            queues: QueueLimits::default(),
        }
    }
}

/// What checkpoints, streams and queues share.
struct Core {
    database: Database,
    clock: Arc<dyn Clock>,
    meter: Arc<Meter>,
    /// In the order in which they end; `None` after `close`.
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    writer: Writer,
    _log: Option<LogMover>,
    _owned: Option<OwnedDirectory>,
}

impl State {
    /// Opens a state directory, or a state in memory.
    ///
    /// # Errors
    ///
    /// When the directory cannot be used or has an owner, or its file cannot be trusted.
    pub fn open(
        directory: Option<&Path>,
        clock: Arc<dyn Clock>,
        limits: impl Into<StateLimits>,
    ) -> Result<Arc<Self>, RuntimeError> {
        let limits = limits.into();
        let owned = directory.map(OwnedDirectory::take).transpose()?;
        let (database, hand) = match &owned {
            Some(owned) => Database::in_file(owned.file.clone())?,
            None => Database::in_memory()?,
        };
        let meter = Arc::new(Meter::default());
        let no_thread = |error| RuntimeError::io("start the state's threads", error);
        let log = match &owned {
            Some(_) => Some(LogMover::start(database.clone()).map_err(no_thread)?),
            None => None,
        };
        let signal = log.as_ref().and_then(LogMover::signal);
        let writer =
            Writer::start(database.clone(), hand, signal, meter.clone()).map_err(no_thread)?;
        let threads = Mutex::new(Some(Threads {
            writer,
            _log: log,
            _owned: owned,
        }));
        let core = Arc::new(Core {
            database,
            clock,
            meter,
            threads,
        });
        let streams = Streams::open(core.clone(), limits.streams)
            .map_err(|error| RuntimeError::io("read the embedded streams", error))?;
        let queues = Queues::open(core.clone(), limits.queues)
            .map_err(|error| RuntimeError::io("read the embedded queues", error))?;
        Ok(Arc::new(Self {
            core,
            streams,
            queues,
        }))
    }

    /// The embedded streams.
    #[must_use]
    pub fn streams(&self) -> &Streams {
        &self.streams
    }

    /// The embedded queues.
    #[must_use]
    pub fn queues(&self) -> &Queues {
        &self.queues
    }

    /// What time it is for the state.
    #[must_use]
    pub fn now(&self) -> Now {
        self.core.clock.now()
    }

    /// What the writer has done.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        self.core.meter.read()
    }

    /// Lets the file grow to so many pages of 16 KiB and no further, as a full disk would.
    #[cfg(any(test, feature = "testing"))]
    pub fn limit_pages(&self, pages: u32) {
        let work = move |connection: &Connection| {
            connection
                .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
                .map_err(|error| database::store_error(&error))
        };
        // A refusal shows in the test that asked for it.
        drop(
            self.core
                .write::<(), StoreError>(Flush::Now, 0, work, |()| {}),
        );
    }

    /// Makes the next commit fail when everything in it has been done.
    #[cfg(any(test, feature = "testing"))]
    pub fn fail_next_commit(&self) {
        let work = |connection: &Connection| {
            connection
                .execute_batch(
                    "PRAGMA defer_foreign_keys = ON;
                     INSERT INTO shards (stream, shard, hash_first, hash_last, born_s)
                     VALUES (-1, 0, x'', x'', 0)",
                )
                .map_err(|error| database::store_error(&error))
        };
        // It rides along, so that it shares a commit with what comes next.
        drop(
            self.core
                .write::<(), StoreError>(Flush::Ride, 0, work, |()| {}),
        );
    }

    /// Commits what is waiting and gives the directory up. Later changes are refused.
    pub fn close(&self) {
        let threads = locked(&self.core.threads).take();
        drop(threads);
        self.streams.wake_all();
        self.queues.wake_all();
    }
}

impl Core {
    fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.database.read(work)
    }

    /// Makes a change; see `Writer::write`.
    fn write<T, E>(
        &self,
        flush: Flush,
        bytes: usize,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        after: impl FnOnce(&T) + Send + 'static,
    ) -> Written<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &*locked(&self.threads) {
            Some(threads) => threads.writer.write(flush, bytes, work, after),
            None => Written::closed(),
        }
    }

    fn wall_ms(&self) -> i64 {
        self.clock.now().wall.0
    }
}
