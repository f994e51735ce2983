//! Lives the life of a mapping on a queue in virtual time.
//!
//! Rules: as for streams: one loop, time jumps to the earliest of the agenda, the queue and the
//! engine's own deadline, and everything follows from the plan, the seed in it above all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use penstock_engine::config::MappingConfig;
use penstock_engine::engine::Engine;
use penstock_engine::ids::{InvocationId, OpId, SlotId};
use penstock_engine::io::{Invocation, Notice, Outcome, Receive, Resume};
use penstock_engine::snapshot::MappingSnapshot;
use penstock_engine::time::{Mono, Now, Wall};

use super::event::{Act, Event, Fate};
use super::faults::QueueFaults;
use super::judge;
use super::model::QueueModel;
use super::oracles;
use super::source::{QueueSetup, SimQueue, Standing};
use crate::event::Agenda;
use crate::model::Mode;
use crate::oracles::{Verdict, Violation, conserved, violated};
use crate::random::Random;
use crate::workers::{Call, Handler, Seen};
use crate::world::{BEGINNING, Shown};

/// Turns in one second that nothing but a busy loop takes.
const TURNS_MAX: u32 = 20_000;
/// A second, in the agenda's nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// What a world begins with.
pub struct QueuePlan {
    /// Where its chances come from.
    pub seed: u64,
    /// The mapping.
    pub config: MappingConfig,
    /// The queue.
    pub queue: QueueSetup,
    /// Workers.
    pub slots: usize,
    /// How the queue behaves.
    pub faults: QueueFaults,
    /// What handles the messages.
    pub handler: Box<dyn Handler>,
    /// Whether to keep a line for every event.
    pub tracing: bool,
    /// Whether to hash everything that the engine asks for.
    pub hashing: bool,
}

/// What a request was for.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Describe,
    Receive(Receive),
    Acknowledge,
    Extend,
}

/// A receive that waits at the queue for a first message.
#[derive(Debug, Clone)]
pub(crate) struct Parked {
    pub request: Receive,
    pub fate: Fate,
    pub until: Mono,
    pub life: u32,
}

/// One call of the handler, as an observer saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// The life.
    pub life: u32,
    /// When.
    pub at: Mono,
    /// The messages, by their numbers.
    pub messages: Vec<usize>,
    /// How often each had been received.
    pub receives: Vec<u32>,
    /// How it ended and when, once it has.
    pub ended: Option<(Mono, Outcome)>,
}

/// A world.
pub struct QueueWorld {
    /// The moment.
    pub now: Mono,
    /// The queue.
    pub queue: SimQueue,
    /// What is true of every receive.
    pub model: QueueModel,
    /// How the queue behaves now.
    pub faults: QueueFaults,
    /// The options that the next process starts with.
    pub config: MappingConfig,
    /// Calls of the handler, in order.
    pub calls: Vec<Called>,
    /// Batches as they were handed out, when they are kept.
    pub invocations: Option<Vec<Invocation>>,
    /// What people were told.
    pub notices: Vec<Notice>,
    /// How many engines have lived.
    pub life: u32,
    /// Transitions of the engine that were reached.
    pub transitions: BTreeSet<&'static str>,
    /// How many receives the queue has been asked for.
    pub receives: u64,
    /// Drains that ended by themselves.
    pub clean_drains: u32,
    /// Whether nothing has gone wrong at the queue for as long as a request can take.
    pub calm: bool,
    pub(crate) agenda: Agenda<Event>,
    pub(crate) engine: Option<Engine>,
    pub(crate) open: BTreeMap<OpId, Request>,
    pub(crate) abandoned: BTreeSet<OpId>,
    pub(crate) parked: Vec<Parked>,
    pub(crate) handler: Box<dyn Handler>,
    pub(crate) slots: Vec<Option<(u32, InvocationId)>>,
    pub(crate) places: BTreeMap<InvocationId, usize>,
    pub(crate) random: Random,
    pub(crate) drain_by: Option<Mono>,
    pub(crate) born: Mono,
    seed: u64,
    turns: u32,
    trace: Option<Vec<String>>,
    hash: Option<u64>,
}

