//! Keeps the leases and checkpoints of one stream in memory, for tests with several processes.
//!
//! Rules: everybody who shares it has the same `Arc`; each call is answered at once, in one step;
//! faults come on command and change nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::ids::ShardId;
use penstock_engine::io::{Checkpoint, Resume};
use penstock_engine::lease::{Place, Row, Write};

use crate::error::StoreError;
use crate::ports::{Answer, NewRow, Save, SharedStore};

/// A table in the process.
#[derive(Debug, Default)]
pub struct MemoryTable {
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    rows: BTreeMap<ShardId, (Row, Checkpoint)>,
    faults: VecDeque<Fault>,
    writes: u64,
}

impl MemoryTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The next call fails so.
    pub fn fail_next(&self, kind: FaultKind, message: &str) {
        self.content().faults.push_back(Fault::new(kind, message));
    }

    /// How many writes and saves have been accepted.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.content().writes
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Content) -> Result<T, StoreError>,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        let mut content = self.content();
        let answer = match content.faults.pop_front() {
            Some(fault) => Err(fault.into()),
            None => step(&mut content),
        };
        drop(content);
        Box::pin(std::future::ready(answer))
    }
}

impl Content {
    /// Writes if the condition holds; says whether it does.
    fn write(&mut self, shard: &ShardId, write: &Write) -> (bool, Option<&mut (Row, Checkpoint)>) {
        let Some(found) = self.rows.get_mut(shard) else {
            return (false, None);
        };
        let allowed = write.allowed(&found.0);
        if allowed {
            write.apply(&mut found.0);
            self.writes += 1;
        }
        (allowed, Some(found))
    }
}

impl SharedStore for MemoryTable {
    fn open(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.answer(|_| Ok(()))
    }

    fn scan(&self) -> BoxFuture<'_, Result<Vec<Row>, StoreError>> {
        self.answer(|content| Ok(content.rows.values().map(|(row, _)| row.clone()).collect()))
    }

    fn read(&self, shard: ShardId) -> BoxFuture<'_, Result<Option<Row>, StoreError>> {
        self.answer(|content| Ok(content.rows.get(&shard).map(|(row, _)| row.clone())))
    }

    fn write(&self, shard: ShardId, write: Write) -> BoxFuture<'_, Result<Answer, StoreError>> {
        self.answer(|content| {
            Ok(match content.write(&shard, &write) {
                (true, Some((row, _))) => Answer::Written(row.clone()),
                (_, found) => Answer::Refused(found.map(|(row, _)| row.clone())),
            })
        })
    }

    fn register(&self, rows: Vec<NewRow>) -> BoxFuture<'_, Result<(), StoreError>> {
        self.answer(|content| {
            for new in rows {
                let place = Place::of(&new.checkpoint.position);
                let row = Row::new(new.shard.clone(), place, new.parents);
                let rows = content.rows.entry(new.shard);
                rows.or_insert((row, new.checkpoint));
            }
            Ok(())
        })
    }

    fn resume(&self) -> BoxFuture<'_, Result<Resume, StoreError>> {
        self.answer(|content| {
            let rows = content.rows.iter();
            let rows = rows.map(|(shard, (_, saved))| (shard.clone(), saved.clone()));
            Ok(Resume {
                rows: rows.collect(),
            })
        })
    }

    fn load(&self, shard: ShardId) -> BoxFuture<'_, Result<Option<Checkpoint>, StoreError>> {
        self.answer(|content| Ok(content.rows.get(&shard).map(|(_, saved)| saved.clone())))
    }

    fn save(&self, save: Save) -> BoxFuture<'_, Result<(), StoreError>> {
        self.answer(|content| match content.write(&save.shard, &save.write()) {
            (true, Some((_, saved))) => {
                *saved = save.checkpoint;
                Ok(())
            }
            (_, found) => Err(save.refused(found.map(|(row, _)| &*row))),
        })
    }
}
