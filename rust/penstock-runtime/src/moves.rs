//! Carries an operator's moves to the store and to the mapping's task.
//!
//! Rules: the store has a move before the engine hears of it; a mapping that does not run reads it
//! when it starts; what a task does not answer in time is said, not guessed.

use std::time::Duration;

use penstock_engine::fault::FaultKind;
use penstock_engine::ids::{MappingId, ShardId};
use penstock_engine::io::{Checkpoint, Input, SkippedRange};

use crate::error::{RuntimeError, StoreError};
use crate::mapping::Command;
use crate::runtime::Runtime;
use crate::state::Moved;

/// How long a skip may take to be saved.
const SKIP_WAIT: Duration = Duration::from_secs(10);

/// Why an operator's move was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    /// The runtime or the mapping is not there.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Runtime {
    /// Puts these checkpoints in place of what is saved, each under a new fence; a mapping that
    /// runs goes on from them.
    ///
    /// # Errors
    ///
    /// When an embedded stream does not have a position, the state cannot be written, or the
    /// runtime is closed; then nothing was moved.
    pub fn move_checkpoints(
        &self,
        mapping: &MappingId,
        rows: Vec<(ShardId, Checkpoint)>,
    ) -> Result<Vec<Moved>, MoveError> {
        self.check_open()?;
        for (shard, checkpoint) in &rows {
            self.state()
                .check_position(checkpoint.incarnation, shard, &checkpoint.position)?;
        }
        let rows = rows
            .into_iter()
            .map(|(shard, checkpoint)| (shard, Some(checkpoint)));
        self.put(mapping, rows.collect())
    }

    fn put(
        &self,
        mapping: &MappingId,
        rows: Vec<(ShardId, Option<Checkpoint>)>,
    ) -> Result<Vec<Moved>, MoveError> {
        let moved = self.state().move_checkpoints(mapping, rows)?;
        for row in &moved {
            let told = self.tell(
                mapping,
                Input::Moved {
                    shard: row.shard.clone(),
                    checkpoint: Box::new(row.after.clone()),
                },
            );
            match told {
                Ok(()) | Err(RuntimeError::UnknownMapping(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(moved)
    }

    /// Lets go of the records of a shard that wait for their destination, saves that, and gives
    /// the shard a new fence.
    ///
    /// # Errors
    ///
    /// When the mapping does not run, or it could not be saved in time: then the records may come
    /// again.
    pub fn skip(
        &self,
        mapping: &MappingId,
        shard: &ShardId,
    ) -> Result<(Vec<SkippedRange>, Vec<Moved>), MoveError> {
        self.check_open()?;
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.roster
            .send(mapping, Command::Skip(shard.clone(), sender))?;
        let answer = self
            .handle()
            .block_on(async { tokio::time::timeout(SKIP_WAIT, receiver).await });
        let Ok(Ok((ranges, true))) = answer else {
            let message = format!(
                "what was skipped in shard {shard} could not be saved, so it may come again"
            );
            return Err(StoreError::new(FaultKind::Transient, message).into());
        };
        if ranges.is_empty() {
            return Ok((ranges, Vec::new()));
        }
        Ok((ranges, self.put(mapping, vec![(shard.clone(), None)])?))
    }
}
