//! Holds what all shards of a mapping share: requests, timers, counters, identities.
//!
//! Rules: every request has an id of its own and is answered once; answers to requests that are
//! no longer pending are counted and dropped; nothing here scans shards.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

use super::line::Line;
use crate::config::MappingConfig;
use crate::ids::{Epoch, InvocationId, OpId, RequestId, ShardId};
use crate::io::{Notice, NoticeLevel, Output};
use crate::rng::Rng;
use crate::snapshot::Counters;
use crate::time::{Deadline, Mono, Wall};

/// What a pending request was for. Shards are named by their place in the machine's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pending {
    List,
    Register,
    Lease {
        shard: usize,
        epoch: Epoch,
    },
    Fetch {
        shard: usize,
        epoch: Epoch,
    },
    Save {
        shard: usize,
        epoch: Epoch,
    },
    Deliver {
        shard: usize,
        epoch: Epoch,
        lane: u8,
    },
}

/// What wakes the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    List,
    Register,
    Drain,
    Lease(usize),
    Reader(usize),
    Saver(usize),
    Lane(usize, u8),
    Delivery(usize, u8),
}

impl Timer {
    fn label(self) -> &'static str {
        match self {
            Self::List => "shard listing",
            Self::Register => "row registration",
            Self::Drain => "drain deadline",
            Self::Lease(_) => "lease",
            Self::Reader(_) => "next read",
            Self::Saver(_) => "checkpoint retry",
            Self::Lane(..) => "batch window or retry backoff",
            Self::Delivery(..) => "delivery retry",
        }
    }
}

/// What the mapping as a whole is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Running,
    Paused,
    Draining { by: Mono },
    Stopped,
}

/// Why the mapping as a whole cannot work, as the source said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failing {
    pub fault: crate::fault::Fault,
    pub since: Wall,
    pub until: Option<Wall>,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub config: Arc<MappingConfig>,
    pub jitter: Rng,
    pub mode: Mode,
    pub mode_since: Wall,
    pub failing: Option<Failing>,
    pub fatal: bool,
    pub last_result: String,
    /// What the destination said when it took a document last, if it did not.
    pub destination_problem: Option<String>,
    pub counters: Counters,
    pub held_bytes: u64,
    pub stale_answers: u64,
    /// Whether people know that records hold several of a user's.
    pub aggregates_told: bool,
    /// Lanes with a due batch.
    pub ready: Line,
    /// Shards that would read if the mapping held fewer bytes, oldest first.
    pub starved: VecDeque<usize>,
    /// Shards that are being handed over.
    pub leaving: BTreeSet<usize>,
    identities: Rng,
    outputs: VecDeque<Output>,
    pending: BTreeMap<OpId, Pending>,
    timers: BinaryHeap<Reverse<(Mono, Timer)>>,
    next_op: u64,
    next_invocation: u64,
    transitions: u64,
}

impl Core {
    pub fn new(config: MappingConfig, seed: u64, now: Wall) -> Self {
        let mut jitter = Rng::new(seed);
        let identities = jitter.fork();
        Self {
            config: Arc::new(config),
            jitter,
            mode: Mode::Running,
            mode_since: now,
            failing: None,
            fatal: false,
            last_result: "No records processed".to_owned(),
            destination_problem: None,
            counters: Counters::default(),
            held_bytes: 0,
            stale_answers: 0,
            aggregates_told: false,
            ready: Line::default(),
            starved: VecDeque::new(),
            leaving: BTreeSet::new(),
            identities,
            outputs: VecDeque::new(),
            pending: BTreeMap::new(),
            timers: BinaryHeap::new(),
            next_op: 1,
            next_invocation: 1,
            transitions: 0,
        }
    }

    /// Names a new request; its answer will be told apart by `pending`.
    pub fn open(&mut self, pending: Pending) -> OpId {
        let op = OpId(self.next_op);
        self.next_op += 1;
        self.pending.insert(op, pending);
        op
    }

    /// Takes the request that an answer belongs to; `None` when it is not wanted any more.
    ///
    /// # Panics
    ///
    /// When the driver answers a request that was never made: a bug in the driver.
    pub fn close(&mut self, op: OpId) -> Option<Pending> {
        assert!(
            op.0 < self.next_op,
            "answer to request {} that was never made",
            op.0
        );
        let pending = self.pending.remove(&op);
        if pending.is_none() {
            self.stale_answers += 1;
        }
        pending
    }

    /// The request that a part of an answer belongs to; `None` when it is not wanted any more.
    pub fn pending(&self, op: OpId) -> Option<&Pending> {
        self.pending.get(&op)
    }

    /// Forgets a request and tells the driver.
    pub fn abandon(&mut self, op: OpId) {
        if self.pending.remove(&op).is_some() {
            self.emit(Output::Abandon { op });
        }
    }

    pub fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn arm(&mut self, at: Mono, timer: Timer) {
        self.timers.push(Reverse((at, timer)));
    }

    /// The next timer that is due, taken.
    pub fn fire(&mut self, now: Mono) -> Option<Timer> {
        match self.timers.peek() {
            Some(Reverse((at, _))) if *at <= now => {
                self.timers.pop().map(|Reverse((_, timer))| timer)
            }
            _ => None,
        }
    }

    pub fn deadline(&self) -> Option<Deadline> {
        self.timers.peek().map(|Reverse((at, timer))| Deadline {
            at: *at,
            label: timer.label(),
        })
    }

    /// Whether new batches may be handed out.
    pub fn invokes(&self) -> bool {
        self.mode == Mode::Running && !self.fatal
    }

    /// Whether new reads may be started.
    pub fn reads(&self) -> bool {
        self.mode == Mode::Running && !self.fatal
    }

    pub fn new_request_id(&mut self) -> RequestId {
        let (high, low) = (self.identities.next_u64(), self.identities.next_u64());
        let bits = (u128::from(high) << 64) | u128::from(low);
        // The version and variant bits of a random UUID.
        let bits = bits & !(0xf << 76) | (0x4 << 76);
        RequestId(bits & !(0b11 << 62) | (0b10 << 62))
    }

    pub fn new_invocation_id(&mut self) -> InvocationId {
        let id = InvocationId(self.next_invocation);
        self.next_invocation += 1;
        id
    }

    /// Whether an invocation of this id was ever handed out.
    pub fn knows_invocation(&self, id: InvocationId) -> bool {
        id.0 > 0 && id.0 < self.next_invocation
    }

    pub fn notify(
        &mut self,
        level: NoticeLevel,
        code: &'static str,
        shard: Option<&ShardId>,
        message: String,
    ) {
        self.emit(Output::Notify(Notice {
            level,
            code,
            shard: shard.cloned(),
            message,
        }));
    }

    /// Remembers that a transition of [`super::TRANSITIONS`] happened.
    pub fn transition(&mut self, tag: &'static str) {
        let place = super::TRANSITIONS.iter().position(|known| *known == tag);
        debug_assert!(place.is_some(), "transition {tag} is not in the list");
        if let Some(bit) = place {
            self.transitions |= 1 << bit;
        }
    }

    pub fn take_transitions(&mut self) -> Vec<&'static str> {
        let seen = std::mem::take(&mut self.transitions);
        let bits = super::TRANSITIONS.iter().enumerate();
        bits.filter(|(bit, _)| seen & (1 << bit) != 0)
            .map(|(_, tag)| *tag)
            .collect()
    }
}
