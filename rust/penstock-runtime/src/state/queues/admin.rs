//! Creates, describes and deletes queues.

use penstock_engine::time::Wall;
use rusqlite::{Connection, params};
use serde::Serialize;

use super::super::Flush;
use super::super::writer::Written;
use super::layout::{check_name, is_fifo, queue_arn};
use super::message::DELAY_S_MAX;
use super::settle::VISIBILITY_S_MAX;
use super::{QueueError, Queues, Row, Touched, sql};

/// How long a queue may keep messages, in seconds: a minute to 14 days.
const RETENTION_S: std::ops::RangeInclusive<u64> = 60..=1_209_600;

/// How often a message may be received before it is a dead letter.
const RECEIVES_MAX: std::ops::RangeInclusive<u32> = 1..=1_000;

/// What a queue is created with. The defaults are those of SQS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueOptions {
    /// How long a message that was received is hidden, in seconds.
    pub visibility_timeout_s: u64,
    /// How long a new message is hidden, in seconds.
    pub delay_s: u64,
    /// How long a message is kept, in seconds.
    pub retention_s: u64,
    /// Where messages go that were received too often.
    pub redrive: Option<Redrive>,
    /// Whether a FIFO queue knows a message that is sent again by its body.
    pub content_based_deduplication: bool,
}

/// Where messages go that were received too often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Redrive {
    /// The name of the queue for dead letters.
    pub dead_letter_queue: String,
    /// How often a message is received before it goes there.
    pub max_receive_count: u32,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            visibility_timeout_s: 30,
            delay_s: 0,
            retention_s: 345_600,
            redrive: None,
            content_based_deduplication: false,
        }
    }
}

/// One queue, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueDescription {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Whether it keeps the order of groups.
    pub fifo: bool,
    /// When it was created.
    pub created: Wall,
    /// How long a message that was received is hidden, in seconds.
    pub visibility_timeout_s: u64,
    /// How long a new message is hidden, in seconds.
    pub delay_s: u64,
    /// How long a message is kept, in seconds.
    pub retention_s: u64,
    /// Where messages go that were received too often.
    pub redrive: Option<Redrive>,
    /// Whether a FIFO queue knows a message that is sent again by its body.
    pub content_based_deduplication: bool,
    /// Messages that can be received.
    pub visible: u64,
    /// Messages that were received, and neither deleted nor visible again.
    pub in_flight: u64,
    /// Messages that nobody has seen yet.
    pub delayed: u64,
    /// Bytes held.
    pub bytes: u64,
}

impl Queues {
    /// Creates a queue and waits, as a thread, until it is on disk. A name that ends with `.fifo`
    /// makes a FIFO queue.
    ///
    /// # Errors
    ///
    /// When the name is taken, or the name or an option cannot be.
    pub fn create(&self, name: &str, options: &QueueOptions) -> Result<(), QueueError> {
        self.start_create(name, options)?.wait().map(|_| ())
    }

    /// As `create`, for tasks.
    ///
    /// # Errors
    ///
    /// As `create`.
    pub async fn create_from_task(
        &self,
        name: &str,
        options: &QueueOptions,
    ) -> Result<(), QueueError> {
        self.start_create(name, options)?.done().await.map(|_| ())
    }

    fn start_create(
        &self,
        name: &str,
        options: &QueueOptions,
    ) -> Result<Written<((), Touched), QueueError>, QueueError> {
        check_name(name)?;
        check_options(name, options)?;
        let (owned, options) = (name.to_owned(), options.clone());
        let created_ms = self.core.wall_ms();
        Ok(self.change(0, move |connection| {
            if Row::find(connection, &owned)?.is_some() {
                return Err(QueueError::Exists(owned));
            }
            if let Some(redrive) = &options.redrive {
                Row::need(connection, &redrive.dead_letter_queue)?;
            }
            insert(connection, &owned, &options, created_ms).map_err(|error| sql(&error))?;
            Ok(((), Touched(vec![(owned, None)])))
        }))
    }

    /// Describes every queue, by name.
    ///
    /// # Errors
    ///
    /// When the state cannot be read.
    pub fn list(&self) -> Result<Vec<QueueDescription>, QueueError> {
        let names = self.core.read(|connection| {
            let mut query = connection.prepare("SELECT name FROM queues ORDER BY name")?;
            let names = query.query_map([], |row| row.get(0))?;
            names.collect::<rusqlite::Result<Vec<String>>>()
        })?;
        let described = names.iter().map(|name| self.describe(name));
        // A queue that was deleted meanwhile is left out.
        described
            .filter(|one| !matches!(one, Err(QueueError::NotFound(_))))
            .collect()
    }

