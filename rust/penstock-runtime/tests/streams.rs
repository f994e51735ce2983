//! Shows what embedded streams do beyond what every source does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use penstock_engine::fault::FaultKind;
use penstock_engine::ids::{Position, SequenceNumber, ShardId, compare_sequence_numbers};
use penstock_engine::time::Wall;
use penstock_runtime::clock::{Clock, ManualClock};
use penstock_runtime::error::StreamError;
use penstock_runtime::state::State;
use penstock_runtime::state::streams::{
    FETCH_BYTES_MAX, NewRecord, PUT_RECORDS_MAX, RECORD_BYTES_MAX, StreamLimits,
};

mod world;
use world::{STREAM, count, id, record, world};

#[test]
fn keys_go_to_the_shard_that_has_their_hash_and_keep_their_order() {
    let world = world(4, StreamLimits::default());
    let keys: Vec<_> = (0..50)
        .map(|number| format!("key-{}", number % 10))
        .collect();
    let placed = world.put(keys.iter().map(|key| record(key)).collect());
    let mut homes: BTreeMap<&String, &ShardId> = BTreeMap::new();
    for (key, (shard, _)) in keys.iter().zip(&placed) {
        assert_eq!(
            homes.entry(key).or_insert(shard),
            &shard,
            "a key has one shard"
        );
    }
    assert!(
        homes
            .values()
            .collect::<std::collections::BTreeSet<_>>()
            .len()
            > 1
    );
    for shard in 0..4 {
        let wanted: Vec<_> = keys
            .iter()
            .zip(&placed)
            .filter(|(_, (home, _))| *home == id(shard))
            .map(|(key, (_, number))| (number.to_string(), key.clone()))
            .collect();
        assert_eq!(world.all(shard), wanted);
    }
}

#[test]
fn an_explicit_hash_key_decides_the_shard() {
    let world = world(2, StreamLimits::default());
    let at = |hash_key| NewRecord {
        hash_key: Some(hash_key),
        ..record("same")
    };
    let placed = world.put(vec![at(0), at(u128::MAX), at(1 << 127), at((1 << 127) - 1)]);
    let shards: Vec<_> = placed.into_iter().map(|(shard, _)| shard).collect();
    assert_eq!(shards, [id(0), id(1), id(1), id(0)]);
}

#[test]
fn a_split_closes_the_parent_and_its_children_stand_above_it() {
    let world = world(1, StreamLimits::default());
    let before = world.put(vec![record("a"), record("b")]);
    let children = world
        .state
        .streams()
        .split(STREAM, &id(0), None)
        .expect("split");
    assert_eq!(children, [id(1), id(2)]);
    let after = world.put(
        (0..20)
            .map(|number| record(&format!("k{number}")))
            .collect(),
    );
    for (shard, number) in &after {
        assert!(children.contains(shard), "the parent takes nothing more");
        let (_, last) = &before[1];
        assert!(compare_sequence_numbers(last.as_str(), number.as_str()).is_lt());
    }
    let last = Position::after(before[1].1.clone());
    let end = world.read(0, &last, 10);
    assert!(end.ended && count(&end) == 0);
    let named: Vec<_> = end.children.iter().map(|child| child.id.clone()).collect();
    assert_eq!(named, children);
    let whole = world.read(0, &Position::TrimHorizon, 10);
    assert!(
        whole.ended && count(&whole) == 2,
        "the end may come with the last records"
    );
}

#[test]
fn a_merge_has_two_parents_and_the_whole_range() {
    let world = world(3, StreamLimits::default());
    let streams = world.state.streams();
    let apart = streams
        .merge(STREAM, &id(0), &id(2))
        .expect_err("they do not touch");
    assert!(matches!(apart, StreamError::Invalid(_)));
    assert_eq!(
        streams.merge(STREAM, &id(1), &id(0)).expect("merged"),
        [id(3)]
    );
    let described = streams.describe(STREAM).expect("there").shards;
    assert_eq!(described[3].parents, [id(1), id(0)]);
    assert_eq!(described[3].starting_hash_key, "0");
    assert_eq!(described[3].ending_hash_key, described[1].ending_hash_key);
    assert!(described[0].closed && described[1].closed && !described[2].closed);
    let again = streams
        .merge(STREAM, &id(0), &id(1))
        .expect_err("they are closed");
    assert_eq!(again.code(), "PS212");
    let gone = streams
        .split(STREAM, &id(9), None)
        .expect_err("there is none");
    assert_eq!(gone.fault().kind, FaultKind::NotFound);
}

