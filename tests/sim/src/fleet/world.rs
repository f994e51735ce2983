//! Lives the life of a fleet in virtual time.
//!
//! Rules: one loop; requests become events at later moments, and time jumps to the earliest of
//! the agenda and the deadlines of the processes; a process that stands still is told later, in
//! the same order; everything follows from the seed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use penstock_engine::ids::{Fence, OpId, Owner, ShardId};
use penstock_engine::lease::{Input, LeaseConfig, Output, Place, Row, Write};
use penstock_engine::time::Mono;

use super::acts::Act;
use super::member::{Member, Reader};
use super::network::Network;
use super::oracles;
use super::table::SimTable;
use super::truth::Truth;
use crate::oracles::{Verdict, violated};
use crate::random::Random;

/// Turns at one moment that nothing but a busy loop takes.
const TURNS_MAX: u32 = 20_000;
/// How often a calm world is looked at.
const WATCH_AFTER: Duration = Duration::from_millis(100);

/// Something that reaches the table.
#[derive(Debug)]
pub(super) enum Request {
    Scan(OpId),
    ScanRest(OpId, Vec<Row>),
    Read(OpId, ShardId),
    Write(OpId, ShardId, Write),
    Save(Save),
}

/// What a reader saves.
#[derive(Debug, Clone)]
pub(super) struct Save {
    pub shard: ShardId,
    pub fence: Fence,
    /// Counts the saves of one lease.
    pub number: u64,
    /// The records below this one are done.
    pub records: usize,
    /// Whether that is all of the shard.
    pub end: bool,
}

/// What happens, sooner or later.
#[derive(Debug)]
pub(super) enum Event {
    /// A request takes effect; its answer is there at that moment, if it ever is.
    Arrives(usize, Request, Option<Mono>),
    /// An answer.
    Told(usize, Input),
    /// The answer to a save: accepted, refused or nothing.
    Saved(usize, Save, Option<bool>),
    /// A reader may save again.
    SaveAgain(usize, ShardId, Fence),
    /// A batch is done, up to this record.
    Finished(usize, ShardId, Fence, usize, usize),
    /// A row is put where there is none.
    Registered(Row),
    /// Another program, which ends at that moment, has its turn.
    LibraryTurns(Owner, Mono),
    Acted(Act),
}

/// A world.
pub struct FleetWorld {
    /// The moment.
    pub now: Mono,
    /// The table.
    pub table: SimTable,
    /// What is true.
    pub truth: Truth,
    /// Every process that ever was.
    pub members: Vec<Member>,
    /// How the network behaves now.
    pub network: Network,
    /// How long leases are.
    pub config: LeaseConfig,
    /// How long a batch takes, in milliseconds: usually, and three times in a hundred.
    pub takes_ms: (u64, u64),
    /// Where its chances come from.
    pub random: Random,
    calm_since: Option<Mono>,
    watched: Mono,
    agenda: BTreeMap<(Mono, u64), Event>,
    /// Where in the agenda stands what a process is told only when it goes on.
    told_later: Vec<(Mono, u64)>,
    ties: u64,
    turns: u32,
    trace: Option<Vec<String>>,
    hash: Option<u64>,
}

impl FleetWorld {
    /// A world at its beginning: nobody is there.
    #[must_use]
    pub fn new(seed: u64, config: LeaseConfig, hashing: bool, tracing: bool) -> Self {
        Self {
            now: Mono(0),
            table: SimTable::default(),
            truth: Truth::default(),
            members: Vec::new(),
            network: Network::calm(),
            config,
            takes_ms: (200, 200),
            random: Random::new(seed),
            calm_since: None,
            watched: Mono(0),
            agenda: BTreeMap::new(),
            told_later: Vec::new(),
            ties: 0,
            turns: 0,
            trace: tracing.then(Vec::new),
            hash: hashing.then_some(0xcbf2_9ce4_8422_2325),
        }
    }

    /// Plans an act, so long from now.
    pub fn plan(&mut self, after: Duration, act: Act) {
        self.at(self.now + after, Event::Acted(act));
    }

    /// Opens a shard; its row is there after a while, if it ever is.
    pub fn open_shard(&mut self, parents: Vec<ShardId>, after: Option<Duration>) -> ShardId {
        let shard = self.truth.open(parents.clone());
        if let Some(after) = after {
            let row = Row::new(shard.clone(), Place::TrimHorizon, parents);
            self.at(self.now + after, Event::Registered(row));
        }
        shard
    }

