//! Shows how a table's stream is listed and read: pages, positions, moments, trims, ends.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use penstock_engine::fault::FaultKind;
use penstock_engine::ids::{Position, SequenceNumber, ShardId};
use penstock_engine::io::{Fetched, ShardInfo};
use penstock_engine::record::RecordView;
use penstock_engine::time::Wall;
use penstock_runtime::ports::StreamSource;
use serde_json::{Value, json};

use crate::support::{Call, Reply, Server, TABLE_STREAM, read_from, table_source_of};

/// The server's clock, in seconds.
const NOW: u64 = 1_545_127_450;

fn shard(id: &str, parent: Option<&str>, last: Option<&str>) -> Value {
    json!({
        "ShardId": id, "ParentShardId": parent,
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

fn described(shards: &[Value], more: Option<&str>) -> Reply {
    let reply = Reply::json(&json!({"StreamDescription": {
        "StreamArn": TABLE_STREAM, "StreamLabel": "2026-01-31T12:00:00.000",
        "StreamStatus": "ENABLED", "StreamViewType": "KEYS_ONLY", "TableName": "orders",
        "CreationRequestDateTime": 1.545_084_650_987e9, "Shards": shards,
        "LastEvaluatedShardId": more,
    }}));
    reply.dated(UNIX_EPOCH + Duration::from_secs(NOW))
}

fn record(number: u64, created: u64) -> Value {
    json!({
        "eventID": format!("{number:032x}"), "eventName": "REMOVE", "eventVersion": "1.1",
        "dynamodb": {
            "ApproximateCreationDateTime": created, "Keys": {"id": {"S": "k"}},
            "SequenceNumber": number.to_string(), "SizeBytes": 3, "StreamViewType": "KEYS_ONLY",
        },
    })
}

fn after(number: u64) -> Position {
    Position::after(SequenceNumber::new(number.to_string()))
}

fn numbers(fetched: &Fetched) -> Vec<String> {
    let page = fetched.page.iter();
    page.flat_map(|page| {
        (0..page.facts().len()).map(|index| page.sequence_number(index).to_owned())
    })
    .collect()
}

/// Answers the given lists of records one after the other; at the last the shard ends when
/// `ends`. Iterators name the list that they stand at.
async fn reading_server(answers: Vec<Vec<Value>>, ends: bool) -> Server {
    Server::start(move |call: &Call| match call.operation.as_str() {
        "GetShardIterator" => Reply::json(&json!({"ShardIterator": "0"})),
        "GetRecords" => {
            let at: usize = call.body["ShardIterator"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap();
            let records = answers.get(at).cloned().unwrap_or_default();
            let last = ends && at + 1 >= answers.len();
            let next = (!last).then(|| (at + 1).to_string());
            let answer = json!({"Records": records, "NextShardIterator": next});
            Reply::json(&answer).dated(UNIX_EPOCH + Duration::from_secs(NOW))
        }
        _ => described(
            &[
                shard("c", Some("shard-0"), None),
                shard("x", Some("y"), None),
            ],
            None,
        ),
    })
    .await
}

#[tokio::test]
async fn every_page_of_a_listing_is_read() {
    let server = Server::start(|call: &Call| {
        assert_eq!(call.body["StreamArn"], TABLE_STREAM);
        assert_eq!(
            call.header("x-amz-target"),
            Some("DynamoDBStreams_20120810.DescribeStream")
        );
        assert_eq!(
            call.header("content-type"),
            Some("application/x-amz-json-1.0")
        );
        match call.body.get("ExclusiveStartShardId") {
            None => described(&[shard("a", None, Some("200"))], Some("a")),
            Some(last) => {
                assert_eq!(last, "a");
                described(&[shard("b", Some("a"), None)], None)
            }
        }
    })
    .await;
    let listing = table_source_of(&server).list_shards().await.unwrap();
    assert_eq!(
        listing.shards,
        [info("a", &[], true), info("b", &["a"], false)]
    );
    assert_eq!(listing.server_time, Wall(1_545_127_450_000));
    assert_eq!(listing.incarnation, Some(Wall(1_545_084_650_987)));
    assert_eq!(listing.retention, Some(Duration::from_secs(24 * 3600)));
}

#[tokio::test]
async fn positions_become_iterators_of_their_kind() {
    let sub = Position::After {
        sequence: SequenceNumber::new("7"),
        sub: Some(3),
    };
    let horizon = json!({"ShardIteratorType": "TRIM_HORIZON"});
    let table = [
        (Position::TrimHorizon, horizon.clone()),
        (Position::AtTimestamp(Wall(1_545_084_650_987)), horizon),
        (
            after(7),
            json!({"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": "7"}),
        ),
        (
            sub,
            json!({"ShardIteratorType": "AT_SEQUENCE_NUMBER", "SequenceNumber": "7"}),
        ),
    ];
    for (position, mut expected) in table {
        let server = reading_server(vec![], false).await;
        table_source_of(&server)
            .fetch(read_from(position))
            .await
            .unwrap();
        expected["StreamArn"] = json!(TABLE_STREAM);
        expected["ShardId"] = json!("shard-0");
        assert_eq!(server.calls()[0].body, expected);
        let body = json!({"ShardIterator": "0", "Limit": 1_000});
        assert_eq!(server.calls()[1].body, body, "no more than DynamoDB allows");
    }
}

#[tokio::test]
async fn reading_from_a_moment_leaves_out_what_is_older_than_its_second() {
    let answers = vec![
        vec![record(101, 50), record(102, 59)],
        vec![record(103, 59)],
        vec![],
        vec![record(104, 59), record(105, 60), record(106, 59)],
        vec![record(107, 58)],
    ];
    let server = reading_server(answers, false).await;
    let source = table_source_of(&server);
    let moment = Position::AtTimestamp(Wall(60_999));
    let first = source.fetch(read_from(moment.clone())).await.unwrap();
    assert_eq!(
        numbers(&first),
        [] as [&str; 0],
        "two answers are skipped, the third is empty"
    );
    assert_eq!(
        (first.next, first.behind_ms),
        (None, None),
        "it stays at the moment, at the tip"
    );
    let second = source.fetch(read_from(moment)).await.unwrap();
    assert_eq!(
        numbers(&second),
        ["105", "106"],
        "the first one that is new enough ends it"
    );
    let third = source.fetch(read_from(after(106))).await.unwrap();
    assert_eq!(numbers(&third), ["107"]);
    let made = server
        .operations()
        .iter()
        .filter(|op| *op == "GetShardIterator")
        .count();
    assert_eq!(made, 1, "the reading goes on where it stands");
}

#[tokio::test]
async fn a_restart_at_a_moment_skips_the_same_records_again() {
    let answers = vec![vec![record(101, 59)], vec![record(102, 60)]];
    let server = reading_server(answers, false).await;
    for _ in 0..2 {
        let moment = Position::AtTimestamp(Wall(60_000));
        let read = table_source_of(&server)
            .fetch(read_from(moment))
            .await
            .unwrap();
        assert_eq!(numbers(&read), ["102"]);
    }
}

#[tokio::test]
async fn old_records_are_not_skipped_for_ever_in_one_read() {
    let server = reading_server(vec![vec![record(101, 1)]; 25], false).await;
    let source = table_source_of(&server);
    for _ in 0..2 {
        let moment = Position::AtTimestamp(Wall(60_000));
        let read = source.fetch(read_from(moment)).await.unwrap();
        assert!(read.page.is_none() && read.next.is_none());
        assert!(
            read.behind_ms.is_some_and(|behind| behind > 0),
            "it is not at the tip"
        );
    }
    let reads = server
        .operations()
        .iter()
        .filter(|op| *op == "GetRecords")
        .count();
    assert_eq!(reads, 20);
}

#[tokio::test]
async fn how_far_behind_a_read_is_follows_from_its_newest_record() {
    let full: Vec<Value> = (0..1_000).map(|number| record(100 + number, NOW)).collect();
    let table = [
        (vec![], None),
        (vec![record(101, NOW)], Some(0)),
        (vec![record(101, NOW - 1)], Some(0)),
        (vec![record(101, NOW - 60)], Some(60_000)),
        (vec![record(101, NOW + 60)], Some(0)),
        (full, Some(1)),
    ];
    for (records, expected) in table {
        let server = reading_server(vec![records], false).await;
        let read = table_source_of(&server)
            .fetch(read_from(Position::TrimHorizon))
            .await;
        assert_eq!(read.unwrap().behind_ms, expected);
    }
}

#[tokio::test]
async fn a_null_iterator_ends_the_shard_and_its_children_are_asked_for() {
    for records in [vec![], vec![record(101, 1)]] {
        let server = reading_server(vec![records.clone()], true).await;
        let read = table_source_of(&server)
            .fetch(read_from(Position::TrimHorizon))
            .await
            .unwrap();
        assert!(read.ended);
        assert_eq!(numbers(&read).len(), records.len());
        assert_eq!(
            read.children,
            [info("c", &["shard-0"], false)],
            "others are left out"
        );
        let asked = &server.calls()[2].body["ShardFilter"];
        assert_eq!(
            *asked,
            json!({"Type": "CHILD_SHARDS", "ShardId": "shard-0"})
        );
    }
}

#[tokio::test]
async fn children_that_cannot_be_had_are_left_to_the_listing() {
    let server = Server::start(|call: &Call| match call.operation.as_str() {
        "GetShardIterator" => Reply::json(&json!({"ShardIterator": "i"})),
        "GetRecords" => Reply::json(&json!({"Records": []})),
        _ => Reply::error(400, "ValidationException"),
    })
    .await;
    let read = table_source_of(&server)
        .fetch(read_from(Position::TrimHorizon))
        .await
        .unwrap();
    assert!(read.ended && read.children.is_empty());
    let calls = server.calls().len();
    let end = table_source_of(&server)
        .fetch(read_from(Position::ShardEnd))
        .await
        .unwrap();
    assert!(
        end.ended && server.calls().len() == calls,
        "reading behind the end asks nobody"
    );
}

#[tokio::test]
async fn trimmed_positions_and_stale_iterators_are_told_apart() {
    let table = [
        ("TrimmedDataAccessException", after(7), FaultKind::Trimmed),
        (
            "TrimmedDataAccessException",
            Position::TrimHorizon,
            FaultKind::Expired,
        ),
        (
            "TrimmedDataAccessException",
            Position::AtTimestamp(Wall(1)),
            FaultKind::Expired,
        ),
        ("ExpiredIteratorException", after(7), FaultKind::Expired),
        ("ResourceNotFoundException", after(7), FaultKind::NotFound),
        ("ValidationException", after(7), FaultKind::Invalid),
        (
            "LimitExceededException",
            after(7),
            FaultKind::Throttled { after: None },
        ),
    ];
    for refused in ["GetShardIterator", "GetRecords"] {
        for (code, position, expected) in table.clone() {
            let server = Server::start(move |call: &Call| match call.operation.as_str() {
                operation if operation == refused => Reply::error(400, code),
                _ => Reply::json(&json!({"ShardIterator": "i"})),
            })
            .await;
            let read = table_source_of(&server).fetch(read_from(position)).await;
            assert_eq!(read.unwrap_err().fault().kind, expected, "{refused} {code}");
        }
    }
}

#[tokio::test]
async fn a_stale_iterator_is_made_anew_at_the_same_place() {
    let reads = AtomicUsize::new(0);
    let server = Server::start(move |call: &Call| match call.operation.as_str() {
        "GetShardIterator" => Reply::json(&json!({"ShardIterator": "i"})),
        _ => match reads.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::json(&json!({"Records": [record(101, 1)], "NextShardIterator": "j"})),
            1 => Reply::error(400, "ExpiredIteratorException"),
            _ => Reply::json(&json!({"Records": [record(102, 1)], "NextShardIterator": "k"})),
        },
    })
    .await;
    let source = table_source_of(&server);
    source
        .fetch(read_from(Position::TrimHorizon))
        .await
        .unwrap();
    let stale = source.fetch(read_from(after(101))).await.unwrap_err();
    assert_eq!(stale.fault().kind, FaultKind::Expired);
    assert!(
        stale.to_string().contains("shard-0 of stream orders"),
        "{stale}"
    );
    let read = source.fetch(read_from(after(101))).await.unwrap();
    assert_eq!(numbers(&read), ["102"]);
    assert_eq!(server.calls()[3].body["SequenceNumber"], "101");
}

#[tokio::test]
async fn records_are_shown_as_changes_of_items() {
    let server = reading_server(vec![vec![record(101, 60)]], false).await;
    let read = table_source_of(&server)
        .fetch(read_from(Position::TrimHorizon))
        .await
        .unwrap();
    let page = read.page.unwrap();
    let RecordView::DynamoDb(item) = page.view(0) else {
        panic!("a table's records are changes of items")
    };
    assert_eq!(
        (item.event_name, item.keys),
        ("REMOVE", r#"{"id":{"S":"k"}}"#)
    );
    assert_eq!((item.new_image, item.view_type), (None, "KEYS_ONLY"));
    assert_eq!(page.facts()[0].arrival, Wall(60_000));
}
