//! Hands messages out.
//!
//! Rules: what is handed out is counted and hidden on disk before anybody sees it; a message that
//! was received often enough moves to the queue for dead letters in the same change; an expired
//! message is not handed out; waiting looks at memory only.

use std::time::Duration;

use penstock_engine::time::Wall;
use rusqlite::{Connection, params};

use super::super::writer::Written;
use super::layout::{Names, Receipt, queue_arn, sequence_number};
use super::message::object;
use super::settle::visibility_ms;
use super::{QueueError, Queues, Row, Touched, groups, remove, send, sql};

/// The most messages of one receive, as SQS has it.
pub const RECEIVE_MESSAGES_MAX: u32 = 10;

/// The most bytes of bodies and attributes that one receive hands out.
pub const RECEIVE_BYTES_MAX: usize = RECEIVE_MESSAGES_MAX as usize * super::MESSAGE_BYTES_MAX;

/// Who sent every message, as events show it.
const SENDER: &str = "penstock";

/// What to receive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReceiveOrder {
    /// At most so many messages.
    pub limit: u32,
    /// How long they are hidden; as the queue has it unless given.
    pub visibility: Option<Duration>,
    /// The name of this attempt: from a FIFO queue a second receive of the same name gets the
    /// same messages again.
    pub attempt: Option<String>,
}

/// A message that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// Its id.
    pub message_id: String,
    /// What deletes it.
    pub receipt_handle: String,
    /// Its text.
    pub body: String,
    /// The MD5 of its text.
    pub md5_of_body: String,
    /// What the queue knows of it: a JSON object of strings.
    pub attributes: String,
    /// What its sender said of it: JSON in the event's shape.
    pub message_attributes: String,
    /// The MD5 of that, if there is any.
    pub md5_of_message_attributes: Option<String>,
    /// Its group.
    pub group: Option<String>,
    /// How often it was received, this time included.
    pub receive_count: u32,
    /// When it was sent.
    pub sent: Wall,
}

impl Queues {
    /// Receives what there is, and waits, as a thread, until that is on disk.
    ///
    /// # Errors
    ///
    /// When there is no such queue, the order cannot be, or the disk fails.
    pub fn receive(
        &self,
        name: &str,
        order: ReceiveOrder,
    ) -> Result<Vec<ReceivedMessage>, QueueError> {
        if order.attempt.is_none() && !self.has_something(name)? {
            return Ok(Vec::new());
        }
        Ok(self.start_receive(name, order)?.wait()?.0)
    }

    /// As `receive`, for tasks.
    ///
    /// # Errors
    ///
    /// As `receive`.
    pub async fn receive_from_task(
        &self,
        name: &str,
        order: ReceiveOrder,
    ) -> Result<Vec<ReceivedMessage>, QueueError> {
        // A receive that is repeated finds what is hidden.
        if order.attempt.is_none() && !self.has_something(name)? {
            return Ok(Vec::new());
        }
        Ok(self.start_receive(name, order)?.done().await?.0)
    }

    /// Waits until there is something to receive, or the queue is gone; at most `wait`.
    pub async fn receivable(&self, name: &str, wait: Duration) {
        let Some(mut next) = self.registry.follow(name) else {
            return;
        };
        let clock = &self.core.clock;
        let until = clock.now().mono + wait;
        loop {
            let now = clock.now();
            let next_ms = *next.borrow_and_update();
            let left_ms = next_ms.map(|next_ms| next_ms.saturating_sub(now.wall.0));
            if left_ms.is_some_and(|left| left <= 0) || now.mono >= until {
                return;
            }
            let due = left_ms.map(|left| now.mono + Duration::from_millis(left.unsigned_abs()));
            let wake = due.map_or(until, |due| due.min(until));
            tokio::select! {
                changed = next.changed() => if changed.is_err() { return },
                () = clock.sleep_until(wake) => {}
            }
        }
    }

    fn has_something(&self, name: &str) -> Result<bool, QueueError> {
        let next = self.registry.follow(name);
        let next = next.ok_or_else(|| QueueError::NotFound(name.to_owned()))?;
        let next_ms = *next.borrow();
        Ok(next_ms.is_some_and(|next_ms| next_ms <= self.core.wall_ms()))
    }

