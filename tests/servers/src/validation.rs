//! Reads requests and refuses what a service's model forbids, in the words of AWS.

use std::ops::RangeInclusive;

use serde::Deserialize;

use crate::service::Refusal;

/// Reads a request; members nobody knows are ignored, as AWS does.
///
/// # Errors
/// When it is not the JSON the operation takes.
pub fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::client("SerializationException", error.to_string()))
}

/// Refuses a number outside its range.
///
/// # Errors
/// When it is.
pub fn within(name: &str, value: u64, range: RangeInclusive<u64>) -> Result<u64, Refusal> {
    let constraint = if value > *range.end() {
        format!("less than or equal to {}", range.end())
    } else if value < *range.start() {
        format!("greater than or equal to {}", range.start())
    } else {
        return Ok(value);
    };
    Err(constraint_broken(
        name,
        &value.to_string(),
        &format!("have value {constraint}"),
    ))
}

/// The refusal of a value by a constraint of the model.
#[must_use]
pub fn constraint_broken(name: &str, value: &str, must: &str) -> Refusal {
    Refusal::client(
        "ValidationException",
        format!(
            "1 validation error detected: Value '{value}' at '{name}' failed to satisfy \
             constraint: Member must {must}"
        ),
    )
}

/// A value that is asked for and is not there.
#[must_use]
pub fn missing(name: &str) -> Refusal {
    constraint_broken(name, "null", "not be null")
}
