//! Shows what documents of queues become, and how bad ones are refused: in AWS's words.

use serde_json::json;

use super::*;
use crate::config::QueueRules;
use crate::event::sample::profile;

const FUNCTION: &str = "arn:aws:lambda:us-east-1:123456789012:function:orders";
const STANDARD: &str = "arn:aws:sqs:us-east-1:123456789012:orders";
const FIFO: &str = "arn:aws:sqs:us-east-1:123456789012:orders.fifo";

/// The least document of a queue with these members put in; `null` takes one out.
fn with(arn: &str, changes: &Value) -> Vec<u8> {
    let mut document = json!({
        "UUID": "14e0db71-5d35-4eb5-b481-8945cf9d10c2",
        "EventSourceArn": arn,
        "FunctionArn": FUNCTION,
    });
    let changes = changes.as_object().unwrap().clone();
    document.as_object_mut().unwrap().extend(changes);
    document.to_string().into_bytes()
}

fn good(arn: &str, changes: &Value) -> MappingConfig {
    parse(&with(arn, changes), profile()).expect("the document is good")
}

fn wrong(arn: &str, changes: &Value) -> (String, String) {
    let document = with(arn, changes);
    let error = parse(&document, profile()).expect_err("the document is wrong");
    assert_eq!(normalize(&document), Err(error.clone()));
    (error.path, error.message)
}

#[test]
fn the_least_document_of_a_queue_gets_awss_defaults() {
    let config = good(STANDARD, &json!({}));
    assert_eq!(config.shape, EventShape::Sqs);
    assert_eq!(config.batch_size, 10);
    assert!(config.batch_window.is_zero());
    let rules = QueueRules {
        fifo: false,
        maximum_concurrency: None,
        strict_groups: false,
    };
    assert_eq!(config.queue, Some(rules));
    let config = good(FIFO, &json!({"Penstock": {"StrictGroups": true}}));
    let rules = QueueRules {
        fifo: true,
        strict_groups: true,
        ..rules
    };
    assert_eq!(config.queue, Some(rules));
}

#[test]
fn a_normalised_document_of_a_queue_has_no_members_of_streams_and_reads_the_same() {
    let options = json!({
        "BatchSize": 500, "MaximumBatchingWindowInSeconds": 3,
        "ScalingConfig": {"MaximumConcurrency": 7},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
    });
    let normal = normalize(&with(STANDARD, &options)).unwrap();
    let shown: Value = serde_json::from_slice(&normal).unwrap();
    for member in [
        "StartingPosition",
        "ParallelizationFactor",
        "DestinationConfig",
        "MaximumRecordAgeInSeconds",
        "BisectBatchOnFunctionError",
        "MaximumRetryAttempts",
    ] {
        assert!(shown.get(member).is_none(), "{member}");
    }
    assert_eq!(shown["ScalingConfig"], json!({"MaximumConcurrency": 7}));
    assert_eq!(normalize(&normal).unwrap(), normal);
    let config = parse(&normal, profile()).unwrap();
    assert_eq!(config, good(STANDARD, &options));
    assert_eq!(config.queue.unwrap().maximum_concurrency, Some(7));
    let written = write(&config).to_string().into_bytes();
    assert_eq!(parse(&written, profile()).unwrap(), config);
}

#[test]
fn embedded_queues_are_named_as_streams_are() {
    let of = |name: &str| json!({"EventSourceArn": null, "Penstock": {"Source": name}});
    let config = good(STANDARD, &of("queue:orders"));
    assert_eq!(config.source_arn, "arn:aws:penstock:::queue/orders");
    assert!(!config.queue.unwrap().fifo);
    assert!(good(STANDARD, &of("queue:orders.fifo")).queue.unwrap().fifo);
    for name in ["queue:", "queue:a.b", "queue:.fifo", "queue:a b"] {
        let (path, message) = wrong(STANDARD, &of(name));
        assert_eq!(path, "Penstock.Source");
        assert!(
            message.contains("cannot be the name of a queue"),
            "{message}"
        );
    }
    let long = format!("queue:{}", "q".repeat(81));
    assert_eq!(wrong(STANDARD, &of(&long)).0, "Penstock.Source");
    assert_eq!(
        names::embedded_queue("arn:aws:penstock:::queue/q"),
        Some("q")
    );
}

