//! Reads shards.
//!
//! Rules: a fetch copies the text of whole rows and notes where records lie in it; a wait looks at
//! tips in memory and reads nothing until there is something; what was trimmed behind a position
//! is told, not skipped in silence.

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::ids::{Position, ShardId};
use penstock_engine::io::{Fetched, ShardInfo, ShardListing};
use penstock_engine::record::Page as _;
use penstock_engine::time::Wall;
use rusqlite::{Connection, Row, params};
use tokio::sync::watch;

use super::admin::describe_shards;
use super::append::column;
use super::layout::shard_number;
use super::registry::Tip;
use super::sequence::{DIGITS, Sequence};
use super::{StreamError, Streams, broken_row, shard_not_found};
use crate::page::{Slice, SlicePage, SliceRecord};

/// The most bytes that one fetch answers, as Kinesis has it; a first record always fits.
pub const FETCH_BYTES_MAX: usize = 10 << 20;

/// One shard as a reader sees it.
struct Place {
    stream: i64,
    shard: u32,
    tip: watch::Receiver<Tip>,
}

/// What a row tells of itself besides its text.
struct Head {
    first_record: u64,
    records: u64,
    arrival: Wall,
}

impl Streams {
    /// Lists a stream's shards as engines want them.
    ///
    /// # Errors
    ///
    /// When there is no such stream.
    pub fn listing(&self, name: &str) -> Result<ShardListing, StreamError> {
        let found = self
            .registry
            .with(name, |entry| (entry.stream, entry.created_ms));
        let (stream, created_ms) = found.ok_or_else(|| StreamError::NotFound(name.to_owned()))?;
        let shards = self
            .core
            .read(|connection| describe_shards(connection, stream))?;
        Ok(ShardListing {
            shards: shards.iter().map(super::ShardDescription::info).collect(),
            server_time: self.core.clock.now().wall,
            incarnation: Some(Wall(created_ms)),
            retention: Some(self.limits.retention),
        })
    }

    /// Reads once, without waiting; blocks on the disk.
    ///
    /// # Errors
    ///
    /// The fault as an engine wants it: no such stream or shard, a position of another shard, or
    /// records behind it that were trimmed.
    pub fn read(
        &self,
        name: &str,
        shard: &ShardId,
        from: &Position,
        limit: u32,
    ) -> Result<Fetched, Fault> {
        let place = self.place(name, shard).map_err(|error| error.fault())?;
        // Taken before the rows are read, so that an end is believed only when all was seen.
        let tip = *place.tip.borrow();
        let start = match from {
            Position::ShardEnd => return Ok(nothing(self.children(&place)?, true)),
            Position::TrimHorizon => Some(tip.trimmed_to + 1),
            Position::After { sequence, .. } => Some(place.after(sequence.as_str(), tip, shard)?),
            Position::AtTimestamp(at) => self.first_at(&place, *at)?,
        };
        let page = match start.filter(|&start| start < tip.next_record) {
            Some(start) => self.page(&place, start, limit)?,
            None => None,
        };
        let Some((page, last)) = page else {
            let children = if tip.closed {
                self.children(&place)?
            } else {
                Vec::new()
            };
            return Ok(nothing(children, tip.closed));
        };
        let more = last + 1 < tip.next_record;
        let ended = tip.closed && !more;
        let children = if ended {
            self.children(&place)?
        } else {
            Vec::new()
        };
        let arrival = page.facts().last().map_or(Wall(0), |facts| facts.arrival);
        let age = self
            .core
            .clock
            .now()
            .wall
            .millis_since(arrival)
            .unsigned_abs();
        let behind_ms = Some(if more { age } else { 0 });
        Ok(Fetched {
            page: Some(Arc::new(page)),
            next: None,
            behind_ms,
            ended,
            children,
        })
    }

    /// Refuses a position that a shard does not have: trimmed, of another shard, behind its last
    /// record, or the end of one that is open.
    ///
    /// # Errors
    ///
    /// The fault, with the reason.
    pub fn check_position(
        &self,
        name: &str,
        shard: &ShardId,
        position: &Position,
    ) -> Result<(), Fault> {
        let place = self.place(name, shard).map_err(|error| error.fault())?;
        let tip = *place.tip.borrow();
        let refused = |message| Err(Fault::new(FaultKind::Invalid, message));
        match position {
            Position::TrimHorizon | Position::AtTimestamp(_) => Ok(()),
            Position::ShardEnd if tip.closed => Ok(()),
            Position::ShardEnd => refused(format!("shard {shard} of stream {name} is not closed")),
            Position::After { sequence, .. } => {
                if place.after(sequence.as_str(), tip, shard)? > tip.next_record {
                    return refused(format!(
                        "{sequence} is behind the last record of shard {shard} of stream {name}"
                    ));
                }
                Ok(())
            }
        }
    }

