//! Counts calls, and remembers each with its time, so that tests can assert rates.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::service::Target;

/// How many calls are remembered one by one; counts go on beyond it.
pub const REMEMBERED_MAX: usize = 500_000;

/// One call, as it ended.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Real milliseconds since the server started, when the request was read.
    pub at_ms: u64,
    /// The operation.
    pub operation: String,
    /// What it was about.
    pub target: Target,
    /// `ok`, the error's type, or the fault that changed the answer.
    pub outcome: String,
    /// Records carried or accepted.
    pub records: usize,
}

/// All calls of a server's life.
#[derive(Debug, Default)]
pub struct Stats {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    operations: BTreeMap<String, Counts>,
    shards: BTreeMap<String, BTreeMap<String, BTreeMap<String, Counts>>>,
    calls: VecDeque<Seen>,
    forgotten: u64,
}

#[derive(Debug, Default)]
struct Counts {
    calls: u64,
    records: u64,
    outcomes: BTreeMap<String, u64>,
}

impl Stats {
    /// Counts a call.
    pub fn note(&self, seen: Seen) {
        let mut inner = self.lock();
        inner
            .operations
            .entry(seen.operation.clone())
            .or_default()
            .note(&seen);
        if let (Some(stream), Some(shard)) = (&seen.target.stream, &seen.target.shard) {
            let shards = inner.shards.entry(stream.clone()).or_default();
            let operations = shards.entry(shard.clone()).or_default();
            operations
                .entry(seen.operation.clone())
                .or_default()
                .note(&seen);
        }
        if inner.calls.len() == REMEMBERED_MAX {
            inner.calls.pop_front();
            inner.forgotten += 1;
        }
        inner.calls.push_back(seen);
    }

    /// The counts: by operation, and by stream, shard and operation.
    #[must_use]
    pub fn counts(&self) -> Value {
        let inner = self.lock();
        let operations = counts_json(&inner.operations);
        let mut streams = serde_json::Map::new();
        for (stream, shards) in &inner.shards {
            let shards = shards
                .iter()
                .map(|(shard, of)| (shard.clone(), counts_json(of)));
            streams.insert(stream.clone(), Value::Object(shards.collect()));
        }
        json!({"operations": operations, "streams": streams})
    }

    /// Calls from the `since`-th of the server's life on, and the number to ask with next.
    #[must_use]
    pub fn calls(&self, since: u64) -> Value {
        let inner = self.lock();
        let skip = usize::try_from(since.saturating_sub(inner.forgotten)).unwrap_or(usize::MAX);
        let calls: Vec<Value> = inner.calls.iter().skip(skip).map(Seen::json).collect();
        json!({
            "calls": calls,
            "next": inner.forgotten + inner.calls.len() as u64,
            "forgotten": inner.forgotten,
        })
    }

    /// Forgets everything counted so far.
    pub fn reset(&self) {
        *self.lock() = Inner::default();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn json(&self) -> Value {
        json!({
            "at_ms": self.at_ms,
            "operation": self.operation,
            "stream": self.target.stream,
            "shard": self.target.shard,
            "outcome": self.outcome,
            "records": self.records,
        })
    }
}

impl Counts {
    fn json(&self) -> Value {
        let Self {
            calls,
            records,
            outcomes,
        } = self;
        json!({"calls": calls, "records": records, "outcomes": outcomes})
    }

    fn note(&mut self, seen: &Seen) {
        self.calls += 1;
        self.records += seen.records as u64;
        *self.outcomes.entry(seen.outcome.clone()).or_default() += 1;
    }
}

fn counts_json(operations: &BTreeMap<String, Counts>) -> Value {
    let entries = operations
        .iter()
        .map(|(name, counts)| (name.clone(), counts.json()));
    Value::Object(entries.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_and_remembered_in_order() {
        let stats = Stats::default();
        for at_ms in 0..3 {
            stats.note(Seen {
                at_ms,
                operation: "GetRecords".to_owned(),
                target: Target {
                    stream: Some("s".to_owned()),
                    shard: Some("a".to_owned()),
                },
                outcome: if at_ms == 1 { "Throttled" } else { "ok" }.to_owned(),
                records: 5,
            });
        }
        let counts = stats.counts();
        assert_eq!(counts["operations"]["GetRecords"]["calls"], 3);
        assert_eq!(
            counts["streams"]["s"]["a"]["GetRecords"]["outcomes"]["Throttled"],
            1
        );
        let calls = stats.calls(2);
        assert_eq!(calls["calls"].as_array().map(Vec::len), Some(1));
        assert_eq!(calls["calls"][0]["at_ms"], 2);
        assert_eq!(calls["next"], 3);
        stats.reset();
        assert_eq!(stats.calls(0)["next"], 0);
    }
}
