//! Records small lives and runs them again.

use std::time::Duration;

use super::*;
use crate::event::sample::{config, numbered};
use crate::fault::{Fault, FaultKind};
use crate::ids::{Fence, InvocationId, OpId, Position, RequestId, SequenceNumber};
use crate::io::{
    Fetched, FrontUnit, HandlerError, LanePositions, Outcome, QueueFacts, Refused, Report,
    ShardInfo, ShardListing, TumblingWindow,
};
use crate::record::Page;
use crate::time::{Mono, Wall};

fn now(seconds: u64) -> Now {
    let wall = Wall(1_700_000_000_000 + seconds.cast_signed() * 1_000);
    Now {
        mono: Mono(seconds * 1_000_000_000),
        wall,
    }
}

fn checkpoint() -> Checkpoint {
    let number = SequenceNumber::new("49590338271490256608559692538361571095921575989136588898");
    Checkpoint {
        position: Position::After {
            sequence: number.clone(),
            sub: Some(3),
        },
        lanes: vec![LanePositions {
            count: 2,
            hash_version: 1,
            settled: vec![None, Some(number.clone())],
        }],
        fronts: vec![FrontUnit {
            lane: 1,
            first: number,
            records: 5,
            attempts: 2,
            request_id: RequestId(u128::MAX - 1),
        }],
        incarnation: Some(Wall(-5)),
        settled_arrival: Some(Wall(7)),
        window: Some(TumblingWindow {
            start: Wall(0),
            end: Wall(60_000),
            state: r#"{"n":1}"#.into(),
            closing: None,
        }),
        fence: Fence(9),
    }
}

fn moved(shard: &ShardId) -> Input {
    Input::Moved {
        shard: shard.clone(),
        checkpoint: Box::new(checkpoint()),
    }
}

fn every_input() -> Vec<Input> {
    let op = OpId(u64::MAX);
    let shard = ShardId::new("shardId-000000000000");
    let info = ShardInfo {
        id: shard.clone(),
        parents: vec![ShardId::new("p")],
        closed: true,
    };
    let listing = ShardListing {
        shards: vec![info.clone()],
        server_time: Wall(1),
        incarnation: Some(Wall(2)),
        retention: Some(Duration::new(86_400, 7)),
    };
    let [fetched, empty] = full_and_empty(info);
    let part = numbered(&["1", "2"]).pages.remove(0);
    let error = HandlerError {
        kind: "ValueError".into(),
        message: "line\n\"two\"".into(),
    };
    let throttled = FaultKind::Throttled {
        after: Some(Duration::from_millis(1_500)),
    };
    let completed = |outcome| Input::Completed {
        invocation: InvocationId(1),
        outcome,
    };
    vec![
        Input::Reconfigured(Box::new(config(serde_json::json!({"BatchSize": 7})))),
        Input::Paused,
        Input::Resumed,
        Input::Drain { by: Mono(u64::MAX) },
        Input::Stop,
        Input::ShardsListed { op, listing },
        Input::Registered { op },
        Input::Arrived { op, page: part },
        Input::Fetched { op, fetched },
        Input::Fetched { op, fetched: empty },
        completed(Outcome::Returned(Report::FailedFrom(3))),
        completed(Outcome::Returned(Report::Failed([0, 4].into()))),
        completed(Outcome::Raised(error.clone())),
        completed(Outcome::TimedOut),
        completed(Outcome::Crashed(error)),
        completed(Outcome::Rejected(Fault::new(FaultKind::Transient, "full"))),
        Input::CheckpointSaved { op },
        Input::Delivered { op },
        Input::Failed {
            op,
            fault: Fault::new(throttled, "slow down"),
        },
    ]
    .into_iter()
    .chain(of_leases(op, &shard))
    .chain(of_queues(op))
    .collect()
}

fn of_leases(op: OpId, shard: &ShardId) -> [Input; 8] {
    let shard = || shard.clone();
    [
        Input::LeaseGranted {
            op,
            fence: Fence(3),
            until: Some(Mono(5)),
            checkpoint: Some(checkpoint()),
        },
        Input::LeaseGranted {
            op,
            fence: Fence(4),
            until: None,
            checkpoint: None,
        },
        Input::LeaseRenewed {
            shard: shard(),
            fence: Fence(3),
            until: Mono(6),
        },
        Input::LeaseDrains { shard: shard() },
        Input::EndedElsewhere { shard: shard() },
        Input::LeaseLost { shard: shard() },
        moved(&shard()),
        Input::Skip { shard: shard() },
    ]
}

fn of_queues(op: OpId) -> [Input; 5] {
    let refused = vec![Refused {
        index: 3,
        fault: Fault::new(FaultKind::Expired, "the receipt has expired"),
    }];
    let queue = QueueFacts {
        visibility_timeout: Duration::from_secs(30),
        fifo: true,
        max_receive_count: Some(3),
        server_time: Wall(7),
    };
    let page = numbered(&["1", "2"]).pages.remove(0);
    [
        Input::QueueDescribed { op, queue },
        Input::Received {
            op,
            page: Some(page),
        },
        Input::Received { op, page: None },
        Input::Acknowledged {
            op,
            refused: refused.clone(),
        },
        Input::Extended { op, refused },
    ]
}

