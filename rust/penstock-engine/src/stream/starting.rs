//! Lists the shards, makes their rows durable, and starts those that may start.
//!
//! Rules: rows of all first shards are durable before the first read, or a restart would take them
//! for shards that were found late; a shard starts when lineage allows it and its lease is held; a
//! listing that fails is asked again, slowly, with the reason shown.

use std::time::Duration;

use super::core::{Failing, Mode, Pending, Timer};
use super::shard::{Shard, State};
use super::{StreamMachine, lineage};
use crate::backoff;
use crate::fault::{Fault, FaultKind};
use crate::ids::{OpId, Position};
use crate::io::{Checkpoint, NoticeLevel, Output, ShardInfo, ShardListing};
use crate::mutants::{self, Mutant};
use crate::time::{Now, Wall};

impl StreamMachine {
    pub(super) fn list(&mut self) {
        if matches!(self.core.mode, Mode::Draining { .. } | Mode::Stopped) || self.core.fatal {
            return;
        }
        if self.list_op.is_some() {
            self.list_again = true;
            return;
        }
        let op = self.core.open(Pending::List);
        self.list_op = Some(op);
        self.core.emit(Output::ListShards { op });
    }

    pub(super) fn shards_listed(&mut self, op: OpId, listing: &ShardListing, now: Now) {
        if self.core.close(op).is_none() {
            return;
        }
        self.list_op = None;
        self.list_failures = 0;
        if self.core.failing.take().is_some() {
            self.core.last_result = "OK".to_owned();
        }
        self.adopt(listing);
        let first = !std::mem::replace(&mut self.listed, true);
        let at_start = first && self.first_start;
        let late = !(at_start || mutants::active(Mutant::LateShardsAtStart));
        for shard in &mut self.shards {
            shard.listed = false;
        }
        for info in &listing.shards {
            let start = if late {
                lineage::late_position()
            } else {
                lineage::first_position(self.core.config.starting_position, info, listing)
            };
            let place = self.know(info, start, now);
            self.shards[place].listed = true;
            self.shards[place].confirmed = true;
        }
        self.register();
        for place in 0..self.shards.len() {
            self.try_start(place, now);
        }
        self.watch_retention(listing.server_time);
        self.watch_end(listing);
        if std::mem::take(&mut self.list_again) {
            self.list();
        }
        let again = now.mono + self.core.config.source.list_interval;
        self.list_at = again;
        self.core.arm(again, Timer::List);
    }

    /// Takes over which stream it is; rows of another one of the same name do not count.
    pub(super) fn adopt(&mut self, listing: &ShardListing) {
        if listing.incarnation.is_some() {
            self.incarnation = listing.incarnation;
        }
        let incarnation = self.incarnation;
        let foreign = |saved: &Checkpoint| {
            let theirs = saved.incarnation;
            theirs.is_some() && incarnation.is_some() && theirs != incarnation
        };
        if self.resume.values().any(foreign) {
            self.resume.clear();
            self.first_start = true;
        }
        if let Some(retention) = listing.retention {
            let oldest = Wall(listing.server_time.0 - retention.as_millis() as i64);
            self.horizon = Some(oldest);
            self.retention = Some(retention);
        }
    }

    /// Makes a shard known, if it is not yet, and returns its place.
    pub(super) fn know(&mut self, info: &ShardInfo, start: Position, now: Now) -> usize {
        if let Some(&place) = self.index.get(&info.id) {
            return place;
        }
        let place = self.shards.len();
        let mut shard = Shard::new(place, info, start, &self.core, now.wall);
        shard.incarnation = self.incarnation;
        self.index.insert(info.id.clone(), place);
        if let Some(row) = self.resume.remove(&info.id) {
            shard.start = row.position.clone();
            shard.base = row.position.clone();
            if row.position == Position::ShardEnd {
                shard.saver.saved = Position::ShardEnd;
                shard.enter(State::Ended, &mut self.core, now);
                shard.lanes = Vec::new();
            } else {
                shard.enter(State::Waiting, &mut self.core, now);
            }
        } else {
            self.registering.push(place);
        }
        self.shards.push(shard);
        place
    }

    /// Asks for rows of the shards that have none.
    pub(super) fn register(&mut self) {
        if self.registering.is_empty() || self.register_op.is_some() {
            return;
        }
        let op = self.core.open(Pending::Register);
        self.register_op = Some((op, self.registering.len()));
        let rows = self.registering.iter().map(|place| {
            let shard = &self.shards[*place];
            let row = Checkpoint::starting_at(shard.start.clone(), shard.incarnation);
            (shard.id.clone(), row)
        });
        let rows = rows.collect();
        self.core.emit(Output::Register { op, rows });
    }

