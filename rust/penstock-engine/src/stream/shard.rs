//! Lives one shard's life.
//!
//! ```text
//! Unregistered → Waiting → Leasing → Priming → Reading → Draining → Ended
//!                   ↑         │         └──────────┴─────────┘
//!                   └─────────┴────────────────── Lost
//! ```
//!
//! Rules: nothing is read before the shard's row is durable and its lease is held; a closed shard
//! is drained before it is left; it has ended when its SHARD_END is durable, not before; losing
//! the lease raises the epoch, and nothing of an older epoch counts any more.

use std::collections::VecDeque;

use super::buffer::Buffer;
use super::core::{Core, Pending, Timer};
use super::lane::Lane;
use super::moves::Skipping;
use super::reader::Reader;
use super::saver::Saver;
use super::sharing::Shared;
use super::watermark::Generation;
use crate::backoff;
use crate::event::{self, EventContext};
use crate::fault::{Fault, FaultKind};
use crate::ids::{Epoch, Fence, InvocationId, OpId, Position, ShardId};
use crate::io::{Checkpoint, NoticeLevel, Output, ShardInfo, TumblingWindow};
use crate::mutants::{self, Mutant};
use crate::time::{Mono, Now, Wall};

/// Where a shard is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Its row is not durable yet.
    Unregistered,
    /// Its parents have not ended, or it may not start yet.
    Waiting,
    /// Its lease was asked for.
    Leasing,
    /// Leased; its first checkpoint must be saved before it is read.
    Priming,
    /// Being read.
    Reading,
    /// Read to its end; records are not settled yet, or its SHARD_END is not durable.
    Draining,
    /// Nothing is left of it.
    Ended,
    /// The lease is gone; what still runs here is waited for.
    Lost,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Unregistered => "unregistered",
            Self::Waiting => "waiting",
            Self::Leasing => "leasing",
            Self::Priming => "priming",
            Self::Reading => "reading",
            Self::Draining => "draining",
            Self::Ended => "ended",
            Self::Lost => "lost",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Shard {
    pub place: usize,
    pub id: ShardId,
    pub parents: Vec<ShardId>,
    /// Whether a listing has shown it, so that parents not listed have certainly gone.
    pub confirmed: bool,
    /// Whether the newest listing shows it.
    pub listed: bool,
    pub state: State,
    pub since: Wall,
    pub epoch: Epoch,
    pub fence: Fence,
    /// Its lease, where several processes share the stream.
    pub shared: Option<Shared>,
    /// Where it begins if it has no checkpoint.
    pub start: Position,
    pub incarnation: Option<Wall>,
    pub lease_op: Option<OpId>,
    pub lease_failures: u32,
    pub lease_fault: Option<Fault>,
    pub reader: Reader,
    pub buffer: Buffer,
    pub lanes: Vec<Lane>,
    /// How many lanes there shall be, once nothing is in flight any more.
    pub relane: Option<u8>,
    /// Ways in which keys were sent to lanes before, while the watermark has not passed them.
    pub generations: Vec<Generation>,
    pub saver: Saver,
    /// The tumbling window that is open.
    pub window: Option<TumblingWindow>,
    /// Since when the shard has brought nothing.
    pub quiet_since: Mono,
    /// When the end of the open window is looked for next.
    pub window_armed: Option<Mono>,
    /// Position of the watermark when nothing of this tenure is settled yet.
    pub base: Position,
    pub settled_arrival: Option<Wall>,
    /// How much of the retention is used up, in hundredths, as people were last told.
    pub headroom_told: u8,
    /// Bytes that every record adds to an event besides its weight.
    pub constant_bytes: u32,
    /// Invocations of an epoch that is over, still running somewhere.
    pub ghosts: Vec<InvocationId>,
    /// Whether an operator has moved the checkpoint, so that nobody else holds the lease.
    pub moved: bool,
    /// What an operator let go of, until that is saved.
    pub skipping: Option<Skipping>,
}

impl Shard {
    pub fn new(place: usize, info: &ShardInfo, start: Position, core: &Core, now: Wall) -> Self {
        let mut shard = Self {
            place,
            id: info.id.clone(),
            parents: info.parents.clone(),
            confirmed: false,
            listed: false,
            state: State::Unregistered,
            since: now,
            epoch: Epoch(0),
            fence: Fence(0),
            shared: None,
            start: start.clone(),
            incarnation: None,
            lease_op: None,
            lease_failures: 0,
            lease_fault: None,
            reader: Reader::new(start.clone(), &core.config),
            buffer: Buffer::default(),
            lanes: Vec::new(),
            relane: None,
            generations: Vec::new(),
            saver: Saver::default(),
            window: None,
            quiet_since: Mono(0),
            window_armed: None,
            base: start,
            settled_arrival: None,
            headroom_told: 0,
            constant_bytes: 0,
            ghosts: Vec::new(),
            moved: false,
            skipping: None,
        };
        shard.set_lanes(core.config.lanes, now);
        shard.weigh_constants(core);
        shard
    }

