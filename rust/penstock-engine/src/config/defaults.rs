//! Lists the members of a configuration document with their ranges and defaults.
//!
//! Rules: every member stands in `FIELDS`, once; reading, writing and the parity tests of other
//! layers all go by it; ranges that AWS sets are AWS's.

use std::time::Duration;

use serde::Serialize;

use crate::limits;

/// One member of the document.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Field {
    /// The last part of the path.
    pub name: &'static str,
    /// Where it stands in the document, parts joined by dots.
    pub path: &'static str,
    /// What it may be.
    #[serde(flatten)]
    pub kind: Kind,
    /// What it is when it is not given.
    pub default: Preset,
}

/// What a member may be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// A text of 1 to `chars_max` characters.
    Text {
        /// The most characters.
        chars_max: usize,
    },
    /// One of these texts.
    Choice {
        /// The texts.
        choices: &'static [&'static str],
    },
    /// A list of at most one of these texts.
    Choices {
        /// The texts.
        choices: &'static [&'static str],
    },
    /// A whole number.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// Any number.
    Number {
        /// The least.
        min: f64,
        /// The greatest.
        max: f64,
    },
    /// True or false.
    Boolean,
    /// An object with the list `Filters`, whose items have a `Pattern` each.
    Filters {
        /// The most items.
        items_max: usize,
        /// The most characters of a pattern.
        chars_max: usize,
    },
}

