//! Shows that a runtime keeps the driver's contract with real engines, and ends in every order.

use std::fs;
use std::time::{Duration, Instant};

use penstock_engine::fault::FaultKind;
use penstock_engine::ids::{InvocationId, MappingId, SlotId};
use penstock_engine::io::{HandlerError, Outcome, Report};
use penstock_engine::snapshot::MappingState;
use penstock_runtime::destination::{EmbeddedDestination, MemoryDestination};
use penstock_runtime::error::RuntimeError;
use penstock_runtime::ports::Source;
use penstock_runtime::runtime::RuntimeConfig;
use penstock_runtime::source::{EmbeddedSource, MemorySource};

mod bench;
mod room;
use bench::config;
use room::{LONG, POOL, STREAM, record, settings, start, succeed, until, with_stream, work};

#[test]
fn records_flow_to_workers_and_a_restart_repeats_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = RuntimeConfig {
        state_dir: Some(directory.path().to_owned()),
        ..settings()
    };
    let first = start(settings.clone());
    let source = with_stream(&first, 3);
    first.add_mapping(config("m"), source, None).expect("added");
    let keys: Vec<_> = (0..500).map(|number| format!("key-{number}")).collect();
    for some in keys.chunks(50) {
        let records = some.iter().map(|key| record(key)).collect();
        first.state().streams().put(STREAM, records).expect("put");
    }
    let mut seen = work(&first, keys.len(), succeed);
    assert!(first.drain(LONG).expect("it is open"), "drained in time");
    first.close(LONG);
    seen.sort();
    let mut wanted = keys.clone();
    wanted.sort();
    assert_eq!(seen, wanted);

    let second = start(settings);
    second
        .state()
        .streams()
        .put(STREAM, vec![record("new")])
        .expect("put");
    let source = EmbeddedSource::open(second.state().clone(), STREAM).expect("it is there");
    second
        .add_mapping(config("m"), source, None)
        .expect("added");
    assert_eq!(work(&second, 1, succeed), ["new"]);
    second.close(LONG);
}

