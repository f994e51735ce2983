//! Answers questions about the model: what is owed, what is settled, what a checkpoint covers.
//!
//! Rules: nothing here changes what is known, except for marks that only save looking again.

use penstock_engine::event::{ENVELOPE_BYTES, EventContext, constant_bytes};
use penstock_engine::ids::{Position, ShardId};
use penstock_engine::io::{Checkpoint, LanePositions};
use penstock_engine::stream::router::lane_of;
use penstock_engine::time::Wall;

use crate::model::{Model, ShardModel, Stage, Tenure};
use crate::stream::number_of;

impl Model {
    /// Which shard has this name.
    #[must_use]
    pub fn find(&self, id: &ShardId) -> Option<usize> {
        self.shards.iter().position(|shard| shard.id == *id)
    }

    /// The current lease of a shard.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn tenure(&self, shard: usize) -> &Tenure {
        self.shards[shard]
            .tenure
            .as_ref()
            .expect("asked within a tenure")
    }

    pub(crate) fn tenure_mut(&mut self, shard: usize) -> &mut Tenure {
        self.shards[shard]
            .tenure
            .as_mut()
            .expect("asked within a tenure")
    }

    /// The serial of the current lease of a shard.
    #[must_use]
    pub fn serial(&self, shard: usize) -> Option<u64> {
        self.shards[shard]
            .tenure
            .as_ref()
            .map(|tenure| tenure.serial)
    }

    /// The lane of a record, of so many.
    #[must_use]
    pub fn lane(&self, shard: usize, place: usize, lanes: u8) -> u8 {
        lane_of(self.shards[shard].records[place].hash, lanes)
    }

    /// Whether what the tenure resumed from says that a record is done.
    #[must_use]
    pub fn resume_covers(&self, shard: usize, place: usize) -> bool {
        let resume = self.shards[shard]
            .tenure
            .as_ref()
            .and_then(|tenure| tenure.resume.as_ref());
        resume.is_some_and(|checkpoint| self.covers(shard, checkpoint, place))
    }

    /// Whether a checkpoint says that a record is done.
    #[must_use]
    pub fn covers(&self, shard: usize, checkpoint: &Checkpoint, place: usize) -> bool {
        let shard = &self.shards[shard];
        let by_lane = |lanes: &LanePositions| shard.lane_covers(lanes, place);
        place < shard.covered(&checkpoint.position) || checkpoint.lanes.iter().any(by_lane)
    }

    /// Whether a record is too old to be invoked.
    #[must_use]
    pub fn expired(&self, shard: usize, place: usize, now: Wall) -> bool {
        let arrival = self.shards[shard].records[place].arrival;
        self.config.maximum_record_age.is_some_and(|limit| {
            u128::try_from(now.millis_since(arrival)).unwrap_or(0) >= limit.as_millis()
        })
    }

    /// Bytes that a record takes in an event, the comma before it included.
    #[must_use]
    pub fn event_bytes(&self, shard: usize, place: usize) -> u64 {
        let shard = &self.shards[shard];
        let context = EventContext {
            shard: &shard.id,
            config: &self.config,
        };
        u64::from(shard.records[place].weight) + constant_bytes(&context) + 1
    }

    /// Whether a record can be in no event at all.
    #[must_use]
    pub fn oversize(&self, shard: usize, place: usize) -> bool {
        self.event_bytes(shard, place) - 1 + ENVELOPE_BYTES > self.config.payload_bytes_max
    }

    /// Whether a record is settled, or may count so because it was to be dropped in silence.
    #[must_use]
    pub fn counts_as_settled(&self, shard: usize, place: usize, now: Wall) -> bool {
        let record = &self.shards[shard].records[place];
        record.settled.is_some()
            || record.lost
            || record.filtered
            || self.dropped_in_silence(shard, place, now)
    }

    /// Whether a record may have been dropped without a word: there is no destination, and it is
    /// too old or too large to be invoked.
    #[must_use]
    pub fn dropped_in_silence(&self, shard: usize, place: usize, now: Wall) -> bool {
        let record = &self.shards[shard].records[place];
        let given_up = self.expired(shard, place, now)
            || (self.oversize(shard, place) && self.config.maximum_retry_attempts.is_some());
        let silent = self.config.on_failure.is_none() && given_up;
        record.stage == Stage::Waiting && (silent || record.perhaps_dropped)
    }

    /// A destination is about to be set: what was dropped in silence until now can only be told
    /// from what the engine does next.
    pub fn silence_ends(&mut self, now: Wall) {
        for shard in 0..self.shards.len() {
            for place in 0..self.shards[shard].records.len() {
                let dropped = self.dropped_in_silence(shard, place, now);
                self.shards[shard].records[place].perhaps_dropped |= dropped;
            }
        }
    }

    /// The first record of a shard that is owed and not settled.
    #[must_use]
    pub fn first_unsettled(&self, shard: usize, now: Wall) -> usize {
        let model = &self.shards[shard];
        let owed =
            |place: &usize| model.owes(*place) && !self.counts_as_settled(shard, *place, now);
        (model.low..model.records.len())
            .find(owed)
            .unwrap_or(model.records.len())
    }

    /// Whether a shard is closed and everything in it that is owed is settled.
    #[must_use]
    pub fn settled_to_end(&self, shard: usize, now: Wall) -> bool {
        let model = &self.shards[shard];
        model.closed && self.first_unsettled(shard, now) == model.records.len()
    }

    /// Moves the low mark of a shard over records that stay settled.
    pub fn advance_low(&mut self, shard: usize) {
        let model = &mut self.shards[shard];
        while let Some(record) = model.records.get(model.low) {
            let done = record.settled.is_some() || record.lost || record.filtered;
            if model.start.is_none() || (model.owes(model.low) && !done) {
                return;
            }
            model.low += 1;
        }
    }
}

impl ShardModel {
    /// How many first records a position says to be done.
    #[must_use]
    pub fn covered(&self, position: &Position) -> usize {
        match position {
            Position::TrimHorizon => 0,
            Position::AtTimestamp(moment) => self
                .records
                .partition_point(|record| record.arrival < *moment),
            Position::After { sequence, .. } => {
                let number = number_of(sequence.as_str());
                self.records
                    .partition_point(|record| record.sequence <= number)
            }
            Position::ShardEnd => self.records.len(),
        }
    }

    /// Whether a record is to be settled at all.
    #[must_use]
    pub fn owes(&self, place: usize) -> bool {
        self.start
            .as_ref()
            .is_none_or(|start| place >= self.covered(start))
    }

    /// The place of the record with this sequence number.
    #[must_use]
    pub fn place_of(&self, digits: &str) -> Option<usize> {
        let number = number_of(digits);
        self.records
            .binary_search_by_key(&number, |record| record.sequence)
            .ok()
    }

    fn lane_covers(&self, lanes: &LanePositions, place: usize) -> bool {
        let record = &self.records[place];
        let lane = usize::from(lane_of(record.hash, lanes.count));
        let settled = lanes.settled.get(lane).and_then(Option::as_ref);
        settled.is_some_and(|last| record.sequence <= number_of(last.as_str()))
    }
}
