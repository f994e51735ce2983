//! Draws the snapshot of a stream mapping, with a reason for everything that stands still.

use super::StreamMachine;
use super::core::{Core, Mode};
use super::lane::{Lane, Unit};
use super::shard::{Shard, State};
use super::{assembler, lineage};
use crate::fault::FaultKind;
use crate::snapshot::{LaneSnapshot, MappingSnapshot, MappingState, Reason, ShardSnapshot, Stall};
use crate::time::{Mono, Now, Wall};

impl StreamMachine {
    /// See [`crate::engine::Engine::snapshot`].
    #[must_use]
    pub fn snapshot(&self, now: Now) -> MappingSnapshot {
        let config = &self.core.config;
        let mut shards: Vec<ShardSnapshot> = self
            .shards
            .iter()
            .map(|shard| self.shard_snapshot(shard, now))
            .collect();
        shards.sort_by(|a, b| a.shard.cmp(&b.shard));
        MappingSnapshot {
            mapping: config.id.clone(),
            source_arn: config.source_arn.clone(),
            handler: config.function.handler.clone(),
            state: self.state(),
            last_processing_result: self
                .core
                .destination_problem
                .as_ref()
                .unwrap_or(&self.core.last_result)
                .clone(),
            idle: self.idle(),
            counters: self.core.counters,
            buffered_bytes: self.core.held_bytes,
            stall: self.stall(),
            shards,
            queue: None,
            next_deadline: self
                .core
                .deadline()
                .map(|deadline| deadline.label.to_owned()),
        }
    }

    fn state(&self) -> MappingState {
        match self.core.mode {
            Mode::Paused => MappingState::Paused,
            Mode::Draining { .. } => MappingState::Draining,
            Mode::Stopped => MappingState::Stopped,
            Mode::Running if self.core.failing.is_some() => MappingState::Failing,
            Mode::Running => MappingState::Running,
        }
    }

    fn stall(&self) -> Option<Stall> {
        let since = self.core.mode_since;
        match self.core.mode {
            Mode::Paused => Some(Stall {
                reason: Reason::Paused,
                since,
                until: None,
            }),
            Mode::Draining { .. } => Some(Stall {
                reason: Reason::Draining,
                since,
                until: None,
            }),
            Mode::Running | Mode::Stopped => {
                let failing = self.core.failing.as_ref()?;
                let reason = Reason::SourceFailing {
                    fault: failing.fault.kind.code().to_owned(),
                    message: failing.fault.message.clone(),
                };
                Some(Stall {
                    reason,
                    since: failing.since,
                    until: failing.until,
                })
            }
        }
    }

    fn idle(&self) -> bool {
        let config = &self.core.config;
        let settled = |shard: &Shard| {
            shard.state == State::Ended
                || shard.state == State::Reading
                    && shard.reader.at_tip(config)
                    && shard.reader.fault.is_none()
                    && shard.saver.clean()
                    && shard
                        .lanes
                        .iter()
                        .all(|lane| lane.front().is_none() && lane.units.is_empty())
        };
        self.core.mode == Mode::Running
            && self.listed
            && self.list_op.is_none()
            && self.registering.is_empty()
            && self.shards.iter().all(settled)
    }

    fn shard_snapshot(&self, shard: &Shard, now: Now) -> ShardSnapshot {
        let (core, pause) = (&self.core, self.stall());
        let lanes = (0u8..).zip(&shard.lanes);
        let held = shard.held();
        ShardSnapshot {
            shard: shard.id.clone(),
            state: shard.state.name().to_owned(),
            fence: held.then_some(shard.fence),
            watermark: if held {
                shard.watermark_position()
            } else {
                shard.base.clone()
            },
            checkpoint: if held {
                shard.saver.saved.clone()
            } else {
                shard.base.clone()
            },
            unsaved_since: shard.saver.dirty_since,
            behind_ms: shard.reader.behind_ms,
            oldest_unsettled: shard.oldest_unsettled(),
            buffered: shard.lanes.iter().map(|lane| lane.queue.len() as u64).sum(),
            stall: self.shard_stall(shard, now),
            lanes: lanes
                .map(|(number, lane)| LaneSnapshot {
                    lane: number,
                    queued: lane.queue.len() as u64,
                    invocation: lane.running.as_ref().map(|running| running.invocation),
                    attempts: lane.units.front().map_or(0, |unit| unit.attempts),
                    undelivered: lane.documents.len() as u32,
                    stall: lane_stall(shard, lane, core, pause.as_ref(), now),
                })
                .collect(),
        }
    }

