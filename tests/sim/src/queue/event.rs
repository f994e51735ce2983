//! Names what is going to happen in the world of a queue.

use std::time::Duration;

use penstock_engine::config::MappingConfig;
use penstock_engine::fault::Fault;
use penstock_engine::ids::{InvocationId, OpId};
use penstock_engine::io::{Input, Outcome, Receive};

use super::faults::QueueFaults;
use crate::event::Planned;

/// What is going to happen.
#[derive(Debug)]
pub enum Event {
    /// An answer reaches the engine.
    Answer(Input),
    /// The queue says what it is.
    Describe(OpId, Option<Fault>),
    /// A receive reaches the queue.
    Receive(Receive, Fate),
    /// Deletes reach the queue.
    Acknowledge(OpId, Vec<u64>, Fate),
    /// Changes of visibility reach the queue.
    Extend(OpId, Vec<u64>, Duration, Fate),
    /// A worker has finished.
    Finish(usize, InvocationId, Outcome),
    /// Somebody does something.
    Act(Act),
}

impl Planned for Event {
    fn is_act(&self) -> bool {
        matches!(self, Self::Act(_))
    }
}

/// What becomes of a request.
#[derive(Debug, Clone)]
pub struct Fate {
    /// Whether it is done.
    pub done: bool,
    /// What is said, if it is not that it worked.
    pub said: Option<Fault>,
    /// How long the answer takes after the deed.
    pub reply_after: Duration,
}

/// What somebody does.
#[derive(Debug, Clone)]
pub enum Act {
    /// A sender sends a message.
    Send(Sent),
    /// The mapping is paused.
    Pause,
    /// The mapping goes on.
    Resume,
    /// The mapping gets other options.
    Reconfigure(Box<MappingConfig>),
    /// The mapping finishes within this span.
    Drain(Duration),
    /// The mapping stops at once.
    Stop,
    /// The process dies.
    Crash,
    /// A new process starts.
    Start,
    /// The queue is deleted, with what is in it.
    DeleteQueue,
    /// A queue of its name is created.
    CreateQueue,
    /// The queue behaves like this from now on.
    Behave(Box<QueueFaults>),
    /// The handler's moods are over.
    Heal,
}

/// A message to be sent.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    /// The message group, for FIFO queues.
    pub group: Option<u32>,
    /// What it weighs, if not what its body does.
    pub weight: Option<u32>,
    /// Whether filters drop it.
    pub filtered: bool,
    /// What a FIFO queue tells messages apart by; the message itself unless said.
    pub deduplication: Option<u32>,
    /// From when on it can be received.
    pub delay: Duration,
}

impl Sent {
    /// An ordinary message of a standard queue.
    #[must_use]
    pub fn plain() -> Self {
        Self::default()
    }

    /// An ordinary message of this group.
    #[must_use]
    pub fn group(group: u32) -> Self {
        Self {
            group: Some(group),
            ..Self::default()
        }
    }
}
