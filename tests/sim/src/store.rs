//! Simulates the store of checkpoints and leases: what is durable, and who holds what.
//!
//! Rules: what stands here survives every crash; a save is accepted only under the fence of the
//! last lease; fences grow for ever; when an answer is late or lost is the world's business.

use std::collections::BTreeMap;

use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::ids::{Fence, ShardId};
use penstock_engine::io::{Checkpoint, Resume};
use penstock_engine::time::Wall;

/// Who may save for a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Nobody does now.
    Nobody,
    /// The engine under test.
    Ours,
    /// Somebody else.
    Other,
}

/// One shard's row.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was last saved.
    pub checkpoint: Option<Checkpoint>,
    /// The last lease's fence.
    pub fence: Fence,
    /// Who holds it.
    pub holder: Holder,
}

/// The store.
#[derive(Debug, Default)]
pub struct SimStore {
    rows: BTreeMap<ShardId, Row>,
}

impl SimStore {
    /// Writes first rows where there are none.
    pub fn register(&mut self, rows: &[(ShardId, Checkpoint)]) {
        for (shard, checkpoint) in rows {
            let row = self.row(shard);
            if row.checkpoint.is_none() {
                row.checkpoint = Some(checkpoint.clone());
            }
        }
    }

    /// Gives the lease to the engine under test.
    ///
    /// # Errors
    /// When somebody else holds it.
    pub fn take(&mut self, shard: &ShardId) -> Result<(Fence, Option<Checkpoint>), Fault> {
        let row = self.row(shard);
        if row.holder == Holder::Other {
            return Err(Fault::new(
                FaultKind::Fenced,
                "another process holds the shard",
            ));
        }
        row.fence.0 += 1;
        row.holder = Holder::Ours;
        Ok((row.fence, row.checkpoint.clone()))
    }

    /// Makes a checkpoint durable.
    ///
    /// # Errors
    /// When the fence is not the last one given.
    pub fn save(
        &mut self,
        shard: &ShardId,
        checkpoint: &Checkpoint,
        fence: Fence,
    ) -> Result<(), Fault> {
        let row = self.row(shard);
        if row.holder != Holder::Ours || row.fence != fence {
            return Err(Fault::new(
                FaultKind::Fenced,
                "another lease was given since",
            ));
        }
        row.checkpoint = Some(checkpoint.clone());
        Ok(())
    }

    /// Takes a lease back that is given up.
    pub fn drop_lease(&mut self, shard: &ShardId, fence: Fence) {
        let row = self.row(shard);
        if row.fence == fence && row.holder == Holder::Ours {
            row.holder = Holder::Nobody;
        }
    }

    /// Gives the lease to somebody else.
    pub fn steal(&mut self, shard: &ShardId) {
        let row = self.row(shard);
        row.fence.0 += 1;
        row.holder = Holder::Other;
    }

    /// An operator puts another checkpoint, under a fence that nobody holds.
    pub fn move_to(&mut self, shard: &ShardId, checkpoint: Checkpoint) -> Fence {
        let row = self.row(shard);
        row.fence.0 += 1;
        row.holder = Holder::Nobody;
        row.checkpoint = Some(checkpoint);
        row.fence
    }

    /// The newest fence of a shard.
    #[must_use]
    pub fn fence(&self, shard: &ShardId) -> Option<Fence> {
        self.rows.get(shard).map(|row| row.fence)
    }

    /// Somebody else gives the lease up.
    pub fn give_back(&mut self, shard: &ShardId) {
        let row = self.row(shard);
        if row.holder == Holder::Other {
            row.holder = Holder::Nobody;
        }
    }

    /// Whether somebody else holds a shard.
    #[must_use]
    pub fn held_by_other(&self, shard: &ShardId) -> bool {
        self.rows
            .get(shard)
            .is_some_and(|row| row.holder == Holder::Other)
    }

    /// Whoever else holds a shard saves a checkpoint.
    pub fn put_elsewhere(&mut self, shard: &ShardId, checkpoint: Checkpoint) {
        self.row(shard).checkpoint = Some(checkpoint);
    }

    /// What is durable of a shard.
    #[must_use]
    pub fn checkpoint(&self, shard: &ShardId) -> Option<&Checkpoint> {
        self.rows.get(shard).and_then(|row| row.checkpoint.as_ref())
    }

    /// Whether any shard of the stream that was created at `incarnation` has a row.
    #[must_use]
    pub fn has_rows(&self, incarnation: Option<Wall>) -> bool {
        let mut saved = self.rows.values().filter_map(|row| row.checkpoint.as_ref());
        saved.any(|checkpoint| checkpoint.incarnation == incarnation)
    }

    /// What a new engine is told of the past.
    #[must_use]
    pub fn resume(&self) -> Resume {
        let saved = |(shard, row): (&ShardId, &Row)| {
            row.checkpoint
                .as_ref()
                .map(|checkpoint| (shard.clone(), checkpoint.clone()))
        };
        Resume {
            rows: self.rows.iter().filter_map(saved).collect(),
        }
    }

    fn row(&mut self, shard: &ShardId) -> &mut Row {
        self.rows.entry(shard.clone()).or_insert(Row {
            checkpoint: None,
            fence: Fence(0),
            holder: Holder::Nobody,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_engine::ids::Position;

    #[test]
    fn a_save_under_an_old_fence_is_refused() {
        let mut store = SimStore::default();
        let shard = ShardId::new("s");
        let first = Checkpoint::starting_at(Position::TrimHorizon, None);
        store.register(&[(shard.clone(), first.clone())]);
        let (old, read) = store.take(&shard).unwrap();
        assert_eq!(read, Some(first.clone()));
        store.steal(&shard);
        assert!(store.take(&shard).is_err());
        assert!(store.save(&shard, &first, old).is_err());
        store.give_back(&shard);
        let (new, _) = store.take(&shard).unwrap();
        assert!(new > old);
        assert!(store.save(&shard, &first, old).is_err());
        assert!(store.save(&shard, &first, new).is_ok());
    }
}
