//! Runs a mapping on a queue source: receives, hands batches out, deletes what succeeded.
//!
//! Rules: nothing is received without a place for it; a message is deleted only after its handler
//! has succeeded; what failed comes back by itself when its visibility ends; what is held is kept
//! hidden from others; of a message group one batch is out at a time.
//!
//! A message's way: received, then waiting in a batch (or deleted at once when a filter drops it),
//! then with a handler, then being deleted or left to come back. Each is one of the counted places
//! of [`Counters`]: `buffered`, `in_flight`, `acknowledging`, and `succeeded`, `filtered`,
//! `returned` or `abandoned` at its end.

mod core;
mod deleting;
mod ending;
mod forming;
mod handling;
mod inflight;
mod picture;
mod receiving;
mod scaling;
#[cfg(test)]
mod testing;
mod verdict;
mod visibility;
mod work;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub use receiving::visibility_refusal;

use self::core::{Alarm, Core, Deletion, Mode, Pending, Release};
use self::forming::Forming;
use self::inflight::{Inflight, Place};
use self::receiving::Receiver;
use self::scaling::Scaling;
use self::work::Works;
use crate::config::{MappingConfig, QueueRules};
use crate::fault::Fault;
use crate::ids::OpId;
use crate::io::{Input, Invocation, Output};
use crate::snapshot::Counters;
use crate::time::{Deadline, Mono, Now};

/// Tags of the transitions that matter for coverage: the simulator lists those never reached.
pub const TRANSITIONS: &[&str] = &[
    "queue:described",
    "queue:describe_failed",
    "receive:recovered",
    "receive:lost",
    "receive:throttled",
    "receive:failed",
    "message:filtered",
    "message:oversize",
    "message:given_back",
    "message:too_late",
    "group:followers_given_back",
    "batch:started",
    "batch:rejected",
    "batch:succeeded",
    "batch:partial",
    "batch:failed",
    "visibility:extended",
    "visibility:failed",
    "visibility:lost",
    "visibility:ended",
    "visibility:shortened",
    "delete:refused",
    "delete:failed",
    "delete:expired",
    "mode:paused",
    "mode:resumed",
    "mode:draining",
    "mode:stopped",
];

/// How often it is looked at whether more or fewer batches should be had at once.
const SCALE_INTERVAL: Duration = Duration::from_secs(1);

/// The state machine of one mapping on a queue source.
#[derive(Debug)]
pub struct QueueMachine {
    core: Core,
    inflight: Inflight,
    works: Works,
    forming: Forming,
    receiver: Receiver,
    scaling: Scaling,
    /// Bytes that every message adds to the event besides its weight.
    constant_bytes: u64,
    /// Messages to be deleted, oldest first.
    deletions: VecDeque<Deletion>,
    deleting: u32,
    delete_failures: u32,
    delete_not_before: Mono,
    /// Early ends of visibility that are under way, and those to be asked for again.
    releasing: u32,
    releases: Vec<(Mono, Release)>,
    /// Messages that are to be given back as soon as no receive could take them again.
    withheld: Vec<Place>,
    /// Message groups that wait for a message of theirs that failed, and until when at most.
    failed_groups: BTreeMap<u64, Mono>,
}

impl QueueMachine {
    /// A machine that begins by asking the queue what it is.
    #[must_use]
    pub fn new(config: MappingConfig, rules: QueueRules, seed: u64, now: Now) -> Self {
        let mut machine = Self {
            core: Core::new(config, rules, seed, now.wall),
            inflight: Inflight::default(),
            works: Works::default(),
            forming: Forming::default(),
            receiver: Receiver::default(),
            scaling: Scaling::new(rules.maximum_concurrency, rules.fifo),
            constant_bytes: 0,
            deletions: VecDeque::new(),
            deleting: 0,
            delete_failures: 0,
            delete_not_before: Mono(0),
            releasing: 0,
            releases: Vec::new(),
            withheld: Vec::new(),
            failed_groups: BTreeMap::new(),
        };
        machine.weigh_constants();
        machine.describe();
        machine
    }

