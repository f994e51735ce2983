//! Deletes messages that were handled or filtered.
//!
//! Rules: a message is deleted only after its handler has succeeded; a few requests are under way
//! at once, and what gathers meanwhile goes together; what was refused for the moment is asked
//! again as long as the message is hidden; a receipt that is worth nothing any more means that the
//! message comes again.

use super::QueueMachine;
use super::core::{Alarm, Deletion, Once, Pending};
use super::inflight::{Place, State};
use crate::backoff;
use crate::fault::{Fault, FaultKind};
use crate::io::{Output, Refused};
use crate::limits;
use crate::time::Now;

/// Messages of one request: the driver sends them in tens, together.
const MESSAGES_MAX: usize = 1_000;

impl QueueMachine {
    /// Sends what gathered, as far as requests are free.
    pub(super) fn delete(&mut self, now: Now) {
        if self.delete_not_before > now.mono && !self.deletions.is_empty() {
            return self.core.arm(Alarm::Delete, self.delete_not_before);
        }
        while self.deleting < limits::DELETES_MAX && !self.deletions.is_empty() {
            let count = self.deletions.len().min(MESSAGES_MAX);
            let batch: Vec<Deletion> = self.deletions.drain(..count).collect();
            let places: Vec<Place> = batch.iter().map(|deletion| deletion.place).collect();
            let messages = self.inflight.batch(&places);
            let op = self.core.desk.open(Pending::Delete(batch));
            self.deleting += 1;
            self.core.emit(Output::Acknowledge { op, messages });
        }
    }

    /// Messages were deleted, but for those.
    pub(super) fn deleted(&mut self, batch: &[Deletion], refused: Vec<Refused>, now: Now) {
        self.deleting -= 1;
        let mut verdicts: Vec<Option<Fault>> = vec![None; batch.len()];
        let mut again = false;
        for refusal in refused {
            if let Some(verdict) = verdicts.get_mut(refusal.index as usize) {
                *verdict = Some(refusal.fault);
            }
        }
        for (deletion, verdict) in batch.iter().zip(verdicts) {
            match verdict.map(|fault| fault.kind) {
                // Gone already: the handler may have deleted it itself.
                None | Some(FaultKind::NotFound) => self.settled(*deletion, now),
                Some(FaultKind::Expired | FaultKind::Invalid) => self.comes_again(*deletion, now),
                Some(_) => {
                    again = true;
                    self.delete_again(*deletion, now);
                }
            }
        }
        if again {
            self.core.transition("delete:refused");
            self.delete_failures += 1;
            self.pause_deletes(None, now);
        } else {
            self.delete_failures = 0;
        }
    }

    /// A request to delete has failed as a whole.
    pub(super) fn delete_failed(&mut self, batch: &[Deletion], fault: &Fault, now: Now) {
        self.core.transition("delete:failed");
        self.deleting -= 1;
        self.delete_failures += 1;
        for deletion in batch {
            self.delete_again(*deletion, now);
        }
        let after = match fault.kind {
            FaultKind::Throttled { after } => after,
            _ => None,
        };
        self.pause_deletes(after, now);
    }

    fn pause_deletes(&mut self, after: Option<std::time::Duration>, now: Now) {
        let wait = backoff::slow(self.delete_failures, &mut self.core.desk.jitter);
        self.delete_not_before = now.mono + wait.max(after.unwrap_or_default());
        self.core.arm(Alarm::Delete, self.delete_not_before);
    }

    /// Asks again, while the message is still hidden from others.
    fn delete_again(&mut self, deletion: Deletion, now: Now) {
        let held = self.inflight.page(deletion.place.page);
        if held.is_some_and(|held| held.hidden_until > now.mono) {
            self.deletions.push_back(deletion);
        } else {
            self.comes_again(deletion, now);
        }
    }

    fn settled(&mut self, deletion: Deletion, now: Now) {
        let counters = &mut self.core.counters;
        counters.acknowledging -= 1;
        match deletion.work {
            None => counters.filtered += 1,
            Some(_) => counters.succeeded += 1,
        }
        self.inflight.set(deletion.place, State::Gone);
        if let Some(work) = deletion.work {
            self.works.settle(work, 1, now.mono);
        }
    }

    /// The message was handled and could not be deleted in time: the queue will give it again.
    fn comes_again(&mut self, deletion: Deletion, now: Now) {
        self.core.transition("delete:expired");
        self.core.warn_once(Once::ReceiptExpired, "receipt_expired", || {
            "a message could not be deleted before its visibility ended; it will be handled again"
                .to_owned()
        });
        if let Some(work) = deletion.work
            && self.core.rules.fifo
        {
            let group = self.inflight.facts(deletion.place).key_hash;
            self.fail_group(work, group, now);
        }
        self.core.counters.acknowledging -= 1;
        self.core.counters.returned += 1;
        self.inflight.set(deletion.place, State::Gone);
        if let Some(work) = deletion.work {
            self.works.settle(work, 1, now.mono);
        }
    }
}
