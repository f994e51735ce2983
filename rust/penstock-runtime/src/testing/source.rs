//! Rules of every stream source.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::BoxFuture;
use penstock_engine::fault::FaultKind;
use penstock_engine::ids::{Position, SequenceNumber, ShardId, compare_sequence_numbers};
use penstock_engine::io::Fetched;
use penstock_engine::record::RecordView;
use penstock_engine::time::Wall;

use super::stream_record;
use crate::ports::{FetchRequest, Parts, StreamSource};

/// A stream with one open shard and nothing in it, and ways to change it.
pub trait SourceBench: Send + Sync {
    /// The source under test.
    fn source(&self) -> Arc<dyn StreamSource>;

    /// Puts a record; returns when it can be read. A table gets an item whose `id` is the key and
    /// whose `data` are the bytes.
    fn put<'a>(&'a self, partition_key: &'a str, data: &'a [u8]) -> BoxFuture<'a, ()>;

    /// Closes the only shard by splitting it.
    fn split(&self) -> BoxFuture<'_, ()>;

    /// Lets a moment pass by the source's clock, so that what comes later arrives later.
    fn pass(&self) -> BoxFuture<'_, ()>;
}

/// No single call may take longer; a source that waits is asked to wait less.
const PATIENCE: Duration = Duration::from_secs(20);

struct Reader {
    source: Arc<dyn StreamSource>,
    shard: ShardId,
}

impl Reader {
    async fn of(bench: &impl SourceBench) -> Self {
        let source = bench.source();
        let listing = bounded(source.list_shards())
            .await
            .expect("the listing comes");
        let shard = listing.shards.first().expect("there is a shard").id.clone();
        Self { source, shard }
    }

    async fn fetch(&self, from: Position, limit: u32) -> Fetched {
        self.fetch_waiting(from, limit, Duration::ZERO).await
    }

    async fn fetch_waiting(&self, from: Position, limit: u32, wait: Duration) -> Fetched {
        let request = FetchRequest {
            shard: self.shard.clone(),
            from,
            limit,
            wait,
            parts: Parts::default(),
        };
        bounded(async {
            self.source.ready(&request).await;
            self.source.fetch(request).await
        })
        .await
        .expect("the read succeeds")
    }

    /// Reads with small limits until the tip or the end; gives sequence number, key and data.
    async fn read_all(&self, mut from: Position) -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        let mut empty = 0;
        while empty < 3 {
            let fetched = self.fetch(from.clone(), 3).await;
            let before = found.len();
            found.extend(records(&fetched));
            match found.last() {
                Some((last, _, _)) if found.len() > before => {
                    from = Position::after(SequenceNumber::new(last.as_str()));
                    empty = 0;
                }
                _ => {
                    from = fetched.next.unwrap_or(from);
                    empty += 1;
                }
            }
            if fetched.ended {
                break;
            }
        }
        found
    }
}

fn records(fetched: &Fetched) -> Vec<(String, String, String)> {
    let Some(page) = &fetched.page else {
        return Vec::new();
    };
    (0..page.facts().len())
        .map(|index| {
            let (partition_key, sequence_number, data, arrival) = shown(page.view(index));
            assert_eq!(page.sequence_number(index), sequence_number);
            assert_eq!(page.facts()[index].arrival, arrival);
            (sequence_number, partition_key, data)
        })
        .collect()
}

/// Key, sequence number, payload in base64 and arrival of a record. A record of a table has its
/// key in `id` and its payload in `data`.
fn shown(view: RecordView<'_>) -> (String, String, String, Wall) {
    let item = match view {
        RecordView::DynamoDb(item) => item,
        stream => {
            let (key, number, data, arrival) = stream_record(stream);
            return (key.to_owned(), number.to_owned(), data.to_owned(), arrival);
        }
    };
    let attribute = |item: &str, name: &str, kind: &str| {
        let item: serde_json::Value = serde_json::from_str(item).expect("items are JSON");
        let value = item[name][kind].as_str();
        value.expect("the bench's items have it").to_owned()
    };
    let image = item.new_image.expect("the bench's stream shows new images");
    let (key, data) = (
        attribute(item.keys, "id", "S"),
        attribute(image, "data", "B"),
    );
    (key, item.sequence_number.to_owned(), data, item.created)
}

