//! Keeps what is true of every shard and record, whoever thinks what of it.

use std::collections::BTreeMap;

use penstock_engine::ids::{Fence, Owner, ShardId};
use penstock_engine::time::Mono;

/// One shard.
#[derive(Debug, Clone)]
pub struct Shard {
    /// The shards that it came from.
    pub parents: Vec<ShardId>,
    /// Whether no record comes any more.
    pub closed: bool,
    /// The lease under which each record was settled last, if it was.
    pub settled: Vec<Option<Fence>>,
    /// How many records are below the checkpoint.
    pub saved: usize,
    /// Whether the checkpoint is the end of the shard.
    pub ended: bool,
    /// The highest fence that was ever given.
    pub fence: Fence,
    /// Who was given it, and when.
    pub taken: Option<(Owner, Mono)>,
    /// The lease before, if its holder gave it up.
    pub given_up: Option<Fence>,
    /// Since when nobody who lives holds it.
    pub unheld_since: Option<Mono>,
}

impl Shard {
    /// Whether every record is settled and no more come.
    #[must_use]
    pub fn done(&self) -> bool {
        self.closed && self.settled.iter().all(Option::is_some)
    }
}

/// All shards.
#[derive(Debug, Default)]
pub struct Truth {
    /// By name.
    pub shards: BTreeMap<ShardId, Shard>,
    /// Leases that were given.
    pub takes: u64,
    /// Those of them that were handed over to whoever had asked.
    pub moves: u64,
    /// Records that were handed to a handler though they had been settled.
    pub repeats: u64,
}

impl Truth {
    /// A shard opens.
    pub fn open(&mut self, parents: Vec<ShardId>) -> ShardId {
        let shard = ShardId::new(format!("shardId-{:012}", self.shards.len()));
        self.shards.insert(
            shard.clone(),
            Shard {
                parents,
                closed: false,
                settled: Vec::new(),
                saved: 0,
                ended: false,
                fence: Fence(0),
                taken: None,
                given_up: None,
                unheld_since: None,
            },
        );
        shard
    }

    /// A shard.
    ///
    /// # Panics
    /// When there is none of this name.
    #[must_use]
    pub fn of(&self, shard: &ShardId) -> &Shard {
        &self.shards[shard]
    }

    /// A shard, to change it.
    ///
    /// # Panics
    /// When there is none of this name.
    pub fn change(&mut self, shard: &ShardId) -> &mut Shard {
        self.shards.get_mut(shard).expect("the shard was opened")
    }

    /// Shards that take records.
    #[must_use]
    pub fn open_shards(&self) -> Vec<ShardId> {
        let open = self.shards.iter().filter(|(_, shard)| !shard.closed);
        open.map(|(id, _)| id.clone()).collect()
    }

    /// Shards that somebody should be reading: not ended, and all parents have.
    pub fn readable(&self) -> impl Iterator<Item = &ShardId> {
        let ended = |parent: &ShardId| self.shards.get(parent).is_none_or(|parent| parent.ended);
        self.shards
            .iter()
            .filter(move |(_, shard)| !shard.ended && shard.parents.iter().all(ended))
            .map(|(id, _)| id)
    }
}