#[test]
fn numbers_grow_over_splits_and_merges_in_one_second() {
    let world = world(1, StreamLimits::default());
    let streams = world.state.streams();
    let mut last = world.put(vec![record("x")])[0].1.clone();
    let mut shard = id(0);
    for _ in 0..5 {
        let halves = streams.split(STREAM, &shard, None).expect("split");
        world.put((0..8).map(|number| record(&format!("k{number}"))).collect());
        shard = streams
            .merge(STREAM, &halves[0], &halves[1])
            .expect("merged")[0]
            .clone();
        let next = world.put(vec![record("x")])[0].1.clone();
        assert!(next > last);
        last = next;
    }
}

#[test]
fn bad_puts_say_what_is_wrong_with_which_record() {
    let world = world(1, StreamLimits::default());
    let refused = |records| {
        world
            .state
            .streams()
            .put(STREAM, records)
            .expect_err("refused")
    };
    let long_key = NewRecord {
        partition_key: "é".repeat(257),
        ..record("x")
    };
    let large = NewRecord {
        data: vec![0; RECORD_BYTES_MAX],
        ..record("x")
    };
    for (records, part) in [
        (vec![], "1 to 10000"),
        (vec![record("x"); PUT_RECORDS_MAX + 1], "10001"),
        (vec![record("x"), record("")], "record 1"),
        (vec![long_key], "257 characters"),
        (vec![record("x"), large.clone()], "record 1"),
    ] {
        let message = refused(records).to_string();
        assert!(message.contains(part), "{message}");
    }
    let just = NewRecord {
        data: vec![0; RECORD_BYTES_MAX - 1],
        ..record("x")
    };
    assert!(
        matches!(refused(vec![just; 11]), StreamError::Invalid(_)),
        "too much at once"
    );
    assert_eq!(world.all(0), [], "nothing of them was put");
}

#[test]
fn streams_are_created_once_listed_and_deleted() {
    let world = world(2, StreamLimits::default());
    let streams = world.state.streams();
    assert_eq!(
        streams.create(STREAM, 1),
        Err(StreamError::Exists(STREAM.to_owned()))
    );
    assert!(matches!(
        streams.create("a b", 1),
        Err(StreamError::InvalidName(_))
    ));
    assert!(matches!(
        streams.create("none", 0),
        Err(StreamError::Invalid(_))
    ));
    streams.create("another", 1).expect("created");
    let names: Vec<_> = streams
        .list()
        .expect("listed")
        .into_iter()
        .map(|stream| stream.name)
        .collect();
    assert_eq!(names, ["another", STREAM]);
    assert_eq!(
        streams.describe(STREAM).expect("there").arn,
        "arn:aws:penstock:::stream/orders"
    );
    world.put(vec![record("x")]);
    let old = streams.listing(STREAM).expect("there").incarnation;
    streams.delete(STREAM).expect("deleted");
    assert_eq!(
        streams.delete(STREAM),
        Err(StreamError::NotFound(STREAM.to_owned()))
    );
    let refused = streams.put(STREAM, vec![record("x")]).expect_err("gone");
    assert_eq!(refused, StreamError::NotFound(STREAM.to_owned()));
    world.clock.advance(Duration::from_secs(1));
    streams.create(STREAM, 2).expect("created anew");
    assert!(streams.listing(STREAM).expect("there").incarnation > old);
    assert_eq!(
        (world.all(0), world.all(1)),
        (vec![], vec![]),
        "nothing of the old one"
    );
}

