//! Hands out connections: one to the writer, others to readers.
//!
//! Rules: readers never wait for the writer and see only what is committed; a state in memory has
//! one connection, which readers and the writer take in turn.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, ErrorCode};

use penstock_engine::fault::FaultKind;

use super::schema;
use crate::error::{RuntimeError, StoreError};

/// Where the state is.
#[derive(Clone)]
pub(super) enum Database {
    /// In a file, with idle readers' connections.
    File {
        file: PathBuf,
        /// Which file it was when it was opened: its device and number there.
        opened: (u64, u64),
        idle: Arc<Mutex<Vec<Connection>>>,
    },
    /// In the process.
    Memory(Arc<Mutex<Connection>>),
}

/// More idle connections than this are closed.
const IDLE_READERS_MAX: usize = 4;

/// Prepared statements that a connection keeps.
const STATEMENTS_KEPT: usize = 64;

impl Database {
    /// Opens a file that may be new; gives the writer's connection along.
    pub(super) fn in_file(file: PathBuf) -> Result<(Self, Hand), RuntimeError> {
        let connection = schema::open_first(&file)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        let opened = identity(&file)
            .map_err(|error| RuntimeError::io(format!("look at {}", file.display()), error))?;
        let idle = Arc::default();
        Ok((Self::File { file, opened, idle }, Hand::Own(connection)))
    }

    /// Opens a state that ends with the process.
    pub(super) fn in_memory() -> Result<(Self, Hand), RuntimeError> {
        let connection = schema::open_in_memory()?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        let shared = Arc::new(Mutex::new(connection));
        Ok((Self::Memory(shared.clone()), Hand::Shared(shared)))
    }

    /// Whether commits reach a disk.
    pub(super) fn is_durable(&self) -> bool {
        matches!(self, Self::File { .. })
    }

    /// Refuses to go on when the file under this name is not the one that was opened: whatever is
    /// written to that one is lost.
    pub(super) fn check_in_place(&self) -> Result<(), StoreError> {
        let Self::File { file, opened, .. } = self else {
            return Ok(());
        };
        if identity(file).is_ok_and(|found| found == *opened) {
            return Ok(());
        }
        let name = file.display();
        let message = format!("the state file {name} was removed or replaced while it was in use");
        Err(StoreError::new(FaultKind::Fatal, message))
    }

    /// Reads what is committed.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        match self {
            Self::Memory(shared) => work(&locked(shared)).map_err(|error| store_error(&error)),
            Self::File { idle, .. } => {
                let kept = locked(idle).pop();
                let connection = match kept {
                    Some(connection) => connection,
                    None => self.connect().map_err(|error| store_error(&error))?,
                };
                let answer = work(&connection).map_err(|error| store_error(&error))?;
                // A connection that failed is not kept.
                let mut idle = locked(idle);
                if idle.len() < IDLE_READERS_MAX {
                    idle.push(connection);
                }
                Ok(answer)
            }
        }
    }

    /// Opens one more connection to the same file.
    ///
    /// # Panics
    ///
    /// When the state is in memory: it has one connection only.
    pub(super) fn connect(&self) -> rusqlite::Result<Connection> {
        let Self::File { file, .. } = self else {
            panic!("a state in memory has one connection only");
        };
        let connection = schema::connect(file)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        Ok(connection)
    }

    /// Closes idle connections, so that whoever opens the file next starts from the disk.
    pub(super) fn forget_readers(&self) {
        if let Self::File { idle, .. } = self {
            locked(idle).clear();
        }
    }
}

fn identity(file: &Path) -> std::io::Result<(u64, u64)> {
    let facts = file.symlink_metadata()?;
    Ok((facts.dev(), facts.ino()))
}

/// The writer's hold on the state.
pub(super) enum Hand {
    /// A connection of its own.
    Own(Connection),
    /// The only connection, in turn with readers.
    Shared(Arc<Mutex<Connection>>),
}

impl Hand {
    /// Works on the connection.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Connection) -> T) -> T {
        match self {
            Self::Own(connection) => work(connection),
            Self::Shared(shared) => work(&locked(shared)),
        }
    }
}

/// Connections and lists of them are whole between statements, whoever panicked.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Classifies what SQLite says.
pub(super) fn store_error(error: &rusqlite::Error) -> StoreError {
    let kind = match error.sqlite_error_code() {
        Some(
            ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::OutOfMemory
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly,
        ) => FaultKind::Transient,
        _ => FaultKind::Fatal,
    };
    StoreError::new(kind, format!("the state file: {error}"))
}