fn full_and_empty(info: ShardInfo) -> [Fetched; 2] {
    let page = numbered(&["1", "2", "30"]).pages.remove(0);
    let full = Fetched {
        page: Some(page),
        next: Some(Position::AtTimestamp(Wall(3))),
        behind_ms: Some(4),
        ended: true,
        children: vec![info],
    };
    let empty = Fetched {
        page: None,
        next: None,
        behind_ms: None,
        ended: false,
        children: Vec::new(),
    };
    [full, empty]
}

#[test]
fn every_input_comes_back_from_its_line() {
    for input in every_input() {
        let mut bytes = Vec::new();
        TraceLine::input(&input, now(5)).write(&mut bytes).unwrap();
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
        let line: TraceLine = serde_json::from_slice(&bytes).unwrap();
        let TraceLine::Input {
            now: at,
            input: traced,
        } = line
        else {
            panic!("an input")
        };
        assert_eq!(at, now(5));
        // Pages have no payloads any more, so compare what a trace of the copy would say.
        let again = serde_json::to_string(&TracedInput::from(&Input::from(traced))).unwrap();
        let first = serde_json::to_string(&TracedInput::from(&input)).unwrap();
        assert_eq!(again, first);
    }
}

#[test]
fn a_page_from_a_trace_looks_the_same_to_an_engine() {
    let page = numbered(&["1", "2", "30"]).pages.remove(0);
    let text = serde_json::to_string(&FactsPage::of(page.as_ref())).unwrap();
    let copy: FactsPage = serde_json::from_str(&text).unwrap();
    let same = |a: &dyn Page, b: &dyn Page| {
        assert_eq!(a.facts(), b.facts());
        assert_eq!(a.pinned_bytes(), b.pinned_bytes());
        for index in 0..a.facts().len() {
            assert_eq!(a.sequence_number(index), b.sequence_number(index));
        }
    };
    same(page.as_ref(), &copy);
    for indices in [&[0][..], &[1, 2], &[], &[0, 1, 2]] {
        same(
            page.extract(indices).as_ref(),
            copy.extract(indices).as_ref(),
        );
    }
    assert!(!text.contains("aGk="), "payloads stay out of traces");
}

#[test]
fn columns_of_different_lengths_are_no_page() {
    let text = r#"{"sequence_numbers":["1"],"facts":[],"record_bytes":[],"pinned_bytes":0}"#;
    let error = serde_json::from_str::<FactsPage>(text).unwrap_err();
    assert!(error.to_string().contains("different lengths"), "{error}");
}

#[test]
fn the_header_comes_back_with_every_digit() {
    let backoff = serde_json::json!({"BackoffJitter": 0.1 + 0.2});
    let config = config(serde_json::json!({ "Penstock": backoff }));
    let resume = Resume {
        rows: vec![(ShardId::new("s"), checkpoint())],
    };
    let line = TraceLine::header(&config, &resume, u64::MAX, now(0));
    let text = serde_json::to_string(&line).unwrap();
    let TraceLine::Header(header) = serde_json::from_str(&text).unwrap() else {
        panic!("a header")
    };
    let TraceLine::Header(first) = line else {
        panic!("a header")
    };
    assert_eq!(header, first);
}

/// Performs what an engine asks for at once, and writes down everything that it is given.
struct Recorder {
    engine: Engine,
    trace: Vec<u8>,
    given: Vec<String>,
    at: Now,
    fetches: u64,
    fences: u64,
}

impl Recorder {
    fn born() -> Self {
        let (config, resume) = (
            config(serde_json::json!({"MaximumRetryAttempts": 1})),
            Resume::default(),
        );
        let mut trace = Vec::new();
        TraceLine::header(&config, &resume, 11, now(0))
            .write(&mut trace)
            .unwrap();
        let engine = Engine::new(config, resume, 11, now(0));
        Self {
            engine,
            trace,
            given: Vec::new(),
            at: now(0),
            fetches: 0,
            fences: 0,
        }
    }

    fn live(&mut self, steps: u64) {
        let mut answers = self.drain();
        for step in 1..=steps {
            self.at = now(step);
            for input in std::mem::take(&mut answers) {
                TraceLine::input(&input, self.at)
                    .write(&mut self.trace)
                    .unwrap();
                self.engine.handle_input(input, self.at);
                answers.extend(self.drain());
            }
            TraceLine::Timeout { now: self.at }
                .write(&mut self.trace)
                .unwrap();
            self.engine.handle_timeout(self.at);
            answers.extend(self.drain());
            let line = TraceLine::Offer {
                now: self.at,
                slot: SlotId(0),
            };
            line.write(&mut self.trace).unwrap();
            let invocation = self.engine.poll_invocation(SlotId(0), self.at);
            if let Some(invocation) = &invocation {
                let raised = HandlerError {
                    kind: "E".into(),
                    message: String::new(),
                };
                let outcome = match step % 3 {
                    0 => Outcome::Raised(raised),
                    _ => Outcome::Returned(Report::AllSucceeded),
                };
                answers.push(Input::Completed {
                    invocation: invocation.id,
                    outcome,
                });
            }
            self.given.push(shown(&Given::Invocation(invocation)));
            answers.extend(self.drain());
        }
    }

