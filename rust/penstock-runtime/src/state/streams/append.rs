//! Puts records into a stream.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use penstock_engine::ids::{SequenceNumber, ShardId};
use rusqlite::{Connection, OptionalExtension, params};

use super::super::Flush;
use super::super::writer::Written;
use super::layout::{HashRange, hash_of, shard_id};
use super::registry::Tip;
use super::sequence::Sequence;
use super::{StreamError, Streams, sql, trim};

/// The most records of one put.
pub const PUT_RECORDS_MAX: usize = 10_000;

/// The most bytes of one put: keys and payloads.
pub const PUT_BYTES_MAX: usize = 10 << 20;

/// The most bytes of one record: key and payload.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// The most characters of a partition key.
const KEY_CHARACTERS_MAX: usize = 256;

/// A record to put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// Decides the shard, and the lane within it.
    pub partition_key: String,
    /// The payload.
    pub data: Vec<u8>,
    /// Decides the shard instead of the key's own hash.
    pub hash_key: Option<u128>,
}

/// Where a record was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The shard.
    pub shard: ShardId,
    /// Its sequence number there.
    pub sequence_number: SequenceNumber,
}

impl Streams {
    /// Puts records and waits, as a thread, until they are on disk. Tells where each went.
    ///
    /// # Errors
    ///
    /// When there is no such stream, no room, a record that is too large, or the disk fails; then
    /// none of the records was put.
    pub fn put(&self, name: &str, records: Vec<NewRecord>) -> Result<Vec<Placed>, StreamError> {
        Ok(self.start_put(name, records)?.wait()?.placed)
    }

    /// As `put`, for tasks.
    ///
    /// # Errors
    ///
    /// As `put`.
    pub async fn put_from_task(
        &self,
        name: &str,
        records: Vec<NewRecord>,
    ) -> Result<Vec<Placed>, StreamError> {
        Ok(self.start_put(name, records)?.done().await?.placed)
    }

    fn start_put(
        &self,
        name: &str,
        records: Vec<NewRecord>,
    ) -> Result<Written<Done, StreamError>, StreamError> {
        check(&records)?;
        let encoded: Vec<Encoded> = records.into_iter().map(Encoded::from).collect();
        let bytes = encoded.iter().map(Encoded::stored_bytes).sum();
        let put = Put {
            name: name.to_owned(),
            arrival_ms: self.core.wall_ms(),
            expiry_ms: self.expiry().0,
            bytes_max: self.limits.bytes_max,
        };
        let registry = self.registry.clone();
        let work = move |connection: &Connection| put.perform(connection, &encoded);
        let after = move |done: &Done| {
            for (name, shard, tip) in &done.tips {
                registry.update(name, *shard, *tip);
            }
        };
        Ok(self.core.write(Flush::Now, bytes, work, after))
    }
}

fn check(records: &[NewRecord]) -> Result<(), StreamError> {
    let invalid = |message: String| Err(StreamError::Invalid(message));
    if records.is_empty() || records.len() > PUT_RECORDS_MAX {
        let count = records.len();
        return invalid(format!(
            "a put takes 1 to {PUT_RECORDS_MAX} records, not {count}"
        ));
    }
    let mut total = 0;
    for (index, record) in records.iter().enumerate() {
        let characters = record.partition_key.chars().count();
        if !(1..=KEY_CHARACTERS_MAX).contains(&characters) {
            return invalid(format!(
                "the partition key of record {index} has {characters} characters, 1 to \
                 {KEY_CHARACTERS_MAX} are allowed"
            ));
        }
        let bytes = record.partition_key.len() + record.data.len();
        if bytes > RECORD_BYTES_MAX {
            return invalid(format!(
                "record {index} has {bytes} bytes with its key, {RECORD_BYTES_MAX} are allowed"
            ));
        }
        total += bytes;
    }
    if total > PUT_BYTES_MAX {
        return invalid(format!("a put takes {PUT_BYTES_MAX} bytes, not {total}"));
    }
    Ok(())
}

/// A record with its payload as it is stored.
struct Encoded {
    hash: u128,
    partition_key: String,
    data: String,
}

impl Encoded {
    fn stored_bytes(&self) -> usize {
        self.partition_key.len() + super::sequence::DIGITS + self.data.len()
    }
}

impl From<NewRecord> for Encoded {
    fn from(record: NewRecord) -> Self {
        let hash = record
            .hash_key
            .unwrap_or_else(|| hash_of(&record.partition_key));
        let data = STANDARD.encode(&record.data);
        Self {
            hash,
            partition_key: record.partition_key,
            data,
        }
    }
}

/// What a put does.
struct Put {
    name: String,
    arrival_ms: i64,
    expiry_ms: i64,
    bytes_max: u64,
}

