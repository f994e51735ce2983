//! Looks at the others' rows, takes what is nobody's and asks for what is one too many elsewhere.
//!
//! Rules: what was read decides only what to try; whether it happens is the conditional write's
//! to say; rows are tried in an order of chance, so that processes do not race for one.

use super::balance::Shares;
use super::keeping::{Held, Stage};
use super::row::Row;
use super::seen::Seen;
use super::write::Write;
use super::{LeaseMachine, Output, Pending, Timer};
use crate::ids::{Fence, OpId, Owner, ShardId};
use crate::mutants::{self, Mutant};
use crate::time::Mono;

/// Whose a readable shard is.
#[derive(Debug, PartialEq, Eq)]
enum Whose {
    /// This process's, or will be when it is given what it has asked for.
    Mine,
    /// Another's, or will be.
    Theirs(Owner),
    /// Nobody's: it can be taken.
    Free,
}

impl LeaseMachine {
    /// Looks at all rows.
    pub(super) fn scan(&mut self, now: Mono) {
        if !self.leaving && !self.is_open(&Pending::Scan) {
            let op = self.begin(Pending::Scan, now);
            self.outputs.push_back(Output::Scan { op });
        }
    }

    /// All rows were read.
    pub(super) fn scanned(&mut self, op: OpId, rows: Vec<Row>, now: Mono) {
        let (pending, _) = self.close(op);
        assert_eq!(pending, Pending::Scan, "{op:?} is no scan");
        let shards: Vec<ShardId> = rows.iter().map(|row| row.shard.clone()).collect();
        self.rows.scanned(op, rows, now);
        for shard in shards {
            self.watch(shard, now);
        }
        let after = self.jittered(self.config.scan_after());
        self.arm(now + after, Timer::Scan);
        self.decide(now);
    }

    /// One row was read, or came with an answer.
    pub(super) fn observe(&mut self, row: Row, now: Mono) {
        let shard = row.shard.clone();
        self.rows.observe(row, now);
        self.watch(shard, now);
    }

    /// Arms what a row of others may need: a look at when it would be stale, and at short
    /// intervals when this process has asked for it.
    fn watch(&mut self, shard: ShardId, now: Mono) {
        let Some(seen) = self.rows.find(&shard) else {
            return;
        };
        if seen.row.ended() || self.held.contains_key(&shard) {
            return;
        }
        let asked = seen.row.wanted_by.as_ref() == Some(&self.me);
        let stale = Timer::Stale(shard.clone());
        if seen.row.owner.is_some() && self.watched.insert(stale.clone()) {
            let at = seen.since + self.config.lease;
            self.arm(at, stale);
        }
        let look = Timer::Look(shard);
        if asked && self.watched.insert(look.clone()) {
            self.arm(now + self.config.look_after(), look);
        }
    }

    /// A row may have been unchanged for a whole lease.
    pub(super) fn look_whether_stale(&mut self, shard: ShardId, now: Mono) {
        let Some(seen) = self.rows.find(&shard) else {
            return;
        };
        if seen.stale(self.config.lease, now) {
            self.decide(now);
        } else {
            self.watch(shard, now);
        }
    }

    /// Looks whether a row that was asked for has been given up.
    pub(super) fn look(&mut self, shard: ShardId, now: Mono) {
        let pending = Pending::Read(shard.clone());
        if !self.leaving && !self.held.contains_key(&shard) && !self.is_open(&pending) {
            let op = self.begin(pending, now);
            self.outputs.push_back(Output::Read { op, shard });
        }
    }

    /// Takes and asks for what is this process's share.
    pub(super) fn decide(&mut self, now: Mono) {
        if self.leaving {
            return;
        }
        let mut shares = Shares::new(self.me.clone());
        let (mut free, mut movable) = (Vec::new(), Vec::new());
        for seen in self.rows.readable() {
            match self.whose(seen, now) {
                Whose::Mine => shares.add(Some(&self.me)),
                Whose::Theirs(owner) => {
                    shares.add(Some(&owner));
                    if seen.row.owner.as_ref() == Some(&owner) && seen.row.fence.is_none() {
                        shares.cannot_hear(&owner);
                    }
                    if self.movable(seen, now) {
                        movable.push((owner, seen.row.shard.clone()));
                    }
                }
                Whose::Free => {
                    shares.add(None);
                    free.push(seen.row.shard.clone());
                }
            }
        }
        self.shuffle(&mut free);
        self.shuffle(&mut movable);
        while shares.wants_more()
            && let Some(shard) = free.pop()
        {
            shares.take();
            self.take(shard, now);
        }
        if free.is_empty() {
            self.ask_for_share(shares, movable, now);
        }
    }

