//! Keeps what the world knows of every receive of every message, and of what engines were told.
//!
//! Rules: everything here follows from what the queue did, what the engine was handed and what
//! handlers answered; the engine's own counters are never asked. A *copy* is one receive of one
//! message: a message that comes again is another copy.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use penstock_engine::config::MappingConfig;
use penstock_engine::ids::{InvocationId, RequestId};
use penstock_engine::io::{Outcome, QueueFacts, Report};
use penstock_engine::time::Mono;

use super::source::{Handed, SimMessage};
use crate::model::Mode;

/// A shorter visibility cannot be made longer in time, so nobody asks for less.
pub const VISIBILITY_MIN: Duration = Duration::from_secs(10);

/// Where a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// On its way to an engine, or with one that is gone.
    Away,
    /// In the engine, waiting for a worker.
    Waiting,
    /// In an invocation.
    Running(InvocationId),
    /// Handled: it is to be deleted.
    Succeeded,
    /// Matched by no filter: it is to be deleted.
    Filtered,
    /// Its handler failed it: it is left alone.
    Failed,
    /// Given back before any handler saw it.
    GivenBack,
}

/// One receive of a message.
#[derive(Debug, Clone)]
pub struct Copied {
    /// The message.
    pub message: usize,
    /// Its group.
    pub group: Option<u32>,
    /// What it weighs in an event.
    pub weight: u32,
    /// Whether filters drop it.
    pub filtered: bool,
    /// The process that it was handed to.
    pub life: u32,
    /// Where it is.
    pub stage: Stage,
    /// When the queue handed it out.
    pub received_at: Mono,
    /// When the engine got it.
    pub handed_at: Mono,
    /// Whether something excuses that it comes again while the engine has it: its visibility
    /// could not be kept, or it is the second copy of a queue that slipped.
    pub excused: bool,
    /// Whether the engine cannot know until when it is hidden: its answer came late, or the queue
    /// has slipped.
    pub unknowable: bool,
    /// Whether a worker refused it: then it is tried again as long as it is hidden.
    pub rejected: bool,
    /// When it was done with.
    pub done_at: Option<Mono>,
    /// Whether the engine has asked to delete it.
    pub delete_asked: bool,
}

/// An invocation that runs.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its copies, by their receipts, in order.
    pub copies: Vec<u64>,
    /// Whether what follows a failed message in its group fails with it.
    pub strict: bool,
}

/// What has become of a receive attempt's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// On its way.
    Open,
    /// Answered.
    Answered,
    /// Its answer was lost.
    Lost(Mono),
    /// It was refused, and nothing was received.
    Refused,
}

/// What the world knows.
#[derive(Debug)]
pub struct QueueModel {
    /// The options in force.
    pub config: MappingConfig,
    /// What the mapping was asked to do.
    pub mode: Mode,
    /// Since when batches may start.
    pub running_since: Mono,
    /// Which process lives.
    pub life: u32,
    /// What the engine knows of the queue.
    pub facts: Option<QueueFacts>,
    /// All copies, by their receipts.
    pub copies: BTreeMap<u64, Copied>,
    /// Copies that the current engine has or has to delete.
    pub held: BTreeSet<u64>,
    /// Invocations that run in this life.
    pub running: BTreeMap<InvocationId, Running>,
    /// Messages that a handler has succeeded with.
    pub succeeded: BTreeSet<usize>,
    /// Request ids seen in this life.
    pub request_ids: BTreeSet<RequestId>,
    /// Names of receive attempts of this life.
    pub attempts: BTreeMap<RequestId, Attempt>,
    /// When a handler last ended.
    pub last_end: Mono,
    /// When a worker last refused a batch.
    pub last_rejection: Option<Mono>,
    /// When the options last changed.
    pub reconfigured: Option<Mono>,
    /// When a request to delete last failed, or a message of one was refused.
    pub delete_trouble: Option<Mono>,
    /// Copies that have failed and are still to be looked after, oldest first.
    pub failing: VecDeque<u64>,
}

impl QueueModel {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(config: MappingConfig) -> Self {
        Self {
            config,
            mode: Mode::Dead,
            running_since: Mono(0),
            life: 0,
            facts: None,
            copies: BTreeMap::new(),
            held: BTreeSet::new(),
            running: BTreeMap::new(),
            succeeded: BTreeSet::new(),
            request_ids: BTreeSet::new(),
            attempts: BTreeMap::new(),
            last_end: Mono(0),
            last_rejection: None,
            reconfigured: None,
            delete_trouble: None,
            failing: VecDeque::new(),
        }
    }

    /// Whether order is kept within groups.
    #[must_use]
    pub fn fifo(&self) -> bool {
        self.config.queue.is_some_and(|rules| rules.fifo)
    }

    /// How long the queue hides what is received, unless it is told otherwise.
    #[must_use]
    pub fn own_visibility(&self) -> Duration {
        let facts = self.facts.as_ref();
        facts.map_or(Duration::ZERO, |facts| facts.visibility_timeout)
    }