    fn start_receive(
        &self,
        name: &str,
        order: ReceiveOrder,
    ) -> Result<Written<(Vec<ReceivedMessage>, Touched), QueueError>, QueueError> {
        if !(1..=RECEIVE_MESSAGES_MAX).contains(&order.limit) {
            let message = format!(
                "a receive takes 1 to {RECEIVE_MESSAGES_MAX} messages, not {}",
                order.limit
            );
            return Err(QueueError::Invalid(message));
        }
        let visibility_ms = order.visibility.map(visibility_ms).transpose()?;
        let (name, names) = (name.to_owned(), self.names.clone());
        let now_ms = self.core.wall_ms();
        Ok(self.change(0, move |connection| {
            let queue = Row::need(connection, &name)?;
            let dead_letters = queue.dead_letters.as_deref();
            let dead_letters = dead_letters.map(|name| Row::find(connection, name));
            let receive = Receive {
                connection,
                names: &names,
                now_ms,
                visible_ms: now_ms + visibility_ms.unwrap_or(queue.visibility_ms),
                limit: order.limit,
                attempt: order.attempt.as_deref().filter(|_| queue.fifo),
                dead_letters: dead_letters.transpose()?.flatten(),
                queue: &queue,
            };
            receive.perform().map_err(|error| sql(&error))
        }))
    }
}

struct Receive<'a> {
    connection: &'a Connection,
    queue: &'a Row,
    /// Where dead letters go; `None` when they stay, since that queue is gone or never was.
    dead_letters: Option<Row>,
    names: &'a Names,
    now_ms: i64,
    visible_ms: i64,
    limit: u32,
    attempt: Option<&'a str>,
}

impl Receive<'_> {
    fn perform(&self) -> rusqlite::Result<(Vec<ReceivedMessage>, Touched)> {
        let mut touched = Touched::default();
        let mut taken = self.again()?;
        if taken.is_empty() {
            taken = self.candidates()?;
        }
        let mut messages = Vec::with_capacity(taken.len());
        for message in taken {
            messages.push(self.shown(message)?);
        }
        touched.add(self.connection, self.queue)?;
        if let Some(target) = &self.dead_letters {
            touched.add(self.connection, target)?;
        }
        Ok((messages, touched))
    }

    /// What an earlier attempt of this name received and nobody touched since, hidden anew. It
    /// does not count as another receive: the answer was lost.
    fn again(&self) -> rusqlite::Result<Vec<i64>> {
        let Some(attempt) = self.attempt else {
            return Ok(Vec::new());
        };
        let mut query = self.connection.prepare_cached(
            "UPDATE messages SET visible_ms = ?3 WHERE queue = ?1 AND attempt = ?2
             AND visible_ms > ?4 RETURNING message, message_group",
        )?;
        let rows = query.query_map(
            params![self.queue.queue, attempt, self.visible_ms, self.now_ms],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)),
        )?;
        let mut found = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        found.sort_unstable();
        for (_, group) in &found {
            groups::renew(self.connection, self.queue.queue, group, self.now_ms)?;
        }
        Ok(found.into_iter().map(|(message, _)| message).collect())
    }

    fn candidates(&self) -> rusqlite::Result<Vec<i64>> {
        let mut taken = Vec::new();
        loop {
            let room = self.limit - taken.len() as u32;
            let groups = if self.queue.fifo {
                groups::ready(self.connection, self.queue.queue, self.now_ms, room)?
                    .into_iter()
                    .map(Some)
                    .collect()
            } else {
                vec![None]
            };
            let mut moved = false;
            for group in groups {
                moved |= self.take_some(group.as_deref(), &mut taken)?;
            }
            // Whatever went elsewhere has left room for what stood behind it.
            if !moved || taken.len() as u32 == self.limit {
                return Ok(taken);
            }
        }
    }

    /// Takes messages of a group, or of a standard queue; whether some of them went elsewhere.
    fn take_some(&self, group: Option<&str>, taken: &mut Vec<i64>) -> rusqlite::Result<bool> {
        let room = self.limit - taken.len() as u32;
        let found = match group {
            Some(group) => {
                groups::head(self.connection, self.queue.queue, group, self.now_ms, room)?
            }
            None => self.visible(room)?,
        };
        let mut moved = false;
        for (message, receives) in found {
            if self.has_expired(message)? {
                remove(self.connection, self.queue.queue, message)?;
                moved = true;
            } else if self.is_dead(receives) {
                self.bury(message)?;
                moved = true;
            } else {
                self.take(message)?;
                taken.push(message);
            }
        }
        if let Some(group) = group {
            groups::renew(self.connection, self.queue.queue, group, self.now_ms)?;
        }
        Ok(moved)
    }

    fn visible(&self, limit: u32) -> rusqlite::Result<Vec<(i64, u32)>> {
        let mut query = self.connection.prepare_cached(
            "SELECT message, receives FROM messages WHERE queue = ?1 AND visible_ms <= ?2
             ORDER BY visible_ms, message LIMIT ?3",
        )?;
        let rows = query.query_map(params![self.queue.queue, self.now_ms, limit], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        rows.collect()
    }

    fn has_expired(&self, message: i64) -> rusqlite::Result<bool> {
        let expiry_ms = self.now_ms.saturating_sub(self.queue.retention_ms);
        self.connection
            .prepare_cached("SELECT sent_ms < ?2 FROM messages WHERE message = ?1")?
            .query_row(params![message, expiry_ms], |row| row.get(0))
    }

    fn is_dead(&self, receives: u32) -> bool {
        let most = self.queue.receives_max.unwrap_or(u32::MAX);
        self.dead_letters.is_some() && receives >= most
    }

    /// Moves a message to the end of the queue for dead letters. That of a standard queue keeps
    /// its age.
    fn bury(&self, message: i64) -> rusqlite::Result<()> {
        let Some(target) = &self.dead_letters else {
            return Ok(());
        };
        let fifo = target.fifo;
        let sequence = fifo
            .then(|| send::next_sequence(self.connection, target.queue))
            .transpose()?;
        let sent_ms = fifo.then_some(self.now_ms);
        let (moved, bytes, group): (i64, i64, Option<String>) = self
            .connection
            .prepare_cached(
                "INSERT INTO messages (queue, visible_ms, sent_ms, first_received_ms, receives,
                 message_group, sequence, origin, bytes)
                 SELECT ?2, ?3, coalesce(?5, sent_ms), first_received_ms, receives,
                 message_group, ?4, ?6, bytes FROM messages WHERE message = ?1
                 RETURNING message, bytes, message_group",
            )?
            .query_row(
                params![
                    message,
                    target.queue,
                    self.now_ms,
                    sequence,
                    sent_ms,
                    self.queue.name
                ],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )?;
        self.connection
            .prepare_cached("UPDATE bodies SET message = ?2 WHERE message = ?1")?
            .execute((message, moved))?;
        remove(self.connection, self.queue.queue, message)?;
        self.connection
            .prepare_cached("UPDATE queues SET bytes = bytes + ?2 WHERE queue = ?1")?
            .execute((target.queue, bytes))?;
        match group.filter(|_| fifo) {
            Some(group) => groups::renew(self.connection, target.queue, &group, self.now_ms),
            None => Ok(()),
        }
    }

    fn take(&self, message: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE messages SET visible_ms = ?2, receives = receives + 1, receipt = ?3,
                 attempt = ?4, first_received_ms = coalesce(first_received_ms, ?5)
                 WHERE message = ?1",
            )?
            .execute(params![
                message,
                self.visible_ms,
                self.names.mark(),
                self.attempt,
                self.now_ms
            ])
            .map(|_| ())
    }

    fn shown(&self, message: i64) -> rusqlite::Result<ReceivedMessage> {
        self.connection
            .prepare_cached(
                "SELECT receives, sent_ms, first_received_ms, receipt, message_group, sequence,
                 origin, id, deduplication, trace_header, md5_of_body, md5_of_attributes,
                 attributes, body FROM messages JOIN bodies USING (message) WHERE message = ?1",
            )?
            .query_row([message], |row| received(message, row))
    }
}

