//! Keeps the stream of a case: shards and records with whole contents.
//!
//! Rules: a record has its number in the case, from 1 in the order of the puts; its sequence number
//! is long and grows in digits, so that whoever compares by text or by 64 bits is found out.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use penstock_engine::event::{dynamodb, kinesis};
use penstock_engine::ids::{Position, ShardId, compare_sequence_numbers};
use penstock_engine::io::{ShardInfo, ShardListing};
use penstock_engine::record::{ItemView, Page, RecordFacts, RecordView};
use penstock_engine::stream::router::hash_key;
use penstock_engine::time::Wall;

use crate::case::{Change, FullPut, Put};

/// What sequence numbers count from.
const SEQUENCE_BASE: u128 = 99_999_999_999_999_999_997;

/// One record.
#[derive(Debug)]
pub struct Record {
    /// Its number in the case.
    pub number: usize,
    /// Its sequence number.
    pub sequence: String,
    /// When it arrived.
    pub arrival: Wall,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Kinesis { key: String, data: String },
    Change(Box<Item>),
}

#[derive(Debug)]
struct Item {
    event_id: String,
    name: String,
    identity: Option<String>,
    keys: String,
    new: Option<String>,
    old: Option<String>,
    size: u64,
    view: String,
}

impl Record {
    fn view(&self) -> RecordView<'_> {
        match &self.content {
            Content::Kinesis { key, data } => RecordView::Kinesis {
                partition_key: key,
                sequence_number: &self.sequence,
                data,
                arrival: self.arrival,
            },
            Content::Change(item) => RecordView::DynamoDb(ItemView {
                event_id: &item.event_id,
                event_name: &item.name,
                user_identity: item.identity.as_deref(),
                created: self.arrival,
                keys: &item.keys,
                new_image: item.new.as_deref(),
                old_image: item.old.as_deref(),
                sequence_number: &self.sequence,
                size_bytes: item.size,
                view_type: &item.view,
            }),
        }
    }

    fn facts(&self) -> RecordFacts {
        let (key, weight) = match (&self.content, self.view()) {
            (Content::Kinesis { key, data }, _) => (
                key,
                kinesis::weight(key, &self.sequence, data, self.arrival),
            ),
            (Content::Change(item), RecordView::DynamoDb(view)) => {
                (&item.keys, dynamodb::weight(&view))
            }
            (Content::Change(_), RecordView::Kinesis { .. } | RecordView::Sqs(_)) => {
                unreachable!("a change is a change")
            }
        };
        let key_hash = hash_key(key.as_bytes());
        RecordFacts {
            key_hash,
            arrival: self.arrival,
            weight,
            filtered: false,
        }
    }
}

/// One shard.
#[derive(Debug)]
pub struct Shard {
    id: ShardId,
    parents: Vec<usize>,
    closed: bool,
    /// Whether the listing shows it.
    pub listed: bool,
    trimmed: usize,
    records: Vec<Arc<Record>>,
}

/// What a read found.
pub struct Found {
    /// The records.
    pub page: Option<Arc<dyn Page>>,
    /// Whether there is more.
    pub more: bool,
    /// Whether the shard is closed and this was its end.
    pub ended: bool,
    /// What came out of it.
    pub children: Vec<ShardInfo>,
}

/// The stream of a case.
#[derive(Debug)]
pub struct Stream {
    /// Its shards.
    pub shards: Vec<Shard>,
    /// All records, by number.
    pub records: Vec<Arc<Record>>,
    created: Wall,
}

impl Stream {
    /// A stream with so many open shards.
    pub fn new(shards: u32, created: Wall) -> Self {
        let mut stream = Self {
            shards: Vec::new(),
            records: Vec::new(),
            created,
        };
        for _ in 0..shards {
            stream.open(Vec::new());
        }
        stream
    }

    /// Appends what a put says.
    pub fn put(&mut self, put: &Put, now: Wall) {
        let full = match put {
            Put::Text(text) => FullPut {
                data: Some(text.clone()),
                ..FullPut::default()
            },
            Put::Full(full) => (**full).clone(),
        };
        for _ in 0..full.times.unwrap_or(1) {
            let number = self.records.len() + 1;
            let sequence = (SEQUENCE_BASE + number as u128).to_string();
            let content = match &full.change {
                Some(change) => Content::Change(Box::new(item(change, number))),
                None => kinesis_content(&full),
            };
            let at = now.0 - full.age_ms.cast_signed();
            let arrival = match content {
                Content::Change(_) => Wall(at - at.rem_euclid(1_000)),
                Content::Kinesis { .. } => Wall(at),
            };
            let record = Arc::new(Record {
                number,
                sequence,
                arrival,
                content,
            });
            let shard = &mut self.shards[full.shard];
            assert!(!shard.closed, "record {number} is put into a closed shard");
            shard.records.push(record.clone());
            self.records.push(record);
        }
    }

    /// Splits a shard.
    pub fn split(&mut self, shard: usize) {
        self.shards[shard].closed = true;
        self.open(vec![shard]);
        self.open(vec![shard]);
    }

