//! Gives sequence numbers in Kinesis's form, and reads them back.
//!
//! A number is 47 hexadecimal digits written in decimal, always 56 of them: `2`, the second its
//! shard was born (9 digits), the last digit of the shard's index (1), the record's index in the
//! shard (16), `00`, the second of arrival (9), the shard's index (8) and the version `2`. So
//! numbers grow within a shard, and a child born in a later second than its parents stands above
//! everything they hold.

use std::fmt;

/// The index that ends a closed shard: above every record's.
pub const LAST_INDEX: u64 = 0x7fff_ffff_ffff_ffff;

/// The parts of one sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceNumber {
    /// The second in which the shard was born.
    pub born_s: u64,
    /// The record's index in its shard, from 1; 0 is the shard's start.
    pub index: u64,
    /// The second of arrival.
    pub arrived_s: u64,
    /// The shard's index in its stream.
    pub shard: u32,
}

impl SequenceNumber {
    /// Reads a decimal number; `None` when it is not one of this form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 56 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mut limbs = [0_u64; 3];
        for chunk in [&text[..19], &text[19..38], &text[38..]] {
            let mut carry = u128::from(chunk.parse::<u64>().ok()?);
            let scale = u128::from(10_u64.pow(u32::try_from(chunk.len()).ok()?));
            for limb in limbs.iter_mut().rev() {
                let product = u128::from(*limb) * scale + carry;
                *limb = product as u64;
                carry = product >> 64;
            }
        }
        let top = (u128::from(limbs[0]) << 64) | u128::from(limbs[1]);
        let low = (u128::from(limbs[1]) << 64) | u128::from(limbs[2]);
        let number = Self {
            born_s: (top >> 84) as u64 & MASK_36,
            index: (low >> 80) as u64 | ((top >> 64 & 0xffff) as u64) << 48,
            arrived_s: (low >> 36) as u64 & MASK_36,
            shard: (low >> 4) as u32,
        };
        (number.limbs() == limbs).then_some(number)
    }

    /// The 188 bits, most significant limb first.
    fn limbs(self) -> [u64; 3] {
        let top = 2_u64 << 56
            | (self.born_s & MASK_36) << 20
            | u64::from(self.shard & 0xf) << 16
            | self.index >> 48;
        let low = u128::from(self.index & 0xffff_ffff_ffff) << 80
            | u128::from(self.arrived_s & MASK_36) << 36
            | u128::from(self.shard) << 4
            | 2;
        [top, (low >> 64) as u64, low as u64]
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut limbs = self.limbs();
        let mut groups = [0_u64; 3];
        for group in groups.iter_mut().rev() {
            let mut rest = 0_u128;
            for limb in &mut limbs {
                let value = rest << 64 | u128::from(*limb);
                *limb = (value / TEN_19) as u64;
                rest = value % TEN_19;
            }
            *group = rest as u64;
        }
        write!(out, "{}{:019}{:019}", groups[0], groups[1], groups[2])
    }
}

const MASK_36: u64 = (1 << 36) - 1;
const TEN_19: u128 = 10_000_000_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: SequenceNumber = SequenceNumber {
        born_s: 1_545_084_650,
        index: 1,
        arrived_s: 1_545_084_651,
        shard: 6,
    };

    #[test]
    fn a_number_of_the_service_is_read_and_written_back() {
        let text = "49590338271490256608559692538361571095921575989136588898";
        let number = SequenceNumber::parse(text).expect("a number of this form");
        assert_eq!((number.arrived_s, number.shard), (1_545_084_650, 6));
        assert_eq!(number.to_string(), text);
        assert_eq!(FIRST.to_string().len(), 56);
        assert!(FIRST.to_string().starts_with("4959"));
        assert_eq!(SequenceNumber::parse(&FIRST.to_string()), Some(FIRST));
    }

    #[test]
    fn numbers_grow_with_index_and_with_the_birth_of_the_shard() {
        let at = |born_s, index| {
            SequenceNumber {
                born_s,
                index,
                ..FIRST
            }
            .to_string()
        };
        assert!(at(1_545_084_650, 1) < at(1_545_084_650, 2));
        assert!(at(1_545_084_650, 0xffff_ffff_ffff) < at(1_545_084_650, 0x1_0000_0000_0000));
        assert!(at(1_545_084_650, LAST_INDEX) < at(1_545_084_651, 0));
    }

    #[test]
    fn every_part_survives_the_round_trip() {
        for index in [0, 1, 0xffff_ffff_ffff, 0x1_0000_0000_0000, LAST_INDEX] {
            for shard in [0, 15, 16, u32::MAX] {
                let number = SequenceNumber {
                    index,
                    shard,
                    ..FIRST
                };
                assert_eq!(SequenceNumber::parse(&number.to_string()), Some(number));
            }
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "0", "abc", "123456", &"9".repeat(56), &"1".repeat(56)] {
            assert_eq!(SequenceNumber::parse(text), None, "{text}");
        }
    }
}
