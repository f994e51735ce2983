//! Shows how a stream is listed and read: pages of shards, iterators by position, ends.

use std::time::Duration;

use crate::support::{Call, Refresh, Reply, Server, access, read_from, source_of, source_with};
use penstock_engine::fault::FaultKind;
use penstock_engine::ids::{Position, SequenceNumber, ShardId};
use penstock_engine::io::ShardInfo;
use penstock_engine::record::RecordView;
use penstock_engine::time::Wall;
use penstock_runtime::ports::StreamSource;
use serde_json::{Value, json};

fn shard(id: &str, parents: &[&str], last: Option<&str>) -> Value {
    json!({
        "ShardId": id,
        "ParentShardId": parents.first(),
        "AdjacentParentShardId": parents.get(1),
        "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "1"},
        "SequenceNumberRange": {"StartingSequenceNumber": "100", "EndingSequenceNumber": last},
    })
}

fn info(id: &str, parents: &[&str], closed: bool) -> ShardInfo {
    let parents = parents.iter().map(|&id| ShardId::new(id)).collect();
    ShardInfo {
        id: ShardId::new(id),
        parents,
        closed,
    }
}

fn record(number: &str) -> Value {
    json!({
        "ApproximateArrivalTimestamp": 1.0, "Data": "", "PartitionKey": "k",
        "SequenceNumber": number,
    })
}

fn after(number: &str) -> Position {
    Position::after(SequenceNumber::new(number))
}

/// Lists two pages of shards; what the summary answers is given.
async fn listing_server(summary: Reply) -> Server {
    Server::start(move |call: &Call| match call.operation.as_str() {
        "ListShards" if call.body["NextToken"] == "more" => {
            assert_eq!(
                call.body.get("StreamName"),
                None,
                "a token names the stream"
            );
            Reply::json(&json!({"Shards": [shard("c", &["a", "b"], None)]}))
        }
        "ListShards" => {
            let shards = [shard("a", &[], Some("200")), shard("b", &[], Some("200"))];
            let page = Reply::json(&json!({"Shards": shards, "NextToken": "more"}));
            page.dated(std::time::UNIX_EPOCH + Duration::from_secs(1_545_127_450))
        }
        _ => summary.clone(),
    })
    .await
}

#[tokio::test]
async fn every_page_of_a_listing_is_read() {
    let summary = json!({"StreamDescriptionSummary": {
        "StreamCreationTimestamp": 1.545_084_650_987e9, "RetentionPeriodHours": 24,
        "StreamName": "orders",
    }});
    let server = listing_server(Reply::json(&summary)).await;
    let listing = source_of(&server).list_shards().await.unwrap();
    let expected = [
        info("a", &[], true),
        info("b", &[], true),
        info("c", &["a", "b"], false),
    ];
    assert_eq!(listing.shards, expected);
    assert_eq!(listing.server_time, Wall(1_545_127_450_000));
    assert_eq!(listing.incarnation, Some(Wall(1_545_084_650_987)));
    assert_eq!(listing.retention, Some(Duration::from_secs(24 * 3600)));
}

#[tokio::test]
async fn a_summary_that_may_not_be_read_is_done_without() {
    for code in ["AccessDeniedException", "UnknownOperationException"] {
        let server = listing_server(Reply::error(400, code)).await;
        let listing = source_of(&server).list_shards().await.unwrap();
        assert_eq!(
            (listing.incarnation, listing.retention),
            (None, None),
            "{code}"
        );
    }
    let server = listing_server(Reply::error(400, "LimitExceededException")).await;
    let error = source_of(&server).list_shards().await.unwrap_err();
    assert_eq!(error.fault().kind, FaultKind::Throttled { after: None });
}

#[tokio::test]
async fn positions_become_iterators_of_their_kind() {
    let sub = Position::After {
        sequence: SequenceNumber::new("7"),
        sub: Some(3),
    };
    let table = [
        (
            Position::TrimHorizon,
            json!({"ShardIteratorType": "TRIM_HORIZON"}),
        ),
        (
            Position::AtTimestamp(Wall(1_545_084_650_987)),
            json!({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 1_545_084_650.987}),
        ),
        (
            after("7"),
            json!({"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": "7"}),
        ),
        (
            sub,
            json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": "7"}),
        ),
    ];
    for (position, mut expected) in table {
        let server = reading_server(vec![json!([])]).await;
        source_of(&server).fetch(read_from(position)).await.unwrap();
        expected["StreamName"] = json!("orders");
        expected["ShardId"] = json!("shard-0");
        assert_eq!(server.calls()[0].body, expected);
        let body = json!({"ShardIterator": "made-0", "Limit": 10_000});
        assert_eq!(server.calls()[1].body, body);
    }
}

/// Answers the given lists of records one after the other, each with a next iterator.
async fn reading_server(answers: Vec<Value>) -> Server {
    let made = std::sync::atomic::AtomicUsize::new(0);
    Server::start(move |call: &Call| {
        if call.operation == "GetShardIterator" {
            let number = made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            return Reply::json(&json!({"ShardIterator": format!("made-{number}")}));
        }
        let iterator = call.body["ShardIterator"].as_str().unwrap();
        let number = iterator
            .strip_prefix("next-")
            .map_or(0, |n| n.parse().unwrap());
        Reply::json(&json!({
            "MillisBehindLatest": 5, "Records": answers[number],
            "NextShardIterator": format!("next-{}", number + 1),
        }))
    })
    .await
}