    pub(super) fn registered(&mut self, now: Now) {
        let count = self.register_op.take().map_or(0, |(_, count)| count);
        self.register_failures = 0;
        let places: Vec<usize> = self.registering.drain(..count).collect();
        for &place in &places {
            let shard = &mut self.shards[place];
            if shard.start == Position::ShardEnd {
                shard.base = Position::ShardEnd;
                shard.saver.saved = Position::ShardEnd;
                shard.enter(State::Ended, &mut self.core, now);
                shard.lanes = Vec::new();
            } else {
                shard.enter(State::Waiting, &mut self.core, now);
            }
        }
        for &place in &places {
            self.try_start(place, now);
            self.follow(place, now);
        }
        self.register();
    }

    pub(super) fn register_failed(&mut self, fault: &Fault, now: Now) {
        self.register_op = None;
        self.register_failures += 1;
        let wait = backoff::slow(self.register_failures, &mut self.core.jitter);
        self.core.notify(
            NoticeLevel::Warn,
            "checkpoint_fault",
            None,
            format!("the first rows of the mapping's shards cannot be saved: {fault}"),
        );
        self.core.arm(now.mono + wait, Timer::Register);
    }

    pub(super) fn list_failed(&mut self, fault: &Fault, now: Now) {
        self.list_op = None;
        self.list_failures += 1;
        self.core.transition("list:failed");
        self.watch_retention(now.wall);
        let wait = match fault.kind {
            FaultKind::Expired if self.list_failures <= 2 => Duration::ZERO,
            FaultKind::Throttled { after } => {
                backoff::throttled(self.list_failures, after, &mut self.core.jitter)
            }
            FaultKind::Fatal => {
                self.core.fatal = true;
                Duration::ZERO
            }
            _ => backoff::slow(self.list_failures, &mut self.core.jitter),
        };
        if fault.kind != FaultKind::Expired {
            let since = self
                .core
                .failing
                .as_ref()
                .map_or(now.wall, |failing| failing.since);
            let until = (!self.core.fatal).then(|| now.wall.plus(wait));
            if self.core.failing.is_none() {
                self.core.notify(
                    NoticeLevel::Warn,
                    "source_fault",
                    None,
                    format!(
                        "listing the shards of {} fails: {fault}",
                        self.core.config.source_arn
                    ),
                );
            }
            self.core.failing = Some(Failing {
                fault: fault.clone(),
                since,
                until,
            });
            self.core.last_result = format!("PROBLEM: {fault}");
        }
        if !self.core.fatal {
            self.list_at = now.mono + wait;
            self.core.arm(self.list_at, Timer::List);
        }
    }

    /// A shard was read to its end: its children may be named, or a listing will tell.
    pub(super) fn shard_read(&mut self, children: &[ShardInfo], now: Now) {
        for child in children {
            self.core.transition("list:children");
            let place = self.know(child, lineage::late_position(), now);
            let shard = &mut self.shards[place];
            let known = shard
                .parents
                .iter()
                .all(|parent| self.index.contains_key(parent));
            shard.confirmed |= known;
            shard.listed = true;
        }
        self.register();
        let unsure = children
            .iter()
            .any(|child| !self.shards[self.index[&child.id]].confirmed);
        if children.is_empty() || unsure {
            self.list();
        }
    }

    /// Asks for a shard's lease if its parents have ended; else it waits for them.
    pub(super) fn try_start(&mut self, place: usize, now: Now) {
        let shard = &self.shards[place];
        if shard.state != State::Waiting || shard.lease_waits() {
            return;
        }
        let parents = lineage::open_parents(shard, &self.shards, &self.index);
        if parents.is_empty() {
            self.shards[place].take_lease(&mut self.core, now);
            return;
        }
        for parent in parents {
            self.children.entry(parent).or_default().insert(place);
        }
    }

    /// Warns when the source may have dropped records between what was settled and what it has.
    pub(super) fn detect_gap(&mut self, place: usize, now: Now) {
        let shard = &mut self.shards[place];
        let (Some(horizon), Some(settled)) = (self.horizon, shard.settled_arrival) else {
            return;
        };
        if shard.held() && settled < horizon {
            // Whether anything arrived meanwhile cannot be told: it may have been idle.
            let age = now.wall.millis_since(settled) / 1_000;
            self.core.notify(
                NoticeLevel::Warn,
                "possible_gap",
                Some(&shard.id),
                format!(
                    "the last settled record of shard {} arrived {age} s ago, and the stream does \
                     not keep records that long: what arrived in between and is too old by now \
                     has expired unread; if nothing did, nothing is missing",
                    shard.id
                ),
            );
        }
    }
}
