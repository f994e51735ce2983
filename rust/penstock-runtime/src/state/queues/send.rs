//! Puts messages into a queue.

use rusqlite::{Connection, OptionalExtension, params};

use super::super::writer::Written;
use super::layout::{Names, sequence_number};
use super::message::{Encoded, NewMessage};
use super::{QueueError, Queues, Row, Touched, groups, sql, trim};

/// The most messages of one call.
pub const SEND_MESSAGES_MAX: usize = 10_000;

/// The most bytes of one call: bodies and attributes.
pub const SEND_BYTES_MAX: usize = 10 << 20;

/// How long a FIFO queue remembers what was sent.
pub(super) const DEDUPLICATION_MS: i64 = 5 * 60 * 1_000;

/// A message that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its id; that of the first one when this was a duplicate.
    pub message_id: String,
    /// The MD5 of its body.
    pub md5_of_body: String,
    /// The MD5 of its attributes, if it has any.
    pub md5_of_attributes: Option<String>,
    /// Its sequence number in a FIFO queue.
    pub sequence_number: Option<String>,
}

impl Queues {
    /// Sends messages and waits, as a thread, until they are on disk.
    ///
    /// # Errors
    ///
    /// When there is no such queue, no room, a message that SQS would refuse, or the disk fails;
    /// then none of the messages was sent.
    pub fn send(&self, name: &str, messages: Vec<NewMessage>) -> Result<Vec<Sent>, QueueError> {
        Ok(self.start_send(name, messages)?.wait()?.0)
    }

    /// As `send`, for tasks.
    ///
    /// # Errors
    ///
    /// As `send`.
    pub async fn send_from_task(
        &self,
        name: &str,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Sent>, QueueError> {
        Ok(self.start_send(name, messages)?.done().await?.0)
    }

    fn start_send(
        &self,
        name: &str,
        messages: Vec<NewMessage>,
    ) -> Result<Written<(Vec<Sent>, Touched), QueueError>, QueueError> {
        let count = messages.len();
        if messages.is_empty() || count > SEND_MESSAGES_MAX {
            let message = format!("a send takes 1 to {SEND_MESSAGES_MAX} messages, not {count}");
            return Err(QueueError::Invalid(message));
        }
        let encoded = messages
            .into_iter()
            .enumerate()
            .map(|(index, message)| Encoded::of(index, message))
            .collect::<Result<Vec<_>, _>>()?;
        let bytes = encoded.iter().map(Encoded::bytes).sum::<usize>();
        if bytes > SEND_BYTES_MAX {
            let message = format!("a send takes {SEND_BYTES_MAX} bytes, not {bytes}");
            return Err(QueueError::Invalid(message));
        }
        let (name, names) = (name.to_owned(), self.names.clone());
        let (now_ms, bytes_max) = (self.core.wall_ms(), self.limits.bytes_max);
        Ok(self.change(bytes, move |connection| {
            let mut touched = Touched::default();
            trim::make_room(connection, bytes as u64, bytes_max, now_ms, &mut touched)?;
            let queue = Row::need(connection, &name)?;
            let send = Send {
                connection,
                queue: &queue,
                names: &names,
                now_ms,
            };
            let sent = encoded.iter().enumerate();
            let sent = sent.map(|(index, message)| send.one(index, message));
            let sent = sent.collect::<Result<Vec<_>, _>>()?;
            touched
                .add(connection, &queue)
                .map_err(|error| sql(&error))?;
            Ok((sent, touched))
        }))
    }
}

struct Send<'a> {
    connection: &'a Connection,
    queue: &'a Row,
    names: &'a Names,
    now_ms: i64,
}

/// What makes a message one of a FIFO queue.
struct Place<'a> {
    group: &'a str,
    deduplication_id: String,
}

