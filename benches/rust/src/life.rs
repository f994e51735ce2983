//! Leads a mapping of one shard through its life, answering whatever the engine asks for.

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::config::{MappingConfig, SourceProfile, document};
use penstock_engine::engine::Engine;
use penstock_engine::ids::{Fence, OpId, ShardId, SlotId};
use penstock_engine::io::{
    Fetched, Input, Outcome, Output, Report, Resume, ShardInfo, ShardListing,
};
use penstock_engine::record::Page;
use penstock_engine::time::{Mono, Now, Wall};

/// An engine whose one shard waits for a read to be answered.
pub struct Life {
    engine: Engine,
    now: Now,
    fetch: Option<OpId>,
}

impl Life {
    /// A mapping that has begun to read.
    #[must_use]
    pub fn begin() -> Self {
        let now = Now {
            mono: Mono(0),
            wall: Wall(1_700_000_000_000),
        };
        let mut life = Self {
            engine: Engine::new(config(), Resume::default(), 7, now),
            now,
            fetch: None,
        };
        life.answer();
        life
    }

    /// Answers the read with a page, runs what is due, saves; says how many records ran.
    ///
    /// # Panics
    /// When the engine does not read.
    pub fn deliver(&mut self, page: Arc<dyn Page>) -> usize {
        let op = self.fetch.take().expect("a shard that has room reads");
        let fetched = Fetched {
            page: Some(page),
            next: None,
            behind_ms: Some(1_000),
            ended: false,
            children: Vec::new(),
        };
        self.engine
            .handle_input(Input::Fetched { op, fetched }, self.now);
        self.answer();
        let mut ran = 0;
        while let Some(invocation) = self.engine.poll_invocation(SlotId(0), self.now) {
            ran += invocation.batch.len();
            let completed = Input::Completed {
                invocation: invocation.id,
                outcome: Outcome::Returned(Report::AllSucceeded),
            };
            self.engine.handle_input(completed, self.now);
            self.answer();
        }
        self.now.mono = self.now.mono + Duration::from_secs(1);
        self.engine.handle_timeout(self.now);
        self.answer();
        ran
    }

    fn answer(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            let input = match output {
                Output::Fetch(fetch) => {
                    self.fetch = Some(fetch.op);
                    continue;
                }
                Output::ListShards { op } => Input::ShardsListed {
                    op,
                    listing: listing(self.now.wall),
                },
                Output::Register { op, .. } => Input::Registered { op },
                Output::TakeLease { op, .. } => Input::LeaseGranted {
                    op,
                    fence: Fence(1),
                    until: None,
                    checkpoint: None,
                },
                Output::SaveCheckpoint { op, .. } => Input::CheckpointSaved { op },
                _ => continue,
            };
            self.engine.handle_input(input, self.now);
        }
    }
}

fn listing(server_time: Wall) -> ShardListing {
    ShardListing {
        shards: vec![ShardInfo {
            id: ShardId::new("shardId-000000000000"),
            parents: Vec::new(),
            closed: false,
        }],
        server_time,
        incarnation: None,
        retention: None,
    }
}

/// A mapping with batches as large as may be.
#[must_use]
pub fn config() -> MappingConfig {
    parse(document())
}

/// The same with a filter of two fields.
#[must_use]
pub fn filtering() -> MappingConfig {
    let pattern = r#"{"data":{"event_type":["order_placed"],"amount":[{"numeric":[">=",0.5]}]}}"#;
    let mut document = document();
    document["FilterCriteria"] = serde_json::json!({"Filters": [{"Pattern": pattern}]});
    parse(document)
}

fn document() -> serde_json::Value {
    serde_json::json!({
        "UUID": "11111111-1111-4111-8111-111111111111",
        "EventSourceArn": "arn:aws:penstock:::stream/orders",
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 10_000,
        "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:orders",
        "Penstock": {"Source": "stream:orders", "Handler": "orders", "Pool": "threads"},
    })
}

fn parse(document: serde_json::Value) -> MappingConfig {
    let profile = SourceProfile {
        idle_interval: Duration::from_secs(1),
        fetch_wait: Duration::ZERO,
        fetch_records_max: 10_000,
        fetch_bytes_max: 10 << 20,
        tip_reads_per_second: None,
        list_interval: Duration::from_secs(3_600),
    };
    document::parse(document.to_string().as_bytes(), profile).expect("the document is valid")
}
