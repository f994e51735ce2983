//! Rules of every queue source.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::BoxFuture;
use penstock_engine::fault::FaultKind;
use penstock_engine::ids::RequestId;
use penstock_engine::io::Refused;
use penstock_engine::record::{Batch, MessageView, Page, RecordRef, RecordView};

use crate::ports::{QueueSource, ReceiveRequest};

/// An empty queue that hides what is received for `VISIBILITY`, and ways to change it.
pub trait QueueBench: Send + Sync {
    /// The source under test.
    fn source(&self) -> Arc<dyn QueueSource>;

    /// Sends a message; returns when it can be received. A FIFO queue knows by group and body
    /// what was sent before.
    fn send<'a>(&'a self, body: &'a str, group: Option<&'a str>) -> BoxFuture<'a, ()>;

    /// Lets time pass by the queue's clock.
    fn pass(&self, span: Duration) -> BoxFuture<'_, ()>;
}

/// How long a bench's queue hides what is received.
pub const VISIBILITY: Duration = Duration::from_secs(2);

/// No single call may take longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came of one receive.
#[derive(Clone)]
struct Got(Arc<dyn Page>);

impl Got {
    fn len(&self) -> usize {
        self.0.facts().len()
    }

    fn message(&self, index: usize) -> MessageView<'_> {
        message_of(self.0.view(index))
    }

    fn bodies(&self) -> Vec<String> {
        let bodies = (0..self.len()).map(|index| self.message(index).body.to_owned());
        bodies.collect()
    }
}

fn message_of(view: RecordView<'_>) -> MessageView<'_> {
    match view {
        RecordView::Sqs(message) => message,
        other => panic!("not a message: {other:?}"),
    }
}

fn batch(pages: &[Got]) -> Batch {
    let refs = pages.iter().enumerate().flat_map(|(page, got)| {
        (0..got.len()).map(move |index| RecordRef {
            page: page as u32,
            index: index as u32,
        })
    });
    Batch {
        records: refs.collect(),
        pages: pages.iter().map(|got| got.0.clone()).collect(),
    }
}

fn request(limit: u32) -> ReceiveRequest {
    ReceiveRequest {
        limit,
        wait: Duration::ZERO,
        visibility: None,
        attempt: None,
    }
}

async fn bounded<T>(call: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, call)
        .await
        .expect("a call to a port is bounded in time")
}

async fn receive_as(source: &dyn QueueSource, request: ReceiveRequest) -> Option<Got> {
    let received = bounded(async {
        let wait = source.ready(&request).await;
        source.receive(ReceiveRequest { wait, ..request }).await
    });
    received.await.expect("the receive succeeds").map(Got)
}

async fn receive(source: &dyn QueueSource, limit: u32) -> Option<Got> {
    receive_as(source, request(limit)).await
}

/// Receives until nothing comes any more.
async fn receive_all(source: &dyn QueueSource) -> Vec<Got> {
    let mut pages = Vec::new();
    let mut empty = 0;
    while empty < 3 {
        match receive(source, 10).await {
            Some(got) => pages.push(got),
            None => empty += 1,
        }
    }
    pages
}

async fn acknowledge(source: &dyn QueueSource, pages: &[Got]) -> Vec<Refused> {
    let answer = bounded(source.acknowledge(batch(pages))).await;
    answer.expect("the request succeeds")
}

async fn extend(source: &dyn QueueSource, pages: &[Got], by: Duration) -> Vec<Refused> {
    let answer = bounded(source.extend(batch(pages), by)).await;
    answer.expect("the request succeeds")
}

fn sorted(pages: &[Got]) -> Vec<String> {
    let mut bodies: Vec<_> = pages.iter().flat_map(Got::bodies).collect();
    bodies.sort();
    bodies
}

/// A queue says how long it hides messages, and what time it is there.
pub async fn describes_itself(bench: impl QueueBench) {
    let facts = bounded(bench.source().describe())
        .await
        .expect("it answers");
    assert_eq!(facts.visibility_timeout, VISIBILITY);
    assert!(facts.server_time.0 > 0);
    assert_eq!(facts.max_receive_count, None);
}

