//! One shard: its part of the keys, its place in the lineage, its records.

use std::fmt::Write;

use serde_json::{Value, json};

use super::item::Item;
use super::sequence::SequenceNumber;
use crate::hash::{HashRange, hash_of};
use crate::log::Log;

/// A shard, open or closed.
#[derive(Debug)]
pub struct Shard {
    /// Its id: `shardId-`, twenty digits of milliseconds, `-`, eight hexadecimal digits.
    pub id: String,
    /// Its number in its stream.
    pub serial: u32,
    /// How many ancestors it has, and one.
    pub generation: u32,
    /// The shard it came from.
    pub parent: Option<String>,
    /// The hashes of the partition keys it takes or took.
    pub range: HashRange,
    /// When it was opened.
    pub created_ms: u64,
    /// When it was closed.
    pub closed_ms: Option<u64>,
    /// Its records.
    pub log: Log,
    /// Iterators with a lower serial number have expired by order.
    pub iterators_from: u64,
}

/// What a write did to an item, as a stream sees it.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The item's key.
    pub key: &'a Item,
    /// The item before, if the view has it and it existed.
    pub old: Option<&'a Item>,
    /// The item after.
    pub new: Option<&'a Item>,
    /// `INSERT`, `MODIFY` or `REMOVE`.
    pub name: &'static str,
    /// Whether the service itself deleted it because its time was over.
    pub by_service: bool,
}

/// What every record of a stream says alike.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The stream's ARN.
    pub arn: &'a str,
    /// The region.
    pub region: &'a str,
    /// The view's name.
    pub view: &'a str,
}

impl Shard {
    /// An open shard without records: a root, or the child of another.
    #[must_use]
    pub fn new(
        arn: &str,
        serial: u32,
        parent: Option<&Shard>,
        range: HashRange,
        now_ms: u64,
    ) -> Self {
        let distinct = hash_of(&format!("{arn}#{serial}")) >> 96;
        Self {
            id: format!("shardId-{now_ms:020}-{distinct:08x}"),
            serial,
            generation: parent.map_or(1, |parent| parent.generation + 1),
            parent: parent.map(|parent| parent.id.clone()),
            range,
            created_ms: now_ms,
            closed_ms: None,
            log: Log::new(),
            iterators_from: 0,
        }
    }

    /// Appends the record of a change.
    pub fn append(&mut self, origin: Origin<'_>, change: Change<'_>, now_ms: u64) {
        let number = self.number(self.log.tip()).to_string();
        let images = [change.old, change.new];
        let size = images
            .into_iter()
            .flatten()
            .fold(change.key.size(), |size, image| size + image.size());
        let text = encode(origin, change, &number, size, now_ms);
        self.log.push(text.as_bytes(), size, now_ms);
    }

    /// The sequence number of an index in this shard.
    #[must_use]
    pub fn number(&self, index: u64) -> SequenceNumber {
        SequenceNumber {
            generation: self.generation,
            index,
            serial: self.serial,
        }
    }

    /// The index of a sequence number; `None` when it is not one of this shard.
    #[must_use]
    pub fn index_of(&self, text: &str) -> Option<u64> {
        let number = SequenceNumber::parse(text)?;
        let mine = number.generation == self.generation && number.serial == self.serial;
        mine.then_some(number.index)
    }

    /// Whether nothing of it can be read any more: closed before the trim horizon.
    #[must_use]
    pub fn is_gone(&self, horizon_ms: u64) -> bool {
        self.closed_ms.is_some_and(|closed| closed < horizon_ms)
    }

    /// How the API describes it. The last number of a closed shard is its last record's.
    #[must_use]
    pub fn describe(&self) -> Value {
        let mut numbers = json!({"StartingSequenceNumber": self.number(0).to_string()});
        if self.closed_ms.is_some() {
            let last = self.number(self.log.tip() - 1);
            numbers["EndingSequenceNumber"] = json!(last.to_string());
        }
        let mut shard = json!({"ShardId": self.id, "SequenceNumberRange": numbers});
        if let Some(parent) = &self.parent {
            shard["ParentShardId"] = json!(parent);
        }
        shard
    }
}

/// A record as every answer carries it; its time as the service prints it: `1.479499740E9`.
fn encode(
    origin: Origin<'_>,
    change: Change<'_>,
    number: &str,
    size: usize,
    now_ms: u64,
) -> String {
    let (Origin { arn, region, view }, name) = (origin, change.name);
    let seconds = (now_ms / 1000) as f64;
    let mut text = format!(
        "{{\"awsRegion\":\"{region}\",\"dynamodb\":{{\
         \"ApproximateCreationDateTime\":{seconds:E},\"Keys\":{}",
        change.key.text()
    );
    for (member, image) in [("NewImage", change.new), ("OldImage", change.old)] {
        if let Some(image) = image {
            // Writing to a string cannot fail.
            let _ = write!(text, ",\"{member}\":{}", image.text());
        }
    }
    let id = hash_of(&format!("{arn}/{number}"));
    let _ = write!(
        text,
        ",\"SequenceNumber\":\"{number}\",\"SizeBytes\":{size},\"StreamViewType\":\"{view}\"}},\
         \"eventID\":\"{id:032x}\",\"eventName\":\"{name}\",\"eventSource\":\"aws:dynamodb\",\
         \"eventVersion\":\"1.1\""
    );
    if change.by_service {
        text.push_str(
            ",\"userIdentity\":{\"PrincipalId\":\"dynamodb.amazonaws.com\",\"Type\":\"Service\"}",
        );
    }
    text.push('}');
    text
}
