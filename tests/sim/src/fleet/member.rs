//! Simulates one process: a clock of its own, the lease machine and a reader for each lease.
//!
//! Rules: its clock counts from a birth of its own, and up to a tenth too fast or too slow; a
//! reader runs one batch at a time and saves what is done, one save at a time; it starts nothing
//! when its lease's time is over, and after it was asked to come to an end.

use std::collections::BTreeMap;
use std::time::Duration;

use penstock_engine::ids::{Fence, Owner, SequenceNumber, ShardId};
use penstock_engine::lease::{LeaseConfig, LeaseMachine, Place, Row};
use penstock_engine::time::Mono;

/// Reads one shard under one lease.
#[derive(Debug)]
pub struct Reader {
    /// The lease.
    pub fence: Fence,
    /// No batch may start from this moment on, by the process's clock.
    pub until: Mono,
    /// The records below this one are done.
    pub done: usize,
    /// The records below this one are saved.
    pub saved: usize,
    /// Whether the end of the shard is saved.
    pub saved_end: bool,
    /// Where the batch that runs ends.
    pub running: Option<usize>,
    /// Whether a save is under way, or waits to be tried again.
    pub saving: bool,
    /// How many saves it has sent.
    pub saves: u64,
    /// Whether it was asked to come to an end.
    pub draining: bool,
    /// Whether it has said that it has.
    pub quiet: bool,
}

impl Reader {
    /// Begins where a row says.
    #[must_use]
    pub fn new(fence: Fence, row: &Row, until: Mono) -> Self {
        let done = records_below(&row.place);
        Self {
            fence,
            until,
            done,
            saved: done,
            saved_end: false,
            running: None,
            saving: false,
            saves: 0,
            draining: false,
            quiet: false,
        }
    }

    /// Whether nothing is under way and all that is done is saved.
    #[must_use]
    pub fn rests(&self) -> bool {
        self.running.is_none() && !self.saving && self.saved == self.done
    }
}

/// How many records are below a place.
#[must_use]
pub fn records_below(place: &Place) -> usize {
    match place {
        Place::After { sequence, .. } => sequence.as_str().parse().expect("we wrote it"),
        Place::ShardEnd => usize::MAX,
        Place::TrimHorizon | Place::Latest | Place::AtTimestamp => 0,
    }
}

/// The place behind so many records.
#[must_use]
pub fn place_after(records: usize) -> Place {
    Place::After {
        sequence: SequenceNumber::new(records.to_string()),
        sub: 0,
    }
}

/// One process.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub owner: Owner,
    /// Its leases.
    pub machine: LeaseMachine,
    /// What it reads.
    pub readers: BTreeMap<ShardId, Reader>,
    /// Whether it lives.
    pub alive: bool,
    /// Whether it was asked to leave.
    pub leaving: bool,
    /// Until when it stands still.
    pub paused_until: Mono,
    /// Until when it reaches nobody.
    pub cut_until: Mono,
    born: Mono,
    offset: u64,
    rate: u64,
}

impl Member {
    /// A process that begins now, with a clock that shows `offset` and runs at `rate` thousandths
    /// of the world's.
    #[must_use]
    pub fn new(
        number: usize,
        config: LeaseConfig,
        seed: u64,
        now: Mono,
        clock: (u64, u64),
    ) -> Self {
        let (offset, rate) = clock;
        let owner = Owner::new(format!("process-{number}"));
        Self {
            machine: LeaseMachine::new(owner.clone(), config, seed, Mono(offset)),
            owner,
            readers: BTreeMap::new(),
            alive: true,
            leaving: false,
            paused_until: now,
            cut_until: now,
            born: now,
            offset,
            rate,
        }
    }

    /// What its clock shows at a moment of the world.
    #[must_use]
    pub fn clock(&self, now: Mono) -> Mono {
        Mono(self.offset + (now.0 - self.born.0) / 1_000 * self.rate)
    }

    /// The first moment of the world at which its clock shows this, or more.
    #[must_use]
    pub fn when(&self, clock: Mono) -> Mono {
        let shown = clock.0.saturating_sub(self.offset);
        Mono(self.born.0 + shown.div_ceil(self.rate) * 1_000)
    }

    /// How long something of its own clock takes in the world.
    #[must_use]
    pub fn span(&self, span: Duration) -> Duration {
        span * 1_000 / u32::try_from(self.rate).expect("near a thousand")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_at_least_what_was_waited_for() {
        for rate in [900, 1_000, 1_077, 1_100] {
            let clock = (123_456, rate);
            let member = Member::new(0, LeaseConfig::default(), 1, Mono(7_000_000), clock);
            for shown in [123_456, 123_457, 5_000_000_001, 77_777_777_777] {
                let moment = member.when(Mono(shown));
                assert!(member.clock(moment) >= Mono(shown));
                assert!(moment.0 < 7_000_000 + shown * 12 / 10);
            }
        }
    }
}
