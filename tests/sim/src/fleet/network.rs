//! Decides what becomes of a request between a process and the table.
//!
//! Rules: a request may be lost on its way there or back, refused for its rate, or arrive long
//! after its sender has given it up; whoever sent it hears of a failure within its patience.

use std::time::Duration;

use crate::random::Random;

/// How the network behaves.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// Requests in a thousand that never arrive.
    pub lost: u32,
    /// Requests in a thousand whose answer never arrives.
    pub unanswered: u32,
    /// Requests in a thousand that arrive after their sender has given them up.
    pub late: u32,
    /// Requests in a thousand that are refused for their rate.
    pub throttled: u32,
    /// The longest way in one direction, in milliseconds.
    pub slow_ms: u64,
}

/// What becomes of a request: when it arrives, and when an answer does.
#[derive(Debug, Clone, Copy)]
pub struct Fate {
    /// How long until it takes effect, if ever.
    pub arrives: Option<Duration>,
    /// How long until its answer is there, if ever.
    pub answered: Option<Duration>,
}

impl Network {
    /// Nothing goes wrong.
    #[must_use]
    pub fn calm() -> Self {
        Self {
            lost: 0,
            unanswered: 0,
            late: 0,
            throttled: 0,
            slow_ms: 20,
        }
    }

    /// Some kinds of trouble.
    #[must_use]
    pub fn drawn(random: &mut Random) -> Self {
        let mut rate = |most: u64| {
            let rate = if random.chance(500) {
                random.below(most)
            } else {
                0
            };
            u32::try_from(rate).expect("a small rate")
        };
        let (lost, unanswered) = (rate(300), rate(300));
        let (late, throttled) = (rate(200), rate(400));
        Self {
            lost,
            unanswered,
            late,
            throttled,
            slow_ms: random.pick(&[5, 20, 200, 900]),
        }
    }

    /// The fate of one request; `cut` says that its sender reaches nobody.
    pub fn fate(&self, random: &mut Random, cut: bool, lease: Duration) -> Fate {
        let there = random.millis(1, self.slow_ms);
        let back = random.millis(1, self.slow_ms);
        let dice = u32::try_from(random.below(1_000)).expect("below a thousand");
        let mut below = 0;
        let mut is = |rate: u32| {
            let hit = (below..below + rate).contains(&dice);
            below += rate;
            hit
        };
        let (arrives, answered) = if cut || is(self.lost) {
            (None, None)
        } else if is(self.unanswered) {
            (Some(there), None)
        } else if is(self.late) {
            let most = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
            (Some(random.millis(most / 8, 3 * most)), None)
        } else if is(self.throttled) {
            (None, Some(there + back))
        } else {
            (Some(there), Some(there + back))
        };
        Fate { arrives, answered }
    }
}
