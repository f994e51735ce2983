//! Lays out the configuration document, and turns it into a configuration and back.
//!
//! Rules: members stand in the order in which AWS answers them; what only streams or only queues
//! have is absent from the other's; each value is already in its range, so that only rules between
//! members are left to check.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::defaults as fields;
use super::error::ConfigError;
use super::{
    BackoffConfig, EventShape, FunctionConfig, MappingConfig, OnDestinationFailure, PartialState,
    QueueRules, SourceProfile, StartingPosition, identities, names,
};
use crate::filter::Filters;
use crate::ids::MappingId;
use crate::limits;
use crate::time::Wall;

/// The one kind of answer that a report can come in.
pub(super) const REPORT_ITEMS: &str = "ReportBatchItemFailures";

/// The whole document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Document {
    #[serde(rename = "UUID", skip_serializing_if = "Option::is_none")]
    pub(super) uuid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) starting_position: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) starting_position_timestamp: Option<f64>,
    pub(super) batch_size: u32,
    pub(super) maximum_batching_window_in_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parallelization_factor: Option<u8>,
    pub(super) event_source_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filter_criteria: Option<FilterCriteria>,
    pub(super) function_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) destination_config: Option<DestinationConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) maximum_record_age_in_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bisect_batch_on_function_error: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) maximum_retry_attempts: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tumbling_window_in_seconds: Option<i64>,
    pub(super) function_response_types: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scaling_config: Option<ScalingConfig>,
    pub(super) enabled: bool,
    pub(super) penstock: Section,
}

/// The patterns of records that are handled.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FilterCriteria {
    pub(super) filters: Vec<Filter>,
}

/// One pattern.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Filter {
    pub(super) pattern: String,
}

/// Where failure documents go.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DestinationConfig {
    pub(super) on_failure: OnFailure,
}

/// The destination, if there is one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OnFailure {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) destination: Option<String>,
}

/// How far a queue's mapping may grow, when it says so.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ScalingConfig {
    pub(super) maximum_concurrency: u32,
}

/// The members that AWS does not have.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Section {
    pub(super) source: String,
    pub(super) handler: String,
    pub(super) pool: String,
    pub(super) function_version: String,
    pub(super) role_arn: String,
    pub(super) function_timeout_ms: u64,
    pub(super) region: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) access: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream_arn: Option<String>,
    /// As whom and where AWS is called; the caller's to follow.
    #[serde(flatten)]
    pub(super) identities: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) on_destination_failure: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) partial_state: Option<&'static str>,
    pub(super) backoff_base_ms: u64,
    pub(super) backoff_cap_ms: u64,
    pub(super) backoff_jitter: f64,
    pub(super) payload_bytes_max: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ahead_records_max: Option<u32>,
    pub(super) buffered_bytes_max: u64,
    pub(super) filters_max: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) strict_groups: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idle_interval_ms: Option<u64>,
}

