//! Keeps the leases that are held: renewing, losing and handing over.
//!
//! Rules: a lease has one renewal under way; it is lost when a write under it was refused, and
//! never because something was read; a lease that is drained is renewed like any other.

use super::row::Row;
use super::write::Write;
use super::{JITTER, LeaseMachine, Output, Pending, Timer};
use crate::ids::{Fence, ShardId};
use crate::mutants::{self, Mutant};
use crate::time::Mono;

/// A lease that is held.
#[derive(Debug)]
pub(super) struct Held {
    /// Its fence.
    pub fence: Fence,
    /// When its last accepted write was sent.
    pub sent: Mono,
    /// How far it is with being handed over.
    pub stage: Stage,
}

/// How far a lease is with being handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is not.
    Serving,
    /// The reader finishes what runs.
    Draining,
    /// The reader is done; the row is being given up.
    Releasing,
}

impl LeaseMachine {
    /// Renews a lease whose time has come, or gives it up.
    pub(super) fn keep(&mut self, shard: &ShardId, now: Mono) {
        let Some(held) = self.held.get(shard) else {
            return;
        };
        let due = held.sent + self.config.renew_after().mul_f64(1.0 - JITTER);
        if held.stage != Stage::Releasing && now < due {
            return;
        }
        let (owner, fence) = (self.me.clone(), held.fence);
        let (pending, write) = match held.stage {
            Stage::Serving | Stage::Draining => (
                Pending::Renew(shard.clone(), fence),
                Write::Renew { owner, fence },
            ),
            Stage::Releasing => (
                Pending::Release(shard.clone(), fence),
                Write::Release { owner, fence },
            ),
        };
        if !self.is_open(&pending) {
            self.write(pending, shard.clone(), write, now);
        }
    }

    /// A renewal was accepted.
    pub(super) fn renewed(&mut self, row: Row, fence: Fence, sent: Mono, now: Mono) {
        let shard = row.shard.clone();
        let wanted = row.wanted_by.as_ref().is_some_and(|by| *by != self.me);
        self.observe(row, now);
        self.extend(&shard, fence, sent, now);
        if wanted {
            self.revoke(&shard, now);
        }
    }

    /// A lease goes on, counted from when its renewal was sent.
    fn extend(&mut self, shard: &ShardId, fence: Fence, sent: Mono, now: Mono) {
        let until = self.until(sent);
        let Some(held) = self.held.get_mut(shard).filter(|held| held.fence == fence) else {
            return;
        };
        held.sent = sent;
        if held.stage != Stage::Releasing {
            self.outputs.push_back(Output::Renewed {
                shard: shard.clone(),
                fence,
                until,
            });
            self.renew_later(shard, sent, now);
        }
    }

    pub(super) fn renew_later(&mut self, shard: &ShardId, sent: Mono, now: Mono) {
        let after = self.jittered(self.config.renew_after());
        self.arm((sent + after).max(now), Timer::Keep(shard.clone()));
    }

    /// From when on nothing may start under a lease whose last accepted write was sent then.
    pub(super) fn until(&self, sent: Mono) -> Mono {
        if mutants::active(Mutant::LeaseStopForgotten) {
            return Mono(u64::MAX);
        }
        sent + self.config.stop_after()
    }

    /// Asks the reader to come to an end, once.
    pub(super) fn revoke(&mut self, shard: &ShardId, now: Mono) {
        let Some(held) = self.held.get_mut(shard) else {
            return;
        };
        if held.stage != Stage::Serving {
            return;
        }
        held.stage = Stage::Draining;
        let fence = held.fence;
        self.outputs.push_back(Output::Revoked {
            shard: shard.clone(),
            fence,
        });
        if mutants::active(Mutant::LeaseMovedUndrained) {
            self.quiet(shard, fence, now);
        }
    }

    /// The reader has come to an end: by itself, at the end of the shard, too.
    pub(super) fn quiet(&mut self, shard: &ShardId, fence: Fence, now: Mono) {
        let Some(held) = self.held.get_mut(shard).filter(|held| held.fence == fence) else {
            return;
        };
        held.stage = Stage::Releasing;
        self.keep(shard, now);
    }

    /// The row is given up.
    pub(super) fn released(&mut self, row: Row, fence: Fence, now: Mono) {
        let shard = &row.shard;
        if self.held.get(shard).is_some_and(|held| held.fence == fence) {
            self.held.remove(shard);
        }
        self.observe(row, now);
    }

    /// A write under the lease was refused: somebody else has the row, or nobody.
    pub(super) fn lose(&mut self, shard: &ShardId, fence: Fence) {
        let Some(held) = self.held.get(shard).filter(|held| held.fence == fence) else {
            return;
        };
        if held.stage != Stage::Releasing {
            self.outputs.push_back(Output::Lost {
                shard: shard.clone(),
                fence,
            });
        }
        self.held.remove(shard);
    }

    /// A write's condition does not hold.
    pub(super) fn refused(&mut self, pending: Pending, row: Option<Row>, sent: Mono, now: Mono) {
        if let Some(row) = row {
            self.observe(row, now);
        }
        match pending {
            Pending::Renew(shard, fence) if mutants::active(Mutant::StolenLeaseKept) => {
                self.extend(&shard, fence, sent, now);
            }
            Pending::Renew(shard, fence) | Pending::Release(shard, fence) => {
                self.lose(&shard, fence);
            }
            // Somebody was quicker; what to do now is decided when all rows have been seen again.
            Pending::Take(_) | Pending::Ask(_) => {}
            Pending::Scan | Pending::Read(_) => panic!("nothing can refuse {pending:?}"),
        }
    }

    /// Nothing is known of a request.
    pub(super) fn failed(&mut self, pending: Pending, sent: Mono, now: Mono) {
        let again = now + self.jittered(self.config.again_after());
        match pending {
            Pending::Renew(shard, fence) if mutants::active(Mutant::LeaseRenewedThoughFailed) => {
                self.extend(&shard, fence, sent, now);
            }
            Pending::Renew(shard, _) | Pending::Release(shard, _) => {
                self.arm(again, Timer::Keep(shard));
            }
            Pending::Scan => self.arm(again, Timer::Scan),
            // Whether they took effect is in the table, and the next scan tells.
            Pending::Read(_) | Pending::Take(_) | Pending::Ask(_) => {}
        }
    }

    /// Takes nothing more and hands over what is held.
    pub(super) fn leave(&mut self, now: Mono) {
        self.leaving = true;
        let shards: Vec<ShardId> = self.held.keys().cloned().collect();
        for shard in shards {
            self.revoke(&shard, now);
        }
    }

    pub(super) fn say_left(&mut self) {
        let taking = |(pending, _): &(Pending, Mono)| matches!(pending, Pending::Take(_));
        let busy = !self.held.is_empty() || self.open.values().any(taking);
        if self.leaving && !self.left && !busy {
            self.left = true;
            self.outputs.push_back(Output::Left);
        }
    }
}