/// What a member is when it is not given.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "is", content = "value", rename_all = "snake_case")]
pub enum Preset {
    /// It must be given.
    Required,
    /// It stays absent.
    Absent,
    /// It follows from other members, as the words say.
    Derived(&'static str),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// A text.
    Text(&'static str),
    /// The empty list.
    EmptyList,
}

/// The function timeout of a mapping that names none. Lambda's is 3 s, which its users raise for
/// any function that reads a stream; a minute is what AWS's own samples for streams use.
pub const FUNCTION_TIMEOUT: Duration = Duration::from_secs(60);
/// The region that events show when neither the source's nor the function's ARN has one.
pub const REGION: &str = "us-east-1";
/// The least run-ahead that a mapping gets by itself.
pub const AHEAD_RECORDS_FLOOR: u32 = 1_000;

/// `BatchSize` of a stream, and of a queue.
pub const BATCH_SIZE_STREAM: u32 = 100;
/// See [`BATCH_SIZE_STREAM`].
pub const BATCH_SIZE_QUEUE: u32 = 10;

/// How far handed-out records may run ahead of the watermark unless the mapping chooses: two
/// batches for each lane, so that one slow lane does not stop the others at once.
#[must_use]
pub fn ahead_records(lanes: u8, batch_size: u32) -> u32 {
    (2 * u32::from(lanes) * batch_size).max(AHEAD_RECORDS_FLOOR)
}

const fn millis(span: Duration) -> i64 {
    span.as_millis() as i64
}

const fn seconds(span: Duration) -> i64 {
    span.as_secs() as i64
}

macro_rules! fields {
    ($($constant:ident = $name:literal $(in $parent:literal)?, $kind:expr, $default:expr;)*) => {
        $(pub(super) const $constant: Field = Field {
            name: $name,
            path: concat!($($parent, ".",)? $name),
            kind: $kind,
            default: $default,
        };)*

        /// Every member.
        pub static FIELDS: &[Field] = &[$($constant),*];
    };
}

use Kind::{Boolean, Choice, Choices, Filters, Integer, Number, Text};

const ARN: Kind = Text { chars_max: 1_024 };
const NAME: Kind = Text { chars_max: 256 };
const BATCH: Kind = Integer {
    min: 1,
    max: limits::BATCH_SIZE_MAX as i64,
};
const WINDOW: Kind = Integer {
    min: 0,
    max: seconds(limits::WINDOW_MAX),
};
const TUMBLING: Kind = Integer {
    min: 0,
    max: seconds(limits::TUMBLING_WINDOW_MAX),
};
const LANES: Kind = Integer {
    min: 1,
    max: limits::LANES_MAX as i64,
};
const RETRIES: Kind = Integer {
    min: -1,
    max: limits::RETRY_ATTEMPTS_MAX as i64,
};
const AGE: Kind = Integer {
    min: -1,
    max: seconds(limits::RECORD_AGE_MAX),
};
const BACKOFF: Kind = Integer {
    min: millis(limits::BACKOFF_MIN),
    max: millis(limits::BACKOFF_MAX),
};
const TIMEOUT: Kind = Integer {
    min: millis(limits::FUNCTION_TIMEOUT_MIN),
    max: millis(limits::FUNCTION_TIMEOUT_MAX),
};
const IDLE: Kind = Integer {
    min: millis(limits::IDLE_INTERVAL_MIN),
    max: millis(limits::IDLE_INTERVAL_MAX),
};
const EVENT_BYTES: Kind = Integer {
    min: limits::EVENT_BYTES_MIN as i64,
    max: limits::EVENT_BYTES_MAX as i64,
};
const BUFFER: Kind = Integer {
    min: limits::BUFFERED_BYTES_MIN as i64,
    max: limits::BUFFERED_BYTES_CEILING as i64,
};
const AHEAD: Kind = Integer {
    min: 1,
    max: limits::AHEAD_RECORDS_MAX as i64,
};
const CONCURRENCY: Kind = Integer {
    min: limits::CONCURRENCY_MIN as i64,
    max: limits::CONCURRENCY_MAX as i64,
};
const PART: Kind = Number { min: 0.0, max: 1.0 };
/// The last second of the year 9999.
const MOMENT: Kind = Number {
    min: 0.0,
    max: 253_402_300_799.0,
};
const POSITIONS: Kind = Choice {
    choices: &["LATEST", "AT_TIMESTAMP", "TRIM_HORIZON"],
};
const REPORTS: Kind = Choices {
    choices: &["ReportBatchItemFailures"],
};
const DESTINATION: Kind = Text {
    chars_max: limits::DESTINATION_CHARS_MAX,
};
const FILTERS: Kind = Filters {
    items_max: limits::FILTERS_CEILING,
    chars_max: limits::FILTER_CHARS_MAX,
};
const QUOTA: Kind = Integer {
    min: limits::FILTERS_MAX as i64,
    max: limits::FILTERS_CEILING as i64,
};
const HOLD_OR_DROP: Kind = Choice {
    choices: &["hold", "drop"],
};
const KEEP_OR_DISCARD: Kind = Choice {
    choices: &["keep", "discard"],
};
const FROM_SOURCE: Preset =
    Preset::Derived("the ARN of the embedded stream or queue, for stream:NAME and queue:NAME");
const FROM_ARN: Preset = Preset::Derived("the source's ARN");
const FROM_FUNCTION: Preset = Preset::Derived("the function's name");
const FROM_QUALIFIER: Preset = Preset::Derived("the ARN's qualifier when a number, else $LATEST");
const FROM_ACCOUNT: Preset = Preset::Derived("a role named penstock in the function's account");
const FROM_REGIONS: Preset = Preset::Derived("the source's region, else the function's");
const FROM_LANES: Preset = Preset::Derived("two batches for each lane, at least 1000");
const FROM_KIND: Preset = Preset::Derived("100 of a stream, 10 of a queue");
const FROM_DRIVER: Preset = Preset::Derived("what the source needs");

fields! {
    UUID = "UUID", Text { chars_max: 36 }, Preset::Required;
    STARTING_POSITION = "StartingPosition", POSITIONS, Preset::Required;
    STARTING_TIMESTAMP = "StartingPositionTimestamp", MOMENT, Preset::Absent;
    BATCH_SIZE = "BatchSize", BATCH, FROM_KIND;
    BATCH_WINDOW = "MaximumBatchingWindowInSeconds", WINDOW, Preset::Integer(0);
    PARALLELIZATION = "ParallelizationFactor", LANES, Preset::Integer(1);
    SOURCE_ARN = "EventSourceArn", ARN, FROM_SOURCE;
    FILTER_CRITERIA = "FilterCriteria", FILTERS, Preset::Absent;
    FUNCTION_ARN = "FunctionArn", ARN, Preset::Required;
    DESTINATION_NAME = "Destination" in "DestinationConfig.OnFailure", DESTINATION,
        Preset::Absent;
    RECORD_AGE = "MaximumRecordAgeInSeconds", AGE, Preset::Integer(-1);
    BISECT = "BisectBatchOnFunctionError", Boolean, Preset::Boolean(false);
    RETRY_ATTEMPTS = "MaximumRetryAttempts", RETRIES, Preset::Integer(-1);
    TUMBLING_WINDOW = "TumblingWindowInSeconds", TUMBLING, Preset::Integer(0);
    RESPONSE_TYPES = "FunctionResponseTypes", REPORTS, Preset::EmptyList;
    MAXIMUM_CONCURRENCY = "MaximumConcurrency" in "ScalingConfig", CONCURRENCY, Preset::Absent;
    ENABLED = "Enabled", Boolean, Preset::Boolean(true);
    SOURCE = "Source" in "Penstock", ARN, FROM_ARN;
    HANDLER = "Handler" in "Penstock", NAME, FROM_FUNCTION;
    POOL = "Pool" in "Penstock", NAME, Preset::Text("threads");
    FUNCTION_VERSION = "FunctionVersion" in "Penstock", NAME, FROM_QUALIFIER;
    ROLE_ARN = "RoleArn" in "Penstock", ARN, FROM_ACCOUNT;
    TIMEOUT_MS = "FunctionTimeoutMs" in "Penstock", TIMEOUT,
        Preset::Integer(millis(FUNCTION_TIMEOUT));
    SOURCE_REGION = "Region" in "Penstock", NAME, FROM_REGIONS;
    ACCESS = "Access" in "Penstock", ARN, Preset::Absent;
    STREAM_ARN = "StreamArn" in "Penstock", ARN, Preset::Absent;
    FROM_ROLE_ARN = "SourceRoleArn" in "Penstock", ARN, Preset::Absent;
    FROM_PROFILE = "SourceProfile" in "Penstock", NAME, Preset::Absent;
    FROM_REGION = "SourceRegion" in "Penstock", NAME, Preset::Absent;
    FROM_ENDPOINT = "SourceEndpointUrl" in "Penstock", ARN, Preset::Absent;
    TO_ROLE_ARN = "DestinationRoleArn" in "Penstock", ARN, Preset::Absent;
    TO_PROFILE = "DestinationProfile" in "Penstock", NAME, Preset::Absent;
    TO_REGION = "DestinationRegion" in "Penstock", NAME, Preset::Absent;
    TO_ENDPOINT = "DestinationEndpointUrl" in "Penstock", ARN, Preset::Absent;
    DESTINATION_FAILURE = "OnDestinationFailure" in "Penstock", HOLD_OR_DROP, Preset::Text("hold");
    PARTIAL_STATE = "PartialState" in "Penstock", KEEP_OR_DISCARD, Preset::Text("keep");
    BACKOFF_BASE = "BackoffBaseMs" in "Penstock", BACKOFF, Preset::Integer(250);
    BACKOFF_CAP = "BackoffCapMs" in "Penstock", BACKOFF, Preset::Integer(60_000);
    BACKOFF_JITTER = "BackoffJitter" in "Penstock", PART, Preset::Number(0.2);
    PAYLOAD_BYTES = "PayloadBytesMax" in "Penstock", EVENT_BYTES,
        Preset::Integer(limits::EVENT_BYTES_MAX as i64);
    AHEAD_RECORDS = "AheadRecordsMax" in "Penstock", AHEAD, FROM_LANES;
    BUFFERED_BYTES = "BufferedBytesMax" in "Penstock", BUFFER,
        Preset::Integer(limits::BUFFERED_BYTES_MAX as i64);
    FILTERS_MAX = "FiltersMax" in "Penstock", QUOTA,
        Preset::Integer(limits::FILTERS_MAX as i64);
    STRICT_GROUPS = "StrictGroups" in "Penstock", Boolean, Preset::Boolean(false);
    IDLE_INTERVAL = "IdleIntervalMs" in "Penstock", IDLE, FROM_DRIVER;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_unique_and_end_with_the_name() {
        let mut paths: Vec<&str> = FIELDS.iter().map(|field| field.path).collect();
        assert!(
            FIELDS
                .iter()
                .all(|field| field.path.rsplit('.').next() == Some(field.name))
        );
        let all = paths.len();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), all);
    }

