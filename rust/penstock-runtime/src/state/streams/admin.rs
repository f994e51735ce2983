//! Creates, describes and deletes streams.

use penstock_engine::ids::ShardId;
use penstock_engine::io::ShardInfo;
use penstock_engine::time::Wall;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::super::Flush;
use super::super::writer::Written;
use super::layout::{HashRange, SHARDS_MAX, check_name, even_ranges, shard_id, stream_arn};
use super::registry::{Entry, Tip};
use super::{StreamError, Streams, sql};

/// One stream, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamDescription {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// When it was created: tells streams of one name apart.
    pub created: Wall,
    /// How long records are kept, in seconds.
    pub retention_s: u64,
    /// Bytes held.
    pub bytes: u64,
    /// Records held.
    pub records: u64,
    /// Its shards, in the order of their birth.
    pub shards: Vec<ShardDescription>,
}

/// One shard, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShardDescription {
    /// Its name.
    pub id: ShardId,
    /// The shards it came from.
    pub parents: Vec<ShardId>,
    /// Whether it takes no more records.
    pub closed: bool,
    /// Its lowest hash key, in decimal.
    pub starting_hash_key: String,
    /// Its highest hash key, in decimal.
    pub ending_hash_key: String,
    /// Bytes held.
    pub bytes: u64,
    /// Records held.
    pub records: u64,
}

impl ShardDescription {
    /// The shard as engines know it.
    #[must_use]
    pub fn info(&self) -> ShardInfo {
        ShardInfo {
            id: self.id.clone(),
            parents: self.parents.clone(),
            closed: self.closed,
        }
    }
}

impl Streams {
    /// Creates a stream and waits, as a thread, until it is on disk.
    ///
    /// # Errors
    ///
    /// When the name or the number of shards cannot be, or the name is taken.
    pub fn create(&self, name: &str, shards: u32) -> Result<(), StreamError> {
        self.start_create(name, shards)?.wait().map(|_| ())
    }

    /// As `create`, for tasks.
    ///
    /// # Errors
    ///
    /// As `create`.
    pub async fn create_from_task(&self, name: &str, shards: u32) -> Result<(), StreamError> {
        self.start_create(name, shards)?.done().await.map(|_| ())
    }

    fn start_create(
        &self,
        name: &str,
        shards: u32,
    ) -> Result<Written<i64, StreamError>, StreamError> {
        check_name(name)?;
        if !(1..=SHARDS_MAX).contains(&shards) {
            let message = format!("a stream has 1 to {SHARDS_MAX} shards, not {shards}");
            return Err(StreamError::Invalid(message));
        }
        let created_ms = self.core.wall_ms();
        let owned = name.to_owned();
        let work = move |connection: &Connection| {
            if stream_row(connection, &owned)?.is_some() {
                return Err(StreamError::Exists(owned));
            }
            insert_stream(connection, &owned, created_ms, shards).map_err(|error| sql(&error))
        };
        let (name, registry) = (name.to_owned(), self.registry.clone());
        let after = move |stream: &i64| {
            registry.insert(&name, Entry::new(*stream, created_ms));
            for shard in 0..shards {
                registry.update(&name, shard, Tip::of_new_shard());
            }
        };
        Ok(self.core.write(Flush::Now, 0, work, after))
    }

    /// Describes every stream, by name.
    ///
    /// # Errors
    ///
    /// When the state cannot be read.
    pub fn list(&self) -> Result<Vec<StreamDescription>, StreamError> {
        let names = self.core.read(|connection| {
            let mut query = connection.prepare("SELECT name FROM streams ORDER BY name")?;
            let names = query.query_map([], |row| row.get(0))?;
            names.collect::<rusqlite::Result<Vec<String>>>()
        })?;
        let described = names.iter().map(|name| self.describe(name));
        // A stream that was deleted meanwhile is left out.
        described
            .filter(|one| !matches!(one, Err(StreamError::NotFound(_))))
            .collect()
    }

