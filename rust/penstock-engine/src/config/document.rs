//! Reads and writes the configuration document of one mapping.
//!
//! Rules: the document has AWS's members with AWS's names, ranges and sentences, and one section
//! of our own; unknown members are refused; nothing is accepted and ignored; what comes out of
//! `normalize` has every default filled in and goes in again unchanged.
//!
//! Whether a timestamp lies in the future, the stream exists or the function is registered is for
//! those to check who know a clock, the source or the functions.

use serde_json::{Map, Value};

use super::defaults::{self as fields, FIELDS, Field};
use super::error::ConfigError;
use super::layout::{DestinationConfig, Document, OnFailure, REPORT_ITEMS, ScalingConfig, Section};
use super::reader::{Reader, missing, refuse_unknown, type_name};
use super::{
    EventShape, MappingConfig, SourceProfile, destinations, filters, identities, names, queues,
};
use crate::ids::MappingId;
use crate::limits;

/// Which source a document names, for choosing its driver before the rest is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRef {
    /// The source's ARN.
    pub arn: String,
    /// The source as the user wrote it.
    pub source: String,
    /// Under which name its access (endpoint, region, credentials) was pushed, if one.
    pub access: Option<String>,
    /// The ARN of the stream that is read: another one when the source is an alias.
    pub stream_arn: String,
    /// Whether the mapping is to run, or to wait paused.
    pub enabled: bool,
}

/// The configuration that a document describes, for a source that asks for `profile`.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse(document: &[u8], profile: SourceProfile) -> Result<MappingConfig, ConfigError> {
    let document = read(document)?;
    let id = MappingId::new(
        document
            .uuid
            .as_deref()
            .ok_or_else(|| missing(&fields::UUID))?,
    );
    let shape = shape_of(&document)?;
    let filters = filters::compile(&document, shape)?;
    Ok(document.configuration(id, shape, filters, profile))
}

/// The same document with every default filled in. A document without a `UUID` stays without.
///
/// # Errors
/// The first thing that is wrong.
pub fn normalize(document: &[u8]) -> Result<Vec<u8>, ConfigError> {
    let document = read(document)?;
    filters::compile(&document, shape_of(&document)?)?;
    Ok(serde_json::to_vec(&document).expect("texts and finite numbers are always JSON"))
}

/// The source that a document names.
///
/// # Errors
/// When the document is no JSON object or names no source.
pub fn peek(document: &[u8]) -> Result<SourceRef, ConfigError> {
    let root = object(document)?;
    let reader = Reader::new(&root);
    let (arn, source) = names::source(&reader)?;
    let stream_arn = reader.text_given(&fields::STREAM_ARN)?;
    Ok(SourceRef {
        stream_arn: stream_arn.unwrap_or(&arn).to_owned(),
        arn,
        source,
        access: reader.text_given(&fields::ACCESS)?.map(str::to_owned),
        enabled: reader.boolean(&fields::ENABLED)?,
    })
}

/// Every member that a document may have.
#[must_use]
pub fn fields() -> &'static [Field] {
    FIELDS
}

/// The document that describes a configuration. What a configuration does not keep (the source as
/// the user wrote it, the name of its access, whether it is enabled) takes its default.
#[must_use]
pub fn write(config: &MappingConfig) -> Value {
    serde_json::to_value(Document::of(config)).expect("texts and finite numbers are always JSON")
}

/// Members of AWS's document that streams can have and this engine does not do, by their neutral
/// values: those are read and left out, since they ask for nothing.
const NOT_DONE: [&str; 2] = ["KMSKeyArn", "MetricsConfig"];
/// Members of AWS's document that only other kinds of sources have.
const OTHER_KINDS: [&str; 9] = [
    "ScalingConfig",
    "ProvisionedPollerConfig",
    "Queues",
    "Topics",
    "SourceAccessConfigurations",
    "SelfManagedEventSource",
    "AmazonManagedKafkaEventSourceConfig",
    "SelfManagedKafkaEventSourceConfig",
    "DocumentDBEventSourceConfig",
];

fn object(document: &[u8]) -> Result<Map<String, Value>, ConfigError> {
    let whole = |message: String| ConfigError::new("document", message);
    if document.len() > limits::DOCUMENT_BYTES_MAX {
        let (bytes, most) = (document.len(), limits::DOCUMENT_BYTES_MAX);
        return Err(whole(format!(
            "has {bytes} bytes; at most {most} are allowed"
        )));
    }
    match serde_json::from_slice(document) {
        Ok(Value::Object(root)) => Ok(root),
        Ok(other) => Err(whole(format!(
            "must be a JSON object, not {}",
            type_name(&other)
        ))),
        Err(error) => Err(whole(format!("is not JSON: {error}"))),
    }
}

