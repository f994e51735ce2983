//! Keeps to the leases of a stream that several processes share.
//!
//! Rules: a shard is read while it is granted, and nothing of it starts from the moment on at
//! which somebody else may have it; a shard that moves by plan starts nothing new, finishes what
//! runs, saves, and is given up then, so that nothing comes twice; a shard that ended elsewhere
//! counts as ended here, and its children may begin, when nothing of it runs here any more. A
//! stream that is not shared knows none of this: its shards are granted for good.
//!
//! Who gets which shard is the [lease machine](crate::lease)'s to decide.

use super::StreamMachine;
use super::core::Core;
use super::shard::{Shard, State};
use crate::ids::{Fence, Position, ShardId};
use crate::io::{Checkpoint, NoticeLevel, Output};
use crate::mutants::{self, Mutant};
use crate::time::{Mono, Now};

/// What is known of the lease of a shard that several processes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shared {
    /// From when on somebody else may have it, unless it is renewed before.
    until: Mono,
    /// Whether it is being handed over.
    leaving: bool,
}

impl Shared {
    pub fn until(until: Mono) -> Self {
        Self {
            until,
            leaving: false,
        }
    }
}

impl StreamMachine {
    /// A shard is ours: reading goes on where its checkpoint says.
    pub(super) fn leased(
        &mut self,
        shard: usize,
        fence: Fence,
        checkpoint: Option<Checkpoint>,
        now: Now,
    ) {
        self.shards[shard].leased(fence, checkpoint, &mut self.core, now);
        self.detect_gap(shard, now);
        self.follow(shard, now);
    }

    pub(super) fn lease_renewed(&mut self, id: &ShardId, fence: Fence, until: Mono, now: Now) {
        if let Some(&place) = self.index.get(id) {
            self.shards[place].renewed(fence, until, &mut self.core, now);
        }
    }

    pub(super) fn lease_drains(&mut self, id: &ShardId, now: Now) {
        if let Some(&place) = self.index.get(id)
            && self.shards[place].leave(&mut self.core, now)
        {
            self.core.leaving.insert(place);
        }
    }

    /// Another process has settled a shard to its end.
    pub(super) fn ended_elsewhere(&mut self, id: ShardId, now: Now) {
        if mutants::active(Mutant::EndElsewhereForgotten) {
            return;
        }
        match self.index.get(&id) {
            Some(&place) => {
                self.shards[place].ended_elsewhere(&mut self.core, now);
                self.follow(place, now);
            }
            None => {
                let row = Checkpoint::starting_at(Position::ShardEnd, self.incarnation);
                self.resume.insert(id, row);
            }
        }
    }

    /// Gives up the shards that are to be handed over and have become quiet.
    pub(super) fn hand_over(&mut self, now: Now) {
        for place in self.core.leaving.clone() {
            let shard = &mut self.shards[place];
            if shard.leaves() && shard.held() && !shard.finished(Mutant::HandedOverUnsaved) {
                continue;
            }
            self.core.leaving.remove(&place);
            if shard.leaves() && shard.held() {
                shard.give_up(&mut self.core, now);
            }
        }
    }
}

impl Shard {
    /// Whether something of the shard may start.
    pub fn may_start(&self, now: Mono) -> bool {
        self.shared.is_none_or(|shared| {
            let over = shared.until <= now && !mutants::active(Mutant::StartedAfterLease);
            let leaving = shared.leaving && !mutants::active(Mutant::StartedWhileLeaving);
            !over && !leaving
        })
    }

    /// Whether it is being handed over.
    pub fn leaves(&self) -> bool {
        self.shared.is_some_and(|shared| shared.leaving)
    }

    /// Whether nothing runs, no document is on its way and everything that can be saved is saved:
    /// which only the planted bug `forgets`.
    pub fn finished(&self, forgets: Mutant) -> bool {
        let mut documents = self.lanes.iter().flat_map(|lane| &lane.documents);
        let unsaved = self.held() && !self.saver.clean() && !mutants::active(forgets);
        !self.running() && !documents.any(|document| document.op.is_some()) && !unsaved
    }

    /// Why nothing of the shard may start, where that is so.
    pub fn barred(&self, now: Mono) -> Option<&'static str> {
        let shared = self.shared?;
        if shared.leaving {
            return Some("the shard is being handed over to another process");
        }
        (shared.until <= now).then_some("the lease could not be renewed in time")
    }

    fn renewed(&mut self, fence: Fence, until: Mono, core: &mut Core, now: Now) {
        let Some(shared) = &mut self.shared else {
            return;
        };
        if self.fence == fence {
            shared.until = shared.until.max(until);
            self.step_lanes(core, now);
        }
    }

    /// Begins to hand the shard over; false when it is not held, or that has begun before.
    fn leave(&mut self, core: &mut Core, now: Now) -> bool {
        let held = self.held();
        let Some(shared) = self
            .shared
            .as_mut()
            .filter(|shared| held && !shared.leaving)
        else {
            return false;
        };
        shared.leaving = true;
        core.transition("shard:leaving");
        if let Some(op) = self.reader.op.take() {
            core.abandon(op);
            core.held_bytes -= std::mem::take(&mut self.reader.reserved);
        }
        self.save(core, now);
        true
    }

    /// Everything is done and saved: whoever has asked for the shard may have it.
    fn give_up(&mut self, core: &mut Core, now: Now) {
        core.transition("shard:handed_over");
        self.abandon(core);
        self.set_lanes(core.config.lanes, now.wall);
        core.emit(Output::DropLease {
            shard: self.id.clone(),
            fence: self.fence,
        });
        core.notify(
            NoticeLevel::Info,
            "lease_handed_over",
            Some(&self.id),
            format!("shard {} is handed over to another process", self.id),
        );
        self.base = self.saver.saved.clone();
        self.shared = None;
        self.lease_again(core, now);
    }

    fn ended_elsewhere(&mut self, core: &mut Core, now: Now) {
        if self.held() || self.state == State::Ended {
            return;
        }
        self.start = Position::ShardEnd;
        let asked = self.state == State::Leasing;
        if let Some(op) = self.lease_op.take_if(|_| asked) {
            core.abandon(op);
        }
        // Until its row is known to be there, or while something of it runs, it stays as it is.
        if asked || self.state == State::Waiting {
            self.close(core, now);
        }
    }

    /// Ends a shard that is settled to its end, by this process or another.
    pub fn close(&mut self, core: &mut Core, now: Now) {
        self.enter(State::Ended, core, now);
        self.shared = None;
        self.lanes = Vec::new();
        self.window = None;
        self.generations = Vec::new();
        self.base = Position::ShardEnd;
        self.saver.saved = Position::ShardEnd;
    }
}
