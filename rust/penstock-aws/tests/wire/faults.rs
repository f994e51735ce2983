//! Shows that whatever goes wrong on the wire becomes the fault that the engine expects.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::support::{Call, Refresh, Reply, Server, access, read_from, source_of, source_with};
use penstock_aws::kinesis::KinesisSource;
use penstock_engine::fault::FaultKind::{Denied, Expired, Invalid, NotFound, TooLarge, Transient};
use penstock_engine::fault::{Fault, FaultKind};
use penstock_engine::ids::Position;
use penstock_runtime::ports::StreamSource;
use serde_json::{Value, json};

fn records() -> Value {
    json!({
        "MillisBehindLatest": 0,
        "NextShardIterator": "next",
        "Records": [{
            "ApproximateArrivalTimestamp": 1545084650.987, "Data": "aGVsbG8=",
            "PartitionKey": "k", "SequenceNumber": "49590338271490256608559692538361571095",
        }],
    })
}

/// A server whose GetRecords answers by `spoilt` first and well afterwards.
async fn server(spoilt: impl Fn(usize) -> Option<Reply> + Send + Sync + 'static) -> Server {
    let reads = AtomicUsize::new(0);
    Server::start(move |call: &Call| match call.operation.as_str() {
        "GetShardIterator" => Reply::json(&json!({"ShardIterator": "first"})),
        _ => {
            let number = reads.fetch_add(1, Ordering::SeqCst);
            spoilt(number).unwrap_or_else(|| Reply::json(&records()))
        }
    })
    .await
}

async fn fault(source: &KinesisSource) -> Fault {
    source
        .fetch(read_from(Position::TrimHorizon))
        .await
        .unwrap_err()
        .into()
}

/// Answers that are none, the kind of fault that each is, and words of its sentence.
fn spoilt_answers() -> Vec<(Reply, FaultKind, &'static str)> {
    let whole = records().to_string();
    let half = whole.len() / 2;
    let text = |body: &str| Reply::text(body);
    let error = Reply::error;
    let throttled = FaultKind::Throttled { after: None };
    vec![
        (text(&whole).cut(half), Transient, "was cut off"),
        (text(&whole).cut(0), Transient, "was cut off"),
        (text(&whole).reset(half), Transient, "was cut off"),
        (text(&whole[..half]), Transient, "it ends too early"),
        (text("<html>hello</html>"), Transient, "it is not JSON"),
        (text("{\"Records\":7}"), Transient, "wrong type"),
        (Reply::status(500, "oops"), Transient, "status 500"),
        (error(500, "InternalFailure"), Transient, "InternalFailure"),
        (
            error(400, "ProvisionedThroughputExceededException"),
            throttled,
            "so it goes",
        ),
        (error(400, "ExpiredIteratorException"), Expired, "Expired"),
        (
            error(400, "ResourceNotFoundException"),
            NotFound,
            "NotFound",
        ),
        (error(400, "AccessDeniedException"), Denied, "AccessDenied"),
        (
            error(400, "InvalidArgumentException"),
            Invalid,
            "InvalidArgument",
        ),
        (error(413, "RequestEntityTooLarge"), TooLarge, "TooLarge"),
    ]
}

#[tokio::test]
async fn a_spoilt_answer_is_classified_and_the_next_read_succeeds() {
    for (reply, kind, words) in spoilt_answers() {
        let spoilt = reply.clone();
        let server = server(move |number| (number == 0).then(|| spoilt.clone())).await;
        let source = source_of(&server);
        let fault = fault(&source).await;
        assert_eq!(fault.kind, kind, "{reply:?}: {fault}");
        assert!(fault.message.contains(words), "{fault}");
        assert!(
            fault
                .message
                .starts_with("GetRecords of shard shard-0 of stream orders")
        );
        let read = source
            .fetch(read_from(Position::TrimHorizon))
            .await
            .unwrap();
        assert_eq!(read.page.unwrap().facts().len(), 1, "{reply:?}");
    }
}