    /// How long a receive hides messages, by the rules: the queue's own time, but where a window
    /// and a timeout are longer than that, both and half a minute, and never less than can be
    /// made longer in time. The first part is what the receive has to ask for.
    #[must_use]
    pub fn visibility(&self) -> (Option<Duration>, Duration) {
        let own = self.own_visibility();
        let window = self.config.batch_window;
        let needed = window + self.config.function.timeout;
        if !window.is_zero() && needed > own {
            let asked = needed + Duration::from_secs(30);
            return (Some(asked), asked);
        }
        match own < VISIBILITY_MIN {
            true => (Some(VISIBILITY_MIN), VISIBILITY_MIN),
            false => (None, own),
        }
    }

    /// A new engine is born.
    pub fn life_began(&mut self, now: Mono) {
        self.life += 1;
        self.mode = Mode::Running;
        self.running_since = now;
        self.last_end = now;
        self.last_rejection = None;
        self.reconfigured = None;
        self.delete_trouble = None;
        self.failing.clear();
        self.facts = None;
        self.request_ids.clear();
        self.attempts.clear();
    }

    /// The engine is gone: what it had comes back by itself.
    pub fn life_ended(&mut self) {
        self.mode = Mode::Dead;
        self.running.clear();
        for receipt in std::mem::take(&mut self.held) {
            self.copy_mut(receipt).stage = Stage::Away;
        }
    }

    /// The queue handed something out.
    pub fn received(&mut self, handed: &Handed, message: &SimMessage, weight: u32, now: Mono) {
        let copy = Copied {
            message: handed.message,
            group: message.group,
            weight,
            filtered: message.content.filtered,
            life: self.life,
            stage: Stage::Away,
            received_at: now,
            handed_at: now,
            excused: handed.again,
            unknowable: handed.again,
            rejected: false,
            done_at: None,
            delete_asked: false,
        };
        self.copies.entry(handed.receipt).or_insert(copy);
    }

    /// The engine got a copy.
    pub fn handed(&mut self, receipt: u64, now: Mono) {
        let life = self.life;
        let most = self.config.payload_bytes_max;
        let copy = self.copy_mut(receipt);
        let copy_is_small = copy.filtered || u64::from(copy.weight) <= most;
        copy.life = life;
        copy.handed_at = now;
        let late = now - copy.received_at > Duration::from_secs(1);
        copy.excused |= late;
        copy.unknowable |= late;
        copy.stage = Stage::Waiting;
        if copy.filtered {
            copy.stage = Stage::Filtered;
            copy.done_at = Some(now);
        }
        self.held.insert(receipt);
        if !copy_is_small {
            // No event can hold it: it fails without a call.
            self.copy_mut(receipt).stage = Stage::Failed;
            self.held.remove(&receipt);
        }
    }

    /// A worker has taken a batch.
    pub fn started(&mut self, id: InvocationId, copies: &[u64]) {
        for receipt in copies {
            self.copy_mut(*receipt).stage = Stage::Running(id);
        }
        let strict = self.config.queue.is_some_and(|rules| rules.strict_groups);
        let running = Running {
            copies: copies.to_vec(),
            strict: strict && self.fifo(),
        };
        self.running.insert(id, running);
    }

    /// A handler has ended: what that makes of each copy.
    pub fn completed(&mut self, id: InvocationId, outcome: &Outcome, now: Mono) {
        let Some(running) = self.running.remove(&id) else {
            return;
        };
        self.last_end = now;
        let failed = self.failed_places(&running, outcome);
        for (place, receipt) in running.copies.iter().enumerate() {
            let rejected = matches!(outcome, Outcome::Rejected(_));
            let message = self.copies[receipt].message;
            let copy = self.copy_mut(*receipt);
            if rejected {
                copy.stage = Stage::Waiting;
                copy.rejected = true;
                copy.excused = true;
            } else if failed.contains(&place) {
                copy.stage = Stage::Failed;
                copy.done_at = Some(now);
                self.held.remove(receipt);
                self.failing.push_back(*receipt);
            } else {
                copy.stage = Stage::Succeeded;
                copy.done_at = Some(now);
                self.succeeded.insert(message);
            }
        }
        if matches!(outcome, Outcome::Rejected(_)) {
            self.last_rejection = Some(now);
        }
    }

    /// Places in a batch that its outcome fails.
    fn failed_places(&self, running: &Running, outcome: &Outcome) -> BTreeSet<usize> {
        let all = 0..running.copies.len();
        let Outcome::Returned(report) = outcome else {
            return all.collect();
        };
        let reported: BTreeSet<usize> = match report {
            Report::AllSucceeded => return BTreeSet::new(),
            Report::Failed(places) => places.iter().map(|place| *place as usize).collect(),
            Report::FailedFrom(_) | Report::Unusable => return all.collect(),
        };
        if !running.strict {
            return reported;
        }
        let group = |place: usize| self.copies[&running.copies[place]].group;
        let follows = |place: &usize| {
            let before = reported.range(..=*place);
            before
                .into_iter()
                .any(|failed| group(*failed) == group(*place))
        };
        all.filter(follows).collect()
    }

    /// The engine gives a copy back.
    pub fn given_back(&mut self, receipt: u64) {
        self.copy_mut(receipt).stage = Stage::GivenBack;
        self.held.remove(&receipt);
    }

    /// A copy by its receipt.
    ///
    /// # Panics
    /// When the queue never made it.
    pub fn copy_mut(&mut self, receipt: u64) -> &mut Copied {
        self.copies
            .get_mut(&receipt)
            .expect("the queue made the receipt")
    }
}