impl Document {
    /// Checks the rules between members.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let own = &self.penstock;
        if own.backoff_cap_ms < own.backoff_base_ms {
            let message = format!(
                "{} is less than BackoffBaseMs {}; raise it or lower the base",
                own.backoff_cap_ms, own.backoff_base_ms
            );
            return Err(ConfigError::new(fields::BACKOFF_CAP.path, message));
        }
        if let Some(ahead) = own
            .ahead_records_max
            .filter(|ahead| *ahead < self.batch_size)
        {
            let message = format!(
                "{ahead} is less than BatchSize {}: no batch could ever be full",
                self.batch_size
            );
            return Err(ConfigError::new(fields::AHEAD_RECORDS.path, message));
        }
        self.check_windows()?;
        let destination = self.destination_config.as_ref();
        let destination = destination.and_then(|config| config.on_failure.destination.as_deref());
        if own.on_destination_failure == Some("drop") && destination.is_none() {
            let message = "\"drop\" needs a destination that can fail; set \
                           DestinationConfig.OnFailure.Destination or leave this out";
            return Err(ConfigError::new(fields::DESTINATION_FAILURE.path, message));
        }
        identities::check(&own.identities, &self.event_source_arn, destination)?;
        let loops = destination
            .and_then(names::embedded_stream)
            .is_some_and(|name| self.event_source_arn == names::embedded_arn(name));
        if loops {
            let message = "is the stream that the mapping reads; a failure document would come \
                           back as a record for ever";
            return Err(ConfigError::new(fields::DESTINATION_NAME.path, message));
        }
        Ok(())
    }

    /// What AWS refuses beside tumbling windows, and what means nothing without them.
    fn check_windows(&self) -> Result<(), ConfigError> {
        let windows = tumbling_window(self.tumbling_window_in_seconds).is_some();
        let reports = !self.function_response_types.is_empty();
        if self.penstock.partial_state == Some("discard") && !(windows && reports) {
            let message = "\"discard\" is about the state beside a partial report; set \
                           TumblingWindowInSeconds and FunctionResponseTypes, or leave this out";
            return Err(ConfigError::new(fields::PARTIAL_STATE.path, message));
        }
        if !windows {
            return Ok(());
        }
        if self.parallelization_factor.is_some_and(|lanes| lanes > 1) {
            let message = "Parallelization factor must be equal to 1 when tumbling window period \
                           is configured";
            return Err(ConfigError::new(fields::PARALLELIZATION.path, message));
        }
        if self.filter_criteria.is_some() {
            let message = "Filter criteria must be empty when tumbling window period is configured";
            return Err(ConfigError::new(fields::FILTER_CRITERIA.path, message));
        }
        Ok(())
    }

    /// The configuration that it describes.
    pub(super) fn configuration(
        self,
        id: MappingId,
        shape: EventShape,
        filters: Option<Arc<Filters>>,
        profile: SourceProfile,
    ) -> MappingConfig {
        let queue = (shape == EventShape::Sqs).then(|| QueueRules {
            fifo: names::is_fifo(&self.event_source_arn),
            maximum_concurrency: self
                .scaling_config
                .map(|scaling| scaling.maximum_concurrency),
            strict_groups: self.penstock.strict_groups.unwrap_or(false),
        });
        let own = self.penstock;
        let source = SourceProfile {
            idle_interval: own.idle_interval_ms.map_or(profile.idle_interval, millis),
            ..profile
        };
        MappingConfig {
            id,
            source_arn: self.event_source_arn,
            region: own.region,
            shape,
            function: FunctionConfig {
                arn: self.function_arn,
                version: own.function_version,
                role_arn: own.role_arn,
                timeout: millis(own.function_timeout_ms),
                handler: own.handler,
                pool: own.pool,
            },
            starting_position: match self.starting_position_timestamp {
                Some(seconds) => StartingPosition::AtTimestamp(moment(seconds)),
                None if self.starting_position == Some("LATEST") => StartingPosition::Latest,
                None => StartingPosition::TrimHorizon,
            },
            batch_size: self.batch_size,
            filters,
            batch_window: Duration::from_secs(self.maximum_batching_window_in_seconds),
            lanes: self.parallelization_factor.unwrap_or(1),
            tumbling_window: tumbling_window(self.tumbling_window_in_seconds),
            maximum_retry_attempts: self
                .maximum_retry_attempts
                .and_then(|retries| u32::try_from(retries).ok()),
            maximum_record_age: self
                .maximum_record_age_in_seconds
                .and_then(|age| u64::try_from(age).ok())
                .map(Duration::from_secs),
            bisect: self.bisect_batch_on_function_error.unwrap_or(false),
            partial_response: !self.function_response_types.is_empty(),
            on_failure: self
                .destination_config
                .and_then(|config| config.on_failure.destination),
            on_destination_failure: OnDestinationFailure::named(own.on_destination_failure),
            partial_state: PartialState::named(own.partial_state),
            backoff: BackoffConfig {
                base: millis(own.backoff_base_ms),
                cap: millis(own.backoff_cap_ms),
                jitter: own.backoff_jitter,
            },
            payload_bytes_max: own.payload_bytes_max,
            ahead_records_max: own.ahead_records_max.unwrap_or(self.batch_size),
            buffered_bytes_max: own.buffered_bytes_max,
            source,
            queue,
        }
    }

    /// What describes this configuration.
    pub(super) fn of(config: &MappingConfig) -> Self {
        let (starting_position, timestamp) = match config.starting_position {
            StartingPosition::TrimHorizon => ("TRIM_HORIZON", None),
            StartingPosition::Latest => ("LATEST", None),
            StartingPosition::AtTimestamp(at) => ("AT_TIMESTAMP", Some(at.0 as f64 / 1_000.0)),
        };
        let stream = config.queue.is_none();
        Self {
            uuid: Some(config.id.as_str().to_owned()),
            starting_position: stream.then_some(starting_position),
            starting_position_timestamp: timestamp,
            batch_size: config.batch_size,
            maximum_batching_window_in_seconds: config.batch_window.as_secs(),
            parallelization_factor: stream.then_some(config.lanes),
            event_source_arn: config.source_arn.clone(),
            filter_criteria: config.filters.as_deref().map(FilterCriteria::of),
            function_arn: config.function.arn.clone(),
            destination_config: stream.then(|| DestinationConfig {
                on_failure: OnFailure {
                    destination: config.on_failure.clone(),
                },
            }),
            maximum_record_age_in_seconds: stream.then(|| {
                let age = config.maximum_record_age;
                age.map_or(-1, |age| age.as_secs().cast_signed())
            }),
            bisect_batch_on_function_error: stream.then_some(config.bisect),
            maximum_retry_attempts: stream
                .then(|| config.maximum_retry_attempts.map_or(-1, i64::from)),
            tumbling_window_in_seconds: stream.then(|| {
                let length = config.tumbling_window;
                length.map_or(0, |length| length.as_secs().cast_signed())
            }),
            scaling_config: config
                .queue
                .and_then(|queue| queue.maximum_concurrency)
                .map(|maximum_concurrency| ScalingConfig {
                    maximum_concurrency,
                }),
            function_response_types: match config.partial_response {
                true => vec![REPORT_ITEMS],
                false => Vec::new(),
            },
            enabled: true,
            penstock: Section::of(config),
        }
    }
}