    /// Why a shard is not being read.
    fn shard_stall(&self, shard: &Shard, now: Now) -> Option<Stall> {
        let at = |reason, since, until| {
            Some(Stall {
                reason,
                since,
                until,
            })
        };
        let since = shard.since;
        if let Some((fault, since)) = &shard.saver.fault {
            let message = fault.message.clone();
            return at(Reason::CheckpointFailing { message }, *since, None);
        }
        match shard.state {
            State::Ended => return at(Reason::Ended, since, None),
            State::Waiting
                if !lineage::open_parents(shard, &self.shards, &self.index).is_empty() =>
            {
                let parents = lineage::open_parents(shard, &self.shards, &self.index);
                return at(Reason::WaitingForParents { parents }, since, None);
            }
            State::Unregistered | State::Waiting | State::Leasing | State::Lost => {
                let message = shard
                    .lease_fault
                    .as_ref()
                    .map_or(String::new(), |fault| fault.message.clone());
                return at(Reason::WaitingForLease { message }, since, None);
            }
            State::Priming | State::Reading | State::Draining => {}
        }
        if let Some(stall) = self.stall() {
            return Some(stall);
        }
        if let Some(why) = shard.barred(now.mono) {
            let message = why.to_owned();
            return at(Reason::WaitingForLease { message }, since, None);
        }
        if let Some(trouble) = &shard.reader.fault {
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
        if let Some(since) = shard.reader.full_since {
            return at(Reason::BufferFull, since, None);
        }
        let quiet = shard.state == State::Reading && shard.reader.empty_reads > 0;
        let next = wall_of(shard.reader.next_at, now);
        quiet.then_some(Stall {
            reason: Reason::WaitingForRecords,
            since,
            until: next,
        })
    }
}

/// Why a lane has no invocation that gets on.
fn lane_stall(
    shard: &Shard,
    lane: &Lane,
    core: &Core,
    pause: Option<&Stall>,
    now: Now,
) -> Option<Stall> {
    let since = lane.since;
    let open = |reason| Stall {
        reason,
        since,
        until: None,
    };
    if let Some(running) = &lane.running {
        let reason = Reason::InHandler {
            invocation: running.invocation,
            attempt: running.attempt,
            overdue: running.deadline <= now.mono,
        };
        return Some(Stall {
            reason,
            since,
            until: wall_of(running.deadline, now),
        });
    }
    if let Some(stall) = held_by_destination(lane, now) {
        return Some(stall);
    }
    if let Some(pause) =
        pause.filter(|stall| matches!(stall.reason, Reason::Paused | Reason::Draining))
    {
        return Some(pause.clone());
    }
    if let Some(why) = shard.barred(now.mono) {
        let message = why.to_owned();
        return Some(open(Reason::WaitingForLease { message }));
    }
    if lane.queue.is_empty() && lane.units.is_empty() {
        return Some(open(Reason::WaitingForRecords));
    }
    if let Some(stall) = lane
        .units
        .front()
        .and_then(|unit| backing_off(shard, lane, unit, now))
    {
        return Some(stall);
    }
    if lane.ready {
        return Some(open(Reason::NoFreeWorker));
    }
    let due = shard.fresh_due(lane, core, now.mono);
    match due {
        assembler::Due::At(at) if lane.units.is_empty() => {
            let until = wall_of(at, now);
            Some(Stall {
                reason: Reason::WaitingForWindow,
                since,
                until,
            })
        }
        _ => Some(open(Reason::TooFarAhead)),
    }
}

/// The destination's failure, when nothing but its documents is left or allowed.
fn held_by_destination(lane: &Lane, now: Now) -> Option<Stall> {
    if !(lane.holds_enough() || lane.queue.is_empty()) {
        return None;
    }
    lane.documents.iter().find_map(|document| {
        let message = document.fault.as_ref()?.message.clone();
        Some(Stall {
            reason: Reason::DestinationFailing { message },
            since: document.since,
            until: wall_of(document.retry_at, now),
        })
    })
}

fn backing_off(shard: &Shard, lane: &Lane, unit: &Unit, now: Now) -> Option<Stall> {
    let at = unit.not_before.filter(|at| *at > now.mono)?;
    let error = unit.error.clone().unwrap_or_default();
    let reason = if unit.closes() {
        Reason::ClosingWindow {
            error,
            attempts: unit.attempts,
        }
    } else {
        Reason::BackingOff {
            error,
            record: shard.buffer.sequence(lane.queue.front()?.ordinal),
            attempts: unit.attempts,
        }
    };
    Some(Stall {
        reason,
        since: lane.since,
        until: wall_of(at, now),
    })
}

fn wall_of(at: Mono, now: Now) -> Option<Wall> {
    (at > now.mono).then(|| now.wall.plus(at.since(now.mono)))
}
