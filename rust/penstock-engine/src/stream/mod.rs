//! Runs a mapping on a stream source: fans inputs to shards, collects what they want.
//!
//! Rules: shards share only lineage and limits; nothing scans all shards on the way of a record;
//! due lanes wait in one line, oldest first; answers find their shard by the request they belong
//! to.

mod arrival;
mod assembler;
mod attempt;
mod buffer;
mod core;
mod delivery;
mod ending;
mod lane;
mod line;
mod lineage;
mod moves;
mod pace;
mod picture;
mod reader;
mod retention;
pub mod router;
mod saver;
mod settling;
mod shard;
mod sharing;
mod starting;
#[cfg(test)]
mod testing;
mod tumbling;
mod watermark;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use self::core::{Core, Mode, Pending, Timer};
use self::shard::{Shard, State};
use self::sharing::Shared;
use crate::config::MappingConfig;
use crate::dispatch::Due;
use crate::fault::{Fault, FaultKind};
use crate::ids::{Epoch, InvocationId, OpId, ShardId, SlotId};
use crate::io::{Checkpoint, Fetched, Input, Invocation, Outcome, Output, Resume};
use crate::record::Page;
use crate::snapshot::Counters;
use crate::time::{Deadline, Mono, Now, Wall};
pub(crate) use attempt::describe;

/// Tags of the transitions that matter for coverage: the simulator lists those never reached.
pub const TRANSITIONS: &[&str] = &[
    "shard:waiting",
    "shard:leasing",
    "shard:priming",
    "shard:reading",
    "shard:draining",
    "shard:ended",
    "shard:lost",
    "shard:recut",
    "shard:moved",
    "shard:leaving",
    "shard:handed_over",
    "read:ended",
    "read:recovered",
    "read:vanished",
    "read:trimmed",
    "read:expired",
    "read:throttled",
    "read:too_large",
    "read:failing",
    "lane:front_gone",
    "lane:front_resumed",
    "lane:oversize",
    "lane:retried",
    "lane:started",
    "lane:expired",
    "lane:succeeded",
    "lane:partial",
    "lane:bisected",
    "lane:failed",
    "lane:rejected",
    "lane:exhausted",
    "document:none",
    "document:destination_removed",
    "document:delivered",
    "document:failed",
    "document:records_left_out",
    "document:dropped",
    "document:skipped",
    "window:opened",
    "window:closing",
    "window:terminated_early",
    "window:closed",
    "save:recovered",
    "save:fenced",
    "save:failed",
    "list:failed",
    "list:children",
    "mode:paused",
    "mode:resumed",
    "mode:draining",
    "mode:stopped",
];

/// What the machine remembers of an invocation that is out.
#[derive(Debug, Clone, Copy)]
struct Out {
    shard: usize,
    lane: u8,
    epoch: Epoch,
}

/// The state machine of one mapping on a stream source.
#[derive(Debug)]
pub struct StreamMachine {
    core: Core,
    shards: Vec<Shard>,
    index: BTreeMap<ShardId, usize>,
    /// Children that wait, by parent.
    children: BTreeMap<ShardId, BTreeSet<usize>>,
    resume: BTreeMap<ShardId, Checkpoint>,
    first_start: bool,
    incarnation: Option<Wall>,
    listed: bool,
    list_op: Option<OpId>,
    list_failures: u32,
    /// When to list again; timers of listings before the last one do not count.
    list_at: Mono,
    list_again: bool,
    /// The oldest arrival that the source still keeps, as of the newest listing.
    horizon: Option<Wall>,
    /// How long the source keeps records.
    retention: Option<Duration>,
    /// Whether people know that the stream takes no more records.
    end_told: bool,
    registering: Vec<usize>,
    /// The request for rows, and how many of `registering` it is for.
    register_op: Option<(OpId, usize)>,
    register_failures: u32,
    out: BTreeMap<InvocationId, Out>,
    stopped_told: bool,
}

