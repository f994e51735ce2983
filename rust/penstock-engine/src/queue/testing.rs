//! Makes configurations for the tests of the queue machine's parts.

use std::time::Duration;

use crate::config::{MappingConfig, SourceProfile, document};

/// The configuration of a mapping on the queue `name` with these members in its document.
pub(crate) fn config(name: &str, options: &str) -> MappingConfig {
    let comma = if options.is_empty() { "" } else { "," };
    let document = format!(
        r#"{{"UUID":"14e0db71-5d35-4eb5-b481-8945cf9d10c2",
            "EventSourceArn":"arn:aws:sqs:us-east-1:123456789012:{name}",
            "FunctionArn":"arn:aws:lambda:us-east-1:123456789012:function:f"{comma}{options}}}"#
    );
    let profile = SourceProfile {
        idle_interval: Duration::from_secs(1),
        fetch_wait: Duration::from_secs(20),
        fetch_records_max: 10,
        fetch_bytes_max: 11 * 1_024 * 1_024,
        tip_reads_per_second: None,
        list_interval: Duration::from_secs(60),
    };
    document::parse(document.as_bytes(), profile).expect("a good document")
}
