//! Finds the records of a GetRecords answer: offsets into its text, no copies.
//!
//! Two parsers that agree on every answer. The scanner goes from quote to quote over compact JSON
//! with the members that Kinesis sends, in any order, and gives up on anything else: an escape, a
//! control character, white space, an unknown or repeated member, a number that is not plainly a
//! count of milliseconds. What it gives up on, `full` reads by the rules of JSON.
//!
//! Rules of both: a record has a partition key, a sequence number of decimal digits, an arrival
//! time and a payload in the alphabet of base64; one record that has not spoils the answer, since
//! reading on would lose it.

pub(crate) mod cursor;
mod fast;
mod full;
mod intake;

pub(crate) use intake::Intake;
use penstock_engine::ids::ShardId;
use penstock_engine::io::ShardInfo;
use penstock_runtime::page::{SlicePage, SliceRecord};

/// What a GetRecords answer says.
#[derive(Debug)]
pub(crate) struct Records {
    /// The records; `None` when there are none.
    pub page: Option<SlicePage>,
    /// Where the shard goes on; `None` at its end.
    pub next_iterator: Option<String>,
    /// How far behind the tip the answer ended.
    pub behind_ms: Option<u64>,
    /// The shards that follow, named at the end.
    pub children: Vec<ShardInfo>,
}

/// An answer that is not what GetRecords answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadAnswer(String);

impl BadAnswer {
    /// What is wrong, without the text.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// The text of an answer.
    pub(crate) fn text_of(body: Vec<u8>) -> Result<String, Self> {
        String::from_utf8(body).map_err(|_| Self::new("it is not UTF-8"))
    }

    /// Names the place and never the text, which may be a payload.
    pub(crate) fn from_json(error: &serde_json::Error) -> Self {
        let what = match error.classify() {
            serde_json::error::Category::Eof => "it ends too early",
            serde_json::error::Category::Syntax => "it is not JSON",
            _ => "a member has a wrong type or is missing",
        };
        Self(format!(
            "{what} (line {} column {})",
            error.line(),
            error.column()
        ))
    }
}

/// Reads an answer.
pub(crate) fn read(body: Vec<u8>) -> Result<Records, BadAnswer> {
    let text = BadAnswer::text_of(body)?;
    let parsed = match fast::scan(&text) {
        Some(parsed) => parsed,
        None => full::parse(&text)?,
    };
    let Parsed {
        records,
        side,
        next_iterator,
        behind_ms,
        children,
    } = parsed;
    let page = match records.is_empty() {
        true => None,
        false => {
            let page = SlicePage::new(text, side, records);
            Some(page.map_err(|error| BadAnswer(error.to_string()))?)
        }
    };
    Ok(Records {
        page,
        next_iterator,
        behind_ms,
        children,
    })
}

/// What either parser gives.
#[derive(Debug, Default)]
struct Parsed {
    /// Slices of the answer's text and of `side`.
    records: Vec<SliceRecord>,
    /// Texts that had to be unescaped.
    side: String,
    next_iterator: Option<String>,
    behind_ms: Option<u64>,
    children: Vec<ShardInfo>,
}

fn child(id: &str, parents: impl IntoIterator<Item = String>) -> ShardInfo {
    let parents = parents.into_iter().map(ShardId::new).collect();
    ShardInfo {
        id: ShardId::new(id),
        parents,
        closed: false,
    }
}

/// Whether a text can be a sequence number: digits, without leading zeros.
///
/// Without an early exit, so that the compiler looks at many digits at once.
fn is_sequence_number(text: &[u8]) -> bool {
    let other = |byte: &u8| byte.wrapping_sub(b'0').saturating_sub(9);
    let plain = matches!(text.len(), 1..=129) && text.iter().fold(0, |bad, b| bad | other(b)) == 0;
    plain && (text[0] != b'0' || text.len() == 1)
}

/// Texts from this length on are worth a call.
const LONG_BASE64: usize = 256;

/// Whether a text has the length and the letters of padded base64.
///
/// All but the end of a long text is looked at by code for the processor at hand, which takes half
/// the time; it would have an opinion on the bits behind the last letter, and nobody asks for it.
fn is_base64(text: &[u8]) -> bool {
    if !text.len().is_multiple_of(4) {
        return false;
    }
    let checked = if text.len() < LONG_BASE64 {
        0
    } else {
        text.len() - 4
    };
    let (long, end) = text.split_at(checked);
    let padding = end
        .iter()
        .rev()
        .take(2)
        .take_while(|&&byte| byte == b'=')
        .count();
    let letters = &end[..end.len() - padding];
    // Without early exits and comparisons: the compiler makes vector code of few operations.
    letters.iter().fold(0, |bad, byte| bad | misfit(*byte)) == 0
        && base64_simd::STANDARD_NO_PAD.check(long).is_ok()
}

/// 0 for a letter of base64: how far a byte is from the nearest of three ranges.
fn misfit(byte: u8) -> u8 {
    let letter = (byte | 0x20).wrapping_sub(b'a').saturating_sub(25);
    let digit_or_slash = byte.wrapping_sub(b'/').saturating_sub(10);
    letter.min(digit_or_slash).min(byte ^ b'+')
}

/// The latest arrival that is taken for one: far beyond any clock, and exact as a float.
pub(crate) const ARRIVAL_MS_MAX: i64 = 1_000_000_000_000_000;

#[cfg(test)]
mod tests;