/// Every message comes, and none twice while it is hidden; no receive gives more than asked for.
pub async fn hands_everything_out_once(bench: impl QueueBench) {
    for number in 0..25 {
        bench.send(&format!("m{number:02}"), None).await;
    }
    let source = bench.source();
    let few = receive(&*source, 3).await.expect("there are some");
    assert!((1..=3).contains(&few.len()));
    let mut pages = receive_all(&*source).await;
    assert!(pages.iter().all(|page| page.len() <= 10));
    pages.push(few);
    let wanted: Vec<_> = (0..25).map(|number| format!("m{number:02}")).collect();
    assert_eq!(sorted(&pages), wanted);
    for page in &pages {
        for index in 0..page.len() {
            let message = page.message(index);
            assert_eq!(page.0.sequence_number(index), message.message_id);
            assert_eq!(message.receive_count, 1);
            assert!(page.0.facts()[index].arrival.0 > 0);
        }
    }
}

/// Bodies come back as they were sent, whatever they are.
pub async fn keeps_bodies(bench: impl QueueBench) {
    let large = "x".repeat(100_000);
    let mut bodies = [
        "plain",
        "{\"a\":\"\\n\"}",
        "quote\"back\\slash",
        "tab\tline\nend",
        "ключ 🔑 日本",
        large.as_str(),
    ];
    for body in bodies {
        bench.send(body, None).await;
    }
    let pages = receive_all(&*bench.source()).await;
    bodies.sort_unstable();
    assert_eq!(sorted(&pages), bodies);
    for page in &pages {
        for index in 0..page.len() {
            let message = page.message(index);
            assert_eq!(
                (message.md5_of_body.len(), message.message_attributes),
                (32, "{}")
            );
            let known: BTreeMap<String, String> =
                serde_json::from_str(message.attributes).expect("an object of texts");
            assert_eq!(known["ApproximateReceiveCount"], "1");
        }
    }
}

/// An empty queue answers with nothing, and a wait ends with the next message.
pub async fn waits_for_the_next_message(bench: impl QueueBench) {
    let source = bench.source();
    assert!(receive(&*source, 10).await.is_none());
    let waiting = ReceiveRequest {
        wait: Duration::from_secs(10),
        ..request(10)
    };
    let send = async {
        tokio::task::yield_now().await;
        bench.send("late", None).await;
    };
    let (got, ()) = tokio::join!(receive_as(&*source, waiting), send);
    assert_eq!(got.expect("it came").bodies(), ["late"]);
}

/// What was deleted never comes again, however many were deleted at once.
pub async fn deletes_for_good(bench: impl QueueBench) {
    for number in 0..24 {
        bench.send(&format!("m{number}"), None).await;
    }
    let source = bench.source();
    let pages = receive_all(&*source).await;
    assert_eq!(acknowledge(&*source, &pages).await, []);
    bench.pass(VISIBILITY).await;
    assert!(receive_all(&*source).await.is_empty());
    let again = acknowledge(&*source, &pages).await;
    assert!(again.len() <= 24, "what is deleted may be deleted again");
}

/// What was not deleted comes again when its visibility ends, counted and with another receipt.
pub async fn shows_again_what_was_not_deleted(bench: impl QueueBench) {
    bench.send("a", None).await;
    let source = bench.source();
    let first = receive(&*source, 1).await.expect("it is there");
    bench.pass(VISIBILITY).await;
    let second = receive(&*source, 1).await.expect("it is there again");
    let (first, second) = (first.message(0), second.message(0));
    assert_eq!(first.message_id, second.message_id);
    assert_ne!(first.receipt_handle, second.receipt_handle);
    assert_eq!((first.receive_count, second.receive_count), (1, 2));
}

/// Visibility can be made longer, and given back at once.
pub async fn changes_visibility(bench: impl QueueBench) {
    bench.send("a", None).await;
    let source = bench.source();
    let first = [receive(&*source, 1).await.expect("it is there")];
    assert_eq!(extend(&*source, &first, VISIBILITY * 3).await, []);
    bench.pass(VISIBILITY * 2).await;
    assert!(receive(&*source, 1).await.is_none(), "it is hidden longer");
    assert_eq!(extend(&*source, &first, Duration::ZERO).await, []);
    let again = receive(&*source, 1).await.expect("it was given back");
    assert_eq!(again.bodies(), ["a"]);
}

