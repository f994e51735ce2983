//! Finds the messages of a ReceiveMessage answer: offsets into its text, few copies.
//!
//! Two parsers that agree on every answer. The scanner goes from quote to quote over compact JSON
//! with the members that SQS sends, in any order, takes the escapes that bodies have, and gives up
//! on anything else. What it gives up on, `full` reads by the rules of JSON.
//!
//! Rules of both: a message has an id, a receipt handle and a body, or it spoils the answer, since
//! going on without it would lose it until its visibility is over. The event's two objects of
//! attributes are written here, in Lambda's order, behind what had to be unescaped. A body that
//! had escapes is unescaped once; everything else that came as it stands is a slice of the answer.

mod attributes;
mod fast;
mod full;

use penstock_engine::time::Wall;
use penstock_runtime::messages::{MessagePage, SliceMessage};

use crate::scan::BadAnswer;

/// Reads an answer that came at `now`; `None` when it has no messages.
pub(super) fn read(body: Vec<u8>, now: Wall) -> Result<Option<MessagePage>, BadAnswer> {
    let text = BadAnswer::text_of(body)?;
    let parsed = match fast::scan(&text, now) {
        Some(parsed) => parsed,
        None => full::parse(&text, now)?,
    };
    let Parsed { messages, side } = parsed;
    if messages.is_empty() {
        return Ok(None);
    }
    let page = MessagePage::new(text, side, messages);
    page.map(Some)
        .map_err(|error| BadAnswer::new(error.to_string()))
}

/// What either parser gives.
#[derive(Debug, Default)]
struct Parsed {
    /// Slices of the answer's text and of `side`.
    messages: Vec<SliceMessage>,
    /// What was unescaped or written.
    side: String,
}

/// Whether a text is 32 small hexadecimal digits.
fn is_md5(text: &[u8]) -> bool {
    let digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 32 && text.iter().all(digit)
}

#[cfg(test)]
mod tests;
