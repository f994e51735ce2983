//! Says how badly the world behaves: how slow each port is, and how often it fails and how.
//!
//! Rules: rates are per thousand requests; a fate is drawn when a request is made, so that the
//! order in which requests come back follows from the seed alone.

use std::time::Duration;

use penstock_engine::fault::{Fault, FaultKind};

use crate::random::Random;

/// How often, and how.
#[derive(Debug, Clone)]
pub struct Faults {
    /// The usual latency of a port, in milliseconds, from and to.
    pub latency_ms: (u64, u64),
    /// How often a request is slow instead.
    pub slow: u32,
    /// How slow, in milliseconds, from and to.
    pub slow_ms: (u64, u64),
    /// Listings that fail.
    pub list: u32,
    /// Reads that are throttled.
    pub throttled: u32,
    /// Reads that fail for no reason, or for a lack of rights.
    pub read: u32,
    /// Reads whose iterator has expired.
    pub expired: u32,
    /// Reads whose answer would be too large.
    pub too_large: u32,
    /// Reads that come back empty though there is data.
    pub empty: u32,
    /// Answers to reads that come in two parts.
    pub parts: u32,
    /// Answers in parts that break off behind the first.
    pub broken_off: u32,
    /// Leases that are refused for a moment.
    pub lease: u32,
    /// Rows and checkpoints that are not saved.
    pub store: u32,
    /// Rows and checkpoints that are saved, and said not to be.
    pub store_lost: u32,
    /// Documents that are not taken.
    pub destination: u32,
    /// Documents that are taken, and said not to be.
    pub destination_lost: u32,
    /// Whether reading from a trimmed position is said to be so, as DynamoDB does, or goes on at
    /// the oldest record in silence, as Kinesis does.
    pub trimmed_aloud: bool,
    /// Whether an ended shard names its children.
    pub names_children: bool,
}

impl Faults {
    /// A world where everything works, and at once.
    #[must_use]
    pub fn none() -> Self {
        Self {
            latency_ms: (0, 0),
            slow: 0,
            slow_ms: (0, 0),
            list: 0,
            throttled: 0,
            read: 0,
            expired: 0,
            too_large: 0,
            empty: 0,
            parts: 0,
            broken_off: 0,
            lease: 0,
            store: 0,
            store_lost: 0,
            destination: 0,
            destination_lost: 0,
            trimmed_aloud: true,
            names_children: true,
        }
    }

    /// A world where everything works and takes some time.
    #[must_use]
    pub fn calm() -> Self {
        Self {
            latency_ms: (1, 20),
            ..Self::none()
        }
    }

    /// How long a request takes.
    pub fn latency(&self, random: &mut Random) -> Duration {
        let (least, most) = if random.chance(self.slow) {
            self.slow_ms
        } else {
            self.latency_ms
        };
        random.millis(least, most)
    }

    /// What becomes of a read.
    pub fn read_fault(&self, random: &mut Random) -> Option<Fault> {
        if random.chance(self.throttled) {
            let after = random.chance(500).then(|| random.millis(100, 3_000));
            return Some(Fault::new(FaultKind::Throttled { after }, "slow down"));
        }
        if random.chance(self.expired) {
            return Some(Fault::new(FaultKind::Expired, "the iterator has expired"));
        }
        if random.chance(self.too_large) {
            return Some(Fault::new(FaultKind::TooLarge, "the answer is too large"));
        }
        random.chance(self.read).then(|| broken(random))
    }

    /// What breaks an answer off behind its first part.
    pub fn broken_off(&self, random: &mut Random) -> Option<Fault> {
        let breaks = random.chance(self.broken_off);
        breaks.then(|| Fault::new(FaultKind::Transient, "the answer was cut off"))
    }

    /// What becomes of a listing.
    pub fn list_fault(&self, random: &mut Random) -> Option<Fault> {
        random.chance(self.list).then(|| {
            let throttled = FaultKind::Throttled { after: None };
            if random.chance(300) {
                Fault::new(throttled, "slow down")
            } else {
                broken(random)
            }
        })
    }

    /// What becomes of a request to the store: whether it is done, and what is said.
    pub fn store_fate(&self, random: &mut Random) -> (bool, Option<Fault>) {
        fate(self.store, self.store_lost, random)
    }

    /// What becomes of a document: whether it is taken, and what is said.
    pub fn destination_fate(&self, random: &mut Random) -> (bool, Option<Fault>) {
        fate(self.destination, self.destination_lost, random)
    }

    /// What becomes of a request for a lease.
    pub fn lease_fault(&self, random: &mut Random) -> Option<Fault> {
        random
            .chance(self.lease)
            .then(|| Fault::new(FaultKind::Transient, "the store is away"))
    }
}

fn fate(fails: u32, lost: u32, random: &mut Random) -> (bool, Option<Fault>) {
    if random.chance(fails) {
        return (false, Some(broken(random)));
    }
    let lost = random.chance(lost);
    (
        true,
        lost.then(|| Fault::new(FaultKind::Transient, "the answer was lost")),
    )
}

fn broken(random: &mut Random) -> Fault {
    let throttled = FaultKind::Throttled { after: None };
    let kinds = [
        FaultKind::Transient,
        FaultKind::Transient,
        FaultKind::Denied,
        throttled,
    ];
    Fault::new(random.pick(&kinds), "it does not work now")
}
