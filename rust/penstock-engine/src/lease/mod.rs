//! Decides which shards this process reads, beside others that share a table with it.
//!
//! Rules:
//!
//! - No clock is compared between machines. A holder changes its row's counter; whoever has seen
//!   the same counter for a whole lease, by its own clock, may take the row.
//! - A lease counts from the moment its last accepted write was *sent*. A holder renews after a
//!   third of it and starts nothing after two thirds, so it has stopped before anybody may take
//!   over, however the answers travel.
//! - What is held changes only when a conditional write was accepted or refused. A write of which
//!   nothing is known changes nothing; of a take the next scan tells, a renewal is written again.
//! - The fence of a lease is the counter that took it, and larger than every one before.
//! - A child is taken after all its parents have ended.
//! - A planned move goes through the holder: the poorer process puts its name into the row, the
//!   holder drains, saves and gives the row up, and nothing runs twice.
//! - A shard moves by plan only when its holder has had it for two leases.
//!
//! ```text
//!            Take accepted              Renew answered: wanted, or Leave
//!   (seen) ─────────────────▶ Serving ──────────────────────────────────▶ Draining
//!      ▲                         │                                           │ Quiet
//!      │   refused, or Fenced    │              refused, or Fenced           ▼
//!      └──────────◀──────────────┴──────────────────◀─────────────────── Releasing ──▶ (seen)
//!                                                                          Release accepted
//! ```

mod balance;
mod io;
mod keeping;
mod row;
mod seen;
pub mod table;
mod taking;
mod write;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::ids::{Fence, OpId, Owner, ShardId};
use crate::rng::Rng;
use crate::time::{Deadline, Mono};

pub use io::{Input, Output};
pub use row::{Place, Row};
pub use write::Write;

use keeping::Held;
use seen::Rows;

/// By how much spans are made shorter at most.
const JITTER: f64 = 0.2;

/// How long a lease is, and what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseConfig {
    /// How long a row must be seen unchanged before its holder is given up for dead.
    pub lease: Duration,
}

impl Default for LeaseConfig {
    /// Ten seconds, as the Kinesis Client Library's `failoverTimeMillis`.
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
        }
    }
}

impl LeaseConfig {
    /// How long after a renewal the next one is sent.
    #[must_use]
    pub fn renew_after(&self) -> Duration {
        self.lease / 3
    }

    /// How long after the last renewal was sent nothing is started any more.
    #[must_use]
    pub fn stop_after(&self) -> Duration {
        self.lease * 2 / 3
    }

    /// How long after a look at all rows the next one is due.
    #[must_use]
    pub fn scan_after(&self) -> Duration {
        self.lease / 4
    }

    /// How long a request may take before whoever performs it says that it failed: two renewals
    /// can fail so, and a third is answered before the holder has to stop.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.lease / 8
    }

    /// How long after a failure a request is made again.
    #[must_use]
    pub fn again_after(&self) -> Duration {
        self.lease / 40
    }

    /// How long between looks at a row that was asked for.
    #[must_use]
    pub fn look_after(&self) -> Duration {
        self.lease / 20
    }

    /// How long a holder keeps a shard at least before it is asked to hand it over.
    #[must_use]
    pub fn settle_after(&self) -> Duration {
        self.lease * 2
    }
}

/// What a request was for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pending {
    Scan,
    Read(ShardId),
    Take(ShardId),
    Ask(ShardId),
    Renew(ShardId, Fence),
    Release(ShardId, Fence),
}

/// What comes due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// To look at all rows.
    Scan,
    /// To renew a lease, or to try again to give it up.
    Keep(ShardId),
    /// A row may have been unchanged for a whole lease.
    Stale(ShardId),
    /// To look whether a row that was asked for has been given up.
    Look(ShardId),
}

impl Timer {
    fn label(&self) -> &'static str {
        match self {
            Self::Scan => "lease scan",
            Self::Keep(_) => "lease renewal",
            Self::Stale(_) => "lease of another",
            Self::Look(_) => "lease hand-over",
        }
    }
}

/// The leases of one process on the shards of one stream.
#[derive(Debug)]
pub struct LeaseMachine {
    me: Owner,
    config: LeaseConfig,
    rng: Rng,
    rows: Rows,
    held: BTreeMap<ShardId, Held>,
    /// Requests that are under way, with the moments at which they were sent.
    open: BTreeMap<OpId, (Pending, Mono)>,
    timers: BTreeSet<(Mono, Timer)>,
    /// Rows that have a `Stale` or `Look` timer, so that each has at most one of them.
    watched: BTreeSet<Timer>,
    outputs: VecDeque<Output>,
    last_op: u64,
    leaving: bool,
    left: bool,
}