#[tokio::test]
async fn members_that_nobody_knows_are_read_over() {
    let mut answer = records();
    answer["Later"] = json!({"a": [1, "\"}"]});
    answer["Records"][0]["Checksum"] = json!(7);
    let server = server(move |_| Some(Reply::json(&answer))).await;
    let read = source_of(&server)
        .fetch(read_from(Position::TrimHorizon))
        .await
        .unwrap();
    assert_eq!(
        read.page.unwrap().sequence_number(0),
        "49590338271490256608559692538361571095"
    );
}

#[tokio::test]
async fn an_iterator_is_kept_through_a_throttle_and_forgotten_when_it_expires() {
    let table = [
        ("ProvisionedThroughputExceededException", 1),
        ("InternalFailure", 1),
        ("ExpiredIteratorException", 2),
    ];
    for (code, iterators) in table {
        let server = server(move |number| (number == 0).then(|| Reply::error(400, code))).await;
        let source = source_of(&server);
        fault(&source).await;
        source
            .fetch(read_from(Position::TrimHorizon))
            .await
            .unwrap();
        let asked = server.operations();
        let asked = asked
            .iter()
            .filter(|name| *name == "GetShardIterator")
            .count();
        // An unknown code of status 400 is `Invalid`: the iterator may be what is wrong.
        let expected = if code == "InternalFailure" {
            2
        } else {
            iterators
        };
        assert_eq!(asked, expected, "{code}");
    }
}

#[tokio::test]
async fn a_slow_answer_ends_at_the_deadline() {
    let server = server(|_| Some(Reply::json(&records()).late(Duration::from_secs(30)))).await;
    let (_, book) = Refresh::book(|_, _| panic!("the access is there"));
    // Connecting has most of it, so that a busy machine connects in time.
    let quick = json!({"connect_timeout_s": 2.0, "read_timeout_s": 0.2});
    book.push("default", access(&server.url, &quick));
    let source = source_with(book);
    let start = Instant::now();
    let fault = fault(&source).await;
    assert_eq!(fault.kind, Transient);
    assert!(
        fault.message.contains("no whole answer within 2.2 s"),
        "{fault}"
    );
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn nobody_listening_is_a_transient_fault_that_names_the_address() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let (_, book) = Refresh::book(|_, _| panic!("the access is there"));
    book.push(
        "default",
        access(&format!("http://127.0.0.1:{port}"), &json!({})),
    );
    let fault = fault(&source_with(book)).await;
    assert_eq!(fault.kind, Transient);
    assert!(
        fault
            .message
            .contains(&format!("at http://127.0.0.1:{port} failed")),
        "{fault}"
    );
    assert!(fault.message.contains("Connection refused"), "{fault}");
}

#[tokio::test]
async fn an_answer_beyond_the_bound_is_too_large() {
    let server = server(|_| Some(Reply::text("x".repeat(33 << 20)))).await;
    assert_eq!(fault(&source_of(&server)).await.kind, TooLarge);
}

#[tokio::test]
async fn a_clock_that_is_off_is_mended_once() {
    let ahead = Duration::from_secs(3600);
    let refused = AtomicUsize::new(0);
    let server = Server::start(move |call: &Call| {
        let number = refused.fetch_add(1, Ordering::SeqCst) as u32;
        let date = SystemTime::now() + ahead * (number + 1);
        match call.operation.as_str() {
            _ if number < 2 => Reply::error(403, "InvalidSignatureException").dated(date),
            "GetShardIterator" => Reply::json(&json!({"ShardIterator": "first"})),
            _ => Reply::json(&records()),
        }
    })
    .await;
    let source = source_of(&server);
    assert_eq!(fault(&source).await.kind, Expired);
    let signed = server.calls().pop().unwrap();
    assert_eq!(
        fault(&source).await.kind,
        Denied,
        "the second time it is no use"
    );
    let again = server.calls().pop().unwrap();
    let hour = |call: &Call| {
        call.header("x-amz-date").unwrap()[9..11]
            .parse::<u32>()
            .unwrap()
    };
    assert_eq!(
        (hour(&signed) + 1) % 24,
        hour(&again),
        "signed by the other side's clock"
    );
    assert!(source.fetch(read_from(Position::TrimHorizon)).await.is_ok());
}

