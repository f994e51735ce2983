//! Simulates a stream: shards that split, merge, close and are trimmed, and what a read of them
//! finds.
//!
//! Rules: sequence numbers grow over the whole stream, with gaps, and from one digit upwards, so
//! that whoever compares them as text is found out; a closed shard takes no record; nothing here
//! draws chances, so what a read finds follows from what was done to the stream.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use penstock_engine::ids::{Position, ShardId};
use penstock_engine::io::{ShardInfo, ShardListing};
use penstock_engine::record::Page;
use penstock_engine::time::Wall;

use crate::page::{Ledger, SimPage};

/// Keys are spread over this space, of which each shard owns a range.
const KEY_SPACE: u32 = 1 << 16;

/// One record as it stands in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimRecord {
    /// Its sequence number.
    pub sequence: u128,
    /// Its partition key.
    pub key: u32,
    /// When it arrived.
    pub arrival: Wall,
    /// Bytes that it adds to an event.
    pub weight: u32,
    /// Whether the mapping's filters drop it.
    pub filtered: bool,
}

/// One shard.
#[derive(Debug, Clone)]
pub struct SimShard {
    /// Its name.
    pub id: ShardId,
    /// Where it came from.
    pub parents: Vec<usize>,
    /// The part of the key space that it owns.
    pub keys: Range<u32>,
    /// Whether it takes no more records.
    pub closed: bool,
    /// How many of its first records are gone.
    pub trimmed: usize,
    /// Whether the listing still shows it.
    pub listed: bool,
    /// From when on the listing shows it.
    pub shown_from: Wall,
    /// Its records, the trimmed ones included.
    pub records: Vec<SimRecord>,
}

/// What a read from a position finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The next record is this one, which may not exist yet.
    At(usize),
    /// The position is older than what is left.
    Trimmed,
}

/// A stream.
#[derive(Debug)]
pub struct SimStream {
    /// Its shards, by their numbers.
    pub shards: Vec<SimShard>,
    /// When it was created.
    pub incarnation: Wall,
    /// What its pages pin.
    pub ledger: Ledger,
    next_sequence: u128,
}

impl SimStream {
    /// A stream with so many open shards.
    #[must_use]
    pub fn new(shards: u32, incarnation: Wall) -> Self {
        let mut stream = Self {
            shards: Vec::new(),
            incarnation,
            ledger: Ledger::default(),
            next_sequence: 3,
        };
        let width = KEY_SPACE / shards.max(1);
        for number in 0..shards {
            let end = if number + 1 == shards {
                KEY_SPACE
            } else {
                (number + 1) * width
            };
            stream.open(Vec::new(), number * width..end, incarnation);
        }
        stream
    }

    /// Appends a record with a key; `gap` leaves sequence numbers out before it. Returns the
    /// shard.
    pub fn put(&mut self, record: SimRecord, gap: u32) -> usize {
        let spot = spot_of(record.key);
        let shard = self
            .shards
            .iter()
            .rposition(|shard| !shard.closed && shard.keys.contains(&spot))
            .expect("open shards cover the key space");
        self.put_into(shard, record, gap);
        shard
    }

    /// Appends a record to this shard, whatever its key.
    pub fn put_into(&mut self, shard: usize, mut record: SimRecord, gap: u32) {
        assert!(!self.shards[shard].closed, "a closed shard takes no record");
        self.next_sequence += u128::from(gap) + 1;
        record.sequence = self.next_sequence;
        self.shards[shard].records.push(record);
    }

    /// The last sequence number given.
    #[must_use]
    pub fn next_sequence(&self) -> u128 {
        self.next_sequence
    }

    /// Goes on behind the sequence numbers of another stream, as a re-created one does.
    pub fn go_on_from(&mut self, sequence: u128) {
        self.next_sequence = sequence;
    }

    /// Splits an open shard in the middle of its keys. Returns the children.
    pub fn split(&mut self, shard: usize, shown_from: Wall) -> [usize; 2] {
        let keys = self.shards[shard].keys.clone();
        let middle = keys.start + (keys.end - keys.start) / 2;
        self.shards[shard].closed = true;
        [
            self.open(vec![shard], keys.start..middle, shown_from),
            self.open(vec![shard], middle..keys.end, shown_from),
        ]
    }

    /// Merges two open shards that own neighbouring keys. Returns the child.
    pub fn merge(&mut self, left: usize, right: usize, shown_from: Wall) -> usize {
        let keys = self.shards[left].keys.start..self.shards[right].keys.end;
        self.shards[left].closed = true;
        self.shards[right].closed = true;
        self.open(vec![left, right], keys, shown_from)
    }

    /// Closes an open shard; one child owns its keys from then on. Returns the child.
    pub fn roll(&mut self, shard: usize, shown_from: Wall) -> usize {
        let keys = self.shards[shard].keys.clone();
        self.shards[shard].closed = true;
        self.open(vec![shard], keys, shown_from)
    }

    /// Pairs of open neighbours.
    #[must_use]
    pub fn neighbours(&self) -> Vec<(usize, usize)> {
        let open: Vec<usize> = self.open_shards();
        let mut pairs = Vec::new();
        for &left in &open {
            let end = self.shards[left].keys.end;
            let follows = |right: &usize| self.shards[*right].keys.start == end;
            pairs.extend(
                open.iter()
                    .copied()
                    .find(follows)
                    .map(|right| (left, right)),
            );
        }
        pairs
    }

    /// Shards that take records.
    #[must_use]
    pub fn open_shards(&self) -> Vec<usize> {
        (0..self.shards.len())
            .filter(|at| !self.shards[*at].closed)
            .collect()
    }

