//! Shows what good documents become.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::config::defaults::Preset;
use crate::config::{OnDestinationFailure, StartingPosition};
use crate::event::sample::profile;
use crate::time::Wall;

const UUID: &str = "14e0db71-5d35-4eb5-b481-8945cf9d10c2";
const FUNCTION: &str = "arn:aws:lambda:eu-west-1:123456789012:function:orders";

/// The least document with these members put in; `null` takes one out.
pub(super) fn with(changes: &Value) -> Vec<u8> {
    let mut document = json!({
        "UUID": UUID, "FunctionArn": FUNCTION, "StartingPosition": "TRIM_HORIZON",
        "Penstock": {"Source": "stream:orders"},
    });
    let changes = changes.as_object().unwrap().clone();
    document.as_object_mut().unwrap().extend(changes);
    document.to_string().into_bytes()
}

#[test]
fn the_least_document_gets_awss_defaults() {
    let config = parse(&with(&json!({})), profile()).unwrap();
    assert_eq!(config.id.as_str(), UUID);
    assert_eq!(config.source_arn, "arn:aws:penstock:::stream/orders");
    assert_eq!(config.region, "eu-west-1");
    assert_eq!((config.batch_size, config.lanes), (100, 1));
    assert_eq!(config.batch_window, Duration::ZERO);
    assert_eq!(
        (config.maximum_retry_attempts, config.maximum_record_age),
        (None, None)
    );
    assert!(!config.bisect && !config.partial_response);
    assert_eq!(config.on_failure, None);
    assert_eq!(config.on_destination_failure, OnDestinationFailure::Hold);
    assert_eq!(config.starting_position, StartingPosition::TrimHorizon);
    assert_eq!(config.backoff.base, Duration::from_millis(250));
    assert_eq!(config.backoff.cap, Duration::from_secs(60));
    assert!((config.backoff.jitter - 0.2).abs() < f64::EPSILON);
    assert_eq!(config.payload_bytes_max, 6_291_456);
    assert_eq!(config.ahead_records_max, 1_000);
    assert_eq!(config.function.handler, "orders");
    assert_eq!(config.function.version, "$LATEST");
    assert_eq!(
        config.function.role_arn,
        "arn:aws:iam::123456789012:role/penstock"
    );
    assert_eq!(config.function.timeout, Duration::from_secs(60));
    assert_eq!(config.source, profile());
}

#[test]
fn destinations_of_aws_stay_as_they_are_written() {
    for name in [
        "arn:aws:sqs:us-east-1:123456789012:failed-1_a",
        "arn:aws-cn:sns:cn-north-1:123456789012:failed",
        "arn:aws:s3:::failed.records",
        "sqs:failed",
        "sns:failed",
        "s3://failed/from/orders",
        "function:keep",
    ] {
        let document = with(&json!({"DestinationConfig": {"OnFailure": {"Destination": name}}}));
        let config = parse(&document, profile()).unwrap();
        assert_eq!(config.on_failure.as_deref(), Some(name));
    }
}

#[test]
fn identities_are_checked_against_what_they_are_for() {
    let role = "arn:aws:iam::123456789012:role/reader";
    let kinesis = |own: Value| {
        with(&json!({
            "EventSourceArn": "arn:aws:kinesis:us-east-2:123456789012:stream/s", "Penstock": own,
            "DestinationConfig": {"OnFailure": {"Destination": "sqs:failed"}},
        }))
    };
    let good = json!({
        "SourceRoleArn": role, "SourceProfile": "p", "SourceRegion": "us-east-2",
        "SourceEndpointUrl": "http://127.0.0.1:4566", "DestinationRoleArn": role,
        "DestinationProfile": "q", "DestinationRegion": "eu-west-1",
        "DestinationEndpointUrl": "https://sqs.example",
    });
    let normal: Value =
        serde_json::from_slice(&normalize(&kinesis(good.clone())).unwrap()).unwrap();
    for (name, value) in good.as_object().unwrap() {
        assert_eq!(&normal["Penstock"][name], value, "{name}");
    }
    for (member, value, part) in [
        (
            "SourceRoleArn",
            "arn:aws:iam::123456789012:user/u",
            "is not the ARN of a role",
        ),
        ("DestinationRoleArn", "reader", "is not an ARN"),
        ("SourceEndpointUrl", "127.0.0.1:4566", "URL"),
        ("DestinationEndpointUrl", "http://", "URL"),
        ("SourceRegion", "us-east-1", "is not the region of the ARN"),
    ] {
        let error = normalize(&kinesis(json!({member: value}))).unwrap_err();
        assert_eq!(error.path, format!("Penstock.{member}"));
        assert!(error.message.contains(part), "{}", error.message);
    }
    for member in ["SourceRoleArn", "DestinationRoleArn"] {
        let own = json!({"Source": "stream:orders", member: role});
        let error = normalize(&with(&json!({"Penstock": own}))).unwrap_err();
        assert!(error.message.contains("not in AWS"), "{}", error.message);
    }
}

