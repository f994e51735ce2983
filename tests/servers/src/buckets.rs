//! Token buckets: the rates a real service allows a shard, in real time.
//!
//! A bucket holds one second's worth. A taker may overdraw it once and then waits until it is
//! above zero again: so a read of 10 MiB at 2 MiB a second shuts a shard for some five seconds.

use std::time::Instant;

/// One bucket.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket that refills at a rate per second.
    #[must_use]
    pub fn new(rate: f64, now: Instant) -> Self {
        Self {
            rate,
            level: rate,
            at: now,
        }
    }

    /// Whether at least `amount` is there, without taking it.
    #[must_use]
    pub fn holds(&mut self, amount: f64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.rate).min(self.rate);
        self.at = now;
        self.level >= amount
    }

    /// Takes an amount, below zero if need be.
    pub fn take(&mut self, amount: f64) {
        self.level -= amount;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn five_a_second_then_none_until_it_refills() {
        let start = Instant::now();
        let mut bucket = Bucket::new(5.0, start);
        for _ in 0..5 {
            assert!(bucket.holds(1.0, start));
            bucket.take(1.0);
        }
        assert!(!bucket.holds(1.0, start));
        assert!(!bucket.holds(1.0, start + Duration::from_millis(190)));
        assert!(bucket.holds(1.0, start + Duration::from_millis(210)));
        assert!(
            !bucket.holds(6.0, start + Duration::from_secs(60)),
            "it holds one second's worth"
        );
    }

    #[test]
    fn an_overdrawn_bucket_pays_back() {
        let start = Instant::now();
        let mut bucket = Bucket::new(2.0, start);
        bucket.take(10.0);
        assert!(!bucket.holds(0.1, start + Duration::from_millis(3900)));
        assert!(bucket.holds(0.1, start + Duration::from_millis(4100)));
    }
}
