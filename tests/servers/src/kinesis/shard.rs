//! One shard: its range of hash keys, its place in the lineage, its records.

use std::fmt::{self, Display};
use std::time::Instant;

use serde_json::{Value, json};

use super::sequence::{LAST_INDEX, SequenceNumber};
use super::settings::{ReadLimits, WriteLimits};
use crate::buckets::Bucket;
use crate::hash::HashRange;
use crate::log::Log;

/// A shard, open or closed.
#[derive(Debug)]
pub struct Shard {
    /// Its index in the stream, which is its id.
    pub index: u32,
    /// The hash keys it takes or took.
    pub range: HashRange,
    /// The shards it came from: none, one after a split, two after a merge.
    pub parents: Vec<u32>,
    /// The second that stands in its sequence numbers.
    pub born_s: u64,
    /// When it was opened.
    pub created_ms: u64,
    /// When it was closed.
    pub closed_ms: Option<u64>,
    /// Its records.
    pub log: Log,
    /// Iterators with a lower serial number have expired by order.
    pub iterators_from: u64,
    reads: Option<(ReadLimits, Bucket, Bucket)>,
    writes: Option<(WriteLimits, Bucket, Bucket)>,
}

impl Shard {
    /// An open shard without records.
    #[must_use]
    pub fn new(index: u32, range: HashRange, parents: Vec<u32>, born_s: u64, now_ms: u64) -> Self {
        Self {
            index,
            range,
            parents,
            born_s,
            created_ms: now_ms,
            closed_ms: None,
            log: Log::new(),
            iterators_from: 0,
            reads: None,
            writes: None,
        }
    }

    /// Its id: `shardId-` and twelve digits.
    #[must_use]
    pub fn id(&self) -> String {
        id_of(self.index)
    }

    /// Appends a record and gives its sequence number. `data` is base64 text, `key` a JSON string
    /// with its quotes, `size` the bytes of both as limits count them.
    pub fn append(&mut self, data: &str, key: &str, size: usize, now_ms: u64) -> String {
        self.append_late(data, key, size, now_ms, 0)
    }

    /// The same of a record that is said to have arrived so long before.
    pub fn append_late(
        &mut self,
        data: &str,
        key: &str,
        size: usize,
        now_ms: u64,
        before_ms: u64,
    ) -> String {
        let text = self.number(self.log.tip(), now_ms / 1000).to_string();
        let record = encode(&text, &Seconds(now_ms.saturating_sub(before_ms)), data, key);
        self.log.push(record.as_bytes(), size, now_ms);
        text
    }

    /// The sequence number of an index in this shard.
    #[must_use]
    pub fn number(&self, index: u64, arrived_s: u64) -> SequenceNumber {
        SequenceNumber {
            born_s: self.born_s,
            index,
            arrived_s,
            shard: self.index,
        }
    }

    /// Whether it was open at a time.
    #[must_use]
    pub fn was_open_at(&self, time_ms: u64) -> bool {
        self.created_ms <= time_ms && self.closed_ms.is_none_or(|closed| closed > time_ms)
    }

    /// Whether nothing of it can be read any more: closed before the trim horizon.
    #[must_use]
    pub fn is_gone(&self, horizon_ms: u64) -> bool {
        self.closed_ms.is_some_and(|closed| closed < horizon_ms)
    }

    /// How the API describes it.
    #[must_use]
    pub fn describe(&self) -> Value {
        let start = self.number(0, self.born_s).to_string();
        let mut numbers = json!({"StartingSequenceNumber": start});
        if let Some(closed_ms) = self.closed_ms {
            let end = self.number(LAST_INDEX, closed_ms / 1000).to_string();
            numbers["EndingSequenceNumber"] = json!(end);
        }
        let mut shard = json!({
            "ShardId": self.id(),
            "HashKeyRange": self.describe_range(),
            "SequenceNumberRange": numbers,
        });
        for (name, parent) in ["ParentShardId", "AdjacentParentShardId"]
            .iter()
            .zip(&self.parents)
        {
            shard[name] = json!(id_of(*parent));
        }
        shard
    }

    /// How the last answer of a parent describes it.
    #[must_use]
    pub fn describe_child(&self) -> Value {
        let parents: Vec<String> = self.parents.iter().map(|parent| id_of(*parent)).collect();
        json!({
            "ShardId": self.id(),
            "ParentShards": parents,
            "HashKeyRange": self.describe_range(),
        })
    }

    /// Whether the limits allow one more read now; if so it is counted.
    #[must_use]
    pub fn admits_read(&mut self, limits: Option<ReadLimits>, now: Instant) -> bool {
        let Some(limits) = limits else {
            self.reads = None;
            return true;
        };
        if self.reads.is_none_or(|(known, ..)| known != limits) {
            let calls = Bucket::new(limits.calls_per_second, now);
            self.reads = Some((limits, calls, Bucket::new(limits.bytes_per_second, now)));
        }
        let Some((_, calls, bytes)) = &mut self.reads else {
            return true;
        };
        let admitted = calls.holds(1.0, now) && bytes.holds(f64::MIN_POSITIVE, now);
        if admitted {
            calls.take(1.0);
        }
        admitted
    }

    /// Counts the bytes of a read against the limits.
    pub fn spend_read(&mut self, size: usize) {
        if let Some((_, _, bytes)) = &mut self.reads {
            bytes.take(size as f64);
        }
    }

    /// Whether the limits allow one more record now; if so it is counted.
    #[must_use]
    pub fn admits_write(&mut self, limits: Option<WriteLimits>, size: usize, now: Instant) -> bool {
        let Some(limits) = limits else {
            self.writes = None;
            return true;
        };
        if self.writes.is_none_or(|(known, ..)| known != limits) {
            let records = Bucket::new(limits.records_per_second, now);
            self.writes = Some((limits, records, Bucket::new(limits.bytes_per_second, now)));
        }
        let Some((_, records, bytes)) = &mut self.writes else {
            return true;
        };
        let admitted = records.holds(1.0, now) && bytes.holds(f64::MIN_POSITIVE, now);
        if admitted {
            records.take(1.0);
            bytes.take(size as f64);
        }
        admitted
    }

    fn describe_range(&self) -> Value {
        json!({
            "StartingHashKey": self.range.start.to_string(),
            "EndingHashKey": self.range.end.to_string(),
        })
    }
}

/// A record as every answer carries it. `data` is base64 text, `key` a JSON string with its quotes.
#[must_use]
pub fn encode(number: &impl Display, arrived: &impl Display, data: &str, key: &str) -> String {
    format!(
        "{{\"SequenceNumber\":\"{number}\",\"ApproximateArrivalTimestamp\":{arrived},\
         \"Data\":\"{data}\",\"PartitionKey\":{key}}}"
    )
}

/// The id of the shard with an index.
#[must_use]
pub fn id_of(index: u32) -> String {
    format!("shardId-{index:012}")
}

/// Milliseconds since 1970 as a JSON number of seconds.
#[derive(Clone, Copy, Debug)]
pub struct Seconds(pub u64);

impl Display for Seconds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}
