//! Writes texts and moments as Python's `json.dumps` and `repr` do, and knows their lengths.
//!
//! Rules: a length is computed without writing and always agrees with what is written; only the
//! quote, the backslash and the 32 control characters are escaped.

use std::fmt::Write as _;

use super::kinesis::arrival_seconds;
use crate::time::Wall;

/// Bytes of a text inside the quotes of a JSON string.
#[must_use]
pub(super) fn escaped_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    if !needs_escape(bytes) {
        return bytes.len();
    }
    // So many that the sum of what they add fits in a byte: that many are looked at at once.
    let added = bytes.chunks(MORE_SUMMED).map(|chunk| {
        let sum = chunk.iter().fold(0, |sum: u8, &byte| sum + more(byte));
        usize::from(sum)
    });
    bytes.len() + added.sum::<usize>()
}

/// The most bytes of a text whose `more`, of five at most, fits in a byte.
const MORE_SUMMED: usize = 48;

/// How many bytes longer a byte is where it is escaped, without branches.
fn more(byte: u8) -> u8 {
    let quoted = (byte == b'"') | (byte == b'\\');
    let control = byte < 0x20;
    // Backspace to carriage return have letters, but for the vertical tab between them.
    let letter = (byte.wrapping_sub(8) < 6) & (byte != 0x0b);
    u8::from(quoted | control) + 4 * u8::from(control & !letter)
}

/// Written without branches, so that the compiler looks at many bytes at once.
fn needs_escape(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |any, &b| {
        any | (b < 0x20) | (b == b'"') | (b == b'\\')
    })
}

/// Writes a JSON string.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    write_escaped(out, text);
    out.push(b'"');
}

/// Writes what stands inside the quotes of a JSON string.
pub(super) fn write_escaped(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    if !needs_escape(bytes) {
        out.extend_from_slice(bytes);
        return;
    }
    for &byte in bytes {
        match escape(byte) {
            Some(escaped) => out.extend_from_slice(escaped),
            None => out.push(byte),
        }
    }
}

fn escape(byte: u8) -> Option<&'static [u8]> {
    const CONTROLS: [&[u8]; 32] = [
        b"\\u0000", b"\\u0001", b"\\u0002", b"\\u0003", b"\\u0004", b"\\u0005", b"\\u0006",
        b"\\u0007", b"\\b", b"\\t", b"\\n", b"\\u000b", b"\\f", b"\\r", b"\\u000e", b"\\u000f",
        b"\\u0010", b"\\u0011", b"\\u0012", b"\\u0013", b"\\u0014", b"\\u0015", b"\\u0016",
        b"\\u0017", b"\\u0018", b"\\u0019", b"\\u001a", b"\\u001b", b"\\u001c", b"\\u001d",
        b"\\u001e", b"\\u001f",
    ];
    match byte {
        b'"' => Some(b"\\\""),
        b'\\' => Some(b"\\\\"),
        control if control < 0x20 => Some(CONTROLS[usize::from(control)]),
        _ => None,
    }
}

/// Milliseconds up to here have at most 15 digits, which a double holds exactly: the shortest
/// text that gives the double back is the decimal itself.
const EXACT_MILLIS: i64 = 999_999_999_999_999;

/// Bytes of a moment as JSON shows it.
#[must_use]
pub(super) fn seconds_len(moment: Wall) -> usize {
    match moment.0 {
        millis @ 0..=EXACT_MILLIS => {
            number_len((millis / 1_000).unsigned_abs()) + 1 + fraction(millis).1
        }
        _ => slow_seconds(moment).len(),
    }
}

/// Writes a moment as a JSON number of seconds.
pub(super) fn write_seconds(out: &mut Vec<u8>, moment: Wall) {
    match moment.0 {
        millis @ 0..=EXACT_MILLIS => {
            write_number(out, (millis / 1_000).unsigned_abs());
            out.push(b'.');
            let (digits, count) = fraction(millis);
            out.extend_from_slice(&digits[..count]);
        }
        _ => out.extend_from_slice(slow_seconds(moment).as_bytes()),
    }
}

