//! Lives a mapping's life in virtual time.
//!
//! Rules: one loop; the engine's requests become events at later moments, and time jumps to the
//! earliest of the agenda and the engine's own deadline; workers are slots; everything follows
//! from the plan, the seed in it above all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use penstock_engine::config::MappingConfig;
use penstock_engine::engine::Engine;
use penstock_engine::failure::FailureDocument;
use penstock_engine::ids::{InvocationId, OpId, SlotId};
use penstock_engine::io::{Checkpoint, Invocation, Notice, Outcome, SkippedRange, TumblingCall};
use penstock_engine::time::{Mono, Now, Wall};

use crate::crew::Crew;
use crate::event::{Act, Agenda, Event};
use crate::faults::Faults;
use crate::judge;
use crate::model::{Mode, Model};
use crate::oracles::{self, Verdict, Violation};
use crate::random::Random;
use crate::sharing::Sharing;
use crate::store::SimStore;
use crate::stream::SimStream;
use crate::windows;
use crate::workers::{Call, Handler, Seen};

/// What the wall clock shows when a world begins.
pub const BEGINNING: Wall = Wall(1_700_000_000_000);
/// Turns at one moment that nothing but a busy loop takes.
const TURNS_MAX: u32 = 50_000;

/// What a world begins with.
pub struct Plan {
    /// Where its chances come from.
    pub seed: u64,
    /// The mapping.
    pub config: MappingConfig,
    /// Workers.
    pub slots: usize,
    /// Shards that the stream begins with.
    pub shards: u32,
    /// How the world behaves.
    pub faults: Faults,
    /// What handles the records.
    pub handler: Box<dyn Handler>,
    /// Whether to keep a line for every event.
    pub tracing: bool,
    /// Whether to hash everything that the engine asks for.
    pub hashing: bool,
}

/// What a request was for.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    List,
    Register,
    Lease(usize),
    Fetch {
        shard: usize,
        tenure: Option<u64>,
    },
    Save {
        shard: usize,
        tenure: Option<u64>,
        checkpoint: Box<Checkpoint>,
    },
    Deliver(String),
}

/// One call of the handler, as an observer saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// The life.
    pub life: u32,
    /// When.
    pub at: Mono,
    /// The shard.
    pub shard: usize,
    /// The lane.
    pub lane: u8,
    /// The worker's slot.
    pub slot: usize,
    /// The records' places in the shard.
    pub records: Vec<usize>,
    /// The attempt.
    pub attempt: u32,
    /// The tumbling window that it was for.
    pub window: Option<TumblingCall>,
    /// How it ended, once it has.
    pub outcome: Option<Outcome>,
}

/// A world.
pub struct World {
    /// The moment.
    pub now: Mono,
    /// What is true of every record.
    pub model: Model,
    /// The stream.
    pub stream: SimStream,
    /// The store.
    pub store: SimStore,
    /// How the world behaves now.
    pub faults: Faults,
    /// The options that the next process starts with.
    pub config: MappingConfig,
    /// Calls of the handler, in order.
    pub calls: Vec<Called>,
    /// Documents that the destination holds, in order, sent again or not.
    pub documents: Vec<FailureDocument>,
    /// What operators let go of.
    pub skipped: Vec<SkippedRange>,
    /// What people were told.
    pub notices: Vec<Notice>,
    /// How many engines have lived.
    pub life: u32,
    /// Transitions of the engine that were reached.
    pub transitions: BTreeSet<&'static str>,
    /// How many reads the source has been asked for.
    pub reads: u64,
    /// Drains that ended by themselves.
    pub clean_drains: u32,
    pub(crate) agenda: Agenda,
    pub(crate) engine: Option<Engine>,
    pub(crate) open: BTreeMap<OpId, Request>,
    pub(crate) handler: Box<dyn Handler>,
    pub(crate) slots: Vec<Option<(u32, InvocationId)>>,
    pub(crate) places: BTreeMap<InvocationId, usize>,
    pub(crate) random: Random,
    pub(crate) crew: Crew,
    /// How the stream is shared with other processes, if it is.
    pub sharing: Option<Sharing>,
    pub(crate) drain_by: Option<Mono>,
    pub(crate) born: Mono,
    pub(crate) fruitless: BTreeMap<usize, (Mono, u32)>,
    seed: u64,
    turns: u32,
    trace: Option<Vec<String>>,
    hash: Option<u64>,
}

