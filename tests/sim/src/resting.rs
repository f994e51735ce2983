//! Says when a world has nothing left to do.
//!
//! Rules: what an operator set back is owed again, and counts as unsettled until it is read again,
//! unless the stream does not list the shard any more.

use crate::world::World;

impl World {
    /// Whether everything that is owed is settled, and the engine knows that it has nothing to do.
    #[must_use]
    pub fn at_rest(&self) -> bool {
        self.agenda.acts() == 0
            && self.all_settled()
            && self.slots.iter().all(Option::is_none)
            && !self.model.window_open()
            && self.snapshot().is_some_and(|snapshot| snapshot.idle)
    }

    /// Whether everything that is owed is settled.
    #[must_use]
    pub fn all_settled(&self) -> bool {
        (0..self.model.shards.len()).all(|shard| {
            let model = &self.model.shards[shard];
            let known = model.start.is_some() || model.unlisted;
            known
                && (model.moved.is_none() || model.unlisted)
                && self.model.first_unsettled(shard, self.wall()) == model.records.len()
        })
    }
}
