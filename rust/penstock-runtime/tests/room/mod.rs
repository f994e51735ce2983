//! Starts runtimes for tests, and works for them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use penstock_engine::ids::SlotId;
use penstock_engine::io::{Outcome, Report};
use penstock_runtime::ports::StreamSource;
use penstock_runtime::runtime::{Runtime, RuntimeConfig};
use penstock_runtime::source::EmbeddedSource;
use penstock_runtime::state::streams::NewRecord;
use penstock_runtime::testing::stream_record;

/// The pool of all tests.
pub const POOL: &str = "main";
/// The stream of all tests.
pub const STREAM: &str = "orders";
/// Longer than anything should take.
pub const LONG: Duration = Duration::from_secs(20);

/// A runtime in memory with two slots.
pub fn settings() -> RuntimeConfig {
    RuntimeConfig {
        pools: BTreeMap::from([(POOL.to_owned(), 2)]),
        seed: Some(7),
        ..RuntimeConfig::default()
    }
}

/// Starts a runtime.
pub fn start(settings: RuntimeConfig) -> Arc<Runtime> {
    Arc::new(Runtime::start(settings).expect("it starts"))
}

/// A record that carries its key.
pub fn record(key: &str) -> NewRecord {
    NewRecord {
        partition_key: key.to_owned(),
        data: key.as_bytes().to_vec(),
        hash_key: None,
    }
}

/// Creates the stream and opens it as a source.
pub fn with_stream(runtime: &Runtime, shards: u32) -> Arc<dyn StreamSource> {
    runtime
        .state()
        .streams()
        .create(STREAM, shards)
        .expect("created");
    EmbeddedSource::open(runtime.state().clone(), STREAM).expect("it is there")
}

/// Takes invocations until `enough` records came; answers each with `answer`.
pub fn work(
    runtime: &Runtime,
    enough: usize,
    answer: impl Fn(&[String]) -> Outcome,
) -> Vec<String> {
    let until = Instant::now() + LONG;
    let mut seen = Vec::new();
    while seen.len() < enough {
        assert!(
            Instant::now() < until,
            "only {} of {enough} records came",
            seen.len()
        );
        let next = runtime.next_invocation(POOL, SlotId(0), Duration::from_millis(200));
        let Some(delivery) = next.expect("it is open") else {
            continue;
        };
        let batch = &delivery.invocation.batch;
        let keys: Vec<_> = (0..batch.len())
            .map(|index| {
                let (partition_key, ..) = stream_record(batch.view(index));
                partition_key.to_owned()
            })
            .collect();
        let outcome = answer(&keys);
        if outcome == Outcome::Returned(Report::AllSucceeded) {
            seen.extend(keys);
        }
        let id = delivery.invocation.id;
        runtime
            .complete(&delivery.mapping, id, outcome)
            .expect("it was out");
    }
    seen
}

/// The answer of a handler without trouble.
pub fn succeed(_: &[String]) -> Outcome {
    Outcome::Returned(Report::AllSucceeded)
}

/// Waits for a condition, with a bound.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
