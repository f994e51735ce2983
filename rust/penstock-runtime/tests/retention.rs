//! Shows that embedded streams keep records for the retention, and no more than the cap.

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::fault::FaultKind;
use penstock_engine::ids::Position;
use penstock_engine::time::Wall;
use penstock_runtime::clock::ManualClock;
use penstock_runtime::error::StreamError;
use penstock_runtime::state::State;
use penstock_runtime::state::streams::{NewRecord, StreamLimits};

mod world;
use world::{STREAM, count, id, record, world};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn expired_records_go_and_a_reader_behind_them_is_told() {
    let limits = StreamLimits {
        retention: HOUR,
        ..StreamLimits::default()
    };
    let clock = Arc::new(ManualClock::at(Wall(1_700_000_000_000)));
    let state = State::open(None, clock.clone(), limits).expect("it opens");
    state
        .streams()
        .create_from_task(STREAM, 1)
        .await
        .expect("created");
    let put = async |key: &str| {
        let placed = state
            .streams()
            .put_from_task(STREAM, vec![record(key)])
            .await;
        placed.expect("put")[0].sequence_number.clone()
    };
    let first = put("first").await;
    let second = put("second").await;
    clock.advance(HOUR / 2);
    let third = put("third").await;
    clock.advance(HOUR / 2 + Duration::from_secs(1));
    state.streams().trim().await.expect("trimmed");
    assert_eq!(state.streams().describe(STREAM).expect("there").records, 1);
    let read = |from: &Position| state.streams().read(STREAM, &id(0), from, 10);
    let told = read(&Position::after(first)).expect_err("the second is gone");
    assert_eq!(told.kind, FaultKind::Trimmed);
    assert_eq!(
        count(&read(&Position::after(second)).expect("nothing is missing")),
        1
    );
    let horizon = read(&Position::TrimHorizon).expect("the horizon moved");
    let page = horizon.page.expect("one is left");
    assert_eq!(page.sequence_number(0), third.as_str());
    clock.advance(HOUR);
    state.streams().trim().await.expect("trimmed");
    let empty = read(&Position::TrimHorizon).expect("an empty shard is no fault");
    assert_eq!((count(&empty), empty.ended), (0, false));
    let fourth = put("fourth").await;
    assert!(fourth > third, "numbers go on");
}

#[tokio::test]
async fn a_closed_shard_leaves_the_listing_when_it_has_expired() {
    let limits = StreamLimits {
        retention: HOUR,
        ..StreamLimits::default()
    };
    let clock = Arc::new(ManualClock::at(Wall(1_700_000_000_000)));
    let state = State::open(None, clock.clone(), limits).expect("it opens");
    let streams = state.streams();
    streams.create_from_task(STREAM, 1).await.expect("created");
    streams
        .put_from_task(STREAM, vec![record("x")])
        .await
        .expect("put");
    std::thread::scope(|scope| {
        scope
            .spawn(|| streams.split(STREAM, &id(0), None))
            .join()
            .expect("no panic")
    })
    .expect("split");
    clock.advance(HOUR / 2);
    streams.trim().await.expect("trimmed");
    assert_eq!(streams.listing(STREAM).expect("there").shards.len(), 3);
    clock.advance(HOUR);
    streams.trim().await.expect("trimmed");
    let left = streams.listing(STREAM).expect("there").shards;
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|shard| shard.parents == [id(0)]));
    let gone = streams
        .read(STREAM, &id(0), &Position::TrimHorizon, 1)
        .expect_err("gone");
    assert_eq!(gone.kind, FaultKind::NotFound);
}

#[test]
fn a_full_stream_refuses_until_something_expires() {
    let limits = StreamLimits {
        retention: HOUR,
        bytes_max: 10_000,
    };
    let world = world(1, limits);
    let large = || NewRecord {
        data: vec![0; 6_000],
        ..record("x")
    };
    world.put(vec![large()]);
    let refused = world
        .state
        .streams()
        .put(STREAM, vec![large()])
        .expect_err("it is full");
    assert!(
        matches!(refused, StreamError::Full { cap: 10_000, .. }),
        "{refused:?}"
    );
    assert!(refused.hint().is_some());
    assert_eq!(world.all(0).len(), 1);
    world.clock.advance(HOUR + Duration::from_secs(1));
    world.put(vec![large()]);
    assert_eq!(world.all(0).len(), 1, "the expired one made room");
}
