//! Makes configurations for tests.

use std::time::Duration;

use penstock_engine::config::{
    BackoffConfig, EventShape, FunctionConfig, MappingConfig, OnDestinationFailure, PartialState,
    StartingPosition,
};
use penstock_engine::ids::MappingId;
use penstock_runtime::source::EmbeddedSource;

/// A mapping of this id on an embedded stream, run by the pool `main`.
pub fn config(id: &str) -> MappingConfig {
    MappingConfig {
        id: MappingId::new(id),
        source_arn: "arn:aws:penstock:::stream/orders".to_owned(),
        region: "us-east-1".to_owned(),
        shape: EventShape::Kinesis,
        function: FunctionConfig {
            arn: "arn:aws:lambda:us-east-1:000000000000:function:f".to_owned(),
            version: "$LATEST".to_owned(),
            role_arn: "arn:aws:iam::000000000000:role/f".to_owned(),
            timeout: Duration::from_secs(30),
            handler: "f".to_owned(),
            pool: "main".to_owned(),
        },
        starting_position: StartingPosition::TrimHorizon,
        batch_size: 100,
        filters: None,
        batch_window: Duration::ZERO,
        lanes: 1,
        maximum_retry_attempts: Some(2),
        tumbling_window: None,
        maximum_record_age: None,
        bisect: false,
        partial_response: false,
        on_failure: None,
        on_destination_failure: OnDestinationFailure::Hold,
        partial_state: PartialState::Keep,
        backoff: BackoffConfig {
            base: Duration::from_millis(50),
            cap: Duration::from_secs(1),
            jitter: 0.0,
        },
        payload_bytes_max: 6 << 20,
        ahead_records_max: 10_000,
        buffered_bytes_max: 256 << 20,
        source: EmbeddedSource::profile_of_all(),
        queue: None,
    }
}