/// Digits of a number.
#[must_use]
pub(super) fn number_len(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Writes a number's digits.
pub(super) fn write_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// The digits behind the point without zeros at the end, but at least one.
fn fraction(millis: i64) -> ([u8; 3], usize) {
    let rest = (millis % 1_000) as u16;
    let digits = [rest / 100, rest / 10 % 10, rest % 10].map(|digit| b'0' + digit as u8);
    let count = match rest {
        _ if rest.is_multiple_of(100) => 1,
        _ if rest.is_multiple_of(10) => 2,
        _ => 3,
    };
    (digits, count)
}

/// For moments that no sane source gives. Rust's debug form of a double is Python's `repr` for
/// every number of milliseconds: neither uses an exponent there.
fn slow_seconds(moment: Wall) -> String {
    let mut text = String::new();
    let _ = write!(text, "{:?}", arrival_seconds(moment));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn escapes_are_those_of_serde_which_are_pythons() {
        for code in 0..0x300 {
            let Some(text) = char::from_u32(code).map(String::from) else {
                continue;
            };
            let mut out = Vec::new();
            write_text(&mut out, &text);
            assert_eq!(
                String::from_utf8(out).unwrap(),
                serde_json::to_string(&text).unwrap()
            );
        }
    }

    #[test]
    fn a_length_counts_every_escape_wherever_it_stands() {
        let escaped: String = (0..0x80_u8).map(char::from).collect();
        for text in [
            &"\u{1}".repeat(1_000),
            &escaped.repeat(7),
            &format!("é\"{escaped}\\"),
        ] {
            let mut out = Vec::new();
            write_escaped(&mut out, text);
            assert_eq!(escaped_len(text), out.len());
        }
    }

    #[test]
    fn moments_read_as_pythons_repr() {
        let cases = [
            (0, "0.0"),
            (1, "0.001"),
            (10, "0.01"),
            (100, "0.1"),
            (1_000, "1.0"),
            (1_010, "1.01"),
            (9_999, "9.999"),
            (10_000, "10.0"),
            (1_545_084_650_987, "1545084650.987"),
            (1_545_084_650_900, "1545084650.9"),
            (1_545_084_650_000, "1545084650.0"),
            (1_545_084_650_007, "1545084650.007"),
            (999_999_999_999_999, "999999999999.999"),
            (1_000_000_000_000_000, "1000000000000.0"),
            (9_007_199_254_740_991, "9007199254740.99"),
            (i64::MAX, "9223372036854776.0"),
            (-1, "-0.001"),
            (-1_500, "-1.5"),
            (i64::MIN, "-9223372036854776.0"),
        ];
        for (millis, expected) in cases {
            let mut out = Vec::new();
            write_seconds(&mut out, Wall(millis));
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{millis}");
            assert_eq!(seconds_len(Wall(millis)), expected.len(), "{millis}");
        }
    }

    #[test]
    fn the_quick_way_of_writing_moments_agrees_with_the_slow_one() {
        let mut rng = Rng::new(9);
        let around_a_second = (1_545_084_650_000..1_545_084_651_000).chain(0..12_000);
        let anywhere =
            (0..20_000).map(|_| (rng.next_u64() >> (14 + rng.next_u64() % 50)).cast_signed());
        for millis in around_a_second.chain(anywhere.collect::<Vec<_>>()) {
            let mut out = Vec::new();
            write_seconds(&mut out, Wall(millis));
            assert_eq!(
                String::from_utf8(out).unwrap(),
                slow_seconds(Wall(millis)),
                "{millis}"
            );
            assert_eq!(
                seconds_len(Wall(millis)),
                slow_seconds(Wall(millis)).len(),
                "{millis}"
            );
        }
    }
}