    /// Works out what every record adds to an event besides its weight, the comma included.
    pub fn weigh_constants(&mut self, core: &Core) {
        let context = EventContext {
            shard: &self.id,
            config: &core.config,
        };
        let constant = event::constant_bytes(&context) + 1;
        self.constant_bytes = u32::try_from(constant).unwrap_or(u32::MAX);
    }

    pub fn set_lanes(&mut self, lanes: u8, now: Wall) {
        self.lanes = (0..lanes).map(|_| Lane::new(now)).collect();
    }

    pub fn enter(&mut self, state: State, core: &mut Core, now: Now) {
        self.state = state;
        self.since = now.wall;
        core.transition(match state {
            // Every shard begins so, and none goes back.
            State::Unregistered => return,
            State::Waiting => "shard:waiting",
            State::Leasing => "shard:leasing",
            State::Priming => "shard:priming",
            State::Reading => "shard:reading",
            State::Draining => "shard:draining",
            State::Ended => "shard:ended",
            State::Lost => "shard:lost",
        });
    }

    /// Whether records of this shard may be handed out and settled.
    pub fn held(&self) -> bool {
        matches!(
            self.state,
            State::Priming | State::Reading | State::Draining
        )
    }

    pub fn running(&self) -> bool {
        self.lanes.iter().any(|lane| lane.running.is_some())
    }

    /// Asks for the lease, when the parents have ended.
    pub fn take_lease(&mut self, core: &mut Core, now: Now) {
        if self.state != State::Waiting || self.lease_op.is_some() || !core.reads() {
            return;
        }
        let op = core.open(Pending::Lease {
            shard: self.place,
            epoch: self.epoch,
        });
        self.lease_op = Some(op);
        self.enter(State::Leasing, core, now);
        core.emit(Output::TakeLease {
            op,
            shard: self.id.clone(),
        });
    }

    /// The lease is ours; `checkpoint` is what was last saved.
    ///
    /// # Panics
    /// When the fence does not grow: then nothing protects the checkpoint any more.
    pub fn leased(
        &mut self,
        fence: Fence,
        checkpoint: Option<Checkpoint>,
        core: &mut Core,
        now: Now,
    ) {
        assert!(
            fence > self.fence,
            "lease of {} granted with a fence that does not grow",
            self.id
        );
        self.lease_op = None;
        self.lease_failures = 0;
        self.lease_fault = None;
        if self.fence == Fence(0) || !mutants::active(Mutant::FenceNotRaised) {
            self.fence = fence;
        }
        let foreign = checkpoint.as_ref().is_some_and(
            |saved| matches!((saved.incarnation, self.incarnation), (Some(a), Some(b)) if a != b),
        );
        let checkpoint = checkpoint.filter(|_| !foreign);
        if checkpoint
            .as_ref()
            .is_some_and(|saved| saved.position == Position::ShardEnd)
        {
            self.end(core, now);
            return;
        }
        self.begin(checkpoint, core, now);
        if foreign {
            core.notify(
                NoticeLevel::Warn,
                "stream_recreated",
                Some(&self.id),
                format!(
                    "the checkpoint of shard {} belongs to an older stream of the same name \
                         and is not used; reading starts at {:?}",
                    self.id, self.start
                ),
            );
            self.enter(State::Priming, core, now);
            self.saver.mark(now.wall);
            self.save(core, now);
        } else {
            self.enter(State::Reading, core, now);
            self.read(core, now);
        }
    }

    /// Sets everything up as the checkpoint says.
    fn begin(&mut self, checkpoint: Option<Checkpoint>, core: &Core, now: Now) {
        let incarnation = self.incarnation;
        let saved =
            checkpoint.unwrap_or_else(|| Checkpoint::starting_at(self.start.clone(), incarnation));
        self.base = saved.position.clone();
        self.reader = Reader::new(saved.position.clone(), &core.config);
        self.reader.next_at = now.mono;
        self.saver = Saver::new(saved.position.clone(), self.buffer.next_ordinal());
        self.settled_arrival = saved.settled_arrival;
        self.window = saved.window;
        self.window_armed = None;
        self.stir(now.mono);
        self.set_lanes(core.config.lanes, now.wall);
        self.relane = None;
        let lanes = core.config.lanes;
        self.generations = saved.lanes.into_iter().map(Generation::saved).collect();
        let same_lanes = self
            .generations
            .last()
            .is_some_and(|last| last.routes_like(lanes));
        for front in saved.fronts.into_iter().filter(|_| same_lanes) {
            if let Some(lane) = self.lanes.get_mut(usize::from(front.lane)) {
                lane.expected = Some(front);
            }
        }
    }

    /// The store did not give us the lease.
    pub fn lease_failed(&mut self, fault: Fault, core: &mut Core, now: Now) {
        self.lease_op = None;
        self.lease_failures += 1;
        let wait = backoff::slow(self.lease_failures, &mut core.jitter);
        self.lease_fault = Some(fault);
        self.enter(State::Waiting, core, now);
        core.arm(now.mono + wait, Timer::Lease(self.place));
    }