#[test]
fn a_snapshot_shows_mappings_pools_and_stores() {
    let runtime = start(settings());
    let source = with_stream(&runtime, 1);
    let id = runtime
        .add_mapping(config("m"), source, None)
        .expect("added");
    runtime
        .state()
        .streams()
        .put(STREAM, vec![record("a")])
        .expect("put");
    let delivery = runtime
        .next_invocation(POOL, SlotId(1), LONG)
        .expect("open")
        .expect("one");
    let busy = runtime.snapshot().expect("open");
    assert_eq!(
        (busy.exchange[POOL].slots, busy.exchange[POOL].busy),
        (2, 1)
    );
    assert!(busy.buffered_bytes > 0, "the invocation holds its page");
    assert!(busy.store.commits > 0);
    let picture = busy.mappings[0].snapshot.as_ref().expect("it answered");
    assert!(busy.mappings[0].answered && !busy.mappings[0].ended);
    assert_eq!((picture.counters.in_flight, picture.idle), (1, false));
    let done = Outcome::Returned(Report::AllSucceeded);
    runtime
        .complete(&id, delivery.invocation.id, done)
        .expect("it was out");
    drop(delivery);
    until("idle", || {
        let snapshot = runtime.snapshot().expect("open");
        snapshot.mappings[0]
            .snapshot
            .as_ref()
            .is_some_and(|picture| picture.idle)
    });
    let text = serde_json::to_string(&runtime.snapshot().expect("open")).expect("it is data");
    assert!(
        text.contains(r#""mapping":"m""#) && text.contains(r#""exchange":{"main""#),
        "{text}"
    );
    runtime.close(LONG);
}

#[test]
fn bytes_are_given_back_when_everything_is_done() {
    let runtime = start(settings());
    let source = with_stream(&runtime, 2);
    runtime
        .add_mapping(config("m"), source, None)
        .expect("added");
    let records = (0..1_000)
        .map(|number| record(&format!("key-{number}")))
        .collect();
    runtime.state().streams().put(STREAM, records).expect("put");
    work(&runtime, 1_000, succeed);
    until("all bytes are given back", || {
        runtime.snapshot().expect("open").buffered_bytes == 0
    });
    runtime.close(LONG);
}

#[test]
fn failed_records_reach_the_destination_before_the_checkpoint() {
    let runtime = start(settings());
    let source = with_stream(&runtime, 1);
    let mapping = penstock_engine::config::MappingConfig {
        bisect: true,
        on_failure: Some("stream:failed".to_owned()),
        ..config("m")
    };
    let destination = EmbeddedDestination::open(runtime.state().clone(), "failed");
    let destination = destination.expect("it opens");
    runtime
        .add_mapping(mapping, source, Some(destination))
        .expect("added");
    let records = (0..10)
        .map(|number| record(&format!("key-{number}")))
        .collect();
    runtime.state().streams().put(STREAM, records).expect("put");
    let seen = work(&runtime, 9, |keys| {
        if keys.iter().any(|key| key == "key-4") {
            let error = HandlerError {
                kind: "ValueError".into(),
                message: "bad".into(),
            };
            Outcome::Raised(error)
        } else {
            succeed(keys)
        }
    });
    assert!(!seen.contains(&"key-4".to_owned()));
    until("the document arrives", || {
        runtime
            .state()
            .streams()
            .describe("failed")
            .expect("there")
            .records
            == 1
    });
    assert!(runtime.drain(LONG).expect("open"));
    let snapshot = runtime.snapshot().expect("open");
    let picture = snapshot.mappings[0]
        .snapshot
        .as_ref()
        .expect("the last picture stays");
    assert_eq!(
        (picture.counters.delivered, picture.counters.succeeded),
        (1, 9)
    );
    assert_eq!(picture.state, MappingState::Stopped);
    runtime.close(LONG);
}

#[test]
fn a_manual_clock_moves_back_offs_and_waits() {
    let runtime = start(RuntimeConfig {
        manual_clock: true,
        ..settings()
    });
    let source = MemorySource::new(runtime.clock().clone(), 1);
    source.push("shard-0", "key", b"x");
    source.fail_next_fetch(FaultKind::Transient, "the source stumbles");
    let destination = MemoryDestination::new();
    let id = runtime
        .add_mapping(
            config("m"),
            Source::Stream(source.clone()),
            Some(destination),
        )
        .expect("added");
    until("the fetch fails", || source.fetches() == 1);
    let nothing = runtime.next_invocation(POOL, SlotId(0), Duration::from_millis(50));
    assert!(
        nothing.expect("open").is_none(),
        "time stands still, and so does the back-off"
    );
    let delivery = loop {
        runtime
            .advance(Duration::from_millis(500))
            .expect("it is manual");
        let next = runtime.next_invocation(POOL, SlotId(0), Duration::from_millis(50));
        if let Some(delivery) = next.expect("open") {
            break delivery;
        }
        assert!(
            runtime.clock().now().mono.0 < 120_000_000_000,
            "the back-off ends"
        );
    };
    let error = HandlerError {
        kind: "ValueError".into(),
        message: "bad".into(),
    };
    let raised = Outcome::Raised(error);
    runtime
        .complete(&id, delivery.invocation.id, raised)
        .expect("it was out");
    let nothing = runtime.next_invocation(POOL, SlotId(0), Duration::from_millis(50));
    assert!(nothing.expect("open").is_none());
    until("the failure is heard, and its back-off begun", || {
        let snapshot = runtime.snapshot().expect("open");
        snapshot.mappings[0]
            .snapshot
            .as_ref()
            .is_some_and(|one| one.counters.failed_invocations == 1)
    });
    runtime
        .advance(Duration::from_secs(2))
        .expect("it is manual");
    let again = runtime
        .next_invocation(POOL, SlotId(0), LONG)
        .expect("open")
        .expect("again");
    assert_eq!(again.invocation.attempt, 2);
    runtime.close(LONG);
}

#[test]
fn pause_resume_update_and_removal_take_effect() {
    let runtime = start(settings());
    let source = with_stream(&runtime, 1);
    let id = runtime
        .add_mapping(config("m"), source.clone(), None)
        .expect("added");
    let twice = runtime.add_mapping(config("m"), source.clone(), None);
    assert_eq!(twice, Err(RuntimeError::MappingExists(id.clone())));
    runtime.pause(&id).expect("paused");
    until("paused", || {
        let snapshot = runtime.snapshot().expect("open");
        snapshot.mappings[0]
            .snapshot
            .as_ref()
            .is_some_and(|one| one.state == MappingState::Paused)
    });
    let records = (0..10).map(|number| record(&number.to_string())).collect();
    runtime.state().streams().put(STREAM, records).expect("put");
    let nothing = runtime.next_invocation(POOL, SlotId(0), Duration::from_millis(100));
    assert!(nothing.expect("open").is_none());
    let smaller = penstock_engine::config::MappingConfig {
        batch_size: 1,
        ..config("m")
    };
    runtime.update_mapping(smaller, None).expect("updated");
    runtime.resume(&id).expect("resumed");
    let delivery = runtime
        .next_invocation(POOL, SlotId(0), LONG)
        .expect("open")
        .expect("one");
    assert_eq!(
        (delivery.invocation.batch.len(), delivery.config.batch_size),
        (1, 1)
    );
    let done = || Outcome::Returned(Report::AllSucceeded);
    runtime
        .complete(&id, delivery.invocation.id, done())
        .expect("it was out");
    let twice = runtime.complete(&id, delivery.invocation.id, done());
    assert!(matches!(twice, Err(RuntimeError::UnknownInvocation { .. })));
    runtime.remove_mapping(&id).expect("removed");
    until("gone", || {
        runtime.snapshot().expect("open").mappings.is_empty()
    });
    assert_eq!(
        runtime.pause(&id),
        Err(RuntimeError::UnknownMapping(id.clone()))
    );
    runtime
        .add_mapping(config("m"), source, None)
        .expect("the id is free again");
    runtime.close(LONG);
}

#[test]
fn a_drain_that_cannot_end_says_so_and_ends_anyway() {
    let runtime = start(settings());
    let source = with_stream(&runtime, 1);
    let id = runtime
        .add_mapping(config("m"), source, None)
        .expect("added");
    runtime
        .state()
        .streams()
        .put(STREAM, vec![record("a")])
        .expect("put");
    let delivery = runtime
        .next_invocation(POOL, SlotId(0), LONG)
        .expect("open")
        .expect("one");
    let began = Instant::now();
    assert!(
        !runtime.drain(Duration::from_millis(200)).expect("open"),
        "the handler never ends"
    );
    assert!(began.elapsed() < LONG);
    let late = Outcome::Returned(Report::AllSucceeded);
    runtime
        .complete(&id, delivery.invocation.id, late)
        .expect("it counts for nothing");
    let more = runtime.add_mapping(
        config("n"),
        Source::Stream(MemorySource::new(runtime.clock().clone(), 1)),
        None,
    );
    assert_eq!(more, Err(RuntimeError::Closed));
    runtime.close(LONG);
}

#[test]
fn a_closed_runtime_refuses_every_call_and_frees_its_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = RuntimeConfig {
        state_dir: Some(directory.path().to_owned()),
        ..settings()
    };
    let runtime = start(settings.clone());
    let source = with_stream(&runtime, 1);
    let id = runtime
        .add_mapping(config("m"), source, None)
        .expect("added");
    let waiting = std::thread::spawn({
        let runtime = runtime.clone();
        move || runtime.next_invocation(POOL, SlotId(0), LONG).map(|_| ())
    });
    let began = Instant::now();
    runtime.close(LONG);
    runtime.close(LONG);
    assert!(
        began.elapsed() < LONG,
        "nothing runs, so nothing is waited for"
    );
    assert_eq!(waiting.join().expect("no panic"), Err(RuntimeError::Closed));
    assert!(runtime.closed());
    assert_eq!(runtime.pause(&id), Err(RuntimeError::Closed));
    assert_eq!(runtime.snapshot().map(|_| ()), Err(RuntimeError::Closed));
    assert_eq!(runtime.drain(LONG), Err(RuntimeError::Closed));
    assert_eq!(runtime.advance(LONG), Err(RuntimeError::Closed));
    let outcome = Outcome::Returned(Report::AllSucceeded);
    assert_eq!(
        runtime.complete(&id, InvocationId(0), outcome),
        Err(RuntimeError::Closed)
    );
    start(settings).close(LONG);
}

