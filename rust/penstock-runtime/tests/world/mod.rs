//! Makes an embedded stream in memory on a clock that tests move.

use std::sync::Arc;

use penstock_engine::ids::{Position, SequenceNumber, ShardId};
use penstock_engine::io::Fetched;
use penstock_engine::time::Wall;
use penstock_runtime::clock::ManualClock;
use penstock_runtime::state::State;
use penstock_runtime::state::streams::{NewRecord, StreamLimits};
use penstock_runtime::testing::stream_record;

pub const STREAM: &str = "orders";

pub struct World {
    pub clock: Arc<ManualClock>,
    pub state: Arc<State>,
}

pub fn world(shards: u32, limits: StreamLimits) -> World {
    let clock = Arc::new(ManualClock::at(Wall(1_700_000_000_000)));
    let state = State::open(None, clock.clone(), limits).expect("it opens");
    state.streams().create(STREAM, shards).expect("created");
    World { clock, state }
}

impl World {
    pub fn put(&self, records: Vec<NewRecord>) -> Vec<(ShardId, SequenceNumber)> {
        let placed = self.state.streams().put(STREAM, records).expect("put");
        placed
            .into_iter()
            .map(|one| (one.shard, one.sequence_number))
            .collect()
    }

    pub fn read(&self, shard: u32, from: &Position, limit: u32) -> Fetched {
        self.state
            .streams()
            .read(STREAM, &id(shard), from, limit)
            .expect("read")
    }

    /// Everything in a shard, as sequence number and key.
    pub fn all(&self, shard: u32) -> Vec<(String, String)> {
        let mut from = Position::TrimHorizon;
        let mut found = Vec::new();
        loop {
            let fetched = self.read(shard, &from, 7);
            let Some(page) = fetched.page else {
                return found;
            };
            for index in 0..page.facts().len() {
                let (partition_key, sequence_number, ..) = stream_record(page.view(index));
                found.push((sequence_number.to_owned(), partition_key.to_owned()));
            }
            let (last, _) = found.last().expect("a page is not empty");
            from = Position::after(SequenceNumber::new(last.as_str()));
        }
    }
}

pub fn id(shard: u32) -> ShardId {
    ShardId::new(format!("shardId-{shard:012}"))
}

pub fn record(key: &str) -> NewRecord {
    NewRecord {
        partition_key: key.to_owned(),
        data: key.as_bytes().to_vec(),
        hash_key: None,
    }
}

pub fn count(fetched: &Fetched) -> usize {
    fetched.page.as_ref().map_or(0, |page| page.facts().len())
}