    /// See [`crate::engine::Engine::handle_input`].
    pub fn handle_input(&mut self, input: Input, now: Now) {
        self.handle_timeout(now);
        match input {
            Input::Reconfigured(config) => self.reconfigure(*config, now),
            Input::Paused => self.pause(now),
            Input::Resumed => self.unpause(now),
            Input::Drain { by } => self.drain(by, now),
            Input::Stop => self.stop(now),
            // A queue has no lanes.
            Input::Crew { .. } => {}
            Input::Completed {
                invocation,
                outcome,
            } => self.completed(invocation, &outcome, now),
            Input::QueueDescribed { op, .. }
            | Input::Received { op, .. }
            | Input::Acknowledged { op, .. }
            | Input::Extended { op, .. }
            | Input::Failed { op, .. } => {
                if let Some(pending) = self.core.desk.close(op)
                    && self.core.mode != Mode::Stopped
                {
                    self.answered(op, pending, input, now);
                }
            }
            Input::ShardsListed { op, .. }
            | Input::Registered { op }
            | Input::LeaseGranted { op, .. }
            | Input::Arrived { op, .. }
            | Input::Fetched { op, .. }
            | Input::CheckpointSaved { op }
            | Input::Delivered { op } => {
                panic!("request {} of a queue was answered as a stream's", op.0)
            }
            Input::LeaseRenewed { shard, .. }
            | Input::LeaseDrains { shard }
            | Input::EndedElsewhere { shard }
            | Input::LeaseLost { shard }
            | Input::Moved { shard, .. }
            | Input::Skip { shard } => {
                panic!("a queue has no shard {shard} to lose, move or skip in")
            }
        }
        self.settle_down(now);
    }

    /// See [`crate::engine::Engine::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(alarm) = self.core.fire(now.mono) {
            match alarm {
                Alarm::Describe => self.describe(),
                Alarm::Window => self.watch_window(now),
                Alarm::Extend => self.extend(now),
                Alarm::Retry => {
                    if let Some(next) = self.works.wake(now.mono) {
                        self.core.arm(Alarm::Retry, next);
                    }
                }
                Alarm::Release => self.retry_releases(now),
                Alarm::Scale => self.scale(now),
                Alarm::Drain => self.give_up_draining(now),
                // What these wake for is looked at after everything.
                Alarm::Receive | Alarm::Delete => {}
            }
        }
        self.settle_down(now);
    }

    /// See [`crate::engine::Engine::poll_output`].
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.desk.poll()
    }

    /// See [`crate::engine::Engine::poll_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.core.deadline()
    }

    /// See [`crate::engine::Engine::poll_invocation`].
    pub fn poll_invocation(&mut self, now: Now) -> Option<Invocation> {
        self.handle_timeout(now);
        let invocation = self.start(now);
        self.settle_down(now);
        invocation
    }

    /// Whether a free worker would probably get a batch.
    #[must_use]
    pub fn has_due_batch(&self) -> bool {
        self.core.works()
            && self.works.running() < self.scaling.running()
            && (self.works.first_ready().is_some() || self.forming.due)
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> &MappingConfig {
        &self.core.config
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.core.counters
    }

    /// Tags of [`TRANSITIONS`] that happened since the last call.
    pub fn take_transitions(&mut self) -> Vec<&'static str> {
        self.core.take_transitions()
    }

    fn answered(&mut self, op: OpId, pending: Pending, input: Input, now: Now) {
        match (pending, input) {
            (Pending::Describe, Input::QueueDescribed { queue, .. }) => self.described(queue, now),
            (Pending::Receive, Input::Received { page, .. }) => self.received(op, page, now),
            (Pending::Delete(batch), Input::Acknowledged { refused, .. }) => {
                self.deleted(&batch, refused, now);
            }
            (
                Pending::Extend {
                    messages,
                    asked,
                    by,
                },
                Input::Extended { refused, .. },
            ) => self.extended(&messages, (asked, by), &refused, now),
            // Whoever is refused comes back by itself, only later.
            (Pending::Release(_), Input::Extended { .. }) => self.releasing -= 1,
            (pending, Input::Failed { fault, .. }) => self.failed(op, pending, fault, now),
            (pending, _) => panic!("request {} ({pending:?}) was answered as another", op.0),
        }
    }

    fn failed(&mut self, op: OpId, pending: Pending, fault: Fault, now: Now) {
        match pending {
            Pending::Describe => self.describe_failed(fault, now),
            Pending::Receive => self.receive_failed(op, fault, now),
            Pending::Delete(batch) => self.delete_failed(&batch, &fault, now),
            Pending::Extend { messages, .. } => self.extension_failed(&messages, fault.kind, now),
            Pending::Release(release) => {
                self.releasing -= 1;
                self.release_failed(release, now);
            }
        }
    }

    /// Looks soon at whether more or fewer batches should be had at once.
    fn rescale(&mut self, now: Now) {
        self.core.arm(Alarm::Scale, now.mono + SCALE_INTERVAL);
    }

    fn scale(&mut self, now: Now) {
        let waits = |since: Mono| now.mono.since(since) >= SCALE_INTERVAL;
        let held = self
            .works
            .first_ready()
            .is_some_and(|(_, since)| waits(since));
        if self.scaling.second(self.works.running(), held) {
            self.rescale(now);
        }
        let mono = now.mono;
        self.failed_groups.retain(|_, until| *until > mono);
    }

    /// What any step may have made possible.
    fn settle_down(&mut self, now: Now) {
        if self.core.mode == Mode::Stopped {
            return;
        }
        self.delete(now);
        self.receive(now);
        self.wind_down(now);
        debug_assert!(self.core.counters.conserved(), "{:?}", self.core.counters);
    }
}