impl StreamMachine {
    /// A machine that begins by listing the shards.
    #[must_use]
    pub fn new(config: MappingConfig, resume: Resume, seed: u64, now: Now) -> Self {
        let first_start = resume.rows.is_empty();
        let mut machine = Self {
            core: Core::new(config, seed, now.wall),
            shards: Vec::new(),
            index: BTreeMap::new(),
            children: BTreeMap::new(),
            resume: resume.rows.into_iter().collect(),
            first_start,
            incarnation: None,
            listed: false,
            list_op: None,
            list_failures: 0,
            list_at: Mono(0),
            list_again: false,
            horizon: None,
            retention: None,
            end_told: false,
            registering: Vec::new(),
            register_op: None,
            register_failures: 0,
            out: BTreeMap::new(),
            stopped_told: false,
        };
        machine.list();
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
            Input::Crew { slots } => self.core.ready.set_crew(&slots),
            Input::ShardsListed { op, listing } => self.shards_listed(op, &listing, now),
            Input::Registered { op } => {
                if self.core.close(op).is_some() {
                    self.registered(now);
                }
            }
            Input::LeaseGranted {
                op,
                fence,
                until,
                checkpoint,
            } => {
                if let Some(shard) = self.answer(op) {
                    self.shards[shard].shared = until.map(Shared::until);
                    self.leased(shard, fence, checkpoint, now);
                }
            }
            Input::LeaseRenewed {
                shard,
                fence,
                until,
            } => self.lease_renewed(&shard, fence, until, now),
            Input::LeaseDrains { shard } => self.lease_drains(&shard, now),
            Input::EndedElsewhere { shard } => self.ended_elsewhere(shard, now),
            Input::LeaseLost { shard } => {
                if let Some(&place) = self.index.get(&shard) {
                    self.shards[place].lose(&mut self.core, now);
                }
            }
            Input::Moved { shard, checkpoint } => self.moved(shard, *checkpoint, now),
            Input::Skip { shard } => self.skip(shard, now),
            Input::Arrived { op, page } => self.arrived(op, page, now),
            Input::Fetched { op, fetched } => self.fetched(op, fetched, now),
            Input::Completed {
                invocation,
                outcome,
            } => self.completed(invocation, &outcome, now),
            Input::CheckpointSaved { op } => {
                if let Some(shard) = self.answer(op) {
                    self.shards[shard].saved(&mut self.core, now);
                    self.follow(shard, now);
                }
            }
            Input::Delivered { op } => {
                if let Some(Pending::Deliver { shard, epoch, lane }) = self.core.close(op)
                    && self.shards[shard].epoch == epoch
                {
                    self.shards[shard].delivered(lane, op, &mut self.core, now);
                    self.follow(shard, now);
                }
            }
            Input::Failed { op, fault } => self.failed(op, fault, now),
            Input::QueueDescribed { op, .. }
            | Input::Received { op, .. }
            | Input::Acknowledged { op, .. }
            | Input::Extended { op, .. } => {
                panic!("request {} of a stream was answered as a queue's", op.0)
            }
        }
        self.settle_down(now);
    }

    /// See [`crate::engine::Engine::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(timer) = self.core.fire(now.mono) {
            let core = &mut self.core;
            match timer {
                Timer::List if self.list_op.is_some() || self.list_at > now.mono => {}
                Timer::List => self.list(),
                Timer::Register => self.register(),
                Timer::Drain => self.give_up_draining(now),
                Timer::Lease(shard) => {
                    self.shards[shard].lease_fault = None;
                    self.try_start(shard, now);
                }
                Timer::Reader(shard) => self.shards[shard].read(core, now),
                Timer::Saver(shard) => self.shards[shard].save(core, now),
                Timer::Lane(shard, lane) => self.shards[shard].step(lane, core, now),
                Timer::Delivery(shard, lane) => self.shards[shard].deliver(lane, core, now),
            }
        }
        self.settle_down(now);
    }

    /// See [`crate::engine::Engine::poll_output`].
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.poll()
    }

    /// See [`crate::engine::Engine::poll_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.core.deadline()
    }

    /// See [`crate::engine::Engine::poll_invocation`].
    pub fn poll_invocation(&mut self, slot: SlotId, now: Now) -> Option<Invocation> {
        self.handle_timeout(now);
        while let Some((place, lane)) = self.core.ready.take(slot) {
            let shard = &mut self.shards[place];
            if let Some(invocation) = shard.start(lane, &mut self.core, now) {
                self.core.ready.settle((place, lane), slot);
                let epoch = shard.epoch;
                self.out.insert(
                    invocation.id,
                    Out {
                        shard: place,
                        lane,
                        epoch,
                    },
                );
                self.settle_down(now);
                return Some(invocation);
            }
            self.follow(place, now);
        }
        self.settle_down(now);
        None
    }

    /// See [`crate::engine::Engine::due`].
    #[must_use]
    pub fn due(&self) -> Due {
        if self.core.invokes() {
            self.core.ready.due()
        } else {
            Due::Nobody
        }
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

    /// The shard that an answer is for, if it is of the shard's present epoch.
    fn answer(&mut self, op: OpId) -> Option<usize> {
        let (shard, epoch) = match self.core.close(op)? {
            Pending::Lease { shard, epoch }
            | Pending::Fetch { shard, epoch }
            | Pending::Save { shard, epoch }
            | Pending::Deliver { shard, epoch, .. } => (shard, epoch),
            Pending::List | Pending::Register => return None,
        };
        (self.shards[shard].epoch == epoch).then_some(shard)
    }

    fn arrived(&mut self, op: OpId, page: Arc<dyn Page>, now: Now) {
        if let Some(shard) = self.asker(op) {
            self.shards[shard].arrived(page, &mut self.core, now);
            self.follow(shard, now);
        }
    }

    fn fetched(&mut self, op: OpId, fetched: Fetched, now: Now) {
        let Some(shard) = self.answer(op) else { return };
        let (children, ended) = (fetched.children.clone(), fetched.ended);
        self.shards[shard].fetched(fetched, &mut self.core, now);
        if ended {
            self.shard_read(&children, now);
        }
        self.follow(shard, now);
    }

    /// The shard that a read is for which is still under way, if it is of its present epoch.
    fn asker(&self, op: OpId) -> Option<usize> {
        match *self.core.pending(op)? {
            Pending::Fetch { shard, epoch } => (self.shards[shard].epoch == epoch).then_some(shard),
            _ => None,
        }
    }

    fn failed(&mut self, op: OpId, fault: Fault, now: Now) {
        let Some(pending) = self.core.close(op) else {
            return;
        };
        let core = &mut self.core;
        match pending {
            Pending::List => self.list_failed(&fault, now),
            Pending::Register => self.register_failed(&fault, now),
            Pending::Lease { shard, epoch } if self.shards[shard].epoch == epoch => {
                self.shards[shard].lease_failed(fault, core, now);
            }
            Pending::Fetch { shard, epoch } if self.shards[shard].epoch == epoch => {
                let missing = fault.kind == FaultKind::NotFound;
                self.shards[shard].read_failed(fault, core, now);
                // What came before it failed does not wait for the rest any more.
                self.shards[shard].step_lanes(core, now);
                if missing {
                    self.list();
                }
                self.follow(shard, now);
            }
            Pending::Save { shard, epoch } if self.shards[shard].epoch == epoch => {
                self.shards[shard].save_failed(fault, core, now);
            }
            Pending::Deliver { shard, epoch, lane } if self.shards[shard].epoch == epoch => {
                self.shards[shard].delivery_failed(lane, op, fault, core, now);
                self.follow(shard, now);
            }
            _ => {}
        }
    }

    fn completed(&mut self, invocation: InvocationId, outcome: &Outcome, now: Now) {
        assert!(
            self.core.knows_invocation(invocation),
            "completion of invocation {} that was never handed out",
            invocation.0
        );
        let Some(out) = self.out.remove(&invocation) else {
            self.core.stale_answers += 1;
            return;
        };
        let shard = &mut self.shards[out.shard];
        if shard.epoch == out.epoch && shard.runs(out.lane, invocation) {
            shard.completed(out.lane, outcome, &mut self.core, now);
            self.follow(out.shard, now);
        } else {
            self.core.stale_answers += 1;
            shard.ghost_ended(invocation, &mut self.core, now);
            self.follow(out.shard, now);
        }
    }

    /// After anything that may have ended a shard: its children may start.
    fn follow(&mut self, place: usize, now: Now) {
        if self.shards[place].state != State::Ended {
            return;
        }
        self.core.ready.forget(place);
        let waiting = self
            .children
            .remove(&self.shards[place].id)
            .unwrap_or_default();
        for child in waiting {
            self.try_start(child, now);
        }
    }

    /// What any step may have made possible: reads that waited for bytes, the end of a drain.
    fn settle_down(&mut self, now: Now) {
        for _ in 0..self.core.starved.len() {
            let Some(place) = self.core.starved.pop_front() else {
                break;
            };
            self.shards[place].reader.starved = false;
            self.shards[place].read(&mut self.core, now);
            if self.shards[place].reader.starved {
                // Still no room: it keeps its place at the head of the line.
                if let Some(last) = self.core.starved.pop_back() {
                    self.core.starved.push_front(last);
                }
                break;
            }
        }
        self.hand_over(now);
        self.finish_draining(now);
        debug_assert!(self.core.counters.conserved(), "{:?}", self.core.counters);
    }
}
