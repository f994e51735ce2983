//! Knows what the document of a queue's mapping may ask for.
//!
//! Rules: what AWS would refuse is refused in AWS's sentence, and rules between members are checked
//! in AWS's order; a member that only streams have is refused even with its default, since a queue
//! has nothing that it could mean.

use serde_json::{Map, Value};

use super::defaults as fields;
use super::document::is_neutral;
use super::error::ConfigError;
use super::layout::Document;
use super::reader::Reader;
use super::{EventShape, names};
use crate::limits;

/// Members that only streams have, as AWS writes them in a document and in its sentences.
const STREAMS_ONLY: [(&str, &str); 7] = [
    ("StartingPosition", "startingPosition"),
    ("StartingPositionTimestamp", "startingPositionTimestamp"),
    ("ParallelizationFactor", "parallelizationFactor"),
    ("MaximumRecordAgeInSeconds", "maximumRecordAgeInSeconds"),
    ("BisectBatchOnFunctionError", "bisectBatchOnFunctionError"),
    ("MaximumRetryAttempts", "maximumRetryAttempts"),
    ("TumblingWindowInSeconds", "tumblingWindowInSeconds"),
];
/// The same in our own section.
const OWN_STREAMS_ONLY: [&str; 3] = ["OnDestinationFailure", "PartialState", "AheadRecordsMax"];

/// Whether a document names a queue. False where its source cannot be read at all: reading it
/// says why.
pub(super) fn is_named(root: &Map<String, Value>) -> bool {
    let source = names::source(&Reader::new(root));
    source.is_ok_and(|(arn, _)| names::event_shape(&arn) == Ok(EventShape::Sqs))
}

/// Refuses what a queue cannot have, and takes out what asks for nothing.
pub(super) fn refuse_unsupported(root: &mut Map<String, Value>) -> Result<(), ConfigError> {
    for (name, wire_name) in STREAMS_ONLY {
        if root.remove(name).is_some_and(|value| !value.is_null()) {
            let message =
                format!("Unsupported '{wire_name}' parameter for given event source mapping type.");
            return Err(ConfigError::new(name, message));
        }
    }
    let pollers = root.remove("ProvisionedPollerConfig");
    if pollers.is_some_and(|value| !is_neutral(&value)) {
        let scaling = root.get("ScalingConfig");
        let message = if scaling.is_some_and(|value| !is_neutral(value)) {
            "Provisioned mode for SQS ESM does not support maximum concurrency feature. Use \
             MaximumPollers as the control mechanism and remove maximum concurrency."
        } else {
            "is not supported by this version; leave it out"
        };
        return Err(ConfigError::new("ProvisionedPollerConfig", message));
    }
    let destinations = root.remove("DestinationConfig");
    if destinations.is_some_and(|value| !is_neutral(&value)) {
        let message =
            "Unsupported DestinationConfig parameter for given event source mapping type.";
        return Err(ConfigError::new("DestinationConfig", message).with_hint(
            "a queue's own redrive policy says what becomes of messages that fail again and again",
        ));
    }
    let Some(Value::Object(own)) = root.get_mut("Penstock") else {
        return Ok(());
    };
    for name in OWN_STREAMS_ONLY {
        if own.remove(name).is_some_and(|value| !value.is_null()) {
            let message = "is an option of streams; leave it out";
            return Err(ConfigError::new(format!("Penstock.{name}"), message));
        }
    }
    Ok(())
}

/// Refuses what only a queue can have in the document of a stream.
pub(super) fn refuse_of_streams(reader: &Reader<'_>) -> Result<(), ConfigError> {
    match reader.boolean(&fields::STRICT_GROUPS)? {
        false => Ok(()),
        true => Err(ConfigError::new(
            fields::STRICT_GROUPS.path,
            "is an option of FIFO queues; leave it out",
        )),
    }
}

/// Checks the rules between a queue's members, in AWS's order.
pub(super) fn check(document: &Document) -> Result<(), ConfigError> {
    let fifo = names::is_fifo(&document.event_source_arn);
    let window = document.maximum_batching_window_in_seconds;
    let large = document.batch_size > limits::SMALL_BATCH_MAX;
    let refuse = |path: &str, message: &str| Err(ConfigError::new(path, message));
    if large && window == 0 {
        return refuse(
            fields::BATCH_WINDOW.path,
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is \
             greater than 10",
        );
    }
    if fifo && window > 0 {
        let message = "Batching window is not supported for FIFO queues";
        return refuse(fields::BATCH_WINDOW.path, message);
    }
    if fifo && large {
        let message = "Batch size must not exceed 10 for FIFO queues";
        return refuse(fields::BATCH_SIZE.path, message);
    }
    if document.penstock.strict_groups == Some(true) && !fifo {
        let message = "needs a FIFO queue: others have no order within groups; leave it out";
        return refuse(fields::STRICT_GROUPS.path, message);
    }
    Ok(())
}