#[test]
fn wrong_pools_mappings_and_clocks_are_refused_by_name() {
    let runtime = start(settings());
    let source = MemorySource::new(runtime.clock().clone(), 1);
    let mut elsewhere = config("m");
    elsewhere.function.pool = "absent".to_owned();
    let refused = runtime.add_mapping(elsewhere, Source::Stream(source), None);
    assert_eq!(refused, Err(RuntimeError::UnknownPool("absent".to_owned())));
    let ghost = MappingId::new("ghost");
    assert_eq!(
        runtime.resume(&ghost),
        Err(RuntimeError::UnknownMapping(ghost.clone()))
    );
    let outcome = Outcome::Returned(Report::AllSucceeded);
    let refused = runtime.complete(&ghost, InvocationId(1), outcome);
    assert_eq!(refused, Err(RuntimeError::UnknownMapping(ghost)));
    assert_eq!(runtime.advance(LONG), Err(RuntimeError::ClockNotManual));
}

#[test]
fn a_trace_runs_again_to_the_same_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = start(RuntimeConfig {
        trace_dir: Some(directory.path().to_owned()),
        ..settings()
    });
    let source = with_stream(&runtime, 2);
    runtime
        .add_mapping(config("m"), source, None)
        .expect("added");
    let records = (0..300)
        .map(|number| record(&format!("key-{number}")))
        .collect();
    runtime.state().streams().put(STREAM, records).expect("put");
    work(&runtime, 300, succeed);
    assert!(runtime.drain(LONG).expect("open"));
    let lived = runtime.snapshot().expect("open").mappings[0]
        .snapshot
        .clone()
        .expect("there");
    runtime.close(LONG);
    let trace = fs::read_dir(directory.path())
        .expect("readable")
        .next()
        .expect("one trace");
    let file = fs::File::open(trace.expect("readable").path()).expect("readable");
    let engine = penstock_engine::trace::replay(std::io::BufReader::new(file)).expect("it replays");
    assert_eq!(engine.counters(), lived.counters);
}
