//! Sequence numbers: which shard a record is in, and where.
//!
//! A number grows within its shard, and a child's numbers stand above its parent's. They are
//! longer in later generations, so whoever compares them as text gets the order wrong.

use std::fmt;

/// What one shard's generation adds to its numbers: seven times this, so that lengths differ soon.
const GENERATION: u128 = 7 * INDEX_MAX * SERIAL_MAX;
const INDEX_MAX: u128 = 10_u128.pow(16);
/// One more than the highest serial number of a shard.
pub const SERIAL_MAX: u128 = 1_000_000;

/// A sequence number, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceNumber {
    /// How many ancestors its shard has, and one.
    pub generation: u32,
    /// The record's place in its shard, from 1; 0 stands before all records.
    pub index: u64,
    /// The shard's number in its stream.
    pub serial: u32,
}

impl SequenceNumber {
    /// Reads a number; `None` when it cannot come from here.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if !text.bytes().all(|byte| byte.is_ascii_digit()) || text.starts_with('0') {
            return None;
        }
        let number: u128 = text.parse().ok()?;
        let (generation, rest) = (number / GENERATION, number % GENERATION);
        let index = rest / SERIAL_MAX;
        (generation > 0 && index < INDEX_MAX).then_some(())?;
        Some(Self {
            generation: u32::try_from(generation).ok()?,
            index: u64::try_from(index).ok()?,
            serial: u32::try_from(rest % SERIAL_MAX).ok()?,
        })
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generation = u128::from(self.generation) * GENERATION;
        let index = u128::from(self.index) * SERIAL_MAX;
        write!(out, "{}", generation + index + u128::from(self.serial))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_along_a_lineage_but_not_as_text() {
        let number = |generation, index| SequenceNumber {
            generation,
            index,
            serial: 3,
        };
        let texts = [
            number(1, 0),
            number(1, 1),
            number(1, 9_999_999),
            number(2, 0),
        ]
        .map(|number| number.to_string());
        let mut values = texts.each_ref().map(|text| text.parse::<u128>().ok());
        assert!(values.is_sorted());
        values.sort_unstable();
        assert!(texts[2] > texts[3], "a longer number that begins lower");
        for text in &texts {
            assert!((21..=40).contains(&text.len()), "{text}");
        }
        assert_eq!(SequenceNumber::parse(&texts[2]), Some(number(1, 9_999_999)));
    }

    #[test]
    fn what_is_no_number_of_ours_is_none() {
        for text in [
            "",
            "0",
            "12",
            "-1",
            "7x",
            "69999999999999999999999",
            &"9".repeat(40),
        ] {
            assert_eq!(SequenceNumber::parse(text), None, "{text}");
        }
    }
}
