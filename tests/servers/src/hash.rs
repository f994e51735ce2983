//! Maps partition keys to hash keys, and splits the space of hash keys into ranges.

use md5::{Digest, Md5};

/// The hash keys of one shard, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashRange {
    /// The lowest hash key.
    pub start: u128,
    /// The highest hash key.
    pub end: u128,
}

impl HashRange {
    /// Whether a hash key falls into this range.
    #[must_use]
    pub fn contains(self, hash: u128) -> bool {
        (self.start..=self.end).contains(&hash)
    }
}

/// The hash key of a partition key: its MD5, read as a big-endian number.
#[must_use]
pub fn hash_of(partition_key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key.as_bytes()).into())
}

/// Splits all hash keys into `count` ranges of the same size; the last takes the remainder.
#[must_use]
pub fn even_ranges(count: u32) -> Vec<HashRange> {
    let count = u128::from(count.max(1));
    // 2^128 / count, though 2^128 itself does not fit.
    let rounds_up = u128::MAX % count == count - 1;
    let step = (u128::MAX / count).saturating_add(u128::from(rounds_up));
    (0..count)
        .map(|nth| HashRange {
            start: step.saturating_mul(nth),
            end: if nth == count - 1 {
                u128::MAX
            } else {
                step * (nth + 1) - 1
            },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5_places_a_key_as_the_service_does() {
        assert_eq!(hash_of("a"), 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661);
    }

    #[test]
    fn even_ranges_cover_everything_once() {
        for count in [1, 2, 3, 4, 7, 1000] {
            let ranges = even_ranges(count);
            assert_eq!(ranges.len(), count as usize);
            assert_eq!(ranges[0].start, 0);
            assert_eq!(ranges[ranges.len() - 1].end, u128::MAX);
            for pair in ranges.windows(2) {
                assert_eq!(pair[0].end + 1, pair[1].start);
            }
        }
    }

    #[test]
    fn two_shards_are_cut_where_the_service_cuts_them() {
        assert_eq!(even_ranges(2)[1].start, 1 << 127);
        assert_eq!(
            even_ranges(3)[1].start,
            113_427_455_640_312_821_154_458_202_477_256_070_485
        );
    }
}
