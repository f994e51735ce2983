//! Names streams and shards, and places partition keys on shards as Kinesis does.

use md5::{Digest, Md5};
use penstock_engine::ids::ShardId;

use crate::error::StreamError;

/// The most shards that a stream is created with.
pub const SHARDS_MAX: u32 = 1_000;

/// The longest name.
const NAME_CHARACTERS_MAX: usize = 128;

const ARN_PREFIX: &str = "arn:aws:penstock:::stream/";

/// The ARN of an embedded stream; AWS's own patterns accept it.
#[must_use]
pub fn stream_arn(name: &str) -> String {
    format!("{ARN_PREFIX}{name}")
}

/// The name in the ARN of an embedded stream; `None` when it is not one.
#[must_use]
pub fn stream_name(arn: &str) -> Option<&str> {
    arn.strip_prefix(ARN_PREFIX)
}

pub(super) fn check_name(name: &str) -> Result<(), StreamError> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if (1..=NAME_CHARACTERS_MAX).contains(&name.len()) && name.bytes().all(good) {
        Ok(())
    } else {
        Err(StreamError::InvalidName(name.to_owned()))
    }
}

pub(super) fn shard_id(shard: u32) -> ShardId {
    ShardId::new(format!("shardId-{shard:012}"))
}

/// The number in a shard's name; `None` when it is not one of ours.
pub(super) fn shard_number(id: &ShardId) -> Option<u32> {
    let number = id.as_str().strip_prefix("shardId-")?;
    (number.len() == 12).then(|| number.parse().ok()).flatten()
}

/// The hash keys of one shard, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HashRange {
    pub(super) first: u128,
    pub(super) last: u128,
}

impl HashRange {
    pub(super) fn contains(self, hash: u128) -> bool {
        (self.first..=self.last).contains(&hash)
    }

    /// The two parts below and from `at`; `None` when one would be empty.
    pub(super) fn split_at(self, at: u128) -> Option<[Self; 2]> {
        (self.first < at && at <= self.last).then(|| {
            [
                Self {
                    last: at - 1,
                    ..self
                },
                Self { first: at, ..self },
            ]
        })
    }

    /// Where the upper half begins.
    pub(super) fn middle(self) -> u128 {
        self.first + (self.last - self.first) / 2 + 1
    }

    /// Both ranges as one; `None` when they do not touch.
    pub(super) fn joined(self, other: Self) -> Option<Self> {
        let (low, high) = if self.first < other.first {
            (self, other)
        } else {
            (other, self)
        };
        (low.last.checked_add(1) == Some(high.first)).then_some(Self {
            first: low.first,
            last: high.last,
        })
    }
}

/// The hash key of a partition key: its MD5, read as a big-endian number.
pub(super) fn hash_of(partition_key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key.as_bytes()).into())
}

/// All hash keys in `count` ranges of the same size; the last takes the remainder.
pub(super) fn even_ranges(count: u32) -> Vec<HashRange> {
    let count = u128::from(count.max(1));
    // 2^128 / count, though 2^128 itself does not fit.
    let step = u128::MAX / count + u128::from(u128::MAX % count == count - 1 && count > 1);
    (0..count)
        .map(|nth| HashRange {
            first: step * nth,
            last: if nth == count - 1 {
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
    fn names_are_checked() {
        for name in ["a", "orders-failed", "A.b_c-9", &"x".repeat(128)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "a b", "ä", "a/b", "a\n", &"x".repeat(129)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert_eq!(stream_name(&stream_arn("orders")), Some("orders"));
        assert_eq!(
            stream_name("arn:aws:kinesis:eu-west-1:1:stream/orders"),
            None
        );
    }

    #[test]
    fn shard_names_survive_the_round_trip() {
        assert_eq!(shard_id(7).as_str(), "shardId-000000000007");
        assert_eq!(shard_number(&shard_id(u32::MAX)), Some(u32::MAX));
        for foreign in ["", "shardId-7", "shardId-0000000000ab", "x"] {
            assert_eq!(shard_number(&ShardId::new(foreign)), None, "{foreign}");
        }
    }

    #[test]
    fn a_partition_key_has_the_hash_of_the_service() {
        assert_eq!(hash_of("a"), 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661);
    }

    #[test]
    fn even_ranges_cover_every_hash_once() {
        for count in [1, 2, 3, 7, 64, SHARDS_MAX] {
            let ranges = even_ranges(count);
            assert_eq!(ranges.len(), count as usize);
            assert_eq!(
                (ranges[0].first, ranges[ranges.len() - 1].last),
                (0, u128::MAX)
            );
            assert!(
                ranges
                    .windows(2)
                    .all(|pair| pair[0].last + 1 == pair[1].first)
            );
        }
        assert_eq!(even_ranges(2)[1].first, 1 << 127);
    }

    #[test]
    fn a_range_splits_in_the_middle_and_joins_again() {
        let all = even_ranges(1)[0];
        let [low, high] = all.split_at(all.middle()).expect("it is large enough");
        assert_eq!(high.first, 1 << 127);
        assert_eq!(high.joined(low), Some(all));
        assert_eq!(low.joined(low), None);
        assert_eq!(all.split_at(0), None);
        let one = HashRange { first: 5, last: 5 };
        assert_eq!(one.split_at(one.middle()), None);
    }
}
