//! Makes mappings on queues and the queues themselves: plain ones to start stories from, and drawn
//! ones.

use std::time::Duration;

use penstock_engine::config::{
    BackoffConfig, EventShape, FunctionConfig, MappingConfig, QueueRules, SourceProfile,
};
use penstock_engine::limits::EVENT_BYTES_MAX;

use super::source::QueueSetup;
use crate::options;
use crate::random::Random;

/// A mapping with AWS's defaults on a standard queue.
#[must_use]
pub fn standard() -> MappingConfig {
    MappingConfig {
        source_arn: "arn:aws:sqs:us-east-1:123456789012:simulated".to_owned(),
        shape: EventShape::Sqs,
        batch_size: 10,
        source: SourceProfile {
            idle_interval: Duration::from_secs(1),
            fetch_wait: Duration::from_secs(20),
            fetch_records_max: 10,
            fetch_bytes_max: 1_024 * 1_024,
            tip_reads_per_second: None,
            list_interval: Duration::from_secs(300),
        },
        queue: Some(QueueRules {
            fifo: false,
            maximum_concurrency: None,
            strict_groups: false,
        }),
        ..options::plain()
    }
}

/// The same on a FIFO queue.
#[must_use]
pub fn fifo() -> MappingConfig {
    let standard = standard();
    MappingConfig {
        source_arn: format!("{}.fifo", standard.source_arn),
        queue: standard.queue.map(|rules| QueueRules {
            fifo: true,
            ..rules
        }),
        ..standard
    }
}

/// A queue with half a minute of visibility and no dead-letter queue.
#[must_use]
pub fn setup(fifo: bool) -> QueueSetup {
    QueueSetup {
        fifo,
        visibility_timeout: Duration::from_secs(30),
        max_receive_count: None,
        in_flight_max: if fifo { 20_000 } else { 120_000 },
        disorder: 300,
    }
}

/// A drawn queue.
#[must_use]
pub fn drawn_setup(random: &mut Random) -> QueueSetup {
    QueueSetup {
        fifo: random.chance(500),
        visibility_timeout: Duration::from_secs(random.pick(&[5, 10, 30])),
        max_receive_count: random.pick(&[None, Some(2), Some(3), Some(5)]),
        in_flight_max: random.pick(&[20, 120_000, 120_000]),
        disorder: 300,
    }
}

/// A drawn mapping on such a queue.
#[must_use]
pub fn drawn(random: &mut Random, setup: &QueueSetup) -> MappingConfig {
    let mut config = if setup.fifo { fifo() } else { standard() };
    config.batch_size = random.pick(&[1, 2, 3, 5, 10]);
    if !setup.fifo && random.chance(400) {
        config.batch_window = Duration::from_secs(random.pick(&[1, 2, 5, 20]));
        config.batch_size = random.pick(&[3, 10, 25, 100]);
    }
    config.partial_response = random.chance(500);
    config.queue = Some(QueueRules {
        fifo: setup.fifo,
        maximum_concurrency: random.pick(&[None, None, Some(2), Some(3), Some(10)]),
        strict_groups: setup.fifo && random.chance(400),
    });
    config.function = FunctionConfig {
        timeout: Duration::from_secs(random.pick(&[1, 3, 5])),
        ..config.function
    };
    config.backoff = BackoffConfig {
        base: random.millis(20, 300),
        cap: Duration::from_millis(random.pick(&[300, 1_000, 4_000])),
        jitter: random.pick(&[0.0, 0.2, 0.5]),
    };
    config.payload_bytes_max = random.pick(&[EVENT_BYTES_MAX, EVENT_BYTES_MAX, 4_096]);
    config.source.fetch_bytes_max = 16 * 1_024;
    config.source.fetch_wait = Duration::from_secs(random.pick(&[1, 5, 20]));
    config.buffered_bytes_max = random.pick(&[64 * 1_024, 256 * 1_024, 32 * 1_024 * 1_024]);
    config
}
