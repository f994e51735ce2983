//! Asks the queue what it is, and receives from it.
//!
//! Rules: nothing is received without a place among the batches and bytes for it; a FIFO queue's
//! receive has a name, and is asked again under it when its answer was lost; a queue that fails is
//! asked by one receive at a time, later and later; one that is gone or forbidden is tried for as
//! long as the mapping lives, after 1 s, doubling to 60 s.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::QueueMachine;
use super::core::{Alarm, Once, Pending, Trouble};
use crate::backoff;
use crate::fault::{Fault, FaultKind};
use crate::ids::{OpId, RequestId};
use crate::io::{NoticeLevel, Output, QueueFacts, Receive};
use crate::limits;
use crate::mutants::{self, Mutant};
use crate::record::Page;
use crate::time::{Mono, Now};

/// How often a queue is asked what it is.
const DESCRIBE_INTERVAL: Duration = Duration::from_secs(300);
/// The longest wait before a queue that is gone or forbidden is asked again.
const GONE_WAIT_MAX: Duration = Duration::from_secs(60);
/// What a window adds to the visibility that a batch may need: what Lambda adds.
const WINDOW_MARGIN: Duration = Duration::from_secs(30);

/// A receive that is under way.
#[derive(Debug, Clone, Copy)]
struct Asked {
    at: Mono,
    limit: u32,
    reserved: u64,
    /// Its name, and when that was first used.
    attempt: Option<(RequestId, Mono)>,
}

/// What is known of receiving.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    outstanding: BTreeMap<OpId, Asked>,
    reserved: u64,
    requested: u64,
    /// Names of receives whose answer was lost, and when they were first asked.
    lost: Vec<(RequestId, Mono)>,
    /// What a message of this queue weighs, pessimistically.
    message_bytes: u64,
    /// No receive before this moment.
    not_before: Mono,
    failures: u32,
    failed_at: Mono,
    described_at: Mono,
    describe_failures: u32,
    /// Whether nothing is received only for want of bytes.
    pub starved: bool,
}

impl Receiver {
    pub fn outstanding(&self) -> u32 {
        self.outstanding.len() as u32
    }
}

/// Why a function cannot work on this queue, in AWS's words, when it cannot: its timeout must not
/// be longer than messages are hidden. To be checked where a mapping is made; later a warning
/// must do, since messages are hidden longer while their handler runs.
#[must_use]
pub fn visibility_refusal(visibility: Duration, timeout: Duration) -> Option<String> {
    let seconds = timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0);
    (visibility < timeout).then(|| {
        format!(
            "Queue visibility timeout: {} seconds is less than Function timeout: {seconds} seconds",
            visibility.as_secs()
        )
    })
}

impl QueueMachine {
    pub(super) fn describe(&mut self) {
        let op = self.core.desk.open(Pending::Describe);
        self.core.emit(Output::DescribeQueue { op });
    }

    /// The queue has said what it is.
    pub(super) fn described(&mut self, facts: QueueFacts, now: Now) {
        if facts.fifo != self.core.rules.fifo {
            let kind = |fifo| {
                if fifo {
                    "a FIFO queue"
                } else {
                    "a standard queue"
                }
            };
            let message = format!(
                "{} says that it is {} and its name says {}",
                self.core.name,
                kind(facts.fifo),
                kind(self.core.rules.fifo)
            );
            let fault = Fault::new(FaultKind::Invalid, message);
            return self.describe_failed(fault, now);
        }
        self.core.transition("queue:described");
        self.receiver.describe_failures = 0;
        self.receiver.described_at = now.mono;
        if self.core.facts.is_none() {
            self.recovered();
        }
        self.core.arm(Alarm::Describe, now.mono + DESCRIBE_INTERVAL);
        self.core.facts = Some(facts);
        self.warn_of_short_visibility();
    }

    pub(super) fn warn_of_short_visibility(&mut self) {
        let Some(facts) = &self.core.facts else {
            return;
        };
        let timeout = self.core.config.function.timeout;
        if let Some(message) = visibility_refusal(facts.visibility_timeout, timeout) {
            self.core
                .warn_once(Once::VisibilityShort, "visibility_short", || message);
        }
    }

    pub(super) fn describe_failed(&mut self, fault: Fault, now: Now) {
        self.core.transition("queue:describe_failed");
        if self.core.facts.is_some() {
            // What it said before still holds.
            return self.core.arm(Alarm::Describe, now.mono + DESCRIBE_INTERVAL);
        }
        self.receiver.describe_failures += 1;
        let wait = self.wait_for(&fault, self.receiver.describe_failures);
        self.trouble(fault, wait, now);
        self.core.arm(Alarm::Describe, now.mono + wait);
    }

