//! Opens the state file and judges whether it can be trusted.
//!
//! Rules: a file of a later format, of somebody else, or with any damage that can be seen is
//! refused and left as it is, never begun anew; every connection has the same settings.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

use super::queues;
use crate::error::RuntimeError;

/// The format that this version writes, and the last that it reads.
pub(super) const FORMAT: u32 = 2;

/// "PENS": tells our files from other programs' SQLite files.
const APPLICATION: i64 = 0x5045_4e53;

/// Larger files are checked without the embedded streams' pages, which would take a second a GB.
const WHOLE_CHECK_BYTES_MAX: u64 = 256 << 20;

/// How long a connection waits for another one of this process.
const BUSY_WAIT: Duration = Duration::from_secs(10);

const TABLES: &str = "
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    mapping TEXT NOT NULL,
    shard TEXT NOT NULL,
    fence INTEGER NOT NULL,
    held INTEGER NOT NULL,
    taken_ms INTEGER NOT NULL,
    PRIMARY KEY (mapping, shard)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoints (
    mapping TEXT NOT NULL,
    shard TEXT NOT NULL,
    position TEXT NOT NULL,
    sequence_number TEXT,
    sub_sequence INTEGER,
    at_ms INTEGER,
    fence INTEGER NOT NULL,
    saved_ms INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (mapping, shard)
) STRICT, WITHOUT ROWID;

CREATE TABLE streams (
    stream INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL,
    next_shard INTEGER NOT NULL
) STRICT;

CREATE TABLE shards (
    stream INTEGER NOT NULL REFERENCES streams ON DELETE CASCADE,
    shard INTEGER NOT NULL,
    hash_first BLOB NOT NULL,
    hash_last BLOB NOT NULL,
    parent INTEGER,
    adjacent_parent INTEGER,
    born_s INTEGER NOT NULL,
    closed_ms INTEGER,
    next_record INTEGER NOT NULL DEFAULT 1,
    trimmed_to INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (stream, shard)
) STRICT, WITHOUT ROWID;

CREATE TABLE pages (
    page INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    first_record INTEGER NOT NULL,
    records INTEGER NOT NULL,
    arrival_ms INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    lengths BLOB NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (stream, shard, first_record)
) STRICT;

CREATE INDEX pages_by_arrival ON pages (stream, shard, arrival_ms, first_record);
";

/// Opens the file for its writer: judges it, and lays out the tables in a new one.
pub(super) fn open_first(file: &Path) -> Result<Connection, RuntimeError> {
    let judged = || -> rusqlite::Result<Result<Connection, RuntimeError>> {
        let connection = connect(file)?;
        let new = table_count(&connection)? == 0;
        if new {
            create(&connection, Some(file))?;
        } else {
            match examine(&connection, file)? {
                Ok(FORMAT) => check_writable(&connection)?,
                Ok(earlier) => bring_up(&connection, earlier)?,
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        Ok(Ok(connection))
    };
    judged().map_err(|error| translated(&error, file))?
}

/// Opens one more connection to a file that `open_first` has judged.
pub(super) fn connect(file: &Path) -> rusqlite::Result<Connection> {
    // Each connection stays with one thread or behind one mutex.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(real_path(file), flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.execute_batch(
        "PRAGMA page_size = 16384; PRAGMA trusted_schema = OFF; PRAGMA foreign_keys = ON;",
    )?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // Checkpoints of the log happen on a thread of their own, not inside some commit.
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;")?;
    Ok(connection)
}

/// A state that lives as long as the process.
pub(super) fn open_in_memory() -> Result<Connection, RuntimeError> {
    let opened = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA foreign_keys = ON;")?;
        create(&connection, None)?;
        Ok(connection)
    };
    opened().map_err(|error| RuntimeError::io("open the state in memory", error))
}

