//! Does what people, producers and other processes do.
//!
//! Rules: an act that makes no sense at its moment does nothing: a seed draws acts without
//! knowing what the world will look like; the model learns what happens to the stream as it does.

use std::time::Duration;

use penstock_engine::ids::{Position, SequenceNumber, ShardId};
use penstock_engine::io::{Checkpoint, Input};
use penstock_engine::time::Wall;

use crate::event::{Act, Event, Put};
use crate::model::{How, Mode};
use crate::oracles::Verdict;
use crate::stream::{SimRecord, SimStream};
use crate::world::World;

impl World {
    pub(crate) fn act(&mut self, act: Act) -> Verdict {
        self.note(&act);
        match act {
            Act::Put(put) => self.put(put),
            Act::PutKeys(keys) => keys.into_iter().for_each(|key| self.put(Put::key(key))),
            Act::Split(which, shown_after) => self.split(which, shown_after),
            Act::Merge(which, shown_after) => self.merge(which, shown_after),
            Act::Roll(which, shown_after) => self.roll(which, shown_after),
            Act::Trim(shard, count) => self.trim(shard, count),
            Act::Recreate(shards) => self.recreate(shards),
            Act::Pause => return self.pause(),
            Act::Resume => return self.resume(),
            Act::Reconfigure(config) => return self.reconfigure(*config),
            Act::Drain(within) => return self.drain(within),
            Act::Stop => {
                if self.alive() {
                    self.model.mode = Mode::Draining;
                    return self.feed(Input::Stop);
                }
            }
            Act::Crew(slots) => return self.set_crew(&slots),
            Act::Crash => self.crash(),
            Act::Start(lanes) => {
                if !self.alive() {
                    self.config.lanes = lanes.unwrap_or(self.config.lanes);
                    if self.config.lanes > 1 {
                        // Windows and lanes exclude one another.
                        self.config.tumbling_window = None;
                    }
                    self.begin_life();
                }
            }
            Act::Steal(shard, held, told, settled) => self.steal(shard, held, told, settled),
            Act::HandOver(shard, held, settled) => return self.hand_over(shard, held, settled),
            Act::Move(shard, by, told) => self.move_back(shard, by, told),
            Act::Skip(shard) => return self.skip(shard),
            Act::GiveBack(shard) => self.store.give_back(&shard),
            Act::Behave(faults) => self.faults = *faults,
            Act::Heal => self.handler.heal(),
        }
        Ok(())
    }

    fn put(&mut self, put: Put) {
        let arrival = Wall(self.wall().0 - i64::try_from(put.age.as_millis()).unwrap_or(0));
        let record = SimRecord {
            sequence: 0,
            key: put.key,
            arrival,
            weight: put.weight,
            filtered: put.filtered,
        };
        let shard = self.stream.put(record, put.gap);
        let records = &mut self.stream.shards[shard].records;
        // Arrival times may be equal, but they do not go back within a shard here.
        let before = records.len().checked_sub(2).map(|at| records[at].arrival);
        let last = records.last_mut().expect("just put");
        last.arrival = last.arrival.max(before.unwrap_or(last.arrival));
        let last = last.clone();
        self.model.appended(shard, &last);
    }

    fn split(&mut self, which: usize, shown_after: Duration) {
        let open = self.stream.open_shards();
        let shard = open[which % open.len()];
        if self.stream.shards[shard].keys.len() > 1 {
            let children = self.stream.split(shard, self.wall().plus(shown_after));
            self.resharded(&children);
        }
    }

    fn merge(&mut self, which: usize, shown_after: Duration) {
        let pairs = self.stream.neighbours();
        if pairs.is_empty() {
            return;
        }
        let (left, right) = pairs[which % pairs.len()];
        let child = self
            .stream
            .merge(left, right, self.wall().plus(shown_after));
        self.resharded(&[child]);
    }

    fn roll(&mut self, which: usize, shown_after: Duration) {
        let open = self.stream.open_shards();
        let shard = open[which % open.len()];
        let child = self.stream.roll(shard, self.wall().plus(shown_after));
        self.resharded(&[child]);
    }

    fn resharded(&mut self, children: &[usize]) {
        for &child in children {
            let shard = &self.stream.shards[child];
            self.model
                .shard_opened(shard.id.clone(), shard.parents.clone());
            for &parent in &shard.parents {
                self.model.shards[parent].closed = true;
            }
        }
    }

    fn trim(&mut self, shard: usize, count: usize) {
        let shard = shard % self.stream.shards.len();
        self.stream.trim(shard, count);
        let source = &self.stream.shards[shard];
        self.model.trimmed(shard, source.trimmed);
        self.model.shards[shard].unlisted = !source.listed;
    }

