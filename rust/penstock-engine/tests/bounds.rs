//! Shows that no bound stops a mapping for good: what waits for records always gets them.

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::config::{MappingConfig, SourceProfile, document};
use penstock_engine::engine::Engine;
use penstock_engine::ids::{
    Fence, InvocationId, OpId, Position, RequestId, SequenceNumber, ShardId, SlotId,
};
use penstock_engine::io::{
    Checkpoint, Fetched, FrontUnit, HandlerError, Input, Invocation, LanePositions, Outcome,
    Output, Report, Resume, ShardInfo, ShardListing,
};
use penstock_engine::record::{Page, RecordFacts, RecordView};
use penstock_engine::stream::router::HASH_VERSION;
use penstock_engine::time::{Mono, Now, Wall};

const HOUR: Duration = Duration::from_secs(3_600);

/// A batch that was attempted before a crash may reach further than this life would read ahead:
/// pages are cut elsewhere now. Its lane must still get all of its records.
#[test]
fn a_batch_from_an_earlier_life_gets_its_records_whatever_the_run_ahead() {
    let mut life = Life::resumed(r#"{"ParallelizationFactor":2,"BatchSize":100}"#, front(100));
    // One record in twenty is lane 0's: its hundred reach to 1,981.
    let lane_0 = |number: u64| number % 20 == 1;
    let invocation = life.run(1_200, 4_000, lane_0, |invocation| invocation.lane == 0);
    assert_eq!(invocation.request_id, RequestId(5));
    assert_eq!(invocation.attempt, 2);
    assert_eq!(invocation.batch.len(), 100);
}

/// The same when the batch was formed under a larger `BatchSize`.
#[test]
fn a_batch_from_an_earlier_life_keeps_its_size_under_a_smaller_batch_size() {
    let mut life = Life::resumed(r#"{"BatchSize":10}"#, front(500));
    let invocation = life.run(50, 4_000, |_| true, |_| true);
    assert_eq!(invocation.request_id, RequestId(5));
    assert_eq!(invocation.batch.len(), 500);
}

/// Bytes are the harder bound: where they end first, the batch goes on with what is there.
#[test]
fn a_batch_from_an_earlier_life_never_waits_for_room_that_cannot_come() {
    let mut life = Life::resumed(r#"{"BatchSize":10000}"#, front(10_000));
    life.record_bytes = 40_000;
    let invocation = life.run(200, 20_000, |_| true, |_| true);
    assert_eq!(invocation.attempt, 2);
    assert!(invocation.batch.len() >= 200, "{}", invocation.batch.len());
}

/// A record that fails for an hour pins its page, but only until few records of it are left: then
/// they are copied out, and a hundred thousand others pass without anything piling up.
#[test]
fn a_record_that_pins_its_page_for_an_hour_holds_little_memory_and_nobody_else() {
    const PAGE: u64 = 1_000;
    const RECORDS: u64 = 100_000;
    // How far the others may get ahead of it is the mapping's choice.
    let options = r#"{"ParallelizationFactor":2,"BatchSize":100,
        "Penstock":{"Source":"stream:orders","AheadRecordsMax":100000}}"#;
    let mut life = Life::starting(
        options,
        Checkpoint::starting_at(Position::TrimHorizon, None),
    );
    life.record_bytes = 1_000;
    let hour = life.now.mono + HOUR;
    let (mut passed, mut attempts, mut most) = (0, 0, 0);
    while life.now.mono < hour || passed < RECORDS - 1 {
        assert!(life.now.mono < hour + HOUR, "{passed} of {RECORDS} passed");
        life.tick(PAGE, RECORDS, &|number| number == 7);
        while let Some(invocation) = life.engine.poll_invocation(SlotId(0), life.now) {
            let pinned = invocation.lane == 0;
            passed += if pinned {
                0
            } else {
                invocation.batch.len() as u64
            };
            attempts += u32::from(pinned);
            life.complete(invocation.id, if pinned { raised() } else { succeeded() });
        }
        most = most.max(life.engine.snapshot(life.now).buffered_bytes);
    }
    let held = life.engine.snapshot(life.now).buffered_bytes;
    assert!(attempts > 50, "it was tried {attempts} times");
    assert!(
        held <= 2 * 1_000,
        "the record and the one before it, not {held} bytes"
    );
    assert!(
        most <= 12 * PAGE * 1_000,
        "{most} bytes while the others passed"
    );
    assert_eq!(life.watermark(), Position::after(SequenceNumber::new("6")));

    let until = life.now.mono + HOUR;
    while life.watermark() != Position::after(SequenceNumber::new(RECORDS.to_string())) {
        assert!(
            life.now.mono < until,
            "the watermark stays at {:?}",
            life.watermark()
        );
        life.tick(PAGE, RECORDS, &|number| number == 7);
        while let Some(invocation) = life.engine.poll_invocation(SlotId(0), life.now) {
            life.complete(invocation.id, succeeded());
        }
    }
    assert_eq!(life.engine.snapshot(life.now).buffered_bytes, 0);
}

fn succeeded() -> Outcome {
    Outcome::Returned(Report::AllSucceeded)
}

fn raised() -> Outcome {
    Outcome::Raised(HandlerError {
        kind: "ValueError".into(),
        message: "not yet".into(),
    })
}

fn front(records: u32) -> FrontUnit {
    FrontUnit {
        lane: 0,
        first: SequenceNumber::new("1"),
        records,
        attempts: 1,
        request_id: RequestId(5),
    }
}

struct Life {
    engine: Engine,
    now: Now,
    outputs: Vec<Output>,
    read: u64,
    record_bytes: usize,
}

impl Life {
    fn resumed(options: &str, front: FrontUnit) -> Self {
        let lanes = config(options).lanes;
        let checkpoint = Checkpoint {
            lanes: vec![LanePositions {
                count: lanes,
                hash_version: HASH_VERSION,
                settled: vec![None; usize::from(lanes)],
            }],
            fronts: vec![front],
            ..Checkpoint::starting_at(Position::TrimHorizon, None)
        };
        Self::starting(options, checkpoint)
    }

    fn starting(options: &str, checkpoint: Checkpoint) -> Self {
        let now = Now {
            mono: Mono(0),
            wall: Wall(1_700_000_000_000),
        };
        let config = config(options);
        let shard = ShardId::new("shard-0");
        let resume = Resume {
            rows: vec![(shard, checkpoint.clone())],
        };
        let engine = Engine::new(config, resume, 7, now);
        let mut life = Self {
            engine,
            now,
            outputs: Vec::new(),
            read: 0,
            record_bytes: 100,
        };
        life.drain();
        life.start(checkpoint);
        life
    }

    fn start(&mut self, checkpoint: Checkpoint) {
        let mut steps = 0;
        while let Some(output) = self.outputs.pop() {
            steps += 1;
            assert!(steps < 100);
            match output {
                Output::ListShards { op } => {
                    let listing = listing(self.now.wall);
                    self.input(Input::ShardsListed { op, listing });
                }
                Output::Register { op, .. } => self.input(Input::Registered { op }),
                Output::TakeLease { op, .. } => {
                    let checkpoint = Some(checkpoint.clone());
                    self.input(Input::LeaseGranted {
                        op,
                        fence: Fence(1),
                        until: None,
                        checkpoint,
                    });
                }
                Output::Fetch(fetch) => {
                    self.outputs.push(Output::Fetch(fetch));
                    return;
                }
                _ => {}
            }
        }
        panic!("no fetch");
    }

    /// Reads pages of `page` records up to `end`, lets all batches succeed at once, and gives the
    /// first that is `wanted`.
    fn run(
        &mut self,
        page: u64,
        end: u64,
        lane_0: impl Fn(u64) -> bool,
        wanted: impl Fn(&Invocation) -> bool,
    ) -> Invocation {
        for _ in 0..10_000 {
            self.tick(page, end, &lane_0);
            if let Some(invocation) = self.engine.poll_invocation(SlotId(0), self.now) {
                if wanted(&invocation) {
                    return invocation;
                }
                self.complete(invocation.id, succeeded());
            }
        }
        panic!("it never came: {:#?}", self.engine.snapshot(self.now));
    }

    /// Lets a moment pass, in which reads are answered and checkpoints saved.
    fn tick(&mut self, page: u64, end: u64, lane_0: &impl Fn(u64) -> bool) {
        self.now.mono = self.now.mono + Duration::from_millis(10);
        self.engine.handle_timeout(self.now);
        self.drain();
        for output in std::mem::take(&mut self.outputs) {
            match output {
                Output::Fetch(fetch) => {
                    let to = (self.read + page).min(end);
                    let numbers: Vec<u64> = (self.read + 1..=to).collect();
                    self.read = to;
                    self.answer(fetch.op, &numbers, lane_0, end - to);
                }
                Output::SaveCheckpoint { op, .. } => self.input(Input::CheckpointSaved { op }),
                Output::ListShards { op } => {
                    let listing = listing(self.now.wall);
                    self.input(Input::ShardsListed { op, listing });
                }
                _ => {}
            }
        }
    }

    fn complete(&mut self, invocation: InvocationId, outcome: Outcome) {
        self.input(Input::Completed {
            invocation,
            outcome,
        });
    }

    fn watermark(&self) -> Position {
        self.engine.snapshot(self.now).shards[0].watermark.clone()
    }

    fn answer(&mut self, op: OpId, numbers: &[u64], lane_0: &impl Fn(u64) -> bool, behind: u64) {
        let page: Arc<dyn Page> = Arc::new(Numbers::new(numbers, lane_0, self.record_bytes));
        let fetched = Fetched {
            page: (!numbers.is_empty()).then_some(page),
            next: None,
            behind_ms: Some(behind),
            ended: false,
            children: vec![],
        };
        self.input(Input::Fetched { op, fetched });
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

fn listing(server_time: Wall) -> ShardListing {
    ShardListing {
        shards: vec![ShardInfo {
            id: ShardId::new("shard-0"),
            parents: vec![],
            closed: false,
        }],
        server_time,
        incarnation: None,
        retention: None,
    }
}

fn config(options: &str) -> MappingConfig {
    let mut document = serde_json::json!({
        "UUID": "11111111-1111-4111-8111-111111111111",
        "StartingPosition": "TRIM_HORIZON",
        "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:orders",
        "Penstock": {"Source": "stream:orders"},
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

/// A page whose records are nothing but their sequence numbers.
#[derive(Debug)]
struct Numbers {
    digits: Vec<String>,
    facts: Vec<RecordFacts>,
    record_bytes: usize,
}

impl Numbers {
    fn new(numbers: &[u64], lane_0: impl Fn(u64) -> bool, record_bytes: usize) -> Self {
        let facts = |number: &u64| RecordFacts {
            key_hash: if lane_0(*number) { 0 } else { u64::MAX },
            arrival: Wall(1_700_000_000_000),
            weight: 100,
            filtered: false,
        };
        Self {
            digits: numbers.iter().map(u64::to_string).collect(),
            facts: numbers.iter().map(facts).collect(),
            record_bytes,
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
        self.facts.len() * self.record_bytes
    }

    fn extract(&self, indices: &[u32]) -> Arc<dyn Page> {
        let kept = indices.iter().map(|index| *index as usize);
        Arc::new(Self {
            digits: kept
                .clone()
                .map(|index| self.digits[index].clone())
                .collect(),
            facts: kept.map(|index| self.facts[index]).collect(),
            record_bytes: self.record_bytes,
        })
    }
}