async fn bounded<T>(call: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, call)
        .await
        .expect("a call to a port is bounded in time")
}

/// A listing names each shard once.
pub async fn lists_every_shard_once(bench: impl SourceBench) {
    let source = bench.source();
    let before = bounded(source.list_shards())
        .await
        .expect("the listing comes");
    assert_eq!(before.shards.len(), 1);
    assert!(before.shards[0].parents.is_empty() && !before.shards[0].closed);
    assert!(before.server_time > Wall(0));
    bench.split().await;
    let after = bounded(source.list_shards())
        .await
        .expect("the listing comes");
    let ids: BTreeSet<_> = after.shards.iter().map(|shard| shard.id.clone()).collect();
    assert_eq!((ids.len(), after.shards.len()), (3, 3));
    let closed: Vec<_> = after.shards.iter().filter(|shard| shard.closed).collect();
    assert_eq!(closed.len(), 1);
    assert_eq!(closed[0].id, before.shards[0].id);
    assert_eq!(after.incarnation, before.incarnation);
}

/// From the horizon on, every record comes once, and sequence numbers grow.
pub async fn reads_everything_in_order(bench: impl SourceBench) {
    for number in 0..10 {
        bench
            .put(&format!("key-{number}"), format!("{number}").as_bytes())
            .await;
    }
    let reader = Reader::of(&bench).await;
    let found = reader.read_all(Position::TrimHorizon).await;
    let keys: Vec<_> = found.iter().map(|(_, key, _)| key.clone()).collect();
    let wanted: Vec<_> = (0..10).map(|number| format!("key-{number}")).collect();
    assert_eq!(keys, wanted);
    for pair in found.windows(2) {
        assert!(compare_sequence_numbers(&pair[0].0, &pair[1].0).is_lt());
    }
}

/// Keys and payloads come back as they went in, whatever they are.
pub async fn keeps_payloads_and_keys(bench: impl SourceBench) {
    let keys = ["a", "ключ", "quote\"back\\slash", "tab\tend", "🔑"];
    let payloads: [&[u8]; 5] = [
        b"x",
        &[0, 255, 128],
        "text ä".as_bytes(),
        b"\"\\\n",
        &[7; 5_000],
    ];
    for (key, payload) in keys.iter().zip(payloads) {
        bench.put(key, payload).await;
    }
    let reader = Reader::of(&bench).await;
    let found = reader.read_all(Position::TrimHorizon).await;
    assert_eq!(found.len(), keys.len());
    for ((_, key, data), (wanted, payload)) in found.iter().zip(keys.iter().zip(payloads)) {
        use base64::Engine as _;
        assert_eq!(key, wanted);
        let decoded = base64::engine::general_purpose::STANDARD.decode(data);
        assert_eq!(decoded.as_deref(), Ok(payload));
    }
}

/// Positions are the truth: the same position gives the same records.
pub async fn reads_the_same_again_from_the_same_position(bench: impl SourceBench) {
    for number in 0..6 {
        bench.put("key", &[number]).await;
    }
    let reader = Reader::of(&bench).await;
    let all = reader.read_all(Position::TrimHorizon).await;
    assert_eq!(all, reader.read_all(Position::TrimHorizon).await);
    for (place, (sequence, _, _)) in all.iter().enumerate() {
        let after = Position::after(SequenceNumber::new(sequence.as_str()));
        assert_eq!(reader.read_all(after).await, all[place + 1..]);
    }
}

/// A read gives at most what was asked for.
pub async fn respects_the_limit(bench: impl SourceBench) {
    for number in 0..5 {
        bench.put("key", &[number]).await;
    }
    let reader = Reader::of(&bench).await;
    for limit in 1..5 {
        let fetched = reader.fetch(Position::TrimHorizon, limit).await;
        let count = records(&fetched).len();
        assert!(
            count <= limit as usize,
            "{count} records for a limit of {limit}"
        );
    }
}

