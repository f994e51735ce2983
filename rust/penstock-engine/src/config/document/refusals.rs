//! Shows how bad documents are refused: with the member's path and a sentence.

use serde_json::json;

use super::tests::with;
use super::*;
use crate::event::sample::profile;

fn own(changes: &Value) -> Value {
    let mut section = json!({"Source": "stream:orders"});
    section
        .as_object_mut()
        .unwrap()
        .extend(changes.as_object().unwrap().clone());
    json!({ "Penstock": section })
}

fn wrong(changes: &Value) -> (String, String) {
    let document = with(changes);
    let error = parse(&document, profile()).expect_err("the document is wrong");
    assert_eq!(
        normalize(&document),
        Err(error.clone()),
        "both ways in agree"
    );
    (error.path, error.message)
}

#[test]
fn unknown_members_are_refused_with_the_nearest_known_one() {
    for (changes, path, message) in [
        (
            json!({"BatchSiez": 1}),
            "BatchSiez",
            "is not a known member; did you mean BatchSize?",
        ),
        (
            json!({"batch_size": 1}),
            "batch_size",
            "is not a known member; did you mean BatchSize?",
        ),
        (json!({"Colour": 1}), "Colour", "is not a known member"),
        (
            json!({"Handler": "h"}),
            "Handler",
            "does not stand here; write it at Penstock.Handler",
        ),
        (
            own(&json!({"Hander": "h"})),
            "Penstock.Hander",
            "is not a known member; did you mean Handler?",
        ),
        (
            json!({"DestinationConfig": {"OnFailur": {}}}),
            "DestinationConfig.OnFailur",
            "is not a known member; did you mean OnFailure?",
        ),
    ] {
        assert_eq!(wrong(&changes), (path.to_owned(), message.to_owned()));
    }
}

#[test]
fn ranges_are_awss_in_awss_words() {
    let sentence = |value: &str, name: &str, order: &str, limit: &str| {
        format!(
            "1 validation error detected: Value '{value}' at '{name}' failed to satisfy \
             constraint: Member must have value {order} than or equal to {limit}"
        )
    };
    for (member, name, low, min, high, max) in [
        ("BatchSize", "batchSize", 0, "1", 10_001, "10000"),
        (
            "MaximumBatchingWindowInSeconds",
            "maximumBatchingWindowInSeconds",
            -1,
            "0",
            301,
            "300",
        ),
        (
            "ParallelizationFactor",
            "parallelizationFactor",
            0,
            "1",
            11,
            "10",
        ),
        (
            "MaximumRetryAttempts",
            "maximumRetryAttempts",
            -2,
            "-1",
            10_001,
            "10000",
        ),
        (
            "MaximumRecordAgeInSeconds",
            "maximumRecordAgeInSeconds",
            -2,
            "-1",
            604_801,
            "604800",
        ),
    ] {
        let (path, message) = wrong(&json!({ member: low }));
        assert_eq!(path, member);
        assert_eq!(message, sentence(&low.to_string(), name, "greater", min));
        let (_, message) = wrong(&json!({ member: high }));
        assert_eq!(message, sentence(&high.to_string(), name, "less", max));
        let (_, message) = wrong(&json!({ member: u64::MAX }));
        assert_eq!(message, sentence(&u64::MAX.to_string(), name, "less", max));
    }
    for age in [0, 1, 59] {
        let (_, message) = wrong(&json!({"MaximumRecordAgeInSeconds": age}));
        assert_eq!(
            message,
            "MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 \
             (inclusive)"
        );
    }
    assert!(parse(&with(&json!({"MaximumRecordAgeInSeconds": 60})), profile()).is_ok());
    let (path, message) = wrong(&own(&json!({"BackoffJitter": 1.5})));
    assert_eq!(
        (path.as_str(), message.as_str()),
        ("Penstock.BackoffJitter", "must be from 0 to 1, not 1.5")
    );
}

