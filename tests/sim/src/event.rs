//! Names what is going to happen in the world, and keeps it in order.
//!
//! Rules: events at the same moment come in an order that the seed draws, since any order must be
//! correct.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use penstock_engine::config::MappingConfig;
use penstock_engine::failure::FailureDocument;
use penstock_engine::fault::Fault;
use penstock_engine::ids::{Fence, InvocationId, OpId, ShardId};
use penstock_engine::io::{Checkpoint, Fetch, Input, Outcome};
use penstock_engine::time::Mono;

use crate::faults::Faults;

/// What is going to happen.
#[derive(Debug)]
pub enum Event {
    /// An answer reaches the engine.
    Answer(Input),
    /// The source reads for a fetch and answers at once.
    Read(Fetch, Option<Fault>),
    /// The rest of an answer whose first part has come, of these records of a shard: it comes, or
    /// the connection breaks.
    Rest(usize, Range<usize>, Input),
    /// The source lists its shards and answers at once.
    List(OpId, Option<Fault>),
    /// The store writes first rows; the answer follows.
    Register(OpId, Vec<(ShardId, Checkpoint)>, Fate),
    /// The store gives a lease; the answer follows.
    Lease(OpId, ShardId, Option<Fault>, Duration),
    /// A lease is renewed.
    Renew(ShardId, Fence),
    /// The store writes a checkpoint; the answer follows.
    Save(OpId, ShardId, Box<Checkpoint>, Fence, Fate),
    /// The destination takes a document; the answer follows.
    Deliver(OpId, Arc<FailureDocument>, Fate),
    /// A worker has finished.
    Finish(usize, InvocationId, Outcome),
    /// Somebody does something.
    Act(Act),
}

/// What becomes of a request.
#[derive(Debug)]
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
    /// A producer puts a record.
    Put(Put),
    /// A producer puts records with these keys, one after the other.
    PutKeys(Vec<u32>),
    /// An open shard splits: the so-manieth.
    Split(usize, Duration),
    /// Two open neighbours merge: the so-manieth pair.
    Merge(usize, Duration),
    /// An open shard rolls: it closes, and one child takes all its keys, as tables' streams do by
    /// themselves.
    Roll(usize, Duration),
    /// A shard loses so many of its first records to retention.
    Trim(usize, usize),
    /// The stream is deleted and another one of the same name created.
    Recreate(u32),
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
    /// These slots keep lanes from now on.
    Crew(Vec<u32>),
    /// The process dies.
    Crash,
    /// A new process starts, with so many lanes if that is said.
    Start(Option<u8>),
    /// Somebody else takes a shard for a while: which, how long, when the engine is told, how many
    /// records are settled there.
    Steal(usize, Duration, Option<Duration>, usize),
    /// Another process is to have a shard, by plan: which, how long, how many records are settled
    /// there.
    HandOver(usize, Duration, usize),
    /// An operator sets a shard's checkpoint back: which, by how many records, when the engine is
    /// told.
    Move(usize, usize, Duration),
    /// An operator lets go of what waits for the destination in a shard.
    Skip(usize),
    /// Somebody else gives a shard back.
    GiveBack(ShardId),
    /// The world behaves like this from now on.
    Behave(Box<Faults>),
    /// The handler's moods are over.
    Heal,
}

/// A record to be put.
#[derive(Debug, Clone, Copy)]
pub struct Put {
    /// The partition key.
    pub key: u32,
    /// What it weighs.
    pub weight: u32,
    /// Whether filters drop it.
    pub filtered: bool,
    /// How long ago it arrived.
    pub age: Duration,
    /// Sequence numbers left out before it.
    pub gap: u32,
}

impl Put {
    /// An ordinary record with this key.
    #[must_use]
    pub fn key(key: u32) -> Self {
        Self {
            key,
            weight: 100,
            filtered: false,
            age: Duration::ZERO,
            gap: 0,
        }
    }
}

/// What an agenda can hold.
pub trait Planned {
    /// Whether somebody does it: a world is not at rest while such things are to come.
    fn is_act(&self) -> bool;
}

impl Planned for Event {
    fn is_act(&self) -> bool {
        matches!(self, Self::Act(_))
    }
}

#[derive(Debug)]
struct Scheduled<E> {
    at: (Mono, u64, u64),
    life: Option<u32>,
    event: E,
}

impl<E> PartialEq for Scheduled<E> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl<E> Eq for Scheduled<E> {}

impl<E> PartialOrd for Scheduled<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Scheduled<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

/// Everything that is going to happen.
#[derive(Debug)]
pub struct Agenda<E = Event> {
    heap: BinaryHeap<Reverse<Scheduled<E>>>,
    serial: u64,
    acts: usize,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            serial: 0,
            acts: 0,
        }
    }
}

impl<E: Planned> Agenda<E> {
    /// Something will happen at `at`; `tie` orders it among others of that moment. With a life,
    /// it is for the engine of that life.
    pub fn add(&mut self, at: Mono, tie: u64, life: Option<u32>, event: E) {
        self.serial += 1;
        self.acts += usize::from(event.is_act());
        self.heap.push(Reverse(Scheduled {
            at: (at, tie, self.serial),
            life,
            event,
        }));
    }

    /// When the next thing happens.
    #[must_use]
    pub fn next(&self) -> Option<Mono> {
        self.heap.peek().map(|Reverse(scheduled)| scheduled.at.0)
    }

    /// The next thing, taken.
    pub fn take(&mut self) -> Option<(Option<u32>, E)> {
        let Reverse(scheduled) = self.heap.pop()?;
        self.acts -= usize::from(scheduled.event.is_act());
        Some((scheduled.life, scheduled.event))
    }

    /// How many acts are still to come.
    #[must_use]
    pub fn acts(&self) -> usize {
        self.acts
    }
}