fn read(document: &[u8]) -> Result<Document, ConfigError> {
    let mut root = object(document)?;
    let queue = queues::is_named(&root);
    if queue {
        queues::refuse_unsupported(&mut root)?;
    }
    refuse_unsupported(&mut root, queue)?;
    refuse_unknown(&root, "")?;
    let reader = Reader::new(&root);
    if !queue {
        queues::refuse_of_streams(&reader)?;
    }
    let batch_size = batch_size(&reader, queue)?;
    let lanes = small(reader.integer(&fields::PARALLELIZATION)?) as u8;
    let (event_source_arn, source) = names::source(&reader)?;
    let function_arn = reader.text(&fields::FUNCTION_ARN)?;
    let penstock = section(
        &reader,
        source,
        &event_source_arn,
        &function_arn,
        lanes,
        batch_size,
        queue,
    )?;
    let (starting_position, starting_position_timestamp) = match queue {
        true => (None, None),
        false => starting(&reader)?,
    };
    let of_stream = |value: i64| (!queue).then_some(value);
    let document = Document {
        uuid: names::uuid(&reader)?,
        starting_position,
        starting_position_timestamp,
        batch_size,
        maximum_batching_window_in_seconds: reader.integer(&fields::BATCH_WINDOW)?.unsigned_abs(),
        parallelization_factor: (!queue).then_some(lanes),
        event_source_arn,
        filter_criteria: filters::read(&root)?,
        function_arn,
        destination_config: match destinations::read(&reader)? {
            None if queue => None,
            destination => Some(DestinationConfig {
                on_failure: OnFailure { destination },
            }),
        },
        maximum_record_age_in_seconds: of_stream(record_age(&reader)?),
        bisect_batch_on_function_error: match reader.boolean(&fields::BISECT)? {
            false if queue => None,
            bisect => Some(bisect),
        },
        maximum_retry_attempts: of_stream(reader.integer(&fields::RETRY_ATTEMPTS)?),
        tumbling_window_in_seconds: of_stream(reader.integer(&fields::TUMBLING_WINDOW)?),
        function_response_types: match reader.flag(&fields::RESPONSE_TYPES)? {
            true => vec![REPORT_ITEMS],
            false => Vec::new(),
        },
        scaling_config: scaling(&reader)?,
        enabled: reader.boolean(&fields::ENABLED)?,
        penstock,
    };
    document.check()?;
    if queue {
        queues::check(&document)?;
    }
    Ok(document)
}

fn batch_size(reader: &Reader<'_>, queue: bool) -> Result<u32, ConfigError> {
    let given = reader.integer_given(&fields::BATCH_SIZE)?.map(small);
    Ok(given.unwrap_or(match queue {
        true => fields::BATCH_SIZE_QUEUE,
        false => fields::BATCH_SIZE_STREAM,
    }))
}

fn section(
    reader: &Reader<'_>,
    source: String,
    source_arn: &str,
    function_arn: &str,
    lanes: u8,
    batch_size: u32,
    queue: bool,
) -> Result<Section, ConfigError> {
    let function = names::function(function_arn)?;
    let given = |field: &Field| Ok::<_, ConfigError>(reader.text_given(field)?.map(str::to_owned));
    let count = |field: &Field| Ok::<_, ConfigError>(reader.integer(field)?.unsigned_abs());
    let ahead = reader.integer_given(&fields::AHEAD_RECORDS)?.map(small);
    let ahead = ahead.unwrap_or_else(|| fields::ahead_records(lanes, batch_size));
    Ok(Section {
        source,
        handler: given(&fields::HANDLER)?.unwrap_or_else(|| function.name.to_owned()),
        pool: reader.text(&fields::POOL)?,
        function_version: given(&fields::FUNCTION_VERSION)?.unwrap_or_else(|| function.version()),
        role_arn: given(&fields::ROLE_ARN)?.unwrap_or_else(|| function.role()),
        function_timeout_ms: count(&fields::TIMEOUT_MS)?,
        region: given(&fields::SOURCE_REGION)?
            .unwrap_or_else(|| names::region(source_arn, function.region)),
        access: given(&fields::ACCESS)?,
        stream_arn: given(&fields::STREAM_ARN)?,
        identities: identities::read(reader)?,
        on_destination_failure: match queue {
            true => None,
            false => Some(reader.choice(&fields::DESTINATION_FAILURE)?),
        },
        partial_state: match queue {
            true => None,
            false => Some(reader.choice(&fields::PARTIAL_STATE)?),
        },
        backoff_base_ms: count(&fields::BACKOFF_BASE)?,
        backoff_cap_ms: count(&fields::BACKOFF_CAP)?,
        backoff_jitter: reader.number(&fields::BACKOFF_JITTER)?,
        payload_bytes_max: count(&fields::PAYLOAD_BYTES)?,
        ahead_records_max: (!queue).then_some(ahead),
        buffered_bytes_max: count(&fields::BUFFERED_BYTES)?,
        filters_max: small(reader.integer(&fields::FILTERS_MAX)?),
        strict_groups: match queue {
            true => Some(reader.boolean(&fields::STRICT_GROUPS)?),
            false => None,
        },
        idle_interval_ms: reader
            .integer_given(&fields::IDLE_INTERVAL)?
            .map(i64::unsigned_abs),
    })
}

