//! Makes a standard and a FIFO queue in memory on a clock that tests move.

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::time::Wall;
use penstock_runtime::clock::ManualClock;
use penstock_runtime::error::QueueError;
use penstock_runtime::state::queues::{
    NewMessage, QueueOptions, ReceiveOrder, ReceivedMessage, Sent,
};
use penstock_runtime::state::{State, StateLimits};
use serde_json::Value;

pub const QUEUE: &str = "orders";
pub const FIFO: &str = "orders.fifo";

pub struct World {
    pub clock: Arc<ManualClock>,
    pub state: Arc<State>,
}

pub fn world() -> World {
    let clock = Arc::new(ManualClock::at(Wall(1_700_000_000_000)));
    let state = State::open(None, clock.clone(), StateLimits::default()).expect("it opens");
    for name in [QUEUE, FIFO] {
        let created = state.queues().create(name, &QueueOptions::default());
        created.expect("created");
    }
    World { clock, state }
}

impl World {
    pub fn pass(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }

    pub fn send(&self, name: &str, messages: Vec<NewMessage>) -> Vec<Sent> {
        self.state.queues().send(name, messages).expect("sent")
    }

    pub fn receive(&self, name: &str, limit: u32) -> Vec<ReceivedMessage> {
        let order = ReceiveOrder {
            limit,
            ..ReceiveOrder::default()
        };
        self.state.queues().receive(name, order).expect("received")
    }

    pub fn bodies(&self, name: &str, limit: u32) -> Vec<String> {
        bodies(&self.receive(name, limit))
    }

    pub fn remove(&self, name: &str, messages: &[ReceivedMessage]) -> Vec<Result<(), QueueError>> {
        let receipts = receipts(messages);
        self.state
            .queues()
            .remove(name, receipts)
            .expect("answered")
    }

    pub fn hide(
        &self,
        name: &str,
        messages: &[ReceivedMessage],
        millis: u64,
    ) -> Vec<Result<(), QueueError>> {
        let by = Duration::from_millis(millis);
        let hidden = self
            .state
            .queues()
            .hide_from_task(name, receipts(messages), by);
        block_on(hidden).expect("answered")
    }
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(future)
}

pub fn receipts(messages: &[ReceivedMessage]) -> Vec<String> {
    messages
        .iter()
        .map(|message| message.receipt_handle.clone())
        .collect()
}

pub fn bodies(messages: &[ReceivedMessage]) -> Vec<String> {
    messages.iter().map(|one| one.body.clone()).collect()
}

pub fn message(body: &str) -> NewMessage {
    NewMessage {
        body: body.to_owned(),
        ..NewMessage::default()
    }
}

/// A message of a FIFO queue whose group is its first letter, and which nothing else repeats.
pub fn grouped(body: &str) -> NewMessage {
    NewMessage {
        group: Some(body[..1].to_owned()),
        deduplication_id: Some(body.to_owned()),
        ..message(body)
    }
}

pub fn attribute(received: &ReceivedMessage, name: &str) -> Option<String> {
    let attributes: Value = serde_json::from_str(&received.attributes).expect("JSON");
    attributes[name].as_str().map(str::to_owned)
}