    /// Describes a stream.
    ///
    /// # Errors
    ///
    /// When there is none of this name.
    pub fn describe(&self, name: &str) -> Result<StreamDescription, StreamError> {
        let found = self.core.read(|connection| {
            let row = connection
                .query_row(
                    "SELECT stream, created_ms FROM streams WHERE name = ?1",
                    [name],
                    |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
                )
                .optional()?;
            row.map(|(stream, created)| Ok((created, describe_shards(connection, stream)?)))
                .transpose()
        })?;
        let (created, shards) = found.ok_or_else(|| StreamError::NotFound(name.to_owned()))?;
        Ok(StreamDescription {
            name: name.to_owned(),
            arn: stream_arn(name),
            created: Wall(created),
            retention_s: self.limits.retention.as_secs(),
            bytes: shards.iter().map(|shard| shard.bytes).sum(),
            records: shards.iter().map(|shard| shard.records).sum(),
            shards,
        })
    }

    /// Deletes a stream with everything in it.
    ///
    /// # Errors
    ///
    /// When there is none of this name.
    pub fn delete(&self, name: &str) -> Result<(), StreamError> {
        let owned = name.to_owned();
        let work = move |connection: &Connection| {
            let stream = stream_row(connection, &owned)?.ok_or(StreamError::NotFound(owned))?;
            let delete = |statement: &str| {
                connection
                    .execute(statement, [stream])
                    .map_err(|error| sql(&error))
            };
            delete("DELETE FROM pages WHERE stream = ?1")?;
            delete("DELETE FROM streams WHERE stream = ?1").map(|_| ())
        };
        let (name, registry) = (name.to_owned(), self.registry.clone());
        self.core
            .write(Flush::Now, 0, work, move |()| registry.remove(&name))
            .wait()
    }
}

/// The shards of a stream in the order of their birth.
pub(super) fn describe_shards(
    connection: &Connection,
    stream: i64,
) -> rusqlite::Result<Vec<ShardDescription>> {
    let mut query = connection.prepare_cached(
        "SELECT shard, parent, adjacent_parent, closed_ms IS NOT NULL, hash_first, hash_last, bytes,
         (SELECT coalesce(sum(records), 0) FROM pages
          WHERE pages.stream = shards.stream AND pages.shard = shards.shard)
         FROM shards WHERE stream = ?1 ORDER BY shard",
    )?;
    let rows = query.query_map([stream], |row| {
        let parents: [Option<u32>; 2] = [row.get(1)?, row.get(2)?];
        Ok(ShardDescription {
            id: shard_id(row.get(0)?),
            parents: parents.into_iter().flatten().map(shard_id).collect(),
            closed: row.get(3)?,
            starting_hash_key: u128::from_be_bytes(row.get(4)?).to_string(),
            ending_hash_key: u128::from_be_bytes(row.get(5)?).to_string(),
            bytes: row.get::<_, i64>(6)?.unsigned_abs(),
            records: row.get::<_, i64>(7)?.unsigned_abs(),
        })
    })?;
    rows.collect()
}

pub(super) fn stream_row(connection: &Connection, name: &str) -> Result<Option<i64>, StreamError> {
    connection
        .query_row(
            "SELECT stream FROM streams WHERE name = ?1",
            [name],
            |row| row.get(0),
        )
        .optional()
        .map_err(|error| sql(&error))
}

fn insert_stream(
    connection: &Connection,
    name: &str,
    created_ms: i64,
    shards: u32,
) -> rusqlite::Result<i64> {
    connection.execute(
        "INSERT INTO streams (name, created_ms, next_shard) VALUES (?1, ?2, ?3)",
        params![name, created_ms, shards],
    )?;
    let stream = connection.last_insert_rowid();
    for (shard, range) in (0..).zip(even_ranges(shards)) {
        insert_shard(
            connection,
            stream,
            shard,
            range,
            [None, None],
            created_ms / 1_000,
        )?;
    }
    Ok(stream)
}

pub(super) fn insert_shard(
    connection: &Connection,
    stream: i64,
    shard: u32,
    range: HashRange,
    parents: [Option<u32>; 2],
    born_s: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO shards (stream, shard, hash_first, hash_last, parent, adjacent_parent,
             born_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            stream,
            shard,
            range.first.to_be_bytes(),
            range.last.to_be_bytes(),
            parents[0],
            parents[1],
            born_s,
        ])
        .map(|_| ())
}
