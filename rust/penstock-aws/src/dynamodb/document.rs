//! Writes a checkpoint into a row as one versioned document, and reads it back.
//!
//! Rules: the library's own words in the row say how far the shard has come; the document adds to
//! them what the library has no words for, and counts only where it says the same, since the
//! library goes on in a row without knowing of it.

use std::borrow::Cow;

use penstock_engine::fault::FaultKind;
use penstock_engine::io::Checkpoint;
use penstock_engine::lease::table::Item;
use penstock_engine::lease::{Place, Row};
use penstock_runtime::error::StoreError;
use serde::{Deserialize, Serialize};

/// The document.
pub(super) const ATTRIBUTE: &str = "penstockCheckpoint";

/// The version that is written, and the last that is read.
const VERSION: u32 = 1;

/// The longest document that stands in a row: every look at all rows pays for it.
const IN_ROW_BYTES_MAX: usize = 8 << 10;

/// A document as it is written.
pub(super) struct Document {
    /// JSON.
    pub text: String,
}

/// What a row keeps of its checkpoint.
pub(super) enum Kept {
    /// All of it.
    Whole(Box<Checkpoint>),
    /// Where the rest stands.
    Beside(Parts),
}

/// Names the parts of a document that stands beside the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Parts {
    /// What their names begin with.
    pub of: String,
    /// How many there are.
    pub count: usize,
}

#[derive(Serialize, Deserialize)]
struct Versioned<'a> {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Cow<'a, Checkpoint>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parts: Option<Parts>,
}

impl Document {
    /// The document of a checkpoint.
    pub(super) fn of(checkpoint: &Checkpoint) -> Result<Self, StoreError> {
        let versioned = Versioned {
            version: VERSION,
            checkpoint: Some(Cow::Borrowed(checkpoint)),
            parts: None,
        };
        let text = serde_json::to_string(&versioned).map_err(unwritable)?;
        Ok(Self { text })
    }

    /// Whether it is too large for a row.
    pub(super) fn is_large(&self) -> bool {
        self.text.len() > IN_ROW_BYTES_MAX
    }
}

impl Parts {
    /// What stands in the row instead of them.
    pub(super) fn in_row(self) -> Result<String, StoreError> {
        let versioned = Versioned {
            version: VERSION,
            checkpoint: None,
            parts: Some(self),
        };
        serde_json::to_string(&versioned).map_err(unwritable)
    }
}

/// What a row keeps of its checkpoint.
pub(super) fn kept(row: &Row, item: &Item) -> Result<Kept, StoreError> {
    let attribute = item.get(ATTRIBUTE);
    let Some(text) = attribute.and_then(|value| value["S"].as_str()) else {
        return Ok(Kept::Whole(Box::new(of_row(row))));
    };
    let versioned = parsed(row, text)?;
    match (versioned.parts, versioned.checkpoint) {
        (Some(parts), _) => Ok(Kept::Beside(parts)),
        (None, found) => Ok(Kept::Whole(Box::new(agreed(row, found)))),
    }
}

/// The checkpoint of a row whose document stood beside the table.
pub(super) fn whole(row: &Row, text: &str) -> Result<Checkpoint, StoreError> {
    let versioned = parsed(row, text)?;
    Ok(agreed(row, versioned.checkpoint))
}

fn agreed(row: &Row, found: Option<Cow<'_, Checkpoint>>) -> Checkpoint {
    match found {
        Some(found) if Place::of(&found.position) == row.place => found.into_owned(),
        _ => of_row(row),
    }
}

/// What the library's words alone say.
fn of_row(row: &Row) -> Checkpoint {
    Checkpoint::starting_at(row.place.position(), None)
}

fn parsed<'a>(row: &Row, text: &'a str) -> Result<Versioned<'a>, StoreError> {
    let shard = &row.shard;
    let fatal = |detail: String| {
        let message = format!("the checkpoint of shard {shard} cannot be read: {detail}");
        StoreError::new(FaultKind::Fatal, message)
    };
    let versioned: Versioned<'a> =
        serde_json::from_str(text).map_err(|error| fatal(error.to_string()))?;
    if versioned.version > VERSION {
        let version = versioned.version;
        let detail = format!("it was written as version {version} by a later penstock");
        return Err(fatal(detail));
    }
    Ok(versioned)
}

fn unwritable(error: serde_json::Error) -> StoreError {
    StoreError::new(FaultKind::Fatal, format!("a checkpoint: {error}"))
}
