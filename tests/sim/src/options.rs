//! Makes mapping configurations: a plain one to start stories from, and drawn ones.
//!
//! Rules: what is drawn is within the ranges that a document may ask for, except where the
//! engine's bounds must be reached by few and small records.

use std::time::Duration;

use penstock_engine::config::{
    BackoffConfig, EventShape, FunctionConfig, MappingConfig, OnDestinationFailure, PartialState,
    SourceProfile, StartingPosition,
};
use penstock_engine::ids::MappingId;
use penstock_engine::limits::EVENT_BYTES_MAX;
use penstock_engine::time::Wall;

use crate::random::Random;
use crate::world::BEGINNING;

/// A mapping with AWS's defaults, from the oldest record on.
#[must_use]
pub fn plain() -> MappingConfig {
    MappingConfig {
        id: MappingId::new("11111111-2222-4333-8444-555555555555"),
        source_arn: "arn:aws:kinesis:us-east-1:123456789012:stream/simulated".to_owned(),
        region: "us-east-1".to_owned(),
        shape: EventShape::Kinesis,
        function: FunctionConfig {
            arn: "arn:aws:lambda:us-east-1:123456789012:function:handler".to_owned(),
            version: "$LATEST".to_owned(),
            role_arn: "arn:aws:iam::123456789012:role/handler".to_owned(),
            timeout: Duration::from_secs(3),
            handler: "handler".to_owned(),
            pool: "threads".to_owned(),
        },
        starting_position: StartingPosition::TrimHorizon,
        batch_size: 100,
        filters: None,
        batch_window: Duration::ZERO,
        lanes: 1,
        maximum_retry_attempts: None,
        tumbling_window: None,
        maximum_record_age: None,
        bisect: false,
        partial_response: false,
        on_failure: None,
        on_destination_failure: OnDestinationFailure::Hold,
        partial_state: PartialState::Keep,
        backoff: BackoffConfig {
            base: Duration::from_millis(250),
            cap: Duration::from_secs(60),
            jitter: 0.2,
        },
        payload_bytes_max: EVENT_BYTES_MAX,
        ahead_records_max: 1_000,
        buffered_bytes_max: 32 * 1_024 * 1_024,
        source: SourceProfile {
            idle_interval: Duration::from_secs(1),
            fetch_wait: Duration::ZERO,
            fetch_records_max: 10_000,
            fetch_bytes_max: 16 * 1_024 * 1_024,
            tip_reads_per_second: Some(5),
            list_interval: Duration::from_secs(30),
        },
        queue: None,
    }
}

/// Where failure documents go in simulations.
#[must_use]
pub fn destination() -> Option<String> {
    Some("stream:failures".to_owned())
}

/// Where failure documents go that carry records.
#[must_use]
pub fn bucket() -> Option<String> {
    Some("s3://failures".to_owned())
}

/// A drawn mapping.
#[must_use]
pub fn drawn(random: &mut Random) -> MappingConfig {
    let mut config = plain();
    config.lanes = random.pick(&[1, 1, 2, 3, 4, 10]);
    config.batch_size = random.pick(&[1, 2, 3, 5, 10, 100]);
    if random.chance(250) {
        let seconds = random.pick(&[1, 3, 7, 15, 60]);
        config.tumbling_window = Some(Duration::from_secs(seconds));
        config.lanes = 1;
    }
    config.batch_window = Duration::from_secs(random.pick(&[0, 0, 0, 1, 5]));
    config.maximum_retry_attempts = random.pick(&[None, Some(0), Some(1), Some(2), Some(3)]);
    config.maximum_record_age = random
        .pick(&[None, None, Some(60), Some(90)])
        .map(Duration::from_secs);
    config.bisect = random.chance(500);
    config.partial_response = random.chance(500);
    if config.tumbling_window.is_some() && config.partial_response && random.chance(300) {
        config.partial_state = PartialState::Discard;
    }
    let takes = if config.bisect { destination } else { bucket };
    config.on_failure = random.chance(600).then(takes).flatten();
    if random.chance(250) {
        config.on_destination_failure = OnDestinationFailure::Drop;
    }
    config.starting_position = random.pick(&[
        StartingPosition::TrimHorizon,
        StartingPosition::TrimHorizon,
        StartingPosition::Latest,
        StartingPosition::AtTimestamp(Wall(BEGINNING.0 - 45_000)),
    ]);
    config.backoff = BackoffConfig {
        base: random.millis(20, 300),
        cap: Duration::from_millis(random.pick(&[300, 1_000, 4_000])),
        jitter: random.pick(&[0.0, 0.2, 0.5]),
    };
    config.payload_bytes_max = random.pick(&[EVENT_BYTES_MAX, EVENT_BYTES_MAX, 4_096]);
    if config.tumbling_window.is_some() {
        // A state that grows would make more and more records too large.
        config.payload_bytes_max = EVENT_BYTES_MAX;
    }
    let two_batches = 2 * u32::from(config.lanes) * config.batch_size;
    config.ahead_records_max = random.pick(&[two_batches, two_batches, 1_000]);
    config.source.fetch_records_max = random.pick(&[5, 20, 1_000]);
    config.source.fetch_bytes_max = 64 * 1_024;
    config.buffered_bytes_max = random.pick(&[32 * 1_024, 256 * 1_024, 32 * 1_024 * 1_024]);
    config.source.list_interval = Duration::from_secs(random.pick(&[5, 30]));
    config
}
