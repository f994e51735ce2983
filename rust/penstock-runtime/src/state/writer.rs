//! Commits changes in groups, on one thread.
//!
//! Rules: a change is acknowledged after the commit that holds it, never before; when nothing
//! else is going on a commit happens at once, and under load changes gather while the previous
//! commit reaches the disk; a change that may ride waits a little for another to share a commit
//! with; after a commit that failed for any reason but room, the connection is not trusted again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use penstock_engine::fault::FaultKind;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;
use tracing::{Dispatch, dispatcher};

use super::database::{Database, Hand, store_error};
use super::stats::Meter;
use crate::error::StoreError;

/// When a change is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flush {
    /// With the next commit, which comes at once: somebody waits for it.
    Now,
    /// With the next commit, at most `RIDE_MAX` after the last one.
    Ride,
}

/// The longest that a change which may ride waits for company.
const RIDE_MAX: Duration = Duration::from_millis(50);

/// The longest that changes are added to a group before it is committed.
const GROUP_MAX: Duration = Duration::from_millis(100);

/// Bytes of changes after which the log is worth moving into the file.
const LOG_BYTES: usize = 4 << 20;

/// Changes after which it is, however small, and how often at most.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// What becomes of a change when its group's commit has ended.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Makes a change, or hears why it could not even be tried.
type Change = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Answer + Send>;

struct Job {
    flush: Flush,
    bytes: usize,
    run: Change,
}

/// The answer to a change: awaited by tasks, waited for by threads.
pub(super) struct Written<T, E> {
    answer: oneshot::Receiver<Result<T, E>>,
}

impl<T, E: From<StoreError>> Written<T, E> {
    /// What becomes of a change after the state was closed.
    pub(super) fn closed() -> Self {
        Self {
            answer: oneshot::channel().1,
        }
    }

    /// Waits as a task.
    pub(super) async fn done(self) -> Result<T, E> {
        self.answer.await.unwrap_or_else(|_| Err(closed().into()))
    }

    /// Waits as a thread. The writer answers every change, or drops it when it ends.
    pub(super) fn wait(self) -> Result<T, E> {
        self.answer
            .blocking_recv()
            .unwrap_or_else(|_| Err(closed().into()))
    }
}

/// The writer's end that others hold.
pub(super) struct Writer {
    jobs: Sender<Job>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread; `log` is told when the log is worth moving into the file.
    pub(super) fn start(
        database: Database,
        hand: Hand,
        log: Option<SyncSender<()>>,
        meter: Arc<Meter>,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = channel();
        let desk = Desk {
            database,
            hand: Some(hand),
            log,
            meter,
            last_commit: None,
            log_bytes: 0,
            last_log: Instant::now(),
        };
        let dispatch = dispatcher::get_default(Dispatch::clone);
        let thread = std::thread::Builder::new()
            .name("penstock-writer".to_owned())
            .spawn(move || dispatcher::with_default(&dispatch, || desk.serve(&queue)))?;
        Ok(Self {
            jobs,
            thread: Some(thread),
        })
    }

    /// Makes a change: `work` runs inside the group's transaction and is undone when it fails;
    /// `after` runs on the writer's thread once the change is committed, before the answer.
    pub(super) fn write<T, E>(
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
        let (sender, receiver) = oneshot::channel();
        let run = Box::new(
            move |connection: Result<&Connection, StoreError>| -> Answer {
                let result = match connection {
                    Ok(connection) => in_savepoint(connection, work),
                    Err(error) => Err(E::from(error)),
                };
                Box::new(move |committed: Result<(), StoreError>| {
                    let answer = match (result, committed) {
                        (Ok(value), Ok(())) => {
                            after(&value);
                            Ok(value)
                        }
                        (Ok(_), Err(error)) => Err(error.into()),
                        (Err(refusal), _) => Err(refusal),
                    };
                    // Whoever asked may have stopped waiting; the change stands all the same.
                    let _ = sender.send(answer);
                })
            },
        );
        // A writer that is gone drops the job, and with it the sender of the answer.
        let _ = self.jobs.send(Job { flush, bytes, run });
        Written { answer: receiver }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let (unused, _) = channel();
        drop(std::mem::replace(&mut self.jobs, unused));
        if let Some(thread) = self.thread.take() {
            // The thread's own panic has been reported where it happened.
            let _ = thread.join();
        }
    }
}

fn in_savepoint<T, E: From<StoreError>>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    let run = |statement: &str| {
        connection
            .execute_batch(statement)
            .map_err(|error| E::from(store_error(&error)))
    };
    run("SAVEPOINT change")?;
    match work(connection) {
        Ok(value) => run("RELEASE change").map(|()| value),
        Err(refusal) => {
            // SQLite may have undone the whole transaction already; the group finds out.
            if !connection.is_autocommit() {
                run("ROLLBACK TO change; RELEASE change")?;
            }
            Err(refusal)
        }
    }
}

/// The thread's own belongings.
struct Desk {
    database: Database,
    /// `None` after a failure, until it could be opened again.
    hand: Option<Hand>,
    log: Option<SyncSender<()>>,
    meter: Arc<Meter>,
    last_commit: Option<Instant>,
    log_bytes: usize,
    last_log: Instant,
}