#[test]
fn starting_positions_are_checked_in_awss_words() {
    let missing = "1 validation error detected: Value null at 'startingPosition' failed to \
                   satisfy constraint: Member must not be null.";
    assert_eq!(wrong(&json!({"StartingPosition": null})).1, missing);
    let unknown = "1 validation error detected: Value 'FIRST' at 'startingPosition' failed to \
                   satisfy constraint: Member must satisfy enum value set: [LATEST, \
                   AT_TIMESTAMP, TRIM_HORIZON]";
    assert_eq!(wrong(&json!({"StartingPosition": "FIRST"})).1, unknown);
    let (path, message) = wrong(&json!({"StartingPosition": "AT_TIMESTAMP"}));
    assert_eq!(path, "StartingPositionTimestamp");
    assert_eq!(message, "Need to specify a timestamp");
    let (_, message) = wrong(&json!({"StartingPositionTimestamp": 5}));
    assert_eq!(
        message,
        "Timestamp only valid with StartingPosition AT_TIMESTAMP"
    );
}

#[test]
fn response_types_are_checked_in_awss_words() {
    let (_, message) = wrong(&json!({"FunctionResponseTypes": ["Bad"]}));
    assert_eq!(
        message,
        "1 validation error detected: Value '[Bad]' at 'functionResponseTypes' failed to \
         satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value \
         set: [ReportBatchItemFailures], Member must not be null]"
    );
    let twice = ["ReportBatchItemFailures", "ReportBatchItemFailures"];
    assert!(
        wrong(&json!({"FunctionResponseTypes": twice}))
            .1
            .contains("length less than")
    );
    let (_, message) = wrong(&json!({"FunctionResponseTypes": "ReportBatchItemFailures"}));
    assert_eq!(message, "must be a list, not a text");
}

#[test]
fn rules_between_members_name_the_member_to_change() {
    for (changes, path) in [
        (
            own(&json!({"BackoffBaseMs": 500, "BackoffCapMs": 499})),
            "Penstock.BackoffCapMs",
        ),
        (
            own(&json!({"AheadRecordsMax": 99})),
            "Penstock.AheadRecordsMax",
        ),
        (
            own(&json!({"OnDestinationFailure": "drop"})),
            "Penstock.OnDestinationFailure",
        ),
        (
            own(&json!({"PartialState": "discard"})),
            "Penstock.PartialState",
        ),
        (
            own(&json!({"OnDestinationFailure": "hode"})),
            "Penstock.OnDestinationFailure",
        ),
        (
            json!({"EventSourceArn": "arn:aws:penstock:::stream/other"}),
            "EventSourceArn",
        ),
    ] {
        assert_eq!(wrong(&changes).0, path);
    }
}

const TABLE_STREAM: &str =
    "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2026-01-31T12:00:00.000";