fn scaling(reader: &Reader<'_>) -> Result<Option<ScalingConfig>, ConfigError> {
    let most = reader.integer_given(&fields::MAXIMUM_CONCURRENCY)?;
    Ok(most.map(|most| ScalingConfig {
        maximum_concurrency: small(most),
    }))
}

fn starting(reader: &Reader<'_>) -> Result<(Option<&'static str>, Option<f64>), ConfigError> {
    let position = reader.choice(&fields::STARTING_POSITION)?;
    let timestamp = reader.number_given(&fields::STARTING_TIMESTAMP)?;
    let wrong = |message: &str| Err(ConfigError::new(fields::STARTING_TIMESTAMP.path, message));
    match (position, timestamp) {
        ("AT_TIMESTAMP", None) => wrong("Need to specify a timestamp"),
        ("AT_TIMESTAMP", Some(_)) | (_, None) => Ok((Some(position), timestamp)),
        (_, Some(_)) => wrong("Timestamp only valid with StartingPosition AT_TIMESTAMP"),
    }
}

/// What records of the source become, when the document asks for nothing that they cannot do.
fn shape_of(document: &Document) -> Result<EventShape, ConfigError> {
    let arn = &document.event_source_arn;
    let shape = names::event_shape(arn)?;
    if shape == EventShape::DynamoDb && document.starting_position == Some("AT_TIMESTAMP") {
        let message = format!("Unsupported starting position for arn type: {arn}");
        return Err(ConfigError::new(fields::STARTING_POSITION.path, message));
    }
    Ok(shape)
}

fn record_age(reader: &Reader<'_>) -> Result<i64, ConfigError> {
    let age = reader.integer(&fields::RECORD_AGE)?;
    let (least, most) = (
        limits::RECORD_AGE_MIN.as_secs(),
        limits::RECORD_AGE_MAX.as_secs(),
    );
    if age >= 0 && age.unsigned_abs() < least {
        let message = format!(
            "MaximumRecordAgeInSeconds must be either -1 (forever) or between {least} and {most} \
             (inclusive)"
        );
        return Err(ConfigError::new(fields::RECORD_AGE.path, message));
    }
    Ok(age)
}

/// Refuses AWS's members that are not done here, and takes out those that ask for nothing.
fn refuse_unsupported(root: &mut Map<String, Value>, queue: bool) -> Result<(), ConfigError> {
    for name in NOT_DONE {
        if root.remove(name).is_some_and(|value| !is_neutral(&value)) {
            let message = "is not supported by this version; leave it out";
            return Err(ConfigError::new(name, message));
        }
    }
    for name in OTHER_KINDS {
        if queue && name == "ScalingConfig" {
            continue;
        }
        if root.remove(name).is_some_and(|value| !is_neutral(&value)) {
            let message =
                format!("Unsupported {name} parameter for given event source mapping type.");
            return Err(ConfigError::new(name, message));
        }
    }
    let Some(Value::Object(destinations)) = root.get_mut("DestinationConfig") else {
        return Ok(());
    };
    if destinations
        .remove("OnSuccess")
        .is_some_and(|value| !is_neutral(&value))
    {
        let message = "OnSuccess configuration is not supported for event source mappings.";
        return Err(ConfigError::new("DestinationConfig.OnSuccess", message));
    }
    Ok(())
}

/// Whether a value asks for nothing.
pub(super) fn is_neutral(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.values().all(is_neutral),
        Value::Bool(_) => false,
    }
}

/// A number that its field's range has already kept small.
fn small(number: i64) -> u32 {
    u32::try_from(number).expect("the table's ranges of counts fit")
}

#[cfg(test)]
mod of_queues;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;