    fn recreate(&mut self, shards: u32) {
        if self.alive() {
            return;
        }
        let sequences = self.stream.next_sequence();
        self.stream = SimStream::new(shards, self.wall());
        self.stream.go_on_from(sequences);
        self.model.shards.clear();
        for shard in &self.stream.shards {
            self.model.shard_opened(shard.id.clone(), Vec::new());
        }
    }

    fn pause(&mut self) -> Verdict {
        if self.model.mode == Mode::Running {
            self.model.mode = Mode::Paused;
            return self.feed(Input::Paused);
        }
        Ok(())
    }

    fn resume(&mut self) -> Verdict {
        if self.model.mode == Mode::Paused {
            self.model.mode = Mode::Running;
            self.model.running_since = self.now;
            return self.feed(Input::Resumed);
        }
        Ok(())
    }

    fn reconfigure(&mut self, mut config: penstock_engine::config::MappingConfig) -> Verdict {
        config.id = self.config.id.clone();
        self.config = config;
        if !self.alive() || self.model.mode == Mode::Draining {
            return Ok(());
        }
        self.model.silence_ends(self.wall());
        self.model.config = self.config.clone();
        self.model.reconfigured = true;
        self.crew.forget();
        let now = self.world_now();
        if self.config.on_failure.is_none() {
            self.drop_documents();
        }
        for shard in 0..self.model.shards.len() {
            let lanes = self.config.lanes;
            if let Some(tenure) = &mut self.model.shards[shard].tenure {
                tenure.relane = (tenure.lane_count != lanes).then_some(lanes);
            }
            self.model.recut_when_quiet(shard, now);
        }
        self.feed(Input::Reconfigured(Box::new(self.config.clone())))
    }

    /// Without a destination, documents that are not on their way are dropped.
    fn drop_documents(&mut self) {
        let now = self.world_now();
        let on_their_way: Vec<String> = self.documents_on_their_way();
        let waiting = self
            .model
            .documents
            .keys()
            .filter(|id| !on_their_way.contains(id));
        for id in waiting.cloned().collect::<Vec<String>>() {
            self.model.document_closed(&id, How::Dropped, now);
        }
    }

    fn drain(&mut self, within: Duration) -> Verdict {
        if !self.alive() || self.model.mode == Mode::Draining {
            return Ok(());
        }
        self.model.mode = Mode::Draining;
        self.drain_by = Some(self.now + within);
        let by = self.engine_moment(self.now + within);
        self.feed(Input::Drain { by })
    }

    fn crash(&mut self) {
        if self.alive() {
            self.slots.fill(None);
            self.end_life();
        }
    }

    pub(crate) fn steal(
        &mut self,
        shard: usize,
        held: Duration,
        told: Option<Duration>,
        settled: usize,
    ) {
        let shard = shard % self.stream.shards.len();
        let id = self.stream.shards[shard].id.clone();
        let Some(saved) = self.store.checkpoint(&id).cloned() else {
            return;
        };
        let another = saved
            .incarnation
            .is_some_and(|of| of != self.stream.incarnation);
        let moved = self.model.shards[shard].moved.is_some();
        if another || moved || saved.position == Position::ShardEnd || self.store.held_by_other(&id)
        {
            return;
        }
        self.store.steal(&id);
        self.settle_elsewhere(shard, &id, saved, settled);
        self.plan(held, Act::GiveBack(id.clone()));
        if let Some(told) = told {
            self.later(told, Event::Answer(Input::LeaseLost { shard: id }));
        }
    }

    /// Whoever has the lease settles some records and saves that.
    fn settle_elsewhere(&mut self, shard: usize, id: &ShardId, saved: Checkpoint, count: usize) {
        let from = self.model.shards[shard].covered(&saved.position);
        let len = self.model.shards[shard].records.len();
        let to = (from + count).min(len);
        let parents = self.model.shards[shard].parents.clone();
        let wall = self.wall();
        let may = parents
            .iter()
            .all(|parent| self.model.settled_to_end(*parent, wall));
        let recut = saved
            .lanes
            .iter()
            .any(|lanes| lanes.settled.iter().any(Option::is_some));
        if to == from || recut || !may || !saved.fronts.is_empty() {
            return;
        }
        let last = &self.model.shards[shard].records[to - 1];
        let sequence = SequenceNumber::new(last.sequence.to_string());
        let settled_arrival = Some(last.arrival);
        for place in from..to {
            let record = &mut self.model.shards[shard].records[place];
            record.settled.get_or_insert(How::Elsewhere);
            record.settled_last = Some(How::Elsewhere);
        }
        let ends = self.sharing.is_some() && self.config.tumbling_window.is_none();
        let ends = ends && to == len && self.model.shards[shard].closed;
        let position = match ends {
            true => Position::ShardEnd,
            false => Position::after(sequence),
        };
        self.store.put_elsewhere(
            id,
            Checkpoint {
                position,
                settled_arrival,
                ..saved
            },
        );
    }
}