#[test]
fn rules_of_batches_are_awss_in_awss_order() {
    let window = "MaximumBatchingWindowInSeconds";
    let needs_window = "Maximum batch window in seconds must be greater than 0 if maximum batch \
                        size is greater than 10";
    let no_window = "Batching window is not supported for FIFO queues";
    for (arn, changes, path, message) in [
        (STANDARD, json!({"BatchSize": 11}), window, needs_window),
        (FIFO, json!({"BatchSize": 11}), window, needs_window),
        (FIFO, json!({window: 1}), window, no_window),
        (FIFO, json!({"BatchSize": 11, window: 1}), window, no_window),
    ] {
        assert_eq!(wrong(arn, &changes), (path.to_owned(), message.to_owned()));
    }
    assert_eq!(
        good(STANDARD, &json!({"BatchSize": 11, window: 1})).batch_size,
        11
    );
    let largest = good(STANDARD, &json!({"BatchSize": 10_000, window: 300}));
    assert_eq!(largest.batch_size, 10_000);
    assert_eq!(
        wrong(STANDARD, &json!({"BatchSize": 10_001})).0,
        "BatchSize"
    );
}

#[test]
fn what_only_streams_have_is_refused_by_awss_name() {
    for (member, value, name) in [
        ("StartingPosition", json!("LATEST"), "startingPosition"),
        (
            "StartingPositionTimestamp",
            json!(5),
            "startingPositionTimestamp",
        ),
        ("ParallelizationFactor", json!(2), "parallelizationFactor"),
        (
            "MaximumRecordAgeInSeconds",
            json!(60),
            "maximumRecordAgeInSeconds",
        ),
        (
            "BisectBatchOnFunctionError",
            json!(true),
            "bisectBatchOnFunctionError",
        ),
        ("MaximumRetryAttempts", json!(0), "maximumRetryAttempts"),
        (
            "TumblingWindowInSeconds",
            json!(1),
            "tumblingWindowInSeconds",
        ),
    ] {
        let (path, message) = wrong(STANDARD, &json!({ member: value }));
        assert_eq!(path, member);
        let sentence =
            format!("Unsupported '{name}' parameter for given event source mapping type.");
        assert_eq!(message, sentence);
        let _ = good(STANDARD, &json!({ member: null }));
    }
    for side in ["OnSuccess", "OnFailure"] {
        let config = json!({"DestinationConfig": {side: {"Destination": "stream:x"}}});
        let (path, message) = wrong(STANDARD, &config);
        assert_eq!(path, "DestinationConfig");
        let sentence =
            "Unsupported DestinationConfig parameter for given event source mapping type.";
        assert_eq!(message, sentence);
    }
    let _ = good(STANDARD, &json!({"DestinationConfig": {"OnFailure": {}}}));
    for own in [
        json!({"AheadRecordsMax": 1_000}),
        json!({"OnDestinationFailure": "hold"}),
    ] {
        let (_, message) = wrong(STANDARD, &json!({ "Penstock": own }));
        assert_eq!(message, "is an option of streams; leave it out");
    }
    let (path, _) = wrong(STANDARD, &json!({"Penstock": {"StrictGroups": true}}));
    assert_eq!(path, "Penstock.StrictGroups");
}

#[test]
fn concurrency_has_awss_range_and_excludes_provisioned_pollers() {
    let scaling = |most: i64| json!({"ScalingConfig": {"MaximumConcurrency": most}});
    for most in [2, 1_000] {
        let rules = good(STANDARD, &scaling(most)).queue.unwrap();
        assert_eq!(rules.maximum_concurrency, Some(most as u32));
    }
    for (most, side) in [
        (1, "greater than or equal to 2"),
        (1_001, "less than or equal to 1000"),
    ] {
        let (path, message) = wrong(STANDARD, &scaling(most));
        assert_eq!(path, "ScalingConfig.MaximumConcurrency");
        assert!(
            message.ends_with(&format!("Member must have value {side}")),
            "{message}"
        );
    }
    let none = good(STANDARD, &json!({"ScalingConfig": {}})).queue.unwrap();
    assert_eq!(none.maximum_concurrency, None);
    let both = json!({
        "ScalingConfig": {"MaximumConcurrency": 5},
        "ProvisionedPollerConfig": {"MinimumPollers": 2},
    });
    assert!(
        wrong(STANDARD, &both)
            .1
            .starts_with("Provisioned mode for SQS ESM does not support")
    );
    let alone = json!({"ProvisionedPollerConfig": {"MinimumPollers": 2}});
    assert_eq!(wrong(STANDARD, &alone).0, "ProvisionedPollerConfig");
    let _ = good(STANDARD, &json!({"ProvisionedPollerConfig": {}}));
}
