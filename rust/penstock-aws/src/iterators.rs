//! Keeps what is known of each shard between requests: an iterator and the range of its numbers.
//!
//! Rules: nothing here is a truth; what is forgotten is asked for again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use penstock_engine::ids::{Position, SequenceNumber, ShardId};

/// The shards of one stream.
#[derive(Debug, Default)]
pub(crate) struct Shards(Mutex<BTreeMap<ShardId, Shard>>);

#[derive(Debug, Default)]
struct Shard {
    /// An iterator and the position that it stands for.
    iterator: Option<(Position, String)>,
    /// The first and, once closed, the last sequence number.
    range: Option<(SequenceNumber, Option<SequenceNumber>)>,
}

impl Shards {
    /// Keeps only the shards of a new listing.
    pub(crate) fn listed(
        &self,
        ranges: BTreeMap<ShardId, (SequenceNumber, Option<SequenceNumber>)>,
    ) {
        let mut shards = self.lock();
        shards.retain(|shard, _| ranges.contains_key(shard));
        for (shard, range) in ranges {
            shards.entry(shard).or_default().range = Some(range);
        }
    }

    /// The iterator of this shard, when it stands for `from`.
    pub(crate) fn iterator(&self, shard: &ShardId, from: &Position) -> Option<String> {
        let shards = self.lock();
        let (position, iterator) = shards.get(shard)?.iterator.as_ref()?;
        (position == from).then(|| iterator.clone())
    }

    /// Replaces the iterator of this shard; `None` at its end.
    pub(crate) fn remember_iterator(
        &self,
        shard: &ShardId,
        position: Position,
        iterator: Option<String>,
    ) {
        let iterator = iterator.map(|iterator| (position, iterator));
        self.lock().entry(shard.clone()).or_default().iterator = iterator;
    }

    /// Drops the iterator of this shard.
    pub(crate) fn forget_iterator(&self, shard: &ShardId) {
        if let Some(shard) = self.lock().get_mut(shard) {
            shard.iterator = None;
        }
    }

    /// Whether this number lies in the shard's range, as it was listed last.
    pub(crate) fn has_held(&self, shard: &ShardId, sequence: &SequenceNumber) -> bool {
        let shards = self.lock();
        let range = shards.get(shard).and_then(|shard| shard.range.as_ref());
        range.is_some_and(|(first, last)| {
            first <= sequence && last.as_ref().is_none_or(|last| sequence <= last)
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ShardId, Shard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