    /// Waits until `read` would find a record or an end, or fail; at most `wait`.
    pub async fn readable(&self, name: &str, shard: &ShardId, from: &Position, wait: Duration) {
        let Ok(mut place) = self.place(name, shard) else {
            return;
        };
        let until = self.core.clock.now().mono + wait;
        let mut time_up = self.core.clock.sleep_until(until);
        loop {
            let tip = *place.tip.borrow_and_update();
            if tip.closed || self.has_more(&place, tip, shard, from) {
                return;
            }
            tokio::select! {
                changed = place.tip.changed() => if changed.is_err() { return },
                () = &mut time_up => return,
            }
        }
    }

    fn has_more(&self, place: &Place, tip: Tip, shard: &ShardId, from: &Position) -> bool {
        let start = match from {
            Position::ShardEnd => return true,
            Position::TrimHorizon => Ok(Some(tip.trimmed_to + 1)),
            Position::After { sequence, .. } => {
                place.after(sequence.as_str(), tip, shard).map(Some)
            }
            Position::AtTimestamp(at) => self.first_at(place, *at),
        };
        // A failure is for `read` to tell.
        start.map_or(true, |start| {
            start.is_some_and(|start| start < tip.next_record)
        })
    }

    fn place(&self, name: &str, shard: &ShardId) -> Result<Place, StreamError> {
        let number = shard_number(shard).ok_or_else(|| shard_not_found(name, shard))?;
        let found = self.registry.with(name, |entry| {
            let tip = entry.shards.get(&number)?.subscribe();
            Some(Place {
                stream: entry.stream,
                shard: number,
                tip,
            })
        });
        match found {
            None => Err(StreamError::NotFound(name.to_owned())),
            Some(None) => Err(shard_not_found(name, shard)),
            Some(Some(place)) => Ok(place),
        }
    }

    /// The number of the first record that arrived at or after a moment.
    fn first_at(&self, place: &Place, at: Wall) -> Result<Option<u64>, Fault> {
        let first: Option<i64> = self.core.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT min(first_record) FROM pages
                     WHERE stream = ?1 AND shard = ?2 AND arrival_ms >= ?3",
                )?
                .query_row(params![place.stream, place.shard, at.0], |row| row.get(0))
        })?;
        Ok(first.map(i64::unsigned_abs))
    }

    /// The shards that follow a closed one.
    fn children(&self, place: &Place) -> Result<Vec<ShardInfo>, Fault> {
        let all = self
            .core
            .read(|connection| describe_shards(connection, place.stream))?;
        let parent = super::layout::shard_id(place.shard);
        Ok(all
            .iter()
            .filter(|shard| shard.parents.contains(&parent))
            .map(super::ShardDescription::info)
            .collect())
    }

    /// The records from number `start` on, and the number of the last; `None` when none is left.
    fn page(
        &self,
        place: &Place,
        start: u64,
        limit: u32,
    ) -> Result<Option<(SlicePage, u64)>, Fault> {
        let mut text = Text::new(u64::from(limit));
        self.core
            .read(|connection| text.gather(connection, place, start))?;
        text.into_page().map_err(Fault::from)
    }
}

impl Place {
    /// The number of the record that follows one of this shard.
    fn after(&self, sequence: &str, tip: Tip, id: &ShardId) -> Result<u64, Fault> {
        let found = Sequence::parse(sequence).filter(|found| found.shard == self.shard);
        let Some(found) = found else {
            let message = format!("{sequence} is not a sequence number of shard {id}");
            return Err(Fault::new(FaultKind::Invalid, message));
        };
        if found.record < tip.trimmed_to {
            let message = format!(
                "records of shard {id} behind {sequence} have expired, {} at most",
                tip.trimmed_to - found.record
            );
            return Err(Fault::new(FaultKind::Trimmed, message));
        }
        Ok(found.record + 1)
    }
}

fn nothing(children: Vec<ShardInfo>, ended: bool) -> Fetched {
    Fetched {
        page: None,
        next: None,
        behind_ms: Some(0),
        ended,
        children,
    }
}

/// Rows on their way to a page.
struct Text {
    room: u64,
    body: Vec<u8>,
    records: Vec<SliceRecord>,
    last: u64,
    /// A row whose lengths and text do not fit each other.
    broken: bool,
}

