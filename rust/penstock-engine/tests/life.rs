//! A mapping's life by hand, input by input: the contract of the engine's edge.

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::config::{MappingConfig, SourceProfile, document};
use penstock_engine::engine::Engine;
use penstock_engine::ids::{Fence, OpId, Position, SequenceNumber, ShardId, SlotId};
use penstock_engine::io::{
    Checkpoint, Fetched, Input, Invocation, Outcome, Output, Report, Resume, ShardInfo,
    ShardListing,
};
use penstock_engine::record::{Page, RecordFacts, RecordView};
use penstock_engine::time::{Mono, Now, Wall};

#[test]
fn a_record_goes_from_a_shard_to_a_checkpoint() {
    let mut life = Life::begin("{}");
    life.start();
    let fetch = life.fetch();
    assert_eq!(fetch.from, Position::TrimHorizon);
    life.answer(fetch.op, &[1, 2, 3]);
    let invocation = life
        .invocation()
        .expect("three records are due without a window");
    assert_eq!(invocation.batch.len(), 3);
    life.complete(&invocation, Outcome::Returned(Report::AllSucceeded));
    let (_, checkpoint) = life.saves().pop().expect("a settled batch is saved");
    assert_eq!(checkpoint.position, after(3));
    assert!(life.engine.counters().conserved());
    assert_eq!(life.engine.counters().succeeded, 3);
}