#[test]
fn sources_must_look_right() {
    let bare = |arn: &str| json!({"EventSourceArn": arn, "Penstock": {}});
    for (changes, path, part) in [
        (
            json!({"Penstock": null}),
            "EventSourceArn",
            "Unrecognized event source.",
        ),
        (bare("orders"), "EventSourceArn", "is not an ARN"),
        (
            bare("arn:aws:mq:us-east-1:123456789012:q"),
            "EventSourceArn",
            "service mq",
        ),
        (
            bare("arn:aws:kinesis:us-east-1:123456789012:x"),
            "EventSourceArn",
            "does not name",
        ),
        (
            bare("arn:aws:dynamodb:us-east-1:123456789012:table/orders"),
            "EventSourceArn",
            "does not name a table's stream",
        ),
        (
            bare("arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/"),
            "EventSourceArn",
            "does not name a table's stream",
        ),
        (
            json!({
                "EventSourceArn": TABLE_STREAM, "Penstock": {},
                "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1,
            }),
            "StartingPosition",
            "Unsupported starting position for arn type: arn:aws:dynamodb:us-east-1:",
        ),
        (
            bare("arn:aws:kinesis:us-east-1:1234:stream/x"),
            "EventSourceArn",
            "is not an ARN",
        ),
        (
            json!({"Penstock": {"Source": "stream:a b"}}),
            "Penstock.Source",
            "cannot be the name",
        ),
    ] {
        let (found, message) = wrong(&changes);
        assert_eq!(found, path, "{message}");
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn functions_and_names_must_look_right() {
    for (changes, path, part) in [
        (
            json!({"FunctionArn": "orders"}),
            "FunctionArn",
            "is not an ARN",
        ),
        (
            json!({"FunctionArn": "arn:aws:lambda:::function:"}),
            "FunctionArn",
            "looks like",
        ),
        (json!({"FunctionArn": null}), "FunctionArn", "is missing"),
        (json!({"UUID": "5"}), "UUID", "is not a UUID"),
        (
            own(&json!({"Pool": ""})),
            "Penstock.Pool",
            "must not be empty",
        ),
        (
            own(&json!({"Pool": "a\nb"})),
            "Penstock.Pool",
            "control character",
        ),
        (
            own(&json!({"Pool": "x".repeat(257)})),
            "Penstock.Pool",
            "at most 256",
        ),
    ] {
        let (found, message) = wrong(&changes);
        assert_eq!(found, path, "{message}");
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn members_of_the_wrong_type_say_what_they_should_be() {
    for (changes, path, message) in [
        (
            json!({"BatchSize": "100"}),
            "BatchSize",
            "must be a whole number, not a text",
        ),
        (
            json!({"BatchSize": 1.5}),
            "BatchSize",
            "must be a whole number, not a fraction",
        ),
        (
            json!({"Enabled": 1}),
            "Enabled",
            "must be true or false, not a number",
        ),
        (
            json!({"StartingPosition": []}),
            "StartingPosition",
            "must be a text, not a list",
        ),
        (
            json!({"Penstock": 1}),
            "Penstock",
            "must be an object, not a number",
        ),
        (
            json!({"DestinationConfig": {"OnFailure": "x"}}),
            "DestinationConfig.OnFailure",
            "must be an object, not a text",
        ),
        (
            own(&json!({"BackoffJitter": "0"})),
            "Penstock.BackoffJitter",
            "must be a number, not a text",
        ),
    ] {
        assert_eq!(wrong(&changes), (path.to_owned(), message.to_owned()));
    }
    for (document, part) in [
        ("", "is not JSON"),
        ("[]", "must be a JSON object, not a list"),
        ("{", "is not JSON"),
    ] {
        let error = normalize(document.as_bytes()).unwrap_err();
        assert_eq!(error.path, "document");
        assert!(error.message.contains(part), "{error}");
        assert!(peek(document.as_bytes()).is_err());
    }
    let long = vec![b' '; limits::DOCUMENT_BYTES_MAX + 1];
    assert!(
        normalize(&long)
            .unwrap_err()
            .message
            .contains("at most 1048576")
    );
}

#[test]
fn patterns_are_refused_in_lambdas_sentence_with_a_hint() {
    for pattern in [
        "null",
        "\"simple string\"",
        "{\"eventSource\":\"aws:sqs\"}",
        "{\"eventSource\":[]}",
        "{\"data\":[\"text\"]}",
        "{\"a\":[1]} trailing",
        "{",
        "",
    ] {
        let filters = json!([{"Pattern": "{\"partitionKey\":[\"a\"]}"}, {"Pattern": pattern}]);
        let document = with(&json!({"FilterCriteria": {"Filters": filters}}));
        let error = parse(&document, profile()).expect_err(pattern);
        assert_eq!(error.path, "FilterCriteria.Filters[1].Pattern");
        assert_eq!(error.message, "Invalid filter pattern definition.");
        assert!(error.hint.is_some_and(|hint| !hint.is_empty()), "{pattern}");
    }
}

#[test]
fn filters_are_counted_and_measured() {
    let good = json!({"Pattern": "{\"data\":{\"a\":[1]}}"});
    let many = |count: usize, quota: u64| {
        with(&json!({
            "FilterCriteria": {"Filters": vec![good.clone(); count]},
            "Penstock": {"Source": "stream:orders", "FiltersMax": quota},
        }))
    };
    assert!(parse(&many(5, 5), profile()).is_ok());
    assert!(parse(&many(10, 10), profile()).is_ok());
    for (count, quota) in [(6, 5), (11, 10)] {
        let error = parse(&many(count, quota), profile()).unwrap_err();
        assert_eq!(error.path, "FilterCriteria.Filters");
        assert_eq!(error.message, "Invalid filter pattern definition.");
    }
    assert_eq!(
        wrong(&own(&json!({"FiltersMax": 11}))).0,
        "Penstock.FiltersMax"
    );
    let sized = |chars: usize| {
        let pattern = format!("{{\"data\":{{\"a\":[\"{}\"]}}}}", "é".repeat(chars - 19));
        json!({"FilterCriteria": {"Filters": [{"Pattern": pattern}]}})
    };
    assert!(parse(&with(&sized(4_096)), profile()).is_ok());
    let (path, message) = wrong(&sized(4_097));
    assert_eq!(path, "FilterCriteria.Filters[0].Pattern");
    assert!(message.ends_with("Member must have length less than or equal to 4096"));
}

#[test]
fn filters_of_another_form_are_refused_where_they_stand() {
    for (criteria, path, message) in [
        (json!([]), "FilterCriteria", "must be an object, not a list"),
        (
            json!({"Filter": []}),
            "FilterCriteria.Filter",
            "is not a known member; did you mean Filters?",
        ),
        (
            json!({"Filters": {}}),
            "FilterCriteria.Filters",
            "must be a list, not an object",
        ),
        (
            json!({"Filters": ["x"]}),
            "FilterCriteria.Filters[0]",
            "must be an object, not a text",
        ),
        (
            json!({"Filters": [{}]}),
            "FilterCriteria.Filters[0].Pattern",
            "is missing",
        ),
        (
            json!({"Filters": [{"Pattern": {"a": [1]}}]}),
            "FilterCriteria.Filters[0].Pattern",
            "must be the JSON text of a pattern, not an object",
        ),
    ] {
        let found = wrong(&json!({"FilterCriteria": criteria}));
        assert_eq!(found, (path.to_owned(), message.to_owned()));
    }
}

#[test]
fn windows_are_refused_beside_lanes_and_filters() {
    let too_long = "1 validation error detected: Value '901' at 'tumblingWindowInSeconds' failed \
                    to satisfy constraint: Member must have value less than or equal to 900";
    assert_eq!(wrong(&json!({"TumblingWindowInSeconds": 901})).1, too_long);
    let with_lanes = json!({"TumblingWindowInSeconds": 60, "ParallelizationFactor": 2});
    let sentence =
        "Parallelization factor must be equal to 1 when tumbling window period is configured";
    assert_eq!(
        wrong(&with_lanes),
        ("ParallelizationFactor".to_owned(), sentence.to_owned())
    );
    let filters = json!([{"Pattern": "{}"}]);
    let with_filters =
        json!({"TumblingWindowInSeconds": 60, "FilterCriteria": {"Filters": filters}});
    assert_eq!(wrong(&with_filters).0, "FilterCriteria");
    let without = json!({"TumblingWindowInSeconds": 60, "FilterCriteria": {"Filters": []}});
    let config = parse(&with(&without), profile()).expect("an empty list asks for nothing");
    assert_eq!(
        config.tumbling_window,
        Some(std::time::Duration::from_secs(60))
    );
}

#[test]
fn what_is_not_done_is_refused_unless_it_asks_for_nothing() {
    for name in ["KMSKeyArn", "MetricsConfig"] {
        assert_eq!(wrong(&json!({ name: 5 })).0, name);
    }
    let (_, message) = wrong(&json!({"ScalingConfig": {"MaximumConcurrency": 2}}));
    assert_eq!(
        message,
        "Unsupported ScalingConfig parameter for given event source mapping type."
    );
    let nothing = json!({
        "FilterCriteria": {"Filters": []}, "TumblingWindowInSeconds": 0, "KMSKeyArn": "",
        "ScalingConfig": null, "Queues": [],
    });
    assert!(parse(&with(&nothing), profile()).is_ok());
}

#[test]
fn a_destination_for_successes_is_refused() {
    let (path, message) =
        wrong(&json!({"DestinationConfig": {"OnSuccess": {"Destination": "stream:x"}}}));
    assert_eq!(path, "DestinationConfig.OnSuccess");
    assert_eq!(
        message,
        "OnSuccess configuration is not supported for event source mappings."
    );
}
