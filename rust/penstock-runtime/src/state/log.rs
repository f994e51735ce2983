//! Moves the write-ahead log into the state file, on a thread of its own.
//!
//! Rules: commits go on meanwhile; only when the log has grown past a bound does the writer wait,
//! for the short rest that was written during the move.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tracing::{Dispatch, dispatcher};

use super::database::Database;

/// Frames of 16 KiB beyond which the log must begin anew: 64 MiB.
const LOG_FRAMES_MAX: i64 = 4096;

/// The thread, and how it is told to work.
pub(super) struct LogMover {
    signal: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LogMover {
    /// Starts the thread.
    pub(super) fn start(database: Database) -> std::io::Result<Self> {
        let (signal, signals) = sync_channel(1);
        let dispatch = dispatcher::get_default(Dispatch::clone);
        let thread = std::thread::Builder::new()
            .name("penstock-log".to_owned())
            .spawn(move || dispatcher::with_default(&dispatch, || serve(&database, &signals)))?;
        Ok(Self {
            signal: Some(signal),
            thread: Some(thread),
        })
    }

    /// Tells the thread to work; a full channel means that it has been told.
    pub(super) fn signal(&self) -> Option<SyncSender<()>> {
        self.signal.clone()
    }
}

impl Drop for LogMover {
    fn drop(&mut self) {
        self.signal = None;
        if let Some(thread) = self.thread.take() {
            // The thread's own panic has been reported where it happened.
            let _ = thread.join();
        }
    }
}

fn serve(database: &Database, signals: &Receiver<()>) {
    while signals.recv().is_ok() {
        // A connection for each move: one that is kept would hold on to a file that the writer
        // has given up.
        let moved = database
            .connect()
            .and_then(|connection| move_log(&connection));
        if let Err(error) = moved {
            // The log stays and grows; the next move tries again, and commits tell of a full disk.
            tracing::warn!(error = %error, "the log could not be moved into the state file");
        }
    }
}

fn move_log(connection: &Connection) -> rusqlite::Result<()> {
    let frames = move_by(connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
    if frames > LOG_FRAMES_MAX {
        move_by(connection, "PRAGMA wal_checkpoint(RESTART)")?;
    }
    Ok(())
}

/// Gives the number of frames in the log.
fn move_by(connection: &Connection, statement: &str) -> rusqlite::Result<i64> {
    connection.query_row(statement, [], |row| row.get(1))
}
