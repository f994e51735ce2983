//! Tells the server's time, which tests can move.
//!
//! It starts at the machine's time, runs with a monotonic clock, and moves forward only: what the
//! server stamps (arrivals, `Date`, iterators, retention) follows it; delays and token buckets
//! follow real time instead, so that moving the clock never ends a fault early.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The server's clock.
#[derive(Debug)]
pub struct Clock {
    born: Instant,
    born_ms: u64,
    ahead_ms: AtomicU64,
    moved: Notify,
}

impl Clock {
    /// A clock that shows the machine's time now.
    #[must_use]
    pub fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let born_ms = whole_ms(since_epoch.unwrap_or(Duration::ZERO));
        Self {
            born: Instant::now(),
            born_ms,
            ahead_ms: AtomicU64::new(0),
            moved: Notify::new(),
        }
    }

    /// Milliseconds since 1970 by this clock.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.born_ms + self.uptime_ms() + self.ahead_ms.load(Ordering::Relaxed)
    }

    /// Real milliseconds since the server started, untouched by [`Clock::advance`].
    #[must_use]
    pub fn uptime_ms(&self) -> u64 {
        whole_ms(self.born.elapsed())
    }

    /// Moves the clock forward.
    pub fn advance(&self, ms: u64) {
        self.ahead_ms.fetch_add(ms, Ordering::Relaxed);
        self.moved.notify_waiters();
    }

    /// Resolves when the clock is moved after this call.
    pub fn moved(&self) -> Notified<'_> {
        self.moved.notified()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// A time as the `Date` header writes it: `Tue, 24 Nov 2026 15:00:00 GMT`.
#[must_use]
pub fn http_date(ms: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (civil, name) = (Civil::from_ms(ms), DAYS[(ms / 86_400_000 % 7) as usize]);
    format!(
        "{name}, {:02} {} {} {:02}:{:02}:{:02} GMT",
        civil.day,
        MONTHS[civil.month as usize - 1],
        civil.year,
        civil.hour,
        civil.minute,
        civil.second
    )
}

/// A time as `X-Amz-Date` writes it: `20261124T150000Z`.
#[must_use]
pub fn amz_date(ms: u64) -> String {
    let civil = Civil::from_ms(ms);
    format!(
        "{}{:02}{:02}T{:02}{:02}{:02}Z",
        civil.year, civil.month, civil.day, civil.hour, civil.minute, civil.second
    )
}

/// A time as labels of streams write it: `2026-11-24T15:00:00.123`.
#[must_use]
pub fn iso_date(ms: u64) -> String {
    let civil = Civil::from_ms(ms);
    format!(
        "{}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}",
        civil.year,
        civil.month,
        civil.day,
        civil.hour,
        civil.minute,
        civil.second,
        ms % 1000
    )
}

/// Reads what [`amz_date`] writes.
#[must_use]
pub fn parse_amz_date(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let days = days_from_civil(part(0, 4)?, part(4, 6)?, part(6, 8)?)?;
    Some((((days * 24 + part(9, 11)?) * 60 + part(11, 13)?) * 60 + part(13, 15)?) * 1000)
}

struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Civil {
    /// The proleptic Gregorian calendar, counted in eras of 400 years that begin in March.
    fn from_ms(ms: u64) -> Self {
        let seconds = ms / 1000;
        let days = seconds / 86_400 + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 {
            shifted + 3
        } else {
            shifted - 9
        };
        Self {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted + 2) / 5 + 1,
            hour: seconds / 3600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
        }
    }
}

fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_and_read() {
        assert_eq!(
            http_date(1_791_558_245_000),
            "Fri, 09 Oct 2026 15:04:05 GMT"
        );
        assert_eq!(http_date(951_782_400_000), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(amz_date(1_791_558_245_000), "20261009T150405Z");
        assert_eq!(iso_date(1_791_558_245_007), "2026-10-09T15:04:05.007");
        assert_eq!(parse_amz_date("20261009T150405Z"), Some(1_791_558_245_000));
        assert_eq!(parse_amz_date("20000229T000000Z"), Some(951_782_400_000));
        assert_eq!(parse_amz_date("2026-10-09T15:04Z"), None);
    }

    #[test]
    fn advancing_moves_time_but_not_uptime() {
        let clock = Clock::new();
        let (before, uptime) = (clock.now_ms(), clock.uptime_ms());
        clock.advance(3_600_000);
        assert!(clock.now_ms() >= before + 3_600_000);
        assert!(clock.uptime_ms() < uptime + 3_600_000);
    }
}
