//! Knows how far a shard is done: the least unsettled record over all its lanes.
//!
//! Rules: a checkpoint never passes an unsettled record, an undelivered document included; it
//! keeps each lane's own position beyond the watermark, so that a clean stop repeats nothing
//! though one lane lags; positions of an earlier way of routing stay until the watermark has
//! passed them.

use super::lane::Lane;
use super::router::{HASH_VERSION, lane_of};
use super::shard::Shard;
use crate::ids::{Position, SequenceNumber, compare_sequence_numbers};
use crate::io::{Checkpoint, FrontUnit, LanePositions};
use crate::mutants::{self, Mutant};
use crate::time::Wall;

/// Lane positions of an earlier life or of another number of lanes.
#[derive(Debug, Clone)]
pub(crate) struct Generation {
    positions: LanePositions,
    /// The largest of the positions.
    furthest: Option<SequenceNumber>,
    /// The first ordinal behind all of them, once it was read.
    horizon: Option<u64>,
}

impl Generation {
    /// Positions from a checkpoint: records that they cover will be read again.
    pub fn saved(positions: LanePositions) -> Self {
        let furthest = positions.settled.iter().flatten().max().cloned();
        Self {
            positions,
            furthest,
            horizon: None,
        }
    }

    /// Positions of lanes that are being re-cut; everything was read already.
    fn passed(positions: LanePositions, horizon: u64) -> Self {
        Self {
            positions,
            furthest: None,
            horizon: Some(horizon),
        }
    }

    /// Whether these positions were made by the same routing as `lanes` lanes now.
    pub fn routes_like(&self, lanes: u8) -> bool {
        self.positions.count == lanes && self.positions.hash_version == HASH_VERSION
    }

    /// Whether the record was settled in the life that these positions are from.
    pub fn covers(&mut self, hash: u64, digits: &str, ordinal: u64) -> bool {
        if self.horizon.is_some() || self.positions.hash_version != HASH_VERSION {
            return false;
        }
        let beyond = self
            .furthest
            .as_ref()
            .is_none_or(|furthest| compare_sequence_numbers(digits, furthest.as_str()).is_gt());
        if beyond {
            self.horizon = Some(ordinal);
            return false;
        }
        let lane = usize::from(lane_of(hash, self.positions.count));
        let settled = self.positions.settled.get(lane).and_then(Option::as_ref);
        settled.is_some_and(|at| compare_sequence_numbers(digits, at.as_str()).is_le())
    }
}

impl Shard {
    /// The ordinal of the least unsettled record; the next one to be read when all are settled.
    pub fn watermark(&self) -> u64 {
        let fronts = self.lanes.iter().filter_map(Lane::front);
        fronts.min().unwrap_or(self.buffer.next_ordinal())
    }

    /// The position that the watermark stands for.
    pub fn watermark_position(&self) -> Position {
        if let Some(wrong) = self.planted_position() {
            return wrong;
        }
        let watermark = self.watermark();
        if watermark == self.buffer.next_ordinal() {
            if self.reader.ended && !self.owes_window() {
                return Position::ShardEnd;
            }
            return self.read_position();
        }
        let documents = self.lanes.iter().filter_map(|lane| lane.documents.front());
        let mut held = documents.filter(|document| document.first_ordinal == watermark);
        let before = match held.next_back() {
            Some(document) => document.before_shard.clone(),
            None => self.buffer.before(watermark),
        };
        before.map_or_else(|| self.base.clone(), Position::after)
    }

    /// What a planted bug takes for the watermark.
    fn planted_position(&self) -> Option<Position> {
        if mutants::active(Mutant::CheckpointAtHighestFinished) {
            let finished = self.lanes.iter().filter_map(|lane| lane.settled.as_ref());
            let highest = finished.max_by_key(|settled| settled.ordinal)?;
            return Some(Position::after(highest.sequence.clone()));
        }
        if mutants::active(Mutant::EndBeforeSettled) && self.reader.ended {
            return Some(Position::ShardEnd);
        }
        mutants::active(Mutant::CheckpointAtRead).then(|| self.read_position())
    }

