//! Follows what happens at the head of a lane without an invocation: batches that an earlier
//! tenure left, and records that are given up unseen.
//!
//! Rules: without a destination the engine drops in silence, so that is seen only by what it does
//! next: what follows starts, or a checkpoint covers it.

use penstock_engine::io::Checkpoint;
use penstock_engine::time::{Mono, Now};

use crate::model::{How, Model};
use crate::units::{Start, Unit};

impl Model {
    /// Takes records that are given up off the head of their lane; says how often they were
    /// attempted, or `None` when they are not there.
    pub fn take_off_head(&mut self, shard: usize, lane: u8, records: &[usize]) -> Option<u32> {
        self.resume_front(shard, lane, records[0], None);
        let model = &mut self.tenure_mut(shard).lanes[usize::from(lane)];
        let Some(unit) = model.units.front_mut() else {
            if !model.queue.iter().take(records.len()).eq(records) {
                return None;
            }
            model.queue.drain(..records.len());
            return Some(0);
        };
        if !unit.records.starts_with(records) {
            return None;
        }
        unit.records.drain(..records.len());
        let attempts = unit.attempts;
        if unit.records.is_empty() {
            model.units.pop_front();
        }
        Some(attempts)
    }

    /// Makes a unit of the batch that an earlier tenure left, if `first` is its first record. It
    /// may come back shorter, with `count` records, where no more are read.
    pub fn resume_front(&mut self, shard: usize, lane: u8, first: usize, count: Option<usize>) {
        let digits = self.shards[shard].records[first].sequence.to_string();
        let model = &mut self.tenure_mut(shard).lanes[usize::from(lane)];
        if !model.units.is_empty() || model.queue.front() != Some(&first) {
            return;
        }
        let Some(front) = model.expected.take() else {
            return;
        };
        if front.first.as_str() != digits {
            return;
        }
        let whole = usize::try_from(front.records).expect("a length of a batch");
        let length = count.unwrap_or(whole).min(whole).min(model.queue.len());
        model.units.push_front(Unit {
            records: model.queue.drain(..length).collect(),
            attempts: front.attempts,
            rejections: 0,
            request: Some(front.request_id),
            due: Mono(u64::MAX / 2),
        });
    }

    /// Without a destination the engine drops expired and oversize records without a word: they
    /// are seen to be gone when what follows them starts.
    pub fn give_up_in_silence(&mut self, start: &Start, now: Now) {
        while let Some(head) = self.head(start.shard, start.lane) {
            let gone = self.dropped_in_silence(start.shard, head, now.wall);
            if start.records.first() == Some(&head) || !gone {
                return;
            }
            self.drop_head(start.shard, start.lane, head, now.mono);
        }
    }

    /// The same before the final call of a window, which has no records: the last one dropped.
    pub fn give_up_all_in_silence(&mut self, shard: usize, now: Now) -> Option<usize> {
        let mut last = None;
        while let Some(head) = self.head(shard, 0) {
            if !self.dropped_in_silence(shard, head, now.wall) {
                break;
            }
            self.drop_head(shard, 0, head, now.mono);
            last = Some(head);
        }
        last
    }

    /// What a checkpoint covers and was to be dropped in silence has been dropped.
    pub fn dropped_by(&mut self, shard: usize, checkpoint: &Checkpoint, now: Now) {
        for lane in 0..self.tenure(shard).lane_count {
            while let Some(head) = self.head(shard, lane) {
                let dropped = self.dropped_in_silence(shard, head, now.wall);
                if !dropped || !self.covers(shard, checkpoint, head) {
                    break;
                }
                self.drop_head(shard, lane, head, now.mono);
            }
        }
    }

    fn drop_head(&mut self, shard: usize, lane: u8, head: usize, now: Mono) {
        let large = self.oversize(shard, head);
        self.take_off_head(shard, lane, &[head]);
        self.settle(shard, &[head], How::Dropped);
        self.head_given_up(shard, lane, large, now);
    }

    /// Records at the head of a lane were given up; those behind an oversize one need not wait.
    pub fn head_given_up(&mut self, shard: usize, lane: u8, large: bool, now: Mono) {
        let lane = &mut self.tenure_mut(shard).lanes[usize::from(lane)];
        lane.cut_at = Some(now);
        if large {
            lane.flush_through = lane.queue.back().copied().or(lane.flush_through);
        }
    }

    /// The record at the head of a lane. Where a final call comes first there is none: the shard is
    /// held until that is settled, so nothing behind it is given up before.
    fn head(&self, shard: usize, lane: u8) -> Option<usize> {
        let lane = &self.tenure(shard).lanes[usize::from(lane)];
        match lane.units.front() {
            Some(unit) => unit.records.first().copied(),
            None => lane.queue.front().copied(),
        }
    }
}
