//! Decides how many batches a mapping may have at once, those being received included.
//!
//! Rules (AWS Lambda Developer Guide, SQS): it begins with five and grows by five a second, which
//! is 300 a minute, while receives come back full and workers keep up; it falls back to five when
//! they come back empty, and to two when they do so for long, unless the mapping has a maximum of
//! its own. When everything fails it halves, and every success gives one back; not where the
//! handler reports item failures, which ask for no rest.

use crate::limits;
use crate::mutants::{self, Mutant};

/// How many at first, and at least while messages come. AWS Lambda Developer Guide,
/// services-sqs-scaling: five concurrent batches.
const START: u32 = 5;
/// How many more each second. The same page: up to 300 more concurrent calls a minute.
const STEP: u32 = 5;
/// How many when nothing comes for long: fewer would make the first message wait.
const IDLE: u32 = 2;

#[derive(Debug)]
pub(crate) struct Scaling {
    pollers: u32,
    most: u32,
    /// Whether the mapping set the maximum itself.
    asked: bool,
    /// What failures leave, while they leave less.
    allowed: Option<u32>,
    /// The least that failures leave.
    floor: u32,
    full: bool,
    failed: bool,
    succeeded: bool,
    /// Receives that came back empty, one after the other.
    pub empties: u32,
}

impl Scaling {
    pub fn new(maximum: Option<u32>, fifo: bool) -> Self {
        let most = most_of(maximum);
        Self {
            pollers: START.min(most),
            most,
            asked: maximum.is_some(),
            allowed: None,
            floor: if fifo { 1 } else { limits::CONCURRENCY_MIN },
            full: false,
            failed: false,
            succeeded: false,
            empties: 0,
        }
    }

    /// The mapping has another maximum now.
    pub fn limit(&mut self, maximum: Option<u32>) {
        self.most = most_of(maximum);
        self.asked = maximum.is_some();
        self.pollers = self.pollers.min(self.most).max(START.min(self.most));
    }

    /// How many batches may be held and received at once.
    pub fn pollers(&self) -> u32 {
        self.pollers.min(self.running())
    }

    /// How many batches may run at once.
    pub fn running(&self) -> u32 {
        self.allowed.unwrap_or(self.most)
    }

    /// The greatest number that there can be.
    pub fn most(&self) -> u32 {
        self.most
    }

    /// Messages came, as many as were asked for or fewer.
    pub fn received(&mut self, full: bool) {
        self.empties = 0;
        self.full |= full;
        self.pollers = self.pollers.max(START.min(self.most));
    }

    /// Nothing came.
    pub fn empty(&mut self) {
        self.empties = self.empties.saturating_add(1);
        let start = START.min(self.most);
        if self.pollers > start {
            self.pollers -= 1;
        } else if !self.asked && self.empties > 2 * START {
            self.pollers = IDLE.min(self.most);
        }
    }

    /// A batch succeeded, at least in part.
    pub fn succeeded(&mut self) {
        self.succeeded = true;
        let more = self.allowed.map(|allowed| allowed + 1);
        self.allowed = more.filter(|allowed| *allowed < self.pollers);
    }

    /// A batch failed as a whole.
    pub fn failed(&mut self) {
        self.failed = true;
    }

    /// A second has passed. `held` is how many batches run when one has been waiting for a worker
    /// all this time. Says whether another second may change anything.
    pub fn second(&mut self, running: u32, held: bool) -> bool {
        let (full, failed, succeeded) = (self.full, self.failed, self.succeeded);
        (self.full, self.failed, self.succeeded) = (false, false, false);
        if failed && !succeeded {
            let now = self.allowed.unwrap_or(self.pollers).min(self.pollers);
            self.allowed = Some((now / 2).max(self.floor));
        }
        let before = self.pollers;
        if held {
            let start = START.min(self.most);
            self.pollers = self.pollers.min((running + 1).max(start));
        } else if full && self.allowed.is_none() {
            self.pollers = (self.pollers + STEP).min(self.most);
        }
        full || failed || succeeded || self.pollers != before
    }
}

fn most_of(maximum: Option<u32>) -> u32 {
    let maximum = maximum.filter(|_| !mutants::active(Mutant::ConcurrencyIgnored));
    maximum.unwrap_or(limits::CONCURRENCY_CEILING)
}
