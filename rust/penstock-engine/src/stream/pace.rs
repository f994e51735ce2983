//! Says how much a shard's next read asks for, and when it is.
//!
//! Rules: no wait between reads that returned data while there is more, at most so many reads a
//! second at the tip, and one every `idle_interval` when nothing comes, at moments that idle shards
//! share; no read of more than is soon handed out.

use std::time::Duration;

use super::reader::Reader;
use crate::config::MappingConfig;
use crate::time::{Mono, Now};

/// Batches of every lane that one read is for.
const READ_BATCHES: u32 = 10;
/// Bytes that a read may bring however small batches are: five of them a second, which is what a
/// shard of Kinesis allows, are several times what it gives.
const READ_BYTES: u64 = 2 << 20;
/// Moments in an idle interval at which shards are read where nothing comes. To be woken for each
/// shard by itself costs as much again as to read it.
const IDLE_MOMENTS: u32 = 40;

impl Reader {
    /// Records that the next read asks for. Small batches take long to work off what a whole answer
    /// brings, and all the while it would be held.
    pub fn asks_for(&self, config: &MappingConfig) -> u32 {
        let batches = READ_BATCHES
            .saturating_mul(config.batch_size)
            .saturating_mul(u32::from(config.lanes));
        let bytes = u32::try_from(READ_BYTES / self.bytes_per_record).unwrap_or(u32::MAX);
        self.limit.min(batches.max(bytes))
    }

    pub fn expects(&self, limit: u32, config: &MappingConfig) -> u64 {
        (u64::from(limit) * self.bytes_per_record).min(config.source.fetch_bytes_max)
    }

    pub fn weigh(&mut self, bytes: u64, records: usize) {
        let each = bytes / (records as u64).max(1);
        self.bytes_per_record = (self.bytes_per_record + each.max(64)) / 2;
    }

    pub fn pace(&mut self, config: &MappingConfig, got_records: bool, now: Now) {
        let source = &config.source;
        let spacing = source.tip_reads_per_second.map_or(Duration::ZERO, |reads| {
            Duration::from_secs(1) / reads.max(1)
        });
        let behind = self.behind_ms.is_some_and(|behind| behind > 0);
        let waited = source.fetch_wait > Duration::ZERO
            && now.mono.since(self.started) * 2 >= source.fetch_wait;
        self.next_at = match (got_records, behind) {
            (true, true) => now.mono,
            (true, false) | (false, true) => self.started + spacing,
            (false, false) if waited => now.mono,
            (false, false) => shared(self.started + source.idle_interval, source.idle_interval),
        };
        self.next_at = self.next_at.max(now.mono);
    }
}

/// The nearest of the moments that the idle shards of a mapping share: sooner or later by the same
/// on average, so that a shard is read as often as without.
fn shared(at: Mono, interval: Duration) -> Mono {
    let between = u64::try_from((interval / IDLE_MOMENTS).as_nanos()).unwrap_or(u64::MAX);
    let half = between / 2;
    let moments = at.0.saturating_add(half).checked_div(between);
    moments.map_or(at, |nth| Mono(nth.saturating_mul(between)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Position;
    use crate::stream::testing::config;

    fn reader(config: &MappingConfig, bytes_per_record: u64) -> Reader {
        let mut reader = Reader::new(Position::TrimHorizon, config);
        reader.bytes_per_record = bytes_per_record;
        reader
    }

    #[test]
    fn a_read_is_for_some_batches_or_for_what_a_shard_gives() {
        let mut config = config("{}");
        config.source.fetch_records_max = 10_000;
        config.batch_size = 100;
        assert_eq!(reader(&config, 50_000).asks_for(&config), 1_000);
        assert_eq!(reader(&config, 1_024).asks_for(&config), 2_048);
        config.batch_size = 10_000;
        assert_eq!(reader(&config, 50_000).asks_for(&config), 10_000);
        config.source.fetch_records_max = 500;
        assert_eq!(reader(&config, 50_000).asks_for(&config), 500);
    }

    #[test]
    fn idle_shards_share_moments_and_are_read_as_often_as_without() {
        let second = Duration::from_secs(1);
        let (step, half) = (25_000_000, 12_500_000);
        assert_eq!(shared(Mono(7 * step), second), Mono(7 * step));
        assert_eq!(shared(Mono(7 * step + half - 1), second), Mono(7 * step));
        assert_eq!(shared(Mono(7 * step + half), second), Mono(8 * step));
        // An interval too short to be cut.
        assert_eq!(shared(Mono(5), Duration::from_nanos(3)), Mono(5));
    }
}
