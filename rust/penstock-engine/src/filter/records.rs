//! Tests filters on records as sources give them, and the pages that come of it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::event::sample::{Sample, batch, config};
use crate::event::{EventContext, dynamodb};
use crate::ids::ShardId;
use crate::record::{ItemView, Page};
use crate::time::Wall;

/// A matcher's verdicts on records of a Kinesis stream.
fn passes(pattern: &str, data: &[u8], key: &str) -> bool {
    let samples = vec![Sample {
        key: key.to_owned(),
        number: "4954".to_owned(),
        data: STANDARD.encode(data),
        arrival: Wall(1_545_084_650_987),
    }];
    let criteria = serde_json::json!({"FilterCriteria": {"Filters": [{"Pattern": pattern}]}});
    let config = config(criteria);
    let filters = config.filters.as_deref().expect("filters are configured");
    let shard = ShardId::new("shardId-000000000006");
    let context = EventContext {
        shard: &shard,
        config: &config,
    };
    let page = batch(samples).pages.remove(0);
    let by_itself = filters.passes(&page.view(0), &context);
    let marked = mark(page, &context);
    assert_eq!(marked.facts()[0].filtered, !by_itself);
    by_itself
}

#[test]
fn a_kinesis_record_is_its_data_and_what_describes_it() {
    let data = br#"{"City":"Seattle","timeout":0}"#;
    for pattern in [
        r#"{"data":{"City":["Seattle",{"prefix":"New"}]}}"#,
        r#"{"data":{"timeout":[0]}}"#,
        r#"{"partitionKey":["key"]}"#,
        r#"{"kinesis":{"partitionKey":["key"]},"data":{"City":["Seattle"]}}"#,
        r#"{"kinesis.sequenceNumber":["4954"],"kinesisSchemaVersion":["1.0"]}"#,
        r#"{"approximateArrivalTimestamp":[{"numeric":["=",1545084650.987]}]}"#,
        r#"{"eventID":["shardId-000000000006:4954"],"eventName":["aws:kinesis:record"]}"#,
        r#"{"awsRegion":["us-east-2"],"eventSource":["aws:kinesis"],"eventVersion":["1.0"]}"#,
        r#"{"eventSourceARN":[{"suffix":"stream/lambda-stream"}]}"#,
        r#"{"invokeIdentityArn":[{"wildcard":"*:role/lambda-role"}]}"#,
        r#"{"kinesis":{"data":[{"prefix":"eyJ"}]}}"#,
        r#"{"nothing":[{"exists":false}]}"#,
    ] {
        assert!(passes(pattern, data, "key"), "{pattern}");
    }
    for pattern in [
        r#"{"data":{"City":["Boston"]}}"#,
        r#"{"data":{"City":["Seattle"]},"partitionKey":["other"]}"#,
        r#"{"nothing":[{"exists":true}]}"#,
        r#"{"kinesis":{"data":{"City":["Seattle"]}}}"#,
        r#"{"dynamodb":{"Keys":[{"exists":true}]}}"#,
    ] {
        assert!(!passes(pattern, data, "key"), "{pattern}");
    }
}