#[tokio::test]
async fn an_iterator_is_used_as_long_as_the_reading_goes_on_where_it_stands() {
    let answers = vec![
        json!([record("101"), record("102")]),
        json!([]),
        json!([record("103")]),
    ];
    let server = reading_server(answers).await;
    let source = source_of(&server);
    let first = source
        .fetch(read_from(Position::TrimHorizon))
        .await
        .unwrap();
    assert_eq!(first.page.unwrap().facts().len(), 2);
    assert_eq!((first.behind_ms, first.ended), (Some(5), false));
    let second = source.fetch(read_from(after("102"))).await.unwrap();
    assert!(second.page.is_none());
    let third = source.fetch(read_from(after("102"))).await.unwrap();
    assert_eq!(third.page.unwrap().sequence_number(0), "103");
    assert_eq!(
        server
            .operations()
            .iter()
            .filter(|op| *op == "GetShardIterator")
            .count(),
        1
    );
    source.fetch(read_from(after("101"))).await.unwrap();
    assert_eq!(
        server
            .operations()
            .iter()
            .filter(|op| *op == "GetShardIterator")
            .count(),
        2
    );
}

#[tokio::test]
async fn a_null_iterator_ends_the_shard_with_or_without_records() {
    for (records, next) in [
        (json!([record("101")]), Some(Value::Null)),
        (json!([]), Some(Value::Null)),
        (json!([]), None),
    ] {
        let count = records.as_array().unwrap().len();
        let server = Server::start(move |call: &Call| {
            if call.operation == "GetShardIterator" {
                return Reply::json(&json!({"ShardIterator": "i"}));
            }
            let children = json!([{"ShardId": "c", "ParentShards": ["shard-0"]}]);
            let mut answer = json!({"Records": records, "ChildShards": children});
            if let Some(next) = &next {
                answer["NextShardIterator"] = next.clone();
            }
            Reply::json(&answer)
        })
        .await;
        let read = source_of(&server)
            .fetch(read_from(Position::TrimHorizon))
            .await
            .unwrap();
        assert!(read.ended);
        assert_eq!(read.page.map_or(0, |page| page.facts().len()), count);
        assert_eq!(read.children, [info("c", &["shard-0"], false)]);
    }
}

#[tokio::test]
async fn aggregates_of_the_producer_library_are_known_and_passed_through() {
    // The mark of an aggregate, then what stands for its contents.
    for (data, aggregated) in [("84mawgoBYQ==", true), ("aGVsbG8=", false)] {
        let mut record = record("101");
        record["Data"] = json!(data);
        let server = reading_server(vec![json!([record])]).await;
        let read = source_of(&server)
            .fetch(read_from(Position::TrimHorizon))
            .await
            .unwrap();
        let page = read.page.unwrap();
        assert_eq!(page.aggregated(), aggregated);
        let RecordView::Kinesis { data: shown, .. } = page.view(0) else {
            panic!("a stream's records are of Kinesis")
        };
        assert_eq!(shown, data);
    }
}

#[tokio::test]
async fn reading_behind_the_end_asks_nobody() {
    let server = reading_server(vec![]).await;
    let read = source_of(&server)
        .fetch(read_from(Position::ShardEnd))
        .await
        .unwrap();
    assert!(read.ended && read.page.is_none());
    assert_eq!(server.calls().len(), 0);
}

#[tokio::test]
async fn a_refused_position_was_trimmed_only_when_it_is_of_this_shard() {
    let server = Server::start(|call: &Call| match call.operation.as_str() {
        "ListShards" => Reply::json(&json!({"Shards": [shard("shard-0", &[], Some("200"))]})),
        "DescribeStreamSummary" => Reply::error(400, "AccessDeniedException"),
        _ => Reply::error(400, "InvalidArgumentException"),
    })
    .await;
    let source = source_of(&server);
    let kind = async |position| {
        let error = source.fetch(read_from(position)).await.unwrap_err();
        error.fault().kind
    };
    assert_eq!(
        kind(after("150")).await,
        FaultKind::Invalid,
        "not listed yet"
    );
    source.list_shards().await.unwrap();
    assert_eq!(kind(after("150")).await, FaultKind::Trimmed);
    assert_eq!(kind(after("99")).await, FaultKind::Invalid);
    assert_eq!(kind(after("201")).await, FaultKind::Invalid);
    assert_eq!(kind(Position::TrimHorizon).await, FaultKind::Invalid);
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_whole_address_of_an_http_endpoint() {
    let proxy = reading_server(vec![json!([record("101")])]).await;
    let (_, book) = Refresh::book(|_, _| panic!("the access is there"));
    let url = proxy.url.replace("http://", "http://us%65r:p%40ss@");
    book.push(
        "default",
        access("http://kinesis.invalid:4567", &json!({"proxy": url})),
    );
    let read = source_with(book)
        .fetch(read_from(Position::TrimHorizon))
        .await
        .unwrap();
    assert_eq!(read.page.unwrap().facts().len(), 1);
    let call = &proxy.calls()[0];
    assert_eq!(call.target, "http://kinesis.invalid:4567/");
    assert_eq!(call.header("host"), Some("kinesis.invalid:4567"));
    assert_eq!(
        call.header("proxy-authorization"),
        Some("Basic dXNlcjpwQHNz")
    );
}
