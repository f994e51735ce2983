//! Watches how a process leaves: what it has saved when it gives its leases back.
//!
//! Rules: a drain that ends in time has saved everything that is done, and the attempts of what
//! is not; lanes behind an undelivered document are excused, since a position cannot say more.

use penstock_engine::ids::ShardId;
use penstock_engine::io::Checkpoint;

use crate::model::{Mode, Stage};
use crate::oracles::{Verdict, violated};
use crate::world::World;

impl World {
    /// I12: a drain that ends in time has saved all it has done.
    pub(crate) fn lease_given_up(&mut self, id: &ShardId) -> Verdict {
        let shard = self.number(id);
        if let Some(tenure) = &self.model.shards[shard].tenure
            && self.model.shards[shard].moved.is_none()
            && match self.model.mode {
                Mode::Draining => self.drain_by.is_some_and(|by| self.now < by),
                _ => tenure.leaving.is_some(),
            }
        {
            let stuck: Vec<u8> = self
                .model
                .documents
                .values()
                .filter(|document| document.shard == shard)
                .map(|document| document.lane)
                .collect();
            let saved = self.store.checkpoint(id).cloned();
            let saved = saved.as_ref();
            let lanes = tenure.lane_count;
            for place in 0..self.model.shards[shard].records.len() {
                let record = &self.model.shards[shard].records[place];
                let lane = self.model.lane(shard, place, lanes);
                if record.stage != Stage::Done || record.filtered || stuck.contains(&lane) {
                    continue;
                }
                if !saved.is_some_and(|saved| self.model.covers(shard, saved, place)) {
                    let message = format!("record {place} is done, and saved is {saved:?}");
                    return violated("drain_saves_everything", "I12", message);
                }
            }
            self.attempts_saved(shard, saved, &stuck)?;
        }
        self.model.tenure_ended(shard);
        Ok(())
    }

    /// I7: a drain keeps the attempts of the batches at the heads of lanes.
    fn attempts_saved(&self, shard: usize, saved: Option<&Checkpoint>, stuck: &[u8]) -> Verdict {
        let tenure = self.model.tenure(shard);
        for (number, lane) in (0u8..).zip(&tenure.lanes) {
            let Some(unit) = lane.units.front() else {
                continue;
            };
            if unit.attempts == 0 || stuck.contains(&number) || tenure.relane.is_some() {
                continue;
            }
            let Some(&first) = unit.records.first() else {
                let window = saved.and_then(|saved| saved.window.as_ref());
                let closing = window.and_then(|window| window.closing);
                if closing.is_some_and(|closing| closing.attempts == unit.attempts) {
                    continue;
                }
                let message = format!("{} attempts of a final call", unit.attempts);
                return violated("drain_saves_everything", "I7", message);
            };
            let first = self.model.shards[shard].records[first].sequence.to_string();
            let kept = saved.is_some_and(|saved| {
                saved.fronts.iter().any(|front| {
                    front.lane == number
                        && front.first.as_str() == first
                        && front.attempts == unit.attempts
                })
            });
            if !kept {
                let message = format!("{} attempts of {:?}", unit.attempts, unit.records);
                return violated("drain_saves_everything", "I7", message);
            }
        }
        Ok(())
    }

    pub(crate) fn stopped(&mut self) -> Verdict {
        let draining = self.model.mode == Mode::Draining;
        let in_time = self.drain_by.is_some_and(|by| self.now < by);
        self.clean_drains += u32::from(draining && in_time);
        self.end_life();
        Ok(())
    }
}