/// SQLite refuses a path with a link anywhere in it; only the last part must not be one.
fn real_path(file: &Path) -> std::path::PathBuf {
    match (file.parent().map(Path::canonicalize), file.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => file.to_owned(),
    }
}

fn table_count(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
}

fn create(connection: &Connection, file: Option<&Path>) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    connection.execute_batch(TABLES)?;
    connection.execute_batch(queues::TABLES)?;
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.execute(
        "INSERT INTO meta (name, value) VALUES ('format', ?1), ('created_by', ?2)",
        [
            FORMAT.to_string(),
            format!("penstock {}", env!("CARGO_PKG_VERSION")),
        ],
    )?;
    connection.execute_batch("COMMIT")?;
    if let Some(file) = file {
        tracing::debug!(file = %file.display(), "state file created");
    }
    Ok(())
}

/// Gives a file of an earlier format what it lacks, all or nothing.
fn bring_up(connection: &Connection, earlier: u32) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    // Format 1 had no queues.
    connection.execute_batch(queues::TABLES)?;
    connection.execute(
        "UPDATE meta SET value = ?1 WHERE name = 'format'",
        [FORMAT.to_string()],
    )?;
    connection.execute_batch("COMMIT")?;
    tracing::info!(
        from = earlier,
        to = FORMAT,
        "the state file has a new format"
    );
    Ok(())
}

/// Refuses a file that is not ours, of a later format, or damaged; tells its format.
fn examine(connection: &Connection, file: &Path) -> rusqlite::Result<Result<u32, RuntimeError>> {
    let corrupt = |detail: &str| {
        let file = file.display().to_string();
        Err(RuntimeError::StateCorrupt {
            file,
            detail: detail.to_owned(),
        })
    };
    let application: i64 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION {
        return Ok(corrupt("it is another program's database"));
    }
    let format: Option<String> = connection
        .query_row("SELECT value FROM meta WHERE name = 'format'", [], |row| {
            row.get(0)
        })
        .optional()?;
    let format = match format.and_then(|text| text.parse::<u32>().ok()) {
        None | Some(0) => {
            return Ok(corrupt("it does not tell its format"));
        }
        Some(found) if found > FORMAT => {
            let file = file.display().to_string();
            return Ok(Err(RuntimeError::StateTooNew {
                file,
                found,
                known: FORMAT,
            }));
        }
        Some(found) => found,
    };
    match damage(connection, file)? {
        Some(found) => Ok(corrupt(&found)),
        None => Ok(Ok(format)),
    }
}

/// What SQLite's own check finds, if anything.
fn damage(connection: &Connection, file: &Path) -> rusqlite::Result<Option<String>> {
    let size = file.metadata().map_or(0, |facts| facts.len());
    let checks: &[&str] = if size <= WHOLE_CHECK_BYTES_MAX {
        &["PRAGMA quick_check(1)"]
    } else {
        &[
            "PRAGMA quick_check(meta)",
            "PRAGMA quick_check(leases)",
            "PRAGMA quick_check(checkpoints)",
            "PRAGMA quick_check(streams)",
            "PRAGMA quick_check(shards)",
        ]
    };
    for check in checks {
        let answer: String = connection.query_row(check, [], |row| row.get(0))?;
        if answer != "ok" {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

/// A read-only file opens without complaint, and would fail at the first commit.
fn check_writable(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK")
}

fn translated(error: &rusqlite::Error, file: &Path) -> RuntimeError {
    let shown = file.display().to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => RuntimeError::StateCorrupt {
            file: shown,
            detail: error.to_string(),
        },
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            let dir = file.parent().unwrap_or(file).display().to_string();
            RuntimeError::StateReadOnly {
                dir,
                detail: error.to_string(),
            }
        }
        // A table or column that is missing though the file says that it is ours.
        Some(ErrorCode::Unknown) => RuntimeError::StateCorrupt {
            file: shown,
            detail: error.to_string(),
        },
        _ => RuntimeError::io(format!("open the state file {shown}"), error),
    }
}
