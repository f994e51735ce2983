//! Reads the small JSON documents that Python sends: flat objects of typed members.
//!
//! Rules: a member of the wrong type is named with its path; a member that nobody asked for is
//! refused; `null` stands for absence. A mapping's document is the engine's to read.

use penstock_engine::limits::DOCUMENT_BYTES_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::errors::Failure;

/// An object whose members are taken out one by one.
#[derive(Debug)]
pub(crate) struct Document {
    members: Map<String, Value>,
}

impl Document {
    /// Reads an object.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Failure> {
        Self::parse_up_to(text, DOCUMENT_BYTES_MAX)
    }

    /// Reads an object of at most `bytes_max` bytes.
    pub(crate) fn parse_up_to(text: &[u8], bytes_max: usize) -> Result<Self, Failure> {
        if text.len() > bytes_max {
            let message = format!("has {} bytes; at most {bytes_max} are allowed", text.len());
            return Err(Failure::argument("document", message));
        }
        match serde_json::from_slice(text) {
            Ok(Value::Object(members)) => Ok(Self { members }),
            Ok(_) => Err(Failure::argument("document", "must be a JSON object")),
            Err(error) => Err(Failure::argument(
                "document",
                format!("is not JSON: {error}"),
            )),
        }
    }

    /// Takes a member out, if it is there.
    pub(crate) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Failure> {
        match self.members.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value)
                .map(Some)
                .map_err(|error| Failure::argument(name, format!("cannot be used: {error}"))),
        }
    }

    /// Takes out a member that must be there.
    pub(crate) fn need<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Failure> {
        self.take(name)?
            .ok_or_else(|| Failure::argument(name, "is missing"))
    }

    /// Refuses what was not taken out.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        match self.members.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(Failure::argument(name, "is not a member of this document")),
        }
    }
}

/// Writes what Python gets.
pub(crate) fn write(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value)
        .map_err(|error| Failure::Internal(format!("a value cannot be written as JSON: {error}")))
}
