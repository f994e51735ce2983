//! Draws the snapshot of a queue's mapping, with a reason for everything that stands still.

use super::QueueMachine;
use super::core::Mode;
use super::work::{Stage, Work};
use crate::fault::FaultKind;
use crate::snapshot::{MappingSnapshot, MappingState, QueueSnapshot, Reason, Stall};
use crate::time::{Mono, Now, Wall};

impl QueueMachine {
    /// See [`crate::engine::Engine::snapshot`].
    #[must_use]
    pub fn snapshot(&self, now: Now) -> MappingSnapshot {
        let config = &self.core.config;
        let facts = self.core.facts.as_ref();
        MappingSnapshot {
            mapping: config.id.clone(),
            source_arn: config.source_arn.clone(),
            handler: config.function.handler.clone(),
            state: self.state(),
            last_processing_result: self.core.last_result.to_owned(),
            idle: self.idle(),
            counters: self.core.counters,
            buffered_bytes: self.inflight.bytes(),
            stall: self.whole_stall(),
            shards: Vec::new(),
            queue: Some(QueueSnapshot {
                receives_outstanding: self.receiver.outstanding(),
                concurrency: self.scaling.pollers(),
                concurrency_max: self.scaling.most(),
                in_flight: self.works.running(),
                buffered: self.core.counters.buffered,
                blocked_groups: self.blocked_groups(now.mono),
                visibility_timeout_s: facts.map(|facts| facts.visibility_timeout.as_secs()),
                max_receive_count: facts.and_then(|facts| facts.max_receive_count),
                stall: self.whole_stall().or_else(|| Some(self.queue_stall(now))),
            }),
            next_deadline: self
                .poll_timeout()
                .map(|deadline| deadline.label.to_owned()),
        }
    }

    fn state(&self) -> MappingState {
        let serious = self
            .core
            .trouble
            .as_ref()
            .is_some_and(|trouble| trouble.serious);
        match self.core.mode {
            Mode::Paused => MappingState::Paused,
            Mode::Draining => MappingState::Draining,
            Mode::Stopped => MappingState::Stopped,
            Mode::Running if serious => MappingState::Failing,
            Mode::Running => MappingState::Running,
        }
    }

    fn idle(&self) -> bool {
        self.core.mode == Mode::Running
            && self.core.facts.is_some()
            && self.core.trouble.is_none()
            && self.scaling.empties > 0
            && self.works.is_empty()
            && self.forming.messages.is_empty()
            && self.core.counters.acknowledging == 0
    }

    fn blocked_groups(&self, now: Mono) -> u32 {
        if !self.core.rules.fifo {
            return 0;
        }
        let failed = self.failed_groups.iter();
        let failed = failed
            .filter(|(_, until)| **until > now)
            .map(|(group, _)| *group);
        let mut groups: std::collections::BTreeSet<u64> = failed.collect();
        groups.extend(self.works.groups());
        groups.len() as u32
    }

    /// Why the whole mapping does not move.
    fn whole_stall(&self) -> Option<Stall> {
        let reason = match self.core.mode {
            Mode::Paused => Reason::Paused,
            Mode::Draining => Reason::Draining,
            Mode::Stopped => Reason::Ended,
            Mode::Running => {
                let trouble = self
                    .core
                    .trouble
                    .as_ref()
                    .filter(|trouble| trouble.serious)?;
                return Some(Stall {
                    reason: Reason::SourceFailing {
                        fault: trouble.fault.kind.code().to_owned(),
                        message: trouble.fault.message.clone(),
                    },
                    since: trouble.since,
                    until: (!self.core.fatal).then_some(trouble.until),
                });
            }
        };
        Some(Stall {
            reason,
            since: self.core.mode_since,
            until: None,
        })
    }

    /// What the mapping waits for, most telling first.
    fn queue_stall(&self, now: Now) -> Stall {
        let at = |reason, since, until| Stall {
            reason,
            since,
            until,
        };
        let ready = self.works.first_ready();
        let may_start = self.works.running() < self.scaling.running();
        if let Some((id, since)) = ready.filter(|_| may_start) {
            let since = self
                .works
                .find(id)
                .map_or(wall_of(since, now), |work| work.since);
            return at(Reason::NoFreeWorker, since, None);
        }
        if let Some(trouble) = &self.core.trouble {
            let message = trouble.fault.message.clone();
            let reason = match trouble.fault.kind {
                FaultKind::Throttled { .. } => Reason::Throttled { message },
                kind => Reason::SourceFailing {
                    fault: kind.code().to_owned(),
                    message,
                },
            };
            return at(reason, trouble.since, Some(trouble.until));
        }
        if let Some(stall) = self
            .works
            .oldest_running()
            .and_then(|work| running(work, now))
        {
            return stall;
        }
        if let Some(stall) = self
            .works
            .first_resting()
            .and_then(|work| self.resting(work, now))
        {
            return stall;
        }
        if !self.forming.messages.is_empty() {
            let closes = self.forming.closes(self.core.config.batch_window);
            return at(
                Reason::WaitingForWindow,
                now.wall,
                Some(wall_of(closes, now)),
            );
        }
        let reason = match self.receiver.starved {
            true => Reason::BufferFull,
            false => Reason::WaitingForRecords,
        };
        at(reason, self.core.mode_since, None)
    }

    fn resting(&self, work: &Work, now: Now) -> Option<Stall> {
        let Stage::Resting { until } = work.stage else {
            return None;
        };
        let first = work.messages.first()?;
        let held = self.inflight.page(first.page)?;
        let record = held.page.sequence_number(first.index as usize);
        Some(Stall {
            reason: Reason::BackingOff {
                error: format!("was not started: {}", work.refused),
                record: crate::ids::SequenceNumber::new(record),
                attempts: 0,
            },
            since: work.since,
            until: Some(wall_of(until, now)),
        })
    }
}

fn running(work: &Work, now: Now) -> Option<Stall> {
    let Stage::Running(running) = &work.stage else {
        return None;
    };
    let overdue = running.deadline <= now.mono;
    Some(Stall {
        reason: Reason::InHandler {
            invocation: running.invocation,
            attempt: 1,
            overdue,
        },
        since: work.since,
        until: (!overdue).then(|| wall_of(running.deadline, now)),
    })
}

/// A moment of the monotonic clock by the wall clock.
fn wall_of(at: Mono, now: Now) -> Wall {
    let ahead = now.wall.plus(at.since(now.mono));
    Wall(ahead.0 - i64::try_from(now.mono.since(at).as_millis()).unwrap_or(0))
}