    /// Starts as many receives as there is room for.
    pub(super) fn receive(&mut self, now: Now) {
        self.receiver.starved = false;
        while self.core.works() && self.core.facts.is_some() {
            if self.receiver.not_before > now.mono {
                return self.core.arm(Alarm::Receive, self.receiver.not_before);
            }
            let (outstanding, pollers) = (self.receiver.outstanding(), self.scaling.pollers());
            let probing = self.receiver.failures > 0 && outstanding > 0;
            let full = self.core.counters.acknowledging >= limits::UNDELETED_MESSAGES_MAX;
            if outstanding >= pollers || probing || full {
                return;
            }
            let source = self.core.config.source;
            let limit = self.room(pollers).min(u64::from(source.fetch_records_max)) as u32;
            if limit == 0 {
                return;
            }
            let reserved = self.reserve(limit);
            let held = self.inflight.bytes() + self.receiver.reserved;
            let fits = held + reserved <= self.core.config.buffered_bytes_max || held == 0;
            if !fits && !mutants::active(Mutant::ReceiveWithoutRoom) {
                self.receiver.starved = true;
                return;
            }
            self.ask(limit, reserved, now);
        }
    }

    /// How many messages one more receive may bring.
    fn room(&self, pollers: u32) -> u64 {
        let batch = u64::from(self.core.config.batch_size);
        if mutants::active(Mutant::ReceiveWithoutRoom) {
            return batch;
        }
        let taken = self.works.running() + self.works.waiting();
        let free = u64::from(pollers.saturating_sub(taken));
        if self.core.config.batch_window.is_zero() {
            return if free > u64::from(self.receiver.outstanding()) {
                batch
            } else {
                0
            };
        }
        let filling = self.forming.messages.len() as u64 + self.receiver.requested;
        (free * batch).saturating_sub(filling)
    }

    fn reserve(&self, limit: u32) -> u64 {
        let source = self.core.config.source;
        let unknown = source.fetch_bytes_max / u64::from(source.fetch_records_max.max(1));
        let each = match self.receiver.message_bytes {
            0 => unknown,
            known => known,
        };
        (each * u64::from(limit)).clamp(1, source.fetch_bytes_max.max(1))
    }

    fn ask(&mut self, limit: u32, reserved: u64, now: Now) {
        let oldest = now.mono;
        self.receiver
            .lost
            .retain(|(_, asked)| oldest.since(*asked) < limits::ATTEMPT_AGE_MAX);
        let attempt = self
            .core
            .rules
            .fifo
            .then(|| match self.receiver.lost.pop() {
                Some(lost) => lost,
                None => (self.core.desk.new_request_id(), now.mono),
            });
        let op = self.core.desk.open(Pending::Receive);
        let asked = Asked {
            at: now.mono,
            limit,
            reserved,
            attempt,
        };
        self.receiver.outstanding.insert(op, asked);
        self.receiver.reserved += reserved;
        self.receiver.requested += u64::from(limit);
        let (visibility, said) = self.visibility();
        self.core.emit(Output::Receive(Receive {
            op,
            limit,
            wait: self.core.config.source.fetch_wait,
            visibility: said.then_some(visibility),
            attempt: attempt.map(|(name, _)| name),
            reserve_bytes: reserved,
        }));
    }

    /// How long received messages are hidden, and whether the receive has to say so.
    pub(super) fn visibility(&self) -> (Duration, bool) {
        let facts = self.core.facts.as_ref();
        let own = facts.map_or(limits::VISIBILITY_MIN, |facts| facts.visibility_timeout);
        let config = &self.core.config;
        let needed = config.batch_window + config.function.timeout;
        if !config.batch_window.is_zero() && own < needed {
            let whole =
                Duration::from_secs(needed.as_secs() + u64::from(needed.subsec_nanos() > 0));
            return ((whole + WINDOW_MARGIN).min(limits::VISIBILITY_MAX), true);
        }
        match own < limits::VISIBILITY_MIN {
            true => (limits::VISIBILITY_MIN, true),
            false => (own, false),
        }
    }