    #[test]
    fn defaults_are_in_range() {
        for field in FIELDS {
            match (field.kind, field.default) {
                (Integer { min, max }, Preset::Integer(value)) => {
                    assert!((min..=max).contains(&value), "{}", field.path);
                }
                (Number { min, max }, Preset::Number(value)) => {
                    assert!((min..=max).contains(&value), "{}", field.path);
                }
                (Choice { choices }, Preset::Text(value)) => {
                    assert!(choices.contains(&value), "{}", field.path);
                }
                (Text { .. }, Preset::Text(_))
                | (Boolean, Preset::Boolean(_))
                | (Choices { .. }, Preset::EmptyList)
                | (_, Preset::Required | Preset::Absent | Preset::Derived(_)) => {}
                (kind, default) => panic!("{}: {kind:?} by default {default:?}", field.path),
            }
        }
        for lanes in 1..=limits::LANES_MAX {
            assert!(ahead_records(lanes, limits::BATCH_SIZE_MAX) <= limits::AHEAD_RECORDS_MAX);
        }
        assert_eq!(ahead_records(1, 100), 1_000);
        assert_eq!(ahead_records(4, 500), 4_000);
    }

    #[test]
    fn a_field_is_data_for_other_layers() {
        let json = serde_json::to_value(FILTERS_MAX).unwrap();
        let expected = serde_json::json!({
            "name": "FiltersMax", "path": "Penstock.FiltersMax", "kind": "integer", "min": 5,
            "max": 10, "default": {"is": "integer", "value": 5},
        });
        assert_eq!(json, expected);
    }
}
