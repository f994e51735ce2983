//! Makes batches of what is received.
//!
//! Rules (AWS Lambda Developer Guide, SQS): without a window what one receive brought is handed out
//! at once; with one a batch is filled by any number of receives until it is full, in messages or
//! bytes, or its window, which opens with its first message, has passed; only messages that pass
//! the filters count, the others are deleted without an invocation.

use super::QueueMachine;
use super::core::{Alarm, Deletion, Once};
use super::inflight::{Place, State};
use crate::event::{ENVELOPE_BYTES, EventContext, constant_bytes};
use crate::mutants::{self, Mutant};
use crate::time::{Mono, Now};

/// A batch that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Forming {
    pub messages: Vec<Place>,
    bytes: u64,
    /// When its window opened.
    opened: Mono,
    /// Whether its window has passed.
    pub due: bool,
}

impl Forming {
    /// When its window passes.
    pub fn closes(&self, window: std::time::Duration) -> Mono {
        self.opened + window
    }
}

impl QueueMachine {
    /// Makes batches of a page that was just received.
    pub(super) fn form(&mut self, number: u32, now: Now) {
        let windowed = !self.core.config.batch_window.is_zero();
        let mut stuck = Vec::new();
        let messages = self
            .inflight
            .page(number)
            .map_or(0, |held| held.states().len());
        for index in 0..messages as u32 {
            let place = Place {
                page: number,
                index,
            };
            let facts = self.inflight.facts(place);
            self.core.counters.polled += 1;
            if facts.filtered {
                self.filtered(place);
                continue;
            }
            self.core.counters.buffered += 1;
            if self.core.rules.fifo {
                self.failed_groups.remove(&facts.key_hash);
                if stuck.contains(&facts.key_hash) {
                    self.give_back(&[place]);
                    continue;
                }
            }
            let bytes = u64::from(facts.weight) + self.constant_bytes + 1;
            let room = self
                .core
                .config
                .payload_bytes_max
                .saturating_sub(ENVELOPE_BYTES);
            if bytes > room + 1 {
                self.oversize(place);
                stuck.push(facts.key_hash);
                continue;
            }
            if self.forming.bytes + bytes > room + 1 {
                self.close(now);
            }
            if self.forming.messages.is_empty() {
                self.forming.opened = now.mono;
            }
            self.forming.messages.push(place);
            self.forming.bytes += bytes;
            if self.forming.messages.len() >= self.core.config.batch_size as usize {
                self.close(now);
            }
        }
        if windowed {
            self.watch_window(now);
        } else {
            self.close(now);
        }
    }

    /// Sets the alarm of the batch that is being filled, or finds that its window has passed.
    pub(super) fn watch_window(&mut self, now: Now) {
        if self.forming.messages.is_empty() || self.forming.due {
            return;
        }
        let at = self.forming.closes(self.core.config.batch_window);
        if at <= now.mono {
            self.forming.due = true;
        } else if !mutants::active(Mutant::WindowDeadlineForgotten) {
            self.core.arm(Alarm::Window, at);
        }
    }

    /// Closes the batch that is being filled; it stands in line from now on.
    pub(super) fn close(&mut self, now: Now) {
        let Forming { messages, .. } = std::mem::take(&mut self.forming);
        if messages.is_empty() {
            return;
        }
        let mut groups = Vec::new();
        if self.core.rules.fifo {
            for place in &messages {
                let group = self.inflight.facts(*place).key_hash;
                if !groups.contains(&group) {
                    groups.push(group);
                }
            }
        }
        let request_id = self.core.desk.new_request_id();
        self.works.add(messages, groups, request_id, now);
    }

    /// The options may have changed how messages are weighed.
    pub(super) fn weigh_constants(&mut self) {
        self.constant_bytes = constant_bytes(&EventContext {
            shard: &self.core.name,
            config: &self.core.config,
        });
    }

    fn filtered(&mut self, place: Place) {
        self.core.transition("message:filtered");
        self.core.warn_once(Once::Filtered, "filtered_deleted", || {
            "messages that no filter lets through are deleted from the queue without an \
             invocation, as Lambda does; another mapping on the same queue does not see them"
                .to_owned()
        });
        if mutants::active(Mutant::FilteredKept) {
            self.core.counters.returned += 1;
            self.inflight.set(place, State::Gone);
            return;
        }
        self.core.counters.acknowledging += 1;
        self.inflight.set(place, State::Deleting);
        self.deletions.push_back(Deletion { place, work: None });
    }

    /// A message that alone is larger than an event may be: it fails without an invocation, and
    /// the queue's own redrive policy does with it what it does with any that fails.
    fn oversize(&mut self, place: Place) {
        self.core.transition("message:oversize");
        let most = self.core.config.payload_bytes_max;
        self.core.warn_once(Once::Oversize, "message_too_large", || {
            format!(
                "a message alone is larger than an event may be ({most} bytes); it is left to the \
                 queue's redrive policy"
            )
        });
        self.core.counters.buffered -= 1;
        self.core.counters.returned += 1;
        self.inflight.set(place, State::Gone);
    }
}
