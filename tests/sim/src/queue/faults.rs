//! Says how badly a queue behaves.
//!
//! Rules: rates are per thousand; a fate is drawn when a request is made.

use std::time::Duration;

use penstock_engine::fault::{Fault, FaultKind};

use crate::random::Random;

/// How often, and how.
#[derive(Debug, Clone)]
pub struct QueueFaults {
    /// The usual latency of a request, in milliseconds, from and to.
    pub latency_ms: (u64, u64),
    /// How often a request is slow instead.
    pub slow: u32,
    /// How slow, in milliseconds, from and to.
    pub slow_ms: (u64, u64),
    /// Requests of any kind that are throttled.
    pub throttled: u32,
    /// Requests of any kind that fail and are not done.
    pub fails: u32,
    /// Requests that are done, and said not to be.
    pub lost: u32,
    /// Receives that find nothing though there is something.
    pub empty: u32,
    /// Messages of a delete or a change of visibility that are refused one by one.
    pub refused: u32,
    /// Receives of a standard queue that bring a message which somebody has.
    pub duplicates: u32,
}

impl QueueFaults {
    /// A world where everything works, and at once.
    #[must_use]
    pub fn none() -> Self {
        Self {
            latency_ms: (0, 0),
            slow: 0,
            slow_ms: (0, 0),
            throttled: 0,
            fails: 0,
            lost: 0,
            empty: 0,
            refused: 0,
            duplicates: 0,
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

    /// What becomes of a request: whether it is done, and what is said if not that it worked.
    pub fn fate(&self, random: &mut Random) -> (bool, Option<Fault>) {
        if random.chance(self.throttled) {
            let after = random.chance(300).then(|| random.millis(100, 3_000));
            return (
                false,
                Some(Fault::new(FaultKind::Throttled { after }, "slow down")),
            );
        }
        if random.chance(self.fails) {
            let kinds = [
                FaultKind::Transient,
                FaultKind::Transient,
                FaultKind::Denied,
            ];
            return (
                false,
                Some(Fault::new(random.pick(&kinds), "it does not work now")),
            );
        }
        let lost = random.chance(self.lost);
        let lost = lost.then(|| Fault::new(FaultKind::Transient, "the answer was lost"));
        (true, lost)
    }
}