impl FilterCriteria {
    fn of(filters: &Filters) -> Self {
        let patterns = filters.patterns().iter().cloned();
        Self {
            filters: patterns.map(|pattern| Filter { pattern }).collect(),
        }
    }
}

impl Section {
    fn of(config: &MappingConfig) -> Self {
        let in_millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let function = &config.function;
        let stream = config.queue.is_none();
        Self {
            source: config.source_arn.clone(),
            handler: function.handler.clone(),
            pool: function.pool.clone(),
            function_version: function.version.clone(),
            role_arn: function.role_arn.clone(),
            function_timeout_ms: in_millis(function.timeout),
            region: config.region.clone(),
            access: None,
            stream_arn: None,
            identities: BTreeMap::new(),
            on_destination_failure: stream.then_some(config.on_destination_failure.name()),
            partial_state: stream.then_some(config.partial_state.name()),
            backoff_base_ms: in_millis(config.backoff.base),
            backoff_cap_ms: in_millis(config.backoff.cap),
            backoff_jitter: config.backoff.jitter,
            payload_bytes_max: config.payload_bytes_max,
            ahead_records_max: stream.then_some(config.ahead_records_max),
            buffered_bytes_max: config.buffered_bytes_max,
            filters_max: config
                .filters
                .as_deref()
                .map_or(limits::FILTERS_MAX, Filters::most) as u32,
            strict_groups: config.queue.map(|queue| queue.strict_groups),
            idle_interval_ms: Some(in_millis(config.source.idle_interval)),
        }
    }
}

impl OnDestinationFailure {
    fn named(name: Option<&str>) -> Self {
        match name {
            Some("drop") => Self::Drop,
            _ => Self::Hold,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Drop => "drop",
        }
    }
}

impl PartialState {
    fn named(name: Option<&str>) -> Self {
        match name {
            Some("discard") => Self::Discard,
            _ => Self::Keep,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Discard => "discard",
        }
    }
}

fn tumbling_window(seconds: Option<i64>) -> Option<Duration> {
    let seconds = u64::try_from(seconds?).ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A moment given in seconds, to the millisecond; the field's range has kept it small.
fn moment(seconds: f64) -> Wall {
    Wall((seconds * 1_000.0).round() as i64)
}
