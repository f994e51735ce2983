//! Names the things that the engine keeps apart: mappings, shards, positions, requests.
//!
//! Rules: a sequence number is compared as a whole number of any length, never as text and never
//! as 64 bits; a position is the truth about a place in a shard and is the only thing saved.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::time::Wall;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text as it is.
            #[must_use]
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize,
            Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);
    };
}

text_id!(
    /// A mapping's UUID, as text.
    MappingId
);
text_id!(
    /// A shard's name within its stream.
    ShardId
);
text_id!(
    /// One life of a process that holds leases; never used again by another.
    Owner
);
number_id!(
    /// One request of the engine to its driver; the answer bears the same number.
    OpId(u64)
);
number_id!(
    /// One call of the handler.
    InvocationId(u64)
);
number_id!(
    /// The number that proves that a lease is still held; it only grows.
    Fence(u64)
);
number_id!(
    /// One uninterrupted tenure of a shard in this process; answers of an older one are dropped.
    Epoch(u64)
);
number_id!(
    /// One worker's place in a pool, stable while the worker lives.
    SlotId(u32)
);
number_id!(
    /// The id that a handler sees as `aws_request_id`; the same for every retry of one batch.
    RequestId(u128)
);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        let parts = [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ];
        f.write_str(&parts.join("-"))
    }
}

/// A record's place in its shard: a whole number of up to 129 digits.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SequenceNumber(Arc<str>);

impl SequenceNumber {
    /// Wraps the decimal digits as the source wrote them.
    #[must_use]
    pub fn new(digits: impl Into<Arc<str>>) -> Self {
        Self(digits.into())
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Compares two sequence numbers, given as decimal digits, by their value.
#[must_use]
pub fn compare_sequence_numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_sequence_numbers(&self.0, &other.0)
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where to read a shard from next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Position {
    /// The oldest record that the source still has.
    TrimHorizon,
    /// The first record that arrived at or after this moment.
    AtTimestamp(Wall),
    /// Behind this record. `sub` counts user records inside an aggregated one; `None` means the
    /// whole record.
    After {
        /// The record.
        sequence: SequenceNumber,
        /// The last user record inside it that is done, when not all of them are.
        sub: Option<u64>,
    },
    /// Behind the last record of a shard that has ended; outlives the shard's listing.
    ShardEnd,
}

impl Position {
    /// Behind the whole record with this sequence number.
    #[must_use]
    pub fn after(sequence: SequenceNumber) -> Self {
        Self::After {
            sequence,
            sub: None,
        }
    }

    /// Whether this position is at or behind `other`, as far as the two can be compared: a
    /// position without a sequence number is before every sequence number and before the end.
    #[must_use]
    pub fn covers(&self, other: &Position) -> bool {
        match (self, other) {
            (Self::ShardEnd, _) => true,
            (_, Self::ShardEnd) => false,
            (
                Self::After {
                    sequence: a,
                    sub: x,
                },
                Self::After {
                    sequence: b,
                    sub: y,
                },
            ) => (a, x.unwrap_or(u64::MAX)) >= (b, y.unwrap_or(u64::MAX)),
            (Self::After { .. }, _) => true,
            (_, Self::After { .. }) => false,
            (Self::AtTimestamp(a), Self::AtTimestamp(b)) => a >= b,
            (Self::AtTimestamp(_), Self::TrimHorizon) | (Self::TrimHorizon, Self::TrimHorizon) => {
                true
            }
            (Self::TrimHorizon, Self::AtTimestamp(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_compare_by_value() {
        let number = |text: &str| SequenceNumber::new(text);
        assert!(number("9") < number("10"));
        assert!(number("49590338271490256608559692538361571095921575989136588898") > number("9"));
        assert_eq!(number("007").cmp(&number("7")), Ordering::Equal);
        assert_eq!(compare_sequence_numbers("0", ""), Ordering::Equal);
    }

    #[test]
    fn request_ids_print_as_uuids() {
        assert_eq!(
            RequestId(0xab).to_string(),
            "00000000-0000-0000-0000-0000000000ab"
        );
    }

    #[test]
    fn positions_cover_what_is_before_them() {
        let at = |text: &str| Position::after(SequenceNumber::new(text));
        assert!(Position::ShardEnd.covers(&at("5")));
        assert!(at("10").covers(&at("9")) && !at("9").covers(&at("10")));
        assert!(at("1").covers(&Position::TrimHorizon));
        assert!(!Position::TrimHorizon.covers(&at("1")));
        let half = Position::After {
            sequence: SequenceNumber::new("5"),
            sub: Some(3),
        };
        assert!(at("5").covers(&half) && !half.covers(&at("5")));
    }
}
