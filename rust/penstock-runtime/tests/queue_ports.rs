//! Runs the shared suites on every queue that this crate implements.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use penstock_engine::time::Wall;
use penstock_runtime::clock::ManualClock;
use penstock_runtime::destination::EmbeddedQueueDestination;
use penstock_runtime::ports::{Destination, QueueSource};
use penstock_runtime::source::{EmbeddedQueue, MemoryQueue};
use penstock_runtime::state::queues::{NewMessage, QueueOptions};
use penstock_runtime::state::{State, StateLimits};
use penstock_runtime::testing::destination::DestinationBench;
use penstock_runtime::testing::queue::{QueueBench, VISIBILITY};
use tempfile::TempDir;

mod embedded_queue_on_disk {
    penstock_runtime::ports_suite!(queue: super::embedded_queue_on_disk);
}
mod embedded_queue_in_memory {
    penstock_runtime::ports_suite!(queue: super::embedded_queue_in_memory);
}
mod embedded_fifo_queue {
    penstock_runtime::ports_suite!(fifo: super::embedded_fifo_queue);
}
mod queue_destination {
    penstock_runtime::ports_suite!(destination: super::queue_destination);
}
mod memory_queue {
    penstock_runtime::ports_suite!(queue: super::memory_queue);
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Wall(1_700_000_000_000)))
}

struct EmbeddedQueueBench {
    clock: Arc<ManualClock>,
    state: Arc<State>,
    name: &'static str,
    source: Arc<dyn QueueSource>,
    _directory: Option<TempDir>,
}

async fn embedded_queue_on_disk() -> EmbeddedQueueBench {
    let directory = tempfile::tempdir().expect("a directory");
    embedded_queue("orders", Some(directory)).await
}

async fn embedded_queue_in_memory() -> EmbeddedQueueBench {
    embedded_queue("orders", None).await
}

async fn embedded_fifo_queue() -> EmbeddedQueueBench {
    embedded_queue("orders.fifo", None).await
}

async fn embedded_queue(name: &'static str, directory: Option<TempDir>) -> EmbeddedQueueBench {
    let clock = clock();
    let path = directory.as_ref().map(TempDir::path);
    let state = State::open(path, clock.clone(), StateLimits::default()).expect("it opens");
    let options = QueueOptions {
        visibility_timeout_s: VISIBILITY.as_secs(),
        ..QueueOptions::default()
    };
    let created = state.queues().create_from_task(name, &options).await;
    created.expect("created");
    EmbeddedQueueBench {
        source: EmbeddedQueue::open(state.clone(), name).expect("it is there"),
        clock,
        state,
        name,
        _directory: directory,
    }
}

impl QueueBench for EmbeddedQueueBench {
    fn source(&self) -> Arc<dyn QueueSource> {
        self.source.clone()
    }

    fn send<'a>(&'a self, body: &'a str, group: Option<&'a str>) -> BoxFuture<'a, ()> {
        let message = NewMessage {
            body: body.to_owned(),
            group: group.map(str::to_owned),
            deduplication_id: group.map(|_| body.to_owned()),
            ..NewMessage::default()
        };
        Box::pin(async move {
            let sent = self.state.queues().send_from_task(self.name, vec![message]);
            sent.await.expect("sent");
        })
    }

    fn pass(&self, span: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.clock.advance(span) })
    }
}

struct MemoryQueueBench {
    clock: Arc<ManualClock>,
    queue: Arc<MemoryQueue>,
}

async fn memory_queue() -> MemoryQueueBench {
    let clock = clock();
    MemoryQueueBench {
        queue: MemoryQueue::new(clock.clone(), VISIBILITY),
        clock,
    }
}

impl QueueBench for MemoryQueueBench {
    fn source(&self) -> Arc<dyn QueueSource> {
        self.queue.clone()
    }

    fn send<'a>(&'a self, body: &'a str, _group: Option<&'a str>) -> BoxFuture<'a, ()> {
        Box::pin(async move { self.queue.send(body) })
    }

    fn pass(&self, span: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.clock.advance(span) })
    }
}

struct QueueDestinationBench {
    state: Arc<State>,
    destination: Arc<dyn Destination>,
}

async fn queue_destination() -> QueueDestinationBench {
    let state = State::open(None, clock(), StateLimits::default()).expect("it opens");
    let open = || EmbeddedQueueDestination::open(state.clone(), "failed").expect("it opens");
    // Opening waits as a thread does.
    let destination = std::thread::scope(|scope| scope.spawn(open).join()).expect("no panic");
    QueueDestinationBench { state, destination }
}

impl DestinationBench for QueueDestinationBench {
    fn destination(&self) -> Arc<dyn Destination> {
        self.destination.clone()
    }

    fn bodies(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async move {
            let seen = self.state.queues().browse("failed", 0, 1_000);
            let seen = seen.expect("it is there").into_iter();
            seen.map(|message| message.body).collect()
        })
    }
}

#[test]
fn a_fifo_queue_takes_no_failure_documents() {
    let state = State::open(None, clock(), StateLimits::default()).expect("it opens");
    let refused = EmbeddedQueueDestination::open(state, "failed.fifo");
    assert!(
        refused
            .err()
            .is_some_and(|error| error.to_string().contains("FIFO"))
    );
}
