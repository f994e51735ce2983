//! Does what an operator asks of a shard: reads it from elsewhere, lets go of what is stuck.
//!
//! Rules: a move is in the store, under a fence that nobody holds, before the engine hears of it;
//! whatever was read before it counts for nothing any more; a shard is read again when its last
//! invocation has ended, or a key would run twice at once. What is skipped is dropped, counted and
//! named, and the operator is answered when a checkpoint that says so is saved, not before.

use super::core::{Core, Timer};
use super::shard::{Shard, State};
use super::{Mode, StreamMachine};
use crate::ids::{Position, ShardId};
use crate::io::{Checkpoint, NoticeLevel, Output, SkippedRange};
use crate::mutants::{self, Mutant};
use crate::time::Now;

/// What an operator let go of, until that is saved.
#[derive(Debug)]
pub(crate) struct Skipping {
    ranges: Vec<SkippedRange>,
    /// Whether the save that is under way says it.
    sent: bool,
}

impl StreamMachine {
    pub(super) fn moved(&mut self, id: ShardId, checkpoint: Checkpoint, now: Now) {
        if self.core.mode == Mode::Stopped {
            return; // the next life reads it from the store
        }
        match self.index.get(&id) {
            Some(&place) => self.shards[place].moved(checkpoint.position, &mut self.core, now),
            None => {
                self.resume.insert(id, checkpoint);
            }
        }
    }

    pub(super) fn skip(&mut self, id: ShardId, now: Now) {
        match self.index.get(&id) {
            Some(&place) if self.shards[place].held() => {
                self.shards[place].skip(&mut self.core, now);
                self.follow(place, now);
            }
            _ => self.core.emit(Output::Skipped {
                shard: id,
                ranges: Vec::new(),
                saved: true,
            }),
        }
    }
}

impl Shard {
    /// The store has another position for the shard, under a new fence.
    fn moved(&mut self, to: Position, core: &mut Core, now: Now) {
        core.transition("shard:moved");
        core.notify(
            NoticeLevel::Warn,
            "checkpoint_moved",
            Some(&self.id),
            format!(
                "the checkpoint of shard {} was moved by an operator, from {:?} to {to:?}",
                self.id, self.saver.saved
            ),
        );
        let leaves = self.held() || matches!(self.state, State::Leasing | State::Lost);
        if leaves && !mutants::active(Mutant::MoveNotFollowed) {
            self.moved = true;
            self.abandon(core);
            self.set_lanes(core.config.lanes, now.wall);
            self.enter(State::Lost, core, now);
            self.quieten(core, now);
        } else if self.state == State::Ended && to != Position::ShardEnd {
            self.set_lanes(core.config.lanes, now.wall);
            self.lease_again(core, now);
        }
        if !self.held() {
            self.start = to.clone();
            self.base = to;
        }
    }

    /// Asks for the lease again at once: nobody else has it.
    pub fn lease_again(&mut self, core: &mut Core, now: Now) {
        self.moved = false;
        self.lease_fault = None;
        self.enter(State::Waiting, core, now);
        core.arm(now.mono, Timer::Lease(self.place));
    }

    /// Lets go of documents that their destination has not taken.
    fn skip(&mut self, core: &mut Core, now: Now) {
        let mut ranges = self.drop_documents(core);
        if ranges.is_empty() || mutants::active(Mutant::SkipToldBeforeSaved) {
            self.tell_skipped(ranges, true, core);
            return;
        }
        core.transition("document:skipped");
        for range in &ranges {
            core.notify(
                NoticeLevel::Warn,
                "records_skipped",
                Some(&self.id),
                format!(
                    "{} records of shard {} that wait for their destination were let go by an \
                     operator",
                    range.records, self.id
                ),
            );
        }
        if let Some(earlier) = self.skipping.take() {
            ranges.splice(0..0, earlier.ranges);
        }
        self.skipping = Some(Skipping {
            ranges,
            sent: false,
        });
        self.after_settling(core, now);
    }

    /// A save is under way that says what was skipped.
    pub fn skip_sent(&mut self) {
        if let Some(skipping) = &mut self.skipping {
            skipping.sent = true;
        }
    }

    /// The save that was under way has ended.
    pub fn skip_answered(&mut self, saved: bool, core: &mut Core) {
        match self.skipping.take() {
            Some(skipping) if skipping.sent && saved => {
                self.tell_skipped(skipping.ranges, true, core);
            }
            Some(skipping) => {
                self.skipping = Some(Skipping {
                    sent: false,
                    ..skipping
                });
            }
            None => {}
        }
    }

    /// What was skipped and is not saved will be read again by whoever reads the shard next.
    pub fn skip_undone(&mut self, core: &mut Core) {
        if let Some(skipping) = self.skipping.take() {
            self.tell_skipped(skipping.ranges, false, core);
        }
    }

    fn tell_skipped(&self, ranges: Vec<SkippedRange>, saved: bool, core: &mut Core) {
        core.emit(Output::Skipped {
            shard: self.id.clone(),
            ranges,
            saved,
        });
    }
}