    /// Where reading has got to, as far as it is ahead of what was read or saved: after a gap
    /// the reader starts over at the trim horizon, a checkpoint does not.
    fn read_position(&self) -> Position {
        let read = self.buffer.before(self.buffer.next_ordinal());
        let known = read.map_or_else(|| self.base.clone(), Position::after);
        let reader = &self.reader.position;
        if reader.covers(&known) {
            reader.clone()
        } else {
            known
        }
    }

    /// What to save now.
    pub fn checkpoint(&self) -> Checkpoint {
        let position = self.watermark_position();
        let watermark = self.watermark();
        let mut lanes: Vec<LanePositions> = Vec::new();
        let mut fronts = Vec::new();
        if position != Position::ShardEnd {
            fronts = self.front_units();
            lanes.extend(self.generations.iter().map(|old| old.positions.clone()));
            // The last entry also says how many lanes the fronts are of.
            lanes.extend(self.lane_positions(watermark, !fronts.is_empty()));
        }
        Checkpoint {
            position,
            lanes,
            fronts,
            incarnation: self.incarnation,
            settled_arrival: self.settled_arrival,
            window: self.window_at_watermark(),
            fence: self.fence,
        }
    }

    /// Forgets generations that the watermark has passed.
    pub fn pass_generations(&mut self) {
        if self.generations.is_empty() {
            return;
        }
        let watermark = self.watermark();
        self.generations
            .retain(|old| old.horizon.is_none_or(|horizon| horizon > watermark));
    }

    /// Sends what is queued to another number of lanes. Nothing may run or await delivery.
    pub fn recut(&mut self, lanes: u8, now: Wall) {
        let watermark = self.watermark();
        if let Some(positions) = self.lane_positions(watermark, false) {
            let horizon = self.buffer.next_ordinal();
            self.generations
                .push(Generation::passed(positions, horizon));
        }
        let mut queued: Vec<_> = self.lanes.iter_mut().flat_map(Lane::drain_all).collect();
        queued.sort_unstable_by_key(|queued| queued.ordinal);
        self.set_lanes(lanes, now);
        for record in queued {
            let hash = self.buffer.facts(record.ordinal).key_hash;
            self.lanes[usize::from(lane_of(hash, lanes))].push(record);
        }
    }

    fn lane_positions(&self, watermark: u64, always: bool) -> Option<LanePositions> {
        let settled: Vec<Option<SequenceNumber>> = self
            .lanes
            .iter()
            .map(|lane| lane.done().filter(|done| done.ordinal > watermark))
            .map(|done| done.map(|done| done.sequence.clone()))
            .collect();
        let ahead = settled.iter().any(Option::is_some);
        (always || ahead).then_some(LanePositions {
            count: self.lanes.len() as u8,
            hash_version: HASH_VERSION,
            settled,
        })
    }

    fn front_units(&self) -> Vec<FrontUnit> {
        let lanes = (0u8..).zip(&self.lanes);
        lanes
            .filter_map(|(number, lane)| {
                // With a document outstanding the queue's front is not what a restart reads first.
                if !lane.documents.is_empty() {
                    return None;
                }
                let mut units = lane.units.iter().filter(|unit| !unit.closes());
                let unit = units.next().filter(|unit| unit.segment)?;
                let first = self.buffer.sequence(lane.queue.front()?.ordinal);
                Some(FrontUnit {
                    lane: number,
                    first,
                    records: unit.records,
                    attempts: unit.attempts,
                    request_id: unit.request_id,
                })
            })
            .chain(lanes_expected(&self.lanes))
            .collect()
    }
}

/// Batches of an earlier life that have not come again yet stay in the checkpoint.
fn lanes_expected(lanes: &[Lane]) -> impl Iterator<Item = FrontUnit> {
    lanes.iter().filter_map(|lane| lane.expected.clone())
}