    /// Merges two shards.
    pub fn merge(&mut self, pair: [usize; 2]) {
        pair.iter()
            .for_each(|shard| self.shards[*shard].closed = true);
        self.open(pair.to_vec());
    }

    /// Drops a shard's first records.
    pub fn trim(&mut self, shard: usize, count: usize) {
        self.shards[shard].trimmed = count;
    }

    /// What the listing shows.
    pub fn listing(&self, now: Wall) -> ShardListing {
        let shown = self.shards.iter().filter(|shard| shard.listed);
        ShardListing {
            shards: shown.map(|shard| self.info(shard)).collect(),
            server_time: now,
            incarnation: Some(self.created),
            retention: Some(std::time::Duration::from_secs(86_400)),
        }
    }

    /// Which shard has this name.
    pub fn find(&self, id: &ShardId) -> usize {
        self.shards
            .iter()
            .position(|shard| shard.id == *id)
            .expect("the stream named it")
    }

    /// The name of a shard.
    pub fn name(&self, shard: usize) -> &ShardId {
        &self.shards[shard].id
    }

    /// The number of the record that has this sequence number, if one has.
    pub fn number_of(&self, sequence: &str) -> usize {
        let digits: u128 = sequence.parse().expect("sequence numbers are digits");
        usize::try_from(digits - SEQUENCE_BASE).expect("cases are small")
    }

    /// Whether a shard holds a record.
    pub fn holds(&self, shard: usize, number: usize) -> bool {
        self.shards[shard]
            .records
            .iter()
            .any(|record| record.number == number)
    }

    /// Reads; `None`: what the position names is gone.
    pub fn read(&self, shard: usize, from: &Position, limit: u32) -> Option<Found> {
        let one = &self.shards[shard];
        let start = one.place(from)?;
        let end = one.records.len().min(start + limit as usize);
        let records = one.records[start..end].to_vec();
        let more = end < one.records.len();
        let ended = one.closed && !more;
        let children = self
            .shards
            .iter()
            .filter(|child| ended && child.parents.contains(&shard));
        Some(Found {
            page: (!records.is_empty()).then(|| CasePage::of(records)),
            more,
            ended,
            children: children.map(|child| self.info(child)).collect(),
        })
    }

    fn info(&self, shard: &Shard) -> ShardInfo {
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

    fn open(&mut self, parents: Vec<usize>) {
        let id = ShardId::new(format!("shardId-{:012}", self.shards.len()));
        let records = Vec::new();
        self.shards.push(Shard {
            id,
            parents,
            closed: false,
            listed: true,
            trimmed: 0,
            records,
        });
    }
}

impl Shard {
    fn place(&self, from: &Position) -> Option<usize> {
        match from {
            Position::TrimHorizon => Some(self.trimmed),
            Position::AtTimestamp(moment) => {
                let first = self
                    .records
                    .iter()
                    .take_while(|record| record.arrival < *moment);
                Some(first.count().max(self.trimmed))
            }
            Position::After { sequence, .. } => {
                let before = |record: &Arc<Record>| {
                    compare_sequence_numbers(&record.sequence, sequence.as_str()).is_le()
                };
                let next = self.records.partition_point(before);
                (next >= self.trimmed).then_some(next)
            }
            Position::ShardEnd => panic!("{} was read behind its end", self.id),
        }
    }
}

fn kinesis_content(put: &FullPut) -> Content {
    let plain = put
        .data
        .clone()
        .unwrap_or_else(|| "x".repeat(put.bytes.unwrap_or(1)));
    let data = put.base64.clone().unwrap_or_else(|| STANDARD.encode(plain));
    Content::Kinesis {
        key: put.key.clone().unwrap_or_else(|| "k".to_owned()),
        data,
    }
}

fn item(change: &Change, number: usize) -> Item {
    let text = |value: &serde_json::Value| value.to_string();
    Item {
        event_id: format!("{number:032x}"),
        name: change.name.clone(),
        identity: change.identity.as_ref().map(text),
        keys: text(&change.keys),
        new: change.new.as_ref().map(text),
        old: change.old.as_ref().map(text),
        size: change.size,
        view: change.view.clone(),
    }
}

#[derive(Debug)]
struct CasePage {
    records: Vec<Arc<Record>>,
    facts: Vec<RecordFacts>,
}

impl CasePage {
    fn of(records: Vec<Arc<Record>>) -> Arc<dyn Page> {
        let facts = records.iter().map(|record| record.facts()).collect();
        Arc::new(Self { records, facts })
    }
}

impl Page for CasePage {
    fn facts(&self) -> &[RecordFacts] {
        &self.facts
    }

    fn sequence_number(&self, index: usize) -> &str {
        &self.records[index].sequence
    }

    fn view(&self, index: usize) -> RecordView<'_> {
        self.records[index].view()
    }

    fn pinned_bytes(&self) -> usize {
        self.facts.iter().map(|facts| facts.weight as usize).sum()
    }

    fn extract(&self, indices: &[u32]) -> Arc<dyn Page> {
        Self::of(
            indices
                .iter()
                .map(|index| self.records[*index as usize].clone())
                .collect(),
        )
    }
}
