//! Tests filters on messages of queues: bodies as text, bodies as JSON, and what describes them.

use serde_json::json;

use super::*;
use crate::config::document;
use crate::event::EventContext;
use crate::event::sample::profile;
use crate::ids::ShardId;
use crate::record::MessageView;

/// A matcher's verdict on a message, with which the explanation must agree.
fn passes(pattern: &str, body: &str) -> bool {
    let document = json!({
        "UUID": "14e0db71-5d35-4eb5-b481-8945cf9d10c2",
        "EventSourceArn": "arn:aws:sqs:us-east-2:123456789012:q",
        "FunctionArn": "arn:aws:lambda:us-east-2:123456789012:function:f",
        "FilterCriteria": {"Filters": [{"Pattern": pattern}]},
    });
    let config = document::parse(document.to_string().as_bytes(), profile()).expect(pattern);
    let attributes = json!({"ApproximateReceiveCount": "1", "MessageGroupId": "g"}).to_string();
    let sent = json!({"kind": {"stringValue": "x", "dataType": "String"}}).to_string();
    let view = RecordView::Sqs(MessageView {
        message_id: "id",
        receipt_handle: "receipt",
        body,
        md5_of_body: "a0",
        attributes: &attributes,
        message_attributes: &sent,
        md5_of_message_attributes: Some("a1"),
        group: None,
        receive_count: 1,
    });
    let shard = ShardId::new("q");
    let context = EventContext {
        shard: &shard,
        config: &config,
    };
    let filters = config.filters.as_deref().expect("filters are configured");
    let verdict = filters.passes(&view, &context);
    let record = json!({
        "messageId": "id", "receiptHandle": "receipt", "body": body, "md5OfBody": "a0",
        "attributes": serde_json::from_str::<serde_json::Value>(&attributes).unwrap(),
        "messageAttributes": serde_json::from_str::<serde_json::Value>(&sent).unwrap(),
        "md5OfMessageAttributes": "a1", "eventSource": "aws:sqs", "awsRegion": "us-east-2",
        "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:q",
    });
    let told = explain(pattern, record.to_string().as_bytes()).unwrap();
    assert_eq!(
        told == Explanation::Matched,
        verdict,
        "{pattern} {body}: {told:?}"
    );
    verdict
}

#[test]
fn a_json_body_is_looked_into_and_never_matched_as_text() {
    let body = r#"{"RequestCode":"BBBB","n":5}"#;
    for pattern in [
        r#"{"body":{"RequestCode":["BBBB"]}}"#,
        r#"{"body":{"n":[{"numeric":[">",1]}]}}"#,
        r#"{"body":{"other":[{"exists":false}]}}"#,
        r#"{"messageAttributes":{"kind":{"stringValue":["x"]}},"body":{"n":[5]}}"#,
        r#"{"attributes":{"MessageGroupId":["g"]}}"#,
        r#"{"md5OfMessageAttributes":["a1"],"eventSource":["aws:sqs"]}"#,
    ] {
        assert!(passes(pattern, body), "{pattern}");
    }
    for pattern in [
        r#"{"body":{"RequestCode":["AAAA"]}}"#,
        r#"{"body":[{"prefix":"{"}]}"#,
        r#"{"body":{"n":[5]},"messageId":["other"]}"#,
    ] {
        assert!(!passes(pattern, body), "{pattern}");
    }
    assert!(passes(r#"{"body":{"a":[2]}}"#, r#" [{"a":1},{"a":2}] "#));
}

#[test]
fn a_plain_body_is_matched_as_text_and_never_looked_into() {
    let plain = r#"{"body":["hello",{"prefix":"Result: "}]}"#;
    assert!(passes(plain, "hello") && passes(plain, "Result: 5") && !passes(plain, "bye"));
    let both = r#"{"messageAttributes":{"kind":{"stringValue":["x"]}},"body":["hello"]}"#;
    assert!(passes(both, "hello"));
    for body in ["hello", "", "5", "\"x\"", "null", "{\"a\":1", "{\"a\":1}x"] {
        assert!(!passes(r#"{"body":{"a":[1]}}"#, body), "{body}");
        assert!(
            !passes(r#"{"body":{"b":[{"exists":false}]}}"#, body),
            "{body}"
        );
        assert!(
            passes(r#"{"attributes":{"MessageGroupId":["g"]}}"#, body),
            "{body}"
        );
    }
    assert!(
        passes(r#"{"body":[{"prefix":"{"}]}"#, "{\"a\":1"),
        "malformed JSON is text"
    );
}