impl Text {
    fn new(room: u64) -> Self {
        Self {
            room,
            body: Vec::new(),
            records: Vec::new(),
            last: 0,
            broken: false,
        }
    }

    fn gather(
        &mut self,
        connection: &Connection,
        place: &Place,
        start: u64,
    ) -> rusqlite::Result<()> {
        let mut query = connection.prepare_cached(
            "SELECT first_record, records, arrival_ms, lengths, body FROM pages
             WHERE stream = ?1 AND shard = ?2 AND first_record >= coalesce(
                 (SELECT max(first_record) FROM pages
                  WHERE stream = ?1 AND shard = ?2 AND first_record <= ?3), 0)
             ORDER BY first_record",
        )?;
        let mut rows = query.query(params![place.stream, place.shard, column(start)])?;
        while !self.broken && self.room > 0 {
            let Some(row) = rows.next()? else { break };
            let full = self.add(row, start)?;
            if full {
                break;
            }
        }
        Ok(())
    }

    /// Adds what is wanted of a row; tells whether the page is full.
    fn add(&mut self, row: &Row<'_>, start: u64) -> rusqlite::Result<bool> {
        let head = Head {
            first_record: row.get::<_, i64>(0)?.unsigned_abs(),
            records: row.get::<_, i64>(1)?.unsigned_abs(),
            arrival: Wall(row.get(2)?),
        };
        let lengths = row.get_ref(3)?.as_blob()?;
        let body = row.get_ref(4)?.as_bytes()?;
        let skipped = start.saturating_sub(head.first_record);
        if skipped >= head.records {
            return Ok(false);
        }
        let (lengths, []) = lengths.as_chunks::<8>() else {
            self.broken = true;
            return Ok(true);
        };
        if lengths.len() as u64 != head.records {
            self.broken = true;
            return Ok(true);
        }
        Ok(self.add_records(&head, lengths, body, skipped as usize))
    }

    fn add_records(
        &mut self,
        head: &Head,
        lengths: &[[u8; 8]],
        body: &[u8],
        skipped: usize,
    ) -> bool {
        let record_bytes = |pair: &[u8; 8]| {
            let (key, data) = lengths_of(pair);
            key + DIGITS + data
        };
        let from: usize = lengths[..skipped].iter().map(record_bytes).sum();
        let mut end = from;
        let mut taken = 0;
        for pair in &lengths[skipped..] {
            let next = end + record_bytes(pair);
            let fits = self.body.len() + next - from <= FETCH_BYTES_MAX || self.records.is_empty();
            if taken == self.room || !fits {
                break;
            }
            let base = self.body.len() + end - from;
            let (key, data) = lengths_of(pair);
            let sequence = base + key;
            let slices = [
                Slice::of_body(base..sequence),
                Slice::of_body(sequence..sequence + DIGITS),
                Slice::of_body(sequence + DIGITS..sequence + DIGITS + data),
            ];
            let [Some(partition_key), Some(sequence_number), Some(data)] = slices else {
                self.broken = true;
                return true;
            };
            let arrival = head.arrival;
            self.records.push(SliceRecord {
                partition_key,
                sequence_number,
                data,
                arrival,
            });
            end = next;
            taken += 1;
        }
        let Some(text) = body.get(from..end) else {
            self.broken = true;
            return true;
        };
        self.body.extend_from_slice(text);
        self.room -= taken;
        let last = skipped as u64 + taken;
        if taken > 0 {
            self.last = head.first_record + last - 1;
        }
        last < head.records
    }

    fn into_page(mut self) -> Result<Option<(SlicePage, u64)>, crate::error::StoreError> {
        let broken = || broken_row("a row of an embedded stream does not add up");
        if self.broken {
            return Err(broken());
        }
        if self.records.is_empty() {
            return Ok(None);
        }
        if self.body.capacity() > self.body.len() / 2 * 3 {
            self.body.shrink_to_fit();
        }
        let body = String::from_utf8(self.body).map_err(|_| broken())?;
        let page = SlicePage::new(body, String::new(), self.records).map_err(|_| broken())?;
        Ok(Some((page, self.last)))
    }
}

fn lengths_of(pair: &[u8; 8]) -> (usize, usize) {
    let [a, b, c, d, e, f, g, h] = *pair;
    (
        u32::from_le_bytes([a, b, c, d]) as usize,
        u32::from_le_bytes([e, f, g, h]) as usize,
    )
}