impl QueueWorld {
    /// A world at its beginning: no process runs yet.
    #[must_use]
    pub fn new(plan: QueuePlan) -> Self {
        Self {
            now: Mono(0),
            queue: SimQueue::new(plan.queue),
            model: QueueModel::new(plan.config.clone()),
            faults: plan.faults,
            config: plan.config,
            calls: Vec::new(),
            invocations: None,
            notices: Vec::new(),
            life: 0,
            transitions: BTreeSet::new(),
            receives: 0,
            clean_drains: 0,
            calm: false,
            agenda: Agenda::default(),
            engine: None,
            open: BTreeMap::new(),
            abandoned: BTreeSet::new(),
            parked: Vec::new(),
            handler: plan.handler,
            slots: vec![None; plan.slots],
            places: BTreeMap::new(),
            random: Random::new(plan.seed),
            drain_by: None,
            born: Mono(0),
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
        mut until: impl FnMut(&QueueWorld) -> bool,
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
    pub fn snapshot(&self) -> Option<MappingSnapshot> {
        let now = self.engine_now();
        self.engine.as_ref().map(|engine| engine.snapshot(now))
    }

    /// Whether every message has left the queue, and the engine knows that it has nothing to do.
    #[must_use]
    pub fn at_rest(&self) -> bool {
        self.agenda.acts() == 0
            && self.queue.waiting().next().is_none()
            && self.slots.iter().all(Option::is_none)
            && self.snapshot().is_some_and(|snapshot| snapshot.idle)
    }

    /// Messages that stand so.
    #[must_use]
    pub fn standing(&self, standing: Standing) -> Vec<usize> {
        let messages = self.queue.messages.iter().enumerate();
        let such = messages.filter(|(_, message)| message.standing == standing);
        such.map(|(number, _)| number).collect()
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

    /// Whether nothing is planned and no drain goes on.
    #[must_use]
    pub fn idle_or_running(&self) -> bool {
        self.agenda.acts() == 0 && matches!(self.model.mode, Mode::Running | Mode::Dead)
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
        let engine = Engine::new(
            self.config.clone(),
            Resume::default(),
            seed,
            self.engine_now(),
        );
        self.engine = Some(engine);
    }

    /// The process is gone; what it had asked for stays asked.
    pub(crate) fn end_life(&mut self) {
        if let Some(mut engine) = self.engine.take() {
            self.transitions.extend(engine.take_transitions());
        }
        self.model.life_ended();
        self.open.clear();
        self.abandoned.clear();
        self.drain_by = None;
    }

    /// Limits of the receives that are under way.
    pub(crate) fn receiving(&self) -> Vec<u32> {
        let limits = self.open.values().filter_map(|request| match request {
            Request::Receive(receive) => Some(receive.limit),
            _ => None,
        });
        limits.collect()
    }

    /// Performs what the engine wants until it wants nothing, and gives free workers their work.
    fn settle(&mut self) -> Verdict {
        let mut declined = 0;
        loop {
            self.drain_outputs()?;
            let Some(engine) = &self.engine else { break };
            let Some(slot) = self.slots.iter().position(Option::is_none) else {
                break;
            };
            if !engine.has_due_batch() {
                break;
            }
            declined = if self.offer(slot)? { 0 } else { declined + 1 };
            if declined > 1_000 {
                let message = "a batch is due, and none is handed out".to_owned();
                return violated("no_busy_loop", "I5", message);
            }
        }
        self.watch()
    }

    fn drain_outputs(&mut self) -> Verdict {
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
        let copies = judge::invocation(&mut self.model, &self.queue, &invocation, self.now)?;
        let messages = copies.iter().map(|receipt| self.queue.message_of(*receipt));
        let messages: Vec<usize> = messages.collect();
        let seen = |number: &usize| Seen {
            shard: 0,
            place: *number,
            key: self.queue.messages[*number].group.unwrap_or_default(),
        };
        let call = Call {
            window: None,
            records: messages.iter().map(seen).collect(),
            attempt: invocation.attempt,
            partial: self.model.config.partial_response,
            timeout: self.model.config.function.timeout,
        };
        if let Some(kept) = &mut self.invocations {
            kept.push(invocation.clone());
        }
        let answer = self.handler.call(&call);
        self.slots[slot] = Some((self.life, invocation.id));
        self.places.insert(invocation.id, self.calls.len());
        let receives = messages.iter();
        let receives = receives.map(|number| self.queue.messages[*number].receives);
        self.calls.push(Called {
            life: self.life,
            at: self.now,
            receives: receives.collect(),
            messages,
            ended: None,
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
        conserved(engine.counters())?;
        let receiving = self.receiving().len() as u64 + 1;
        let config = &self.model.config;
        let most = config.buffered_bytes_max + receiving * config.source.fetch_bytes_max;
        let pinned = self.queue.ledger.bytes();
        if pinned > most && self.model.reconfigured.is_none() {
            let message = format!("{pinned} bytes are pinned, {most} allowed");
            return violated("memory_bounded", "I19", message);
        }
        let open = |kind: fn(&Request) -> bool| self.open.values().any(kind);
        let deleting = open(|request| matches!(request, Request::Acknowledge));
        let extending = open(|request| matches!(request, Request::Extend));
        oracles::deleted_soon(&self.model, self.now, deleting)?;
        if self.calm {
            oracles::failed_come_back(&mut self.model, &self.queue, self.now, extending)?;
        } else {
            self.model.failing.clear();
        }
        if self.slots.iter().any(Option::is_none) {
            oracles::nothing_late(&self.model, &self.queue, self.now)?;
        }
        Ok(())
    }

    /// Goes to the next moment at which something happens. False: the limit came first.
    fn tick(&mut self, limit: Mono) -> Result<bool, Violation> {
        let deadline = self.engine.as_ref().and_then(Engine::poll_timeout);
        let timeout = deadline.map(|deadline| Mono(self.born.0.saturating_add(deadline.at.0)));
        let event = self.agenda.next();
        let queue = self.queue_deadline();
        let next = [timeout, event, queue].into_iter().flatten().min();
        let Some(next) = next.filter(|next| *next <= limit) else {
            self.now = self.now.max(limit);
            return Ok(false);
        };
        if next.0 / SECOND > self.now.0 / SECOND {
            self.turns = 0;
        }
        self.now = self.now.max(next);
        self.turns += 1;
        if self.turns > TURNS_MAX {
            let message = format!("{TURNS_MAX} turns in one second, for {deadline:?}");
            return Err(Violation::new("no_busy_loop", "I5", message));
        }
        if queue.is_some_and(|at| at <= self.now) {
            self.answer_parked()?;
        } else if event.is_some_and(|at| at <= self.now) {
            if let Some((life, event)) = self.agenda.take() {
                self.happen(life, event)?;
                self.answer_parked()?;
            }
        } else {
            let now = self.engine_now();
            if let Some(engine) = &mut self.engine {
                engine.handle_timeout(now);
                let reached = engine.take_transitions();
                self.transitions.extend(reached);
            }
        }
        Ok(true)
    }

    /// When a receive that waits at the queue may be answered.
    fn queue_deadline(&self) -> Option<Mono> {
        let until = self.parked.iter().map(|parked| parked.until).min()?;
        let visible = self.queue.next_visible(self.now);
        Some(visible.map_or(until, |visible| visible.min(until)))
    }
}