#[test]
fn data_that_is_not_json_holds_no_pattern_that_looks_into_it() {
    let (inside, beside) = (
        r#"{"data":{"a":[{"exists":false}]}}"#,
        r#"{"partitionKey":["k"]}"#,
    );
    let either = r#"{"$or":[{"data":{"a":[1]}},{"partitionKey":["k"]}]}"#;
    for data in [
        &b"plain"[..],
        b"",
        b"123",
        b"\"x\"",
        b"null",
        b"{\"b\":1} x",
        b"{\"b\":1",
        b"{\"b\":01}",
        b"\xff\xfe",
        b"{\"b\":\"\xff\"}",
        b"[1,]",
        b"{\"b\":\"\x01\"}",
    ] {
        assert!(!passes(inside, data, "k"), "{data:?}");
        assert!(
            passes(beside, data, "k") && passes(either, data, "k"),
            "{data:?}"
        );
    }
    for data in [
        &b"{}"[..],
        b" {\"b\":1}\n",
        b"[{\"b\":1}]",
        "{\"é\":\"数\"}".as_bytes(),
    ] {
        assert!(passes(inside, data, "k"), "{data:?}");
    }
    assert!(
        passes(r#"{"data":{"a":[1]}}"#, br#"[{"a":0},{"a":1}]"#, "k"),
        "an array is searched"
    );
}

const ITEM: ItemView<'static> = ItemView {
    event_id: "c4ca",
    event_name: "INSERT",
    user_identity: Some(r#"{"type":"Service","principalId":"dynamodb.amazonaws.com"}"#),
    created: Wall(1_479_499_740_000),
    keys: r#"{"CustomerName":{"S":"AnyCompany Industries"}}"#,
    new_image: Some(r#"{"n":{"N":"101"},"l":{"L":[{"S":"a"},{"S":"b"}]}}"#),
    old_image: None,
    sequence_number: "4421",
    size_bytes: 26,
    view_type: "NEW_IMAGE",
};

#[test]
fn a_dynamodb_record_is_matched_as_it_is_delivered() {
    let source = "arn:aws:dynamodb:us-east-1:123456789012:table/T/stream/2015-06-27T00:48:05.899";
    let shard = ShardId::new("shardId-1");
    let verdict = |pattern: &str| {
        let config = config(serde_json::json!({
            "EventSourceArn": source, "FilterCriteria": {"Filters": [{"Pattern": pattern}]},
        }));
        let context = EventContext {
            shard: &shard,
            config: &config,
        };
        let filters = config.filters.as_deref().expect("filters are configured");
        filters.passes(&RecordView::DynamoDb(ITEM), &context)
    };
    assert!(dynamodb::weight(&ITEM) > 0);
    for pattern in [
        r#"{"dynamodb":{"Keys":{"CustomerName":{"S":["AnyCompany Industries"]}}}}"#,
        r#"{"eventName":["INSERT"],"dynamodb":{"NewImage":{"n":{"N":["101"]}}}}"#,
        r#"{"dynamodb":{"NewImage":{"l":{"L":{"S":["b"]}}}}}"#,
        r#"{"dynamodb":{"NewImage":{"n":[{"exists":false}]}}}"#,
        r#"{"dynamodb":{"OldImage":{"n":{"N":[{"exists":false}]}}}}"#,
        r#"{"dynamodb":{"ApproximateCreationDateTime":[{"numeric":[">",0]}]}}"#,
        r#"{"dynamodb":{"SizeBytes":[26],"StreamViewType":["NEW_IMAGE"]}}"#,
        r#"{"userIdentity":{"principalId":[{"prefix":"dynamodb"}]}}"#,
    ] {
        assert!(verdict(pattern), "{pattern}");
    }
    for pattern in [
        r#"{"dynamodb":{"NewImage":{"n":["101"]}}}"#,
        r#"{"dynamodb":{"NewImage":{"n":{"N":[{"numeric":[">",100]}]}}}}"#,
        r#"{"dynamodb":{"OldImage":{"n":{"N":[{"exists":true}]}}}}"#,
        r#"{"eventName":["REMOVE"]}"#,
    ] {
        assert!(!verdict(pattern), "{pattern}");
    }
}

#[test]
fn a_marked_page_keeps_its_records_and_their_verdicts() {
    let sample = |number: &str, data: &str| Sample {
        key: "k".to_owned(),
        number: number.to_owned(),
        data: STANDARD.encode(data),
        arrival: Wall(1),
    };
    let samples = vec![
        sample("1", r#"{"a":1}"#),
        sample("2", "no"),
        sample("3", r#"{"a":1}"#),
    ];
    let criteria = serde_json::json!({"FilterCriteria": {"Filters": [
        {"Pattern": r#"{"data":{"a":[2]}}"#}, {"Pattern": r#"{"data":{"a":[1]}}"#},
    ]}});
    let config = config(criteria);
    let shard = ShardId::new("s");
    let context = EventContext {
        shard: &shard,
        config: &config,
    };
    let page = batch(samples).pages.remove(0);
    let pinned = page.pinned_bytes();
    let marked = mark(page, &context);
    let verdicts = |page: &Arc<dyn Page>| -> Vec<bool> {
        page.facts().iter().map(|facts| facts.filtered).collect()
    };
    assert_eq!(verdicts(&marked), [false, true, false]);
    assert_eq!(
        (marked.sequence_number(1), marked.sequence_number(2)),
        ("2", "3")
    );
    assert!(marked.pinned_bytes() > pinned);
    let extract = marked.extract(&[1, 2]);
    assert_eq!(verdicts(&extract), [true, false]);
    assert_eq!(extract.view(1), marked.view(2));
    assert_eq!(verdicts(&marked.extract(&[2])), [false]);
}

#[test]
fn filters_come_back_from_a_trace() {
    let filters = Filters::compile(&[r#"{"data":{"a":[1]}}"#; 7], Shape::Kinesis, 7).unwrap();
    let text = serde_json::to_string(&filters).unwrap();
    assert_eq!(serde_json::from_str::<Filters>(&text).unwrap(), filters);
}