#[test]
fn every_member_reaches_the_configuration() {
    let document = with(&json!({
        "UUID": UUID.to_uppercase(),
        "EventSourceArn": "arn:aws:kinesis:us-east-2:123456789012:stream/s",
        "FunctionArn": format!("{FUNCTION}:7"),
        "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1_541_139_109.351,
        "BatchSize": 10_000, "MaximumBatchingWindowInSeconds": 300,
        "ParallelizationFactor": 10, "MaximumRetryAttempts": 10_000,
        "MaximumRecordAgeInSeconds": 604_800, "BisectBatchOnFunctionError": true,
        "FunctionResponseTypes": ["ReportBatchItemFailures"], "Enabled": false,
        "DestinationConfig": {"OnFailure": {"Destination": "file:failed.jsonl"}},
        "FilterCriteria": {"Filters": [{"Pattern": r#"{"data":{"a":[1]}}"#}]},
        "Penstock": {
            "Source": "kinesis:s", "Handler": "h", "Pool": "aio", "FunctionVersion": "8",
            "RoleArn": "arn:aws:iam::123456789012:role/r", "FunctionTimeoutMs": 30_000,
            "Region": "local", "Access": "a", "FiltersMax": 7, "OnDestinationFailure": "drop",
            "BackoffBaseMs": 1, "BackoffCapMs": 2, "BackoffJitter": 0,
            "PayloadBytesMax": 1_024, "AheadRecordsMax": 20_000,
            "BufferedBytesMax": 33_554_432, "IdleIntervalMs": 250,
        },
    }));
    let config = parse(&document, profile()).unwrap();
    assert_eq!(config.id.as_str(), UUID);
    assert_eq!(
        config.starting_position,
        StartingPosition::AtTimestamp(Wall(1_541_139_109_351))
    );
    assert_eq!(config.batch_size, 10_000);
    let filters = config.filters.as_deref().unwrap();
    assert_eq!((filters.patterns().len(), filters.most()), (1, 7));
    assert_eq!(config.batch_window, Duration::from_secs(300));
    assert_eq!(config.lanes, 10);
    assert_eq!(config.maximum_retry_attempts, Some(10_000));
    assert_eq!(
        config.maximum_record_age,
        Some(Duration::from_secs(604_800))
    );
    assert!(config.bisect && config.partial_response);
    assert_eq!(config.on_failure.as_deref(), Some("file:failed.jsonl"));
    assert_eq!(config.on_destination_failure, OnDestinationFailure::Drop);
    assert_eq!(config.function.arn, format!("{FUNCTION}:7"));
    assert_eq!(
        (
            config.function.handler.as_str(),
            config.function.pool.as_str()
        ),
        ("h", "aio")
    );
    assert_eq!(config.function.version, "8");
    assert_eq!(config.function.timeout, Duration::from_secs(30));
    assert_eq!(config.region, "local");
    assert_eq!(config.backoff.cap, Duration::from_millis(2));
    assert_eq!(config.payload_bytes_max, 1_024);
    assert_eq!(config.ahead_records_max, 20_000);
    assert_eq!(config.buffered_bytes_max, 33_554_432);
    assert_eq!(config.source.idle_interval, Duration::from_millis(250));
    let again = parse(write(&config).to_string().as_bytes(), profile()).unwrap();
    assert_eq!(again, config);
    let source = peek(&document).unwrap();
    assert_eq!(
        (source.source.as_str(), source.access.as_deref()),
        ("kinesis:s", Some("a"))
    );
    assert!(!source.enabled);
    assert_eq!(source.stream_arn, source.arn);
}

#[test]
fn an_alias_is_read_from_another_stream_than_it_shows() {
    let arn = "arn:aws:kinesis:us-east-2:123456789012:stream/s";
    let read = "arn:aws:kinesis:local:000000000000:stream/other";
    let document = with(&json!({
        "EventSourceArn": arn, "Penstock": {"Source": "kinesis:s", "StreamArn": read},
    }));
    let source = peek(&document).unwrap();
    assert_eq!(
        (source.arn.as_str(), source.stream_arn.as_str()),
        (arn, read)
    );
    assert_eq!(parse(&document, profile()).unwrap().source_arn, arn);
}

#[test]
fn a_normalised_document_is_whole_and_goes_in_again_unchanged() {
    let first = normalize(&with(&json!({"BatchSize": 7}))).unwrap();
    assert_eq!(normalize(&first).unwrap(), first);
    let value: Value = serde_json::from_slice(&first).unwrap();
    for field in fields() {
        let pointer = format!("/{}", field.path.replace('.', "/"));
        let may_lack = field.default == Preset::Absent
            || ["IdleIntervalMs", "StrictGroups"].contains(&field.name);
        assert!(
            may_lack || value.pointer(&pointer).is_some(),
            "{}",
            field.path
        );
    }
    assert_eq!(value["DestinationConfig"], json!({"OnFailure": {}}));
    let config = parse(&with(&json!({"BatchSize": 7})), profile()).unwrap();
    assert_eq!(parse(&first, profile()).unwrap(), config);
}

#[test]
fn a_document_may_be_normalised_before_it_has_a_uuid() {
    let document = with(&json!({"UUID": null}));
    assert!(normalize(&document).is_ok());
    let error = parse(&document, profile()).unwrap_err();
    assert_eq!(error.to_string(), "UUID: is missing");
}

#[test]
fn good_destinations_are_kept_and_empty_ones_are_none() {
    let kept = |value: Value| {
        let document = with(&json!({ "DestinationConfig": value }));
        parse(&document, profile()).unwrap().on_failure
    };
    let to = |text: &str| json!({"OnFailure": {"Destination": text}});
    assert_eq!(kept(to("stream:failed")).as_deref(), Some("stream:failed"));
    let arn = "arn:aws:penstock:::stream/failed";
    assert_eq!(kept(to(arn)).as_deref(), Some("stream:failed"));
    assert_eq!(
        kept(to("file:/tmp/x.jsonl")).as_deref(),
        Some("file:/tmp/x.jsonl")
    );
    for none in [to(""), json!({"OnFailure": {}}), json!({}), Value::Null] {
        assert_eq!(kept(none), None);
    }
    assert_eq!(kept(json!({"OnSuccess": {}, "OnFailure": null})), None);
}