/// At the tip a read is empty, not ended, and zero behind.
pub async fn says_when_the_tip_is_reached(bench: impl SourceBench) {
    let reader = Reader::of(&bench).await;
    let empty = reader.fetch(Position::TrimHorizon, 10).await;
    assert_eq!((records(&empty).len(), empty.ended), (0, false));
    bench.put("key", b"x").await;
    let all = reader.read_all(Position::TrimHorizon).await;
    let last = Position::after(SequenceNumber::new(all[0].0.as_str()));
    let tip = reader.fetch(last, 10).await;
    assert_eq!((records(&tip).len(), tip.ended), (0, false));
    assert_eq!(tip.behind_ms.unwrap_or(0), 0);
}

/// A source that can wait comes back with the next record, not at the end of the wait.
pub async fn waits_for_the_next_record(bench: impl SourceBench) {
    let reader = Reader::of(&bench).await;
    if reader.source.profile().fetch_wait.is_zero() {
        return;
    }
    let waiting = reader.fetch_waiting(Position::TrimHorizon, 10, PATIENCE);
    let put = async {
        tokio::task::yield_now().await;
        bench.put("key", b"x").await;
    };
    let (fetched, ()) = tokio::join!(waiting, put);
    assert_eq!(records(&fetched).len(), 1);
}

/// A read that is dropped half-way costs nothing.
pub async fn survives_a_dropped_read(bench: impl SourceBench) {
    bench.put("key", b"x").await;
    let reader = Reader::of(&bench).await;
    for _ in 0..3 {
        let mut read = Box::pin(reader.fetch(Position::TrimHorizon, 10));
        // Whether it is ready does not matter: it is dropped wherever it got to.
        let _ = std::future::poll_fn(|context| Poll::Ready(read.as_mut().poll(context).is_ready()))
            .await;
        drop(read);
    }
    assert_eq!(reader.read_all(Position::TrimHorizon).await.len(), 1);
}

/// A shard that is not there is a fault of that kind, not an empty answer.
pub async fn refuses_shards_that_are_not_there(bench: impl SourceBench) {
    let request = FetchRequest {
        shard: ShardId::new("shardId-000000009999"),
        from: Position::TrimHorizon,
        limit: 10,
        wait: Duration::ZERO,
        parts: Parts::default(),
    };
    let refused = bounded(bench.source().fetch(request))
        .await
        .expect_err("it is not there");
    let kind = refused.fault().kind;
    assert!(
        matches!(kind, FaultKind::NotFound | FaultKind::Invalid),
        "{kind:?}"
    );
    assert!(!refused.to_string().is_empty());
}

/// A closed shard is read to its last record before it ends; its children follow.
pub async fn drains_a_closed_shard_and_names_its_children(bench: impl SourceBench) {
    for number in 0..5 {
        bench.put("key", &[number]).await;
    }
    bench.split().await;
    let reader = Reader::of(&bench).await;
    let found = reader.read_all(Position::TrimHorizon).await;
    assert_eq!(found.len(), 5);
    let last = Position::after(SequenceNumber::new(found[4].0.as_str()));
    let end = reader.fetch(last, 10).await;
    assert!(end.ended && records(&end).is_empty());
    for child in &end.children {
        assert_eq!(child.parents, std::slice::from_ref(&reader.shard));
    }
    let listing = bounded(reader.source.list_shards())
        .await
        .expect("the listing comes");
    let follow = listing
        .shards
        .iter()
        .filter(|shard| shard.parents.contains(&reader.shard));
    assert_eq!(follow.count(), 2);
}

/// AT_TIMESTAMP begins with the first record that arrived at or after the moment.
pub async fn starts_at_a_moment(bench: impl SourceBench) {
    bench.put("key", b"early").await;
    bench.pass().await;
    bench.put("key", b"late").await;
    let reader = Reader::of(&bench).await;
    let all = reader.fetch(Position::TrimHorizon, 10).await;
    let moments: Vec<_> = {
        let page = all.page.as_ref().expect("there are records");
        page.facts().iter().map(|facts| facts.arrival).collect()
    };
    assert!(moments[0] < moments[1]);
    let late = reader.read_all(Position::AtTimestamp(moments[1])).await;
    assert_eq!(late.len(), 1);
    let both = reader.read_all(Position::AtTimestamp(moments[0])).await;
    assert_eq!(both.len(), 2);
}