impl World {
    /// A world at its beginning: no process runs yet.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let stream = SimStream::new(plan.shards, Wall(BEGINNING.0 - 3_600_000));
        let mut model = Model::new(plan.config.clone());
        for shard in &stream.shards {
            model.shard_opened(shard.id.clone(), Vec::new());
        }
        Self {
            now: Mono(0),
            model,
            stream,
            store: SimStore::default(),
            faults: plan.faults,
            config: plan.config,
            calls: Vec::new(),
            documents: Vec::new(),
            skipped: Vec::new(),
            notices: Vec::new(),
            life: 0,
            transitions: BTreeSet::new(),
            reads: 0,
            clean_drains: 0,
            agenda: Agenda::default(),
            engine: None,
            open: BTreeMap::new(),
            handler: plan.handler,
            slots: vec![None; plan.slots],
            places: BTreeMap::new(),
            random: Random::new(plan.seed),
            crew: Crew::default(),
            sharing: None,
            drain_by: None,
            born: Mono(0),
            fruitless: BTreeMap::new(),
            seed: plan.seed,
            turns: 0,
            trace: plan.tracing.then(Vec::new),
            hash: plan.hashing.then_some(0xcbf2_9ce4_8422_2325),
        }
    }

    /// Plans an act, so long from now.
    pub fn plan(&mut self, after: Duration, act: Act) {
        let tie = self.random.draw();
        self.agenda
            .add(self.now + after, tie, None, Event::Act(act));
    }

    /// Lives until `until` holds or `limit` has passed; says which.
    ///
    /// # Errors
    /// What an oracle has seen.
    pub fn run(
        &mut self,
        limit: Duration,
        mut until: impl FnMut(&World) -> bool,
    ) -> Result<bool, Violation> {
        let limit = self.now + limit;
        loop {
            self.settle()?;
            if until(self) {
                return Ok(true);
            }
            if !self.tick(limit)? {
                return Ok(false);
            }
        }
    }

    /// Lives for a while.
    ///
    /// # Errors
    /// What an oracle has seen.
    pub fn pass(&mut self, span: Duration) -> Verdict {
        self.run(span, |_| false).map(|_| ())
    }

    /// Whether an engine lives.
    #[must_use]
    pub fn alive(&self) -> bool {
        self.engine.is_some()
    }

    /// The engine's picture of itself, if it lives.
    #[must_use]
    pub fn snapshot(&self) -> Option<penstock_engine::snapshot::MappingSnapshot> {
        self.engine
            .as_ref()
            .map(|engine| engine.snapshot(self.engine_now()))
    }

    /// The wall clock.
    #[must_use]
    pub fn wall(&self) -> Wall {
        BEGINNING.plus(Duration::from_nanos(self.now.0))
    }

    /// The clocks of the process that runs now: it counts from its own birth.
    #[must_use]
    pub fn engine_now(&self) -> Now {
        Now {
            mono: Mono(self.now.0 - self.born.0),
            wall: self.wall(),
        }
    }

    /// The clocks of the world.
    #[must_use]
    pub fn world_now(&self) -> Now {
        Now {
            mono: self.now,
            wall: self.wall(),
        }
    }

    /// The last `count` lines of the trace.
    #[must_use]
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let lines = self.trace.as_deref().unwrap_or_default();
        lines[lines.len().saturating_sub(count)..].to_vec()
    }

    /// Keeps no lines from now on.
    pub fn forget_lines(&mut self) {
        self.trace = None;
    }

    /// A number that is the same when the engine asked for the same things at the same times.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.hash.unwrap_or_default()
    }

    pub(crate) fn note(&mut self, what: &dyn fmt::Debug) {
        let seconds = Duration::from_nanos(self.now.0).as_secs_f64();
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{seconds:>10.3} {what:?}"));
        }
    }

    pub(crate) fn mix(&mut self, what: &dyn fmt::Debug) {
        let Some(hash) = &mut self.hash else { return };
        for byte in format!("{:?} {what:?}", self.now).bytes() {
            *hash = (*hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// A new process begins.
    pub(crate) fn begin_life(&mut self) {
        self.life += 1;
        self.born = self.now;
        self.model.config = self.config.clone();
        self.model.life_began(self.now);
        let seed = self.seed ^ u64::from(self.life) << 32;
        let resume = self.store.resume();
        let now = self.engine_now();
        let mut engine = Engine::new(self.config.clone(), resume, seed, now);
        self.crew.forget();
        if let Some(input) = self.crew.told() {
            engine.handle_input(input, now);
        }
        self.engine = Some(engine);
    }

    /// The process is gone; what it had asked for stays asked.
    pub(crate) fn end_life(&mut self) {
        if let Some(mut engine) = self.engine.take() {
            self.transitions.extend(engine.take_transitions());
        }
        self.model.life_ended();
        self.open.clear();
        self.drain_by = None;
    }

    /// Performs what the engine wants until it wants nothing, and gives free workers their work.
    fn settle(&mut self) -> Verdict {
        let mut declined = 0;
        loop {
            self.drain_outputs()?;
            let Some(engine) = &self.engine else { break };
            let due = engine.due();
            let mut slots = self.slots.iter().zip(0..);
            let Some((_, number)) =
                slots.find(|(slot, n)| slot.is_none() && due.covers(SlotId(*n)))
            else {
                break;
            };
            let slot = number as usize;
            declined = if self.offer(slot)? { 0 } else { declined + 1 };
            if declined > 1_000 {
                let message = "a batch is due, and none is handed out".to_owned();
                return oracles::violated("no_busy_loop", "I5", message);
            }
        }
        self.watch()
    }

    pub(crate) fn drain_outputs(&mut self) -> Verdict {
        while let Some(output) = self.engine.as_mut().and_then(Engine::poll_output) {
            self.perform(output)?;
        }
        Ok(())
    }

    fn offer(&mut self, slot: usize) -> Result<bool, Violation> {
        let now = self.engine_now();
        let engine = self.engine.as_mut().expect("an engine has a due batch");
        let number = SlotId(u32::try_from(slot).expect("few slots"));
        let Some(invocation) = engine.poll_invocation(number, now) else {
            return Ok(false);
        };
        self.drain_outputs()?;
        self.note(&Shown(&invocation));
        self.mix(&Shown(&invocation));
        let world_now = self.world_now();
        let start = judge::invocation(&mut self.model, &invocation, world_now)?;
        self.lane_stays(&start, slot)?;
        let seen = |place: &usize| Seen {
            shard: start.shard,
            place: *place,
            key: self.model.shards[start.shard].records[*place].key,
        };
        let call = Call {
            records: start.records.iter().map(seen).collect(),
            attempt: start.attempt,
            partial: self.model.config.partial_response,
            window: invocation.window.clone(),
            timeout: self.model.config.function.timeout,
        };
        let mut answer = self.handler.call(&call);
        let window = call.window.as_ref();
        let bulky = window.is_some() && self.random.chance(5);
        answer.outcome = windows::aggregated(window, &start.records, answer.outcome, bulky);
        self.slots[slot] = Some((self.life, invocation.id));
        self.places.insert(invocation.id, self.calls.len());
        self.calls.push(Called {
            life: self.life,
            at: self.now,
            shard: start.shard,
            lane: start.lane,
            slot,
            records: start.records,
            attempt: start.attempt,
            window: invocation.window.clone(),
            outcome: None,
        });
        let tie = self.random.draw();
        let done = Event::Finish(slot, invocation.id, answer.outcome);
        self.agenda
            .add(self.now + answer.takes, tie, Some(self.life), done);
        Ok(true)
    }

    /// What must hold after every step.
    fn watch(&mut self) -> Verdict {
        let Some(engine) = &self.engine else {
            return Ok(());
        };
        oracles::conserved(engine.counters())?;
        let fetching = |request: &&Request| matches!(request, Request::Fetch { .. });
        let reading = self.open.values().filter(fetching).count() as u64;
        oracles::memory_bounded(&self.model, self.stream.ledger.bytes(), reading + 1)?;
        let mut free = self.slots.iter().map(Option::is_none);
        // A lane may wait for its own worker while others are free.
        let ready = match self.crew.keeps() {
            true => free.all(|free| free),
            false => free.any(|free| free),
        };
        if ready {
            oracles::nothing_late(&self.model, self.world_now())?;
        }
        Ok(())
    }

    /// Goes to the next moment at which something happens. False: the limit came first.
    fn tick(&mut self, limit: Mono) -> Result<bool, Violation> {
        let deadline = self.engine.as_ref().and_then(Engine::poll_timeout);
        let timeout = deadline.map(|deadline| Mono(self.born.0.saturating_add(deadline.at.0)));
        let event = self.agenda.next();
        let next = [timeout, event].into_iter().flatten().min();
        let Some(next) = next.filter(|next| *next <= limit) else {
            self.now = self.now.max(limit);
            return Ok(false);
        };
        if next > self.now {
            self.turns = 0;
            self.now = next;
        }
        self.turns += 1;
        if self.turns > TURNS_MAX {
            let message = format!("{TURNS_MAX} turns at one moment, for {deadline:?}");
            return Err(Violation::new("no_busy_loop", "I5", message));
        }
        if event.is_some_and(|at| at <= self.now) {
            if let Some((life, event)) = self.agenda.take() {
                self.happen(life, event)?;
            }
        } else {
            let now = self.engine_now();
            if let Some(engine) = &mut self.engine {
                engine.handle_timeout(now);
            }
        }
        Ok(true)
    }

    /// Whether nothing is planned and no drain goes on.
    #[must_use]
    pub fn idle_or_running(&self) -> bool {
        self.agenda.acts() == 0 && matches!(self.model.mode, Mode::Running | Mode::Dead)
    }
}

/// An invocation without its pages.
pub(crate) struct Shown<'a>(pub(crate) &'a Invocation);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Invocation {
            id,
            shard,
            lane,
            attempt,
            request_id,
            batch,
            ..
        } = self.0;
        write!(
            f,
            "Invoke {{ {id:?}, {shard}, lane {lane}, attempt {attempt}, {request_id}, "
        )?;
        let numbers = (0..batch.len()).map(|index| batch.sequence_number(index));
        f.debug_list().entries(numbers).finish()?;
        f.write_str(" }")
    }
}
