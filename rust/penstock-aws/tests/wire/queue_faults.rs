//! Shows what a queue's source makes of every way in which SQS can fail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use penstock_engine::fault::FaultKind;
use penstock_engine::record::{Batch, MessageView, Page, RecordRef, RecordView};
use penstock_runtime::error::SourceError;
use penstock_runtime::ports::{QueueSource, ReceiveRequest};
use penstock_runtime::testing::queue::QueueBench;
use serde_json::{Value, json};

use crate::queue::Queue;

async fn queue() -> Queue {
    Queue::new("orders", json!({})).await
}

fn request(wait_s: u64) -> ReceiveRequest {
    ReceiveRequest {
        limit: 10,
        wait: Duration::from_secs(wait_s),
        visibility: None,
        attempt: None,
    }
}

async fn receive(queue: &Queue) -> Result<Option<Arc<dyn Page>>, SourceError> {
    QueueSource::receive(&*queue.source, request(0)).await
}

async fn receive_some(queue: &Queue) -> Batch {
    let page = receive(queue).await.expect("an answer").expect("messages");
    let records = (0..page.facts().len()).map(|index| RecordRef {
        page: 0,
        index: index as u32,
    });
    Batch {
        records: records.collect(),
        pages: vec![page],
    }
}

fn message(page: &dyn Page, index: usize) -> MessageView<'_> {
    match page.view(index) {
        RecordView::Sqs(message) => message,
        other => panic!("not a message: {other:?}"),
    }
}

async fn send(queue: &Queue, count: usize) {
    for number in 0..count {
        queue.send(&format!("m{number}"), None).await;
    }
}

/// The kind of fault that one spoilt receive becomes.
async fn kind_of(effect: Value) -> (FaultKind, String) {
    let queue = queue().await;
    send(&queue, 3).await;
    queue.fault(&json!({"effect": effect, "times": 1}));
    let error = receive(&queue).await.expect_err("a fault");
    let fault = error.fault();
    (fault.kind, fault.message.clone())
}

fn error(status: u16, code: &str) -> Value {
    json!({"kind": "error", "status": status, "code": code, "message": "so it goes"})
}

#[tokio::test]
async fn every_refusal_has_its_kind() {
    let throttled = FaultKind::Throttled { after: None };
    let table = [
        (json!({"kind": "throttle"}), throttled),
        (error(403, "OverLimit"), throttled),
        (error(400, "ThrottlingException"), throttled),
        (error(500, "InternalFailure"), FaultKind::Transient),
        (error(503, "ServiceUnavailable"), FaultKind::Transient),
        (error(400, "AccessDeniedException"), FaultKind::Denied),
        (error(400, "QueueDoesNotExist"), FaultKind::NotFound),
        (
            error(400, "AWS.SimpleQueueService.NonExistentQueue"),
            FaultKind::NotFound,
        ),
        (error(400, "InvalidParameterValue"), FaultKind::Invalid),
        (error(400, "KmsAccessDenied"), FaultKind::Denied),
        (error(400, "KmsThrottled"), throttled),
    ];
    for (effect, expected) in table {
        let (kind, message) = kind_of(effect.clone()).await;
        assert_eq!(kind, expected, "{effect}");
        let place = "ReceiveMessage of queue orders at http://127.0.0.1:";
        assert!(message.starts_with(place), "{message}");
    }
}

#[tokio::test]
async fn answers_that_are_cut_or_wrong_are_transient() {
    for effect in [
        json!({"kind": "reset", "after_bytes": 0}),
        json!({"kind": "reset", "after_bytes": 100}),
        json!({"kind": "truncate", "after_bytes": 100}),
        json!({"kind": "garbage", "form": "broken"}),
        json!({"kind": "garbage", "form": "not_json"}),
        json!({"kind": "garbage", "form": "nothing"}),
    ] {
        let (kind, message) = kind_of(effect.clone()).await;
        assert_eq!(kind, FaultKind::Transient, "{effect}: {message}");
    }
}

#[tokio::test]
async fn unusual_json_is_read_all_the_same() {
    for form in ["unknown_fields", "escapes"] {
        let queue = queue().await;
        send(&queue, 3).await;
        queue.fault(&json!({"effect": {"kind": "garbage", "form": form}, "times": 1}));
        let page = receive(&queue).await.expect("an answer").expect("messages");
        assert_eq!(page.facts().len(), 3, "{form}");
        assert_eq!(message(&*page, 1).body, "m1");
    }
}

#[tokio::test]
async fn a_queue_that_is_gone_is_not_found() {
    let queue = queue().await;
    send(&queue, 2).await;
    let some = receive_some(&queue).await;
    let waiting = QueueSource::receive(&*queue.source, request(10));
    let delete = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        queue.call("DeleteQueue", &json!({"QueueUrl": queue.url()}));
    };
    let (waited, ()) = tokio::join!(waiting, delete);
    let gone = [
        waited.err(),
        QueueSource::describe(&*queue.source).await.err(),
        queue.source.acknowledge(some).await.err(),
    ];
    for error in gone {
        let fault = error.expect("a fault").fault().clone();
        assert_eq!(fault.kind, FaultKind::NotFound, "{}", fault.message);
    }
}

