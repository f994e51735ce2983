//! Decides when a checkpoint is saved.
//!
//! Rules: at most one save of a shard is in flight, later ones coalesce; what counts as saved
//! changes only when the store has said so; a checkpoint moves forward only; while saving fails,
//! only so many records are handed out beyond what was saved.

use super::core::{Core, Pending, Timer};
use super::shard::{Shard, State};
use crate::backoff;
use crate::fault::{Fault, FaultKind};
use crate::ids::{OpId, Position};
use crate::io::{NoticeLevel, Output};
use crate::limits;
use crate::mutants::{self, Mutant};
use crate::time::{Mono, Now, Wall};

#[derive(Debug)]
pub(crate) struct Saver {
    pub op: Option<OpId>,
    pub saved: Position,
    pub saved_ordinal: u64,
    pub dirty_since: Option<Wall>,
    pub failures: u32,
    pub fault: Option<(Fault, Wall)>,
    retry_at: Mono,
    sent_at: Mono,
    sent: Option<(Position, u64, Wall)>,
}

impl Default for Saver {
    fn default() -> Self {
        Self::new(Position::TrimHorizon, 0)
    }
}

impl Saver {
    pub fn new(saved: Position, saved_ordinal: u64) -> Self {
        Self {
            op: None,
            saved,
            saved_ordinal,
            dirty_since: None,
            failures: 0,
            fault: None,
            retry_at: Mono(0),
            sent_at: Mono(0),
            sent: None,
        }
    }

    /// Something is worth saving.
    pub fn mark(&mut self, now: Wall) {
        self.dirty_since.get_or_insert(now);
    }

    /// Whether everything that was worth saving is saved.
    pub fn clean(&self) -> bool {
        self.op.is_none() && self.dirty_since.is_none()
    }
}

impl Shard {
    /// Saves if there is something new and no save is in flight.
    ///
    /// # Panics
    /// When the checkpoint would go back: a broken promise, better stopped than saved.
    pub fn save(&mut self, core: &mut Core, now: Now) {
        let Some(dirty_since) = self.saver.dirty_since else {
            return;
        };
        if !self.held() || self.saver.op.is_some() || self.saver.retry_at > now.mono {
            return;
        }
        let checkpoint = self.checkpoint();
        assert!(
            self.state == State::Priming || checkpoint.position.covers(&self.saver.saved),
            "the checkpoint of shard {} would go back from {:?} to {:?}",
            self.id,
            self.saver.saved,
            checkpoint.position
        );
        let op = core.open(Pending::Save {
            shard: self.place,
            epoch: self.epoch,
        });
        self.saver.op = Some(op);
        self.saver.sent_at = now.mono;
        self.saver.sent = Some((checkpoint.position.clone(), self.watermark(), dirty_since));
        self.saver.dirty_since = None;
        self.skip_sent();
        core.emit(Output::SaveCheckpoint {
            op,
            shard: self.id.clone(),
            checkpoint: Box::new(checkpoint),
            fence: self.fence,
        });
    }

    /// The store has it.
    pub fn saved(&mut self, core: &mut Core, now: Now) {
        self.saver.op = None;
        self.skip_answered(true, core);
        self.saver.failures = 0;
        if self.saver.fault.take().is_some() {
            core.transition("save:recovered");
        }
        if let Some((position, ordinal, _)) = self.saver.sent.take() {
            self.saver.saved = position;
            self.saver.saved_ordinal = ordinal;
        }
        if self.state == State::Priming {
            self.enter(State::Reading, core, now);
        }
        if self.state == State::Draining && self.saver.saved == Position::ShardEnd {
            self.end(core, now);
            return;
        }
        self.save(core, now);
        self.step_lanes(core, now);
        self.read(core, now);
    }

    /// The store has refused or failed.
    pub fn save_failed(&mut self, fault: Fault, core: &mut Core, now: Now) {
        self.saver.op = None;
        if fault.kind == FaultKind::Fenced {
            core.transition("save:fenced");
            self.lose(core, now);
            return;
        }
        if mutants::active(Mutant::AdvanceThoughWriteFailed) {
            return self.saved(core, now);
        }
        self.skip_answered(false, core);
        core.transition("save:failed");
        let since = self
            .saver
            .sent
            .take()
            .map_or(now.wall, |(_, _, since)| since);
        self.saver.dirty_since = Some(since);
        self.saver.failures += 1;
        if self.saver.fault.is_none() {
            core.notify(
                NoticeLevel::Warn,
                "checkpoint_fault",
                Some(&self.id),
                format!(
                    "the checkpoint of shard {} cannot be saved: {fault}",
                    self.id
                ),
            );
        }
        let first = self.saver.fault.take().map_or(now.wall, |(_, since)| since);
        self.saver.fault = Some((fault, first));
        let wait = backoff::slow(self.saver.failures, &mut core.jitter);
        self.saver.retry_at = now.mono + wait;
        core.arm(self.saver.retry_at, Timer::Saver(self.place));
    }

    /// From where the distance of records that are handed out is counted.
    pub fn ahead_from(&self, now: Mono) -> u64 {
        if self.saves_badly(now) {
            self.saver.saved_ordinal
        } else {
            self.watermark()
        }
    }

    /// Whether saving fails, or hangs: a crash would repeat ever more.
    pub fn saves_badly(&self, now: Mono) -> bool {
        let hangs = self.saver.op.is_some() && now - self.saver.sent_at > limits::SAVE_PATIENCE;
        self.saver.fault.is_some() || hangs
    }
}
