//! Runs handlers: what a handler makes of a batch, and how long it takes over it.
//!
//! Rules: a worker answers each invocation exactly once; what a handler does follows from the
//! records, the attempt and the seed.

use std::collections::BTreeSet;
use std::time::Duration;

use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::io::{HandlerError, Outcome, Report, TumblingCall};

use crate::random::Random;

/// One record as a handler sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its shard.
    pub shard: usize,
    /// Its place in the shard.
    pub place: usize,
    /// Its partition key.
    pub key: u32,
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    /// The records.
    pub records: Vec<Seen>,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Whether a report of failed items is listened to.
    pub partial: bool,
    /// The tumbling window that it is for.
    pub window: Option<TumblingCall>,
    /// How long it may take.
    pub timeout: Duration,
}

/// What a handler does.
#[derive(Debug, Clone)]
pub struct Answer {
    /// How the call ends.
    pub outcome: Outcome,
    /// When.
    pub takes: Duration,
}

impl Answer {
    /// Everything succeeds, at once.
    #[must_use]
    pub fn success() -> Self {
        Outcome::Returned(Report::AllSucceeded).into()
    }

    /// The handler raises, at once.
    #[must_use]
    pub fn raise() -> Self {
        Outcome::Raised(error("ValueError")).into()
    }

    /// The records from this place on are reported to have failed.
    #[must_use]
    pub fn failed_from(place: usize) -> Self {
        let place = u32::try_from(place).expect("a place in a batch");
        Outcome::Returned(Report::FailedFrom(place)).into()
    }

    /// The messages at these places are reported to have failed, in ascending order.
    #[must_use]
    pub fn failed(places: &[u32]) -> Self {
        Outcome::Returned(Report::Failed(places.into())).into()
    }

    /// The same, later.
    #[must_use]
    pub fn after(self, takes: Duration) -> Self {
        Self { takes, ..self }
    }
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            takes: Duration::ZERO,
        }
    }
}

/// A handler under simulation.
pub trait Handler {
    /// What it does with a call.
    fn call(&mut self, call: &Call) -> Answer;

    /// Faults are over: from now on only what is truly poison fails.
    fn heal(&mut self) {}
}

impl<F: FnMut(&Call) -> Answer> Handler for F {
    fn call(&mut self, call: &Call) -> Answer {
        self(call)
    }
}

/// A handler of the swarm.
#[derive(Debug)]
pub struct Moody {
    /// Its chances.
    pub random: Random,
    /// Keys whose records may be poison.
    pub poison_per_mille: u32,
    /// Whether poison stays poison when faults are over.
    pub poison_stays: bool,
    /// How often a call fails for no reason.
    pub fails: u32,
    /// How often a call is refused before it starts.
    pub rejects: u32,
    /// How often a call takes very long.
    pub stalls: u32,
    /// The usual time of a call in milliseconds, from and to.
    pub takes_ms: (u64, u64),
    /// Whether workers cut a call off at its timeout, as processes do and threads cannot.
    pub cuts_off: bool,
    /// A seed of its own, so that poison is the same at every attempt.
    pub poison_seed: u64,
    /// Whether faults are over.
    pub healed: bool,
    /// Records that failed a call by themselves.
    pub poisoned: BTreeSet<(usize, usize)>,
}

impl Moody {
    fn is_poison(&mut self, seen: Seen) -> bool {
        if self.healed && !self.poison_stays {
            return false;
        }
        let mixed = self.poison_seed
            ^ (seen.shard as u64) << 40
            ^ (seen.place as u64).wrapping_mul(0x9e37_79b9);
        let poison = Random::new(mixed).chance(self.poison_per_mille);
        if poison {
            self.poisoned.insert((seen.shard, seen.place));
        }
        poison
    }

    fn fail(&mut self, call: &Call, first: Option<usize>) -> Outcome {
        let place = first.map(|place| u32::try_from(place).expect("a place in a batch"));
        match (self.random.below(10), place) {
            (0..=4, Some(place)) if call.partial => Outcome::Returned(Report::FailedFrom(place)),
            (5, _) if call.partial => Outcome::Returned(Report::Unusable),
            (6, _) => Outcome::TimedOut,
            (7, _) => Outcome::Crashed(error("SIGSEGV")),
            _ => Outcome::Raised(error("ValueError")),
        }
    }

    fn outcome(&mut self, call: &Call) -> Outcome {
        let poison = (0..call.records.len()).find(|at| self.is_poison(call.records[*at]));
        if let Some(first) = poison {
            return self.fail(call, Some(first));
        }
        if self.healed {
            return Outcome::Returned(Report::AllSucceeded);
        }
        if self.random.chance(self.rejects) {
            let kind = FaultKind::Throttled { after: None };
            return Outcome::Rejected(Fault::new(kind, "too many calls"));
        }
        if self.random.chance(self.fails) {
            let any = (!call.records.is_empty()).then(|| self.random.place(call.records.len()));
            return self.fail(call, any);
        }
        Outcome::Returned(Report::AllSucceeded)
    }
}

impl Handler for Moody {
    fn call(&mut self, call: &Call) -> Answer {
        let outcome = self.outcome(call);
        let (least, most) = self.takes_ms;
        let mut takes = self.random.millis(least, most);
        if !self.healed && self.random.chance(self.stalls) {
            takes = call
                .timeout
                .mul_f64(0.5 + self.random.below(300) as f64 / 100.0);
        }
        if matches!(outcome, Outcome::TimedOut) {
            takes = takes.max(call.timeout);
        }
        if takes < call.timeout {
            return Answer { outcome, takes };
        }
        let takes = if self.cuts_off { call.timeout } else { takes };
        Answer {
            outcome: Outcome::TimedOut,
            takes,
        }
    }

    fn heal(&mut self) {
        self.healed = true;
    }
}

/// An error of a handler.
#[must_use]
pub fn error(kind: &str) -> HandlerError {
    HandlerError {
        kind: kind.to_owned(),
        message: "simulated".to_owned(),
    }
}