impl Send<'_> {
    fn one(&self, index: usize, message: &Encoded) -> Result<Sent, QueueError> {
        let place = self.place(message).map_err(|reason| {
            QueueError::Invalid(format!("message {index} cannot be sent: {reason}"))
        })?;
        self.store(message, place.as_ref())
            .map_err(|error| sql(&error))
    }

    /// Where the message belongs in a FIFO queue; `None` in a standard one.
    fn place<'b>(&self, message: &'b Encoded) -> Result<Option<Place<'b>>, String> {
        let name = &self.queue.name;
        if !self.queue.fifo {
            return match message.deduplication_id {
                Some(_) => Err(format!(
                    "{name} is no FIFO queue and takes no deduplication id"
                )),
                None => Ok(None),
            };
        }
        if message.delay_s.is_some() {
            return Err(format!(
                "{name} is a FIFO queue, whose messages have no delay of their own"
            ));
        }
        let group = message.group.as_deref();
        let group = group.ok_or_else(|| format!("{name} is a FIFO queue, and it has no group"))?;
        let given = message.deduplication_id.clone();
        let by_content = || self.queue.by_content.then(|| message.content_id());
        let deduplication_id = given.or_else(by_content).ok_or_else(|| {
            format!(
                "{name} does not know duplicates by their content, and it has no deduplication id"
            )
        })?;
        Ok(Some(Place {
            group,
            deduplication_id,
        }))
    }

    fn store(&self, message: &Encoded, place: Option<&Place<'_>>) -> rusqlite::Result<Sent> {
        if let Some(place) = place
            && let Some((id, sequence)) = self.duplicate_of(place)?
        {
            return Ok(sent(message, id, Some(sequence)));
        }
        let id = self.names.message_id();
        let sequence = place.map(|_| self.next_sequence()).transpose()?;
        let delay_ms = message.delay_s.map(|delay| delay.cast_signed() * 1_000);
        let visible_ms = self.now_ms + delay_ms.unwrap_or(self.queue.delay_ms);
        self.insert(message, place, &id, sequence, visible_ms)?;
        if let (Some(place), Some(sequence)) = (place, sequence) {
            self.connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO deduplications (queue, deduplication, sent_ms, id,
                     sequence) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![
                    self.queue.queue,
                    place.deduplication_id,
                    self.now_ms,
                    id,
                    sequence
                ])?;
            groups::begin(self.connection, self.queue.queue, place.group, visible_ms)?;
        }
        Ok(sent(message, id, sequence))
    }

    fn insert(
        &self,
        message: &Encoded,
        place: Option<&Place<'_>>,
        id: &str,
        sequence: Option<i64>,
        visible_ms: i64,
    ) -> rusqlite::Result<()> {
        let bytes = message.bytes() as i64;
        self.connection
            .prepare_cached(
                "INSERT INTO messages (queue, visible_ms, sent_ms, message_group, sequence, bytes)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                self.queue.queue,
                visible_ms,
                self.now_ms,
                message.group,
                sequence,
                bytes
            ])?;
        let number = self.connection.last_insert_rowid();
        self.connection
            .prepare_cached(
                "INSERT INTO bodies (message, id, deduplication, trace_header, md5_of_body,
                 md5_of_attributes, attributes, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                number,
                id,
                place.map(|place| &place.deduplication_id),
                message.trace_header,
                message.md5_of_body,
                message.md5_of_attributes,
                message.attributes,
                message.body,
            ])?;
        self.connection
            .prepare_cached("UPDATE queues SET bytes = bytes + ?2 WHERE queue = ?1")?
            .execute(params![self.queue.queue, bytes])
            .map(|_| ())
    }

    fn duplicate_of(&self, place: &Place<'_>) -> rusqlite::Result<Option<(String, i64)>> {
        self.connection
            .prepare_cached(
                "SELECT id, sequence FROM deduplications
                 WHERE queue = ?1 AND deduplication = ?2 AND sent_ms > ?3",
            )?
            .query_row(
                params![
                    self.queue.queue,
                    place.deduplication_id,
                    self.now_ms - DEDUPLICATION_MS
                ],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
    }

    fn next_sequence(&self) -> rusqlite::Result<i64> {
        next_sequence(self.connection, self.queue.queue)
    }
}

/// Takes the next number of a FIFO queue.
pub(super) fn next_sequence(connection: &Connection, queue: i64) -> rusqlite::Result<i64> {
    connection
        .prepare_cached(
            "UPDATE queues SET next_sequence = next_sequence + 1 WHERE queue = ?1
             RETURNING next_sequence - 1",
        )?
        .query_row([queue], |row| row.get(0))
}

fn sent(message: &Encoded, message_id: String, sequence: Option<i64>) -> Sent {
    Sent {
        message_id,
        md5_of_body: message.md5_of_body.clone(),
        md5_of_attributes: message.md5_of_attributes.clone(),
        sequence_number: sequence.map(sequence_number),
    }
}