#[tokio::test]
async fn some_entries_of_a_batch_are_refused() {
    let queue = queue().await;
    send(&queue, 10).await;
    let some = receive_some(&queue).await;
    let effect = json!({
        "kind": "refuse_entries", "every": 3, "code": "InternalError", "message": "by order",
    });
    queue.fault(&json!({"effect": effect, "times": 1}));
    let refused = queue
        .source
        .acknowledge(some.clone())
        .await
        .expect("an answer");
    let places: Vec<u32> = refused.iter().map(|one| one.index).collect();
    assert_eq!(places, [0, 3, 6, 9]);
    assert_eq!(queue.depth(), (0, 4));
    let again = queue.source.acknowledge(some).await.expect("an answer");
    assert_eq!((again, queue.depth()), (vec![], (0, 0)));
}

#[tokio::test]
async fn receipts_that_have_ended_are_expired() {
    let queue = queue().await;
    send(&queue, 4).await;
    let some = receive_some(&queue).await;
    let all = json!({}).to_string().into();
    let expired = queue.server.service.control("expire_receipts", &all);
    expired.expect("is known").expect("is taken");
    let deleted = queue.source.acknowledge(some.clone()).await;
    let hidden = queue.source.extend(some, Duration::from_secs(5)).await;
    for refused in [deleted, hidden] {
        let refused = refused.expect("an answer");
        assert_eq!(refused.len(), 4);
        assert!(
            refused
                .iter()
                .all(|one| one.fault.kind == FaultKind::Expired)
        );
    }
}

#[tokio::test]
async fn many_messages_are_settled_ten_at_a_time() {
    let queue = queue().await;
    send(&queue, 95).await;
    let mut batch = Batch {
        pages: Vec::new(),
        records: Vec::new(),
    };
    while batch.len() < 95 {
        let some = receive_some(&queue).await;
        let page = batch.pages.len() as u32;
        batch.pages.extend(some.pages);
        let moved = some.records.iter().map(|one| RecordRef { page, ..*one });
        batch.records.extend(moved);
    }
    queue.fault(&json!({"effect": error(500, "InternalFailure"), "times": 2}));
    let refused = queue
        .source
        .acknowledge(batch.clone())
        .await
        .expect("an answer");
    let transient = |kind| kind == FaultKind::Transient;
    assert!(refused.iter().all(|one| transient(one.fault.kind)));
    assert_eq!(queue.depth(), (0, refused.len() as u64));
    assert!(
        [15, 20].contains(&refused.len()),
        "two requests of ten, or one and the last"
    );
    queue.fault(&json!({"effect": error(500, "InternalFailure")}));
    let error = queue.source.acknowledge(batch.clone()).await;
    assert_eq!(
        error.expect_err("all failed").fault().kind,
        FaultKind::Transient
    );
    queue.server.faults.clear(None);
    assert_eq!(
        queue.source.acknowledge(batch).await.expect("an answer"),
        []
    );
    assert_eq!(queue.depth(), (0, 0));
}

#[tokio::test]
async fn a_long_poll_outlives_the_clients_patience() {
    let queue = queue().await;
    // The access gives an answer four seconds, connecting included.
    let start = Instant::now();
    let nothing = QueueSource::receive(&*queue.source, request(5)).await;
    assert!(nothing.expect("an answer").is_none());
    assert!(start.elapsed() >= Duration::from_secs(5));
}

#[tokio::test]
async fn duplicates_come_with_another_receipt() {
    let queue = queue().await;
    send(&queue, 1).await;
    queue.fault(&json!({"effect": {"kind": "duplicate"}, "times": 1}));
    let first = receive_some(&queue).await;
    let again = receive_some(&queue).await;
    let (first, again) = (message(&*first.pages[0], 0), message(&*again.pages[0], 0));
    assert_eq!(first.message_id, again.message_id);
    assert_ne!(first.receipt_handle, again.receipt_handle);
    assert_eq!((first.receive_count, again.receive_count), (1, 2));
}

#[tokio::test]
async fn a_message_shows_what_its_sender_said() {
    let queue = queue().await;
    let more = json!({
        "MessageAttributes": {
            "b": {"DataType": "Binary", "BinaryValue": "MTEwMA=="},
            "s": {"DataType": "String.custom", "StringValue": "é\"\\\n"},
        },
        "MessageSystemAttributes": {
            "AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-2"},
        },
    });
    queue.send_with("b", &more);
    let page = receive(&queue).await.expect("an answer").expect("messages");
    let message = message(&*page, 0);
    assert_eq!(
        message.message_attributes,
        concat!(
            r#"{"b":{"binaryValue":"MTEwMA==","stringListValues":[],"binaryListValues":[],"#,
            r#""dataType":"Binary"},"s":{"stringValue":"é\"\\\n","stringListValues":[],"#,
            r#""binaryListValues":[],"dataType":"String.custom"}}"#
        )
    );
    assert_eq!(message.md5_of_message_attributes.map(str::len), Some(32));
    let known: Value = serde_json::from_str(message.attributes).expect("an object");
    assert_eq!(known["AWSTraceHeader"], "Root=1-2");
}

#[tokio::test]
async fn a_queue_with_a_redrive_policy_says_how_often() {
    let queue = queue().await;
    queue.call("CreateQueue", &json!({"QueueName": "dead"}));
    let policy = json!({
        "deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:dead", "maxReceiveCount": "3",
    });
    let attributes = json!({"RedrivePolicy": policy.to_string()});
    let change = json!({"QueueUrl": queue.url(), "Attributes": attributes});
    queue.call("SetQueueAttributes", &change);
    let facts = QueueSource::describe(&*queue.source)
        .await
        .expect("an answer");
    assert_eq!((facts.max_receive_count, facts.fifo), (Some(3), false));
}
