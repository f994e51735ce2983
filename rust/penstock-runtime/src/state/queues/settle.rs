//! Deletes messages that were received, and hides them longer or no longer.
//!
//! Rules: a receipt is good until its message is received again, in a FIFO queue until it is
//! visible again; what is deleted already counts as deleted; each receipt has its own answer.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::super::writer::Written;
use super::layout::Receipt;
use super::{QueueError, Queues, Row, Touched, groups, remove, sql};

/// The longest that a message can be hidden, in seconds.
pub const VISIBILITY_S_MAX: u64 = 43_200;

/// One answer per receipt.
pub(super) type Answers = Vec<Result<(), QueueError>>;

/// What is done with a message that was received.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Delete,
    /// Visible from this moment on.
    Hide(i64),
}

impl Queues {
    /// Deletes messages by their receipts, and waits, as a thread, until that is on disk. Gives
    /// one answer per receipt.
    ///
    /// # Errors
    ///
    /// When there is no such queue, or the disk fails.
    pub fn remove(
        &self,
        name: &str,
        receipts: Vec<String>,
    ) -> Result<Vec<Result<(), QueueError>>, QueueError> {
        Ok(self.start(name, receipts, Deed::Delete).wait()?.0)
    }

    /// As `remove`, for tasks.
    ///
    /// # Errors
    ///
    /// As `remove`.
    pub async fn remove_from_task(
        &self,
        name: &str,
        receipts: Vec<String>,
    ) -> Result<Vec<Result<(), QueueError>>, QueueError> {
        Ok(self.start(name, receipts, Deed::Delete).done().await?.0)
    }

    /// Hides messages for `by` from now on, with zero not at all. Gives one answer per receipt.
    ///
    /// # Errors
    ///
    /// When there is no such queue, `by` is too long, or the disk fails.
    pub async fn hide_from_task(
        &self,
        name: &str,
        receipts: Vec<String>,
        by: Duration,
    ) -> Result<Vec<Result<(), QueueError>>, QueueError> {
        let visible_ms = self.core.wall_ms() + visibility_ms(by)?;
        Ok(self
            .start(name, receipts, Deed::Hide(visible_ms))
            .done()
            .await?
            .0)
    }

    fn start(
        &self,
        name: &str,
        receipts: Vec<String>,
        deed: Deed,
    ) -> Written<(Answers, Touched), QueueError> {
        let (name, now_ms) = (name.to_owned(), self.core.wall_ms());
        self.change(0, move |connection| {
            let queue = Row::need(connection, &name)?;
            let one = |text: String| settle(connection, &queue, text, deed, now_ms);
            let answers = receipts
                .into_iter()
                .map(one)
                .collect::<rusqlite::Result<Answers>>();
            let answers = answers.map_err(|error| sql(&error))?;
            let mut touched = Touched::default();
            touched
                .add(connection, &queue)
                .map_err(|error| sql(&error))?;
            Ok((answers, touched))
        })
    }
}

/// How long a message is hidden, in the file's unit.
pub(super) fn visibility_ms(by: Duration) -> Result<i64, QueueError> {
    if by > Duration::from_secs(VISIBILITY_S_MAX) {
        let message = format!(
            "a message is hidden for at most {VISIBILITY_S_MAX} seconds, not {}",
            by.as_secs()
        );
        return Err(QueueError::Invalid(message));
    }
    Ok(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}

/// A message that a receipt names.
struct Found {
    mark: Option<i64>,
    visible_ms: i64,
    group: Option<String>,
}

fn settle(
    connection: &Connection,
    queue: &Row,
    text: String,
    deed: Deed,
    now_ms: i64,
) -> rusqlite::Result<Result<(), QueueError>> {
    let Some(receipt) = Receipt::parse(&text) else {
        let message = format!("{text:?} is not a receipt of an embedded queue");
        return Ok(Err(QueueError::Invalid(message)));
    };
    let found = connection
        .prepare_cached(
            "SELECT receipt, visible_ms, message_group FROM messages
             WHERE message = ?1 AND queue = ?2",
        )?
        .query_row(params![receipt.message, queue.queue], |row| {
            Ok(Found {
                mark: row.get(0)?,
                visible_ms: row.get(1)?,
                group: row.get(2)?,
            })
        })
        .optional()?;
    let stale = || Ok(Err(QueueError::StaleReceipt(queue.name.clone())));
    let Some(found) = found else {
        return match deed {
            Deed::Delete => Ok(Ok(())),
            Deed::Hide(_) => stale(),
        };
    };
    let over = queue.fifo && found.visible_ms <= now_ms;
    if found.mark != Some(receipt.mark) || over {
        return stale();
    }
    match deed {
        Deed::Delete => remove(connection, queue.queue, receipt.message)?,
        Deed::Hide(visible_ms) => hide(connection, receipt.message, visible_ms)?,
    }
    if let Some(group) = found.group.filter(|_| queue.fifo) {
        groups::renew(connection, queue.queue, &group, now_ms)?;
    }
    Ok(Ok(()))
}

/// After this the receive that gave the message cannot be repeated any more.
fn hide(connection: &Connection, message: i64, visible_ms: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE messages SET visible_ms = ?2, attempt = NULL WHERE message = ?1")?
        .execute(params![message, visible_ms])
        .map(|_| ())
}