    /// Drops the first records up to `count` of a shard; a closed shard with none left leaves the
    /// listing.
    pub fn trim(&mut self, shard: usize, count: usize) {
        let shard = &mut self.shards[shard];
        shard.trimmed = shard.trimmed.max(count.min(shard.records.len()));
        if shard.closed && shard.trimmed == shard.records.len() {
            shard.listed = false;
        }
    }

    /// Where a read from `from` goes on.
    ///
    /// # Panics
    /// When asked to read behind a shard's end: nobody may.
    #[must_use]
    pub fn locate(&self, shard: usize, from: &Position) -> Place {
        let shard = &self.shards[shard];
        match from {
            Position::TrimHorizon => Place::At(shard.trimmed),
            Position::AtTimestamp(moment) => {
                let first = shard
                    .records
                    .partition_point(|record| record.arrival < *moment);
                Place::At(first.max(shard.trimmed))
            }
            Position::After { sequence, .. } => {
                let number = number_of(sequence.as_str());
                let next = shard
                    .records
                    .partition_point(|record| record.sequence <= number);
                if next < shard.trimmed {
                    Place::Trimmed
                } else {
                    Place::At(next)
                }
            }
            Position::ShardEnd => panic!("{} was read behind its end", shard.id),
        }
    }

    /// A page with these records of a shard.
    #[must_use]
    pub fn page(&self, shard: usize, range: Range<usize>) -> Arc<dyn Page> {
        Arc::new(SimPage::new(
            self.shards[shard].records[range].iter(),
            &self.ledger,
        ))
    }

    /// All shards that the listing shows at `now`.
    #[must_use]
    pub fn listing(&self, now: Wall, retention: Option<Duration>) -> ShardListing {
        let shown = |shard: &&SimShard| shard.listed && shard.shown_from <= now;
        ShardListing {
            shards: self
                .shards
                .iter()
                .filter(shown)
                .map(|shard| self.info(shard))
                .collect(),
            server_time: now,
            incarnation: Some(self.incarnation),
            retention,
        }
    }

    /// The shards that came out of this one.
    #[must_use]
    pub fn children(&self, shard: usize) -> Vec<ShardInfo> {
        let of = |child: &&SimShard| child.parents.contains(&shard);
        self.shards
            .iter()
            .filter(of)
            .map(|child| self.info(child))
            .collect()
    }

    /// Which shard has this name.
    #[must_use]
    pub fn find(&self, id: &ShardId) -> Option<usize> {
        self.shards.iter().position(|shard| shard.id == *id)
    }

    fn info(&self, shard: &SimShard) -> ShardInfo {
        ShardInfo {
            id: shard.id.clone(),
            parents: shard
                .parents
                .iter()
                .map(|at| self.shards[*at].id.clone())
                .collect(),
            closed: shard.closed,
        }
    }

    /// A listing never shows a child before its parents.
    fn open(&mut self, parents: Vec<usize>, keys: Range<u32>, shown_from: Wall) -> usize {
        let parents_shown = parents
            .iter()
            .map(|parent| self.shards[*parent].shown_from)
            .max();
        let shown_from = parents_shown.map_or(shown_from, |shown| shown.max(shown_from));
        let number = self.shards.len();
        self.shards.push(SimShard {
            id: ShardId::new(format!("shardId-{number:012}")),
            parents,
            keys,
            closed: false,
            trimmed: 0,
            listed: true,
            shown_from,
            records: Vec::new(),
        });
        number
    }
}

/// The number that a sequence number's digits say.
#[must_use]
pub fn number_of(digits: &str) -> u128 {
    digits
        .parse()
        .expect("the simulator's sequence numbers fit 128 bits")
}

/// Where a key lies in the key space.
fn spot_of(key: u32) -> u32 {
    key.wrapping_mul(40_503) % KEY_SPACE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: u32) -> SimRecord {
        SimRecord {
            sequence: 0,
            key,
            arrival: Wall(7),
            weight: 10,
            filtered: false,
        }
    }

    #[test]
    fn a_split_closes_the_parent_and_children_take_its_keys() {
        let mut stream = SimStream::new(1, Wall(0));
        assert_eq!(stream.put(record(1), 0), 0);
        let children = stream.split(0, Wall(0));
        assert!(children.contains(&stream.put(record(1), 0)));
        assert!(stream.shards[0].closed);
        let [left, right] = children;
        assert_eq!(stream.neighbours(), [(left, right)]);
        let merged = stream.merge(left, right, Wall(0));
        assert_eq!(stream.put(record(1), 0), merged);
        assert_eq!(stream.children(left).len(), 1);
    }

    #[test]
    fn a_position_older_than_the_horizon_is_trimmed() {
        let mut stream = SimStream::new(1, Wall(0));
        for _ in 0..3 {
            stream.put(record(1), 4);
        }
        let first = stream.shards[0].records[0].sequence.to_string();
        let after = Position::after(penstock_engine::ids::SequenceNumber::new(first));
        assert_eq!(stream.locate(0, &after), Place::At(1));
        stream.trim(0, 2);
        assert_eq!(stream.locate(0, &after), Place::Trimmed);
        assert_eq!(stream.locate(0, &Position::TrimHorizon), Place::At(2));
        assert_eq!(
            stream.locate(0, &Position::AtTimestamp(Wall(8))),
            Place::At(3)
        );
    }

    #[test]
    fn pages_are_counted_until_they_are_dropped() {
        let mut stream = SimStream::new(1, Wall(0));
        stream.put(record(1), 0);
        stream.put(record(2), 0);
        let page = stream.page(0, 0..2);
        assert_eq!(stream.ledger.bytes(), 20);
        let part = page.extract(&[1]);
        drop(page);
        assert_eq!(stream.ledger.bytes(), 10);
        drop(part);
        assert_eq!(stream.ledger.bytes(), 0);
    }
}