    /// A receive has answered.
    pub(super) fn received(&mut self, op: OpId, page: Option<Arc<dyn Page>>, now: Now) {
        let Some(asked) = self.forget(op) else {
            return;
        };
        if self.receiver.failures > 0 {
            self.core.transition("receive:recovered");
            self.receiver.failures = 0;
            self.recovered();
        }
        let Some(page) = page.filter(|page| !page.facts().is_empty()) else {
            self.scaling.empty();
            // A queue that answers without waiting is not asked without end.
            let idle = asked.at + self.core.config.source.idle_interval;
            self.receiver.not_before = self.receiver.not_before.max(idle);
            return;
        };
        let messages = page.facts().len() as u64;
        self.receiver.not_before = now.mono;
        self.scaling.received(messages >= u64::from(asked.limit));
        self.rescale(now);
        let each = (page.pinned_bytes() as u64).div_ceil(messages);
        self.receiver.message_bytes = each.max(self.receiver.message_bytes / 8 * 7);
        // Hidden since the queue answered, which was not long ago.
        let (visibility, _) = self.visibility();
        let number = self.inflight.add(page, now.mono, now.mono + visibility);
        self.watch_visibility(number, now.mono, visibility);
        self.form(number, now);
    }

    /// A receive has failed.
    pub(super) fn receive_failed(&mut self, op: OpId, fault: Fault, now: Now) {
        let Some(asked) = self.forget(op) else {
            return;
        };
        let lost = fault.kind == FaultKind::Transient && !mutants::active(Mutant::AttemptForgotten);
        if let Some(attempt) = asked.attempt.filter(|_| lost) {
            self.core.transition("receive:lost");
            self.receiver.lost.push(attempt);
        }
        if !self.core.works() {
            return;
        }
        if fault.kind == FaultKind::Fatal {
            self.core.fatal = true;
        }
        // Receives that were under way together fail for one reason.
        if self.receiver.failures == 0 || asked.at > self.receiver.failed_at {
            self.receiver.failures += 1;
            self.receiver.failed_at = now.mono;
        }
        let wait = self.wait_for(&fault, self.receiver.failures);
        self.core.transition(match fault.kind {
            FaultKind::Throttled { .. } => "receive:throttled",
            _ => "receive:failed",
        });
        self.receiver.not_before = self.receiver.not_before.max(now.mono + wait);
        self.trouble(fault, wait, now);
    }

    /// Ends the receives that are under way; each still answers.
    pub(super) fn abandon_receives(&mut self) {
        for op in self.receiver.outstanding.keys() {
            self.core.desk.emit(Output::Abandon { op: *op });
        }
    }

    /// A receive is not under way any more.
    fn forget(&mut self, op: OpId) -> Option<Asked> {
        let asked = self.receiver.outstanding.remove(&op)?;
        self.receiver.reserved -= asked.reserved;
        self.receiver.requested -= u64::from(asked.limit);
        Some(asked)
    }

    fn wait_for(&mut self, fault: &Fault, failures: u32) -> Duration {
        let jitter = &mut self.core.desk.jitter;
        match fault.kind {
            FaultKind::Throttled { after } => backoff::throttled(failures, after, jitter),
            kind if is_serious(kind) => {
                let doublings = failures.saturating_sub(1).min(6);
                Duration::from_secs(1 << doublings).min(GONE_WAIT_MAX)
            }
            _ => backoff::slow(failures, jitter),
        }
    }

    fn trouble(&mut self, fault: Fault, wait: Duration, now: Now) {
        let serious = is_serious(fault.kind);
        let old = self.core.trouble.as_ref();
        let same = old.is_some_and(|old| old.fault.kind == fault.kind);
        if !same {
            let level = match (serious, fault.kind) {
                (true, _) => NoticeLevel::Error,
                (_, FaultKind::Throttled { .. }) => NoticeLevel::Info,
                _ => NoticeLevel::Warn,
            };
            let message = format!("queue {}: {fault}", self.core.name);
            self.core.notify(level, "queue_fault", message);
        }
        let since = match &self.core.trouble {
            Some(old) if same => old.since,
            _ => now.wall,
        };
        self.core.trouble = Some(Trouble {
            fault,
            since,
            until: now.wall.plus(wait),
            serious,
        });
    }

    fn recovered(&mut self) {
        if self.core.trouble.take().is_some() {
            let message = format!("queue {} answers again", self.core.name);
            self.core
                .notify(NoticeLevel::Info, "queue_recovered", message);
        }
    }
}

/// Whether a person has to act.
fn is_serious(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::NotFound | FaultKind::Denied | FaultKind::Invalid | FaultKind::Fatal
    )
}
