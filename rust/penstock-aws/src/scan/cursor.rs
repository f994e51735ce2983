//! Goes through compact JSON from quote to quote.
//!
//! Rules: every doubt is `None`; what is taken is taken exactly as a parser of JSON would.

use std::ops::Range;

use memchr::memchr;

use super::ARRIVAL_MS_MAX;

/// Fills an empty place; `None` when a member comes twice.
pub(crate) fn put<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

/// A place in an answer.
pub(crate) struct Cursor<'a> {
    pub body: &'a [u8],
    pub at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    pub(crate) fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Goes behind a text that must stand here.
    #[inline]
    pub(crate) fn skip<const LENGTH: usize>(&mut self, text: &[u8; LENGTH]) -> Option<()> {
        (self.body[self.at..].first_chunk() == Some(text)).then(|| self.at += LENGTH)
    }

    /// Whether a comma follows, or the end of the object or list.
    pub(crate) fn more(&mut self, end: u8) -> Option<bool> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b',' => Some(true),
            byte if byte == end => Some(false),
            _ => None,
        }
    }

    /// What stands between two quotes, when it stands for itself.
    pub(crate) fn plain(&mut self) -> Option<Range<usize>> {
        let range = self.quoted()?;
        // Without an early exit, so that the compiler looks at many bytes at once.
        let escaped = |byte: u8| byte < 0x20 || byte == b'\\';
        let text = &self.body[range.clone()];
        let any = text.iter().fold(false, |any, byte| any | escaped(*byte));
        (!any).then_some(range)
    }

    /// What stands between a quote and the next one. The caller knows its letters: an escape is
    /// not among them, so that the second quote is where the string ends.
    pub(crate) fn quoted(&mut self) -> Option<Range<usize>> {
        self.eat(b'"')?;
        let start = self.at;
        let end = start + memchr(b'"', &self.body[start..])?;
        self.at = end + 1;
        Some(start..end)
    }

    pub(crate) fn member(&mut self) -> Option<Range<usize>> {
        let name = self.quoted()?;
        self.eat(b':')?;
        Some(name)
    }

    /// The text of an iterator, or none behind the end of a shard.
    pub(crate) fn iterator_range(&mut self) -> Option<Option<Range<usize>>> {
        if self.body[self.at..].starts_with(b"null") {
            self.at += 4;
            return Some(None);
        }
        self.plain().map(Some)
    }

    pub(crate) fn iterator(&mut self, text: &str) -> Option<Option<String>> {
        let range = self.iterator_range()?;
        Some(range.map(|range| text[range].to_owned()))
    }

    /// Digits without a sign, at least one.
    pub(crate) fn digits(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        let digits = &self.body[start..self.at];
        (!digits.is_empty()).then_some(digits)
    }

    /// The digits before a point, where a leading zero only stands alone.
    pub(crate) fn whole(&mut self) -> Option<&'a [u8]> {
        let digits = self.digits()?;
        (digits[0] != b'0' || digits.len() == 1).then_some(digits)
    }

    pub(crate) fn count(&mut self) -> Option<u64> {
        number(self.whole()?, 0)
    }

    /// A time in seconds (`1545084650`, `1545084650.987`, `1.545084650987E9`) in milliseconds,
    /// when it is a whole number of them.
    pub(crate) fn millis(&mut self) -> Option<i64> {
        let mut value = number(self.whole()?, 0)?;
        let mut shift: i32 = 3;
        if self.peek()? == b'.' {
            self.at += 1;
            let fraction = self.digits()?;
            shift -= i32::try_from(fraction.len()).ok()?;
            value = number(fraction, value)?;
        }
        if matches!(self.peek()?, b'e' | b'E') {
            self.at += 1;
            if self.peek()? == b'+' {
                self.at += 1;
            }
            let exponent = self.digits()?;
            shift += i32::try_from(number(exponent, 0)?)
                .ok()
                .filter(|&by| by <= 12)?;
        }
        while shift < 0 && value % 10 == 0 && value != 0 {
            value /= 10;
            shift += 1;
        }
        let scale = 10u64.checked_pow(u32::try_from(shift).ok()?)?;
        let millis = i64::try_from(value.checked_mul(scale)?).ok()?;
        (millis <= ARRIVAL_MS_MAX).then_some(millis)
    }
}

/// Digits appended to a number; `None` beyond what a float also holds exactly.
fn number(digits: &[u8], value: u64) -> Option<u64> {
    let append = |value: u64, digit: &u8| value * 10 + u64::from(digit - b'0');
    // So few digits behind so small a number cannot overflow.
    if digits.len() <= 15 && value < 1_000 {
        return Some(digits.iter().fold(value, append));
    }
    let append = |value: u64, digit: &u8| value.checked_mul(10)?.checked_add((digit - b'0').into());
    let value = digits.iter().try_fold(value, append)?;
    (value < 1 << 62).then_some(value)
}
