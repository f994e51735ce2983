//! Writes sequence numbers in Kinesis's form, and reads them back.
//!
//! A number is 47 hexadecimal digits written in decimal, always 56 of them: `2`, the second its
//! shard was born (9 digits), the last digit of the shard's number (1), the record's number in the
//! shard (16), `00`, the second of arrival (9), the shard's number (8) and the version `2`. So
//! numbers grow within a shard, and a child born in a later second than its parents stands above
//! everything they hold.

use std::io::Write;

/// How many decimal digits every number has.
pub(super) const DIGITS: usize = 56;

/// The parts of a sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sequence {
    /// The second in which the shard was born.
    pub(super) born_s: u64,
    /// The record's number in its shard, from 1.
    pub(super) record: u64,
    /// The second of arrival.
    pub(super) arrived_s: u64,
    /// The shard's number in its stream.
    pub(super) shard: u32,
}

const MASK_36: u64 = (1 << 36) - 1;
const MASK_48: u64 = (1 << 48) - 1;
const GROUP: u128 = 10_000_000_000_000_000_000;

impl Sequence {
    /// Reads a number; `None` when it is not one of these.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() != DIGITS || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mut limbs = [0_u64; 3];
        for group in [&text[..18], &text[18..37], &text[37..]] {
            let scale = if group.len() == 18 { GROUP / 10 } else { GROUP };
            let mut carry = u128::from(group.parse::<u64>().ok()?);
            for limb in limbs.iter_mut().rev() {
                let product = u128::from(*limb) * scale + carry;
                *limb = low_half(product);
                carry = product >> 64;
            }
        }
        let middle = u128::from(limbs[0]) << 64 | u128::from(limbs[1]);
        let low = u128::from(limbs[1]) << 64 | u128::from(limbs[2]);
        let sequence = Self {
            born_s: low_half(middle >> 84) & MASK_36,
            record: low_half(low >> 80) & MASK_48 | (limbs[0] & 0xffff) << 48,
            arrived_s: low_half(low >> 36) & MASK_36,
            shard: u32::try_from(low >> 4 & 0xffff_ffff).ok()?,
        };
        (sequence.limbs() == limbs).then_some(sequence)
    }

    /// Appends the digits.
    pub(super) fn write_to(self, text: &mut Vec<u8>) {
        let mut limbs = self.limbs();
        let mut groups = [0_u64; 3];
        for group in groups.iter_mut().rev() {
            let mut rest = 0_u128;
            for limb in &mut limbs {
                let value = rest << 64 | u128::from(*limb);
                *limb = low_half(value / GROUP);
                rest = value % GROUP;
            }
            *group = low_half(rest);
        }
        write!(text, "{:018}{:019}{:019}", groups[0], groups[1], groups[2])
            .expect("a vector takes any bytes");
    }

    /// The digits.
    pub(super) fn digits(self) -> String {
        let mut text = Vec::with_capacity(DIGITS);
        self.write_to(&mut text);
        String::from_utf8(text).expect("digits are text")
    }

    /// The 188 bits, most significant limb first.
    fn limbs(self) -> [u64; 3] {
        let high = 2 << 56
            | (self.born_s & MASK_36) << 20
            | u64::from(self.shard & 0xf) << 16
            | self.record >> 48;
        let low = u128::from(self.record & MASK_48) << 80
            | u128::from(self.arrived_s & MASK_36) << 36
            | u128::from(self.shard) << 4
            | 2;
        [high, low_half(low >> 64), low_half(low)]
    }
}

/// The lower 64 bits.
fn low_half(value: u128) -> u64 {
    (value & u128::from(u64::MAX)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Sequence = Sequence {
        born_s: 1_545_084_650,
        record: 1,
        arrived_s: 1_545_084_651,
        shard: 6,
    };

    #[test]
    fn numbers_have_the_form_and_size_of_the_service() {
        let digits = FIRST.digits();
        assert_eq!(digits.len(), DIGITS);
        assert!(digits.starts_with("4959"), "{digits}");
    }

    #[test]
    fn every_part_survives_the_round_trip() {
        for record in [1, MASK_48, MASK_48 + 1, i64::MAX as u64] {
            for shard in [0, 15, 16, u32::MAX] {
                for born_s in [1, 1_545_084_650, 4_102_444_800] {
                    let sequence = Sequence {
                        born_s,
                        record,
                        shard,
                        ..FIRST
                    };
                    assert_eq!(Sequence::parse(&sequence.digits()), Some(sequence));
                }
            }
        }
    }

    #[test]
    fn numbers_grow_with_the_record_and_with_the_birth_of_the_shard() {
        let at = |born_s, record| {
            Sequence {
                born_s,
                record,
                ..FIRST
            }
            .digits()
        };
        assert!(at(1_545_084_650, 1) < at(1_545_084_650, 2));
        assert!(at(1_545_084_650, MASK_48) < at(1_545_084_650, MASK_48 + 1));
        assert!(at(1_545_084_650, i64::MAX as u64) < at(1_545_084_651, 1));
    }

    #[test]
    fn numbers_of_the_service_have_the_same_parts() {
        let service = "49590338271490256608559692538361571095921575989136588898";
        let sequence = Sequence::parse(service).expect("it has the form");
        assert_eq!(
            (sequence.born_s, sequence.arrived_s),
            (1_542_776_258, 1_545_084_650)
        );
        assert_eq!(sequence.shard, 6);
        assert_eq!(sequence.digits(), service);
    }

    #[test]
    fn foreign_numbers_are_refused() {
        let other_version = "49590338271490256608559692538361571095921575989136588897";
        for text in [
            "",
            "0",
            "abc",
            "123456",
            other_version,
            &"9".repeat(56),
            &"1".repeat(56),
        ] {
            assert_eq!(Sequence::parse(text), None, "{text}");
        }
    }
}