    /// Whether a failed request for the lease still has to wait.
    pub fn lease_waits(&self) -> bool {
        self.lease_fault.is_some()
    }

    /// The source has no more of this shard.
    pub fn read_to_end(&mut self, core: &mut Core, now: Now) {
        if self.state == State::Reading {
            self.reader.ended = true;
            if mutants::active(Mutant::ShardEndForgetsWindow) {
                self.window = None;
            }
            self.enter(State::Draining, core, now);
            self.step_lanes(core, now);
            self.advance(core, now);
        }
    }

    /// SHARD_END is durable: gives the lease back.
    pub fn end(&mut self, core: &mut Core, now: Now) {
        self.close(core, now);
        core.emit(Output::DropLease {
            shard: self.id.clone(),
            fence: self.fence,
        });
        core.notify(
            NoticeLevel::Info,
            "shard_ended",
            Some(&self.id),
            format!("shard {} is settled to its end", self.id),
        );
        self.forget_pages(core);
    }

    /// Lets go of everything that is not settled. What runs goes on as ghosts.
    pub fn abandon(&mut self, core: &mut Core) {
        let forgets = !mutants::active(Mutant::StaleEpochAccepted);
        self.epoch = Epoch(self.epoch.0 + u64::from(forgets));
        let asked = [
            self.reader.op.take(),
            self.saver.op.take(),
            self.lease_op.take(),
        ];
        for op in asked.into_iter().flatten().filter(|_| forgets) {
            core.abandon(op);
        }
        core.held_bytes -= std::mem::take(&mut self.reader.reserved);
        self.skip_undone(core);
        self.window = None;
        for lane in &mut self.lanes {
            if let Some(running) = lane.running.take() {
                let records = u64::from(lane.units.front().map_or(0, |unit| unit.records));
                core.counters.in_flight -= records;
                core.counters.buffered += records;
                self.ghosts.push(running.invocation);
            }
            let queued = lane.drain_all().len() as u64;
            core.counters.buffered -= queued;
            core.counters.abandoned += queued;
            for document in lane.documents.drain(..).filter(|document| !document.done) {
                if let Some(op) = document.op {
                    core.abandon(op);
                }
                core.counters.awaiting_delivery -= u64::from(document.records);
                core.counters.abandoned += u64::from(document.records);
            }
        }
        self.forget_pages(core);
    }

    /// Somebody else holds the shard.
    pub fn lose(&mut self, core: &mut Core, now: Now) {
        if !self.held() && self.state != State::Leasing {
            return;
        }
        self.abandon(core);
        self.set_lanes(core.config.lanes, now.wall);
        core.notify(
            NoticeLevel::Warn,
            "lease_lost",
            Some(&self.id),
            format!(
                "the lease of shard {} is held by another process now",
                self.id
            ),
        );
        self.enter(State::Lost, core, now);
        self.quieten(core, now);
    }

    /// An invocation of an older epoch has ended.
    pub fn ghost_ended(&mut self, invocation: InvocationId, core: &mut Core, now: Now) {
        self.ghosts.retain(|ghost| *ghost != invocation);
        if self.state == State::Lost {
            self.quieten(core, now);
        }
    }

    /// Says that the lost shard is quiet, once it is, and asks for it again some time later.
    pub fn quieten(&mut self, core: &mut Core, now: Now) {
        if !self.ghosts.is_empty() {
            return;
        }
        core.emit(Output::Released {
            shard: self.id.clone(),
        });
        let shared = self.shared.take().is_some();
        if shared && self.start == Position::ShardEnd {
            self.close(core, now);
            return;
        }
        // Where a stream is shared, to ask is to wait, and costs nothing.
        if self.moved || shared {
            self.lease_again(core, now);
            return;
        }
        let fault = Fault::new(FaultKind::Fenced, "another process holds the shard");
        self.lease_failed(fault, core, now);
    }

    fn forget_pages(&mut self, core: &mut Core) {
        core.held_bytes -= self.buffer.clear();
    }

    /// When a document of a lane is next to be sent, if one waits.
    pub fn delivery_due(&self, lane: u8) -> Option<Mono> {
        let waiting = self.lanes.get(usize::from(lane))?.documents.iter();
        waiting
            .filter(|doc| !doc.done && doc.op.is_none())
            .map(|doc| doc.retry_at)
            .min()
    }

    /// Events of the settled arrival: the newest one counts.
    pub fn note_arrival(&mut self, arrival: Wall) {
        self.settled_arrival = Some(self.settled_arrival.map_or(arrival, |old| old.max(arrival)));
    }

    /// Ordinals of queued records between two ordinals, over all lanes, ascending.
    pub fn queued_between(lanes: &[Lane], from: u64, to: u64) -> Vec<u64> {
        let mut found = Vec::new();
        for lane in lanes {
            let queue: &VecDeque<_> = &lane.queue;
            let start = queue.partition_point(|queued| queued.ordinal < from);
            let rest = queue
                .range(start..)
                .take_while(|queued| queued.ordinal < to);
            found.extend(rest.map(|queued| queued.ordinal));
        }
        found.sort_unstable();
        found
    }
}