/// What a put has done.
struct Done {
    placed: Vec<Placed>,
    tips: Vec<(String, u32, Tip)>,
}

/// An open shard, and what the put adds to it.
struct OpenShard {
    shard: u32,
    id: ShardId,
    range: HashRange,
    born_s: u64,
    next_record: u64,
    trimmed_to: u64,
    records: i64,
    lengths: Vec<u8>,
    body: Vec<u8>,
}

impl Put {
    fn perform(&self, connection: &Connection, records: &[Encoded]) -> Result<Done, StreamError> {
        let stream: Option<i64> = connection
            .prepare_cached("SELECT stream FROM streams WHERE name = ?1")
            .and_then(|mut query| query.query_row([&self.name], |row| row.get(0)).optional())
            .map_err(|error| sql(&error))?;
        let stream = stream.ok_or_else(|| StreamError::NotFound(self.name.clone()))?;
        let bytes = records.iter().map(Encoded::stored_bytes).sum::<usize>() as u64;
        let mut tips = trim::make_room(connection, bytes, self.bytes_max, self.expiry_ms)?;
        let mut shards = open_shards(connection, stream).map_err(|error| sql(&error))?;
        let mut placed = Vec::with_capacity(records.len());
        for record in records {
            let shard = shards
                .iter_mut()
                .find(|shard| shard.range.contains(record.hash))
                .ok_or_else(|| super::broken_row("no open shard takes a hash key"))?;
            placed.push(shard.add(record, self.arrival_ms));
        }
        for shard in shards.iter().filter(|shard| shard.records > 0) {
            shard
                .store(connection, stream, self.arrival_ms)
                .map_err(|error| sql(&error))?;
            let tip = Tip {
                next_record: shard.next_record,
                trimmed_to: shard.trimmed_to,
                closed: false,
            };
            tips.push((self.name.clone(), shard.shard, tip));
        }
        Ok(Done { placed, tips })
    }
}

impl OpenShard {
    fn add(&mut self, record: &Encoded, arrival_ms: i64) -> Placed {
        let sequence = Sequence {
            born_s: self.born_s,
            record: self.next_record,
            arrived_s: u64::try_from(arrival_ms / 1_000).unwrap_or(0),
            shard: self.shard,
        };
        let digits = sequence.digits();
        self.next_record += 1;
        self.records += 1;
        for length in [record.partition_key.len(), record.data.len()] {
            let length = u32::try_from(length).expect("a record has at most 1 MiB");
            self.lengths.extend_from_slice(&length.to_le_bytes());
        }
        for text in [&record.partition_key, &digits, &record.data] {
            self.body.extend_from_slice(text.as_bytes());
        }
        Placed {
            shard: self.id.clone(),
            sequence_number: SequenceNumber::new(digits),
        }
    }

    fn store(&self, connection: &Connection, stream: i64, arrival_ms: i64) -> rusqlite::Result<()> {
        let next_record = column(self.next_record);
        let bytes = column(self.body.len() as u64);
        let body = std::str::from_utf8(&self.body).expect("keys, digits and base64 are text");
        connection
            .prepare_cached(
                "INSERT INTO pages (stream, shard, first_record, records, arrival_ms, bytes,
                 lengths, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                stream,
                self.shard,
                next_record - self.records,
                self.records,
                arrival_ms,
                bytes,
                self.lengths,
                body,
            ])?;
        connection
            .prepare_cached(
                "UPDATE shards SET next_record = ?3, bytes = bytes + ?4
                 WHERE stream = ?1 AND shard = ?2",
            )?
            .execute(params![stream, self.shard, next_record, bytes])?;
        Ok(())
    }
}

fn open_shards(connection: &Connection, stream: i64) -> rusqlite::Result<Vec<OpenShard>> {
    let mut query = connection.prepare_cached(
        "SELECT shard, hash_first, hash_last, born_s, next_record, trimmed_to FROM shards
         WHERE stream = ?1 AND closed_ms IS NULL",
    )?;
    let rows = query.query_map([stream], |row| {
        let hash = |index| -> rusqlite::Result<u128> { row.get(index).map(u128::from_be_bytes) };
        let shard = row.get(0)?;
        Ok(OpenShard {
            shard,
            id: shard_id(shard),
            range: HashRange {
                first: hash(1)?,
                last: hash(2)?,
            },
            born_s: row.get::<_, i64>(3)?.unsigned_abs(),
            next_record: row.get::<_, i64>(4)?.unsigned_abs(),
            trimmed_to: row.get::<_, i64>(5)?.unsigned_abs(),
            records: 0,
            lengths: Vec::new(),
            body: Vec::new(),
        })
    })?;
    rows.collect()
}

/// Numbers of records and bytes stay far below 2^63.
pub(super) fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