    fn drain(&mut self) -> Vec<Input> {
        let mut answers = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            answers.extend(self.answer(&output));
            self.given.push(shown(&Given::Output(output)));
        }
        answers
    }

    fn answer(&mut self, output: &Output) -> Option<Input> {
        let shard = |name: &str| ShardInfo {
            id: ShardId::new(name),
            parents: Vec::new(),
            closed: false,
        };
        Some(match output {
            Output::ListShards { op } => Input::ShardsListed {
                op: *op,
                listing: ShardListing {
                    shards: vec![shard("a"), shard("b")],
                    server_time: self.at.wall,
                    incarnation: None,
                    retention: None,
                },
            },
            Output::Register { op, .. } => Input::Registered { op: *op },
            Output::TakeLease { op, .. } => {
                self.fences += 1;
                Input::LeaseGranted {
                    op: *op,
                    fence: Fence(self.fences),
                    until: None,
                    checkpoint: None,
                }
            }
            Output::Fetch(fetch) => {
                self.fetches += 1;
                let numbers = [self.fetches * 10, self.fetches * 10 + 1].map(|n| n.to_string());
                let batch = numbered(&numbers.each_ref().map(String::as_str));
                Input::Fetched {
                    op: fetch.op,
                    fetched: Fetched {
                        page: Some(batch.pages[0].clone()),
                        next: None,
                        behind_ms: Some(0),
                        ended: false,
                        children: Vec::new(),
                    },
                }
            }
            Output::SaveCheckpoint { op, .. } => Input::CheckpointSaved { op: *op },
            Output::Deliver { op, .. } => Input::Delivered { op: *op },
            _ => return None,
        })
    }
}

/// What an engine gave, without the pages behind a batch's records.
fn shown(given: &Given) -> String {
    match given {
        Given::Output(output) => format!("{output:?}"),
        Given::Invocation(None) => "nothing".into(),
        Given::Invocation(Some(invocation)) => {
            let numbers = (0..invocation.batch.len()).map(|i| invocation.batch.sequence(i));
            let numbers: Vec<SequenceNumber> = numbers.collect();
            let Invocation {
                id,
                shard,
                lane,
                attempt,
                request_id,
                deadline,
                ..
            } = invocation;
            format!("{id:?} {shard} {lane} {attempt} {request_id} {deadline:?} {numbers:?}")
        }
    }
}

#[test]
fn a_recorded_life_runs_again_to_the_same_outputs_and_the_same_end() {
    let mut recorder = Recorder::born();
    recorder.live(60);
    let counters = recorder.engine.counters();
    assert!(
        counters.succeeded > 0 && counters.retries > 0,
        "{counters:?}"
    );
    let mut again = Vec::new();
    let engine = replay_with(&recorder.trace[..], |_, given| again.push(shown(&given))).unwrap();
    assert_eq!(again, recorder.given);
    assert_eq!(
        engine.snapshot(recorder.at),
        recorder.engine.snapshot(recorder.at)
    );
}

#[test]
fn a_line_cut_short_by_a_crash_is_left_out() {
    let mut recorder = Recorder::born();
    recorder.live(5);
    let whole = recorder.trace.len();
    let before = recorder.trace[..whole - 1]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .unwrap();
    let last = replay(&recorder.trace[..=before]).unwrap().counters();
    assert_eq!(
        replay(&recorder.trace[..whole - 5]).unwrap().counters(),
        last
    );
}

#[test]
fn what_is_not_a_trace_is_refused_with_its_line() {
    let header = Recorder::born().trace;
    let after_header = |text: &str| [&header[..], text.as_bytes()].concat();
    for (trace, line) in [
        (Vec::new(), 1),
        (b"{}\n".to_vec(), 1),
        (
            b"{\"timeout\":{\"now\":{\"mono\":0,\"wall\":0}}}\n".to_vec(),
            1,
        ),
        (after_header("nonsense\n"), 2),
        (after_header("{\"input\":{}}\n"), 2),
        ([&header[..], &header[..]].concat(), 2),
    ] {
        match replay(&trace[..]) {
            Err(TraceError::Malformed { line: found, .. }) => assert_eq!(found, line),
            other => panic!("{other:?}"),
        }
    }
    let future = b"{\"header\":{\"version\":9,\"more\":1}}\n";
    let error = replay(&future[..]).unwrap_err();
    assert_eq!(error, TraceError::Version { found: 9 });
}
