//! Does what a schedule says: processes come and go, records come, shards are split and merged.

use std::time::Duration;

use penstock_engine::ids::{Owner, ShardId};
use penstock_engine::lease::Input;
use penstock_engine::time::Mono;

use super::member::Member;
use super::world::{Event, FleetWorld};
use crate::oracles::Verdict;

/// How often another program looks at the table.
const LIBRARY_TURN: Duration = Duration::from_millis(800);

/// Something that somebody does.
#[derive(Debug, Clone)]
pub enum Act {
    /// A process begins.
    Join,
    /// A process is gone, without a word.
    Crash(usize),
    /// A process is asked to leave.
    Leave(usize),
    /// A process stands still.
    Pause(usize, Duration),
    /// A process reaches nobody.
    Cut(usize, Duration),
    /// Records come to a shard, if it is open.
    Put(ShardId, usize),
    /// A shard is split in two, if it is open.
    Split(ShardId),
    /// Two shards become one, if they are open.
    Merge(ShardId, ShardId),
    /// Another program begins to take what nobody lives to read, and ends after a while.
    Library(Duration),
    /// No more records come.
    Close,
}

impl FleetWorld {
    pub(super) fn act(&mut self, act: Act) -> Verdict {
        match act {
            Act::Join => self.join(),
            Act::Crash(place) => self.members[place].alive = false,
            Act::Leave(place) if self.members[place].alive => {
                self.members[place].leaving = true;
                self.at(self.now, Event::Told(place, Input::Leave));
            }
            Act::Leave(_) => {}
            Act::Pause(place, span) => self.members[place].paused_until = self.now + span,
            Act::Cut(place, span) => self.members[place].cut_until = self.now + span,
            Act::Put(shard, count) => {
                if let Some(truth) = self.truth.shards.get_mut(&shard).filter(|it| !it.closed) {
                    truth.settled.extend(vec![None; count]);
                }
            }
            Act::Split(shard) => self.reshard(&[shard], 2),
            Act::Merge(a, b) => self.reshard(&[a, b], 1),
            Act::Library(span) => {
                let owner = Owner::new(format!("library-{}", self.now.0));
                self.as_library(&owner, self.now + span);
            }
            Act::Close => {
                for shard in self.truth.open_shards() {
                    self.truth.change(&shard).closed = true;
                }
            }
        }
        for member in 0..self.members.len() {
            if self.members[member].alive && self.members[member].paused_until <= self.now {
                self.settle(member)?;
            }
        }
        Ok(())
    }

    /// One turn of another program: it takes rows of nobody and of the dead, without waiting, and
    /// shows that it lives. At its end it gives up every other one. It reads nothing.
    pub(super) fn as_library(&mut self, owner: &Owner, until: Mono) {
        let ends = self.now >= until || self.is_calm();
        for (place, row) in self.table.rows(|_| true).into_iter().enumerate() {
            let shard = row.shard.clone();
            let lives = |holder: &Owner| self.members.iter().any(|m| m.alive && m.owner == *holder);
            match &row.owner {
                Some(holder) if holder == owner => {
                    let stays = !ends || place % 2 == 0;
                    let holder = stays.then_some(owner);
                    self.table.write_as_library(&shard, holder);
                }
                holder if !ends && !row.ended() && !holder.as_ref().is_some_and(lives) => {
                    self.table.write_as_library(&shard, Some(owner));
                    let truth = self.truth.change(&shard);
                    (truth.given_up, truth.taken) = (None, Some((owner.clone(), self.now)));
                }
                _ => {}
            }
        }
        if !ends {
            let event = Event::LibraryTurns(owner.clone(), until);
            self.at(self.now + LIBRARY_TURN, event);
        }
    }

    fn join(&mut self) {
        let clock = (
            self.random.below(1_000_000_000_000),
            self.random.between(900, 1_100),
        );
        let (number, seed) = (self.members.len(), self.random.draw());
        let member = Member::new(number, self.config, seed, self.now, clock);
        self.members.push(member);
    }

    fn reshard(&mut self, parents: &[ShardId], children: usize) {
        let open = |id: &ShardId| self.truth.shards.get(id).is_some_and(|shard| !shard.closed);
        let distinct = parents.first() != parents.last() || parents.len() == 1;
        if !distinct || !parents.iter().all(open) {
            return;
        }
        for parent in parents {
            self.truth.change(parent).closed = true;
        }
        for _ in 0..children {
            let after = self.random.millis(0, 3_000);
            self.open_shard(parents.to_vec(), Some(after));
        }
    }
}