impl LeaseMachine {
    /// A process that holds nothing yet. `me` must never have been used before, by this machine or
    /// another: a name stands for one life of a process.
    #[must_use]
    pub fn new(me: Owner, config: LeaseConfig, seed: u64, now: Mono) -> Self {
        let mut machine = Self {
            me,
            config,
            rng: Rng::new(seed),
            rows: Rows::default(),
            held: BTreeMap::new(),
            open: BTreeMap::new(),
            timers: BTreeSet::new(),
            watched: BTreeSet::new(),
            outputs: VecDeque::new(),
            last_op: 0,
            leaving: false,
            left: false,
        };
        machine.arm(now, Timer::Scan);
        machine.handle_timeout(now);
        machine
    }

    /// Tells the machine what happened.
    ///
    /// # Panics
    ///
    /// When an answer is to nothing that was asked, or to something else: a bug of the driver.
    pub fn handle_input(&mut self, input: Input, now: Mono) {
        match input {
            Input::Scanned { op, rows } => self.scanned(op, rows, now),
            Input::Read { op, row } => {
                let (pending, _) = self.close(op);
                assert!(matches!(pending, Pending::Read(_)), "{op:?} reads no row");
                if let Some(row) = row {
                    self.observe(row, now);
                }
                self.decide(now);
            }
            Input::Written { op, row } => match self.close(op) {
                (Pending::Take(_), sent) => self.taken(row, sent, now),
                (Pending::Ask(_), _) => self.observe(row, now),
                (Pending::Renew(_, fence), sent) => self.renewed(row, fence, sent, now),
                (Pending::Release(_, fence), _) => self.released(row, fence, now),
                (pending, _) => panic!("{op:?} writes nothing: {pending:?}"),
            },
            Input::Refused { op, row } => {
                let (pending, sent) = self.close(op);
                self.refused(pending, row, sent, now);
            }
            Input::Failed { op, .. } => {
                let (pending, sent) = self.close(op);
                self.failed(pending, sent, now);
            }
            Input::Quiet { shard, fence } => self.quiet(&shard, fence, now),
            Input::Fenced { shard, fence } => self.lose(&shard, fence),
            Input::Leave => self.leave(now),
        }
        self.handle_timeout(now);
        self.say_left();
    }

    /// Does what has come due.
    pub fn handle_timeout(&mut self, now: Mono) {
        while self.timers.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, timer)) = self.timers.pop_first() else {
                break;
            };
            self.watched.remove(&timer);
            match timer {
                Timer::Scan => self.scan(now),
                Timer::Keep(shard) => self.keep(&shard, now),
                Timer::Stale(shard) => self.look_whether_stale(shard, now),
                Timer::Look(shard) => self.look(shard, now),
            }
        }
    }

    /// What the machine wants, once.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When it wants to be woken.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.timers.first().map(|(at, timer)| Deadline {
            at: *at,
            label: timer.label(),
        })
    }

    /// The leases that are held, each with its fence and when its last accepted write was sent.
    pub fn held(&self) -> impl Iterator<Item = (&ShardId, Fence, Mono)> {
        self.held
            .iter()
            .map(|(shard, held)| (shard, held.fence, held.sent))
    }

    /// Every shard with a row, and who held it when it was last seen.
    pub fn owners(&self) -> impl Iterator<Item = (&ShardId, Option<&Owner>)> {
        self.rows.owners()
    }

    /// Begins a request; `Output` carries its number.
    fn begin(&mut self, pending: Pending, now: Mono) -> OpId {
        self.last_op += 1;
        let op = OpId(self.last_op);
        self.open.insert(op, (pending, now));
        op
    }

    fn write(&mut self, pending: Pending, shard: ShardId, write: Write, now: Mono) {
        let op = self.begin(pending, now);
        self.outputs.push_back(Output::Write { op, shard, write });
    }

    fn close(&mut self, op: OpId) -> (Pending, Mono) {
        let open = self.open.remove(&op);
        open.unwrap_or_else(|| panic!("{op:?} was not asked, or has been answered"))
    }

    fn is_open(&self, pending: &Pending) -> bool {
        self.open.values().any(|(open, _)| open == pending)
    }

    fn arm(&mut self, at: Mono, timer: Timer) {
        self.timers.insert((at, timer));
    }

    /// A span that is shorter by up to a fifth, so that processes do not move in step.
    fn jittered(&mut self, span: Duration) -> Duration {
        span.mul_f64(1.0 - JITTER * self.rng.unit())
    }
}
