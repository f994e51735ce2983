//! Runs one mapping: the façade over the stream machine and the queue machine.
//!
//! Contract: after every `handle_*`, drain `poll_output` until `None`; while a worker is free that
//! is `due` a batch, call `poll_invocation`; then arm one timer from `poll_timeout`. `now` never
//! goes back; two calls may share a `now`. `handle_input` also does whatever has come due at its
//! `now`, so a late timer costs nothing but lateness. Any order of inputs at one `now` is correct.

use crate::config::MappingConfig;
use crate::dispatch::Due;
use crate::ids::SlotId;
use crate::io::{Input, Invocation, Output, Resume};
use crate::queue::QueueMachine;
use crate::snapshot::{Counters, MappingSnapshot};
use crate::stream::StreamMachine;
use crate::time::{Deadline, Mono, Now};

/// The rules of one mapping, at work.
#[derive(Debug)]
pub struct Engine {
    machine: Machine,
    last: Mono,
}

#[derive(Debug)]
enum Machine {
    Stream(Box<StreamMachine>),
    Queue(Box<QueueMachine>),
}

/// Does the same with whichever machine it is.
macro_rules! on {
    ($machine:expr, $name:ident => $what:expr) => {
        match $machine {
            Machine::Stream($name) => $what,
            Machine::Queue($name) => $what,
        }
    };
}

impl Engine {
    /// An engine that goes on where `resume` says. Equal arguments and inputs give equal outputs.
    #[must_use]
    pub fn new(config: MappingConfig, resume: Resume, seed: u64, now: Now) -> Self {
        let machine = match config.queue {
            None => Machine::Stream(Box::new(StreamMachine::new(config, resume, seed, now))),
            Some(rules) => Machine::Queue(Box::new(QueueMachine::new(config, rules, seed, now))),
        };
        Self {
            machine,
            last: now.mono,
        }
    }

    /// Something has happened.
    ///
    /// # Panics
    /// When the driver breaks the contract: time goes back, or an answer to a request or an
    /// invocation that was never made.
    pub fn handle_input(&mut self, input: Input, now: Now) {
        self.tick(now);
        on!(&mut self.machine, machine => machine.handle_input(input, now));
    }

    /// The time of `poll_timeout` has come.
    ///
    /// # Panics
    /// When time goes back.
    pub fn handle_timeout(&mut self, now: Now) {
        self.tick(now);
        on!(&mut self.machine, machine => machine.handle_timeout(now));
    }

    /// The next request to perform.
    pub fn poll_output(&mut self) -> Option<Output> {
        on!(&mut self.machine, machine => machine.poll_output())
    }

    /// When to call `handle_timeout` next. May be early, never late.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        on!(&self.machine, machine => machine.poll_timeout())
    }

    /// A batch for a free worker; `None` when it turns out that none is due for it.
    ///
    /// # Panics
    /// When time goes back.
    pub fn poll_invocation(&mut self, slot: SlotId, now: Now) -> Option<Invocation> {
        self.tick(now);
        match &mut self.machine {
            Machine::Stream(machine) => machine.poll_invocation(slot, now),
            Machine::Queue(machine) => machine.poll_invocation(now),
        }
    }

    /// Which free workers would probably get a batch.
    #[must_use]
    pub fn due(&self) -> Due {
        match &self.machine {
            Machine::Stream(machine) => machine.due(),
            Machine::Queue(machine) if machine.has_due_batch() => Due::Anyone,
            Machine::Queue(_) => Due::Nobody,
        }
    }

    /// Whether some free worker would probably get a batch.
    #[must_use]
    pub fn has_due_batch(&self) -> bool {
        self.due() != Due::Nobody
    }

    /// A picture of everything, with the reason for each thing that does not move.
    #[must_use]
    pub fn snapshot(&self, now: Now) -> MappingSnapshot {
        on!(&self.machine, machine => machine.snapshot(now))
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> &MappingConfig {
        on!(&self.machine, machine => machine.config())
    }

    /// Records by state.
    #[must_use]
    pub fn counters(&self) -> Counters {
        on!(&self.machine, machine => machine.counters())
    }

    /// Tags of [`crate::stream::TRANSITIONS`] that happened since the last call.
    pub fn take_transitions(&mut self) -> Vec<&'static str> {
        on!(&mut self.machine, machine => machine.take_transitions())
    }

    fn tick(&mut self, now: Now) {
        assert!(now.mono >= self.last, "the driver's clock went back");
        self.last = now.mono;
    }
}