/// A receive can ask for a visibility of its own.
pub async fn hides_as_long_as_it_is_told(bench: impl QueueBench) {
    bench.send("a", None).await;
    let source = bench.source();
    let long = ReceiveRequest {
        visibility: Some(VISIBILITY * 3),
        ..request(1)
    };
    assert!(receive_as(&*source, long).await.is_some());
    bench.pass(VISIBILITY * 2).await;
    assert!(receive(&*source, 1).await.is_none());
    bench.pass(VISIBILITY * 2).await;
    assert!(receive(&*source, 1).await.is_some());
}

/// A receive that is dropped half-way loses nothing for longer than the visibility.
pub async fn survives_a_dropped_receive(bench: impl QueueBench) {
    bench.send("a", None).await;
    let source = bench.source();
    for _ in 0..3 {
        let mut call = Box::pin(receive(&*source, 10));
        // Whether it is ready does not matter: it is dropped wherever it got to.
        let _ = std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_ready()))
            .await;
        drop(call);
    }
    bench.pass(VISIBILITY).await;
    let came = async {
        loop {
            match receive(&*source, 10).await {
                Some(got) => return got,
                None => bench.pass(Duration::from_millis(100)).await,
            }
        }
    };
    assert_eq!(bounded(came).await.bodies(), ["a"]);
}

/// Of a FIFO queue: a group keeps its order, and waits while a message of it is out.
pub async fn keeps_the_order_of_groups(bench: impl QueueBench) {
    for number in 0..6 {
        for group in ["a", "b"] {
            bench.send(&format!("{group}{number}"), Some(group)).await;
        }
    }
    let source = bench.source();
    assert!(bounded(source.describe()).await.expect("it answers").fifo);
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    while let Some(got) = receive(&*source, 4).await {
        for index in 0..got.len() {
            let message = got.message(index);
            let group = message.group.expect("every message has one");
            seen.entry(group.to_owned())
                .or_default()
                .push(message.body.to_owned());
        }
        assert_eq!(acknowledge(&*source, &[got]).await, []);
    }
    for group in ["a", "b"] {
        let wanted: Vec<_> = (0..6).map(|number| format!("{group}{number}")).collect();
        assert_eq!(seen[group], wanted);
    }
}

/// Of a FIFO queue: while a message is out nothing else of its group is handed out.
pub async fn holds_a_group_that_is_out(bench: impl QueueBench) {
    for body in ["a0", "a1", "b0"] {
        bench.send(body, Some(&body[..1])).await;
    }
    let source = bench.source();
    let first = receive(&*source, 1).await.expect("it is there");
    let (group, rest) = (
        first.message(0).group.map(str::to_owned),
        receive_all(&*source).await,
    );
    let others = rest
        .iter()
        .flat_map(|got| (0..got.len()).map(|at| got.message(at).group));
    assert!(others.into_iter().all(|other| other != group.as_deref()));
    assert_eq!(extend(&*source, &[first], Duration::ZERO).await, []);
    let again = receive(&*source, 1).await.expect("the group goes on");
    assert!(again.bodies()[0].ends_with('0'), "from where it was");
}

/// Of a FIFO queue: a receive of the same attempt gives the same messages.
pub async fn repeats_an_attempt(bench: impl QueueBench) {
    for body in ["a0", "a1", "a2"] {
        bench.send(body, Some("a")).await;
    }
    let source = bench.source();
    let attempt = |number| ReceiveRequest {
        attempt: Some(RequestId(number)),
        ..request(2)
    };
    let first = receive_as(&*source, attempt(1))
        .await
        .expect("they are there");
    let again = receive_as(&*source, attempt(1))
        .await
        .expect("they come again");
    assert_eq!(first.bodies(), again.bodies());
    assert!(
        receive_as(&*source, attempt(2)).await.is_none(),
        "the group is out"
    );
}

/// Of a FIFO queue: a receipt is worth nothing once its visibility has ended.
pub async fn refuses_expired_receipts(bench: impl QueueBench) {
    for body in ["a0", "b0"] {
        bench.send(body, Some(&body[..1])).await;
    }
    let source = bench.source();
    let old = receive(&*source, 1).await.expect("it is there");
    bench.pass(VISIBILITY).await;
    let new = receive_all(&*source).await;
    let refused = acknowledge(&*source, &[&[old], &new[..]].concat()).await;
    let places: Vec<_> = refused.iter().map(|one| one.index).collect();
    assert_eq!(places, [0]);
    let kind = refused[0].fault.kind;
    assert!(
        matches!(kind, FaultKind::Expired | FaultKind::Invalid),
        "{kind:?}"
    );
}