impl Desk {
    fn serve(mut self, queue: &Receiver<Job>) {
        while let Ok(first) = queue.recv() {
            let mut jobs = vec![first];
            if self.database.is_durable() {
                self.wait_for_company(queue, &mut jobs);
            }
            self.commit_group(queue, jobs);
        }
        // Readers go first, so that this is the last connection, which empties the log.
        self.database.forget_readers();
    }

    /// Lets changes that may ride wait until one comes that may not.
    fn wait_for_company(&self, queue: &Receiver<Job>, jobs: &mut Vec<Job>) {
        let Some(until) = self.last_commit.map(|last| last + RIDE_MAX) else {
            return;
        };
        while jobs.iter().all(|job| job.flush == Flush::Ride) {
            let left = until.saturating_duration_since(Instant::now());
            match queue.recv_timeout(left) {
                Ok(job) => jobs.push(job),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn commit_group(&mut self, queue: &Receiver<Job>, jobs: Vec<Job>) {
        let mut answers = Vec::with_capacity(jobs.len());
        let began = Instant::now();
        let usable = self
            .database
            .check_in_place()
            .and_then(|()| self.reopened());
        let outcome = match usable {
            Ok(()) => self.attempt(queue, jobs, &mut answers),
            Err(error) => {
                answers.extend(jobs.into_iter().map(|job| (job.run)(Err(error.clone()))));
                Err(error)
            }
        };
        self.last_commit = Some(Instant::now());
        self.meter
            .committed(answers.len(), began.elapsed(), outcome.is_ok());
        if let Err(error) = &outcome {
            tracing::error!(error = %error, changes = answers.len(), "a commit failed");
        }
        for answer in answers {
            answer(outcome.clone());
        }
        self.tell_log();
    }

    fn attempt(
        &mut self,
        queue: &Receiver<Job>,
        jobs: Vec<Job>,
        answers: &mut Vec<Answer>,
    ) -> Result<(), StoreError> {
        let Some(hand) = &self.hand else {
            return Err(closed());
        };
        let (outcome, bytes) =
            hand.with(|connection| in_transaction(connection, queue, jobs, answers));
        self.log_bytes += bytes;
        outcome.map_err(|error| {
            let full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
            if self.database.is_durable() && !full {
                self.hand = None;
                self.database.forget_readers();
            }
            store_error(&error)
        })
    }

    /// Opens the file again after a failure. A sync that failed once may have lost writes that a
    /// second sync would not notice, so the log is emptied into the file before it is used.
    fn reopened(&mut self) -> Result<(), StoreError> {
        if self.hand.is_some() {
            return Ok(());
        }
        let opened = || -> rusqlite::Result<Connection> {
            let connection = self.database.connect()?;
            let busy: i64 =
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
            if busy == 0 {
                Ok(connection)
            } else {
                Err(busy_log())
            }
        };
        let connection = opened().map_err(|error| store_error(&error))?;
        tracing::warn!("the state file was opened again after a failed commit");
        self.hand = Some(Hand::Own(connection));
        Ok(())
    }

    fn tell_log(&mut self) {
        let Some(log) = &self.log else { return };
        if self.log_bytes < LOG_BYTES && self.last_log.elapsed() < LOG_INTERVAL {
            return;
        }
        match log.try_send(()) {
            Ok(()) => (self.log_bytes, self.last_log) = (0, Instant::now()),
            // It is at work already, and is told again after the next commit.
            Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }
}

/// Makes the given changes and those that wait in the queue, and commits them. Gives their bytes.
fn in_transaction(
    connection: &Connection,
    queue: &Receiver<Job>,
    jobs: Vec<Job>,
    answers: &mut Vec<Answer>,
) -> (rusqlite::Result<()>, usize) {
    let mut jobs = VecDeque::from(jobs);
    let mut bytes = 0;
    let began = Instant::now();
    let mut outcome = connection.execute_batch("BEGIN IMMEDIATE");
    while outcome.is_ok() {
        let late = began.elapsed() >= GROUP_MAX;
        let next = jobs
            .pop_front()
            .or_else(|| if late { None } else { queue.try_recv().ok() });
        let Some(job) = next else { break };
        bytes += job.bytes;
        answers.push((job.run)(Ok(connection)));
        if connection.is_autocommit() {
            // The change did not fit, and SQLite undid the whole group with it.
            outcome = Err(full());
        }
    }
    if outcome.is_ok() {
        outcome = connection.execute_batch("COMMIT");
    }
    if let Err(error) = &outcome {
        let refusal = store_error(error);
        answers.extend(jobs.into_iter().map(|job| (job.run)(Err(refusal.clone()))));
        if !connection.is_autocommit() {
            // Whether or not this works, nothing of the group is acknowledged.
            let _ = connection.execute_batch("ROLLBACK");
        }
    }
    (outcome, bytes)
}

fn closed() -> StoreError {
    StoreError::new(FaultKind::Fatal, "the state is closed")
}

fn full() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
    rusqlite::Error::SqliteFailure(code, None)
}

fn busy_log() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    rusqlite::Error::SqliteFailure(code, Some("its log is still being read".to_owned()))
}