    /// Describes a queue.
    ///
    /// # Errors
    ///
    /// When there is none of this name.
    pub fn describe(&self, name: &str) -> Result<QueueDescription, QueueError> {
        let now_ms = self.core.wall_ms();
        let (row, [visible, in_flight, delayed]) = self.core.read(|connection| {
            let found = Row::need(connection, name);
            let counts = match &found {
                Ok(row) => counts(connection, row.queue, now_ms)?,
                Err(_) => [0; 3],
            };
            Ok(found.map(|row| (row, counts)))
        })??;
        let seconds = |millis: i64| millis.unsigned_abs() / 1_000;
        Ok(QueueDescription {
            arn: queue_arn(&row.name),
            fifo: row.fifo,
            created: Wall(row.created_ms),
            visibility_timeout_s: seconds(row.visibility_ms),
            delay_s: seconds(row.delay_ms),
            retention_s: seconds(row.retention_ms),
            redrive: row.redrive(),
            content_based_deduplication: row.by_content,
            visible,
            in_flight,
            delayed,
            bytes: row.bytes,
            name: row.name,
        })
    }

    /// Deletes a queue with everything in it.
    ///
    /// # Errors
    ///
    /// When there is none of this name.
    pub fn delete(&self, name: &str) -> Result<(), QueueError> {
        let owned = name.to_owned();
        let work = move |connection: &Connection| {
            let queue = Row::need(connection, &owned)?.queue;
            connection
                .execute("DELETE FROM queues WHERE queue = ?1", [queue])
                .map(|_| ())
                .map_err(|error| sql(&error))
        };
        let (name, registry) = (name.to_owned(), self.registry.clone());
        self.core
            .write(Flush::Now, 0, work, move |()| registry.remove(&name))
            .wait()
    }
}

impl Row {
    fn redrive(&self) -> Option<Redrive> {
        Some(Redrive {
            dead_letter_queue: self.dead_letters.clone()?,
            max_receive_count: self.receives_max?,
        })
    }
}

fn check_options(name: &str, options: &QueueOptions) -> Result<(), QueueError> {
    let invalid = |message: String| Err(QueueError::Invalid(message));
    let QueueOptions {
        visibility_timeout_s,
        delay_s,
        retention_s,
        ..
    } = options;
    if *visibility_timeout_s > VISIBILITY_S_MAX {
        return invalid(format!(
            "a visibility timeout is 0 to {VISIBILITY_S_MAX} seconds, not {visibility_timeout_s}"
        ));
    }
    if *delay_s > DELAY_S_MAX {
        return invalid(format!(
            "a delay is 0 to {DELAY_S_MAX} seconds, not {delay_s}"
        ));
    }
    if !RETENTION_S.contains(retention_s) {
        let (least, most) = (RETENTION_S.start(), RETENTION_S.end());
        return invalid(format!(
            "a queue keeps messages for {least} to {most} seconds, not {retention_s}"
        ));
    }
    if options.content_based_deduplication && !is_fifo(name) {
        return invalid(format!(
            "{name} is no FIFO queue, which alone knows duplicates"
        ));
    }
    let Some(redrive) = &options.redrive else {
        return Ok(());
    };
    let Redrive {
        dead_letter_queue: target,
        max_receive_count: count,
    } = redrive;
    if !RECEIVES_MAX.contains(count) {
        let (least, most) = (RECEIVES_MAX.start(), RECEIVES_MAX.end());
        return invalid(format!(
            "a message is received {least} to {most} times, not {count}"
        ));
    }
    if target == name {
        return invalid(format!("queue {name} cannot take its own dead letters"));
    }
    if is_fifo(target) != is_fifo(name) {
        return invalid(format!(
            "the dead letters of a FIFO queue go to a FIFO queue, and those of a standard queue \
             to a standard queue: {target} cannot take those of {name}"
        ));
    }
    Ok(())
}

fn insert(
    connection: &Connection,
    name: &str,
    options: &QueueOptions,
    created_ms: i64,
) -> rusqlite::Result<()> {
    let millis = |seconds: u64| seconds.cast_signed() * 1_000;
    let redrive = options.redrive.as_ref();
    connection
        .execute(
            "INSERT INTO queues (name, fifo, created_ms, visibility_ms, delay_ms, retention_ms,
             dead_letters, receives_max, by_content) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                name,
                is_fifo(name),
                created_ms,
                millis(options.visibility_timeout_s),
                millis(options.delay_s),
                millis(options.retention_s),
                redrive.map(|redrive| &redrive.dead_letter_queue),
                redrive.map(|redrive| redrive.max_receive_count),
                options.content_based_deduplication,
            ],
        )
        .map(|_| ())
}

/// Messages that can be received, that are out, and that nobody has seen yet.
fn counts(connection: &Connection, queue: i64, now_ms: i64) -> rusqlite::Result<[u64; 3]> {
    connection
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE visible_ms <= ?2),
             count(*) FILTER (WHERE visible_ms > ?2 AND receipt IS NOT NULL),
             count(*) FILTER (WHERE visible_ms > ?2 AND receipt IS NULL)
             FROM messages WHERE queue = ?1",
        )?
        .query_row(params![queue, now_ms], |row| {
            let count = |index| row.get::<_, i64>(index).map(i64::unsigned_abs);
            Ok([count(0)?, count(1)?, count(2)?])
        })
}
