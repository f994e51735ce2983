//! Remembers the rows as they were last seen, and since when they have not changed.
//!
//! Rules: a holder is given up for dead when its row has been seen unchanged for a whole lease, by
//! the clock of whoever looks; any other counter than the last one is a change, a lower one too (a
//! table may be restored); a stale reading delays a take-over and cannot make one wrong, since the
//! write that takes a row is bound to the counter that was seen.

use std::collections::BTreeMap;
use std::time::Duration;

use super::row::Row;
use crate::ids::{OpId, Owner, ShardId};
use crate::mutants::{self, Mutant};
use crate::time::Mono;

/// One row.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// As it was.
    pub row: Row,
    /// Since when its counter has been this one.
    pub since: Mono,
    /// Since when it has had this holder.
    pub held_since: Mono,
    /// The highest counter that it has had.
    pub highest: u64,
    /// The scan that showed it first.
    scan: OpId,
}

impl Seen {
    /// Whether whoever should have changed the row has not done so for a whole lease.
    pub(super) fn stale(&self, lease: Duration, now: Mono) -> bool {
        now.since(self.since) >= lease
    }
}

/// All rows.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: BTreeMap<ShardId, Seen>,
    /// The last scan that was answered.
    scan: OpId,
}

impl Rows {
    /// All rows, read one after the other.
    pub(super) fn scanned(&mut self, op: OpId, rows: Vec<Row>, now: Mono) {
        let mut before = std::mem::take(&mut self.rows);
        self.scan = op;
        for row in rows {
            if let Some(seen) = before.remove(&row.shard) {
                self.rows.insert(row.shard.clone(), seen);
            }
            self.observe(row, now);
        }
    }

    /// One row.
    pub(super) fn observe(&mut self, row: Row, now: Mono) {
        let Some(seen) = self.rows.get_mut(&row.shard) else {
            let seen = Seen {
                since: now,
                held_since: now,
                highest: row.counter,
                scan: self.scan,
                row,
            };
            self.rows.insert(seen.row.shard.clone(), seen);
            return;
        };
        if (seen.row.owner.as_ref(), seen.row.counter) != (row.owner.as_ref(), row.counter) {
            seen.since = now;
        }
        if (&seen.row.owner, seen.row.fence) != (&row.owner, row.fence) {
            seen.held_since = now;
        }
        seen.highest = seen.highest.max(row.counter);
        seen.row = row;
    }

    /// One row, if it was there.
    pub(super) fn find(&self, shard: &ShardId) -> Option<&Seen> {
        self.rows.get(shard)
    }

    /// The rows whose shards may be read now: not ended, and all parents have. A parent without a
    /// row counts as ended, but only a scan that began after the child was seen can tell: rows of
    /// parents are written before those of their children.
    pub(super) fn readable(&self) -> impl Iterator<Item = &Seen> {
        let early = mutants::active(Mutant::LeaseOfChildEarly);
        let ended = move |seen: &Seen, parent: &ShardId| match self.rows.get(parent) {
            Some(parent) => parent.row.ended(),
            None => seen.scan < self.scan,
        };
        self.rows.values().filter(move |seen| {
            let parents = &seen.row.parents;
            !seen.row.ended() && (early || parents.iter().all(|parent| ended(seen, parent)))
        })
    }

    /// Every row and who holds it.
    pub(super) fn owners(&self) -> impl Iterator<Item = (&ShardId, Option<&Owner>)> {
        self.rows
            .values()
            .map(|seen| (&seen.row.shard, seen.row.owner.as_ref()))
    }
}