#[test]
fn a_fetch_stays_under_its_bytes_and_goes_on_where_it_stopped() {
    let world = world(1, StreamLimits::default());
    let large = |key: &str| NewRecord {
        data: vec![0; 900_000],
        ..record(key)
    };
    let keys: Vec<_> = (0..20).map(|number| format!("{number}")).collect();
    for pair in keys.chunks(5) {
        world.put(pair.iter().map(|key| large(key)).collect());
    }
    let first = world.read(0, &Position::TrimHorizon, 10_000);
    let page = first.page.as_ref().expect("records");
    assert!(page.pinned_bytes() <= FETCH_BYTES_MAX * 3 / 2 + 4_096);
    assert!((2..20).contains(&count(&first)));
    assert!(first.behind_ms.is_some());
    let found: Vec<_> = world.all(0).into_iter().map(|(_, key)| key).collect();
    assert_eq!(found, keys);
}

#[test]
fn behind_is_the_age_of_the_last_record_until_the_tip_is_reached() {
    let world = world(1, StreamLimits::default());
    world.put(vec![record("a")]);
    world.clock.advance(Duration::from_secs(9));
    world.put(vec![record("b")]);
    assert_eq!(
        world.read(0, &Position::TrimHorizon, 1).behind_ms,
        Some(9_000)
    );
    assert_eq!(world.read(0, &Position::TrimHorizon, 2).behind_ms, Some(0));
}

#[test]
fn numbers_of_another_shard_are_refused() {
    let world = world(2, StreamLimits::default());
    let placed = world.put((0..10).map(|number| record(&number.to_string())).collect());
    let (_, foreign) = placed
        .iter()
        .find(|(shard, _)| *shard == id(1))
        .expect("both are used");
    for digits in [foreign.as_str(), "7", ""] {
        let from = Position::after(SequenceNumber::new(digits));
        let refused = world
            .state
            .streams()
            .read(STREAM, &id(0), &from, 1)
            .expect_err("foreign");
        assert_eq!(refused.kind, FaultKind::Invalid);
    }
}

#[tokio::test]
async fn a_wait_ends_with_a_record_a_split_or_the_time() {
    let clock = Arc::new(ManualClock::at(Wall(1_700_000_000_000)));
    let shared: Arc<dyn Clock> = clock.clone();
    let state = State::open(None, shared, StreamLimits::default()).expect("it opens");
    let streams = state.streams();
    streams.create_from_task(STREAM, 2).await.expect("created");
    let horizon = Position::TrimHorizon;
    let wait = Duration::from_secs(3);
    let shard = id(0);
    let mut time = Box::pin(streams.readable(STREAM, &shard, &horizon, wait));
    assert!(futures_util::poll!(&mut time).is_pending());
    clock.advance(wait);
    time.await;
    let mut put = Box::pin(streams.readable(STREAM, &shard, &horizon, wait));
    assert!(futures_util::poll!(&mut put).is_pending());
    let elsewhere = NewRecord {
        hash_key: Some(u128::MAX),
        ..record("x")
    };
    streams
        .put_from_task(STREAM, vec![elsewhere])
        .await
        .expect("put");
    assert!(
        futures_util::poll!(&mut put).is_pending(),
        "another shard's record wakes nobody"
    );
    let here = NewRecord {
        hash_key: Some(0),
        ..record("x")
    };
    streams
        .put_from_task(STREAM, vec![here])
        .await
        .expect("put");
    put.await;
    let end = Position::after(SequenceNumber::new(
        streams
            .read(STREAM, &shard, &horizon, 1)
            .expect("read")
            .page
            .expect("one")
            .sequence_number(0),
    ));
    let mut split = Box::pin(streams.readable(STREAM, &shard, &end, wait));
    assert!(futures_util::poll!(&mut split).is_pending());
    std::thread::scope(|scope| {
        scope
            .spawn(|| streams.split(STREAM, &shard, None))
            .join()
            .expect("no panic")
    })
    .expect("split");
    split.await;
}