#[test]
fn a_checkpoint_waits_for_the_oldest_lane() {
    let mut life = Life::begin(r#"{"ParallelizationFactor":2,"BatchSize":1}"#);
    life.start();
    let fetch = life.fetch();
    life.answer(fetch.op, &[1, 2, 3, 4]);
    let first = life.invocation().expect("lane 0 has a batch");
    let second = life.invocation().expect("lane 1 has a batch");
    assert_ne!(first.lane, second.lane);
    let late = if first.batch.sequence_number(0) == "1" {
        second
    } else {
        first
    };
    life.complete(&late, Outcome::Returned(Report::AllSucceeded));
    let (_, checkpoint) = life.saves().pop().expect("a lane position is saved");
    assert_eq!(checkpoint.position, Position::TrimHorizon);
    assert_eq!(
        checkpoint.lanes.len(),
        1,
        "the lane that is ahead keeps its own position"
    );
}

#[test]
fn a_failed_batch_is_split_at_once_and_in_the_middle() {
    let mut life = Life::begin(r#"{"BisectBatchOnFunctionError":true,"MaximumRetryAttempts":0}"#);
    life.start();
    let fetch = life.fetch();
    life.answer(fetch.op, &[1, 2, 3]);
    let mut sizes = Vec::new();
    while let Some(invocation) = life.invocation() {
        let numbers = 0..invocation.batch.len();
        let poison = numbers
            .clone()
            .any(|at| invocation.batch.sequence_number(at) == "2");
        sizes.push(invocation.batch.len());
        let report = if poison { Outcome::TimedOut } else { success() };
        life.complete(&invocation, report);
    }
    assert_eq!(sizes, [3, 1, 2, 1, 1]);
    assert_eq!(life.engine.counters().dropped, 1);
    assert_eq!(life.engine.counters().succeeded, 2);
}

fn success() -> Outcome {
    Outcome::Returned(Report::AllSucceeded)
}

fn after(number: u64) -> Position {
    Position::after(SequenceNumber::new(number.to_string()))
}

struct Life {
    engine: Engine,
    now: Now,
    outputs: Vec<Output>,
}

impl Life {
    fn begin(options: &str) -> Self {
        let now = Now {
            mono: Mono(0),
            wall: Wall(1_700_000_000_000),
        };
        let engine = Engine::new(config(options), Resume::default(), 7, now);
        let mut life = Self {
            engine,
            now,
            outputs: Vec::new(),
        };
        life.drain();
        life
    }

    fn start(&mut self) {
        let op = self.take(|output| match output {
            Output::ListShards { op } => Some(*op),
            _ => None,
        });
        let info = ShardInfo {
            id: ShardId::new("shard-0"),
            parents: vec![],
            closed: false,
        };
        let listing = ShardListing {
            shards: vec![info],
            server_time: self.now.wall,
            incarnation: None,
            retention: None,
        };
        self.input(Input::ShardsListed { op, listing });
        let op = self.take(|output| match output {
            Output::Register { op, rows } if rows.len() == 1 => Some(*op),
            _ => None,
        });
        self.input(Input::Registered { op });
        let op = self.take(|output| match output {
            Output::TakeLease { op, .. } => Some(*op),
            _ => None,
        });
        self.input(Input::LeaseGranted {
            op,
            fence: Fence(1),
            until: None,
            checkpoint: None,
        });
    }

    fn fetch(&mut self) -> penstock_engine::io::Fetch {
        self.take(|output| match output {
            Output::Fetch(fetch) => Some(fetch.clone()),
            _ => None,
        })
    }

    fn answer(&mut self, op: OpId, numbers: &[u64]) {
        let page: Arc<dyn Page> = Arc::new(Numbers::new(numbers));
        let fetched = Fetched {
            page: Some(page),
            next: None,
            behind_ms: Some(0),
            ended: false,
            children: vec![],
        };
        self.input(Input::Fetched { op, fetched });
    }

    fn invocation(&mut self) -> Option<Invocation> {
        let invocation = self.engine.poll_invocation(SlotId(0), self.now);
        self.drain();
        invocation
    }

    fn complete(&mut self, invocation: &Invocation, outcome: Outcome) {
        self.input(Input::Completed {
            invocation: invocation.id,
            outcome,
        });
    }

    fn saves(&mut self) -> Vec<(OpId, Checkpoint)> {
        let mut saves = Vec::new();
        self.outputs.retain(|output| match output {
            Output::SaveCheckpoint { op, checkpoint, .. } => {
                saves.push((*op, checkpoint.as_ref().clone()));
                false
            }
            _ => true,
        });
        saves
    }

    fn take<T>(&mut self, wanted: impl Fn(&Output) -> Option<T>) -> T {
        let found = self
            .outputs
            .iter()
            .position(|output| wanted(output).is_some());
        let place = found.unwrap_or_else(|| panic!("not among {:?}", self.outputs));
        wanted(&self.outputs.remove(place)).expect("it was wanted a moment ago")
    }

    fn input(&mut self, input: Input) {
        self.engine.handle_input(input, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            self.outputs.push(output);
        }
    }
}

fn config(options: &str) -> MappingConfig {
    let mut document = serde_json::json!({
        "UUID": "11111111-1111-4111-8111-111111111111",
        "EventSourceArn": "arn:aws:penstock:::stream/orders",
        "StartingPosition": "TRIM_HORIZON",
        "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:orders",
        "Penstock": {"Source": "stream:orders", "Handler": "orders", "Pool": "threads"},
    });
    let options: serde_json::Value = serde_json::from_str(options).expect("options are JSON");
    for (name, value) in options.as_object().expect("options are an object") {
        document[name] = value.clone();
    }
    let profile = SourceProfile {
        idle_interval: Duration::from_secs(1),
        fetch_wait: Duration::ZERO,
        fetch_records_max: 10_000,
        fetch_bytes_max: 10 * 1024 * 1024,
        tip_reads_per_second: Some(5),
        list_interval: Duration::from_secs(60),
    };
    document::parse(document.to_string().as_bytes(), profile).expect("the document is valid")
}

/// A page whose records are nothing but their sequence numbers; odd ones share a lane of two.
#[derive(Debug)]
struct Numbers {
    digits: Vec<String>,
    facts: Vec<RecordFacts>,
}

impl Numbers {
    fn new(numbers: &[u64]) -> Self {
        let facts = |number: &u64| RecordFacts {
            key_hash: if number % 2 == 1 { 0 } else { u64::MAX },
            arrival: Wall(1_700_000_000_000),
            weight: 100,
            filtered: false,
        };
        Self {
            digits: numbers.iter().map(u64::to_string).collect(),
            facts: numbers.iter().map(facts).collect(),
        }
    }
}

impl Page for Numbers {
    fn facts(&self) -> &[RecordFacts] {
        &self.facts
    }

    fn sequence_number(&self, index: usize) -> &str {
        &self.digits[index]
    }

    fn view(&self, index: usize) -> RecordView<'_> {
        RecordView::Kinesis {
            partition_key: "key",
            sequence_number: &self.digits[index],
            data: "",
            arrival: self.facts[index].arrival,
        }
    }

    fn pinned_bytes(&self) -> usize {
        self.facts.len() * 100
    }

    fn extract(&self, indices: &[u32]) -> Arc<dyn Page> {
        let kept = indices.iter().map(|index| *index as usize);
        Arc::new(Self {
            digits: kept
                .clone()
                .map(|index| self.digits[index].clone())
                .collect(),
            facts: kept.map(|index| self.facts[index]).collect(),
        })
    }
}
