//! Shows that mappings of queues share workers and room, and give back what they do not handle.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use penstock_engine::config::{EventShape, MappingConfig, QueueRules};
use penstock_engine::fault::FaultKind;
use penstock_engine::ids::SlotId;
use penstock_engine::io::{Outcome, Report};
use penstock_engine::record::RecordView;
use penstock_runtime::exchange::Delivery;
use penstock_runtime::ports::Source;
use penstock_runtime::runtime::{Runtime, RuntimeConfig};
use penstock_runtime::source::{EmbeddedQueue, MemoryQueue};
use penstock_runtime::state::queues::{NewMessage, QueueOptions};

mod bench;

const POOL: &str = "main";
const WORKERS: u32 = 8;
const MAPPINGS: usize = 200;
const MESSAGES: usize = 5;
const LONG: Duration = Duration::from_secs(60);

fn config(id: &str) -> MappingConfig {
    MappingConfig {
        source_arn: format!("arn:aws:penstock:::queue/{id}"),
        shape: EventShape::Sqs,
        batch_size: 10,
        source: EmbeddedQueue::profile_of_all(),
        queue: Some(QueueRules {
            fifo: false,
            maximum_concurrency: None,
            strict_groups: false,
        }),
        ..bench::config(id)
    }
}

fn start() -> Runtime {
    Runtime::start(RuntimeConfig {
        pools: BTreeMap::from([(POOL.to_owned(), WORKERS)]),
        ..RuntimeConfig::default()
    })
    .expect("it starts")
}

fn bodies(delivery: &Delivery) -> Vec<String> {
    let batch = &delivery.invocation.batch;
    let body = |index| match batch.view(index) {
        RecordView::Sqs(message) => message.body.to_owned(),
        other => panic!("not a message: {other:?}"),
    };
    (0..batch.len()).map(body).collect()
}

fn next(runtime: &Runtime, slot: u32, wait: Duration) -> Option<Delivery> {
    let next = runtime.next_invocation(POOL, SlotId(slot), wait);
    next.expect("it is open")
}

fn succeed(runtime: &Runtime, delivery: &Delivery) {
    let (mapping, id) = (&delivery.mapping, delivery.invocation.id);
    let done = Outcome::Returned(Report::AllSucceeded);
    runtime.complete(mapping, id, done).expect("it was out");
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + LONG;
    while !done() {
        assert!(std::time::Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn two_hundred_queues_on_eight_workers_do_not_starve_one_another() {
    let runtime = start();
    let queues = runtime.state().queues();
    for number in 0..MAPPINGS {
        let name = format!("q{number}");
        queues
            .create(&name, &QueueOptions::default())
            .expect("created");
        let source = EmbeddedQueue::open(runtime.state().clone(), &name).expect("there");
        runtime
            .add_mapping(config(&name), source, None)
            .expect("added");
    }
    // One queue has enough to keep every worker busy for ever.
    let crowd = |count: usize| (0..count).map(|_| message("crowd")).collect();
    queues.send("q0", crowd(10_000)).expect("sent");
    let few = || (0..MESSAGES).map(|_| message("few")).collect();
    for number in 1..MAPPINGS {
        queues.send(&format!("q{number}"), few()).expect("sent");
    }
    let (wanted, handled) = ((MAPPINGS - 1) * MESSAGES, AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for slot in 0..WORKERS {
            let (runtime, handled) = (&runtime, &handled);
            scope.spawn(move || {
                while handled.load(SeqCst) < wanted {
                    let Some(delivery) = next(runtime, slot, Duration::from_secs(1)) else {
                        continue;
                    };
                    std::thread::sleep(Duration::from_millis(1));
                    let few = bodies(&delivery)
                        .iter()
                        .filter(|body| *body == "few")
                        .count();
                    handled.fetch_add(few, SeqCst);
                    succeed(runtime, &delivery);
                }
            });
        }
    });
    let left = queues.describe("q0").expect("there");
    assert!(
        left.visible + left.in_flight > 0,
        "the crowd was served last of all"
    );
    runtime.close(LONG);
}

fn message(body: &str) -> NewMessage {
    NewMessage {
        body: body.to_owned(),
        ..NewMessage::default()
    }
}

#[test]
fn a_long_poll_holds_no_bytes_and_a_drain_ends_it_at_once() {
    let runtime = start();
    let queue = MemoryQueue::new(runtime.clock().clone(), LONG);
    let source = Source::Queue(queue.clone());
    runtime
        .add_mapping(config("m"), source, None)
        .expect("added");
    until("the queue is described and asked", || {
        let snapshot = runtime.snapshot().expect("open");
        let picture = snapshot.mappings[0].snapshot.as_ref();
        let asked = picture.and_then(|picture| picture.queue.as_ref());
        asked.is_some_and(|queue| queue.receives_outstanding > 0)
    });
    assert_eq!(runtime.snapshot().expect("open").buffered_bytes, 0);
    let began = std::time::Instant::now();
    assert!(runtime.drain(LONG).expect("open"), "nothing was left to do");
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "it waited for the long poll"
    );
    runtime.close(LONG);
}

#[test]
fn a_drain_gives_back_what_no_worker_has() {
    let runtime = start();
    let queue = MemoryQueue::new(runtime.clock().clone(), LONG);
    for number in 0..30 {
        queue.send(&number.to_string());
    }
    let source = Source::Queue(queue.clone());
    runtime
        .add_mapping(config("m"), source, None)
        .expect("added");
    let delivery = next(&runtime, 0, LONG).expect("a batch comes");
    let handled = bodies(&delivery).len();
    std::thread::scope(|scope| {
        let drained = scope.spawn(|| runtime.drain(LONG).expect("open"));
        succeed(&runtime, &delivery);
        assert!(drained.join().expect("no panic"), "drained in time");
    });
    assert_eq!(
        queue.left().len(),
        30 - handled,
        "what succeeded is deleted"
    );
    let fresh = queue.visible();
    assert_eq!(fresh, 30 - handled, "the rest can be received at once");
    runtime.close(LONG);
}

#[test]
fn a_receive_that_fails_is_tried_again() {
    let runtime = start();
    let queue = MemoryQueue::new(runtime.clock().clone(), LONG);
    queue.fail_next_receive(FaultKind::Transient, "the queue is away");
    queue.send("a");
    let source: Arc<MemoryQueue> = queue.clone();
    let added = runtime.add_mapping(config("m"), Source::Queue(source), None);
    added.expect("added");
    let delivery = next(&runtime, 0, LONG).expect("it comes all the same");
    assert_eq!(bodies(&delivery), ["a"]);
    succeed(&runtime, &delivery);
    until("it is deleted", || queue.left().is_empty());
    runtime.close(LONG);
}