    fn ask_for_share(&mut self, mut shares: Shares, mut movable: Vec<(Owner, ShardId)>, now: Mono) {
        let mut asked = false;
        while let Some(owner) = shares.richer(asked)
            && let Some(place) = movable.iter().position(|(holder, _)| *holder == owner)
        {
            let (_, shard) = movable.swap_remove(place);
            shares.give(&owner);
            asked = true;
            self.ask(shard, now);
        }
    }

    fn whose(&self, seen: &Seen, now: Mono) -> Whose {
        let shard = &seen.row.shard;
        let wanted_by = |by: &Option<Owner>| match by {
            Some(by) if *by != self.me => Whose::Theirs(by.clone()),
            _ => Whose::Mine,
        };
        if let Some(held) = self.held.get(shard) {
            return match held.stage {
                Stage::Serving => Whose::Mine,
                Stage::Draining | Stage::Releasing => wanted_by(&seen.row.wanted_by),
            };
        }
        if self.is_open(&Pending::Take(shard.clone())) || self.is_open(&Pending::Ask(shard.clone()))
        {
            return Whose::Mine;
        }
        if seen.stale(self.config.lease, now) {
            return Whose::Free;
        }
        match (&seen.row.owner, &seen.row.wanted_by) {
            // A lease of this process that it does not know of: the answer to a take was lost.
            (Some(owner), _) if *owner == self.me => Whose::Free,
            (Some(_), Some(_)) => wanted_by(&seen.row.wanted_by),
            (Some(owner), None) => Whose::Theirs(owner.clone()),
            (None, Some(by)) if *by != self.me => Whose::Theirs(by.clone()),
            (None, _) => Whose::Free,
        }
    }

    /// Whether a shard that another holds can be asked for: by a holder that knows of asking, that
    /// nobody has asked, and that has had it for a while.
    fn movable(&self, seen: &Seen, now: Mono) -> bool {
        let settled = now.since(seen.held_since) >= self.config.settle_after();
        let thrash = mutants::active(Mutant::LeasesThrash);
        let asked = seen.row.wanted_by.is_some();
        seen.row.owner.is_some() && seen.row.fence.is_some() && !asked && (settled || thrash)
    }

    fn take(&mut self, shard: ShardId, now: Mono) {
        let Some(seen) = self.rows.find(&shard) else {
            return;
        };
        let raised = seen.highest.max(seen.row.counter) + 1;
        let write = Write::Take {
            owner: self.me.clone(),
            from: seen.row.owner.clone(),
            seen: seen.row.counter,
            counter: if mutants::active(Mutant::LeaseFenceReused) {
                seen.row.fence.map_or(raised, |fence| fence.0)
            } else {
                raised
            },
        };
        self.write(Pending::Take(shard.clone()), shard, write, now);
    }

    fn ask(&mut self, shard: ShardId, now: Mono) {
        let seen = self.rows.find(&shard).map(|seen| &seen.row);
        let Some((Some(from), Some(fence))) = seen.map(|row| (row.owner.clone(), row.fence)) else {
            return;
        };
        let owner = self.me.clone();
        let write = Write::Ask { owner, from, fence };
        self.write(Pending::Ask(shard.clone()), shard, write, now);
    }

    /// The row is this process's.
    pub(super) fn taken(&mut self, row: Row, sent: Mono, now: Mono) {
        let shard = row.shard.clone();
        let fence = row.fence.unwrap_or(Fence(row.counter));
        let over = row.ended() || self.leaving;
        let held = Held {
            fence,
            sent,
            stage: if over {
                Stage::Releasing
            } else {
                Stage::Serving
            },
        };
        let before = self.held.insert(shard.clone(), held);
        assert!(before.is_none(), "a lease on {shard} was taken twice");
        if over {
            self.keep(&shard, now);
        } else {
            let until = self.until(sent);
            self.outputs.push_back(Output::Granted {
                fence,
                row: Box::new(row.clone()),
                until,
            });
            self.renew_later(&shard, sent, now);
        }
        self.observe(row, now);
    }

    fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            let chance = self.rng.unit() * (last + 1) as f64;
            things.swap(last, (chance as usize).min(last));
        }
    }
}
