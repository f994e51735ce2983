//! Numbers as DynamoDB keeps them: decimal text of at most 38 digits, written in one way only.

/// The most significant digits of a number.
const DIGITS_MAX: usize = 38;
/// Where the decimal point of a number may stand, counted from its first digit.
const POINT_MIN: i64 = -129;
const POINT_MAX: i64 = 126;

/// A decimal number: sign, digits without zeros at either end, and where its point stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    negative: bool,
    digits: Vec<u8>,
    point: i64,
}

impl Number {
    /// Reads a number; `None` when it is none, or has too many digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole.as_bytes(), fraction.as_bytes()].concat();
        if all.is_empty() || !all.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let leading = all.iter().take_while(|digit| **digit == b'0').count();
        let trailing = all.iter().rev().take_while(|digit| **digit == b'0').count();
        let kept = leading..all.len().saturating_sub(trailing).max(leading);
        let point = whole.len() as i64 - leading as i64 + i64::from(exponent);
        Self::new(negative, all[kept].to_vec(), point)
    }

    /// How many bytes of an item it takes: one for two digits, one more, one for a minus.
    #[must_use]
    pub fn size(&self) -> usize {
        self.digits.len().div_ceil(2) + 1 + usize::from(self.negative)
    }

    /// The sum of two numbers, or their difference; `None` when it has too many digits.
    #[must_use]
    pub fn plus(&self, other: &Self, subtract: bool) -> Option<Self> {
        let (mine, theirs) = (self.scale(), other.scale());
        let scale = mine.max(theirs);
        let mut right = other.scaled(scale)?;
        if subtract {
            right = -right;
        }
        let sum = self.scaled(scale)?.checked_add(right)?;
        Self::parse(&format!("{sum}e{}", -scale))
    }

    fn new(negative: bool, digits: Vec<u8>, point: i64) -> Option<Self> {
        if digits.is_empty() {
            return Some(Self {
                negative: false,
                digits,
                point: 0,
            });
        }
        let fits = digits.len() <= DIGITS_MAX && (POINT_MIN..=POINT_MAX).contains(&point);
        fits.then_some(Self {
            negative,
            digits,
            point,
        })
    }

    /// How many digits stand behind the point; negative when zeros stand before it.
    fn scale(&self) -> i64 {
        self.digits.len() as i64 - self.point
    }

    /// The number times ten to a power that makes it whole; `None` when that is too large.
    fn scaled(&self, scale: i64) -> Option<i128> {
        let text = std::str::from_utf8(&self.digits).ok()?;
        let digits: i128 = if text.is_empty() {
            0
        } else {
            text.parse().ok()?
        };
        let power = 10_i128.checked_pow(u32::try_from(scale - self.scale()).ok()?)?;
        let whole = digits.checked_mul(power)?;
        Some(if self.negative { -whole } else { whole })
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.negative {
            out.write_str("-")?;
        }
        let text = String::from_utf8_lossy(&self.digits);
        let point = usize::try_from(self.point).unwrap_or(0);
        if text.is_empty() {
            out.write_str("0")
        } else if self.point <= 0 {
            let zeros = usize::try_from(-self.point).unwrap_or(0);
            write!(out, "0.{}{text}", "0".repeat(zeros))
        } else if point >= text.len() {
            write!(out, "{text}{}", "0".repeat(point - text.len()))
        } else {
            write!(out, "{}.{}", &text[..point], &text[point..])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Option<String> {
        Number::parse(text).map(|number| number.to_string())
    }

    #[test]
    fn a_number_has_one_spelling() {
        for (text, plain) in [
            ("0", "0"),
            ("-0.00", "0"),
            ("007", "7"),
            ("1.50", "1.5"),
            ("-1.5e3", "-1500"),
            ("25E-4", "0.0025"),
            ("+100", "100"),
            (".5", "0.5"),
            ("123.456", "123.456"),
        ] {
            assert_eq!(written(text).as_deref(), Some(plain), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let long = "1".repeat(39);
        for text in ["", "-", "1x", "NaN", "1e", "1e200", "1e-200", " 1", &long] {
            assert_eq!(written(text), None, "{text}");
        }
        assert!(written(&"1".repeat(38)).is_some());
    }

    #[test]
    fn numbers_add_up() {
        let number = |text| Number::parse(text).expect("a number");
        let sum = |one, other, minus| {
            number(one)
                .plus(&number(other), minus)
                .map(|sum| sum.to_string())
        };
        assert_eq!(sum("1", "2", false).as_deref(), Some("3"));
        assert_eq!(sum("0.1", "0.2", false).as_deref(), Some("0.3"));
        assert_eq!(sum("100", "100", true).as_deref(), Some("0"));
        assert_eq!(sum("-5", "1e3", false).as_deref(), Some("995"));
        assert_eq!(sum("1e100", "1", false), None);
    }

    #[test]
    fn a_number_is_as_large_as_its_digits() {
        let sizes = ["0", "101", "1e9", "-12"].map(|text| Number::parse(text).map(|n| n.size()));
        assert_eq!(sizes, [Some(1), Some(3), Some(2), Some(3)]);
    }
}
