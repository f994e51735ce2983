//! Finds the records of a GetRecords answer of DynamoDB Streams: offsets into its text.
//!
//! Two parsers that agree on every answer. The scanner takes compact JSON with the members that
//! DynamoDB sends, in any order, and gives up on anything else; what it gives up on, `full` reads
//! by the rules of JSON, and writes items anew where they stand otherwise than in events.
//!
//! Rules of both: a record has an id, a kind of change, a time, keys, a sequence number of decimal
//! digits and a view type; one record that has not spoils the answer, since reading on would lose
//! it. Times are cut to the second, as Lambda shows them.

mod fast;
mod full;
mod item;

use penstock_engine::limits::SEQUENCE_NUMBER_DIGITS_MAX;
use penstock_engine::time::Wall;

use super::page::{Change, ChangePage};
use crate::scan::BadAnswer;

/// What a GetRecords answer says.
#[derive(Debug)]
pub(super) struct Changes {
    /// The records; `None` when there are none.
    pub page: Option<ChangePage>,
    /// Where the shard goes on; `None` at its end.
    pub next_iterator: Option<String>,
}

/// Reads an answer.
pub(super) fn read(body: Vec<u8>) -> Result<Changes, BadAnswer> {
    let text = BadAnswer::text_of(body)?;
    let parsed = match fast::scan(&text) {
        Some(parsed) => parsed,
        None => full::parse(&text)?,
    };
    let Parsed {
        changes,
        side,
        next_iterator,
    } = parsed;
    let page = match changes.is_empty() {
        true => None,
        false => {
            let page = ChangePage::new(text, side, changes);
            Some(page.map_err(|error| BadAnswer::new(error.to_string()))?)
        }
    };
    Ok(Changes {
        page,
        next_iterator,
    })
}

/// What either parser gives.
#[derive(Debug, Default)]
struct Parsed {
    /// Slices of the answer's text and of `side`.
    changes: Vec<Change>,
    /// Texts that had to be written anew.
    side: String,
    next_iterator: Option<String>,
}

/// A moment without its part of a second.
fn whole_second(millis: i64) -> Wall {
    Wall(millis - millis.rem_euclid(1_000))
}

/// The JSON of who made a change, with the names that Lambda gives its members.
fn write_identity(side: &mut String, kind: &str, principal: &str) {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    side.push_str("{\"type\":");
    side.push_str(&text(kind));
    side.push_str(",\"principalId\":");
    side.push_str(&text(principal));
    side.push('}');
}

/// Whether a text can be a sequence number: digits. DynamoDB Local writes leading zeros.
fn is_sequence_number(text: &[u8]) -> bool {
    matches!(text.len(), 1..=SEQUENCE_NUMBER_DIGITS_MAX) && text.iter().all(u8::is_ascii_digit)
}

/// Whether a text stands in JSON as it is.
fn is_plain(text: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    !text.is_empty() && text.iter().all(plain)
}

#[cfg(test)]
mod tests;
