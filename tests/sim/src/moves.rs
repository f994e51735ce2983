//! Does what an operator does to a shard: sets its checkpoint back, lets go of what is stuck.
//!
//! Rules: a move is in the store before the engine hears of it, and nobody holds the shard after
//! it; what lies behind the new position is owed again; what is skipped is dropped for good, as
//! soon as the engine says that it is saved.

use std::time::Duration;

use penstock_engine::ids::{Position, SequenceNumber, ShardId};
use penstock_engine::io::{Checkpoint, Input, SkippedRange};

use crate::event::{Act, Event};
use crate::model::{How, Mode};
use crate::oracles::{Verdict, violated};
use crate::random::Random;
use crate::world::World;

/// An operator's move of some shard.
pub(crate) fn draw(random: &mut Random) -> Act {
    let (shard, back) = (random.place(6), random.place(40));
    let told = random.millis(0, 1_500);
    if random.chance(500) {
        Act::Move(shard, back, told)
    } else {
        Act::Skip(shard)
    }
}

impl World {
    /// Sets a shard's checkpoint back by so many records; the engine is told a little later.
    pub(crate) fn move_back(&mut self, shard: usize, by: usize, told: Duration) {
        let shard = shard % self.stream.shards.len();
        let id = self.stream.shards[shard].id.clone();
        let Some(saved) = self.store.checkpoint(&id).cloned() else {
            return;
        };
        let another = saved.incarnation != Some(self.stream.incarnation);
        let model = &self.model.shards[shard];
        // A window that is opened again is a story of its own; so is a shard whose children run,
        // and one that the stream does not list any more is never read again.
        let windows = self.config.tumbling_window.is_some() || !model.closed_windows.is_empty();
        let another = another || model.unlisted || self.sharing.is_some();
        if another || windows || model.moved.is_some() || saved.position == Position::ShardEnd {
            return;
        }
        let Some(start) = model.start.clone() else {
            return;
        };
        if self.store.held_by_other(&id) || self.model.mode == Mode::Draining {
            return;
        }
        let lowest = model.covered(&start).max(model.trimmed);
        let to = model.covered(&saved.position).saturating_sub(by);
        let position = if to <= lowest {
            start
        } else {
            let last = model.records[to - 1].sequence.to_string();
            Position::after(SequenceNumber::new(last))
        };
        let checkpoint = Checkpoint::starting_at(position, saved.incarnation);
        let fence = self.store.move_to(&id, checkpoint.clone());
        self.model.shards[shard].moved = Some((to, fence));
        let checkpoint = Box::new(checkpoint);
        let moved = Input::Moved {
            shard: id,
            checkpoint,
        };
        self.later(told, Event::Answer(moved));
    }

    /// Lets go of what waits for the destination.
    pub(crate) fn skip(&mut self, shard: usize) -> Verdict {
        let shard = shard % self.stream.shards.len();
        let id = self.stream.shards[shard].id.clone();
        if !self.alive() || self.model.mode == Mode::Draining {
            return Ok(());
        }
        let now = self.world_now();
        let documents = self.model.documents.iter();
        let stuck = documents.filter(|(_, document)| document.shard == shard);
        for document in stuck.map(|(id, _)| id.clone()).collect::<Vec<String>>() {
            self.model.document_closed(&document, How::Dropped, now);
        }
        self.feed(Input::Skip { shard: id })
    }

    /// What an operator is told is skipped is covered by what is durable, so that it never comes
    /// again.
    pub(crate) fn skipped(
        &mut self,
        id: &ShardId,
        ranges: &[SkippedRange],
        saved: bool,
    ) -> Verdict {
        let shard = self.number(id);
        self.skipped.extend(ranges.iter().cloned());
        let fence = self.model.shards[shard].tenure.as_ref().map(|t| t.fence);
        if !saved || fence.is_none() || fence != self.store.fence(id) {
            return Ok(());
        }
        let ends = ranges.iter().filter_map(|range| range.span.as_ref());
        for digits in ends.flat_map(|(first, last)| [first, last]) {
            let place = self.model.shards[shard].place_of(digits.as_str());
            let covered = place.is_some_and(|place| {
                let checkpoint = self.store.checkpoint(id);
                checkpoint.is_some_and(|saved| self.model.covers(shard, saved, place))
            });
            if !covered {
                let message = format!("{digits} of {id} is called skipped and is not saved so");
                return violated("skip_is_saved", "I11", message);
            }
        }
        Ok(())
    }
}
