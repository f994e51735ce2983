//! Decides which numbers can be compared, and compares them.
//!
//! Rules: a number is comparable when the shortest text of its double is the same decimal; others
//! are only equal to the same text. Both follow Event Ruler.

use std::fmt::Write as _;

/// Decimal digits that every double keeps.
const SAFE_DIGITS: usize = 15;
/// Digits of the longest shortest text.
const DIGITS_MAX: usize = 17;
/// Powers of ten well inside the normal doubles.
const SAFE_EXPONENT: i64 = 290;

/// The double of a JSON number, if it can be compared.
pub(super) fn comparable(text: &str) -> Option<f64> {
    let decimal = Decimal::of(text);
    if decimal.count == 0 {
        return Some(0.0);
    }
    if decimal.count > DIGITS_MAX {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    if decimal.count <= SAFE_DIGITS && decimal.exponent.abs() <= SAFE_EXPONENT {
        return Some(value);
    }
    (value.is_finite() && value != 0.0 && shortest(value) == decimal).then_some(value)
}

/// The decimal that a double is shown as: of two digits at least, the nearest where one would do.
fn shortest(value: f64) -> Decimal {
    let mut text = String::new();
    let _ = write!(text, "{value:e}");
    let decimal = Decimal::of(&text);
    if decimal.count > 1 {
        return decimal;
    }
    text.clear();
    let _ = write!(text, "{value:.1e}");
    match text.parse() == Ok(value) {
        true => Decimal::of(&text),
        false => decimal,
    }
}

/// A decimal without zeros at its ends: its first digits, how many there are, and the power of ten
/// of the first.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    digits: u64,
    count: usize,
    exponent: i64,
}

impl Decimal {
    /// Reads a JSON number; digits beyond the longest shortest text are only counted.
    fn of(text: &str) -> Self {
        let (mantissa, power) = match text.find(['e', 'E']) {
            Some(place) => (&text[..place], exponent(&text[place + 1..])),
            None => (text, 0),
        };
        let (mut digits, mut count, mut zeros) = (0_u64, 0, 0);
        let (mut whole, mut leading) = (0_i64, 0_i64);
        let mut fraction = false;
        for byte in mantissa.bytes() {
            match byte {
                b'.' => fraction = true,
                b'0' if count == 0 => leading += i64::from(fraction),
                b'0' => {
                    zeros += 1;
                    whole += i64::from(!fraction);
                }
                b'1'..=b'9' => {
                    count += zeros + 1;
                    if count <= DIGITS_MAX {
                        digits = digits * 10_u64.pow(zeros as u32 + 1) + u64::from(byte - b'0');
                    }
                    zeros = 0;
                    whole += i64::from(!fraction);
                }
                _ => {}
            }
        }
        let place = if whole > 0 { whole - 1 } else { -leading - 1 };
        Self {
            digits,
            count,
            exponent: power.saturating_add(place),
        }
    }
}

/// An exponent; one that no double has stays far out of reach.
fn exponent(text: &str) -> i64 {
    let far = if text.starts_with('-') { -1 } else { 1 } * (i64::MAX / 4);
    text.parse()
        .unwrap_or(far)
        .clamp(-i64::MAX / 4, i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_when_their_shortest_text_is_the_same_decimal() {
        for text in [
            "300",
            "300.0",
            "3.0e2",
            "3e2",
            "0",
            "-0",
            "-0.0",
            "0e999",
            "5.10",
            "0.1",
            "1e22",
            "9007199254740992",
            "1e18",
            "1.7976931348623157e308",
            "4.9e-324",
            "2.5e-10",
            "1E+2",
            "100000000000000000000000000",
            "0.000001",
            "-12.5",
            "2.2250738585072014E-308",
        ] {
            assert!(comparable(text).is_some(), "{text}");
        }
        for text in [
            "9007199254740993",
            "1152921504606846976",
            "0.12345678901234567",
            "1e400",
            "1e-400",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "123456789012345678",
            "5e-324",
        ] {
            assert_eq!(comparable(text), None, "{text}");
        }
        assert_eq!(comparable("3.0e2"), comparable("300"));
        assert_eq!(comparable("-0.0"), comparable("0"));
    }

    #[test]
    fn every_shortest_text_is_comparable() {
        let mut rng = crate::rng::Rng::new(11);
        for _ in 0..50_000 {
            let value = f64::from_bits(rng.next_u64());
            if value.is_finite() {
                assert_eq!(comparable(&format!("{value:e}")), Some(value), "{value:e}");
            }
        }
    }

    #[test]
    fn long_digits_are_no_work() {
        assert_eq!(comparable(&"9".repeat(1_000_000)), None);
        assert_eq!(comparable(&format!("0.{}1", "0".repeat(1_000_000))), None);
        let thousand = format!("1000.{}", "0".repeat(1_000_000));
        assert_eq!(comparable(&thousand), Some(1_000.0));
    }
}