fn received(message: i64, row: &rusqlite::Row<'_>) -> rusqlite::Result<ReceivedMessage> {
    let receive_count: u32 = row.get(0)?;
    let sent_ms: i64 = row.get(1)?;
    let mark = row.get(3)?;
    let group: Option<String> = row.get(4)?;
    let sequence: Option<i64> = row.get(5)?;
    let origin: Option<String> = row.get(6)?;
    let attributes = [
        ("ApproximateReceiveCount", Some(receive_count.to_string())),
        ("SentTimestamp", Some(sent_ms.to_string())),
        ("SequenceNumber", sequence.map(sequence_number)),
        ("MessageGroupId", group.clone()),
        ("SenderId", Some(SENDER.to_owned())),
        ("MessageDeduplicationId", row.get(8)?),
        (
            "ApproximateFirstReceiveTimestamp",
            row.get::<_, Option<i64>>(2)?.map(|at| at.to_string()),
        ),
        ("AWSTraceHeader", row.get(9)?),
        (
            "DeadLetterQueueSourceArn",
            origin.map(|name| queue_arn(&name)),
        ),
    ];
    let given = attributes
        .into_iter()
        .filter_map(|(name, value)| Some((name, serde_json::Value::String(value?))));
    Ok(ReceivedMessage {
        message_id: row.get(7)?,
        receipt_handle: Receipt { message, mark }.text(),
        body: row.get(13)?,
        md5_of_body: row.get(10)?,
        attributes: object(given),
        message_attributes: row.get(12)?,
        md5_of_message_attributes: row.get(11)?,
        group,
        receive_count,
        sent: Wall(sent_ms),
    })
}