#[tokio::test]
async fn a_wrong_signature_at_the_right_time_is_denied_without_its_text() {
    let server = server(|_| Some(Reply::error(403, "SignatureDoesNotMatch"))).await;
    let fault = fault(&source_of(&server)).await;
    assert_eq!(fault.kind, Denied);
    assert!(!fault.message.contains("so it goes"), "{fault}");
}

#[tokio::test]
async fn expired_credentials_are_asked_for_once_by_many_readers() {
    let server = Server::start(|call: &Call| {
        let fresh = call
            .header("authorization")
            .unwrap()
            .contains("Credential=FRESH");
        match call.operation.as_str() {
            _ if !fresh => Reply::error(400, "ExpiredTokenException"),
            "GetShardIterator" => Reply::json(&json!({"ShardIterator": "first"})),
            _ => Reply::json(&records()),
        }
    })
    .await;
    let url = server.url.clone();
    let (refresh, book) = Refresh::book(move |book, _| {
        book.push("default", access(&url, &json!({"access_key_id": "FRESH"})));
        Ok(())
    });
    book.push("default", access(&server.url, &json!({})));
    let source = source_with(book);
    let reads = (0..8).map(|_| source.fetch(read_from(Position::TrimHorizon)));
    for read in futures_util::future::join_all(reads).await {
        assert_eq!(read.unwrap_err().fault().kind, Expired);
    }
    assert_eq!(refresh.asked(), ["ExpiredTokenException"]);
    assert!(source.fetch(read_from(Position::TrimHorizon)).await.is_ok());
}

#[tokio::test]
async fn credentials_that_cannot_be_mended_are_denied_with_the_reason() {
    let server = server(|_| None).await;
    let always = Server::start(|_| Reply::error(400, "UnrecognizedClientException")).await;
    let unchanged = access(&always.url, &json!({}));
    let (refresh, book) = Refresh::book(|_, _| Ok(()));
    book.push("default", unchanged);
    let source = source_with(book);
    for round in 1..=2 {
        let fault = fault(&source).await;
        assert_eq!(fault.kind, Denied);
        assert!(
            fault
                .message
                .contains("were rejected and no other ones were found"),
            "{fault}"
        );
        assert_eq!(refresh.asked().len(), round, "each read may ask once");
    }

    let (_, book) =
        Refresh::book(|_, _| Err(Fault::new(Denied, "no credentials: run `aws sso login`")));
    book.push("default", access(&server.url, &json!({"expires_at": 1.0})));
    let fault = fault(&source_with(book)).await;
    assert_eq!(fault.kind, Denied);
    assert!(
        fault
            .message
            .ends_with("no credentials: run `aws sso login`"),
        "{fault}"
    );
    assert_eq!(
        server.calls().len(),
        0,
        "credentials that have ended are not tried"
    );
}

#[tokio::test]
async fn keys_that_change_without_end_are_denied_in_between() {
    let server = Server::start(|_| Reply::error(400, "ExpiredTokenException")).await;
    let url = server.url.clone();
    let (refresh, book) = Refresh::book(move |book, number| {
        let key = format!("KEY{number}");
        book.push("default", access(&url, &json!({"access_key_id": key})));
        Ok(())
    });
    let source = source_with(book);
    let mut kinds = Vec::new();
    for _ in 0..4 {
        kinds.push(fault(&source).await.kind);
    }
    assert_eq!(kinds, [Expired, Denied, Expired, Denied]);
    assert_eq!(refresh.asked()[0], "needed for the first time");
}
