//! Says how long to wait, given how often something has failed.
//!
//! Rules: a wait is `min(cap, base * 2^(failures - 1))` and jitter is around it, so it can exceed
//! the cap by the jitter; nothing here overflows; `failures` counts from 1.
//!
//! Whether to try again at all is for others to decide.

use std::time::Duration;

use crate::config::BackoffConfig;
use crate::rng::Rng;

/// How far faults of sources, stores and destinations jitter.
const FAULT_JITTER: f64 = 0.2;
const SLOW_BASE: Duration = Duration::from_millis(200);
const SLOW_CAP: Duration = Duration::from_secs(30);
const THROTTLED_BASE: Duration = Duration::from_secs(1);
const THROTTLED_CAP: Duration = Duration::from_secs(30);

/// How long to wait before a batch that has failed `failures` times is tried again.
#[must_use]
pub fn delay(config: &BackoffConfig, failures: u32, rng: &mut Rng) -> Duration {
    around(curve(config.base, config.cap, failures), config.jitter, rng)
}

/// How long to wait before a source, store or destination that fails is asked again.
#[must_use]
pub fn slow(failures: u32, rng: &mut Rng) -> Duration {
    around(curve(SLOW_BASE, SLOW_CAP, failures), FAULT_JITTER, rng)
}

/// How long to wait before a source that asked to slow down is asked again: never less than the
/// `after` that it named, and never less than a second, which is how long Kinesis punishes.
#[must_use]
pub fn throttled(failures: u32, after: Option<Duration>, rng: &mut Rng) -> Duration {
    let wait = curve(THROTTLED_BASE, THROTTLED_CAP, failures).max(after.unwrap_or_default());
    wait.saturating_add(wait.mul_f64(FAULT_JITTER * rng.unit()).min(THROTTLED_CAP))
}

fn curve(base: Duration, cap: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1);
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    base.saturating_mul(factor).min(cap)
}

fn around(wait: Duration, jitter: f64, rng: &mut Rng) -> Duration {
    let factor = 1.0 + jitter * (2.0 * rng.unit() - 1.0);
    Duration::try_from_secs_f64(wait.as_secs_f64() * factor).unwrap_or(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(jitter: f64) -> BackoffConfig {
        BackoffConfig {
            base: Duration::from_millis(250),
            cap: Duration::from_secs(60),
            jitter,
        }
    }

    #[test]
    fn waits_double_up_to_the_cap() {
        let mut rng = Rng::new(1);
        let waits: Vec<u128> = (1..=10)
            .map(|k| delay(&config(0.0), k, &mut rng).as_millis())
            .collect();
        let doubled = [
            250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000,
        ];
        assert_eq!(waits, doubled);
    }

    #[test]
    fn any_count_of_failures_is_fine() {
        let mut rng = Rng::new(1);
        for failures in [0, 1, 31, 32, 33, 64, 10_001, u32::MAX] {
            assert!(delay(&config(0.2), failures, &mut rng) <= Duration::from_secs(72));
            assert!(slow(failures, &mut rng) <= Duration::from_secs(36));
            assert!(throttled(failures, None, &mut rng) <= Duration::from_secs(36));
        }
        let endless = BackoffConfig {
            base: Duration::MAX,
            cap: Duration::MAX,
            jitter: 1.0,
        };
        assert!(delay(&endless, u32::MAX, &mut rng) > Duration::ZERO);
    }

    #[test]
    fn jitter_goes_both_ways_and_no_further() {
        let mut rng = Rng::new(2);
        let waits: Vec<Duration> = (0..1_000)
            .map(|_| delay(&config(0.2), 3, &mut rng))
            .collect();
        let (low, high) = (Duration::from_millis(800), Duration::from_millis(1_200));
        assert!(waits.iter().all(|wait| (low..=high).contains(wait)));
        assert!(waits.iter().any(|wait| *wait < Duration::from_millis(850)));
        assert!(
            waits
                .iter()
                .any(|wait| *wait > Duration::from_millis(1_150))
        );
    }

    #[test]
    fn a_throttled_wait_is_never_below_what_was_asked() {
        let mut rng = Rng::new(3);
        for _ in 0..1_000 {
            assert!(throttled(1, None, &mut rng) >= Duration::from_secs(1));
            let asked = Duration::from_secs(45);
            assert!(throttled(1, Some(asked), &mut rng) >= asked);
            assert!(throttled(1, Some(asked), &mut rng) <= asked + Duration::from_secs(9));
        }
        assert_eq!(throttled(1, Some(Duration::MAX), &mut rng), Duration::MAX);
    }
}