    /// From now on nothing goes wrong, and nobody stands still.
    pub fn calm_down(&mut self) {
        self.network = Network::calm();
        self.takes_ms = (200, 200);
        for member in &mut self.members {
            member.paused_until = member.paused_until.min(self.now);
            member.cut_until = self.now;
        }
        // Whoever goes on now hears now of what it has missed.
        for place in std::mem::take(&mut self.told_later) {
            if let Some(event) = self.agenda.remove(&place) {
                self.at(self.now, event);
            }
        }
        self.calm_since = Some(self.now);
    }

    /// Whether nothing goes wrong any more.
    pub(super) fn is_calm(&self) -> bool {
        self.calm_since.is_some()
    }

    /// Lives for a while.
    ///
    /// # Errors
    /// What an oracle has seen.
    pub fn pass(&mut self, span: Duration) -> Verdict {
        self.run(span, |_| false).map(|_| ())
    }

    /// Lives until something holds or a while has passed; says which.
    ///
    /// # Errors
    /// What an oracle has seen.
    pub fn run(
        &mut self,
        span: Duration,
        until: impl Fn(&Self) -> bool,
    ) -> Result<bool, crate::oracles::Violation> {
        let end = self.now + span;
        loop {
            if until(self) {
                return Ok(true);
            }
            let waking = self.waking();
            let event = self.agenda.keys().next().map(|(at, _)| *at);
            let next = waking.map(|(at, _)| at).into_iter().chain(event).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return Ok(false);
            };
            self.move_to(next)?;
            if event == Some(next) {
                if let Some((_, event)) = self.agenda.pop_first() {
                    self.happen(event)?;
                }
            } else if let Some((_, member)) = waking {
                let clock = self.members[member].clock(self.now);
                self.members[member].machine.handle_timeout(clock);
                self.settle(member)?;
            }
            self.watch()?;
        }
    }

    /// The processes that live and were not asked to leave.
    #[must_use]
    pub fn staying(&self) -> Vec<usize> {
        let stays = |place: &usize| self.members[*place].alive && !self.members[*place].leaving;
        (0..self.members.len()).filter(stays).collect()
    }

    /// The last `count` lines of the trace.
    #[must_use]
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let lines = self.trace.as_deref().unwrap_or_default();
        lines[lines.len().saturating_sub(count)..].to_vec()
    }

    /// A number that is the same when the same things happened at the same times.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.hash.unwrap_or_default()
    }

    fn move_to(&mut self, next: Mono) -> Verdict {
        if next > self.now {
            self.turns = 0;
            self.now = next;
        }
        self.turns += 1;
        if self.turns > TURNS_MAX {
            let message = format!("{TURNS_MAX} turns at one moment");
            return violated("no_busy_loop", "I5", message);
        }
        Ok(())
    }

    pub(super) fn at(&mut self, at: Mono, event: Event) {
        self.ties += 1;
        self.agenda.insert((at, self.ties), event);
    }

    fn note(&mut self, what: &dyn fmt::Debug) {
        if self.trace.is_none() && self.hash.is_none() {
            return;
        }
        let seconds = Duration::from_nanos(self.now.0).as_secs_f64();
        let line = format!("{seconds:>10.3} {what:?}");
        if let Some(hash) = &mut self.hash {
            for byte in line.bytes() {
                *hash = (*hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        if let Some(trace) = &mut self.trace {
            trace.push(line);
        }
    }

    /// Which process wakes first, and when.
    fn waking(&self) -> Option<(Mono, usize)> {
        let living = self.members.iter().enumerate().filter(|(_, m)| m.alive);
        let wakes = living.filter_map(|(place, member)| {
            let at = member.when(member.machine.poll_timeout()?.at);
            Some((at.max(member.paused_until).max(self.now), place))
        });
        wakes.min()
    }

    fn happen(&mut self, event: Event) -> Verdict {
        let told = match &event {
            Event::Told(member, _)
            | Event::Saved(member, ..)
            | Event::SaveAgain(member, ..)
            | Event::Finished(member, ..) => Some(*member),
            Event::Arrives(..)
            | Event::Registered(_)
            | Event::LibraryTurns(..)
            | Event::Acted(_) => None,
        };
        if let Some(member) = told.map(|place| &self.members[place]) {
            if !member.alive {
                return Ok(());
            }
            if member.paused_until > self.now {
                let later = member.paused_until;
                self.at(later, event);
                self.told_later.push((later, self.ties));
                return Ok(());
            }
        }
        self.note(&event);
        match event {
            Event::Arrives(member, request, answer) => self.arrive(member, request, answer),
            Event::Told(member, input) => {
                let clock = self.members[member].clock(self.now);
                self.members[member].machine.handle_input(input, clock);
                self.settle(member)
            }
            Event::Saved(member, save, answer) => self.saved(member, &save, answer),
            Event::SaveAgain(member, shard, fence) => {
                if let Some(reader) = self.reader(member, &shard, fence) {
                    reader.saving = false;
                }
                self.settle(member)
            }
            Event::Finished(member, shard, fence, from, to) => {
                for settled in &mut self.truth.change(&shard).settled[from..to] {
                    *settled = Some(fence);
                }
                if let Some(reader) = self.reader(member, &shard, fence) {
                    reader.running = None;
                    reader.done = to;
                }
                self.settle(member)
            }
            Event::Registered(row) => {
                self.table.register(&row);
                Ok(())
            }
            Event::LibraryTurns(owner, until) => {
                self.as_library(&owner, until);
                Ok(())
            }
            Event::Acted(act) => self.act(act),
        }
    }

    pub(super) fn reader(
        &mut self,
        member: usize,
        shard: &ShardId,
        fence: Fence,
    ) -> Option<&mut Reader> {
        let reader = self.members[member].readers.get_mut(shard)?;
        (reader.fence == fence).then_some(reader)
    }

    /// Does what a process wants until it wants nothing.
    pub(super) fn settle(&mut self, member: usize) -> Verdict {
        loop {
            self.read(member)?;
            let Some(output) = self.members[member].machine.poll_output() else {
                return Ok(());
            };
            self.note(&(member, &output));
            self.perform(member, output);
        }
    }

    fn perform(&mut self, member: usize, output: Output) {
        let readers = &mut self.members[member].readers;
        match output {
            Output::Scan { op } => self.send(member, Request::Scan(op)),
            Output::Read { op, shard } => self.send(member, Request::Read(op, shard)),
            Output::Write { op, shard, write } => {
                self.send(member, Request::Write(op, shard, write));
            }
            Output::Granted { fence, row, until } => {
                readers.insert(row.shard.clone(), Reader::new(fence, &row, until));
            }
            Output::Renewed {
                shard,
                fence,
                until,
            } => {
                if let Some(reader) = self.reader(member, &shard, fence) {
                    reader.until = until;
                }
            }
            Output::Revoked { shard, fence } => {
                if let Some(reader) = self.reader(member, &shard, fence) {
                    reader.draining = true;
                }
            }
            Output::Lost { shard, .. } => {
                readers.remove(&shard);
            }
            Output::Left => self.members[member].alive = false,
        }
    }

    /// What must hold at every time of a calm world.
    fn watch(&mut self) -> Verdict {
        let Some(calm_since) = self.calm_since else {
            return Ok(());
        };
        if self.now.since(self.watched) < WATCH_AFTER {
            return Ok(());
        }
        self.watched = self.now;
        let readable: Vec<ShardId> = self.truth.readable().cloned().collect();
        for shard in readable {
            let truth = self.truth.of(&shard);
            let holds = |member: &Member| {
                let taken = truth
                    .taken
                    .as_ref()
                    .is_some_and(|(o, _)| *o == member.owner);
                let held = |(held, fence, _): (&ShardId, Fence, Mono)| {
                    *held == shard && fence == truth.fence
                };
                member.alive && taken && member.machine.held().any(held)
            };
            let held = self.members.iter().any(holds);
            let known = self.table.has(&shard);
            let now = self.now;
            let truth = self.truth.change(&shard);
            truth.unheld_since = match truth.unheld_since {
                _ if held || !known => None,
                None => Some(now),
                since => since,
            };
        }
        oracles::nothing_is_left_alone(&self.truth, &self.table, self.config, calm_since, self.now)
    }
}
